"""The result of reading own data, and the checks that all readers share.

Whatever a file claims is compared with its actual size before anything is allocated, values are checked block by block
as they are read, and nothing is ever unpickled.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minigan import memory
from minigan.data.scaling import FAR, storage
from minigan.errors import InputError, reason, short

MAX_FEATURES = 1 << 20
"""Columns of a table or pixels of an image: more than a dense network can use."""

MAX_VALUE = 1e30
"""Largest magnitude in a table, so that float32 arithmetic on it can not overflow."""

MAX_NAME = 200
"""Characters in the name of a column."""

WHOLE = 1 << 53
"""Whole numbers up to this magnitude are exact in float64."""

SMALLER = "give fewer samples or smaller ones"
"""The remedy where data do not fit into memory."""


@dataclass(frozen=True)
class Raw:
    """The samples of a source: rows (n, prod(shape)); value = row * unit; no columns means images of shape (h, w)."""

    rows: np.ndarray
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    unit: float


def is_name(text: str) -> bool:
    """Whether a text can name a column: it fits on a line of a terminal, a picture and a file."""
    return 0 < len(text) <= MAX_NAME and text.isprintable()  # without lone surrogates, which no file can hold


def check_counts(n: int, d: int, path: Path | str, stored: int) -> None:
    """Raise InputError unless n samples of d values, of `stored` bytes each, are something to train on and fit into memory."""
    if n < 5:
        raise InputError(f"{path} holds {n or 'no'} samples; at least 5 are needed, of which a fifth is held out.")
    if not 1 <= d <= MAX_FEATURES:
        raise InputError(f"{path} holds samples of {d:,} values; they must have between 1 and {MAX_FEATURES:,}.")
    memory.require(2 * n * d * stored, f"{path}, read and divided into parts,", SMALLER)


def table(values: np.ndarray, lost: np.ndarray, columns: tuple[str, ...], path: Path | str) -> Raw:
    """A table of values (n, d) of any type; lost (d,): the largest rounding error of float64 in each column.

    Raises: InputError where that is too much for a column's spread, by the rule for float32 (see `scaling.FAR`).
    """
    with np.errstate(all="ignore"):  # values too small for float32, which become 0
        dtype, scale = storage(values)
        bad = lost > FAR * 2.0**-24 * scale
        if bad.any():
            j = int(bad.argmax())
            raise InputError(
                f"{path}: column {short(columns[j])} holds whole numbers beyond 2^53 = {WHOLE:,} that float64 moves by up "
                f"to {lost[j]:.0f}, too much for a spread of {scale[j]:.3g}; subtract a number from the column, or leave it out."
            )
        memory.require(values.size * np.dtype(dtype).itemsize, f"{path}, divided into parts,", SMALLER)
        return Raw(np.ascontiguousarray(values, dtype), (len(columns),), columns, 1.0)


@contextmanager
def parsing(path: Path, what: str, why: bool = True) -> Iterator[None]:
    """Turn every exception of a library that parses untrusted bytes into an InputError; they raise nearly every class."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities; real faults raise
            yield
    except InputError:
        raise
    except Exception as error:
        said = ": " + reason(error).split(" <_io")[0] if why else ""  # Pillow shows the file object
        raise InputError(f"{path} {what}{said}.") from None
