"""Every picture that minigan makes: samples, the discriminator's surface, curves, the animation. One file per kind of picture.

Each kind of data has a row in `PICTURES`. Every function raises OSError when its file cannot be written, and leaves what stood
there before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigan.data import spaces
from minigan.data.spaces import Space
from minigan.plots import clips, images, points, series, signals, style, tables, texts
from minigan.plots.gif import animation
from minigan.plots.points import plane
from minigan.plots.shown import Field, Panels, Pictures, Shown

__all__ = [
    "PICTURES",
    "Field",
    "Shown",
    "animation",
    "comparison",
    "curves",
    "distances",
    "neighbours",
    "pictures",
    "plane",
    "progress",
    "samples",
]

PICTURES: dict[type[Space], Pictures] = {
    spaces.Image: images.PICTURES,
    spaces.Colour: images.PICTURES,
    spaces.Points: points.PICTURES,
    spaces.Table: tables.PICTURES,
    spaces.Signal: signals.PICTURES,
    spaces.Clip: clips.PICTURES,
    spaces.Text: texts.PICTURES,
}
"""How each kind of data is drawn."""


def pictures(space: Space) -> Pictures:
    return PICTURES[type(space)]


@style.house_style()
def progress(path: str | Path, space: Space, shown: Shown, step: int) -> None:
    """The generator at one step: `samples/step-00000500.png`.

    Images: a mosaic of all generated ones. Points: real and generated over the discriminator's surface, with arrows along
    which it pushes the generated ones; the axes follow from the real ones alone, so they are the same in every frame of a
    run. Tables: a histogram of each column (12 at most), real against generated, in bins from the real values.
    """
    style.save(pictures(space).progress(space, shown, f"step {step:,}"), path)


@style.house_style()
def comparison(path: str | Path, space: Space, shown: Shown) -> None:
    """Generated beside real: `samples.png`. Tables: both in one histogram per column."""
    style.save(pictures(space).comparison(space, shown), path)


@style.house_style()
def samples(path: str | Path, space: Space, x: np.ndarray) -> None:
    """Generated samples alone: a mosaic of images, a scatter of points, or a histogram per column."""
    style.save(pictures(space).samples(space, x), path)


@style.house_style()
def neighbours(path: str | Path, space: Space, panels: Panels) -> None:
    """Generated samples beside the training samples nearest to them: `neighbours.png`, of spaces that draw it."""
    draw = pictures(space).neighbours
    assert draw is not None
    style.save(draw(space, panels), path)


@style.house_style()
def distances(path: str | Path, fake: np.ndarray, real: np.ndarray) -> None:
    """How far generated rows and held-out real rows (both (n,)) are from the nearest training row."""
    style.save(tables.distances(fake, real), path)


@style.house_style()
def curves(path: str | Path, records: Iterable[Mapping[str, Any]], real: Mapping[str, float] | None = None) -> None:
    """Training curves from the lines of `metrics.jsonl`, which may be many: `curves.png`.

    real: what real samples score by the measures among the keys, drawn as a line.
    """
    style.save(series.draw(records, real or {}), path)
