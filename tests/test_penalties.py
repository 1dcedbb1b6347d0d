"""Gradient penalties: their second derivatives by hand against central differences of the whole loss."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from helpers import differences, normal, tiny_gan

from minigan.backends import Array, Ops
from minigan.backends import noise as streams
from minigan.backends.activations import ACTIVATIONS
from minigan.nn.coefficients import Phase
from minigan.nn.gan import GAN
from minigan.nn.gradcheck import relative_error
from minigan.nn.network import Network
from minigan.nn.penalties import (
    interpolate,
    one_centred,
    one_centred_direction,
    penalised_gradient,
    zero_centred,
    zero_centred_direction,
)

TOLERANCE = 1e-7
PENALTIES: list[dict[str, float]] = [
    {"r1": 1.3},
    {"r2": 0.7},
    {"gradient_penalty": 3.0},
    {"r1": 1.0, "r2": 0.6},
    {"r1": 0.5, "gradient_penalty": 2.0},
    {"r2": 0.5, "gradient_penalty": 2.0},
    {"r1": 0.4, "r2": 0.5, "gradient_penalty": 2.0},
]
LABELS = ["+".join(p) for p in PENALTIES]


def squares(g: np.ndarray) -> np.ndarray:
    return (g**2).sum(axis=1)


def discriminator_loss(gan: GAN, strength: float = 1.0) -> float:
    """L_D with its penalties, from separate passes and the formulas of the papers, with fixed generated samples."""
    c, d, backend = gan.config, gan.discriminator, gan.ops
    tape = d.tape(c.batch_size)

    def logits_and_gradient(x: Array) -> tuple[Array, np.ndarray]:
        s = d.forward(x, tape).copy()
        return s, backend.to_host(d.backward(tape.ones, tape)).copy()

    r, g_real = logits_and_gradient(gan.batch.real.x)
    f, g_fake = logits_and_gradient(gan.batch.fake.x)
    loss = float(gan.objective.discriminator(r, f))
    loss += strength * c.r1 / 2 * squares(g_real).mean() + strength * c.r2 / 2 * squares(g_fake).mean()
    if c.gradient_penalty:
        e = backend.zeros((c.batch_size, 1), "float64")
        gan.noise.uniform(e, streams.INTERPOLATION, 0)
        _, g = logits_and_gradient(e * gan.batch.real.x + (1 - e) * gan.batch.fake.x)
        loss += strength * c.gradient_penalty * ((np.sqrt(squares(g)) - 1) ** 2).mean()
    return loss


def whole_gradient(gan: GAN, fill: Any, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """dL_D/dtheta_D of the first step, with no parameter moved."""
    monkeypatch.setattr(gan.adam_d, "apply", lambda *_: None)
    monkeypatch.setattr(gan.adam_g, "apply", lambda *_: None)
    gan.train_step(fill)
    return gan.ops.to_host(gan.grad_d.flat).copy()


@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
@pytest.mark.parametrize("penalties", PENALTIES, ids=LABELS)
@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "tanh", "sigmoid"])
def test_the_whole_discriminator_gradient_agrees_with_differences(
    backend: Ops, monkeypatch: pytest.MonkeyPatch, activation: str, penalties: dict[str, float], update: str
) -> None:
    gan, fill = tiny_gan(backend, activation=activation, update=update, **penalties)
    analytic = whole_gradient(gan, fill, monkeypatch)
    numerical = differences(lambda: discriminator_loss(gan), gan.discriminator.theta.flat, backend)
    assert relative_error(analytic, numerical) < TOLERANCE
    if activation != "sigmoid":  # there D is nearly linear, and the penalty a small part
        plain, _ = tiny_gan(backend, activation=activation, update=update)
        assert relative_error(analytic, whole_gradient(plain, fill, monkeypatch)) > 0.01, "the penalties count"


def test_lazy_penalties_are_as_many_times_stronger_as_they_are_rarer(
    backend: Ops, monkeypatch: pytest.MonkeyPatch
) -> None:
    gan, fill = tiny_gan(backend, r1=0.5, r2=0.3, gradient_penalty=0.1, penalty_every=5)
    analytic = whole_gradient(gan, fill, monkeypatch)
    numerical = differences(lambda: discriminator_loss(gan, 5.0), gan.discriminator.theta.flat, backend)
    assert relative_error(analytic, numerical) < TOLERANCE


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_penalised_gradient_of_every_activation_and_depth(backend: Ops, name: str, depth: int) -> None:
    """sum_i ds_i D(x_i) + v . dD/dx over some of the rows, for arbitrary ds and v: also for the identity."""
    net = Network((3, *[5] * depth, 1), name, "identity", backend, "float64")
    net.theta.flat[...] = normal(backend, net.count, seed=2, scale=0.8)
    x, ds, v = (normal(backend, *shape, seed=i) for i, shape in enumerate([(6, 3), (6, 1), (4, 3)]))
    lo, hi = 1, 5
    probe = net.tape(6)

    def scalar() -> float:
        s = net.forward(x, probe)
        value = float((ds * s).sum())
        g = net.backward(probe.ones, probe)
        return value + float((g[lo:hi] * v).sum())

    tape = net.tape(6, tangents=True)
    part = tape.rows(lo, hi)
    part.v[...] = v
    into, scratch = net.parameters(), net.parameters()
    into.flat.fill(3)
    net.forward(x, tape)
    net.backward(tape.ones, tape, want_dx=False)
    penalised_gradient(net, tape, part, ds, into, scratch)
    numerical = differences(scalar, net.theta.flat, backend)
    assert relative_error(backend.to_host(into.flat), numerical) < TOLERANCE


def test_values_are_the_formulas(backend: Ops) -> None:
    g = normal(backend, 5, 3)
    norms = np.linalg.norm(backend.to_host(g), axis=1)
    assert float(zero_centred(g, 1.7)) == pytest.approx(1.7 / 2 * (norms**2).mean(), rel=1e-13)
    assert float(one_centred(backend, g, 1.7)) == pytest.approx(1.7 * ((norms - 1) ** 2).mean(), rel=1e-13)


def test_directions_are_the_values_derivatives(backend: Ops) -> None:
    g = normal(backend, 5, 3)
    v, norm = backend.zeros((5, 3), "float64"), backend.zeros((5, 1), "float64")
    zero_centred_direction(backend, g, 1.7 / 5, v)
    assert relative_error(backend.to_host(v), differences(lambda: zero_centred(g, 1.7), g, backend)) < 1e-9
    one_centred_direction(backend, g, 2 * 1.7 / 5, v, norm)
    numerical = differences(lambda: one_centred(backend, g, 1.7), g, backend)
    assert relative_error(backend.to_host(v), numerical) < 1e-9


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_of_norm_zero_gives_zero_and_no_nan(backend: Ops, dtype: str) -> None:
    """The derivative of the square root at 0 is infinite, which would cause a NaN in WGAN-GP."""
    g = backend.asarray(np.array([[0, 0], [3, 4], [-0.0, 0]], dtype))
    v, norm = backend.zeros((3, 2), dtype), backend.zeros((3, 1), dtype)
    with np.errstate(all="raise"):
        one_centred_direction(backend, g, 2 * 3.0 / 3, v, norm)
    expected = 2 * 3 / 3 * (1 - 1 / 5) * np.array([3, 4])
    np.testing.assert_allclose(backend.to_host(v), [[0, 0], expected, [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("exponent", range(-44, -12))
def test_tiny_gradients_are_never_blown_up(backend: Ops, exponent: int) -> None:
    """Where squares underflow the norm is wrong, but the direction keeps a length of at most 2 lambda / B.

    Down to there the direction has that length: the floor is no larger than it must be.
    """
    g = backend.asarray(np.full((1, 4), 10.0**exponent, np.float32))
    v, norm = backend.zeros((1, 4), "float32"), backend.zeros((1, 1), "float32")
    one_centred_direction(backend, g, 2.0, v, norm)
    length = np.linalg.norm(backend.to_host(v))
    assert length <= 2 * (1 + 1e-6)
    if exponent >= -18:
        assert length == pytest.approx(2, rel=1e-5)


@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_discriminator_that_is_flat_trains_without_nan(backend: Ops, activation: str, update: str) -> None:
    gan, fill = tiny_gan(backend, activation=activation, update=update, r1=1.0, r2=1.0, gradient_penalty=10.0)
    gan.discriminator.theta.flat.fill(0)
    for _ in range(3):
        gan.train_step(fill)
    for array in gan.state().values():
        assert np.isfinite(backend.to_host(array)).all()


def test_interpolates_lie_between_their_pair(backend: Ops) -> None:
    real, fake = normal(backend, 4, 3, seed=1), normal(backend, 4, 3, seed=2)
    out = backend.zeros((4, 3), "float64")
    mix = backend.asarray(np.array([[0.0], [0.25], [0.5], [1.0]]))
    interpolate(backend, real, fake, mix, out)
    expected = backend.to_host(mix) * backend.to_host(real) + (1 - backend.to_host(mix)) * backend.to_host(fake)
    np.testing.assert_allclose(backend.to_host(out), expected, rtol=1e-12)


def test_the_penalties_are_due_when_they_should_be(backend: Ops) -> None:
    gan, _ = tiny_gan(backend, r1=1.0, penalty_every=3)
    assert [Phase.of(gan.config, i).penalise for i in range(7)] == [True, False, False, True, False, False, True]
    never, _ = tiny_gan(backend, penalty_every=3)
    assert not any(Phase.of(never.config, i).penalise for i in range(7))


def test_every_combination_is_tested() -> None:
    names = ("r1", "r2", "gradient_penalty")
    combinations = [set(c) for n in (1, 2, 3) for c in itertools.combinations(names, n)]
    assert all(c in [set(p) for p in PENALTIES] for c in combinations)
