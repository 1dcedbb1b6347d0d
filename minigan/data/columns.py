"""Kinds of columns: how the cells of one column become numbers for the networks, and numbers cells again.

    number     one value; missing cells have a yes/no value beside it
    date       a number of seconds
    category   one value per level that is 1 for the cell's level and 0 for others; of two levels one value is enough
    constant   none

Another kind is a subclass of `Column` in `KINDS`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from minigan.data import dates
from minigan.data.numerals import Numerals
from minigan.errors import InputError, short

MAX_TEXT = 1000
"""Characters in a category."""

LEAST_ROWS, MOST_VALUES = 1024, 1 << 17
"""Rows and values from which shifts of levels are found."""

SWEEPS = 40
"""Improvements of the shifts of levels."""

FEW, REPEATED = 64, 4
"""Values that a column of numbers has at most, and rows for each of them, where all that occur are known."""

OTHER = "other"
"""The category of joined ones."""

MAX_LEVELS = 1 << 16
"""Categories of a column."""

MAX_FORMAT = 60
"""Characters in the format of a date."""


@dataclass(frozen=True)
class Column:
    """One column of a table; a block is what its cells are to the networks: (n, width), of any float type.

    missing: the text of a missing cell, None where no cell is missing.
    """

    name: str
    missing: str | None = None

    kind: ClassVar[str]

    @property
    def width(self) -> int:
        """Values that a cell takes."""
        return 1 if self.missing is None else 2

    @property
    def words(self) -> str:
        """The kind in a word, for people."""
        return self.kind

    @property
    def range(self) -> str:
        """Which values it has, for people."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """The name of each of its values."""
        return [self.name] if self.missing is None else [self.name, f"{self.name} missing"]

    def encode(self, values: np.ndarray, block: np.ndarray) -> None:
        """Write the block of values (n,) of its cells: numbers, nan where missing, or the places of levels."""
        raise NotImplementedError

    def settle(self, block: np.ndarray) -> None:
        """Move a block to the nearest one that cells can have, in place."""
        raise NotImplementedError

    def cells(self, block: np.ndarray) -> list[str]:
        """The texts of a settled block, of any float type."""
        raise NotImplementedError

    def scales(self, block: np.ndarray) -> np.ndarray:
        """What its values are compared in (width,): 0 where that is the standard deviation of each."""
        return np.zeros(self.width)

    def fitted(self, block: np.ndarray) -> Column:
        """The same column as training rows have it, whose block this is."""
        return self

    @property
    def fine(self) -> bool:
        """Whether float32 does not hold all digits of its cells."""
        return False

    @property
    def counts(self) -> bool:
        """Whether it knows how frequent its cells are in training rows, and so can be calibrated."""
        return False

    def calibrated(self, block: np.ndarray) -> Column:
        """The same column, which settles generated values such as this block so that cells are as frequent as in training
        rows."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: what is not the default."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "cuts"}
        usual = {f.name: f.default for f in fields(self)}
        return {"kind": self.kind} | {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if value != usual[name]
        }

    def check(self) -> bool:
        """Whether its fields, which have the types that they should, can be used."""
        return True


@dataclass(frozen=True)
class Scaled(Column):
    """A column of values on a line; low, high: the least and the largest seen; fill: what stands where a cell is missing.

    absent: the share of missing cells.  values, shares: the values that occur in training rows and how often, of a column with
    few; cuts: between them, where generated values are divided; the last is for missing cells.
    """

    low: float = -math.inf
    high: float = math.inf
    fill: float = 0.0
    absent: float = 0.0
    values: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    cuts: tuple[float, ...] = ()

    def encode(self, values: np.ndarray, block: np.ndarray) -> None:
        if self.missing is None:
            block[:, 0] = values
        else:
            gone = np.isnan(values)
            block[:, 0], block[:, 1] = np.where(gone, self.fill, values), gone

    def settle(self, block: np.ndarray) -> None:
        x = block[:, 0]
        if self.values and self.cuts:
            inner = np.array(self.cuts[: len(self.values) - 1])
            block[:, 0] = np.array(self.values)[np.searchsorted(inner, x)]
        else:
            block[:, 0] = self.rounded(np.clip(x, self.low, self.high))
        if self.missing is not None:
            gone = block[:, 1] > (self.cuts[-1] if self.cuts else 0.5)
            block[:, 1] = gone
            block[gone, 0] = self.fill

    def fitted(self, block: np.ndarray) -> Column:
        there = block[:, 0] if self.missing is None else block[block[:, 1] == 0, 0]
        if not len(there):
            return self
        values, counts = np.unique(there.astype(np.float64), return_counts=True)
        few = 1 < len(values) <= min(FEW, len(there) / REPEATED)
        return replace(
            self,
            low=float(values[0]),
            high=float(values[-1]),
            absent=0.0 if self.missing is None else float(block[:, 1].mean()),
            values=tuple(values.tolist()) if few else (),
            shares=tuple((counts / len(there)).tolist()) if few else (),
        )

    @property
    def spacing(self) -> float:
        """The difference of neighbouring values, 0 where any are possible."""
        return 0.0

    @property
    def fine(self) -> bool:
        # float32 moves a value by 2^-24 of it, and rounding undoes less than half the spacing
        return 0 < self.spacing <= max(abs(self.low), abs(self.high)) * 2**-23

    @property
    def counts(self) -> bool:
        return bool(self.values) or self.missing is not None

    def calibrated(self, block: np.ndarray) -> Column:
        gone = [] if self.missing is None else [float(np.quantile(block[:, 1], 1 - self.absent))]
        there = block[:, 0] if self.missing is None else block[block[:, 1] <= gone[0], 0]
        inner = (
            np.quantile(there, np.clip(np.cumsum(self.shares)[:-1], 0, 1)).tolist()
            if self.values and len(there)
            else []
        )
        return replace(self, cuts=(*inner, *gone))

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """The nearest values that cells can have."""
        return values

    def texts(self, values: np.ndarray) -> list[str]:
        """The cells of values that are there."""
        raise NotImplementedError

    def cells(self, block: np.ndarray) -> list[str]:
        texts = self.texts(block[:, 0])
        if self.missing is None:
            return texts
        return [self.missing if gone else text for text, gone in zip(texts, block[:, 1] > 0.5, strict=True)]

    def check(self) -> bool:
        numbers = all(type(v) in (int, float) and math.isfinite(v) for v in (*self.values, *self.shares))
        ordered = all(a < b for a, b in itertools.pairwise(self.values))
        known = len(self.values) == len(self.shares) <= FEW and numbers and ordered and not self.cuts
        return known and self.low <= self.high and math.isfinite(self.fill) and 0 <= self.absent <= 1


@dataclass(frozen=True)
class Number(Numerals, Scaled):
    """Numbers, and how they are written.

    grid: decimals that are not 0 in every cell: 0 for whole numbers, also where they are written as 18.0; None: any.
    """

    grid: int | None = None

    kind = "number"

    @property
    def words(self) -> str:
        return "integer" if self.grid == 0 else "continuous"

    @property
    def range(self) -> str:
        if self.decimals is None:
            return f"{self.low:.6g} to {self.high:.6g}"
        return " to ".join(self.texts(np.array([self.low, self.high])))

    @property
    def spacing(self) -> float:
        return 0.0 if self.grid is None else 10.0**-self.grid

    def rounded(self, values: np.ndarray) -> np.ndarray:
        if self.exponent and self.decimals is not None:
            return np.array([f"{value:.{self.decimals}e}" for value in values.tolist()], np.float64)
        return values if self.grid is None else np.round(values, self.grid)

    def check(self) -> bool:
        signs = (self.thousands, self.before, self.negative, self.after)
        counts = all(count is None or 0 <= count <= 30 for count in (self.decimals, self.fewest, self.grid))
        forms = self.exponent in ("", "e", "E") and len(self.decimal) == 1 and (not self.exponent or not self.thousands)
        return super().check() and counts and forms and all(len(sign) < 9 for sign in signs)


@dataclass(frozen=True)
class Date(Scaled):
    """Dates and times in seconds since 1970, written by a format of `dates`.

    step: seconds between neighbouring ones, or `dates.MONTH`.
    """

    format: str = "%Y-%m-%d"
    step: float = 86400.0

    kind = "date"

    @property
    def range(self) -> str:
        return " to ".join(self.texts(np.array([self.low, self.high])))

    @property
    def spacing(self) -> float:
        return self.step or 86400.0

    def rounded(self, values: np.ndarray) -> np.ndarray:
        return dates.rounded(values, self.step)

    def texts(self, values: np.ndarray) -> list[str]:
        return dates.texts(self.rounded(values), self.format)

    def check(self) -> bool:
        try:
            dates.parts(self.format)
        except ValueError:
            return False
        return super().check() and len(self.format) < MAX_FORMAT and (self.step == dates.MONTH or self.step >= 1e-6)


@dataclass(frozen=True)
class Category(Column):
    """Texts, of which there are few: the levels. A missing cell is a level as well.

    shares: of training rows, for each level; cuts: what is added to generated values of each level before the largest decides;
    joined: whether the level `OTHER` stands for all texts that are no level.
    """

    levels: tuple[str, ...] = ()
    joined: bool = False
    shares: tuple[float, ...] = ()
    cuts: tuple[float, ...] = ()

    kind = "category"

    @property
    def width(self) -> int:
        return 1 if len(self.levels) == 2 else len(self.levels)

    @property
    def words(self) -> str:
        return "yes/no" if len(self.levels) == 2 else "category"

    @property
    def range(self) -> str:
        return f"{len(self.levels)}: " + ", ".join(short(level or "(empty)", 30) for level in self.levels[:12])

    def names(self) -> list[str]:
        return [f"{self.name}={level}" for level in self.levels[1 if self.width == 1 else 0 :]]

    def encode(self, values: np.ndarray, block: np.ndarray) -> None:
        if self.width == 1:
            block[:, 0] = values
        else:
            block[:] = 0
            block[np.arange(len(block)), values.astype(np.int64)] = 1

    def settle(self, block: np.ndarray) -> None:
        if self.width == 1:
            block[:] = block > (self.cuts[0] if self.cuts else 0.5)
        else:
            largest = (block + self.cuts if self.cuts else block).argmax(axis=1)
            block[:] = 0
            block[np.arange(len(block)), largest] = 1

    def places(self, block: np.ndarray) -> np.ndarray:
        """The place among the levels of each row of a settled block."""
        return (block[:, 0] > 0.5).astype(np.int64) if self.width == 1 else block.argmax(axis=1)

    def cells(self, block: np.ndarray) -> list[str]:
        return [self.levels[place] for place in self.places(block)]

    def scales(self, block: np.ndarray) -> np.ndarray:
        """sqrt(sum_l p_l (1 - p_l)), l over the values, for all of them: the block as a whole varies as much as a number does."""
        shares = block.mean(axis=0)
        return np.full(self.width, np.sqrt((shares * (1 - shares)).sum()))

    def fitted(self, block: np.ndarray) -> Column:
        counts = np.bincount(self.places(block), minlength=len(self.levels))
        return replace(self, shares=tuple((counts / len(block)).tolist()))

    @property
    def counts(self) -> bool:
        return bool(self.shares)

    def calibrated(self, block: np.ndarray) -> Column:
        if not self.shares:
            return self
        if self.width == 1:
            return replace(self, cuts=(float(np.quantile(block[:, 0], 1 - self.shares[1])),))
        return replace(self, cuts=tuple(level_shifts(block, np.array(self.shares)).tolist()))

    def check(self) -> bool:
        texts = all(isinstance(level, str) and len(level) <= MAX_TEXT and writable(level) for level in self.levels)
        shares = all(type(share) in (int, float) and 0 <= share <= 1 for share in self.shares)
        return (
            texts
            and shares
            and len(self.shares) in (0, len(self.levels))
            and 2 <= len(set(self.levels)) == len(self.levels) <= MAX_LEVELS
        )


@dataclass(frozen=True)
class Constant(Column):
    """The same text in every row: nothing to learn, and written back."""

    text: str = ""

    kind = "constant"

    @property
    def width(self) -> int:
        return 0

    @property
    def range(self) -> str:
        return short(self.text or "(empty)", 30)

    def names(self) -> list[str]:
        return []

    def encode(self, values: np.ndarray, block: np.ndarray) -> None:
        pass

    def settle(self, block: np.ndarray) -> None:
        pass

    def cells(self, block: np.ndarray) -> list[str]:
        return [self.text] * len(block)


def level_shifts(block: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """What is added to each column of a block (n, L) so that column l is the largest in a share s_l of the rows: (L,).

    Level l wins a row where b_l > m_l = max over k != l of (x_k + b_k) - x_l, so b_l is the s_l quantile of m_l, given the
    others: this is repeated for all at once, with half of each step, as in the auction for an optimal assignment (Bertsekas
    1988). Levels that no training row has never win.
    """
    block = block[: max(LEAST_ROWS, MOST_VALUES // len(shares))]
    n = len(block)
    shift = np.where(shares > 0, 0.0, -1e9)
    known = np.flatnonzero(shares)
    if len(known) < 2:
        return shift
    at = np.clip((shares[known] * n).round().astype(int), 0, n - 1)
    for sweep in range(SWEEPS):
        x = block[:, known] + shift[known]
        two = np.sort(np.partition(x, -2, axis=1)[:, -2:], axis=1)
        others = np.where(x == two[:, 1:], two[:, :1], two[:, 1:])  # the largest of the others
        margins = np.sort(others - x, axis=0)
        step = margins[at, np.arange(len(known))]
        shift[known] += step * (0.5 if sweep < SWEEPS // 2 else 0.1)
    return shift


KINDS: dict[str, type[Column]] = {kind.kind: kind for kind in (Number, Date, Category, Constant)}


def from_dict(values: Any, source: str) -> Column:
    """The inverse of `Column.to_dict`, for untrusted input.

    Raises: InputError, naming `source`, for anything that is not a column.
    """
    fault = InputError(f"{source}: the description of a column of its data is damaged.")
    if not isinstance(values, dict) or not isinstance(values.get("kind"), str) or values["kind"] not in KINDS:
        raise fault
    kind = KINDS[values["kind"]]
    known = {field.name: str(field.type) for field in fields(kind) if field.name != "cuts"}
    if not {"name", "kind"} <= set(values) <= {*known, "kind"}:
        raise fault
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name == "kind":
            continue
        declared = known[name]
        if declared.startswith("tuple"):
            good = isinstance(value, list) and len(value) <= MAX_LEVELS
            value = tuple(value) if good else value
        elif value is None:
            good = declared.endswith("None")
        elif declared.startswith("float"):
            good = type(value) in (int, float) and not math.isnan(value)
            value = float(value) if good else value
        else:
            types = {"str": str, "int": int, "bool": bool}
            good = type(value) is types[declared.removesuffix(" | None")]
            good = good and (not isinstance(value, str) or (len(value) <= MAX_TEXT and writable(value)))
        if not good:
            raise fault
        given[name] = value
    column = kind(**given)
    if not column.name or not column.check():
        raise fault
    return column


def writable(text: str) -> bool:
    """Whether a text can be written to a file: it has no lone surrogates."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def split(columns: Sequence[Column]) -> list[slice]:
    """Where each column's block lies in a row."""
    ends = np.cumsum([0, *(column.width for column in columns)])
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]
