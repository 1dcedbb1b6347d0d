"""The cost of a training step: counted from one real step, and compared with what this machine can do.

The matrix products are recorded from a step, so the count follows `gan.py`. Timed alone, they are the lower bound for anything
built on the same BLAS.

The memory of a step is known before any is allocated: the same step is made on arrays that have a shape but no memory
(`Hollow`), and what does not fit is refused.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan import memory
from minigan.backends import Array, Ops
from minigan.backends.ops import Outcome
from minigan.config import Config
from minigan.errors import InputError
from minigan.nn import architecture
from minigan.nn.gan import GAN

Product = tuple[Array, Array, Array]
"""(a, b, out) of one `dot(a, b, out=out)`."""

PATIENCE = 0.3
"""Least seconds for which something is timed."""

MOST = 4
"""Most threads that a program takes without --threads; the gain of more has not been measured."""

QUEUE = 5e-3
"""Seconds of work that are queued on a device before it is synchronised."""


class Counter:
    """An array module that records its matrix products, and counts the bytes of the arrays it makes."""

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


class Hollow(np.ndarray):
    """An array of any shape over a single number: it has a type, a size and views, but no values to compute with."""

    def copy(self, *_: Any, **__: Any) -> Hollow:
        return self

    def fill(self, *_: Any) -> None:
        pass

    def sum(self, *_: Any, out: Any = None, **__: Any) -> Any:
        return out


class Outline:
    """NumPy for hollow arrays: functions do not write to `out`."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(np, name)
        if isinstance(value, type) or not callable(value):
            return value
        return lambda *a, out=None, **k: value(*a, **k) if out is None else out

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        number = np.zeros(1, dtype).view(Hollow)
        return np.lib.stride_tricks.as_strided(number, shape, (0,) * len(shape), subok=True)

    zeros = empty

    def copyto(self, *_: Any) -> None:
        pass


class OutlineOps(Ops):
    """The operations on hollow arrays."""

    def __init__(self, xp: Any = None, block: int | None = None) -> None:
        super().__init__(xp or Outline())
        self.block = block

    def reference(self, xp: Any = None) -> Ops:
        return OutlineOps(xp, self.block)

    def fill(self, array: Array, values: Any) -> None:
        pass

    uniform = normal = lambda *_: None


@dataclass(frozen=True)
class Cost:
    """Matrix products and memory of a training step.

    plain, penalised: the products of a step without and with penalties. state: bytes of weights, gradients, optimisers and
    averages. work: bytes of everything that belongs to a batch.
    """

    gan: GAN
    plain: list[Product]
    penalised: list[Product]
    state: int
    work: int

    @property
    def saving(self) -> int:
        """Bytes for writing a checkpoint, which is in memory twice: as tensors and as the content of the file."""
        return 2 * sum(array.nbytes for array in self.gan.state().values())

    def needed(self, backend: Ops) -> tuple[int, int]:
        """Bytes that training needs on the backend, and besides on the host of a device."""
        networks = self.state + self.work + self.partial_sums(backend)
        return (networks + self.saving, 0) if backend.name == "numpy" else (networks, self.saving)

    def partial_sums(self, backend: Ops) -> int:
        """Most bytes of the partial sums of programs: each thread but the first has its own weight gradients, in each program
        of a step (`Phase`)."""
        c = self.gan.config
        threads = 1 if backend.threads is None else min(c.threads or MOST, os.cpu_count() or 1)
        programs = (1 + (c.discriminator_steps > 1)) * (1 + (c.has_penalties and c.penalty_every > 1))
        return (threads - 1) * programs * (self.gan.grad_g.flat.nbytes + self.gan.grad_d.flat.nbytes)

    @property
    def flops(self) -> float:
        """Of the matrix products of a step, on average over steps with and without penalties."""
        every = self.gan.config.penalty_every
        with_, without = flops(self.penalised), flops(self.plain)
        return with_ / every + without * (every - 1) / every if self.gan.config.has_penalties else without


def count(config: Config, shape: int | Sequence[int], fill: Callable[[Array, int], None] | None, backend: Ops) -> Cost:
    """The cost of a step on samples of this shape (or size), from making one or two steps; without `fill` only the memory."""
    counter = Counter(backend.reference().xp)
    gan = GAN(config.replace(kernels="reference"), shape, backend.reference(counter))
    steps: list[list[Product]] = [[]]
    for _ in range(2 if config.has_penalties and config.penalty_every > 1 else 1):  # update 0 is one with penalties
        if fill is not None:
            counter.products = []
            gan.train_step(fill)
            steps.append(counter.products)
    copies = {
        gan.generator: 5,
        gan.discriminator: 5 if config.has_penalties else 4,
    }  # weights, gradients, m, v, and a mean or scratch
    state = sum(n * network.theta.flat.nbytes for network, n in copies.items())
    work = counter.bytes + gan.average.mean.nbytes - state  # the average is a copy, not made by the backend
    return Cost(gan, steps[-1], steps[min(1, len(steps) - 1)] if config.has_penalties else [], state, work)


def outline(config: Config, shape: int | Sequence[int], backend: Ops, *, steps: bool = True) -> Cost:
    """The result of `count`, without allocating its memory; without `steps` no products are counted. Raises: InputError
    where there are more numbers than addresses."""
    sample = (shape,) if isinstance(shape, int) else shape
    parameters = architecture.generator(config, sample).count + architecture.discriminator(config, sample).count
    # vectors are processed in blocks: a thousand of them are enough for an outline, whatever the length
    block = None if backend.block is None else max(backend.block, parameters >> 10)
    try:
        return count(config, shape, (lambda out, i: None) if steps else None, OutlineOps(block=block))
    except (ValueError, OverflowError):
        raise InputError(
            f"networks of {parameters:.1e} parameters fit into no memory; try a smaller --hidden."
        ) from None


def require(cost: Cost, backend: Ops) -> None:
    """Raise InputError where networks of this cost do not fit into memory, before any of it is allocated."""
    gan = cost.gan
    what = f"training networks of {gan.generator.count + gan.discriminator.count:,} parameters"
    remedy = "try a smaller --hidden, --latent or --batch-size (--explain says what takes how much)"
    here, on_host = cost.needed(backend)
    memory.require(here, what, remedy, backend.available())
    memory.require(on_host, f"saving {what.removeprefix('training ')}", remedy)


def flops(products: Sequence[Product]) -> int:
    """2 m k n for each product."""
    return sum(2 * math.prod(out.shape) * a.shape[-1] for a, _, out in products)


def moved(products: Sequence[Product]) -> int:
    """Bytes, each operand and each result moved once."""
    return sum(array.nbytes for product in products for array in product)


def queued(call: Callable[[], object], backend: Ops) -> int:
    """The number of calls that fill QUEUE seconds of a device, as training queues several; 1 on the host. Warms the call up."""
    for _ in range(4):  # of a graph the second call is the recording, and two are on trial
        start = time.perf_counter()
        call()
        backend.synchronize()
        once = time.perf_counter() - start
    return 1 if backend.name == "numpy" else max(1, min(1000, round(QUEUE / once)))


def seconds(call: Callable[[], None], backend: Ops) -> float:
    """The median time of a call in seconds, when as many are queued as `queued` says."""
    calls = queued(call, backend)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 5 or time.perf_counter() - began < PATIENCE:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        backend.synchronize()
        times.append((time.perf_counter() - start) / calls)
    return float(np.median(times))


def counted(cost: Cost, data: int) -> list[str]:
    """The counted cost as lines of text; data: bytes of the training rows."""
    gan, config = cost.gan, cost.gan.config

    def shape(sizes: Sequence[int]) -> str:
        return "-".join(map(str, sizes))

    def megabytes(count: float) -> str:
        return f"{count / 1e6:,.1f} MB"

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
        f"  to save        {megabytes(cost.saving)} more for a moment",
    ]


def lines(cost: Cost, gan: GAN, make: Callable[[int], None], data: int) -> list[str]:
    """The counted and the measured cost as lines of text. gan: the networks to time; make(n): n training steps of them; data:
    bytes of the training rows."""
    config = gan.config

    def products() -> None:
        for a, b, out in cost.plain:
            gan.ops.xp.dot(a, b, out=out)

    outcome = [Outcome(f"product {i}", out) for i, (_, _, out) in enumerate(cost.plain, 1)]
    floor = seconds(gan.ops.program(products, outcome, "the products of a step"), gan.ops)
    steps = math.lcm(config.penalty_every if config.has_penalties else 1, config.steps_per_launch)
    step = seconds(lambda: make(steps), gan.ops) / steps
    floor *= cost.flops / flops(cost.plain)
    return [
        *counted(cost, data),
        f"floor here       {floor * 1e3:.3g} ms a step: the products alone, {cost.flops / floor / 1e9:,.0f} GFLOP/s",
        f"a step here      {step * 1e3:.3g} ms, {step / floor:.2f} times the floor ({config.kernels} kernels)",
        f"{config.steps:,} steps".ljust(17) + f"{config.steps * step:,.0f} s, without pictures",
    ]
