"""What a training step costs: counted from one real step, and held against what this machine can do.

The matrix products are taken down as a step makes them, so nothing here can drift from `gan.py`. Timed by themselves they
are the floor for anything that is built on the same BLAS.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from minigan.backends import Array, Ops
from minigan.backends.ops import Outcome
from minigan.config import Config
from minigan.nn.gan import GAN

Product = tuple[Array, Array, Array]
"""(a, b, out) of one `dot(a, b, out=out)`."""

PATIENCE = 0.3
"""Seconds for which something is timed."""

QUEUE = 5e-3
"""Seconds that a device is given to do before it is waited for."""


class Counter:
    """An array module that keeps its matrix products, and counts the bytes of the arrays it makes."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.products: list[Product] = []
        self.bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.xp, name)

    def dot(self, a: Array, b: Array, out: Array) -> Array:
        self.products.append((a, b, out))
        return self.xp.dot(a, b, out=out)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.counted(self.xp.empty(shape, dtype))

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.counted(self.xp.zeros(shape, dtype))

    def counted(self, array: Array) -> Array:
        self.bytes += array.nbytes
        return array


@dataclass(frozen=True)
class Cost:
    """What a step needs.

    products: of a step without penalties and, where they are due, of one with them; state and work: bytes of weights,
    gradients, optimisers and averages, and of everything that belongs to a batch.
    """

    gan: GAN
    plain: list[Product]
    penalised: list[Product]
    state: int
    work: int

    @property
    def flops(self) -> float:
        """Of the matrix products of a step, on average over steps with and without penalties."""
        every = self.gan.config.penalty_every
        with_, without = flops(self.penalised), flops(self.plain)
        return with_ / every + without * (every - 1) / every if self.gan.has_penalties else without


def count(config: Config, size: int, fill: Callable[[Array, int], None], backend: Ops) -> Cost:
    """The cost of a step on samples of `size` values, from a network that makes one or two steps."""
    counter = Counter(backend.reference().xp)
    gan = GAN(config.replace(kernels="reference"), size, backend.reference(counter))
    steps = []
    for _ in range(2 if gan.has_penalties and config.penalty_every > 1 else 1):  # update 0 is one with penalties
        counter.products = []
        gan.train_step(fill)
        steps.append(counter.products)
    copies = {
        gan.generator: 5,
        gan.discriminator: 5 if gan.has_penalties else 4,
    }  # weights, gradients, m, v, and a mean or scratch
    state = sum(n * network.theta.flat.nbytes for network, n in copies.items())
    work = counter.bytes + gan.average.mean.nbytes - state  # the average is a copy, not made by the backend
    return Cost(gan, steps[-1], steps[0] if gan.has_penalties else [], state, work)


def flops(products: Sequence[Product]) -> int:
    """2 m k n for each product."""
    return sum(2 * math.prod(out.shape) * a.shape[-1] for a, _, out in products)


def moved(products: Sequence[Product]) -> int:
    """Bytes, each operand and each result moved once."""
    return sum(array.nbytes for product in products for array in product)


def queued(call: Callable[[], object], backend: Ops) -> int:
    """How many calls fill QUEUE seconds of a device, as training asks it for several; one on the host. Warms the call up."""
    for _ in range(3):  # of a graph the second call is the recording
        start = time.perf_counter()
        call()
        backend.synchronize()
        once = time.perf_counter() - start
    return 1 if backend.name == "numpy" else max(1, min(1000, round(QUEUE / once)))


def seconds(call: Callable[[], None], backend: Ops) -> float:
    """The median time of a call, one of as many as are `queued`."""
    calls = queued(call, backend)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 5 or time.perf_counter() - began < PATIENCE:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        backend.synchronize()
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)


def lines(cost: Cost, gan: GAN, make: Callable[[int], None], data: int) -> list[str]:
    """The explanation for people. gan: the networks to time; make(n): n training steps of them; data: bytes of the
    training rows."""
    config = gan.config

    def products() -> None:
        for a, b, out in cost.plain:
            gan.ops.xp.dot(a, b, out=out)

    def shape(sizes: Sequence[int]) -> str:
        return "-".join(map(str, sizes))

    def megabytes(count: float) -> str:
        return f"{count / 1e6:,.1f} MB"

    outcome = [Outcome(f"product {i}", out) for i, (_, _, out) in enumerate(cost.plain, 1)]
    floor = seconds(gan.ops.program(products, outcome, "the products of a step"), gan.ops)
    steps = math.lcm(config.penalty_every if gan.has_penalties else 1, config.steps_per_launch)
    step = seconds(lambda: make(steps), gan.ops) / steps
    floor *= cost.flops / flops(cost.plain)
    result = [
        f"generator        {shape(gan.generator.sizes)}: {gan.generator.count:,} parameters",
        f"discriminator    {shape(gan.discriminator.sizes)}: {gan.discriminator.count:,} parameters",
        f"matrix products  {len(cost.plain)} a step: {flops(cost.plain) / 1e6:,.1f} MFLOP, {megabytes(moved(cost.plain))} moved",
    ]
    if cost.penalised:
        every = f"every {config.penalty_every} steps" if config.penalty_every > 1 else "every step"
        result.append(
            f"  with penalties {len(cost.penalised)}: {flops(cost.penalised) / 1e6:,.1f} MFLOP, "
            f"{megabytes(moved(cost.penalised))} moved, {every}"
        )
    return [
        *result,
        f"memory           {megabytes(cost.state)} weights, gradients, optimisers and average",
        " " * 17 + f"{megabytes(cost.work)} activations of a batch, {megabytes(data)} training data",
        f"floor here       {floor * 1e3:.3g} ms a step: the products alone, {cost.flops / floor / 1e9:,.0f} GFLOP/s",
        f"a step here      {step * 1e3:.3g} ms, {step / floor:.2f} times the floor ({config.kernels} kernels)",
        f"{config.steps:,} steps".ljust(17) + f"{config.steps * step:,.0f} s, without pictures",
    ]
