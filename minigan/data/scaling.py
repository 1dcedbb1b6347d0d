"""Conversion between data units and model units, the range of the generator's output activation.

Offsets are subtracted in float64 before a value is rounded to the precision of the networks: timestamps near 1.7e9 are 128
apart in float32, but their differences from the mean are exact to its full precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.errors import InputError

if TYPE_CHECKING:
    from minigan.data.spaces import Space

OUTPUTS = ("sigmoid", "tanh", "identity")
"""The output activations whose range data are scaled to."""

_BLOCK = 1 << 20
"""Values converted at a time, so that no float64 copy of a data set is made."""

FAR = 64
"""An offset more than this many scales from 0 needs float64: float32 would move values there by up to FAR 2^-24 = 2^-18 scales."""

SMALL = 1e-37
"""The scale below which float32 has few digits, or none."""


@dataclass(frozen=True, eq=False)
class Scaler:
    """model = (data - offset) / scale, data = offset + scale * model.

    offset, scale: float64 arrays of shape (1,) or (d,), scale > 0.
    """

    offset: np.ndarray
    scale: np.ndarray

    def __repr__(self) -> str:
        offset, scale = (
            f"{x[0]:.4g}" if x.size == 1 else f"{x.min():.4g} to {x.max():.4g} in {x.size} columns"
            for x in (self.offset, self.scale)
        )
        return f"Scaler(offset {offset}, scale {scale})"

    @classmethod
    def fit(cls, space: Space, rows: np.ndarray, output: str, unit: float = 1.0, spread: float = 1.0) -> Scaler:
        """The scaler for training rows (n, d), of which rows * unit are data values, and an output activation.

        sigmoid -> [0, 1]; tanh -> [-1, 1]; identity -> mean 0 and standard deviation `spread`, of a
        category with several values for all of them (`Column.scales`). Where the space has
        limits, as images have, between these and for all values together; else between minimum and maximum, for each
        column. Columns that do not vary get scale 1.

        Raises: InputError for an unknown output activation.
        """
        if output not in OUTPUTS:
            raise InputError(f"--output {output} is unknown; choose one of: {', '.join(OUTPUTS)}.")
        if rows.ndim != 2 or rows.shape[1] != space.size:
            raise InputError(
                f"samples of {space.size} values are scaled as rows of shape (n, {space.size}), not an array of shape {rows.shape}."
            )
        if space.limits is not None:
            if output != "identity":
                return cls(*_onto(output, *np.reshape(space.limits, (2, 1))))
            rows = rows.reshape(-1, 1)
        zero = origin(rows)
        if output == "identity":
            offset, scale = _moments(rows, zero)
            shared = space.scales(rows)
            scale = (np.where(shared > 0, shared, scale) if shared.any() else scale) / spread
        else:
            offset, scale = _onto(output, rows.min(axis=0) - zero, rows.max(axis=0) - zero)
        scale = np.where(varies(offset, scale, rows.dtype), scale, 1 / unit)
        return cls((zero + offset) * unit, scale * unit)

    def calibrated(self, space: Space, model: np.ndarray) -> Space:
        """A space that settles generated samples so that values are as frequent as in training rows; model (n, d): samples."""
        return space.calibrated(self._blocks(model, lambda y: self.offset + self.scale * y, np.float64))

    def to_model(self, data: np.ndarray, dtype: Any = np.float32) -> np.ndarray:
        """Model values of data values (n, d), computed in float64 and rounded once, to `dtype`.

        Raises: InputError for values of another shape than those that it was fitted to.
        """
        return self._blocks(data, lambda x: (x - self.offset) / self.scale, dtype)

    def to_data(self, model: np.ndarray, space: Space) -> np.ndarray:
        """Data values of model values (n, d), of the type `data_type`: the nearest that the space can have.

        Rounding moves them by 2^-24 (FAR + |model|) scales at most; in float64 by 2^-52 (|offset| + |scale model|).
        """
        return self._blocks(model, lambda y: space.settle(self.offset + self.scale * y), self.data_type(space))

    def data_type(self, space: Space) -> Any:
        """float32, or float64 where values have no limits and a column is `far` or `fine`."""
        wide = space.fine or (space.limits is None and far(self.offset, self.scale).any())
        return np.float64 if wide else np.float32

    def _blocks(self, rows: np.ndarray, formula: Any, dtype: Any) -> np.ndarray:
        columns = max(self.offset.size, self.scale.size)
        if rows.ndim != 2 or columns not in (1, rows.shape[1]):
            wanted = f"(n, {columns if columns > 1 else 'd'})"
            raise InputError(
                f"the scaler needs rows of shape {wanted}, a sample in each, not an array of shape {rows.shape}."
            )
        out = np.empty(rows.shape, dtype)
        step = max(1, _BLOCK // max(1, rows.shape[1]))
        for i in range(0, len(rows), step):
            out[i : i + step] = formula(rows[i : i + step].astype(np.float64))
        return out


def _onto(output: str, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offset and scale that bring low .. high to what the output activation spans: [0, 1] (sigmoid) or [-1, 1] (tanh)."""
    return (low, high - low) if output == "sigmoid" else ((low + high) / 2, (high - low) / 2)


def far(offset: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Which columns would lose digits in float32: those more than FAR scales from 0, and those whose scale float32 rounds
    to 0."""
    return (np.abs(offset) / FAR > scale) | (scale < SMALL)  # a forged scale could overflow in a product


def origin(rows: np.ndarray) -> np.ndarray:
    """The row that is subtracted from rows (n, d) before their moments are computed, float64: the first one, so that digits
    of values far from 0 are kept. Rows in float32 or bytes have few digits, and are summed without it.
    """
    return np.zeros(1) if rows.dtype in (np.uint8, np.float32) else rows[0].astype(np.float64)


def varies(offset: np.ndarray, deviation: np.ndarray, dtype: Any) -> np.ndarray:
    """Which columns of rows of this type vary: the deviation of a constant is 0 up to rounding.

    1 / deviation must be finite in float32 where rows are stored so, and the square of a deviation not be 0 in float64.
    """
    return deviation > 1e-9 * np.abs(offset) + (SMALL if dtype in (np.uint8, np.float32) else 1e-150)


def storage(values: np.ndarray) -> tuple[Any, np.ndarray]:
    """The type in which the values of a table (n, d) are stored, and the scale (d,) of each column.

    The type is float64 where float32 would lose digits: where a column is `far`, except constants that float32 holds exactly.
    The scale is the standard deviation, or 1 for a column that does not vary.
    """
    zero = origin(values)
    mean, deviation = _moments(values, zero)
    vary, offset = varies(mean, deviation, values.dtype), zero + mean
    scale = np.where(vary, deviation, 1.0)
    wide = far(offset, scale) & (vary | (offset != offset.astype(np.float32)))
    return (np.float64 if wide.any() else np.float32), scale


def _moments(rows: np.ndarray, zero: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column minus `zero`, in two passes of float64 blocks."""
    step = max(1, _BLOCK // rows.shape[1])
    blocks = range(0, len(rows), step)
    if not zero.any():  # the same sum, but in an order of its own
        mean = sum(rows[i : i + step].sum(axis=0, dtype=np.float64) for i in blocks) / len(rows)
    else:
        mean = sum((rows[i : i + step] - zero).sum(axis=0) for i in blocks) / len(rows)
    squares = sum(np.square(rows[i : i + step] - zero - mean).sum(axis=0) for i in blocks)
    return np.asarray(mean), np.sqrt(np.asarray(squares) / len(rows))
