"""Log-likelihood under a Parzen window, as Goodfellow et al. (2014, table 1) measure it.

A Gaussian of width sigma around each of n generated samples makes a density, and real images are scored under it:

    log p(x) = log (1/n) sum_i exp(-|x - s_i|^2 / (2 sigma^2))  -  d log(sigma sqrt(2 pi))

sigma is the one of ten that gives the first 1,000 validation images the highest mean. More is not always better:
10,000 real images score 241 to 244 nats on MNIST, so a model that scores more is blurred, not good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minigan.backends import Array, Ops
from minigan.metrics.neighbours import squared_distances

SIGMAS = np.logspace(-1, 0, 10)
TUNING = 1000
"""Validation images by which sigma is chosen."""


@dataclass(frozen=True)
class Parzen:
    """Mean log-likelihood in nats, its standard error over the images scored, and the width chosen."""

    nats: float
    error: float
    sigma: float


def parzen(samples: Array, validation: Array, test: Array, backend: Ops) -> Parzen:
    """Score `test` (t, d) under `samples` (n, d), with sigma by the first 1,000 rows of `validation`; pixels in [0, 1]."""
    tuning = log_likelihoods(samples, validation[:TUNING], SIGMAS, backend).mean(axis=1)
    sigma = float(SIGMAS[int(tuning.argmax())])
    scores = log_likelihoods(samples, test, np.array([sigma]), backend)[0]
    return Parzen(float(scores.mean()), float(scores.std() / math.sqrt(len(scores))), sigma)


def log_likelihoods(samples: Array, x: Array, sigmas: np.ndarray, backend: Ops) -> np.ndarray:
    """log p(x_j) in nats for every width and row of x (m, d): (len(sigmas), m), float64 on the host."""
    xp = backend.xp
    result = xp.empty((len(sigmas), len(x)), xp.float64)
    n, d = samples.shape

    def score(rows: slice, D: Array) -> None:
        least = D.min(axis=1)  # the largest term, taken out so that the sum neither overflows nor vanishes
        D -= least[:, None]
        # in the type of the arrays: a term too small for it is nothing beside the largest, which is 1
        terms, least = xp.empty_like(D), least.astype(xp.float64)
        for i, sigma in enumerate(sigmas.tolist()):
            xp.multiply(D, -0.5 / sigma**2, out=terms)
            mean = xp.exp(terms, out=terms).sum(axis=1, dtype=xp.float64) / n
            result[i, rows] = xp.log(mean) - 0.5 / sigma**2 * least - d * math.log(sigma * math.sqrt(2 * math.pi))

    for _ in squared_distances(score, x, samples, backend):
        pass
    return backend.to_host(result)
