"""The mathematics, and the reference that every faster kernel is held to.

Notation (docs/math.md derives each line): batch B, layer widths I (in) and O (out); row vectors, so one dense step is
`Y = phi(X W + b)` with X (B, I), W (I, O), b (O,). `dname` is dLoss/dname and has name's shape. Every function writes to
`out` arrays that the caller owns and allocates nothing.

phi is one of activations.py, called by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigan.activations import ACTIVATIONS
from minigan.backend import Array, Backend


class Ops:
    """The operations on one backend's arrays. A backend may override some with fused kernels, held to these by a test."""

    threads: int | None = None
    """How many threads run a program taken down from now on; None where `program` takes nothing down."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.xp = backend.xp

    def program(self, passes: Callable[[], None]) -> Callable[[], None]:
        """What does the same as `passes()` every time it is called; here, `passes` itself.

        A backend may take down what passes() does and replay it. So passes must do the same operations on the same arrays
        whenever it is called, and get from arrays what varies.
        """
        return passes

    def objective(self, kind: Callable[..., Any], *arguments: Any) -> Any:
        """An objective of the class `kind` (see objectives.py) as this backend computes it; here, as it is written."""
        return kind(self, *arguments)

    # ---------------------------------------------------------------------------------------------- activations

    def activation(self, name: str, z: Array, scratch: Array) -> None:
        """z <- phi(z), in place; `scratch` is overwritten."""
        ACTIVATIONS[name].phi(self, z, scratch)

    def slope(self, name: str, y: Array, out: Array) -> None:
        """out = phi'(z), from y = phi(z)."""
        ACTIVATIONS[name].slope(self, y, out)

    def curvature(self, name: str, y: Array, out: Array) -> None:
        """out = phi''(z) / phi'(z), from y = phi(z); 0 for piecewise-linear activations."""
        curvature = ACTIVATIONS[name].curvature
        if curvature is None:
            out.fill(0)
        else:
            curvature(self, y, out)

    # ----------------------------------------------------------------------------------------- the dense step

    def dense_forward(self, x: Array, W: Array, b: Array, name: str, y: Array, scratch: Array) -> None:
        """Y = phi(X W + b): x (B, I), W (I, O), b (O,) -> y (B, O)."""
        xp = self.xp
        xp.dot(x, W, out=y)
        xp.add(y, b, out=y)
        self.activation(name, y, scratch)

    def activation_backward(self, dy: Array, y: Array, name: str, slope: Array, dz: Array) -> None:
        """dZ = dY * phi'(Y); the slope phi'(Y) is left in `slope` for a tangent pass."""
        if name == "identity":
            if dz is not dy:
                self.xp.copyto(dz, dy)
        else:
            self.slope(name, y, slope)
            self.xp.multiply(dy, slope, out=dz)

    def weight_gradient(self, x: Array, dz: Array, dW: Array, db: Array) -> None:
        """dW = X^T dZ and db = sum_B dZ."""
        self.xp.dot(x.T, dz, out=dW)
        dz.sum(axis=0, out=db)  # the method: the function of the same name adds half as much again in Python

    def weighted_gradient(self, x: Array, dz: Array, ds: Array, weighted: Array, dW: Array, db: Array) -> None:
        """dW = X^T (ds * dZ) and db = ds^T dZ: sample i weighted by ds_i (ds (B, 1)); `weighted` (B, O) is overwritten."""
        self.xp.multiply(dz, ds, out=weighted)
        self.weight_gradient(x, weighted, dW, db)

    def input_gradient(self, dz: Array, W: Array, dx: Array) -> None:
        """dX = dZ W^T."""
        self.xp.dot(dz, W.T, out=dx)

    def hidden_delta(self, dz: Array, W: Array, y: Array, name: str, slope: Array, out: Array) -> None:
        """The chain rule through a layer and the activation before it: out = (dZ W^T) * phi'(Y), Y (B, I) the layer's input.

        The slope phi'(Y) is left in `slope`.
        """
        self.input_gradient(dz, W, out)
        self.activation_backward(out, y, name, slope, out)

    def dense_tangent(self, t: Array, W: Array, name: str, slope: Array, u: Array, t_out: Array) -> None:
        """U = T_in W and T_out = U * phi'(Y): how the output moves when the input moves along T_in.

        `slope` is phi'(Y) as `activation_backward` left it. `u` and `t_out` may be one array where U is not needed.
        """
        self.xp.dot(t, W, out=u)
        if name != "identity":
            self.xp.multiply(u, slope, out=t_out)
        elif t_out is not u:
            self.xp.copyto(t_out, u)

    # ------------------------------------------------------------------------------------ functions of logits

    def sigmoid(self, s: Array, out: Array, scratch: Array) -> None:
        """out = 1 / (1 + e^-s) = e^min(s, 0) / (1 + e^-|s|): no overflow, and no cancellation in either tail.

        `out` may be `s`.
        """
        xp = self.xp
        xp.abs(s, out=scratch)
        xp.negative(scratch, out=scratch)
        xp.exp(scratch, out=scratch)
        xp.add(scratch, 1, out=scratch)
        xp.minimum(s, 0, out=out)
        xp.exp(out, out=out)
        xp.divide(out, scratch, out=out)

    def softplus(self, s: Array, out: Array) -> None:
        """out = log(1 + e^s), the stable -log(sigmoid(-s)); its derivative is sigmoid(s)."""
        self.xp.logaddexp(s, 0, out=out)

    def binary_cross_entropy_gradient(self, s: Array, target: float, out: Array, scratch: Array) -> None:
        """out = (sigma(s) - target) / B, without cancellation when the target is 0 or 1: sigma(s) - 1 = -sigma(-s).

        `out` may be `s`.
        """
        xp = self.xp
        if target == 1:
            xp.negative(s, out=out)
            self.sigmoid(out, out, scratch)
            xp.multiply(out, -1 / s.size, out=out)
        else:
            self.sigmoid(s, out, scratch)
            xp.subtract(out, target, out=out)
            xp.multiply(out, 1 / s.size, out=out)

    # --------------------------------------------------------------------------------------------- minibatches

    def gather(self, rows: Array, chosen: Array, offset: Array, factor: Array, scratch: Array, out: Array) -> None:
        """out_i = (rows[chosen_i] - offset) * factor: a minibatch (B, d) of stored rows (n, d), in model units.

        offset, factor: (d,), or (1,) for all columns.  scratch: (B, d) of rows' type, where that is not out's type. The
        subtraction comes first, so that large values that are close to each other stay apart.
        """
        xp = self.xp
        if rows.dtype == out.dtype:
            self.backend.take(rows, chosen, out)
        else:
            self.backend.take(rows, chosen, scratch)
            xp.copyto(out, scratch)
        xp.subtract(out, offset, out=out)
        xp.multiply(out, factor, out=out)

    # ---------------------------------------------------------------------------------------------- optimiser

    def adam(self, theta: Array, grad: Array, m: Array, v: Array, factors: Array, scratch: Array,
             mean: Array | None = None, weight: Array | None = None) -> None:  # fmt: skip
        """One Adam update (Kingma and Ba 2015, Algorithm 1) on one flat vector, in place.

        m and v are the paper's moments divided by (1 - beta1) and (1 - beta2), and step_size and epsilon carry those
        factors and the bias correction (see `optim.Adam.factors`), which saves three passes over memory:

            m <- beta1 m + g        v <- beta2 v + g^2        theta <- theta - step_size m / (sqrt(v) + epsilon)

        factors (4,): beta1, beta2, step_size, epsilon.  mean, weight: an average of theta that then moves, see `average`.
        """
        xp = self.xp
        beta1, beta2, step_size, epsilon = (factors[i : i + 1] for i in range(4))
        xp.multiply(m, beta1, out=m)
        xp.add(m, grad, out=m)
        xp.multiply(v, beta2, out=v)
        xp.multiply(grad, grad, out=scratch)
        xp.add(v, scratch, out=v)
        xp.sqrt(v, out=scratch)
        xp.add(scratch, epsilon, out=scratch)
        xp.divide(m, scratch, out=scratch)
        xp.multiply(scratch, step_size, out=scratch)
        xp.subtract(theta, scratch, out=theta)
        if mean is not None:
            self.average(mean, theta, weight, scratch)

    def average(self, mean: Array, theta: Array, weight: Array, scratch: Array) -> None:
        """mean <- mean + weight (theta - mean), the exponential moving average; weight (1,)."""
        xp = self.xp
        xp.subtract(theta, mean, out=scratch)
        xp.multiply(scratch, weight, out=scratch)
        xp.add(mean, scratch, out=mean)
