"""Precision, recall, density, coverage: are samples like real ones, and are real ones like samples?

A set is taken for the union of balls around its rows, each reaching to its k-th nearest other row.

    precision   share of generated rows that lie in a ball of a real row           (Kynkaanniemi et al. 2019)
    recall      share of real rows that lie in a ball of a generated row
    density     number of real balls that a generated row lies in, over k, mean    (Naeem et al. 2020)
    coverage    share of real balls in which a generated row lies
"""

from __future__ import annotations

from dataclasses import dataclass

from minigan.backends import Array, Ops
from minigan.metrics.neighbours import squared_distances, squared_radii

K = 5
"""A ball reaches to the K-th nearest row other than its own centre (Naeem et al. 2020)."""

WIDEST = 0.9
"""Quantile of the radii to which `reached` cuts the wider ones: a few strays have balls that hold everything."""


@dataclass(frozen=True)
class PRDC:
    """Four shares; density can exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(
    real: Array, generated: Array, backend: Ops, *, k: int = K, real_radii: Array | None = None, grain: float = 0.0
) -> PRDC:
    """Of features real (n, d) and generated (m, d), n, m > k, on the backend; inside means strictly nearer than the radius.

    Strictly by more than rounding: a row exactly at the radius is outside, however its distance was rounded.
    real_radii: `squared_radii(real, k, backend, grain=grain)`, where it is known already. Raises: InputError unless n, m > k.
    """
    xp = backend.xp
    reach = squared_radii(real, k, backend, grain=grain) if real_radii is None else real_radii
    centre = real.mean(axis=0, dtype=xp.float64).astype(real.dtype)  # a stray sample would move the mean of its own set
    reach_generated = squared_radii(generated, k, backend, centre=centre, grain=grain)
    balls = xp.empty(len(generated), xp.int64)  # real balls around each generated row
    recalled = xp.zeros(len(real), bool)
    nearest = xp.full(len(real), xp.inf, real.dtype)

    def compare(rows: slice, D: Array) -> tuple[Array, Array]:
        balls[rows] = (reach > D).sum(axis=1)
        return (reach_generated[rows, None] > D).any(axis=0), D.min(axis=0)

    for inside, least in squared_distances(compare, generated, real, backend, centre=centre, bounds=(1,)):
        recalled |= inside
        nearest = xp.minimum(nearest, least)
    return PRDC(
        precision=float((balls > 0).mean()),
        recall=float(recalled.mean()),
        density=float(balls.mean()) / k,
        coverage=float((reach > nearest).mean()),
    )


def reached(real: Array, generated: Array, backend: Ops, *, k: int = K, grain: float = 0.0) -> Array:
    """Whether each row of real (n, d) lies in a ball of generated (m, d), as recall counts, but not of a stray one: bool (n,).

    Raises: InputError unless m > k.
    """
    xp = backend.xp
    centre = real.mean(axis=0, dtype=xp.float64).astype(real.dtype)
    reach = squared_radii(generated, k, backend, centre=centre, grain=grain)
    reach = xp.minimum(reach, xp.sort(reach)[int(WIDEST * (len(reach) - 1))])
    found = xp.zeros(len(real), bool)

    def inside(rows: slice, D: Array) -> Array:
        return (reach[rows, None] > D).any(axis=0)

    for block in squared_distances(inside, generated, real, backend, centre=centre, bounds=(1,)):
        found |= block
    return found
