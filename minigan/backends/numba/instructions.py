"""The instruction set: what a recorded program is made of, as recording, hazard analysis and the virtual machine read it.

`INSTRUCTION_SET` has a row for each opcode: what it computes, its operands, and how its work is partitioned among the threads.
An instruction of a program is a record of integers (`ENCODING`): the opcode, extents, addresses and strides.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from typing import NamedTuple

import numpy as np


class Opcode(IntEnum):
    """What an instruction does: a row of `INSTRUCTION_SET` each."""

    MATMUL = 0
    MATMUL_BY_COLUMNS = 1
    FEW_TERMS = 2
    FEW_COLUMNS = 3
    MATMUL_OVER_ROWS = 4
    FEW_OVER_ROWS = 5
    COLUMN_SUMS = 6
    ADD_PARTIAL_SUMS = 7
    ELEMENTWISE = 8
    ROW_SUMS = 9
    BIAS_LEAKY_RELU = 10
    BIAS_TANH = 11
    LEAKY_RELU_BACKWARD = 12
    TANH_BACKWARD = 13
    ADAM = 14
    AVERAGE = 15
    SUM_COLUMNS = 16


class Function(IntEnum):
    """The function of an `ELEMENTWISE` instruction: that of an array module with the same name. Binary ones come first."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    DIVIDE = 3
    MAXIMUM = 4
    MINIMUM = 5
    LESS = 6
    GREATER = 7
    COPYTO = 8
    NEGATIVE = 9
    ABS = 10
    SQRT = 11
    EXP = 12
    TANH = 13


FUNCTIONS = {function.name.lower(): function for function in Function}
"""By the name that an array module has for it."""


class Partition(Enum):
    """How the work of an instruction is divided among the threads."""

    ROWS = auto()
    """Each thread computes its share of the m rows of the result."""

    COLUMNS = auto()
    """Each thread computes its share of the n columns of the result."""

    PARTIAL_SUMS = auto()
    """The result is a sum over m rows: each thread adds up its share of them, the first one in the result, each other one in a
    partial sum of its own."""


class Access(Enum):
    """Which part of an operand a thread reads or writes: what hazard analysis has to know (`program.Use`)."""

    READ_ROWS = auto()
    """Each thread reads its own rows."""

    READ_ALL = auto()
    """Each thread may read the whole array."""

    READ_BROADCAST = auto()
    """READ_ROWS where the array has as many rows as the result, else READ_ALL."""

    WRITE_ROWS = auto()
    """Each thread writes its own rows, and may read them."""

    WRITE_ALL = auto()
    """Each thread writes a part of its own that is not its rows."""

    @property
    def writes(self) -> bool:
        return self in (Access.WRITE_ROWS, Access.WRITE_ALL)

    @property
    def own_rows(self) -> bool:
        """Whether each thread keeps to its own rows."""
        return self in (Access.READ_ROWS, Access.WRITE_ROWS)

    def of(self, array: np.ndarray, rows: int) -> Access:
        """The access to this array where the result has `rows` rows: READ_BROADCAST is decided, the others are as they are."""
        if self is not Access.READ_BROADCAST:
            return self
        return Access.READ_ROWS if array.ndim == 2 and len(array) == rows else Access.READ_ALL


READ_ROWS, READ_ALL, READ_BROADCAST, WRITE_ROWS, WRITE_ALL = Access


class Operand(NamedTuple):
    """An array that an instruction reads or writes; extents in `shape` are those of the instruction, T the number of threads.

    row, block: the first two strides of the instruction.
    """

    name: str
    shape: str
    access: Access
    whole: bool = False
    """Whether its numbers are whole, int64, and not of the type of all others."""


class Instruction(NamedTuple):
    """A row of the instruction set."""

    meaning: str
    partition: Partition
    operands: tuple[Operand, ...]
    """In the order in which their addresses are encoded: a, b, c, d, e."""


INSTRUCTION_SET = {
    Opcode.MATMUL: Instruction(
        "out = a b, with b or its transpose row by row in memory",
        Partition.ROWS,
        (Operand("a", "m k", READ_ROWS), Operand("b", "k n", READ_ALL), Operand("out", "m n", WRITE_ROWS)),
    ),
    Opcode.MATMUL_BY_COLUMNS: Instruction(
        "the same for few rows, with a or its transpose row by row in memory",
        Partition.COLUMNS,
        (Operand("a", "m k", READ_ALL), Operand("b", "k n", READ_ALL), Operand("out", "m n", WRITE_ALL)),
    ),
    Opcode.FEW_TERMS: Instruction(
        "out = a b, k at most FEW",
        Partition.ROWS,
        (Operand("a", "m k", READ_ROWS), Operand("b", "k n", READ_ALL), Operand("out", "m n", WRITE_ROWS)),
    ),
    Opcode.FEW_COLUMNS: Instruction(
        "out = a b^T, n at most FEW",
        Partition.ROWS,
        (Operand("a", "m k", READ_ROWS), Operand("b", "n k", READ_ALL), Operand("out", "m n", WRITE_ROWS)),
    ),
    Opcode.MATMUL_OVER_ROWS: Instruction(
        "out = x^T dz, a sum over rows",
        Partition.PARTIAL_SUMS,
        (
            Operand("out", "k n", WRITE_ALL),
            Operand("partial sums", "T-1 k n", WRITE_ALL),
            Operand("dz", "m n", READ_ROWS),
            Operand("x", "m k", READ_ROWS),
        ),
    ),
    Opcode.FEW_OVER_ROWS: Instruction(
        "the same, k at most FEW",
        Partition.PARTIAL_SUMS,
        (
            Operand("out", "k n", WRITE_ALL),
            Operand("partial sums", "T-1 k n", WRITE_ALL),
            Operand("dz", "m n", READ_ROWS),
            Operand("x", "m k", READ_ROWS),
        ),
    ),
    Opcode.COLUMN_SUMS: Instruction(
        "out = the sums of the columns of dz, k = 1",
        Partition.PARTIAL_SUMS,
        (
            Operand("out", "k n", WRITE_ALL),
            Operand("partial sums", "T-1 k n", WRITE_ALL),
            Operand("dz", "m n", READ_ROWS),
        ),
    ),
    Opcode.ADD_PARTIAL_SUMS: Instruction(
        "out += the sum of the rows of partial sums; n = T - 1",
        Partition.ROWS,
        (Operand("out", "m", WRITE_ROWS), Operand("partial sums", "n m", READ_ALL)),
    ),
    Opcode.ELEMENTWISE: Instruction(
        "out = function(a, b), or function(a), broadcast: the stride along an axis that is repeated is 0",
        Partition.ROWS,
        (
            Operand("a", "m n or fewer", READ_BROADCAST),
            Operand("b", "m n or fewer", READ_BROADCAST),
            Operand("out", "m n", WRITE_ROWS),
        ),
    ),
    Opcode.ROW_SUMS: Instruction(
        "out = the sums of the rows of x",
        Partition.ROWS,
        (Operand("x", "m n", READ_ROWS), Operand("out", "m 1", WRITE_ROWS)),
    ),
    Opcode.BIAS_LEAKY_RELU: Instruction(
        "y <- phi(y + bias)",
        Partition.ROWS,
        (Operand("y", "m n", WRITE_ROWS), Operand("bias", "n", READ_ALL), Operand("leak", "1", READ_ALL)),
    ),
    Opcode.BIAS_TANH: Instruction(
        "y <- tanh(y + bias)",
        Partition.ROWS,
        (Operand("y", "m n", WRITE_ROWS), Operand("bias", "n", READ_ALL)),
    ),
    Opcode.LEAKY_RELU_BACKWARD: Instruction(
        "slope = phi'(y), dz <- dz * slope",
        Partition.ROWS,
        (
            Operand("y", "m n", READ_ROWS),
            Operand("slope", "m n", WRITE_ROWS),
            Operand("dz", "m n", WRITE_ROWS),
            Operand("leak", "1", READ_ALL),
        ),
    ),
    Opcode.TANH_BACKWARD: Instruction(
        "slope = 1 - y^2, dz <- dz * slope",
        Partition.ROWS,
        (Operand("y", "m n", READ_ROWS), Operand("slope", "m n", WRITE_ROWS), Operand("dz", "m n", WRITE_ROWS)),
    ),
    Opcode.ADAM: Instruction(
        "one update of theta and its moments (`Ops.adam`)",
        Partition.ROWS,
        (
            Operand("theta", "m", WRITE_ROWS),
            Operand("gradient", "m", READ_ROWS),
            Operand("first moment", "m", WRITE_ROWS),
            Operand("second moment", "m", WRITE_ROWS),
            Operand("factors", "4", READ_ALL),
        ),
    ),
    Opcode.AVERAGE: Instruction(
        "mean <- mean + weight (theta - mean)",
        Partition.ROWS,
        (Operand("mean", "m", WRITE_ROWS), Operand("theta", "m", READ_ROWS), Operand("weight", "1", READ_ALL)),
    ),
    Opcode.SUM_COLUMNS: Instruction(
        "out_j = the sum over c < k of the blocks x_index(c, j), those below 0 left out; blocks of a_column columns",
        Partition.ROWS,
        (
            Operand("x", "m row", READ_ROWS),
            Operand("index", "k n", READ_ALL, whole=True),
            Operand("out", "m n block", WRITE_ROWS),
        ),
    ),
}

EXTENTS = ("m", "n", "k")
ADDRESSES = ("a", "b", "c", "d", "e")
STRIDES = ("a_row", "a_column", "b_row", "b_column")
"""In numbers, not bytes: from a row, and from a column, of operands a and b to the next one (`ELEMENTWISE`, `MATMUL`). Of
`SUM_COLUMNS`: from a row of x to the next, from a block of columns to the next."""

ENCODING = np.dtype(
    [(name, np.int64) for name in ("opcode", "barrier", *EXTENTS, *ADDRESSES, *STRIDES, "function")], align=True
)
"""An instruction as the virtual machine reads it. barrier: whether all threads must have finished what comes before."""

FEW = 3
"""Terms, columns or rows up to which a loop is faster than the products of a BLAS, which are made for large blocks."""

LEAST = 16
"""Rows are partitioned in multiples of this where there are enough: a product works on blocks of 8 or 16, and a cache line
holds 16 numbers."""
