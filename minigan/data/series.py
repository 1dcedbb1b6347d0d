"""Signals in arrays of numbers: (n, t) with one channel, (n, channels, t) with several; what they are must be told.

An array (n, t) is a table and (n, h, w) are images, unless `--sample-rate` is given, or `--shape 1 T`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minigan.data.raw import WHOLE, Raw, check_counts, same
from minigan.data.reading import Reading
from minigan.data.scaling import storage
from minigan.data.spaces import Signal
from minigan.errors import InputError


def told(shape: tuple[int, ...], reading: Reading) -> bool:
    """Whether a person says that an array of this shape holds signals."""
    line = len(reading.shape) == 2 and reading.shape[0] == 1
    return len(shape) in (2, 3) and (reading.sample_rate > 0 or line)


def from_array(values: np.ndarray, reading: Reading, name: Path | str) -> Raw:
    """Signals from finite numbers (n, t), (n, channels, t), or with --shape flat rows (n, channels t), in their own units.

    `--length` cuts them, or puts zeros behind. Raises: InputError where they have another number of values than was said, or do
    not vary.
    """
    reading.only(name, "an array of signals", "shape", "sample_rate", "length")
    n, given = len(values), " ".join(map(str, reading.shape))
    if len(reading.shape) not in (0, 2):
        raise InputError(f"--shape {given} is no shape of signals; give CHANNELS T.")
    channels, t = reading.shape or (1, *values.shape[1:])[-2:]
    if (channels, t) != values.shape[1:] and (values.ndim == 3 or channels * t != values.shape[1]):
        raise InputError(f"--shape {given} is not that of the signals of {name}, an array of shape {values.shape}.")
    if values.dtype.kind in "iu" and max(int(values.max()), -int(values.min())) > WHOLE:
        raise InputError(
            f"{name} holds whole numbers beyond 2^53 = {WHOLE:,}, which are not exact; subtract a number from all."
        )
    length = reading.length or t
    check_counts(n, channels * length, name, 4)
    values = values.reshape(n, channels, t)[:, :, :length]
    with np.errstate(all="ignore"):  # values too small for float32, which become 0
        wide = any(storage(values[:, i].reshape(-1, 1))[0] == np.float64 for i in range(channels))
        rows = np.zeros((n, channels, length), np.float64 if wide else np.float32)
        rows[:, :, :t] = values
    rows = rows.reshape(n, -1)
    if same(rows):
        raise InputError(f"{name} holds signals that are all alike: there is nothing to learn.")
    space = Signal((channels, length), sample_rate=reading.sample_rate)
    return Raw(space, rows, notes=(_note(space, t, name),))


def _note(space: Signal, t: int, name: Path | str) -> str:
    """What is said of the signals before training."""
    channels, length = space.shape
    rate = f" at {space.sample_rate:,} Hz, {length / space.sample_rate:.3g} s" if space.sample_rate else ""
    cut = f", the first of {t:,}" if length < t else f", the last {length - t:,} of them 0" if length > t else ""
    many = f"{channels:,} channels of " if channels > 1 else ""
    return f"{name}: signals of {many}{length:,} samples{rate}{cut}"
