"""Available memory, and the one rule about it: what needs more is refused before any is allocated, with both numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from minigan.errors import InputError

MEMINFO, GROUPS, MOUNT = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Files of Linux: available memory, the control groups of this process, and where the groups' limits are."""


def available() -> int | None:
    """Bytes that this process can still allocate: the least of what the machine, its control groups and its own limit
    (ulimit -v) leave. None where the system does not say."""
    return min((max(0, n) for n in (*_of_machine(), *_of_groups(), *_of_limit())), default=None)


def require(needed: int, what: str, remedy: str, free: int | None = None) -> None:
    """Raise InputError where `needed` bytes are more than available; free: bytes available on a device, if not on the host."""
    free = available() if free is None else free
    if free is not None and needed > free:
        raise InputError(f"{what} needs {words(needed)} of memory, and {words(free)} are available; {remedy}.")


def words(count: int) -> str:
    """A number of bytes as text."""
    if count >= 10**18:
        return f"{float(count):.1e} bytes"
    return f"{count / 1e9:,.1f} GB" if count >= 10**9 else f"{count / 1e6:,.1f} MB"


def _of_machine() -> Iterator[int]:
    """Free memory and swap of the machine; all of its memory where the system does not say what is free."""
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines() if ":" in line)
        yield 1024 * sum(int(lines[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, ValueError, KeyError, IndexError):
        with suppress(AttributeError, ValueError, OSError):  # not on Windows
            yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups() -> Iterator[int]:
    """Bytes left in the control groups (versions 1 and 2) of this process and those above them, by which containers are
    limited."""
    with suppress(OSError):
        for line in GROUPS.read_text().splitlines():
            _, controllers, path = [*line.split(":", 2), "", ""][:3]
            if controllers not in ("", "memory"):
                continue
            root = MOUNT / controllers
            limit, used = "memory.max", "memory.current"
            if controllers:  # version 1
                limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
            here = root / path.lstrip("/")
            # in a container the mounted files may be those of its own group, whatever the path says
            for group in {root, *(g for g in (here, *here.parents) if root in g.parents)}:
                with suppress(OSError, ValueError):
                    left = int((group / limit).read_text()) - int((group / used).read_text())
                    yield left + _reclaimable(group / "memory.stat")


def _reclaimable(stat: Path) -> int:
    """Bytes of file cache that count as used by a control group: the kernel frees them when memory is needed."""
    with suppress(OSError, ValueError):
        fields = dict(line.split() for line in stat.read_text().splitlines())
        return int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))
    return 0


def _of_limit() -> Iterator[int]:
    """Bytes that the limit on this process's address space leaves, if there is one."""
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource  # not on Windows

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit - int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
