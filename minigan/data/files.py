"""Reading untrusted files: every error becomes one sentence that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from minigan.errors import InputError
from minigan.files import reading

BLOCK = 1 << 20
"""Bytes read at a time, so that a file is found to be short before much memory is touched."""

DEFLATE_LIMIT = 1032
"""The largest factor by which deflate can expand a file: a header that promises more is wrong."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """As `minigan.files.reading`, for a file that is not empty. Raises: InputError."""
    with reading(path) as (file, size):
        if size == 0:
            raise InputError(f"{path} is empty.")
        yield file, size


def read_exactly(stream: BinaryIO, target: memoryview, path: Path) -> None:
    """Fill `target` (bytes) from `stream`, a block at a time.

    Raises: InputError when the stream ends first.
    """
    at = 0
    while at < len(target):
        block = stream.read(min(BLOCK, len(target) - at))
        if not block:
            raise InputError(f"{path} is truncated: {len(target):,} bytes of values were expected, {at:,} are there.")
        target[at : at + len(block)] = block
        at += len(block)
