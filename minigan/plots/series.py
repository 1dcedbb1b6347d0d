"""Training curves from the lines of `metrics.jsonl`, which may be many.

Losses and the discriminator's mean outputs, then a small panel for the speed and for every other numeric key: measures say
which direction is good. Many points are drawn thin with their running mean bold; values that are not finite are left out; a
loss with outliers gets a symmetric logarithmic axis, and another positive measure that spans a factor of 50 a logarithmic one.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from minigan.metrics.measures import LOW, MEASURES
from minigan.plots import style
from minigan.plots.style import FAKE, INK, MARGIN, MUTED, REAL, RULE, TITLE, WIDTH

MAX_CURVE, MAX_SERIES = 10_000, 40

LEFT, RIGHT, GAP, TOP, BIG, BELOW = MARGIN + 48, MARGIN + 16, 72, MARGIN + TITLE, 360, 84
"""Pixels: for labels at the left, at the right, between panels, above them; height of the main ones, below each."""

Series = tuple[np.ndarray, np.ndarray]  # steps, values
Span = tuple[float, float]  # the first step and the last
NOTHING: Series = np.empty(0), np.empty(0)
DASHED: dict[str, Any] = {"linestyle": (0, (4, 3)), "zorder": 1}

SPEED = "steps_per_second"
LOSSES = {"loss_d": ("discriminator", REAL), "loss_g": ("generator", FAKE)}
OUTPUTS = {"d_real": ("D(x)", REAL), "d_fake": ("D(G(z))", FAKE)}


def draw(records: Iterable[Mapping[str, Any]], real: Mapping[str, float]) -> Figure:
    """real: what real samples score by the measures among the keys, drawn as a line."""
    series = _series(records)
    keys = sorted(series, key=lambda k: k == SPEED)  # the speed last: it says least about samples
    small = [k for k in keys if k not in {**LOSSES, **OUTPUTS}]
    columns = math.ceil(len(small) / math.ceil(len(small) / 3)) if small else 1
    height = 90 if len(small) == 1 else 140
    figure = style.figure(WIDTH, TOP + BIG + 56 + math.ceil(len(small) / columns) * (height + BELOW) + MARGIN // 2)
    steps = [s for s, _ in series.values()]
    span = (min(s[0] for s in steps), max(s[-1] for s in steps)) if steps else (0.0, 1.0)
    half = (WIDTH - LEFT - RIGHT - GAP) // 2
    for x, title, lines in (
        (LEFT, "losses", LOSSES),
        (LEFT + half + GAP, "output of the discriminator", OUTPUTS),
    ):
        entries = _players(style.axes(figure, x, TOP, half, BIG), lines, series, span)
        style.title(figure, x, title)
        style.legend(figure, x + half, entries)
    each = (WIDTH - LEFT - RIGHT - GAP * (columns - 1)) // columns
    for i, key in enumerate(small):
        y, x = TOP + BIG + BELOW + i // columns * (height + BELOW), LEFT + i % columns * (each + GAP)
        axes = style.axes(figure, x, y, each, height)
        whole = _measure(axes, key, series[key], real.get(key, math.nan))
        _finish(axes, span, (8 // columns, 3), whole)
    return figure


def _players(axes: Axes, lines: dict[str, tuple[str, str]], series: dict[str, Series], span: Span) -> list[Line2D]:
    """Both players' losses, or D's outputs on both sides; the entries of the legend."""
    if lines is OUTPUTS:
        axes.axhline(0.5, color=MUTED, linewidth=0.8, **DASHED)
    entries = [_line(axes, series.get(key, NOTHING), colour, name) for key, (name, colour) in lines.items()]
    together = np.concatenate([series.get(key, NOTHING)[1] for key in lines])
    if not together.size:
        axes.set_ylim(-0.02, 1.02)
        axes.text(0.5, 0.6, "nothing recorded yet", transform=axes.transAxes, ha="center", color=MUTED)
    elif lines is LOSSES:
        _symlog_if_wild(axes, together)
    _finish(axes, span)
    axes.set_xlabel("step")
    if lines is OUTPUTS and together.size and 0 <= together.min() <= together.max() <= 1:
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.set_ylim(-0.02, 1.02)
    return entries


def _measure(axes: Axes, key: str, series: Series, real: float) -> bool:
    """A small panel; whether its values are whole numbers."""
    speed, measure, values = key == SPEED, MEASURES.get(key), series[1]
    _line(axes, series, MUTED if speed else INK, key)
    if math.isfinite(real):
        axes.axhline(real, color=REAL, linewidth=1.2, **DASHED)
        axes.set_title(f"real {real:.3g}", loc="right", fontsize=7.5, color=REAL, pad=5)
        values = np.append(values, real)
    if speed:
        axes.set_ylim(0, max(1e-9, 1.15 * values.max()))
    elif values.min() > 0 and values.max() > 50 * values.min() and (measure is None or measure.better is LOW):
        axes.set_yscale("log")
    name = "steps per second" if speed else style.short(key.replace("_", " "), 40)
    title = f"{name}, {measure.better.words}" if measure else name
    axes.set_title(title, loc="left", fontsize=8.5, color=INK, pad=5, parse_math=False)
    return measure is not None and measure.count


def _is_usable(value: Any) -> bool:
    number = type(value) in (int, float) or isinstance(value, np.integer | np.floating)
    return number and bool(-1e30 < value < 1e30)


def _series(records: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """steps, values (float64) of every number in the records, by name, where both are finite, and not absurd, so that sums
    stay finite. Of more than MAX_SERIES names the first are taken, of very many points evenly spaced ones."""
    found: dict[str, _Curve] = {}
    for record in records:
        step: Any = record.get("step")
        for name, value in record.items():
            if name != "step" and _is_usable(step) and _is_usable(value):
                if name not in found and len(found) < MAX_SERIES:
                    found[name] = _Curve()
                if name in found:
                    found[name].add(step, value)
    return {name: (np.array(curve.steps), np.array(curve.values)) for name, curve in found.items()}


class _Curve:
    """Points of a curve: whenever there are 2 MAX_CURVE of them, every second is left out from then on."""

    def __init__(self) -> None:
        self.steps, self.values = array("d"), array("d")
        self.seen, self.stride = 0, 1

    def add(self, step: float, value: float) -> None:
        if self.seen % self.stride == 0:
            self.steps.append(step)
            self.values.append(value)
            if len(self.steps) == 2 * MAX_CURVE:
                del self.steps[1::2], self.values[1::2]
                self.stride *= 2
        self.seen += 1


def _line(axes: Axes, series: Series, colour: str, label: str) -> Line2D:
    """Few points as a line; many as a thin line under their bold running mean."""
    steps, values = series
    n = len(values)
    if n > 60:
        axes.plot(steps, values, color=colour, linewidth=0.6, alpha=0.35)
        axes.plot(steps, running_mean(values, max(2, n // 60)), color=colour, linewidth=1.8)
    else:
        marker = "o" if n <= 20 else ""
        axes.plot(steps, values, color=colour, linewidth=1.6, marker=marker, markersize=3)
    return style.key(colour, label, linewidth=1.8)


def running_mean(values: np.ndarray, reach: int) -> np.ndarray:
    """Mean over up to `reach` neighbours on each side, fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    i = np.arange(len(values))
    low, high = np.maximum(i - reach, 0), np.minimum(i + reach + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def _symlog_if_wild(axes: Axes, values: np.ndarray) -> None:
    if values.size and np.abs(values).max() > 50 * (typical := max(1.0, float(np.median(np.abs(values))))):
        axes.set_yscale("symlog", linthresh=typical)


def _finish(axes: Axes, span: Span, ticks: tuple[int, int] = (6, 5), whole: bool = False) -> None:
    """Axes of steps, with at most so many ticks; whole: the values are whole numbers."""
    pad = 0.01 * (span[1] - span[0]) or 1.0
    axes.set_xlim(span[0] - pad, span[1] + pad)
    axes.xaxis.set_major_locator(MaxNLocator(ticks[0], steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if axes.get_yscale() == "linear":
        least = 1 if whole else 2
        axes.yaxis.set_major_locator(MaxNLocator(ticks[1], steps=[1, 2, 2.5, 5, 10], integer=whole, min_n_ticks=least))
    axes.grid(axis="y", color=RULE, linewidth=0.6, alpha=0.6)
    axes.set_axisbelow(True)
