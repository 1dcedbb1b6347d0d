"""Resuming a run: the settings that may change, and the checkpoint to continue from."""

from __future__ import annotations

import dataclasses
from typing import Any

from minigan import cli
from minigan.config import Config, flag
from minigan.data import Data
from minigan.errors import InputError
from minigan.runs import checkpoint, identity
from minigan.runs.directory import Run

MAY_CHANGE = ("steps", "schedule_steps", "data", "data_dir")
"""Settings that decide the numbers, and still may change on --resume."""


def resumed_config(base: Config, given: dict[str, Any]) -> Config:
    """A run's settings with the changes that resuming allows. Raises: InputError, with both values."""
    fixed = [f.name for f in dataclasses.fields(Config) if f.metadata["kind"] == "science" and f.name not in MAY_CHANGE]
    for name in fixed:
        if given.get(name, getattr(base, name)) != getattr(base, name):
            raise InputError(
                f"{flag(name)} cannot change on --resume: the run has {getattr(base, name)}, you gave {given[name]}."
            )
    if given.get("steps", base.steps) != base.steps:
        given = {"schedule_steps": base.schedule_steps or base.steps, **given}  # schedules end where they would have
    return base.replace(**given)


def saved_state(run: Run, config: Config, data: Data) -> checkpoint.Checkpoint | None:
    """The checkpoint to continue from; None where the process was killed before it wrote the first, so nothing is lost.

    Raises: InputError where it is unusable, or belongs to other data or settings.
    """
    if not run.began():
        return None
    with cli.saying_warnings():
        saved = checkpoint.load(run.path)
    identity.check_data(saved, data, f"--resume {run.path}", config.data)
    now, then = checkpoint.portable(config, data.name), saved.config.to_dict(places=False, report=False)
    for name in now:
        if name not in MAY_CHANGE and now[name] != then[name]:
            raise InputError(
                f"--resume {run.path}: {flag(name)} is {now[name]} in config.json, {then[name]} in the checkpoint."
            )
    if config.steps < saved.step:
        raise InputError(f"--steps {config.steps} is too few: the run in {run.path} has made {saved.step} already.")
    return saved
