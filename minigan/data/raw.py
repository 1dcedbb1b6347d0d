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
from typing import TYPE_CHECKING

import numpy as np

from minigan import memory
from minigan.errors import InputError, reason

if TYPE_CHECKING:
    from minigan.data.spaces import Space

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
    """The samples of a source: rows (n, space.size); value = row * unit.

    labels: the label of each (n,), as an index into the space's classes, or None; notes: what is to be said about the source,
    a sentence or a line each.
    """

    space: Space
    rows: np.ndarray
    unit: float = 1.0
    labels: np.ndarray | None = None
    notes: tuple[str, ...] = ()


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


def same(rows: np.ndarray) -> bool:
    """Whether all of some rows are alike, so that there is nothing to learn."""
    return bool((rows.min(axis=0) == rows.max(axis=0)).all())


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
