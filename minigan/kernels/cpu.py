"""`--kernels numba`: the elementwise operations as single loops over memory, compiled for the CPU (extra `fast`).

NumPy makes one pass over memory for every operation: Adam is ten, a leaky ReLU with its bias three. Each function here is
one pass. They are compiled once and cached on disk, and run on one thread: OpenBLAS's own threads spin on the other
cores between products, and a second pool beside them was measured 25 times slower.

No flag that assumes finite numbers is set, so a NaN stays a NaN and divergence is still found.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numba
import numpy as np

from minigan.backend import Array
from minigan.ops import LEAK, Ops

FASTMATH = {"contract", "reassoc", "nsz"}
compiled = numba.njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")


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

    In place through one name: given the same array under two, the compiler falls back to one number at a time.
    """
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            s = one if y[i, j] > 0 else leak
            slope[i, j] = s
            dz[i, j] *= s


# tanh z = z P(z^2) / Q(z^2) for |z| <= 9.02, from where on it rounds to 1 in float32. The coefficients, lowest first, are
# those of least relative error, 2.1e-8, by a weighted least-squares fit; rounding makes that 6 units in the last place.
EDGE = np.float32(9.02)
P0, P1, P2, P3, P4 = (
    np.float32(c) for c in (0.9999999790379337, 0.13379708203876153, 3.494022939473256e-3, 2.0583290654115724e-5, 1.3318814e-8)
)  # fmt: skip
Q0, Q1, Q2, Q3, Q4 = (
    np.float32(c) for c in (1.0, 0.46713023451595176, 2.5871029105928730e-2, 3.283073824998038e-4, 7.761912356930794e-7)
)  # fmt: skip
ONE = np.float32(1)


@compiled
def bias_tanh(y: Any, b: Any) -> None:
    """y <- tanh(y + b), float32: no call in the loop, so that eight are computed at once."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            z = y[i, j] + b[j]
            z = EDGE if z > EDGE else z  # a NaN fails every comparison and stays
            z = -EDGE if z < -EDGE else z
            u = z * z
            t = z * ((((P4 * u + P3) * u + P2) * u + P1) * u + P0) / ((((Q4 * u + Q3) * u + Q2) * u + Q1) * u + Q0)
            t = ONE if t > ONE else t
            y[i, j] = -ONE if t < -ONE else t


@compiled
def tanh_backward(y: Any, one: Any, slope: Any, dz: Any) -> None:
    """slope = 1 - y^2 and dz <- dz * slope."""
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            s = one - y[i, j] * y[i, j]
            slope[i, j] = s
            dz[i, j] *= s


MANTISSA = np.int32(23)  # bits of it in a float32
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
def column_sums(dz: Any, db: Any) -> None:
    """db = sum_B dz, four rows at a time: NumPy's sum along the first axis takes three times as long."""
    rows, columns = dz.shape
    db[:] = 0
    for i in range(0, rows - 3, 4):
        for j in range(columns):
            db[j] += (dz[i, j] + dz[i + 1, j]) + (dz[i + 2, j] + dz[i + 3, j])
    for i in range(rows // 4 * 4, rows):
        for j in range(columns):
            db[j] += dz[i, j]


@compiled
def weighted(dz: Any, ds: Any, out: Any, db: Any) -> None:
    """out = ds * dz and db = ds^T dz."""
    db[:] = 0
    for i in range(dz.shape[0]):
        weight = ds[i, 0]
        for j in range(dz.shape[1]):
            product = weight * dz[i, j]
            out[i, j] = product
            db[j] += product


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


@cache
def scalar(dtype: Any, value: float) -> Any:
    """`value` in an array's own type, so that no loop widens to float64; kept, as making one takes half a microsecond."""
    return dtype.type(value)


class NumbaOps(Ops):
    """`Ops` with the loops above where they pay; everything else is the reference."""

    def dense_forward(self, x: Array, W: Array, b: Array, name: str, y: Array, scratch: Array) -> None:
        if name in ("relu", "leaky-relu"):
            self.xp.matmul(x, W, out=y)
            bias_leaky_relu(y, b, scalar(y.dtype, LEAK if name == "leaky-relu" else 0.0))
        elif name == "tanh" and y.dtype == np.float32:
            self.xp.matmul(x, W, out=y)
            bias_tanh(y, b)
        else:  # NumPy's exp is vectorised, a compiled loop's is not
            super().dense_forward(x, W, b, name, y, scratch)

    def activation_backward(self, dy: Array, y: Array, name: str, slope: Array, dz: Array) -> None:
        if name not in ("relu", "leaky-relu", "tanh"):
            super().activation_backward(dy, y, name, slope, dz)
            return
        if dy is not dz:  # hidden layers' are one array
            self.xp.copyto(dz, dy)
        if name == "tanh":
            tanh_backward(y, scalar(y.dtype, 1.0), slope, dz)
        else:
            leak = LEAK if name == "leaky-relu" else 0.0
            leaky_relu_backward(y, scalar(y.dtype, leak), scalar(y.dtype, 1.0), slope, dz)

    def weight_gradient(self, x: Array, dz: Array, dW: Array, db: Array) -> None:
        self.xp.matmul(x.T, dz, out=dW)
        column_sums(dz, db)

    def weighted_gradient(self, x: Array, dz: Array, ds: Array, out: Array, dW: Array, db: Array) -> None:
        weighted(dz, ds, out, db)
        self.xp.matmul(x.T, out, out=dW)

    def adam(self, theta: Array, grad: Array, m: Array, v: Array, beta1: float, beta2: float, step_size: float,
             epsilon: float, scratch: Array) -> None:  # fmt: skip
        kind = theta.dtype.type
        adam(theta, grad, m, v, kind(beta1), kind(beta2), kind(step_size), kind(epsilon))

    def average(self, mean: Array, theta: Array, weight: float, scratch: Array) -> None:
        average(mean, theta, mean.dtype.type(weight))

    def box_muller(self, words: Array, radii: Array, out: Array) -> None:
        """What `Noise.normal` makes of raw words of 64 bits: out (2 n,) from words (n,); radii (n,) is overwritten."""
        box_muller(words.view(np.uint32), radii, out)

    def gather(self, rows: Array, chosen: Array, offset: Array, factor: Array, scratch: Array, out: Array) -> None:
        gather(rows, chosen, offset, factor, out)
