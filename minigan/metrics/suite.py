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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from minigan import memory
from minigan.backends import Array, Ops
from minigan.data import Data
from minigan.data.mixtures import SIGMA, centres
from minigan.data.spaces import Clip, Colour, Image, Points, Signal, Space, Table, Text
from minigan.data.spaces.table import Rows
from minigan.errors import DivergenceError, InputError
from minigan.metrics import bins, mixtures, prdc, spectra, texts
from minigan.metrics.columns import shapes, typed
from minigan.metrics.compared import Columns, Compared, Frames, Letters, Pixels, Waves
from minigan.metrics.features import Classifier, load_classifier
from minigan.metrics.frechet import within
from minigan.metrics.local import centres as centres_of
from minigan.metrics.local import texture
from minigan.metrics.measures import Measure, fitting
from minigan.metrics.neighbours import nearest, squared_radii
from minigan.metrics.variation import deviation, motion, roughness

GROUPS = 10
"""Groups of samples measured at most, where the real ones are few."""

NEAR = 0.01
"""The share of real rows that count as nearly like another one."""

COPIES, CHUNK = 1000, 8192
"""Samples that are compared with all training rows; training rows at a time."""

LEAST = 10
"""Held-out rows below which nothing is measured."""

COMPARED: dict[type[Space], type[Compared]] = {
    Image: Pixels,
    Colour: Pixels,
    Points: Columns,
    Table: Columns,
    Signal: Waves,
    Clip: Frames,
    Text: Letters,
}
"""What each kind of data is compared by."""


def names(data: Data, *, quick: bool = False) -> list[str]:
    """The names of the measures that fit a data set, in order; with `quick` of those measured during training."""
    return [measure.name for measure in fitting(data, quick=quick)]


def primary(data: Data) -> str:
    """The measure by which the best of several models is chosen, unless another is asked for."""
    return COMPARED[type(data.space)].primary


def evenly(n: int, m: int) -> np.ndarray:
    """m <= n numbers below n, evenly spaced: MNIST's rows stand in the order of their writers."""
    return np.linspace(0, n - 1, m).round().astype(int)


class Suite:
    """The measures for one data set, with everything that depends on the real rows alone computed once.

    n: samples to compare, at most; `m` is how many are compared, since no more real rows than that are held out.
    all_data: the model was trained on the validation part too. classifier: other features than those of the shipped one.

    Raises: InputError where the data hold too few rows out.
    """

    def __init__(
        self,
        data: Data,
        backend: Ops,
        n: int = 10_000,
        *,
        all_data: bool = False,
        classifier: Classifier | None = None,
    ) -> None:
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
        compared, count = COMPARED[type(data.space)], len(data.train)
        needed = (
            max(4, data.train.itemsize) * (n + 3 * m + count)
            + data.train.itemsize * count
            + 16 * (count if compared.whole else m)
        )
        memory.require(
            needed * data.space.size,
            f"measuring {n:,} samples of {data.name}",
            "ask for fewer (-n of evaluate), or train without --evaluate-every and --until",
        )
        self.held_out = tested or not all_data
        self.measures = [measure for measure in fitting(data) if self.held_out or not measure.held_out]
        self.names = [measure.name for measure in self.measures]
        shipped = classifier is None and data.bundled and data.labels is not None
        self.classifier = load_classifier(data.name, backend) if shipped else classifier
        self.compared = compared(data)

        self.reference = data.values(held[:m])
        chosen = np.zeros(len(data.train), bool)
        chosen[evenly(len(data.train), m)] = True
        rest = data.train[~chosen]
        self.training = data.values(data.train[chosen])
        self.unused = data.values(rest[evenly(len(rest), m)])
        self.others = data.values(data.validation if tested else rest)
        self.real_features, self.real_digits = self.features(self.reference)

    # ------------------------------------------------------------------------------------------ what is compared

    def plain(self, x: np.ndarray) -> Array:
        """Rows x (k, size) in data units as they are compared without a classifier, on the backend."""
        return self.ops.asarray(self.compared.rows(x))

    def features(self, x: np.ndarray) -> tuple[Array, np.ndarray]:
        """What distances and neighbourhoods are measured in (k, F), float64, and the digits seen (k,), if there are any.

        The classifier's last hidden layer for digits and MNIST; else as `COMPARED` says.
        """
        if self.classifier is not None:
            features, digits = self.classifier.features(x)
            return features, self.ops.to_host(digits)
        return self.compared.features(x, self.ops), np.empty(0, np.int64)

    def shaped(self, x: np.ndarray) -> np.ndarray:
        """Rows x (k, size) as samples (k, *shape)."""
        return x.reshape(-1, *self.data.space.shape)

    @property
    def table(self) -> Rows:
        """The space of a table."""
        assert isinstance(self.data.space, Rows)
        return self.data.space

    def by_column(self, x: np.ndarray) -> list[tuple[str, float, float]]:
        """Each column of a table: its name, and its distance from the reference rows among samples x and among real rows."""
        made, real = (Group(self, rows[: self.m]).columns for rows in (x, self.others))
        return [(c.name, *pair) for (c, _), *pair in zip(typed(self.table), made.tolist(), real.tolist(), strict=True)]

    def images(self, x: np.ndarray) -> np.ndarray:
        """Rows x (k, size) as the images that samples consist of: (k, h, w), in colour (k, h, w, 3), of clips (k t, h, w)."""
        return x.reshape(-1, *self.data.space.pictured)

    def signals(self, x: np.ndarray) -> np.ndarray:
        """Rows x (k, size) as signals (k, channels, t), each channel in its standard deviations."""
        return self.compared.rows(x).reshape(-1, *self.data.space.shape)

    @cached_property
    def radii(self) -> Array:
        return squared_radii(self.real_features, prdc.K, self.ops, grain=self.grain)

    @cached_property
    def grain(self) -> float:
        """How far features may be from where they should be, because the values that they are made of were rounded."""
        return self.compared.grain(self.real_features, self.ops)

    @cached_property
    def near(self) -> float:
        """The squared distance to the nearest other row within which one reference row in a hundred has one."""
        return float(self.ops.xp.quantile(squared_radii(self.real_features, 1, self.ops, grain=self.grain), NEAR))

    def to_training(self, x: np.ndarray) -> np.ndarray:
        """The distance of the first samples of x, at most `COPIES`, to the nearest of all training rows, on the host."""
        rows, train = self.plain(x[:COPIES]), self.data.train
        chunks = (self.plain(self.data.values(train[lo : lo + CHUNK])) for lo in range(0, len(train), CHUNK))
        return np.min([self.ops.to_host(nearest(rows, chunk, self.ops)[1]) for chunk in chunks], axis=0)

    @cached_property
    def near_training(self) -> float:
        """The distance to the nearest training row within which one reference row in a hundred has one."""
        return float(np.quantile(self.to_training(self.reference), NEAR))

    @cached_property
    def real_roughness(self) -> float:
        return roughness(self.images(self.reference))

    @cached_property
    def real_deviation(self) -> float:
        return deviation(self.images(self.reference))

    @cached_property
    def real_centres(self) -> Array:
        return self.ops.asarray(centres_of(self.images(self.reference)))

    @cached_property
    def real_texture(self) -> Array:
        return texture(self.images(self.reference), self.ops)

    @cached_property
    def real_motion(self) -> float:
        return motion(self.shaped(self.reference))

    @cached_property
    def real_spectrum(self) -> np.ndarray:
        return spectra.spectrum(self.signals(self.reference))

    @cached_property
    def real_envelope(self) -> np.ndarray:
        return spectra.envelope(self.signals(self.reference))

    def codes(self, x: np.ndarray) -> np.ndarray:
        """Rows x (k, size) of text as places in the alphabet (k, length)."""
        space = self.data.space
        assert isinstance(space, Text)
        return space.codes(x)

    @property
    def end(self) -> int:
        """The place of the end sign of text."""
        return self.data.space.shape[1] - 1

    @cached_property
    def real_codes(self) -> np.ndarray:
        return self.codes(self.reference)

    @cached_property
    def known_lines(self) -> set[bytes]:
        """All training lines, as `texts.lines` writes them."""
        return set(texts.lines(self.codes(self.data.train)))

    @cached_property
    def within(self) -> float:
        return within(self.real_features, self.ops)

    @cached_property
    def bins(self) -> tuple[Array, np.ndarray]:
        """Centres of the bins, and how many training rows fall into each; few rows make fewer bins."""
        rows = self.plain(self.training)
        centres = bins.k_means(rows, max(1, min(bins.BINS, self.m // 20)), self.ops)
        return centres, bins.shares(rows, centres, self.ops)

    @cached_property
    def reference_bins(self) -> np.ndarray:
        """The bin of each reference row (m,)."""
        return self.ops.to_host(bins.assign(self.plain(self.reference), self.bins[0], self.ops))

    # ------------------------------------------------------------------------------------------------- measuring

    @cached_property
    def real(self) -> dict[str, float]:
        """The measures of real rows."""
        found: dict[str, float] = {}
        for rows in dict.fromkeys(measure.real for measure in self.measures):
            found |= self._means(getattr(self, rows), [measure for measure in self.measures if measure.real == rows])
        return {name: found[name] for name in self.names}

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
        return self._means(x, [measure for measure in self.measures if measure.quick or not quick])

    def _means(self, x: np.ndarray, measures: Sequence[Measure]) -> dict[str, float]:
        groups = []
        for i in range(self.groups(x)):
            group = Group(self, x[i * self.m : (i + 1) * self.m])
            groups.append([measure.of(group) for measure in measures])
        values = zip(*groups, strict=True)
        return {m.name: math.fsum(v) / len(groups) for m, v in zip(measures, values, strict=True)}


@dataclass(eq=False)
class Group:
    """Samples x (m, size) in data units as measures see them, beside the real rows of a suite."""

    suite: Suite
    x: np.ndarray

    @cached_property
    def _seen(self) -> tuple[Array, np.ndarray]:
        return self.suite.features(self.x)

    @property
    def features(self) -> Array:
        return self._seen[0]

    @property
    def digits(self) -> tuple[np.ndarray, np.ndarray]:
        """The digits that the classifier sees, among samples and among reference rows (m,)."""
        return self._seen[1], self.suite.real_digits

    @property
    def real(self) -> Array:
        """Features of the reference rows."""
        return self.suite.real_features

    @property
    def real_rows(self) -> np.ndarray:
        """The reference rows (m, size) in data units."""
        return self.suite.reference

    @property
    def images(self) -> np.ndarray:
        """The samples (m, h, w), in colour (m, h, w, 3), or the frames of clips (m t, h, w)."""
        return self.suite.images(self.x)

    @property
    def clips(self) -> np.ndarray:
        """The samples (m, t, h, w)."""
        return self.suite.shaped(self.x)

    @property
    def signals(self) -> np.ndarray:
        """The samples (m, channels, t), in standard deviations."""
        return self.suite.signals(self.x)

    @cached_property
    def codes(self) -> np.ndarray:
        """The samples of text as places in the alphabet (m, length)."""
        return self.suite.codes(self.x)

    @property
    def ops(self) -> Ops:
        return self.suite.ops

    @cached_property
    def nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """The distance from each sample to the nearest of m training rows and of m held-out ones (m,), on the host."""
        s = self.suite
        x = s.plain(self.x)
        near, far = (s.ops.to_host(nearest(x, s.plain(rows), s.ops)[1]) for rows in (s.training, s.reference))
        return near, far

    @cached_property
    def columns(self) -> np.ndarray:
        """How far each column is from that of the reference rows (k,), of a table."""
        return shapes(self.suite.table, self.real_rows, self.x)

    @cached_property
    def prdc(self) -> prdc.PRDC:
        s = self.suite
        return prdc.prdc(self.real, self.features, s.ops, real_radii=s.radii, grain=s.grain)

    @cached_property
    def bins(self) -> np.ndarray:
        """How many samples fall into each bin."""
        return bins.shares(self.suite.plain(self.x), self.suite.bins[0], self.suite.ops)

    @cached_property
    def modes(self) -> mixtures.Coverage:
        """By the protocol, of the first samples alone."""
        return self._modes(self.x[: mixtures.PROTOCOL])

    @cached_property
    def widths(self) -> np.ndarray:
        """Both axes (k, 2) of each mode that has a width, of all samples."""
        return self._modes(self.x).known

    def _modes(self, x: np.ndarray) -> mixtures.Coverage:
        name = self.suite.data.name
        return mixtures.mode_coverage(x, centres(name), SIGMA[name])
