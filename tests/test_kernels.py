"""Every faster kernel computes what its reference operation computes, and the certificate passes with it."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import agree, slope_error

from minigan.backends import get_ops
from minigan.backends.activations import ACTIVATIONS
from minigan.backends.noise import INIT_DISCRIMINATOR, INIT_GENERATOR, Noise
from minigan.check import certificate
from minigan.config import Config
from minigan.data import load
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.errors import InputError
from minigan.nn.gan import GAN

kernels = pytest.importorskip(
    "minigan.backends.numba.kernels", reason="the extra `fast` is not installed", exc_type=ImportError
)


@pytest.fixture(scope="module")
def fast():
    return get_ops("numpy", "numba")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(64, 128), (7, 3), (1, 1), (33, 257)])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_agree_with_the_reference(fast, name, shape, dtype):
    rng, batch, width = np.random.default_rng(1), *shape
    reference = fast.reference()
    x, W, b, dy = (rng.normal(size=s).astype(dtype) for s in ((batch, 5), (5, width), (width,), shape))
    results = []
    for ops in (reference, fast):
        y, slope, dz = (np.full(shape, np.nan, dtype) for _ in range(3))  # poison: everything must be written
        ops.dense_forward(x, W, b, name, y, slope)
        ops.activation_backward(dy, y, name, slope, dz)
        results.append((y, dz, slope if name != "identity" else dz))
    for a, expected in zip(results[1], results[0], strict=True):
        assert a.dtype == dtype
        agree(a, expected)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_delta_in_place_is_the_delta_apart(fast, name):
    """The hidden layers pass the same array as dY and as dZ."""
    y, dy = np.random.default_rng(4).normal(size=(2, 9, 5)).astype(np.float32)
    apart, inside = np.full_like(dy, np.nan), dy.copy()
    fast.activation_backward(dy, y, name, np.empty_like(y), apart)
    fast.activation_backward(inside, y, name, np.empty_like(y), inside)
    np.testing.assert_array_equal(inside, apart)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(64, 128), (7, 3), (1, 1), (33, 257)])
def test_weight_gradients_agree_with_the_reference(fast, shape, dtype):
    rng, batch, width = np.random.default_rng(5), *shape
    x, dz, ds = (rng.normal(size=s).astype(dtype) for s in ((batch, 5), shape, (batch, 1)))
    results = []
    for ops in (fast.reference(), fast):
        arrays = [np.full(s, np.nan, dtype) for s in ((5, width), (width,), (5, width), (width,))]
        ops.weight_gradient(x, dz, arrays[0], arrays[1])
        ops.weighted_gradient(x, dz, ds, np.full(shape, np.nan, dtype), arrays[2], arrays[3])
        results.append(arrays)
    for a, expected in zip(results[1], results[0], strict=True):
        agree(a, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 1000, 70_001])
def test_adam_and_the_average_agree_with_the_reference(fast, count, dtype):
    rng = np.random.default_rng(2)
    start = [
        rng.normal(size=count).astype(dtype),
        *(np.zeros(count, dtype) for _ in range(2)),
        rng.normal(size=count).astype(dtype),
    ]
    gradients, results = rng.normal(size=(4, count)).astype(dtype), []
    for ops in (fast.reference(), fast):
        theta, m, v, mean = (a.copy() for a in start)
        for g in gradients:
            ops.adam(theta, g, m, v, np.array([0.5, 0.99, 0.01, 1e-8], dtype), np.empty_like(theta))
            ops.average(mean, theta, np.array([0.1], dtype), np.empty_like(theta))
        results.append((theta, m, v, mean))
    for a, expected in zip(results[1], results[0], strict=True):
        agree(a, expected)


def test_compiled_noise_is_box_and_mullers_formula(fast):
    rng = np.random.default_rng(6)
    ends = np.array([0, 1, 2, 2**21 - 1, 2**21, 2**22, 2**23, 3 * 2**22, 2**24 - 2, 2**24 - 1], np.uint32)
    pairs = np.stack(np.meshgrid(ends, ends)).reshape(2, -1)  # every corner of every quarter turn
    ks = np.concatenate([pairs, rng.integers(0, 2**24, (2, 100_000), dtype=np.uint32)], axis=1)
    words = (ks.ravel() << 8 | rng.integers(0, 256, ks.size, dtype=np.uint32)).view(np.uint64)
    out, radii = np.full(ks.size, np.nan, np.float32), np.full(ks.shape[1], np.nan, np.float32)
    kernels.box_muller(words.view(np.uint32), radii, out)
    u1, u2 = ks / 2.0**24
    r = np.sqrt(-2 * np.log(1 - u1))
    exact = np.concatenate([r * np.cos(2 * np.pi * u2), r * np.sin(2 * np.pi * u2)])
    np.testing.assert_allclose(radii, r, rtol=4e-7, atol=0)
    np.testing.assert_allclose(out, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_compiled_noise_is_the_references(fast, n):
    """One draw for each stream and step, in one order, with any kernels."""
    for dtype in (np.float32, np.float64):
        expected, got = np.full((1, n), np.nan, dtype), np.full((1, n), np.nan, dtype)
        Noise(11).normal(expected, 3, 4)
        Noise(11, fast).normal(got, 3, 4)
        np.testing.assert_allclose(got, expected, rtol=0, atol=4e-6)
        Noise(11).uniform(expected, 3, 4)
        Noise(11, fast).uniform(got, 3, 4)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stored", ["uint8", "float32", "float64"])
def test_gathering_agrees_with_the_reference(fast, stored, dtype):
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 256, (20, 6)).astype(stored)
    chosen, offset, factor = rng.permutation(20)[:8], *rng.normal(size=(2, 6)).astype(dtype)
    expected, got = np.full((8, 6), np.nan, dtype), np.full((8, 6), np.nan, dtype)
    fast.reference().gather(rows, chosen, offset, factor, np.empty((8, 6), stored), expected)
    fast.gather(rows, chosen, offset, factor, None, got)
    agree(got, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [1, 3])
def test_columns_are_added_up_as_by_the_reference(fast, width, dtype):
    """To the bit: in the order of the terms."""
    rng = np.random.default_rng(3)
    index = rng.integers(-1, 5, (4, 6))
    index[0] = rng.integers(0, 5, 6)
    x, results = rng.normal(size=(9, 5 * width)).astype(dtype), []
    for ops in (get_ops(), fast):
        out, scratch = (np.full((9, 6 * width), np.nan, dtype) for _ in range(2))
        ops.sum_columns(x, ops.columns(index, width), out, scratch)
        results.append(out)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("output", ["tanh", "identity"])
@pytest.mark.parametrize("data", ["digits", "ring"])
def test_minibatches_are_the_references(fast, data, output):
    """Images have one offset and one factor for all of their pixels, points have one for each column."""
    loaded, batches = load(data), []
    for backend in (get_ops(), fast):
        scaler = Scaler.fit(loaded.space, loaded.train, output, loaded.unit)
        out = np.full((16, loaded.space.size), np.nan, np.float32)
        Batches(loaded.train, loaded.unit, scaler, 16, 0, backend, "float32").fill(out, 5)
        batches.append(out)
    agree(batches[1], batches[0])


@pytest.mark.parametrize("name", ["relu", "leaky-relu", "tanh"])
def test_kernels_do_not_hide_a_nan(fast, name):
    y, slope = (np.zeros((2, 3), np.float32) for _ in range(2))
    x = np.array([[np.nan], [1]], np.float32)
    fast.dense_forward(x, np.ones((1, 3), np.float32), np.zeros(3, np.float32), name, y, slope)
    assert np.isnan(y[0]).all() and np.isfinite(y[1]).all()


def test_the_quick_tanh_is_tanh_from_end_to_end(fast):
    z = np.concatenate([np.linspace(-12, 12, 200_001), [0, -0.0, 1e-40, 1e-30, -1e-6, np.inf, -np.inf, 3e38]])
    y = z.astype(np.float32)[:, None].copy()
    exact = np.tanh(y.astype(np.float64))
    fast.dense_forward(y, np.ones((1, 1), np.float32), np.zeros(1, np.float32), "tanh", y, np.empty_like(y))
    assert (np.abs(y) <= 1).all()
    apart = np.abs(y - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert apart.max() <= 2.2 and apart[np.abs(exact) > 0.999].max() <= 0.51, (
        "near 1 it is rounded to the nearest number"
    )


@pytest.mark.parametrize("kernels", ["reference", "numba"])
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_slopes_keep_the_accuracy_that_their_outputs_can_hold(name, kernels):
    assert slope_error(get_ops("numpy", kernels), name) <= 1


def test_the_certificate_holds_with_numba_kernels(fast):
    sections = ("operations", "networks", "penalties", "optimisers")
    assert [row.what for row in certificate(fast, sections) if not row.passed] == []


@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
def test_training_follows_the_reference(fast, update):
    """50 steps in float64 agree up to rounding, not to the bit."""
    config = Config(batch_size=16, latent=4, hidden=(24, 24), dtype="float64", r1=0.5, update=update, steps=50)
    rows = np.random.default_rng(3).normal(size=(16, 6))
    ends = []
    for backend in (get_ops(), fast):
        gan = GAN(config, 6, backend)
        gan.noise = Noise(config.seed)  # compiled noise is held to the reference apart, above
        gan.generator.initialise(gan.noise, INIT_GENERATOR)
        gan.discriminator.initialise(gan.noise, INIT_DISCRIMINATOR)
        gan.average.mean[...] = gan.generator.theta.flat
        for _ in range(50):
            gan.train_step(lambda out, i: np.copyto(out, rows))
        ends.append(gan.average.mean)
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-6, atol=1e-8)


def test_numba_kernels_are_refused_on_a_gpu():
    with pytest.raises(InputError, match="for the CPU"):
        get_ops("cupy", "numba")
