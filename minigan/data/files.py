"""Opening files that nobody vouches for: everything that goes wrong becomes one sentence naming the file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from minigan.errors import InputError

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


def reason(error: BaseException) -> str:
    """The first line of what an exception says, for use inside a sentence."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return short(text.splitlines()[0].rstrip(".") if text.strip() else type(error).__name__, 160)


def short(value: object, limit: int = 60) -> str:
    """`value` as text of bounded length, printable on one line."""
    text = str(value)
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    return text if text.isprintable() else ascii(text)[1:-1][: 2 * limit]
