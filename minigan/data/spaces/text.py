"""Text: short lines, each character of which is one of an alphabet."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.data.spaces.base import Space
from minigan.errors import InputError

MAX_ALPHABET = 1 << 16
"""Different characters of a text."""

UNUSABLE = ("Cc", "Cs", "Zl", "Zp")
"""Categories of Unicode's characters that cannot stand in a line: control characters, halves of pairs, ends of lines."""


@dataclass(frozen=True)
class Text(Space):
    """A line of text (length, letters): at each position one value is 1, that of its character or, behind the line, of the end
    sign, and all others are 0.

    alphabet: the characters in their order; the end sign follows them.  shortest: characters that a line has at least.
    """

    alphabet: str = ""
    shortest: int = 1

    kind = "text"
    dimensions = 2
    limits = 0.0, 1.0
    family = "text"
    usual = ".txt"
    previewed = 256
    files = (".txt", ".csv", ".tsv", ".npz", ".npy")

    @classmethod
    def fits(cls, shape: Sequence[int], columns: Sequence[str]) -> bool:
        return not columns

    def settle(self, x: np.ndarray) -> np.ndarray:
        """At each position the character with the largest value; once a line has ended, end signs alone."""
        bad = ~np.isfinite(x).all(axis=1)
        blocks = x.reshape(-1, *self.shape)
        blocks[:, : self.shortest, -1] = -np.inf
        settled = self.rows(self.codes(x)).astype(x.dtype)
        settled[bad] = np.nan  # what the largest of a few values would hide
        return settled

    def codes(self, x: np.ndarray) -> np.ndarray:
        """The place in the alphabet (n, length) of the largest value at each position of rows x (n, size); behind the end of a line
        it is that of the end sign, len(alphabet)."""
        end = len(self.alphabet)
        codes = x.reshape(-1, *self.shape).argmax(axis=2)
        codes[np.logical_or.accumulate(codes == end, axis=1)] = end
        return codes

    def rows(self, codes: np.ndarray) -> np.ndarray:
        """The inverse of `codes`: (n, size), uint8."""
        n, length = codes.shape
        rows = np.zeros((n * length, self.shape[1]), np.uint8)
        rows[np.arange(n * length), codes.reshape(-1)] = 1
        return rows.reshape(n, -1)

    def texts(self, x: np.ndarray) -> list[str]:
        """Rows x (n, size) as lines."""
        letters = [*self.alphabet, ""]
        return ["".join(letters[code] for code in line) for line in self.codes(x).tolist()]

    def header(self) -> list[str]:
        return ["text"]

    def cells(self, x: np.ndarray) -> Iterator[Sequence[str]]:
        return ((text,) for text in self.texts(x))

    def arrays(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The lines as `text` (n,)."""
        return {"text": np.array(self.texts(x), f"<U{self.shape[0]}")}

    def details(self) -> dict[str, Any]:
        return {"alphabet": self.alphabet, "shortest": self.shortest}

    @classmethod
    def read_details(cls, details: dict[str, Any], shape: tuple[int, ...], source: str) -> dict[str, Any]:
        alphabet, shortest = details.get("alphabet"), details.get("shortest")
        if len(details) != 2 or not isinstance(alphabet, str) or len(alphabet) + 1 != shape[1]:
            raise InputError(
                f"{source}: the description of a text must have an alphabet of {shape[1] - 1:,} characters."
            )
        if len(set(alphabet)) != len(alphabet) or not all(map(usable, alphabet)):
            raise InputError(f"{source}: the alphabet of a text holds a character twice, or one that no line can have.")
        if type(shortest) is not int or not 1 <= shortest <= shape[0]:
            raise InputError(f"{source}: lines of text have between 1 and {shape[0]:,} characters.")
        return {"alphabet": alphabet, "shortest": shortest}


def usable(character: str) -> bool:
    """Whether a character can stand in a line of text."""
    return unicodedata.category(character) not in UNUSABLE
