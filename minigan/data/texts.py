"""Text files of short lines, as names, words or codes: a sample in each.

A file is read twice, once for its alphabet and its lengths and once for its lines, so that it is never in memory as a whole.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigan.data import tables
from minigan.data.delimited import MARKS, bytes_of
from minigan.data.raw import Raw, check_counts, same
from minigan.data.reading import Reading
from minigan.data.spaces.text import MAX_ALPHABET, Text, usable
from minigan.errors import InputError

MAX_LINE = 1 << 16
"""Characters in one line."""

MAX_VALUES = 1 << 14
"""Values of a sample beyond which a length must be given: a first layer of 256 would have four million weights."""

SNIFFED, BLOCK = 50, 4096
"""Lines by which a table is told from a text; lines encoded at a time."""

_NUMBER = r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?"
_ROW = re.compile(rf"\s*{_NUMBER}(\s*[\s,;|]\s*{_NUMBER})+\s*")
"""A line of at least two numbers."""


def family(path: Path, reading: Reading) -> str:
    """The recipes for what is in a text file."""
    return tables.family(path, reading) if is_table(path) else "text"


def read_text(path: Path, reading: Reading) -> Raw:
    """The lines of a text file; or its table, where its lines are rows of numbers. Raises: InputError."""
    if is_table(path):
        raw = tables.read_csv(path, reading)
        return replace(raw, notes=(f"{path}: its lines are rows of numbers: a table", *raw.notes))
    reading.only(path, "a text", "length")
    encoding = encoding_of(path)
    found = _surveyed(path, encoding, reading.length or MAX_LINE)
    space = found.space
    if space.size > MAX_VALUES and not reading.length:
        raise InputError(
            f"{path}: its longest line has {space.shape[0]:,} characters, of {len(space.alphabet):,} different ones, which makes "
            f"{space.size:,} values of a sample; give --length N with a smaller N, and longer lines are left out (--length "
            f"{space.shape[0]} takes all)."
        )
    check_counts(found.lines, space.size, path, 1)
    rows = _rows(path, encoding, space, found.lines)
    if same(rows):
        raise InputError(f"{path} holds the same line {found.lines:,} times: there is nothing to learn.")
    return Raw(space, rows, notes=_notes(path, encoding, found))


class Survey(NamedTuple):
    """What is known of a text once it has been read: how many lines are samples, and how many are too long."""

    space: Text
    lines: int
    left_out: int


def _surveyed(path: Path, encoding: str, most: int) -> Survey:
    """What the lines of at most `most` characters are. Raises: InputError where there is none, or one that is no text."""
    lengths: Counter[int] = Counter()
    letters: set[str] = set()
    for number, line in lines(path, encoding):
        lengths[len(line)] += 1
        if len(line) > most:
            continue
        letters.update(line)
        if len(letters) > MAX_ALPHABET:
            raise InputError(
                f"{path}: up to line {number:,} there are more than {MAX_ALPHABET:,} different characters."
            )
    kept = [length for length in lengths if length <= most]
    n = sum(lengths[length] for length in kept)
    left_out = lengths.total() - n
    if not kept:
        why = f"all {left_out:,} lines are longer than {most:,} characters" if left_out else "there is no line"
        raise InputError(f"{path} holds no text: {why}.")
    bad = next((letter for letter in sorted(letters) if not usable(letter)), None)
    if bad is not None:
        raise InputError(_unusable(path, encoding, bad))
    return Survey(
        Text((max(kept), len(letters) + 1), alphabet="".join(sorted(letters)), shortest=min(kept)), n, left_out
    )


def _notes(path: Path, encoding: str, found: Survey) -> tuple[str, ...]:
    """What is said of a text before training."""
    space = found.space
    said = f"{path}: {found.lines:,} lines of {space.shortest:,} to {space.shape[0]:,} characters, "
    said += f"{len(space.alphabet):,} different ones"
    notes = [said + (f"; {found.left_out:,} longer ones are left out" if found.left_out else "")]
    if encoding == "cp1252":
        notes.append(f"{path} is not UTF-8, so it is read as Windows-1252.")
    if set(space.alphabet) <= set("0123456789.,-+"):
        notes.append(
            "they are taken as text; to train on them as numbers, name the file .csv, with a header in its first line"
        )
    return tuple(notes)


def _rows(path: Path, encoding: str, space: Text, n: int) -> np.ndarray:
    """The lines of a file that are not too long, encoded: (n, size), uint8."""
    length, place = space.shape[0], {letter: i for i, letter in enumerate(space.alphabet)}
    kept = (line for _, line in lines(path, encoding) if len(line) <= length)
    rows = np.empty((n, space.size), np.uint8)
    for start in range(0, n, BLOCK):
        codes = np.full((min(BLOCK, n - start), length), len(place))
        for code, line in zip(codes, kept, strict=False):
            code[: len(line)] = [place[letter] for letter in line]
        rows[start : start + BLOCK] = space.rows(codes)
    return rows


def lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """The lines of a text file with their numbers, without spaces around them; blank ones are passed over.

    Raises: InputError for a line without end, UnicodeDecodeError for another encoding.
    """
    with bytes_of(path) as file, io.TextIOWrapper(file, encoding=encoding) as text:
        number = 0
        while line := text.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise InputError(
                    f"{path}: line {number:,} is longer than {MAX_LINE:,} characters, so it is no text of short lines."
                )
            if line := line.strip():
                yield number, line


def encoding_of(path: Path) -> str:
    """The encoding of a text file: by its mark, else UTF-8 if all of it is, else Windows-1252. Raises: InputError."""
    with bytes_of(path) as file:
        encoding = MARKS.get(file.read(2), "utf-8-sig")
    for tried in (encoding, "cp1252"):
        try:
            for _ in lines(path, tried):
                pass
            return tried
        except UnicodeDecodeError:
            pass
    raise InputError(f"{path} is no text: it is neither UTF-8 nor Windows-1252, nor UTF-16 with a mark.")


def is_table(path: Path) -> bool:
    """Whether the first lines of a text file are rows of numbers, perhaps behind a header."""
    with bytes_of(path) as file:
        start = file.read(SNIFFED * 200)
    text = start.decode(MARKS.get(start[:2], "utf-8-sig"), "replace")
    found = [line for line in text.splitlines()[:-1] if line.strip()][:SNIFFED]
    return len(found) > 1 and all(_ROW.fullmatch(line) for line in found[1:])


def _unusable(path: Path, encoding: str, bad: str) -> str:
    """The sentence for a character that no line can have."""
    number = next(number for number, line in lines(path, encoding) if bad in line)
    table = "; a table is named .csv or .tsv" if bad == "\t" else ""
    return f"{path}: line {number:,} holds {bad!a}, which is no character of a line{table}."
