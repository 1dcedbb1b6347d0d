"""Measures of what is seen from near: images by their pixels, tables by their columns; each compared with its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minigan.backends import get_ops
from minigan.data.spaces import Table
from minigan.metrics import columns, local
from minigan.metrics.variation import deviation, roughness

HOST = get_ops()
IMAGES = arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    elements=st.floats(0, 1, width=16),
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ------------------------------------------------------------------------------------------------------------- images


@given(IMAGES)
def test_specks_and_faint_strokes_are_counted_pixel_by_pixel(images: np.ndarray) -> None:
    lone = faint = 0
    n, h, w = images.shape
    for image in images:
        for i in range(h):
            for j in range(w):
                around = [
                    image[a, b] if 0 <= a < h and 0 <= b < w else np.float32(0)
                    for a in (i - 1, i, i + 1)
                    for b in (j - 1, j, j + 1)
                    if (a, b) != (i, j)
                ]
                lone += image[i, j] - max(around) > local.LONE
                faint += image[i, j] > local.FAINT and max(*around, image[i, j]) < local.BRIGHT
    assert local.specks(images) == lone / n
    assert local.faint(images) == pytest.approx(faint / images.size)


def test_one_white_pixel_is_a_speck_and_two_beside_each_other_are_none() -> None:
    image = np.zeros((1, 6, 6), np.float32)
    assert local.specks(image) == 0 == local.faint(image)
    image[0, 0, 5] = 1
    assert local.specks(image) == 1
    image[0, 1, 4] = 0.7
    assert local.specks(image) == 0
    image[...] = 0
    image[0, 2:4, 1:3] = 0.3
    assert local.specks(image) == 0 and local.faint(image) == 4 / 36


@given(IMAGES)
def test_centres_are_means_of_positions_weighted_by_brightness(images: np.ndarray) -> None:
    _, h, w = images.shape
    for centre, image in zip(local.centres(images), images.astype(float), strict=True):
        if image.sum() == 0:
            assert centre.tolist() == [(h - 1) / 2, (w - 1) / 2]
        else:
            rows, columns_ = np.indices((h, w))
            np.testing.assert_allclose(
                centre, [(image * rows).sum(), (image * columns_).sum()] / image.sum(), atol=1e-6
            )


def test_a_move_by_two_pixels_moves_the_centre_by_two() -> None:
    image = np.zeros((1, 9, 9), np.float32)
    image[0, 2:5, 3:6] = rng().random((3, 3))
    moved = np.roll(image, (2, -1), axis=(1, 2))
    np.testing.assert_allclose(local.centres(moved) - local.centres(image), [[2, -1]], atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 9), (5, 5), (2, 7), (1, 1)])
def test_texture_is_the_answer_to_each_filter_at_each_place(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = rng(1).random((7, *shape)).astype(np.float32)
    whole = local.texture(images, HOST)
    monkeypatch.setattr(local, "BLOCK", 3)
    np.testing.assert_allclose(local.texture(images, HOST), whole, rtol=1e-4)
    assert whole.shape == (7, 2 * local.FILTERS) and np.isfinite(whole).all()
    assert (
        whole[:, : local.FILTERS] <= whole[:, local.FILTERS :] * (1 + 1e-6) + 1e-9
    ).all()  # a mean and a root mean square
    bright = local.texture(np.clip(images / 2 + 0.5, 0, 1), HOST)
    np.testing.assert_allclose(bright, whole / 2, rtol=1e-3, atol=1e-4)  # blind to brightness, true to contrast


def test_patches_are_those_that_slicing_gives() -> None:
    image = np.arange(30).reshape(5, 6)
    found = image.reshape(-1)[local.patch_pixels((5, 6), (2, 3), 2)]
    expected = [image[i : i + 2, j : j + 3].reshape(-1) for i in (0, 2) for j in (0, 2)]
    np.testing.assert_array_equal(found, expected)


def test_sharpness_is_blind_to_contrast_and_contrast_to_order() -> None:
    images = rng(2).random((20, 6, 7))
    assert roughness(images) == pytest.approx(roughness(0.3 * images)) and deviation(0.3 * images) == pytest.approx(
        0.3 * deviation(images)
    )
    squares = [((images[:, 1:] - images[:, :-1]) ** 2).mean(), ((images[:, :, 1:] - images[:, :, :-1]) ** 2).mean()]
    assert roughness(images) == pytest.approx(sum(squares) / images.var())
    assert math.isfinite(roughness(np.zeros((2, 3, 3)))) and math.isfinite(roughness(np.zeros((2, 1, 1))))


# ------------------------------------------------------------------------------------------------------------- tables

NUMBERS = st.sampled_from([-2.0, 0.0, 0.5, 1.0, 7.0])
COLUMN = st.lists(NUMBERS, min_size=1, max_size=9)


@given(COLUMN, COLUMN)
def test_shapes_are_the_largest_difference_of_the_shares_up_to_a_value(a: list[float], b: list[float]) -> None:
    x, y = np.array(a)[:, None], np.array(b)[:, None]
    (found,) = columns.shapes(Table((1,), ("a",)), x, y)
    assert found == pytest.approx(max(abs((x <= v).mean() - (y <= v).mean()) for v in a + b))


def test_correlations_are_pearsons() -> None:
    x = rng(3).normal(size=(200, 4))
    x[:, 1] += x[:, 0]
    y = rng(4).normal(size=(100, 4))
    expected = np.abs(np.corrcoef(x.T) - np.corrcoef(y.T)).max()
    assert columns.correlations(x, y) == pytest.approx(expected) and columns.correlations(x, x) == 0
    y[:, 2] = 7.3  # a constant column has no correlation
    assert 0 < columns.correlations(x, y) < 1


def test_tails_are_the_share_beyond_the_quantiles() -> None:
    x, y = rng(5).normal(size=(2000, 3)), rng(6).normal(size=(5000, 3))
    assert columns.tails(x, y) == pytest.approx(1, abs=0.15)
    assert columns.tails(x, np.clip(y, -1.5, 1.5)) == 0 and columns.tails(x, 2 * y) > 4
    assert math.isnan(columns.tails(x[:200], y)) and math.isnan(columns.tails(np.ones((900, 2)), y[:, :2]))


def test_a_category_is_lost_where_hardly_any_row_has_it() -> None:
    real = np.repeat([0.0, 1, 2, 3], [50, 30, 15, 5])[:, None]
    assert columns.lost(real, real) == 0
    assert columns.lost(real, real[real[:, 0] != 2]) == 0.15
    assert columns.lost(real, real[real[:, 0] != 3]) == 0  # five rows are too few to tell
    assert columns.lost(real, real + 0.01) == 0.95
    assert math.isnan(columns.lost(rng().random((100, 2)), real.repeat(2, axis=1)))


def test_values_are_familiar_where_training_rows_have_them() -> None:
    training = np.c_[np.arange(100) % 7, rng(7).random(100)]
    real, made = training[:30].copy(), training[30:60].copy()
    assert columns.familiar(training, np.c_[real[:, 0], rng(8).random(30)], made) == 1
    made[:15, 0] += 0.25
    assert columns.familiar(training, np.c_[real[:, 0], rng(8).random(30)], made) == 0.5
    assert math.isnan(columns.familiar(training[:, 1:], rng(8).random((30, 1)), made[:, 1:]))
