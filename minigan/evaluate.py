"""python -m minigan.evaluate: measure the quality and the variety of a run's samples, and say what to do about them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan import cli
from minigan.backends import BACKENDS, Ops, get_ops
from minigan.errors import InputError, OutputError
from minigan.files import write_json
from minigan.runs import checkpoint
from minigan.runs.checkpoint import Checkpoint
from minigan.runs.directory import Run

if TYPE_CHECKING:  # imported when needed: --help and errors come at once
    from minigan.data import Data
    from minigan.metrics.suite import Suite

LEAST, MOST = 100, 100_000
"""Samples measured: with fewer, every measure is noise."""

COMPARED, SHOWN, NEAREST = 1000, 10, 5
"""Generated images compared with all training images; rows of each panel of the picture; neighbours in a row."""

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
    values = parser.parse(argv)
    if not LEAST <= values.n <= MOST:
        raise InputError(f"-n {values.n} is out of range; it must be a whole number >= {LEAST} and <= {MOST}.")
    if values.json is not None:
        if values.json.exists():
            raise InputError(f"--json {values.json} already exists; choose another name, or remove it first.")
        if not values.json.absolute().parent.is_dir():
            raise InputError(f"--json {values.json}: the directory {values.json.parent} does not exist.")
    return values


def training_data(run: Run, saved: Checkpoint, name: str | None, directory: str | None) -> Data:
    """The data that a run was trained on, found through its config.json.

    Raises: InputError where they are missing, or are no longer those that the checkpoint names.
    """
    from minigan.data import load

    config = run.read_config()
    where = name or config.data
    data = load(where, directory or config.data_dir, config.image_size)
    found = checkpoint.identify(data, saved.config.all_data)
    if data.space != saved.space or any(found[key] != saved.data.get(key) for key in ("samples", "sha256")):
        raise InputError(
            f"{run.path}: trained on {checkpoint.describe(saved.data)}, but --data {where} now holds "
            f"{checkpoint.describe(found)}."
        )
    return data


# ---------------------------------------------------------------------------------------------------------- the verdict


def verdict(made: Values, real: Values) -> list[str]:
    """What the measures of generated samples say, beside those of real ones: a sentence for each finding, with advice."""

    def share(name: str) -> float:
        """The measure as a share of its real value; 1 where it was not measured."""
        return made[name] / real[name] if name in made and real.get(name, 0) > 0 else 1.0

    found = []
    # without a measure, or where it is undefined, nothing is found
    missing = max(0.0, real.get("modes", 0) - made.get("modes", 0), real.get("kinds", 0) - made.get("kinds", 0))
    uneven = made.get("digit_kl", 0) - real.get("digit_kl", 0)
    collapsed = missing >= 0.5 or uneven > 0.1 or share("coverage") < 0.5 or share("recall") < 0.5
    if collapsed:
        what = f"{missing:.0f} of the modes or digits missing" if missing >= 0.5 else "much of the data is not reached"
        found.append(
            f"Mode collapse: {what} (coverage {share('coverage'):.0%} and recall {share('recall'):.0%} of real). "
            "Try --objective relativistic with --r1 1 --r2 1, smaller learning rates, or more --steps."
        )
    elif share("coverage") < 0.9 or share("recall") < 0.9:
        found.append(
            f"Less varied than real samples (coverage {share('coverage'):.0%}, recall {share('recall'):.0%} of real). "
            "Try more --steps, or --recipe best."
        )
    if share("memorisation") < (0.5 if collapsed else 0.9):  # samples in few places are near to something by chance
        found.append(
            f"Memorisation: samples are nearer to training than to held-out data (ratio {made['memorisation']:.2f}, "
            f"real {real['memorisation']:.2f}). Try fewer --steps, smaller --hidden, or more data; look at "
            "neighbours.png before you pass samples on."
        )
    brighter = made.get("parzen", -math.inf) - real.get("parzen", math.inf)
    if share("sharpness") < 0.85 or brighter > 3:
        found.append(
            f"Blur: contrast of neighbouring pixels is {share('sharpness'):.0%} of real"
            + (f", and Parzen is {brighter:.0f} nats above what real images score" if brighter > 3 else "")
            + ". Try more --steps, smaller --r1 and --r2 or --penalty-schedule linear, or wider --hidden."
        )
    elif share("sharpness") > 1.15:
        found.append(
            f"Noise: contrast of neighbouring pixels is {share('sharpness'):.0%} of real, as speckle makes it. "
            "Try more --steps with --lr-schedule cosine, or --ema nearer to 1."
        )
    if share("precision") < 0.8 or share("high_quality") < 0.95:
        name = "high_quality" if "high_quality" in made else "precision"
        found.append(
            f"Strays: too many samples are like no real one ({name} {share(name):.0%} of real). "
            "Try more --steps, wider --hidden, or --lr-schedule cosine."
        )
    elif share("precision") < 0.95 or share("density") < 0.8:
        found.append(
            f"Less faithful than real samples (precision {share('precision'):.0%}, density {share('density'):.0%} of "
            "real). Try more --steps, or --recipe best."
        )
    if not 0.8 <= made.get("mode_width", 1) <= 1.25 and math.isfinite(made["mode_width"]):
        which = "narrow" if made["mode_width"] < 1 else "wide"
        remedy = "a smaller --penalty-end" if which == "narrow" else "larger --r1 and --r2"
        found.append(
            f"Modes are too {which}: {made['mode_width']:.2f} of their true width. "
            f"Try --recipe best, --lr-schedule exponential with --lr-end 0.003, or {remedy}."
        )
    return found or ["No sign of mode collapse, memorisation or blur."]


# ----------------------------------------------------------------------------------------------------------- the report


@dataclass(frozen=True)
class Report:
    """What was measured, of which run."""

    run: Run
    saved: Checkpoint
    suite: Suite
    groups: int
    made: Values
    real: Values
    findings: list[str]

    def lines(self) -> list[str]:
        """The report for people."""
        from minigan.metrics.suite import METRICS

        suite, m = self.suite, f"{self.suite.m:,}"
        groups = f"means over {self.groups} groups of {m} samples" if self.groups > 1 else f"{m} samples"
        kept = "held out" if suite.held_out else "which this run was trained on too, by --all-data"
        result = [
            f"{self.saved.path}: {self.saved.data['name']}, weight average of step {self.saved.step}",
            f"{groups} against {m} real ones, {kept}",
            "",
            f"{'':<16} {'generated':>10} {'real':>10}  good",
        ]
        for name, value in self.made.items():
            metric = METRICS[name]
            made, real = (f"{v:.4g}" if math.isfinite(v) else "-" for v in (value, self.real[name]))
            good = {"one": "near 1", "real": "near real"}.get(metric.better, metric.better)
            result.append(f"{name:<16} {made:>10} {real:>10}  {good + ':':<10} {metric.words}")
        return [*result, "", *self.findings]

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
        }


def evaluate(run: Run, saved: Checkpoint, data: Data, n: int, backend: Ops) -> tuple[Report, np.ndarray]:
    """Measure n samples of a checkpoint; the report, and the samples (n, size) in data units.

    The samples are those of `python -m minigan.sample` with the run's own seed.
    Raises: InputError where too few real samples are held out, DivergenceError for samples that are not finite.
    """
    from minigan.metrics.suite import Suite

    suite = Suite(data, backend, n, all_data=saved.config.all_data)
    x = saved.sample(max(n, suite.m), backend, seed=saved.config.seed)
    made = suite.measure(x)
    return Report(run, saved, suite, suite.groups(x), made, suite.real, verdict(made, suite.real)), x


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
    training = suite.plain(suite.units(rows))
    x = x[:COMPARED]
    distance = backend.to_host(nearest(suite.plain(x), training, backend)[1])
    if data.space.kind != "image":
        held_out = nearest(suite.plain(suite.reference[:COMPARED]), training, backend)[1]
        plots.distances(path, distance, backend.to_host(held_out))
        return
    if suite.held_out:  # simple images are near to whatever is there: suspect are those near to training images alone
        distance /= 1e-9 + backend.to_host(nearest(suite.plain(x), suite.plain(suite.reference), backend)[1])
    panels = []
    for title, chosen in (
        ("the first samples", np.arange(min(SHOWN, len(x)))),
        (f"of {len(x):,}, the most suspect of being copies", distance.argsort(kind="stable")[:SHOWN]),
    ):
        near = nearest_few(suite.plain(x[chosen]), training, NEAREST, backend)
        panels.append((title, x[chosen], suite.units(rows[near])))
    plots.neighbours(path, data.space, panels)


def main(argv: Sequence[str] | None = None) -> int:
    values = parse(argv)
    place = Path(values.run)
    run = Run(place if place.is_dir() else place.parent)
    with cli.saying_warnings():
        saved = checkpoint.load(place)
    if not run.config.is_file():
        raise InputError(f"{run.path}: holds no config.json, so the data that it was trained on cannot be found.")
    backend = get_ops(values.backend)
    data = training_data(run, saved, values.data, values.data_dir)
    with np.errstate(all="ignore"):  # undefined measures are nan, and shown so
        report, x = evaluate(run, saved, data, values.n, backend)
    print("\n".join(report.lines()), flush=True)
    try:
        if values.json is not None:
            write_json(values.json, report.to_dict())
        picture(report, x, backend)
    except OSError as error:
        what = error.filename2 or error.filename or run.path
        raise OutputError(f"{what} could not be written ({error.strerror or error}).") from None
    print(f"nearest training samples: {run.neighbours}")
    return 0


if __name__ == "__main__":
    cli.run(main)
