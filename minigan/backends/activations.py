"""The activations: a table with a row for each function phi.

phi' and phi'' are computed from the *output* y = phi(z), so that only outputs need to be stored:

    activation   phi(z)                      phi'(z) = slope(y)        phi''/phi' = curvature(y)
    relu         max(z, 0)                   [y > 0]                   0
    leaky-relu   max(z, a z), a = 0.2        [y > 0] + a [y <= 0]      0
    tanh         tanh z                      1 - y^2                   -2 y
    sigmoid      1 / (1 + e^-z)              y (1 - y)                 1 - 2 y
    identity     z                           1                         0

At the kink of ReLU and leaky ReLU (z = 0) the left slope is used. `ops` is an `Ops`; every function writes to arrays that
the caller owns. An activation whose slope is no function of its output does not fit this scheme.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

Array = Any

LEAK = 0.2
"""Slope a of the leaky ReLU for z < 0 (Maas et al. 2013; 0.2 as in DCGAN, Radford et al. 2016)."""


class Activation(NamedTuple):
    """phi and its derivatives, and the initial variance of the weights before it."""

    phi: Callable[[Any, Array, Array], None]
    """phi(ops, z, scratch): z <- phi(z), in place."""

    slope: Callable[[Any, Array, Array], None]
    """slope(ops, y, out): out = phi'(z)."""

    curvature: Callable[[Any, Array, Array], None] | None
    """curvature(ops, y, out): out = phi''(z) / phi'(z); None where phi'' = 0 (piecewise-linear activations)."""

    variance: Callable[[int, int], float]
    """variance(I, O): the initial variance of the weights of a layer with this activation."""


def glorot(fan_in: int, fan_out: int) -> float:
    """2 / (I + O), for curved and linear layers (Glorot and Bengio 2010, equation 12)."""
    return 2 / (fan_in + fan_out)


def he(leak: float, fan_in: int, fan_out: int) -> float:
    """2 / ((1 + a^2) I), for piecewise-linear layers with slope a for z < 0 (He et al. 2015, equation 15)."""
    return 2 / ((1 + leak**2) * fan_in)


# ------------------------------------------------------------------------------------------------ piecewise linear


def relu(ops: Any, z: Array, scratch: Array) -> None:
    ops.xp.maximum(z, 0, out=z)


def relu_slope(ops: Any, y: Array, out: Array) -> None:
    ops.xp.greater(y, 0, out=out)


def leaky_relu(ops: Any, z: Array, scratch: Array) -> None:
    ops.xp.multiply(z, LEAK, out=scratch)
    ops.xp.maximum(z, scratch, out=z)


def leaky_relu_slope(ops: Any, y: Array, out: Array) -> None:
    ops.xp.greater(y, 0, out=out)
    ops.xp.multiply(out, 1 - LEAK, out=out)
    ops.xp.add(out, LEAK, out=out)


def identity(ops: Any, z: Array, scratch: Array) -> None:
    pass


def identity_slope(ops: Any, y: Array, out: Array) -> None:
    out.fill(1)


# --------------------------------------------------------------------------------------------------------- curved


def tanh(ops: Any, z: Array, scratch: Array) -> None:
    ops.xp.tanh(z, out=z)


def tanh_slope(ops: Any, y: Array, out: Array) -> None:
    ops.xp.multiply(y, y, out=out)
    ops.xp.subtract(1, out, out=out)


def tanh_curvature(ops: Any, y: Array, out: Array) -> None:
    ops.xp.multiply(y, -2, out=out)


def sigmoid(ops: Any, z: Array, scratch: Array) -> None:
    ops.sigmoid(z, z, scratch)


def sigmoid_slope(ops: Any, y: Array, out: Array) -> None:
    ops.xp.subtract(1, y, out=out)
    ops.xp.multiply(out, y, out=out)


def sigmoid_curvature(ops: Any, y: Array, out: Array) -> None:
    ops.xp.multiply(y, -2, out=out)
    ops.xp.add(out, 1, out=out)


ACTIVATIONS = {
    "relu": Activation(relu, relu_slope, None, partial(he, 0.0)),
    "leaky-relu": Activation(leaky_relu, leaky_relu_slope, None, partial(he, LEAK)),
    "tanh": Activation(tanh, tanh_slope, tanh_curvature, glorot),
    "sigmoid": Activation(sigmoid, sigmoid_slope, sigmoid_curvature, glorot),
    "identity": Activation(identity, identity_slope, None, glorot),
}
