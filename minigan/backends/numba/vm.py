"""The virtual machine: `execute` carries out the instructions of a program, on several threads and without the interpreter.

Every thread executes the whole program, each instruction on its share of the work (`instructions.Partition`): it makes arrays
of the addresses in the instruction, and calls a loop (kernels.py) or, by its address, a matrix product of the BLAS that NumPy
brings. Threads wait for each other only at barriers. What they share is one array, the control block.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigan.backends.numba import kernels
from minigan.backends.numba.instructions import ENCODING, LEAST, Opcode
from minigan.backends.numba.kernels import Strided, compiled

CONTROL_WORDS = 64
"""Length of the control block: an array of int64, all 0 at the start, whose words are numbered here."""

BEGUN, ARRIVED = 0, 32
"""Programs begun so far, and arrivals of threads at barriers: words that threads poll, each with cache lines of its own."""

TABLE, LENGTH, ARRIVED_BEFORE = 16, 17, 18
"""The program that began last: the address of its instructions, their number, and ARRIVED when it began."""

GEMM, YIELD = 19, 20
"""Addresses of two functions: `cblas_sgemm` or `cblas_dgemm`, and one that yields the processor to another thread, or 0."""

BUFFER = 512
"""Numbers in a block of an element-wise operation."""

SPINS = 2000
"""Polls before a waiting thread starts to yield the processor between polls."""

PATIENCE = 6000
"""Polls before a worker without work goes to sleep: some milliseconds."""


# --------------------------------------------------------- what has to be generated: pointers, atomics, calls by address


class Matrix(NamedTuple):
    """A matrix in memory: its address, and the strides to its next row and its next column, one of which is 1."""

    address: int
    row: int
    column: int


ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE = 101, 111, 112
"""Values of CBLAS_LAYOUT and CBLAS_TRANSPOSE."""


@intrinsic
def pointer(context: Any, address: Any, like: Any) -> Any:
    """The address as a pointer to numbers of the type of the array `like`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(address, like), generate


@intrinsic
def instruction_pointer(context: Any, address: Any) -> Any:
    """The address as a pointer to instructions."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(numba.from_dtype(ENCODING))(address), generate


def _word(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.gep(data, [arguments[1]])


@intrinsic
def increment(context: Any, control: Any, word: Any) -> Any:
    """control[word] += 1, atomically and with release order: a thread that sees it sees all that was written before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = ir.Constant(ir.IntType(64), 1)
        return builder.atomic_rmw("add", _word(context, builder, signature, arguments), one, "seq_cst")

    return types.int64(control, word), generate


@intrinsic
def poll(context: Any, control: Any, word: Any) -> Any:
    """control[word], read from memory with acquire order, never from a register."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_word(context, builder, signature, arguments), "acquire", 8)

    return types.int64(control, word), generate


@intrinsic
def call(context: Any, address: Any) -> Any:
    """Call the function at this address, which takes no arguments; none at 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        with builder.if_then(builder.icmp_unsigned("!=", arguments[0], ir.Constant(ir.IntType(64), 0))):
            builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(address), generate


@intrinsic
def gemm(context: Any, address: Any, extents: Any, a: Any, b: Any, out: Any, integer: Any, like: Any) -> Any:
    """out (m, n) = a (m, k) b (k, n) by the function `cblas_?gemm` at this address: `Matrix` each, extents (m, n, k).

    integer: a number of the type of integers that the function takes.  like: an array of the type of its matrices.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        real, index = context.get_value_type(like.dtype), context.get_value_type(integer)
        byte, code = ir.IntType(8).as_pointer(), ir.IntType(32)

        def numbers(i: int) -> list[Any]:
            return [
                context.cast(builder, value, kind, types.int64)
                for value, kind in zip(cgutils.unpack_tuple(builder, arguments[i]), signature.args[i], strict=True)
            ]

        def fit(value: Any) -> Any:
            return value if index.width == 64 else builder.trunc(value, index)

        def operand(i: int) -> tuple[Any, Any, Any]:
            """Its transposition, its address, and the length of its rows in memory."""
            address, row, column = numbers(i)
            plain = builder.icmp_signed("==", column, ir.Constant(column.type, 1))
            flag = builder.select(plain, ir.Constant(code, NO_TRANSPOSE), ir.Constant(code, TRANSPOSE))
            return flag, builder.inttoptr(address, byte), fit(builder.select(plain, row, column))

        m, n, k = map(fit, numbers(1))
        (flag_a, a, row_a), (flag_b, b, row_b), (_, out, row_out) = map(operand, (2, 3, 4))
        one, zero = ir.Constant(real, 1.0), ir.Constant(real, 0.0)
        values = [ir.Constant(code, ROW_MAJOR), flag_a, flag_b, m, n, k, one, a, row_a, b, row_b, zero, out, row_out]
        function = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), values)
        return context.get_dummy_value()

    return types.void(address, extents, a, b, out, integer, like), generate


# --------------------------------------------------------------------------------------------------------- execution


@compiled
def vector(address: int, n: int, like: Any) -> Any:
    """The memory at an address as an array (n,)."""
    return numba.carray(pointer(address, like), (n,))


@compiled
def matrix(address: int, m: int, n: int, like: Any) -> Any:
    """The memory at an address as an array (m, n)."""
    return numba.carray(pointer(address, like), (m, n))


@compiled
def share(m: int, thread: int, threads: int) -> int:
    """The first of m rows that belongs to this thread; the share of the thread ends where that of the next one begins."""
    if thread == threads:
        return m
    return m * thread // threads // LEAST * LEAST if m >= LEAST * threads else m * thread // threads


@compiled
def barrier(control: Any, arrivals: int) -> None:
    """Arrive, and wait until there have been `arrivals` arrivals."""
    increment(control, ARRIVED)
    polls = 0
    while poll(control, ARRIVED) < arrivals:
        polls += 1
        if polls > SPINS:
            call(control[YIELD])


@compiled
def execute(control: Any, thread: int, threads: int, integer: Any, like: Any) -> None:
    """This thread's share of every instruction of the program in the control block.

    integer: see `gemm`.  like: [1] in the type of all arrays.
    """
    program = numba.carray(instruction_pointer(control[TABLE]), (control[LENGTH],))
    arrivals, product = control[ARRIVED_BEFORE], control[GEMM]
    size = like.itemsize
    x, y = np.empty(BUFFER, like.dtype), np.empty(BUFFER, like.dtype)
    for i in range(program.size):
        instruction = program[i]
        if instruction.barrier and threads > 1:
            arrivals += threads
            barrier(control, arrivals)
        op, m, n, k = instruction.opcode, instruction.m, instruction.n, instruction.k
        a, b, c, d, e = instruction.a, instruction.b, instruction.c, instruction.d, instruction.e
        a_row, a_column = instruction.a_row, instruction.a_column
        b_row, b_column = instruction.b_row, instruction.b_column
        # partitioned by columns
        if op == Opcode.MATMUL_BY_COLUMNS:
            first = share(n, thread, threads)
            columns = share(n, thread + 1, threads) - first
            if columns > 0:
                left = Matrix(a, a_row, a_column)
                right, out = Matrix(b + size * first * b_column, b_row, b_column), Matrix(c + size * first, n, 1)
                gemm(product, (m, columns, k), left, right, out, integer, like)
            continue
        first = share(m, thread, threads)
        rows = share(m, thread + 1, threads) - first
        skip = size * first  # bytes before this thread's rows, for each column
        # partial sums: the first thread's in the result, at a, the others' at b
        if op == Opcode.MATMUL_OVER_ROWS or op == Opcode.FEW_OVER_ROWS or op == Opcode.COLUMN_SUMS:
            total = a if thread == 0 else b + size * (thread - 1) * k * n
            sums, dz = matrix(total, k, n, like), matrix(c + skip * n, rows, n, like)
            if rows == 0:
                sums[:] = 0
            elif op == Opcode.MATMUL_OVER_ROWS:
                left, right = Matrix(d + skip * k, 1, k), Matrix(c + skip * n, n, 1)
                gemm(product, (k, n, rows), left, right, Matrix(total, n, 1), integer, like)
            elif op == Opcode.FEW_OVER_ROWS:
                kernels.few_over_rows(matrix(d + skip * k, rows, k, like), dz, sums)
            else:
                kernels.column_sums(dz, sums[0])
            continue
        # partitioned by rows
        if rows == 0:
            continue
        if op == Opcode.ADD_PARTIAL_SUMS:
            kernels.add_partial_sums(vector(a + skip, rows, like), matrix(b, n, m, like), first)
        elif op == Opcode.FEW_TERMS:
            result = matrix(c + skip * n, rows, n, like)
            kernels.few_terms(matrix(a + skip * k, rows, k, like), matrix(b, k, n, like), result)
        elif op == Opcode.FEW_COLUMNS:
            result = matrix(c + skip * n, rows, n, like)
            kernels.few_columns(matrix(a + skip * k, rows, k, like), matrix(b, n, k, like), result)
        elif op == Opcode.MATMUL:
            left, right = Matrix(a + skip * a_row, a_row, a_column), Matrix(b, b_row, b_column)
            gemm(product, (rows, n, k), left, right, Matrix(c + skip * n, n, 1), integer, like)
        elif op == Opcode.ELEMENTWISE:
            extent_a = (rows - 1) * a_row + (n - 1) * a_column + 1
            extent_b = (rows - 1) * b_row + (n - 1) * b_column + 1
            strided_a = Strided(vector(a + skip * a_row, extent_a, like), a_row, a_column)
            strided_b = Strided(vector(b + skip * b_row, extent_b, like), b_row, b_column)
            result = vector(c + skip * n, rows * n, like)
            kernels.elementwise(instruction.function, strided_a, strided_b, result, n, x, y)
        elif op == Opcode.ROW_SUMS:
            kernels.row_sums(matrix(a + skip * n, rows, n, like), vector(b + skip, rows, like))
        elif op == Opcode.ADAM:
            theta, gradient = vector(a + skip, rows, like), vector(b + skip, rows, like)
            first_moment, second_moment = vector(c + skip, rows, like), vector(d + skip, rows, like)
            kernels.adam(theta, gradient, first_moment, second_moment, vector(e, 4, like))
        elif op == Opcode.AVERAGE:
            kernels.average(vector(a + skip, rows, like), vector(b + skip, rows, like), vector(c, 1, like)[0])
        elif op == Opcode.SUM_COLUMNS:
            blocks, index = matrix(a + skip * a_row, rows, a_row, like), matrix(b, k, n, control)
            kernels.sum_columns(blocks, index, a_column, matrix(c + skip * n * a_column, rows, n * a_column, like))
        elif op == Opcode.BIAS_LEAKY_RELU:
            output, leak = matrix(a + skip * n, rows, n, like), vector(c, 1, like)[0]
            kernels.bias_leaky_relu(output, vector(b, n, like), leak)
        elif op == Opcode.BIAS_TANH:
            kernels.bias_tanh(matrix(a + skip * n, rows, n, like), vector(b, n, like))
        else:
            output, slope = matrix(a + skip * n, rows, n, like), matrix(b + skip * n, rows, n, like)
            dz = matrix(c + skip * n, rows, n, like)
            if op == Opcode.LEAKY_RELU_BACKWARD:
                kernels.leaky_relu_backward(output, vector(d, 1, like)[0], like[0], slope, dz)
            elif op == Opcode.TANH_BACKWARD:
                kernels.tanh_backward(output, like[0], slope, dz)
    if threads > 1:
        barrier(control, arrivals + threads)


@compiled
def begin(control: Any) -> None:
    """Start the workers on the program in the control block."""
    increment(control, BEGUN)


@compiled
def work(control: Any, done: int, thread: int, threads: int, patience: int, integer: Any, like: Any) -> int:
    """A worker: execute each program that begins, until none has for `patience` polls. Returns how many have been executed.

    done: how many of the programs that have begun this worker has executed.
    """
    polls = 0
    while polls < patience:
        polls += 1
        if poll(control, BEGUN) > done:
            execute(control, thread, threads, integer, like)
            done, polls = done + 1, 0
        elif polls > SPINS:
            call(control[YIELD])
    return done
