"""Numerical against analytic derivatives, in float64: the proof that the mathematics in this package is right.

A directional derivative of f at x along u is compared with its central difference

    (f(x + h u) - f(x - h u)) / (2 h),

whose error is O(h^2) for smooth f, plus rounding of about |f| 2^-52 / h. `relative_error` compares whole tensors:

    |analytic - numerical| / max(|analytic|, |numerical|)        (Euclidean norms)

and refuses to be impressed by two zeros: where both are zero there is nothing to compare, and it raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from minigan.nn.objectives import Objective

STEP = 1e-5
"""Difference step h: with values of order 1 in float64 both error terms are about 1e-10."""


def numerical_gradient(f: Callable[[], float], x: np.ndarray, step: float = STEP) -> np.ndarray:
    """df/dx of the scalar f() that reads `x`, by central differences, one entry at a time; x is restored bit for bit.

    docs/math.md, "The proof".
    """
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + step
        above = f()
        x[index] = kept - step
        below = f()
        x[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient


def numerical_derivative(f: Callable[[], float], x: np.ndarray, u: np.ndarray, step: float = STEP) -> float:
    """The derivative of the scalar f() along u, where f reads `x`; x is restored bit for bit.

    docs/math.md, "The proof".
    """
    kept = x.copy()
    x[...] = kept + step * u
    above = f()
    x[...] = kept - step * u
    below = f()
    x[...] = kept
    return (above - below) / (2 * step)


def relative_error(analytic: np.ndarray | float, numerical: np.ndarray | float) -> float:
    """|analytic - numerical| / max(|analytic|, |numerical|).

    Raises: ValueError when the shapes differ or both sides are zero (a check that cannot fail proves nothing).

    docs/math.md, "The proof".
    """
    a, n = np.asarray(analytic, float), np.asarray(numerical, float)
    if a.shape != n.shape:
        raise ValueError(f"analytic {a.shape} and numerical {n.shape} differ in shape")
    scale = max(np.linalg.norm(a), np.linalg.norm(n))
    if scale == 0:
        raise ValueError("both gradients are zero: nothing is compared")
    return float(np.linalg.norm(a - n) / scale)


def objective_errors(objective: Objective, r: np.ndarray, f: np.ndarray) -> dict[str, float]:
    """The relative error of each gradient of an objective, against differences of its own values.

    objective: with NumPy, in float64.  r, f (B, 1): logits, away from kinks. What a gradient leaves unwritten is NaN, and so is
    what it reads of r where `needs_real` says that it does not: its error is then NaN, which no bound admits.

    docs/math.md, "The proof".
    """
    dr, df, dg = (np.full(r.shape, np.nan) for _ in range(3))
    objective.discriminator_gradient(r, f, dr, df)
    objective.generator_gradient(r if objective.needs_real else np.full(r.shape, np.nan), f, dg)

    def loss_d() -> float:
        return float(objective.discriminator(r, f))

    def loss_g() -> float:
        return float(objective.generator(r, f))

    checks = {"dL_D/dr": (dr, loss_d, r), "dL_D/df": (df, loss_d, f), "dL_G/df": (dg, loss_g, f)}
    return {name: relative_error(d, numerical_gradient(loss, s)) for name, (d, loss, s) in checks.items()}
