"""Arrays of numbers, from .npy and .npz files and from memory: (n, d) is a table, (n, h, w) are grey images."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from minigan.data.files import BLOCK, opened, read_exactly
from minigan.data.raw import MAX_VALUE, Raw, check_counts, parsing
from minigan.data.reading import Reading
from minigan.data.spaces import Image
from minigan.data.tables import from_numbers
from minigan.errors import InputError, short

MAX_HEADER = 10_000
"""Bytes in the header of an .npy file (NumPy's own limit)."""

FREE_EXPANSION, MAX_EXPANSION = 32 << 20, 100
"""An .npz entry may expand to 32 MiB, or to 100 times the size of the file: more is treated as a decompression bomb."""

MAX_DIRECTORY = 1 << 20
"""Bytes in the table of contents of an .npz file."""


@dataclass(frozen=True)
class Header:
    """What an array is before its values are read; fortran: the first index varies fastest."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype

    @property
    def images(self) -> bool:
        """Whether samples are images: (n, h, w) rather than (n, d)."""
        return len(self.shape) == 3


def read_npy(path: Path, reading: Reading) -> Raw:
    """The array of an .npy file."""
    with opened(path) as (file, size):
        return _read_array(file, size, path, reading)


def read_npz(path: Path, reading: Reading, key: str = "x") -> Raw:
    """The array `key` of an .npz file."""
    with npz_entry(path, key) as (stream, size):
        return _read_array(stream, size, path, reading)


def read_header(path: Path, key: str = "x") -> Header:
    """The header of an .npy file, or of the array `key` of an .npz file, without its values. Raises: InputError."""
    source = npz_entry(path, key) if path.suffix.lower() == ".npz" else opened(path)
    with source as (stream, size):
        return _checked_header(stream, size, path)


def from_array(values: np.ndarray, reading: Reading, name: str = "the array") -> Raw:
    """An array in memory, checked as one in a file is. Raises: InputError, whose sentence begins with `name`."""
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(f"{name} is masked; fill in or remove missing values, and give a plain array.")
    header = Header(values.shape, False, values.dtype)
    _check_header(header, name)
    flat = np.ascontiguousarray(values).reshape(-1)

    def fill(block: np.ndarray, start: int) -> None:
        block[:] = flat[start : start + block.size]

    return _raw(header, fill, name, reading)


def family(path: Path, reading: Reading) -> str:
    """The recipes for what is in a file, from its header. Raises: InputError."""
    return "image" if read_header(path).images else "table"


@contextmanager
def npz_entry(path: Path, key: str) -> Iterator[tuple[BinaryIO, int]]:
    """The stream and the size of one array of an .npz file, which is a zip file of .npy files."""
    with opened(path) as (file, size):
        _check_zip_end(file, size, path)
        with parsing(path, "is not a usable .npz file"), zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if f"{key}.npy" not in names:
                found = ", ".join(short(name.removesuffix(".npy"), 30) for name in names[:8]) or "no arrays at all"
                raise InputError(
                    f"{path} has no array {key!r} (it has: {found}); save it with np.savez(path, {key}=x)."
                )
            entry = archive.getinfo(f"{key}.npy")
            # other methods can not be read piecewise: a bomb would expand at once
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
                raise InputError(f"{path}: {key!r} is encrypted or compressed in a way that NumPy never writes.")
            if entry.file_size > max(FREE_EXPANSION, MAX_EXPANSION * size):
                raise InputError(
                    f"{path}: {key!r} claims to expand from {size:,} to {entry.file_size:,} bytes, as decompression "
                    f"bombs do; if it is real data, save it as an .npy file."
                )
            with archive.open(entry) as stream:
                yield cast(BinaryIO, stream), entry.file_size


def _check_zip_end(file: BinaryIO, size: int, path: Path) -> None:
    """Bound the table of contents, which `zipfile` reads whole, by the record at the end of the file."""
    file.seek(max(0, size - 42))
    end = file.read(42)
    file.seek(0)
    zip64 = end[:4] == b"PK\6\7" and size < 1 << 31  # a small file has no need of it
    if end[-22:-18] != b"PK\5\6" or zip64 or int.from_bytes(end[-10:-6], "little") > MAX_DIRECTORY:
        raise InputError(f"{path} is not a usable .npz file: it is truncated, damaged or not written by NumPy.")


def _read_array(stream: BinaryIO, size: int, path: Path, reading: Reading) -> Raw:
    """An array of the .npy format; size: bytes of the whole stream."""
    header = _checked_header(stream, size, path)

    def fill(block: np.ndarray, start: int) -> None:
        read_exactly(stream, block.view(np.uint8).data, path)
        if start + block.size == math.prod(header.shape):
            with parsing(path, "is damaged"):
                stream.read(1)  # meeting the end of a zip entry verifies its checksum

    return _raw(header, fill, path, reading)


def _checked_header(stream: BinaryIO, size: int, path: Path) -> Header:
    """The header of an array that can be used, and that has as many bytes of values as it promises."""
    header, length = _npy_header(stream, path)
    _check_header(header, path, size - length)
    return header


def _check_header(header: Header, path: Path | str, size: int | None = None) -> None:
    """Raise InputError unless an array is something to train on; size: bytes of its values in a file."""
    shape, dtype = header.shape, header.dtype
    if dtype.hasobject:
        raise InputError(f"{path} holds Python objects, which are never unpickled; save a plain array of numbers.")
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise InputError(f"{path} holds values of type {short(dtype)}; save a plain array of numbers.")
    if len(shape) not in (2, 3):
        raise InputError(
            f"{path} holds an array of {len(shape)} dimensions; (n, d) is a table, (n, h, w) are grey images."
        )
    possible = min(shape) >= 0 and max(shape) < 1 << 63
    if size is not None and not (possible and math.prod(shape) * dtype.itemsize == size):
        raise InputError(
            f"{path} is truncated or damaged: its header promises {short(shape)} values of type {dtype.name}, "
            f"but {size:,} bytes follow."
        )
    # a table is read in its own type, and both it and its stored rows are in memory for a moment
    table_bytes, image_bytes = max(4, (dtype.itemsize + 4) // 2), 4 if dtype.kind == "f" else 1
    check_counts(shape[0], math.prod(shape[1:]), path, image_bytes if header.images else table_bytes)


def _raw(header: Header, fill: Callable[[np.ndarray, int], None], path: Path | str, reading: Reading) -> Raw:
    """The samples of an array whose values come a block at a time: fill(block, start) writes those from flat index `start`."""
    shape, dtype, images = header.shape, header.dtype, header.images
    kept: Any = dtype.newbyteorder("=") if not images else np.float32 if dtype.kind == "f" else np.uint8
    flat = np.empty(math.prod(shape), kept)
    step = BLOCK // dtype.itemsize
    for start in range(0, flat.size, step):
        block = np.empty(min(step, flat.size - start), dtype)
        fill(block, start)
        with np.errstate(all="ignore"):  # odd kinds of NaN; float64 values too small for float32, which become 0
            _check_values(block, start, header, path)
            flat[start : start + block.size] = block
    values = flat.reshape(shape[::-1]).T if header.fortran else flat.reshape(shape)
    if not images:
        return from_numbers(values, _whole_lost(values), reading, path)
    rows = np.ascontiguousarray(values).reshape(shape[0], -1)
    if dtype.kind in "iu" and rows.max() <= 1:
        raise InputError(
            f"{path} holds whole numbers for images, taken as 0 (black) to 255 (white), but none is above 1; if 1 "
            f"means white, save them as bool or float."
        )
    return Raw(Image(shape[1:]), rows, 1 / 255 if dtype.kind in "iu" else 1.0)


def _npy_header(stream: BinaryIO, path: Path) -> tuple[Header, int]:
    """The header of the .npy format and its length in bytes; reads a bounded part of the stream, which is left behind it."""
    start = stream.read(10)
    if start[:6] != b"\x93NUMPY" or len(start) < 10 or start[6:8] not in (b"\1\0", b"\2\0"):
        raise InputError(f"{path} is not a .npy file of plain numbers, or its header is damaged.")
    if start[6] == 2:
        start += stream.read(2)
    length = int.from_bytes(start[8:], "little")
    if length > MAX_HEADER:
        raise InputError(f"{path} has a header of {length:,} bytes; that of a plain array is much shorter.")
    text = io.BytesIO(start[8:] + stream.read(length))
    parse = np.lib.format.read_array_header_1_0 if start[6] == 1 else np.lib.format.read_array_header_2_0
    with parsing(path, "has a damaged .npy header", why=False):
        shape, fortran, dtype = parse(text)
    return Header(shape, fortran, dtype), len(start) + length


def _check_values(block: np.ndarray, start: int, header: Header, path: Path | str) -> None:
    """Raise InputError, naming the place, unless every value of a block that begins at flat index `start` is usable."""
    images = header.images
    if block.dtype == bool or (images and block.dtype == np.uint8):
        return
    low, high = (-MAX_VALUE, MAX_VALUE) if not images else (0, 1 if block.dtype.kind == "f" else 255)
    good = (block >= np.float64(low)) & (block <= np.float64(high))  # false for NaN too
    if good.all():
        return
    first = int(good.argmin())
    place = np.unravel_index(start + first, header.shape, order="F" if header.fortran else "C")
    where = f"{'image' if images else 'row'} {place[0]}, " + (
        f"pixel ({place[1]}, {place[2]})" if images else f"column {place[1]}"
    )
    value = block[first]
    if not np.isfinite(value):
        remedy = "remove or fill in missing values"
    elif not images:
        remedy = f"values must lie within {MAX_VALUE:g}, so rescale the column"
    elif block.dtype.kind == "f":
        remedy = "grey values given as floats must lie in [0, 1], so rescale them"
    else:
        remedy = "grey values given as whole numbers must lie in 0..255, so rescale them to floats in [0, 1]"
    raise InputError(f"{path} holds {value} (counting from 0: {where}); {remedy}.")


def _whole_lost(values: np.ndarray) -> np.ndarray:
    """The largest rounding error of float64 per column of values (n, d): (d,). Only 64-bit whole numbers have any."""
    n, d = values.shape
    lost = np.zeros(d)
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        step = max(1, BLOCK // d)
        for i in range(0, n, step):
            x = values[i : i + step]
            high, low = x >> 32, x & 0xFFFFFFFF  # each of few bits, so that the differences below are exact
            moved = np.abs(x.astype(np.float64) - high * 2.0**32 - low)
            lost = np.maximum(lost, moved.max(axis=0))
    return lost
