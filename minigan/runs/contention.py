"""The processor time that other processes take: where it is much, timings mean little, and spinning threads lose most.

It is read from /proc on Linux, and elsewhere from psutil where that is installed. Unknown values are nan, for which every
comparison is false: so nothing is reported.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOAD = 0.10
"""Share of the processors that other processes may use before a timing is uncertain."""

WAITING = 0.20
"""Average number of a run's threads that wait for a processor, above which it is reported."""

INTERVAL = 2.0
"""Least seconds between two readings of a training run; the system counts processor time in hundredths of a second."""

SHORTEST = 0.1
"""Seconds that a reading needs: the system counts busy processors in steps of 10 ms."""

PROC = Path("/proc")


def allowed() -> list[int] | None:
    """The processors on which this process may run; None where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def cores() -> int:
    """How many processors this process may use."""
    return len(allowed() or ()) or os.cpu_count() or 1


def busy_seconds() -> float:
    """Seconds that those processors have been busy, for any process; nan where unknown."""
    try:
        text = (PROC / "stat").read_text(encoding="ascii")
        rows = [line.split() for line in text.splitlines() if line.startswith("cpu")]
        # user, nice, system, idle, iowait, irq, softirq, steal: a guest's share is in the first two
        ticks = {name: sum(map(int, row[:3] + row[5:8])) for name, *row in rows}
        ours = [ticks[name] for name in (f"cpu{i}" for i in allowed() or ()) if name in ticks]
        return (sum(ours) if ours else ticks["cpu"]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, KeyError):
        pass
    try:
        import psutil
    except ImportError:
        return math.nan
    times = psutil.cpu_times()
    return times.user + times.system + getattr(times, "nice", 0.0)


def own_seconds() -> float:
    """Processor seconds of this process and its children that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def waits() -> dict[str, float]:
    """Seconds that each thread of this process, by its number, was ready to run and had no processor; empty if unknown."""
    found = {}
    for path in (PROC / "self" / "task").glob("*/schedstat"):
        # a thread may have ended meanwhile, and a kernel may not count
        with suppress(OSError, ValueError, IndexError):
            found[path.parent.name] = int(path.read_text(encoding="ascii").split()[1]) / 1e9
    return found


@dataclass(frozen=True)
class Contention:
    """The use of the processors between two readings.

    others: processors that other processes kept busy, on average.  cores: how many there are for this one.
    waiting: how many threads of this process were ready to run and had none, on average.
    """

    others: float
    cores: int
    waiting: float

    @property
    def load(self) -> float:
        """The share of the processors that other processes took."""
        return self.others / self.cores

    def __str__(self) -> str:
        return f"other processes take {self.others:.1f} of {self.cores} processors"


class Meter:
    """Contention from one reading to the next. own: processor seconds of everything that is not another process."""

    def __init__(self, own: Callable[[], float] = own_seconds) -> None:
        self.own = own
        self.before = self._now()

    def _now(self) -> tuple[float, float, float, dict[str, float]]:
        return time.monotonic(), busy_seconds(), self.own(), waits()

    def age(self) -> float:
        """Seconds since the last reading."""
        return time.monotonic() - self.before[0]

    def read(self) -> Contention:
        """The contention since the last reading."""
        (then, busy, own, waited), self.before = self.before, self._now()
        wall, ran = max(self.before[0] - then, 1e-9), max(0.0, self.before[2] - own)
        others = (self.before[1] - busy - ran) / wall
        if others < 0 or wall < SHORTEST:  # two clocks differ a little
            others = 0.0
        waiting = sum(max(0.0, now - waited.get(thread, 0.0)) for thread, now in self.before[3].items())
        return Contention(others, cores(), waiting / wall)


class Notice:
    """Reports once that other processes slow a training run down; reads the meter every INTERVAL seconds at most."""

    def __init__(self, meter: Meter) -> None:
        self.meter: Meter | None = meter

    def __call__(self) -> Contention | None:
        """The contention since the last reading; None where there was none, it was reported before, or it is too soon."""
        if self.meter is None or self.meter.age() < INTERVAL:
            return None
        found = self.meter.read()
        if not (found.load > LOAD and found.waiting > WAITING):
            return None
        self.meter = None
        return found
