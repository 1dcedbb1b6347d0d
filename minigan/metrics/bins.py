"""Number of statistically different bins (Richardson and Weiss 2018, "On GANs and GMMs", section 2).

Training rows are divided into K bins by k-means. A bin is *different* when its share p among N training rows and its
share q among n samples differ significantly, at the 5 % level of the two-proportion test:

    |p - q| / sqrt(s (1 - s) (1/N + 1/n)) > 1.96,      s = (N p + n q) / (N + n)

Missing modes empty bins, repeated ones fill them. Of samples from the same distribution about 5 % of bins differ.
"""

from __future__ import annotations

import numpy as np

from minigan.backends import Array, Ops
from minigan.backends.noise import METRIC, Noise
from minigan.metrics.neighbours import nearest

BINS = 100
ROUNDS = 30
"""Rounds of k-means at most; bins need not be perfect, only fixed."""

SIGNIFICANT = 1.96


def k_means(x: Array, k: int, backend: Ops) -> Array:
    """k centres (k, d) of x (n, d), n >= k, by Lloyd's algorithm from k rows that are the same for every run.

    A centre that no row is nearest to stays where it is.
    """
    xp = backend.xp
    centres = x[backend.asarray(Noise(0).permutation(len(x), METRIC, 0)[:k])].astype(xp.float64)
    before = None
    for _ in range(ROUNDS):
        which = nearest(x, centres.astype(x.dtype), backend)[0]
        if before is not None and bool((which == before).all()):
            break
        before = which
        member = xp.zeros((k, len(x)), x.dtype)
        member[which, xp.arange(len(x))] = 1
        counts = member.sum(axis=1, dtype=xp.float64)[:, None]
        centres = xp.where(counts > 0, (member @ x) / xp.maximum(counts, 1), centres)
    return centres.astype(x.dtype)


def shares(x: Array, centres: Array, backend: Ops) -> np.ndarray:
    """How many rows of x fall to each centre, (k,), on the host."""
    return np.bincount(backend.to_host(nearest(x, centres, backend)[0]), minlength=len(centres))


def different_bins(training: np.ndarray, samples: np.ndarray) -> int:
    """How many bins differ significantly; training and samples (k,) count rows per bin."""
    N, n = training.sum(), samples.sum()
    p, q, s = training / N, samples / n, (training + samples) / (N + n)
    error = np.sqrt(s * (1 - s) * (1 / N + 1 / n))
    return int((np.abs(p - q) > SIGNIFICANT * error).sum())  # an empty bin is no different: 0 > 0 is false
