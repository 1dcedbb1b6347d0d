"""Tables: a histogram of each column, real against generated; and one of distances to the nearest training row."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from minigan.data.scaling import FAR
from minigan.data.spaces import Space
from minigan.plots import style
from minigan.plots.shown import Pictures, Shown
from minigan.plots.style import FAKE, INK, LEAST_STEPS, MARGIN, REAL, TITLE, WIDTH

HEIGHT, DISTANCES = 200, (900, 320)
"""Pixels: the height of a panel; the width of the picture of distances and the height of its panel."""

MAX_COLUMNS, BINS = 12, 40


def distances(fake: np.ndarray, real: np.ndarray) -> Figure:
    """Distances (n,) of generated and of held-out real rows, real ones filled, generated ones as a line."""
    width, height = DISTANCES
    figure = style.figure(width, MARGIN + TITLE + height + 64)
    axes = style.axes(figure, MARGIN, MARGIN + TITLE, width - 2 * MARGIN, height)
    _histogram(axes, column_of(fake, 1, 0), column_of(real, 1, 0))
    axes.set_xlabel("distance, in standard deviations of the columns")
    style.title(figure, MARGIN, "distance to the nearest training row")
    style.legend(figure, width - MARGIN, [_key("real, held out"), _key("generated")])
    return figure


def comparison(space: Space, shown: Shown) -> Figure:
    return histograms(space, shown, "generated against real")


def samples(space: Space, x: np.ndarray) -> Figure:
    return histograms(space, Shown(x), f"{len(x):,} generated")


def histograms(space: Space, shown: Shown, title: str) -> Figure:
    """A panel per column: the real share per bin as a filled shape, the generated as a line over it."""
    d, fake, real = space.size, shown.fake, shown.real
    panels = min(d, MAX_COLUMNS)
    rows = math.ceil(panels / 4)
    columns = math.ceil(panels / rows)
    width, height, top = (WIDTH - MARGIN) // columns, HEIGHT, MARGIN + TITLE + 20
    figure = style.figure(WIDTH, top + rows * (height + 64) + MARGIN - 24)
    for j in range(panels):
        left = MARGIN + j % columns * width
        axes = style.axes(figure, left, top + j // columns * (height + 64), width - 36, height)
        _histogram(axes, column_of(fake, d, j), None if real is None else column_of(real, d, j))
        name = style.short(space.columns[j], max(8, 76 // columns))
        axes.set_title(name, loc="left", fontsize=8.5, color=INK, pad=4, parse_math=False)
    style.title(figure, MARGIN, title, f"first {panels} of {d} columns" if panels < d else "")
    style.legend(figure, WIDTH - MARGIN, [_key("real"), _key("generated")] if real is not None else [_key("generated")])
    return figure


def _key(label: str) -> Line2D:
    return style.key(FAKE, label, lw=1.6) if label == "generated" else style.key(REAL, label, alpha=0.45, lw=7)


def _histogram(axes: Axes, fake: np.ndarray, real: np.ndarray | None) -> None:
    base = fake if real is None else real
    edges = edges_of(base)
    low, high = float(edges[0]), float(edges[-1])
    if real is not None:
        axes.stairs(shares(real, edges), edges, fill=True, color=REAL, alpha=0.45, linewidth=0)
    axes.stairs(shares(fake, edges), edges, color=FAKE, linewidth=1.4)
    outside = float(np.mean((fake < low) | (fake > high))) if fake.size and real is not None else 0.0
    if round(100 * outside):  # they are drawn in the outermost bins, so say so
        axes.text(1, 1.03, f"{outside:.0%} outside", transform=axes.transAxes, ha="right", fontsize=7, color=FAKE)
    pad = 0.03 * (high - low)
    axes.set_xlim(low - pad, high + pad)
    axes.set_ylim(bottom=0)
    values = np.unique(base)
    middles = (edges[1:] + edges[:-1]) / 2
    if len(values) <= 6 and np.isclose(values[:, None], middles, rtol=0, atol=1e-5 * (high - low)).any(axis=1).all():
        apart = values[np.diff(values, prepend=-np.inf) > (high - low) / 8]  # a tick for each bar, if there is room
        labels = [f"{value:.4g}" for value in apart]
        axes.set_xticks(apart, labels if len(set(labels)) == len(labels) else None)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)


def edges_of(values: np.ndarray) -> np.ndarray:
    """Edges of the bins for finite values (n,): as many bins as sqrt(n), 40 at most, and an empty one on either side.

    What lies outside is drawn in the outermost, so those hold nothing else. Values in equal steps, as whole numbers are,
    have bins of one step or several, centred on them: others would hold now two values and now three, and draw a comb.
    """
    if not values.size:
        return np.linspace(0, 1, 2)
    low, high = float(values.min()), float(values.max())
    if high - low <= LEAST_STEPS * np.spacing(max(abs(low), abs(high))):  # a constant column
        return low + 0.5 * max(1.0, abs(low)) * np.linspace(-1, 1, 6)
    bins = min(BINS, math.ceil(math.sqrt(len(values))))
    distinct = np.unique(values)
    step = step_of(distinct)
    if step is None:
        width = (high - low) / bins * (1 + 1e-6)  # so that the largest value is not in the bin beyond it
        return low + width * np.arange(-1, bins + 2)
    count = round((high - low) / step) + 1
    if len(values) > 2 * len(distinct):  # each occurs more than twice, so a bin for each says something
        bins = max(bins, min(count, BINS))
    each = math.ceil(count / bins)
    return low - step / 2 + each * step * np.arange(-1, math.ceil(count / each) + 2)


def step_of(distinct: np.ndarray) -> float | None:
    """The largest step that sorted distinct values (n >= 2) are whole multiples of apart; None where bins hold dozens of it.

    Euclid's algorithm on all differences at once, as far as single precision resolves them: what is farther from 0, for
    its span, is not in single precision.
    """
    gaps, span = np.diff(distinct), float(distinct[-1] - distinct[0])
    size = min(float(np.abs(distinct).max()), FAR * span)
    noise = error = float(np.finfo(np.float32).eps) * size  # of a difference, and of the step
    step = float(gaps.min())
    while step > 8 * error and step * BINS * 25 > span:
        times = np.rint(gaps / step)
        rest, bound = np.abs(gaps - times * step), noise + times * error
        left = np.flatnonzero(rest > bound)
        if not left.size:
            step = span / round(span / step)
            place = (distinct - distinct[0]) / step
            return step if (np.abs(place - np.rint(place)) < 0.01 + noise / step).all() else None
        least = left[rest[left].argmin()]
        step, error = float(rest[least]), float(bound[least])
    return None


def shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts / max(1, len(values))


def column_of(x: np.ndarray, d: int, j: int) -> np.ndarray:
    values = np.asarray(x).reshape(-1, d)[:, j].astype(np.float64)
    return values[np.isfinite(values)]


PICTURES = Pictures(histograms, comparison, samples)
