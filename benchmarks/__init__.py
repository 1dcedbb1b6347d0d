"""Timings: kernels and whole steps (`make bench`), a report on them, and a comparison with PyTorch and JAX.

bench_kernels.py, bench_step.py   pytest-benchmark: `make bench`
report.py                         `python -m benchmarks.report`: tables and pictures
peers.py, implementations.py      `python -m benchmarks.peers`: the same step in other libraries, side by side

docs/benchmarks.md says how to read them.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from minigan import GAN
from minigan.backend import Array, Backend
from minigan.config import Config


def machine() -> dict[str, Any]:
    """What timings depend on, without a name or a path of this machine."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
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


class Recorder:
    """NumPy, taking note of matrix products: (a, b, out) of each `matmul(a, b, out=out)`."""

    def __init__(self) -> None:
        self.products: list[tuple[Array, Array, Array]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def matmul(self, a: Array, b: Array, out: Array) -> Array:
        self.products.append((a, b, out))
        return np.matmul(a, b, out=out)


def record(
    config: Config, size: int, fill: Callable[[Array, int], None]
) -> tuple[GAN, list[tuple[Array, Array, Array]]]:
    """A GAN on the CPU, with the reference operations, that has done one step, and the matrix products of that step."""
    recorder = Recorder()
    gan = GAN(config.replace(backend="numpy", kernels="reference"), size, Backend("numpy", recorder, "CPU"))  # type: ignore[arg-type]
    gan.train_step(fill)
    return gan, recorder.products


def product_cost(products: list[tuple[Array, Array, Array]]) -> tuple[int, int]:
    """(FLOPs, bytes) of matrix products: 2 m k n, and each operand and result moved once."""
    flops = sum(2 * math.prod(out.shape) * a.shape[-1] for a, _, out in products)
    return flops, sum(array.nbytes for product in products for array in product)
