"""Two mixtures of Gaussians in the plane, whose lost modes can be seen and counted (Lin et al. 2018, PacGAN).

ring: 8 components on the circle of radius 1, sigma 0.01; grid: 25 at {-4, -2, 0, 2, 4}^2, sigma 0.05. All components
are equally likely.
"""

from __future__ import annotations

import numpy as np

from minigan.backends.noise import DATA, Noise
from minigan.errors import InputError

SIGMA = {"ring": 0.01, "grid": 0.05}

PARTS = (100_000, 10_000, 10_000)
"""Points in the training, validation and test parts."""

_SEED = 0
"""Of the pool, which is the same in every run, whatever the run's seed."""


def centres(name: str) -> np.ndarray:
    """The means of the components, (K, 2) float64.

    Raises: InputError for a name other than "ring" and "grid".
    """
    if name == "ring":
        angles = 2 * np.pi * np.arange(8) / 8
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if name == "grid":
        line = np.arange(-4.0, 5.0, 2.0)
        return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    raise InputError(f"no mixture is called {name}; choose one of: {', '.join(SIGMA)}.")


def points() -> int:
    """The number of points in the fixed pool, all parts together."""
    return sum(PARTS)


def draw(name: str) -> np.ndarray:
    """The pool, (points(), 2) float32: x = centre[k] + sigma n with k uniform and n ~ N(0, I)."""
    means, noise = centres(name), Noise(_SEED)
    which = noise.integers(points(), DATA, 0) % np.uint64(len(means))
    x = np.empty((points(), 2), np.float64)
    noise.normal(x, DATA, 1)
    x *= SIGMA[name]
    x += means[which]
    return x.astype(np.float32)
