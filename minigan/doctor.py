"""python -m minigan.doctor: what is installed, which backends work here, and how to fix the rest."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np

import minigan
from minigan import cli
from minigan.backends import Ops, get_ops
from minigan.errors import InputError, MiniganError, reason
from minigan.nn.gan import GAN
from minigan.runs import contention

PATIENCE = 0.5
"""Seconds for which a backend's steps are timed."""


def system() -> Iterator[tuple[str, str]]:
    """Python, the machine, and the packages that computing needs."""
    yield "minigan", minigan.__version__
    yield (
        "Python",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, {contention.cores()} cores",
    )
    yield "NumPy", f"{np.__version__}, {blas()}"
    for package in ("numba", "cupy-cuda13x", "cupy-cuda12x", "nvmath-python"):
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def blas() -> str:
    """The library of matrix products, and its threads."""
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    if not pools:
        return "its own matrix products"
    pool = pools[0]
    return f"{pool['internal_api']} {pool.get('version') or ''}, {pool['num_threads']} threads".replace(" ,", ",")


def devices(backend: Ops) -> Iterator[tuple[str, str]]:
    """The driver and every GPU that CuPy sees."""
    runtime = backend.xp.cuda.runtime
    driver, cuda = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    yield "CUDA", f"driver for {driver // 1000}.{driver % 1000 // 10}, runtime {cuda // 1000}.{cuda % 1000 // 10}"
    for i in range(runtime.getDeviceCount()):
        found = runtime.getDeviceProperties(i)
        memory = found["totalGlobalMem"] / 2**30
        yield (
            f"GPU {i}",
            f"{found['name'].decode()}, {memory:.0f} GiB, compute capability {found['major']}.{found['minor']}",
        )


def test(backend: Ops) -> str:
    """Make a short training run, compared with NumPy's where this is another backend; its speed. Raises: MiniganError."""
    from minigan.runs import compare
    from minigan.runs.threads import limited_threads

    config = compare.settings("float32", "non-saturating", "alternating")
    reference = backend.name == "numpy" and backend.kernels == "reference"
    for found in () if reference else compare.differences(backend, config, 10):
        if found.relative > compare.BOUNDS["float32"]:
            raise MiniganError(
                f"{found.tensor} differs from NumPy's by {found.relative:.1e}: python -m minigan.lockstep"
            )
    gan = GAN(config.replace(backend=backend.name, kernels=backend.kernels), compare.SIZE, backend)
    steps, began = 0, time.perf_counter()
    with limited_threads(gan):
        while time.perf_counter() - began < PATIENCE:
            gan.train_step(lambda out, i: out.fill(0.5))
            steps += 1
    backend.synchronize()
    speed = steps / (time.perf_counter() - began)
    if not np.isfinite(backend.to_host(gan.generator.theta.flat)).all():
        raise MiniganError("training gave a number that is not finite; reinstall NumPy")
    told = "" if reference else ", as NumPy computes them"
    if backend.kernels == "numba" and backend.threads is None:
        told += "; operation by operation, because NumPy has no OpenBLAS that a program could call"
    return f"works, {speed:,.0f} small steps a second{told}"


def report() -> Iterator[tuple[str, str]]:
    """Everything, line by line."""
    yield from system()
    for name, kernels in (("numpy", "reference"), ("numpy", "numba"), ("cupy", "reference"), ("cupy", "cuda")):
        label = f"--backend {name}" + ("" if kernels == "reference" else f" --kernels {kernels}")
        try:
            backend = get_ops(name, kernels)
            if (name, kernels) == ("cupy", "reference"):
                yield from devices(backend)
            yield label, test(backend)
        except InputError as error:
            yield label, f"not available. {error}"
        except Exception as error:  # drivers and libraries raise anything
            yield label, f"FAILS: {reason(error)}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.Parser(
        prog="python -m minigan.doctor",
        description="Print what is installed, test every backend for about a second, and say how to fix what is missing.",
    )
    parser.parse(argv)
    broken, meter = False, contention.Meter()
    with np.errstate(all="ignore"):
        for name, text in report():
            print(cli.wrapped(f"{name:<32} {text}", 4), flush=True)
            broken |= text.startswith("FAILS")
    if (found := meter.read()).load > contention.LOAD:
        print(cli.wrapped(f"{'other work':<32} {found}, so the speeds above are uncertain", 4))
    return 1 if broken else 0


if __name__ == "__main__":
    cli.run(main)
