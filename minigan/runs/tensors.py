"""Files of named vectors in the safetensors format with a description in JSON, verified on reading.

The description is one metadata key, "minigan", of sorted JSON (one key, because safetensors writes several in random order).
In it is a SHA-256 over all that the file holds. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors.numpy

from minigan.errors import InputError
from minigan.files import reading

KEY = "minigan"

MAX_HEADER = 1 << 23
"""Bytes in the header of a file."""

DTYPES = {"F32": "float32", "F64": "float64"}
"""The types of safetensors that are read, and what they are called here."""

Shapes = dict[str, tuple[str, tuple[int, ...]]]
"""Type and shape of each tensor by its name, as a header says them: sizes are not known to be numbers."""


def digest(tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> str:
    """SHA-256 over the metadata (but for the digest itself), and names, types, shapes and bytes in the order of the names."""
    sha = hashlib.sha256(json.dumps({**meta, "sha256": ""}, sort_keys=True).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def serialised(tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> bytes:
    """The bytes of a file: equal for equal tensors and descriptions. The SHA-256 is added to the description."""
    meta = {**meta, "sha256": digest(tensors, meta)}
    # safetensors writes the memory of an array whatever its strides: it must be contiguous
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    return safetensors.numpy.save(tensors, {KEY: json.dumps(meta, sort_keys=True)})


@dataclass(frozen=True)
class TensorFile:
    """An open file whose header is consistent with its size; what is in meta and shapes is for the caller to check."""

    path: Path
    file: BinaryIO
    size: int
    meta: dict[str, Any]
    shapes: Shapes

    def read(self) -> dict[str, np.ndarray]:
        """The tensors. Raises: InputError where the SHA-256 is another, or a number is not finite."""
        self.file.seek(0)
        content = self.file.read(self.size + 1)
        try:
            tensors = safetensors.numpy.load(content)
        except safetensors.SafetensorError as error:
            raise InputError(f"{self.path}: not a minigan checkpoint, or damaged ({str(error)[:80]}).") from None
        if self.meta.get("sha256") != digest(tensors, self.meta):
            raise InputError(f"{self.path}: its SHA-256 does not match what it holds: the file is damaged.")
        for name, array in tensors.items():
            if not np.isfinite(array).all():
                raise InputError(f"{self.path}: {name} holds a number that is not finite.")
        return tensors


@contextmanager
def opened(path: Path) -> Iterator[TensorFile]:
    """A file with its header checked, against the size of the file and against itself. Raises: InputError."""
    with reading(path) as (file, size):
        head = file.read(8)
        head += file.read(min(int.from_bytes(head, "little"), MAX_HEADER, size))
        shapes, text = _header(path, head, size)
        try:
            meta = json.loads(text)
        except (ValueError, RecursionError):
            raise InputError(f"{path}: its metadata is not JSON.") from None
        if not isinstance(meta, dict):
            raise InputError(f"{path}: its metadata is not a JSON object.")
        yield TensorFile(path, file, size, meta, shapes)


def _header(path: Path, head: bytes, size: int) -> tuple[Shapes, str]:
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
