"""Adversarial losses: values against the formulas, gradients against differences, accuracy far out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from helpers import differences, normal

from minigan.backends import Array, Ops
from minigan.nn.gradcheck import relative_error
from minigan.nn.objectives import (
    OBJECTIVES,
    Objective,
    binary_cross_entropy,
    cross_entropy,
    cross_entropy_gradient,
)

NAMES = list(OBJECTIVES)
TOLERANCE = 1e-9


def softplus(s: float) -> float:
    return s + math.log1p(math.exp(-s)) if s > 0 else math.log1p(math.exp(s))


def sigma(s: float) -> float:
    return 1 / (1 + math.exp(-s)) if s > 0 else math.exp(s) / (1 + math.exp(s))


# What the table in objectives.py says, for one pair of logits: (discriminator's loss, generator's loss).
FORMULAS: dict[str, tuple[Callable[[float, float], float], Callable[[float, float], float]]] = {
    "minimax": (lambda r, f: softplus(-r) + softplus(f), lambda r, f: -softplus(f)),
    "non-saturating": (lambda r, f: softplus(-r) + softplus(f), lambda r, f: softplus(-f)),
    "least-squares": (lambda r, f: (r - 1) ** 2 / 2 + f**2 / 2, lambda r, f: (f - 1) ** 2 / 2),
    "hinge": (lambda r, f: max(0, 1 - r) + max(0, 1 + f), lambda r, f: -f),
    "wasserstein": (lambda r, f: f - r, lambda r, f: -f),
    "relativistic": (lambda r, f: softplus(-(r - f)), lambda r, f: softplus(-(f - r))),
}

# Their derivatives, for one pair: (dL_D/dr, dL_D/df, dL_G/df).
DERIVATIVES: dict[str, tuple[Callable[[float, float], float], ...]] = {
    "minimax": (lambda r, f: -sigma(-r), lambda r, f: sigma(f), lambda r, f: -sigma(f)),
    "non-saturating": (lambda r, f: -sigma(-r), lambda r, f: sigma(f), lambda r, f: -sigma(-f)),
    "least-squares": (lambda r, f: r - 1, lambda r, f: f, lambda r, f: f - 1),
    "hinge": (lambda r, f: -float(r < 1), lambda r, f: float(f > -1), lambda r, f: -1),
    "wasserstein": (lambda r, f: -1, lambda r, f: 1, lambda r, f: -1),
    "relativistic": (lambda r, f: -sigma(f - r), lambda r, f: sigma(f - r), lambda r, f: -sigma(r - f)),
}


def make(backend: Ops, name: str, batch: int, dtype: str = "float64", **settings: float) -> Objective:
    return OBJECTIVES[name](backend, batch, dtype, **settings)


SMOOTHED: list[tuple[str, dict[str, float]]] = [
    *((name, {}) for name in NAMES), *((name, {"label_smoothing": 0.1}) for name in ("minimax", "non-saturating"))
]  # fmt: skip


def pairs(backend: Ops, dtype: str = "float64") -> tuple[Array, Array, np.ndarray, np.ndarray]:
    """Logits around 0, none within 0.01 of the hinge's kinks at 1 and -1."""
    rng = np.random.default_rng(4)
    r, f = (rng.normal(scale=2, size=(7, 1)).astype(dtype) for _ in range(2))
    assert abs(abs(np.stack([r, f])) - 1).min() > 0.01
    return backend.asarray(r), backend.asarray(f), r, f


@pytest.mark.parametrize("name", NAMES)
def test_values_are_the_means_of_the_formulas(backend: Ops, name: str) -> None:
    there_r, there_f, r, f = pairs(backend)
    for i, player in enumerate(("discriminator", "generator")):
        expected = np.mean([FORMULAS[name][i](*v) for v in zip(r.ravel(), f.ravel(), strict=True)])
        assert float(getattr(make(backend, name, 7), player)(there_r, there_f)) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(("name", "settings"), SMOOTHED)
def test_gradients_are_those_of_the_values(backend: Ops, name: str, settings: dict[str, float]) -> None:
    r, f, *_ = pairs(backend)
    objective = make(backend, name, 7, **settings)
    dr, df, dg = (normal(backend, 7, 1, seed=i) for i in range(3))  # what stands there must not matter
    objective.discriminator_gradient(r, f, dr, df)
    objective.generator_gradient(r, f, dg)
    for analytic, array, value in (
        (dr, r, objective.discriminator),
        (df, f, objective.discriminator),
        (dg, f, objective.generator),
    ):
        numerical = differences(lambda value=value: value(r, f), array, backend)
        assert relative_error(backend.to_host(analytic), numerical) < TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_the_generators_loss_depends_on_real_logits_only_where_it_says_so(backend: Ops, name: str) -> None:
    r, f, *_ = pairs(backend)
    objective = make(backend, name, 7)
    moves = bool(differences(lambda: objective.generator(r, f), r, backend).any())
    assert moves == objective.needs_real == (name == "relativistic")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_finite_and_accurate_for_logits_up_to_ten_thousand(backend: Ops, name: str, dtype: str) -> None:
    """Relative accuracy in the tails too: where D is nearly certain, the small gradient is accurate."""
    magnitudes = [0.0, 1e-3, 0.4, 1.5, 3.0, 15.0, 40.0, 1e3, 1e4]
    values = sorted({sign * m for m in magnitudes for sign in (1, -1)})
    r, f = (np.array(v, dtype)[:, None] for v in zip(*itertools.product(values, values), strict=True))
    n = len(r)
    there_r, there_f = backend.asarray(r), backend.asarray(f)
    dr, df, dg = (backend.zeros((n, 1), dtype) for _ in range(3))
    objective = make(backend, name, n, dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        losses = [float(objective.discriminator(there_r, there_f)), float(objective.generator(there_r, there_f))]
        objective.discriminator_gradient(there_r, there_f, dr, df)
        objective.generator_gradient(there_r, there_f, dg)
    precision = 1e-5 if dtype == "float32" else 1e-13
    logits = list(zip(r.ravel().tolist(), f.ravel().tolist(), strict=True))
    for loss, formula in zip(losses, FORMULAS[name], strict=True):
        each = np.array([formula(*v) for v in logits])
        assert loss == pytest.approx(each.mean(), rel=precision, abs=precision * abs(each).mean())
    for got, formula in zip((dr, df, dg), DERIVATIVES[name], strict=True):
        expected = np.array([formula(*v) for v in logits])[:, None]
        tiny = float(np.finfo(dtype).tiny)
        np.testing.assert_allclose(backend.to_host(got) * n, expected, rtol=precision, atol=n * tiny)


def test_label_smoothing_is_one_sided(backend: Ops) -> None:
    there_r, there_f, r, f = pairs(backend)
    for name in ("minimax", "non-saturating"):
        plain, smooth = make(backend, name, 7), make(backend, name, 7, label_smoothing=0.25)
        expected = np.mean([0.75 * softplus(-v) + 0.25 * softplus(v) for v in r.ravel()])
        expected += np.mean([softplus(v) for v in f.ravel()])
        assert float(smooth.discriminator(there_r, there_f)) == pytest.approx(expected, rel=1e-13)
        assert float(smooth.generator(there_r, there_f)) == float(plain.generator(there_r, there_f))
        (dr, df), (dr0, df0) = [[backend.zeros((7, 1), "float64") for _ in range(2)] for _ in range(2)]
        smooth.discriminator_gradient(there_r, there_f, dr, df)
        plain.discriminator_gradient(there_r, there_f, dr0, df0)
        np.testing.assert_array_equal(backend.to_host(df), backend.to_host(df0))
        np.testing.assert_allclose(backend.to_host(dr), [[(sigma(v) - 0.75) / 7] for v in r.ravel()], rtol=1e-12)


def test_labels_are_not_smoothed_unless_asked_for(backend: Ops) -> None:
    for kind in OBJECTIVES.values():
        assert kind(backend, 7, "float64").target == 1


@pytest.mark.parametrize("target", [0, 0.3, 0.9, 1])
def test_binary_cross_entropy_is_the_negative_log_likelihood(backend: Ops, target: float) -> None:
    there, _, s, _ = pairs(backend)
    expected = np.mean([-(target * math.log(sigma(v)) + (1 - target) * math.log(1 - sigma(v))) for v in s.ravel()])
    assert float(binary_cross_entropy(backend, there, target)) == pytest.approx(expected, rel=1e-12)
    out, scratch = backend.zeros((7, 1), "float64"), backend.zeros((7, 1), "float64")
    backend.binary_cross_entropy_gradient(there, target, out, scratch)
    numerical = differences(lambda: binary_cross_entropy(backend, there, target), there, backend)
    assert relative_error(backend.to_host(out), numerical) < TOLERANCE


def test_gradients_change_no_logits(backend: Ops) -> None:
    for name in NAMES:
        there_r, there_f, r, f = pairs(backend)
        r, f = r.copy(), f.copy()
        dr, df, dg = (backend.zeros((7, 1), "float64") for _ in range(3))
        objective = make(backend, name, 7)
        objective.discriminator_gradient(there_r, there_f, dr, df)
        objective.generator_gradient(there_r, there_f, dg)
        objective.discriminator(there_r, there_f)
        np.testing.assert_array_equal(backend.to_host(there_r), r)
        np.testing.assert_array_equal(backend.to_host(there_f), f)


def one_hot(backend: Ops) -> Array:
    return backend.asarray(np.eye(4)[[0, 3, 1, 1, 2]])


def test_softmax_cross_entropy_and_its_gradient(backend: Ops) -> None:
    s, targets = normal(backend, 5, 4, scale=2), one_hot(backend)
    host = backend.to_host(s)
    p = np.exp(host) / np.exp(host).sum(axis=1, keepdims=True)
    expected = -np.log((p * backend.to_host(targets)).sum(axis=1)).mean()
    assert float(cross_entropy(backend, s, targets)) == pytest.approx(expected, rel=1e-13)
    out = backend.zeros((5, 4), "float64")
    cross_entropy_gradient(backend, s, targets, out)
    numerical = differences(lambda: cross_entropy(backend, s, targets), s, backend)
    assert relative_error(backend.to_host(out), numerical) < TOLERANCE
    assert abs(backend.to_host(out).sum(axis=1)).max() < 1e-15


def test_softmax_cross_entropy_is_finite_far_out_and_blind_to_a_common_shift(backend: Ops) -> None:
    s, targets = normal(backend, 5, 4, scale=2), one_hot(backend)
    out, shifted = backend.zeros((5, 4), "float64"), backend.zeros((5, 4), "float64")
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss = float(cross_entropy(backend, 1e4 * s, targets))
        cross_entropy_gradient(backend, 1e4 * s, targets, out)
    host = 1e4 * backend.to_host(s)
    assert loss == pytest.approx((host.max(axis=1) - (host * backend.to_host(targets)).sum(axis=1)).mean(), rel=1e-12)
    assert np.isfinite(backend.to_host(out)).all()
    cross_entropy_gradient(backend, s, targets, out)
    cross_entropy_gradient(backend, s + 1000.0, targets, shifted)
    np.testing.assert_allclose(backend.to_host(out), backend.to_host(shifted), atol=1e-12)
