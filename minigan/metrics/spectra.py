"""What signals are like in frequency and in time: the mean power spectrum, and how loud they are from moment to moment.

Power is compared in decibels, 10 log10; what lies `FLOOR` below the strongest real power counts as silence, so that nothing that
nobody hears is compared.
"""

from __future__ import annotations

import math

import numpy as np

FLOOR = 1e-6
"""The share of the strongest real power, 60 decibels below it, that is added to all."""

SHARP, SHORT = 1024, 256
"""Samples of a window at most: to tell frequencies apart, and moments."""

PARTS = 32
"""Parts of its time, and of its frequencies, that a signal's power is given in at most."""

BLOCK = 1 << 22
"""Values worked on at a time."""

LEAST = 1e-30
"""Power is at least this, so that it can be divided by and has a logarithm."""


def window_of(t: int, most: int) -> int:
    """Samples in a window for signals of t samples: a power of 2 of at most a quarter of their length, and at least 8."""
    return min(most, max(8, 1 << max(0, math.floor(math.log2(max(1, t / 4))))))


def powers(x: np.ndarray, w: int) -> np.ndarray:
    """The power of signals x (n, c, t) in overlapping windows of w samples, at each frequency: (n, c, frames, w // 2 + 1), float64.

    p_fk = |sum_j h_j x_{f w/2 + j} exp(-2 pi i j k / w)|^2 / sum h^2,    h Hann's window (Welch 1967)
    """
    short = w - x.shape[-1]
    if short > 0:
        x = np.pad(x, ((0, 0), (0, 0), (0, short)))
    hann = np.hanning(w + 1)[:w]
    frames = np.lib.stride_tricks.sliding_window_view(x, w, axis=-1)[..., :: w // 2, :]
    return np.square(np.abs(np.fft.rfft(frames * hann, axis=-1))) / np.square(hann).sum()


def spectrum(x: np.ndarray) -> np.ndarray:
    """The mean power of signals x (n, c, t) at each frequency from 0 to half the rate: (c, k)."""
    w = window_of(x.shape[-1], SHARP)
    return sum(powers(part, w).mean(axis=2).sum(axis=0) for part in _blocks(x)) / len(x)


def envelope(x: np.ndarray) -> np.ndarray:
    """The mean power of signals x (n, c, t) in equal parts of their time, of which there are PARTS at most: (c, parts)."""
    edges = np.arange(min(PARTS, x.shape[-1])) * x.shape[-1] // min(PARTS, x.shape[-1])
    counts = np.diff(edges, append=x.shape[-1])
    sums = sum(np.add.reduceat(np.square(part, dtype=np.float64).sum(axis=0), edges, axis=-1) for part in _blocks(x))
    return np.asarray(sums) / counts / len(x)


def decibels(power: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Power (c, k) in decibels of the strongest real power (c, k) of its channel."""
    most = np.maximum(real.max(axis=-1, keepdims=True), LEAST)
    return 10 * np.log10(power / most + FLOOR)


def apart(made: np.ndarray, real: np.ndarray) -> float:
    """How far two powers (c, k) are apart in decibels: the root mean square of all differences."""
    return float(np.sqrt(np.square(decibels(made, real) - decibels(real, real)).mean()))


def spectrogram(x: np.ndarray) -> np.ndarray:
    """The logarithm of the power of each signal x (n, c, t), in at most PARTS x PARTS parts of its time and its frequencies:
    (n, c * parts * parts), float32."""
    rows, w = [], window_of(x.shape[-1], SHORT)
    for part in _blocks(x):
        power = powers(part, w)
        for axis in (2, 3):
            n = power.shape[axis]
            edges = np.arange(min(PARTS, n)) * n // min(PARTS, n)
            shape = (-1, *[1] * (3 - axis))
            power = np.add.reduceat(power, edges, axis=axis) / np.diff(edges, append=n).reshape(shape)
        rows.append(power.reshape(len(part), -1).astype(np.float32))
    return np.concatenate(rows)


def _blocks(x: np.ndarray) -> list[np.ndarray]:
    """Signals x (n, c, t) in parts, whose windows have about BLOCK values."""
    step = max(1, BLOCK // (4 * x.shape[1] * x.shape[2]))
    return [x[i : i + step] for i in range(0, len(x), step)]
