"""Clips in arrays of grey values: (n, t, h, w), or flat rows (n, t h w) with `--shape T H W`.

An array (n, t, h, w) with 1 or 3 values along its second or last axis holds images, unless `--shape` says that it holds clips.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from minigan.data import pixels
from minigan.data.raw import Raw, same
from minigan.data.reading import Reading
from minigan.data.spaces import Clip
from minigan.errors import InputError


def told(shape: tuple[int, ...], reading: Reading) -> bool:
    """Whether a person says that an array of this shape holds clips: in rows and columns of their own, or flat."""
    if len(reading.shape) != 3:
        return False
    return len(shape) == 4 or (len(shape) == 2 and not pixels.is_shape(reading.shape))


def from_array(values: np.ndarray, reading: Reading, name: Path | str) -> Raw:
    """Clips from grey values (n, t, h, w) or (n, t h w): whole numbers from 0 (black) to 255 (white), floats in [0, 1], or bool.

    Raises: InputError where they have another number of values than was said, or are no grey values.
    """
    reading.only(name, "an array of clips", "shape")
    n, shape = len(values), reading.shape or values.shape[1:]
    if shape != values.shape[1:] and (values.ndim == 4 or math.prod(shape) != values.shape[1]):
        given = " ".join(map(str, shape))
        raise InputError(f"--shape {given} is not that of the clips of {name}, an array of shape {values.shape}.")
    rows, unit = pixels.stored(np.ascontiguousarray(values).reshape(n, -1), name)
    if same(rows):
        raise InputError(f"{name} holds clips that are all alike: there is nothing to learn.")
    t, h, w = shape
    return Raw(Clip(shape), rows, unit, notes=(f"{name}: clips of {t:,} frames of {h:,} x {w:,} pixels",))
