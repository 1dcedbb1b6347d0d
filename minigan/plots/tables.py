"""Tables: a histogram of each column, real against generated; and one of distances to the nearest training row."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from minigan.data.columns import Category, Column
from minigan.data.scaling import FAR
from minigan.data.spaces import Space
from minigan.data.spaces.table import Rows
from minigan.metrics.columns import associations, typed
from minigan.plots import style
from minigan.plots.shown import Pictures, Shown
from minigan.plots.style import DPI, FAKE, INK, LEAST_STEPS, MARGIN, MUTED, REAL, TITLE, WIDTH

HEIGHT, DISTANCES = 200, (900, 320)
"""Pixels: the height of a panel; the width of the picture of distances and the height of its panel."""

SQUARE = 300
"""Pixels of a square of pairs."""

MAX_COLUMNS, BINS = 12, 40
MAX_LEVELS, MAX_PAIRED = 12, 40
"""Levels of a category that are drawn; columns whose pairs are."""


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
    """Each column, generated against real; below, how columns go together, generated beside real."""
    return histograms(space, shown, "generated against real", pairs=True)


def samples(space: Space, x: np.ndarray) -> Figure:
    return histograms(space, Shown(x), f"{len(x):,} generated")


def histograms(space: Space, shown: Shown, title: str, pairs: bool = False) -> Figure:
    """A panel per column: the real share per bin or category as a filled shape, the generated as a line over it."""
    columns = _columns(space)
    d, fake, real = space.size, shown.fake.reshape(-1, space.size), shown.real
    real = None if real is None else real.reshape(-1, d)
    panels = min(len(columns), MAX_COLUMNS)
    rows = math.ceil(panels / 4)
    across = math.ceil(panels / rows)
    width, height, top = (WIDTH - MARGIN) // across, HEIGHT, MARGIN + TITLE + 20
    pairs = pairs and real is not None and 1 < len(columns) <= MAX_PAIRED
    below = top + rows * (height + 64) - 24
    figure = style.figure(WIDTH, below + (MARGIN + TITLE + SQUARE + 120 if pairs else 0) + MARGIN)
    for j, (column, part) in enumerate(columns[:panels]):
        left = MARGIN + j % across * width
        axes = style.axes(figure, left, top + j // across * (height + 64), width - 36, height)
        made, held = fake[:, part], None if real is None else real[:, part]
        if isinstance(column, Category):
            _bars(axes, column, made, held, 24 // across)
        else:
            _histogram(axes, _there(made), None if held is None else _there(held))
        name = style.short(column.name, max(8, 76 // across - (16 if column.missing is not None else 0)))
        if column.missing is not None:
            gone = [f"{np.mean(x[:, 1] > 0.5):.0%}" for x in (made, held) if x is not None]
            name += f" (missing: {' of '.join(gone)})"
        axes.set_title(name, loc="left", fontsize=8.5, color=INK, pad=4, parse_math=False)
    style.title(figure, MARGIN, title, f"first {panels} of {len(columns)} columns" if panels < len(columns) else "")
    style.legend(figure, WIDTH - MARGIN, [_key("real"), _key("generated")] if real is not None else [_key("generated")])
    if pairs and real is not None:
        _associations(figure, below + MARGIN, space, fake, real)
    return figure


def _columns(space: Space) -> list[tuple[Column, slice]]:
    """The columns and where their values lie; constants are not drawn."""
    assert isinstance(space, Rows)
    return typed(space)


def _there(block: np.ndarray) -> np.ndarray:
    """The finite values of a block of numbers that are not missing."""
    values = block[:, 0] if block.shape[1] == 1 else block[block[:, 1] <= 0.5, 0]
    values = values.astype(np.float64)
    return values[np.isfinite(values)]


def _bars(axes: Axes, column: Category, fake: np.ndarray, real: np.ndarray | None, letters: int) -> None:
    """The shares of a category's levels, the most frequent ones; generated ones as a line over the real ones."""
    made = _shares(column, fake)
    held = None if real is None else _shares(column, real)
    order = np.argsort(-(made if held is None else held), kind="stable")[:MAX_LEVELS]
    edges = np.arange(len(order) + 1) - 0.5
    if held is not None:
        axes.bar(np.arange(len(order)), held[order], width=0.8, color=REAL, alpha=0.45, linewidth=0)
    axes.stairs(made[order], edges, color=FAKE, linewidth=1.4)
    labels = [style.short(column.levels[i], max(3, letters * 6 // len(order))) or "(empty)" for i in order]
    axes.set_xticks(np.arange(len(order)), labels, parse_math=False, fontsize=7.5 if len(order) < 8 else 5.5)
    left = len(column.levels) - len(order)
    if left:
        axes.text(1, 1.03, f"and {left} more", transform=axes.transAxes, ha="right", fontsize=7, color=MUTED)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)


def _shares(column: Category, block: np.ndarray) -> np.ndarray:
    """The share of each level (L,)."""
    return np.bincount(column.places(block), minlength=len(column.levels)) / max(1, len(block))


def _associations(figure: Figure, top: int, space: Space, fake: np.ndarray, real: np.ndarray) -> None:
    """Squares of how strongly each two columns go together: real, generated, and the difference."""
    columns = [column.name for column, _ in _columns(space)]
    assert isinstance(space, Rows)
    found = [associations(space, x) for x in (real, fake)]
    panels = [("real", found[0]), ("generated", found[1]), ("difference", np.abs(found[0] - found[1]))]
    side = min(SQUARE, (WIDTH - 2 * MARGIN - 60) // 3 - 60)
    h = float(figure.get_size_inches()[1] * DPI)
    figure.text(MARGIN / WIDTH, 1 - (top + 8) / h, "how columns go together, 0 to 1", fontsize=10.5, va="center")
    left = WIDTH - MARGIN - 3 * side - 2 * 30
    for i, (name, values) in enumerate(panels):
        axes = style.axes(figure, left + i * (side + 30), top + TITLE, side, side)
        axes.imshow(values, cmap="Blues" if i < 2 else "Oranges", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(name, loc="left", fontsize=8.5, color=INK, pad=4)
        places = np.arange(len(columns))
        axes.set_xticks(places, [style.short(c, 14) for c in columns], rotation=90, fontsize=6, parse_math=False)
        names = [style.short(c, 40) if i == 0 else "" for c in columns]
        axes.set_yticks(places, names, fontsize=6, parse_math=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)


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
