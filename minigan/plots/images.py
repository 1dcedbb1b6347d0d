"""Images: mosaics of samples, and samples beside their nearest training images.

Values lie in [0, 1]: 0 is black; an image is grey (h, w) or in colour (h, w, 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from PIL import Image

from minigan.data.spaces import Space
from minigan.plots import style
from minigan.plots.shown import Panels, Pictures, Shown
from minigan.plots.style import FAKE, MARGIN, REAL, TITLE

TILE_GAP, PAPER = 4, 255
LETTER = 10  # pixels of a letter of a title, about
MOSAIC_WIDTH, HALF_WIDTH = 900, 640  # pixels aimed at: one mosaic, each of two


def progress(space: Space, shown: Shown, title: str) -> Figure:
    return mosaics([(title, shown.fake)], space.shape, MOSAIC_WIDTH)


def comparison(space: Space, shown: Shown) -> Figure:
    assert shown.real is not None
    return mosaics([("generated", shown.fake), ("real", shown.real)], space.shape, HALF_WIDTH)


def samples(space: Space, x: np.ndarray) -> Figure:
    return mosaics([("", x)], space.shape, MOSAIC_WIDTH)


def neighbours(space: Space, panels: Panels) -> Figure:
    """Each panel becomes rows of one generated image and its k nearest."""
    h, w = space.shape[:2]
    k = panels[0][2].shape[1]
    _, size = tiling((k + 1) ** 2, h, w, HALF_WIDTH)
    left, top, edge = MARGIN, MARGIN + TITLE + 20, 4 * TILE_GAP
    pairs = [
        (
            _mosaic(np.asarray(x).reshape(-1, *space.shape), 1, size),
            _mosaic(np.asarray(near).reshape(-1, *space.shape), k, size),
        )
        for _, x, near in panels
    ]
    widths = [own.shape[1] + edge + near.shape[1] + 2 * MARGIN for own, near in pairs]
    figure = style.figure(width := sum(widths), height := top + max(own.shape[0] for own, _ in pairs) + MARGIN)
    for (title, _, _), (own, near), panel_width in zip(panels, pairs, widths, strict=True):
        style.title(figure, left, title)
        for picture, label, colour, shift in ((own, "generated", FAKE, 0), (near, "nearest training images", REAL, 1)):
            x = left + shift * (own.shape[1] + edge)
            figure.add_artist(_Pixels(picture, x, height - top - picture.shape[0]))
            figure.text(x / width, 1 - (top - 12) / height, label, fontsize=8, va="center", color=colour)
        left += panel_width
    return figure


def mosaics(
    parts: Sequence[tuple[str, np.ndarray]], shape: tuple[int, ...], width: int, columns: int | None = None
) -> Figure:
    """Mosaics of images of this shape side by side, each under its title, all of one layout: of so many columns, if given."""
    h, w = shape[:2]
    stacks = [np.asarray(x).reshape(-1, *shape) for _, x in parts]
    columns, size = tiling(max(len(x) for x in stacks), h, w, width, columns)
    pictures = [_mosaic(x, columns, size) for x in stacks]
    left, top = MARGIN, MARGIN + (TITLE if any(title for title, _ in parts) else 0)
    height = top + max(p.shape[0] for p in pictures) + MARGIN
    widths = [max(p.shape[1], LETTER * len(title)) for (title, _), p in zip(parts, pictures, strict=True)]
    figure = style.figure(sum(width + MARGIN for width in widths) + MARGIN, height)
    for (title, _), picture, width in zip(parts, pictures, widths, strict=True):
        figure.add_artist(_Pixels(picture, left, height - top - picture.shape[0]))
        style.title(figure, left, title)
        left += width + MARGIN
    return figure


def tiling(n: int, h: int, w: int, width: int, columns: int | None = None) -> tuple[int, tuple[int, int]]:
    """Columns and (height, width) of a tile in pixels for n images: about square, about `width` wide, whole zooms."""
    columns = columns or min(max(n, 1), max(1, math.ceil(math.sqrt(n * h / w) - 1e-9)))
    rows = max(1, math.ceil(n / columns))
    zoom = min(width / (columns * w), 1.25 * width / (rows * h))
    zoom = float(round(zoom)) if zoom > 0.75 else zoom  # only images too large for the page are shrunk
    return columns, (max(1, round(h * zoom)), max(1, round(w * zoom)))


def _mosaic(images: np.ndarray, columns: int, size: tuple[int, int]) -> np.ndarray:
    """Images (n, h, w) or (n, h, w, 3) in [0, 1] as one uint8 picture of tiles of `size`, row by row; what is not finite is
    black."""
    n, h, w, *channels = images.shape
    finite = np.nan_to_num(images, nan=0.0, posinf=1.0, neginf=0.0)
    shades = np.rint(np.clip(finite, 0, 1) * 255).astype(np.uint8)
    if size[0] >= h and size[1] >= w:
        tiles = shades.repeat(size[0] // h, axis=1).repeat(size[1] // w, axis=2)
    else:
        shrunk = [np.asarray(Image.fromarray(s).resize(size[::-1], Image.Resampling.BOX)) for s in shades]
        tiles = np.array(shrunk, np.uint8).reshape(n, *size, *channels)
    rows = max(1, math.ceil(n / columns))
    down, right = size[0] + TILE_GAP, size[1] + TILE_GAP
    picture = np.full((rows * down - TILE_GAP, columns * right - TILE_GAP, *channels), PAPER, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * down, i % columns * right
        picture[y : y + size[0], x : x + size[1]] = tile
    return picture


class _Pixels(Artist):
    """A picture copied to whole pixels, grey (h, w) or in colour (h, w, 3); `Figure.figimage` would resample it, in four times
    the time."""

    def __init__(self, shades: np.ndarray, left: int, bottom: int) -> None:
        super().__init__()
        self._place = left, bottom
        h, w = shades.shape[:2]
        self._rgba = np.full((h, w, 4), 255, np.uint8)
        self._rgba[:, :, :3] = shades[::-1].reshape(h, w, -1)  # Agg counts rows from the bottom

    def draw(self, renderer: Any) -> None:
        renderer.draw_image(renderer.new_gc(), *self._place, self._rgba)


PICTURES = Pictures(progress, comparison, samples, neighbours)
