"""Labels of samples: which class each belongs to, and the names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from minigan.data.raw import MAX_NAME, Raw, is_name
from minigan.errors import reason, short

MAX_CLASSES, MAX_TEXT = 1000, 1 << 16
"""Classes, and characters in the names of all: a checkpoint holds them in its header."""

SHOWN = 12
"""Classes that a note lists."""


@dataclass(frozen=True, eq=False)
class Labels:
    """index: (n,) int64, the class of each sample; names: of the classes, which `index` counts from 0."""

    index: np.ndarray
    names: tuple[str, ...]

    def note(self) -> str:
        """How many samples each class has, in a line."""
        counts = np.bincount(self.index, minlength=len(self.names))
        each = [f"{name} {count:,}" for name, count in zip(self.names[:SHOWN], counts.tolist(), strict=False)]
        more = f" and {len(self.names) - SHOWN:,} more" if len(self.names) > SHOWN else ""
        return f"{len(self.names):,} class{'es' if len(self.names) != 1 else ''}: {', '.join(each)}{more}"

    def beside(self, raw: Raw) -> Raw:
        """Samples with these labels, and the note."""
        space = replace(raw.space, classes=self.names)
        return replace(raw, space=space, labels=self.index, notes=(*raw.notes, self.note()))


def from_values(values: np.ndarray, n: int) -> Labels:
    """Labels from whole numbers, bool or text, one for each of n samples: (n,) or (n, 1). Classes are in the order of the values.

    Raises: ValueError, whose text says why they are none.
    """
    check_type(values.shape, values.dtype, n)
    try:
        found, index = np.unique(values.reshape(-1), return_inverse=True)
        names = tuple(map(str, found.tolist()))
    except Exception as error:  # words from a file may hold what is no text
        raise ValueError(f"its words cannot be read ({reason(error)})") from None
    check_names(names)
    return Labels(index.astype(np.int64), names)


def check_type(shape: tuple[int, ...], dtype: np.dtype, n: int) -> None:
    """Raise ValueError, whose text says why, where an array of this shape and type cannot hold the labels of n samples."""
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    if shape not in ((n,), (n, 1)):
        raise ValueError(f"it has the shape {short(shape)}, and there are {n:,} samples")
    if dtype.kind not in "biuU" or not 0 < dtype.itemsize <= 4 * MAX_NAME:
        raise ValueError(f"it holds values of type {short(dtype)}, not whole numbers or short words")


def check_names(names: Sequence[str]) -> None:
    """Raise ValueError, whose text says why, where these cannot be the names of classes."""
    if len(names) > MAX_CLASSES:
        raise ValueError(f"there are {len(names):,} different ones; at most {MAX_CLASSES:,} classes are told apart")
    bad = next((name for name in names if not is_name(name)), None)
    if bad is not None:
        raise ValueError(f"{ascii(bad)[:60]} cannot be the name of a class")
    if sum(map(len, names)) > MAX_TEXT:
        raise ValueError(f"the names of the classes have more than {MAX_TEXT:,} characters")
