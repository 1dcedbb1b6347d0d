"""The same training steps by NumPy and by other operations, side by side: how much each tensor differs.

Both make the same steps from the same weights, noise and minibatches; the noise that the other side draws is compared
separately. Before each step the other side receives NumPy's weights and moments, so that each step is compared alone:
otherwise two correct sides diverge too, because Adam turns a gradient that is only rounding error into a step of full length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minigan.backends import Ops, get_ops
from minigan.backends.noise import DATA, LATENT, Noise
from minigan.config import Config
from minigan.nn.gan import GAN

SIZE = 64
NOISE = "latent points"
LEAD = 5
"""Steps that NumPy makes alone at the beginning: in its first step Adam moves every weight by the full learning rate, in a
direction that rounding decides where the gradient is only rounding error."""

BOUNDS = {"float32": 1e-4, "float64": 1e-9}
"""Largest relative difference of a tensor after one step. A sum in another order differs by some units in the last place;
Adam's division enlarges that where a gradient is small against its history."""

NOISE_BOUND = 1e-6
"""The same for noise, which is drawn in float32 whatever the precision: sides share its bits, not their logarithms."""


@dataclass(frozen=True)
class Difference:
    """The difference of a tensor between both sides after a step.

    relative: |a - b| / |a|, Euclidean norms: a weight whose gradient is only rounding error (as that of the last bias of a
    relativistic discriminator) may move in the other direction, and counts as one number among many.
    ulps: max |a - b| in units in the last place of max |a|.  Both are infinite where a number is not finite, or a is 0.
    """

    step: int
    tensor: str
    relative: float
    ulps: float


def settings(dtype: str, objective: str, update: str) -> Config:
    """Small networks that use everything: penalties in every other step, Adam with both moments, the average."""
    networks = Config(latent=16, hidden=(128, 128), batch_size=64, dtype=dtype, objective=objective)
    penalised = networks.replace(r1=1.0, r2=1.0, penalty_every=2)
    return penalised.replace(update=update, steps=1000, beta1=0.5, lr_generator=1e-3, lr_discriminator=1e-3)


def compare(step: int, tensor: str, a: np.ndarray, b: np.ndarray) -> Difference:
    """The difference of b from a."""
    precision = a.dtype
    a, b = a.astype(np.float64).reshape(-1), b.astype(np.float64).reshape(-1)
    apart, scale = float(np.abs(a - b).max()), float(np.abs(a).max())
    if apart == 0:
        return Difference(step, tensor, 0.0, 0.0)
    if not np.isfinite(apart) or scale == 0:
        return Difference(step, tensor, float("inf"), float("inf"))
    relative = float(np.linalg.norm(a - b) / np.linalg.norm(a))
    return Difference(step, tensor, relative, apart / float(np.spacing(np.asarray(scale, precision))))


def differences(other: Ops, config: Config, steps: int, *, free: bool = False) -> Iterator[Difference]:
    """The differences of `other` from NumPy's reference operations, tensor by tensor, step by step."""
    here = get_ops()
    a = GAN(config.replace(backend="numpy", kernels="reference"), SIZE, here)
    b = GAN(config.replace(backend=other.name, kernels=other.kernels), SIZE, other)
    noise, drawn = Noise(config.seed), other.zeros(b.z.shape, config.dtype)
    own, b.noise = b.noise, Noise(config.seed, other.reference())  # drawn on the host, as NumPy's are
    lead = 0 if free else LEAD

    def rows(i: int) -> np.ndarray:
        x = np.empty((config.batch_size, SIZE), config.dtype)
        noise.normal(x, DATA, i)
        return np.tanh(x)

    for _ in range(lead):
        a.train_step(lambda out, i: np.copyto(out, rows(i)))
    b.step = a.step

    def bring_together() -> None:
        for name, array in b.state().items():
            other.xp.copyto(array, other.asarray(a.state()[name]))

    bring_together()  # initial weights are drawn numbers too
    for step in range(lead + 1, lead + steps + 1):
        if not free:
            bring_together()
        a.train_step(lambda out, i: np.copyto(out, rows(i)))
        b.train_step(lambda out, i: other.xp.copyto(out, other.asarray(rows(i))))
        own.normal(drawn, LATENT, step - 1)
        yield compare(step, NOISE, a.z, other.to_host(drawn))
        for (name, x, *_), (_, y, *_) in zip(a.outcome(), b.outcome(), strict=True):
            yield compare(step, name, x, other.to_host(y))
