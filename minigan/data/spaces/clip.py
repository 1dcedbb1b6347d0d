"""Clips: images that follow each other."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from minigan.data.spaces.base import Space

FRAME_MS = 100
"""Milliseconds for which a frame of an animation is shown: arrays do not say how long it should be."""


class Clip(Space):
    """A grey clip (t, h, w): t frames of h x w pixels, their values in [0, 1]."""

    kind = "clip"
    dimensions = 3
    limits = 0.0, 1.0
    family = "clip"
    previewed = 12
    files = (".gif", ".npz", ".npy", ".csv", ".tsv")
    single = ".gif"

    @property
    def pictured(self) -> tuple[int, ...]:
        """That of a frame."""
        return self.shape[1:]

    @classmethod
    def fits(cls, shape: Sequence[int], columns: Sequence[str]) -> bool:
        return not columns

    def encoded(self, x: np.ndarray) -> bytes:
        """An animated GIF, which begins again at its end, of 256 shades."""
        from PIL import Image as Picture  # here, because only this function needs it and importing it takes a while

        frames = [Picture.fromarray(frame) for frame in np.rint(255 * x).astype(np.uint8)]
        file = io.BytesIO()
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0, optimize=False)
        return file.getvalue()
