"""How the numbers of a column are written: decimals, signs, and what stands around them. Texts to numbers and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_DECIMALS = 9
"""Decimals that are counted; numbers with more are written as the shortest text that reads back as the same number."""

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Numerals:
    """How -1234.5 is written: as -$1,234.50 with decimals and fewest 2, thousands ",", before "$" and negative "-$".

    decimals: at most, with an exponent those before it; None: as many as read back as the same number.  fewest: decimals that
    are written even where they are 0.  exponent: e or E where all numbers have one.  decimal, thousands: the signs.  before,
    negative: what stands before a number of at least 0 and one below; after: behind it.
    """

    decimals: int | None = None
    fewest: int = 0
    exponent: str = ""
    decimal: str = "."
    thousands: str = ""
    before: str = ""
    negative: str = "-"
    after: str = ""

    def floats(self, cells: Sequence[str]) -> np.ndarray:
        """The numbers (n,) of cells. Raises: ValueError where one is none."""
        return np.array(self.plain(cells), np.float64)

    def plain(self, cells: Sequence[str]) -> list[str]:
        """Cells as Python writes numbers; those that are none become something else that is none. Raises: ValueError."""
        text = "\n".join(cells).replace(self.negative, "-")
        for sign in (self.thousands, self.before, self.after):
            for found in (sign, sign.strip()):  # "$ 5", but also "$5"
                text = text.replace(found, "") if found else text
        plain = text.replace(MINUS, "-").replace(self.decimal, ".").split("\n")
        if len(plain) != len(cells):
            raise ValueError("a number holds a line break")
        return plain

    def texts(self, values: np.ndarray) -> list[str]:
        """The cells of numbers (n,) of any float type."""
        if self.decimals is None:
            plain = [_shortest(value) for value in values + values.dtype.type(0)]  # no -0
        else:
            form = f"{{:{',' if self.thousands else ''}.{self.decimals}{self.exponent or 'f'}}}".format
            plain = [form(value) for value in (values.astype(np.float64) + 0.0).tolist()]
        if self.decimals is None or self.fewest < self.decimals:
            plain = [_trimmed(text, self.fewest) for text in plain]
        if self.decimal != "." or self.thousands not in ("", ","):
            signs = str.maketrans({".": self.decimal, ",": self.thousands})
            plain = [text.translate(signs) for text in plain]
        if (self.before, self.negative, self.after) == ("", "-", ""):
            return plain
        return [(self.negative + text[1:] if text[0] == "-" else self.before + text) + self.after for text in plain]


def _shortest(value: np.floating[Any]) -> str:
    """The shortest text that reads back as the same number, with an exponent where Python writes one."""
    text = str(value)
    if "e" in text and 1e-4 <= abs(value) < 1e16:  # float32 beyond a million
        return np.format_float_positional(value, trim="0")
    return text


def _trimmed(text: str, fewest: int) -> str:
    """A number without zeros at the end of its decimals, of which the fewest are kept."""
    whole, point, part = text.partition(".")
    if not point or "e" in part:
        return text
    part = part.rstrip("0").ljust(fewest, "0")
    return f"{whole}.{part}" if part else whole
