"""What rows are compared by where no classifier says it: one class per way, made from a data set.

rows     rows (k, size) in data units as they are compared, on the host: by these, samples are near to training rows
features what distances and neighbourhoods among samples are measured in, on the backend
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
from minigan.data.spaces import Text
from minigan.metrics import untrained
from minigan.metrics.spectra import FLOOR, LEAST, spectrogram

SIDE, COLUMNS = 32, 1024
"""Larger images are shrunk to this side and wider tables folded to so many columns before they are compared."""

LOOKED_AT = 1000
"""Training signals by whose mean and spread the spectrograms of others are moved and scaled, about."""


class Compared(Protocol):
    """How one kind of data is compared; `whole`: it takes all training rows to double precision at once."""

    primary: ClassVar[str]
    whole: ClassVar[bool]

    def __init__(self, data: Data) -> None: ...

    def rows(self, x: np.ndarray) -> np.ndarray: ...

    def features(self, x: np.ndarray, ops: Ops) -> Array: ...

    def grain(self, features: Array, ops: Ops) -> float: ...


class Rows:
    """What is compared by its rows."""

    def rows(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def features(self, x: np.ndarray, ops: Ops) -> Array:
        """The rows (k, F), float64, wide ones folded."""
        return folded(ops.asarray(self.rows(x)).astype(ops.xp.float64), ops)


class Pixels(Rows):
    """Images by their pixels, float32, in blocks averaged to 32 x 32 where they are larger; each channel of a pixel counts."""

    primary: ClassVar[str] = "frechet"
    whole: ClassVar[bool] = False
    shrunk: ClassVar[int] = 2
    """Axes along which blocks are averaged."""

    def __init__(self, data: Data) -> None:
        self.shape = data.space.shape

    def rows(self, x: np.ndarray) -> np.ndarray:
        images = x.reshape(-1, *self.shape)
        for axis, side in enumerate(self.shape[: self.shrunk], 1):
            if side > SIDE:
                edges = np.arange(SIDE) * side // SIDE
                counts = np.diff(edges, append=side).astype(np.float32)
                images = np.add.reduceat(images, edges, axis=axis)
                images /= counts.reshape(-1, *[1] * (images.ndim - 1 - axis))
        return images.reshape(len(x), -1)

    def grain(self, features: Array, ops: Ops) -> float:
        """Of grey values, or of what a network makes of them."""
        return _rounding(features, ops)


class Frames(Pixels):
    """Clips by the pixels of all their frames; of many frames, neighbouring ones are averaged as well. Their features are what
    fixed random weights make of patches of two frames, so that what moves otherwise is far, and what is a pixel aside is near."""

    shrunk: ClassVar[int] = 3

    def features(self, x: np.ndarray, ops: Ops) -> Array:
        return untrained.of_clips(self.rows(x).reshape(-1, *(min(side, SIDE) for side in self.shape)), ops)


class Columns(Rows):
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


class Waves:
    """Signals by their values, float32, each channel moved by its mean and in its standard deviations; their features are what a
    fixed random network makes of the spectrogram: two signals that sound alike are near, whatever the phase of their waves."""

    primary: ClassVar[str] = "frechet"
    whole: ClassVar[bool] = True

    def __init__(self, data: Data) -> None:
        self.shape = channels, t = data.space.shape
        means = data.train.mean(axis=0, dtype=np.float64).reshape(channels, t).mean(axis=1)
        self.mean = np.repeat(means, t)
        deviation = data.space.scales(data.train)
        self.deviation = np.where(varies(self.mean, deviation, data.train.dtype), deviation, 1.0)
        some = data.train[:: max(1, len(data.train) // LOOKED_AT)]
        power = self._spectrogram(data.values(some))
        self.floor = FLOOR * max(float(power.max()), LEAST)
        levels = np.log(power + self.floor)
        self.level, self.range = levels.mean(axis=0), max(float(levels.std()), LEAST)

    def rows(self, x: np.ndarray) -> np.ndarray:
        y = x - self.mean  # float64
        y /= self.deviation
        return np.clip(y, -1e9, 1e9, out=y).astype(np.float32)

    def _spectrogram(self, x: np.ndarray) -> np.ndarray:
        return spectrogram(self.rows(x).reshape(-1, *self.shape))

    def features(self, x: np.ndarray, ops: Ops) -> Array:
        levels = np.log(self._spectrogram(x) + self.floor)
        return untrained.of_levels(ops.asarray((levels - self.level) / self.range), ops)

    def grain(self, features: Array, ops: Ops) -> float:
        return _rounding(features, ops)


class Letters(Rows):
    """Lines of text by their letters, position by position; their features are what fixed random weights make of every three
    neighbouring letters, summed over the line and once more by place, so that a line moved by a letter is still near."""

    primary: ClassVar[str] = "trigrams"
    whole: ClassVar[bool] = False

    def __init__(self, data: Data) -> None:
        assert isinstance(data.space, Text)
        self.space = data.space

    def rows(self, x: np.ndarray) -> np.ndarray:
        return x.astype(np.float32, copy=False)

    def features(self, x: np.ndarray, ops: Ops) -> Array:
        return untrained.of_lines(self.space.codes(x), len(self.space.alphabet), ops)

    def grain(self, features: Array, ops: Ops) -> float:
        return 0.0  # the same line has the same features


def _rounding(features: Array, ops: Ops) -> float:
    """How far features are from where they should be that were computed from numbers in float32."""
    return float(np.finfo(np.float32).eps) * math.sqrt(float(ops.xp.square(features).sum(axis=1).max()))


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
