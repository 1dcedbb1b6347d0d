"""Between data units and what the generator's output activation can produce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.config import OUTPUTS
from minigan.errors import InputError

if TYPE_CHECKING:
    from minigan.data import Space

_BLOCK = 1 << 20
"""Values converted at a time, so that no float64 copy of a data set is made."""


@dataclass(frozen=True, eq=False)
class Scaler:
    """model = (data - offset) / scale, data = offset + scale * model.

    offset, scale: float64 arrays of shape (1,) or (d,), scale > 0.
    """

    offset: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, space: Space, rows: np.ndarray, output: str, unit: float = 1.0, spread: float = 1.0) -> Scaler:
        """The scaler for training rows (n, d), of which rows * unit are data values, and an output activation.

        images: sigmoid -> as they are, [0, 1]; tanh -> [-1, 1]; identity -> mean 0 and
        standard deviation `spread` of all pixels together.
        points, tables, per column: sigmoid -> [0, 1]; tanh -> [-1, 1], both by minimum and maximum; identity -> mean 0
        and standard deviation `spread`. Columns that do not vary get scale 1.

        Raises: InputError for an unknown output activation.
        """
        if output not in OUTPUTS:
            raise InputError(f"--output {output} is unknown; choose one of: {', '.join(OUTPUTS)}.")
        if space.kind == "image":
            if output == "sigmoid":
                return cls(np.zeros(1), np.ones(1))
            if output == "tanh":
                return cls(np.full(1, 0.5), np.full(1, 0.5))
            rows = rows.reshape(-1, 1)
        if output == "identity":
            offset, scale = _moments(rows)
            scale = scale / spread
        else:
            low, high = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
            offset, scale = (low, high - low) if output == "sigmoid" else ((low + high) / 2, (high - low) / 2)
        # a constant column's deviation is 0 but for rounding, and 1 / scale must be finite in float32
        scale = np.where(scale > 1e-9 * np.abs(offset) + 1e-37, scale, 1 / unit)
        return cls(offset * unit, scale * unit)

    def to_model(self, data: np.ndarray) -> np.ndarray:
        """Model values of data values, float32, of the same shape (n, d)."""
        return self._blocks(data, lambda x: (x - self.offset) / self.scale)

    def to_data(self, model: np.ndarray, space: Space) -> np.ndarray:
        """Data values of model values (n, d), float32; images are clipped to [0, 1]."""
        if space.kind == "image":
            return self._blocks(model, lambda y: np.clip(self.offset + self.scale * y, 0, 1))
        return self._blocks(model, lambda y: self.offset + self.scale * y)

    def _blocks(self, rows: np.ndarray, formula: Any) -> np.ndarray:
        out = np.empty(rows.shape, np.float32)
        step = max(1, _BLOCK // max(1, rows.shape[1]))
        for i in range(0, len(rows), step):
            out[i : i + step] = formula(rows[i : i + step].astype(np.float64))
        return out


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, in two passes of float64 blocks."""
    step = max(1, _BLOCK // rows.shape[1])
    blocks = range(0, len(rows), step)
    mean = sum(rows[i : i + step].sum(axis=0, dtype=np.float64) for i in blocks) / len(rows)
    squares = sum(np.square(rows[i : i + step] - mean).sum(axis=0) for i in blocks)
    return np.asarray(mean), np.sqrt(np.asarray(squares) / len(rows))
