"""Benchmarks of whole training steps: each is compared with the reference operations in float64 first, then timed.

FLOPs are those of the step's matrix products. Bytes are those of their operands and results and of the arrays that Adam and the
weight average read and write, each counted once.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from benchmarks.bench_kernels import normal, precision_of, reference, timed
from minigan import GAN
from minigan.backends import Array, Ops, get_ops
from minigan.backends import noise as streams
from minigan.backends.noise import Noise
from minigan.config import Config
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.runs.cost import count, flops
from minigan.runs.cost import moved as moved_by
from minigan.runs.steps import Launch

pytestmark = pytest.mark.benchmark(max_time=0.5, min_rounds=5, warmup=False)

SIZE = 784
STEPS: dict[str, dict[str, Any]] = {
    "alternating": {"objective": "non-saturating"},
    "simultaneous": {"objective": "non-saturating", "update": "simultaneous"},
    "R1 + R2": {"objective": "relativistic", "r1": 1.0, "r2": 1.0},
    "R1 + R2, curved": {"objective": "relativistic", "r1": 1.0, "r2": 1.0, "activation": "tanh"},
    "WGAN-GP": {"objective": "wasserstein", "gradient_penalty": 10.0},
}
TOLERANCE = {"float32": 2e-3, "float64": 1e-9, "tf32": 0.2}
"""Largest error of a step's gradients, relative to their norm."""


def make(settings: dict[str, Any], dtype: str, batch: int, width: int, backend: Ops) -> GAN:
    hidden = (width, width)
    where: dict[str, Any] = {"backend": backend.name, "kernels": backend.kernels}
    return GAN(Config(dtype=dtype, batch_size=batch, hidden=hidden, seed=1, **where, **settings), SIZE, backend)


@pytest.mark.parametrize("name", STEPS)
def test_step(benchmark: Any, backend: Ops, name: str, dtype: str, batch: int, width: int) -> None:
    """One step of 784 -> width -> width -> 1 against 64 -> width -> width -> 784."""
    gan = make(STEPS[name], dtype, batch, width, backend)
    x = backend.xp.tanh(normal(backend, dtype, batch, SIZE))

    def fill(out: Array, step: int) -> None:
        backend.xp.copyto(out, x)

    host = reference(backend, x)
    cost = count(gan.config.replace(dtype="float64"), SIZE, lambda out, i: np.copyto(out, host), get_ops())
    exact = cost.gan
    moved = moved_by(cost.plain) * gan.z.itemsize // 8
    moved += 7 * gan.grad_d.flat.nbytes + 9 * gan.grad_g.flat.nbytes
    gan.noise, own = Noise(gan.config.seed), gan.noise  # a backend's own noise is the reference's to float32's rounding
    gan.generator.initialise(gan.noise, streams.INIT_GENERATOR)
    gan.discriminator.initialise(gan.noise, streams.INIT_DISCRIMINATOR)
    gan.train_step(fill)
    gan.noise = own
    for got, expected in ((gan.grad_d.flat, exact.grad_d.flat), (gan.grad_g.flat, exact.grad_g.flat)):
        error = np.linalg.norm(backend.to_host(got) - expected) / np.linalg.norm(expected)
        assert error <= TOLERANCE[precision_of(backend, dtype)], f"gradient off by {error:.1e} of its norm"
    if backend.launches:  # as in training: minibatches are part of the launch
        rows = np.tile(host.astype(dtype), (16, 1))
        batches = Batches(rows, 1.0, Scaler(np.zeros(1), np.ones(1)), batch, 1, backend, dtype)
        step = partial(Launch(gan, batches).make, 1)
    else:
        step = partial(gan.train_step, fill)
    size = {"dtype": dtype, "batch": batch, "width": width}
    timed(benchmark, backend, step, f"step: {name}", flops(cost.plain), moved, **size)
