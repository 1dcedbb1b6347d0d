"""Small panels in the style of a run's own pictures (`minigan.plots`), for report.py and scaling.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from minigan.plots import style
from minigan.plots.style import FAKE, INK, MARGIN, MUTED, REAL, RULE, TITLE

WIDTH, HEIGHT, COLUMNS = 1200, 190, 4
"""Pixels of a picture's width and of a panel's height, and panels in a row."""

LEFT, BELOW, GAP = 56, 84, 24
"""Pixels for the labels of a panel: at its left, below it with the next one's title, and to the next one."""

COLOURS = {"numpy": REAL, "numpy+numba": FAKE, "cupy": "#6d8f5e", "cupy+cuda": "#8a6fa8", "cupy+cuda-tf32": "#b8963e"}


def panels(
    path: Path, title: str, names: Sequence[str], draw: Callable[[Axes, str], None], keys: Sequence[Line2D]
) -> None:
    """Draw one panel with logarithmic axes for each name. draw(axes, name) plots, and labels both axes. Raises: OSError."""
    columns = min(COLUMNS, len(names))
    pitch, top = (WIDTH - 2 * MARGIN + GAP) // columns, MARGIN + TITLE + 20
    with style.house_style():
        figure = style.figure(WIDTH, top - (-len(names) // columns) * (HEIGHT + BELOW) - 24)
        for i, name in enumerate(names):
            left, down = MARGIN + LEFT + i % columns * pitch, top + i // columns * (HEIGHT + BELOW)
            axes = style.axes(figure, left, down, pitch - LEFT - GAP, HEIGHT)
            axes.loglog()
            draw(axes, name)
            axes.set_title(name, loc="left", fontsize=8.5, color=INK, pad=5, parse_math=False)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_minor_formatter(NullFormatter())
            axes.grid(axis="y", color=RULE, linewidth=0.6, alpha=0.6)
            axes.set_axisbelow(True)
            assert axes.get_xlabel() and axes.get_ylabel()
        style.title(figure, MARGIN, title)
        style.legend(figure, WIDTH - MARGIN, keys)
        style.save(figure, path)


def line(series: str) -> Line2D:
    """The line of a series ("numpy+numba float64"): a colour per backend and kernels, an empty marker for float64."""
    where, _, dtype = series.partition(" ")
    colour = COLOURS.get(where, MUTED)
    face = "white" if dtype == "float64" else colour
    return Line2D([], [], color=colour, linewidth=1.4, marker="o", markersize=3.5, markerfacecolor=face, label=series)


def plot(axes: Axes, like: Line2D, points: Sequence[tuple[float, float]]) -> None:
    """Draw points (x, y) in the style of the legend entry `like`."""
    drawn = Line2D(*zip(*points, strict=True))
    drawn.update_from(like)
    axes.add_line(drawn)
    axes.autoscale_view()
