"""A training step as a program: recorded once, then replayed by compiled code on several threads.

In a small network, Python takes as long between the operations as the operations take, and the products are too small to be
divided among the threads of a BLAS. So `Recorder` lets a pass of gan.py run without computing anything, and records an
instruction for each operation, with the addresses of its arrays; the virtual machine (vm.py) executes them in one call. Every
thread executes the whole program, each instruction on its share of the work, mostly rows (instructions.py). A barrier is needed
only where there is a hazard: one thread reads or writes what another has written (`Program.append`).

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
from minigan.backends.numba.instructions import (
    ADDRESSES,
    ENCODING,
    EXTENTS,
    FEW,
    FUNCTIONS,
    INSTRUCTION_SET,
    LEAST,
    STRIDES,
    WRITE_ALL,
    Access,
    Function,
    Opcode,
)
from minigan.backends.numba.team import team
from minigan.errors import ProgramError

RECORDED = (*FUNCTIONS, "dot", "sum")
"""The functions of an array module that can be recorded."""


class Use(NamedTuple):
    """How an instruction uses an array."""

    array: Array
    access: Access

    @property
    def extent(self) -> tuple[int, int, int]:
        """First byte, the byte after the last, rows."""
        start = address(self.array)
        return start, start + self.array.nbytes, len(self.array)

    def conflicts(self, earlier: Use) -> bool:
        """Whether there is a hazard between `earlier` and this use, which needs a barrier: one of them writes, and their memory
        overlaps, unless each thread uses the same rows of the same array in both."""
        partitioned = self.access.own_rows and earlier.access.own_rows and self.extent == earlier.extent
        return (self.access.writes or earlier.access.writes) and self.overlaps(earlier) and not partitioned

    def overlaps(self, other: Use) -> bool:
        (a, b, _), (c, d, _) = self.extent, other.extent
        return a < d and c < b


def address(array: Array) -> int:
    return array.__array_interface__["data"][0]


class Program:
    """Instructions, and the arrays that they name. Call it to run it, on `threads` threads."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self.code = np.empty(0, ENCODING)
        self.dtype: np.dtype[Any] | None = None
        self._arrays: list[Array] = []  # keeps alive what the instructions point to
        self._since: list[Use] = []  # uses since the last barrier
        self._unsettled: list[tuple[Array, Array]] = []  # sums over rows, and partial sums yet to be added to them

    def append(
        self,
        opcode: Opcode,
        extents: tuple[int, ...],
        *arrays: Array,
        strides: tuple[int, ...] = (),
        function: Function = Function.ADD,
    ) -> None:
        """Add an instruction: extents (m, n, k), and the arrays in the order of `INSTRUCTION_SET`.

        Raises: ProgramError where the virtual machine cannot execute it.
        """
        operands = INSTRUCTION_SET[opcode].operands
        uses = [
            Use(array, operand.access.of(array, extents[0])) for array, operand in zip(arrays, operands, strict=True)
        ]
        if any(use.overlaps(Use(total, WRITE_ALL)) for use in uses for total, _ in self._unsettled):
            self.settle()
        for array, operand in zip(arrays, operands, strict=True):
            self.dtype = self.dtype or array.dtype
            if array.dtype != (np.int64 if operand.whole else self.dtype):
                raise ProgramError(refusal(f"an array of {array.dtype}", f"all others are of {self.dtype}"))
            if not array.flags.c_contiguous:
                raise ProgramError(refusal("such an array", "it is not in memory row by row, without gaps"))
            self._arrays.append(array)
        if any(a.conflicts(b) for a, b in combinations(uses, 2)):
            raise ProgramError(
                refusal("an operation on overlapping arrays", "its rows cannot be partitioned among threads")
            )
        hazard = any(new.conflicts(old) for new in uses for old in self._since)
        self._since = [*([] if hazard else self._since), *uses]
        instruction = np.zeros(1, ENCODING)
        fields: dict[str, Any] = {"opcode": opcode, "barrier": hazard, "function": function}
        fields.update(zip(EXTENTS, extents, strict=False))
        fields.update(zip(ADDRESSES, map(address, arrays), strict=False))
        fields.update(zip(STRIDES, strides, strict=False))
        for name, value in fields.items():
            instruction[name] = value
        self.code = np.concatenate([self.code, instruction])

    def append_sum(self, opcode: Opcode, extents: tuple[int, ...], out: Array, *terms: Array) -> None:
        """Add an instruction with partial sums: its result `out` is a sum over the rows of `terms`.

        Each thread adds up its own rows, which are in its cache: the first one in `out`, others in partial sums of their own.
        No barrier is needed. The partial sums are added lazily, when another instruction uses `out`: see `settle`.
        """
        partial_sums = np.zeros((self.threads - 1, *out.shape), out.dtype)
        self.append(opcode, extents, out, partial_sums, *terms)
        if len(partial_sums):
            self._unsettled.append((out, partial_sums))

    def settle(self) -> None:
        """Add the partial sums to the results that still lack them."""
        unsettled, self._unsettled = self._unsettled, []
        for out, partial_sums in unsettled:
            self.append(Opcode.ADD_PARTIAL_SUMS, (out.size, len(partial_sums)), out.reshape(-1), partial_sums)

    def __call__(self) -> None:
        team(self.dtype, self.threads).run(self.code)


class Recorder:
    """An array module that computes at once, or, while it has a program, appends instructions to that instead.

    What can be recorded is what a training step needs: functions that write to `out`, a 2-D array. Only one thread of Python
    may record at a time.
    """

    def __init__(self, xp: ModuleType) -> None:
        self.xp = xp
        self.program: Program | None = None

    def __getattr__(self, name: str) -> Any:
        if self.program is None:
            return getattr(self.xp, name)
        if name in FUNCTIONS:  # copyto, dot and sum are methods
            return partial(self.elementwise, FUNCTIONS[name])
        raise ProgramError(refusal(f"xp.{name}", f"instructions exist for {', '.join(RECORDED)}"))

    def record(self, passes: Callable[[], None], threads: int = 1) -> Program:
        """Record what passes() computes. Raises: ProgramError where no instruction computes it."""
        program = self.program = Program(threads)
        try:
            with recording():
                passes()
        finally:
            self.program = None
        program.settle()
        return program

    def do(self, opcode: Opcode, extents: tuple[int, ...], *arrays: Array, **fields: Any) -> None:
        """Append an instruction to the program (`Program.append`); without a program, execute it."""
        program = self.program or Program()
        program.append(opcode, extents, *arrays, **fields)
        if self.program is None:
            program()

    def do_sum(self, opcode: Opcode, extents: tuple[int, ...], out: Array, *terms: Array) -> None:
        """The same for an instruction with partial sums (`Program.append_sum`)."""
        program = self.program or Program()
        program.append_sum(opcode, extents, out, *terms)
        if self.program is None:
            program()

    def elementwise(self, function: Function, a: Any, b: Any = None, *, out: Array) -> None:
        """out = function(a, b), or function(a), broadcast as NumPy does."""
        operands, strides = [], []
        for operand in (a, a if b is None else b):
            array = np.asarray(operand) if isinstance(operand, np.ndarray) else np.full((1, 1), operand, out.dtype)
            np.broadcast_to(array, out.shape)  # raises ValueError where that cannot be
            rows, columns = (1, *array.shape)[-2:]
            operands.append(array)
            strides += [columns if rows > 1 else 0, 1 if columns > 1 else 0]
        self.do(Opcode.ELEMENTWISE, out.shape, *operands, out, strides=tuple(strides), function=function)

    def copyto(self, out: Array, a: Any) -> None:
        if self.program is None:
            self.xp.copyto(out, a)
        else:
            self.elementwise(Function.COPYTO, a, out=out)

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
                self.do_sum(Opcode.FEW_OVER_ROWS, (k, m, 1), out, a.T, b)
            else:
                self.do_sum(Opcode.FEW_OVER_ROWS if m <= FEW else Opcode.MATMUL_OVER_ROWS, (k, n, m), out, b, a.T)
        elif k <= FEW and a.flags.c_contiguous and b.flags.c_contiguous:
            self.do(Opcode.FEW_TERMS, (m, n, k), a, b, out)
        elif n <= FEW and a.flags.c_contiguous and b.flags.f_contiguous:
            self.do(Opcode.FEW_COLUMNS, (m, n, k), a, b.T, out)
        else:
            by_rows = a.flags.c_contiguous and (m >= n or m >= 2 * LEAST)
            first, second = (x if x.flags.c_contiguous else x.T for x in (a, b))
            strides = [s for x in (a, b) for s in ((x.shape[1], 1) if x.flags.c_contiguous else (1, x.shape[0]))]
            opcode = Opcode.MATMUL if by_rows else Opcode.MATMUL_BY_COLUMNS
            self.do(opcode, (m, n, k), first, second, out, strides=tuple(strides))

    def sum(self, x: Array, *, axis: int, keepdims: bool, out: Array) -> None:
        """out (B, 1) = the sums of the rows of x (B, d)."""
        if self.program is None:
            self.xp.sum(x, axis=axis, keepdims=keepdims, out=out)
        else:
            assert axis == 1 and keepdims
            self.do(Opcode.ROW_SUMS, x.shape, x, out)
