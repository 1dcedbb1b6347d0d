"""Adam against a scalar transcription of the paper, the weight average and the schedules against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import normal

from minigan.backends import Ops
from minigan.backends.ops import BLOCK, CupyOps
from minigan.nn.optim import Adam, WeightAverage, adam_coefficients, schedule


def paper(theta: float, gradients: list[float], lr: float, beta1: float, beta2: float, epsilon: float = 1e-8) -> float:
    """Algorithm 1 of Kingma and Ba (2015), one number at a time."""
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        theta = theta - lr * m_hat / (math.sqrt(v_hat) + epsilon)
    return theta


@pytest.mark.parametrize("steps", [1, 2, 3, 500])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e6])
@pytest.mark.parametrize(
    ("beta1", "beta2"), [(0.9, 0.999), (0.5, 0.999), (0.0, 0.99), (0.0, 0.0), (0.9, 0.0), (0.99, 0.9)]
)
def test_adam_is_the_papers(backend: Ops, beta1: float, beta2: float, scale: float, steps: int) -> None:
    """Gradients down to epsilon's size, so that the place of epsilon counts."""
    gradients = np.random.default_rng(0).normal(scale=scale, size=(steps, 5))
    theta = normal(backend, 5)
    start = backend.to_host(theta).copy()
    adam = Adam(5, backend, "float64", beta1, beta2)
    for t, g in enumerate(gradients, 1):
        adam.update(theta, backend.asarray(g), t, 0.01)
    expected = [paper(start[i], gradients[:, i].tolist(), 0.01, beta1, beta2) for i in range(5)]
    moved = backend.to_host(theta) - start
    np.testing.assert_allclose(moved, np.array(expected) - start, rtol=1e-8)


def test_the_first_step_is_the_learning_rate_whatever_the_gradient_and_the_betas(backend: Ops) -> None:
    """Holds only with bias correction by 1 - beta^t."""
    for beta1, beta2 in ((0.9, 0.999), (0.0, 0.99), (0.5, 0.9)):
        theta = backend.zeros((3,), "float64")
        adam = Adam(3, backend, "float64", beta1, beta2)
        adam.update(theta, backend.asarray(np.array([1e-3, -5.0, 1e4])), 1, 0.1)
        np.testing.assert_allclose(backend.to_host(theta), [-0.1, 0.1, -0.1], rtol=1e-4)


def test_late_updates_are_not_corrected_any_more() -> None:
    _, _, step_size, epsilon = adam_coefficients(10**9, 0.01, 0.9, 0.999)
    assert step_size == pytest.approx(0.01 * (1 - 0.9) / math.sqrt(1 - 0.999), rel=1e-12)
    assert epsilon == pytest.approx(1e-8 / math.sqrt(1 - 0.999), rel=1e-12)


@pytest.mark.parametrize("count", [1, 9, 10, 11, 20, 37])
def test_blocks_give_the_same_bits_as_one_block(backend: Ops, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Elementwise operations do not depend on where a block ends, also with SIMD remainders."""

    def trained(block: int) -> tuple[np.ndarray, ...]:
        monkeypatch.setattr(backend, "block", block)
        theta, adam = normal(backend, count, dtype="float32"), Adam(count, backend, "float32", 0.9, 0.99)
        average = WeightAverage(theta, 0.9, backend)
        for t in range(1, 6):
            adam.update(theta, normal(backend, count, seed=t, dtype="float32"), t, 0.01)
            average.update(theta, t)
        return tuple(backend.to_host(a).copy() for a in (theta, adam.m, adam.v, average.mean))

    for whole, blocked in zip(trained(10**6), trained(10), strict=True):
        np.testing.assert_array_equal(whole, blocked)


def test_a_vector_longer_than_a_real_block_is_updated_to_its_end(backend: Ops) -> None:
    count = 2 * BLOCK + 5
    theta, adam = backend.zeros((count,), "float32"), Adam(count, backend, "float32", 0.0, 0.99)
    assert adam.slices[-1].stop == count
    assert sum(s.stop - s.start for s in adam.slices) == count
    ones = backend.zeros((count,), "float32")
    ones.fill(1)
    average = WeightAverage(theta, 0.5, backend)
    if backend.name == "numpy":
        for blocked in (adam, average):
            assert len(blocked.slices) == 3 and blocked.scratch.size == BLOCK
    adam.update(theta, ones, 1, 0.25)
    average.update(theta, 1)
    np.testing.assert_allclose(backend.to_host(theta), -0.25, rtol=1e-5)
    np.testing.assert_allclose(backend.to_host(average.mean), -0.25 * (1 - 2 / 11), rtol=1e-5)


def test_on_a_gpu_the_whole_vector_is_one_block() -> None:
    """Blocks are for the CPU's cache; on a GPU each block would need kernel launches of its own."""
    count = 2 * BLOCK + 5
    gpu = CupyOps(np, "NumPy under CuPy's name")
    for whole in (Adam(count, gpu, "float32", 0.5, 0.9), WeightAverage(np.zeros(count, np.float32), 0.5, gpu)):
        assert whole.slices == [slice(0, count)]
        assert whole.scratch.size == count


def test_moments_and_scratch_have_the_precision_of_the_weights(backend: Ops) -> None:
    for dtype in ("float32", "float64"):
        adam = Adam(3, backend, dtype, 0.5, 0.9)
        average = WeightAverage(backend.zeros((3,), dtype), 0.5, backend)
        arrays = (adam.m, adam.v, adam.scratch, adam.prepared, average.mean, average.scratch, average.prepared)
        assert {a.dtype.name for a in arrays} == {dtype}


def test_adam_changes_no_gradient(backend: Ops) -> None:
    theta, gradient = normal(backend, 8, seed=1), normal(backend, 8, seed=2)
    kept = backend.to_host(gradient).copy()
    Adam(8, backend, "float64", 0.9, 0.99).update(theta, gradient, 1, 0.1)
    np.testing.assert_array_equal(backend.to_host(gradient), kept)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_weight_average_follows_its_formula(backend: Ops, decay: float) -> None:
    theta = normal(backend, 6)
    average = WeightAverage(theta, decay, backend)
    mean = backend.to_host(theta).copy()
    np.testing.assert_array_equal(backend.to_host(average.mean), mean)
    for t in range(1, 40):
        theta[...] = normal(backend, 6, seed=t)
        average.update(theta, t)
        d = min(decay, (1 + t) / (10 + t))
        mean = d * mean + (1 - d) * backend.to_host(theta)
        np.testing.assert_allclose(backend.to_host(average.mean), mean, rtol=1e-12, atol=1e-14)
    if decay == 0:
        np.testing.assert_allclose(backend.to_host(average.mean), backend.to_host(theta), rtol=1e-12, atol=1e-14)


def test_the_weight_average_is_a_copy_of_the_start(backend: Ops) -> None:
    theta = normal(backend, 6)
    average = WeightAverage(theta, 0.9, backend)
    kept = backend.to_host(average.mean).copy()
    theta.fill(0)
    np.testing.assert_array_equal(backend.to_host(average.mean), kept)


@pytest.mark.parametrize("end", [0.0, 0.1])
def test_schedules_begin_at_one_and_end_where_they_should(end: float) -> None:
    for name in ("linear", "cosine"):
        assert schedule(name, 0, 100, end) == 1
        assert schedule(name, 50, 100, end) == pytest.approx((1 + end) / 2, rel=1e-12)
        for step in (100, 101, 10**9):
            assert schedule(name, step, 100, end) == pytest.approx(end, abs=1e-15)
        values = [schedule(name, step, 100, end) for step in range(101)]
        assert values == sorted(values, reverse=True)
    assert schedule("linear", 25, 100, end) == pytest.approx(1 - 0.25 * (1 - end))
    assert schedule("cosine", 25, 100, end) == pytest.approx(end + (1 - end) * (1 + math.sqrt(0.5)) / 2)
    assert schedule("exponential", 0, 100, 0.01) == 1
    assert schedule("exponential", 50, 100, 0.01) == pytest.approx(0.1, rel=1e-12)
    assert schedule("exponential", 100, 100, 0.01) == schedule("exponential", 10**9, 100, 0.01) == 0.01
    assert {schedule("constant", step, 100, end) for step in (0, 50, 100, 1000)} == {1.0}
    with pytest.raises(KeyError, match="step"):
        schedule("step", 1, 2, end)
