"""How much memory there is, and the one rule about it: what needs more is refused before it is taken, with both numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from minigan.errors import InputError

MEMINFO, GROUPS, MOUNT = Path("/proc/meminfo"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Where Linux says what is available, which control groups this process is in, and what they are allowed."""


def available() -> int | None:
    """Bytes that this process can still take: the least of what the machine, its control groups and its limit (ulimit -v)
    leave to it. None where the system does not say."""
    return min((max(0, n) for n in (*_of_machine(), *_of_groups(), *_of_limit())), default=None)


def require(needed: int, what: str, remedy: str, free: int | None = None) -> None:
    """Raise InputError where `needed` bytes are more than there are; free: of a device's memory, if not of the host's."""
    free = available() if free is None else free
    if free is not None and needed > free:
        raise InputError(f"{what} needs {words(needed)} of memory, and {words(free)} are available; {remedy}.")


def words(count: int) -> str:
    """A number of bytes for people."""
    if count >= 10**18:
        return f"{float(count):.1e} bytes"
    return f"{count / 1e9:,.1f} GB" if count >= 10**9 else f"{count / 1e6:,.1f} MB"


def _of_machine() -> Iterator[int]:
    """What no process uses, memory and swap; where that is not said, all memory that there is."""
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines() if ":" in line)
        yield 1024 * sum(int(lines[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, ValueError, KeyError, IndexError):
        with suppress(AttributeError, ValueError, OSError):  # not on Windows
            yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups() -> Iterator[int]:
    """What the control groups of this process and those above them have left, as containers are limited: both versions."""
    with suppress(OSError):
        for line in GROUPS.read_text().splitlines():
            _, controllers, path = [*line.split(":", 2), "", ""][:3]
            if controllers not in ("", "memory"):
                continue
            root = MOUNT / controllers
            limit, used = ("memory.max", "memory.current") if not controllers else (
                "memory.limit_in_bytes", "memory.usage_in_bytes")  # fmt: skip
            here = root / path.lstrip("/")
            # in a container the mounted files may be those of its own group, whatever the path says
            for group in {root, *(g for g in (here, *here.parents) if root in g.parents)}:
                with suppress(OSError, ValueError):
                    left = int((group / limit).read_text()) - int((group / used).read_text())
                    yield left + _reclaimable(group / "memory.stat")


def _reclaimable(stat: Path) -> int:
    """The cache of files in a control group's use: it goes when memory is needed."""
    with suppress(OSError, ValueError):
        fields = dict(line.split() for line in stat.read_text().splitlines())
        return int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))
    return 0


def _of_limit() -> Iterator[int]:
    """What the limit on addresses leaves, if there is one."""
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource  # not on Windows

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit - int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
