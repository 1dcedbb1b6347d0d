"""Layers: each kind's whole calculus in one place, the passes one under another.

A layer turns rows X (B, I) into Y (B, O). It keeps nothing: its parameters `p` are views into the network's flat vector,
and what a pass leaves behind goes to a tape that the caller owns. Networks, penalties, checkpoints and the certificate
know a layer by its methods alone, so another kind is another class.

Every layer is phi(A(X) + b) with a linear A: a dense one multiplies by a matrix, a convolution by the same small matrix at
every place of an image, a transposed convolution by the transpose of such a map.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minigan.backends import Array, Ops
from minigan.backends.activations import ACTIVATIONS
from minigan.backends.noise import Noise
from minigan.backends.ops import Columns
from minigan.errors import InputError

Parameters = tuple[Array, ...]
"""W (I, O) and b (O,), or their gradients; another kind of layer may have others, but for W, which is first."""

MOST_INDICES = 10_000_000
"""Pixels in all patches of an image together, overlapping ones counted as often: beyond, tables of them are refused."""


@dataclass
class DenseTape:
    """What one pass of B rows through a layer I -> O leaves behind; from `u` on, what gradient penalties need."""

    y: Array  # (B, O)  phi(Z), the output
    slope: Array  # (B, O)  phi'(Z)
    dz: Array  # (B, O)  dLoss/dZ, the delta
    u: Array = None  # (B, O)  how Z moves along a direction; the array t, where it is not needed
    t: Array = None  # (B, O)  how Y moves along it
    bend: Array = None  # (B, O)  the terms of phi'', in networks with a curved activation
    e: Array = None  # (B, O)  the deltas of the second reverse pass, in these networks too
    mix: Array = None  # (B, I)  ds * X + T_in, in networks without; a convolution's (B, n q) is ds * P + M
    # of convolutions, with n patches of q numbers
    patches: Array = None  # (B, n q)  P, the patches of X; of a transposed one scratch: those of Z, or of dZ
    dp: Array = None  # (B, n q)  scratch: dLoss/dP
    moved: Array = None  # (B, n q)  M, how P moves along a direction
    each: Array = None  # (B, places)  ds, once for each place
    scratch: Array = None  # (B, h w c)

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
        self.width = fan_in  # of the rows of which, with deltas, W's gradient is made
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
        self.ops.xp.multiply(W, math.sqrt(ACTIVATIONS[self.activation].variance(*W.shape)), out=W)
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
            mix=rows(self.width, tangents and not bends),
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
        self.back(p, tape.dz, tape, dx)

    def back(self, p: Parameters, dz: Array, tape: DenseTape, out: Array) -> None:
        """out = dZ W^T, for any dZ: first deltas or second ones. The tape lends scratch to other kinds of layers."""
        self.ops.input_gradient(dz, p[0], out)

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

    def second_delta(
        self, above: Dense, p_above: Parameters, above_tape: DenseTape, tape: DenseTape, part: DenseTape
    ) -> None:
        """e = (e_above W_above^T) * phi'(Z), and + delta * U * phi''/phi' on the penalised rows (see `curved_gradient`)."""
        ops, xp = self.ops, self.ops.xp
        above.back(p_above, above_tape.e, above_tape, tape.e)
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


# ------------------------------------------------------------------------------------------------------- convolutions


@dataclass(frozen=True)
class Patches:
    """The patches of a map (h, w, c), stored row by row with the c channels of a pixel side by side: squares of `side` pixels,
    one every `stride` pixels in both directions, so that they end at the map's edges.

    Raises: InputError where they do not, or where they leave pixels out.
    """

    shape: tuple[int, int, int]
    side: int
    stride: int

    def __post_init__(self) -> None:
        h, w, _ = self.shape
        if (
            self.side > min(h, w)
            or self.stride > self.side
            or (h - self.side) % self.stride
            or (w - self.side) % self.stride
        ):
            raise InputError(
                f"--convolutions: squares of {self.side} pixels, one every {self.stride}, do not cover {h} x {w} pixels "
                f"exactly; the stride must divide {h} - {self.side}"
                f"{f' and {w} - {self.side}' if w != h else ''}, and be at most {self.side}."
            )
        if self.places[0] * self.places[1] * self.side**2 > MOST_INDICES:
            raise InputError(
                f"--convolutions: {math.prod(self.places):,} squares of {self.side} pixels are too many; take a larger stride."
            )

    @property
    def places(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return (self.shape[0] - self.side) // self.stride + 1, (self.shape[1] - self.side) // self.stride + 1

    @property
    def count(self) -> int:
        """n, the number of patches."""
        return math.prod(self.places)

    @property
    def inside(self) -> int:
        """q = side side c, the numbers in a patch."""
        return self.side**2 * self.shape[2]

    @property
    def size(self) -> int:
        """h w c, the numbers in a map."""
        return math.prod(self.shape)

    def taken(self, ops: Ops) -> Columns:
        """Which columns of maps (B, h w c) the columns of their patches (B, n q) are."""
        return ops.columns(self._pixels().reshape(1, -1), self.shape[2])

    def given(self, ops: Ops) -> Columns:
        """The transpose: which columns of patches are added up in the columns of maps, patch after patch."""
        pixels, size = self._pixels().reshape(-1), self.shape[0] * self.shape[1]
        order, counts = np.argsort(pixels, kind="stable"), np.bincount(pixels, minlength=size)
        earlier = np.arange(pixels.size) - np.repeat(np.cumsum(counts) - counts, counts)  # patches with the same pixel
        index = np.full((counts.max(), size), -1)
        index[earlier, pixels[order]] = order
        return ops.columns(index, self.shape[2])

    def _pixels(self) -> np.ndarray:
        """The numbers of the pixels in each patch (n, side side)."""
        w, across = self.shape[1], np.arange(self.side)
        down, right = (np.arange(n) * self.stride for n in self.places)
        corners, inside = down[:, None] * w + right, across[:, None] * w + across
        return corners.reshape(-1, 1) + inside.reshape(1, -1)


class Convolution(Dense):
    """Y_j = phi(P_j W + b) for the patches P_1, ..., P_n of X, with the same W (q, c') and b (c',) for all of them.

    X (B, h w c) holds maps, and so does Y (B, n c'): a pixel for each patch, with c' channels. With the patches as rows of P
    (B n, q) it is a dense layer. P is a linear function of X; its transpose adds up in each pixel what is said of it in the
    patches that it belongs to.

    docs/math.md, "Convolutions".
    """

    first = True
    """Whether patches are taken before W multiplies, not added up after it."""

    def __init__(self, patches: Patches, fan_in: int, fan_out: int, activation: str, ops: Ops) -> None:
        super().__init__(fan_in, fan_out, activation, ops)
        self.patches = patches
        self.channels, self.places = fan_out // patches.count, patches.count
        self.kernel = patches.inside, self.channels
        self.count = (patches.inside + 1) * self.channels
        self.width = patches.count * patches.inside
        self.taken, self.given = patches.taken(ops), patches.given(ops)

    def __repr__(self) -> str:
        p = self.patches
        return f"{type(self).__name__}({p.shape}, {p.side}, {p.stride}, {self.fan_in}, {self.fan_out}, {self.activation!r})"

    def parameters(self, flat: Array) -> Parameters:
        """(W, b) as views into flat (count,): W (q, c') row by row, then b (c',)."""
        return flat[: -self.channels].reshape(self.kernel), flat[-self.channels :]

    def tape(self, batch: int, dtype: Any, *, tangents: bool, bends: bool, y: Array) -> DenseTape:
        tape, p = super().tape(batch, dtype, tangents=tangents, bends=bends, y=y), self.patches

        def rows(width: int, wanted: bool = True) -> Array:
            return self.ops.zeros((batch, width), dtype) if wanted else None

        return replace(
            tape,
            patches=rows(p.count * p.inside),
            dp=rows(p.count * p.inside, self.first),
            moved=rows(p.count * p.inside, self.first and tangents),
            each=rows(self.places, tangents and not bends),
            scratch=rows(p.size),
        )

    def rows(self, array: Array) -> Array:
        """(B, n c') or (B, n q) as a matrix with a row for each patch."""
        return array.reshape(len(array) * self.patches.count, -1)

    # ---------------------------------------------------------------------------------------------------- forward

    def forward(self, p: Parameters, x: Array, tape: DenseTape) -> Array:
        """Y = phi(P W + b)."""
        W, b = p
        self.ops.sum_columns(x, self.taken, tape.patches)
        y, slope = self.rows(tape.y), self.rows(tape.slope)
        self.ops.dense_forward(self.rows(tape.patches), W, b, self.activation, y, slope)
        return tape.y

    # --------------------------------------------------------------------------------------------------- backward

    def delta_below(self, p: Parameters, tape: DenseTape, below: Dense, below_tape: DenseTape) -> None:
        self.back(p, tape.dz, tape, below_tape.dz)
        self.ops.activation_backward(below_tape.dz, below_tape.y, below.activation, below_tape.slope, below_tape.dz)

    def back(self, p: Parameters, dz: Array, tape: DenseTape, out: Array) -> None:
        """dP = dZ W^T, and each pixel of dX is the sum of what stands for it in dP."""
        self.ops.input_gradient(self.rows(dz), p[0], self.rows(tape.dp))
        self.ops.sum_columns(tape.dp, self.given, out, tape.scratch)

    def weight_gradient(self, x: Array, tape: DenseTape, into: Parameters) -> None:
        """dW = P^T dZ, db = sum_{B n} dZ."""
        self.ops.weight_gradient(self.rows(tape.patches), self.rows(tape.dz), *into)

    def weighted_gradient(self, x: Array, tape: DenseTape, ds: Array, into: Parameters) -> None:
        """dW = P^T (ds * dZ), db = sum_{B n} ds * dZ. The slopes are overwritten."""
        self.ops.xp.multiply(tape.dz, ds, out=tape.slope)
        self.ops.weight_gradient(self.rows(tape.patches), self.rows(tape.slope), *into)

    # ---------------------------------------------------------------------------------------------------- tangent

    def tangent(self, p: Parameters, t: Array, tape: DenseTape) -> Array:
        """U = M W and T = U * phi'(Y), where M are the patches of T_in."""
        self.ops.sum_columns(t, self.taken, tape.moved)
        u, slope = self.rows(tape.u), self.rows(tape.slope)
        out = u if tape.t is tape.u else self.rows(tape.t)
        self.ops.dense_tangent(self.rows(tape.moved), p[0], self.activation, slope, u, out)
        return tape.t

    # ------------------------------------------------------------------------------ second derivatives, for penalties

    def mixed_gradient(self, x: Array, t: Array, tape: DenseTape, part: DenseTape, ds: Array, into: Parameters) -> None:
        """dW = (ds * P + M)^T delta and db = sum_{B n} ds * delta."""
        xp, dz, (dW, db) = self.ops.xp, self.rows(tape.dz), into
        xp.multiply(tape.patches, ds, out=tape.mix)
        xp.add(part.mix, part.moved, out=part.mix)
        xp.dot(self.rows(tape.mix).T, dz, out=dW)
        xp.copyto(tape.each, ds)
        xp.dot(tape.each.reshape(1, -1), dz, out=db.reshape(1, -1))

    def second_gradient(
        self, x: Array, t: Array, tape: DenseTape, part: DenseTape, into: Parameters, scratch: Array
    ) -> None:
        """dW = P^T e + M^T delta and db = sum_{B n} e."""
        dW, db = into
        self.ops.weight_gradient(self.rows(tape.patches), self.rows(tape.e), dW, db)
        self.ops.xp.dot(self.rows(part.moved).T, self.rows(part.dz), out=scratch)
        self.ops.xp.add(dW, scratch, out=dW)


class TransposedConvolution(Convolution):
    """Y = phi(Z + b), where Z adds up the patches Q_j = X_j W in which X_1, ..., X_n are painted: the transpose of a convolution.

    X (B, n c) holds maps with a pixel of c channels for each of the `patches` of Y (B, h w c'), b (c',); W is (c, q), q the
    numbers in a patch.

    docs/math.md, "Convolutions".
    """

    first = False

    def __init__(self, patches: Patches, fan_in: int, fan_out: int, activation: str, ops: Ops) -> None:
        super().__init__(patches, fan_in, fan_out, activation, ops)
        self.channels, self.places = patches.shape[2], patches.size // patches.shape[2]
        self.kernel = fan_in // patches.count, patches.inside
        self.count = math.prod(self.kernel) + self.channels
        self.width = fan_in

    def pixels(self, array: Array) -> Array:
        """(B, h w c') as a matrix with a row for each pixel, to which b (c',) can be added; as it is where b is one number."""
        return array if self.channels == 1 else array.reshape(-1, self.channels)

    # ---------------------------------------------------------------------------------------------------- forward

    def forward(self, p: Parameters, x: Array, tape: DenseTape) -> Array:
        """Q = X W, Y = phi(Z + b)."""
        W, b = p
        self.paint(W, x, tape, tape.y)
        self.ops.bias_activation(self.pixels(tape.y), b, self.activation, self.pixels(tape.slope))
        return tape.y

    def paint(self, W: Array, x: Array, tape: DenseTape, out: Array) -> None:
        """out = Z: what the patches X W add up to."""
        self.ops.xp.dot(self.rows(x), W, out=self.rows(tape.patches))
        self.ops.sum_columns(tape.patches, self.given, out, tape.scratch)

    # --------------------------------------------------------------------------------------------------- backward

    def back(self, p: Parameters, dz: Array, tape: DenseTape, out: Array) -> None:
        """dX_j = dQ_j W^T, where dQ_j is the patch of dZ."""
        self.ops.input_gradient(self.patches_of(dz, tape), p[0], self.rows(out))

    def patches_of(self, dz: Array, tape: DenseTape) -> Array:
        """dQ (B n, q): the patches of dZ."""
        self.ops.sum_columns(dz, self.taken, tape.patches)
        return self.rows(tape.patches)

    def weight_gradient(self, x: Array, tape: DenseTape, into: Parameters) -> None:
        """dW = X^T dQ, db = sum of dZ over B and pixels."""
        self.gradient(x, tape.dz, tape, into)

    def gradient(self, x: Array, dz: Array, tape: DenseTape, into: Parameters) -> None:
        """dW and db for any dZ."""
        dW, db = into
        self.ops.xp.dot(self.rows(x).T, self.patches_of(dz, tape), out=dW)
        self.ops.bias_gradient(dz.reshape(-1, self.channels), db)

    def weighted_gradient(self, x: Array, tape: DenseTape, ds: Array, into: Parameters) -> None:
        """The same with ds * dZ. The slopes are overwritten."""
        self.ops.xp.multiply(tape.dz, ds, out=tape.slope)
        self.gradient(x, tape.slope, tape, into)

    # ---------------------------------------------------------------------------------------------------- tangent

    def tangent(self, p: Parameters, t: Array, tape: DenseTape) -> Array:
        """U is what the patches T_in W add up to, and T = U * phi'(Y)."""
        self.paint(p[0], t, tape, tape.u)
        if self.activation != "identity":
            self.ops.xp.multiply(tape.u, tape.slope, out=tape.t)
        elif tape.t is not tape.u:
            self.ops.xp.copyto(tape.t, tape.u)
        return tape.t

    # ------------------------------------------------------------------------------ second derivatives, for penalties

    def mixed_gradient(self, x: Array, t: Array, tape: DenseTape, part: DenseTape, ds: Array, into: Parameters) -> None:
        """dW = (ds * X + T_in)^T dQ, with dQ the patches of delta, and db = sum of ds * delta over B and pixels."""
        xp, (dW, db) = self.ops.xp, into
        xp.multiply(x, ds, out=tape.mix)
        xp.add(part.mix, t, out=part.mix)
        xp.dot(self.rows(tape.mix).T, self.patches_of(tape.dz, tape), out=dW)
        xp.copyto(tape.each, ds)
        xp.dot(tape.each.reshape(1, -1), tape.dz.reshape(-1, self.channels), out=db.reshape(1, -1))

    def second_gradient(
        self, x: Array, t: Array, tape: DenseTape, part: DenseTape, into: Parameters, scratch: Array
    ) -> None:
        """dW = X^T (patches of e) + T_in^T (patches of delta), db = sum of e over B and pixels."""
        dW, _ = into
        self.gradient(x, tape.e, tape, into)
        self.ops.xp.dot(self.rows(t).T, self.patches_of(part.dz, part), out=scratch)
        self.ops.xp.add(dW, scratch, out=dW)


Make = Callable[[int, int, str, Ops], Dense]
"""Makes a layer I -> O with an activation: a class of layers, with its patches where it has such."""

LAYERS: dict[str, type[Dense]] = {
    "dense": Dense,
    "convolution": Convolution,
    "transposed convolution": TransposedConvolution,
}
"""The kinds of layers: `tests/test_layers.py` proves each of them."""
