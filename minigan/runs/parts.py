"""What a run is made of before its networks: settings, operations, data, scaling and minibatches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from minigan import cli
from minigan.backends import Ops, get_ops
from minigan.config import Config
from minigan.data import Data, load
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.errors import InputError
from minigan.nn.gan import GAN
from minigan.runs import cost, identity
from minigan.runs.checkpoint import require_described
from minigan.runs.directory import find_data


@dataclass(frozen=True)
class Request:
    """What a caller asks of a run besides its configuration.

    out: a fresh run directory (None: runs/NAME-001, -002, ...). resume: the directory of a run to continue. quiet: print
    nothing. given: the names of the settings chosen by the caller: a recipe's batch size is reduced for small data, a chosen
    one is not.
    """

    out: str | None = None
    resume: str | None = None
    quiet: bool = False
    given: frozenset[str] = frozenset()


@dataclass
class Parts:
    """Everything that training needs but the networks, whose size depends on the data; rows are those trained on."""

    config: Config
    backend: Ops
    data: Data
    rows: np.ndarray
    scaler: Scaler
    batches: Batches

    @classmethod
    def load(cls, config: Config, request: Request) -> Parts:
        """Read and scale the data. Raises: InputError where they cannot be used."""
        backend = get_ops(config.backend, config.kernels)
        if config.steps_per_launch > 1 and not backend.launches:
            raise InputError(
                f"--steps-per-launch {config.steps_per_launch} is for --backend cupy --kernels cuda; elsewhere it must be 1."
            )
        if request.resume is None:
            data = load(config.data, config.data_dir, config.reading)
        else:
            data = find_data(f"--resume {request.resume}", config, told="data" in request.given)
            with cli.saying_warnings():
                data = identity.as_trained(data, request.resume, config.all_data)
        rows = data.part(config.all_data)
        data = replace(data, space=data.space.fitted(rows))
        require_described(data.space, config.data)
        if "batch_size" not in request.given and request.resume is None and config.batch_size > len(rows):
            config = config.replace(batch_size=len(rows))  # the recipe's size is a suggestion, a given one is an order
        scaler = Scaler.fit(data.space, rows, config.output, data.unit, config.spread)
        batches = Batches(rows, data.unit, scaler, config.batch_size, config.seed, backend, config.dtype)
        return cls(config, backend, data, rows, scaler, batches)

    def gan(self) -> GAN:
        """The networks, with initial weights. Raises: InputError where they do not fit into memory."""
        shape = self.data.space.shape
        cost.require(cost.outline(self.config, shape, self.backend, steps=False), self.backend)
        return GAN(self.config, shape, self.backend)
