"""The cache of machine code that Numba compiles.

Numba reads it with pickle, which executes what a file contains. So the cache is a directory that only the user can write to. A
file that is damaged or cannot be read is compiled again.

Machine code of a function contains what it calls from other files, but Numba only notices changes of the file that defines the
function. Here it is compiled again when any file in the same folder has changed (`stamp`).
"""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import pooch
from numba.core.caching import FunctionCache, IndexDataCacheFile

from minigan.errors import FallbackWarning, reason

DIGEST = hashlib.sha256().digest_size


def directory() -> Path:
    """The cache directory for machine code, which only the user can write to. Raises: OSError."""
    path = Path(pooch.os_cache("minigan")) / "numba"
    if not path.is_absolute():  # no home directory, or a relative XDG_CACHE_HOME
        raise OSError(f"{path} is not an absolute path")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid"):
        if path.is_symlink() or path.stat().st_uid != os.getuid():
            raise PermissionError(f"{path} belongs to another user")
        if stat.S_IMODE(path.stat().st_mode) & 0o022:
            path.chmod(0o700)
    return path


@cache
def say_not_kept(why: str) -> None:
    """Warn that compiled code is not cached, once for each reason."""
    words = (
        f"what Numba compiles cannot be kept ({why}), and is compiled anew in every process, which takes some seconds"
    )
    warnings.warn(f"{words}; NUMBA_CACHE_DIR names another directory.", FallbackWarning, stacklevel=2)


class Verified(IndexDataCacheFile):
    """A file of machine code with a checksum at its end, which pickle does not read: damaged code would crash the process."""

    def _dump(self, obj: Any) -> bytes:
        content = super()._dump(obj)
        return content + hashlib.sha256(content).digest()

    def _load_data(self, name: str) -> Any:
        content = Path(self._data_path(name)).read_bytes()
        if hashlib.sha256(content[:-DIGEST]).digest() != content[-DIGEST:]:
            raise ValueError(f"{name} is damaged")
        return super()._load_data(name)


def stamp(function: Callable[..., Any], own: Any) -> tuple[Any, ...]:
    """What changes with the source of a function: `own`, Numba's stamp of its file, and those of all files in its folder."""
    paths = sorted(Path(function.__code__.co_filename).parent.glob("*.py"))
    return own, *((path.name, (found := path.stat()).st_mtime_ns, found.st_size) for path in paths)


class Kept(FunctionCache):
    """Numba's cache of one function; damaged files and full disks are no errors."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        locator = self._impl.locator
        changes = stamp(function, locator.get_source_stamp())
        self._cache_file = Verified(self._cache_path, self._impl.filename_base, changes)

    def load_overload(self, *request: Any) -> Any:
        """The compiled function from the cache; None where there is none that can be read."""
        try:
            return super().load_overload(*request)
        except Exception:  # pickle raises errors of nearly all types
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, *result: Any) -> None:
        try:
            super().save_overload(*result)
        except Exception as error:  # the disk is full, or the index still cannot be read
            say_not_kept(reason(error))


def kept(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with these options, and a cache in NUMBA_CACHE_DIR, or else in `directory`."""

    def decorate(function: Callable[..., Any]) -> Any:
        compiled = numba.njit(**options)(function)
        try:
            compiled._cache = cache_of(function)
        except (OSError, RuntimeError) as error:  # RuntimeError: no locator in NUMBA_CACHE_LOCATOR_CLASSES applies
            say_not_kept(f"{getattr(error, 'filename', None) or 'cache'}: {reason(error)}")
        return compiled

    return decorate


def cache_of(function: Callable[..., Any]) -> Kept:
    """The cache of a function. Raises: OSError, RuntimeError where it cannot be written to."""
    given = numba.config.CACHE_DIR
    wanted = given or str(directory())
    try:
        numba.config.CACHE_DIR = wanted
        found = Kept(function)
    finally:
        numba.config.CACHE_DIR = given
    if not Path(found.cache_path).is_relative_to(wanted) and "NUMBA_CACHE_LOCATOR_CLASSES" not in os.environ:
        raise PermissionError(
            f"{wanted} cannot be written to"
        )  # others may write to the directory that Numba falls back to
    return found
