"""A run directory: what a training run leaves on disk, and where.

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minigan import __version__
from minigan.backends import Ops
from minigan.config import Config
from minigan.errors import InputError, quoted
from minigan.files import read_json, remove_temporaries, write_bytes, write_json
from minigan.runs import checkpoint

RUNS = Path("runs")


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
        self._lock: int | None = None

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
                taken = [p.name for p in marks if p.is_file() or (p.exists() and any(p.iterdir()))]
                if taken:
                    raise InputError(
                        f"--out {out} already holds a run ({taken[0]}); choose another, or --resume {quoted(path)}."
                    )
                run.pictures.mkdir(exist_ok=True)
                run._sweep()
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
                run.pictures.mkdir(exist_ok=True)
                for directory in (run.path, run.pictures):
                    probe = directory / ".probe"
                    probe.touch()
                    probe.unlink()
                run._sweep()
        except OSError as error:
            raise InputError(f"--resume {path}: cannot be written to ({error.strerror or error}).") from None
        return run

    def _sweep(self) -> None:
        """Remove what a killed process was writing. Raises: OSError."""
        for file in (self.checkpoint, self.config, self.metrics, self.samples, self.curves, self.animation, self.best):
            remove_temporaries(file)
        remove_temporaries(self.pictures / "step-*.png")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The lock, given back only where the block fails. Raises: InputError where another process holds it."""
        self.lock()
        try:
            yield
        except BaseException:
            self.release()
            raise

    def lock(self) -> None:
        """Hold the directory until this process ends. Raises: InputError where another process does."""
        try:
            import fcntl
        except ImportError:  # no such locks on this system
            return
        try:
            self._lock = os.open(self.path, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise InputError(
                f"{self.path}: another process is training there; wait for it, or stop it first."
            ) from None
        except OSError:
            return  # a file system without locks

    def release(self) -> None:
        """Let another process have the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_config(self, config: Config, backend: Ops) -> None:
        """config.json. Raises: OSError."""
        write_json(self.config, {"config": config.to_dict(), "versions": versions(backend)})

    def read_config(self) -> Config:
        """Raises: InputError."""
        return load_config(self.config, of_a_run=True)

    def append(self, record: dict[str, Any]) -> None:
        """One line of metrics.jsonl. Raises: OSError."""
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a torn last line (the machine stopped in the middle) is left out."""
        result = []
        if self.metrics.exists():
            for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(record, dict) and isinstance(record.get("step"), int):
                    result.append(record)
        return result

    def began(self) -> bool:
        """Whether anything but the configuration has been written."""
        saved = (self.checkpoint, self.checkpoint.with_name(checkpoint.PREVIOUS), self.metrics)
        return any(path.exists() for path in saved) or bool(self.frames())

    def rewind(self, step: int) -> None:
        """Forget lines and pictures after `step`: a resumed run makes them again. Raises: OSError."""
        kept = [record for record in self.records() if record["step"] <= step]
        write_bytes(self.metrics, "".join(json.dumps(record) + "\n" for record in kept).encode())
        for picture in self.frames():
            if int(picture.stem.removeprefix("step-")) > step:
                picture.unlink()

    def picture(self, step: int) -> Path:
        """Where the sample picture of a step is."""
        return self.pictures / f"step-{step:08d}.png"

    def frames(self) -> list[Path]:
        """The sample pictures in order."""
        return sorted(p for p in self.pictures.glob("step-*.png") if p.stem.removeprefix("step-").isdigit())


def load_config(path: str | Path, *, of_a_run: bool = False) -> Config:
    """The configuration in a run's config.json; of_a_run: see `Config.from_dict`. Raises: InputError."""
    values = read_json(Path(path))
    if not isinstance(values, dict) or "config" not in values:
        raise InputError(f"{path}: holds no configuration; give the config.json of a run.")
    return Config.from_dict(values["config"], str(path), of_a_run=of_a_run)


def versions(backend: Ops) -> dict[str, str]:
    """What this run was made with, for people who repeat it."""
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
