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
from minigan.metrics.spectra import FLOOR, LEAST, spectrogram

SIDE, COLUMNS = 32, 1024
"""Larger images are shrunk to this side and wider tables folded to so many columns before they are compared."""

PATCH, STRIDE, FILTERS = (2, 5, 5), (1, 2, 2), 32
"""Frames, rows and columns of the patches of a clip, and steps from one to the next; random numbers for each patch."""

TRIPLES, BLOCK = 64, 1 << 20
"""Random numbers for every three letters of a text; values worked on at a time."""

UNITS, LOOKED_AT = (256, 64), 1000
"""Units of the layers of the random network; training rows whose mean and spread its inputs are moved and scaled by, about."""


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
        """The mean of phi(patch W) over the places in each half of time, height and width: (k, 8 FILTERS), float64."""
        xp, shape = ops.xp, tuple(min(side, SIDE) for side in self.shape)
        patch = tuple(min(a, b) for a, b in zip(PATCH, shape, strict=True))
        starts = [np.arange(0, side - p + 1, step) for side, p, step in zip(shape, patch, STRIDE, strict=True)]
        strides = shape[1] * shape[2], shape[2], 1
        corners, inside = (
            sum(np.ix_(*(numbers * stride for numbers, stride in zip(axes, strides, strict=True)))).reshape(-1)  # type: ignore
            for axes in (starts, [np.arange(p) for p in patch])
        )
        halves = np.stack(np.meshgrid(*(2 * at // (at[-1] + 1) for at in starts), indexing="ij")).reshape(3, -1)
        pool = (np.arange(8)[:, None] == halves.T @ [4, 2, 1]).astype(np.float64)
        pool /= np.maximum(pool.sum(axis=1, keepdims=True), 1)
        weights = np.empty((len(inside), FILTERS), np.float32)
        Noise(0).normal(weights, METRIC, 6)
        rows, result = self.rows(x), xp.empty((len(x), 8 * FILTERS), xp.float64)
        places, filters, pools = (ops.asarray(a) for a in (corners[:, None] + inside, weights.astype(np.float64), pool))
        step = max(1, BLOCK // places.size)
        for lo in range(0, len(x), step):
            block = ops.asarray(rows[lo : lo + step].astype(np.float64))
            answers = block[:, places] @ filters
            result[lo : lo + step] = (pools @ xp.maximum(answers, answers / 5)).reshape(-1, 8 * FILTERS)
        return result


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
    whole: ClassVar[bool] = False

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
        return np.clip((x - self.mean) / self.deviation, -1e9, 1e9).astype(np.float32)

    def _spectrogram(self, x: np.ndarray) -> np.ndarray:
        return spectrogram(self.rows(x).reshape(-1, *self.shape))

    def features(self, x: np.ndarray, ops: Ops) -> Array:
        levels = np.log(self._spectrogram(x) + self.floor)
        return random_network(ops.asarray((levels - self.level) / self.range), ops)

    def grain(self, features: Array, ops: Ops) -> float:
        return _rounding(features, ops)


class Letters(Rows):
    """Lines of text by their letters, position by position; their features are what fixed random weights make of every three
    neighbouring letters, summed over the line and once more by place, so that a line moved by a letter is still near."""

    primary: ClassVar[str] = "triples"
    whole: ClassVar[bool] = False

    def __init__(self, data: Data) -> None:
        assert isinstance(data.space, Text)
        self.space = data.space

    def rows(self, x: np.ndarray) -> np.ndarray:
        return x.astype(np.float32, copy=False)

    def features(self, x: np.ndarray, ops: Ops) -> Array:
        """(k, 2 TRIPLES), float64, from tables a, b, c of random numbers for each letter:

        sum_l phi(h_l) / sqrt(3 L),    sum_l (l / L) phi(h_l) / sqrt(3 L),    h_l = a(x_l-1) + b(x_l) + c(x_l+1)
        """
        xp, length = ops.xp, self.space.shape[0]
        tables = np.empty((3, self.space.shape[1], TRIPLES), np.float32)
        Noise(0).normal(tables, METRIC, 5)
        before, here, after = (ops.asarray(table.astype(np.float64)) for table in tables)
        place = ops.asarray(np.stack([np.ones(length), np.arange(length) / length]) / math.sqrt(3 * length))
        codes = np.pad(self.space.codes(x), ((0, 0), (1, 1)), constant_values=self.space.shape[1] - 1)
        result = xp.empty((len(x), 2 * TRIPLES), xp.float64)
        step = max(1, BLOCK // (length * TRIPLES))
        for lo in range(0, len(x), step):
            line = ops.asarray(codes[lo : lo + step])
            h = before[line[:, :-2]] + here[line[:, 1:-1]] + after[line[:, 2:]]
            result[lo : lo + step] = (place @ xp.maximum(h, h / 5)).reshape(-1, 2 * TRIPLES)
        return result

    def grain(self, features: Array, ops: Ops) -> float:
        return 0.0  # the same line has the same features


def random_network(x: Array, ops: Ops) -> Array:
    """Inputs x (k, d) through a network of fixed random weights with leaky ReLU: (k, UNITS[-1]), float64.

    y = phi(phi(x W_1) W_2),    phi(z) = max(z, z / 5),    w ~ N(0, 1 / inputs)

    Nobody trained it, so it knows nothing of what people see or hear; but distributions that differ differ in its means and
    covariances, in which products of inputs have a part.
    """
    xp = ops.xp
    for i, units in enumerate(UNITS):
        weights = np.empty((x.shape[1], units), np.float32)
        Noise(0).normal(weights, METRIC, 3 + i)
        x = x.astype(xp.float64) @ ops.asarray(weights.astype(np.float64) / math.sqrt(len(weights)))
        x = xp.maximum(x, x / 5)
    return x


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
