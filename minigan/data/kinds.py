"""The kind of each column of a table, found from its cells.

A cell's *signature* is its text with a 0 in place of each digit. Columns have few signatures, whatever their number of rows:
they tell how numbers are written, how many decimals they have, what missing cells look like and which dates these may be.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from minigan.data import dates
from minigan.data.columns import MAX_FORMAT, MAX_LEVELS, MAX_TEXT, OTHER, Category, Column, Constant, Date, Number
from minigan.data.numerals import MINUS, MOST_DECIMALS, Numerals
from minigan.data.raw import MAX_VALUE, WHOLE
from minigan.errors import InputError, short

SIGNATURES, DISTINCT, PLENTY = 2000, MAX_LEVELS, 4096
"""Signatures and texts of a column that are kept at most; texts of one that so far holds numbers."""

LETTERS = 1 << 24
"""Characters in the texts of a column that are kept."""

MANY = 200
"""Categories of a column that are taken without being asked for."""

RARE = 0.01
"""The share of rows below which `common` joins categories."""

MOSTLY, OFTEN = 0.9, 0.5
"""The share of numbers, or of dates, from which others among many different texts are taken for slips, not for categories; and
from which they are mentioned."""

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
    for thousands in ("", ",", ".", "\xa0", "\u202f", "'", "\u2019", " ")
    for decimal in (".", ",")
    if decimal != thousands
]
"""Decimal and thousands signs, the usual first."""

DIGITS = str.maketrans("123456789", "0" * 9)

_SPACE = " \xa0\u202f"
_AFFIX = rf"[$€£¥]?[{_SPACE}]?"
_NUMBER = re.compile(
    rf"({_AFFIX})([-+{MINUS}]?)({_AFFIX})([0.,'\u2019{_SPACE}]*0[.,]?)([eE][+-]?0+)?([{_SPACE}]?[%$€£¥]?)"
)
LONGEST = 64
"""Characters in a number."""

_DAYS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
)
_TIMES = ("", *(f"{sign}{time}" for sign in " T" for time in ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")))
_TIMES += (" %I:%M %p", " %I:%M:%S %p")
FORMATS = [day + time for day in _DAYS for time in _TIMES]
FORMATS += ["%Y-%m", "%m/%Y", "%b %Y", "%b-%y", "%B %Y", "%H:%M", "%H:%M:%S"]
"""Dates that are recognised; a zone may follow, the same in all rows."""

_ZONE = re.compile(r"\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)$")
TRIED = 50
"""Texts by which formats are chosen that are then compared with all."""


@dataclass
class Survey:
    """What is known of a column's cells.

    signatures: how often each occurs, of the first that differ; examples: a cell of each; texts: how often each occurs, of the
    first that differ, or for `common` of the frequent ones.
    """

    name: str
    asked: str = ""
    n: int = 0
    signatures: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    texts: Counter[str] = field(default_factory=Counter)
    complete: bool = True
    """Whether `texts` holds all."""
    limit: int = PLENTY
    letters: int = 0
    """Texts after which their number is bounded; characters in texts, at most."""
    zeros: bool = False
    """Whether a number begins with a 0 that a number would not keep, as in 01234."""
    below: bool = False
    """Whether a number begins with 0 and a sign, as in 0,123."""

    def see(self, cells: Sequence[str]) -> None:
        """Take note of further cells."""
        self.n += len(cells)
        joined = "\n".join(cells)
        if joined.count("\n") >= len(cells):  # a cell holds a line break
            joined = "\n".join(cell.replace("\n", "\v") for cell in cells)
        if len(self.signatures) <= SIGNATURES:
            signatures = joined.translate(DIGITS).split("\n")
            self.signatures.update(signatures)
            if len(self.signatures) > len(self.examples):
                for signature, cell in zip(signatures, cells, strict=True):
                    self.examples.setdefault(signature, cell)
        if self.complete or self.asked == "common":
            self.texts.update(cells)
            self.letters += len(joined)
            if len(self.texts) > self.limit or self.letters > LETTERS:
                self._forget()
        self.zeros = self.zeros or _ZEROS.search(joined) is not None
        self.below = self.below or _BELOW.search(joined) is not None

    def _forget(self) -> None:
        """Keep a bounded number of texts."""
        self.letters = sum(map(len, self.texts))
        few = self.limit < DISTINCT and self.letters <= LETTERS
        if few and (self.asked in ("category", "common") or self.numbers < sum(self.there.values())):
            self.limit *= 2
            return
        self.complete = False
        if self.asked == "common":
            self.texts = Counter(dict(self.texts.most_common(PLENTY)))
            self.letters = sum(map(len, self.texts))
        elif few:
            self.texts = Counter(dict(self.texts.most_common(TRIED)))

    @property
    def gone(self) -> frozenset[str]:
        """The texts of missing cells that occur."""
        return frozenset(s for s in self.signatures if s.strip() in MISSING)

    @property
    def there(self) -> dict[str, int]:
        """How often the signatures of other cells occur."""
        return {s: count for s, count in self.signatures.items() if s.strip() not in MISSING}

    @property
    def numbers(self) -> int:
        """Cells that look like numbers."""
        return sum(count for s, count in self.there.items() if _number(s))


def _number(text: str) -> re.Match[str] | None:
    """The parts of a signature that looks like a number, None for others."""
    text = text.strip()
    return _NUMBER.fullmatch(text) if len(text) <= LONGEST else None


_INFINITE = re.compile(r"\s*[-+]?inf(inity)?\s*", re.IGNORECASE)
_ZEROS = re.compile(rf"(?m)^[{_SPACE}]*[-+{MINUS}]?0\d")
_BELOW = re.compile(rf"(?m)^[{_SPACE}]*[-+{MINUS}]?0[.,]")


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
        """Numbers (n,), nan where missing. Raises: ValueError, whose text says what a cell is not, where one does not fit."""
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
        return min(self.gone, key=lambda text: (len(text), text)) if self.gone else None


@dataclass(frozen=True)
class Numbers(Numerals, Draft):
    """whole: whether a person asked for whole numbers, or for others; None: neither."""

    whole: bool | None = None

    def there(self, cells: Sequence[str]) -> Sequence[str]:
        """Cells with nan in place of missing ones."""
        return ["nan" if cell in self.gone else cell for cell in cells] if self.gone else cells

    def values(self, cells: Sequence[str]) -> np.ndarray:
        try:
            values = self.floats(self.there(cells))
        except ValueError:
            raise ValueError("which is not a number") from None
        if self.whole and not (np.isnan(values) | (np.rint(values) == values)).all():
            raise ValueError("which is not a whole number")
        return values

    def lost(self, cells: Sequence[str], values: np.ndarray) -> float:
        large = np.flatnonzero(np.abs(values) >= WHOLE)
        worst = 0
        for text in self.plain([cells[i] for i in large.tolist()]) if len(large) else []:
            if re.fullmatch(r"\s*[-+]?\d+\s*", text, re.ASCII):
                worst = max(worst, abs(int(text) - int(float(text))))
        return float(worst)

    def column(self, values: np.ndarray) -> Column:
        there = values[~np.isnan(values)]
        low, high, mean = float(there.min()), float(there.max()), float(there.mean())
        grid = None if self.exponent else self.decimals
        while grid is not None and grid > 0 and (np.round(there, grid - 1) == there).all():
            grid -= 1
        if self.decimals is None and (np.rint(there) == there).all() and max(-low, high) < WHOLE:
            grid = 0
        known = {f.name: getattr(self, f.name) for f in fields(Numerals)}
        if self.whole is False and grid == 0:
            grid, known["decimals"], known["fewest"] = None, None, 0
        return Number(self.name, self.missing, low, high, min(max(mean, low), high), grid=grid, **known)


@dataclass(frozen=True)
class Dates(Draft):
    format: str = "%Y-%m-%d"

    def values(self, cells: Sequence[str]) -> np.ndarray:
        texts = list(set(cells) - self.gone)
        found = dates.seconds([text.strip() for text in texts], self.format)
        if np.isnan(found).any():
            raise ValueError(f"which is no date of the form {self.format}")
        known = dict(zip(texts, found.tolist(), strict=True)) | dict.fromkeys(self.gone, math.nan)
        return np.array([known[cell] for cell in cells])

    def column(self, values: np.ndarray) -> Column:
        there = values[~np.isnan(values)]
        finest = dates.step(self.format)
        coarser = (s for s in (86400.0, 3600.0, 60.0, 1.0) if finest < s and finest != dates.MONTH)
        step = next((s for s in coarser if not (there % s).any()), finest)
        low, high, mean = (float(v) for v in (there.min(), there.max(), there.mean()))
        return Date(self.name, self.missing, low, high, min(max(mean, low), high), format=self.format, step=step)


@dataclass(frozen=True)
class Levels(Draft):
    levels: tuple[str, ...] = ()
    joined: bool = False

    def values(self, cells: Sequence[str]) -> np.ndarray:
        places = {level: i for i, level in enumerate(self.levels)}
        other = places[OTHER] if self.joined else -1
        values = np.array([places.get(cell, other) for cell in cells], np.float64)
        if (values < 0).any():
            raise ValueError("which is none of the categories")
        return values

    def column(self, values: np.ndarray) -> Column:
        return Category(self.name, None, self.levels, self.joined)


@dataclass(frozen=True)
class Same(Draft):
    """Cells that hold one text, or nothing in any way."""

    text: str = ""

    def values(self, cells: Sequence[str]) -> np.ndarray:
        if not {self.text, *self.gone}.issuperset(cells):
            raise ValueError("which is another text")
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


def decide(surveys: Sequence[Survey], decimal: str, path: object) -> list[Draft]:
    """A draft of each column; decimal: auto, point or comma.

    Raises: InputError where a column has none, or more than one; OddCellError.
    """
    styles = [_styles(survey, decimal) for survey in surveys]
    sure = {found[0][0] for survey, found in zip(surveys, styles, strict=True) if len(found) == 1 and _signs(survey)}
    sign = sure.pop() if len(sure) == 1 else None
    return [
        _draft(survey, found, sign, decimal, f"{path}: column {short(survey.name)}")
        for survey, found in zip(surveys, styles, strict=True)
    ]


def _signs(survey: Survey) -> bool:
    return any("." in s or "," in s for s in survey.there)


def _shape(point: str, thousands: str) -> re.Pattern[str]:
    """What the signature of a number with these signs looks like."""
    p, t = re.escape(point), re.escape(thousands)
    return re.compile(rf"0*({p}0*)?" if not thousands else rf"0{{1,3}}({t}000)*({p}0*)?|0+({p}0*)?")


def _styles(survey: Survey, decimal: str) -> list[tuple[str, str]]:
    """The decimal and thousands signs with which all cells of a column are numbers, the usual first.

    1,234 may be one thousand or one and a bit: both are in the result. 1.234 is a bit more than 1, unless told otherwise.
    """
    parts = [_number(s) for s in survey.there] if len(survey.signatures) <= SIGNATURES else []
    if not parts or None in parts:
        return []
    bodies = {match[4].strip() for match in parts if match is not None}
    found = []
    for point, thousands in STYLES:
        if decimal != "auto" and point != {"point": ".", "comma": ","}[decimal]:
            continue
        if not all(map(_shape(point, thousands).fullmatch, bodies)):
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


def _draft(survey: Survey, styles: list[tuple[str, str]], sign: str | None, decimal: str, where: str) -> Draft:
    name, (kind, _, form) = survey.name, survey.asked.partition("=")
    gone, there = survey.gone, survey.there
    if kind in ("ignore", "id"):
        return Left(name)
    if survey.complete and len(survey.texts) == 1 and not kind:
        return Same(name, text=next(iter(survey.texts)))
    if not there:
        if kind:
            raise InputError(f"{where} holds nothing, so it is no {kind}; leave it out.")
        empty = Same(name, gone)
        return replace(empty, text=empty.missing or "")
    if kind in ("category", "common"):
        return _levels(survey, kind, where)
    if survey.numbers:
        for text in filter(_INFINITE.fullmatch, there):
            raise OddCellError(name, text, "but values must be finite; empty it, or leave the row out")
    if styles and (kind or not survey.zeros) and kind != "date":
        if not kind and survey.complete and len(survey.texts) == 2 and _differ(survey, styles[0], gone):
            return Levels(name, levels=_sorted(survey.texts))
        return _numbers(survey, kind, _style(survey, styles, sign, where), gone, where)
    if decimal != "auto" and _styles(survey, "auto"):
        raise OddCellError(name, _example(survey, ".,"), f"which is no number with --decimal {decimal}; leave that out")
    if kind in ("number", "integer", "continuous"):
        raise OddCellError(name, _odd(survey), f"which is not a number, so the column cannot be {kind}")
    found = [form] if form else _formats(survey, gone)
    if len(found) > 1:
        ways = " or ".join(f'"{name}:date={way}"' for way in found[:2])
        example = short(_example(survey, "0"))
        raise InputError(f"{where} holds dates such as {example} that can be read in two ways; say --columns {ways}.")
    if found:
        return Dates(name, gone, dates.as_written(found[0], map(str.strip, there)))
    if kind == "date":
        raise InputError(
            f'{where} holds no dates that are known; say their format, as in --columns "{name}:date=%d/%m/%Y".'
        )
    return _levels(survey, kind, where)


def _example(survey: Survey, signs: str) -> str:
    """A cell that is there and holds one of these signs, with 0 for any digit."""
    return next(survey.examples[s] for s in survey.there if any(sign in s for sign in signs))


def _differ(survey: Survey, style: tuple[str, str], gone: frozenset[str]) -> bool:
    """Whether the two texts of a column are not the same number in two ways, and no measured ones."""
    if any(match and match[5] for match in map(_number, survey.there)):
        return False
    decimal, thousands = style
    texts = Numbers(survey.name, gone, decimal=decimal, thousands=thousands)
    try:
        return bool(np.diff(np.nan_to_num(texts.values(list(survey.texts)), nan=math.inf))[0])
    except ValueError:  # with a currency
        return True


def _style(survey: Survey, styles: list[tuple[str, str]], sign: str | None, where: str) -> tuple[str, str]:
    """The decimal and the thousands sign of a column of numbers; sign: the decimal sign of the table, if that is known.

    Raises: InputError where both could be meant.
    """
    fitting = [style for style in styles if sign in (None, style[0])] or styles
    if len({point for point, _ in fitting}) > 1 and (".", "") not in fitting:
        raise InputError(
            f"{where} holds {short(_example(survey, ','))}, in which the comma can be the decimal sign or stand between "
            f"thousands; say --decimal comma or --decimal point."
        )
    return fitting[0]


def _numbers(survey: Survey, kind: str, style: tuple[str, str], gone: frozenset[str], where: str) -> Draft:
    """The draft of a column of numbers with these signs."""
    point, thousands = style
    parts = [match for match in map(_number, survey.there) if match is not None]
    counts = [len(match[4].strip().partition(point)[2]) for match in parts]
    exponents = {match[5] or "" for match in parts}
    decimals: int | None = max(counts)
    fewest, exponent = min(counts), ""
    if exponents != {""} or max(counts) > MOST_DECIMALS:
        letters = {text[:1] for text in exponents}
        if len(letters) == len(set(counts)) == 1 and all(re.fullmatch(".[-+]00+", text) for text in exponents):
            exponent = letters.pop()
        if not exponent or max(counts) > MOST_DECIMALS:
            plain = (count for count, match in zip(counts, parts, strict=True) if not match[5])
            decimals, fewest, exponent = None, min(*plain, 1, 1), ""
    around = {((match[1] + match[3]).strip(), match[6].strip()) for match in parts}
    if len(around) > 1:
        ways = " and ".join(sorted(f"{before}1{after}" for before, after in around)[:3])
        raise InputError(
            f'{where} holds numbers such as {ways}; write all with the same sign, or say --drop "{short(survey.name)}".'
        )
    negative = {match[1] + match[2] + match[3] for match in parts if match[2] in ("-", MINUS)}
    others = [match for match in parts if match[2] not in ("-", MINUS)]
    before = min((match[1] + match[3] for match in others), default=around.pop()[0])
    if others and all(match[2] for match in others):
        before = min(match[1] + match[2] + match[3] for match in others)
    signs = point, thousands, before, min(negative, default=f"-{before}".rstrip("+")), min(match[6] for match in parts)
    whole = {"integer": True, "continuous": False}.get(kind)
    return Numbers(survey.name, gone, decimals, fewest, exponent, *signs, whole)


def _odd(survey: Survey) -> str:
    """A cell that is neither a number nor missing, else the first one that is there."""
    there = survey.there
    return survey.examples[next((s for s in there if not _number(s)), next(iter(there)))]


def _levels(survey: Survey, kind: str, where: str) -> Draft:
    texts, name = survey.texts, short(survey.name)
    many = f"{len(texts):,}" if survey.complete else f"more than {max(PLENTY, len(texts) - 1):,}"
    different = not survey.complete or len(texts) > FREE
    share = survey.numbers / max(1, sum(survey.there.values())) if len(survey.signatures) <= SIGNATURES else 0.0
    if not kind and different and not survey.zeros and MOSTLY <= share < 1:
        flag = f'--columns "{name}:category"' if len(texts) <= MANY and survey.complete else f'--drop "{name}"'
        why = f"but nearly all others are numbers; mend or empty it, or say {flag}"
        raise OddCellError(survey.name, _odd(survey), why)
    if not kind and (not survey.complete or (len(texts) > 0.5 * survey.n and survey.n >= FREE)):
        hint = f", {share:.0%} of them numbers, but also {short(_odd(survey))!r}" if OFTEN <= share < 1 else ""
        return Left(survey.name, why=f"{many} different texts{hint}")
    long = next((text for text in texts if len(text) > MAX_TEXT), None)
    if long is not None:
        if not kind:
            return Left(survey.name, why=f"texts of up to {max(map(len, texts)):,} characters")
        raise OddCellError(survey.name, long, f"and categories have at most {MAX_TEXT:,} characters")
    if kind == "common":
        levels = [text for text, count in texts.items() if count >= RARE * survey.n]
        if not levels:
            raise InputError(f"{where} has no category of at least {RARE:.0%} of the rows; leave it out.")
        if len(levels) < len(texts) or not survey.complete:
            return Levels(survey.name, levels=_sorted([*levels, OTHER]), joined=True)
        texts = Counter(levels)
    elif not survey.complete or (not kind and len(texts) > MANY):
        raise InputError(
            f"{where} has {many} categories, each a value of every sample and a weight of every unit beside it; say --columns "
            f'"{name}:ignore" to leave it out, "{name}:common" to join those of less than {RARE:.0%} of the rows'
            + (f', or "{name}:category" to keep all.' if survey.complete else ".")
        )
    if len(texts) == 1:
        return Same(survey.name, text=next(iter(texts)))
    return Levels(survey.name, levels=_sorted(texts))


def _sorted(texts: Iterable[str]) -> tuple[str, ...]:
    """Levels in an order that does not depend on the rows': numbers by their size, then others."""
    return tuple(sorted(dict.fromkeys(texts), key=_place))


def _place(text: str) -> tuple[float, str]:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    return (value, text) if math.isfinite(value) else (math.inf, text)


def _formats(survey: Survey, gone: frozenset[str]) -> list[str]:
    """The formats by which all known texts of a column are dates; those that give the same dates are one.

    Raises: OddCellError where nearly all texts are dates.
    """
    texts = [text for text in survey.texts if text not in gone]
    first = [text.strip() for text in texts[:TRIED]]
    if not any(re.search(r"\d", text) for text in first):
        return []
    zone = next((match[1] for match in map(_ZONE.search, first) if match), "")
    counts = np.array([survey.texts[text] for text in texts])
    found: dict[bytes, str] = {}
    best, odd = 0.0, ""
    for form in (form + zone for form in FORMATS):
        if sum(map(bool, map(dates.parts(form).pattern.fullmatch, first))) < OFTEN * len(first):
            continue
        values = dates.seconds([text.strip() for text in texts], form)
        bad = np.isnan(values)
        if not bad.any():
            found.setdefault(values.tobytes(), form)
        share = 1 - counts[bad].sum() / counts.sum()
        if share > best:
            best, odd = share, texts[int(bad.argmax())]
    if not found and best >= MOSTLY and len(texts) > FREE:
        why = f'but nearly all others are dates; mend or empty it, or say --drop "{short(survey.name)}"'
        raise OddCellError(survey.name, odd, why)
    return list(found.values())


# --------------------------------------------------------------------------------------------------------- known columns


def read(column: Column, cells: Sequence[str]) -> np.ndarray:
    """The values (n,) of cells of a column that is known. Raises: OddCellError for the first cell that is none of its kind."""
    gone = [] if column.missing is None else [cell for cell in set(cells) if cell.strip() in MISSING]
    draft = _known(column, frozenset(gone))
    try:
        return _checked(draft, cells)
    except ValueError:
        pass
    for cell in cells:
        try:
            _checked(draft, [cell])
        except ValueError:
            known = column.range if isinstance(draft, Levels | Same) else f"a {column.kind} such as {column.range}"
            raise OddCellError(column.name, cell, f"where the model knows {short(known, 100)}") from None
    raise AssertionError("a cell that cannot be read is found")


def _known(column: Column, gone: frozenset[str]) -> Draft:
    """The draft by which cells of a column are read."""
    if isinstance(column, Number):
        return Numbers(column.name, gone, **{f.name: getattr(column, f.name) for f in fields(Numerals)})
    if isinstance(column, Date):
        return Dates(column.name, gone, column.format)
    if isinstance(column, Category):
        return Levels(column.name, levels=column.levels, joined=column.joined)
    assert isinstance(column, Constant)
    return Same(column.name, text=column.text)


def _checked(draft: Draft, cells: Sequence[str]) -> np.ndarray:
    """The values of cells that need not be written as a draft supposes. Raises: ValueError."""
    values = draft.values(cells)
    if isinstance(draft, Numbers):
        shape = _shape(draft.decimal, draft.thousands)
        for cell in {cell.translate(DIGITS) for cell in cells if cell not in draft.gone}:
            match = _number(cell)
            if match is None or shape.fullmatch(match[4].strip()) is None:
                raise ValueError("which is not a number")
        if not (np.isnan(values) | (np.abs(values) <= MAX_VALUE)).all():
            raise ValueError("which is too large")
    return values


def check_kind(asked: str) -> None:
    """Raise ValueError, whose text says why, for a kind that --columns cannot say."""
    kind, equals, form = asked.partition("=")
    if kind not in KINDS or (equals and kind != "date"):
        raise ValueError(f"the kinds are {', '.join(KINDS)}")
    if equals:
        try:
            dates.parts(form)
        except ValueError as why:
            raise ValueError(f"{short(form)} is no format of dates: {why}") from None
        if len(form) > MAX_FORMAT - 10:
            raise ValueError(f"the format {short(form)} is longer than {MAX_FORMAT - 10} characters")
