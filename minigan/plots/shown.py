"""What a picture of samples shows, and what draws it for one kind of data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from minigan.data.spaces import Space

Panels = Sequence[tuple[str, np.ndarray, np.ndarray]]
"""(title, samples (r, size), the training samples nearest to each (r, k, size))."""


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


@dataclass(frozen=True, eq=False)
class Shown:
    """Generated samples, real ones to compare them with, and the discriminator around them, where it can be drawn.

    Samples are host arrays in data units, (n, size) or (n, *space.shape).
    """

    fake: np.ndarray
    real: np.ndarray | None = None
    field: Field | None = None


@dataclass(frozen=True)
class Pictures:
    """How one kind of data is drawn.

    progress: the generator at one step, under a title.  comparison: generated beside real.  samples: generated ones alone.
    neighbours: samples beside the training samples nearest to them; without it their distances are drawn.
    plane: the grid for a `Field`, where the discriminator can be drawn around these real samples.
    """

    progress: Callable[[Space, Shown, str], Figure]
    comparison: Callable[[Space, Shown], Figure]
    samples: Callable[[Space, np.ndarray], Figure]
    neighbours: Callable[[Space, Panels], Figure] | None = None
    plane: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
