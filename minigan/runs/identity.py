"""Which data a checkpoint was trained on: their identity, and comparing it with data that are given later."""

from __future__ import annotations

import hashlib
import os
import warnings
from typing import Any

import numpy as np

from minigan.data import Data
from minigan.errors import InputError, short
from minigan.runs.checkpoint import Checkpoint, load
from minigan.runs.directory import Run, find_data


def identify(data: Data, all_data: bool) -> dict[str, Any]:
    """What identifies a run's data besides their `Space`: everything that training and its measures can see.

    name: informative only; samples: rows that are trained on; training, held_out, labels: SHA-256 of these arrays; unit.
    """
    labels = data.labels or {}
    return {
        "name": data.name,
        "samples": len(data.train) + (len(data.validation) if all_data else 0),
        "unit": data.unit,
        "training": _fingerprint(data.train),
        "held_out": _fingerprint(data.validation, data.test),
        "labels": _fingerprint(*(labels[part] for part in sorted(labels))),
    }


def as_trained(data: Data, run: str | os.PathLike[str], all_data: bool) -> Data:
    """The data in the precision in which a run or checkpoint was trained on them.

    Earlier versions stored all tables in float32, even where that loses digits. Their runs stay so, with a warning.
    """
    if data.train.dtype != np.float64:
        return data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            known = load(run).data
        except InputError:  # none yet, or an unusable one: reported where it is needed
            return data
    before = data.rounded()
    rounded = identify(before, all_data)["training"], _sha256_of_rows(before.part(all_data))
    if known.get("training", rounded[0]) != rounded[0] or known.get("sha256", rounded[1]) != rounded[1]:
        return data
    warnings.warn(
        f"{run}: trained on {data.name} in float32, and stays so; train anew to keep all digits.", stacklevel=2
    )
    return before


def check_data(saved: Checkpoint, data: Data, run: str, given: str) -> None:
    """Compare data with those that a checkpoint was trained on, in everything that it records of them; older ones record less,
    and knew labels of fewer data.

    Raises: InputError, which names `run` and the data `given`, and says in what they differ.
    """
    now, then = identify(data, saved.config.all_data), saved.data
    if "sha256" in then:
        now["sha256"] = _sha256_of_rows(data.part(saved.config.all_data))
    found = []
    for what in ("kind", "shape", "alphabet", "sample_rate"):
        new, old = (getattr(space, what, None) for space in (data.space, saved.space))
        if new != old:
            found.append(f"its {what.replace('_', ' ')} is {short(new)}, not {short(old)}")
    for what, names in (
        ("column", zip(data.space.columns, saved.space.columns, strict=False)),
        ("class", zip(data.space.classes, saved.space.classes, strict=False)),
    ):
        renamed = next(((i, *pair) for i, pair in enumerate(names, 1) if pair[0] != pair[1]), None)
        if renamed is not None:
            found.append(f"its {what} {renamed[0]} is called {short(renamed[1])}, not {short(renamed[2])}")
    if then.get("labels") == _fingerprint():
        del now["labels"]
    for key, what in (
        ("samples", "number of samples to train on is"),
        ("unit", "unit is"),
        ("training", "training rows have the SHA-256"),
        ("sha256", "training rows have the SHA-256"),
        ("held_out", "held-out rows have the SHA-256"),
        ("labels", "labels have the SHA-256"),
    ):
        if key in now and then.get(key, now[key]) != now[key]:
            found.append(f"its {what} {str(now[key])[:12]}, not {short(then[key])[:12]}")
    if found:
        raise InputError(
            f"{run}: --data {given} does not hold what the run was trained on: {'; '.join(found)}. Say with --data where that "
            f"is now, or train a new run."
        )


def training_data(run: Run, saved: Checkpoint, name: str | None, directory: str | None) -> Data:
    """The data that a run was trained on, found through its config.json.

    Raises: InputError where they are missing, or are no longer those that the checkpoint names.
    """
    config = run.read_config()
    config = config.replace(data=name or config.data, data_dir=directory or config.data_dir)
    data = find_data(str(run.path), config, told=name is not None)
    data = as_trained(data, saved.path, saved.config.all_data)
    check_data(saved, data, str(run.path), config.data)
    return data


def _fingerprint(*arrays: np.ndarray) -> str:
    """SHA-256 of types, shapes and values."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str} {array.shape}\n".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def _sha256_of_rows(rows: np.ndarray) -> str:
    """SHA-256 of the bytes of training rows, as older checkpoints hold it; tables were float32 then."""
    rows = rows.astype(np.float32) if rows.dtype == np.float64 else rows
    return hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()
