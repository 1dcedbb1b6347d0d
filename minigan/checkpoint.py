"""Checkpoints: safetensors in, safetensors out. Never pickled, verified on reading, the same bytes for the same run.

A file holds the seven flat vectors of `GAN.state()`, the scaler's offset and scale, and one metadata key, "minigan", of
sorted JSON: format version, configuration (without paths), step, what a sample is (`Space`), the identity of the data,
and a SHA-256 over the tensors. (One key, because safetensors writes several in random order.)
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from minigan import __version__
from minigan.backend import Backend
from minigan.config import Config
from minigan.data import Space
from minigan.data.scaling import Scaler
from minigan.errors import DivergenceError, InputError
from minigan.files import write_bytes
from minigan.gan import GAN, sample
from minigan.network import Network

FORMAT = 1
KEY = "minigan"
NAME = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
MAX_HEADER = 1 << 20
DTYPES = {"F32": 4, "F64": 8}


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint in memory."""

    config: Config
    step: int
    space: Space
    scaler: Scaler
    data: dict[str, Any]
    tensors: dict[str, np.ndarray]

    def generator(self, backend: Backend, *, raw: bool = False) -> Network:
        """The trained generator: its weight average, or the weights of the last step if `raw`."""
        flat = self.tensors["generator" if raw else "generator.average"]
        return Network(
            (self.config.latent, *self.config.hidden, self.space.size),
            self.config.activation,
            self.config.output,
            backend,
            self.config.dtype,
            backend.asarray(flat),
        )

    def sample(self, n: int, backend: Backend, *, seed: int, raw: bool = False) -> np.ndarray:
        """n generated samples (n, size) in data units, float32."""
        return self.scaler.to_data(sample(self.generator(backend, raw=raw), n, seed), self.space)

    def restore(self, gan: GAN) -> None:
        """Put the state into a GAN of the same configuration."""
        for name, array in gan.state().items():
            array[...] = gan.backend.asarray(self.tensors[name])
        gan.step = self.step


def digest(tensors: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def save(path: Path, gan: GAN, space: Space, scaler: Scaler, data: dict[str, Any]) -> None:
    """Write atomically and durably; the checkpoint before is kept beside it as `checkpoint.previous.safetensors`.

    Raises: DivergenceError when a value is not finite (nothing is written), OSError.
    """
    # safetensors writes the memory of an array whatever its strides: it must be contiguous
    tensors = {name: np.ascontiguousarray(gan.backend.to_host(array)) for name, array in gan.state().items()}
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise DivergenceError(
                f"step {gan.step}: {name} holds a number that is not finite; no checkpoint was written."
            )
    tensors["scaler.offset"] = np.ascontiguousarray(scaler.offset)
    tensors["scaler.scale"] = np.ascontiguousarray(scaler.scale)
    meta = {
        "format": FORMAT,
        "version": __version__,
        "config": portable(gan.config, data["name"]),
        "step": gan.step,
        "space": space.to_dict(),
        "data": data,
        "sha256": digest(tensors),
    }
    content = safetensors.numpy.save(tensors, {KEY: json.dumps(meta, sort_keys=True)})
    if path.exists():
        previous = path.with_name(PREVIOUS)
        previous.unlink(missing_ok=True)
        os.link(path, previous)  # a second name, so that there is a checkpoint under the first at every moment
    write_bytes(path, content)


def portable(config: Config, data_name: str) -> dict[str, Any]:
    """The configuration without paths and without what only concerns reporting: equal for equal runs anywhere."""
    return {**config.to_dict(places=False, report=False), "data": data_name}


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
    try:
        with open(path, "rb") as file:
            _check_header(path, file.read(8 + MAX_HEADER), os.fstat(file.fileno()).st_size)
            file.seek(0)
            content = file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        tensors = safetensors.numpy.load(content)
        meta = json.loads(header["__metadata__"][KEY])
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: not a minigan checkpoint, or damaged ({str(error)[:80]}).") from None
    return _interpret(path, tensors, meta)


def _check_header(path: Path, head: bytes, size: int) -> None:
    """Refuse a file whose header claims more than the file holds, before anything of that size is allocated."""
    length = int.from_bytes(head[:8], "little") if len(head) >= 8 else -1
    if not 2 <= length <= min(MAX_HEADER, size - 8):
        raise InputError(f"{path}: not a safetensors file, or cut short ({size} bytes).")
    try:
        header = json.loads(head[8 : 8 + length])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        end = max([0, *ends])
        known = all(entry["dtype"] in DTYPES for name, entry in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise InputError(f"{path}: the header of this safetensors file is damaged.") from None
    if not known:
        raise InputError(f"{path}: holds tensors of a type that minigan does not write.")
    if type(end) is not int or 8 + length + end != size:
        raise InputError(
            f"{path}: its header promises {str(8 + length + end)[:20]} bytes, the file has {size}; copy it again."
        )


def _interpret(path: Path, tensors: dict[str, np.ndarray], meta: Any) -> Checkpoint:
    """Check what a checkpoint says of itself against what it holds."""
    if not isinstance(meta, dict):
        raise InputError(f"{path}: its metadata is not a JSON object.")
    version = str(meta.get("version"))[:40]
    if meta.get("format") != FORMAT:
        raise InputError(
            f"{path}: format {str(meta.get('format'))[:20]}, written by minigan {version}; this version reads format {FORMAT}."
        )
    if meta.get("sha256") != digest(tensors):
        raise InputError(f"{path}: its SHA-256 does not match its tensors: the file is damaged.")
    config = Config.from_dict(meta.get("config"), str(path))
    space = Space.from_dict(meta.get("space"), str(path))
    step, data = meta.get("step"), meta.get("data")
    if type(step) is not int or step < 0 or not isinstance(data, dict):
        raise InputError(f"{path}: its metadata lack a step or the data's identity.")
    _check_shapes(path, config, space, tensors)
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {name} holds a number that is not finite.")
    scaler = Scaler(tensors.pop("scaler.offset"), tensors.pop("scaler.scale"))
    return Checkpoint(config, step, space, scaler, data, tensors)


def _check_shapes(path: Path, config: Config, space: Space, tensors: dict[str, np.ndarray]) -> None:
    """The shapes that the configuration implies, against those in the file."""

    def count(sizes: tuple[int, ...]) -> int:
        return sum((i + 1) * o for i, o in pairwise(sizes))

    g = count((config.latent, *config.hidden, space.size))
    d = count((space.size, *config.hidden, 1))
    expected: dict[str, tuple[str, set[int]]] = {
        **{
            name: (config.dtype, {g})
            for name in ("generator", "generator.average", "generator.adam.m", "generator.adam.v")
        },
        **{name: (config.dtype, {d}) for name in ("discriminator", "discriminator.adam.m", "discriminator.adam.v")},
        **{name: ("float64", {1, space.size}) for name in ("scaler.offset", "scaler.scale")},
    }
    if set(tensors) != set(expected):
        raise InputError(
            f"{path}: holds the tensors {', '.join(sorted(tensors))[:200]}, not those of a minigan checkpoint."
        )
    for name, (dtype, sizes) in expected.items():
        array = tensors[name]
        if array.ndim != 1 or array.dtype != dtype or array.size not in sizes:
            want = " or ".join(str(s) for s in sorted(sizes))
            raise InputError(
                f"{path}: {name} is {array.dtype} {array.shape}, but its configuration needs {dtype} ({want},)."
            )
    if not (tensors["scaler.scale"] > 0).all():
        raise InputError(f"{path}: scaler.scale must be positive.")
