"""Nearest neighbours in blocks of bounded memory, and the memorisation ratio.

    |a - b|^2 = |a|^2 + |b|^2 - 2 a . b

turns all distances between two sets into one matrix product. Both sets are first moved by the mean of the second, so
that less cancels, and distances are computed in the type of the arrays: float64 where small differences matter. Arrays
are those of any backend.

Rounding makes equal distances unequal, and tables of whole numbers or categories are full of equal distances. Whoever
asks which of two distances is less asks for bounds instead: D is at most ROUNDING eps (|a|^2 + |b|^2) from the true one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from minigan.backends import Array, Ops
from minigan.errors import InputError

T = TypeVar("T")

BLOCK = 1 << 20
"""Distances in a block: few enough that it stays in a cache from pass to pass, and rows enough for a matrix product."""

THREADS = 8
"""Blocks worked on at the same time at most: all of them, with what is made of them, stay below 200 MB."""

PART = 10_000
"""Rows, of those among which the nearest is sought, that are moved by their mean at a time: a copy of all may be large."""

ROUNDING = 8
"""Bound of the error of a squared distance, in units of eps (|a|^2 + |b|^2); up to 6.0 was measured in 1,024 columns."""


def in_blocks(work: Callable[[slice], T], n: int, width: int, backend: Ops) -> Iterator[T]:
    """What `work(rows)` returns for slices of n rows, in order; a slice has BLOCK numbers, `width` a row.

    On the CPU several blocks are computed at the same time, one on each BLAS thread, since all but matrix products takes one
    thread. Each product takes one too: so what is returned does not depend on the number of threads.
    """
    step = max(1, BLOCK // max(1, width))
    blocks = [slice(lo, min(lo + step, n)) for lo in range(0, n, step)]
    blas = ThreadpoolController().select(user_api="blas")
    threads = min(THREADS, max((library["num_threads"] for library in blas.info()), default=1))
    if threads == 1 or backend.name != "numpy":  # a device works on a block with all it has
        yield from map(work, blocks)
        return
    with blas.limit(limits=1), ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[T]] = deque()
        for rows in blocks:
            waiting.append(pool.submit(copy_context().run, work, rows))  # NumPy's errstate is part of the context
            if len(waiting) > threads:  # no more results are held than that
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


def squared_distances(
    work: Callable[..., T],
    a: Array,
    b: Array,
    backend: Ops,
    *,
    centre: Array | None = None,
    bounds: tuple[int, ...] = (0,),
) -> Iterator[T]:
    """What `work(rows, D)` returns for blocks of all squared distances, in order; for a (n, d) and b (m, d),

        D[i, j] = |a[rows][i] - b[j]|^2

    centre (d,): what both are moved by first, the mean of b unless it is given. bounds: work gets a D for each: 1 for numbers
    that are never less than the true distance for rounding, -1 for numbers that are never more (they may be negative), 0 for
    the nearest. Each D is for `work` to overwrite, which may run on several threads (`in_blocks`).
    """
    xp = backend.xp
    if centre is None:
        centre = b.mean(axis=0, dtype=xp.float64).astype(b.dtype)
    b = b - centre
    eps = ROUNDING * float(np.finfo(b.dtype).eps)
    squares = xp.einsum("ij,ij->i", b, b)  # sums of squares without an array of squares
    b *= -2  # exact, and less to multiply than the products

    def block(rows: slice) -> T:
        x = a[rows] - centre
        own = xp.einsum("ij,ij->i", x, x)[:, None]
        products = x @ b.T
        distances = [products, *(products.copy() for _ in bounds[1:])]
        for D, bound in zip(distances, bounds, strict=True):
            D += (1 + bound * eps) * own
            D += (1 + bound * eps) * squares
            if bound >= 0:
                xp.maximum(D, 0, out=D)
        return work(rows, *distances)

    return in_blocks(block, len(a), max(b.shape), backend)


def squared_radii(x: Array, k: int, backend: Ops, *, centre: Array | None = None, grain: float = 0.0) -> Array:
    """Squared distance (n,) of each row of x (n, d) to its k-th nearest other row, less what may be rounding.

    So a row at that distance is never found to be nearer. centre: as in `squared_distances`. grain: how far a row may be
    from where it should be, since it was rounded itself: then two distances r, s differ where |r - s| > 4 grain.
    Raises: InputError unless n > k.
    """
    xp = backend.xp
    if len(x) <= k:
        raise InputError(f"{len(x)} rows have no neighbour number {k}; precision and recall need at least {k + 1}.")

    def reach(rows: slice, D: Array) -> Array:
        i = xp.arange(rows.start, rows.stop)
        D[i - rows.start, i] = xp.inf  # not its own neighbour
        D.partition(k - 1, axis=1)
        return D[:, k - 1].copy()

    radii = xp.concatenate(list(squared_distances(reach, x, x, backend, centre=centre, bounds=(-1,))))
    radii = xp.maximum(radii, 0)
    return xp.maximum(radii - 8 * grain * xp.sqrt(radii), 0)  # at most (r - 4 grain)^2


def nearest(a: Array, b: Array, backend: Ops) -> tuple[Array, Array]:
    """For each row of a (n, d) its nearest row of b (m, d), m >= 1: its number (n,) and its distance (n,), float64.

    The distance to the row found is computed again by subtraction, so a copy has distance exactly 0.
    """
    xp = backend.xp
    found, distance = xp.zeros(len(a), xp.int64), xp.full(len(a), xp.inf, xp.float64)
    for start in range(0, len(b), PART):
        part = b[start : start + PART]

        def search(rows: slice, D: Array, start: int = start, part: Array = part) -> None:
            number = D.argmin(axis=1)
            difference = a[rows].astype(xp.float64) - part[number]
            r = xp.sqrt((difference * difference).sum(axis=1))
            found[rows] = xp.where(r < distance[rows], start + number, found[rows])
            distance[rows] = xp.minimum(r, distance[rows])

        for _ in squared_distances(search, a, part, backend):
            pass
    return found, distance


def nearest_few(a: Array, b: Array, k: int, backend: Ops) -> np.ndarray:
    """The numbers (n, min(k, m)) of the nearest rows of b (m, d) to each of a few rows a (n, d), nearest first; a host array."""
    xp = backend.xp

    def distances(rows: slice) -> Array:
        differences = (b[rows] - row for row in a)
        return xp.stack([xp.einsum("ij,ij->i", difference, difference) for difference in differences])

    if not len(a):
        return np.empty((0, min(k, len(b))), np.int64)
    D = xp.concatenate(list(in_blocks(distances, len(b), b.shape[1], backend)), axis=1)
    return backend.to_host(D.argsort(axis=1)[:, :k])


def memorisation(near: np.ndarray, far: np.ndarray) -> float:
    """Mean distance of samples to the nearest of N training rows, near (n,), over that to the nearest of N held-out rows, far (n,).

        r = mean_i min_j |x_i - t_j| / mean_i min_j |x_i - h_j|

    New real samples give 1, and so do samples of a model that has learnt the distribution; copies of training rows
    give 0. nan where every sample is a copy of a held-out row. Both sets must have the same size, because the nearest
    of more rows is nearer (compare the "data-copying" test of Meehan et al. 2020).
    """
    return float(near.mean() / far.mean()) if far.any() else float("nan")
