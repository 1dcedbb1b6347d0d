"""All that Numba compiles: the loops over memory, and `execute`, which goes through the instructions of a program.

NumPy makes one pass over memory for every operation: Adam is ten, a leaky ReLU with its bias three. Each loop here is one
pass. No flag that assumes finite numbers is set, so a NaN stays a NaN and divergence is still found.

`execute` is the one place that says what an instruction does: it looks at memory through addresses, takes this thread's
share of the rows, and calls a loop, or a matrix product of the BLAS that NumPy brings along by its address. So no thread
needs the interpreter between two instructions.

One file, because Numba keeps what it compiled until the file changes in which a function stands, not those it calls.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minigan.backends.numba.keep import kept

(MATMUL, MATMUL_BY_COLUMNS, FEW_TERMS, FEW_COLUMNS, MATMUL_OVER_ROWS, FEW_OVER_ROWS, COLUMN_SUMS, ADD_PARTS, ELEMENTWISE,
 BIAS_LEAKY_RELU, BIAS_TANH, LEAKY_RELU_BACKWARD, TANH_BACKWARD, ROW_SUMS, ADAM, AVERAGE) = range(16)  # fmt: skip
"""The instructions; what each computes stands in `execute`."""

FEW = 3
"""Terms, columns or rows up to which a loop is faster than the products of a BLAS, which are made for large blocks."""

OP, WAIT, M, N, K, ARRAYS, STRIDES, FIELDS = 0, 1, 2, 3, 4, 5, 10, 14
"""Fields of an instruction: what to do; whether all threads must be here first; extents; addresses; strides."""

LEAST = 16
"""Rows are partitioned in multiples of this where there are enough: a product works on blocks of 8 or 16, and a cache line
holds 16 numbers."""

CHUNK = 512
"""Numbers that an element-wise operation handles at a time."""

GO, TABLE, LENGTH, BEFORE, ARRIVED = 0, 16, 17, 18, 32
"""Places on the board that the threads of a team share: programs begun; where the program's table is, and its length;
arrivals before it began; arrivals. Those that all threads watch have a cache line for themselves."""

SPINS = 2000
"""Polls of the board before a waiting thread starts to yield the processor between polls."""

PATIENCE = 6000
"""Polls before a worker without work goes to sleep: some milliseconds."""

FASTMATH = {"contract", "reassoc", "nsz"}
compiled = kept(nogil=True, fastmath=FASTMATH, error_model="numpy")
unassociated = kept(nogil=True, fastmath={"contract"}, error_model="numpy")  # where the order matters


# ------------------------------------------------------------------------------------------------------- the loops


@compiled
def bias_leaky_relu(y: Any, b: Any, leak: Any) -> None:
    """y <- max(y + b, leak (y + b)), y (B, O), b (O,); leak 0 makes it a ReLU."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            z = y[i, j] + b[j]
            y[i, j] = leak * z if z <= 0 else z


@compiled
def leaky_relu_backward(y: Any, leak: Any, one: Any, slope: Any, dz: Any) -> None:
    """slope = [y > 0] + leak [y <= 0] and dz <- dz * slope.

    In place through one name: given one array under two names, LLVM cannot rule out aliasing and does not vectorise.
    """
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            s = one if y[i, j] > 0 else leak
            slope[i, j] = s
            dz[i, j] *= s


MANTISSA = np.int32(23)  # bits of it in a float32
LOG2_E = np.float32(1 / math.log(2))
LOG2_HIGH, LOG2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # their sum is log 2; the first has few bits
ROUND = np.float32(1.5 * 2**23)  # adding it rounds to a whole number, which the low bits then hold
ROUND_BITS = np.int32(0x4B400000)

EDGE = np.float32(9.25)  # from 9.02 on tanh rounds to 1
SMALL = np.float32(0.55)
ONE, MINUS_TWO = np.float32(1), np.float32(-2)
TO_POWER = np.int32(127 - 0x4B400000)
E2, E3, E4, E5, E6, E7 = (np.float32(1 / math.factorial(n)) for n in range(2, 8))


@unassociated
def bias_tanh(y: Any, b: Any) -> None:
    """y <- tanh(y + b), float32: no call in the loop, so that a vector of numbers is computed at once.

    With e = e^(-2 |z|), tanh |z| = 1 - 2 e / (1 + e): near 1, nothing but the last subtraction rounds, so that 1 - y^2 keeps
    what accuracy y can hold (docs/math.md). Near 0 that cancels: there it is (1 - e) / (1 + e), with e = s + s q and
    1 - e = (1 - s) - s q, s = 2^k and q = e^r - 1 from its series, |r| <= log(2) / 2.
    """
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            z = y[i, j] + b[j]
            a = abs(z)
            a = EDGE if a > EDGE else a  # a NaN fails every comparison and stays
            x = a * MINUS_TWO
            shifted = np.float32(x * LOG2_E + ROUND)
            k = shifted - ROUND
            r = (x - k * LOG2_HIGH) - k * LOG2_LOW
            q = (((((E7 * r + E6) * r + E5) * r + E4) * r + E3) * r + E2) * r * r + r
            s = np.int32(np.int32(shifted.view(np.int32) + TO_POWER) << MANTISSA).view(np.float32)
            e = s * q + s
            near = a < SMALL
            w = ((ONE - s) - s * q if near else e + e) / (ONE + e)
            t = w if near else ONE - w
            y[i, j] = -t if z < 0 else t


@compiled
def tanh_backward(y: Any, one: Any, slope: Any, dz: Any) -> None:
    """slope = 1 - y^2 and dz <- dz * slope. As a product: where y is near 1, its square would round what is left of it."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            s = (one - y[i, j]) * (one + y[i, j])
            slope[i, j] = s
            dz[i, j] *= s


ROOT_HALF = np.int32(0x3F3504F3)  # the bits of sqrt(1/2)
ULPS = np.int32(1 << 24)  # uniforms are multiples of 2^-24
QUARTER, EIGHTH = np.int32(22), np.int32(1 << 21)  # of a turn: 2^22 and 2^21 of them
RIGHT_ANGLE = np.float32(math.pi / 2 / (1 << 22))
LOG2 = np.float32(math.log(2))


@compiled
def box_muller(words: Any, radii: Any, out: Any) -> None:
    """`Noise.normal` from raw words (n,) of 32 bits: radii (n/2,), out (n,).

    Series instead of calls, so that eight are computed at once: log m = 2 artanh((m - 1) / (m + 1)) on [sqrt(1/2), sqrt(2)),
    sine and cosine on an eighth of a turn either way, where the first term left out is below half a unit in the last place.
    """
    f, i32 = np.float32, np.int32
    half = radii.size
    for i in range(half):
        x = f(ULPS - i32(words[i] >> 8))  # (1 - u1) 2^24, exactly
        bits = x.view(i32)
        e = (bits - ROOT_HALF) >> MANTISSA
        m = i32(bits - (e << MANTISSA)).view(f)  # x = m 2^e
        s = (m - f(1)) / (m + f(1))
        q = s * s
        log = f(2) * s * ((((q * f(1 / 9) + f(1 / 7)) * q + f(1 / 5)) * q + f(1 / 3)) * q + f(1))
        radii[i] = np.sqrt(f(-2) * (log + f(e - 24) * LOG2))
    for i in range(half):
        k = i32(words[half + i] >> 8)  # u2 2^24
        quarter = (k + EIGHTH) >> QUARTER  # the nearest
        t = f(k - (quarter << QUARTER)) * RIGHT_ANGLE
        q = t * t
        sine = t * ((((f(1 / 362880) * q - f(1 / 5040)) * q + f(1 / 120)) * q - f(1 / 6)) * q + f(1))
        cosine = (((f(1 / 40320) * q - f(1 / 720)) * q + f(1 / 24)) * q - f(0.5)) * q + f(1)
        odd = (quarter & i32(1)) != 0
        a, b = (sine, cosine) if odd else (cosine, sine)
        out[i] = radii[i] * (-a if ((quarter + i32(1)) & i32(2)) != 0 else a)
        out[half + i] = radii[i] * (-b if (quarter & i32(2)) != 0 else b)


@compiled
def few_terms(a: Any, b: Any, out: Any) -> None:
    """out = a b, a (B, k), b (k, O): the sum of k outer products."""
    for i in range(out.shape[0]):
        row, x, term = out[i], a[i, 0], b[0]
        for j in range(row.size):
            row[j] = x * term[j]
        for p in range(1, b.shape[0]):
            x, term = a[i, p], b[p]
            for j in range(row.size):
                row[j] += x * term[j]


@compiled
def few_columns(a: Any, b: Any, out: Any) -> None:
    """out = a b^T, a (B, k), b (n, k): inner products, of four rows at a time."""
    rows = a.shape[0]
    for column in range(b.shape[0]):
        weights = b[column]
        for i in range(0, rows - 3, 4):
            first, second, third, fourth = a[i], a[i + 1], a[i + 2], a[i + 3]
            w = weights[0]
            r, s, t, u = first[0] * w, second[0] * w, third[0] * w, fourth[0] * w
            for p in range(1, weights.size):
                r += first[p] * weights[p]
                s += second[p] * weights[p]
                t += third[p] * weights[p]
                u += fourth[p] * weights[p]
            out[i, column], out[i + 1, column], out[i + 2, column], out[i + 3, column] = r, s, t, u
        for i in range(rows // 4 * 4, rows):
            first, r = a[i], a[i, 0] * weights[0]
            for p in range(1, weights.size):
                r += first[p] * weights[p]
            out[i, column] = r


@compiled
def few_over_rows(a: Any, b: Any, out: Any) -> None:
    """out = a^T b, a (B, m), b (B, O): rows of b weighted by a column of a and added up, four at a time."""
    rows = a.shape[0]
    for k in range(out.shape[0]):
        total = out[k]
        total[:] = 0
        for i in range(0, rows - 3, 4):
            w, x, y, z = a[i, k], a[i + 1, k], a[i + 2, k], a[i + 3, k]
            r, s, t, u = b[i], b[i + 1], b[i + 2], b[i + 3]
            for j in range(total.size):
                total[j] += (w * r[j] + x * s[j]) + (y * t[j] + z * u[j])
        for i in range(rows // 4 * 4, rows):
            w, r = a[i, k], b[i]
            for j in range(total.size):
                total[j] += w * r[j]


@compiled
def column_sums(dz: Any, db: Any) -> None:
    """db = sum_B dz, four rows at a time: NumPy's sum along the first axis takes three times as long."""
    rows = dz.shape[0]
    db[:] = 0
    for i in range(0, rows - 3, 4):
        a, b, c, d = dz[i], dz[i + 1], dz[i + 2], dz[i + 3]
        for j in range(db.size):
            db[j] += (a[j] + b[j]) + (c[j] + d[j])
    for i in range(rows // 4 * 4, rows):
        a = dz[i]
        for j in range(db.size):
            db[j] += a[j]


@compiled
def add_parts(total: Any, parts: Any, first: int) -> None:
    """total += parts_1 + parts_2 + ..., whose columns from `first` on are those of total."""
    for p in range(parts.shape[0]):
        part = parts[p, first : first + total.size]
        for i in range(total.size):
            total[i] += part[i]


@compiled
def row_sums(x: Any, out: Any) -> None:
    """out_i = sum_j x_ij: x (B, O), out (B,)."""
    for i in range(x.shape[0]):
        total = x[i, 0]
        for j in range(1, x.shape[1]):
            total += x[i, j]
        out[i] = total


@unassociated
def exponential(x: Any, columns: int) -> None:
    """x <- e^x, float32, columns of a vector: e^x = 2^k e^r with |r| <= log(2) / 2, and e^r from its series."""
    f, i32 = np.float32, np.int32
    for j in range(columns):
        z = x[j]
        z = f(89) if z > f(89) else z  # beyond which all is infinite, and below which all is 0; a NaN stays
        z = f(-105) if z < f(-105) else z
        k = f(z * LOG2_E + ROUND).view(i32) - ROUND_BITS
        r = (z - f(k) * LOG2_HIGH) - f(k) * LOG2_LOW
        p = ((((f(1 / 5040) * r + f(1 / 720)) * r + f(1 / 120)) * r + f(1 / 24)) * r + f(1 / 6)) * r + f(0.5)
        half = k >> i32(1)  # 2^k in two factors: it may lie outside of the normal numbers
        first = i32((half + i32(127)) << MANTISSA).view(f)
        second = i32((k - half + i32(127)) << MANTISSA).view(f)
        x[j] = ((p * r * r + r) + f(1)) * first * second


BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "less", "greater")
UNARY = ("copyto", "negative", "abs", "sqrt", "exp", "tanh")
"""The element-wise operations of an array module; a number stands for each."""
ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM, LESS, GREATER, COPY, NEGATIVE, ABS, SQRT, EXP, TANH = range(14)


@compiled
def combine(kind: int, x: Any, y: Any, n: int) -> None:
    """x <- kind(x, y), or kind(x), for the first n numbers of two vectors that share no memory."""
    if kind == ADD:
        for j in range(n):
            x[j] += y[j]
    elif kind == SUBTRACT:
        for j in range(n):
            x[j] -= y[j]
    elif kind == MULTIPLY:
        for j in range(n):
            x[j] *= y[j]
    elif kind == DIVIDE:
        for j in range(n):
            x[j] /= y[j]
    elif kind == MAXIMUM:  # of a NaN and a number, the NaN
        for j in range(n):
            x[j] = x[j] if x[j] > y[j] or x[j] != x[j] else y[j]
    elif kind == MINIMUM:
        for j in range(n):
            x[j] = x[j] if x[j] < y[j] or x[j] != x[j] else y[j]
    elif kind == LESS:
        for j in range(n):
            x[j] = x[j] < y[j]
    elif kind == GREATER:
        for j in range(n):
            x[j] = x[j] > y[j]
    elif kind == NEGATIVE:
        for j in range(n):
            x[j] = -x[j]
    elif kind == ABS:
        for j in range(n):
            x[j] = abs(x[j])
    elif kind == SQRT:
        for j in range(n):
            x[j] = np.sqrt(x[j])
    elif kind == EXP and x.itemsize == 4:
        exponential(x, n)
    elif kind == EXP:
        for j in range(n):
            x[j] = np.exp(x[j])
    elif kind == TANH:
        for j in range(n):
            x[j] = np.tanh(x[j])


@compiled
def load(to: Any, source: Any, row: int, column: int, i: int, rows: int, first: int, n: int) -> None:
    """to = the n columns from `first` on of `rows` rows of source, from i on, whose strides are `row` and `column`.

    Slices are made before a loop: LLVM vectorises it only where it can prove that the index is not negative.
    """
    if row == n and (column == 1 or n == 1):  # rows one after the other
        part, piece = source[i * n : (i + rows) * n], to[: rows * n]
        for j in range(rows * n):
            piece[j] = part[j]
        return
    for r in range(rows):
        start, piece = (i + r) * row + first * column, to[r * n : (r + 1) * n]
        if column:
            part = source[start : start + n]
            for j in range(n):
                piece[j] = part[j]
        else:
            value = source[start]
            for j in range(n):
                piece[j] = value


@compiled
def elementwise(kind: int, rows: int, columns: int, a: Any, a_row: int, a_column: int, b: Any, b_row: int, b_column: int,
                out: Any, x: Any, y: Any) -> None:  # fmt: skip
    """out_ij = kind(a_ij, b_ij), out (rows, columns); a stride of 0 repeats an operand along that axis.

    Through two short vectors, x and y: out may be an operand, of which the compiler could make nothing but one number at a
    time, and every combination of strides would need a loop of its own.
    """
    several = max(1, x.size // columns)  # rows at a time
    for i in range(0, rows, several):
        some = min(several, rows - i)
        for first in range(0, columns, x.size):
            n = min(x.size, columns - first)
            load(x, a, a_row, a_column, i, some, first, n)
            if kind < COPY:
                load(y, b, b_row, b_column, i, some, first, n)
            combine(kind, x, y, some * n)
            piece = out[i * columns + first : i * columns + first + some * n]
            for j in range(some * n):
                piece[j] = x[j]


@compiled
def adam(theta: Any, grad: Any, m: Any, v: Any, beta1: Any, beta2: Any, step_size: Any, epsilon: Any) -> None:
    """All of `Ops.adam` in one pass: three vectors read and written, one read."""
    for i in range(theta.size):
        g = grad[i]
        a = beta1 * m[i] + g
        b = beta2 * v[i] + g * g
        m[i] = a
        v[i] = b
        theta[i] -= step_size * a / (np.sqrt(b) + epsilon)


@compiled
def average(mean: Any, theta: Any, weight: Any) -> None:
    """mean <- mean + weight (theta - mean)."""
    for i in range(mean.size):
        mean[i] += weight * (theta[i] - mean[i])


@compiled
def gather(rows: Any, chosen: Any, offset: Any, factor: Any, out: Any) -> None:
    """out_i = (rows[chosen_i] - offset) * factor; offset and factor (d,), or (1,) for all columns."""
    own = 0 if offset.size == 1 else 1
    for i in range(out.shape[0]):
        k = chosen[i]
        for j in range(out.shape[1]):
            out[i, j] = rows[k, j]  # in out's type from here on
            out[i, j] = (out[i, j] - offset[own * j]) * factor[own * j]


# ------------------------------------------------------------------------------- what Numba has no words for


@intrinsic
def pointer(context: Any, at: Any, like: Any) -> Any:
    """The address `at` as a pointer to numbers of the type of the array `like`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(at, like), generate


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.gep(data, [arguments[1]])


@intrinsic
def increase(context: Any, board: Any, place: Any) -> Any:
    """board[place] += 1, atomically and with release order: who sees it sees all that was written before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = ir.Constant(ir.IntType(64), 1)
        return builder.atomic_rmw("add", _place(context, builder, signature, arguments), one, "seq_cst")

    return types.int64(board, place), generate


@intrinsic
def look(context: Any, board: Any, place: Any) -> Any:
    """board[place], read from memory with acquire order, never from a register."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_place(context, builder, signature, arguments), "acquire", 8)

    return types.int64(board, place), generate


@intrinsic
def relax(context: Any, at: Any) -> Any:
    """Call the function at this address, which takes nothing; none at 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        with builder.if_then(builder.icmp_unsigned("!=", arguments[0], ir.Constant(ir.IntType(64), 0))):
            builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(at), generate


@intrinsic
def multiply(context: Any, at: Any, flag_a: Any, flag_b: Any, m: Any, n: Any, k: Any, a: Any, lda: Any, b: Any, ldb: Any,
             c: Any, ldc: Any, whole: Any, like: Any) -> Any:  # fmt: skip
    """C (m, n) = op(A) op(B) by the function `cblas_?gemm` at this address; `whole`: an integer of its kind of integers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, small = ir.IntType(8).as_pointer(), ir.IntType(32)
        real, integer = context.get_value_type(like.dtype), context.get_value_type(whole)
        at, flag_a, flag_b, m, n, k, a, lda, b, ldb, c, ldc = arguments[:12]

        def fit(value: Any, kind: Any) -> Any:
            return value if kind.width == 64 else builder.trunc(value, kind)

        def operation(flag: Any) -> Any:  # CblasNoTrans or CblasTrans
            return builder.add(builder.trunc(flag, small), ir.Constant(small, 111))

        m, n, k, lda, ldb, ldc = (fit(value, integer) for value in (m, n, k, lda, ldb, ldc))
        a, b, c = (builder.inttoptr(value, byte) for value in (a, b, c))
        one, zero, row_major = ir.Constant(real, 1.0), ir.Constant(real, 0.0), ir.Constant(small, 101)
        values = [row_major, operation(flag_a), operation(flag_b), m, n, k, one, a, lda, b, ldb, zero, c, ldc]
        function = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        builder.call(builder.inttoptr(at, function.as_pointer()), values)
        return context.get_dummy_value()

    return types.void(at, flag_a, flag_b, m, n, k, a, lda, b, ldb, c, ldc, whole, like), generate


# --------------------------------------------------------------------------------------------------- execution


@compiled
def vector(at: int, n: int, like: Any) -> Any:
    """The memory at an address as an array (n,)."""
    return numba.carray(pointer(at, like), (n,))


@compiled
def matrix(at: int, m: int, n: int, like: Any) -> Any:
    """The memory at an address as an array (m, n)."""
    return numba.carray(pointer(at, like), (m, n))


@compiled
def share(m: int, thread: int, threads: int) -> int:
    """The first of m rows that is this thread's."""
    if thread == threads:
        return m
    return m * thread // threads // LEAST * LEAST if m >= LEAST * threads else m * thread // threads


@compiled
def meet(board: Any, arrivals: int, rest: int) -> None:
    """The barrier: arrive, and wait until there have been `arrivals` arrivals."""
    increase(board, ARRIVED)
    looks = 0
    while look(board, ARRIVED) < arrivals:
        looks += 1
        if looks > SPINS:
            relax(rest)


@compiled
def execute(table: Any, thread: int, threads: int, board: Any, before: int, product: int, whole: Any, rest: int,
            like: Any) -> None:  # fmt: skip
    """This thread's share of every instruction of the table.

    before: arrivals at the start; product, whole: see `multiply`; rest: see `relax`; like: [1] in the type of all arrays.
    """
    size, met = like.itemsize, 0
    x, y = np.empty(CHUNK, like.dtype), np.empty(CHUNK, like.dtype)
    for line in table:
        if line[WAIT] and threads > 1:
            met += 1
            meet(board, before + met * threads, rest)
        op, m, n, k = line[OP], line[M], line[N], line[K]
        a, b, c, d, e = line[ARRAYS], line[ARRAYS + 1], line[ARRAYS + 2], line[ARRAYS + 3], line[ARRAYS + 4]
        s, t, u, v = line[STRIDES], line[STRIDES + 1], line[STRIDES + 2], line[STRIDES + 3]
        # c (m, n) = a (m, k) b (k, n); s, u: whether a, b are transposed; t, v: the length of their rows in memory
        if op == MATMUL_BY_COLUMNS:
            lo = share(n, thread, threads)
            columns, b_skip = share(n, thread + 1, threads) - lo, size * (lo * v if u else lo)
            if columns > 0:
                multiply(product, s, u, m, columns, k, a, t, b + b_skip, v, c + size * lo, n, whole, like)
            continue
        lo = share(m, thread, threads)
        rows = share(m, thread + 1, threads) - lo
        skip = size * lo  # bytes before this thread's rows, for every column
        if op in (MATMUL_OVER_ROWS, FEW_OVER_ROWS, COLUMN_SUMS):
            # c (k, n) = a^T b, a (m, k), b (m, n), or the sums of b's columns: each thread over its rows, into c or d
            part = c if thread == 0 else d + size * (thread - 1) * k * n
            first, second, sums = a + skip * k, matrix(b + skip * n, rows, n, like), matrix(part, k, n, like)
            if rows == 0:
                sums[:] = 0
            elif op == MATMUL_OVER_ROWS:
                multiply(product, 1, 0, k, n, rows, first, k, b + skip * n, n, part, n, whole, like)
            elif op == FEW_OVER_ROWS:
                few_over_rows(matrix(first, rows, k, like), second, sums)
            else:
                column_sums(second, sums[0])
            continue
        if rows == 0:
            continue
        if op == ADD_PARTS:  # a (m,) += the rows of b (n, m)
            add_parts(vector(a + skip, rows, like), matrix(b, n, m, like), lo)
        elif op == FEW_TERMS:  # c (m, n) = a (m, k) b (k, n)
            few_terms(matrix(a + skip * k, rows, k, like), matrix(b, k, n, like), matrix(c + skip * n, rows, n, like))
        elif op == FEW_COLUMNS:  # c (m, n) = a (m, k) b^T, b (n, k)
            few_columns(matrix(a + skip * k, rows, k, like), matrix(b, n, k, like), matrix(c + skip * n, rows, n, like))
        elif op == MATMUL:
            multiply(product, s, u, rows, n, k, a + skip * (1 if s else t), t, b, v, c + skip * n, n, whole, like)
        elif op == ELEMENTWISE:  # c (m, n) = k(a, b), strides (s, t) of a and (u, v) of b
            first = vector(a + skip * s, (rows - 1) * s + (n - 1) * t + 1, like)
            second = vector(b + skip * u, (rows - 1) * u + (n - 1) * v + 1, like)
            elementwise(k, rows, n, first, s, t, second, u, v, vector(c + skip * n, rows * n, like), x, y)
        elif op == ROW_SUMS:  # b (m,) = the sums of the rows of a (m, n)
            row_sums(matrix(a + skip * n, rows, n, like), vector(b + skip, rows, like))
        elif op == ADAM:  # theta, gradient, m, v (m,), factors (4,)
            theta, gradient = vector(a + skip, rows, like), vector(b + skip, rows, like)
            f = vector(e, 4, like)
            adam(theta, gradient, vector(c + skip, rows, like), vector(d + skip, rows, like), f[0], f[1], f[2], f[3])
        elif op == AVERAGE:  # mean, theta (m,), weight (1,)
            average(vector(a + skip, rows, like), vector(b + skip, rows, like), vector(c, 1, like)[0])
        elif op == BIAS_LEAKY_RELU:  # y (m, n), b (n,), leak (1,)
            bias_leaky_relu(matrix(a + skip * n, rows, n, like), vector(b, n, like), vector(c, 1, like)[0])
        elif op == BIAS_TANH:  # y (m, n), b (n,)
            bias_tanh(matrix(a + skip * n, rows, n, like), vector(b, n, like))
        else:  # y, slope, dz (m, n)
            output, slope = matrix(a + skip * n, rows, n, like), matrix(b + skip * n, rows, n, like)
            dz = matrix(c + skip * n, rows, n, like)
            if op == LEAKY_RELU_BACKWARD:  # and leak (1,)
                leaky_relu_backward(output, vector(d, 1, like)[0], like[0], slope, dz)
            elif op == TANH_BACKWARD:
                tanh_backward(output, like[0], slope, dz)
    if threads > 1:
        meet(board, before + (met + 1) * threads, rest)


@compiled
def begin(board: Any) -> None:
    """Start the workers on the program that the board names."""
    increase(board, GO)


@compiled
def follow(done: int, thread: int, threads: int, patience: int, board: Any, product: int, whole: Any, rest: int,
           like: Any) -> int:  # fmt: skip
    """A worker: execute each program that begins, until none has for a while. Returns how many have been executed."""
    looks = 0
    while looks < patience:
        looks += 1
        if look(board, GO) > done:
            table = matrix(board[TABLE], board[LENGTH], FIELDS, board)
            execute(table, thread, threads, board, board[BEFORE], product, whole, rest, like)
            done, looks = done + 1, 0
        elif looks > SPINS:
            relax(rest)
    return done
