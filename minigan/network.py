"""A network of dense layers over one flat parameter vector, and the tape that its passes write to.

Nothing is stored on a layer: `forward` writes its activations to a tape that the caller owns, `backward` reads them from
there. Several passes (real, generated, penalty) coexist on tapes of their own, and no later pass can clobber an earlier one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from minigan.backend import Array, Backend
from minigan.noise import Noise
from minigan.ops import CURVED, LEAK


def parameter_count(sizes: Sequence[int]) -> int:
    """Weights and biases of dense layers sizes[0] -> sizes[1] -> ...: the sum of (I + 1) O."""
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))


class Parameters:
    """One flat vector of all weights and biases, with a view (W, b) into it for each layer.

    Order: W1 (I1, O1) row by row, b1 (O1,), W2, b2, ... Used for weights, gradients and averages alike.
    """

    def __init__(self, sizes: Sequence[int], flat: Array) -> None:
        self.flat = flat
        self.layers: list[tuple[Array, Array]] = []
        start = 0
        for fan_in, fan_out in pairwise(sizes):
            W = flat[start : start + fan_in * fan_out].reshape(fan_in, fan_out)
            b = flat[start + fan_in * fan_out : start + (fan_in + 1) * fan_out]
            self.layers.append((W, b))
            start += (fan_in + 1) * fan_out
        if start != flat.size:
            raise ValueError(f"layers {tuple(sizes)} need {start} parameters, the vector has {flat.size}")

    def first_not_finite(self) -> int | None:
        """The first layer, counted from 1, that holds a number that is not finite; None where all are."""

        def finite(array: Array) -> bool:
            return bool(abs(array).max() < math.inf)  # a NaN is the largest, and not below anything

        if finite(self.flat):  # all at once: a device is waited for once
            return None
        return next(layer for layer, pair in enumerate(self.layers, 1) if not all(map(finite, pair)))


class Tape:
    """What one pass over a batch leaves behind, per layer l = 1..L (lists are indexed l - 1):

        x (B, I)          the input (a reference: it must not change before the backward pass)
        y[l] (B, O)       outputs                      slope[l]   phi'(y[l])
        dz[l] (B, O)      dLoss/dz[l]                  dx (B, I)  dLoss/dx           ones (B, O)  to seed a pass with
        v (B, I)          a direction; t[l], u[l]  tangents T_l along it, and U_l before the slope (with `tangents`)
        bend[l], e[l]     phi'' terms, and the deltas of the second reverse pass (with `tangents`, curved networks)
        mix[l] (B, I)     ds * Y_{l-1} + T_{l-1} (with `tangents`, piecewise-linear networks)

    `rows(lo, hi)` is the same tape seen through some of its rows.
    """

    def __init__(self, network: Network, batch: int, *, tangents: bool) -> None:
        widths = network.sizes[1:]

        def arrays(wanted: bool = True) -> list[Array]:
            return [network.backend.zeros((batch, o), network.dtype) for o in widths] if wanted else []

        curved = tangents and network.curved
        self.batch = batch
        self.x: Array = None
        self.y = arrays()
        self.slope = arrays()
        self.dz = arrays()
        self.dx = network.backend.zeros((batch, network.sizes[0]), network.dtype)
        self.v: Array = network.backend.zeros(self.dx.shape, network.dtype) if tangents else None
        self.t = arrays(tangents)
        self.u = arrays(curved) or self.t
        self.bend = arrays(curved)
        self.e = arrays(curved)
        mixing = tangents and not network.curved
        self.mix = [network.backend.zeros((batch, i), network.dtype) for i in network.sizes[:-1]] if mixing else []
        self.ones = network.backend.zeros((batch, widths[-1]), network.dtype)
        self.ones.fill(1)

    def rows(self, lo: int, hi: int) -> Tape:
        """A view of rows lo:hi, made once and kept by the caller."""
        view = object.__new__(Tape)
        view.batch = hi - lo
        for name, value in vars(self).items():
            if name == "u" and value is self.t:
                view.u = view.t  # CuPy computes in place, without a copy, where the arrays are the same object
            elif isinstance(value, list):
                setattr(view, name, [a[lo:hi] for a in value])
            elif name != "batch":
                setattr(view, name, None if value is None else value[lo:hi])
        return view


class Network:
    """Dense layers `sizes[0] -> sizes[1] -> ... -> sizes[L]`: `activation` inside, `output` at the end.

    theta: the parameters; pass a flat vector to look at the same network with other weights (a weight average).
    """

    def __init__(self, sizes: Sequence[int], activation: str, output: str, backend: Backend, dtype: str = "float32",
                 flat: Array | None = None) -> None:  # fmt: skip
        self.sizes = tuple(sizes)
        self.backend = backend
        self.ops = backend.ops
        self.dtype = dtype
        self.activations = (activation,) * (len(sizes) - 2) + (output,)
        self.curved = any(name in CURVED for name in self.activations)
        self.count = parameter_count(sizes)
        self.theta = self.parameters(flat)

    def parameters(self, flat: Array | None = None) -> Parameters:
        """Parameters of this network's shape over `flat` (default: zeros)."""
        return Parameters(self.sizes, self.backend.zeros((self.count,), self.dtype) if flat is None else flat)

    def tape(self, batch: int, *, tangents: bool = False) -> Tape:
        """A tape for batches of this size; `tangents` adds what gradient penalties need."""
        return Tape(self, batch, tangents=tangents)

    def initialise(self, noise: Noise, stream: int) -> None:
        """Draw the weights; biases are 0. Layer l uses (seed, stream, l).

        Piecewise-linear layers (He et al. 2015):   W ~ N(0, 2 / ((1 + a^2) I)), a the leak
        curved and linear layers (Glorot and Bengio 2010):   W ~ N(0, 2 / (I + O))
        """
        for layer, ((W, b), name) in enumerate(zip(self.theta.layers, self.activations, strict=True)):
            fan_in, fan_out = W.shape
            if name in ("relu", "leaky-relu"):
                leak = LEAK if name == "leaky-relu" else 0.0
                variance = 2 / ((1 + leak**2) * fan_in)
            else:
                variance = 2 / (fan_in + fan_out)
            noise.normal(W, stream, layer)
            self.ops.xp.multiply(W, math.sqrt(variance), out=W)
            b.fill(0)

    def forward(self, x: Array, tape: Tape) -> Array:
        """Y_l = phi_l(Y_{l-1} W_l + b_l), Y_0 = x; returns Y_L (B, O)."""
        tape.x = x
        for (W, b), name, y, scratch in zip(self.theta.layers, self.activations, tape.y, tape.slope, strict=True):
            self.ops.dense_forward(x, W, b, name, y, scratch)
            x = y
        return x

    def backward(self, dy: Array, tape: Tape, into: Parameters | None = None, *, want_dx: bool = True) -> Array | None:
        """The chain rule from dLoss/dY_L (B, O) back to dLoss/dx, leaving the deltas dZ_l on the tape.

            dZ_L = dY_L * phi'(Y_L)                        dZ_{l-1} = (dZ_l W_l^T) * phi'(Y_{l-1})
            dW_l = Y_{l-1}^T dZ_l                          db_l = sum_B dZ_l

        Weight gradients are written only where `into` is given; returns dx unless `want_dx` is false.
        """
        ops, names, y, slope, dz = self.ops, self.activations, tape.y, tape.slope, tape.dz
        ops.activation_backward(dy, y[-1], names[-1], slope[-1], dz[-1])
        for k in reversed(range(len(names))):
            if into is not None:
                ops.weight_gradient(y[k - 1] if k else tape.x, dz[k], *into.layers[k])
            if k:
                W, _ = self.theta.layers[k]
                ops.hidden_delta(dz[k], W, y[k - 1], names[k - 1], slope[k - 1], dz[k - 1])
        return self.input_gradient(tape) if want_dx else None

    def input_gradient(self, tape: Tape) -> Array:
        """dx = dZ_1 W_1^T (B, I): the last line of `backward`, by itself where only some rows need it."""
        self.ops.input_gradient(tape.dz[0], self.theta.layers[0][0], tape.dx)
        return tape.dx

    def tangent(self, v: Array, tape: Tape) -> Array:
        """Forward-mode pass: T_0 = v, U_l = T_{l-1} W_l, T_l = U_l * phi'(Y_l); returns T_L = dY_L along v.

        Needs the slopes that `backward` left on the tape.
        """
        t = v
        for k, (W, _) in enumerate(self.theta.layers):
            self.ops.dense_tangent(t, W, self.activations[k], tape.slope[k], tape.u[k], tape.t[k])
            t = tape.t[k]
        return t

    def weighted_gradient(self, tape: Tape, ds: Array, into: Parameters) -> None:
        """Weight gradients from deltas that were seeded with ones, each sample i weighted by ds_i (ds (B, 1)).

            dW_l = Y_{l-1}^T (ds * dZ_l)      db_l = ds^T dZ_l

        For networks with one output: one backward pass can so serve several losses of the same logits.
        """
        for k, (dW, db) in enumerate(into.layers):
            x = tape.y[k - 1] if k else tape.x
            self.ops.weighted_gradient(x, tape.dz[k], ds, tape.slope[k], dW, db)  # used slopes lend their memory
