"""The gradient check itself: it accepts correct derivatives, finds planted errors and refuses comparisons without information."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from minigan.backends import get_ops
from minigan.nn.gradcheck import numerical_derivative, numerical_gradient, objective_errors, relative_error
from minigan.nn.objectives import OBJECTIVES, LeastSquares, Objective

X = np.random.default_rng(0).normal(size=(3, 4))
A = np.random.default_rng(1).normal(size=(4, 5))


def value(x: np.ndarray) -> Callable[[], float]:
    return lambda: float(np.tanh(x @ A).sum() ** 2)


def gradient(x: np.ndarray) -> np.ndarray:
    y = np.tanh(x @ A)
    return 2 * y.sum() * (1 - y**2) @ A.T


def test_a_right_gradient_passes() -> None:
    x = X.copy()
    assert relative_error(gradient(x), numerical_gradient(value(x), x)) < 1e-9
    u = np.random.default_rng(2).normal(size=x.shape)
    assert relative_error((gradient(x) * u).sum(), numerical_derivative(value(x), x, u)) < 1e-9


PLANTED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "a sign": lambda g: -g,
    "a factor": lambda g: 1.00001 * g,
    "one entry": lambda g: g + 1e-4 * abs(g).max() * np.eye(*g.shape),
    "a dropped 1/B": lambda g: len(g) * g,
    "rows exchanged": lambda g: g[::-1],
    "nothing at all": lambda g: 0 * g,
}


@pytest.mark.parametrize("error", PLANTED)
def test_a_planted_error_is_found(error: str) -> None:
    x = X.copy()
    assert relative_error(PLANTED[error](gradient(x)), numerical_gradient(value(x), x)) > 1e-6


def test_x_is_restored_bit_for_bit_even_where_the_step_is_rounded() -> None:
    x = X * 1e7
    kept = x.copy()
    numerical_gradient(value(x), x)
    numerical_derivative(value(x), x, np.ones(x.shape))
    np.testing.assert_array_equal(x, kept)


def test_the_derivative_along_a_direction_is_scaled_by_it() -> None:
    x = np.array([1.0, 2.0])
    assert numerical_derivative(lambda: float(x @ x), x, np.array([3.0, 0.0])) == pytest.approx(6, rel=1e-9)


def test_two_zeros_are_refused() -> None:
    with pytest.raises(ValueError, match="both gradients are zero"):
        relative_error(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="both gradients are zero"):
        relative_error(0.0, 0.0)


def test_one_zero_is_an_error_of_one() -> None:
    assert relative_error(np.zeros(3), np.ones(3)) == 1
    assert relative_error(np.ones(3), np.zeros(3)) == 1


def test_shapes_that_differ_are_refused_rather_than_broadcast() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        relative_error(np.ones((3, 1)), np.ones((1, 3)))


def test_not_a_number_does_not_pass() -> None:
    assert not relative_error(np.array([1.0, np.nan]), np.ones(2)) < 1e-6


def test_the_error_is_symmetric_and_between_zero_and_two() -> None:
    a, b = np.array([1.0, 2.0]), np.array([2.0, 1.0])
    assert relative_error(a, b) == relative_error(b, a) == pytest.approx((2 / 5) ** 0.5)
    assert relative_error(a, -a) == 2


def errors(kind: type[Objective]) -> dict[str, float]:
    r, f = np.random.default_rng(3).normal(size=(2, 5, 1)) * 2
    return objective_errors(kind(get_ops(), 5, "float64"), r, f)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_agrees_with_its_own_values(name: str) -> None:
    found = errors(OBJECTIVES[name])
    assert list(found) == ["dL_D/dr", "dL_D/df", "dL_G/df"] and max(found.values()) < 1e-8


class Unsigned(LeastSquares):
    def discriminator_gradient(self, r, f, dr, df):
        super().discriminator_gradient(r, f, dr, df)
        np.negative(df, out=df)


class Unwritten(LeastSquares):
    def discriminator_gradient(self, r, f, dr, df):
        super().discriminator_gradient(r, f, dr, dr)


class Secret(LeastSquares):
    """An objective whose generator depends on real logits although `needs_real` is false."""

    def generator(self, r, f):
        return ((f - r) ** 2).mean() / 2

    def generator_gradient(self, r, f, df):
        np.subtract(f, r, out=df)
        np.divide(df, r.size, out=df)


@pytest.mark.parametrize(("kind", "wrong"), [(Unsigned, "dL_D/df"), (Unwritten, "dL_D/df"), (Secret, "dL_G/df")])
def test_a_wrong_gradient_of_an_objective_is_named(kind: type[Objective], wrong: str) -> None:
    assert not errors(kind)[wrong] < 1e-3
