"""The threads that execute programs together, and the BLAS whose matrix products they call.

Workers spin while they wait, as those of a BLAS do, and sleep when no program has begun for some milliseconds. Numba's own pool
(`parallel=True`) takes longer to start than a small step takes.
"""

from __future__ import annotations

import ctypes
import os
import threading
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minigan.backends.numba import vm
from minigan.backends.numba.vm import begin, execute, work


class Blas(NamedTuple):
    """Addresses of the matrix products, for float32 and float64, and a number of the type of integers that they take."""

    single: int
    double: int
    integer: Any


@cache
def blas() -> Blas | None:
    """The matrix products of the OpenBLAS that is loaded: NumPy's, if there are several.

    None with another BLAS, or with one that several threads cannot call at once, each for a product on one thread.
    """
    from threadpoolctl import threadpool_info

    for info in sorted(threadpool_info(), key=lambda info: "numpy" not in info["filepath"]):
        if info["internal_api"] != "openblas" or info["threading_layer"] != "pthreads":
            continue
        library = ctypes.CDLL(info["filepath"])
        for prefix in ("scipy_", ""):
            for suffix, integer in (("64_", np.int64(0)), ("", np.int32(0))):
                names = [f"{prefix}cblas_{kind}gemm{suffix}" for kind in "sd"]
                if all(hasattr(library, name) for name in names):
                    single, double = (_address(getattr(library, name)) for name in names)
                    return Blas(single, double, integer)
    return None


@cache
def _yield() -> int:
    """The address of the function that yields the processor to another thread; 0 where none is known."""
    try:
        if hasattr(ctypes, "windll"):
            return _address(ctypes.windll.kernel32.SwitchToThread)
        return _address(ctypes.CDLL(None).sched_yield)
    except (OSError, AttributeError):
        return 0


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


class Team:
    """Threads that execute programs of one precision together: the caller, and workers."""

    def __init__(self, dtype: Any, threads: int) -> None:
        found = blas()
        self.threads = threads
        self.control = np.zeros(vm.CONTROL_WORDS, np.int64)
        self.control[vm.YIELD] = _yield()
        if found is not None:
            self.control[vm.GEMM] = found.single if dtype == np.float32 else found.double
        self.types = np.int64(0) if found is None else found.integer, np.ones(1, dtype)
        self.turn = threading.Lock()
        self.awake = [threading.Event() for _ in range(1, threads)]
        # compiled here: the others would wait for a thread that failed to compile
        work(self.control, 0, 1, threads, 0, *self.types)
        begin(np.zeros_like(self.control))
        for thread, awake in enumerate(self.awake, 1):
            threading.Thread(target=self._work, args=(thread, awake), daemon=True).start()

    def _work(self, thread: int, awake: threading.Event) -> None:
        """A worker. It alone clears its event, so that no wake-up is lost."""
        done = 0
        while True:
            done = work(self.control, done, thread, self.threads, vm.PATIENCE, *self.types)
            awake.clear()
            if self.control[vm.BEGUN] == done:  # else a program began before the event was cleared
                awake.wait()

    def run(self, program: np.ndarray) -> None:
        """Execute a program: an array of `instructions.ENCODING`."""
        with self.turn:
            control = self.control
            control[vm.TABLE], control[vm.LENGTH] = program.ctypes.data, len(program)
            control[vm.ARRIVED_BEFORE] = control[vm.ARRIVED]
            if self.threads == 1:
                execute(control, 0, 1, *self.types)
                return
            started = control[vm.BEGUN] + 1
            try:
                begin(control)
            finally:  # also when this thread is interrupted: the workers would wait for it at a barrier for ever
                if control[vm.BEGUN] == started:
                    for awake in self.awake:
                        if not awake.is_set():  # after `begin`: a worker that goes to sleep checks BEGUN once more
                            awake.set()
                    execute(control, 0, self.threads, *self.types)


@cache
def team(dtype: Any, threads: int) -> Team:
    """The team that executes all programs of this precision and number of threads in this process."""
    return Team(dtype, threads)


if hasattr(os, "register_at_fork"):  # a forked process has no workers
    os.register_at_fork(after_in_child=team.cache_clear)
