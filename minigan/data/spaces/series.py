"""Signals: values at equal steps of time, of one or several channels."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.data.spaces.base import Space
from minigan.errors import InputError

MAX_RATE = 1 << 30
"""Samples a second."""

MAX_CHANNELS = 1024
"""Channels of a WAV file that is written."""

BLOCK = 1 << 20
"""Values worked on at a time."""

FULL = 1 << 15
"""The whole number by which 16-bit PCM says 1.0, which is one more than it can say."""

PCM, FLOAT = 1, 3
"""How a WAV file says what its values are: whole numbers, or floats."""


@dataclass(frozen=True)
class Signal(Space):
    """A signal (channels, t).

    sample_rate: samples a second, 0 where it is not known.  bounded: values lie in [-1, 1], as in sound files.
    """

    sample_rate: int = 0
    bounded: bool = False

    kind = "signal"
    dimensions = 2
    family = "signal"
    previewed = 96

    @property
    def single(self) -> str:  # type: ignore[override]  # a signal without a rate is no sound
        """A WAV file, which needs to know the rate; else an array (channels, t)."""
        return ".wav" if self.sample_rate and self.shape[0] <= MAX_CHANNELS else ".npy"

    @classmethod
    def fits(cls, shape: Sequence[int], columns: Sequence[str]) -> bool:
        return not columns

    def settle(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x, -1, 1) if self.bounded else x

    def scales(self, x: np.ndarray) -> np.ndarray:
        """The standard deviation of the channel around the mean of each moment: moments are alike, so that quiet ones stay so."""
        channels, t = self.shape
        deviations = [_deviation(x[:, i * t : (i + 1) * t]) for i in range(channels)]
        return np.repeat(deviations, t)

    def header(self) -> list[str]:
        """A name for each moment: `t0` and on, with several channels `c0t0`."""
        channels, t = self.shape
        return [f"t{j}" if channels == 1 else f"c{i}t{j}" for i in range(channels) for j in range(t)]

    def encoded(self, x: np.ndarray) -> bytes:
        """A WAV file, of 16-bit PCM where values lie in [-1, 1] and else of 32-bit floats; or an .npy file (`single`)."""
        if self.single == ".npy":
            file = io.BytesIO()
            np.save(file, np.ascontiguousarray(x), allow_pickle=False)
            return file.getvalue()
        if self.bounded:
            return wav(np.clip(np.rint(x.T * FULL), -FULL, FULL - 1).astype("<i2"), self.sample_rate)
        return wav(x.T.astype("<f4"), self.sample_rate)

    def details(self) -> dict[str, Any]:
        return {"sample_rate": self.sample_rate, "bounded": self.bounded}

    @classmethod
    def read_details(cls, details: dict[str, Any], shape: tuple[int, ...], source: str) -> dict[str, Any]:
        rate, bounded = details.get("sample_rate"), details.get("bounded")
        if len(details) != 2 or type(rate) is not int or not 0 <= rate <= MAX_RATE or type(bounded) is not bool:
            raise InputError(
                f"{source}: the description of a signal must have a sample_rate, and say if it is bounded."
            )
        return {"sample_rate": rate, "bounded": bounded}


def _deviation(x: np.ndarray) -> float:
    """The root mean square of x (n, t) around its mean at each moment."""
    mean, step = x.mean(axis=0, dtype=np.float64), max(1, BLOCK // x.shape[1])
    squares = sum(float(np.square(x[i : i + step] - mean).sum()) for i in range(0, len(x), step))
    return math.sqrt(squares / x.size)


def wav(frames: np.ndarray, rate: int) -> bytes:
    """A WAV file of frames (t, channels), of type <i2 or <f4."""
    size, channels = frames.dtype.itemsize, frames.shape[1]
    tag = FLOAT if frames.dtype.kind == "f" else PCM
    form = struct.pack(
        "<HHIIHH", tag, channels, rate, min(rate * channels * size, 2**32 - 1), channels * size, 8 * size
    )
    chunks = [(b"fmt ", form), (b"data", frames.tobytes())]
    if tag == FLOAT:  # needs to say that nothing follows, and how many frames there are
        chunks = [(b"fmt ", form + bytes(2)), (b"fact", struct.pack("<I", len(frames))), chunks[1]]
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(part)) + part for name, part in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
