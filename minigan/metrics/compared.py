"""What rows are compared by where no classifier says it: one class per way, made from a data set.

rows     rows (k, size) in data units as they are compared, on the host
grain    how far features may be from where they should be, because the values that they are made of were rounded
primary  the measure by which the best of several models is chosen, unless another is asked for
"""

from __future__ import annotations

import math
from typing import ClassVar, Protocol

import numpy as np

from minigan.backends import Array, Ops
from minigan.backends.noise import METRIC, Noise
from minigan.data import Data
from minigan.data.scaling import origin, varies

SIDE, COLUMNS = 32, 1024
"""Larger images are shrunk to this side and wider tables folded to so many columns before they are compared."""


class Compared(Protocol):
    """How one kind of data is compared; `whole`: it takes all training rows to double precision at once."""

    primary: ClassVar[str]
    whole: ClassVar[bool]

    def __init__(self, data: Data) -> None: ...

    def rows(self, x: np.ndarray) -> np.ndarray: ...

    def grain(self, features: Array, ops: Ops) -> float: ...


class Pixels:
    """Images by their pixels, float32, in blocks averaged to 32 x 32 where they are larger; each channel of a pixel counts."""

    primary: ClassVar[str] = "frechet"
    whole: ClassVar[bool] = False

    def __init__(self, data: Data) -> None:
        self.shape = data.space.shape

    def rows(self, x: np.ndarray) -> np.ndarray:
        images = x.reshape(-1, *self.shape)
        for axis, side in enumerate(self.shape[:2], 1):
            if side > SIDE:
                edges = np.arange(SIDE) * side // SIDE
                counts = np.diff(edges, append=side).astype(np.float32)
                images = np.add.reduceat(images, edges, axis=axis)
                images /= counts.reshape(-1, *[1] * (images.ndim - 1 - axis))
        return images.reshape(len(x), -1)

    def grain(self, features: Array, ops: Ops) -> float:
        """Of grey values, or of what a network makes of them."""
        return float(np.finfo(np.float32).eps) * math.sqrt(float(ops.xp.square(features).sum(axis=1).max()))


class Columns:
    """Columns in standard deviations of the training part, float64; beyond a billion they are cut off.

    The values of a category share one scale, so that it counts as much as a number, whatever the shares of its levels.
    """

    primary: ClassVar[str] = "coverage"
    whole: ClassVar[bool] = True

    def __init__(self, data: Data) -> None:
        self.train, zero = data.train, origin(data.train)
        rows = data.train - zero  # float64
        deviation, mean = rows.std(axis=0), rows.mean(axis=0)
        self.mean = zero + mean
        deviation = np.where(varies(mean, deviation, data.train.dtype), deviation, 1.0)
        shared = data.space.scales(data.train)
        self.deviation = np.where(shared > 0, shared, deviation)

    def rows(self, x: np.ndarray) -> np.ndarray:
        return np.clip((x - self.mean) / self.deviation, -1e9, 1e9)

    def grain(self, features: Array, ops: Ops) -> float:
        """Tenths are no binary fractions, so equal steps of a column are equal but for rounding; whole numbers are exact."""
        train = self.train
        whole = (train == np.rint(train)).all(axis=0)
        eps = np.where(whole, np.finfo(np.float64).eps, np.finfo(train.dtype).eps)
        return float(np.linalg.norm(eps / 2 * np.abs(train).max(axis=0) / self.deviation))


def folded(rows: Array, ops: Ops) -> Array:
    """Rows (k, d), wide ones folded in place: every column is added, with a fixed random sign, to one of 1,024 (Weinberger et
    al. 2009), which keeps distances on average."""
    d = rows.shape[1]
    if d <= COLUMNS:
        return rows
    signs = (Noise(0).integers(d, METRIC, 1) % np.uint64(2)).astype(np.float64) * 2 - 1
    rows *= ops.asarray(signs)
    result = ops.zeros((len(rows), COLUMNS), rows.dtype)
    for lo in range(0, d, COLUMNS):
        part = rows[:, lo : lo + COLUMNS]
        result[:, : part.shape[1]] += part
    return result
