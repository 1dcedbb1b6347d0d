"""Files on disk: whole or not at all on writing, bounded on reading."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from minigan.errors import InputError

MAX_JSON = 1 << 20
"""Largest JSON file read, in bytes: a configuration has about two thousand."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; on leaving without error it is synced to disk and takes the place of `path`.

    A crash at any moment leaves the old file or the new one, never a part. Raises: OSError.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".tmp{path.suffix}", dir=path.parent)
    temporary = Path(name)
    try:
        os.close(handle)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes 0600; follow the user's umask as open() would
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except BaseException:
        with suppress(OSError):  # what went wrong first is the news
            temporary.unlink(missing_ok=True)
        raise


def remove_temporaries(path: Path) -> None:
    """Remove what a killed process left of writing `path`, whose name may be a pattern. Raises: OSError."""
    for temporary in path.parent.glob(f".{path.name}.*.tmp*"):
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file atomically. Raises: OSError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write sorted, indented JSON atomically. Raises: OSError."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """An open file. Raises: InputError, for a pipe and for an operating system's error inside the `with`."""
    try:
        if path.is_fifo():
            raise InputError(f"{path}: is a pipe, not a file.")  # opening it could mean to wait for ever
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None


def read_json(path: Path) -> Any:
    """Parse a small JSON file. Raises: InputError if it cannot be read, is too large or is not JSON."""
    with reading(path) as file:
        content = file.read(MAX_JSON + 1)
    if len(content) > MAX_JSON:
        raise InputError(f"{path}: larger than {MAX_JSON} bytes, so it is no minigan JSON file.")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({str(error)[:80]}).") from None


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_directory(directory: Path) -> None:
    """Make the new name itself durable; systems that cannot open or sync a directory do without. Raises: OSError."""
    try:
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP):
            raise
