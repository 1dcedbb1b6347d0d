"""Images: rectangles of pixels, grey or in colour."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minigan.data.reading import Reading
from minigan.data.spaces.base import Space
from minigan.errors import InputError

CHANNELS = 3
"""Values of a pixel in colour: red, green and blue."""


class Image(Space):
    """A grey image (h, w), its values in [0, 1]."""

    kind = "image"
    dimensions = 2
    limits = 0.0, 1.0
    family = "image"
    previewed = 64
    measured = 10_000
    single = ".png"

    @classmethod
    def fits(cls, shape: Sequence[int], columns: Sequence[str]) -> bool:
        return not columns

    def reading(self, reading: Reading) -> Reading:
        return replace(reading, image_size=self.shape[0], color="grey")

    def encoded(self, x: np.ndarray) -> bytes:
        """A PNG of 8 bits a value."""
        from PIL import Image as Picture  # here, because only this function needs it and importing it takes a while

        file = io.BytesIO()
        Picture.fromarray(np.rint(255 * x).astype(np.uint8)).save(file, "PNG")
        return file.getvalue()


class Colour(Image):
    """An image in colour (h, w, 3): red, green and blue of each pixel, in [0, 1]."""

    kind = "colour"
    dimensions = 3

    def reading(self, reading: Reading) -> Reading:
        return replace(super().reading(reading), color="rgb")

    @classmethod
    def read_details(cls, details: dict[str, Any], shape: tuple[int, ...], source: str) -> dict[str, Any]:
        if shape[-1] != CHANNELS:
            raise InputError(f"{source}: a pixel in colour has {CHANNELS} values, not {shape[-1]}.")
        return super().read_details(details, shape, source)
