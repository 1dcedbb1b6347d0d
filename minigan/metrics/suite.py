"""Every measure that fits a data set, for generated samples and for real ones.

A score means little by itself: it depends on the features and on the number of samples. So real images are measured
against real images in the same way, and that value stands beside each score. With m the number of samples compared:

    reference   m held-out real rows, that everything is compared with (the test part; else the validation part)
    training    m rows that the model was trained on
    others      further real rows: they are measured as if they had been generated
    unused      m other training rows, for the measure that compares with training rows alone

Where there are more samples than m, up to ten groups of m are measured and the mean is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from minigan import memory
from minigan.backends import Array, Ops
from minigan.backends.noise import METRIC, Noise
from minigan.data import Data
from minigan.data.mixtures import SIGMA, centres
from minigan.data.scaling import origin, varies
from minigan.errors import DivergenceError, InputError
from minigan.metrics import bins, prdc
from minigan.metrics.features import KINDS, digit_kl, load_classifier
from minigan.metrics.frechet import frechet_distance, kernel_distance, within
from minigan.metrics.mixtures import mode_coverage
from minigan.metrics.neighbours import memorisation, squared_radii
from minigan.metrics.parzen import parzen

GROUPS = 10
"""Groups of samples measured at most, where the real ones are few."""

LEAST = 10
"""Held-out rows below which nothing is measured."""

PROTOCOL = 2500
"""Samples among which modes are counted (PacGAN, Lin et al. 2018)."""

SIDE, COLUMNS = 32, 1024
"""Larger images are shrunk to this side and wider tables folded to so many columns before they are compared."""


@dataclass(frozen=True)
class Metric:
    """A measure: which values are good ("low", "high", near "one" or near the "real" one), and what it is, in words."""

    better: str
    words: str
    quick: bool = True
    """Whether it is measured during training too."""
    count: bool = False
    """Whether it is a whole number."""


METRICS = {
    "frechet": Metric("low", "distance of means and covariances"),
    "kid": Metric("low", "kernel distance, unbiased"),
    "precision": Metric("high", "samples that are like a real one"),
    "recall": Metric("high", "real ones that samples reach"),
    "density": Metric("high", "real ones around a sample"),
    "coverage": Metric("high", "real ones with a sample near"),
    "digit_kl": Metric("low", "unevenness of the digits, in nats"),
    "kinds": Metric("high", "digits met, of 10", count=True),
    "modes": Metric("high", "modes met by a good sample", count=True),
    "high_quality": Metric("high", "samples within 3 sigma of a mode"),
    "reverse_kl": Metric("low", "unevenness of the modes, in nats"),
    "mode_width": Metric("one", "width of modes over the true one"),
    "narrowest": Metric("one", "narrowest axis over the true one"),
    "widest": Metric("one", "widest axis over the true one"),
    "sharpness": Metric("one", "pixel contrast over that of real"),
    "spread": Metric("one", "spread over that of real ones", quick=False),
    "missing": Metric("low", "real ones where no samples are", quick=False),
    "different_bins": Metric("low", "bins filled unlike training data", quick=False),
    "parzen": Metric("real", "nats; more than real means blur", quick=False),
    "memorisation": Metric("one", "training over held-out distance", quick=False),
}


def cost(name: str, value: float) -> float:
    """A number that is less where `value` of the measure `name` is better, to choose the best by."""
    better = METRICS[name].better
    return -value if better == "high" else abs(value - 1) if better == "one" else value


def is_mixture(data: Data) -> bool:
    """Whether the data are the ring or the grid: a person's own file may have the same name, but no test part."""
    return data.name in SIGMA and len(data.test) > 0


def names(data: Data, *, quick: bool = False) -> list[str]:
    """The measures that fit a data set, in order; with `quick` those measured during training."""
    fits = {
        "frechet",
        "kid",
        "precision",
        "recall",
        "density",
        "coverage",
        "spread",
        "missing",
        "different_bins",
        "memorisation",
    }
    if data.space.kind == "image":
        fits |= {"sharpness"} | ({"parzen"} if len(data.test) else set())
    if data.labels is not None:
        fits |= {"digit_kl", "kinds"}
    if is_mixture(data):
        fits |= {"modes", "high_quality", "reverse_kl", "mode_width", "narrowest", "widest"}
    return [name for name, metric in METRICS.items() if name in fits and (metric.quick or not quick)]


def primary(data: Data) -> str:
    """The measure by which the best of several models is chosen, unless another is asked for."""
    return "frechet" if data.space.kind == "image" else "coverage"


def spread(n: int, m: int) -> np.ndarray:
    """m <= n numbers below n, evenly spaced: MNIST's rows stand in the order of their writers."""
    return np.linspace(0, n - 1, m).round().astype(int)


class Suite:
    """The measures for one data set, with everything that depends on the real rows alone computed once.

    n: samples to compare, at most; `m` is how many are compared, since no more real rows than that are held out.
    all_data: the model was trained on the validation part too.

    Raises: InputError where the data hold too few rows out.
    """

    def __init__(self, data: Data, backend: Ops, n: int = 10_000, *, all_data: bool = False) -> None:
        tested = len(data.test) > 0
        held = data.test if tested else data.validation
        self.data, self.ops = data, backend
        self.m = m = min(n, len(held), len(data.validation), len(data.train) // 2)
        if m < LEAST:
            raise InputError(
                f"{data.name}: {len(held)} samples are held out, too few to compare with; "
                f"at least {LEAST} are needed, a fifth of the data."
            )
        # samples and four sets of real rows, as they are stored or float32; while they are measured, rows in double precision
        count, table = len(data.train), data.space.kind != "image"
        needed = (
            max(4, data.train.itemsize) * (n + 3 * m + count)
            + data.train.itemsize * count
            + 16 * (count if table else m)
        )
        memory.require(
            needed * data.space.size,
            f"measuring {n:,} samples of {data.name}",
            "ask for fewer (-n of evaluate), or train without --evaluate-every and --until",
        )
        self.held_out = tested or not all_data
        self.names = [name for name in names(data) if name != "memorisation" or self.held_out]
        self.classifier = load_classifier(data.name, backend) if data.labels is not None else None
        self._scale: tuple[np.ndarray, np.ndarray] | None = None
        if data.space.kind != "image":
            zero = origin(data.train)
            rows = data.train - zero  # float64
            deviation = rows.std(axis=0)
            mean = rows.mean(axis=0)
            self._scale = zero + mean, np.where(varies(mean, deviation, data.train.dtype), deviation, 1.0)

        self.reference = data.values(held[:m])
        chosen = np.zeros(len(data.train), bool)
        chosen[spread(len(data.train), m)] = True
        rest = data.train[~chosen]
        self.training = data.values(data.train[chosen])
        self.unused = data.values(rest[spread(len(rest), m)])
        self.others = data.values(data.validation if tested else rest)
        self._real_features, self._real_kinds = self.features(self.reference)

    # ------------------------------------------------------------------------------------------ what is compared

    def plain(self, x: np.ndarray) -> Array:
        """Rows x (k, size) in data units as they are compared without a classifier, on the backend.

        Images: their pixels, float32, in blocks averaged to 32 x 32 where they are larger. Others: columns in standard
        deviations of the training part, float64; beyond a billion they are cut off.
        """
        if self._scale is None:
            h, w = self.data.space.shape
            images = x.reshape(-1, h, w)
            for axis, side in ((1, h), (2, w)):
                if side > SIDE:
                    edges = np.arange(SIDE) * side // SIDE
                    counts = np.diff(edges, append=side).astype(np.float32)
                    images = np.add.reduceat(images, edges, axis=axis)
                    images /= counts[:, None] if axis == 1 else counts
            return self.ops.asarray(images.reshape(len(x), -1))
        mean, deviation = self._scale
        return self.ops.asarray(np.clip((x - mean) / deviation, -1e9, 1e9))

    def features(self, x: np.ndarray) -> tuple[Array, np.ndarray]:
        """What distances and neighbourhoods are measured in (k, F), float64, and the digits seen (k,), if there are any.

        The classifier's last hidden layer for digits and MNIST; else the plain rows, wide ones folded: every column is
        added, with a fixed random sign, to one of 1,024 (Weinberger et al. 2009), which keeps distances on average.
        """
        if self.classifier is not None:
            features, kinds = self.classifier.features(x)
            return features, self.ops.to_host(kinds)
        rows, none = self.plain(x).astype(self.ops.xp.float64), np.empty(0, np.int64)
        d = rows.shape[1]
        if d <= COLUMNS:
            return rows, none
        signs = (Noise(0).integers(d, METRIC, 1) % np.uint64(2)).astype(np.float64) * 2 - 1
        rows *= self.ops.asarray(signs)
        folded = self.ops.zeros((len(rows), COLUMNS), rows.dtype)
        for lo in range(0, d, COLUMNS):
            part = rows[:, lo : lo + COLUMNS]
            folded[:, : part.shape[1]] += part
        return folded, none

    @cached_property
    def _radii(self) -> Array:
        return squared_radii(self._real_features, prdc.K, self.ops, grain=self._grain)

    @cached_property
    def _grain(self) -> float:
        """How far features may be from where they should be, because the values that they are made of were rounded.

        Tenths are no binary fractions, so equal steps of a column are equal but for rounding; whole numbers are exact.
        """
        xp, train = self.ops.xp, self.data.train
        if self._scale is None:  # grey values, or what a network makes of them
            return float(np.finfo(np.float32).eps) * math.sqrt(float(xp.square(self._real_features).sum(axis=1).max()))
        whole = (train == np.rint(train)).all(axis=0)
        eps = np.where(whole, np.finfo(np.float64).eps, np.finfo(train.dtype).eps)
        return float(np.linalg.norm(eps / 2 * np.abs(train).max(axis=0) / self._scale[1]))

    def _spread(self, features: Array) -> float:
        """Mean distance of features from their mean; not their variance, which a few far ones decide."""
        xp = self.ops.xp
        return max(float(xp.sqrt(xp.square(features - features.mean(axis=0)).sum(axis=1)).mean()), 1e-30)

    @cached_property
    def _within(self) -> float:
        return within(self._real_features, self.ops)

    @cached_property
    def _bins(self) -> tuple[Array, np.ndarray]:
        """Centres of the bins, and how many training rows fall into each; few rows make fewer bins."""
        rows = self.plain(self.training)
        centres = bins.k_means(rows, max(1, min(bins.BINS, self.m // 20)), self.ops)
        return centres, bins.shares(rows, centres, self.ops)

    @cached_property
    def _reference_bins(self) -> np.ndarray:
        """The bin of each reference row (m,)."""
        return self.ops.to_host(bins.assign(self.plain(self.reference), self._bins[0], self.ops))

    # ------------------------------------------------------------------------------------------------- measuring

    @cached_property
    def real(self) -> dict[str, float]:
        """The measures of real rows."""
        result = self.measure(self.others)
        if "parzen" in self.names:  # the others tune its width, so training images are its samples
            result["parzen"] = self._parzen(self.training)
        # compared with training rows, so by further training rows: MNIST's validation part is by other writers
        result["different_bins"] = self._bin_measures(self.unused, self.features(self.unused)[0])["different_bins"]
        return result

    @cached_property
    def quick_real(self) -> dict[str, float]:
        """Those of them that are measured during training."""
        return self.measure(self.others, quick=True)

    def groups(self, x: np.ndarray) -> int:
        """In how many groups samples x are measured."""
        return min(GROUPS, len(x) // self.m)

    def measure(self, x: np.ndarray, *, quick: bool = False) -> dict[str, float]:
        """The measures of samples x (k, size), k >= m, in data units: the mean over groups of m. By name, in order.

        quick: only those of `names(data, quick=True)`. A measure that is undefined for these samples is nan.
        Raises: DivergenceError where a sample is not finite.
        """
        bad = int((~np.isfinite(x).all(axis=1)).sum())
        if bad:
            raise DivergenceError(
                f"{bad:,} of {len(x):,} samples hold a number that is not finite, so they cannot be measured."
            )
        groups = [self._group(x[i * self.m : (i + 1) * self.m], quick) for i in range(self.groups(x))]
        wanted = [name for name in self.names if METRICS[name].quick or not quick]
        return {name: math.fsum(g[name] for g in groups) / len(groups) for name in wanted}

    def _group(self, x: np.ndarray, quick: bool) -> dict[str, float]:
        backend = self.ops
        features, kinds = self.features(x)
        found = prdc.prdc(self._real_features, features, backend, real_radii=self._radii, grain=self._grain)
        result = {
            "frechet": frechet_distance(self._real_features, features, backend),
            "kid": kernel_distance(features, self._real_features, backend, within_b=self._within),
            "precision": found.precision,
            "recall": found.recall,
            "density": found.density,
            "coverage": found.coverage,
        }
        if self.classifier is not None:
            result["digit_kl"] = digit_kl(kinds, self._real_kinds)
            counts, true = (np.bincount(k, minlength=KINDS) for k in (kinds, self._real_kinds))
            result["kinds"] = float((counts >= np.maximum(0.1 * true, 1)).sum())
        if self.data.space.kind == "image":
            result["sharpness"] = self._contrast(x) / self._contrast(self.reference)
        if is_mixture(self.data):
            result |= self._modes(x)
        if quick:
            return result
        if "parzen" in self.names:
            result["parzen"] = self._parzen(x)
        result["spread"] = self._spread(features) / self._spread(self._real_features)
        result |= self._bin_measures(x, features)
        if "memorisation" in self.names:
            training, held_out = self.plain(self.training), self.plain(self.reference)
            result["memorisation"] = memorisation(self.plain(x), training, held_out, backend)
        return result

    def _bin_measures(self, x: np.ndarray, features: Array) -> dict[str, float]:
        """How many bins are filled differently, and the share of real rows where no samples are.

        Those lie in a bin that is missing *and* in no ball of samples: samples that are everywhere a little beside the
        data miss bins, but not what the bins stand for.
        """
        centres, training = self._bins
        samples = bins.shares(self.plain(x), centres, self.ops)
        gone = bins.missing(training, samples)[self._reference_bins]
        if gone.any():
            near = prdc.reached(self._real_features, features, self.ops, grain=self._grain)
            gone &= ~self.ops.to_host(near)
        return {
            "missing": float(gone.mean()),
            "different_bins": bins.different_bins(training, samples) / len(training),
        }

    def _parzen(self, x: np.ndarray) -> float:
        tuning = self.data.values(self.data.validation)
        return parzen(self.plain(x), self.plain(tuning), self.plain(self.reference), self.ops).nats

    def _contrast(self, x: np.ndarray) -> float:
        """Mean squared difference of pixels that are neighbours in a row or a column."""
        images = x.reshape(-1, *self.data.space.shape)
        squares = [float(np.square(np.diff(images, axis=a)).mean()) for a in (1, 2) if images.shape[a] > 1]
        return max(sum(squares), 1e-30)

    def _modes(self, x: np.ndarray) -> dict[str, float]:
        means, sigma = centres(self.data.name), SIGMA[self.data.name]
        found, widths = mode_coverage(x[:PROTOCOL], means, sigma), mode_coverage(x, means, sigma)
        measured = widths.widths[np.isfinite(widths.widths).all(axis=1)]
        return {
            "modes": float(found.modes),
            "high_quality": found.high_quality,
            "reverse_kl": found.reverse_kl,
            "mode_width": float(np.sqrt(np.square(measured).mean(axis=1)).mean()) if len(measured) else math.nan,
            "narrowest": float(measured.min()) if len(measured) else math.nan,
            "widest": float(measured.max()) if len(measured) else math.nan,
        }
