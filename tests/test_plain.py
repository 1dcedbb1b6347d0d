"""The page of formulas: each gradient compared with differences, and the package's training step compared with it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from helpers import tiny_gan

from minigan import plain
from minigan.backends import Ops
from minigan.backends import noise as streams
from minigan.backends.activations import ACTIVATIONS
from minigan.config import UPDATES, Config
from minigan.nn.gan import GAN
from minigan.nn.gradcheck import numerical_gradient, relative_error
from minigan.nn.layers import Convolution, Dense, TransposedConvolution
from minigan.nn.objectives import OBJECTIVES

TOLERANCE = 1e-7
B = 5


def network(*names: str, seed: int = 0, outputs: int = 1) -> tuple[plain.Theta, tuple[str, ...], np.random.Generator]:
    """Random weights and biases of a network 3 -> 4 -> ... -> outputs."""
    rng = np.random.default_rng(seed)
    sizes = (3, *(4,) * (len(names) - 1), outputs)
    shapes = [s for i, o in itertools.pairwise(sizes) for s in ((i, o), (o,))]
    return [rng.normal(size=s) for s in shapes], names, rng


def logits() -> tuple[np.ndarray, np.ndarray]:
    """Logits of both signs, none near a kink of the hinge."""
    return np.array([[-3.0], [-0.4], [0.2], [0.8], [4.0]]), np.array([[2.5], [0.3], [-0.7], [-2.0], [5.0]])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_derivatives_of_an_activation_are_those_of_its_values(name: str) -> None:
    z = np.array([-2.0, -0.7, 0.3, 1.6])
    phi, slope, bend = plain.ACTIVATIONS[name]
    for value, derivative in ((phi, slope), (slope, bend)):
        numerical = (value(z + 1e-5) - value(z - 1e-5)) / 2e-5
        np.testing.assert_allclose(derivative(z), numerical, rtol=1e-8, atol=1e-9)


def test_every_activation_of_the_package_is_on_the_page() -> None:
    assert tuple(plain.ACTIVATIONS) == tuple(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backward_is_the_gradient_of_forward(name: str) -> None:
    theta, names, rng = network(name, name, "identity", outputs=2)
    x, dy = rng.normal(size=(B, 3)), rng.normal(size=(B, 2))
    y, tape = plain.forward(theta, names, x)
    dtheta, dx = plain.backward(theta, names, tape, dy)

    def f() -> float:
        return float(np.sum(dy * plain.forward(theta, names, x)[0]))

    for analytic, variable in zip((*dtheta, dx), (*theta, x), strict=True):
        assert relative_error(analytic, numerical_gradient(f, variable)) < TOLERANCE
    assert y.shape == (B, 2)


@pytest.mark.parametrize("name", ["leaky-relu", "tanh", "sigmoid"])
def test_the_second_gradient_is_that_of_the_input_gradient_along_v(name: str) -> None:
    theta, names, rng = network(name, name, "identity")
    x, v = rng.normal(size=(B, 3)), rng.normal(size=(B, 3))

    def f() -> float:
        return float(np.sum(v * plain.input_gradient(theta, names, x)))

    for analytic, variable in zip(plain.second_gradient(theta, names, x, v), theta, strict=True):
        numerical = numerical_gradient(f, variable)
        if abs(analytic).max() > 0:
            assert relative_error(analytic, numerical) < TOLERANCE
        else:  # biases do not move the slopes of a piecewise-linear network, and the last one moves none
            assert abs(numerical).max() < 1e-9


@pytest.mark.parametrize("target", [1.0, 0.9])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objectives_gradients_are_those_of_its_values(name: str, target: float) -> None:
    r, f = logits()
    _, dr, df = plain.discriminator_loss(name, r, f, target)
    _, dg = plain.generator_loss(name, r, f)
    for analytic, variable, loss in (
        (dr, r, lambda: plain.discriminator_loss(name, r, f, target)[0]),
        (df, f, lambda: plain.discriminator_loss(name, r, f, target)[0]),
        (dg, f, lambda: plain.generator_loss(name, r, f)[0]),
    ):
        numerical = numerical_gradient(lambda loss=loss: float(np.sum(loss())), variable)
        assert relative_error(analytic, numerical) < TOLERANCE


def test_an_unknown_objective_is_an_error_and_not_another_one() -> None:
    r, f = logits()
    for loss in (plain.discriminator_loss, plain.generator_loss):
        with pytest.raises(KeyError, match="nonsense"):
            loss("nonsense", r, f)


@pytest.mark.parametrize("penalty", [plain.zero_centred, plain.one_centred])
def test_a_penaltys_gradient_is_that_of_its_value(penalty: Any) -> None:
    g = np.random.default_rng(2).normal(size=(B, 3))
    assert relative_error(penalty(g, 1.7)[1], numerical_gradient(lambda: penalty(g, 1.7)[0], g)) < TOLERANCE


def places(layer: Dense) -> tuple[np.ndarray, np.ndarray]:
    """Where the numbers of a layer stand in a dense one's."""
    if not isinstance(layer, Convolution):
        return tuple(1 + np.arange(np.prod(s)).reshape(s) for s in ((layer.fan_in, layer.fan_out), (layer.fan_out,)))
    p, transposed = layer.patches, isinstance(layer, TransposedConvolution)
    channels = layer.kernel[0] if transposed else layer.channels
    make = plain.transposed_convolution if transposed else plain.convolution
    return make(*p.shape, p.side, p.stride, channels)


@pytest.mark.parametrize("name", ["convolution", "transposed_convolution"])
def test_a_convolution_is_its_formula(name: str) -> None:
    """y_ijk = b_k + the sum over (u, v, a) of w_uvak x_(s i + u)(s j + v)a, and the transpose of that map with its own bias."""
    rng, (h, w, c, side, stride, channels) = np.random.default_rng(4), (5, 7, 2, 3, 2, 4)
    few, kernel = rng.normal(size=(2, 3, 3, 2, 4)), (3, 3, 2, 4)
    where = getattr(plain, name)(h, w, c, side, stride, channels)
    weights, x, y = few[0].reshape(kernel), rng.normal(size=(h, w, c)), rng.normal(size=(2, 3, channels))
    if name == "convolution":
        W, b = plain.repeated([weights, few[1, 0, 0, 0]], list(where))
        got = (x.reshape(-1) @ W + b).reshape(y.shape)
        expected = np.empty_like(y)
        for i, j in np.ndindex(2, 3):
            patch = x[stride * i : stride * i + side, stride * j : stride * j + side]
            expected[i, j] = few[1, 0, 0, 0] + np.einsum("uva,uvak->k", patch, weights)
    else:
        W, b = plain.repeated([weights.transpose(3, 0, 1, 2), few[1, 0, 0, 0, :2]], list(where))
        got = (y.reshape(-1) @ W + b).reshape(x.shape)
        expected = np.zeros_like(x) + few[1, 0, 0, 0, :2]
        for i, j in np.ndindex(2, 3):
            expected[stride * i : stride * i + side, stride * j : stride * j + side] += weights @ y[i, j]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def player(gan: GAN, name: str) -> plain.Player:
    """A host copy of one of the networks and of its Adam state, in the form of the page."""
    network, adam = getattr(gan, name), getattr(gan, f"adam_{name[0]}")
    theta, m, v = (
        [np.array(gan.ops.to_host(a)) for pair in network.parameters(flat).layers for a in pair]
        for flat in (network.theta.flat, adam.m, adam.v)
    )
    # the package keeps the moments without their factors (see `optim.Adam`)
    m, v = [(1 - adam.beta1) * a for a in m], [(1 - adam.beta2) * a for a in v]
    where = [place for layer in network.layers for place in places(layer)]
    return plain.Player(theta, network.activations, m, v, where if gan.config.convolutions else None)


PENALISED: dict[str, Any] = {"r1": 0.4, "r2": 0.9, "gradient_penalty": 1.1, "penalty_every": 2}


@pytest.mark.parametrize("penalties", [{}, PENALISED], ids=["plain", "penalised"])
@pytest.mark.parametrize("activation", ["leaky-relu", "tanh"])
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_training_steps_are_those_of_the_page(
    backend: Ops, objective: str, update: str, activation: str, penalties: dict[str, Any]
) -> None:
    """Weights and average after four steps, penalties in every second."""
    smoothing = 0.1 if objective in ("minimax", "non-saturating") else 0.0
    settings = {"objective": objective, "update": update, "activation": activation, "label_smoothing": smoothing}
    assert_steps_of_the_page(backend, 4, 1.5, **settings, **penalties)


@pytest.mark.parametrize("penalties", [{}, PENALISED], ids=["plain", "penalised"])
@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("update", UPDATES)
def test_training_steps_with_convolutions_are_those_of_the_page(
    backend: Ops, update: str, activation: str, penalties: dict[str, Any]
) -> None:
    """Images of 3 x 5 pixels, maps of 2 x 4 with 3 channels, and of 1 x 2 with 2."""
    settings = {"convolutions": (2, 1, 3, 2, 2, 2), "update": update, "activation": activation}
    assert_steps_of_the_page(backend, (3, 5), 0.9, **settings, **penalties)


def assert_steps_of_the_page(backend: Ops, shape: Any, scale: float, **settings: Any) -> None:
    gan, fill = tiny_gan(backend, shape, scale, lr_discriminator=0.02, beta1=0.5, ema=0.6, **settings)
    G, D = player(gan, "generator"), player(gan, "discriminator")
    gan.average.mean[...] = gan.generator.theta.flat
    average, batch = [a.copy() for a in G.theta], gan.config.batch_size
    for step in range(4):
        gan.train_step(fill)
        mix = np.empty((batch, 1))
        gan.noise.uniform(mix, streams.INTERPOLATION, step)
        real, z = (backend.to_host(a) for a in (gan.batch.real.x, gan.z))
        plain.train_step(G, D, average, real, z, mix, step + 1, gan.config)
    mean = gan.generator.parameters(gan.average.mean)
    for layers, expected in ((gan.discriminator.theta, D.theta), (gan.generator.theta, G.theta), (mean, average)):
        got = [backend.to_host(a) for pair in layers.layers for a in pair]
        # the gradient of D's last bias is 0 in a loss of differences; what rounding leaves of it, Adam divides by 1e-8
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_weights_begin_as_the_packages_do(name: str) -> None:
    W, b = plain.player((300, 200), (name,), np.random.default_rng(0)).theta
    assert W.shape == (300, 200) and not b.any()
    assert np.mean(W**2) == pytest.approx(ACTIVATIONS[name].variance(300, 200), rel=0.03)


def test_the_page_trains_by_itself() -> None:
    """Samples start around 0 and move to the data; the same seed gives the same run."""

    def run() -> np.ndarray:
        rng = np.random.default_rng(0)
        config = Config(objective="relativistic", r1=0.1, r2=0.1, latent=2, batch_size=32, steps=300)
        G = plain.player((2, 16, 2), ("leaky-relu", "identity"), rng)
        D = plain.player((2, 16, 1), ("leaky-relu", "identity"), rng)
        average = plain.train(G, D, rng.normal(size=(500, 2)) * 0.2 + [1.5, -1], config, rng)
        return plain.forward(average, G.names, rng.normal(size=(500, 2)))[0]

    x = run()
    np.testing.assert_allclose(x.mean(axis=0), [1.5, -1], atol=0.3)
    np.testing.assert_array_equal(x, run())
