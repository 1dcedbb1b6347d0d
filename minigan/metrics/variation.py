"""How much samples vary: neighbouring pixels of an image, and samples among themselves."""

from __future__ import annotations

import numpy as np

from minigan.backends import Array, Ops

LEAST = 1e-30
"""Both are at least this, so that they can be divided by."""


def contrast(images: np.ndarray) -> float:
    """Mean squared difference of pixels that are neighbours in a row or a column, of images (n, h, w)."""
    squares = [float(np.square(np.diff(images, axis=a)).mean()) for a in (1, 2) if images.shape[a] > 1]
    return max(sum(squares), LEAST)


def mean_distance(features: Array, ops: Ops) -> float:
    """Mean distance of features (n, F) from their mean; not their variance, which a few far ones decide."""
    xp = ops.xp
    return max(float(xp.sqrt(xp.square(features - features.mean(axis=0)).sum(axis=1)).mean()), LEAST)
