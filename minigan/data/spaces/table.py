"""Tables: rows of cells, each in a column with a name and a kind."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minigan.data import columns
from minigan.data.columns import Column, Number, Scaled
from minigan.data.raw import MAX_VALUE
from minigan.data.spaces.base import Space
from minigan.errors import InputError

MAX_COLUMNS = 1 << 16
"""Columns of a table with kinds."""

SEPARATORS = (",", ";", "\t", "|", " ")


@dataclass(frozen=True)
class Rows(Space):
    """Rows of numbers (d,), each in a column with a name; or, with a schema, rows of cells of several kinds.

    schema: the columns, whose blocks side by side are the values of a sample: `columns` are the names of these values then.
    separator: what stands between the cells of a file.
    """

    schema: tuple[Column, ...] = ()
    separator: str = ","

    kind: ClassVar[str]
    family = "table"
    usual = ".csv"

    def __post_init__(self) -> None:
        if self.schema:
            names = itertools.chain.from_iterable(column.names() for column in self.schema)
            object.__setattr__(self, "columns", tuple(names))

    @property
    def slices(self) -> list[slice]:
        """Where the block of each column lies in a row."""
        return columns.split(self.schema)

    def blocks(self, x: np.ndarray) -> Iterator[tuple[Column, np.ndarray]]:
        """Each column with its block, a view of rows x (n, size)."""
        return ((column, x[:, part]) for column, part in zip(self.schema, self.slices, strict=True))

    def settle(self, x: np.ndarray) -> np.ndarray:
        if not self.schema:
            return x
        bad = ~(np.abs(x) <= MAX_VALUE).all(axis=1)
        for column, block in self.blocks(x):
            column.settle(block)
        x[bad] = np.nan  # what clipping and categories would hide
        return x

    def header(self) -> list[str]:
        return [column.name for column in self.schema] or super().header()

    def cells(self, x: np.ndarray) -> Iterator[Sequence[str]]:
        if not self.schema:
            return super().cells(x)
        return zip(*(column.cells(block) for column, block in self.blocks(x)), strict=True)

    def scales(self, x: np.ndarray) -> np.ndarray:
        """What values of rows x (n, size) are compared in, (size,): 0 where that is their own standard deviation."""
        if not self.schema:
            return np.zeros(self.size)
        return np.concatenate([column.scales(block) for column, block in self.blocks(x)])

    def fitted(self, x: np.ndarray) -> Rows:
        return dataclasses.replace(self, schema=tuple(column.fitted(block) for column, block in self.blocks(x)))

    @property
    def fine(self) -> bool:
        return any(column.fine for column in self.schema)

    @property
    def counts(self) -> bool:
        return any(column.counts for column in self.schema)

    def calibrated(self, x: np.ndarray) -> Rows:
        return dataclasses.replace(self, schema=tuple(column.calibrated(block) for column, block in self.blocks(x)))

    def arrays(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Samples x (n, size) as arrays by name: `x` (n, columns) where all are numbers, nan where missing; else one array of
        numbers or texts a column."""
        if not self.schema:
            return {"x": x}
        if all(isinstance(column, Number) for column in self.schema):
            return {"x": np.stack([_numbers(column, block) for column, block in self.blocks(x)], axis=1)}
        return {
            column.name: _numbers(column, block) if isinstance(column, Number) else np.array(column.cells(block))
            for column, block in self.blocks(x)
        }

    def unclipped(self) -> Rows:
        if not self.schema:
            return super().unclipped()  # type: ignore[return-value]
        schema = (
            dataclasses.replace(c, low=-math.inf, high=math.inf) if isinstance(c, Scaled) else c for c in self.schema
        )
        return dataclasses.replace(self, schema=tuple(schema))

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | ({"columns": []} if self.schema else {})

    def details(self) -> dict[str, Any]:
        if not self.schema:
            return {}
        return {"schema": [column.to_dict() for column in self.schema], "separator": self.separator}

    @classmethod
    def read_details(cls, details: dict[str, Any], shape: tuple[int, ...], source: str) -> dict[str, Any]:
        if not details:
            return {}
        schema, separator = details.get("schema"), details.get("separator")
        if set(details) != {"schema", "separator"} or not isinstance(schema, list) or separator not in SEPARATORS:
            raise InputError(f"{source}: the description of the data's columns is damaged.")
        if not 0 < len(schema) <= MAX_COLUMNS:
            raise InputError(f"{source}: a table has between 1 and {MAX_COLUMNS:,} columns.")
        read = tuple(columns.from_dict(column, source) for column in schema)
        if sum(column.width for column in read) != shape[0] or len({column.name for column in read}) != len(read):
            raise InputError(f"{source}: the columns of the data do not fit the shape of a sample.")
        return {"schema": read, "separator": separator}


def _numbers(column: Column, block: np.ndarray) -> np.ndarray:
    """The numbers (n,) of a block, nan where they are missing."""
    return block[:, 0] if column.missing is None else np.where(block[:, 1] > 0.5, np.nan, block[:, 0])


class Table(Rows):
    """A row of cells."""

    kind = "table"


class Points(Rows):
    """A point of the plane (2,): two columns of numbers."""

    kind = "points"

    @classmethod
    def fits(cls, shape: Sequence[int], columns: Sequence[str]) -> bool:
        return len(columns) == shape[0] == 2
