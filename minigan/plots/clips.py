"""Clips: film strips, a clip in each row and its frames from left to right."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from minigan.data.spaces import Space
from minigan.plots import images, style
from minigan.plots.images import HALF_WIDTH, MOSAIC_WIDTH
from minigan.plots.shown import Panels, Pictures, Shown

FRAMES, ROWS = 12, 12
"""Frames of a strip at most, evenly spaced, and strips of a picture at most."""


def progress(space: Space, shown: Shown, title: str) -> Figure:
    return _strips([(title, shown.fake)], space, MOSAIC_WIDTH)


def comparison(space: Space, shown: Shown) -> Figure:
    assert shown.real is not None
    return _strips([("generated", shown.fake), ("real", shown.real)], space, HALF_WIDTH)


def samples(space: Space, x: np.ndarray) -> Figure:
    return _strips([("", x)], space, MOSAIC_WIDTH)


def neighbours(space: Space, panels: Panels) -> Figure:
    """Each panel becomes pairs of rows: a generated clip, and under it the training clip nearest to it."""
    pairs = []
    for i, (title, x, near) in enumerate(panels):
        both = np.stack([x, near[:, 0]], axis=1).reshape(-1, space.size)
        pairs.append((title + ("" if i else ", each over the nearest training clip"), both))
    return _strips(pairs, space, HALF_WIDTH)


def _strips(parts: list[tuple[str, np.ndarray]], space: Space, width: int) -> Figure:
    """Strips side by side, each part under its title."""
    t, *shape = space.shape
    shown = style.thin(np.arange(t), FRAMES)
    frames = [(title, np.asarray(x).reshape(-1, *space.shape)[:ROWS, shown]) for title, x in parts]
    return images.mosaics(frames, tuple(shape), width, len(shown))


PICTURES = Pictures(progress, comparison, samples, neighbours)
