"""IDX, the format of MNIST: 0, 0, type, number of dimensions, each dimension as a big-endian uint32, the values."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from minigan.data import labels, pixels
from minigan.data.files import DEFLATE_LIMIT, opened, read_exactly
from minigan.data.raw import Raw, check_counts
from minigan.data.reading import Reading
from minigan.errors import InputError, quoted, reason, short

UNSIGNED_BYTE = 8
GZIP_MAGIC = b"\x1f\x8b"

MAX_DIMENSIONS = 4
"""Dimensions of images in colour; one of bytes that is read as an IDX file has as many at most."""


def read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The uint8 array of `shape` in an IDX file, plain or gzip-compressed (told apart by content, not by name).

    The header must declare exactly `shape`, and the values must end there: no more of a gzip bomb is read.

    Raises: InputError for anything else.
    """
    with _stream(path) as (stream, most):
        header_size, count = 4 + 4 * len(shape), math.prod(shape)
        _check_header(stream.read(header_size), shape, path)
        if header_size + count > most:
            raise InputError(f"{path} is truncated: it is too short for {words(shape)} values.")
        values = np.empty(count, np.uint8)
        read_exactly(stream, values.data, path)
        if stream.read(1):  # for gzip, meeting the end also verifies the checksum
            raise InputError(f"{path} is damaged: it goes on after its {words(shape)} values.")
    return values.reshape(shape)


@contextmanager
def _stream(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The bytes of a file, decompressed where it is a gzip file, and how many there can be at most.

    Raises: InputError, also for damaged ones inside the block.
    """
    with opened(path) as (file, size):
        compressed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        try:
            if compressed:
                yield cast(BinaryIO, gzip.GzipFile(fileobj=file)), DEFLATE_LIMIT * size
            else:
                yield file, size
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{path} is damaged: {reason(error)}.") from None


def shape_of(path: Path) -> tuple[int, ...] | None:
    """The shape that a file declares, if it begins as an IDX file of unsigned bytes does. Raises: InputError."""
    with _stream(path) as (stream, _):
        start = stream.read(4)
        if len(start) < 4 or start[:3] != bytes([0, 0, UNSIGNED_BYTE]) or not 1 <= start[3] <= MAX_DIMENSIONS:
            return None
        sizes = stream.read(4 * start[3])
    return tuple(np.frombuffer(sizes, ">u4").tolist()) if len(sizes) == 4 * start[3] else None


def recognised(path: Path) -> bool:
    """Whether a file is an IDX file, by its first bytes."""
    try:
        return path.is_file() and shape_of(path) is not None
    except InputError:
        return False


def read_own(path: Path, reading: Reading) -> Raw:
    """The images of an IDX file, with the labels of the file beside it that has the same name but for that."""
    reading.only(path, "an IDX file", "image_size", "color")
    shape = shape_of(path)
    found = None if shape is None else pixels.layout(shape, path)
    if shape is not None and len(shape) == 1:
        raise InputError(f"{path} holds labels; give the file of the images, and its labels are found by their name.")
    if shape is None or found is None:
        raise InputError(f"{path} is no IDX file of images, which begins with 00 00 08 03, or is damaged.")
    check_counts(shape[0], math.prod(shape[1:]), path, 1)
    values, lying = read(path, shape), "emnist" in path.name.lower() and len(shape) == 3
    if lying:
        values, found = np.swapaxes(values, 1, 2), replace(found, shape=found.shape[::-1])
    unit = (
        1 / 255 if values.max() > 1 else 1.0
    )  # bytes of 0 and 1 are black and white: the format has no other type for them
    raw = pixels.finished(found.rows(values), found, unit, reading, path)
    if lying:
        raw = replace(
            raw, notes=(*raw.notes, "EMNIST's files hold images that lie on their side: rows and columns are exchanged")
        )
    return _labelled(raw, path)


def _labelled(raw: Raw, path: Path) -> Raw:
    """Images with the labels in the file beside theirs, if there is one."""
    beside = labels_beside(path)
    if beside is None:
        return raw
    try:
        shape = shape_of(beside)
        if shape != (len(raw.rows),):
            raise ValueError(
                f"it holds {'no labels' if shape is None else words(shape)}, and there are {len(raw.rows):,} images"
            )
        return labels.from_values(read(beside, shape), len(raw.rows)).beside(raw)
    except ValueError as why:
        return replace(raw, notes=(*raw.notes, f"{beside} is not read as labels: {why}"))


def labels_beside(path: Path) -> Path | None:
    """The file of the labels that belong to a file of images, by its name: train-images-idx3-ubyte, train-labels-idx1-ubyte."""
    name = path.name.removesuffix(".gz")
    other = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    if other == name:
        return None
    return next((p for end in ("", ".gz") if (p := path.with_name(other + end)).is_file()), None)


def images_in(folder: Path) -> list[Path]:
    """The IDX files of images in a folder, in the order of their names. Raises: InputError."""
    try:
        files = sorted(path for path in folder.iterdir() if "idx" in path.name and "images" in path.name)
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {reason(error)}.") from None
    return [path for path in files if recognised(path)]


def read_folder(folder: Path, reading: Reading) -> Raw:
    """The images of the only IDX file in a folder, or of the only one for training.

    Raises: InputError where there are several.
    """
    files = images_in(folder)
    training = [path for path in files if "train" in path.name]
    chosen = files if len(files) == 1 else training
    if len(chosen) != 1:
        names = ", ".join(short(path.name) for path in files[:6])
        raise InputError(
            f"{folder} holds several IDX files of images ({names}); give one, as in --data {quoted(files[0])}."
        )
    raw = read_own(chosen[0], reading)
    others = ", ".join(short(path.name) for path in files if path != chosen[0])
    return replace(raw, notes=(*raw.notes, f"not read: {others}")) if others else raw


def words(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{n:,}" for n in shape)


def _check_header(header: bytes, shape: tuple[int, ...], path: Path) -> None:
    if len(header) < 4 or header[:2] != b"\0\0" or header[2] != UNSIGNED_BYTE:
        little = len(header) >= 4 and header[2:4] == b"\0\0" and header[1] == UNSIGNED_BYTE
        why = "its header is little-endian" if little else f"it starts with {header[:4].hex(' ') or 'nothing'}"
        raise InputError(
            f"{path} is not an IDX file of unsigned bytes: {why} where 00 00 08 0{len(shape)} is expected."
        )
    if header[3] != len(shape) or len(header) < 4 + 4 * len(shape):
        raise InputError(f"{path} holds {header[3]} dimensions where {len(shape)} are expected: {words(shape)}.")
    found = tuple(int(n) for n in np.frombuffer(header[4:], ">u4"))
    if found != shape:
        raise InputError(f"{path} says that it holds {words(found)} values where {words(shape)} are expected.")
