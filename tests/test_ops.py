"""The mathematics: values against scalar formulas, derivatives against central differences."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from helpers import differences, normal

from minigan.backends import Ops
from minigan.backends.activations import ACTIVATIONS, LEAK
from minigan.nn.gradcheck import relative_error

TOLERANCE = 1e-8


# phi(z) as a textbook has it; `plain.py` has every activation, and the certificate holds the rows to it
TEXTBOOK: dict[str, Callable[[float], float]] = {
    "relu": lambda z: max(z, 0.0),
    "leaky-relu": lambda z: z if z > 0 else LEAK * z,
    "tanh": math.tanh,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "identity": lambda z: z,
}


def phi(backend: Ops, name: str, z: np.ndarray) -> np.ndarray:
    there = backend.asarray(z.copy())
    backend.activation(name, there, backend.zeros(z.shape, z.dtype))
    return backend.to_host(there)


def from_output(backend: Ops, what: str, name: str, y: np.ndarray) -> np.ndarray:
    out = backend.zeros(y.shape, y.dtype)
    out.fill(9)
    getattr(backend, what)(name, backend.asarray(y), out)
    return backend.to_host(out)


Z = np.concatenate([np.linspace(-6, 6, 40), [-0.01, 0.013]]).reshape(6, 7)


@pytest.mark.parametrize("name", TEXTBOOK)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_are_the_textbooks(backend: Ops, name: str, dtype: str) -> None:
    z = Z.astype(dtype)
    expected = np.vectorize(TEXTBOOK[name], otypes=[float])(z.astype(np.float64))
    np.testing.assert_allclose(phi(backend, name, z), expected, rtol=1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_slope_is_the_activations_derivative(backend: Ops, name: str) -> None:
    h = 1e-5
    central = (phi(backend, name, Z + h) - phi(backend, name, Z - h)) / (2 * h)
    slope = from_output(backend, "slope", name, phi(backend, name, Z))
    np.testing.assert_allclose(slope, central, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_curvature_is_the_slopes_relative_derivative(backend: Ops, name: str) -> None:
    h = 1e-5

    def slope(z: np.ndarray) -> np.ndarray:
        return from_output(backend, "slope", name, phi(backend, name, z))

    central = (slope(Z + h) - slope(Z - h)) / (2 * h)
    curvature = from_output(backend, "curvature", name, phi(backend, name, Z))
    np.testing.assert_allclose(curvature * slope(Z), central, rtol=1e-6, atol=1e-10)
    assert curvature.any() == (ACTIVATIONS[name].curvature is not None)


@pytest.mark.parametrize(("name", "slope"), [("relu", 0), ("leaky-relu", LEAK)])
def test_at_the_kink_the_left_slope_is_taken(backend: Ops, name: str, slope: float) -> None:
    assert from_output(backend, "slope", name, np.zeros((1, 1))) == pytest.approx(slope)


def test_unknown_activations_are_refused(backend: Ops) -> None:
    x = backend.zeros((1, 1), "float64")
    with pytest.raises(KeyError, match="swish"):
        backend.activation("swish", x, x)
    with pytest.raises(KeyError, match="swish"):
        backend.slope("swish", x, x)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_dense_step_gradients_agree_with_differences(backend: Ops, name: str) -> None:
    ops, xp = backend, backend.xp
    x, W = normal(backend, 4, 3, seed=1), normal(backend, 3, 5, seed=2)
    b, dy = normal(backend, 5, seed=3), normal(backend, 4, 5, seed=4)
    y, scratch, slope, dz = (backend.zeros((4, 5), "float64") for _ in range(4))
    dW, db, dx = backend.zeros((3, 5), "float64"), backend.zeros((5,), "float64"), backend.zeros((4, 3), "float64")

    def loss() -> float:
        ops.dense_forward(x, W, b, name, y, scratch)
        return float(xp.sum(xp.multiply(y, dy)))

    loss()
    assert abs(backend.to_host(xp.dot(x, W) + b)).min() > 1e-3, "no pre-activation near a kink"
    ops.activation_backward(dy, y, name, slope, dz)
    ops.weight_gradient(x, dz, dW, db)
    ops.input_gradient(dz, W, dx)
    for analytic, array in ((dW, W), (db, b), (dx, x)):
        assert relative_error(backend.to_host(analytic), differences(loss, array, backend)) < TOLERANCE


@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_delta_goes_through_a_layer_and_the_activation_before_it(backend: Ops, name: str, width: int) -> None:
    ops = backend
    x, W, dz = normal(backend, 4, 3, seed=1), normal(backend, 3, width, seed=2), normal(backend, 4, width, seed=3)
    y, slope, out, plain = (backend.zeros((4, 3), "float64") for _ in range(4))
    backend.xp.copyto(y, x)
    ops.activation(name, y, plain)
    ops.hidden_delta(dz, W, y, name, slope, out)
    ops.slope(name, y, plain)
    expected = backend.to_host(dz) @ backend.to_host(W).T * backend.to_host(plain)
    np.testing.assert_allclose(backend.to_host(out), expected, rtol=1e-12)
    if name != "identity":
        np.testing.assert_array_equal(backend.to_host(slope), backend.to_host(plain))


@pytest.mark.parametrize("width", [1, 5])
def test_gradients_of_a_dense_layer_are_their_formulas(backend: Ops, width: int) -> None:
    ops = backend
    x, W, dz, ds = (normal(backend, *s, seed=i) for i, s in enumerate([(4, 3), (3, width), (4, width), (4, 1)]))
    dx, weighted = backend.zeros((4, 3), "float64"), backend.zeros((4, width), "float64")
    dW, db = backend.zeros((3, width), "float64"), backend.zeros((width,), "float64")
    ops.input_gradient(dz, W, dx)
    ops.weighted_gradient(x, dz, ds, weighted, dW, db)
    hx, hW, hdz, hds = (backend.to_host(a) for a in (x, W, dz, ds))
    np.testing.assert_allclose(backend.to_host(dx), hdz @ hW.T, rtol=1e-12)
    np.testing.assert_allclose(backend.to_host(dW), hx.T @ (hds * hdz), rtol=1e-12)
    np.testing.assert_allclose(backend.to_host(db), (hds * hdz).sum(axis=0), rtol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_dense_tangent_is_the_directional_derivative(backend: Ops, name: str) -> None:
    ops = backend
    x, W, b, t = (normal(backend, *s, seed=i) for i, s in enumerate([(4, 3), (3, 5), (5,), (4, 3)]))
    y, scratch, slope, dz, u, t_out = (backend.zeros((4, 5), "float64") for _ in range(6))

    def output(step: float) -> np.ndarray:
        ops.dense_forward(x + step * t, W, b, name, y, scratch)
        return backend.to_host(y).copy()

    central = (output(1e-5) - output(-1e-5)) / 2e-5
    output(0)
    ops.activation_backward(y, y, name, slope, dz)
    ops.dense_tangent(t, W, name, slope, u, t_out)
    assert relative_error(backend.to_host(t_out), central) < TOLERANCE
    np.testing.assert_allclose(backend.to_host(u), backend.to_host(t) @ backend.to_host(W), rtol=1e-12)
    ops.dense_tangent(t, W, name, slope, u, u)
    np.testing.assert_array_equal(backend.to_host(u), backend.to_host(t_out))


def logits(dtype: str) -> np.ndarray:
    exact = [0.0, 1e-9, 1e-3, 0.5, 1.0, 5.0, 16.0, 20.0, 37.0, 60.0, 80.0]
    far = [100.0, 700.0, 1e4]
    values = exact + ([] if dtype == "float32" else [100.0, 300.0, 700.0])
    return np.array([sign * v for v in values + far for sign in (1, -1)], dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_sigmoid_is_accurate_in_both_tails_and_finite_everywhere(backend: Ops, dtype: str) -> None:
    s = logits(dtype)
    out, scratch = backend.zeros(s.shape, dtype), backend.zeros(s.shape, dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        backend.sigmoid(backend.asarray(s), out, scratch)
    expected = [1 / (1 + math.exp(-v)) if v > 0 else math.exp(v) / (1 + math.exp(v)) for v in map(float, s)]
    tiny = float(np.finfo(dtype).tiny)
    np.testing.assert_allclose(backend.to_host(out), expected, rtol=5e-7 if dtype == "float32" else 1e-14, atol=tiny)
    in_place = backend.asarray(s.copy())
    backend.sigmoid(in_place, in_place, scratch)
    np.testing.assert_array_equal(backend.to_host(in_place), backend.to_host(out))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softplus_is_accurate_in_both_tails_and_finite_everywhere(backend: Ops, dtype: str) -> None:
    s = logits(dtype)
    out = backend.zeros(s.shape, dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        backend.softplus(backend.asarray(s), out)
    expected = [v + math.log1p(math.exp(-v)) if v > 0 else math.log1p(math.exp(v)) for v in map(float, s)]
    tiny = float(np.finfo(dtype).tiny)
    np.testing.assert_allclose(backend.to_host(out), expected, rtol=5e-7 if dtype == "float32" else 1e-14, atol=tiny)


def test_softplus_is_the_antiderivative_of_the_sigmoid(backend: Ops) -> None:
    s, h = np.linspace(-8, 8, 33), 1e-5
    plus, minus, sigmoid, scratch = (backend.zeros(s.shape, "float64") for _ in range(4))
    backend.softplus(backend.asarray(s + h), plus)
    backend.softplus(backend.asarray(s - h), minus)
    backend.sigmoid(backend.asarray(s), sigmoid, scratch)
    np.testing.assert_allclose(backend.to_host((plus - minus) / (2 * h)), backend.to_host(sigmoid), rtol=1e-6)


def test_the_average_moves_by_its_weight(backend: Ops) -> None:
    mean, theta = normal(backend, 7, seed=1), normal(backend, 7, seed=2)
    expected = 0.75 * backend.to_host(mean) + 0.25 * backend.to_host(theta)
    backend.average(mean, theta, backend.asarray(np.array([0.25])), backend.zeros((7,), "float64"))
    np.testing.assert_allclose(backend.to_host(mean), expected, rtol=1e-14)


# ------------------------------------------------------------------------------------------------- convolutions


@pytest.mark.parametrize("width", [1, 2])
def test_columns_are_added_up_in_blocks(backend: Ops, width: int) -> None:
    """Two terms in the first and the last block of the result, one in the middle one."""
    index = np.array([[2, 0, 3], [0, -1, 3]])
    x = normal(backend, 4, 4 * width)
    out, scratch = backend.zeros((4, 3 * width), "float64"), backend.zeros((4, 3 * width), "float64")
    backend.sum_columns(x, backend.columns(index, width), out, scratch)
    blocks = backend.to_host(x).reshape(4, 4, width)
    expected = np.stack([blocks[:, 2] + blocks[:, 0], blocks[:, 0], 2 * blocks[:, 3]], axis=1)
    np.testing.assert_array_equal(backend.to_host(out), expected.reshape(4, -1))


# -------------------------------------------------------------------------------------------------- minibatches


@pytest.mark.parametrize("stored", ["uint8", "float32", "float64"])
def test_gathering_picks_rows_subtracts_and_scales(backend: Ops, stored: str) -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (9, 4)).astype(stored)
    chosen, offset, factor = np.array([8, 0, 3, 3]), rng.normal(size=4), rng.normal(size=4)
    for dtype in ("float32", "float64"):
        out, scratch = backend.zeros((4, 4), dtype), backend.zeros((4, 4), stored)
        there = [backend.asarray(a) for a in (rows, chosen, offset.astype(dtype), factor.astype(dtype))]
        backend.gather(*there, scratch, out)
        expected = (rows[chosen].astype(dtype) - offset.astype(dtype)) * factor.astype(dtype)
        np.testing.assert_array_equal(backend.to_host(out), expected)


def test_gathering_allocates_no_array(backend: Ops) -> None:
    """`np.take` has a buffer as large as the result unless it may clip the row numbers."""
    if backend.name != "numpy":
        pytest.skip("tracemalloc sees only what is allocated on the host")
    rows, chosen, out = np.ones((9, 4000), np.float32), np.array([8, 0, 3, 3]), np.zeros((4, 4000), np.float32)
    tracemalloc.start()
    try:
        backend.take(rows, chosen, out)  # what the first call caches is not counted
        tracemalloc.reset_peak()
        base = tracemalloc.get_traced_memory()[0]
        backend.take(rows, chosen, out)
        assert tracemalloc.get_traced_memory()[1] - base < out.nbytes / 2
    finally:
        tracemalloc.stop()


def test_gathering_keeps_large_values_apart(backend: Ops) -> None:
    """2001 and 2002 in float32, a standard deviation of 1e-4: scaled before the subtraction they would be rounded."""
    rows, out = backend.asarray(np.array([[2001.0], [2002.0]], np.float32)), backend.zeros((2, 1), "float32")
    there = [
        backend.asarray(a) for a in (np.arange(2), np.array([2001.5], np.float32), np.array([1e4 / 3], np.float32))
    ]
    backend.gather(rows, *there, None, out)
    np.testing.assert_array_equal(backend.to_host(out), np.array([[-0.5], [0.5]], np.float32) * np.float32(1e4 / 3))
