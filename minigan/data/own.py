"""A person's own data: .npy, .npz, .csv or a folder of images, none of which is trusted.

Whatever a file claims is compared with its actual size before anything is allocated, values are checked block by block
as they are read, and nothing is ever unpickled.
"""

from __future__ import annotations

import csv
import io
import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import numpy as np

from minigan import memory
from minigan.data.files import BLOCK, opened, read_exactly
from minigan.data.scaling import FAR, storage
from minigan.errors import InputError, reason, short

IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm")
MAX_PIXELS = 4096 * 4096
"""Pixels of one image file: decoding this many stays well under 200 MB."""

MIN_SIDE = 16
"""Pixels that a shorter side counts as: however few a row has, it takes an address and is padded, in every copy."""

MAX_FEATURES = 1 << 20
"""Columns of a table or pixels of an image: more than a dense network can use."""

MAX_VALUE = 1e30
"""Largest magnitude in a table, so that float32 arithmetic on it can not overflow."""

MAX_NAME = 200
"""Characters in the name of a column."""

WHOLE = 1 << 53
"""Whole numbers up to this magnitude are exact in float64."""

MAX_LINE = 1 << 22
"""Characters in one line of a CSV file."""

MAX_HEADER = 10_000
"""Bytes in the header of an .npy file (NumPy's own limit)."""

FREE_EXPANSION, MAX_EXPANSION = 32 << 20, 100
"""An .npz entry may expand to 32 MiB, or to 100 times the size of the file: more is taken for a bomb."""

SMALLER = "give fewer samples or smaller ones"

MAX_DIRECTORY = 1 << 20
"""Bytes in the table of contents of an .npz file."""


@dataclass(frozen=True)
class Raw:
    """What a source holds: rows (n, prod(shape)); value = row * unit; no columns means images of shape (h, w)."""

    rows: np.ndarray
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    unit: float


def read(path: Path, image_size: int) -> Raw:
    """The data at `path`, by its suffix; a folder is a folder of images.

    Raises: InputError for anything that is not usable data.
    """
    if path.is_dir():
        return read_images(path, image_size)
    readers = {".npy": read_npy, ".npz": read_npz, ".csv": read_csv}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path} is of an unknown kind: give an .npy, .npz or .csv file or a folder of images.")
    return readers[path.suffix.lower()](path)


# --- NumPy files ------------------------------------------------------------------------------------------------------


def read_npy(path: Path) -> Raw:
    """An .npy file: (n, d) is a table, (n, h, w) are images."""
    with opened(path) as (file, size):
        return _read_array(file, size, path)


def read_npz(path: Path, key: str = "x") -> Raw:
    """The array `key` of an .npz file: (n, d) is a table, (n, h, w) are images."""
    with npz_entry(path, key) as (stream, size):
        return _read_array(stream, size, path)


@contextmanager
def npz_entry(path: Path, key: str) -> Iterator[tuple[BinaryIO, int]]:
    """The stream and the size of one array of an .npz file, which is a zip file of .npy files."""
    with opened(path) as (file, size):
        _check_zip_end(file, size, path)
        with _parsing(path, "is not a usable .npz file"), zipfile.ZipFile(file) as archive:
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


def _read_array(stream: BinaryIO, size: int, path: Path) -> Raw:
    """Interpret an array of the .npy format: size is that of the whole stream."""
    shape, fortran, dtype, header_size = _npy_header(stream, path)
    if dtype.hasobject:
        raise InputError(f"{path} holds Python objects, which are never unpickled; save a plain array of numbers.")
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise InputError(f"{path} holds values of type {short(dtype)}; save a plain array of numbers.")
    if len(shape) not in (2, 3):
        raise InputError(
            f"{path} holds an array of {len(shape)} dimensions; (n, d) is a table, (n, h, w) are grey images."
        )
    if min(shape) < 0 or max(shape) >= 1 << 63 or math.prod(shape) * dtype.itemsize != size - header_size:
        raise InputError(
            f"{path} is truncated or damaged: its header promises {short(shape)} values of type {dtype.name}, "
            f"but {size - header_size:,} bytes follow."
        )
    images = len(shape) == 3
    # a table is read in its own type, and it and what is stored of it are there at once
    stored = 1 if images and dtype.kind != "f" else 4 if images else max(4, (dtype.itemsize + 4) // 2)
    check_counts(shape[0], math.prod(shape[1:]), path, stored)
    kept: Any = dtype.newbyteorder("=") if not images else np.float32 if dtype.kind == "f" else np.uint8
    flat = np.empty(math.prod(shape), kept)
    step = BLOCK // dtype.itemsize
    for start in range(0, flat.size, step):
        block = np.empty(min(step, flat.size - start), dtype)
        read_exactly(stream, block.view(np.uint8).data, path)
        with np.errstate(all="ignore"):  # odd kinds of NaN; float64 values too small for float32, which become 0
            _check_values(block, start, shape, fortran, path)
            flat[start : start + block.size] = block
    with _parsing(path, "is damaged"):
        stream.read(1)  # meeting the end of a zip entry verifies its checksum
    values = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    if not images:
        columns = tuple(f"x{i}" for i in range(shape[1]))
        return _table(values, _whole_lost(values), columns, path)
    rows = np.ascontiguousarray(values).reshape(shape[0], -1)
    if dtype.kind in "iu" and rows.max() <= 1:
        raise InputError(
            f"{path} holds whole numbers for images, taken as 0 (black) to 255 (white), but none is above 1; if 1 "
            f"means white, save them as bool or float."
        )
    return Raw(rows, shape[1:], (), 1 / 255 if dtype.kind in "iu" else 1.0)


def _npy_header(stream: BinaryIO, path: Path) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """(shape, fortran order, type, bytes of header), from a bounded part of the stream, which is left behind it."""
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
    with _parsing(path, "has a damaged .npy header", why=False):
        shape, fortran, dtype = parse(text)
    return shape, fortran, dtype, len(start) + length


def _check_values(block: np.ndarray, start: int, shape: tuple[int, ...], fortran: bool, path: Path) -> None:
    """Raise InputError, naming the place, unless every value of a block that begins at flat index `start` is usable."""
    images = len(shape) == 3
    if block.dtype == bool or (images and block.dtype == np.uint8):
        return
    low, high = (-MAX_VALUE, MAX_VALUE) if not images else (0, 1 if block.dtype.kind == "f" else 255)
    good = (block >= np.float64(low)) & (block <= np.float64(high))  # false for NaN too
    if good.all():
        return
    first = int(good.argmin())
    place = np.unravel_index(start + first, shape, order="F" if fortran else "C")
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


# --- CSV --------------------------------------------------------------------------------------------------------------


def read_csv(path: Path) -> Raw:
    """A table of numbers: a header that names the columns, then a row per sample; `,`, `;` or tab between cells."""
    with opened(path) as (file, _), io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        try:
            lines = _lines(text, path)
            header = next(lines, "")
            delimiter = max(",;\t", key=header.count)
            columns = _header(header, delimiter, path)
            blocks, size, lost = [], 0, np.zeros(len(columns))
            for first, block in _line_blocks(lines):
                rows = _csv_rows(block, first, delimiter, columns, path)
                if (np.abs(rows) >= WHOLE).any():
                    lost = np.maximum(lost, _cells_lost(block, delimiter, len(columns)))
                blocks.append(rows)
                size += rows.nbytes
                memory.require(size, f"{path}, of which {size:,} bytes of values have been read,", SMALLER)
        except UnicodeDecodeError:
            raise InputError(f"{path} is not UTF-8 text; save the table as CSV in UTF-8.") from None
    check_counts(sum(map(len, blocks)), len(columns), path, 0)
    values = np.concatenate(blocks)
    blocks.clear()  # its memory is needed
    return _table(values, lost, columns, path)


def _lines(text: TextIO, path: Path) -> Iterator[str]:
    """The lines of a text, each of bounded length and with its quotes closed."""
    number = 0
    while line := text.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise InputError(f"{path}: line {number} is longer than {MAX_LINE:,} characters.")
        if '"' in line and line.count('"') % 2:
            raise InputError(f"{path}: line {number} opens a quote that it does not close.")
        yield line


def _line_blocks(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """The lines after the header in blocks of about BLOCK characters, each with the number of its first line."""
    number, block, size = 2, [], 0
    for line in lines:
        block.append(line)
        size += len(line)
        if size >= BLOCK:
            yield number, block
            number, block, size = number + len(block), [], 0
    if block:
        yield number, block


def _csv_rows(lines: list[str], first: int, delimiter: str, columns: tuple[str, ...], path: Path) -> np.ndarray:
    """The rows (n, columns) of a block of lines, float64; blank lines are left out."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # about blocks of nothing but blank lines
            rows = np.loadtxt(lines, np.float64, comments=None, delimiter=delimiter, quotechar='"', ndmin=2)
        if not rows.size:
            return rows.reshape(0, len(columns))
        why = "" if rows.shape[1] == len(columns) and (np.abs(rows) <= MAX_VALUE).all() else "its values are unusable"
    except (ValueError, OverflowError) as error:
        why = reason(error)
    if why:  # the fast way says that something is wrong; the slow one says where
        fault = _csv_fault(lines, first, delimiter, columns) or f"after line {first - 1}: {why}"
        raise InputError(f"{path}: {fault}.")
    return rows


def _cells_lost(lines: list[str], delimiter: str, columns: int) -> np.ndarray:
    """By how much float64 moves the whole numbers in each column of a block of lines, at most (columns,)."""
    lost = [0] * columns
    for line in lines:
        for j, cell in enumerate(next(csv.reader([line], delimiter=delimiter))):
            with suppress(ValueError):  # no whole number
                lost[j] = max(lost[j], abs(int(cell) - int(float(cell))))
    return np.array(lost, np.float64)


def _header(line: str, delimiter: str, path: Path) -> tuple[str, ...]:
    """The names of the columns."""
    try:
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error as error:
        raise InputError(f"{path}: the header cannot be read: {reason(error)}.") from None
    if not any(names):
        raise InputError(f"{path} has no header: the first line must name the columns.")
    seen: set[str] = set()
    for i, name in enumerate(names):
        if not name:
            raise InputError(
                f"{path}: column {i + 1} has no name in the header; name it, or leave it out (pandas: index=False)."
            )
        if not is_name(name):
            raise InputError(f"{path}: column {i + 1} of the header is no name: {short(name)}.")
        if name in seen:
            raise InputError(f"{path}: the header names column {short(name)} twice.")
        seen.add(name)
    counted = names == [str(i) for i in range(len(names))]  # what pandas writes for an array without names
    if not counted and all(_number(name) is not None for name in names):
        raise InputError(f"{path} has no header: the first line must name the columns, but it holds numbers.")
    return tuple(names)


def is_name(text: str) -> bool:
    """Whether a column may be called so: it fits on a line of a terminal, a picture and a file."""
    return 0 < len(text) <= MAX_NAME and text.isprintable()  # so without lone surrogates, which no file can hold


def _number(cell: str) -> float | None:
    """The value of a cell, or None when it is not a number."""
    try:
        return float(cell) if cell.isascii() and "_" not in cell else None
    except ValueError:
        return None


def _csv_fault(lines: list[str], first: int, delimiter: str, columns: tuple[str, ...]) -> str | None:
    """The first thing wrong in a block of lines."""
    for number, line in enumerate(lines, start=first):
        if not line.strip("\r\n"):
            continue
        try:
            cells = next(csv.reader([line], delimiter=delimiter))
        except csv.Error as error:
            return f"line {number} cannot be read: {reason(error)}"
        if len(cells) != len(columns):
            return f"line {number} has {len(cells)} cells, but the header names {len(columns)} columns"
        for name, cell in zip(columns, cells, strict=True):
            value, where = _number(cell), f"line {number}, column {short(name)},"
            if not cell.strip():
                return f"{where} is empty; fill in or remove missing values"
            if value is None:
                return f"{where} holds {short(cell)!r}, which is not a number"
            if not abs(value) <= MAX_VALUE:
                return f"{where} holds {short(cell)}; values must be finite and within {MAX_VALUE:g}"
    return None


# --- images -----------------------------------------------------------------------------------------------------------


def read_images(folder: Path, size: int) -> Raw:
    """Every image directly in a folder, in the order of their names, as `size` x `size` grey pixels."""
    try:
        paths = sorted(
            p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "." and not p.is_dir()
        )
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {reason(error)}.") from None
    if not paths:
        kinds = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
        raise InputError(f"{folder} holds no images ({kinds}); subfolders are not searched.")
    check_counts(len(paths), size * size, folder, 1)
    rows = np.empty((len(paths), size * size), np.uint8)
    for row, path in zip(rows, paths, strict=True):
        row[:] = read_image(path, size).reshape(-1)
    return Raw(rows, (size, size), (), 1 / 255)


def read_image(path: Path, size: int) -> np.ndarray:
    """An image file as (size, size) uint8: upright, on white where transparent, grey, centre-cropped, resized."""
    from PIL import Image, ImageOps  # here, because only this function needs it and importing it takes a while

    with opened(path) as (file, _), _parsing(path, "is not a usable image, so remove or replace it"):
        if file.read(4) in (b"II*\0", b"MM\0*"):  # its decoders write to standard error by themselves
            raise InputError(f"{path} is a TIFF, which is not read; convert it to PNG.")
        file.seek(0)
        image: Any = Image.open(file, formats=IMAGE_FORMATS)
        # only the header has been read so far; decoding these two takes twice the memory
        most = MAX_PIXELS // 2 if image.format == "WEBP" or image.mode == "I" else MAX_PIXELS
        if max(image.width, MIN_SIDE) * max(image.height, MIN_SIDE) > most:
            raise InputError(
                f"{path} claims {image.width:,} x {image.height:,} pixels; at most {most:,} are read, and the longer side is at "
                f"most {most // MIN_SIDE:,}, so shrink it first."
            )
        image.draft("L", (size, size))  # lets the JPEG decoder skip detail that would be thrown away
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode == "I" or image.mode.startswith("I;16"):  # 16-bit PNG and PGM
            image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))  # convert("L") would clip
        elif image.mode == "F":
            raise InputError(f"{path} holds floats of no known range; convert it to 8-bit grey.")
        elif image.has_transparency_data:
            image = image if image.mode == "RGBA" else image.convert("RGBA")
            page = Image.new("L", image.size, "white")
            page.paste(image.convert("L"), mask=image.getchannel("A"))
            image = page
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.convert("L").crop((left, top, left + side, top + side))
        return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


# --- shared -----------------------------------------------------------------------------------------------------------


def check_counts(n: int, d: int, path: Path, stored: int) -> None:
    """Raise InputError unless n samples of d values, of `stored` bytes each, are something to train on and fit into memory."""
    if n < 5:
        raise InputError(f"{path} holds {n or 'no'} samples; at least 5 are needed, of which a fifth is held out.")
    if not 1 <= d <= MAX_FEATURES:
        raise InputError(f"{path} holds samples of {d:,} values; they must have between 1 and {MAX_FEATURES:,}.")
    memory.require(2 * n * d * stored, f"{path}, read and divided into parts,", SMALLER)


def _table(values: np.ndarray, lost: np.ndarray, columns: tuple[str, ...], path: Path) -> Raw:
    """A table of values (n, d) of any type, `lost` (d,) being by how much float64 moves those of a column.

    Raises: InputError where that is too much for a column's spread, as it would be in float32 (see `scaling.FAR`).
    """
    with np.errstate(all="ignore"):  # values too small for float32, which become 0
        dtype, scale = storage(values)
        bad = lost > FAR * 2.0**-24 * scale
        if bad.any():
            j = int(bad.argmax())
            raise InputError(
                f"{path}: column {short(columns[j])} holds whole numbers beyond 2^53 = {WHOLE:,} that float64 moves by up "
                f"to {lost[j]:.0f}, too much for a spread of {scale[j]:.3g}; subtract a number from the column, or leave it out."
            )
        memory.require(values.size * np.dtype(dtype).itemsize, f"{path}, divided into parts,", SMALLER)
        return Raw(np.ascontiguousarray(values, dtype), (len(columns),), columns, 1.0)


def _whole_lost(values: np.ndarray) -> np.ndarray:
    """By how much float64 moves the values (n, d) of each column at most, (d,); only 64-bit whole numbers have too many digits."""
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


@contextmanager
def _parsing(path: Path, what: str, why: bool = True) -> Iterator[None]:
    """Around code of other libraries that parses untrusted bytes: they raise nearly every class of exception."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities; what matters raises
            yield
    except InputError:
        raise
    except Exception as error:
        said = ": " + reason(error).split(" <_io")[0] if why else ""  # Pillow shows the file object
        raise InputError(f"{path} {what}{said}.") from None
