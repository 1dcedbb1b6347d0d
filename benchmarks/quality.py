"""`python -m benchmarks.quality`: train every recipe on the reported seeds and measure the samples, for docs/results.md.

Each run consists of the public commands: `python -m minigan.train`, then `python -m minigan.evaluate` on its last weights.
The result of a run is one line of a file in benchmarks/quality/ (recipe, stability, ablation, rival). Runs that have a line are
not repeated, so the command can be stopped and continued. `--page` writes the page from these files.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.report import insert
from minigan import cli
from minigan.backends import KERNELS
from minigan.errors import DivergenceError, InputError
from minigan.metrics.measures import MEASURES, REAL, cost
from minigan.recipes import recipe

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("quality")
WORK = ROOT / ".benchmarks" / "quality"
PAGE = ROOT / "docs" / "results.md"

SEEDS = {"ring": range(100, 110), "grid": range(100, 110), "digits": range(100, 105), "mnist": range(100, 105)}
STABILITY = {"half": 0.5, "one": 1.0, "double": 2.0}
"""Factors of both learning rates."""
STABILITY_SEEDS = range(200, 208)
ABLATIONS = {
    "as it is": "",
    "wide, not deep": "--hidden 128 128 128",
    "alternating update": "--update alternating",
    "batch 64": "--batch-size 64",
    "exponential schedule": "--lr-schedule exponential --lr-end 0.05",
    "penalty to a tenth": "--penalty-end 0.1",
    "penalty in every step": "--penalty-every 1",
    "beta2 .99": "--beta2 0.99",
    "no weight average": "--ema 0",
    "spread 1": "--spread 1",
    "non-saturating": "--objective non-saturating",
}
"""One change each to the grid's default recipe."""
ABLATION_SEEDS = range(300, 302)
RIVAL_SEEDS = range(100, 101)

Record = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One run: a recipe on a data set with a seed, and flags that differ from the recipe's."""

    group: str
    data: str
    recipe: str
    seed: int
    flags: tuple[str, ...] = ()
    rival: bool = False

    @property
    def name(self) -> str:
        return f"{self.group}-{self.data}-{self.recipe}-{self.seed}"

    @property
    def records(self) -> Path:
        """The file with the records of this kind of run, one JSON object a line."""
        return RESULTS / f"{self.group.partition('-')[0]}.jsonl"

    @property
    def folder(self) -> Path:
        return WORK / self.name

    def read(self) -> Record | None:
        """This run's record, the newest if there are several; None where the run has not been made."""
        lines = self.records.read_text(encoding="utf-8").splitlines() if self.records.is_file() else []
        mine = {"group": self.group, "data": self.data, "recipe": self.recipe, "seed": self.seed}
        found = [record for record in map(json.loads, lines) if mine.items() <= record.items()]
        return found[-1] if found else None

    def write(self, record: Record) -> None:
        """Append this run's record: in one call, so that several processes can."""
        RESULTS.mkdir(exist_ok=True)
        with open(self.records, "ab", buffering=0) as file:
            file.write((json.dumps(record, sort_keys=True) + "\n").encode())


def plan() -> list[Trial]:
    """Every run that the page reports, the quick ones first."""
    trials = [
        Trial("recipe", data, which, seed)
        for which in ("default", "best")
        for data in ("ring", "grid", "digits", "mnist")
        for seed in SEEDS[data]
    ]
    for seed, data in product(STABILITY_SEEDS, ("ring", "grid", "digits")):
        base = recipe("default", data)
        for word, factor in STABILITY.items():
            rates = {"--lr-generator": base.lr_generator * factor, "--lr-discriminator": base.lr_discriminator * factor}
            flags = tuple(str(part) for pair in rates.items() for part in pair)
            trials.append(Trial(f"stability-{word}", data, "default", seed, flags))
    trials += [
        Trial(f"ablation-{word.replace(' ', '-')}", "grid", "default", seed, tuple(flags.split()))
        for word, flags in ABLATIONS.items()
        for seed in ABLATION_SEEDS
    ]
    return trials + [Trial("rival", "mnist", "default", seed, rival=True) for seed in RIVAL_SEEDS]


# --------------------------------------------------------------------------------------------------- making the runs


def command(trial: Trial, threads: int, kernels: str = "reference") -> list[str]:
    """The training command of a run."""
    return [
        sys.executable, "-m", "minigan.train", "--data", trial.data, "--recipe", trial.recipe, "--seed", str(trial.seed),
        *trial.flags, "--threads", str(threads), "--kernels", kernels, "--out", str(trial.folder), "--quiet",
    ]  # fmt: skip


def perform(trial: Trial, threads: int, jobs: int, kernels: str) -> Record:
    """Train, measure, and write the record; a run that diverges is a result too. Raises: InputError for other failures."""
    shutil.rmtree(trial.folder, ignore_errors=True)  # of an interrupted run
    WORK.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads)} if threads else dict(os.environ)

    def call(arguments: list[str], *, may_diverge: bool = False) -> str:
        """Run a command; the error message of a run that diverged, "" after a success."""
        ended = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if ended.returncode and not (may_diverge and ended.returncode == DivergenceError.exit_code):
            raise InputError(f"{trial.name}: {ended.stderr.strip()}")
        return ended.stderr.strip() if ended.returncode else ""

    began = time.perf_counter()
    complaint = call(
        rival_command(trial, threads) if trial.rival else command(trial, threads, kernels), may_diverge=True
    )
    seconds = time.perf_counter() - began
    result: Record = {
        "group": trial.group, "data": trial.data, "recipe": trial.recipe, "seed": trial.seed, "flags": list(trial.flags),
        "seconds": round(seconds, 1), "threads": threads, "jobs": jobs, "kernels": kernels, "machine": machine(),
    }  # fmt: skip
    if complaint:
        result["failed"] = complaint
    else:
        report = trial.folder / "quality.json"
        if not trial.rival:
            call([sys.executable, "-m", "minigan.evaluate", str(trial.folder), "--json", str(report)])
        found = json.loads(report.read_text(encoding="utf-8"))
        result |= {key: found[key] for key in ("step", "compared", "groups", "generated", "real", "verdict")}
        if trial.seed == SEEDS[trial.data][0] and trial.group == "recipe":
            shutil.copyfile(trial.folder / "samples.png", picture(trial.data, trial.recipe))
    trial.write(result)
    return result


def rival_command(trial: Trial, threads: int) -> list[str]:
    """The command that trains PyTorch-GAN's networks with its settings for the median training time of this project's recipe."""
    times = [
        found["seconds"]
        for seed in SEEDS[trial.data]
        if (found := Trial("recipe", trial.data, trial.recipe, seed).read()) is not None and "failed" not in found
    ]
    if not times:
        raise InputError(f"{trial.name}: trains as long as the {trial.recipe} recipe, which has no records yet.")
    return [
        sys.executable, "-m", "benchmarks.rival", "--seconds", str(round(statistics.median(times))),
        "--seed", str(trial.seed), "--threads", str(threads), "--out", str(trial.folder),
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------------------- the page


def number(value: float | None) -> str:
    return (
        "-" if value is None or not math.isfinite(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    )


def spread(values: Sequence[float]) -> str:
    """Mean and its standard error."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return number(mean)
    error = statistics.stdev(values) / math.sqrt(len(values))
    digits = max(0, 1 - math.floor(math.log10(error))) if error > 0 else 3
    return f"{mean:.{min(digits, 5)}f} ± {error:.{min(digits, 5)}f}"


def worst(name: str, values: Sequence[float], real: float) -> float:
    """The value of the worst seed."""
    return max(values, key=lambda value: abs(value - real) if MEASURES[name].better is REAL else cost(name, value))


def done(group: str, data: str, which: str = "default") -> list[Record]:
    """The existing records of one group of runs."""
    trials = (t for t in plan() if (t.group, t.data, t.recipe) == (group, data, which))
    return [found for trial in trials if (found := trial.read()) is not None]


def whole(records: Iterable[Record]) -> list[Record]:
    """The records of runs that did not fail."""
    return [found for found in records if "failed" not in found]


def measures(data: str, recipes: Sequence[str]) -> str:
    """A table with a row for each measure, two columns for each recipe, and one for real samples."""
    records = {r: done("recipe", data, r) for r in recipes}
    finished = {r: whole(rows) for r, rows in records.items() if rows}
    if not any(finished.values()):
        return "Not measured yet.\n"
    first = next(rows[0] for rows in finished.values() if rows)
    head = "".join(f" `{r}`, {len(rows)} of {len(SEEDS[data])} seeds | worst seed |" for r, rows in finished.items())
    lines = [f"| |{head} real |", "|---|" + "---|" * (2 * len(finished) + 1)]
    training = [(spread(s), number(max(s))) for rows in finished.values() for s in [[r["seconds"] for r in rows]]]
    lines.append("| seconds of training |" + "".join(f" {a} | {b} |" for a, b in training) + " |")
    lines.append("| steps |" + "".join(f" {rows[0]['step']:,} | |" for rows in finished.values()) + " |")
    for name, real in first["real"].items():
        cells = ""
        for rows in finished.values():
            values = [r["generated"][name] for r in rows]
            known = [v for v in values if v is not None]
            full = len(known) == len(values)
            cells += f" {spread(known) if full else '-'} | {number(worst(name, known, real)) if full else '-'} |"
        lines.append(f"| `{name}` |{cells} {number(real)} |")
    failed = sum(len(rows) - len(finished[r]) for r, rows in records.items() if rows)
    ways = sorted(
        {(r["jobs"], r["threads"], r.get("kernels", "reference")) for rows in finished.values() for r in rows}
    )
    words = " or ".join(f"{j} at once on {t or 'all'} thread{'s' * (t != 1)} each, {k} kernels" for j, t, k in ways)
    return "\n".join(lines) + f"\n\nRuns: {words}. Failed: {failed}.\n"


def lost(found: Record) -> bool:
    """Whether a run failed, or a mode or a kind of digit is missing from its samples."""
    if "failed" in found:
        return True
    made, real = found["generated"], found["real"]
    return any(made[k] < real[k] for k in ("modes", "kinds") if k in real)


def stability() -> str:
    lines = ["| data | learning rates | runs | diverged or lost a mode | mean | worst |", "|---|---|---|---|---|---|"]
    total = bad = 0
    for data, primary in (("ring", "high_quality"), ("grid", "high_quality"), ("digits", "coverage")):
        for word in STABILITY:
            records = done(f"stability-{word}", data)
            if not records:
                continue
            values = [r["generated"][primary] for r in whole(records)]
            failures = sum(map(lost, records))
            total, bad = total + len(records), bad + failures
            row = f"`{primary}` {statistics.fmean(values):.3f} | {min(values):.3f}" if values else "- | -"
            lines.append(f"| {data} | {word} | {len(records)} | {failures} | {row} |")
    if not total:
        return "Not measured yet.\n"
    return "\n".join(lines) + f"\n\n{total - bad} of {total} runs ({(total - bad) / total:.1%}) kept every mode.\n"


def ablations() -> str:
    names = ("modes", "high_quality", "reverse_kl", "mode_width", "narrowest")
    lines = [
        f"| change | flags | runs | seconds | {' | '.join(f'`{name}`' for name in names)} |",
        "|---" * (4 + len(names)) + "|",
    ]
    for word, flags in ABLATIONS.items():
        records = done(f"ablation-{word.replace(' ', '-')}", "grid")
        finished = [found["generated"] for found in whole(records)]
        if finished:
            seconds = statistics.fmean(found["seconds"] for found in whole(records))
            cells = " | ".join(number(statistics.fmean(made[name] or 0.0 for made in finished)) for name in names)
            lines.append(f"| {word} | {f'`{flags}`' if flags else ''} | {len(records)} | {seconds:.0f} | {cells} |")
    return "\n".join(lines) + "\n\nMeans over the runs.\n" if len(lines) > 2 else "Not measured yet.\n"


def against_rival() -> str:
    theirs, ours = whole(done("rival", "mnist")), whole(done("recipe", "mnist"))
    if not theirs or not ours:
        return "Not measured yet.\n"
    a, b = ([r["generated"]["frechet"] for r in rows] for rows in (theirs, ours))
    seconds = statistics.median(r["seconds"] for r in theirs)
    return (
        f"After {seconds:.0f} s, including start and measurement, PyTorch-GAN has a Frechet distance of {spread(a)} "
        f"(seeds: {len(a)}), and the `default` recipe {spread(b)} (seeds: {len(b)}). The ratio is "
        f"{statistics.fmean(a) / statistics.fmean(b):.0f}.\n"
    )


PUBLISHED = {
    "ring": (("GAN, PacGAN's baseline", 6.3, 98.2, 0.45), ("ALI", 6.6, 97.6, 0.36), ("VEEGAN", 8, 52.9, None),
             ("PacGAN2", 7.9, 95.6, 0.07), ("PacGAN4", 7.8, 95.9, 0.07)),
    "grid": (("GAN, PacGAN's baseline", 17.3, 94.8, 0.70), ("ALI", 24.1, 95.7, 0.14), ("VEEGAN", 24.6, 40, None),
             ("PacGAN2", 23.8, 91.3, 0.13), ("PacGAN4", 24.8, 93.6, 0.04)),
}  # fmt: skip
"""Modes, high quality in %, reverse KL: Lin et al. 2018 (Table 1 and 2); VEEGAN's row is its own paper's."""


SOURCES = (
    "[PacGAN](https://arxiv.org/abs/1712.04086), which measured ALI too; [VEEGAN](https://arxiv.org/abs/1705.07761)"
)
"""The sources of the published numbers."""


def published(data: str) -> str:
    lines = ["| | modes | high quality | reverse KL |", "|---|---|---|---|"]
    lines += [f"| {name} | {m} | {hq} % | {'-' if kl is None else kl} |" for name, m, hq, kl in PUBLISHED[data]]
    for which in ("default", "best"):
        rows = [r["generated"] for r in whole(done("recipe", data, which))]
        if rows:
            modes, hq, kl = (statistics.fmean(r[k] for r in rows) for k in ("modes", "high_quality", "reverse_kl"))
            lines.append(f"| **minigan `{which}`** | {modes:.3g} | {100 * hq:.1f} % | {kl:.4f} |")
    return "\n".join(lines) + "\n"


TITLES = {"ring": "Ring of 8 Gaussians", "grid": "Grid of 25 Gaussians", "digits": "Digits", "mnist": "MNIST"}


def page() -> str:
    parts = []
    for data, title in TITLES.items():
        parts += [f"## {title}\n", measures(data, ("default", "best"))]
        if data in PUBLISHED:
            parts += [f"Compared with published numbers ({SOURCES}):\n", published(data)]
        for which in ("default", "best"):
            if picture(data, which).is_file():
                words = f"{title}, {which} recipe, seed {SEEDS[data][0]}: generated and real samples"
                parts.append(f"![{words}](images/{picture(data, which).name})\n")
        if data == "mnist":
            parts += ["### Compared with PyTorch-GAN at equal time\n", against_rival()]
    return "\n".join([*parts, "## Stability\n", stability(), "## Ablations\n", ablations()])


def picture(data: str, which: str) -> Path:
    """The page's picture of a recipe: that of the first seed, not selected by its quality."""
    return PAGE.parent / "images" / f"results-{data}-{which}.png"


# ------------------------------------------------------------------------------------------------------ the command


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.Parser(prog="python -m benchmarks.quality", description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        metavar="TEXT",
        help="only runs whose name contains one of these, as in recipe-ring",
    )
    parser.add_argument("--kernels", choices=KERNELS, default="reference", help="of each run (default: reference)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once (default: 1)")
    parser.add_argument("--threads", type=int, default=0, help="threads of each run (default: its own choice)")
    parser.add_argument(
        "--list", action="store_true", default=False, help="list the runs and whether they have a record"
    )
    parser.add_argument(
        "--page", action="store_true", default=False, help="write docs/results.md from the existing records"
    )
    return parser.parse(argv)


def main(argv: Sequence[str] | None = None) -> int:
    values = parse(argv)
    if values.page:
        insert(PAGE, page())
        print(PAGE.relative_to(ROOT))
        return 0
    trials = [trial for trial in plan() if any(text in trial.name for text in values.only)]
    if values.list:
        for trial in trials:
            print("done   " if trial.read() else "missing", trial.name)
        return 0

    def make(trial: Trial) -> None:
        found = perform(trial, values.threads, values.jobs, values.kernels)
        print(trial.name, found.get("failed") or f"{found['seconds']:.0f} s", flush=True)

    with ThreadPoolExecutor(max_workers=values.jobs) as pool:
        list(pool.map(make, [trial for trial in trials if trial.read() is None]))
    return 0


if __name__ == "__main__":
    cli.run(main)
