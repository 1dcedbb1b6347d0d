"""Text: columns of lines, as they are written."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from minigan.data.spaces import Space, Text
from minigan.plots import style
from minigan.plots.shown import Panels, Pictures, Shown
from minigan.plots.style import DPI, FAKE, INK, MARGIN, REAL, TITLE, WIDTH

ROWS, PITCH = 32, 18
"""Lines of a column, and pixels from one to the next."""

SIZE, WIDE = 8, 0.602
"""Points of a letter, and its width as a share of them."""

FONT = ["DejaVu Sans Mono", "DejaVu Sans"]

EMPTY = "\N{DOT OPERATOR}"
"""What is drawn for a line that is not finite."""


def progress(space: Space, shown: Shown, title: str) -> Figure:
    return _drawn(space, [(title, shown.fake, FAKE)])


def comparison(space: Space, shown: Shown) -> Figure:
    assert shown.real is not None
    return _drawn(space, [("generated", shown.fake, FAKE), ("real", shown.real, REAL)])


def samples(space: Space, x: np.ndarray) -> Figure:
    return _drawn(space, [(f"{len(x):,} generated", x, INK)])


def neighbours(space: Space, panels: Panels) -> Figure:
    """Each panel becomes rows of one generated line and its k nearest training lines."""
    rows, k = max(len(x) for _, x, _ in panels), panels[0][2].shape[1]
    panel, top = (WIDTH - MARGIN) // len(panels), MARGIN + TITLE
    width = (panel - MARGIN) // (k + 1)
    figure = style.figure(WIDTH, top + rows * PITCH + MARGIN)
    for p, (title, x, near) in enumerate(panels):
        left = MARGIN + p * panel
        style.title(figure, left, title, "blue: the training lines nearest to it" if p == 0 else "")
        stacks = [x, *(near[:, j] for j in range(k))]
        for j, stack in enumerate(stacks):
            _column(figure, left + j * width, top, _texts(space, stack), REAL if j else FAKE, width)
    return figure


def _drawn(space: Space, parts: Sequence[tuple[str, np.ndarray, str]]) -> Figure:
    """Columns of lines side by side, each part under its title."""
    panel, top = (WIDTH - MARGIN) // len(parts), MARGIN + TITLE
    stacks = [_texts(space, x) for _, x, _ in parts]
    longest = max((len(line) for stack in stacks for line in stack), default=1)
    columns = max(1, (panel - MARGIN) // (math.ceil(min(longest, space.shape[0]) * _letter()) + MARGIN))
    width, rows = (panel - MARGIN) // columns, max(1, min(ROWS, math.ceil(max(map(len, stacks)) / columns)))
    figure = style.figure(WIDTH, top + rows * PITCH + MARGIN)
    for p, ((title, _, colour), lines) in enumerate(zip(parts, stacks, strict=True)):
        left = MARGIN + p * panel
        style.title(figure, left, title)
        for j in range(columns):
            _column(figure, left + j * width, top, lines[j * rows : (j + 1) * rows], colour, width)
    return figure


def _texts(space: Space, x: np.ndarray) -> list[str]:
    """The lines of samples, which can be any numbers."""
    assert isinstance(space, Text)
    rows = np.asarray(x, np.float64).reshape(-1, space.size)
    finite = np.asarray(np.isfinite(rows).all(axis=1))
    lines = space.texts(np.where(finite[:, None], rows, 0))
    return [line if good else EMPTY for line, good in zip(lines, finite, strict=True)]


def _column(figure: Figure, left: int, top: int, lines: Sequence[str], colour: str, width: int) -> None:
    w, h = (float(v) for v in figure.get_size_inches() * DPI)
    most = max(1, int((width - 8) / _letter()))
    for i, line in enumerate(lines):
        place = left / w, 1 - (top + i * PITCH) / h
        text = style.short(line, most) if line else ""
        figure.text(*place, text, fontsize=SIZE, color=colour, va="top", family=FONT, parse_math=False)


def _letter() -> float:
    """Pixels of a letter."""
    return SIZE * WIDE * DPI / 72


PICTURES = Pictures(progress, comparison, samples, neighbours)
