"""Layers: each kind's whole calculus in one place, the passes one under another.

A layer turns rows X (B, I) into Y (B, O). It keeps nothing: its parameters `p` are views into the network's flat vector,
and what a pass leaves behind goes to a tape that the caller owns. Networks, penalties, checkpoints and the certificate
know a layer by its methods alone, so another kind is another class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from minigan.backends import Array, Ops
from minigan.backends.activations import ACTIVATIONS
from minigan.backends.noise import Noise

Parameters = tuple[Array, ...]
"""W (I, O) and b (O,), or their gradients; another kind of layer may have others, but for W, which is first."""


@dataclass
class DenseTape:
    """What one pass of B rows through a dense layer I -> O leaves behind; from `u` on, what gradient penalties need."""

    y: Array  # (B, O)  phi(Z), the output
    slope: Array  # (B, O)  phi'(Z)
    dz: Array  # (B, O)  dLoss/dZ, the delta
    u: Array = None  # (B, O)  how Z moves along a direction; the array t, where it is not needed
    t: Array = None  # (B, O)  how Y moves along it
    bend: Array = None  # (B, O)  the terms of phi'', in networks with a curved activation
    e: Array = None  # (B, O)  the deltas of the second reverse pass, in these networks too
    mix: Array = None  # (B, I)  ds * X + T_in, in networks without

    def rows(self, lo: int, hi: int) -> DenseTape:
        """A view of rows lo:hi."""
        part = replace(self, **{name: None if a is None else a[lo:hi] for name, a in vars(self).items()})
        if self.u is self.t:  # CuPy computes in place, without a copy, where the arrays are the same object
            part.u = part.t
        return part


class Dense:
    """Y = phi(X W + b), X (B, I), W (I, O), b (O,), with the activation phi called `activation`.

    docs/math.md, "The dense step".
    """

    def __init__(self, fan_in: int, fan_out: int, activation: str, ops: Ops) -> None:
        self.fan_in, self.fan_out = fan_in, fan_out
        self.activation = activation
        self.curved = ACTIVATIONS[activation].curvature is not None
        self.count = (fan_in + 1) * fan_out
        self.ops = ops

    def __repr__(self) -> str:
        return f"Dense({self.fan_in}, {self.fan_out}, {self.activation!r})"

    def parameters(self, flat: Array) -> Parameters:
        """(W, b) as views into flat (count,): W row by row, then b."""
        return flat[: -self.fan_out].reshape(self.fan_in, self.fan_out), flat[-self.fan_out :]

    def initialise(self, p: Parameters, noise: Noise, stream: int, layer: int) -> None:
        """W ~ N(0, variance of the activation's row), b = 0. The numbers are those of (seed, stream, layer)."""
        W, b = p
        noise.normal(W, stream, layer)
        variance = ACTIVATIONS[self.activation].variance(self.fan_in, self.fan_out)
        self.ops.xp.multiply(W, math.sqrt(variance), out=W)
        b.fill(0)

    def tape(self, batch: int, dtype: Any, *, tangents: bool, bends: bool, y: Array) -> DenseTape:
        """A tape for `batch` rows. tangents: with what penalties need, of a network with (`bends`) or without curved
        activations. y: where the output goes, if not to an array of the tape's own."""

        def rows(width: int, wanted: bool = True) -> Array:
            return self.ops.zeros((batch, width), dtype) if wanted else None

        out = self.fan_out
        t = rows(out, tangents)
        return DenseTape(
            y=rows(out) if y is None else y,
            slope=rows(out),
            dz=rows(out),
            t=t,
            u=rows(out) if tangents and bends else t,
            bend=rows(out, tangents and bends),
            e=rows(out, tangents and bends),
            mix=rows(self.fan_in, tangents and not bends),
        )

    # ---------------------------------------------------------------------------------------------------- forward

    def forward(self, p: Parameters, x: Array, tape: DenseTape) -> Array:
        """Y = phi(X W + b), on the tape."""
        W, b = p
        self.ops.dense_forward(x, W, b, self.activation, tape.y, tape.slope)
        return tape.y

    # --------------------------------------------------------------------------------------------------- backward

    def delta(self, dy: Array, tape: DenseTape) -> None:
        """dZ = dY * phi'(Y), on the tape."""
        self.ops.activation_backward(dy, tape.y, self.activation, tape.slope, tape.dz)

    def delta_below(self, p: Parameters, tape: DenseTape, below: Dense, below_tape: DenseTape) -> None:
        """dZ of the layer below, whose output is this one's input: (dZ W^T) * phi'(X)."""
        self.ops.hidden_delta(tape.dz, p[0], below_tape.y, below.activation, below_tape.slope, below_tape.dz)

    def input_gradient(self, p: Parameters, tape: DenseTape, dx: Array) -> None:
        """dX = dZ W^T."""
        self.ops.input_gradient(tape.dz, p[0], dx)

    def weight_gradient(self, x: Array, tape: DenseTape, into: Parameters) -> None:
        """dW = X^T dZ, db = sum_B dZ."""
        dW, db = into
        self.ops.weight_gradient(x, tape.dz, dW, db)

    def weighted_gradient(self, x: Array, tape: DenseTape, ds: Array, into: Parameters) -> None:
        """dW = X^T (ds * dZ), db = ds^T dZ: sample i weighted by ds_i (ds (B, 1)). The slopes are overwritten."""
        dW, db = into
        self.ops.weighted_gradient(x, tape.dz, ds, tape.slope, dW, db)

    # ---------------------------------------------------------------------------------------------------- tangent

    def tangent(self, p: Parameters, t: Array, tape: DenseTape) -> Array:
        """U = T_in W and T = U * phi'(Y): how the output moves when the input moves along T_in. Needs the slopes of `delta`."""
        self.ops.dense_tangent(t, p[0], self.activation, tape.slope, tape.u, tape.t)
        return tape.t

    # ------------------------------------------------------------------------------ second derivatives, for penalties

    def mixed_gradient(self, x: Array, t: Array, tape: DenseTape, part: DenseTape, ds: Array, into: Parameters) -> None:
        """dW = (ds * X + T_in)^T delta and db = ds^T delta, where phi'' = 0 in the whole network.

        `part` is the view of `tape` with the penalised rows, whose inputs move along t.
        """
        xp, (dW, db) = self.ops.xp, into
        xp.multiply(x, ds, out=tape.mix)
        xp.add(part.mix, t, out=part.mix)
        xp.dot(tape.mix.T, tape.dz, out=dW)
        xp.dot(ds.T, tape.dz, out=db.reshape(1, -1))

    def second_delta(self, p_above: Parameters, e_above: Array, tape: DenseTape, part: DenseTape) -> None:
        """e = (e_above W_above^T) * phi'(Z), and + delta * U * phi''/phi' on the penalised rows (see `curved_gradient`)."""
        ops, xp = self.ops, self.ops.xp
        ops.input_gradient(e_above, p_above[0], tape.e)
        xp.multiply(tape.e, tape.slope, out=tape.e)
        if self.curved:
            ops.curvature(self.activation, part.y, part.bend)
            xp.multiply(part.bend, part.u, out=part.bend)
            xp.multiply(part.bend, part.dz, out=part.bend)
            xp.add(part.e, part.bend, out=part.e)

    def second_gradient(
        self, x: Array, t: Array, tape: DenseTape, part: DenseTape, into: Parameters, scratch: Array
    ) -> None:
        """dW = X^T e + T_in^T delta and db = sum_B e. scratch: (I, O)."""
        dW, db = into
        self.ops.weight_gradient(x, tape.e, dW, db)
        self.ops.xp.dot(t.T, part.dz, out=scratch)
        self.ops.xp.add(dW, scratch, out=dW)


LAYERS: dict[str, type[Dense]] = {"dense": Dense}
"""The kinds of layers: `tests/test_layers.py` proves each of them."""
