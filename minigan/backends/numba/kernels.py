"""The compiled loops over memory: activations, products with few terms, sums, element-wise functions, Adam, noise.

NumPy makes one pass over memory for every operation: Adam is ten, a leaky ReLU with its bias three. Each loop here is one
pass. No flag that assumes finite numbers is set, so a NaN stays a NaN and divergence is still found.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minigan.backends.numba.instructions import Function
from minigan.backends.numba.keep import kept

FASTMATH = {"contract", "reassoc", "nsz"}
compiled = kept(nogil=True, fastmath=FASTMATH, error_model="numpy")
unassociated = kept(nogil=True, fastmath={"contract"}, error_model="numpy")  # where the order of operations matters


@compiled
def bias_leaky_relu(y: Any, b: Any, leak: Any) -> None:
    """y <- max(y + b, leak (y + b)), y (B, O), b (O,); a ReLU where leak is 0."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            z = y[i, j] + b[j]
            y[i, j] = leak * z if z <= 0 else z


@compiled
def leaky_relu_backward(y: Any, leak: Any, one: Any, slope: Any, dz: Any) -> None:
    """slope = [y > 0] + leak [y <= 0] and dz <- dz * slope.

    In place, through one name: if dy and dz were two names of one array, LLVM could not rule out aliasing and would not vectorise.
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
    """y <- tanh(y + b), float32, without a call in the loop, so that it is vectorised.

    With e = e^(-2 |z|), tanh |z| = 1 - 2 e / (1 + e): near 1 only the last subtraction rounds, so that 1 - y^2 is as accurate as
    y allows (docs/math.md). Near 0 that form cancels, and (1 - e) / (1 + e) is used, with e = s + s q and 1 - e = (1 - s) - s q,
    where s = 2^k, and q = e^r - 1 from its series, |r| <= log(2) / 2.
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
    """slope = 1 - y^2 and dz <- dz * slope.

    The slope is computed as (1 - y) (1 + y): near |y| = 1, rounding y^2 would cost most of its digits.
    """
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

    Series instead of calls, so that the loops are vectorised: log m = 2 artanh((m - 1) / (m + 1)) on [sqrt(1/2), sqrt(2)), and
    sine and cosine within an eighth of a turn of 0, where the first omitted term is below half a unit in the last place.
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
    """out = a b^T, a (B, k), b (n, k): inner products, four rows at a time."""
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
    """out = a^T b, a (B, m), b (B, O): the sum of the rows of b, weighted by a column of a, four at a time."""
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
def sum_columns(x: Any, index: Any, width: int, out: Any) -> None:
    """`Ops.sum_columns`: x (B, I), index (C, O / width), out (B, O). A loop of its own for single columns."""
    for i in range(x.shape[0]):
        row, total, blocks = x[i], out[i], index[0]
        if width == 1:
            for j in range(blocks.size):
                total[j] = row[np.uint64(blocks[j])]
        else:
            for j in range(blocks.size):
                block = row[blocks[j] * width : (blocks[j] + 1) * width]
                for c in range(width):
                    total[j * width + c] = block[c]
        for k in range(1, index.shape[0]):
            blocks = index[k]
            if width == 1:
                for j in range(blocks.size):
                    if blocks[j] >= 0:
                        total[j] += row[np.uint64(blocks[j])]
            else:
                for j in range(blocks.size):
                    if blocks[j] >= 0:
                        block = row[blocks[j] * width : (blocks[j] + 1) * width]
                        for c in range(width):
                            total[j * width + c] += block[c]


@compiled
def add_partial_sums(total: Any, parts: Any, first: int) -> None:
    """total += the sum of the rows of `parts`, in their columns from `first` on."""
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
        z = f(89) if z > f(89) else z  # above it the result is infinite, below the next it is 0; a NaN stays
        z = f(-105) if z < f(-105) else z
        k = f(z * LOG2_E + ROUND).view(i32) - ROUND_BITS
        r = (z - f(k) * LOG2_HIGH) - f(k) * LOG2_LOW
        p = ((((f(1 / 5040) * r + f(1 / 720)) * r + f(1 / 120)) * r + f(1 / 24)) * r + f(1 / 6)) * r + f(0.5)
        half = k >> i32(1)  # 2^k as two factors: it may be no normal number
        first = i32((half + i32(127)) << MANTISSA).view(f)
        second = i32((k - half + i32(127)) << MANTISSA).view(f)
        x[j] = ((p * r * r + r) + f(1)) * first * second


@compiled
def apply(function: int, x: Any, y: Any, n: int) -> None:
    """x <- function(x, y), or function(x), for the first n numbers of two vectors that share no memory."""
    if function == Function.ADD:
        for j in range(n):
            x[j] += y[j]
    elif function == Function.SUBTRACT:
        for j in range(n):
            x[j] -= y[j]
    elif function == Function.MULTIPLY:
        for j in range(n):
            x[j] *= y[j]
    elif function == Function.DIVIDE:
        for j in range(n):
            x[j] /= y[j]
    elif function == Function.MAXIMUM:  # of a NaN and a number, the NaN
        for j in range(n):
            x[j] = x[j] if x[j] > y[j] or x[j] != x[j] else y[j]
    elif function == Function.MINIMUM:
        for j in range(n):
            x[j] = x[j] if x[j] < y[j] or x[j] != x[j] else y[j]
    elif function == Function.LESS:
        for j in range(n):
            x[j] = x[j] < y[j]
    elif function == Function.GREATER:
        for j in range(n):
            x[j] = x[j] > y[j]
    elif function == Function.NEGATIVE:
        for j in range(n):
            x[j] = -x[j]
    elif function == Function.ABS:
        for j in range(n):
            x[j] = abs(x[j])
    elif function == Function.SQRT:
        for j in range(n):
            x[j] = np.sqrt(x[j])
    elif function == Function.EXP and x.itemsize == 4:
        exponential(x, n)
    elif function == Function.EXP:
        for j in range(n):
            x[j] = np.exp(x[j])
    elif function == Function.TANH:
        for j in range(n):
            x[j] = np.tanh(x[j])


class Strided(NamedTuple):
    """An operand: its memory as a vector, and the strides to its next row and its next column; 0 repeats it along that axis."""

    values: Any
    row: int
    column: int


@compiled
def load(to: Any, source: Any, i: int, rows: int, first: int, n: int) -> None:
    """to = the n columns from `first` on of `rows` rows of the operand `source`, from row i on.

    Slices are made before a loop: LLVM vectorises it only where it can prove that the index is not negative.
    """
    values, row, column = source
    if row == n and (column == 1 or n == 1):  # rows without gaps between them
        part, piece = values[i * n : (i + rows) * n], to[: rows * n]
        for j in range(rows * n):
            piece[j] = part[j]
        return
    for r in range(rows):
        start, piece = (i + r) * row + first * column, to[r * n : (r + 1) * n]
        if column:
            part = values[start : start + n]
            for j in range(n):
                piece[j] = part[j]
        else:
            value = values[start]
            for j in range(n):
                piece[j] = value


@compiled
def elementwise(function: int, a: Any, b: Any, out: Any, columns: int, x: Any, y: Any) -> None:
    """out = function(a, b), or function(a): operands `Strided`; out: its rows of `columns` numbers, one after the other.

    Computed block by block in two short buffers, x and y: `out` may be an operand, which keeps a loop over it from being
    vectorised, and every combination of strides would need a loop of its own.
    """
    rows = out.size // columns
    several = max(1, x.size // columns)  # rows of a block
    for i in range(0, rows, several):
        some = min(several, rows - i)
        for first in range(0, columns, x.size):
            n = min(x.size, columns - first)
            load(x, a, i, some, first, n)
            if function < Function.COPYTO:
                load(y, b, i, some, first, n)
            apply(function, x, y, some * n)
            piece = out[i * columns + first : i * columns + first + some * n]
            for j in range(some * n):
                piece[j] = x[j]


@compiled
def adam(theta: Any, grad: Any, m: Any, v: Any, factors: Any) -> None:
    """All of `Ops.adam` in one pass: three vectors read and written, one read. factors: beta1, beta2, step_size, epsilon."""
    beta1, beta2, step_size, epsilon = factors[0], factors[1], factors[2], factors[3]
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
            out[i, j] = rows[k, j]  # converted to the type of out
            out[i, j] = (out[i, j] - offset[own * j]) * factor[own * j]
