"""The kind of each column of a table, found from its cells.

A cell's *signature* is its text with a 0 in place of each digit. Columns have few signatures, whatever their number of rows:
they tell how numbers are written, how many decimals they have, what missing cells look like and which dates these may be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from minigan.data.columns import Category, Column, Constant, Date, Number, seconds
from minigan.data.raw import WHOLE
from minigan.errors import InputError, short

SIGNATURES, DISTINCT = 2000, 1 << 16
"""Signatures and texts of a column that are kept at most."""

MANY = 200
"""Categories of a column that are taken without being asked for."""

RARE = 0.01
"""The share of rows below which `common` joins categories."""

OTHER = "other"
"""The category of joined ones."""

MOSTLY = 0.9
"""The share of numbers from which other texts among many different ones are taken for slips, not for categories."""

FREE = 20
"""Rows from which a column of texts that (nearly) all differ is one of names or ids."""

MISSING = frozenset(
    ["", "NA", "N/A", "n/a", "na", "NaN", "nan", "NAN", "NULL", "null", "None", "none", "#N/A", "?", "-", "."]
)
"""What stands in cells that hold nothing."""

KINDS = ("number", "integer", "continuous", "category", "common", "date", "ignore", "id")
"""What --columns may say; date also with a format, as in date=%d/%m/%Y."""

STYLES = [
    (decimal, thousands)
    for thousands in ("", ",", ".", "\xa0", "\u202f", "'", " ")
    for decimal in (".", ",")
    if decimal != thousands
]
"""Decimal and thousands signs, the usual first."""

DIGITS = str.maketrans("123456789\N{MINUS SIGN}", "0" * 9 + "-")

_AFFIXES = r"[$€£¥]?\s?"
_NUMBER = re.compile(rf"({_AFFIXES})([+-]?)({_AFFIXES})([0.,'\s]*0[0.,'\s]*?)([eE][+-]?0+)?(\s?[%$€£¥]?)")

_DAYS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
)
_NAMED = ("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", "T%H:%M", "T%H:%M:%S", "T%H:%M:%S.%f")
FORMATS = [day + time + zone for day in _DAYS for time in _TIMES for zone in ("", "Z", "+00:00") if time or not zone]
FORMATS += list(_NAMED)
"""Dates that are recognised."""


@dataclass
class Survey:
    """What is known of a column's cells; texts: how often each occurs, of the first that differ."""

    name: str
    n: int = 0
    signatures: set[str] = field(default_factory=set)
    texts: dict[str, int] = field(default_factory=dict)
    complete: bool = True
    """Whether `texts` holds all."""
    zeros: bool = False
    """Whether a number begins with a 0 that a number would not keep, as in 01234."""
    below: bool = False
    """Whether a number begins with 0 and a sign, as in 0,123."""

    def see(self, cells: Sequence[str]) -> None:
        """Take note of further cells."""
        self.n += len(cells)
        joined = "\n".join(cells)
        if len(self.signatures) <= SIGNATURES:
            self.signatures.update(joined.translate(DIGITS).split("\n"))
        if self.complete:
            texts = self.texts
            for cell in cells:
                texts[cell] = texts.get(cell, 0) + 1
            self.complete = len(texts) <= DISTINCT
        self.zeros = self.zeros or _ZEROS.search(joined) is not None
        self.below = self.below or _BELOW.search(joined) is not None

    @property
    def gone(self) -> set[str]:
        """The texts of missing cells that occur."""
        return {s for s in self.signatures if s.strip() in MISSING}

    @property
    def there(self) -> set[str]:
        """The signatures of other cells, without spaces around them."""
        return {s.strip() for s in self.signatures} - MISSING


_INFINITE = re.compile(r"[-+]?inf(inity)?", re.IGNORECASE)
_ZEROS = re.compile(r"(?m)^\s*[-+]?0\d")
_BELOW = re.compile(r"(?m)^\s*[-+]?0[.,]")


class OddCellError(Exception):
    """A cell that does not fit the others: the column, the cell and the rest of the sentence; the reader knows its line."""

    def __init__(self, name: str, cell: str, why: str) -> None:
        super().__init__(name, cell, why)
        self.name, self.cell, self.why = name, cell, why


# --------------------------------------------------------------------------------------------------------- drafts


@dataclass(frozen=True)
class Draft:
    """How the cells of a column become values; what its `Column` is follows from them all."""

    name: str
    gone: frozenset[str] = frozenset()

    def values(self, cells: Sequence[str]) -> np.ndarray:
        """Numbers (n,), nan where missing. Raises: ValueError where a cell is none."""
        raise NotImplementedError

    def column(self, values: np.ndarray) -> Column:
        """The column of all values."""
        raise NotImplementedError

    def lost(self, cells: Sequence[str], values: np.ndarray) -> float:
        """The largest rounding error of float64 among the cells."""
        return 0.0

    @property
    def missing(self) -> str | None:
        """How a missing cell is written back."""
        return min(self.gone, key=len) if self.gone else None


@dataclass(frozen=True)
class Numbers(Draft):
    decimals: int | None = None
    decimal: str = "."
    thousands: str = ""
    before: str = ""
    after: str = ""

    def plain(self, cells: Sequence[str]) -> list[str]:
        """The cells as Python writes numbers."""
        if self.gone:
            cells = ["nan" if cell in self.gone else cell for cell in cells]
        text = "\n".join(cells).replace("\N{MINUS SIGN}", "-")
        for sign in {self.thousands, self.before.strip(), self.after.strip()} - {""}:
            text = text.replace(sign, "")
        return text.replace(self.decimal, ".").split("\n")

    def values(self, cells: Sequence[str]) -> np.ndarray:
        return np.array(self.plain(cells), np.float64)

    def lost(self, cells: Sequence[str], values: np.ndarray) -> float:
        large = np.flatnonzero(np.abs(values) >= WHOLE)
        worst = 0
        for text in self.plain([cells[i] for i in large.tolist()]):
            if re.fullmatch(r"\s*[-+]?\d+\s*", text, re.ASCII):
                worst = max(worst, abs(int(text) - int(float(text))))
        return float(worst)

    def column(self, values: np.ndarray) -> Column:
        there = values[~np.isnan(values)]
        grid = self.decimals
        while grid is not None and grid > 0 and (np.round(there, grid - 1) == there).all():
            grid -= 1
        if self.decimals is None and len(there) and (np.round(there) == there).all() and np.abs(there).max() < WHOLE:
            grid = 0
        decimals = None if self.decimals is not None and self.decimals > 9 else self.decimals
        grid = None if decimals is None and grid else grid
        low, high = (float(there.min()), float(there.max())) if len(there) else (0.0, 0.0)
        fill = float(np.clip(there.mean(), low, high)) if len(there) else 0.0
        signs = self.decimal, self.thousands, self.before, self.after
        return Number(self.name, self.missing, low, high, fill, 0.0, (), (), (), decimals, grid, *signs)


@dataclass(frozen=True)
class Dates(Draft):
    format: str = "%Y-%m-%d"
    padded: bool = True

    def values(self, cells: Sequence[str]) -> np.ndarray:
        known = dict.fromkeys(self.gone, math.nan)
        for cell in set(cells).difference(known):
            known[cell] = seconds(datetime.strptime(cell.strip(), self.format))
        return np.array([known[cell] for cell in cells])

    def column(self, values: np.ndarray) -> Column:
        there = values[~np.isnan(values)]
        finest = (
            1e-6 if "%f" in self.format else 1.0 if "%S" in self.format else 60.0 if "%M" in self.format else 86400.0
        )
        step = next((s for s in (86400.0, 3600.0, 60.0, 1.0) if s >= finest and not (there % s).any()), finest)
        low, high, mean = (float(v) for v in (there.min(), there.max(), there.mean()))
        return Date(self.name, self.missing, low, high, mean, 0.0, (), (), (), self.format, step, self.padded)


@dataclass(frozen=True)
class Levels(Draft):
    levels: tuple[str, ...] = ()

    def values(self, cells: Sequence[str]) -> np.ndarray:
        places = {level: i for i, level in enumerate(self.levels)}
        other = places.get(OTHER, -1)
        return np.array([places.get(cell, other) for cell in cells], np.float64)

    def column(self, values: np.ndarray) -> Column:
        return Category(self.name, None, self.levels)


@dataclass(frozen=True)
class Same(Draft):
    text: str = ""

    def values(self, cells: Sequence[str]) -> np.ndarray:
        return np.zeros(len(cells))

    def column(self, values: np.ndarray) -> Column:
        return Constant(self.name, None, self.text)


@dataclass(frozen=True)
class Left(Draft):
    """A column that is left out; why: in a word, "" where a person asked for it."""

    why: str = ""

    def values(self, cells: Sequence[str]) -> np.ndarray:
        return np.zeros(0)


# --------------------------------------------------------------------------------------------------------- deciding


def decide(surveys: Sequence[Survey], asked: dict[str, str], decimal: str, path: object) -> list[Draft]:
    """A draft of each column; asked: kinds by the names of columns; decimal: auto, point or comma.

    Raises: InputError where a column has none, or more than one.
    """
    styles = [_styles(survey, decimal) for survey in surveys]
    sure = {found[0][0] for survey, found in zip(surveys, styles, strict=True) if len(found) == 1 and _signs(survey)}
    sign = sure.pop() if len(sure) == 1 else None
    return [
        _draft(survey, asked.get(survey.name, ""), found, sign, path)
        for survey, found in zip(surveys, styles, strict=True)
    ]


def _signs(survey: Survey) -> bool:
    return any("." in s or "," in s for s in survey.there)


def _styles(survey: Survey, decimal: str) -> list[tuple[str, str]]:
    """The decimal and thousands signs with which all cells of a column are numbers, the usual first.

    1,234 may be one thousand or one and a bit: both are in the result. 1.234 is a bit more than 1, unless told otherwise.
    """
    parts = [_NUMBER.fullmatch(s) for s in survey.there]
    if not parts or None in parts or len(survey.signatures) > SIGNATURES:
        return []
    bodies = {match[4].strip() for match in parts if match is not None}
    found = []
    for point, thousands in STYLES:
        if decimal != "auto" and point != {"point": ".", "comma": ","}[decimal]:
            continue
        p, t = re.escape(point), re.escape(thousands)
        shape = rf"0*({p}0*)?" if not thousands else rf"0{{1,3}}({t}000)*({p}0*)?|0+({p}0*)?"
        if not all(re.fullmatch(shape, body) for body in bodies):
            continue
        if thousands and not any(thousands in body for body in bodies):
            continue
        if thousands and survey.below and thousands in ".," and not any(point in body for body in bodies):
            continue  # no thousands begin with a 0
        found.append((point, thousands))
    if not any("," in body or "." in body for body in bodies):
        return found[:1]
    if (".", "") in found and decimal == "auto":
        return [(".", ""), *((p, t) for p, t in found if t == ".")]
    return found


def _draft(survey: Survey, asked: str, styles: list[tuple[str, str]], sign: str | None, path: object) -> Draft:
    name, kind = survey.name, asked.partition("=")[0]
    gone = frozenset(survey.gone)
    where = f"{path}: column {short(name)}"
    if kind in ("ignore", "id"):
        return Left(name)
    if survey.complete and len(survey.texts) == 1 and not kind:
        return Same(name, text=next(iter(survey.texts)))
    if any(map(_INFINITE.fullmatch, survey.there)) and any(map(_is_numeric, survey.texts)):
        for text in filter(lambda text: _INFINITE.fullmatch(text.strip()), survey.texts):
            raise OddCellError(name, text, "but values must be finite; empty it, or leave the row out")
    if not survey.there:
        if kind:
            raise InputError(f"{where} holds nothing, so it is no {kind}; leave it out.")
        return Left(name, why="empty")
    if kind in ("category", "common"):
        return _levels(survey, kind, where)
    numeric = bool(styles) and (kind or not survey.zeros)
    if numeric and kind != "date":
        if survey.complete and len(survey.texts) == 2 and not kind and not any("e" in s.lower() for s in survey.texts):
            return Levels(name, levels=_sorted(survey.texts, numeric=True))
        return _numbers(survey, styles, sign, gone, where)
    if kind in ("number", "integer", "continuous"):
        raise OddCellError(name, _odd(survey, gone), f"which is not a number, so the column cannot be {kind}")
    found = [asked.partition("=")[2]] if "=" in asked else _formats(survey, gone)
    if len(found) > 1 and not _same(found, survey, gone):
        example = next(text for text in survey.texts if text not in gone)
        ways = " or ".join(f'"{name}:date={way}"' for way in found[:2])
        raise InputError(
            f"{where} holds dates such as {short(example)} that can be read in two ways; say --columns {ways}."
        )
    if found:
        return Dates(name, gone, found[0], _padded((t.strip() for t in survey.texts if t not in gone), found[0]))
    if kind == "date":
        raise InputError(
            f'{where} holds no dates that are known; say their format, as in --columns "{name}:date=%d/%m/%Y".'
        )
    return _levels(survey, kind, where)


def _numbers(
    survey: Survey, styles: list[tuple[str, str]], sign: str | None, gone: frozenset[str], where: str
) -> Draft:
    fitting = [style for style in styles if sign in (None, style[0])] or styles
    if len(fitting) > 1 and fitting[0][0] != ".":
        fitting = fitting[:1] if fitting[0][0] == sign else fitting
    if len({point for point, _ in fitting}) > 1 and (".", "") not in fitting:
        example = next(text for text in survey.texts if "," in text)
        raise InputError(
            f"{where} holds {short(example)}, in which the comma can be the decimal sign or stand between thousands; "
            f"say --decimal comma or --decimal point."
        )
    point, thousands = fitting[0]
    decimals: int | None = 0
    before, after = set(), set()
    for signature in survey.there:
        match = _NUMBER.fullmatch(signature)
        assert match is not None
        before.add(match[1] + match[3])
        after.add(match[6])
        if match[5]:
            decimals = None
        elif decimals is not None:
            decimals = max(decimals, len(match[4].strip().partition(point)[2]))
    if len(before) > 1 or len(after) > 1:
        raise InputError(
            f"{where} holds numbers with different signs around them: {short(sorted(before | after))}; leave it out."
        )
    return Numbers(survey.name, gone, decimals, point, thousands, before.pop(), after.pop())


def _is_numeric(text: str) -> bool:
    return _NUMBER.fullmatch(text.translate(DIGITS).strip()) is not None


def _odd(survey: Survey, gone: frozenset[str]) -> str:
    """A text that is neither a number nor a missing cell, else the first one that is there."""
    there = [text for text in survey.texts if text not in gone]
    return next((text for text in there if not _is_numeric(text)), there[0])


def _levels(survey: Survey, kind: str, where: str) -> Draft:
    texts = survey.texts
    if not kind and len(texts) > FREE and not survey.zeros:
        known = {text: count for text, count in texts.items() if text not in survey.gone}
        numbers = sum(count for text, count in known.items() if _is_numeric(text))
        if MOSTLY * sum(known.values()) <= numbers < sum(known.values()):
            remedy = f'mend or empty it, or say --columns "{short(survey.name)}:category"'
            why = f"but nearly all others are numbers; {remedy}"
            raise OddCellError(survey.name, _odd(survey, frozenset(survey.gone)), why)
    if not kind and (not survey.complete or (len(texts) > 0.5 * survey.n and survey.n >= FREE)):
        return Left(survey.name, why=f"{len(texts):,}{'' if survey.complete else ' and more'} different texts")
    if kind == "common":
        levels = [text for text, count in texts.items() if count >= RARE * survey.n]
        return Levels(survey.name, levels=_sorted([*levels, OTHER]))
    if not survey.complete or (not kind and len(texts) > MANY):
        many = f"{len(texts):,}{'' if survey.complete else ' and more'} categories"
        raise InputError(
            f"{where} has {many}, each a value of every sample and a weight of every unit beside it; say --columns "
            f'"{short(survey.name)}:ignore" to leave it out, ":common" to join those of less than {RARE:.0%} of the rows'
            + (', or ":category" to keep all.' if survey.complete else ".")
        )
    if len(texts) == 1:
        return Same(survey.name, text=next(iter(texts)))
    return Levels(survey.name, levels=_sorted(texts))


def _sorted(texts: Iterable[str], numeric: bool = False) -> tuple[str, ...]:
    """Levels in an order that does not depend on the rows'; numbers by their size."""
    unique = list(dict.fromkeys(texts))
    try:
        return tuple(sorted(unique, key=float))
    except ValueError:
        return tuple(sorted(unique))


def _formats(survey: Survey, gone: frozenset[str]) -> list[str]:
    """The formats by which all known texts of a column are dates."""
    texts = [text.strip() for text in survey.texts if text not in gone]
    first = texts[0] if texts else ""
    if not re.search(r"\d", first) or len(first) > 40:
        return []
    found = [form for form in FORMATS if _date(first, form) is not None]
    return [form for form in found if all(_date(text, form) is not None for text in texts)]


def _same(formats: list[str], survey: Survey, gone: frozenset[str]) -> bool:
    """Whether the formats give the same dates."""
    return all(len({_date(text.strip(), form) for form in formats}) == 1 for text in survey.texts if text not in gone)


def _date(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None


def _padded(texts: Iterable[str], form: str) -> bool:
    """Whether days and months below 10 are written with a 0."""
    return all((moment := _date(text, form)) is None or f"{moment:{form}}" == text for text in texts)


def read(column: Column, cells: Sequence[str]) -> np.ndarray:
    """The values (n,) of cells of a column that is known. Raises: OddCellError for the first cell that is none of its kind."""
    gone = frozenset(MISSING) if column.missing is not None else frozenset()
    drafts: dict[type[Column], Draft] = {}
    if isinstance(column, Number):
        signs = column.decimal, column.thousands, column.before, column.after
        drafts[Number] = Numbers(column.name, gone, column.decimals, *signs)
    elif isinstance(column, Date):
        drafts[Date] = Dates(column.name, gone, column.format, column.padded)
    elif isinstance(column, Category):
        drafts[Category] = Levels(column.name, levels=column.levels)
    else:
        return np.zeros(len(cells))
    draft = drafts[type(column)]
    try:
        values = draft.values(cells)
        if not (values < 0).any() or not isinstance(column, Category):
            return values
    except ValueError:
        pass
    for cell in cells:
        try:
            bad = isinstance(column, Category) and draft.values([cell])[0] < 0
        except ValueError:
            bad = True
        if bad:
            known = column.range if isinstance(column, Category) else f"a {column.kind} such as {column.range}"
            raise OddCellError(column.name, cell, f"where the model knows {short(known, 100)}")
    raise AssertionError("a cell that cannot be read is found")
