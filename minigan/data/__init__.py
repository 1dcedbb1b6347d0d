"""Data sets: bundled digits, MNIST, two mixtures and own files or arrays, all as rows with a fixed split.

What reads them is imported with the first that needs it: the command line knows their names without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigan.backends.noise import SPLIT, Noise
from minigan.data.raw import Raw
from minigan.data.reading import Reading
from minigan.data.spaces import Image, Points, Space
from minigan.errors import InputError, reason, short

MOVED = 1 << 22
"""Values of which there are two copies while samples are shuffled."""


@dataclass(frozen=True, eq=False)
class Data:
    """A data set. Rows are *stored* values (n, size): uint8 where the source has 8 bits, else float32.

    Tables that would lose digits in float32 are stored in float64 (see `scaling.storage`). A data value is a stored value
    times `unit` (see `values`); those of images lie in [0, 1]. `labels`, where there are any, holds arrays of whole numbers
    under the names of the parts. `test` may have no rows. `notes` are sentences about the source; `bundled`: it is one of
    `DATA_SETS`.
    """

    name: str
    space: Space
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    labels: dict[str, np.ndarray] | None
    unit: float
    notes: tuple[str, ...] = ()
    bundled: bool = False

    def __repr__(self) -> str:
        parts = ", ".join(f"{len(getattr(self, name)):,} {name}" for name in ("train", "validation", "test"))
        shape = " x ".join(map(str, self.space.shape))
        return f"Data({self.name}: {parts}, {self.space.kind} of {shape} values, stored as {self.train.dtype})"

    def values(self, rows: np.ndarray) -> np.ndarray:
        """The data values of stored rows: float32, or float64 where they are stored so."""
        dtype = np.float64 if rows.dtype == np.float64 else np.float32
        return (rows * dtype(self.unit)).astype(dtype, copy=False)

    def rounded(self) -> Data:
        """The same data set with rows in float32."""
        parts = {name: getattr(self, name).astype(np.float32) for name in ("train", "validation", "test")}
        return replace(self, **parts)

    def part(self, all_data: bool) -> np.ndarray:
        """The rows to train on: the training part, with `all_data` the validation part too; never the test part."""
        return np.concatenate([self.train, self.validation]) if all_data else self.train


def load(
    source: str | os.PathLike[str] | np.ndarray,
    data_dir: str | None = None,
    reading: Reading | None = None,
    **options: Any,
) -> Data:
    """A data set by its name, or own data: a path, or an array in memory.

    reading, or its fields as `options`: how own data are read. An array is a table (n, d) or images, as in a file.

    The split is fixed. MNIST: the first 50,000 training images, the last 10,000 of them, the 10,000 test images.
    Mixtures: 100,000, 10,000 and 10,000 points. Digits and own data: the last fifth of a fixed shuffle is held out for
    validation, and no test part.

    Raises: InputError for an unknown name and for data that are missing, damaged or unusable.
    """
    name = "the array" if isinstance(source, np.ndarray) else source
    reading = replace(reading or Reading(), **options)
    try:
        if isinstance(source, np.ndarray):
            from minigan.data.arrays import from_array

            raw = from_array(source, reading)
            rows = raw.rows.copy() if np.shares_memory(raw.rows, source) else raw.rows
            return _divided(replace(raw, rows=rows), "array")
        if not isinstance(source, str | os.PathLike):
            raise InputError(
                f"data are loaded from a name, a path or a NumPy array, not from an object of type {type(source).__name__}; "
                f"convert it with numpy.asarray."
            )
        name = os.fspath(source)
        if name in DATA_SETS:
            return DATA_SETS[name].read(data_dir)
        return _own(name, reading)
    except MemoryError as error:
        raise InputError(f"{name} does not fit into memory ({reason(error)}).") from None


def same_kind(space: Space, path: str, reading: Reading) -> np.ndarray:
    """The samples (n, size) in data units at a path, in the file's order, which must be of this space.

    Raises: InputError where they are not.
    """
    from minigan.data import own, tables
    from minigan.data.spaces.table import Rows

    if isinstance(space, Rows) and space.schema and own.is_text(Path(path)):
        return tables.read_as(space, Path(path), reading)
    if not os.path.exists(path):
        raise InputError(f"{path} does not exist.")
    raw = own.read(Path(path), space.reading(reading) if os.path.isdir(path) else reading)
    if raw.space.kind != space.kind or raw.space.shape != space.shape:
        found, wanted = (f"{s.kind} of {' x '.join(map(str, s.shape))} values" for s in (raw.space, space))
        raise InputError(f"{path} holds samples of another kind: {found}, not {wanted}.")
    return raw.rows * raw.unit


def _mnist(data_dir: str | None) -> Data:
    from minigan.data import mnist

    x, y, x_test, y_test = mnist.read(data_dir)
    labels = {"train": y[:50_000], "validation": y[50_000:], "test": y_test}
    return Data("mnist", Image((28, 28)), x[:50_000], x[50_000:], x_test, labels, 1 / 255, bundled=True)


def _mixture(name: str) -> Data:
    from minigan.data import mixtures

    return _drawn(name, mixtures.draw(name), mixtures.PARTS)


def _drawn(name: str, x: np.ndarray, parts: Sequence[int]) -> Data:
    """Points of the plane (n, 2) as a data set; parts: how many are for training, for validation and for the test."""
    a, b, _ = np.cumsum(parts)
    return Data(name, Points((2,), ("x0", "x1")), x[:a], x[a:b], x[b:], None, 1.0, bundled=True)


def _digits() -> Data:
    """The UCI handwritten digits (E. Alpaydin, C. Kaynak; CC BY 4.0), see docs/data.md."""
    path = Path(__file__).with_name("digits.npz")
    try:
        with np.load(path, allow_pickle=False) as file:  # bundled, so trusted; checksums detect damage
            x, y = file["x"], file["y"]
    except Exception as error:
        raise InputError(f"{path} is missing or damaged ({reason(error)}); install minigan again.") from None
    order, held = _shuffle(len(x))
    labels = {"train": y[order[:held]], "validation": y[order[held:]], "test": y[:0]}
    x = x.reshape(len(x), -1)
    return Data("digits", Image((8, 8)), x[order[:held]], x[order[held:]], x[:0].copy(), labels, 1 / 16, bundled=True)


class DataSet(NamedTuple):
    """A data set that has a name."""

    space: type[Space]
    """The kind of its samples, whose recipes it has where it has none of its own."""
    read: Callable[[str | None], Data]
    """The data set, its files in this directory if one is given (--data-dir)."""


DATA_SETS: dict[str, DataSet] = {
    "digits": DataSet(Image, lambda _: _digits()),
    "mnist": DataSet(Image, _mnist),
    "ring": DataSet(Points, lambda _: _mixture("ring")),
    "grid": DataSet(Points, lambda _: _mixture("grid")),
}
"""The data sets that --data knows by name."""


def _own(name: str, reading: Reading) -> Data:
    if not name or not os.path.exists(name):
        raise InputError(
            f"--data {short(name, 200)!r} is neither a known data set ({', '.join(DATA_SETS)}) nor an existing .npy, "
            f".npz, .csv or .txt file or folder of images or WAV files."
        )
    from minigan.data import own

    return _divided(own.read(Path(name), reading), _stem(name))


def _stem(name: str) -> str:
    """The name of a data set from its path: table of table.csv.gz."""
    path = Path(name).resolve()
    path = path.with_suffix("") if path.suffix.lower() == ".gz" and path.is_file() else path
    return path.stem or "data"


def _divided(raw: Raw, name: str) -> Data:
    """Own samples as a data set: the last fifth of a fixed shuffle is held out. The rows are shuffled where they are."""
    rows = raw.rows
    order, held = _shuffle(len(rows))
    step = max(1, MOVED // len(rows))
    for j in range(0, rows.shape[1], step):
        rows[:, j : j + step] = rows[order, j : j + step]
    labels = None
    if raw.labels is not None:
        labels = {"train": raw.labels[order[:held]], "validation": raw.labels[order[held:]], "test": raw.labels[:0]}
    return Data(name, raw.space, rows[:held], rows[held:], rows[:0].copy(), labels, raw.unit, raw.notes)


def _shuffle(n: int) -> tuple[np.ndarray, int]:
    """A fixed order of n rows, and where in it the last fifth begins."""
    return Noise(0).permutation(n, SPLIT, 0), n - n // 5
