"""Equal distances stay equal: neighbourhoods of tied data, compared with exact integer arithmetic."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from fakecupy import fake_cupy
from hypothesis import given, settings
from hypothesis import strategies as st

from minigan.backends import Ops, get_ops
from minigan.data import Data
from minigan.data.spaces import Table
from minigan.errors import InputError
from minigan.metrics import bins, neighbours
from minigan.metrics.prdc import prdc, reached
from minigan.metrics.suite import Suite

HOST = get_ops()


def exact_prdc(real: np.ndarray, generated: np.ndarray, scale: np.ndarray, k: int) -> tuple[float, ...]:
    """The definitions on whole numbers (n, d) divided by `scale` (d,), whole too: distances are compared as integers."""
    weights = (int(np.prod(scale)) // scale) ** 2

    def squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return ((a[:, None] - b[None]) ** 2 * weights).sum(axis=2)

    def radii(x: np.ndarray) -> np.ndarray:
        D = squares(x, x)
        np.fill_diagonal(D, np.iinfo(np.int64).max)
        return np.sort(D, axis=1)[:, k - 1]

    r, g, D = radii(real), radii(generated), squares(real, generated)
    inside = r[:, None] > D
    return (
        inside.any(axis=0).mean(),
        (g > D).any(axis=1).mean(),
        inside.sum() / k / len(generated),
        inside.any(axis=1).mean(),
    )


KINDS = {
    "whole numbers": lambda r, n: r.integers(0, 10, (n, 3)),
    "one column": lambda r, n: r.integers(-3, 4, (n, 1)),
    "nought and one": lambda r, n: r.integers(0, 2, (n, 12)),
    "categories": lambda r, n: np.eye(6, dtype=int)[r.integers(0, 6, n)],
    "repeated rows": lambda r, n: r.integers(-50, 50, (20, 4))[r.integers(0, 20, n)],
    "far from nought": lambda r, n: 1_000_000 + r.integers(0, 12, (n, 2)),
    "wide": lambda r, n: r.integers(0, 3, (n, 100)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [40, 400])
def test_tied_data_are_measured_as_in_exact_arithmetic_in_any_order(kind: str, n: int) -> None:
    """Also after the suite's scaling: a subtracted mean, and a division by a number that is not a power of 2."""
    r = np.random.default_rng(n)
    real, generated = KINDS[kind](r, n), KINDS[kind](r, n + 11)
    scale = r.integers(1, 8, real.shape[1]) if real.shape[1] < 5 else np.ones(real.shape[1], int)
    expected = pytest.approx(exact_prdc(real, generated, scale, 5), abs=1e-12)
    for _ in range(3):
        a, b = ((r.permutation(x) - real.mean(axis=0)) / scale for x in (real, generated))
        assert dataclasses.astuple(prdc(a, b, HOST)) == expected
        assert dataclasses.astuple(prdc(a[:, ::-1].copy(), b[:, ::-1].copy(), HOST)) == expected


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=12, max_size=40), st.integers(1, 5))
@settings(max_examples=60)
def test_any_whole_numbers_are_measured_as_in_exact_arithmetic(rows: list[tuple[int, int]], k: int) -> None:
    x = np.array(rows)
    real, generated = x[: len(x) // 2], x[len(x) // 2 :]
    expected = exact_prdc(real, generated, np.ones(2, int), k)
    assert dataclasses.astuple(prdc(real / 3 + 0.1, generated / 3 + 0.1, HOST, k=k)) == pytest.approx(expected)


@pytest.mark.parametrize("rounding", [0, 1e15])
def test_a_bound_that_is_too_tight_or_too_wide_is_noticed(rounding: float, monkeypatch: pytest.MonkeyPatch) -> None:
    r = np.random.default_rng(0)
    x = r.integers(0, 10, (2, 1000, 3))
    monkeypatch.setattr(neighbours, "ROUNDING", rounding)
    found = dataclasses.astuple(prdc(*((y - 4.5) / 2.87 for y in x), HOST))
    assert found != pytest.approx(exact_prdc(*x, np.ones(3, int), 5), abs=1e-3)


def test_what_is_nearer_by_a_billionth_is_nearer() -> None:
    lattice = np.arange(30.0)[:, None] / 3
    for shift, inside in ((0, 0.0), (1e-9, 1.0), (-1e-9, 0.0)):
        assert prdc(lattice, np.full((8, 1), -1 / 3 + shift), HOST, k=1).precision == inside


@pytest.mark.parametrize("d", [1, 30, 1024])
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_bounds_hold_the_true_distance_between_them(d: int, shift: float) -> None:
    r = np.random.default_rng(d)
    a, b = r.integers(0, 8, (60, d)), r.integers(0, 8, (70, d))
    true = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    pair = neighbours.squared_distances(lambda _, *D: D, a + shift, b + shift, HOST, bounds=(-1, 1))
    low, high = next(pair)
    assert (low <= true).all() and (true <= high).all() and (high - low).max() < 1e-13 * 64 * d


def test_one_stray_sample_does_not_make_the_others_inexact() -> None:
    """A distant sample would change the mean of the generated rows, and with it their rounding."""
    r = np.random.default_rng(3)
    real, generated = r.integers(0, 6, (2, 300, 3)) - 2.5
    expected = prdc(real, generated, HOST)
    generated = np.concatenate([generated, np.full((1, 3), 1e9)])
    assert prdc(real, generated, HOST).recall == expected.recall


def own(rows: np.ndarray) -> Data:
    columns = tuple(f"c{i}" for i in range(rows.shape[1]))
    n = len(rows) - len(rows) // 5
    return Data("own", Table((len(columns),), columns), rows[:n], rows[n:], rows[:0], None, 1.0)


@pytest.mark.parametrize("step", [Fraction(1), Fraction(1, 10), Fraction(1, 4), Fraction(7, 100)])
def test_a_table_in_equal_steps_measures_the_same_whatever_the_step_and_the_order(step: Fraction) -> None:
    """Tenths are rounded to binary fractions, which makes equal steps unequal by a ten-millionth."""
    r = np.random.default_rng(0)
    rows = r.integers(0, 10, (1500, 3))

    def real(rows: np.ndarray) -> dict[str, float]:
        return Suite(own((rows * float(step) + 2).astype(np.float32)), HOST).real

    whole = Suite(own(rows.astype(np.float32)), HOST).real
    names = ("precision", "recall", "density", "coverage")
    expected = [pytest.approx(whole[name], abs=1e-9) for name in names]
    assert [real(rows)[name] for name in names] == expected
    assert [real(rows[:, ::-1])[name] for name in names] == expected


def test_repeated_rows_fall_into_one_bin_and_empty_bins_are_not_counted() -> None:
    r = np.random.default_rng(0)
    kinds = (r.integers(0, 2, (5, 7)) - 0.3) / 0.7
    x, y = kinds[r.integers(0, 5, 1000)], kinds[r.integers(0, 5, 700)]
    centres = bins.k_means(x, 100, HOST)
    assert len(centres) == 5
    for rows in (x, y):
        which = bins.assign(rows, centres, HOST)
        assert all(len(np.unique(which[(rows == kind).all(axis=1)])) == 1 for kind in kinds)


def test_of_equally_near_centres_the_first_is_taken() -> None:
    centres = np.array([[0.1], [0.3], [0.3], [0.5]])
    assert bins.assign(np.array([[0.2], [0.3], [0.4], [0.9]]), centres, HOST).tolist() == [0, 1, 1, 3]


def test_missing_bins_are_nearly_empty_ones_and_not_by_chance() -> None:
    training = np.array([100, 100, 4, 96])
    assert bins.missing(training, np.array([100, 3, 0, 97])).tolist() == [False, True, False, False]
    assert bins.missing(training, np.array([100, 30, 0, 70])).tolist() == [False] * 4
    r = np.random.default_rng(0)
    p = r.dirichlet(np.ones(100))
    chance = [bins.missing(r.multinomial(2000, p), r.multinomial(2000, p)).sum() for _ in range(300)]
    assert sum(chance) < 5


def test_strays_reach_nothing_that_samples_do_not() -> None:
    r = np.random.default_rng(0)
    real = np.concatenate([r.normal(0, 1, (100, 2)), r.normal(20, 1, (100, 2))])
    generated = np.concatenate([r.normal(0, 1, (190, 2)), r.uniform(-30, 30, (10, 2))])
    assert prdc(real, generated, HOST).recall > 0.9
    found = reached(real, generated, HOST)
    assert found[:100].mean() > 0.9 and not found[100:].any()


@pytest.mark.parametrize(("n", "m"), [(5, 40), (40, 5), (1, 1)])
def test_too_few_rows_for_neighbours_are_refused(n: int, m: int) -> None:
    with pytest.raises(InputError, match=f"{min(n, m)} rows have no neighbour number 5; .* at least 6\\."):
        prdc(np.arange(n * 2.0).reshape(n, 2), np.arange(m * 2.0).reshape(m, 2), HOST)
    prdc(np.arange(6.0)[:, None], np.arange(6.0)[:, None], HOST)


def test_the_stand_in_for_cupy_resolves_ties_as_numpy_does() -> None:
    device: Ops = fake_cupy()[0]
    r = np.random.default_rng(1)
    real, generated = ((r.integers(0, 5, (n, 3)) - 2.2) / 1.3 for n in (90, 80))
    on_device = device.asarray(real), device.asarray(generated)
    assert prdc(*on_device, device, grain=1e-7) == prdc(real, generated, HOST, grain=1e-7)
    assert (device.to_host(reached(*on_device, device)) == reached(real, generated, HOST)).all()
    assert np.allclose(device.to_host(bins.k_means(on_device[0], 9, device)), bins.k_means(real, 9, HOST))
