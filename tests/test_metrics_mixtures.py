"""Mode coverage: its counts, and the values of perfect samples."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan.data import load
from minigan.data.mixtures import SIGMA, centres
from minigan.metrics.mixtures import mode_coverage

GRID = centres("grid")


@pytest.mark.parametrize(("name", "kl"), [("ring", 0.0014), ("grid", 0.0049)])
def test_perfect_samples(name: str, kl: float) -> None:
    """98.9 % (1 - exp(-9/2)) are of high quality, KL is about (K - 1) / 2n, and widths are 1."""
    x, c = load(name).test[:2500], centres(name)
    found = mode_coverage(x, c, SIGMA[name])
    assert found.modes == len(c) and abs(found.high_quality - 0.9889) < 0.007 and 0 < found.reverse_kl < 2 * kl
    all_of_it = mode_coverage(load(name).train, c, SIGMA[name])
    assert abs(all_of_it.high_quality - (1 - math.exp(-4.5))) < 0.001 and all_of_it.reverse_kl < 0.0003
    assert abs(all_of_it.width - 1).max() < 0.03 and abs(all_of_it.widths - 1).max() < 0.05
    assert all_of_it.counts.sum() == round(all_of_it.high_quality * 100_000)


def test_by_hand() -> None:
    """Two of three modes, three samples of high quality in one and one in the other, two outliers."""
    c = np.array([[0.0, 0], [10, 0], [20, 0]])
    x = [[0, 0], [2.9, 0], [0, -3], [10.5, 0], [13.5, 0], [20, 3.1]]
    found = mode_coverage(np.array(x), c, 1.0)
    assert found.modes == 2 and found.high_quality == 4 / 6 and found.counts.tolist() == [3, 1, 0]
    assert found.reverse_kl == pytest.approx(0.75 * math.log(3 * 0.75) + 0.25 * math.log(3 * 0.25))
    assert np.isnan(found.widths[1:]).all() and np.isfinite(found.widths[0]).all()


def test_samples_at_one_centre_only() -> None:
    found = mode_coverage(np.zeros((100, 2)), GRID, 0.05)
    assert found.modes == 1 and found.high_quality == 1 and found.reverse_kl == pytest.approx(math.log(25))
    assert found.widths[12].tolist() == [0, 0] and found.width[12] == 0


def test_nothing_of_high_quality() -> None:
    found = mode_coverage(np.full((10, 2), 77.0), GRID, 0.05)
    assert (
        found.modes == 0 and found.high_quality == 0 and math.isnan(found.reverse_kl) and np.isnan(found.widths).all()
    )


def test_samples_that_are_not_finite_are_of_no_quality() -> None:
    x = np.zeros((8, 2), np.float32)
    x[1], x[2, 0], x[3] = np.nan, np.inf, (-np.inf, np.inf)
    x[4] = 3e38
    found = mode_coverage(x, GRID, 0.05)
    assert found.high_quality == 0.5 and found.counts.sum() == 4


def test_widths_follow_the_principal_axes() -> None:
    """Modes squeezed to half along a slanted line: minor axis about a half, whatever the direction."""
    noise = np.random.default_rng(0).normal(size=(20_000, 2)) * [0.5, 1.0] * 0.05
    angle = 0.7
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    minor, major = mode_coverage(noise @ turn.T + GRID[3], GRID, 0.05).widths[3]
    assert minor == pytest.approx(0.5 / 0.974, abs=0.02) and major == pytest.approx(1.0, abs=0.03)


@given(st.integers(0, 1000), st.sampled_from(["ring", "grid"]))
def test_order_shift_and_size_of_units_do_not_matter(seed: int, name: str) -> None:
    rng, c, sigma = np.random.default_rng(seed), centres(name), SIGMA[name]
    x = c[rng.integers(0, len(c), 200)] + 1.5 * sigma * rng.normal(size=(200, 2))
    a = mode_coverage(x, c, sigma)
    b = mode_coverage(8 * rng.permutation(x) + 3, 8 * c + 3, 8 * sigma)
    assert abs(a.high_quality - b.high_quality) <= 0.005 and abs(a.counts - b.counts).sum() <= 1
    assert 0 <= a.high_quality <= 1 and 0 <= a.reverse_kl <= math.log(len(c)) and a.modes == (a.counts > 0).sum()


def test_memory_grows_with_samples_only() -> None:
    x = np.zeros((100_000, 2), np.float32)
    tracemalloc.start()
    mode_coverage(x, GRID, 0.05)
    assert tracemalloc.get_traced_memory()[1] < 100_000 * 8 * 12  # not times 25 centres
    tracemalloc.stop()
