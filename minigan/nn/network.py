"""A network of layers over one flat parameter vector, and the tape that its passes write to.

Nothing is stored on a layer: `forward` writes its activations to a tape that the caller owns, `backward` reads them from
there. Several passes (real, generated, penalty) coexist on tapes of their own, and no later pass can clobber an earlier one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from minigan.backends import Array, Ops
from minigan.backends.noise import Noise
from minigan.nn.layers import Dense, DenseTape, Make


def parameter_count(sizes: Sequence[int]) -> int:
    """Weights and biases of dense layers sizes[0] -> sizes[1] -> ...: the sum of (I + 1) O."""
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))


class Parameters:
    """One flat vector of all weights and biases, with views (W, b) into it for each layer.

    Order: W1 (I1, O1) row by row, b1 (O1,), W2, b2, ... Used for weights, gradients and averages alike.
    """

    def __init__(self, layers: Sequence[Dense], flat: Array) -> None:
        self.flat = flat
        self.layers: list[tuple[Array, ...]] = []
        start = 0
        for layer in layers:
            self.layers.append(layer.parameters(flat[start : start + layer.count]))
            start += layer.count

    def first_not_finite(self) -> int | None:
        """The first layer, counted from 1, that holds a number that is not finite; None where all are."""

        def finite(array: Array) -> bool:
            return bool(abs(array).max() < math.inf)  # a NaN is the largest, and not below anything

        if finite(self.flat):  # all at once: a device is waited for once
            return None
        return next(layer for layer, pair in enumerate(self.layers, 1) if not all(map(finite, pair)))


class Tape:
    """What a pass of B rows through a network leaves behind."""

    def __init__(self, layers: list[DenseTape], dx: Array, ones: Array, v: Array | None) -> None:
        self.layers = layers  # a tape for each layer
        self.x: Array = None  # (B, I)  the input: a reference, which must not change before the backward pass
        self.dx = dx  # (B, I)  dLoss/dx
        self.ones = ones  # (B, O)  to seed a backward pass with
        self.v = v  # (B, I)  directions to move along, for gradient penalties

    def __len__(self) -> int:
        """B, the number of rows."""
        return len(self.dx)

    @property
    def output(self) -> Array:
        """Y_L (B, O), what the last forward pass returned."""
        return self.layers[-1].y

    @property
    def delta(self) -> Array:
        """dZ_L (B, O), where a backward pass begins: dLoss/dY_L of a linear last layer written here need not be copied."""
        return self.layers[-1].dz

    def inputs(self) -> list[Array]:
        """The input of each layer: x, Y_1, ..., Y_{L-1}."""
        return [self.x, *[layer.y for layer in self.layers[:-1]]]

    def directions(self) -> list[Array]:
        """How the input of each layer moves: v, T_1, ..., T_{L-1}."""
        return [self.v, *[layer.t for layer in self.layers[:-1]]]

    def with_output(self, y: Array) -> Tape:
        """The same tape, but that Y_L goes to `y` (B, O)."""
        tape = self.rows(0, len(self))
        tape.layers[-1].y = y
        return tape

    def rows(self, lo: int, hi: int) -> Tape:
        """A view of rows lo:hi."""
        layers = [layer.rows(lo, hi) for layer in self.layers]
        part = Tape(layers, self.dx[lo:hi], self.ones[lo:hi], None if self.v is None else self.v[lo:hi])
        part.x = None if self.x is None else self.x[lo:hi]
        return part


class Network:
    """Layers `sizes[0] -> sizes[1] -> ... -> sizes[L]`: `activation` inside, `output` at the end.

    layer: makes each of them, from (I, O, activation, ops): a class of `layers.py`, or one maker for each layer.
    theta: the parameters; pass a flat vector to look at the same network with other weights (a weight average).

    docs/math.md, "A network".
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str,
        output: str,
        ops: Ops,
        dtype: str = "float32",
        flat: Array | None = None,
        layer: Make | Sequence[Make] = Dense,
    ) -> None:
        self.sizes = tuple(sizes)
        self.ops = ops
        self.dtype = dtype
        self.activations = (activation,) * (len(sizes) - 2) + (output,)
        make = [layer] * (len(sizes) - 1) if callable(layer) else layer
        each = zip(make, pairwise(sizes), self.activations, strict=True)
        self.layers = [kind(*pair, name, ops) for kind, pair, name in each]
        self.curved = any(made.curved for made in self.layers)
        self.count = sum(made.count for made in self.layers)
        self.theta = self.parameters(flat)

    def __repr__(self) -> str:
        return f"Network({self.shape}, {' '.join(self.activations)}, {self.count:,} parameters, {self.dtype})"

    @property
    def shape(self) -> str:
        """The widths, as 100-256-256-784."""
        return "-".join(map(str, self.sizes))

    def parameters(self, flat: Array | None = None) -> Parameters:
        """Parameters of this network's shape over `flat` (default: zeros)."""
        flat = self.ops.zeros((self.count,), self.dtype) if flat is None else flat
        if flat.size != self.count:
            raise ValueError(f"layers {self.sizes} need {self.count} parameters, the vector has {flat.size}")
        return Parameters(self.layers, flat)

    def tape(self, batch: int, *, tangents: bool = False, output: Array | None = None) -> Tape:
        """A tape for `batch` rows; `tangents` adds what gradient penalties need. output: where Y_L goes, if not to an
        array of the tape's own."""
        last = self.layers[-1]
        layers = [
            layer.tape(batch, self.dtype, tangents=tangents, bends=self.curved, y=output if layer is last else None)
            for layer in self.layers
        ]
        dx = self.ops.zeros((batch, self.sizes[0]), self.dtype)
        ones = self.ops.zeros((batch, self.sizes[-1]), self.dtype)
        ones.fill(1)
        return Tape(layers, dx, ones, self.ops.zeros(dx.shape, self.dtype) if tangents else None)

    def initialise(self, noise: Noise, stream: int) -> None:
        """Draw the weights; biases are 0. Layer l uses (seed, stream, l)."""
        for number, (layer, p) in enumerate(zip(self.layers, self.theta.layers, strict=True)):
            layer.initialise(p, noise, stream, number)

    def forward(self, x: Array, tape: Tape) -> Array:
        """Y_l = phi_l(Y_{l-1} W_l + b_l), Y_0 = x; returns Y_L (B, O)."""
        tape.x = x
        for layer, p, kept in zip(self.layers, self.theta.layers, tape.layers, strict=True):
            x = layer.forward(p, x, kept)
        return x

    def backward(self, dy: Array, tape: Tape, into: Parameters | None = None, *, want_dx: bool = True) -> Array | None:
        """The chain rule from dLoss/dY_L (B, O) back to dLoss/dx, leaving the deltas dZ_l on the tape.

            dZ_L = dY_L * phi'(Y_L)                        dZ_{l-1} = (dZ_l W_l^T) * phi'(Y_{l-1})
            dW_l = Y_{l-1}^T dZ_l                          db_l = sum_B dZ_l

        Weight gradients are written only where `into` is given; returns dx unless `want_dx` is false.
        """
        layers, kept, x = self.layers, tape.layers, tape.inputs()
        layers[-1].delta(dy, kept[-1])
        for k in reversed(range(len(layers))):
            if into is not None:
                layers[k].weight_gradient(x[k], kept[k], into.layers[k])
            if k:
                layers[k].delta_below(self.theta.layers[k], kept[k], layers[k - 1], kept[k - 1])
        return self.input_gradient(tape) if want_dx else None

    def input_gradient(self, tape: Tape) -> Array:
        """dx = dZ_1 W_1^T (B, I): the last line of `backward`, by itself where only some rows need it."""
        self.layers[0].input_gradient(self.theta.layers[0], tape.layers[0], tape.dx)
        return tape.dx

    def tangent(self, v: Array, tape: Tape) -> Array:
        """Forward-mode pass: T_0 = v, U_l = T_{l-1} W_l, T_l = U_l * phi'(Y_l); returns T_L = dY_L along v.

        Needs the slopes that `backward` left on the tape.
        """
        for layer, p, kept in zip(self.layers, self.theta.layers, tape.layers, strict=True):
            v = layer.tangent(p, v, kept)
        return v

    def weighted_gradient(self, tape: Tape, ds: Array, into: Parameters) -> None:
        """Weight gradients from deltas that were seeded with ones, each sample i weighted by ds_i (ds (B, 1)).

            dW_l = Y_{l-1}^T (ds * dZ_l)      db_l = ds^T dZ_l

        For networks with one output: one backward pass can so serve several losses of the same logits.
        """
        for layer, x, kept, d in zip(self.layers, tape.inputs(), tape.layers, into.layers, strict=True):
            layer.weighted_gradient(x, kept, ds, d)
