"""Checkpoints of a GAN: what they hold, saved atomically, verified on loading; the same bytes for the same run.

A file (`tensors.py`) holds the seven flat vectors of `GAN.state()` and the scaler's offset and scale. Its description holds:
format version, configuration (without paths), step, what a sample is (`Space`), the identity of the data (`identity.py`),
and what was measured, if anything was.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan import __version__, memory
from minigan.backends import Ops
from minigan.config import MAX_COUNT, Config
from minigan.data import spaces
from minigan.data.scaling import Scaler
from minigan.data.spaces import Space
from minigan.errors import DivergenceError, InputError, require_whole, short
from minigan.files import ours, replacing
from minigan.nn import architecture
from minigan.nn.gan import GAN
from minigan.nn.network import Network
from minigan.nn.sampling import collected, sample, samples
from minigan.runs.tensors import MAX_HEADER, Shapes, opened, serialised

FORMAT = 1
NAME = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
BEST = "checkpoint.best.safetensors"

LATER = ("convolutions",)
"""Settings that did not exist when checkpoints were first written."""

MAX_NAME = 255
"""Characters in the name of a data set: it is that of a file."""

CALIBRATED, LEAST, MOST = 8192, 1024, 1 << 24
"""Samples by which a space is calibrated, and of large ones the least number, for the sake of so many values."""

MAX_REST = 1 << 17
"""Bytes in a checkpoint's header for all but the description of samples."""

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""How file systems without hard links (FAT, some network shares) refuse one."""


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint in memory; `path` is the file that it was read from.

    measured: under "last" and "best" the lines of the log with the newest and the best measures; {} where nothing was
    measured, and in older checkpoints.
    """

    config: Config
    step: int
    space: Space
    scaler: Scaler
    data: dict[str, Any]
    tensors: dict[str, np.ndarray]
    path: Path
    measured: dict[str, Any]

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.space.shape))
        what = f"{self.space.kind} of {shape} values"
        return f"Checkpoint({str(self.path)!r}, step {self.step}, {short(self.data['name'])}: {what})"

    def generator(self, backend: Ops, *, raw: bool = False) -> Network:
        """The trained generator: its weight average, or the weights of the last step if `raw`."""
        flat = self.tensors["generator" if raw else "generator.average"]
        return architecture.generator(self.config, self.space.shape).network(backend, backend.asarray(flat))

    def sample(self, n: int, backend: Ops, *, seed: int, raw: bool = False) -> np.ndarray:
        """n generated samples (n, size) in data units. Raises: InputError where one is not finite."""
        require_samples(n, seed)
        out = np.empty((n, self.space.size), self.scaler.data_type(self.space))
        return collected(self.samples(n, backend, seed=seed, raw=raw), out)

    def samples(self, n: int, backend: Ops, *, seed: int, raw: bool = False) -> Iterator[np.ndarray]:
        """The same, a chunk at a time: memory does not grow with n. Raises: InputError."""
        generator = self.generator(backend, raw=raw)
        return self.finished(generator, samples(generator, n, seed))

    def finished(self, generator: Network, made: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """A generator's samples, (k, size) at a time, from model units to data units. Raises: InputError where one is not
        finite."""
        space = calibrated(self.space, self.scaler, generator)
        while True:
            with np.errstate(all="ignore"):  # the error below replaces NumPy's warnings
                x = next(made, None)
                if x is None:
                    return
                x = self.scaler.to_data(x, space)
            if not np.isfinite(x).all():
                raise InputError(
                    f"{self.path}: its generator makes samples that are not finite, so its weights are of no use."
                )
            yield x

    def restore(self, gan: GAN) -> None:
        """Put the state into a GAN of the same configuration. Raises: InputError where its networks are of another size."""
        for name, array in gan.state().items():
            if array.shape != self.tensors[name].shape:
                raise InputError(
                    f"{self.path}: its {name} has {self.tensors[name].size:,} numbers, that of the GAN {array.size:,}; make the "
                    f"GAN with the checkpoint's configuration and size of samples."
                )
            array[...] = gan.ops.asarray(self.tensors[name])
        gan.step = self.step


def calibrated(space: Space, scaler: Scaler, generator: Network) -> Space:
    """The space that a generator's samples are settled in, by further samples of its own."""
    if not space.counts:
        return space
    n = min(CALIBRATED, max(LEAST, MOST // space.size))
    return scaler.calibrated(space, sample(generator, n, 0))


def require_described(space: Space, name: str) -> None:
    """Raise InputError where the columns and categories of a space do not fit into the header of a checkpoint."""
    size = len(json.dumps(json.dumps(space.to_dict())))
    if size > MAX_HEADER - MAX_REST:
        raise InputError(
            f"{name}: describing its columns and their categories takes {memory.words(size)}, and a checkpoint holds at most "
            f"{memory.words(MAX_HEADER - MAX_REST)} of that; leave columns of many categories out, or join the rare ones "
            f"(--columns NAME:common)."
        )


def require_samples(n: int, seed: int | None) -> None:
    """Raise InputError unless n and the seed are whole numbers in their ranges."""
    require_whole("the number of samples", n, 0, MAX_COUNT)
    require_whole("the seed", seed or 0, 0, 2**63 - 1)


def save(
    path: str | os.PathLike[str],
    gan: GAN,
    space: Space,
    scaler: Scaler,
    data: dict[str, Any],
    measured: dict[str, Any] | None = None,
) -> None:
    """Write atomically and durably; the checkpoint before is kept beside it as `checkpoint.previous.safetensors`.

    measured: as in `Checkpoint`; where it is empty the file holds no trace of it.
    Raises: DivergenceError when a value is not finite, InputError for a GAN of other data (nothing is written); OSError.
    """
    path, size = Path(path), gan.generator.sizes[-1]
    if gan.config.convolutions and gan.shape != tuple(space.shape):
        raise InputError(f"{path}: the GAN makes images of {gan.shape} pixels, but its space has {tuple(space.shape)}.")
    if size != space.size or not {scaler.offset.size, scaler.scale.size} <= {1, size}:
        raise InputError(
            f"{path}: the GAN makes samples of {size} values, but its space or its scaler has another number."
        )
    tensors = {name: gan.ops.to_host(array) for name, array in gan.state().items()}
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            player = name.partition(".")[0]
            layer = getattr(gan, player).parameters(array).first_not_finite()
            raise DivergenceError(
                f"step {gan.step}: {name} holds a number that is not finite in layer {layer}; no checkpoint was "
                f"written, the one before is kept. Try a smaller --lr-{player}, or --r1 1."
            )
    tensors |= {"scaler.offset": scaler.offset, "scaler.scale": scaler.scale}
    meta = {
        "format": FORMAT,
        "version": __version__,
        "config": portable(gan.config, data["name"]),
        "step": gan.step,
        "space": space.to_dict(),
        "data": data,
    }
    if measured:
        meta["measured"] = measured
    content = serialised(tensors, meta)
    with replacing(path) as file:
        file.write(content)
        file.flush()
        if path.name == NAME and path.exists():
            _keep(path)


def _keep(path: Path) -> None:
    """Link the file as PREVIOUS, so that a checkpoint exists under the first name at every moment. Raises: OSError."""
    previous = path.with_name(PREVIOUS)
    ours(previous).unlink(missing_ok=True)
    try:
        os.link(path, previous)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        os.replace(path, previous)  # `load` finds it there


def portable(config: Config, data_name: str) -> dict[str, Any]:
    """The configuration without paths and without settings of reporting: equal for equal runs on any machine.

    A setting of LATER that has its default is left out, so that runs that were made before it existed keep their bytes.
    """
    values = {**config.to_dict(places=False, report=False), "data": data_name}
    return {name: value for name, value in values.items() if name not in LATER or value}


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and verify a checkpoint file, or a run directory's (falling back on the previous one, with a warning).

    Raises: InputError, in one sentence, for whatever is wrong with it.
    """
    path = Path(path)
    if not path.is_dir():
        return _read(path)
    newest, previous = path / NAME, path / PREVIOUS
    if not newest.exists() and not previous.exists():
        raise InputError(f"{path}: holds no {NAME}, so it is no minigan run.")
    try:
        return _read(newest)
    except InputError as error:
        if not previous.exists():
            raise
        checkpoint = _read(previous)
        warnings.warn(f"{error} Using {PREVIOUS} (step {checkpoint.step}) instead.", stacklevel=2)
        return checkpoint


def _read(path: Path) -> Checkpoint:
    """Read a file: the header and the description are checked before any tensor is read. Raises: InputError."""
    with opened(path) as file:
        config, space = _described(path, file.meta)
        _check_shapes(path, config, space, file.shapes)
        tensors, meta = file.read(), file.meta
    scaler = Scaler(tensors.pop("scaler.offset"), tensors.pop("scaler.scale"))
    if not (scaler.scale > 0).all():
        raise InputError(f"{path}: scaler.scale must be positive.")
    return Checkpoint(config, meta["step"], space, scaler, meta["data"], tensors, path, meta.get("measured", {}))


def _described(path: Path, meta: dict[str, Any]) -> tuple[Config, Space]:
    """The configuration and the space in a checkpoint's description, all of which is checked."""
    if meta.get("format") != FORMAT:
        written = f"format {short(meta.get('format'), 20)}, written by minigan {short(meta.get('version'), 40)}"
        raise InputError(f"{path}: {written}; this version reads format {FORMAT}.")
    config = Config.from_dict(meta.get("config"), str(path), of_a_run=True)
    space = spaces.from_dict(meta.get("space"), str(path))
    step = meta.get("step")
    if type(step) is not int or not 0 <= step <= MAX_COUNT:
        raise InputError(f"{path}: its metadata lack a step, a whole number from 0 to {MAX_COUNT}.")
    if not _is_identity(meta.get("data")):
        raise InputError(f"{path}: its metadata lack the data's identity: a name, and numbers and SHA-256 sums.")
    measured = meta.get("measured", {})
    if not isinstance(measured, dict) or not all(_is_measured(key, record, step) for key, record in measured.items()):
        raise InputError(f"{path}: what its metadata hold as measured is nothing that minigan measures.")
    return config, space


def _is_identity(data: Any) -> bool:
    """Whether this is what `identity.identify` writes, in this version or another: a name, and numbers and sums of any names."""
    if not isinstance(data, dict) or not isinstance(data.get("name"), str) or len(data["name"]) > MAX_NAME:
        return False
    return all(
        key == "name"
        or (type(value) in (int, float) and abs(value) < 1 << 63)
        or (isinstance(value, str) and re.fullmatch("[0-9a-f]{1,64}", value) is not None)
        for key, value in data.items()
    )


def _is_measured(key: str, record: Any, step: int) -> bool:
    """Whether a record is one of measures, none of which can lie beyond the checkpoint's own step."""
    return (
        key in ("last", "best")
        and isinstance(record, dict)
        and type(record.get("step")) is int
        and 0 <= record["step"] <= step
        and all(type(value) in (int, float) and abs(value) <= sys.float_info.max for value in record.values())
    )


def _check_shapes(path: Path, config: Config, space: Space, shapes: Shapes) -> None:
    """The shapes that the configuration implies, against those in the file."""
    try:
        g, d = (kind(config, space.shape).count for kind in (architecture.generator, architecture.discriminator))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    expected: dict[str, tuple[str, set[int]]] = {
        **{
            name: (config.dtype, {g})
            for name in ("generator", "generator.average", "generator.adam.m", "generator.adam.v")
        },
        **{name: (config.dtype, {d}) for name in ("discriminator", "discriminator.adam.m", "discriminator.adam.v")},
        **{name: ("float64", {1, space.size}) for name in ("scaler.offset", "scaler.scale")},
    }
    if set(shapes) != set(expected):
        raise InputError(
            f"{path}: holds the tensors {short(', '.join(sorted(shapes)), 200)}, not those of a minigan checkpoint."
        )
    for name, (dtype, sizes) in expected.items():
        found, shape = shapes[name]
        if found != dtype or len(shape) != 1 or type(shape[0]) is not int or shape[0] not in sizes:
            want = " or ".join(str(s) for s in sorted(sizes))
            raise InputError(
                f"{path}: {name} is {found} {short(shape, 80)}, but its configuration needs {dtype} ({want},)."
            )
