"""Minibatches as a pure function of (seed, step), scaled for the networks, without allocation."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends import Array, Ops
from minigan.backends.noise import ORDER, Noise
from minigan.data.scaling import Scaler
from minigan.errors import InputError


class Batches:
    """The training rows, resident on the backend in their stored type, served in a new order each epoch.

    Rows stored in float64 are resident in model units instead, because their offset must be subtracted before they are
    rounded.

    The order of an epoch is a permutation keyed by (seed, epoch); an incomplete minibatch at its end is dropped.
    """

    def __init__(
        self, rows: np.ndarray, unit: float, scaler: Scaler, batch_size: int, seed: int, ops: Ops, dtype: Any
    ) -> None:
        """rows: (n, d), of which rows * unit are data values. Raises: InputError for a batch larger than n."""
        if rows.ndim != 2:
            raise InputError(f"minibatches are made of rows of shape (n, d), not of an array of shape {rows.shape}.")
        self.n, d = rows.shape
        if batch_size > self.n:
            raise InputError(f"--batch-size {batch_size} is larger than the training part, which has {self.n} samples.")
        self.shape = batch_size, d
        self.batch_size = batch_size
        self.per_epoch = self.n // batch_size
        # (stored * unit - offset) / scale, as (stored - offset / unit) / (scale / unit)
        offset, factor = scaler.offset / unit, unit / scaler.scale
        if rows.dtype == np.float64:
            rows = Scaler(offset, scaler.scale / unit).to_model(rows, dtype)
            offset, factor = np.zeros(1), np.ones(1)
        self.rows = ops.asarray(np.ascontiguousarray(rows))
        self._gathered = ops.empty((batch_size, d), rows.dtype) if rows.dtype != dtype else None
        self.offset, self.factor = ops.asarray(offset.astype(dtype)), ops.asarray(factor.astype(dtype))
        self._noise, self._ops = Noise(seed), ops
        self._epoch, self._order = -1, np.empty(0, np.int64)
        self._resident_epoch, self._resident = -1, None

    def __repr__(self) -> str:
        return f"Batches({self.batch_size} of {self.n:,} rows of {self.shape[1]} values, {self.per_epoch} an epoch)"

    def require_fit(self, shape: tuple[int, ...]) -> None:
        """Raise InputError unless a minibatch has this shape (batch_size, d), that of a GAN's real rows."""
        if shape != self.shape:
            raise InputError(
                f"a minibatch of these data is {self.shape[0]} rows of {self.shape[1]} values, but the GAN takes {shape[0]} rows "
                f"of {shape[1]}; make both with the same batch size, and the GAN with the data's size (data.space.size)."
            )

    def chosen(self, step: int) -> np.ndarray:
        """The indices (batch_size,) of the rows of minibatch number `step`, a host array."""
        epoch, i = divmod(step, self.per_epoch)
        return self._part(self._order_of(epoch), i)

    def resident(self, step: int) -> Array:
        """The same as an array of the backend, to which the order is copied once an epoch."""
        epoch, i = divmod(step, self.per_epoch)
        if epoch != self._resident_epoch:
            self._resident, self._resident_epoch = self._ops.asarray(self._order_of(epoch)), epoch
        return self._part(self._resident, i)

    def fill(self, out: Array, step: int) -> None:
        """out (batch_size, d) = minibatch number `step`, in model units; out has the type given at construction."""
        self.require_fit(out.shape)
        self._ops.gather(self.rows, self.resident(step), self.offset, self.factor, self._gathered, out)

    def _order_of(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._order, self._epoch = self._noise.permutation(self.n, ORDER, epoch), epoch
        return self._order

    def _part(self, order: Array, i: int) -> Array:
        return order[i * self.batch_size : (i + 1) * self.batch_size]
