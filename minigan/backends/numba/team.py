"""The threads that run a program together, and where they find matrix products.

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

from minigan.backends.numba.vm import ARRIVED, BEFORE, GO, LENGTH, PATIENCE, TABLE, begin, execute, follow


class Blas(NamedTuple):
    """Where the matrix products are, for float32 and float64, and an integer of the kind that they take."""

    single: int
    double: int
    whole: Any


@cache
def blas() -> Blas | None:
    """The products of the OpenBLAS that is loaded, NumPy's before others.

    None where there is another library, or one that may not be called from several threads at once, one thread each.
    """
    from threadpoolctl import threadpool_info

    for info in sorted(threadpool_info(), key=lambda info: "numpy" not in info["filepath"]):
        if info["internal_api"] != "openblas" or info["threading_layer"] != "pthreads":
            continue
        library = ctypes.CDLL(info["filepath"])
        for prefix in ("scipy_", ""):
            for suffix, whole in (("64_", np.int64(0)), ("", np.int32(0))):
                names = [f"{prefix}cblas_{kind}gemm{suffix}" for kind in "sd"]
                if all(hasattr(library, name) for name in names):
                    single, double = (_address(getattr(library, name)) for name in names)
                    return Blas(single, double, whole)
    return None


@cache
def _yield() -> int:
    """The address of the function that lets another thread have the processor; 0 where none is known."""
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
        product, whole = 0, np.int64(0)
        if found is not None:
            product, whole = found.single if dtype == np.float32 else found.double, found.whole
        self.threads = threads
        self.board = np.zeros(64, np.int64)
        self.constants = product, whole, _yield(), np.ones(1, dtype)
        self.turn = threading.Lock()
        self.awake = [threading.Event() for _ in range(1, threads)]
        # compiled here: a thread that failed would be waited for
        follow(0, 1, threads, 0, self.board, *self.constants)
        begin(np.zeros_like(self.board))
        for thread, awake in enumerate(self.awake, 1):
            threading.Thread(target=self._follow, args=(thread, awake), daemon=True).start()

    def _follow(self, thread: int, awake: threading.Event) -> None:
        """A worker. Its event is cleared by itself alone, so that no wake-up can get lost."""
        done = 0
        while True:
            done = follow(done, thread, self.threads, PATIENCE, self.board, *self.constants)
            awake.clear()
            if self.board[GO] == done:  # else a program began before the event was cleared
                awake.wait()

    def run(self, table: np.ndarray) -> None:
        """All instructions of the table."""
        with self.turn:
            board = self.board
            board[TABLE], board[LENGTH], board[BEFORE] = table.ctypes.data, len(table), board[ARRIVED]
            if self.threads == 1:
                execute(table, 0, 1, board, board[BEFORE], *self.constants)
                return
            started = board[GO] + 1
            try:
                begin(board)
            finally:  # whatever interrupts this thread: the workers would wait for it at a barrier for ever
                if board[GO] == started:
                    for awake in self.awake:
                        if not awake.is_set():  # after `begin`: a worker that goes to sleep checks GO once more
                            awake.set()
                    execute(table, 0, self.threads, board, board[BEFORE], *self.constants)


@cache
def team(dtype: Any, threads: int) -> Team:
    """The threads of this process, kept for all programs of a precision."""
    return Team(dtype, threads)


if hasattr(os, "register_at_fork"):  # threads do not cross a fork
    os.register_at_fork(after_in_child=team.cache_clear)
