"""Files on disk: written atomically, read with bounds."""

from __future__ import annotations

import errno
import glob
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from minigan.errors import InputError

MAX_JSON = 1 << 20
"""Largest JSON file read, in bytes: a configuration has about two thousand."""


_held: dict[str, tuple[int | None, tuple[int, int]]] = {}
"""Directories into which a run of this process writes, by absolute path: an open handle, so that the inode is not reused
while the directory is held, and (device, inode)."""


def hold(directory: Path, *, lock: bool) -> bool:
    """Hold a directory for this process: until `let_go`, `ours` refuses paths in another directory that replaced it.

    Returns: False where another process has locked it. Raises: OSError.
    """
    try:
        handle = os.open(directory, os.O_RDONLY)
    except PermissionError:  # no right to list it, or a system that opens no directories
        handle = None
    if handle is not None and lock and not claim(handle):
        os.close(handle)
        return False
    status = os.stat(directory) if handle is None else os.fstat(handle)
    _held[os.path.abspath(directory)] = handle, (status.st_dev, status.st_ino)
    return True


def let_go(directory: Path) -> None:
    """Release a directory that was held. Raises: OSError."""
    handle, _ = _held.pop(os.path.abspath(directory))
    if handle is not None:
        os.close(handle)


def ours(path: Path) -> Path:
    """`path`, to be called just before it is written or removed: checks that its directory, if held, is still the same one.

    Raises: OSError, with ESTALE where another directory has taken its place.
    """
    held = _held.get(os.path.abspath(path.parent))
    if held is not None:
        now = os.stat(path.parent)
        if (now.st_dev, now.st_ino) != held[1]:
            raise OSError(errno.ESTALE, "another directory has taken its place", str(path.parent))
    return path


def claim(handle: int) -> bool:
    """Lock an open file or directory until it is closed; False where another process has. Without locks all succeed."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # a system, or a file system, without such locks
        pass
    return True


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary file beside `path`; on leaving without error it is synced to disk and replaces `path`.

    A crash at any moment leaves the old file or the new one, never a part. Temporary files that a killed process left when it
    wrote the same file are removed. Raises: OSError.
    """
    if _is_device(path):
        raise OSError(errno.EEXIST, "is a device, not a file", str(path))
    remove_temporaries(path.parent, glob.escape(path.name))
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".tmp{path.suffix}", dir=ours(path).parent)
    temporary = Path(name)
    try:
        with open(handle, "wb") as file:
            claim(handle)  # so that `remove_temporaries` of another process leaves it
            yield file
            file.flush()
            os.fsync(handle)
        ours(path)  # before the temporary file is looked for, in whichever directory is there now
        os.chmod(temporary, 0o666 & ~umask())  # mkstemp makes 0600; follow the user's umask as open() would
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink(missing_ok=True)
        raise


def _is_device(path: Path) -> bool:
    """Whether a path is a device, which a superuser could replace by a file."""
    with suppress(OSError):
        kind = os.lstat(path).st_mode
        return stat.S_ISCHR(kind) or stat.S_ISBLK(kind)
    return False


def remove_temporaries(directory: Path, names: str) -> None:
    """Remove temporary files of killed processes, for files whose names match the pattern; those being written stay."""
    for temporary in directory.glob(f".{names}.*.tmp*"):
        with suppress(OSError):
            with open(temporary, "rb", opener=_plain) as file:
                abandoned = claim(file.fileno())
            if abandoned:
                temporary.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file atomically. Raises: OSError."""
    with replacing(path) as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """Write sorted, indented JSON atomically. Raises: OSError."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def append(path: Path, text: str) -> None:
    """Append text to a file. Raises: OSError, also where `path` is not a regular file."""
    with open(ours(path), "a", encoding="utf-8", opener=_plain) as file:
        file.write(text)


@contextmanager
def reading(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """An open, untrusted regular file, and its size in bytes.

    Raises: InputError where `path` is anything else, and for an operating system's error inside the `with`.
    """
    try:
        with open(path, "rb", opener=_plain) as file:
            yield file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None


def _plain(name: str, flags: int) -> int:
    """Open a regular file, without waiting for the other end of a pipe. Raises: OSError for pipes, devices and sockets."""
    handle = os.open(name, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    kind = os.fstat(handle).st_mode
    if stat.S_ISREG(kind) or stat.S_ISDIR(kind):  # of directories `open` says so itself
        return handle
    os.close(handle)
    raise OSError(errno.EINVAL, "not a regular file", name)


def read_json(path: Path) -> Any:
    """Parse a small JSON file. Raises: InputError if it cannot be read, is too large or is not JSON."""
    with reading(path) as (file, _):
        content = file.read(MAX_JSON + 1)
    if len(content) > MAX_JSON:
        raise InputError(f"{path}: larger than {MAX_JSON} bytes, so it is no minigan JSON file.")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({str(error)[:80]}).") from None


def umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_directory(directory: Path) -> None:
    """Make a new name durable, except on systems that cannot open or sync a directory. Raises: OSError."""
    try:
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP):
            raise
