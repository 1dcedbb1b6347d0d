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


@dataclass(frozen=True)
class PRDC:
    """Four shares; density can exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Array, generated: Array, backend: Ops, *, k: int = K, real_radii: Array | None = None) -> PRDC:
    """Of features real (n, d) and generated (m, d), n, m > k, on the backend; inside means strictly nearer than the radius.

    real_radii: `squared_radii(real, k, backend)`, where it is known already.
    """
    xp = backend.xp
    reach = squared_radii(real, k, backend) if real_radii is None else real_radii
    reach_generated = squared_radii(generated, k, backend)
    balls = xp.zeros(len(generated), xp.int64)  # real balls around each generated row
    recalled = covered = 0
    for rows, D in squared_distances(real, generated, backend):
        balls += (reach[rows, None] > D).sum(axis=0)
        recalled += int((reach_generated > D).any(axis=1).sum())
        covered += int((reach[rows] > D.min(axis=1)).sum())
    return PRDC(
        precision=float((balls > 0).mean()),
        recall=recalled / len(real),
        density=float(balls.mean()) / k,
        coverage=covered / len(real),
    )
