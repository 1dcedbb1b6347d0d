"""Opening files that nobody vouches for: everything that goes wrong becomes one sentence naming the file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from minigan.errors import InputError, reason

BLOCK = 1 << 20
"""Bytes read at a time, so that a file is found to be short before much memory is touched."""

DEFLATE_LIMIT = 1032
"""Deflate can not expand a file by more than this factor, so a header that promises more is a lie."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """An open regular file and its size in bytes.

    Raises: InputError when it can not be opened, is no regular file or is empty, and for an operating system's error
    while it is read inside the `with` block.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # a pipe or a terminal would make us wait for ever
            raise InputError(f"{path} is not a regular file.")
        if status.st_size == 0:
            raise InputError(f"{path} is empty.")
        with open(path, "rb") as file:
            yield file, status.st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}.") from None


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
