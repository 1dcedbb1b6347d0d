"""Dates and times: texts to seconds since 1970 and back, by formats like those of `datetime.strftime`.

Between % and the letter of a directive may stand - (no 0 before a number below 10), ^ (capital letters) or, before f, the
count of digits. Names of months are English. A format without a year is one of a leap year, one without a day of the first.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

NAMES = {
    "b": [month[:3] for month in MONTHS],
    "B": MONTHS,
    "a": [day[:3] for day in WEEKDAYS],
    "A": WEEKDAYS,
    "p": ["AM", "PM"],
}
"""The texts of directives that are words."""

DIGITS = {"Y": "{4}", "y": "{2}", "f": "{1,6}", "j": "{3}", "M": "{2}", "S": "{2}", **dict.fromkeys("mdHI", "{1,2}")}
"""How many digits the other directives have."""

FINEST = {"f": 1e-6, "S": 1.0, "M": 60.0, "H": 3600.0, "I": 3600.0, "d": 86400.0, "j": 86400.0}
"""Seconds between neighbouring values of a directive."""

MONTH = 0.0
"""The step between dates of which only the month is written."""

FIRST, LAST = -62135596800.0, 253402300800.0 - 2**-14
"""The years 1 to 9999."""

_DIRECTIVE = re.compile(r"%([-^]|[1-6](?=f))?([A-Za-z])")


class Parts(NamedTuple):
    """A format taken apart: literal texts, between which are directives, each a flag and a letter."""

    literals: list[str]
    directives: list[tuple[str, str]]
    pattern: re.Pattern[str]


@lru_cache(maxsize=256)
def parts(form: str) -> Parts:
    """Raises: ValueError, whose text says why, for what is no format."""
    pieces = _DIRECTIVE.split(form)
    literals, directives = pieces[::3], list(zip((flag or "" for flag in pieces[1::3]), pieces[2::3], strict=True))
    letters = [letter for _, letter in directives]
    bad = next((letter for letter in letters if letter not in NAMES and letter not in DIGITS), None)
    if bad or any("%" in text for text in literals):
        raise ValueError(f"it may hold % only before one of {' '.join([*DIGITS, *NAMES])}")
    if len(set(letters)) < len(letters) or not {*"mbBjHI"} & set(letters):
        raise ValueError("it must name a month or an hour, and each part only once")
    texts = {letter: f"({'|'.join(names)})" for letter, names in NAMES.items()}
    texts |= {letter: rf"([0-9]{count})" for letter, count in DIGITS.items()}
    groups = [texts[letter] for letter in letters]
    pattern = "".join(map("".join, zip(map(re.escape, literals), [*groups, ""], strict=True)))
    return Parts(literals, directives, re.compile(pattern, re.IGNORECASE))


def seconds(texts: Sequence[str], form: str) -> np.ndarray:
    """Seconds since 1970 (n,) of texts, nan where a text is no date of this format."""
    _, directives, pattern = parts(form)
    found = [match.groups() if (match := pattern.fullmatch(text)) else None for text in texts]
    good = np.array([groups is not None for groups in found], bool)
    out = np.full(len(found), np.nan)
    if not good.any():
        return out
    columns = zip(*(groups for groups in found if groups), strict=True)
    part = {letter: _numbers(letter, texts) for (_, letter), texts in zip(directives, columns, strict=True)}
    zero = np.zeros(int(good.sum()), np.int64)
    month = next((part[letter] for letter in "mbB" if letter in part), zero + 1)
    year = part.get("Y", zero + (1972 if {*"mbBj"} & set(part) else 1970))
    if "y" in part:
        year = part["y"] + np.where(part["y"] < 69, 2000, 1900)
    day = part.get("d", zero + 1)
    start = (12 * (year - 1970) + np.clip(month, 1, 12) - 1).astype("datetime64[M]")
    first, after = (days.astype("datetime64[D]").astype(np.int64) for days in (start, start + 1))
    fits = (year > 0) & (month > 0) & (month < 13) & (day > 0) & (day <= after - first)
    if "j" in part:
        start, day = (year - 1970).astype("datetime64[Y]"), part["j"]
        first, after = (days.astype("datetime64[D]").astype(np.int64) for days in (start, start + 1))
        fits = (year > 0) & (day > 0) & (day <= after - first)
    hour = part.get("H", zero)
    if "I" in part:
        fits &= (part["I"] > 0) & (part["I"] < 13)
        hour = part["I"] % 12 + 12 * part.get("p", zero)
    minute, second = part.get("M", zero), part.get("S", zero)
    fits &= (hour < 24) & (minute < 60) & (second < 60)
    whole = 86400 * (first + day - 1) + 3600 * hour + 60 * minute + second
    out[good] = np.where(fits, whole + part.get("f", zero) / 1e6, np.nan)
    return out


def _numbers(letter: str, texts: tuple[str, ...]) -> np.ndarray:
    """The numbers (n,) of one directive's texts: of months from 1, else of names from 0."""
    if letter in NAMES:
        places = {name.lower(): i for i, name in enumerate(NAMES[letter], letter in "bB")}
        return np.array([places[text.lower()] for text in texts])
    if letter == "f":
        texts = tuple(text.ljust(6, "0") for text in texts)
    return np.fromiter(map(int, texts), np.int64, len(texts))


def texts(values: np.ndarray, form: str) -> list[str]:
    """The texts of seconds since 1970 (n,) in the years 1 to 9999: the inverse of `seconds`, for multiples of the step."""
    literals, directives, _ = parts(form)
    digits = next((int(flag or 6) for flag, letter in directives if letter == "f"), 6)  # float64 may be a little less
    count = np.rint(np.asarray(values, np.float64) * 10**digits).astype(np.int64)
    moments = (count * 10 ** (6 - digits)).astype("datetime64[us]")
    columns: list[Iterable[str]] = [itertools.repeat(literals[0])]
    for (flag, letter), literal in zip(directives, literals[1:], strict=True):
        columns += [_texts(moments, flag, letter), itertools.repeat(literal)]
    return ["".join(row) for row in zip(*columns, strict=False)]


def _texts(moments: np.ndarray, flag: str, letter: str) -> list[str]:
    """One directive's texts of moments (n,) in microseconds."""
    days = moments.astype("datetime64[D]")
    rest = (moments - days).astype(np.int64)
    if letter in "Yy":
        numbers = moments.astype("datetime64[Y]").astype(np.int64) + 1970
        numbers = numbers % 100 if letter == "y" else numbers
    elif letter in "mbB":
        numbers = moments.astype("datetime64[M]").astype(np.int64) % 12 + 1
    elif letter == "d":
        numbers = (days - moments.astype("datetime64[M]")).astype(np.int64) + 1
    elif letter == "j":
        numbers = (days - moments.astype("datetime64[Y]")).astype(np.int64) + 1
    elif letter in "aA":
        numbers = (days.astype(np.int64) + 3) % 7
    elif letter in "HIp":
        numbers = rest // 3_600_000_000
        numbers = numbers // 12 if letter == "p" else (numbers + 11) % 12 + 1 if letter == "I" else numbers
    elif letter in "MS":
        numbers = rest // (60_000_000 if letter == "M" else 1_000_000) % 60
    else:
        digits = int(flag or 6)
        return [f"{number // 10 ** (6 - digits):0{digits}d}" for number in (rest % 1_000_000).tolist()]
    if letter in NAMES:
        words = [name.upper() if flag == "^" else name for name in NAMES[letter]]
        return [words[number - (letter in "bB")] for number in numbers.tolist()]
    width = 1 if flag == "-" else {"Y": 4, "j": 3}.get(letter, 2)
    return [f"{number:0{width}d}" for number in numbers.tolist()]


def step(form: str) -> float:
    """Seconds between neighbouring dates of a format, `MONTH` where it has no days."""
    flags = {letter: flag for flag, letter in parts(form).directives}
    if "f" in flags:
        return 10.0 ** -int(flags["f"] or 6)
    return next((size for letter, size in FINEST.items() if letter in flags), MONTH)


def rounded(values: np.ndarray, size: float) -> np.ndarray:
    """The nearest dates to seconds (n,), `size` apart, in the years 1 to 9999; 1970 for what is no number."""
    values = np.clip(np.nan_to_num(np.asarray(values, np.float64)), FIRST, LAST)
    if size == MONTH:
        months = ((values // 86400 + 15).astype(np.int64)).astype("datetime64[D]").astype("datetime64[M]")
        return np.minimum(months, np.datetime64("9999-12")).astype("datetime64[s]").astype(np.float64)
    count = np.rint(values / size)
    nearest = count * size if size >= 1 else count / round(1 / size)
    return np.where(nearest > LAST, nearest - size, nearest)


def as_written(form: str, shapes: Iterable[str]) -> str:
    """A format with the flags that texts have; shapes: the texts, or the same with any digits."""
    literals, directives, pattern = parts(form)
    found = [match.groups() for shape in shapes if (match := pattern.fullmatch(shape))]
    if not found:
        return form
    out = literals[0]
    for (flag, letter), texts, literal in zip(directives, zip(*found, strict=True), literals[1:], strict=True):
        if letter == "f":
            flag = str(max(map(len, texts)))
        elif letter in NAMES:
            flag = "^" if letter != "p" and all(text.isupper() for text in texts) else ""
        elif "," in DIGITS[letter]:
            flag = "-" if any(len(text) == 1 for text in texts) else ""
        out += f"%{flag}{letter}{literal}"
    return out
