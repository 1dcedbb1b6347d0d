"""IDX, the format of MNIST: 0, 0, type, number of dimensions, each dimension as a big-endian uint32, the values."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from minigan.data.files import DEFLATE_LIMIT, opened, read_exactly
from minigan.errors import InputError, reason

UNSIGNED_BYTE = 8
GZIP_MAGIC = b"\x1f\x8b"


def read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The uint8 array of `shape` in an IDX file, plain or gzip-compressed (told apart by content, not by name).

    The header must declare exactly `shape`, and the values must end there: no more of a gzip bomb is read.

    Raises: InputError for anything else.
    """
    with opened(path) as (file, size):
        compressed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        header_size, count = 4 + 4 * len(shape), math.prod(shape)
        too_small = header_size + count > (DEFLATE_LIMIT * size if compressed else size)
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if compressed else file
        try:
            _check_header(stream.read(header_size), shape, path)
            if too_small:
                raise InputError(f"{path} is truncated: it is too short for {words(shape)} values.")
            values = np.empty(count, np.uint8)
            read_exactly(stream, values.data, path)
            if stream.read(1):  # for gzip, meeting the end also verifies the checksum
                raise InputError(f"{path} is damaged: it goes on after its {words(shape)} values.")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{path} is damaged: {reason(error)}.") from None
    return values.reshape(shape)


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
