"""Images in arrays of numbers: which axis is which, and what a number means.

(n, h, w), (n, h, w, 1), (n, 1, h, w)    grey
(n, h, w, 3), (n, 3, h, w)               in colour
(n, d), with --shape                     flat rows of either
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from minigan.data import labels as classes
from minigan.data.files import BLOCK
from minigan.data.raw import Raw, check_counts
from minigan.data.reading import Reading
from minigan.data.spaces import Colour, Image
from minigan.errors import InputError

CHANNELS = (1, 3)
"""Values of a pixel that are read: grey, and red, green and blue."""

LEAST_SIDE = 8
"""Pixels of a side below which a picture by itself is not looked for: arrays so small are data."""

LUMA = (0.299, 0.587, 0.114)
"""How much red, green and blue count in a grey value (ITU-R BT.601, as in Pillow)."""


@dataclass(frozen=True)
class Layout:
    """How an array holds n images; shape: of one, (h, w) or (h, w, 3); first: the channels stand before rows and columns."""

    n: int
    shape: tuple[int, ...]
    first: bool = False

    @property
    def colour(self) -> bool:
        return len(self.shape) == 3

    @property
    def size(self) -> int:
        """Values of an image."""
        return math.prod(self.shape)

    @property
    def words(self) -> str:
        """The images, in words."""
        h, w = self.shape[:2]
        return f"{self.n:,} {'colour' if self.colour else 'grey'} images of {h:,} x {w:,} pixels"

    def rows(self, values: np.ndarray) -> np.ndarray:
        """An array with this layout as rows (n, size), the channels of a pixel side by side."""
        if self.first and self.colour:
            h, w, c = self.shape
            values = np.moveaxis(values.reshape(self.n, c, h, w), 1, 3)
        return np.ascontiguousarray(values).reshape(self.n, -1)


def layout(shape: tuple[int, ...], name: Path | str) -> Layout | None:
    """How an array of this shape holds images; None where its number of dimensions is none of images.

    Raises: InputError, naming `name`, for shapes that are in all likelihood something else.
    """
    if len(shape) == 3:
        _check_odd(shape, name)
        return Layout(shape[0], shape[1:])
    if len(shape) != 4:
        return None
    n, a, b, c = shape
    if c in CHANNELS:
        return Layout(n, (a, b) if c == 1 else (a, b, 3))
    if a in CHANNELS:
        return Layout(n, (b, c) if a == 1 else (b, c, 3), first=True)
    if b in CHANNELS and n == a >= LEAST_SIDE:
        raise InputError(
            f"{name} has the shape {shape}: images stand along the last axis, as MATLAB writes them; give numpy.moveaxis(x, 3, 0)."
        )
    if c == 4 and min(a, b) >= LEAST_SIDE:
        raise InputError(
            f"{name} has the shape {shape}: pixels of 4 values, the last of which is how opaque they are; give x[..., :3]."
        )
    return None


def _check_odd(shape: tuple[int, ...], name: Path | str) -> None:
    """Raise InputError where a shape (n, h, w) is that of one picture, or has its images along the last axis."""
    a, b, c = shape
    as_it_is = f"if it is {a:,} grey images of {b:,} x {c:,} pixels, give it as ({a}, {b}, {c}, 1)"
    if c in (3, 4) and min(a, b) >= 2 * LEAST_SIDE:
        raise InputError(
            f"{name} has the shape {shape}: that is one colour picture of {a:,} x {b:,} pixels, and many are needed, (n, h, w, 3); "
            f"{as_it_is}."
        )
    if a in (3, 4) and min(b, c) >= 2 * LEAST_SIDE:
        raise InputError(
            f"{name} has the shape {shape}: that is one colour picture of {b:,} x {c:,} pixels, and many are needed, (n, 3, h, w)."
        )
    if a == b != c and a >= LEAST_SIDE:
        raise InputError(
            f"{name} has the shape {shape}: its images seem to stand along the last axis, as MATLAB writes them; then give "
            f"numpy.moveaxis(x, 2, 0), and {as_it_is}."
        )


def is_shape(shape: Sequence[int]) -> bool:
    """Whether --shape describes an image: H W, H W 3, 3 H W, or with 1 in place of 3."""
    return len(shape) == 2 or (len(shape) == 3 and (shape[2] in CHANNELS or shape[0] in CHANNELS))


def flat(shape: tuple[int, ...], n: int, d: int, name: Path | str) -> Layout:
    """How n rows of d values are images of the shape given with --shape.

    Raises: InputError where it is no shape of images, or has another number of values.
    """
    given = " ".join(map(str, shape))
    if not is_shape(shape):
        raise InputError(f"--shape {given} is no shape of images; give H W, or H W 3 for colour.")
    if math.prod(shape) != d:
        raise InputError(
            f"--shape {given} makes {math.prod(shape):,} values of an image, but rows of {name} have {d:,}."
        )
    found = layout((n, *shape), name) if len(shape) == 3 else Layout(n, shape)
    assert found is not None
    return found


def hint(values: np.ndarray) -> str:
    """What to say of a table (n, d) that looks like flat images: whole numbers up to 255 in as many columns as a square picture
    has pixels; "" of others."""
    _, d = values.shape
    side, coloured = math.isqrt(d), math.isqrt(d // 3)
    square = side**2 == d and side >= LEAST_SIDE
    if not (square or (3 * coloured**2 == d and coloured >= LEAST_SIDE)):
        return ""
    if values.dtype != np.uint8 and not _shades(values):
        return ""
    if square:
        return f"its rows are taken as {d} columns of a table; if they are images: --shape {side} {side}"
    s = coloured
    return (
        f"its rows are taken as {d} columns of a table; if they are colour images: --shape 3 {s} {s}, or --shape {s} {s} 3 where "
        f"the channels of a pixel stand side by side"
    )


def from_rows(values: np.ndarray, labels: np.ndarray | None, reading: Reading, name: Path | str) -> Raw:
    """Images of the shape --shape from numbers (n, d), one in each row; `name` says where they are from.

    Whole numbers up to 255 are shades from black to white; else values lie in [0, 1]. labels: (n,) whole numbers or words, or
    None; rows with one value more than an image has begin with their label.
    Raises: InputError where shape, values or labels do not fit.
    """
    n, d = values.shape
    if labels is None and d == math.prod(reading.shape) + 1:
        labels, values, d = values[:, 0], values[:, 1:], d - 1
        if (labels == np.rint(labels)).all() and (np.abs(labels) < 1e18).all():
            labels = labels.astype(np.int64)
    found = flat(reading.shape, n, d, name)
    check_counts(n, d, name, 1 if values.dtype == np.uint8 else 4)
    values, unit = stored(values, name)
    raw = finished(found.rows(values), found, unit, reading, name)
    if labels is None:
        return raw
    try:
        return classes.from_values(labels, n).beside(raw)
    except ValueError as why:
        raise InputError(f"{name}: its labels cannot be used: {why}.") from None


def finished(rows: np.ndarray, found: Layout, unit: float, reading: Reading, name: Path | str) -> Raw:
    """The samples of rows (n, size), in grey where --color asks for it. Raises: InputError where it asks for what is not there."""
    if reading.color == "rgb" and not found.colour:
        raise InputError(f"--color rgb has no effect on {name}, whose images are grey; leave it out.")
    words = found.words
    if reading.color == "grey" and found.colour:
        rows, found, words = greyed(rows), replace(found, shape=found.shape[:2]), f"{words}, made grey"
    return Raw((Colour if found.colour else Image)(found.shape), rows, unit, notes=(f"{name}: {words}",))


def check_bright(values: np.ndarray, name: Path | str) -> None:
    """Raise InputError where whole numbers are so small that they cannot be shades from 0 to 255."""
    if values.dtype.kind in "iu" and values.max() <= 1:
        raise InputError(
            f"{name} holds whole numbers for images, taken as 0 (black) to 255 (white), but none is above 1; if 1 "
            f"means white, save them as bool or float."
        )


def greyed(rows: np.ndarray) -> np.ndarray:
    """Colour rows (n, 3 p) as grey ones (n, p) of the same type, rounded as Pillow does."""
    grey = np.empty((len(rows), rows.shape[1] // 3), rows.dtype)
    for part in _blocks(rows):
        rgb = rows[part].reshape(-1, grey.shape[1], 3)
        if rows.dtype == np.uint8:
            grey[part] = (rgb @ np.array([19595, 38470, 7471], np.uint32) + 0x8000) >> 16  # LUMA, times 2^16
        else:
            grey[part] = np.minimum(rgb @ np.array(LUMA, rows.dtype), 1)
    return grey


def stored(values: np.ndarray, name: Path | str) -> tuple[np.ndarray, float]:
    """Pixels (n, d) as they are stored, and their unit. Raises: InputError."""
    if values.dtype == bool:
        return values.astype(np.uint8), 1.0
    if _shades(values):
        return values.astype(np.uint8, copy=False), 1 / 255
    check_bright(values, name)
    low, high = values.min(), values.max()
    if np.isnan(low):
        raise InputError(f"{name} holds nan; the pixels of an image cannot be missing, so leave such images out.")
    if values.dtype.kind in "iu" or low < 0 or high > 1:
        raise InputError(
            f"{name} holds numbers from {low:.6g} to {high:.6g}; pixels are whole numbers from 0 (black) to 255 (white), or lie in "
            f"[0, 1], so rescale them."
        )
    return values.astype(np.float32), 1.0


def _shades(values: np.ndarray) -> bool:
    """Whether numbers are whole, from 0 to 255, and not all 0 or 1."""
    if values.dtype == bool or values.max() <= 1 or values.max() > 255 or values.min() < 0:
        return False
    return values.dtype.kind in "iu" or all((values[part] == np.rint(values[part])).all() for part in _blocks(values))


def _blocks(rows: np.ndarray) -> Iterator[slice]:
    """Parts of rows (n, d) of about BLOCK values."""
    step = max(1, BLOCK // rows.shape[1])
    return (slice(lo, lo + step) for lo in range(0, len(rows), step))
