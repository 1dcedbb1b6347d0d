"""The measures: each compared with its formula and with closed forms, and tested for its direction."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import threadpoolctl
from fakecupy import fake_cupy
from helpers import exit_code
from hypothesis import given, settings
from hypothesis import strategies as st

from minigan.backends import Ops, get_ops
from minigan.backends.noise import Noise
from minigan.data import Data, load
from minigan.data.spaces import SPACES, Image
from minigan.errors import DivergenceError, InputError
from minigan.metrics import bins, features
from minigan.metrics.features import Classifier, digit_kl, load_classifier
from minigan.metrics.frechet import frechet_distance, kernel_distance, within
from minigan.metrics.measures import HIGH, LOW, MEASURES, ONE, REAL, cost
from minigan.metrics.neighbours import in_blocks, memorisation, nearest, nearest_few, squared_distances, squared_radii
from minigan.metrics.parzen import SIGMAS, log_likelihoods, parzen
from minigan.metrics.prdc import prdc
from minigan.metrics.suite import Suite, names, primary
from minigan.metrics.variation import roughness
from minigan.nn.gradcheck import numerical_gradient

HOST = get_ops()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return rng(seed).standard_normal(shape)


# -------------------------------------------------------------------------------------------------------- neighbours


def naive_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ((a[:, None].astype(np.float64) - b[None]) ** 2).sum(axis=2)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), st.integers(0, 100))
def test_squared_distances_in_blocks_are_those_by_subtraction(n: int, m: int, d: int, seed: int) -> None:
    a, b = normal(n, d, seed=seed) + 5, normal(m, d, seed=seed + 1) + 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minigan.metrics.neighbours.BLOCK", 64)
        blocks = list(squared_distances(lambda rows, D: (rows, D), a, b, HOST))
        found, distance = nearest(a, b, HOST)
        few = nearest_few(a, b, 3, HOST)
    D = naive_distances(a, b)
    assert [rows.start for rows, _ in blocks] == list(range(0, n, max(1, 64 // max(m, d))))
    np.testing.assert_allclose(np.concatenate([block for _, block in blocks]), D, atol=1e-12)
    np.testing.assert_array_equal(found, D.argmin(axis=1))
    np.testing.assert_allclose(distance, np.sqrt(D.min(axis=1)))
    np.testing.assert_array_equal(few, D.argsort(axis=1)[:, :3])


def test_a_row_is_not_its_own_neighbour_but_its_copy_is() -> None:
    x = normal(30, 3)
    D = np.sort(naive_distances(x, x), axis=1)
    np.testing.assert_allclose(squared_radii(x, 4, HOST), D[:, 4])
    assert squared_radii(np.concatenate([x, x]), 1, HOST).max() < 1e-12


def test_the_distance_of_a_copy_is_exactly_zero() -> None:
    x = 1000 + normal(50, 20).astype(np.float32)
    found, distance = nearest(x, x[::-1].copy(), HOST)
    assert (found == np.arange(50)[::-1]).all() and (distance == 0).all()


def test_ten_thousand_against_ten_thousand_within_the_memory_promised() -> None:
    a, b = normal(10_000, 8), normal(10_000, 8, seed=1)
    tracemalloc.start()
    nearest(a, b, HOST)
    for nbytes in squared_distances(lambda _, D: D.nbytes, a[:1000], b, HOST):
        assert nbytes <= 8 << 20
    squared_radii(a[:5000], 5, HOST)
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_blocks_come_in_their_order_and_few_wait(threads: int) -> None:
    started = []

    def work(rows: slice) -> slice:
        started.append(rows)
        return rows

    with threadpoolctl.threadpool_limits(threads, "blas"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("minigan.metrics.neighbours.BLOCK", 30)
        for i, rows in enumerate(in_blocks(work, 995, 3, HOST)):
            assert rows == slice(10 * i, min(10 * i + 10, 995)) and len(started) <= i + 1 + 8
        assert i == 99 and not list(in_blocks(work, 0, 3, HOST))
        after = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
        assert all(library["num_threads"] == threads for library in after)


def test_no_value_depends_on_the_number_of_threads() -> None:
    a, b = (normal(1500, 90, seed=i).astype(np.float32) for i in (1, 2))
    wide = a.astype(np.float64), b.astype(np.float64)

    def measured(threads: int) -> list[Any]:
        with threadpoolctl.threadpool_limits(threads, "blas"), pytest.MonkeyPatch.context() as patch:
            patch.setattr("minigan.metrics.neighbours.BLOCK", 200_000)
            centres = bins.k_means(a, 20, HOST)
            found = [centres, bins.assign(b, centres, HOST), squared_radii(wide[0], 5, HOST), *nearest(a, b, HOST)]
            numbers = prdc(*wide, HOST), kernel_distance(*wide, HOST), parzen(a, b, b, HOST)
            return [*(x.tolist() for x in found), *numbers, nearest_few(a[:9], b, 3, HOST).tolist()]

    assert measured(1) == measured(2) == measured(5)


def test_threads_keep_the_callers_error_state_and_its_errors() -> None:
    def work(rows: slice) -> float:
        return float(np.log(np.zeros(1))[0])

    with threadpoolctl.threadpool_limits(2, "blas"):
        with np.errstate(all="ignore"):
            assert list(in_blocks(work, 2, 1 << 20, HOST)) == [-math.inf] * 2
        with np.errstate(all="raise"), pytest.raises(FloatingPointError):
            list(in_blocks(work, 2, 1 << 20, HOST))


def test_the_nearest_is_found_across_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normal(50, 4), normal(95, 4, seed=1)
    b[60] = b[15] = a[3]
    monkeypatch.setattr("minigan.metrics.neighbours.PART", 10)
    found, distance = nearest(a, b, HOST)
    D = naive_distances(a, b)
    np.testing.assert_array_equal(found, D.argmin(axis=1))
    np.testing.assert_allclose(distance, np.sqrt(D.min(axis=1)))
    assert found[3] == 15 and distance[3] == 0


def test_memorisation_of_new_samples_is_one_and_of_copies_nothing() -> None:
    real = normal(3000, 6)
    training, held_out, new = real[:1000], real[1000:2000], real[2000:]

    def ratio(x: np.ndarray) -> float:
        return memorisation(nearest(x, training, HOST)[1], nearest(x, held_out, HOST)[1])

    assert ratio(new) == pytest.approx(1, abs=0.04)
    assert ratio(training[:300]) == 0
    assert ratio(np.concatenate([new[:500], training[:500]])) == pytest.approx(0.5, abs=0.05)
    assert math.isnan(ratio(held_out))


# ------------------------------------------------------------------------------------------------- Frechet and kernel


def with_moments(n: int, mean: np.ndarray, covariance: np.ndarray, seed: int = 0) -> np.ndarray:
    """n rows with exactly this mean and covariance."""
    x = normal(n, len(mean), seed=seed)
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T)).T)
    return x @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_gaussians_has_a_closed_form() -> None:
    """Diagonal covariances: sum (mu_a - mu_b)^2 + (s_a - s_b)^2, in any rotation."""
    s_a, s_b, shift = np.array([1.0, 2, 0.5]), np.array([3.0, 1, 0.5]), np.array([1.0, -2, 0])
    turn = np.linalg.qr(normal(3, 3))[0]
    a, b = (with_moments(200, m, np.diag(s**2)) @ turn for m, s in ((shift, s_a), (np.zeros(3), s_b)))
    expected = (shift**2).sum() + ((s_a - s_b) ** 2).sum()
    assert frechet_distance(a, b, HOST) == pytest.approx(expected)
    assert frechet_distance(b, a, HOST) == pytest.approx(expected)
    assert frechet_distance(a, a, HOST) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_where_covariances_do_not_commute() -> None:
    """Compared with tr sqrt(A B) from the eigenvalues of the product, which is not symmetric."""
    p, q = normal(4, 4, seed=1), normal(4, 4, seed=2)
    A, B = p @ p.T + np.eye(4), q @ q.T + np.eye(4)
    a, b = with_moments(100, np.zeros(4), A), with_moments(100, np.ones(4), B, seed=5)
    expected = 4 + np.trace(A + B) - 2 * np.sqrt(np.linalg.eigvals(A @ B).real).sum()
    assert frechet_distance(a, b, HOST) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "m"), [(10, 12), (12, 10), (10, 90)])
def test_frechet_distance_of_fewer_samples_than_features(n: int, m: int) -> None:
    """From the smaller matrix, compared with the larger one and the square root of a covariance without full rank."""
    a, b = normal(n, 40), normal(m, 40, seed=1)
    A, B = np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(A)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    both = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ B @ root), 0)).sum()
    expected = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(A + B) - 2 * both
    assert frechet_distance(a, b, HOST) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(np.zeros((5, 3)), np.ones((5, 3)), HOST) == 3


def test_kernel_distance_is_its_formula() -> None:
    a, b = normal(7, 3), normal(9, 3, seed=1) + 0.5

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (x @ y / 3 + 1) ** 3

    def mean(x: np.ndarray) -> float:
        return np.mean([k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j])

    expected = mean(a) + mean(b) - 2 * np.mean([[k(x, y) for y in b] for x in a])
    assert kernel_distance(a, b, HOST) == pytest.approx(expected)
    assert kernel_distance(a, b, HOST, within_b=within(b, HOST)) == pytest.approx(expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minigan.metrics.neighbours.BLOCK", 20)
        assert kernel_distance(a, b, HOST) == pytest.approx(expected)


def test_kernel_distance_is_unbiased_and_frechet_distance_is_not() -> None:
    pairs = [(normal(20, 4, seed=2 * i), normal(20, 4, seed=2 * i + 1)) for i in range(1000)]
    kernel = np.array([kernel_distance(a, b, HOST) for a, b in pairs])
    assert abs(kernel.mean()) < 3 * kernel.std() / math.sqrt(len(kernel))
    assert np.mean([frechet_distance(a, b, HOST) for a, b in pairs[:50]]) > 0.3


# --------------------------------------------------------------------------------- precision, recall, density, coverage


def naive_prdc(real: np.ndarray, generated: np.ndarray, k: int) -> tuple[float, ...]:
    """The definitions of Naeem et al. (2020), row by row."""

    def radius(x: np.ndarray, i: int) -> float:
        return sorted(float(np.linalg.norm(x[i] - x[j])) for j in range(len(x)) if j != i)[k - 1]

    r, g = [radius(real, i) for i in range(len(real))], [radius(generated, j) for j in range(len(generated))]
    d = [[float(np.linalg.norm(x - y)) for y in generated] for x in real]
    I, J = range(len(real)), range(len(generated))
    return (
        float(np.mean([any(d[i][j] < r[i] for i in I) for j in J])),
        float(np.mean([any(d[i][j] < g[j] for j in J) for i in I])),
        sum(d[i][j] < r[i] for i in I for j in J) / (k * len(generated)),
        float(np.mean([min(d[i]) < r[i] for i in I])),
    )


@given(st.integers(8, 25), st.integers(8, 25), st.floats(0, 3), st.integers(1, 5), st.integers(0, 50))
@settings(max_examples=30)
def test_prdc_is_its_definition(n: int, m: int, shift: float, k: int, seed: int) -> None:
    real, generated = normal(n, 2, seed=seed), normal(m, 2, seed=seed + 1000) + shift
    expected = naive_prdc(real, generated, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minigan.metrics.neighbours.BLOCK", 70)
        found = prdc(real, generated, HOST, k=k)
        again = prdc(real, generated, HOST, k=k, real_radii=squared_radii(real, k, HOST))
    assert dataclasses.astuple(found) == pytest.approx(expected) == dataclasses.astuple(again)


GOLDEN = (0.4772, 0.4705, 1.0555, 0.9735)
"""Two sets of 10,000 rows from N(0, I) in 1,000 dimensions, one draw (the example of Naeem et al.'s program)."""

TOLERANCE = (0.03, 0.03, 0.1, 0.01)
"""Hubs, rows that are near to everything, make single draws differ: standard deviations of .02, .01, .07 and .003."""


def test_equal_distributions_have_known_density_and_coverage() -> None:
    """Exchangeable rows: a ball holds k of m rows on average, so density is 1, and is missed by all with chance 2^-k."""
    found = [prdc(normal(300, 3, seed=i), normal(300, 3, seed=i + 99), HOST) for i in range(30)]
    assert np.mean([f.density for f in found]) == pytest.approx(1, abs=0.02)
    assert np.mean([f.coverage for f in found]) == pytest.approx(1 - 2**-5, abs=0.005)
    for f in found:
        assert f.precision == pytest.approx(f.recall, abs=0.1)
    swapped = prdc(normal(300, 3, seed=99), normal(300, 3), HOST)
    assert (swapped.precision, swapped.recall) == (found[0].recall, found[0].precision)


@pytest.mark.slow
def test_golden_values() -> None:
    """The mean of three draws, because precision and density vary from draw to draw."""
    draws = [rng(seed).standard_normal((2, 10_000, 1000), np.float32) for seed in range(3)]
    found = np.mean([dataclasses.astuple(prdc(real, generated, HOST)) for real, generated in draws], axis=0)
    assert (abs(found - GOLDEN) < TOLERANCE).all(), found


def test_inside_means_strictly_nearer() -> None:
    """On a lattice, a row exactly at the radius is outside."""
    real = np.arange(8.0)[:, None]
    assert prdc(real, np.full((8, 1), -1.0), HOST, k=1).coverage == 0
    assert prdc(real, np.full((8, 1), -0.5), HOST, k=1) == prdc(real, np.full((8, 1), -0.25), HOST, k=1)


# -------------------------------------------------------------------------------------------------------------- Parzen


def test_log_likelihoods_are_goodfellows_formula() -> None:
    samples, x = normal(20, 3), normal(9, 3, seed=1)
    for sigma, found in zip(SIGMAS, log_likelihoods(samples, x, SIGMAS, HOST), strict=True):
        a = (x[:, None] - samples[None]) / sigma
        E = np.log(np.exp(-0.5 * (a**2).sum(axis=2)).mean(axis=1))
        np.testing.assert_allclose(found, E - 3 * np.log(sigma * np.sqrt(2 * np.pi)))


def test_sigma_is_chosen_on_the_first_thousand_validation_rows() -> None:
    samples, test = 0.3 * normal(500, 4), 0.3 * normal(200, 4, seed=1)
    validation = np.concatenate([0.3 * normal(1000, 4, seed=2), 50 + normal(500, 4)])
    found = parzen(samples, validation, test, HOST)
    means = log_likelihoods(samples, validation[:1000], SIGMAS, HOST).mean(axis=1)
    scores = log_likelihoods(samples, test, np.array([found.sigma]), HOST)[0]
    assert found.sigma == SIGMAS[means.argmax()] and found.nats == pytest.approx(scores.mean())
    assert found.error == pytest.approx(scores.std() / math.sqrt(200))
    assert [round(s, 4) for s in SIGMAS[[0, 1, -1]]] == [0.1, 0.1292, 1.0]


def test_far_away_the_log_likelihood_is_finite() -> None:
    found = log_likelihoods(np.zeros((5, 784), np.float32), np.full((2, 784), 100, np.float32), SIGMAS, HOST)
    assert np.isfinite(found).all() and found[0, 0] == pytest.approx(-0.5 * 784 * 1e4 / 0.01, rel=1e-3)


# ---------------------------------------------------------------------------------------------------------------- bins


def test_k_means_finds_clusters_and_is_the_same_every_time() -> None:
    """From random rows two centres may share a cluster, but each centre is the mean of the rows nearest to it."""
    x = np.concatenate([c + 0.1 * normal(100, 2, seed=i) for i, c in enumerate(([0, 0], [10, 0], [0, 10]))])
    centres = bins.k_means(x, 8, HOST)
    np.testing.assert_array_equal(centres, bins.k_means(x, 8, HOST))
    which = naive_distances(x, centres).argmin(axis=1)
    for i in range(8):
        np.testing.assert_allclose(centres[i], x[which == i].mean(axis=0))
    assert np.sqrt(naive_distances(x, centres).min(axis=1)).max() < 0.5
    assert bins.k_means(np.zeros((5, 2)), 5, HOST).tolist() == [[0, 0]]


def test_a_bin_differs_where_two_proportions_do() -> None:
    N, n = 1000, 500

    def z(a: int, b: int) -> float:
        s = (a + b) / (N + n)
        return abs(a / N - b / n) / math.sqrt(s * (1 - s) * (1 / N + 1 / n))

    for b in range(20, 90):
        counts, samples = np.array([100, 900]), np.array([b, n - b])
        assert bins.different_bins(counts, samples) == (2 if z(100, b) > 1.96 else 0)
    assert bins.different_bins(np.array([0, N]), np.array([0, n])) == 0


def test_as_many_bins_differ_as_chance_has_it_and_more_with_a_planted_shift() -> None:
    x = normal(20_000, 4)
    centres = bins.k_means(x[:10_000], 100, HOST)
    training = bins.shares(x[:10_000], centres, HOST)
    same = bins.different_bins(training, bins.shares(x[10_000:], centres, HOST))
    half = x[10_000:][x[10_000:, 0] > 0]
    assert training.sum() == 10_000 and same <= 15
    assert bins.different_bins(training, bins.shares(half, centres, HOST)) > 60
    assert same < bins.different_bins(training, bins.shares(x[10_000:] + 0.1, centres, HOST)) < 60


# ---------------------------------------------------------------------------------------------------------- classifier


def test_digit_kl_is_its_formula() -> None:
    real = np.repeat(np.arange(10), 10)
    assert digit_kl(real, real) == 0
    assert digit_kl(np.zeros(50, int), real) == pytest.approx(math.log(10))
    assert digit_kl(np.repeat([3, 4], 7), real) == pytest.approx(math.log(5))
    assert digit_kl(np.array([0]), np.array([1])) == math.inf


@pytest.mark.parametrize("name", features.RECIPES)
def test_the_shipped_classifiers_are_small_and_the_ones_in_the_code(name: str) -> None:
    path = Path(features.__file__).with_name(f"{name}.safetensors")
    assert path.stat().st_size < 700_000
    assert hashlib.sha256(path.read_bytes()).hexdigest() == features.RECIPES[name].sha256
    assert safetensors.numpy.load_file(path)["theta"].dtype == np.float16
    recipe, classifier = features.RECIPES[name], load_classifier(name, HOST)
    assert classifier.eye.sizes[1:] == recipe.eye and classifier.head.sizes[1:-1] == recipe.head
    assert classifier.head.sizes[-1] == features.KINDS + len(features.SPOILT) and classifier.eye.dtype == "float32"
    with pytest.raises(ValueError, match="weights, the vector has 3"):
        Classifier(recipe, HOST, np.zeros(3, np.float32))


def test_the_digits_classifier_classifies_held_out_images(backend: Ops) -> None:
    data = load("digits")
    assert data.labels is not None
    classifier = load_classifier("digits", backend)
    x = data.validation * np.float32(data.unit)
    assert classifier.accuracy(x, data.labels["validation"]) >= 0.98
    found, kinds = classifier.features(x)
    tapes = classifier.tapes(len(x))
    logits = classifier.forward(backend.asarray(x), tapes)
    np.testing.assert_allclose(backend.to_host(found), backend.to_host(tapes[1].layers[-2].y), rtol=1e-4, atol=1e-5)
    assert found.shape == (359, 64) and found.dtype == np.float64
    assert (backend.to_host(kinds) == backend.to_host(logits[:, : features.KINDS].argmax(axis=1))).all()


def test_the_classifier_sees_patches_and_its_gradient_is_that_of_its_logits() -> None:
    """im2col by hand, and both networks' gradients against differences, from a random upstream gradient in float64."""
    recipe = features.Recipe((4, 5), 3, 1, (7, 3), (6,), 0, 0, "")
    classifier, x = Classifier(recipe, HOST, dtype="float64"), rng(5).random((2, 20))
    classifier.initialise(Noise(3))
    tapes, ds = classifier.tapes(2), normal(2, 15, seed=6)
    got = classifier.forward(x, tapes).copy()
    for i, image in enumerate(x.reshape(2, 4, 5)):
        eyes = [image[r : r + 3, c : c + 3].reshape(1, 9) for r in range(2) for c in range(3)]
        seen = [classifier.eye.forward(patch, classifier.eye.tape(1)).copy() for patch in eyes]
        one = classifier.head.forward(np.concatenate(seen, axis=1), classifier.head.tape(1))
        np.testing.assert_allclose(got[i], one[0], rtol=1e-12)
    gradient = np.zeros(classifier.count)
    classifier.backward(ds, tapes, gradient)

    def loss() -> float:
        return float((classifier.forward(x, classifier.tapes(2)) * ds).sum())

    np.testing.assert_allclose(gradient, numerical_gradient(loss, classifier.theta), rtol=1e-5, atol=1e-8)


def test_an_eighth_each_is_spoilt_as_its_class_says() -> None:
    data = load("digits")
    images = data.values(data.train[:128]).reshape(-1, 8, 8)
    out = features.spoilt(images, Noise(0), 3, HOST)
    wrong = features._wrong(128)
    assert np.bincount(wrong).tolist() == [64, 16, 16, 16, 16]
    assert (out[wrong == 0] == images[wrong == 0]).all() and out.min() >= 0 and out.max() <= 1
    change = out - images
    salted, ghost, gap, blur = (change[wrong == k] for k in (1, 2, 3, 4))
    assert (salted >= 0).all() and 1 <= (salted > 0).sum(axis=(1, 2)).max() <= 5
    assert (ghost >= 0).all() and ghost.max() <= 0.6 and (ghost > 0).any(axis=(1, 2)).all()
    assert (gap <= 0).all() and (gap < 0).any(axis=(1, 2)).all() and (gap < 0).sum(axis=(1, 2)).max() <= 9
    assert roughness(out[wrong == 4]) < 0.8 * roughness(images[wrong == 4]) and abs(blur.sum(axis=0)).max() > 0
    again = features.spoilt(images, Noise(0), 3, HOST)
    assert (again == out).all() and (features.spoilt(images, Noise(0), 4, HOST) != out).any()


def test_a_classifier_that_was_changed_or_is_missing_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(features, "__file__", str(tmp_path / "features.py"))
    with pytest.raises(InputError, match="cannot be read .*install minigan again"):
        load_classifier("digits", HOST)
    (tmp_path / "digits.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="is not the file that belongs to this version"):
        load_classifier("digits", HOST)


def test_another_classifier_can_measure(tmp_path: Path) -> None:
    shipped, path = Path(features.__file__).with_name("digits.safetensors"), tmp_path / "other.safetensors"
    theta = safetensors.numpy.load_file(shipped)["theta"]
    safetensors.numpy.save_file({"theta": theta + np.float16(0.01)}, path)
    data = load("digits")
    other = Suite(data, HOST, classifier=features.read_classifier(path, "digits", HOST))
    same = Suite(data, HOST, classifier=features.read_classifier(shipped, "digits", HOST))
    x = data.values(data.train[:359])
    assert same.measure(x, quick=True) == Suite(data, HOST).measure(x, quick=True)
    assert other.measure(x, quick=True)["frechet"] != same.measure(x, quick=True)["frechet"]
    for content, words in ((b"x", "holds no classifier of digits"), (None, "cannot be read")):
        bad = tmp_path / "bad"
        bad.write_bytes(content) if content else bad.unlink()
        with pytest.raises(InputError, match=words):
            features.read_classifier(bad, "digits", HOST)
    with pytest.raises(InputError, match="holds no classifier of mnist"):
        features.read_classifier(shipped, "mnist", HOST)


def test_the_command_makes_a_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a tenth of the steps it is nearly as accurate, and training it twice gives the same bytes."""
    short = dataclasses.replace(features.RECIPES["digits"], steps=200, shift=1)
    monkeypatch.setitem(features.RECIPES, "digits", short)
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for file in files:
        assert exit_code(features.main, "--data", "digits", "-o", file) == 0
    out = capsys.readouterr().out
    assert files[0].read_bytes() == files[1].read_bytes()
    assert hashlib.sha256(files[0].read_bytes()).hexdigest() in out
    share = float(out.split("validation")[1].split("%")[0])
    assert share > 80
    assert exit_code(features.main, "--data", "digits", "-o", files[0]) == 2
    assert exit_code(features.main, "--data", "ring", "-o", tmp_path / "c") == 2
    assert exit_code(features.main, "--data", "digits", "-o", tmp_path / "none" / "c") == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, 0), (-1, 2), (2, -2)])
def test_images_are_moved_by_whole_pixels(down: int, right: int) -> None:
    x = 1 + rng().random((3, 4, 5))
    moved = features.shifted(np, x, down, right)
    for i in range(4):
        for j in range(5):
            inside = 0 <= i - down < 4 and 0 <= j - right < 5
            assert (moved[:, i, j] == (x[:, i - down, j - right] if inside else 0)).all()


def test_labels_are_needed_to_learn_them() -> None:
    with pytest.raises(InputError, match="no labels"):
        features.train_classifier(load("ring"), features.RECIPES["digits"], HOST)
    assert isinstance(load_classifier("digits", HOST), Classifier)


# --------------------------------------------------------------------------------------------------------------- suite


def own(kind: str, n: int, *shape: int, seed: int = 0) -> Data:
    """Own data, normal in every column (images: uniform)."""
    columns = () if kind == "image" else tuple(f"c{i}" for i in range(shape[0]))
    size = math.prod(shape)
    x = rng(seed).random((n, size)) if kind == "image" else 3 + 2 * normal(n, size, seed=seed)
    x = x.astype(np.float32)
    return Data("own", SPACES[kind](shape, columns), x[: n - n // 5], x[n - n // 5 :], x[:0], None, 1.0)


UNDEFINED = {"tails", "lost", "familiar"}
"""Measures that few rows, or columns in which no value is repeated, leave undefined."""


def known(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name not in UNDEFINED}


@pytest.fixture(scope="module")
def digits() -> Suite:
    return Suite(load("digits"), HOST)


def test_real_samples_measure_like_real_samples(digits: Suite) -> None:
    real = digits.real
    assert digits.m == 359 and list(real) == digits.names == names(digits.data)
    assert real["coverage"] > 0.93 and real["recall"] > 0.9 and real["precision"] > 0.9 and real["kinds"] == 10
    assert real["density"] == pytest.approx(1, abs=0.1) and real["frechet"] < 5 and real["digit_kl"] < 0.05
    assert real["memorisation"] == pytest.approx(1, abs=0.03) and real["sharpness"] == pytest.approx(1, abs=0.03)
    assert real["different_bins"] < 0.2 and real["copies"] == pytest.approx(0.01, abs=0.002)
    assert real["repeated"] < 0.05


def test_each_measure_moves_in_the_right_direction(digits: Suite) -> None:
    data, real = digits.data, digits.real
    new = digits.others
    one_kind = digits.measure(np.tile(new[(load_classifier("digits", HOST).features(new)[1] == 3)], (12, 1)))
    same = digits.measure(np.tile(new[:1], (400, 1)))
    copies = digits.measure(digits.training)
    images = np.pad(new.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    blurred = digits.measure(
        sum(images[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)).reshape(-1, 64) / 9
    )
    speckled = digits.measure(np.clip(new + 0.3 * normal(*new.shape), 0, 1).astype(np.float32))
    for bad in (one_kind, same):
        assert bad["coverage"] < 0.3 and bad["recall"] < 0.3 and bad["digit_kl"] > 1.5 and bad["kinds"] <= 2
        assert bad["frechet"] > 10 * real["frechet"] and bad["kid"] > 10 and bad["different_bins"] > 0.3
    assert same["recall"] == 0 and one_kind["precision"] > 0.9
    assert copies["memorisation"] == 0 and copies["coverage"] > 0.9 and copies["copies"] == 1
    assert blurred["sharpness"] < 0.7 < 1.2 < speckled["sharpness"]
    for bad in (blurred, speckled):
        assert bad["precision"] < real["precision"] and bad["frechet"] > 2 * real["frechet"]
    assert data.labels is not None


def test_a_quick_look_measures_the_same_but_less(digits: Suite) -> None:
    x = digits.others[:700]
    quick, whole = digits.measure(x, quick=True), digits.measure(x)
    assert set(whole) - set(quick) == {
        "spread", "missing", "different_bins", "memorisation", "texture", "repeated", "copies",
    }  # fmt: skip
    assert quick == {name: whole[name] for name in quick} and list(quick) == names(digits.data, quick=True)


def test_parzen_rises_with_blur() -> None:
    """On images with a test part: averages of real images lie in the middle of them, where the density is high."""
    x = load("digits").train * np.float32(1 / 16)
    data = Data("own", Image((8, 8)), x[:800], x[800:1100], x[1100:], None, 1.0)
    suite = Suite(data, HOST, 400)
    assert "parzen" in suite.names
    means = x[nearest_few(x[:800], x[:800], 5, HOST)].mean(axis=1)
    sharp, blurred = suite.measure(x[:800]), suite.measure(means)
    assert blurred["parzen"] > sharp["parzen"] + 2 and suite.real["parzen"] == pytest.approx(sharp["parzen"], abs=2)
    assert blurred["sharpness"] < 0.95 and sharp["sharpness"] == pytest.approx(1, abs=0.03)


def test_mixtures_are_measured_by_their_modes() -> None:
    suite = Suite(load("ring"), HOST, 1000)
    real = suite.real
    assert (real["modes"], primary(suite.data)) == (8, "coverage") and real["high_quality"] > 0.98
    assert real["mode_width"] == pytest.approx(1, abs=0.05) and real["coverage"] > 0.9
    lost = suite.measure(suite.others[suite.others[:, 0] > -0.1])
    narrow = suite.measure(np.round(suite.others, 1) + 0.5 * (suite.others - np.round(suite.others, 1)))
    assert lost["modes"] < 8 and lost["reverse_kl"] > 0.2 and lost["coverage"] < 0.8
    assert narrow["narrowest"] < 0.7 and narrow["coverage"] < real["coverage"]
    nothing = suite.measure(np.full((1000, 2), 9.0))
    assert nothing["modes"] == 0 and math.isnan(nothing["mode_width"]) and math.isnan(nothing["reverse_kl"])


@pytest.mark.parametrize(
    "data",
    [
        own("table", 600, 5),
        own("points", 600, 2),
        own("image", 300, 6, 9),
        own("image", 60, 50, 33),
        own("table", 80, 3000),
    ],
    ids=lambda data: f"{data.space.kind}{data.space.shape}",
)
def test_own_data_are_measured_by_their_columns_or_pixels(data: Data) -> None:
    suite = Suite(data, HOST)
    real = suite.real
    assert set(real) >= {"frechet", "coverage", "memorisation"} and all(map(math.isfinite, known(real).values()))
    assert not set(real) & {"digit_kl", "kinds", "modes", "parzen"} and ("sharpness" in real) == (
        data.space.kind == "image"
    )
    assert real["memorisation"] == pytest.approx(1, abs=0.15)
    copies = suite.measure(suite.training)
    assert copies["memorisation"] == 0
    far = suite.measure(suite.others + 100 * (data.space.kind != "image") + 1 * (data.space.kind == "image"))
    assert far["coverage"] == 0 and far["frechet"] > 5 * real["frechet"]
    assert suite.features(suite.reference)[0].shape[1] <= 1024


def test_wide_tables_are_folded_with_their_distances_kept_on_average() -> None:
    suite = Suite(own("table", 100, 3000), HOST)
    plain, folded = suite.plain(suite.reference), suite.features(suite.reference)[0]
    a, b = (squared_radii(x, 1, HOST) for x in (plain, folded))
    np.testing.assert_allclose(a, b, rtol=0.25)


def test_large_images_are_shrunk_by_averaging() -> None:
    suite = Suite(own("image", 50, 64, 100), HOST)
    x = rng().random((3, 6400)).astype(np.float32)
    plain = suite.plain(x).reshape(3, 32, 32)
    assert plain[1, 0, 0] == pytest.approx(x.reshape(3, 64, 100)[1, :2, :3].mean())
    assert plain[2, 31, 31] == pytest.approx(x.reshape(3, 64, 100)[2, -2:, 96:].mean())
    assert np.ptp(suite.plain(np.ones((1, 6400), np.float32))) < 1e-6


def test_constant_and_enormous_columns_do_not_matter() -> None:
    data = own("table", 400, 4)
    for rows in (data.train, data.validation):
        rows[:, 1] = 7.3
        rows[:, 2] *= 1e28
    suite = Suite(data, HOST)
    assert suite.real["coverage"] > 0.8 and all(map(math.isfinite, known(suite.real).values()))
    worst = suite.measure(np.full((80, 4), 3e38, np.float32))
    assert worst["coverage"] == 0


def test_too_little_held_out_and_samples_that_are_not_finite_are_refused(digits: Suite) -> None:
    with pytest.raises(InputError, match="own: 9 samples are held out, too few .* at least 10 are needed"):
        Suite(own("table", 45, 3), HOST)
    x = digits.others[:400].copy()
    x[3, 5], x[7] = np.inf, np.nan
    with pytest.raises(DivergenceError, match="2 of 400 samples hold a number that is not finite"):
        digits.measure(x)


def test_what_was_trained_on_everything_has_nothing_held_out() -> None:
    suite = Suite(load("digits"), HOST, all_data=True)
    assert "memorisation" not in suite.names and not suite.held_out and "memorisation" not in suite.real
    assert "memorisation" in Suite(load("ring"), HOST, 100, all_data=True).names


def test_the_best_value_costs_least() -> None:
    assert cost("frechet", 1) < cost("frechet", 2) and cost("coverage", 0.9) < cost("coverage", 0.8)
    assert cost("memorisation", 0.98) < cost("memorisation", 1.1)
    assert {m.better for m in MEASURES.values()} == {LOW, HIGH, ONE, REAL}


@given(st.integers(0, 1000))
@settings(max_examples=10)
def test_the_order_of_samples_does_not_matter(seed: int) -> None:
    suite = Suite(own("table", 200, 3), HOST)
    x = normal(40, 3, seed=seed).astype(np.float32)
    a, b = (suite.measure(rows) for rows in (x, x[rng(seed).permutation(40)]))
    assert a == pytest.approx(b, nan_ok=True)
    assert all(0 <= a[name] <= 1 for name in ("precision", "recall", "coverage", "different_bins"))


# ------------------------------------------------------------------------------------------------------------ on a GPU


def stand_in() -> Ops:
    """The stand-in for CuPy, with its linear algebra: it refuses host arrays, as CuPy does."""
    device, _ = fake_cupy()
    xp: Any = device.xp
    xp.linalg = SimpleNamespace(
        eigh=lambda a: tuple(map(xp.asarray, np.linalg.eigh(a.get()))),
        eigvalsh=lambda a: xp.asarray(np.linalg.eigvalsh(a.get())),
    )
    return device


@pytest.mark.parametrize("name", ["digits", "ring"])
def test_the_suite_gives_the_same_numbers_on_the_stand_in(name: str) -> None:
    host, device = (Suite(load(name), backend, 300) for backend in (HOST, stand_in()))
    x = host.others[:300]
    assert device.measure(x) == pytest.approx(host.measure(x)) and device.real == pytest.approx(host.real)


@pytest.mark.parametrize("kind", ["signal", "clip", "text"])
def test_the_suite_of_other_kinds_gives_the_same_numbers_on_the_stand_in(tmp_path: Path, kind: str) -> None:
    r = np.random.default_rng(0)
    if kind == "signal":
        data = load(r.normal(size=(150, 2, 40)), sample_rate=8)
    elif kind == "clip":
        data = load(r.integers(0, 256, (150, 4, 7, 6)).astype(np.uint8))
    else:
        (tmp_path / "words.txt").write_text("".join("".join(r.choice(list("abc"), 6)) + "\n" for _ in range(150)))
        data = load(tmp_path / "words.txt")
    host, device = (Suite(data, backend) for backend in (HOST, stand_in()))
    x = host.others[:30]
    assert device.measure(x) == pytest.approx(host.measure(x)) and device.real == pytest.approx(host.real)


@pytest.mark.gpu
def test_the_suite_gives_the_same_numbers_on_a_gpu() -> None:
    host, device = (Suite(load("digits"), get_ops(name), 300) for name in ("numpy", "cupy"))
    assert device.real == pytest.approx(host.real, rel=1e-3, abs=1e-3)
