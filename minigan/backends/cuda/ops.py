"""`--backend cupy --kernels cuda`: operations as single kernels, and the training step as one CUDA graph.

CuPy launches a kernel for every operation, and a step of a small network takes as long as its launches do. Here each operation
is a single kernel from the CUDA sources in `cuda/`, or a matrix product (cublaslt.py), and all launches of a step are recorded
once and replayed together. The device draws the noise itself and counts the minibatches, so that a recording can begin with the
minibatch (runs/steps.py).
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.backends.activations import LEAK
from minigan.backends.cuda.cublaslt import Products
from minigan.backends.ops import Array, Columns, CupyOps, Feed, Ops, Outcome
from minigan.backends.trial import Trial
from minigan.errors import FallbackWarning, reason

if TYPE_CHECKING:
    from minigan.backends.noise import Noise
    from minigan.nn.objectives import Objective

KINDS = ("relu", "leaky-relu", "tanh", "sigmoid", "identity")
"""The activations that activation.cu has a branch for, in its order; others run as they are."""

SOURCES = Path(__file__).parent
KERNELS = {
    "activation": ("bias_activation", "activation_backward", "hidden_delta"),
    "logits": ("sigmoid", "softplus", "discriminator_gradient", "generator_gradient"),
    "adam": ("adam", "average", "adam_average"),
    "columns": ("sum_columns",),
    "noise": ("words", "uniform", "normal", "advance"),
    "gather": ("gather",),
    "minibatch": ("minibatch",),
}
"""Source files, and the kernels in each."""

ABOVE = {"minibatch": ("noise", "gather")}
"""Source files that must be compiled before another one, which calls their functions."""

OBJECTIVES = ("Minimax", "NonSaturating", "LeastSquares", "Hinge", "Wasserstein", "Relativistic")
"""The classes of objectives.py that have a branch in logits.cu, in its order; others run as they are."""

TYPES = {"float32": "float", "float64": "double", "uint8": "unsigned char"}
THREADS, BLOCKS = 256, 1 << 16
"""Threads of a block, and the largest number of blocks: for more elements than that, a thread loops."""


@cache
def source(file: str) -> str:
    """The text that is compiled for `cuda/FILE.cu`."""
    names = ("common.cuh", *(f"{name}.cu" for name in (*ABOVE.get(file, ()), file)))
    return "\n".join((SOURCES / name).read_text(encoding="utf-8") for name in names)


def options(dtype: str, stored: str = "float32") -> tuple[str, ...]:
    """The compiler's options: the types that `real`, and `stored` in gather.cu, are defined as."""
    return ("-std=c++14", f"-Dreal={TYPES[dtype]}", f"-Dstored={TYPES[stored]}")


class Module:
    """CuPy with matrix products and sums that can be recorded: cuBLASLt's, which allocate no memory while they compute."""

    def __init__(self, xp: Any, tf32: bool) -> None:
        self.xp = xp
        self.products = Products(xp, importlib.import_module("nvmath.bindings.cublasLt"), tf32=tf32)
        self.dot = self.products.dot
        self._ones: dict[tuple[int, str], Array] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.xp, name)

    def ones_column(self, n: int, dtype: Any) -> Array:
        """A column (n, 1) of ones, cached."""
        key = (n, np.dtype(dtype).name)
        if key not in self._ones:
            self._ones[key] = self.xp.ones((n, 1), dtype)
        return self._ones[key]

    def sum(self, x: Array, *, axis: int, keepdims: bool, out: Array) -> None:
        """out (B, 1) = the sums of the rows of x (B, d), as a product with ones."""
        assert axis == 1 and keepdims
        self.dot(x, self.ones_column(x.shape[1], x.dtype), out=out, exact=True)


class Graph:
    """passes() as one CUDA graph.

    The first call launches the operations one by one: compiling a kernel and planning a product allocate memory, which a
    recording must not do, because the graph would keep the address after the memory has been freed. The second call records
    them. From then on a call is one launch, and the first ones are compared with the passes (`Trial`, which explains outcome
    and what). Where passes cannot be recorded, a warning says why, and operations are launched one by one as before.
    """

    def __init__(
        self, passes: Callable[[], None], ops: CudaOps, outcome: Sequence[Outcome] = (), what: str = ""
    ) -> None:
        self.passes = passes
        self.ops = ops
        self.xp = ops.cupy
        self.outcome = outcome
        self.what = what
        self.warm = False
        self.recorded: Any = None
        self.launch = passes

    def __call__(self) -> None:
        if not self.warm:
            self.passes()
            self.warm = True
            return
        if self.recorded is None:
            try:
                self.recorded = self.record()
                self.launch = Trial(self.recorded.launch, self.passes, self.outcome, self.what, self.ops)
            except Exception as error:  # any error of CUDA, CuPy or cuBLASLt; nothing has been computed
                words = f"a step cannot be recorded and is launched piece by piece, which is slower: {reason(error)}"
                warnings.warn(words, FallbackWarning, stacklevel=2)
                self.recorded = SimpleNamespace()
        self.launch()

    def record(self) -> Any:
        """Record what passes() launches, as a graph; nothing is computed."""

        def refuse(size: int) -> None:
            raise MemoryError(f"{size} bytes asked for in a step that is being recorded")

        stream = self.xp.cuda.Stream(non_blocking=True)  # the default stream cannot be recorded
        with stream, self.xp.cuda.using_allocator(refuse):
            stream.begin_capture()
            try:
                self.passes()
            except BaseException:
                with suppress(Exception):  # an invalid recording: the error that made it so is raised below
                    stream.end_capture()
                raise
            return stream.end_capture()

    def nodes(self) -> int:
        """The number of nodes in the graph that CUDA made; 0 without a recording."""
        drawn = self.recorded.debug_dot_str() if hasattr(self.recorded, "debug_dot_str") else ""
        return len(set(re.findall(r"graph_\d+_node_\d+", drawn)))


class CudaOps(CupyOps):
    """`Ops` with the kernels above; everything else is computed by CuPy."""

    kernels = "cuda"
    launches = True

    def __init__(self, xp: Any, device: str, *, tf32: bool = False) -> None:
        super().__init__(xp, device)
        self.kernels = "cuda-tf32" if tf32 else "cuda"
        self.cupy = xp
        self.xp = Module(xp, tf32=tf32)
        self._compiled: dict[tuple[str, str, str], Any] = {}
        self._nothing = self.zeros((1,), np.uint64)

    def reference(self, xp: Any = None) -> Ops:
        return CupyOps(self.cupy if xp is None else xp, self.device)

    def program(
        self, passes: Callable[[], None], outcome: Sequence[Outcome] = (), what: str = ""
    ) -> Callable[[], None]:
        """`passes` as a CUDA graph."""
        return Graph(passes, self, outcome, what)

    def launch(self, name: str, n: int, like: Array, *arguments: Any, stored: str = "float32") -> None:
        """Launch a kernel for n elements; `like` has the type that `real` is defined as."""
        key = (name, like.dtype.name, stored)
        if key not in self._compiled:
            file = next(file for file, names in KERNELS.items() if name in names)
            module = self.xp.RawModule(code=source(file), options=options(like.dtype.name, stored))
            self._compiled[key] = module.get_function(name)
        self._compiled[key]((min(BLOCKS, max(1, -(-n // THREADS))),), (THREADS,), arguments)

    def dense_forward(self, x: Array, W: Array, b: Array, name: str, y: Array, scratch: Array) -> None:
        if name == "identity" and self.xp.products.affine(x, W, b, out=y):
            return
        super().dense_forward(x, W, b, name, y, scratch)

    def bias_activation(self, y: Array, b: Array, name: str, scratch: Array) -> None:
        if name not in KINDS:
            super().bias_activation(y, b, name, scratch)
            return
        real = y.dtype.type
        kind = np.int32(KINDS.index(name))
        self.launch("bias_activation", y.size, y, y, b, np.int64(y.size), np.int32(b.size), kind, real(LEAK))

    def activation_backward(self, dy: Array, y: Array, name: str, slope: Array, dz: Array) -> None:
        if name == "identity" or name not in KINDS:
            super().activation_backward(dy, y, name, slope, dz)
            return
        kind = np.int32(KINDS.index(name))
        self.launch("activation_backward", y.size, y, dy, y, slope, dz, np.int64(y.size), kind, y.dtype.type(LEAK))

    def hidden_delta(self, dz: Array, W: Array, y: Array, name: str, slope: Array, out: Array) -> None:
        if W.shape[1] != 1 or name not in KINDS:  # else a product of one term would be a launch of its own
            super().hidden_delta(dz, W, y, name, slope, out)
            return
        size, kind = (np.int64(y.size), np.int32(y.shape[1])), np.int32(KINDS.index(name))
        self.launch("hidden_delta", y.size, y, dz, W, y, slope, out, *size, kind, y.dtype.type(LEAK))

    def weight_gradient(self, x: Array, dz: Array, dW: Array, db: Array) -> None:
        if self.xp.products.dot_and_sums(x.T, dz, db, out=dW):
            return
        self.xp.dot(x.T, dz, out=dW)
        self.bias_gradient(dz, db)

    def bias_gradient(self, dz: Array, db: Array) -> None:
        self.xp.dot(self.xp.ones_column(len(dz), dz.dtype).T, dz, out=db.reshape(1, -1), exact=True)

    def sum_columns(self, x: Array, columns: Columns, out: Array, scratch: Array = None) -> None:
        terms, blocks = columns.index.shape
        size = np.int64(out.size), np.int32(x.shape[1]), np.int32(blocks), np.int32(terms), np.int32(columns.width)
        self.launch("sum_columns", out.size, out, x, columns.index, out, *size)

    def sigmoid(self, s: Array, out: Array, scratch: Array) -> None:
        self.launch("sigmoid", s.size, s, s, out, np.int64(s.size))

    def softplus(self, s: Array, out: Array) -> None:
        self.launch("softplus", s.size, s, s, out, np.int64(s.size))

    def objective(self, kind: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        plain = super().objective(kind, *arguments, **settings)
        return SingleKernels(plain, self) if kind.__name__ in OBJECTIVES else plain

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
        arguments = theta, grad, m, v, np.int64(theta.size), factors
        if mean is None:
            self.launch("adam", theta.size, theta, *arguments)
        else:
            self.launch("adam_average", theta.size, theta, *arguments, mean, weight)

    def average(self, mean: Array, theta: Array, weight: Array, scratch: Array) -> None:
        self.launch("average", mean.size, mean, mean, theta, np.int64(mean.size), weight)

    def gather(self, rows: Array, chosen: Array, offset: Array, factor: Array, scratch: Array, out: Array) -> None:
        size = np.int32(out.shape[0]), np.int32(out.shape[1]), np.int32(offset.size > 1)
        self.launch("gather", out.size, out, rows, chosen, offset, factor, out, *size, stored=rows.dtype.name)

    def uniform(self, out: Array, noise: Noise, stream: int, step: int) -> None:
        self.draw("uniform", out, noise.seed, stream, step)

    def normal(self, out: Array, noise: Noise, stream: int, step: int) -> None:
        self.draw("normal", out, noise.seed, stream, step)

    def draw(self, kind: str, out: Array, seed: int, stream: int, step: int, later: Array | None = None) -> None:
        key = np.uint64(seed), np.uint64(stream), np.uint64(step)
        self.launch(kind, out.size, out, out, np.int64(out.size), *key, self._nothing if later is None else later)

    def minibatch(self, feed: Feed, ahead: int, x: Array, z: Array, coefficients: Array) -> None:
        size = np.int32(x.shape[0]), np.int32(x.shape[1]), np.int32(feed.offset.size > 1)
        gathered = feed.rows, feed.chosen, feed.offset, feed.factor, x, *size
        latents = z, np.int64(z.size), np.uint64(feed.seed), np.uint64(feed.stream)
        row = feed.table, np.int64(len(feed.table)), coefficients, np.int32(coefficients.size)
        arguments = feed.counter, np.uint64(ahead), *gathered, *latents, *row
        self.launch("minibatch", max(x.size, z.size // 2), x, *arguments, stored=feed.rows.dtype.name)

    def advance(self, counter: Array, by: int, like: Array) -> None:
        self.launch("advance", 1, like, counter, np.uint64(by))


class SingleKernels:
    """An objective with one kernel for each gradient; its values are computed as before."""

    def __init__(self, plain: Objective, ops: CudaOps) -> None:
        self.plain = plain
        self.ops = ops
        self.kind = np.int32(OBJECTIVES.index(type(plain).__name__))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def discriminator_gradient(self, r: Array, f: Array, dr: Array, df: Array) -> None:
        real, n = r.dtype.type, np.int64(r.size)
        arguments = self.kind, r, f, dr, df, n, real(self.plain.target), real(1 / r.size)
        self.ops.launch("discriminator_gradient", r.size, r, *arguments)

    def generator_gradient(self, r: Array, f: Array, df: Array) -> None:
        real, n = f.dtype.type, np.int64(f.size)
        self.ops.launch("generator_gradient", f.size, f, self.kind, r, f, df, n, real(1 / f.size))
