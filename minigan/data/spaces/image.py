"""Images: rectangles of grey values."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from minigan.data.spaces.base import Space


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

    def encoded(self, x: np.ndarray) -> bytes:
        """A PNG of 8 bits a value."""
        from PIL import Image as Picture  # here, because only this function needs it and importing it takes a while

        file = io.BytesIO()
        Picture.fromarray(np.rint(255 * x).astype(np.uint8)).save(file, "PNG")
        return file.getvalue()
