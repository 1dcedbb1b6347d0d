"""A training step as a program: recorded once, then replayed by compiled code on several threads.

Between the operations of a small network Python takes as long as the operations do, and products as small as theirs give
the threads of a BLAS too little to do. So `Recorder` lets a pass of gan.py run without computing anything, and records
an instruction for each operation, with the addresses of its arrays; the virtual machine (vm.py) executes them in one call.
Each instruction is partitioned by rows: every thread executes the whole program on its own rows. A barrier is needed only
where there is a hazard, one thread reading or writing what another has written (`Program.append`).

What changes from step to step (learning rates, coefficients) is read from arrays, so a program is recorded only once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minigan.backends import Array
from minigan.backends.numba.guard import recording, refusal
from minigan.backends.numba.team import team
from minigan.backends.numba.vm import (
    ADD_PARTS,
    ARRAYS,
    BINARY,
    COPY,
    ELEMENTWISE,
    FEW,
    FEW_COLUMNS,
    FEW_OVER_ROWS,
    FEW_TERMS,
    FIELDS,
    LEAST,
    MATMUL,
    MATMUL_BY_COLUMNS,
    MATMUL_OVER_ROWS,
    ROW_SUMS,
    STRIDES,
    UNARY,
)
from minigan.errors import ProgramError

INSTRUCTIONS = (*BINARY, *UNARY, "dot", "sum")
"""The functions of an array module that can be recorded."""


class Use(NamedTuple):
    """How an instruction uses an array. shared: each thread keeps to its own rows; else it may use all of the array."""

    array: Array
    writes: bool
    shared: bool

    @property
    def extent(self) -> tuple[int, int, int]:
        """First byte, the byte after the last, rows."""
        start = address(self.array)
        return start, start + self.array.nbytes, len(self.array)

    def clashes(self, earlier: Use) -> bool:
        """Whether there is a hazard between `earlier` and this use, which needs a barrier: one of them writes, and their memory
        overlaps, unless every thread uses the same rows of the same array in both."""
        own = self.shared and earlier.shared and self.extent == earlier.extent
        return (self.writes or earlier.writes) and self.overlaps(earlier) and not own

    def overlaps(self, other: Use) -> bool:
        (a, b, _), (c, d, _) = self.extent, other.extent
        return a < d and c < b


def reads(array: Array) -> Use:
    """Each thread reads its own rows."""
    return Use(array, writes=False, shared=True)


def reads_all(array: Array) -> Use:
    """Every thread may read the whole array."""
    return Use(array, writes=False, shared=False)


def writes(array: Array) -> Use:
    """Each thread writes its own rows, and may read them."""
    return Use(array, writes=True, shared=True)


def writes_all(array: Array) -> Use:
    """Threads write other parts of the array than rows."""
    return Use(array, writes=True, shared=False)


def address(array: Array) -> int:
    return array.__array_interface__["data"][0]


class Program:
    """Instructions, and the arrays that they name. Call it to run it, on `threads` threads."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self.code = np.empty((0, FIELDS), np.int64)
        self.dtype: np.dtype[Any] | None = None
        self._arrays: list[Array] = []  # keeps alive what the instructions point to
        self._since: list[Use] = []  # uses since the last barrier
        self._owed: list[tuple[Array, Array]] = []  # sums over rows, and the partial sums of other threads

    def append(self, op: int, extents: tuple[int, ...], *uses: Use, strides: tuple[int, ...] = ()) -> None:
        """Add an instruction: op, extents (m rows of n, and k), the arrays in the order that `compiled.execute` expects."""
        if any(use.overlaps(writes_all(total)) for use in uses for total, _ in self._owed):
            self.settle()
        for use in uses:
            self.dtype = self.dtype or use.array.dtype
            if use.array.dtype != self.dtype:
                raise ProgramError(refusal(f"an array of {use.array.dtype}", f"all others are of {self.dtype}"))
            if not use.array.flags.c_contiguous:
                raise ProgramError(refusal("such an array", "it is not in memory row by row, without gaps"))
            self._arrays.append(use.array)
        if any(a.clashes(b) for a, b in combinations(uses, 2)):
            raise ProgramError(
                refusal("an operation on overlapping arrays", "its rows cannot be partitioned among threads")
            )
        wait = any(new.clashes(old) for new in uses for old in self._since)
        self._since = [*([] if wait else self._since), *uses]
        line = np.zeros((1, FIELDS), np.int64)
        line[0, : 2 + len(extents)] = op, wait, *extents
        line[0, ARRAYS : ARRAYS + len(uses)] = [address(use.array) for use in uses]
        line[0, STRIDES : STRIDES + len(strides)] = strides
        self.code = np.concatenate([self.code, line])

    def append_sum(self, op: int, extents: tuple[int, ...], a: Array, b: Array, out: Array) -> None:
        """Add an instruction whose result is a sum over the rows of a and b.

        Each thread adds up its own rows, which are in its cache: the first one in `out`, others in partial sums of their own.
        No barrier is needed. The partial sums are added lazily, when another instruction uses `out`: see `settle`.
        """
        parts = np.zeros((self.threads - 1, *out.shape), out.dtype)
        self.append(op, extents, reads(a), reads(b), writes_all(out), writes_all(parts))
        if len(parts):
            self._owed.append((out, parts))

    def settle(self) -> None:
        """Add the partial sums of other threads to the results that are still owed."""
        owed, self._owed = self._owed, []
        for out, parts in owed:
            self.append(ADD_PARTS, (out.size, len(parts)), writes(out.reshape(-1)), reads_all(parts))

    def __call__(self) -> None:
        team(self.dtype, self.threads).run(self.code)


class Recorder:
    """An array module that computes at once, or, while it has a program, appends to that instead.

    What can be recorded is what a training step needs: functions that write to `out`, a 2-D array. One thread of Python
    records at a time.
    """

    def __init__(self, xp: ModuleType) -> None:
        self.xp = xp
        self.program: Program | None = None

    def __getattr__(self, name: str) -> Any:
        if self.program is None:
            return getattr(self.xp, name)
        if name in BINARY or name in UNARY:  # copyto, dot and sum are methods
            return partial(self.elementwise, (*BINARY, *UNARY).index(name))
        raise ProgramError(refusal(f"xp.{name}", f"instructions exist for {', '.join(INSTRUCTIONS)}"))

    def record(self, passes: Callable[[], None], threads: int = 1) -> Program:
        """What passes() does, recorded. Raises: ProgramError where no instruction does it."""
        program = self.program = Program(threads)
        try:
            with recording():
                passes()
        finally:
            self.program = None
        program.settle()
        return program

    def do(self, op: int, extents: tuple[int, ...], *uses: Use, strides: tuple[int, ...] = ()) -> None:
        """Append an instruction to the program; without one, carry it out."""
        program = self.program or Program()
        program.append(op, extents, *uses, strides=strides)
        if self.program is None:
            program()

    def do_sum(self, op: int, extents: tuple[int, ...], a: Array, b: Array, out: Array) -> None:
        """The same for a sum over the rows of a and b."""
        program = self.program or Program()
        program.append_sum(op, extents, a, b, out)
        if self.program is None:
            program()

    def elementwise(self, kind: int, a: Any, b: Any = None, *, out: Array) -> None:
        """out = kind(a, b), or kind(a), broadcast as NumPy does."""
        m, n = out.shape
        uses, strides = [], []
        for operand in (a, a if b is None else b):
            array = np.asarray(operand) if isinstance(operand, np.ndarray) else np.full((1, 1), operand, out.dtype)
            np.broadcast_to(array, out.shape)  # raises ValueError where that cannot be
            rows, columns = (1, *array.shape)[-2:]
            uses.append(reads(array) if array.ndim == 2 and rows == m else reads_all(array))
            strides += [columns if rows > 1 else 0, 1 if columns > 1 else 0]
        self.do(ELEMENTWISE, (m, n, kind), *uses, writes(out), strides=tuple(strides))

    def copyto(self, out: Array, a: Any) -> None:
        if self.program is None:
            self.xp.copyto(out, a)
        else:
            self.elementwise(COPY, a, out=out)

    def dot(self, a: Array, b: Array, *, out: Array) -> None:
        """out = a b: operands row by row, or transposed views of such."""
        if self.program is None:
            self.xp.dot(a, b, out=out)
            return
        (m, n), k = out.shape, a.shape[1]
        if a.shape != (m, k) or b.shape != (k, n):
            raise ValueError(f"a product of {a.shape} and {b.shape} is not {out.shape}")
        if a.flags.f_contiguous and b.flags.c_contiguous and k > 1:  # a^T b: a sum over the rows of both
            if m > FEW and n == 1:  # b^T a, which is the same line of numbers
                self.do_sum(FEW_OVER_ROWS, (k, m, 1), b, a.T, out)
            else:
                self.do_sum(FEW_OVER_ROWS if m <= FEW else MATMUL_OVER_ROWS, (k, n, m), a.T, b, out)
        elif k <= FEW and a.flags.c_contiguous and b.flags.c_contiguous:
            self.do(FEW_TERMS, (m, n, k), reads(a), reads_all(b), writes(out))
        elif n <= FEW and a.flags.c_contiguous and b.flags.f_contiguous:
            self.do(FEW_COLUMNS, (m, n, k), reads(a), reads_all(b.T), writes(out))
        else:
            flags = [0 if x.flags.c_contiguous else 1 for x in (a, b)]
            strides = (flags[0], a.shape[1 - flags[0]], flags[1], b.shape[1 - flags[1]])
            by_rows = m >= n or m >= 2 * LEAST
            first, second = (x.T if flag else x for x, flag in zip((a, b), flags, strict=True))
            op, result = (MATMUL, writes(out)) if by_rows else (MATMUL_BY_COLUMNS, writes_all(out))
            own = reads(first) if by_rows and not flags[0] else reads_all(first)
            self.do(op, (m, n, k), own, reads_all(second), result, strides=strides)

    def sum(self, x: Array, *, axis: int, keepdims: bool, out: Array) -> None:
        """out (B, 1) = the sums of the rows of x (B, d)."""
        if self.program is None:
            self.xp.sum(x, axis=axis, keepdims=keepdims, out=out)
        else:
            assert axis == 1 and keepdims
            self.do(ROW_SUMS, x.shape, reads(x), writes(out))
