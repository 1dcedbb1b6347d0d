"""Noise: pure functions of (seed, stream, step), with the integers of NumPy's Philox."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan.backends import Ops
from minigan.backends import noise as streams
from minigan.backends.noise import Noise

SEEDS = st.integers(0, 2**63 - 1)
STREAMS = st.integers(0, 2**32)
STEPS = st.integers(0, 2**40)


def normals(n: int, seed: int = 1, stream: int = 3, step: int = 0, dtype: str = "float32") -> np.ndarray:
    out = np.empty(n, dtype)
    Noise(seed).normal(out, stream, step)
    return out


@given(SEEDS, STREAMS, STEPS, st.integers(1, 20))
def test_integers_are_those_of_numpys_philox(seed: int, stream: int, step: int, n: int) -> None:
    key, counter = np.array([seed, stream], np.uint64), np.array([0, step, 0, 0], np.uint64)
    expected = np.random.Philox(key=key, counter=counter).random_raw(n)
    np.testing.assert_array_equal(Noise(seed).integers(n, stream, step), expected)


@given(SEEDS, STREAMS, STEPS, st.integers(1, 40))
def test_uniforms_are_the_top_24_bits_of_each_half_word_low_half_first(
    seed: int, stream: int, step: int, n: int
) -> None:
    out = np.empty(n, np.float32)
    Noise(seed).uniform(out, stream, step)
    words = Noise(seed).integers((n + 1) // 2, stream, step)
    halves = np.stack([words & np.uint64(0xFFFFFFFF), words >> np.uint64(32)], axis=1).ravel()[:n]
    np.testing.assert_array_equal(out, (halves >> np.uint64(8)).astype(np.float64) * 2.0**-24)


@given(SEEDS, STREAMS, STEPS, st.integers(1, 41))
def test_normals_are_box_and_mullers(seed: int, stream: int, step: int, n: int) -> None:
    out, half = np.empty(n, np.float32), (n + 1) // 2
    Noise(seed).normal(out, stream, step)
    u = np.empty(2 * half, np.float32)
    Noise(seed).uniform(u, stream, step)
    expected = []
    for u1, u2 in zip(u[:half].tolist(), u[half:].tolist(), strict=True):
        r = math.sqrt(-2 * math.log(1 - u1))
        expected.append((r * math.cos(2 * math.pi * u2), r * math.sin(2 * math.pi * u2)))
    expected = [c for c, _ in expected] + [s for _, s in expected]
    np.testing.assert_allclose(out, expected[:n], rtol=2e-6, atol=4e-6)


def test_values_do_not_depend_on_what_was_drawn_before() -> None:
    used = Noise(7)
    for n, stream, step in ((5, 1, 1), (6, 3, 9), (1, 1, 0), (5, 3, 8)):
        used.normal(np.empty(n, np.float32), stream, step)
        used.integers(n, stream, step)
        used.uniform(np.empty(n, np.float32), stream, step)
    out = np.empty(5, np.float32)
    used.normal(out, 3, 9)
    np.testing.assert_array_equal(out, normals(5, 7, 3, 9))


def test_uniform_leaves_no_half_word_behind() -> None:
    """An odd number of float32 uniforms uses half a 64-bit word; the other half must not begin the next draw."""
    noise, a, b = Noise(1), np.empty(3, np.float32), np.empty(3, np.float32)
    noise.uniform(a, 1, 0)
    noise.uniform(b, 1, 0)
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("changed", [{"seed": 2}, {"stream": 4}, {"step": 1}, {"seed": 2**63 - 1}, {"step": 2**40}])
def test_another_seed_stream_or_step_gives_other_numbers(changed: dict[str, int]) -> None:
    a, b = normals(10_000), normals(10_000, **changed)
    assert (a != b).mean() > 0.99
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.05


def test_seed_and_stream_are_not_interchangeable() -> None:
    assert not (normals(100, seed=3, stream=4) == normals(100, seed=4, stream=3)).any()


def test_normals_have_the_moments_of_a_standard_gaussian() -> None:
    x = normals(1_000_000).astype(np.float64)
    assert abs(x.mean()) < 0.005
    assert abs(x.var() - 1) < 0.01
    assert abs((x**3).mean()) < 0.02
    assert abs((x**4).mean() - 3) < 0.05
    assert abs((np.abs(x) < 1.96).mean() - 0.95) < 0.002
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.005
    half = len(x) // 2
    assert abs(np.corrcoef(x[:half], x[half:])[0, 1]) < 0.005, "cosines and sines are independent"


def test_uniforms_fill_the_unit_interval_without_its_end() -> None:
    u = np.empty(1_000_000, np.float32)
    Noise(5).uniform(u, 1, 0)
    assert 0 <= u.min() < 1e-5
    assert 1 - 1e-5 < u.max() < 1
    counts = np.histogram(u, 20, (0, 1))[0]
    assert abs(counts - 50_000).max() < 1200


def test_the_extreme_uniforms_give_finite_normals(monkeypatch: pytest.MonkeyPatch) -> None:
    """u1 = 0 and the largest float below 1: log is taken of 1 - u, never of u."""

    class Extreme:
        def random(self, out: np.ndarray, dtype: object) -> None:
            out[:] = [0, 1 - 2.0**-24, 0, 1 - 2.0**-24]

    noise, out = Noise(0), np.empty(4, np.float32)
    monkeypatch.setattr(noise, "_generator", Extreme())
    noise.normal(out, 1, 0)
    assert np.isfinite(out).all()
    assert abs(out[1]) == pytest.approx(math.sqrt(-2 * math.log(2.0**-24)), rel=1e-6)


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 1), (8,)])
@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_every_shape_and_precision_gets_the_same_numbers_on_every_backend(
    backend: Ops, shape: tuple[int, ...], draw: str
) -> None:
    narrow, wide = np.empty(math.prod(shape), np.float32), backend.empty(shape, np.float64)
    getattr(Noise(9), draw)(narrow, 2, 4)
    getattr(Noise(9, backend), draw)(wide, 2, 4)
    single = backend.empty(shape, np.float32)
    getattr(Noise(9, backend), draw)(single, 2, 4)
    np.testing.assert_array_equal(backend.to_host(wide), narrow.reshape(shape).astype(np.float64))
    np.testing.assert_array_equal(backend.to_host(single), narrow.reshape(shape))


def test_views_of_a_larger_array_are_filled_in_place(backend: Ops) -> None:
    whole = backend.zeros((10,), np.float32)
    Noise(9).normal(whole[2:8].reshape(2, 3), 2, 4)
    host = backend.to_host(whole)
    np.testing.assert_array_equal(host[2:8], normals(6, 9, 2, 4))
    assert not host[:2].any() and not host[8:].any()


@given(SEEDS, st.integers(1, 300), STEPS)
def test_permutations_hold_every_index_once(seed: int, n: int, step: int) -> None:
    order = Noise(seed).permutation(n, streams.ORDER, step)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_permutations_are_even() -> None:
    """Each of the 6 orders of 3 things comes up a sixth of the time."""
    seen = [tuple(Noise(step % 7).permutation(3, streams.ORDER, step).tolist()) for step in range(6000)]
    counts = [seen.count(order) for order in set(seen)]
    assert len(counts) == 6
    assert max(abs(c - 1000) for c in counts) < 150


def test_streams_are_all_different() -> None:
    values = [value for name, value in vars(streams).items() if name.isupper()]
    assert len(values) > 8
    assert len(set(values)) == len(values)


def test_known_values() -> None:
    """A change of the generator would change every resumed run, so it must be detected."""
    assert Noise(0).integers(3, streams.LATENT, 0).tolist() == GOLDEN_INTEGERS
    assert Noise(2**63 - 1).integers(1, streams.ORDER, 12345).tolist() == GOLDEN_LARGE
    u = np.empty(4, np.float32)
    Noise(42).uniform(u, streams.INTERPOLATION, 7)
    assert (u * 2.0**24).astype(int).tolist() == GOLDEN_UNIFORMS
    np.testing.assert_allclose(normals(5, 42, streams.LATENT, 7), GOLDEN_NORMALS, rtol=2e-6)
    assert Noise(42).permutation(10, streams.ORDER, 3).tolist() == GOLDEN_PERMUTATION


GOLDEN_INTEGERS = [8765139425351048083, 9000567565132991207, 10242528201421353066]
GOLDEN_LARGE = [7026900333113972842]
GOLDEN_UNIFORMS = [9936624, 7787777, 14313013, 15650421]
GOLDEN_NORMALS = [-1.0268815, 0.89871061, -0.75253928, 0.29705024, -0.54474062]
GOLDEN_PERMUTATION = [9, 3, 2, 4, 1, 0, 8, 6, 7, 5]


@pytest.mark.parametrize("values", [2**64, 7])
@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_a_permutation_is_the_stable_order_of_words(n: int, values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where words are equal, so that the result does not depend on the sorting algorithm."""
    noise = Noise(4)
    words = noise.integers(n, streams.ORDER, 9) % np.uint64(values - 1)
    monkeypatch.setattr(noise, "integers", lambda *_: words.copy())
    expected = sorted(range(n), key=lambda i: (int(words[i]), i))
    np.testing.assert_array_equal(noise.permutation(n, streams.ORDER, 9), expected)
