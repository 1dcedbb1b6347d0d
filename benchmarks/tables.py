"""`python -m benchmarks.tables`: generated tables against real ones, by the protocol of ForestDiffusion's benchmark.

Of each table and split (80/20, `random_state` 0, 1, 2, stratified by class) a model is trained on the training part with the
recipe for tables, five generated sets as large as that part are compared with the test part, and means are reported
(Jolicoeur-Martineau, Fatras and Kachman 2024, arXiv 2309.09968, section 4 and its code):

    W1        exact earth mover's distance, L1 cost, columns scaled by the training part's range, categories one-hot and halved
    F1 (R2)   of a linear model, AdaBoost, a random forest and XGBoost, trained on generated rows, tested on the test part
    coverage  share of test rows with a generated row nearer than their k-th real neighbour, L1; k is the smallest by which
              real rows reach 95 %, and one more

Judges come from `pip install minigan[bench-tables]`. Runs that have a line in benchmarks/quality/tables.jsonl are not repeated.
"""

from __future__ import annotations

import csv
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from minigan import cli, fit, recipe
from minigan.data.columns import Category
from minigan.data.spaces.table import Rows
from minigan.errors import InputError

RECORDS = Path(__file__).with_name("quality") / "tables.jsonl"
BUNDLED = ("iris", "wine", "breast_cancer")
"""Tables of scikit-learn; others are files of `--dir`."""

REGRESSION = (
    "concrete_slump",
    "concrete_compression",
    "yacht_hydrodynamics",
    "airfoil_self_noise",
    "wine_quality_red",
    "wine_quality_white",
)
CATEGORIES: dict[str, str] = {
    "car": "all",
    "congress": "all",
    "tictactoe": "all",
    "german_credit": "0 2 3 5 6 8 9 11 13 14 16 18 19",
    "heart_cleveland": "1 2 5 6 8 10 12",
    "hepatitis": "1 2 3 4 5 6 7 8 9 10 11 12 18",
    "ionosphere": "0",
    "qsar_biodegradation": "23 24 28",
}
"""The columns that are categories, by their places; the target of a classification is one as well."""

SETS = 5
SPLITS = (0, 1, 2)


def read(name: str, directory: Path | None) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a table, as text; the target is the last column. Raises: InputError."""
    if name in BUNDLED:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        rows = [[repr(float(v)) for v in row] + [f"class {y}"] for row, y in zip(bunch.data, bunch.target, strict=True)]
        return [*(f"x{i}" for i in range(bunch.data.shape[1])), "target"], rows
    if directory is None:
        raise InputError(f"{name} is no table of scikit-learn; say with --dir where {name}.csv is.")
    with (directory / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, rows


def kinds(name: str, header: Sequence[str]) -> str:
    """What --columns says about a table."""
    places = CATEGORIES.get(name, "")
    chosen = set(range(len(header) - 1)) if places == "all" else set(map(int, places.split()))
    if name not in REGRESSION:
        chosen.add(len(header) - 1)
    return ",".join(f"{header[i]}:category" for i in sorted(chosen))


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def encoded(space: Rows, path: Path, columns: str) -> np.ndarray:
    """The rows of a file as a model of this space has them (n, size), in the file's order."""
    from minigan.data.reading import Reading
    from minigan.data.tables import read_as

    return read_as(space, path, Reading(columns=columns))


def trial(name: str, split: int, directory: Path | None, settings: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """Train on one split and judge five generated sets. Raises: InputError."""
    from sklearn.model_selection import train_test_split

    header, rows = read(name, directory)
    target = [row[-1] for row in rows]
    train, test = train_test_split(
        rows, test_size=0.2, random_state=split, stratify=None if name in REGRESSION else target
    )
    columns = kinds(name, header)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = write(folder / f"{name}.csv", header, train)
        config = recipe("default", "table").replace(
            data=str(source), columns=columns, all_data=True, seed=seed, kernels="numba", threads=1, **settings
        )
        start = time.perf_counter()
        session = fit(config, out=folder / "run")
        seconds = time.perf_counter() - start
        space = session.data.space
        made = [session.sample(len(train), seed=seed * 100 + i) for i in range(SETS)]
        parts = [
            encoded(space, write(folder / f"{i}.csv", header, part), columns) for i, part in enumerate((train, test))
        ]
    judged = [judge(space, *parts, x, name not in REGRESSION) for x in made]
    real = judge(space, *parts, parts[0], name not in REGRESSION)
    result = {key: statistics.fmean(j[key] for j in judged) for key in real}
    return {"table": name, "split": split, "seed": seed, "seconds": seconds, **result, "real": real}


def scaled(space: Rows, train: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Rows in which a whole range of a number, or another category, is a distance of 1 in L1."""
    result = np.empty(x.shape)
    for column, part in zip(space.schema, space.slices, strict=True):
        if isinstance(column, Category):
            result[:, part] = x[:, part] / (1 if column.width == 1 else 2)
        else:
            low, high = train[:, part].min(axis=0), train[:, part].max(axis=0)
            result[:, part] = (x[:, part] - low) / np.where(high > low, high - low, 1)
    return result


def judge(space: Rows, train: np.ndarray, test: np.ndarray, made: np.ndarray, classes: bool) -> dict[str, float]:
    """W1, coverage and F1 (or R2) of generated rows."""
    import ot

    a, b = (scaled(space, train, x) for x in (made, test))
    cost = ot.dist(a, b, metric="cityblock")
    distance = float(ot.emd2(ot.unif(len(a)), ot.unif(len(b)), cost, numItermax=10**7))
    return {"w1": distance, "coverage": coverage(b, a), "use": use(space, test, made, classes)}


def coverage(real: np.ndarray, made: np.ndarray) -> float:
    """The share of real rows with a generated one nearer than their k-th real neighbour."""
    from sklearn.metrics import pairwise_distances

    among = np.sort(pairwise_distances(real, metric="manhattan"), axis=1)
    k = next((k for k in range(1, len(real) - 1) if (among[:, k] > 0).mean() >= 0.95), len(real) - 2)
    near = pairwise_distances(real, made, metric="manhattan").min(axis=1)
    return float((near < among[:, k + 1]).mean())


def use(space: Rows, test: np.ndarray, made: np.ndarray, classes: bool) -> float:
    """Mean macro F1 (or R2) of four models trained on generated rows; 0 where a class is missing."""
    from sklearn import ensemble, linear_model
    from sklearn.metrics import f1_score, r2_score
    from xgboost import XGBClassifier, XGBRegressor

    last, part = space.schema[-1], space.slices[-1]
    x, x_test = made[:, : part.start], test[:, : part.start]
    if classes:
        assert isinstance(last, Category)
        y, y_test = last.places(made[:, part]), last.places(test[:, part])
        if not np.isin(y_test, y).all():
            return 0.0
        known, y = np.unique(y, return_inverse=True)
        y_test = np.searchsorted(known, y_test)
        models = [
            linear_model.LogisticRegression(penalty=None, max_iter=500),
            ensemble.AdaBoostClassifier(random_state=0),
            ensemble.RandomForestClassifier(max_depth=28, random_state=0),
            XGBClassifier(reg_lambda=0.0, random_state=0, nthread=1),
        ]
    else:
        y, y_test = made[:, part.start], test[:, part.start]
        models = [
            linear_model.LinearRegression(),
            ensemble.AdaBoostRegressor(random_state=0),
            ensemble.RandomForestRegressor(max_depth=28, random_state=0),
            XGBRegressor(reg_lambda=0.0, random_state=0, nthread=1),
        ]
    scores = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in models:
            found = model.fit(x, y).predict(x_test)
            scores.append(f1_score(y_test, found, average="macro") if classes else r2_score(y_test, found))
    return float(statistics.fmean(scores))


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.Parser(prog="python -m benchmarks.tables", description="Judge generated tables against real ones.")
    parser.add_argument(
        "--only", nargs="+", default=BUNDLED, metavar="TABLE", help="tables (default: those of scikit-learn)"
    )
    parser.add_argument("--dir", default=None, metavar="DIR", help="where further tables are, as CSV files")
    parser.add_argument("--splits", nargs="+", type=int, default=SPLITS, metavar="N", help="splits (default: 0 1 2)")
    parser.add_argument("--seed", type=int, default=0, help="of training (default: 0)")
    parser.add_argument(
        "--set", nargs="+", default=(), metavar="NAME=VALUE", help="other settings; nothing is recorded"
    )
    values = parser.parse(argv)
    settings = {name: json.loads(value) for name, value in (item.split("=", 1) for item in values.set)}
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    known = [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.exists() else []
    done = {(r["table"], r["split"], r["seed"]): r for r in known}
    for name in values.only:
        found = []
        for split in values.splits:
            record = None if settings else done.get((name, split, values.seed))
            if record is None:
                directory = None if values.dir is None else Path(values.dir)
                record = trial(name, split, directory, settings, values.seed)
                if not settings:
                    record["machine"] = machine()
                    with RECORDS.open("a") as file:
                        file.write(json.dumps(record) + "\n")
            found.append(record)
        mean = {key: statistics.fmean(r[key] for r in found) for key in ("w1", "use", "coverage", "seconds")}
        real = {key: statistics.fmean(r["real"][key] for r in found) for key in ("w1", "use", "coverage")}
        words = "  ".join(f"{key} {mean[key]:.3f} (real {real[key]:.3f})" for key in real)
        cli.say(f"{name:<28} {words}  {mean['seconds']:.1f} s")
    return 0


if __name__ == "__main__":
    cli.run(main)
