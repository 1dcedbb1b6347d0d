"""python -m minigan.train: train a generative adversarial network and leave its pictures, metrics and checkpoint."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minigan import cli, memory, recipes
from minigan.config import Config, check_effect
from minigan.data import DATA_SETS
from minigan.data.reading import Reading
from minigan.errors import InputError, quoted

if TYPE_CHECKING:  # the rest is imported once flags are read: --help and errors come at once
    from minigan.runs.parts import Request


def parse(argv: Sequence[str] | None) -> tuple[Config, argparse.Namespace]:
    """The configuration given by the flags, and the flags that are not part of it. Raises: InputError.

    First the few flags that choose the defaults are read, then all of them: so --help shows the defaults in effect.
    """
    early = cli.Parser(prog="python -m minigan.train", add_help=False)
    for name in ("--data", "--recipe", "--config", "--resume"):
        early.add_argument(name)
    early.add_argument("--shape", type=int, nargs="+", default=())
    early.add_argument("--sample-rate", type=int, default=0)
    chosen, _ = early.parse_known_args(argv)
    base = base_config(chosen)

    parser = cli.Parser(
        prog="python -m minigan.train",
        usage="%(prog)s [flags]",
        description="Train a GAN. Defaults shown are those of the chosen --data and --recipe; any flag overrides them.",
    )
    place = parser.add_argument_group("run")
    place.add_argument("--out", metavar="DIR", help="fresh run directory (default: runs/NAME-001, -002, ...)")
    place.add_argument(
        "--resume",
        metavar="DIR",
        help="continue the run in DIR; needs no other flag, but --data where its data have moved",
    )
    place.add_argument("--config", metavar="FILE", help="take all settings from a run's config.json")
    place.add_argument("--quiet", action="store_true", help="print nothing but errors")
    place.add_argument(
        "--explain", action="store_true", help="say what a step costs, here and in theory; train nothing"
    )
    cli.add_settings(parser, base)
    values = parser.parse(argv)
    for name, default in (("out", None), ("resume", None), ("config", None), ("quiet", False), ("explain", False)):
        values.__dict__.setdefault(name, default)
    given = cli.settings(values)
    values.given = given
    if values.explain and (values.resume is not None or values.out is not None):
        raise InputError("--explain trains nothing; leave out --resume and --out.")
    if values.resume is not None:
        if values.out is not None or values.config is not None:
            raise InputError("--resume continues in its own directory; leave out --out and --config.")
        if "recipe" in given:
            raise InputError("--resume continues with the run's own settings; leave out --recipe.")
        from minigan.runs.resume import resumed_config

        return resumed_config(base, given), values
    if values.config is not None and "recipe" in given:
        raise InputError("--config already holds every setting; leave out --recipe.")
    config = base.replace(**given)
    check_effect(config, given)
    return config, values


def base_config(chosen: argparse.Namespace) -> Config:
    """The settings that flags override: those of a run, a file or a recipe. Raises: InputError."""
    if "resume" in chosen or "config" in chosen:
        from minigan.runs.directory import load_config
    if "resume" in chosen:
        path = Path(chosen.resume)
        if not (path / "config.json").is_file():
            raise InputError(f"--resume {path}: no run is there (no config.json).")
        return load_config(path / "config.json", of_a_run=True)
    if "config" in chosen:
        return load_config(chosen.config)
    data = getattr(chosen, "data", "digits")
    base = recipes.recipe(getattr(chosen, "recipe", "default"), family(data, _read_as(chosen)))
    return base.replace(data=data, data_dir=os.environ.get("MINIGAN_DATA") or None)


def _read_as(chosen: argparse.Namespace) -> Reading:
    """What the few flags that were read first say about own data."""
    return Reading(shape=tuple(chosen.shape), sample_rate=chosen.sample_rate)


def family(data: str, reading: Reading = Reading()) -> str:  # noqa: B008
    """The family of recipes for --data: the name of a data set, or a kind of own data. Raises: InputError."""
    if data in DATA_SETS:
        return data
    from minigan.data import own

    return own.family(Path(data), reading)


def explain(config: Config, request: Request) -> None:
    """Print what a step costs (--explain)."""
    from minigan.runs import contention
    from minigan.runs import cost as explain
    from minigan.runs.parts import Parts
    from minigan.runs.steps import steps_of
    from minigan.runs.threads import limited_threads

    parts = Parts.load(config, request)
    config, shape, backend = parts.config, parts.data.space.shape, parts.backend
    outline, free = explain.outline(config, shape, backend), backend.available()
    if free is not None and 2 * (outline.state + outline.work) > free:  # to be timed, networks are in memory twice
        for line in explain.counted(outline, parts.rows.nbytes):
            cli.say(line)
        verdict = (
            "too little to train them here" if sum(outline.needed(backend)) > free else "too little to time a step"
        )
        cli.say(f"available        {memory.words(free)}: {verdict}")
        return
    with np.errstate(all="ignore"):
        cost = explain.count(config, shape, parts.batches.fill, backend)
        gan = parts.gan()
        meter = contention.Meter()
        with limited_threads(gan):
            steps = steps_of(gan, parts.batches, config.steps_per_launch)
            lines = explain.lines(cost, gan, steps.run, parts.batches.rows.nbytes)
    for line in lines:
        cli.say(line)
    if (found := meter.read()).load > contention.LOAD:
        cli.say(f"{found}: the times above are uncertain.")


def main(argv: Sequence[str] | None = None) -> int:
    config, values = parse(argv)
    from minigan.runs.fit import perform
    from minigan.runs.parts import Request
    from minigan.runs.session import prepare
    from minigan.runs.stop import Stop

    request = Request(values.out, values.resume, values.quiet, frozenset(values.given))
    if values.explain:
        explain(config, request)
        return 0
    session = prepare(config, request)
    config, gan, run = session.config, session.gan, session.run
    stop = Stop()
    session.say(f"backend {session.backend.name} on {session.backend.device}, {config.dtype}, {config.kernels} kernels")
    for note in session.data.notes:
        session.say(note)
    session.say(f"data {session.data.name}: {session.identity['samples']} samples of {session.data.space.size} values")
    session.say(f"generator {gan.generator.count:,} parameters, discriminator {gan.discriminator.count:,}")
    verb = f"resuming at step {gan.step}" if gan.step else "training"
    if session.reached:
        session.say(
            f"--until {config.until} is reached already, at step {gan.step} with {session.reached}: no step is made; "
            f"to go on, resume with another --until"
        )
    else:
        session.say(f"{verb}, {config.objective}, batch {config.batch_size}, to step {config.steps}, in {run.path}")
    first = gan.step
    seconds = perform(session, stop)
    steps = gan.step - first
    if stop.requested:
        session.say(
            f"stopped and saved at step {gan.step}; continue with: python -m minigan.train --resume {quoted(run.path)}"
        )
        return 128 + stop.signal
    if session.reached and steps:
        session.say(f"--until {config.until}: reached at step {gan.step} with {session.reached}")
    session.say(f"{steps} steps in {seconds:.1f} s ({steps / max(seconds, 1e-9):.0f} steps/s)")
    session.say(cli.wrapped(f"pictures: {run.samples}, {run.curves}, {run.animation}, {run.pictures}{os.sep}", 2))
    session.say(f"more samples: python -m minigan.sample {quoted(run.path)} -n 64 -o more{session.data.space.usual}")
    return 0


if __name__ == "__main__":
    cli.run(main)
