"""python -m minigan.evaluate: measure the quality and the variety of a run's samples, and say what to do about them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan import cli
from minigan.backends import BACKENDS, Ops, get_ops
from minigan.config import Config
from minigan.data import DATA_SETS, same_kind
from minigan.data.spaces import Table
from minigan.errors import InputError, OutputError, short
from minigan.files import write_json
from minigan.recipes import recipe
from minigan.runs import checkpoint, identity
from minigan.runs.checkpoint import Checkpoint
from minigan.runs.directory import Run

if TYPE_CHECKING:  # imported when needed: --help and errors come at once
    from minigan.data import Data
    from minigan.metrics.suite import Suite
    from minigan.metrics.verdict import Trained

LEAST, MOST = 100, 100_000
"""Samples measured: with fewer, every measure is noise."""

COMPARED, SHOWN, NEAREST, FURTHEST = 1000, 10, 5, 5
"""Generated images compared with all training images; rows of each panel of the picture; neighbours in a row."""

LEAST_TEST = 10
"""Samples of --test at least."""

Values = dict[str, float]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Raises: InputError."""
    parser = cli.Parser(
        prog="python -m minigan.evaluate",
        description="Measure a run's samples: every measure that fits the data, beside the value of real samples, a "
        "verdict with advice, and RUN/neighbours.png, generated samples beside their nearest training samples.",
    )
    parser.add_argument("run", metavar="RUN", help="a run directory, or a checkpoint file in one")
    parser.add_argument("-n", type=int, default=10_000, help="number of samples (default: 10000)")
    parser.add_argument("--backend", choices=BACKENDS, default="numpy", help="where to compute (default: numpy)")
    parser.add_argument("--json", metavar="FILE", type=Path, default=None, help="write the measures to FILE as well")
    parser.add_argument(
        "--data", metavar="NAME|PATH", default=None, help="where the run's data are, if they have moved"
    )
    parser.add_argument("--data-dir", metavar="DIR", default=None, help="directory with data files, if it has moved")
    parser.add_argument(
        "--test", metavar="PATH", default=None, help="compare with these real samples, not with those held out"
    )
    values = parser.parse(argv)
    if not LEAST <= values.n <= MOST:
        raise InputError(f"-n {values.n} is out of range; it must be a whole number >= {LEAST} and <= {MOST}.")
    if values.json is not None:
        cli.require_new("--json", values.json)
        if not values.json.absolute().parent.is_dir():
            raise InputError(f"--json {values.json}: the directory {values.json.parent} does not exist.")
    return values


# ----------------------------------------------------------------------------------------------------------- the report


@dataclass(frozen=True)
class Report:
    """The measures of a run's samples."""

    run: Run
    saved: Checkpoint
    suite: Suite
    groups: int
    made: Values
    real: Values
    findings: list[str]
    columns: Sequence[tuple[str, float, float]] = ()
    """The columns of a table that are furthest from the data: name, distance of generated and of real rows."""

    def lines(self) -> list[str]:
        """The report as lines of text."""
        from minigan.metrics.measures import MEASURES

        suite, m = self.suite, f"{self.suite.m:,}"
        groups = f"means over {self.groups} groups of {m} samples" if self.groups > 1 else f"{m} samples"
        kept = "held out" if suite.held_out else "which this run was trained on too, by --all-data"
        result = [
            cli.wrapped(f"{self.saved.path}: {self.saved.data['name']}, weight average of step {self.saved.step}"),
            cli.wrapped(f"{groups} against {m} real ones, {kept}"),
            "",
            f"{'':<15} {'generated':>9} {'real':>9}  good",
        ]
        for name, value in self.made.items():
            measure = MEASURES[name]
            made, real = (f"{v:.4g}" if math.isfinite(v) else "-" for v in (value, self.real[name]))
            result.append(f"{name:<15} {made:>9} {real:>9}  {measure.better.good:<9} {measure.words}")
        if self.columns:
            result += ["", f"{'columns furthest from the data':<30} {'generated':>9} {'real':>9}"]
            result += [f"{short(name, 30):<30} {made:>9.3f} {real:>9.3f}" for name, made, real in self.columns]
        return [*result, "", *(cli.wrapped(finding, 2) for finding in self.findings)]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; undefined measures are null."""

        def plain(values: Values) -> dict[str, float | None]:
            return {name: value if math.isfinite(value) else None for name, value in values.items()}

        return {
            "run": str(self.run.path),
            "data": self.saved.data,
            "step": self.saved.step,
            "seed": self.saved.config.seed,
            "compared": self.suite.m,
            "groups": self.groups,
            "generated": plain(self.made),
            "real": plain(self.real),
            "verdict": self.findings,
            "columns": {name: {"generated": made, "real": real} for name, made, real in self.columns},
        }


def tested(data: Data, path: str, config: Config) -> Data:
    """The data with other real samples, from a file or folder like that of the data, as their test part. Raises: InputError."""
    rows = same_kind(data.space, path, config.reading)
    if len(rows) < LEAST_TEST:
        raise InputError(f"--test {path} holds {len(rows)} samples; at least {LEAST_TEST} are needed.")
    test = (rows / data.unit).astype(data.train.dtype)
    if np.array_equal(test, data.validation):  # what split wrote, which is compared with anyway
        return data
    return replace(data, test=test, bundled=False, labels=None)


def evaluate(run: Run, saved: Checkpoint, data: Data, n: int, backend: Ops) -> tuple[Report, np.ndarray]:
    """Measure n samples of a checkpoint; the report, and the samples (n, size) in data units.

    The samples are those of `python -m minigan.sample` with the run's own seed.
    Raises: InputError where too few real samples are held out, DivergenceError for samples that are not finite.
    """
    from minigan.metrics.suite import Suite
    from minigan.metrics.verdict import verdict

    suite = Suite(data, backend, n, all_data=saved.config.all_data)
    x = saved.sample(max(n, suite.m), backend, seed=saved.config.seed)
    made = suite.measure(x)
    findings = verdict(made, suite.real, trained(run.read_config(), saved), suite.m)
    furthest = []
    if isinstance(data.space, Table):
        furthest = sorted(suite.by_column(x), key=lambda column: column[2] - column[1])[:FURTHEST]
    return Report(run, saved, suite, suite.groups(x), made, suite.real, findings, furthest), x


def trained(config: Config, saved: Checkpoint) -> Trained:
    """How the model of a checkpoint was trained, in a run with this configuration."""
    from minigan.metrics.verdict import Trained

    family = config.data if config.data in DATA_SETS else saved.space.family
    usual = recipe("default", family).steps
    newest = saved.path.name == checkpoint.NAME and config.until is None
    return Trained(config, saved.step, usual, newest and saved.step < config.steps)


def picture(report: Report, x: np.ndarray, backend: Ops) -> None:
    """Draw RUN/neighbours.png from samples x (n, size) in data units.

    Images: some samples, and those of the first thousand that are nearest to a training image (for how near they are to
    a held-out one), each with its nearest training images. Others: the distances to the nearest training row, of
    samples and of held-out rows. Raises: OSError.
    """
    from minigan import plots
    from minigan.metrics.neighbours import nearest, nearest_few

    suite, data, path = report.suite, report.suite.data, report.run.neighbours
    rows = data.part(report.saved.config.all_data)
    training = suite.plain(data.values(rows))
    x = x[:COMPARED]
    distance = backend.to_host(nearest(suite.plain(x), training, backend)[1])
    if plots.pictures(data.space).neighbours is None:
        held_out = nearest(suite.plain(suite.reference[:COMPARED]), training, backend)[1]
        plots.distances(path, distance, backend.to_host(held_out))
        return
    if suite.held_out:  # simple images are near to any image: suspect are those near to training images only
        distance /= 1e-9 + backend.to_host(nearest(suite.plain(x), suite.plain(suite.reference), backend)[1])
    panels = []
    for title, chosen in (
        ("the first samples", np.arange(min(SHOWN, len(x)))),
        (f"of {len(x):,}, the most suspect of being copies", distance.argsort(kind="stable")[:SHOWN]),
    ):
        near = nearest_few(suite.plain(x[chosen]), training, NEAREST, backend)
        panels.append((title, x[chosen], data.values(rows[near])))
    plots.neighbours(path, data.space, panels)


def main(argv: Sequence[str] | None = None) -> int:
    values = parse(argv)
    place = Path(values.run)
    run = Run(place if place.is_dir() else place.parent)
    with cli.saying_warnings():
        saved = checkpoint.load(place)
    if not run.config.is_file():
        raise InputError(f"{run.path}: holds no config.json, so the data that it was trained on cannot be found.")
    with run.visited():
        backend = get_ops(values.backend)
        with cli.saying_warnings():
            data = identity.training_data(run, saved, values.data, values.data_dir)
            if values.test is not None:
                data = tested(data, values.test, run.read_config())
        with np.errstate(all="ignore"):  # undefined measures are nan, and shown so
            report, x = evaluate(run, saved, data, values.n, backend)
        for line in report.lines():
            cli.say(line)
        try:
            if values.json is not None:
                write_json(values.json, report.to_dict())
            picture(report, x, backend)
        except OSError as error:
            what = error.filename2 or error.filename or run.path
            raise OutputError(f"{what} could not be written ({error.strerror or error}).") from None
    cli.say(f"nearest training samples: {run.neighbours}")
    return 0


if __name__ == "__main__":
    cli.run(main)
