"""Kinds of data: what one sample is, how it is scaled, and how many are drawn and measured. One class per kind.

Another kind is a subclass of `Space` in `SPACES`. What stands above the data has a registry of its own for each class: its
pictures (`plots.PICTURES`) and what its samples are compared by (`metrics.suite.COMPARED`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from minigan.data.raw import MAX_FEATURES, MAX_NAME, is_name
from minigan.errors import InputError


@dataclass(frozen=True)
class Space:
    """What one sample is; a checkpoint keeps it, so that sampling needs no data.

    shape: of one sample; columns: the names of its values, () where they have none.
    """

    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()

    kind: ClassVar[str]
    """Its name in checkpoints and messages."""
    dimensions: ClassVar[int] = 1
    """Length of `shape`."""
    limits: ClassVar[tuple[float, float] | None] = None
    """The range of all data values where it is fixed: they share one scale then, and float32 has digits enough."""
    family: ClassVar[str] = "table"
    """The recipes for a person's own data of this kind."""
    previewed: ClassVar[int] = 1000
    """Samples in a picture of a run."""
    measured: ClassVar[int] = 2500
    """Samples measured by --evaluate-every."""

    @property
    def size(self) -> int:
        """Values in a sample: the product of the shape."""
        return math.prod(self.shape)

    @classmethod
    def fits(cls, shape: Sequence[int], columns: Sequence[str]) -> bool:
        """Whether there are as many names as the values of a sample need."""
        return len(columns) == shape[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"kind": self.kind, "shape": list(self.shape), "columns": list(self.columns)}

    @staticmethod
    def from_dict(values: Any, source: str) -> Space:
        """The inverse of `to_dict`, for untrusted input.

        Raises: InputError, naming `source`, for anything that is not a space.
        """
        if not isinstance(values, dict) or set(values) != {"kind", "shape", "columns"}:
            raise InputError(f"{source}: the description of the data must have kind, shape and columns.")
        kind, shape, columns = values["kind"], values["shape"], values["columns"]
        if not isinstance(kind, str) or kind not in SPACES:
            raise InputError(f"{source}: the kind of the data must be one of: {', '.join(SPACES)}.")
        space = SPACES[kind]
        n = space.dimensions
        if not isinstance(shape, list) or len(shape) != n or not all(type(side) is int and side > 0 for side in shape):
            raise InputError(f"{source}: the shape of the data must be {n} whole number(s) above 0.")
        if math.prod(shape) > MAX_FEATURES:
            raise InputError(f"{source}: samples have at most {MAX_FEATURES:,} values.")
        if not isinstance(columns, list) or not all(isinstance(c, str) and is_name(c) for c in columns):
            raise InputError(
                f"{source}: the columns of the data must be a list of names, each printable and of at most "
                f"{MAX_NAME} characters."
            )
        if not space.fits(shape, columns):
            raise InputError(f"{source}: the data have another number of columns than of names for them.")
        return space(tuple(shape), tuple(columns))


class Image(Space):
    """A grey image (h, w), its values in [0, 1]."""

    kind = "image"
    dimensions = 2
    limits = 0.0, 1.0
    family = "image"
    previewed = 64
    measured = 10_000

    @classmethod
    def fits(cls, shape: Sequence[int], columns: Sequence[str]) -> bool:
        return not columns


class Table(Space):
    """A row of numbers (d,), each in a column with a name."""

    kind = "table"


class Points(Space):
    """A point of the plane (2,): two columns."""

    kind = "points"

    @classmethod
    def fits(cls, shape: Sequence[int], columns: Sequence[str]) -> bool:
        return len(columns) == shape[0] == 2


SPACES: dict[str, type[Space]] = {space.kind: space for space in (Image, Points, Table)}


def columns_space(columns: Sequence[str]) -> Space:
    """Points for two columns, which are drawn in the plane; else a table."""
    return (Points if len(columns) == 2 else Table)((len(columns),), tuple(columns))
