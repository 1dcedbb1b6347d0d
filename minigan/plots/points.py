"""Points in the plane: real and generated ones over the surface of the discriminator's logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from minigan.data.spaces import Space
from minigan.plots import style
from minigan.plots.shown import Field, Pictures, Shown
from minigan.plots.style import FAKE, INK, LEAST_STEPS, MARGIN, REAL, TITLE

SURFACE = LinearSegmentedColormap.from_list("surface", ["#eeb596", "#faf7f3", "#a3bdd6"])  # taken for generated .. real
PANEL, HALF_PANEL = 800, 580  # side in pixels of the plane: one, each of two
MAX_POINTS, MAX_ARROWS = 4000, 100

Window = tuple[float, float, float, float]  # x0, x1, y0, y1
Panel = tuple[str, np.ndarray | None, np.ndarray | None]  # title, generated points, real ones


def progress(space: Space, shown: Shown, title: str) -> Figure:
    return _planes(space, shown, [(title, shown.fake, shown.real)])


def comparison(space: Space, shown: Shown) -> Figure:
    return _planes(space, shown, [("generated", shown.fake, None), ("real", None, shown.real)])


def samples(space: Space, x: np.ndarray) -> Figure:
    return _planes(space, Shown(x), [(f"{len(x):,} generated", x, None)])


def plane(real: np.ndarray, n: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """xs, ys (n,) that span the window in which points like `real` (m, 2) are shown: the grid for a `Field`."""
    x0, x1, y0, y1 = _window(style.finite_rows(real, 2))
    return np.linspace(x0, x1, n), np.linspace(y0, y1, n)


def _window(points: np.ndarray) -> Window:
    """A window around all points with a fifth of their range on each side; square unless the ranges differ greatly."""
    if not len(points):
        return -1.0, 1.0, -1.0, 1.0
    low, high = points.min(axis=0), points.max(axis=0)
    middle, span = (low + high) / 2, high - low
    vary = span > LEAST_STEPS * np.spacing(np.abs(middle))
    widest = span[vary].max() if vary.any() else max(1.0, float(np.abs(middle).max()))
    span = np.where(vary, span, np.maximum(widest, 1e-9 * np.abs(middle)))
    if span.max() <= 5 * span.min():
        span[:] = span.max()
    (x0, y0), (x1, y1) = middle - 0.7 * span, middle + 0.7 * span
    return float(x0), float(x1), float(y0), float(y1)


def _window_of(shown: Shown) -> Window:
    """The window of the real points; where there are none, of the surface, and else of the generated ones."""
    if shown.real is None and shown.field is not None:
        xs, ys = shown.field.xs, shown.field.ys
        return float(xs[0]), float(xs[-1]), float(ys[0]), float(ys[-1])
    return _window(style.finite_rows(shown.fake if shown.real is None else shown.real, 2))


def _planes(space: Space, shown: Shown, panels: Sequence[Panel]) -> Figure:
    """Panels side by side over one surface, in one window."""
    window, field = _window_of(shown), shown.field
    side, top = (PANEL if len(panels) == 1 else HALF_PANEL), MARGIN + TITLE
    pitch = side + MARGIN + 16
    bar = 128 if field is not None and np.isfinite(field.logits).any() else 0
    figure = style.figure(MARGIN + 64 + pitch * len(panels) + bar, top + side + 56 + MARGIN)
    for i, panel in enumerate(panels):
        left = MARGIN + 64 + i * pitch
        axes = style.axes(figure, left, top, side, side)
        surface = _surface(axes, field) if bar and field is not None else None
        entries, note = _samples(axes, panel, window, field)
        _frame(axes, window)
        axes.set_xlabel(style.short(space.columns[0]), parse_math=False)
        if i == 0:
            axes.set_ylabel(style.short(space.columns[1]), parse_math=False, labelpad=2)
        else:
            axes.yaxis.set_tick_params(labelleft=False)
        style.title(figure, left, panel[0], note)
        if len(entries) > 1:
            style.legend(figure, left + side, entries if len(panels) == 1 else entries[1:])
        if surface is not None and i == len(panels) - 1:
            _colour_bar(figure, surface, left + side + 24, top, side)
    return figure


def _samples(axes: Axes, panel: Panel, window: Window, field: Field | None) -> tuple[list[Line2D], str]:
    """Draw a panel's points, and arrows at generated ones: the entries of its legend, and how many lie outside, in words."""
    (_, fake, real), entries, (x0, x1, y0, y1) = panel, [], window
    if real is not None:
        entries.append(_dots(axes, style.finite_rows(real, 2), REAL, 0.45, "real"))
    if fake is None:
        return entries, ""
    points = style.finite_rows(fake, 2)
    x, y = points.T
    outside = len(fake) - int(((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)).sum())
    entries.append(_dots(axes, points, FAKE, 0.8, "generated"))
    if field is not None:
        entries.extend(_arrows(axes, field, window))
    return entries, f"{outside:,} of {len(fake):,} outside" if outside else ""


def _frame(axes: Axes, window: Window) -> None:
    axes.set(xlim=window[:2], ylim=window[2:])
    if math.isclose(window[1] - window[0], window[3] - window[2]):
        axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_axisbelow(False)


def _dots(axes: Axes, points: np.ndarray, colour: str, alpha: float, label: str) -> Line2D:
    shown = style.thin(points, MAX_POINTS)
    size = float(np.clip(90 / math.sqrt(len(shown) + 1), 1.8, 5))
    marks: dict[str, Any] = {"linestyle": "", "marker": "o", "markeredgewidth": 0}
    axes.plot(*shown.T, color=colour, markersize=size, alpha=alpha, zorder=2 if colour == REAL else 4, **marks)
    return style.key(colour, label, markersize=5, **marks)


def _surface(axes: Axes, field: Field) -> Any:
    """Filled contours of the logits, seven bands on each side of their median; the thin line is the median itself."""
    logits = np.asarray(field.logits, np.float64)
    finite = logits[np.isfinite(logits)]
    low, median, high = (float(v) for v in np.percentile(finite, (1, 50, 99)))
    least = 1e-3 * max(1.0, abs(median))  # so that a constant surface is plain, not noise in full colour
    low, high = min(low, median - least), max(high, median + least)
    levels = np.concatenate([np.linspace(low, median, 8), np.linspace(median, high, 8)[1:]])
    grid = (field.xs, field.ys, np.ma.masked_invalid(logits))
    norm = TwoSlopeNorm(median, low, high)
    filled = axes.contourf(*grid, levels=levels, cmap=SURFACE, norm=norm, extend="both", zorder=0)
    if finite.min() < median < finite.max():
        axes.contour(*grid, levels=[median], colors=["#b9b3ab"], linewidths=0.8, linestyles="solid", zorder=1)
    return filled


def _colour_bar(figure: Figure, surface: Any, left: int, top: int, side: int) -> None:
    bar = figure.colorbar(surface, cax=style.axes(figure, left, top, 14, side))
    bar.outline.set_visible(False)
    ticks = surface.levels[[0, 3, 7, 11, 14]]
    near_zero = 1e-6 * float(surface.levels[-1] - surface.levels[0])
    labels = [f"{0.0 if abs(t) < near_zero else t:.3g}".replace("-", "\N{MINUS SIGN}") for t in ticks]
    bar.set_ticks(list(ticks), labels=labels)
    bar.ax.tick_params(length=0)
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.set_label("logit of the discriminator (higher: taken for real; centre: the median)")


def _arrows(axes: Axes, field: Field, window: Window) -> list[Line2D]:
    """At most 100 arrows; the strongest tenth spans 1/18 of the window, and lengths go as the root of the push."""
    ok = np.isfinite(field.at).all(axis=1) & np.isfinite(field.push).all(axis=1)
    at, push = (style.thin(np.asarray(a, np.float64)[ok], MAX_ARROWS) for a in (field.at, field.push))
    span = np.array([window[1] - window[0], window[3] - window[2]])
    strength = np.hypot(*(push / span).T)  # as a share of the window, whatever the units of its axes
    at, push, strength = at[strength > 0], push[strength > 0], strength[strength > 0]
    if not len(at):
        return []
    relative = np.minimum(strength / np.percentile(strength, 90), 1)
    shown = push * (np.sqrt(relative) / 18 / strength)[:, None]
    arrows: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.0018, "headwidth": 4.5}
    axes.quiver(*at.T, *shown.T, color=INK, alpha=0.7, zorder=3, **arrows)
    return [style.key(INK, "push by the discriminator", lw=1, marker=">", markersize=4)]


PICTURES = Pictures(progress, comparison, samples, plane=plane)
