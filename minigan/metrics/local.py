"""What an image is like from near: lone pixels, faint strokes, place and texture. No training; any images in [0, 1], grey (n, h, w)
or in colour (n, h, w, 3).

Features of a network say whether an image looks like a digit. They overlook a white dot, the ghost of a stroke and a move
by one pixel, which anybody sees.
"""

from __future__ import annotations

import numpy as np

from minigan.backends import Array, Ops
from minigan.backends.noise import METRIC, Noise

LONE = 0.4
"""By how much a lone pixel is brighter than each of its neighbours. One real image of MNIST in 300 has one."""

FAINT, BRIGHT = 0.1, 0.5
"""A pixel between these is faint; beside it, in a real drawing, is a bright one."""

FILTERS, SIDE = 32, 5
"""Random filters of texture, and their side in pixels (all of a smaller image)."""

BLOCK, VALUES = 500, 500 * 24 * 24 * 25
"""Images filtered at a time, and values of their patches: those of 500 images of 28 x 28."""

PLACES = 128
"""Patches in a row or a column of a large image, evenly spaced."""


def specks(images: np.ndarray) -> float:
    """Lone bright pixels an image: those that are brighter than all their eight neighbours by more than `LONE`, in any channel."""
    lone = images - _brightest(images, own=False) > LONE
    return float(lone.reshape(*images.shape[:3], -1).any(axis=3).sum() / len(images))


def faint(images: np.ndarray) -> float:
    """The share of pixels that are faint, and all whose neighbours are less than bright: ghosts of strokes. A pixel in colour is
    as bright as its brightest channel."""
    images = images.max(axis=3) if images.ndim == 4 else images
    return float(((images > FAINT) & (_brightest(images, own=True) < BRIGHT)).mean())


def _brightest(images: np.ndarray, *, own: bool) -> np.ndarray:
    """The brightest of the neighbours of each pixel, with the pixel itself or without; outside an image is black."""
    n, h, w, *channels = images.shape
    wide = np.zeros((n, h + 2, w + 2, *channels), images.dtype)
    wide[:, 1:-1, 1:-1] = images
    result = np.zeros_like(images) if not own else images.copy()
    for down in range(3):
        for right in range(3):
            if (down, right) != (1, 1):
                np.maximum(result, wide[:, down : down + h, right : right + w], out=result)
    return result


def centres(images: np.ndarray) -> np.ndarray:
    """The centre of brightness of each image, in pixels (n, 2), float64; the middle of a black one.

    c = sum_p p x_p / sum_p x_p,    p = (row, column),    x_p the mean of a pixel's channels
    """
    images = images.mean(axis=3) if images.ndim == 4 else images
    n, h, w = images.shape
    mass = images.sum(axis=(1, 2), dtype=np.float64)
    rows = images.sum(axis=2, dtype=np.float64) @ np.arange(h)
    columns = images.sum(axis=1, dtype=np.float64) @ np.arange(w)
    middle = np.tile([(h - 1) / 2, (w - 1) / 2], (n, 1))
    return np.divide(np.stack([rows, columns], axis=1), mass[:, None], out=middle, where=mass[:, None] > 0)


def patch_pixels(shape: tuple[int, int], patch: tuple[int, int], stride: int = 1) -> np.ndarray:
    """The numbers (P, p q) of the pixels of every patch (p, q), in an image (h, w) that is stored row by row."""
    (h, w), (p, q) = shape, patch
    corner = np.arange(0, h - p + 1, stride)[:, None] * w + np.arange(0, w - q + 1, stride)
    inside = np.arange(p)[:, None] * w + np.arange(q)
    return corner.reshape(-1, 1) + inside.reshape(1, -1)


def texture(images: np.ndarray, ops: Ops) -> Array:
    """How strongly each image answers random filters (n, 2 FILTERS), float64: the mean and the root mean square, over all
    places, of |patch . filter|, in percent. A filter has mean 0 in each channel, so that a plain colour is no answer, and length
    1."""
    xp, (h, w, *channels) = ops.xp, images.shape[1:]
    pixels = patch_pixels((h, w), (min(SIDE, h), min(SIDE, w)), stride=max(1, max(h, w) // PLACES))
    places, size = pixels.shape
    weights = np.empty((size, *channels, FILTERS), np.float32)
    Noise(0).normal(weights.reshape(-1, FILTERS), METRIC, 2)
    weights -= weights.mean(axis=0)
    weights = weights.reshape(-1, FILTERS)
    weights /= np.maximum(np.linalg.norm(weights, axis=0), np.finfo(np.float32).tiny)
    filters, pixels = ops.asarray(weights), ops.asarray(pixels)
    result = xp.empty((len(images), 2 * FILTERS), xp.float64)
    step = max(1, min(BLOCK, VALUES // (places * len(weights))))
    for lo in range(0, len(images), step):
        x = ops.asarray(images[lo : lo + step].reshape(-1, h * w, *channels).astype(np.float32))
        answers = abs(x[:, pixels].reshape(len(x), places, -1) @ filters)  # (k, P, FILTERS)
        result[lo : lo + step, :FILTERS] = 100 * answers.mean(axis=1)
        result[lo : lo + step, FILTERS:] = 100 * xp.sqrt(xp.square(answers).mean(axis=1))
    return result
