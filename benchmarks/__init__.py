"""Timings, a report on them, a comparison with PyTorch and JAX, and the quality of every recipe.

bench_kernels.py, bench_step.py   pytest-benchmark: `make bench`, or `python -m benchmarks`, which keeps the results of each run
report.py                         `python -m benchmarks.report`: tables and pictures
quality.py, rival.py              `python -m benchmarks.quality`: every recipe on the reported seeds, docs/results.md
scaling.py                        `python -m benchmarks.scaling`: the cost of a step against its size, docs/scaling.md
peers.py, implementations.py      `python -m benchmarks.peers`: the same step in other libraries, compared

docs/benchmarks.md explains the results.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from minigan.runs import contention


def machine() -> dict[str, Any]:
    """The hardware and the versions that timings depend on, without a name or a path of this machine."""
    return {
        "cpu": _cpu_model(),
        "cores": contention.cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions("minigan", "numpy", "numba", "cupy-cuda12x", "cupy-cuda13x", "torch", "jax"),
    }


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions(*packages: str) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def thread_pools() -> list[dict[str, Any]]:
    """The thread pools of the libraries loaded so far: OpenBLAS, OpenMP, ..."""
    from threadpoolctl import threadpool_info

    return [{k: v for k, v in pool.items() if k != "filepath"} for pool in threadpool_info()]


def disturbed(busy: int, count: int, most: float) -> str:
    """A warning about benchmarks during which other processes used a share of the processors, at most `most`."""
    return f"other processes used up to {most:.0%} of the processors during {busy} of {count} benchmarks; measure them again."
