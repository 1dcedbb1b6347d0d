"""`python -m benchmarks.planted`: spoil real samples in known ways, and see which measures notice and what the verdict says.

For each data set all rows are shuffled and divided again, as a person's own data and a pool of new real samples. A perfect
generator would draw such a pool. Its measures, over several draws, say how much chance moves each: their standard
deviation is the standard error of the measure. Then the pool is spoilt. The fault is *seen* by a measure that moves by more
than five standard errors, and *named* where the verdict's findings include the one that belongs to it.

The result is a line of JSON for each data set in benchmarks/quality/planted.jsonl, unless fewer samples or draws are asked for, and
the picture of docs/metrics.md.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from benchmarks import machine
from minigan import cli
from minigan.backends import get_ops
from minigan.data import DATA_SETS, Data, load
from minigan.data.mixtures import centres
from minigan.metrics.measures import MEASURES
from minigan.metrics.suite import Suite
from minigan.metrics.verdict import CLEAN, verdict
from minigan.plots import style

RECORDS = Path(__file__).with_name("quality") / "planted.jsonl"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "planted-faults.png"
SEEN = 5.0
"""Standard errors by which a measure must move."""

COMPARED, DRAWS, REPEATS = 10_000, 20, 3
"""Samples compared at most; draws of real samples; draws in which every fault is planted."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Draw:
    """A data set divided anew: `data` as a person has them, and a pool x (k, d) of new real samples, k > 4/3 m, with what kind
    each is of (k,): its digit, its mode or its category."""

    data: Data
    x: np.ndarray
    kinds: np.ndarray
    rng: np.random.Generator

    @property
    def images(self) -> np.ndarray:
        return self.x.reshape(-1, *self.data.space.shape)


Fault = Callable[[Draw], np.ndarray]


@dataclass(frozen=True)
class Planted:
    """A fault: how samples are spoilt, the measures that must notice, some that must not, and the finding that names it."""

    name: str
    spoil: Fault
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    finding: str


# ------------------------------------------------------------------------------------------------------- of any data


def duplicated(d: Draw) -> np.ndarray:
    """Every tenth sample is a copy of the next one."""
    x = d.x.copy()
    x[:-1:10] = x[1::10][: len(x[:-1:10])]
    return x


def copied(d: Draw) -> np.ndarray:
    """Training rows."""
    rows = d.data.train[d.rng.permutation(len(d.data.train))]
    return np.resize(d.data.values(rows), d.x.shape)


def missing_kind(d: Draw) -> np.ndarray:
    return d.x[d.kinds != 3]


def uneven(by: float) -> Fault:
    """Half of the kinds are met by such a share too often, the others as much too seldom."""

    def spoil(d: Draw) -> np.ndarray:
        names = np.unique(d.kinds)
        seldom = np.isin(d.kinds, names[len(names) // 2 :])
        return d.x[~(seldom & (d.rng.random(len(d.x)) > (1 - by) / (1 + by)))]

    return spoil


# --------------------------------------------------------------------------------------------------------- of images


def salt(share: float) -> Fault:
    return lambda d: np.where(d.rng.random(d.x.shape) < share, np.float32(1), d.x)


def blurred(d: Draw) -> np.ndarray:
    """Each pixel is averaged with its neighbours, with weights 1 2 1 down and across."""
    x = d.images
    for axis in (1, 2):
        wide = np.pad(x, [(0, 0), *((int(a == axis),) * 2 for a in (1, 2))])
        n = x.shape[axis]
        before, here, after = (np.take(wide, range(i, i + n), axis=axis) for i in range(3))
        x = (before + 2 * here + after) / 4
    return x.reshape(d.x.shape)


def ghosts(d: Draw) -> np.ndarray:
    """A second image shines through at half its brightness."""
    return np.maximum(d.x, d.x[d.rng.permutation(len(d.x))] / 2)


def moved(down: int, right: int) -> Fault:
    return lambda d: np.roll(d.images, (down, right), axis=(1, 2)).reshape(d.x.shape)


def fainter(d: Draw) -> np.ndarray:
    return d.x * np.float32(0.8)


LOCAL = "specks", "faint", "place", "texture", "sharpness", "contrast"
IMAGES = (
    Planted("salt in 0.3 % of the pixels", salt(0.003), ("specks", "texture"), ("digit_kl", "kinds"), "Speckle"),
    Planted("salt in 1 % of the pixels", salt(0.01), ("specks", "texture", "sharpness", "frechet"), (), "Speckle"),
    Planted("blur", blurred, ("sharpness", "contrast", "texture", "frechet", "precision"), ("digit_kl",), "Blur"),
    Planted("ghosts of a second image", ghosts, ("faint", "texture", "frechet", "precision"), ("specks",), "Ghosts"),
    Planted("moved by one pixel", moved(0, 1), ("place",), ("sharpness", "contrast"), "Out of place"),
    Planted("moved by two pixels", moved(1, 2), ("place", "frechet", "precision"), ("contrast",), "Out of place"),
    Planted("contrast of 80 %", fainter, ("contrast", "texture"), ("sharpness", "place"), "Wrong contrast"),
    Planted("a digit missing", missing_kind, ("kinds", "digit_kl", "missing"), ("specks",), "Mode collapse"),
    Planted("shares wrong by a third", uneven(1 / 3), ("digit_kl",), ("kinds", "precision", "specks"), "Uneven"),
    Planted("a tenth duplicated", duplicated, ("repeated",), ("precision", "specks", "faint"), "Repetition"),
    Planted("training images copied", copied, ("copies",), ("sharpness", "specks"), "Memorisation"),
)

# --------------------------------------------------------------------------------------------------------- of points


def _centres(d: Draw) -> np.ndarray:
    return np.asarray(centres(d.data.name))[d.kinds]


def widths(factor: float) -> Fault:
    return lambda d: (_centres(d) + factor * (d.x - _centres(d))).astype(d.x.dtype)


def bridges(d: Draw) -> np.ndarray:
    """Every twentieth sample lies between two modes."""
    x, k = d.x.copy(), len(d.x) // 20
    share = d.rng.random((k, 1))
    x[:k] = share * x[:k] + (1 - share) * x[k : 2 * k]
    return d.rng.permutation(x)


POINTS = (
    Planted(
        "a mode missing", missing_kind, ("modes", "coverage", "missing", "reverse_kl"), ("narrowest",), "Mode collapse"
    ),
    Planted("shares wrong by a third", uneven(1 / 3), ("reverse_kl",), ("modes", "mode_width"), "Uneven"),
    Planted(
        "modes of .7 of their width",
        widths(0.7),
        ("mode_width", "narrowest"),
        ("modes",),
        "Modes too narrow",
    ),
    Planted(
        "modes of 1.4 times their width", widths(1.4), ("mode_width", "precision", "high_quality"), (), "Modes too wide"
    ),
    Planted("bridges between modes", bridges, ("high_quality", "precision"), ("modes",), "Strays"),
    Planted("a tenth duplicated", duplicated, ("repeated",), ("modes", "high_quality"), "Repetition"),
    Planted("training points copied", copied, ("copies",), ("modes", "high_quality"), "Memorisation"),
)

# --------------------------------------------------------------------------------------------------------- of tables

AGE, INCOME, SPENT, REGION, BALANCE = range(5)


def customers(n: int = 6000, seed: int = 0) -> np.ndarray:
    """A made-up table (n, 5): age in years, income and what was spent of it, with two decimals, one of five regions, and a
    balance that is a float of no special kind. Income rises with age, what is spent with income."""
    rng = np.random.default_rng(seed)
    age = np.clip(np.round(rng.normal(45, 14, n)), 18, 95)
    income = np.round(np.exp(10 + 0.01 * age + 0.4 * rng.standard_normal(n)), 2)
    spent = np.round(income * rng.beta(8, 3, n), 2)
    region = rng.choice(5, n, p=[0.35, 0.25, 0.2, 0.15, 0.05])
    return np.stack([age, income, spent, region, rng.standard_t(5, n)], axis=1)


def unpaired(d: Draw) -> np.ndarray:
    """What was spent belongs to another row."""
    x = d.x.copy()
    x[:, SPENT] = d.rng.permutation(x[:, SPENT])
    return x


def without_category(d: Draw) -> np.ndarray:
    """A region becomes another one."""
    x = d.x.copy()
    x[x[:, REGION] == 3, REGION] = 0
    return x


def clipped(d: Draw) -> np.ndarray:
    """Numbers beyond the 5 % quantiles become those."""
    x = np.clip(d.x, *np.quantile(d.x, [0.05, 0.95], axis=0)).astype(d.x.dtype)
    x[:, REGION] = d.x[:, REGION]
    return x


def unrounded(d: Draw) -> np.ndarray:
    """Every value of the columns of whole numbers is moved by up to half a step."""
    x = d.x.copy()
    for column in (AGE, REGION):
        x[:, column] += d.rng.uniform(-0.5, 0.5, len(x))
    return x


TABLES = (
    Planted(
        "a correlation broken",
        unpaired,
        ("correlations", "pairs", "detection", "precision"),
        ("shapes", "tails", "familiar"),
        "Correlations lost",
    ),
    Planted(
        "a category lost", without_category, ("lost", "shapes", "columns"), ("tails", "familiar"), "Categories lost"
    ),
    Planted("tails cut", clipped, ("tails",), ("correlations", "lost"), "Tails cut"),
    Planted("rounding lost", unrounded, ("familiar", "lost"), ("correlations",), "Rounding lost"),
    Planted(
        "shares wrong by a half", uneven(1 / 2), ("shapes", "columns"), ("familiar", "lost"), "A column unlike the data"
    ),
    Planted("a tenth duplicated", duplicated, ("repeated",), ("shapes", "tails", "lost"), "Repetition"),
    Planted("training rows copied", copied, ("copies",), ("shapes", "tails", "familiar"), "Memorisation"),
)

# of a few hundred images of 8 x 8 pixels, less can be seen
FEW = (
    Planted("salt in 0.3 % of the pixels", salt(0.003), ("specks",), ("place", "digit_kl"), "Speckle"),
    Planted("salt in 1 % of the pixels", salt(0.01), ("specks",), ("place", "digit_kl"), "Speckle"),
    *IMAGES[2:8],
    Planted("shares wrong by a half", uneven(1 / 2), ("digit_kl",), ("kinds", "precision", "specks"), "Uneven"),
    *IMAGES[9:],
)
FAULTS = {"mnist": IMAGES, "digits": FEW, "ring": POINTS, "grid": POINTS, "table": TABLES}


# ---------------------------------------------------------------------------------------------------------- measuring


def drawn(name: str, seed: int, n: int) -> Draw:
    """A data set divided anew; n: samples to compare at most."""
    rng = np.random.default_rng(seed)
    data = load(name) if name in DATA_SETS else load(customers())
    rows = np.concatenate([data.train, data.validation, data.test])
    labels = np.concatenate(list(data.labels.values())) if data.labels is not None else None
    order = rng.permutation(len(rows))
    k = min(3 * n // 2, 3 * (len(rows) - len(data.validation) - len(data.test)) // 7)
    pool, rest = order[:k], order[k:]
    held = len(data.validation) + len(data.test)
    parts = {
        "validation": rest[: len(data.validation)],
        "test": rest[len(data.validation) : held],
        "train": rest[held:],
    }
    if labels is not None:
        data = replace(data, labels={part: labels[chosen] for part, chosen in parts.items()})
    data = replace(data, **{part: rows[chosen] for part, chosen in parts.items()})
    x = data.values(rows[pool])
    if labels is not None:
        kinds = labels[pool].astype(int)
    elif name in DATA_SETS:
        kinds = np.square(x[:, None] - centres(name)).sum(axis=2).argmin(axis=1)
    else:
        kinds = x[:, REGION].astype(int)
    return Draw(data, x, kinds, rng)


def matrix(name: str, n: int = COMPARED, draws: int = DRAWS, repeats: int = REPEATS, seed: int = 0) -> Record:
    """What real samples of a data set measure, and by how many standard errors each fault moves each measure."""
    real: list[dict[str, float]] = []
    findings: list[list[str]] = []
    moved_by: dict[str, list[dict[str, float]]] = {fault.name: [] for fault in FAULTS[name]}
    said: dict[str, list[list[str]]] = {fault.name: [] for fault in FAULTS[name]}
    for i in range(draws):
        draw = drawn(name, seed + i, n)
        suite = Suite(draw.data, get_ops(), n)
        clean = suite.measure(draw.x[: suite.m])
        real.append(clean)
        findings.append(verdict(clean, suite.real, None, suite.m))
        for fault in FAULTS[name] if i < repeats else ():
            made = suite.measure(np.ascontiguousarray(fault.spoil(draw)[: suite.m]))
            moved_by[fault.name].append({key: made[key] - clean[key] for key in made})
            said[fault.name].append(verdict(made, suite.real, None, suite.m))
    error = {key: float(np.std([values[key] for values in real], ddof=1)) for key in real[0]}
    mean = {key: float(np.mean([values[key] for values in real])) for key in real[0]}

    def errors(key: str, moves: list[dict[str, float]]) -> float:
        move = float(np.mean([values[key] for values in moves]))
        return move / error[key] if error[key] > 0 else math.copysign(math.inf, move) if move else 0.0

    return {
        "data": name,
        "compared": suite.m,
        "draws": draws,
        "real": mean,
        "error": error,
        "real_findings": sum(said != [CLEAN] for said in findings),
        "faults": {
            fault: {"errors": {key: errors(key, moves) for key in mean}, "verdict": said[fault]}
            for fault, moves in moved_by.items()
        },
        "machine": machine(),
    }


def complaints(record: Record) -> list[str]:
    """What a matrix shows that it should not: faults unseen or unnamed, measures that moved for no reason, real samples with
    findings."""
    found = (
        [f"{record['real_findings']} of {record['draws']} real draws have a finding"] if record["real_findings"] else []
    )
    for fault in FAULTS[record["data"]]:
        of = record["faults"][fault.name]
        errors = {key: float(value) for key, value in of["errors"].items() if value is not None and value == value}
        found += [
            f"{fault.name}: {key} moves by {errors[key]:.1f}"
            for key in fault.seen
            if key in errors and abs(errors[key]) < SEEN
        ]
        found += [
            f"{fault.name}: {key} moves by {errors[key]:.1f}, for no reason"
            for key in fault.unseen
            if key in errors and abs(errors[key]) >= SEEN
        ]
        unnamed = [said for said in of["verdict"] if not any(line.startswith(fault.finding + ":") for line in said)]
        found += [f"{fault.name}: the verdict says {said[0]!r}" for said in unnamed]
    return found


# ------------------------------------------------------------------------------------------------------------ picture

LEFT, CELL, ROW, HEAD, MOST = 210, 32, 20, 96, 1000.0
"""Pixels: for the names of the faults, and of a cell; for the names of the measures; standard errors with the darkest colour."""


def records() -> dict[str, Record]:
    """The newest record of each data set."""
    lines = RECORDS.read_text(encoding="utf-8").splitlines() if RECORDS.is_file() else []
    return {record["data"]: record for record in map(json.loads, lines)}


def picture(path: Path, found: dict[str, Record]) -> None:
    """Draw the matrices: a row for each fault, a column for each measure, darker the more standard errors it moves by."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("errors", ["#f6d9c6", style.FAKE, "#5c1d0c"])
    names = [name for name in FAULTS if name in found]
    heights = [HEAD + ROW * len(FAULTS[name]) for name in names]
    with style.house_style():
        figure = style.figure(style.WIDTH, style.MARGIN + style.TITLE + sum(heights) + 26 * len(names))
        style.title(figure, style.MARGIN, "planted faults, and the measures that see them (standard errors)")
        top = style.MARGIN + style.TITLE
        for name, height in zip(names, heights, strict=True):
            record, faults = found[name], [fault.name for fault in FAULTS[name]]
            measures = [key for key in MEASURES if record["real"].get(key) is not None]
            axes = style.axes(figure, style.MARGIN + LEFT, top + HEAD, CELL * len(measures), ROW * len(faults))
            axes.set_xlim(0, len(measures))
            axes.set_ylim(len(faults), 0)
            for i, fault in enumerate(faults):
                for j, measure in enumerate(measures):
                    value = record["faults"][fault]["errors"][measure]
                    size = 0.0 if value is None else abs(float(value))
                    if size < SEEN:
                        continue
                    share = min(1.0, math.log(size / SEEN) / math.log(MOST / SEEN))
                    axes.add_patch(Rectangle((j, i), 1, 1, facecolor=colours(share), edgecolor="white", linewidth=1))
                    words = f"{size:.0f}" if size < MOST else "∞" if math.isinf(size) else ">1k"
                    colour = "white" if share > 0.35 else style.INK
                    axes.text(j + 0.5, i + 0.54, words, ha="center", va="center", fontsize=6.5, color=colour)
            axes.set_xticks(
                [j + 0.5 for j in range(len(measures))], measures, rotation=55, ha="left", rotation_mode="anchor"
            )
            axes.set_yticks([i + 0.5 for i in range(len(faults))], faults)
            axes.tick_params(length=0, labelcolor=style.INK)
            axes.xaxis.tick_top()
            axes.spines[:].set_visible(False)
            axes.hlines(range(len(faults) + 1), 0, len(measures), color=style.RULE, linewidth=0.5)
            axes.vlines(range(len(measures) + 1), 0, len(faults), color=style.RULE, linewidth=0.5)
            axes.set_title(f"{name}, {record['compared']:,} samples", loc="left", x=-LEFT / (CELL * len(measures)),
                           y=1.0, pad=46, fontsize=9, color=style.INK)  # fmt: skip
            top += height + 26
        style.save(figure, path)


# ------------------------------------------------------------------------------------------------------------ command


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.Parser(prog="python -m benchmarks.planted", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=tuple(FAULTS), default=list(FAULTS), help="only these data sets")
    parser.add_argument("-n", type=int, default=COMPARED, help=f"samples compared at most (default: {COMPARED})")
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"draws of real samples (default: {DRAWS})")
    parser.add_argument("--seed", type=int, default=0, help="of the first draw (default: 0)")
    parser.add_argument(
        "--picture", action="store_true", default=False, help="draw the picture from the existing records"
    )
    return parser.parse(argv)


def main(argv: Sequence[str] | None = None) -> int:
    values = parse(argv)
    if values.picture:
        picture(PICTURE, records())
        print(PICTURE.name)
        return 0
    bad = 0
    for name in values.only:
        with np.errstate(all="ignore"):
            record = matrix(name, values.n, values.draws, seed=values.seed)
        lines = complaints(record)
        bad += len(lines)
        faults = f"{record['compared']:,} samples, {record['draws']} draws, {len(record['faults'])} faults"
        print(f"{name}: {faults}: {'every one is seen and named' if not lines else ''}", flush=True)
        for line in lines:
            print(f"  {line}")
        if (values.n, values.draws) == (COMPARED, DRAWS):
            with open(RECORDS, "a", encoding="utf-8") as file:
                file.write(json.dumps(plain(record), sort_keys=True) + "\n")
    return 1 if bad else 0


def plain(record: Record) -> Record:
    """JSON-ready: nan is null; a measure that chance does not move at all is moved by "inf" errors."""
    if isinstance(record, dict):
        return {key: plain(value) for key, value in record.items()}
    if isinstance(record, list):
        return [plain(value) for value in record]  # type: ignore[return-value]
    if isinstance(record, float) and not math.isfinite(record):
        return None if math.isnan(record) else str(record)  # type: ignore[return-value]
    return record


if __name__ == "__main__":
    cli.run(main)
