"""Text files of cells: their encoding, what stands between cells, the header, and the records a block at a time.

Nothing here knows what a cell means. A file is read twice, once to find the kinds of its columns and once for their values, so
that its text is never in memory as a whole.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from minigan.data.files import opened
from minigan.data.raw import MAX_FEATURES, MAX_NAME
from minigan.errors import InputError, reason, short

MAX_LINE = 1 << 22
"""Characters in one line."""

MAX_CELL = 1 << 17
"""Characters in one cell."""

CELLS, ROWS, MOST = 1 << 13, 64, 1 << 20
"""Cells in a block, which stay in the cache; rows that it has at least, and the most cells for their sake."""

SNIFFED = 50
"""Records from which the separator is found."""

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "|", " ": "spaces"}

MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""Encodings by the first bytes of a file; without a mark it is UTF-8."""


@dataclass(frozen=True)
class Form:
    """How a file is written.

    before: records that stand before the first row.
    """

    path: Path
    encoding: str
    separator: str
    names: tuple[str, ...] = ()
    before: int = 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """Some rows: the number of the line in which each ends, and the cells of each column."""

    lines: list[int]
    columns: list[tuple[str, ...]]


def form_of(path: Path, *, headless: bool = False) -> Form:
    """The form of a file; headless: its first line may hold numbers. Raises: InputError where it has none."""
    encoding, notes = "utf-8-sig", []
    with bytes_of(path) as file:
        encoding = MARKS.get(file.read(2), encoding)
    try:
        head = _head(path, encoding)
    except UnicodeDecodeError:
        encoding = "cp1252"
        head = _head(path, encoding)
    if "\0" in "".join(head):
        raise InputError(f"{path} holds no text; save the table as CSV in UTF-8.")
    if not any(line.strip() for line in head):
        raise InputError(f"{path} has no header: the first line must name the columns.")
    told = re.fullmatch(r'"?sep=(.)"?\s*', head[0], re.IGNORECASE)
    if told and told[1] not in SEPARATORS:
        raise InputError(f"{path}: cells cannot be separated by {told[1]!r}, but by {', '.join(SEPARATORS.values())}.")
    separator = told[1] if told else _separator([line for line in head if line.strip()])
    if encoding == "cp1252":
        notes.append(f"{path} is not UTF-8, so it is read as Windows-1252.")
    form = Form(path, encoding, separator, notes=tuple(notes))
    with _records(form) as records:
        before, header = 0, list[str]()
        for _, header in itertools.islice(records, 1 if told else 0, None):
            before += 1
            if any(cell.strip() for cell in header):
                break
    before += 1 if told else 0
    if headless and all(map(is_number, header)):
        return replace(form, names=tuple(f"x{i}" for i in range(len(header))), before=before - 1)
    return replace(form, names=_names(header, path, separator), before=before)


def blocks(form: Form) -> Iterator[Block]:
    """The rows of a file; blank ones, and empty cells behind the last column, are left out.

    Raises: InputError where a row has another number of cells than the header.
    """
    width = len(form.names)
    step = max(1, CELLS // width, min(ROWS, MOST // width))
    blank = [""] * width
    with _records(form) as records:
        for _ in range(form.before):
            next(records, None)
        rows, lines = [], []
        for line, row in records:
            if len(row) != width:
                row = _fitted(row, width, line, form.path)
            if not row or (row == blank and width > 1):  # of one column, an empty cell stands in quotes
                continue
            rows.append(row)
            lines.append(line)
            if len(rows) == step:
                yield Block(lines, list(zip(*rows, strict=True)))
                rows, lines = [], []
        if rows:
            yield Block(lines, list(zip(*rows, strict=True)))


def line(cells: Sequence[str], separator: str) -> str:
    """A line of cells that `blocks` reads back as they are, in quotes where that is needed."""
    if len(cells) == 1 and not cells[0]:
        return '""\n'
    unsafe = _unsafe(separator)
    return separator.join(['"' + c.replace('"', '""') + '"' if unsafe.search(c) else c for c in cells]) + "\n"


@cache
def _unsafe(separator: str) -> re.Pattern[str]:
    """What is only in cells in quotes: spaces at the beginning would be skipped, and so would empty cells between spaces."""
    return re.compile(rf'[{re.escape(separator)}"\r\n]|^ ' + ("|^$" if separator == " " else ""))


def _fitted(row: list[str], width: int, line: int, path: Path) -> list[str]:
    """A row of another number of cells than the header has: blank (as []), or with empty cells at its end."""
    if not any(cell.strip() for cell in row):
        return []
    if len(row) > width and not any(cell.strip() for cell in row[width:]):
        return row[:width]
    remedy = "add the others, or remove the line"
    if len(row) > width:
        remedy = "a cell that holds the separator must be in quotes"
        remedy += ", and a title before the header removed" if width == 1 else ""
    cells, names = (f"{n} {word}{'s' if n > 1 else ''}" for n, word in ((len(row), "cell"), (width, "column")))
    raise InputError(f"{path}: line {line} has {cells}, but the header names {names}; {remedy}.")


@contextmanager
def bytes_of(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, which may be compressed by gzip."""
    with opened(path) as (file, _):
        if path.suffix.lower() != ".gz":
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as plain:
                yield cast(BinaryIO, plain)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path} is not a usable .gz file: {reason(error)}.") from None


@contextmanager
def _text(path: Path, encoding: str) -> Iterator[TextIO]:
    with bytes_of(path) as file:
        yield io.TextIOWrapper(file, encoding, newline="")


@contextmanager
def _records(form: Form) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """The records of a file, each with the number of its last line."""
    with _text(form.path, form.encoding) as text:
        yield _parsed(_lines(text, form.path), form.separator, form.path)


def _parsed(lines: Iterator[str], separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        if "field limit" in str(error):
            what = (
                f"has a cell of more than {MAX_CELL:,} characters; perhaps a quote is opened there that is not closed."
            )
        elif "unexpected end" in str(error):
            what = "opens a quote that the file does not close."
        else:
            what = f"cannot be read: {reason(error)}; a quote within quotes must be doubled."
        raise InputError(f"{path}: line {reader.line_num} {what}") from None


def _lines(text: TextIO, path: Path) -> Iterator[str]:
    """The lines of a text, each of bounded length."""
    number = 0
    while line := text.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise InputError(f"{path}: line {number} is longer than {MAX_LINE:,} characters.")
        yield line


def _head(path: Path, encoding: str) -> list[str]:
    """The first lines, enough to know the separator by. Raises: InputError, UnicodeDecodeError."""
    with _text(path, encoding) as text:
        lines, size = [], 0
        try:
            for line in _lines(text, path):
                lines.append(line)
                size += len(line)
                if len(lines) > SNIFFED and size > MAX_CELL:
                    break
        except UnicodeDecodeError as error:
            if encoding.startswith("utf-16") or encoding == "cp1252":
                raise InputError(f"{path} is no text that can be read; save the table as CSV in UTF-8.") from error
            raise
        return lines


def _separator(lines: list[str]) -> str:
    """The separator by which most records have as many cells as the first one, more than one.

    Of several the one that leaves fewer quotes within cells, then the one of most cells. Where there is none, the most frequent
    one in the header: the records are refused then, in its words.
    """
    best, found = (0.5, -1.0, 0), max(",;\t|", key=lines[0].count)
    for separator in SEPARATORS:
        if best[:2] == (1, 0) and separator == " ":  # spaces stand in texts too
            break
        text = [line.strip(" ") for line in lines] if separator == " " else lines
        rows: list[list[str]] = []
        with suppress(csv.Error):
            for row in csv.reader(text, delimiter=separator, skipinitialspace=True):
                if any(cell.strip() for cell in row):
                    rows.append(row)
                if len(rows) == SNIFFED:
                    break
        if not rows or len(rows[0]) < 2:
            continue
        fitting = sum(len(row) == len(rows[0]) for row in rows)
        strays = sum(any('"' in cell for cell in row) for row in rows)
        score = fitting / len(rows), -strays / len(rows), len(rows[0])
        if score > best:
            best, found = score, separator
    return found


def _names(cells: list[str], path: Path, separator: str) -> tuple[str, ...]:
    """The names of the columns in a header; those without one have their number."""
    while cells and not cells[-1].strip():  # trailing separators
        cells = cells[:-1]
    names = [name.strip() for name in cells]
    if not names:
        raise InputError(f"{path} has no header: the first line must name the columns.")
    if names[0].startswith("#"):
        raise InputError(
            f"{path}: the first line begins with #; the header must be in line 1, so remove the lines before it."
        )
    if len(names) > MAX_FEATURES:
        raise InputError(f"{path} names {len(names):,} columns; at most {MAX_FEATURES:,} can be trained on.")
    counted = names == [str(i) for i in range(len(names))]  # what pandas writes for an array without names
    if not counted and all(map(is_number, names)):
        apart = f", with {SEPARATORS[separator]} between cells" if separator != "," else ""
        side = math.isqrt(len(names))
        if len(names) >= 64 and len(names) - side * side < 2:
            raise InputError(f"{path} has no header; if its rows are images, say --shape {side} {side}.")
        example = separator.join(f"x{i}" for i in range(min(3, len(names)))) + ("..." if len(names) > 3 else "")
        raise InputError(
            f"{path} has no header: the first line must name the columns, but it holds numbers{apart}; put a line "
            f"such as {short(repr(example))} before it."
        )
    names = [name or f"column {i + 1}" for i, name in enumerate(names)]
    seen: set[str] = set()
    for i, name in enumerate(names):
        if len(name) > MAX_NAME or not all(c.isprintable() or c in "\r\n\t" for c in name):
            raise InputError(f"{path}: column {i + 1} of the header is no name: {short(name)}.")
        if name in seen:
            raise InputError(f"{path}: the header names column {short(name)} twice.")
        seen.add(name)
    return tuple(names)


def is_number(cell: str) -> bool:
    """Whether a cell is a plain number."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell
