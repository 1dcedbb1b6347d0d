"""The table of measures: one row each, with its direction, its words, its data and how it is computed.

Another measure is a row here, its formula here or in a file of its own, and a section in docs/metrics.md. The command line, the
report, the curves, the documents' table and the tests read this table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minigan.data import Data
from minigan.data.mixtures import SIGMA
from minigan.data.spaces import Clip, Image, Signal, Table, Text
from minigan.metrics import bins, columns, local, prdc, spectra, texts
from minigan.metrics.compared import folded
from minigan.metrics.detection import detection
from minigan.metrics.features import digit_kl, digits_met
from minigan.metrics.frechet import frechet_distance, kernel_distance
from minigan.metrics.neighbours import memorisation, squared_radii
from minigan.metrics.parzen import parzen
from minigan.metrics.transport import ROWS, earth_mover
from minigan.metrics.variation import LEAST, deviation, mean_distance, motion, roughness

if TYPE_CHECKING:
    from minigan.metrics.suite import Group


@dataclass(frozen=True)
class Direction:
    """Which values are good: in a report, in a picture, and as a number that is less for a better value."""

    good: str
    words: str
    cost: Callable[[float], float]


LOW = Direction("low", "lower is better", lambda value: value)
HIGH = Direction("high", "higher is better", lambda value: -value)
ONE = Direction("near 1", "near 1 is good", lambda value: abs(value - 1))
REAL = Direction("near real", "near real is good", lambda value: value)


@dataclass(frozen=True)
class Where:
    """Which data a measure fits, in words and as a test."""

    words: str
    holds: Callable[[Data], bool]


def is_mixture(data: Data) -> bool:
    """Whether the data are the ring or the grid: a person's own file may have the same name, but no test part."""
    return data.name in SIGMA and data.bundled


ANY = Where("any", lambda data: True)
IMAGES = Where("images, clips", lambda data: isinstance(data.space, Image | Clip))
TESTED = Where("images with a test part", lambda data: isinstance(data.space, Image) and len(data.test) > 0)
LABELLED = Where("digits and MNIST", lambda data: data.bundled and data.labels is not None)
MIXTURES = Where("ring and grid", is_mixture)
CLIPS = Where("clips", lambda data: isinstance(data.space, Clip))
SIGNALS = Where("signals", lambda data: isinstance(data.space, Signal))
TEXTS = Where("text", lambda data: isinstance(data.space, Text))
TABLES = Where("tables", lambda data: isinstance(data.space, Table))


@dataclass(frozen=True)
class Measure:
    """A measure of a group of samples beside real rows.

    of: its value, nan where it is undefined.  quick: whether it is measured during training too.  count: whether it is a whole
    number.  held_out: whether it needs real rows that the model was not trained on.  real: which real rows (of `Suite`) are
    measured for the value of real samples.
    """

    name: str
    better: Direction
    words: str
    of: Callable[[Group], float]
    where: Where = ANY
    quick: bool = True
    count: bool = False
    held_out: bool = False
    real: str = "others"


def _kernel_distance(g: Group) -> float:
    return kernel_distance(g.features, g.real, g.ops, within_b=g.suite.within)


def _mode_width(g: Group) -> float:
    return float(np.sqrt(np.square(g.widths).mean(axis=1)).mean())


def _sharpness(g: Group) -> float:
    """nan where images have no contrast at all: they are neither sharp nor blurred."""
    flat = min(deviation(g.images), g.suite.real_deviation) <= LEAST
    return math.nan if flat else roughness(g.images) / g.suite.real_roughness


def _contrast(g: Group) -> float:
    real = g.suite.real_deviation
    return math.nan if real <= LEAST else deviation(g.images) / real


def _motion(g: Group) -> float:
    """nan where real clips stand still."""
    real = g.suite.real_motion
    return motion(g.clips) / real if real > LEAST else math.nan


def _place(g: Group) -> float:
    """In pixels: the square root of the Frechet distance between the centres of brightness."""
    made = g.ops.asarray(local.centres(g.images))
    return math.sqrt(max(frechet_distance(g.suite.real_centres, made, g.ops), 0.0))


def _texture(g: Group) -> float:
    return frechet_distance(g.suite.real_texture, local.texture(g.images, g.ops), g.ops)


def _spectrum(g: Group) -> float:
    return spectra.apart(spectra.spectrum(g.signals), g.suite.real_spectrum)


def _envelope(g: Group) -> float:
    return spectra.apart(spectra.envelope(g.signals), g.suite.real_envelope)


def _loudness(g: Group) -> float:
    """nan where real signals are silent."""
    real = float(g.suite.real_envelope.mean())
    return math.sqrt(float(spectra.envelope(g.signals).mean()) / real) if real > spectra.LEAST else math.nan


def _grams(n: int) -> Callable[[Group], float]:
    return lambda g: texts.grams_apart(g.codes, g.suite.real_codes, n, g.suite.end)


def _lengths(g: Group) -> float:
    return texts.lengths_apart(g.codes, g.suite.real_codes, g.suite.end)


def _known(g: Group) -> float:
    return sum(line in g.suite.known_lines for line in texts.lines(g.codes)) / len(g.codes)


def _spread(g: Group) -> float:
    return mean_distance(g.features, g.ops) / mean_distance(g.real, g.ops)


def _missing(g: Group) -> float:
    """The share of real rows where no samples are.

    Those lie in a bin that is missing *and* in no ball of samples: samples that are everywhere a little beside the data miss
    bins, but not what the bins stand for.
    """
    s = g.suite
    gone = bins.missing(s.bins[1], g.bins)[s.reference_bins]
    if gone.any():
        gone &= ~s.ops.to_host(prdc.reached(g.real, g.features, s.ops, grain=s.grain))
    return float(gone.mean())


def _different_bins(g: Group) -> float:
    return bins.different_bins(g.suite.bins[1], g.bins) / len(g.bins)


def _parzen(g: Group) -> float:
    s = g.suite
    tuning = s.data.values(s.data.validation)
    return parzen(s.plain(g.x), s.plain(tuning), s.plain(s.reference), s.ops).nats


def _shapes(g: Group) -> float:
    return float(g.columns.max())


def _correlations(g: Group) -> float:
    plain = g.suite.compared.rows
    return columns.correlations(plain(g.real_rows), plain(g.x))


def _associations(g: Group) -> float:
    space, (a, b) = g.suite.table, (columns.associations(g.suite.table, x) for x in (g.real_rows, g.x))
    above = np.triu_indices(len(columns.typed(space)), 1)
    return float(np.abs(a - b)[above].mean()) if len(above[0]) else 0.0


def _earth_mover(g: Group) -> float:
    s = g.suite
    train = s.data.values(s.data.train)
    return earth_mover(*(columns.spread_out(s.table, train, x[:ROWS]) for x in (g.real_rows, g.x)))


def _detection(g: Group) -> float:
    real, made = (folded(g.suite.plain(x).astype(g.ops.xp.float64), g.ops) for x in (g.real_rows, g.x))
    return detection(real, made, g.ops)


def _familiar(g: Group) -> float:
    s = g.suite
    return columns.familiar(s.data.values(s.data.train), g.real_rows, g.x)


def _repeated(g: Group) -> float:
    """Of every hundred real rows one is as near to another as that."""
    return float((squared_radii(g.features, 1, g.ops, grain=g.suite.grain) <= g.suite.near).mean())


def _copies(g: Group) -> float:
    """Of every hundred held-out rows one is as near to a training row as that."""
    s = g.suite
    return float((s.to_training(g.x) <= s.near_training).mean())


TABLE = (
    Measure("frechet", LOW, "distance of means and covariances", lambda g: frechet_distance(g.real, g.features, g.ops)),
    Measure("kid", LOW, "kernel distance, unbiased", _kernel_distance),
    Measure("precision", HIGH, "samples that are like a real one", lambda g: g.prdc.precision),
    Measure("recall", HIGH, "real ones that samples reach", lambda g: g.prdc.recall),
    Measure("density", HIGH, "real ones around a sample", lambda g: g.prdc.density),
    Measure("coverage", HIGH, "real ones with a sample near", lambda g: g.prdc.coverage),
    Measure("digit_kl", LOW, "unevenness of the digits, in nats", lambda g: digit_kl(*g.digits), LABELLED),
    Measure("kinds", HIGH, "digits met, of 10", lambda g: digits_met(*g.digits), LABELLED, count=True),
    Measure("modes", HIGH, "modes met by a good sample", lambda g: float(g.modes.modes), MIXTURES, count=True),
    Measure("high_quality", HIGH, "samples within 3 sigma of a mode", lambda g: g.modes.high_quality, MIXTURES),
    Measure("reverse_kl", LOW, "unevenness of the modes, in nats", lambda g: g.modes.reverse_kl, MIXTURES),
    Measure("mode_width", ONE, "width of modes over the true one", _mode_width, MIXTURES),
    Measure("narrowest", ONE, "narrowest axis over the true one", lambda g: float(g.widths.min()), MIXTURES),
    Measure("widest", ONE, "widest axis over the true one", lambda g: float(g.widths.max()), MIXTURES),
    Measure("sharpness", ONE, "steps between pixels over real", _sharpness, IMAGES),
    Measure("contrast", ONE, "spread of pixels over real", _contrast, IMAGES),
    Measure("specks", LOW, "lone bright pixels an image", lambda g: local.specks(g.images), IMAGES),
    Measure("faint", LOW, "faint pixels far from bright ones", lambda g: local.faint(g.images), IMAGES),
    Measure("place", LOW, "pixels between centres", _place, IMAGES),
    Measure("texture", LOW, "answers of random filters", _texture, IMAGES, quick=False),
    Measure("motion", ONE, "steps between frames over real", _motion, CLIPS),
    Measure("shapes", LOW, "distance of the worst column", _shapes, TABLES),
    Measure("columns", LOW, "mean distance of all columns", lambda g: float(g.columns.mean()), TABLES),
    Measure("correlations", LOW, "difference of the worst pair", _correlations, TABLES),
    Measure("pairs", LOW, "how columns go together, mean", _associations, TABLES, quick=False),
    Measure("earth_mover", LOW, "distance that rows are moved", _earth_mover, TABLES, quick=False),
    Measure("detection", REAL, "told from real ones, .5: not", _detection, TABLES, quick=False),
    Measure("tails", ONE, "values in the columns' tails", lambda g: columns.tails(g.real_rows, g.x), TABLES),
    Measure("lost", LOW, "rows whose category is not met", lambda g: columns.lost(g.real_rows, g.x), TABLES),
    # other real rows may be training rows
    Measure("familiar", HIGH, "repeated values that exist", _familiar, TABLES, real="reference"),
    Measure("spectrum", LOW, "decibels between mean spectra", _spectrum, SIGNALS),
    Measure("envelope", LOW, "decibels between moments", _envelope, SIGNALS),
    Measure("loudness", ONE, "root mean square over real", _loudness, SIGNALS),
    Measure("letters", LOW, "shares of characters", _grams(1), TEXTS),
    Measure("bigrams", LOW, "shares of two neighbours", _grams(2), TEXTS),
    Measure("trigrams", LOW, "shares of three neighbours", _grams(3), TEXTS),
    Measure("lengths", LOW, "characters between lengths", _lengths, TEXTS),
    Measure("distinct", HIGH, "lines that differ from others", lambda g: texts.distinct(g.codes), TEXTS),
    # other real lines may be training lines
    Measure("known", REAL, "lines that training data have", _known, TEXTS, real="reference"),
    Measure("spread", ONE, "spread over that of real ones", _spread, quick=False),
    Measure("missing", LOW, "real ones where no samples are", _missing, quick=False),
    # compared with training rows, so by further ones: MNIST's validation part is by other writers
    Measure("different_bins", LOW, "bins filled unlike training data", _different_bins, quick=False, real="unused"),
    # the others tune its width
    Measure("parzen", REAL, "nats; more than real means blur", _parzen, TESTED, quick=False, real="training"),
    Measure("repeated", LOW, "samples nearly like another one", _repeated, quick=False),
    Measure(
        "memorisation",
        ONE,
        "training over held-out distance",
        lambda g: memorisation(*g.nearest),
        quick=False,
        held_out=True,
    ),
    # as above
    Measure("copies", LOW, "samples like a training row", _copies, quick=False, held_out=True, real="reference"),
)
MEASURES = {measure.name: measure for measure in TABLE}


def cost(name: str, value: float) -> float:
    """A number that is less where `value` of the measure `name` is better, to choose the best by."""
    return MEASURES[name].better.cost(value)


def fitting(data: Data, *, quick: bool = False) -> list[Measure]:
    """The measures that fit a data set, in order; with `quick` those measured during training."""
    return [m for m in MEASURES.values() if m.where.holds(data) and (m.quick or not quick)]
