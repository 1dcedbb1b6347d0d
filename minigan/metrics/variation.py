"""How much samples vary: neighbouring pixels of an image, and samples among themselves."""

from __future__ import annotations

import numpy as np

from minigan.backends import Array, Ops

LEAST = 1e-30
"""All are at least this, so that they can be divided by."""


def roughness(images: np.ndarray) -> float:
    """Mean squared difference of pixels that are neighbours in a row or a column, of images (n, h, w) or (n, h, w, 3), over the
    variance of all pixels: the same for brighter or fainter images. Each channel counts as a pixel."""
    squares = [float(np.square(np.diff(images, axis=a)).mean()) for a in (1, 2) if images.shape[a] > 1]
    return max(sum(squares), LEAST) / deviation(images) ** 2


def motion(clips: np.ndarray) -> float:
    """Mean squared difference of a pixel in frames that follow each other, of clips (n, t, h, w), over the variance of all pixels;
    0 where nothing moves, or there is one frame."""
    moved = float(np.square(np.diff(clips, axis=1)).mean()) if clips.shape[1] > 1 else 0.0
    return moved / deviation(clips) ** 2


def deviation(images: np.ndarray) -> float:
    """Standard deviation of all pixels of all images."""
    return max(float(images.std(dtype=np.float64)), LEAST)


def mean_distance(features: Array, ops: Ops) -> float:
    """Mean distance of features (n, F) from their mean; not their variance, which a few far ones decide."""
    xp = ops.xp
    return max(float(xp.sqrt(xp.square(features - features.mean(axis=0)).sum(axis=1)).mean()), LEAST)
