"""Adam on one flat vector, schedules, and the generator's weight average."""

from __future__ import annotations

import math
from collections.abc import Callable

from minigan.backends import Array, Ops

EPSILON = 1e-8
"""Adam's epsilon, the paper's value."""


def adam_coefficients(t: int, lr: float, beta1: float, beta2: float) -> tuple[float, float, float, float]:
    """What `Adam.apply` reads in the t-th update, t = 1, 2, ...: beta1, beta2, step_size, epsilon.

    docs/math.md, "The optimiser".
    """
    c = math.sqrt((1 - beta2**t) / (1 - beta2))
    return beta1, beta2, lr * c * (1 - beta1) / (1 - beta1**t), EPSILON * c


def average_weight(t: int, decay: float) -> float:
    """1 - d_t, how far the weight average moves after step t = 1, 2, ... docs/math.md, "The optimiser"."""
    return 1 - min(decay, (1 + t) / (10 + t))


class Adam:
    """Adam (Kingma and Ba 2015, Algorithm 1) with exact bias correction, over one flat vector.

    The paper's update for t = 1, 2, ... with gradient g is

        m_t = beta1 m + (1 - beta1) g              v_t = beta2 v + (1 - beta2) g^2
        theta <- theta - lr mhat / (sqrt(vhat) + eps),   mhat = m_t / (1 - beta1^t),  vhat = v_t / (1 - beta2^t)

    We keep m / (1 - beta1) and v / (1 - beta2), and multiply numerator and denominator by
    c = sqrt((1 - beta2^t) / (1 - beta2)), so that all factors fold into two scalars:

        step_size = lr c (1 - beta1) / (1 - beta1^t)          epsilon = eps c

    The state is (m, v); the update count t is the caller's, so nothing hidden has to be saved. `prepare` and `apply` are
    apart so that a program can do the second (see `Ops.program`); prepared: where, if not in an array of its own.

    docs/math.md, "The optimiser".
    """

    def __init__(
        self, count: int, ops: Ops, dtype: str, beta1: float, beta2: float, prepared: Array | None = None
    ) -> None:
        self.ops = ops
        self.beta1 = beta1
        self.beta2 = beta2
        self.m = ops.zeros((count,), dtype)
        self.v = ops.zeros((count,), dtype)
        self.prepared = ops.zeros((4,), dtype) if prepared is None else prepared
        self.scratch, self.slices = _blocks(count, ops, dtype)

    def prepare(self, t: int, lr: float) -> None:
        """Put the t-th update's numbers where `apply` reads them."""
        self.ops.fill(self.prepared, adam_coefficients(t, lr, self.beta1, self.beta2))

    def apply(self, theta: Array, grad: Array, average: WeightAverage | None = None) -> None:
        """theta <- theta - lr mhat / (sqrt(vhat) + eps), in place: the update prepared. The average is updated in the same
        pass, while theta is in cache."""
        for s in self.slices:
            into = () if average is None else (average.mean[s], average.prepared)
            self.ops.adam(
                theta[s], grad[s], self.m[s], self.v[s], self.prepared, self.scratch[: s.stop - s.start], *into
            )

    def update(self, theta: Array, grad: Array, t: int, lr: float) -> None:
        """The t-th update, prepared and applied."""
        self.prepare(t, lr)
        self.apply(theta, grad)


def _blocks(count: int, ops: Ops, dtype: str) -> tuple[Array, list[slice]]:
    """Scratch for a vector of `count` numbers, and the slices in which to go through it: NumPy's many passes pay in blocks."""
    block = min(count, ops.block or count)
    return ops.empty((block,), dtype), [slice(lo, min(lo + block, count)) for lo in range(0, count, block)]


class WeightAverage:
    """Exponential moving average of the generator's weights: what is sampled from.

        mean <- mean + (1 - d_t) (theta - mean),      d_t = min(decay, (1 + t) / (10 + t))

    The ramp d_t lets the average forget the random start at once (as TensorFlow's ExponentialMovingAverage does).

    docs/math.md, "The optimiser".
    """

    def __init__(self, theta: Array, decay: float, ops: Ops, prepared: Array | None = None) -> None:
        self.ops = ops
        self.decay = decay
        self.mean = theta.copy()
        self.prepared = ops.zeros((1,), theta.dtype) if prepared is None else prepared
        self.scratch, self.slices = _blocks(theta.size, ops, theta.dtype)

    def prepare(self, t: int) -> None:
        """Put the weight of step t where `apply` reads it."""
        self.ops.fill(self.prepared, (average_weight(t, self.decay),))

    def apply(self, theta: Array) -> None:
        """Take in the weights after the step prepared."""
        for s in self.slices:
            self.ops.average(self.mean[s], theta[s], self.prepared, self.scratch[: s.stop - s.start])

    def update(self, theta: Array, t: int) -> None:
        """Take in the weights after step t, prepared and applied."""
        self.prepare(t)
        self.apply(theta)


SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "constant": lambda p, end: 1.0,
    "linear": lambda p, end: 1 - (1 - end) * p,
    "cosine": lambda p, end: end + (1 - end) * (1 + math.cos(math.pi * p)) / 2,
    "exponential": lambda p, end: end**p,
}
"""The factor when the share p of a schedule is done, from 1 at p = 0 to `end` at p = 1. Cosine: Loshchilov and Hutter 2017.
Exponential: the same share is lost in every step, so that every order of magnitude gets as many steps."""


def schedule(name: str, step: int, total: int, end: float) -> float:
    """The factor of the schedule called `name` at `step`: p = min(step / total, 1). docs/math.md, "The optimiser"."""
    return SCHEDULES[name](min(step / total, 1.0), end)
