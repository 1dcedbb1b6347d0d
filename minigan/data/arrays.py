"""Arrays of numbers, from .npy and .npz files and from memory: (n, d) is a table, others are images (`pixels.py`) or clips
(`clips.py`), unless a person says that they are signals (`series.py`)."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from minigan.data import clips, labels, pixels, series
from minigan.data.files import BLOCK, opened, read_exactly
from minigan.data.labels import Labels
from minigan.data.raw import MAX_VALUE, Raw, check_counts, parsing
from minigan.data.reading import Reading
from minigan.data.tables import from_numbers
from minigan.errors import InputError, short

MAX_HEADER = 10_000
"""Bytes in the header of an .npy file (NumPy's own limit)."""

FREE_EXPANSION, MAX_EXPANSION = 32 << 20, 100
"""An .npz entry may expand to 32 MiB, or to 100 times the size of the file: more is treated as a decompression bomb."""

MAX_DIRECTORY = 1 << 20
"""Bytes in the table of contents of an .npz file."""

MAX_LABELS = 1 << 28
"""Bytes of labels: words of thirty letters for two million samples."""

SAMPLES = ("x", "x_train", "images", "train_images", "data", "arr_0")
"""What arrays of samples are called in .npz files, in capitals too; the first of these is read."""

IMAGES = ("image_size", "color")
"""How images are read; runs of earlier versions may have a size in pixels that arrays do not need."""

LABELS = ("y", "y_train", "labels", "label", "targets", "target", "train_labels", "train_label")
"""What arrays of labels are called beside them. Without names NumPy calls a second array arr_1."""


@dataclass(frozen=True)
class Header:
    """What an array is before its values are read; fortran: the first index varies fastest; kind: what its samples are."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    kind: str = "table"

    @property
    def images(self) -> bool:
        """Whether its values are those of pixels, in arrays that have rows and columns for them."""
        return self.kind == "image" or (self.kind == "clip" and len(self.shape) > 2)


def kind_of(shape: tuple[int, ...], reading: Reading, name: Path | str) -> str:
    """What the samples of an array of this shape are. Raises: InputError, naming `name`, where it holds none that are known."""
    if series.told(shape, reading):
        return "signal"
    if clips.told(shape, reading):
        return "clip"
    if len(shape) == 2:
        return "table"
    if pixels.layout(shape, name) is not None:
        return "image"
    if len(shape) == 4:
        return "clip"
    raise InputError(
        f"{name} holds an array of {len(shape)} dimensions and shape {short(shape)}; (n, d) is a table, (n, h, w) are grey "
        f"images, (n, h, w, 3) or (n, 3, h, w) colour images, (n, t, h, w) clips."
    )


def read_npy(path: Path, reading: Reading) -> Raw:
    """The array of an .npy file."""
    with opened(path) as (file, size):
        return _read_array(file, size, path, reading)


def read_npz(path: Path, reading: Reading) -> Raw:
    """The samples of an .npz file, with their labels where it has them under a usual name; what else it holds is noted."""
    chosen = choice(npz_names(path), path)
    with npz_entry(path, chosen.samples) as (stream, size):
        raw = _read_array(stream, size, path, reading)
    left_out = list(chosen.others)
    if chosen.labels:
        try:
            raw = _read_labels(path, chosen.labels, len(raw.rows)).beside(raw)
        except ValueError as why:
            left_out.insert(0, f"{chosen.labels} ({why})")
    if left_out or chosen.samples != SAMPLES[0]:
        named = f"samples from {short(chosen.samples)}"
        named += f", labels from {chosen.labels}" if raw.labels is not None else ""
        unread = "; not read: " + ", ".join(short(name, 160) for name in left_out[:8]) if left_out else ""
        raw = replace(raw, notes=(*raw.notes, f"{path}: {named}{unread}"))
    return raw


def read_header(path: Path, reading: Reading) -> Header:
    """The header of an .npy file, or of the samples of an .npz file, without its values. Raises: InputError."""
    npz = path.suffix.lower() == ".npz"
    with npz_entry(path, choice(npz_names(path), path).samples) if npz else opened(path) as (stream, size):
        return _checked_header(stream, size, path, reading)


def from_array(values: np.ndarray, reading: Reading, name: str = "the array") -> Raw:
    """An array in memory, checked as one in a file is. Raises: InputError, whose sentence begins with `name`."""
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(f"{name} is masked; fill in or remove missing values, and give a plain array.")
    header = _check_header(Header(values.shape, False, values.dtype), name, reading)
    _check_size(header, reading, name)
    flat = np.ascontiguousarray(values).reshape(-1)

    def fill(block: np.ndarray, start: int) -> None:
        block[:] = flat[start : start + block.size]

    return _raw(header, fill, name, reading)


def family(path: Path, reading: Reading) -> str:
    """The recipes for what is in a file, from its header. Raises: InputError."""
    kind = read_header(path, reading).kind
    return "image" if kind == "table" and pixels.is_shape(reading.shape) else kind


class Choice(NamedTuple):
    """What is read of an .npz file: the names of its samples, of their labels ("" where there are none), and of other arrays."""

    samples: str
    labels: str
    others: tuple[str, ...]


def choice(names: Sequence[str], path: Path) -> Choice:
    """Which of the arrays of an .npz file are read. Raises: InputError where no name says which are the samples."""
    known = {name.lower(): name for name in reversed(names)}
    unknown = [name for name in names if name.lower() not in LABELS]
    samples = next((known[name] for name in SAMPLES if name in known), unknown[0] if len(unknown) == 1 else None)
    if samples is None:
        found = ", ".join(short(name, 30) for name in names[:8]) or "no arrays at all"
        raise InputError(f"{path} has no array 'x' (it has: {found}); save it with np.savez(path, x=x).")
    wanted = (*LABELS, "arr_1") if samples.lower() == "arr_0" else LABELS
    label = next((known[name] for name in wanted if name in known and known[name] != samples), "")
    return Choice(samples, label, tuple(name for name in names if name not in (samples, label)))


def npz_names(path: Path) -> list[str]:
    """The names of the arrays of an .npz file. Raises: InputError."""
    with _archive(path) as (archive, _):
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _read_labels(path: Path, key: str, n: int) -> Labels:
    """The labels of n samples from an .npz file.

    Raises: ValueError, whose text says why they are none; InputError where the file is damaged.
    """
    with npz_entry(path, key) as (stream, size):
        header, length = _npy_header(stream, path)
        body = size - length
    labels.check_type(header.shape, header.dtype, n)
    if n * header.dtype.itemsize != body:
        raise InputError(
            f"{path} is damaged: {short(key)} has {body:,} bytes of values where {header.shape} are promised."
        )
    values = np.empty(n, header.dtype)
    with npz_entry(path, key) as (stream, _):
        stream.read(length)
        read_exactly(stream, values.view(np.uint8).data, path)
        stream.read(1)  # meeting the end of a zip entry verifies its checksum
    return labels.from_values(values.astype(values.dtype.newbyteorder("=")), n)


@contextmanager
def _archive(path: Path) -> Iterator[tuple[zipfile.ZipFile, int]]:
    """An open .npz file, which is a zip file of .npy files, and its size."""
    with opened(path) as (file, size):
        _check_zip_end(file, size, path)
        with parsing(path, "is not a usable .npz file"), zipfile.ZipFile(file) as archive:
            yield archive, size


@contextmanager
def npz_entry(path: Path, key: str) -> Iterator[tuple[BinaryIO, int]]:
    """The stream and the size of one array of an .npz file."""
    with _archive(path) as (archive, size):
        entry = archive.getinfo(f"{key}.npy")
        # other methods can not be read piecewise: a bomb would expand at once
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise InputError(f"{path}: {short(key)!r} is encrypted or compressed in a way that NumPy never writes.")
        if entry.file_size > max(FREE_EXPANSION, MAX_EXPANSION * size):
            raise InputError(
                f"{path}: {short(key)!r} claims to expand from {size:,} to {entry.file_size:,} bytes, as decompression "
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
    header = _checked_header(stream, size, path, reading)
    _check_size(header, reading, path)

    def fill(block: np.ndarray, start: int) -> None:
        read_exactly(stream, block.view(np.uint8).data, path)
        if start + block.size == math.prod(header.shape):
            with parsing(path, "is damaged"):
                stream.read(1)  # meeting the end of a zip entry verifies its checksum

    return _raw(header, fill, path, reading)


def _checked_header(stream: BinaryIO, size: int, path: Path, reading: Reading) -> Header:
    """The header of an array that can be used, and that has as many bytes of values as it promises."""
    header, length = _npy_header(stream, path)
    return _check_header(header, path, reading, size - length)


def _check_header(header: Header, path: Path | str, reading: Reading, size: int | None = None) -> Header:
    """The header with the kind of its samples; size: bytes of its values in a file. Raises: InputError unless they are something
    to train on."""
    shape, dtype = header.shape, header.dtype
    if dtype.hasobject:
        raise InputError(f"{path} holds Python objects, which are never unpickled; save a plain array of numbers.")
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise InputError(f"{path} holds values of type {short(dtype)}; save a plain array of numbers.")
    kind = kind_of(shape, reading, path)
    possible = min(shape) >= 0 and max(shape) < 1 << 63
    if size is not None and not (possible and math.prod(shape) * dtype.itemsize == size):
        raise InputError(
            f"{path} is truncated or damaged: its header promises {short(shape)} values of type {dtype.name}, "
            f"but {size:,} bytes follow."
        )
    return replace(header, kind=kind)


def _check_size(header: Header, reading: Reading, path: Path | str) -> None:
    """Raise InputError unless an array has samples enough to train on and fits into memory."""
    shape, dtype = header.shape, header.dtype
    if header.images or (pixels.is_shape(reading.shape) and dtype.itemsize == 1):
        stored = 4 if dtype.kind == "f" else 1
    else:  # a table is read in its own type, and both it and its stored rows are in memory for a moment
        stored = max(4, (dtype.itemsize + 4) // 2)
    check_counts(shape[0], math.prod(shape[1:]), path, stored)


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
    if header.kind == "signal":
        return series.from_array(values, reading, path)
    if header.kind == "clip":
        return clips.from_array(values.astype(bool) if dtype.kind == "b" else values, reading, path)
    if not images and pixels.is_shape(reading.shape):
        reading.only(path, "an array of flat images", "shape", *IMAGES)
        return pixels.from_rows(values, None, reading, path)
    if not images:
        raw = from_numbers(values, _whole_lost(values), reading, path)
        hint = pixels.hint(values)
        return replace(raw, notes=(f"{path}: {hint}", *raw.notes)) if hint else raw
    reading.only(path, "an array of images", *IMAGES)
    found = pixels.layout(shape, path)
    assert found is not None
    if dtype.kind in "iu":
        pixels.check_bright(values, path)
    return pixels.finished(found.rows(values), found, 1 / 255 if dtype.kind in "iu" else 1.0, reading, path)


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
    if header.kind == "table" and block.dtype.kind == "f":
        good |= np.isnan(block)  # missing
    if good.all():
        return
    first = int(good.argmin())
    place = np.unravel_index(start + first, header.shape, order="F" if header.fortran else "C")
    inside = ", ".join(map(str, place[1:]))
    where = f"image {place[0]}, pixel ({inside})" if images else f"row {place[0]}, column {inside}"
    where = f"clip {place[0]}, pixel ({inside})" if header.kind == "clip" else where
    where = f"signal {place[0]}, value ({inside})" if header.kind == "signal" else where
    value = block[first]
    if not np.isfinite(value):
        table = header.kind == "table"
        remedy = "values must be finite, or nan where they are missing" if table else "remove or fill in missing values"
    elif not images:
        remedy = f"values must lie within {MAX_VALUE:g}, so rescale them"
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
