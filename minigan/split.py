"""python -m minigan.split: write the real samples that a run held out, or those that it was trained on.

What a generator is worth is found with samples that it never saw: a model trained on generated rows is tested on these.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minigan import cli, written
from minigan.data import Data
from minigan.errors import InputError
from minigan.runs import checkpoint, identity
from minigan.runs.directory import Run

PARTS = ("held-out", "training")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Raises: InputError."""
    parser = cli.Parser(
        prog="python -m minigan.split",
        description="Write the real samples that a run held out, or those that it was trained on, as the data were written.",
    )
    parser.add_argument("run", metavar="RUN", help="a run directory, or a checkpoint file in one")
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="PATH",
        help="as for python -m minigan.sample: FILE.csv, FILE.npz, DIRECTORY/ ...",
    )
    parser.add_argument("--part", choices=PARTS, default="held-out", help="which samples (default: held-out)")
    parser.add_argument(
        "--data", metavar="NAME|PATH", default=None, help="where the run's data are, if they have moved"
    )
    parser.add_argument("--data-dir", metavar="DIR", default=None, help="directory with data files, if it has moved")
    values = parser.parse(argv)
    written.require("-o", values.out)
    return values


def part(data: Data, name: str, all_data: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """The rows of a part in data units, and their labels, if there are any. Raises: InputError where nothing is held out."""
    names = ["train", "validation"] if all_data else ["train"]
    if name == "held-out":
        names = ["test"] if all_data else ["validation", "test"]
    rows = data.values(np.concatenate([getattr(data, each) for each in names]))
    if not len(rows):
        raise InputError(f"{data.name}: nothing was held out, because the run was trained with --all-data.")
    labels = None if data.labels is None else np.concatenate([data.labels[each] for each in names])
    return rows, labels


def main(argv: Sequence[str] | None = None) -> int:
    values = parse(argv)
    place = Path(values.run)
    run = Run(place if place.is_dir() else place.parent)
    with cli.saying_warnings():
        saved = checkpoint.load(place)
        data = identity.training_data(run, saved, values.data, values.data_dir)
    written.require_space("-o", values.out, data.space)
    rows, labels = part(data, values.part, saved.config.all_data)
    try:
        written.write(values.out, data.space, len(rows), iter([rows]), labels)
    except OSError as error:
        raise InputError(f"-o {values.out} cannot be written ({error.strerror or error}).") from None
    cli.say(f"{values.out}: {len(rows)} {values.part} samples of {data.name}")
    return 0


if __name__ == "__main__":
    cli.run(main)
