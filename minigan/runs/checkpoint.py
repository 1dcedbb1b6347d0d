"""Checkpoints: safetensors in, safetensors out. Never pickled, verified on reading, the same bytes for the same run.

A file holds the seven flat vectors of `GAN.state()`, the scaler's offset and scale, and one metadata key, "minigan", of
sorted JSON: format version, configuration (without paths), step, what a sample is (`Space`), the identity of the data,
what was measured, if anything was, and a SHA-256 over all of it. (One key, because safetensors writes several in random
order.)
"""

from __future__ import annotations

import errno
import hashlib
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
import safetensors.numpy

from minigan import __version__
from minigan.backends import Ops
from minigan.config import MAX_COUNT, Config
from minigan.data import Data
from minigan.data.scaling import Scaler
from minigan.data.spaces import Space
from minigan.errors import DivergenceError, InputError, short
from minigan.files import ours, reading, replacing
from minigan.nn.gan import GAN
from minigan.nn.network import Network, parameter_count
from minigan.nn.sampling import samples

FORMAT = 1
KEY = "minigan"
NAME = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
BEST = "checkpoint.best.safetensors"
MAX_HEADER = 1 << 20
MAX_NAME = 255
"""Characters in the name of a data set: it is that of a file."""

DTYPES = {"F32": "float32", "F64": "float64"}
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

    def generator(self, backend: Ops, *, raw: bool = False) -> Network:
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

    def sample(self, n: int, backend: Ops, *, seed: int, raw: bool = False) -> np.ndarray:
        """n generated samples (n, size) in data units. Raises: InputError where one is not finite."""
        x, at = np.empty((n, self.space.size), self.scaler.data_type(self.space)), 0
        for part in self.samples(n, backend, seed=seed, raw=raw):
            x[at : at + len(part)] = part
            at += len(part)
        return x

    def samples(self, n: int, backend: Ops, *, seed: int, raw: bool = False) -> Iterator[np.ndarray]:
        """The same a chunk at a time, so that any number takes little memory. Raises: InputError."""
        return self.finished(samples(self.generator(backend, raw=raw), n, seed))

    def finished(self, made: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """What the generator made, (k, size) at a time in model units, in data units. Raises: InputError where it is not finite."""
        while True:
            with np.errstate(all="ignore"):  # the sentence below says it better than NumPy's warnings
                x = next(made, None)
                if x is None:
                    return
                x = self.scaler.to_data(x, self.space)
            if not np.isfinite(x).all():
                raise InputError(
                    f"{self.path}: its generator makes samples that are not finite, so its weights are of no use."
                )
            yield x

    def restore(self, gan: GAN) -> None:
        """Put the state into a GAN of the same configuration."""
        for name, array in gan.state().items():
            array[...] = gan.ops.asarray(self.tensors[name])
        gan.step = self.step


def digest(tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> str:
    """SHA-256 over the metadata (but for the digest itself), and names, types, shapes and bytes in the order of the names."""
    sha = hashlib.sha256(json.dumps({**meta, "sha256": ""}, sort_keys=True).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def save(
    path: Path,
    gan: GAN,
    space: Space,
    scaler: Scaler,
    data: dict[str, Any],
    measured: dict[str, Any] | None = None,
) -> None:
    """Write atomically and durably; the checkpoint before is kept beside it as `checkpoint.previous.safetensors`.

    measured: as in `Checkpoint`; where it is empty the file holds no trace of it.
    Raises: DivergenceError when a value is not finite (nothing is written), OSError.
    """
    # safetensors writes the memory of an array whatever its strides: it must be contiguous
    tensors = {name: np.ascontiguousarray(gan.ops.to_host(array)) for name, array in gan.state().items()}
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            player = name.partition(".")[0]
            layer = getattr(gan, player).parameters(array).first_not_finite()
            raise DivergenceError(
                f"step {gan.step}: {name} holds a number that is not finite in layer {layer}; no checkpoint was "
                f"written, the one before is kept. Try a smaller --lr-{player}, or --r1 1."
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
    }
    if measured:
        meta["measured"] = measured
    meta["sha256"] = digest(tensors, meta)
    content = safetensors.numpy.save(tensors, {KEY: json.dumps(meta, sort_keys=True)})
    with replacing(path) as file:
        file.write(content)
        file.flush()
        if path.name == NAME and path.exists():
            _keep(path)


def _keep(path: Path) -> None:
    """Give the file its second name, so that there is a checkpoint under the first at every moment. Raises: OSError."""
    previous = path.with_name(PREVIOUS)
    ours(previous).unlink(missing_ok=True)
    try:
        os.link(path, previous)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        os.replace(path, previous)  # `load` finds it there


def identify(data: Data, all_data: bool) -> dict[str, Any]:
    """What tells a run's data from others, but for their `Space`: all that training and its measures can see.

    name: for people alone; samples: rows that are trained on; training, held_out, labels: SHA-256 of these arrays; unit.
    """
    labels = data.labels or {}
    return {
        "name": data.name,
        "samples": len(data.train) + (len(data.validation) if all_data else 0),
        "unit": data.unit,
        "training": _fingerprint(data.train),
        "held_out": _fingerprint(data.validation, data.test),
        "labels": _fingerprint(*(labels[part] for part in sorted(labels))),
    }


def _fingerprint(*arrays: np.ndarray) -> str:
    """SHA-256 of types, shapes and values."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str} {array.shape}\n".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def as_trained(data: Data, run: str | os.PathLike[str], all_data: bool) -> Data:
    """The data with the digits that a run or checkpoint was trained on.

    Tables were once stored in float32 whatever that did to their digits. A run that began so stays so, with a warning.
    """
    if data.train.dtype != np.float64:
        return data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            known = load(run).data
        except InputError:  # none yet, or an unusable one: whoever needs it says so
            return data
    before = data.rounded()
    rounded = identify(before, all_data)["training"], _sha256_of_rows(before.part(all_data))
    if known.get("training", rounded[0]) != rounded[0] or known.get("sha256", rounded[1]) != rounded[1]:
        return data
    warnings.warn(
        f"{run}: trained on {data.name} in float32, and stays so; train anew to keep all digits.", stacklevel=2
    )
    return before


def check_data(saved: Checkpoint, data: Data, run: str, given: str) -> None:
    """Compare data with those that a checkpoint was trained on, in all that it holds of them; older ones hold less.

    Raises: InputError, which names `run` and the data `given`, and says in what they differ.
    """
    now, then = identify(data, saved.config.all_data), saved.data
    if "sha256" in then:
        now["sha256"] = _sha256_of_rows(data.part(saved.config.all_data))
    found = []
    for what in ("kind", "shape"):
        new, old = getattr(data.space, what), getattr(saved.space, what)
        if new != old:
            found.append(f"its {what} is {new}, not {old}")
    names = zip(data.space.columns, saved.space.columns, strict=False)
    renamed = next(((i, *pair) for i, pair in enumerate(names, 1) if pair[0] != pair[1]), None)
    if renamed is not None:
        found.append(f"its column {renamed[0]} is called {short(renamed[1])}, not {short(renamed[2])}")
    for key, what in (
        ("samples", "number of samples to train on is"),
        ("unit", "unit is"),
        ("training", "training rows have the SHA-256"),
        ("sha256", "training rows have the SHA-256"),
        ("held_out", "held-out rows have the SHA-256"),
        ("labels", "labels have the SHA-256"),
    ):
        if key in now and then.get(key, now[key]) != now[key]:
            found.append(f"its {what} {str(now[key])[:12]}, not {short(then[key])[:12]}")
    if found:
        raise InputError(
            f"{run}: --data {given} does not hold what the run was trained on: {'; '.join(found)}. Say with --data where that "
            f"is now, or train a new run."
        )


def _sha256_of_rows(rows: np.ndarray) -> str:
    """SHA-256 of the bytes of training rows, as older checkpoints hold it; tables were float32 then."""
    rows = rows.astype(np.float32) if rows.dtype == np.float64 else rows
    return hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()


def describe(identity: dict[str, Any]) -> str:
    """A data set's identity, for people."""
    return f"{short(identity['name'])} ({identity.get('samples')} samples, SHA-256 {str(identity.get('sha256'))[:12]})"


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
    """First all that the header says is checked, against the size of the file and against itself; then it is read."""
    with reading(path) as (file, size):
        shapes, text = _header(path, file.read(8 + MAX_HEADER), size)
        meta, config, space = _meta(path, text)
        _check_shapes(path, config, space, shapes)
        file.seek(0)
        content = file.read(size + 1)
    try:
        tensors = safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise InputError(f"{path}: not a minigan checkpoint, or damaged ({str(error)[:80]}).") from None
    if meta.get("sha256") != digest(tensors, meta):
        raise InputError(f"{path}: its SHA-256 does not match what it holds: the file is damaged.")
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {name} holds a number that is not finite.")
    scaler = Scaler(tensors.pop("scaler.offset"), tensors.pop("scaler.scale"))
    if not (scaler.scale > 0).all():
        raise InputError(f"{path}: scaler.scale must be positive.")
    return Checkpoint(config, meta["step"], space, scaler, meta["data"], tensors, path, meta.get("measured", {}))


def _header(path: Path, head: bytes, size: int) -> tuple[dict[str, tuple[str, tuple[int, ...]]], str]:
    """Type and shape of every tensor, and the metadata, of a file whose header promises what the file holds."""
    length = int.from_bytes(head[:8], "little") if len(head) >= 8 else -1
    if not 2 <= length <= min(MAX_HEADER, size - 8):
        raise InputError(f"{path}: not a safetensors file, or cut short ({size} bytes).")
    try:
        header = json.loads(head[8 : 8 + length])
        text = header.pop("__metadata__", {}).get(KEY)
        known = all(entry["dtype"] in DTYPES for entry in header.values())
        end = max([0, *(entry["data_offsets"][1] for entry in header.values())])
        shapes = {name: (DTYPES.get(entry["dtype"], ""), tuple(entry["shape"])) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise InputError(f"{path}: the header of this safetensors file is damaged.") from None
    if not known:
        raise InputError(f"{path}: holds tensors of a type that minigan does not write.")
    if type(end) is not int or 8 + length + end != size:
        promised = f"{8 + length + end} bytes" if type(end) is int and 0 <= end < 1 << 62 else "a size that cannot be"
        raise InputError(f"{path}: its header promises {promised}, the file has {size} bytes; copy it again.")
    if not isinstance(text, str):
        raise InputError(f"{path}: not a minigan checkpoint: its metadata has no key {KEY!r}.")
    return shapes, text


def _meta(path: Path, text: str) -> tuple[dict[str, Any], Config, Space]:
    """What a checkpoint says of itself, and the configuration and the space in it."""
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: its metadata is not JSON.") from None
    if not isinstance(meta, dict):
        raise InputError(f"{path}: its metadata is not a JSON object.")
    if meta.get("format") != FORMAT:
        written = f"format {short(meta.get('format'), 20)}, written by minigan {short(meta.get('version'), 40)}"
        raise InputError(f"{path}: {written}; this version reads format {FORMAT}.")
    config = Config.from_dict(meta.get("config"), str(path), of_a_run=True)
    space = Space.from_dict(meta.get("space"), str(path))
    step = meta.get("step")
    if type(step) is not int or not 0 <= step <= MAX_COUNT:
        raise InputError(f"{path}: its metadata lack a step, a whole number from 0 to {MAX_COUNT}.")
    if not _is_identity(meta.get("data")):
        raise InputError(f"{path}: its metadata lack the data's identity: a name, and numbers and SHA-256 sums.")
    measured = meta.get("measured", {})
    if not isinstance(measured, dict) or not all(_is_measured(key, record, step) for key, record in measured.items()):
        raise InputError(f"{path}: what its metadata hold as measured is nothing that minigan measures.")
    return meta, config, space


def _is_identity(data: Any) -> bool:
    """Whether this is what `identify` writes, in this version or another: a name, and numbers and sums of any names."""
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


def _check_shapes(path: Path, config: Config, space: Space, shapes: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    """The shapes that the configuration implies, against those in the file."""
    g = parameter_count((config.latent, *config.hidden, space.size))
    d = parameter_count((space.size, *config.hidden, 1))
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
