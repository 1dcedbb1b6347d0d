"""Features of what no classifier exists for: what fixed random weights make of signals, clips and text.

Nobody trained these networks, so they know nothing of what people see, hear or read. But distributions that differ have other means
and covariances in their features, in which products of inputs have a part.

    phi(z) = max(z, z / 5),    weights from N(0, 1), always the same ones
"""

from __future__ import annotations

import math

import numpy as np

from minigan.backends import Array, Ops
from minigan.backends.noise import METRIC, Noise

UNITS = 256, 64
"""Units of the layers for signals."""

PATCH, STRIDE, FILTERS = (2, 5, 5), (1, 2, 2), 32
"""Frames, rows and columns of the patches of clips, and steps from one to the next; units for each patch."""

TRIPLES = 64
"""Units for every three neighbouring letters."""

FIRST, PATCHES, LETTERS = 3, 6, 5
"""Where the weights stand in the stream of random numbers: of layers (two of them), of patches and of letters."""

BLOCK = 1 << 20
"""Values worked on at a time."""


def of_levels(x: Array, ops: Ops) -> Array:
    """Of rows x (n, d) that are about 0 and about 1 large: (n, UNITS[-1]), float64.

    y = phi(phi(x W_1) W_2),    W over the square root of its rows
    """
    for i, units in enumerate(UNITS):
        x = x.astype(ops.xp.float64) @ (_weights((x.shape[1], units), FIRST + i, ops) / math.sqrt(x.shape[1]))
        x = _phi(x, ops)
    return x


def of_clips(x: np.ndarray, ops: Ops) -> Array:
    """Of clips x (n, t, h, w): the mean of phi(patch W) over the places in each half of time, height and width.

    (n, 8 FILTERS), float64.
    """
    n, *shape = x.shape
    patch = [min(a, b) for a, b in zip(PATCH, shape, strict=True)]
    starts = [np.arange(0, side - p + 1, step) for side, p, step in zip(shape, patch, STRIDE, strict=True)]
    places = _numbers(starts, shape)[:, None] + _numbers([np.arange(p) for p in patch], shape)
    halves = _numbers([2 * at // (at[-1] + 1) for at in starts], [2, 2, 2])
    pool = (np.arange(8)[:, None] == halves).astype(np.float64)
    pool /= np.maximum(pool.sum(axis=1, keepdims=True), 1)
    W, pixels, pools = _weights((places.shape[1], FILTERS), PATCHES, ops), ops.asarray(places), ops.asarray(pool)
    result = ops.xp.empty((n, 8 * FILTERS), ops.xp.float64)
    step = max(1, BLOCK // places.size)
    for lo in range(0, n, step):
        rows = ops.asarray(x[lo : lo + step].reshape(-1, math.prod(shape)).astype(np.float64))
        result[lo : lo + step] = (pools @ _phi(rows[:, pixels] @ W, ops)).reshape(-1, 8 * FILTERS)
    return result


def of_lines(codes: np.ndarray, end: int, ops: Ops) -> Array:
    """Of lines of text as places in an alphabet (n, L), end signs behind them: (n, 2 TRIPLES), float64.

    sum_l phi(h_l) / sqrt(3 L),    sum_l (l / L) phi(h_l) / sqrt(3 L),    h_l = a[x_l-1] + b[x_l] + c[x_l+1]
    """
    n, length = codes.shape
    a, b, c = (_weights((3 * (end + 1), TRIPLES), LETTERS, ops)[i * (end + 1) : (i + 1) * (end + 1)] for i in range(3))
    place = ops.asarray(np.stack([np.ones(length), np.arange(length) / length]) / math.sqrt(3 * length))
    codes = np.pad(codes, ((0, 0), (1, 1)), constant_values=end)
    result = ops.xp.empty((n, 2 * TRIPLES), ops.xp.float64)
    step = max(1, BLOCK // (length * TRIPLES))
    for lo in range(0, n, step):
        x = ops.asarray(codes[lo : lo + step])
        h = a[x[:, :-2]] + b[x[:, 1:-1]] + c[x[:, 2:]]
        result[lo : lo + step] = (place @ _phi(h, ops)).reshape(-1, 2 * TRIPLES)
    return result


def _phi(z: Array, ops: Ops) -> Array:
    return ops.xp.maximum(z, z / 5)


def _weights(shape: tuple[int, int], step: int, ops: Ops) -> Array:
    """Random weights of this shape, float64."""
    weights = np.empty(shape, np.float32)
    Noise(0).normal(weights, METRIC, step)
    return ops.asarray(weights.astype(np.float64))


def _numbers(axes: list[np.ndarray], shape: list[int]) -> np.ndarray:
    """The flat numbers of all combinations of places along the three axes of an array of this shape."""
    a, b, c = np.meshgrid(*axes, indexing="ij")
    return ((a * shape[1] + b) * shape[2] + c).reshape(-1)
