"""Options of the benchmarks, their sizes, and the description of the machine in their results."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import disturbed, machine, thread_pools
from minigan.backends import KERNELS, Ops, get_ops
from minigan.errors import InputError
from minigan.runs.contention import LOAD

DTYPES = ("float32", "float64")
BATCHES = (16, 64, 256, 1024, 4096)
WIDTHS = (64, 256, 1024, 4096)
MIDDLE = 256  # the batch of the sweep over widths, and the width of the sweep over batches


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="benchmark every dtype x batch x width (hours, not minutes)")
    parser.addoption("--kernels", choices=KERNELS, default="reference", help="the operations that are timed")
    parser.addoption("--threads", type=at_least_one, default=None, help="threads of the BLAS (default: one per core)")


def at_least_one(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of threads: give 1 or more")
    return int(text)


def sizes(full: bool) -> list[tuple[str, int, int]]:
    """(dtype, batch, width) to run at: all combinations, or each varied alone from the middle."""
    every = [(dtype, batch, width) for dtype in DTYPES for batch in BATCHES for width in WIDTHS]
    if full:
        return every
    cross = [s for s in every if s[0] == "float32" and MIDDLE in s[1:]]
    return [*cross, ("float64", MIDDLE, MIDDLE)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise over whichever of dtype, batch and width a benchmark takes."""
    names = [name for name in ("dtype", "batch", "width") if name in metafunc.fixturenames]
    if names:
        chosen = [dict(zip(("dtype", "batch", "width"), s, strict=True)) for s in sizes(metafunc.config.option.full)]
        values = list(dict.fromkeys(tuple(s[name] for name in names) for s in chosen))
        metafunc.parametrize(names, values)


@pytest.fixture(scope="session")
def backend(backend: Ops, request: pytest.FixtureRequest) -> Ops:
    """The backend of --backend with the operations of --kernels; skipped where there is none."""
    try:
        return get_ops(backend.name, request.config.getoption("--kernels"))
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", autouse=True)
def threads(request: pytest.FixtureRequest, backend: Ops) -> Any:
    """--threads for the BLAS or for programs, whatever OPENBLAS_NUM_THREADS says (the tests want 1)."""
    from threadpoolctl import threadpool_limits

    given = request.config.getoption("--threads") or machine()["cores"]
    with threadpool_limits(given, user_api="blas"):
        request.config.stash[POOLS] = thread_pools()
        if backend.threads is None:
            yield
            return
        backend.threads = given
        with threadpool_limits(1, user_api="blas"):
            yield


@pytest.fixture(autouse=True)
def load(request: pytest.FixtureRequest) -> Iterator[None]:
    """Store for the summary the share of the processors that other processes used (recorded by `bench_kernels.timed`)."""
    info = request.getfixturevalue("benchmark").extra_info
    yield
    request.config.stash.setdefault(LOADS, []).append(info.get("load", 0.0))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    loads = config.stash.get(LOADS, [])
    if busy := [load for load in loads if load > LOAD]:
        terminalreporter.write_line(f"warning: {disturbed(len(busy), len(loads), max(busy))}", yellow=True)


POOLS = pytest.StashKey[list]()
LOADS = pytest.StashKey[list]()


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """Remove the individual times: medians and quartiles are enough, and the file stays small."""
    for benchmark in output_json["benchmarks"]:
        benchmark["stats"].pop("data", None)


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    machine_info.pop("node", None)  # the machine's name
    machine_info["minigan"] = {**machine(), "pools": config.stash.get(POOLS, [])}
