"""What is measured during training: when, on how many samples, the best so far, and whether --until is met."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from minigan.backends import Ops
from minigan.config import Config, Goal
from minigan.data import Data
from minigan.errors import InputError

if TYPE_CHECKING:  # a run that measures nothing need not wait for them
    from minigan.metrics import suite

Record = dict[str, Any]
"""A line of metrics.jsonl: a step, and numbers by their names."""


@dataclass
class Watch:
    """What is measured during training: `samples` samples every `every` steps; the measure `name` says which step is best.

    last, best: the newest record of measures, and the best. They are part of a run's state, as its weights are: whether a
    goal is reached, and whether a later step is better, follows from them.
    """

    measures: suite.Suite
    every: int
    samples: int
    name: str
    goal: Goal | None
    last: Record | None = None
    best: Record | None = None

    @classmethod
    def begin(cls, config: Config, data: Data, backend: Ops) -> Watch | None:
        """None where nothing is to be measured. Raises: InputError where --until names no measure of these data."""
        every = config.evaluate_every or (config.sample_every if config.until is not None else None)
        if every is None:
            return None
        from minigan.metrics import suite

        known = suite.names(data, quick=True)
        goal = None if config.until is None else Goal.parse(config.until)
        if goal is not None and goal.name not in known:
            raise InputError(f"--until {config.until}: {data.name} is measured by {', '.join(known)} during training.")
        samples = data.space.measured
        suited = suite.Suite(data, backend, samples, all_data=config.all_data)
        return cls(suited, every, samples, suite.primary(data) if goal is None else goal.name, goal)

    def note(self, record: Record) -> bool:
        """Remember a record of measures; whether it is the best so far."""
        if self.name not in record:
            return False
        self.last = record
        from minigan.metrics import measures

        cost = partial(measures.cost, self.name)
        better = self.best is None or cost(record[self.name]) < cost(self.best[self.name])
        if better:
            self.best = record
        return better

    def restore(self, measured: dict[str, Record], records: Iterable[Record]) -> None:
        """Set the state from a checkpoint; what it lacks (an older one, another measure) comes from the log's records."""
        self.last, self.best = measured.get("last"), measured.get("best")
        if self.best is None or self.name not in self.best:
            self.best = None
            for record in records:
                self.note(record)

    def state(self) -> dict[str, Record]:
        """The part of it that a checkpoint holds."""
        return {key: record for key, record in (("last", self.last), ("best", self.best)) if record is not None}

    def reached(self, step: int) -> str:
        """The measure and its value at this step that meet --until; empty where none does."""
        if self.goal is None or self.last is None or self.last["step"] != step:
            return ""
        value = self.last.get(self.goal.name, math.nan)
        return f"{self.goal.name} {value:.4g}" if self.goal.met(value) else ""
