"""Every picture that minigan makes: sample mosaics, the discriminator's surface, histograms, curves, the animation.

Drawn by matplotlib's Agg renderer without pyplot, so there is no global figure, no window and no display. Layout is in
whole pixels from the top left. The same input gives the same bytes (no dates, no metadata). A picture is encoded in
memory and written whole or not at all, so no half picture is ever seen.

Samples are host arrays in data units, (n, size) or (n, *space.shape); images lie in [0, 1], white on black. Every
function raises OSError when its file cannot be written, and leaves what stood there before.
"""

from __future__ import annotations

import contextlib
import gc
import io
import math
import warnings
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from PIL import Image, ImageOps

from minigan.data.scaling import FAR
from minigan.errors import InputError, reason
from minigan.files import reading, write_bytes
from minigan.metrics.suite import METRICS

if TYPE_CHECKING:  # only for the hints: drawing needs no loader
    from minigan.data.spaces import Space

INK, MUTED, RULE = "#333333", "#858585", "#d6d6d6"
REAL, FAKE = "#4f7195", "#d9622f"  # real samples are grey-blue and generated ones warm, in every picture
SURFACE = LinearSegmentedColormap.from_list("surface", ["#eeb596", "#faf7f3", "#a3bdd6"])  # taken for generated .. real

DPI = 128  # a power of two, so that pixels / DPI * DPI is exact
MARGIN, TITLE = 24, 36
TILE_GAP, PAPER = 4, 255
MOSAIC_WIDTH, HALF_WIDTH = 900, 640  # pixels aimed at: one mosaic, each of two
PANEL, HALF_PANEL = 800, 580  # side in pixels of the plane of 2-D points: one, each of two
MAX_POINTS, MAX_ARROWS, MAX_COLUMNS = 4000, 100, 12
BINS = 40
BETTER = {"low": "lower is better", "high": "higher is better", "one": "near 1 is good", "real": "near real is good"}
LEAST_STEPS = 64  # steps of float64 between values, below which they are drawn as a constant
MAX_FRAMES, FRAME_MS, LAST_FRAME_MS = 100, 150, 2000
MAX_CURVE, MAX_SERIES = 10_000, 40
MAX_GIF_WIDTH, MAX_GIF_BYTES = 720, 2_600_000
MAX_FRAME = 1600  # pixels of a side of a picture of progress: those drawn here have at most 1209

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
}


@dataclass
class Field:
    """The discriminator on a plane: its logits on a grid, and how it pushes generated points.

    xs (nx,), ys (ny,): the grid, from `plane`.  logits (ny, nx): D's logit at (xs[j], ys[i]).
    at (k, 2): generated points.  push (k, 2): the direction that lowers the generator's loss there.
    """

    xs: np.ndarray
    ys: np.ndarray
    logits: np.ndarray
    at: np.ndarray
    push: np.ndarray


def plane(real: np.ndarray, n: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """xs, ys (n,) that span the window in which points like `real` (m, 2) are shown: the grid for a `Field`."""
    x0, x1, y0, y1 = _window(_rows(real, 2))
    return np.linspace(x0, x1, n), np.linspace(y0, y1, n)


@contextlib.contextmanager
def _house_style() -> Iterator[None]:
    """matplotlib's own defaults and ours for the time of a drawing, whatever a person's matplotlibrc says."""
    style: dict[Any, Any] = {k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"} | STYLE
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a column may be named in any script
        yield


@_house_style()
def progress(path: str | Path, space: Space, fake: np.ndarray, *, step: int, real: np.ndarray | None = None,
             field: Field | None = None) -> None:  # fmt: skip
    """The generator at one step: `samples/step-00000500.png`.

    Images: a mosaic of all of `fake`. Points: real and generated over the discriminator's surface, with arrows along
    which it pushes the generated ones; the axes follow from `real` alone, so they are the same in every frame of a run.
    Tables: a histogram of each column (12 at most), real against generated, in bins from the real values.
    Raises: OSError.
    """
    title = f"step {step:,}"
    if space.kind == "image":
        figure = _mosaics([(title, fake)], space, MOSAIC_WIDTH)
    elif space.kind == "points":
        figure = _planes([(title, fake, real)], space, real, field)
    else:
        figure = _histograms(title, space, fake, real)
    _save(figure, path)


@_house_style()
def comparison(path: str | Path, space: Space, fake: np.ndarray, real: np.ndarray, *,
               field: Field | None = None) -> None:  # fmt: skip
    """Generated beside real: `samples.png`. Tables: both in one histogram per column. Raises: OSError."""
    if space.kind == "image":
        figure = _mosaics([("generated", fake), ("real", real)], space, HALF_WIDTH)
    elif space.kind == "points":
        figure = _planes([("generated", fake, None), ("real", None, real)], space, real, field)
    else:
        figure = _histograms("generated against real", space, fake, real)
    _save(figure, path)


@_house_style()
def samples(path: str | Path, space: Space, x: np.ndarray) -> None:
    """Generated samples alone: a mosaic of images, a scatter of points, or a histogram per column. Raises: OSError."""
    if space.kind == "image":
        figure = _mosaics([("", x)], space, MOSAIC_WIDTH)
    elif space.kind == "points":
        figure = _planes([(f"{len(x):,} generated", x, None)], space, None, None)
    else:
        figure = _histograms(f"{len(x):,} generated", space, x, None)
    _save(figure, path)


@_house_style()
def neighbours(path: str | Path, space: Space, panels: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> None:
    """Generated images beside the training images nearest to them: `neighbours.png`.

    panels: (title, images (r, size), nearest (r, k, size)); each becomes rows of one generated image and its k nearest.
    Raises: OSError.
    """
    h, w = space.shape
    k = panels[0][2].shape[1]
    _, size = _tiling((k + 1) ** 2, h, w, HALF_WIDTH)
    left, top, edge = MARGIN, MARGIN + TITLE + 20, 4 * TILE_GAP
    pairs = [
        (_mosaic(np.asarray(x).reshape(-1, h, w), 1, size), _mosaic(np.asarray(near).reshape(-1, h, w), k, size))
        for _, x, near in panels
    ]
    width = sum(own.shape[1] + edge + near.shape[1] + 2 * MARGIN for own, near in pairs)
    figure = _figure(width, height := top + max(own.shape[0] for own, _ in pairs) + MARGIN)
    for (title, _, _), (own, near) in zip(panels, pairs, strict=True):
        _title(figure, left, title)
        for picture, label, colour, shift in ((own, "generated", FAKE, 0), (near, "nearest training images", REAL, 1)):
            x = left + shift * (own.shape[1] + edge)
            figure.add_artist(_Pixels(picture, x, height - top - picture.shape[0]))
            figure.text(x / width, 1 - (top - 12) / height, label, fontsize=8, va="center", color=colour)
        left += own.shape[1] + edge + near.shape[1] + 2 * MARGIN
    _save(figure, path)


@_house_style()
def distances(path: str | Path, fake: np.ndarray, real: np.ndarray) -> None:
    """How far generated rows and held-out real rows (both (n,)) are from the nearest training row. Raises: OSError."""
    figure = _figure(900, MARGIN + TITLE + 320 + 64)
    axes = _axes(figure, MARGIN, MARGIN + TITLE, 900 - 2 * MARGIN, 320)
    _histogram(axes, _column(fake, 1, 0), _column(real, 1, 0))
    axes.set_xlabel("distance, in standard deviations of the columns")
    _title(figure, MARGIN, "distance to the nearest training row")
    real_key = Line2D([], [], color=REAL, alpha=0.45, lw=7, label="real, held out")
    _legend(figure, 900 - MARGIN, [real_key, Line2D([], [], color=FAKE, lw=1.6, label="generated")])
    _save(figure, path)


# --- images ---------------------------------------------------------------------------------------------------------


def _mosaics(parts: Sequence[tuple[str, np.ndarray]], space: Space, width: int) -> Figure:
    """Mosaics side by side, each under its title, all of one layout."""
    h, w = space.shape
    stacks = [np.asarray(x).reshape(-1, h, w) for _, x in parts]
    columns, size = _tiling(max(len(x) for x in stacks), h, w, width)
    pictures = [_mosaic(x, columns, size) for x in stacks]
    left, top = MARGIN, MARGIN + (TITLE if any(title for title, _ in parts) else 0)
    height = top + max(p.shape[0] for p in pictures) + MARGIN
    figure = _figure(sum(p.shape[1] + MARGIN for p in pictures) + MARGIN, height)
    for (title, _), picture in zip(parts, pictures, strict=True):
        figure.add_artist(_Pixels(picture, left, height - top - picture.shape[0]))
        _title(figure, left, title)
        left += picture.shape[1] + MARGIN
    return figure


def _tiling(n: int, h: int, w: int, width: int) -> tuple[int, tuple[int, int]]:
    """Columns and (height, width) of a tile in pixels for n images: about square, about `width` wide, whole zooms."""
    columns = min(max(n, 1), max(1, math.ceil(math.sqrt(n * h / w) - 1e-9)))
    rows = max(1, math.ceil(n / columns))
    zoom = min(width / (columns * w), 1.25 * width / (rows * h))
    zoom = float(round(zoom)) if zoom > 0.75 else zoom  # only images too large for the page are shrunk
    return columns, (max(1, round(h * zoom)), max(1, round(w * zoom)))


def _mosaic(images: np.ndarray, columns: int, size: tuple[int, int]) -> np.ndarray:
    """(n, h, w) in [0, 1] -> one uint8 picture, tiles of `size`, row by row; values that are not finite are black."""
    n, h, w = images.shape
    finite = np.nan_to_num(images, nan=0.0, posinf=1.0, neginf=0.0)
    shades = np.rint(np.clip(finite, 0, 1) * 255).astype(np.uint8)
    if size[0] >= h and size[1] >= w:
        tiles = shades.repeat(size[0] // h, axis=1).repeat(size[1] // w, axis=2)
    else:
        shrunk = [np.asarray(Image.fromarray(s).resize(size[::-1], Image.Resampling.BOX)) for s in shades]
        tiles = np.array(shrunk, np.uint8).reshape(n, *size)
    rows = max(1, math.ceil(n / columns))
    down, right = size[0] + TILE_GAP, size[1] + TILE_GAP
    picture = np.full((rows * down - TILE_GAP, columns * right - TILE_GAP), PAPER, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * down, i % columns * right
        picture[y : y + size[0], x : x + size[1]] = tile
    return picture


class _Pixels(Artist):
    """A grey picture copied to whole pixels; `Figure.figimage` would resample it, in four times the time."""

    def __init__(self, shades: np.ndarray, left: int, bottom: int) -> None:
        super().__init__()
        self._place = left, bottom
        self._rgba = np.full((*shades.shape, 4), 255, np.uint8)
        self._rgba[:, :, :3] = shades[::-1, :, None]  # Agg counts rows from the bottom

    def draw(self, renderer: Any) -> None:
        renderer.draw_image(renderer.new_gc(), *self._place, self._rgba)


# --- points in the plane --------------------------------------------------------------------------------------------

Window = tuple[float, float, float, float]  # x0, x1, y0, y1


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


def _planes(panels: Sequence[tuple[str, np.ndarray | None, np.ndarray | None]], space: Space,
            real: np.ndarray | None, field: Field | None) -> Figure:  # fmt: skip
    """Panels (title, generated or None, real or None) over one surface, in the window of `real`."""
    if real is not None:
        window = _window(_rows(real, 2))
    elif field is not None:
        window = (float(field.xs[0]), float(field.xs[-1]), float(field.ys[0]), float(field.ys[-1]))
    else:
        window = _window(np.concatenate([_rows(fake, 2) for _, fake, _ in panels if fake is not None]))
    side, left, top = (PANEL if len(panels) == 1 else HALF_PANEL), MARGIN + 64, MARGIN + TITLE
    pitch = side + MARGIN + 16
    bar = 128 if field is not None and np.isfinite(field.logits).any() else 0
    figure = _figure(left + pitch * len(panels) + bar, top + side + 56 + MARGIN)
    for i, (title, fake, true) in enumerate(panels):
        axes = _axes(figure, left + i * pitch, top, side, side)
        surface = _surface(axes, field) if bar and field is not None else None
        entries = []
        if true is not None:
            entries.append(_dots(axes, _rows(true, 2), REAL, 0.45, "real"))
        outside = 0
        if fake is not None:
            points = _rows(fake, 2)
            x, y = points.T
            outside = len(fake) - int(((x >= window[0]) & (x <= window[1]) & (y >= window[2]) & (y <= window[3])).sum())
            entries.append(_dots(axes, points, FAKE, 0.8, "generated"))
            if field is not None:
                entries.extend(_arrows(axes, field, window))
        axes.set(xlim=window[:2], ylim=window[2:])
        if math.isclose(window[1] - window[0], window[3] - window[2]):
            axes.set_aspect("equal")
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.spines[["top", "right"]].set_visible(True)
        axes.set_axisbelow(False)
        axes.set_xlabel(_short(space.columns[0]), parse_math=False)
        if i == 0:
            axes.set_ylabel(_short(space.columns[1]), parse_math=False, labelpad=2)
        else:
            axes.yaxis.set_tick_params(labelleft=False)
        note = f"{outside:,} of {len(fake):,} outside" if fake is not None and outside else ""
        _title(figure, left + i * pitch, title, note)
        if len(entries) > 1:
            _legend(figure, left + i * pitch + side, entries if len(panels) == 1 else entries[1:])
        if surface is not None and i == len(panels) - 1:
            _colour_bar(figure, surface, left + i * pitch + side + 24, top, side)
    return figure


def _dots(axes: Axes, points: np.ndarray, colour: str, alpha: float, label: str) -> Line2D:
    shown = _thin(points, MAX_POINTS)
    size = float(np.clip(90 / math.sqrt(len(shown) + 1), 1.8, 5))
    style: dict[str, Any] = {"linestyle": "", "marker": "o", "color": colour, "markeredgewidth": 0}
    axes.plot(shown[:, 0], shown[:, 1], markersize=size, alpha=alpha, zorder=2 if colour == REAL else 4, **style)
    return Line2D([], [], markersize=5, label=label, **style)


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
    bar = figure.colorbar(surface, cax=_axes(figure, left, top, 14, side))
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
    at, push = (_thin(np.asarray(a, np.float64)[ok], MAX_ARROWS) for a in (field.at, field.push))
    span = np.array([window[1] - window[0], window[3] - window[2]])
    strength = np.hypot(*(push / span).T)  # as a share of the window, whatever the units of its axes
    at, push, strength = at[strength > 0], push[strength > 0], strength[strength > 0]
    if not len(at):
        return []
    relative = np.minimum(strength / np.percentile(strength, 90), 1)
    shown = push * (np.sqrt(relative) / 18 / strength)[:, None]
    axes.quiver(*at.T, *shown.T, angles="xy", scale_units="xy", scale=1, width=0.0018, headwidth=4.5, headlength=5,
                headaxislength=4.5, color=INK, alpha=0.7, zorder=3)  # fmt: skip
    return [Line2D([], [], color=INK, lw=1, marker=">", markersize=4, label="push by the discriminator")]


# --- tables ---------------------------------------------------------------------------------------------------------


def _histograms(title: str, space: Space, fake: np.ndarray, real: np.ndarray | None) -> Figure:
    """A panel per column: the real share per bin as a filled shape, the generated as a line over it."""
    d = space.size
    shown = min(d, MAX_COLUMNS)
    rows = math.ceil(shown / 4)
    columns = math.ceil(shown / rows)
    width, height, top = (1200 - MARGIN) // columns, 200, MARGIN + TITLE + 20
    figure = _figure(1200, top + rows * (height + 64) + MARGIN - 24)
    for j in range(shown):
        left = MARGIN + j % columns * width
        axes = _axes(figure, left, top + j // columns * (height + 64), width - 36, height)
        _histogram(axes, _column(fake, d, j), None if real is None else _column(real, d, j))
        name = _short(space.columns[j], max(8, 76 // columns))
        axes.set_title(name, loc="left", fontsize=8.5, color=INK, pad=4, parse_math=False)
    _title(figure, MARGIN, title, f"first {shown} of {d} columns" if shown < d else "")
    keys = [Line2D([], [], color=FAKE, lw=1.6, label="generated")]
    if real is not None:
        keys.insert(0, Line2D([], [], color=REAL, alpha=0.45, lw=7, label="real"))
    _legend(figure, 1200 - MARGIN, keys)
    return figure


def _histogram(axes: Axes, fake: np.ndarray, real: np.ndarray | None) -> None:
    base = fake if real is None else real
    edges = _edges(base)
    low, high = float(edges[0]), float(edges[-1])
    if real is not None:
        axes.stairs(_shares(real, edges), edges, fill=True, color=REAL, alpha=0.45, linewidth=0)
    axes.stairs(_shares(fake, edges), edges, color=FAKE, linewidth=1.4)
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


def _edges(values: np.ndarray) -> np.ndarray:
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
    step = _step(distinct)
    if step is None:
        width = (high - low) / bins * (1 + 1e-6)  # so that the largest value is not in the bin beyond it
        return low + width * np.arange(-1, bins + 2)
    count = round((high - low) / step) + 1
    if len(values) > 2 * len(distinct):  # each occurs more than twice, so a bin for each says something
        bins = max(bins, min(count, BINS))
    each = math.ceil(count / bins)
    return low - step / 2 + each * step * np.arange(-1, math.ceil(count / each) + 2)


def _step(distinct: np.ndarray) -> float | None:
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


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts / max(1, len(values))


def _column(x: np.ndarray, d: int, j: int) -> np.ndarray:
    values = np.asarray(x).reshape(-1, d)[:, j].astype(np.float64)
    return values[np.isfinite(values)]


# --- curves ---------------------------------------------------------------------------------------------------------


@_house_style()
def curves(path: str | Path, records: Iterable[Mapping[str, Any]], real: Mapping[str, float] | None = None) -> None:
    """Training curves from the lines of `metrics.jsonl`, which may be many: `curves.png`.

    real: what real samples score by the measures among the keys, drawn as a line.
    Losses and the discriminator's mean outputs, then a small panel for the speed and for every other numeric key: measures
    say which direction is good. Many points are drawn thin with their running mean bold; values that are not finite are left
    out; a loss with outliers gets a symmetric logarithmic axis, and another positive measure that spans a factor of 50 a
    logarithmic one.
    Raises: OSError.
    """
    main = ("step", "loss_d", "loss_g", "d_real", "d_fake")
    series = _series(records)
    keys = sorted(series, key=lambda k: k == "steps_per_second")  # the speed last: it says least about samples
    small = {k: series[k] for k in keys if k not in main}
    columns = 0 if not small else math.ceil(len(small) / math.ceil(len(small) / 3))
    rows = 0 if not small else math.ceil(len(small) / columns)
    big, low, top, width = 360, (90 if len(small) == 1 else 140), MARGIN + TITLE, 1200
    figure = _figure(width, top + big + 56 + rows * (low + 84) + MARGIN // 2)
    steps = [s for s, _ in series.values()]
    span = (min(s[0] for s in steps), max(s[-1] for s in steps)) if steps else (0.0, 1.0)

    left, right, gap = MARGIN + 48, MARGIN + 16, 72
    half = (width - left - right - gap) // 2
    panels = (
        ("losses", (("loss_d", "discriminator", REAL), ("loss_g", "generator", FAKE))),
        ("output of the discriminator", (("d_real", "D(x)", REAL), ("d_fake", "D(G(z))", FAKE))),
    )
    for i, (title, lines) in enumerate(panels):
        x = left + i * (half + gap)
        axes = _axes(figure, x, top, half, big)
        values = [series.get(key, (np.empty(0), np.empty(0))) for key, _, _ in lines]
        if i == 1:
            axes.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        entries = [_line(axes, *v, colour, name) for v, (_, name, colour) in zip(values, lines, strict=True)]
        together = np.concatenate([v for _, v in values])
        if not together.size:
            axes.set_ylim(-0.02, 1.02)
            axes.text(0.5, 0.6, "nothing recorded yet", transform=axes.transAxes, ha="center", color=MUTED)
        elif i == 0:
            _symlog_if_wild(axes, together)
        _finish(axes, span, "step")
        if i == 1 and together.size and 0 <= together.min() <= together.max() <= 1:
            axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
            axes.set_ylim(-0.02, 1.02)
        _title(figure, x, title)
        _legend(figure, x + half, entries)

    if small:
        each = (width - left - right - gap * (columns - 1)) // columns
        for i, (key, (s, v)) in enumerate(small.items()):
            y = top + big + 84 + i // columns * (low + 84)
            axes = _axes(figure, left + i % columns * (each + gap), y, each, low)
            speed, metric = key == "steps_per_second", METRICS.get(key)
            _line(axes, s, v, MUTED if speed else INK, key)
            best = (real or {}).get(key, math.nan)
            if math.isfinite(best):
                axes.axhline(best, color=REAL, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
                axes.set_title(f"real {best:.3g}", loc="right", fontsize=7.5, color=REAL, pad=5)
                v = np.append(v, best)
            if speed:
                axes.set_ylim(0, max(1e-9, 1.15 * v.max()))
            elif v.min() > 0 and v.max() > 50 * v.min() and (metric is None or metric.better == "low"):
                axes.set_yscale("log")
            name = "steps per second" if speed else _short(key.replace("_", " "), 40)
            title = f"{name}, {BETTER[metric.better]}" if metric else name
            axes.set_title(title, loc="left", fontsize=8.5, color=INK, pad=5, parse_math=False)
            _finish(axes, span, "", 8 // columns, 3, metric is not None and metric.count)
    _save(figure, path)


def _is_usable(value: Any) -> bool:
    number = type(value) in (int, float) or isinstance(value, np.integer | np.floating)
    return number and bool(-1e30 < value < 1e30)


def _series(records: Iterable[Mapping[str, Any]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
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


def _line(axes: Axes, steps: np.ndarray, values: np.ndarray, colour: str, label: str) -> Line2D:
    """Few points as a line; many as a thin line under their bold running mean."""
    n = len(values)
    if n > 60:
        axes.plot(steps, values, color=colour, linewidth=0.6, alpha=0.35)
        axes.plot(steps, _running_mean(values, max(2, n // 60)), color=colour, linewidth=1.8)
    else:
        marker = "o" if n <= 20 else ""
        axes.plot(steps, values, color=colour, linewidth=1.6, marker=marker, markersize=3)
    return Line2D([], [], color=colour, linewidth=1.8, label=label)


def _running_mean(values: np.ndarray, reach: int) -> np.ndarray:
    """Mean over up to `reach` neighbours on each side, fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    i = np.arange(len(values))
    low, high = np.maximum(i - reach, 0), np.minimum(i + reach + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def _symlog_if_wild(axes: Axes, values: np.ndarray) -> None:
    if values.size and np.abs(values).max() > 50 * (typical := max(1.0, float(np.median(np.abs(values))))):
        axes.set_yscale("symlog", linthresh=typical)


def _finish(axes: Axes, span: tuple[float, float], xlabel: str, xticks: int = 6, yticks: int = 5,
            whole: bool = False) -> None:  # fmt: skip
    pad = 0.01 * (span[1] - span[0]) or 1.0
    axes.set_xlim(span[0] - pad, span[1] + pad)
    axes.xaxis.set_major_locator(MaxNLocator(xticks, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(
            MaxNLocator(yticks, steps=[1, 2, 2.5, 5, 10], integer=whole, min_n_ticks=1 if whole else 2)
        )
    axes.grid(axis="y", color=RULE, linewidth=0.6, alpha=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(xlabel)


# --- the animation --------------------------------------------------------------------------------------------------


def animation(path: str | Path, frames: Sequence[str | Path]) -> None:
    """`training.gif` from pictures of progress: at most 100 of them, evenly thinned, the last one shown longest.

    Frames of another size are fitted into the first one's. The size in pixels and the number of colours are chosen so
    that the file stays under about 3 MB. Without frames nothing is written.
    Raises: OSError; InputError for a frame that cannot be read.
    """
    if not frames:
        return
    chosen = [Path(frames[i]) for i in _thin(np.arange(len(frames)), MAX_FRAMES)]
    size = _open(chosen[0]).size
    f = math.ceil(size[0] / MAX_GIF_WIDTH)
    probes = [chosen[i] for i in sorted({0, len(chosen) // 2, len(chosen) - 1})]
    smaller = ((f, 255), (f, 64), (f, 32), (f, 16), (f + 1, 16), (2 * f, 16), (3 * f, 8))
    for factor, colours in smaller:  # the first that is small enough, judged by three of the frames
        trial = [_frame(p, size, factor) for p in probes]
        palette = _palette(trial, colours)
        weight = sum(len(_gif([t.quantize(palette=palette, dither=Image.Dither.NONE)])) for t in trial) / len(trial)
        if weight * len(chosen) < MAX_GIF_BYTES:
            break
    write_bytes(
        Path(path), _gif([_frame(p, size, factor).quantize(palette=palette, dither=Image.Dither.NONE) for p in chosen])
    )


def _open(path: Path) -> Image.Image:
    """A picture of ours. Raises: InputError for what is none, before it takes memory."""
    with reading(path) as (file, _):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about large pictures, which are refused
                picture = Image.open(file, formats=["PNG"])
            if max(picture.size) <= MAX_FRAME:
                return picture.convert("RGB")
        except Exception as error:  # of untrusted bytes Pillow raises nearly every class
            raise InputError(f"{path}: is not a readable picture ({reason(error).split(' <_io')[0]}).") from None
    raise InputError(
        f"{path}: is a picture of {picture.width} x {picture.height} pixels; a frame has at most {MAX_FRAME}."
    )


def _frame(path: Path, size: tuple[int, int], factor: int) -> Image.Image:
    image = _open(path)
    if image.size != size:
        image = ImageOps.pad(image, size, color="white")
    return image.reduce(factor)


def _palette(images: Sequence[Image.Image], colours: int) -> Image.Image:
    """One palette for the whole animation, so that colours do not flicker; even shades where all is grey."""
    pixels = np.concatenate([np.asarray(i).reshape(-1, 3) for i in images])
    if (pixels[:, :1] == pixels).all():
        shades = np.linspace(0, 255, colours).round().astype(int)
        palette = Image.new("P", (1, 1))
        palette.putpalette([int(s) for s in shades.repeat(3)])
        return palette
    return Image.fromarray(pixels[None]).quantize(colours, method=Image.Quantize.MAXCOVERAGE)


def _gif(images: Sequence[Image.Image]) -> bytes:
    durations = [FRAME_MS] * (len(images) - 1) + [LAST_FRAME_MS]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return file.getvalue()


# --- shared ---------------------------------------------------------------------------------------------------------


def _figure(width: int, height: int) -> Figure:
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def _axes(figure: Figure, left: int, top: int, width: int, height: int) -> Axes:
    """Axes at whole pixels from the top left of the picture."""
    w, h = (float(v) for v in figure.get_size_inches() * DPI)
    return figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))


def _title(figure: Figure, left: int, title: str, note: str = "") -> None:
    """The title of a panel at the top of the picture, and a quiet note after it."""
    w, h = (float(v) for v in figure.get_size_inches() * DPI)
    text = figure.text(left / w, 1 - (MARGIN + 8) / h, title, fontsize=10.5, va="center", parse_math=False)
    if note:
        end = text.get_window_extent().x1
        figure.text((end + 16) / w, 1 - (MARGIN + 9) / h, note, fontsize=8, va="center", color=MUTED)


def _legend(figure: Figure, right: int, entries: Sequence[Line2D]) -> None:
    """A legend in one line, at the right of the title's line, so that it covers no data."""
    w, h = (float(v) for v in figure.get_size_inches() * DPI)
    figure.legend(handles=list(entries), loc="center right", bbox_to_anchor=(right / w, 1 - (MARGIN + 8) / h),
                  ncols=len(entries), handlelength=1.4, columnspacing=1.4, borderaxespad=0, borderpad=0)  # fmt: skip


def _rows(x: np.ndarray, d: int) -> np.ndarray:
    """(n, d) in float64, without the rows that are not finite."""
    rows = np.asarray(x, np.float64).reshape(-1, d)
    return rows[np.isfinite(rows).all(axis=1)]


def _thin(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` rows, evenly spaced."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]


def _short(name: str, most: int = 40) -> str:
    """A column's name on one line, cut where it is too long for its panel; what fonts cannot draw is escaped."""
    name = " ".join(name.split())
    name = name if name.isprintable() else ascii(name)[1:-1]
    return name if len(name) <= most else name[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _save(figure: Figure, path: str | Path) -> None:
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
