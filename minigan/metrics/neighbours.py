"""Nearest neighbours in blocks of bounded memory, and the memorisation ratio.

    |a - b|^2 = |a|^2 + |b|^2 - 2 a . b

turns all distances between two sets into one matrix product. Both sets are first moved by the mean of the second, so
that less cancels, and distances are computed in the type of the arrays: float64 where small differences matter. Arrays
are those of any backend.

Rounding makes equal distances unequal, and tables of whole numbers or categories are full of equal distances. Whoever
asks which of two distances is less asks for bounds instead: D is at most ROUNDING eps (|a|^2 + |b|^2) from the true one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minigan.backends import Array, Ops
from minigan.errors import InputError

BLOCK = 1 << 22
"""Distances held at a time; a block of them and its temporaries stay below 200 MB."""

ROUNDING = 8
"""Bound of the error of a squared distance, in units of eps (|a|^2 + |b|^2); up to 6.0 was measured in 1,024 columns."""


def squared_distances(
    a: Array, b: Array, backend: Ops, *, centre: Array | None = None, bound: int = 0
) -> Iterator[tuple[slice, Array]]:
    """Blocks (rows, D) of all squared distances: D[i, j] = |a[rows][i] - b[j]|^2, for a (n, d) and b (m, d).

    centre (d,): what both are moved by first, the mean of b unless it is given. bound: 1 for numbers that are never less
    than the true distance for rounding, -1 for numbers that are never more (they may be negative), 0 for the nearest.
    D is the caller's to overwrite until the next block is asked for.
    """
    xp = backend.xp
    if centre is None:
        centre = b.mean(axis=0, dtype=xp.float64).astype(b.dtype)
    b = b - centre
    widen = 1 + bound * ROUNDING * float(np.finfo(b.dtype).eps)
    square = widen * xp.einsum("ij,ij->i", b, b)  # a sum of squares without an array of squares
    step = max(1, BLOCK // max(1, *b.shape))
    for lo in range(0, len(a), step):
        rows = slice(lo, min(lo + step, len(a)))
        x = a[rows] - centre
        D = x @ b.T
        D *= -2
        D += widen * xp.einsum("ij,ij->i", x, x)[:, None]
        D += square
        yield rows, D if bound < 0 else xp.maximum(D, 0, out=D)


def squared_radii(x: Array, k: int, backend: Ops, *, centre: Array | None = None, grain: float = 0.0) -> Array:
    """Squared distance (n,) of each row of x (n, d) to its k-th nearest other row, less what may be rounding.

    So a row at that distance is never found to be nearer. centre: as in `squared_distances`. grain: how far a row may be
    from where it should be, since it was rounded itself: then two distances r, s differ where |r - s| > 4 grain.
    Raises: InputError unless n > k.
    """
    xp = backend.xp
    if len(x) <= k:
        raise InputError(f"{len(x)} rows have no neighbour number {k}; precision and recall need at least {k + 1}.")
    radii = xp.empty(len(x), x.dtype)
    for rows, D in squared_distances(x, x, backend, centre=centre, bound=-1):
        i = xp.arange(rows.start, rows.stop)
        D[i - rows.start, i] = xp.inf  # not its own neighbour
        radii[rows] = xp.partition(D, k - 1, axis=1)[:, k - 1]
    radii = xp.maximum(radii, 0)
    return xp.maximum(radii - 8 * grain * xp.sqrt(radii), 0)  # at most (r - 4 grain)^2


def nearest(a: Array, b: Array, backend: Ops) -> tuple[Array, Array]:
    """For each row of a (n, d) its nearest row of b (m, d), m >= 1: its number (n,) and its distance (n,), float64.

    The distance to the row found is computed again by subtraction, so a copy has distance exactly 0.
    """
    xp = backend.xp
    found, distance = xp.empty(len(a), xp.int64), xp.empty(len(a), xp.float64)
    for rows, D in squared_distances(a, b, backend):
        found[rows] = D.argmin(axis=1)
        difference = a[rows].astype(xp.float64) - b[found[rows]]
        distance[rows] = xp.sqrt((difference * difference).sum(axis=1))
    return found, distance


def nearest_few(a: Array, b: Array, k: int, backend: Ops) -> np.ndarray:
    """The numbers (n, min(k, m)) of the nearest rows of b (m, d) to each row of a (n, d), nearest first; a host array."""
    orders = [backend.to_host(D.argsort(axis=1)[:, :k]) for _, D in squared_distances(a, b, backend)]
    return np.concatenate(orders) if orders else np.empty((0, min(k, len(b))), np.int64)


def memorisation(near: np.ndarray, far: np.ndarray) -> float:
    """Mean distance of samples to the nearest of N training rows, near (n,), over that to the nearest of N held-out rows, far (n,).

        r = mean_i min_j |x_i - t_j| / mean_i min_j |x_i - h_j|

    New real samples give 1, and so do samples of a model that has learnt the distribution; copies of training rows
    give 0. nan where every sample is a copy of a held-out row. Both sets must have the same size, because the nearest
    of more rows is nearer (compare the "data-copying" test of Meehan et al. 2020).
    """
    return float(near.mean() / far.mean()) if far.any() else float("nan")
