"""What all pictures share: colours, matplotlib's settings, layout in whole pixels from the top left, and the file.

Drawn by matplotlib's Agg renderer without pyplot, so there is no global figure, no window and no display. The same input gives
the same bytes (no dates, no metadata). A picture is encoded in memory and written whole or not at all, so no half picture is
ever seen.
"""

from __future__ import annotations

import contextlib
import gc
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from minigan.files import write_bytes

INK, MUTED, RULE = "#333333", "#858585", "#d6d6d6"
REAL, FAKE = "#4f7195", "#d9622f"  # real samples are grey-blue and generated ones warm, in every picture

DPI = 128  # a power of two, so that pixels / DPI * DPI is exact
MARGIN, TITLE, WIDTH = 24, 36, 1200
LEAST_STEPS = 64  # steps of float64 between values, below which they are drawn as a constant

STYLE = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so pictures are alike everywhere
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.formatter.limits": (-3, 5),  # longer numbers share a power of ten
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.4,
    "legend.columnspacing": 1.4,
    "legend.borderaxespad": 0,
    "legend.borderpad": 0,
}


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """matplotlib's own defaults and ours for the time of a drawing, whatever a person's matplotlibrc says."""
    style: dict[Any, Any] = {k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"} | STYLE
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a column may be named in any script
        yield


def figure(width: int, height: int) -> Figure:
    """An empty picture of so many pixels."""
    made = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    return made


def axes(figure: Figure, left: int, top: int, width: int, height: int) -> Axes:
    """Axes at whole pixels from the top left of the picture."""
    w, h = (float(v) for v in figure.get_size_inches() * DPI)
    return figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))


def title(figure: Figure, left: int, title: str, note: str = "") -> None:
    """The title of a panel at the top of the picture, and a quiet note after it."""
    w, h = (float(v) for v in figure.get_size_inches() * DPI)
    text = figure.text(left / w, 1 - (MARGIN + 8) / h, title, fontsize=10.5, va="center", parse_math=False)
    if note:
        end = text.get_window_extent().x1
        figure.text((end + 16) / w, 1 - (MARGIN + 9) / h, note, fontsize=8, va="center", color=MUTED)


def legend(figure: Figure, right: int, entries: Sequence[Line2D]) -> None:
    """A legend in one line, at the right of the title's line, so that it covers no data."""
    w, h = (float(v) for v in figure.get_size_inches() * DPI)
    place = right / w, 1 - (MARGIN + 8) / h
    figure.legend(handles=list(entries), loc="center right", bbox_to_anchor=place, ncols=len(entries))


def key(colour: str, label: str, **style: Any) -> Line2D:
    """An entry of a legend: a line, unless `style` says otherwise."""
    return Line2D([], [], color=colour, label=label, **style)


def finite_rows(x: np.ndarray, d: int) -> np.ndarray:
    """(n, d) in float64, without the rows that are not finite."""
    rows = np.asarray(x, np.float64).reshape(-1, d)
    return rows[np.isfinite(rows).all(axis=1)]


def thin(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` rows, evenly spaced."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]


def short(name: str, most: int = 40) -> str:
    """A column's name on one line, cut where it is too long for its panel; what fonts cannot draw is escaped."""
    name = " ".join(name.split())
    name = name if name.isprintable() else ascii(name)[1:-1]
    return name if len(name) <= most else name[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def save(figure: Figure, path: str | Path) -> None:
    """Render and write a PNG: grey where the picture is grey (a third of the size), without alpha or metadata."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]
    grey = (pixels[:, :, :1] == pixels).all()
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if grey else pixels))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=4)
    write_bytes(Path(path), file.getvalue())
    # matplotlib's figures are cycles of megabytes; training makes too little garbage of its own to have them collected
    figure.clear()
    gc.collect()
