"""Mode coverage on mixtures of Gaussians, by the protocol of PacGAN (Lin et al. 2018, section 4.1) and VEEGAN.

With K components of standard deviation sigma, a sample is of *high quality* when it lies within 3 sigma of the nearest
centre, and a mode is covered when it holds at least one such sample. With p_k the share of mode k among the samples of
high quality, the reverse Kullback-Leibler divergence from the uniform distribution over modes is

    KL = sum_k p_k log(K p_k)

The width of a mode says whether its samples spread as they should: the standard deviation of its high-quality samples
along both principal axes of their covariance, over what it would be for perfect samples,

    sigma sqrt(1 - (9/2) e^(-9/2) / (1 - e^(-9/2))) = 0.974 sigma

(an isotropic Gaussian in the plane, cut off at 3 sigma), so that 1 is right, and less is too narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

PROTOCOL = 2500
"""Samples among which modes are counted."""

RADIUS = 3.0
"""High quality means within this many sigma of a centre."""

_TAIL = math.exp(-(RADIUS**2) / 2)
CUT_WIDTH = math.sqrt(1 - RADIUS**2 / 2 * _TAIL / (1 - _TAIL))
"""Standard deviation along an axis of a standard Gaussian in the plane, cut off at RADIUS."""


@dataclass(frozen=True, eq=False)
class Coverage:
    """What `mode_coverage` finds.

    modes: covered modes, of K; high_quality: share of all samples; reverse_kl: nan when nothing is of high quality;
    counts (K,): high-quality samples per mode; widths (K, 2): minor and major axis, 1 is right, nan below 3 samples.
    """

    modes: int
    high_quality: float
    reverse_kl: float
    counts: np.ndarray
    widths: np.ndarray

    @property
    def width(self) -> np.ndarray:
        """One width per mode, (K,): the root mean square of its two axes."""
        return np.sqrt(np.square(self.widths).mean(axis=1))

    @property
    def known(self) -> np.ndarray:
        """The rows of `widths` that are not nan; one that is where there are none."""
        known = self.widths[np.isfinite(self.widths).all(axis=1)]
        return known if len(known) else np.full((1, 2), np.nan)


def mode_coverage(x: np.ndarray, centres: np.ndarray, sigma: float) -> Coverage:
    """Coverage of the modes of a mixture with `centres` (K, 2) by samples x (n, 2), n >= 1, in data units."""
    x = np.asarray(x, np.float64)
    nearest, distance = np.zeros(len(x), np.intp), np.full(len(x), np.inf)
    for k, centre in enumerate(centres):
        d = np.hypot(x[:, 0] - centre[0], x[:, 1] - centre[1])
        closer = d < distance  # false for samples that are not finite, which stay at infinity
        nearest[closer], distance[closer] = k, d[closer]
    good = distance <= RADIUS * sigma
    modes = len(centres)
    counts = np.bincount(nearest[good], minlength=modes)
    widths = np.full((modes, 2), np.nan)
    for k in np.flatnonzero(counts >= 3).tolist():
        variances = np.linalg.eigvalsh(np.cov(x[good & (nearest == k)], rowvar=False))
        widths[k] = np.sqrt(np.maximum(variances, 0)) / (CUT_WIDTH * sigma)
    p = counts[counts > 0] / max(1, counts.sum())
    kl = float(np.sum(p * np.log(modes * p))) if len(p) else math.nan
    return Coverage(int((counts > 0).sum()), float(good.mean()), kl, counts, widths)
