"""Minibatches as a pure function of (seed, step), scaled for the networks, without allocation."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backend import Array, Backend
from minigan.data.scaling import Scaler
from minigan.errors import InputError
from minigan.noise import ORDER, Noise


class Batches:
    """The training rows, resident on the backend in their stored type, served in a new order each epoch.

    The order of an epoch is a permutation keyed by (seed, epoch); what is left over at its end waits for another.
    """

    def __init__(
        self, rows: np.ndarray, unit: float, scaler: Scaler, batch_size: int, seed: int, backend: Backend, dtype: Any
    ) -> None:
        """rows: (n, d), of which rows * unit are data values. Raises: InputError for a batch larger than n."""
        self.n, d = rows.shape
        if batch_size > self.n:
            raise InputError(f"--batch-size {batch_size} is larger than the training part, which has {self.n} samples.")
        self.batch_size = batch_size
        self.per_epoch = self.n // batch_size
        self._rows = backend.asarray(np.ascontiguousarray(rows))
        self._gathered = backend.empty((batch_size, d), rows.dtype) if rows.dtype != dtype else None
        # (stored * unit - offset) / scale, as (stored - offset / unit) * (unit / scale)
        self._offset = backend.asarray((scaler.offset / unit).astype(dtype))
        self._factor = backend.asarray((unit / scaler.scale).astype(dtype))
        self._noise, self._backend = Noise(seed), backend
        self._epoch, self._order = -1, None

    def fill(self, out: Array, step: int) -> None:
        """out (batch_size, d) = minibatch number `step`, in model units; out has the type given at construction."""
        epoch, i = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._order = self._backend.asarray(self._noise.permutation(self.n, ORDER, epoch))
            self._epoch = epoch
        assert self._order is not None
        chosen = self._order[i * self.batch_size : (i + 1) * self.batch_size]
        self._backend.ops.gather(self._rows, chosen, self._offset, self._factor, self._gathered, out)
