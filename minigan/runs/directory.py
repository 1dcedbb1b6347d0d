"""A run directory: the files of a training run.

config.json                everything needed to run it again, with versions
metrics.jsonl              one JSON object per logged step
samples/step-00000500.png  the same latent points every time
samples.png  curves.png  training.gif
checkpoint.safetensors     the newest state; checkpoint.previous.safetensors the one before
checkpoint.best.safetensors  the best by a measure, with --evaluate-every
neighbours.png             made by python -m minigan.evaluate
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minigan import __version__
from minigan.backends import Ops
from minigan.config import Config
from minigan.data import Data, load
from minigan.errors import InputError, quoted
from minigan.files import append, hold, let_go, ours, read_json, reading, remove_temporaries, replacing, write_json
from minigan.runs import checkpoint

RUNS = Path("runs")

MAX_LINE = 1 << 12
"""Bytes in a line of metrics.jsonl: a record has a few hundred."""

MAX_METRICS = 1 << 28
"""Bytes in metrics.jsonl: more than a million records."""


class Run:
    """The files of one run. Only one process at a time may hold it for writing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.jsonl"
        self.pictures = path / "samples"
        self.samples = path / "samples.png"
        self.curves = path / "curves.png"
        self.animation = path / "training.gif"
        self.neighbours = path / "neighbours.png"
        self.checkpoint = path / checkpoint.NAME
        self.best = path / checkpoint.BEST
        self._held: list[Path] = []

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def create(cls, out: str | None, name: str) -> Run:
        """A fresh directory: `out`, or runs/NAME-001, -002, ...

        Raises: InputError where `out` holds a run already or cannot be written to.
        """
        try:
            path = Path(out) if out is not None else _next_directory(name)
            run = cls(path)
            path.mkdir(parents=True, exist_ok=True)
            with run._locked():
                marks = (run.checkpoint, run.config, run.metrics, run.pictures, run.samples)
                taken = [p.name for p in marks if os.path.lexists(p) and not (p.is_dir() and not any(p.iterdir()))]
                if taken:
                    raise InputError(
                        f"--out {out} already holds a run ({taken[0]}); choose another, or --resume {quoted(path)}."
                    )
                run._take_pictures()
        except OSError as error:
            where = f"--out {out}" if out is not None else str(RUNS)
            raise InputError(f"{where}: cannot make a run directory there ({error.strerror or error}).") from None
        return run

    @classmethod
    def open(cls, path: str) -> Run:
        """An existing run, for resuming. Raises: InputError where there is none, or it is in use or not writable."""
        run = cls(Path(path))
        if not run.config.is_file():
            raise InputError(f"--resume {path}: no run is there (no config.json).")
        try:
            with run._locked():
                run._take_pictures()
                for directory in (run.path, run.pictures):
                    with tempfile.TemporaryFile(dir=directory):
                        pass
        except OSError as error:
            raise InputError(f"--resume {path}: cannot be written to ({error.strerror or error}).") from None
        return run

    def _take_pictures(self) -> None:
        """Make and hold samples/, and remove temporary files of a killed process. Raises: InputError, OSError."""
        if not os.path.lexists(self.pictures):
            self.pictures.mkdir()
        if (
            self.pictures.is_symlink() or not self.pictures.is_dir()
        ):  # through a link, pictures elsewhere would be removed
            raise InputError(f"{self.pictures}: is no directory, or a link to one; put a directory in its place.")
        self._hold(self.pictures, lock=False)
        pictures = self.samples, self.curves, self.animation, self.neighbours
        for file in (self.config, self.metrics, *pictures, self.checkpoint, self.best):
            if file.is_dir():  # reported now rather than when it is written
                raise InputError(f"{file}: is a directory; move it away.")
            remove_temporaries(self.path, file.name)
        remove_temporaries(self.pictures, "step-*.png")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the directory, and release it only if the block fails. Raises: InputError where another process holds it."""
        self.lock()
        try:
            yield
        except BaseException:
            self.release()
            raise

    def lock(self) -> None:
        """Hold the directory until `release` or the end of this process. Raises: InputError where another does; OSError."""
        if not self._hold(self.path, lock=True):
            raise InputError(f"{self.path}: another process is training there; wait for it, or stop it first.")

    @contextmanager
    def visited(self) -> Iterator[None]:
        """Write into a run that another process may hold: `ours` checks that it stays the same directory. Raises: OSError."""
        hold(self.path, lock=False)
        try:
            yield
        finally:
            let_go(self.path)

    def _hold(self, directory: Path, *, lock: bool) -> bool:
        free = hold(directory, lock=lock)
        if free:
            self._held.append(directory)
        return free

    def release(self) -> None:
        """Release the directory for other processes. Raises: OSError."""
        while self._held:
            let_go(self._held.pop())

    def write_config(self, config: Config, backend: Ops) -> None:
        """Write config.json. Raises: OSError."""
        write_json(self.config, {"config": config.to_dict(), "versions": versions(backend)})

    def read_config(self) -> Config:
        """The settings in config.json. Raises: InputError."""
        return load_config(self.config, of_a_run=True)

    def append(self, record: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl. Raises: OSError."""
        append(self.metrics, json.dumps(record) + "\n")

    def records(self) -> Iterator[dict[str, Any]]:
        """The lines of metrics.jsonl that are records; others, as a torn last line, are left out.

        Raises: InputError where it cannot be read, or is longer than any log.
        """
        return (record for _, record in self._lines())

    def _lines(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """The lines of metrics.jsonl as they are, and the records in them, one by one: a log may be long."""
        if not os.path.lexists(self.metrics):
            return
        with reading(self.metrics) as (file, size):
            if size > MAX_METRICS:
                raise InputError(
                    f"{self.metrics}: longer than {MAX_METRICS:,} bytes; move it away, and a new one is begun."
                )
            whole = True
            while line := file.readline(MAX_LINE):
                ended = line.endswith(b"\n")
                record = _record(line) if whole else None
                if record is not None:
                    yield line.rstrip() + b"\n", record
                whole = ended

    def began(self) -> bool:
        """Whether anything but the configuration has been written."""
        saved = (self.checkpoint, self.checkpoint.with_name(checkpoint.PREVIOUS), self.metrics)
        return any(os.path.lexists(path) for path in saved) or bool(self.frames())

    def rewind(self, step: int) -> None:
        """Remove log lines and pictures after `step`: a resumed run makes them again. Raises: InputError, OSError."""
        with replacing(self.metrics) as file:
            for line, record in self._lines():
                if record["step"] <= step:
                    file.write(line)
        for picture in self.frames():
            if not picture.is_file():
                raise InputError(f"{picture}: is not a regular file; remove it.")
            if int(picture.stem.removeprefix("step-")) > step:
                ours(picture).unlink()

    def picture(self, step: int) -> Path:
        """The path of the sample picture of a step."""
        return self.pictures / f"step-{step:08d}.png"

    def frames(self) -> list[Path]:
        """The sample pictures in order."""
        return sorted(p for p in self.pictures.glob("step-*.png") if re.fullmatch("step-[0-9]{8,}", p.stem))


def _record(line: bytes) -> dict[str, Any] | None:
    """The record in a line of metrics.jsonl; None where it is no record, or holds a number that is not a finite float."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or type(record.get("step")) is not int:
        return None
    for value in record.values():
        if type(value) in (int, float) and not abs(value) <= sys.float_info.max:
            return None
    return record


def find_data(run: str, config: Config, *, told: bool) -> Data:
    """The data of a run, which may have moved; told: --data was given. Raises: InputError."""
    try:
        return load(config.data, config.data_dir, config.reading)
    except InputError as error:
        remedy = "" if told else " Where the run's data have moved, say so with --data (or --data-dir)."
        raise InputError(f"{run}: {error}{remedy}") from None


def load_config(path: str | Path, *, of_a_run: bool = False) -> Config:
    """The configuration in a run's config.json; of_a_run: see `Config.from_dict`. Raises: InputError."""
    values = read_json(Path(path))
    if not isinstance(values, dict) or "config" not in values:
        raise InputError(f"{path}: holds no configuration; give the config.json of a run.")
    return Config.from_dict(values["config"], str(path), of_a_run=of_a_run)


def versions(backend: Ops) -> dict[str, str]:
    """The versions and the device with which a run is made, for repeating it."""
    result = {
        "minigan": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "device": backend.device,
    }
    result |= backend.versions()
    return result


def _next_directory(name: str) -> Path:
    """Make and return the first free runs/NAME-001, -002, ...: mkdir decides, so two processes never share one."""
    RUNS.mkdir(exist_ok=True)
    number = 1
    while True:
        path = RUNS / f"{name}-{number:03d}"
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1
