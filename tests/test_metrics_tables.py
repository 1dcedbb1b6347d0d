"""Measures of tables with kinds of columns, against formulas written in another way and planted faults."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan.backends import get_ops
from minigan.data.columns import Category, Number
from minigan.data.spaces.table import Table
from minigan.metrics import columns
from minigan.metrics.detection import area, detection
from minigan.metrics.transport import assignment, earth_mover

OPS = get_ops()
SPACE = Table(
    (6,),
    schema=(Number("age", low=0, high=9), Category("kind", None, ("a", "b", "c")), Number("gap", "", low=0, high=5)),
)


def table(n: int, seed: int = 0) -> np.ndarray:
    """Rows of SPACE, whose category depends on the number and whose missing cells on the category."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(0, 9, n)
    kind = np.minimum(age // 3, 2).astype(int)
    kind[rng.random(n) < 0.2] = 0
    gone = rng.random(n) < np.array([0.1, 0.5, 0.3])[kind]
    gap = np.where(gone, 2.5, rng.uniform(0, 5, n))
    return np.concatenate([age[:, None], np.eye(3)[kind], gap[:, None], gone[:, None]], axis=1)


# ------------------------------------------------------------------------------------------------------------ transport


@given(st.integers(1, 6), st.integers(0, 10_000), st.booleans())
def test_an_assignment_is_the_best_of_all_permutations(n: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.integers(0, 3, (n, n)).astype(float) if ties else rng.normal(size=(n, n))
    found = assignment(cost)
    assert sorted(found) == list(range(n))
    best = min(sum(cost[i, j] for i, j in enumerate(p)) for p in itertools.permutations(range(n)))
    assert cost[np.arange(n), found].sum() == pytest.approx(best, abs=1e-9)


def test_on_a_line_rows_are_moved_in_their_order() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 200, 1))
    assert earth_mover(a, b) == pytest.approx(np.abs(np.sort(a, axis=0) - np.sort(b, axis=0)).mean())
    assert earth_mover(a, a[::-1]) == 0 and earth_mover(a, a + 3) == pytest.approx(3)


def test_a_range_and_another_category_are_a_distance_of_one() -> None:
    x = table(50)
    a, b = columns.spread_out(SPACE, x, np.array([[0.0, 1, 0, 0, 0, 0], [9.0, 0, 1, 0, 0, 0]]))
    low, high = x[:, 0].min(), x[:, 0].max()
    assert np.abs(a - b).sum() == pytest.approx(9 / (high - low) + 1)


# --------------------------------------------------------------------------------------------------- columns and pairs


def test_columns_are_compared_by_their_kind() -> None:
    real, made = table(400), table(400, 1)
    found = columns.shapes(SPACE, real, made)
    shares = [[np.mean(x[:, 1 + j]) for j in range(3)] for x in (real, made)]
    assert found[1] == pytest.approx(sum(abs(p - q) for p, q in zip(*shares, strict=True)) / 2)
    made[:, 5] = 0
    assert columns.shapes(SPACE, real, made)[2] == pytest.approx(real[:, 5].mean())
    assert (columns.shapes(SPACE, real, real) == 0).all()


def test_associations_are_pearsons_r_the_correlation_ratio_and_cramers_v() -> None:
    rng = np.random.default_rng(0)
    n = 300
    a, b = rng.integers(0, 3, n), rng.integers(0, 4, n)
    b[a == 1] = 2
    u = rng.normal(size=n) + a
    v = rng.normal(size=n) - u
    levels = [tuple("pqr"), tuple("wxyz")]
    space = Table(
        (9,), schema=(Number("u"), Number("v"), Category("a", None, levels[0]), Category("b", None, levels[1]))
    )
    found = columns.associations(space, np.concatenate([u[:, None], v[:, None], np.eye(3)[a], np.eye(4)[b]], axis=1))
    means = np.array([u[a == k].mean() for k in range(3)])[a]
    counts = np.array([[np.sum((a == i) & (b == j)) for j in range(4)] for i in range(3)])
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / n
    cramer = np.sqrt(((counts - expected) ** 2 / expected).sum() / n / 2)
    assert found[0, 1] == pytest.approx(abs(np.corrcoef(u, v)[0, 1]))
    assert found[0, 2] == pytest.approx(np.sqrt(means.var() / u.var()))
    assert found[2, 3] == pytest.approx(cramer)
    assert np.diag(found) == pytest.approx(1)


# ------------------------------------------------------------------------------------------------------------ detection


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.lists(st.integers(0, 5), min_size=1, max_size=9))
def test_the_area_counts_pairs(above: list[int], below: list[int]) -> None:
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in above for b in below]
    assert area(np.array(above), np.array(below)) == pytest.approx(np.mean(pairs))


def test_detection_sees_what_single_columns_do_not() -> None:
    """Of equal columns whose dependence is lost, and of nothing else."""
    rng = np.random.default_rng(0)
    real, same = rng.normal(size=(2, 1000, 5))
    for x in (real, same):
        x[:, 1] = x[:, 0] + 0.3 * rng.normal(size=1000)
    broken = same.copy()
    broken[:, 1] = rng.permutation(broken[:, 1])
    assert abs(detection(real, same, OPS) - 0.5) < 0.06
    assert detection(real, broken, OPS) > 0.75


def test_detection_does_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(1)
    real, made = rng.normal(size=(2, 60, 3))
    assert detection(real, made, OPS) == detection(real[::-1].copy(), rng.permutation(made), OPS)
