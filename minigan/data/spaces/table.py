"""Tables: rows of cells, each in a column with a name."""

from __future__ import annotations

from collections.abc import Sequence

from minigan.data.spaces.base import Space


class Table(Space):
    """A row of numbers (d,), each in a column with a name."""

    kind = "table"


class Points(Space):
    """A point of the plane (2,): two columns."""

    kind = "points"

    @classmethod
    def fits(cls, shape: Sequence[int], columns: Sequence[str]) -> bool:
        return len(columns) == shape[0] == 2
