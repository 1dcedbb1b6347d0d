"""`--kernels numba`: the operations as compiled loops, and the training step as a program (extra `fast`).

An operation of a pass appends an instruction to the program that is being recorded; at other times it is executed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from minigan.backends.activations import LEAK
from minigan.backends.noise import Noise
from minigan.backends.numba import kernels
from minigan.backends.numba.guard import Guarded
from minigan.backends.numba.instructions import Opcode
from minigan.backends.numba.program import Recorder
from minigan.backends.numba.team import blas
from minigan.backends.ops import Array, Columns, Ops, Outcome
from minigan.backends.trial import Trial


@cache
def leak(name: str, dtype: Any) -> Array:
    """The slope for z < 0 of a piecewise-linear activation, as an operand of instructions."""
    return np.array([LEAK if name == "leaky-relu" else 0], dtype)


class NumbaOps(Ops):
    """`Ops` with the loops of kernels.py where they are faster; everything else is the reference."""

    kernels = "numba"
    block = None

    def __init__(self) -> None:
        super().__init__()
        self.recorder = Recorder(self.xp)
        self.xp = self.recorder
        self.do = self.recorder.do
        self.threads = None if blas() is None else 1

    def versions(self) -> dict[str, str]:
        import numba

        return {"numba": numba.__version__}

    def program(
        self, passes: Callable[[], None], outcome: Sequence[Outcome] = (), what: str = ""
    ) -> Callable[[], None]:
        """`passes` as a program; `passes` itself where there is no BLAS that compiled code can call (see `blas`).

        With several `threads`, the BLAS must be limited to one thread for each product (`runs.threads.limited_threads`).
        Raises: ProgramError where passes cannot be recorded.
        """
        if self.threads is None:
            return passes
        program = self.recorder.record(passes, self.threads)
        return Trial(program, passes, outcome, what, self) if outcome else program

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.guarded(super().empty(shape, dtype))

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.guarded(super().zeros(shape, dtype))

    def guarded(self, array: Array) -> Array:
        """The array as one that refuses operations which a recording would leave out."""
        return array if self.threads is None else array.view(Guarded)

    def bias_activation(self, y: Array, b: Array, name: str, scratch: Array) -> None:
        if b.size != y.shape[1]:
            super().bias_activation(y, b, name, scratch)
        elif name in ("relu", "leaky-relu"):
            self.do(Opcode.BIAS_LEAKY_RELU, y.shape, y, b, leak(name, y.dtype))
        elif name == "tanh" and y.dtype == np.float32:
            self.do(Opcode.BIAS_TANH, y.shape, y, b)
        else:
            super().bias_activation(y, b, name, scratch)

    def activation_backward(self, dy: Array, y: Array, name: str, slope: Array, dz: Array) -> None:
        if name not in ("relu", "leaky-relu", "tanh"):
            super().activation_backward(dy, y, name, slope, dz)
            return
        if dy is not dz:  # for hidden layers they are one array
            self.xp.copyto(dz, dy)
        if name == "tanh":
            self.do(Opcode.TANH_BACKWARD, y.shape, y, slope, dz)
        else:
            self.do(Opcode.LEAKY_RELU_BACKWARD, y.shape, y, slope, dz, leak(name, y.dtype))

    def bias_gradient(self, dz: Array, db: Array) -> None:
        self.recorder.do_sum(Opcode.COLUMN_SUMS, (*dz.shape, 1), db, dz)

    def sum_columns(self, x: Array, columns: Columns, out: Array, scratch: Array = None) -> None:
        extents = len(x), columns.index.shape[1], len(columns.index)
        self.do(Opcode.SUM_COLUMNS, extents, x, columns.index, out, strides=(x.shape[1], columns.width))

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
        self.do(Opcode.ADAM, (theta.size, 1), theta, grad, m, v, factors)
        if mean is not None:
            self.average(mean, theta, weight, scratch)

    def average(self, mean: Array, theta: Array, weight: Array, scratch: Array) -> None:
        self.do(Opcode.AVERAGE, (mean.size, 1), mean, theta, weight)

    def normal(self, out: Array, noise: Noise, stream: int, step: int) -> None:
        half = (out.size + 1) // 2
        radii, normal = noise.scratch(2 * half)
        kernels.box_muller(noise.integers(half, stream, step).view(np.uint32), radii[:half], normal)
        self.fill(out, normal[: out.size])

    def gather(self, rows: Array, chosen: Array, offset: Array, factor: Array, scratch: Array, out: Array) -> None:
        kernels.gather(rows, chosen, offset, factor, out)
