"""A whole run, from Python or by `python -m minigan.train`: prepare, train, and draw the final pictures."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from minigan import cli
from minigan.config import Config
from minigan.errors import FallbackWarning, InputError, OutputError, quoted
from minigan.runs.directory import Run, load_config
from minigan.runs.loop import train
from minigan.runs.parts import Request
from minigan.runs.resume import resumed_config
from minigan.runs.session import Session, prepare
from minigan.runs.stop import Stop


def fit(
    config: Config | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    quiet: bool = True,
    **changes: Any,
) -> Session:
    """Train as `python -m minigan.train` does, and leave the same files; or continue the run in the directory `resume`.

    changes: settings by name, in place of those of `config` or of the run. In the main thread the first Ctrl-C stops and
    saves, and what was trained is returned; a second one raises KeyboardInterrupt at once.
    Raises: InputError, DivergenceError, OutputError.
    """
    if resume is not None:
        resume = os.fspath(resume)
        config = resumed_config(load_config(Path(resume) / "config.json", of_a_run=True), changes)
    elif config is None:
        raise InputError("fit needs a configuration, as recipe('default', 'digits'), or a run to resume.")
    elif not isinstance(config, Config):
        raise InputError(
            f"fit needs a configuration, as recipe('default', 'digits'), not an object of type {type(config).__name__}; own data "
            f"are named in it: recipe('default', 'table').replace(data='mine.csv')."
        )
    else:
        config = config.replace(**changes)
    session = prepare(config, Request(None if out is None else os.fspath(out), resume, quiet, frozenset(changes)))
    perform(session, Stop(ends_process=False))
    return session


def perform(session: Session, stop: Stop) -> float:
    """Train to the end, or until `stop`, and draw the final pictures; returns the seconds of training.

    Raises: DivergenceError, OutputError.
    """
    began = time.perf_counter()
    try:
        silent = np.errstate(all="ignore")  # check_finite replaces NumPy's warnings
        with stop.listening(), silent, cli.saying_warnings(FallbackWarning):
            train(session, stop)
            session.backend.synchronize()
            seconds = time.perf_counter() - began
            session.finish()
    except (OSError, InputError) as error:
        raise OutputError(unwritable(error, session.gan.step, session.run)) from None
    finally:
        session.run.release()
    return seconds


def unwritable(error: OSError | InputError, step: int, run: Run) -> str:
    """A sentence that names a file that could not be written or read, and the remedy."""
    if isinstance(error, InputError):
        return (
            f"step {step}: {str(error).removesuffix('.')}; the last checkpoint is intact. "
            f"Put that right, then continue with --resume {quoted(run.path)}."
        )
    what = f"step {step}: {error.filename or run.path} could not be written ({error.strerror or error})"
    if error.errno == errno.ESTALE:
        return f"{what}, so nothing was. Put this run's directory back, or train again with another --out."
    if not run.path.is_dir():
        return f"{what}: the run directory is gone, and its checkpoints with it. Put it back, or train again."
    remedy = "Make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Put that right"
    return f"{what}; the last checkpoint is intact. {remedy}, then continue with --resume {quoted(run.path)}."
