"""The operations on arrays: the reference that every faster kernel is compared with.

`Ops` owns all that computing needs: the array module `xp`, arrays and their moves between host and device, random numbers,
and the mathematics of a training step. It computes with NumPy; subclasses override what differs: `CupyOps` the moves,
`numba.ops.NumbaOps` and `cuda.ops.CudaOps` the operations that they have kernels for. `get_ops` chooses one, which is passed
explicitly to everything that computes: there is no global state and no silent fall-back. Callers do not ask which one it is:
whatever differs is a method.

Notation (docs/math.md derives each line): batch B, layer widths I (in) and O (out); row vectors, so one dense step is
`Y = phi(X W + b)` with X (B, I), W (I, O), b (O,). `dname` is dLoss/dname and has name's shape. Every operation writes to
`out` arrays that the caller owns and allocates nothing. phi is one of activations.py, called by its name.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigan import memory
from minigan.backends.activations import ACTIVATIONS

if TYPE_CHECKING:
    from minigan.backends.noise import Noise

Array = Any
"""A numpy.ndarray or a cupy.ndarray: the two share no common type to name here."""

BLOCK = 131072
"""Floats that an optimiser updates at a time on the CPU: five arrays of this length stay in a core's share of the last-level cache
through Adam's ten passes. With smaller blocks, which fit into the second-level cache, the cost of calls outweighs the gain."""


class Outcome(NamedTuple):
    """An array that passes write and that is read afterwards, and its name in messages.

    gradient: the name of the gradient along which passes update the array; None where they overwrite it. compared: whether a
    recording must reproduce it; False where rounding alone may change it.
    """

    name: str
    array: Array
    gradient: str | None = None
    compared: bool = True


class Feed(NamedTuple):
    """Where a recorded step finds its minibatches: arrays on the device, and a key of the noise (`cuda.ops.CudaOps.minibatch`).

    Minibatch i has row i modulo T of the tables, which are laid out for T minibatches at a time.
    """

    counter: Array
    """The number of the next minibatch: a word (1,)."""

    rows: Array
    """The training rows (n, d), in the type that they are stored in."""

    offset: Array
    factor: Array
    """From stored rows to model units, see `Ops.gather`."""

    chosen: Array
    """(T, B): the rows of each minibatch."""

    table: Array
    """(T, count): the coefficients of each minibatch."""

    seed: int
    stream: int
    """Of the latent points."""


class Columns(NamedTuple):
    """Which columns of a matrix (B, I) are added up in each column of a result (B, O), in blocks of `width` columns."""

    index: Array
    """(C, O / width), int64: numbers of blocks, or -1 for none, which is never the first of a block."""

    present: Array
    """(C, O / width, 1): whether there is one."""

    width: int


class Ops:
    """The operations with NumPy, on the CPU.

    name: "numpy" or "cupy". kernels: which implementation of the operations (`--kernels`). device: a description for people.

    docs/math.md derives each operation: "Activations", "The dense step", "Convolutions", "Functions of logits",
    "Objectives" (cross-entropy), "The training step" (`gather`), "The optimiser".
    """

    name = "numpy"
    kernels = "reference"

    threads: int | None = None
    """Threads of programs recorded from now on; None where this backend records no programs for several threads."""

    block: int | None = BLOCK
    """Floats of a long vector that element-wise passes should process at a time; None for all."""

    launches = False
    """Whether whole training steps, minibatch and noise included, can be recorded (`runs.steps.Launch`)."""

    def __init__(self, xp: Any = np, device: str = "") -> None:
        self.xp = xp
        self.device = device or f"CPU ({platform.machine() or 'unknown machine'})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, {self.kernels} kernels, {self.device})"

    def reference(self, xp: Any = None) -> Ops:
        """The reference operations on the same arrays, through the array module `xp` (default: this one's)."""
        return Ops(self.xp if xp is None else xp, self.device)

    def versions(self) -> dict[str, str]:
        """The versions of packages, besides NumPy, on which results depend."""
        return {}

    def available(self) -> int | None:
        """Bytes of memory that are available for arrays; None where the system does not tell."""
        return memory.available()

    # ------------------------------------------------------------------------------------------------- arrays

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.xp.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.xp.zeros(shape, dtype)

    def asarray(self, host: np.ndarray) -> Array:
        """A host array on this backend (NumPy: the array itself)."""
        return self.xp.asarray(host)

    def to_host(self, array: Array) -> np.ndarray:
        """A NumPy copy of `array` (NumPy: the array itself); waits until the device has finished it."""
        return array

    def fill(self, array: Array, values: Any) -> None:
        """array = values, numbers or a host array; does not wait for the device."""
        array[...] = values if array.ndim == 1 else np.reshape(values, array.shape)

    def take(self, array: Array, rows: Array, out: Array, axis: int = 0) -> None:
        """out[i] = array[rows[i]], or the same along another axis; the rows must be valid, or the result unused."""
        # mode="clip" writes directly to `out`; the default mode would use a hidden buffer
        np.take(array, rows, axis=axis, out=out, mode="clip")

    def synchronize(self) -> None:
        """Wait until everything queued on the device is done (NumPy: nothing to wait for)."""

    # ----------------------------------------------------------------------------------------- random numbers

    def uniform(self, out: Array, noise: Noise, stream: int, step: int) -> None:
        """Fill `out` with uniforms on [0, 1), a function of (noise.seed, stream, step)."""
        self.fill(out, noise.host_uniform(out.size, stream, step))

    def normal(self, out: Array, noise: Noise, stream: int, step: int) -> None:
        """Fill `out` with N(0, 1), a function of (noise.seed, stream, step)."""
        self.fill(out, noise.host_normal(out.size, stream, step))

    # ------------------------------------------------------- steps that the device feeds itself, where `launches`

    def draw(self, kind: str, out: Array, seed: int, stream: int, step: int, later: Array | None = None) -> None:
        """Fill `out` with "normal" or "uniform" numbers, as `noise.Noise` does on the host.

        later: a word (1,) on the device that is added to the step.
        """
        raise NotImplementedError

    def minibatch(self, feed: Feed, ahead: int, x: Array, z: Array, coefficients: Array) -> None:
        """Begin minibatch i = counter + ahead: `gather` its rows into x, draw z, and copy its coefficients from the table."""
        raise NotImplementedError

    def advance(self, counter: Array, by: int, like: Array) -> None:
        """counter += by, on the device; like: an array in the step's precision."""
        raise NotImplementedError

    # -------------------------------------------------------------------------------------- recorded programs

    def program(
        self, passes: Callable[[], None], outcome: Sequence[Outcome] = (), what: str = ""
    ) -> Callable[[], None]:
        """A callable equivalent to `passes`. The reference returns it unchanged; a backend may record and replay it.

        So passes must execute the same operations on the same arrays in every call, and read from arrays what varies.
        `outcome` lists the arrays that passes update, and those that are read afterwards: in them the first replays are compared
        with passes (`backends.trial`), and the message about a difference begins with `what`. Without an outcome nothing is
        compared.
        """
        return passes

    def objective(self, kind: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        """An objective of the class `kind` (see objectives.py), with this backend's kernels; the reference has none."""
        return kind(self, *arguments, **settings)

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
        self.xp.dot(x, W, out=y)
        self.bias_activation(y, b, name, scratch)

    def bias_activation(self, y: Array, b: Array, name: str, scratch: Array) -> None:
        """Y <- phi(Y + b), in place; b (O,), or (1,) for all columns."""
        self.xp.add(y, b, out=y)
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
        self.bias_gradient(dz, db)

    def bias_gradient(self, dz: Array, db: Array) -> None:
        """db = sum_B dZ."""
        dz.sum(axis=0, out=db)  # the method: np.sum takes half as long again, in Python

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

    # --------------------------------------------------------------------------------------------- convolutions

    def columns(self, index: np.ndarray, width: int) -> Columns:
        """What `sum_columns` reads, of an index on the host."""
        return Columns(self.asarray(index.astype(np.int64)), self.asarray(index[..., None] >= 0), width)

    def sum_columns(self, x: Array, columns: Columns, out: Array, scratch: Array = None) -> None:
        """out_ij = sum_k x_i,index(k, j), over the columns, or blocks of them, that there are: x (B, I) -> out (B, O).

        The terms are added in the order of k. scratch: (B, O), where there are several.
        """
        xp, width = self.xp, columns.width
        blocks, total = x.reshape(len(x), -1, width), out.reshape(len(out), -1, width)
        self.take(blocks, columns.index[0], total, axis=1)
        for k in range(1, len(columns.index)):
            term = scratch.reshape(total.shape)
            self.take(blocks, columns.index[k], term, axis=1)
            xp.multiply(term, columns.present[k], out=term)
            xp.add(total, term, out=total)

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
            self.take(rows, chosen, out)
        else:
            self.take(rows, chosen, scratch)
            xp.copyto(out, scratch)
        xp.subtract(out, offset, out=out)
        xp.multiply(out, factor, out=out)

    # ---------------------------------------------------------------------------------------------- optimiser

    def adam(
        self,
        theta: Array,
        grad: Array,
        m: Array,
        v: Array,
        factors: Array,
        scratch: Array,
        mean: Array | None = None,
        weight: Array | None = None,
    ) -> None:
        """One Adam update (Kingma and Ba 2015, Algorithm 1) on one flat vector, in place.

        m and v are the paper's moments divided by (1 - beta1) and (1 - beta2), and step_size and epsilon carry those
        factors and the bias correction (see `optim.Adam`), which saves three passes over memory:

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


class CupyOps(Ops):
    """The operations with CuPy, on a GPU."""

    name = "cupy"
    block = None

    def reference(self, xp: Any = None) -> Ops:
        return CupyOps(self.xp if xp is None else xp, self.device)

    def versions(self) -> dict[str, str]:
        return {"cupy": self.xp.__version__}

    def available(self) -> int | None:
        return int(self.xp.cuda.runtime.memGetInfo()[0])

    def to_host(self, array: Array) -> np.ndarray:
        return array.get()

    def fill(self, array: Array, values: Any) -> None:
        host = np.asarray(values, array.dtype).reshape(array.shape)
        # not array.set(host), which waits for the device; asarray copies through pinned memory
        self.xp.copyto(array, self.xp.asarray(host))

    def take(self, array: Array, rows: Array, out: Array, axis: int = 0) -> None:
        self.xp.take(array, rows, axis=axis, out=out)

    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()
