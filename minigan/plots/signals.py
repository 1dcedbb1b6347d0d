"""Signals: a grid of curves, and the mean power at each frequency under it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from minigan.data.spaces import Space
from minigan.data.spaces.series import Signal
from minigan.metrics.spectra import decibels, spectrum
from minigan.plots import style
from minigan.plots.shown import Panels, Pictures, Shown
from minigan.plots.style import FAKE, INK, MARGIN, REAL, RULE, TITLE, WIDTH

ROWS, COLUMNS, HALF = 6, 6, 3
"""Curves of a grid: rows; columns of one grid, and of each of two."""

HEIGHT, GAP, SPECTRUM = 72, 12, 220
"""Pixels: the height of a curve; between curves; the height of the spectrum."""

POINTS = 300
"""Points in which a long curve is drawn, each with the least and the largest value around it."""

MAX_CHANNELS = 3
"""Channels of a signal that are drawn, one under another."""


def progress(space: Space, shown: Shown, title: str) -> Figure:
    return _drawn(space, [(title, shown.fake, FAKE)], shown)


def comparison(space: Space, shown: Shown) -> Figure:
    assert shown.real is not None
    return _drawn(space, [("generated", shown.fake, FAKE), ("real", shown.real, REAL)], shown)


def samples(space: Space, x: np.ndarray) -> Figure:
    return _drawn(space, [(f"{len(x):,} generated", x, FAKE)], Shown(x))


def neighbours(space: Space, panels: Panels) -> Figure:
    """Each panel becomes rows of one generated signal and its k nearest training signals, over a pale copy of the generated one."""
    rows, k = max(len(x) for _, x, _ in panels), panels[0][2].shape[1]
    top, panel = MARGIN + TITLE, (WIDTH - MARGIN) // len(panels)
    width = (panel - MARGIN) // (k + 1)
    figure = style.figure(WIDTH, top + rows * (HEIGHT + GAP) + MARGIN)
    for p, (title, x, near) in enumerate(panels):
        left = MARGIN + p * panel
        style.title(figure, left, title, "pale: the generated one again" if p == 0 else "")
        for i, (own, others) in enumerate(zip(x, near, strict=True)):
            limits = _limits(space, np.concatenate([own.reshape(1, -1), others.reshape(k, -1)]), rare=0)
            for j in range(k + 1):
                axes = style.axes(figure, left + j * width, top + i * (HEIGHT + GAP), width - GAP, HEIGHT)
                _curve(axes, space, own, limits, FAKE, 0.35 if j else 1)
                if j:
                    _curve(axes, space, others[j - 1], limits, REAL)
    return figure


def _drawn(space: Space, parts: Sequence[tuple[str, np.ndarray, str]], shown: Shown) -> Figure:
    """Grids side by side, each under its title, and the spectra under them."""
    columns = COLUMNS if len(parts) == 1 else HALF
    stacks = [np.asarray(x).reshape(-1, space.size) for _, x, _ in parts]
    real = None if shown.real is None else np.asarray(shown.real).reshape(-1, space.size)
    limits = _limits(space, stacks[0] if real is None else real)
    rows = max(1, min(ROWS, math.ceil(max(map(len, stacks)) / columns)))
    top, panel = MARGIN + TITLE, (WIDTH - MARGIN) // len(parts)
    width, below = (panel - MARGIN) // columns, MARGIN + TITLE + rows * (HEIGHT + GAP) + 28
    figure = style.figure(WIDTH, below + SPECTRUM + 48 + MARGIN)
    for p, ((title, _, colour), x) in enumerate(zip(parts, stacks, strict=True)):
        left = MARGIN + p * panel
        style.title(figure, left, title, _note(space) if p == 0 else "")
        for i, signal in enumerate(x[: rows * columns]):
            place = left + i % columns * width, top + i // columns * (HEIGHT + GAP)
            _curve(style.axes(figure, *place, width - GAP, HEIGHT), space, signal, limits, colour)
    axes = style.axes(figure, MARGIN + 40, below, WIDTH - 2 * MARGIN - 40, SPECTRUM)
    _spectra(axes, space, stacks[0], real)
    if real is not None:
        style.legend(figure, WIDTH - MARGIN, [style.key(REAL, "real", lw=2), style.key(FAKE, "generated", lw=2)])
    return figure


def _note(space: Space) -> str:
    """How long a curve is, and which channels are drawn."""
    assert isinstance(space, Signal)
    channels, t = space.shape
    long = f"{t / space.sample_rate:.3g} s each" if space.sample_rate else f"{t:,} samples each"
    return long + (f", {MAX_CHANNELS} of {channels} channels" if channels > MAX_CHANNELS else "")


def _limits(space: Space, x: np.ndarray, rare: float = 0.0005) -> np.ndarray:
    """The least and the largest finite value of each channel of rows x (n, size), without the rare share at each end, and a
    little room: (channels, 2)."""
    result = []
    for values in np.moveaxis(x.reshape(-1, *space.shape), 1, 0):
        finite = values[np.isfinite(values)].astype(np.float64)
        low, high = np.quantile(finite, [rare, 1 - rare]) if finite.size else (0.0, 0.0)
        room = 0.05 * (high - low) or max(1.0, abs(low))
        result.append((low - room, high + room))
    return np.array(result)


def _curve(axes: Axes, space: Space, x: np.ndarray, limits: np.ndarray, colour: str, alpha: float = 1) -> None:
    """One signal, its first channels one under another, each between its limits."""
    channels = min(space.shape[0], MAX_CHANNELS)
    for i, (values, (low, high)) in enumerate(zip(x.reshape(space.shape)[:channels], limits, strict=False)):
        at, shown = outline(np.clip((values.astype(np.float64) - low) / (high - low), 0, 1))
        axes.plot(at, shown - i, color=colour, linewidth=0.7, alpha=alpha)
    axes.set(xlim=(0, max(1, space.shape[1] - 1)), ylim=(-channels + 1, 1))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(NullLocator())
    axes.spines[["left", "bottom"]].set_visible(False)


def outline(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions and values of a curve x (t,): of a long one the least and the largest of each of POINTS equal parts."""
    t = len(x)
    if t <= 2 * POINTS:
        return np.arange(t), x
    edges = np.arange(POINTS) * t // POINTS
    pairs = np.stack([np.fmin.reduceat(x, edges), np.fmax.reduceat(x, edges)], axis=1)
    return np.repeat(edges + t / POINTS / 2, 2), pairs.reshape(-1)


def _spectra(axes: Axes, space: Space, fake: np.ndarray, real: np.ndarray | None) -> None:
    """The mean power at each frequency in decibels of the strongest real one, a line for each channel."""
    assert isinstance(space, Signal)
    known = _power(space, fake if real is None else real)
    at = np.linspace(0, (space.sample_rate or 1) / 2, known.shape[1])
    for colour, rows in ((REAL, real), (FAKE, fake)):
        if rows is not None:
            for line in decibels(_power(space, rows), known)[:MAX_CHANNELS]:
                axes.plot(at, line, color=colour, linewidth=1.6)
    axes.set(xlim=(at[0], at[-1]), ylim=(-62, None))
    axes.set_ylabel("mean power, dB")
    axes.set_xlabel("frequency, Hz" if space.sample_rate else "frequency, cycles per sample")
    axes.set_title("spectrum", loc="left", fontsize=8.5, color=INK, pad=5)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=RULE, linewidth=0.6, alpha=0.6)


def _power(space: Space, x: np.ndarray) -> np.ndarray:
    """The mean spectrum of the finite ones of rows x (n, size), each channel moved by its mean: (channels, k)."""
    rows = style.finite_rows(x, space.size)
    if not len(rows):
        rows = np.zeros((1, space.size))
    signals = rows.reshape(-1, *space.shape)
    return spectrum(signals - signals.mean(axis=(0, 2), keepdims=True))


PICTURES = Pictures(progress, comparison, samples, neighbours)
