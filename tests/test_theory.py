"""The Dirac-GAN (Mescheder, Geiger and Nowozin 2018, "Which training methods for GANs do actually converge?").

Real data are the point 0, the generator is the point theta, the discriminator is D(x) = psi x. With the Wasserstein
objective L_D = psi theta = -L_G and plain gradient steps h the whole training is a linear map of (psi, theta), whose
behaviour is known exactly. It is trained here by this package's own training step, Adam replaced by theta -= h gradient.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigan.config import Config
from minigan.nn.gan import GAN


def dirac(backend, update: str, h: float, gamma: float = 0.0):
    """A Dirac-GAN at psi = 0.8, theta = -0.6, and a function that trains it for n steps and returns (psi, theta) of each."""
    config = Config(objective="wasserstein", update=update, hidden=(), latent=1, batch_size=2, activation="identity",
                    output="identity", dtype="float64", r1=gamma, steps=10_000)  # fmt: skip
    gan = GAN(config, 1, backend)
    (psi, _), (weight, theta) = gan.discriminator.theta.layers[0], gan.generator.theta.layers[0]
    psi.fill(0.8)
    weight.fill(0)
    theta.fill(-0.6)
    frozen = gan.grad_g.layers[0][0]  # the latent's weight: held at 0, so that G is the point theta

    def descend(theta, grad):
        theta -= h * grad

    def descend_g(theta, grad, average):
        frozen.fill(0)
        theta -= h * grad

    gan.adam_d.apply, gan.adam_g.apply = descend, descend_g

    def train(n: int) -> np.ndarray:
        points = [(float(psi[0, 0]), float(theta[0]))]
        for _ in range(n):
            gan.train_step(lambda out, i: out.fill(0))
            points.append((float(psi[0, 0]), float(theta[0])))
        return np.array(points)

    return train


@pytest.mark.parametrize("h", [0.01, 0.3])
def test_simultaneous_updates_grow_the_norm_by_sqrt_1_plus_h_squared(backend, h):
    norm = np.linalg.norm(dirac(backend, "simultaneous", h)(50), axis=1)
    np.testing.assert_allclose(norm[1:] / norm[:-1], math.sqrt(1 + h**2), rtol=1e-12)


@pytest.mark.parametrize("h", [0.01, 0.3])
def test_alternating_updates_conserve_an_ellipse(backend, h):
    psi, theta = dirac(backend, "alternating", h)(200).T
    energy = psi**2 + theta**2 - h * psi * theta
    np.testing.assert_allclose(energy, energy[0], rtol=1e-12)
    assert np.ptp(np.hypot(psi, theta)) > 1e-3  # it does move round


@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
def test_r1_converges_at_the_rate_of_the_linear_map(backend, update):
    h, gamma = 0.1, 0.5
    points = dirac(backend, update, h, gamma)(400)
    simultaneous = np.array([[1 - h * gamma, -h], [h, 1]])
    alternating = np.array([[1 - h * gamma, -h], [h * (1 - h * gamma), 1 - h**2]])
    matrix = simultaneous if update == "simultaneous" else alternating
    expected = [points[0]]
    for _ in range(400):
        expected.append(matrix @ expected[-1])
    np.testing.assert_allclose(points, expected, rtol=1e-9, atol=1e-15)
    rate = np.abs(np.linalg.eigvals(matrix)).max()
    assert rate < 1
    norm = np.linalg.norm(points, axis=1)
    assert (norm[400] / norm[200]) ** (1 / 200) == pytest.approx(rate, rel=2e-3)
