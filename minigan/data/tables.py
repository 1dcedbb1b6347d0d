"""Tables as CSV text: a header that names the columns, then a row of numbers per sample."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import numpy as np

from minigan import memory
from minigan.data.files import BLOCK, opened
from minigan.data.raw import MAX_VALUE, SMALLER, WHOLE, Raw, check_counts, is_name
from minigan.data.reading import Reading
from minigan.data.scaling import FAR, storage
from minigan.data.spaces import columns_space
from minigan.errors import InputError, reason, short

MAX_LINE = 1 << 22
"""Characters in one line."""


def family(path: Path, reading: Reading) -> str:
    """The recipes for a table."""
    return "table"


def read_csv(path: Path, reading: Reading) -> Raw:
    """A table of numbers: a header that names the columns, then a row per sample; `,`, `;` or tab between cells."""
    with opened(path) as (file, _), io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        try:
            lines = _lines(text, path)
            header = next(lines, "")
            delimiter = max(",;\t", key=header.count)
            columns = _header(header, delimiter, path)
            blocks, size, lost = [], 0, np.zeros(len(columns))
            for first, block in _line_blocks(lines):
                rows = _csv_rows(block, first, delimiter, columns, path)
                if (np.abs(rows) >= WHOLE).any():
                    lost = np.maximum(lost, _cells_lost(block, delimiter, len(columns)))
                blocks.append(rows)
                size += rows.nbytes
                memory.require(size, f"{path}, of which {size:,} bytes of values have been read,", SMALLER)
        except UnicodeDecodeError:
            raise InputError(f"{path} is not UTF-8 text; save the table as CSV in UTF-8.") from None
    check_counts(sum(map(len, blocks)), len(columns), path, 0)
    values = np.concatenate(blocks)
    blocks.clear()  # its memory is needed
    return table(values, lost, columns, path)


def table(values: np.ndarray, lost: np.ndarray, columns: tuple[str, ...], path: Path | str) -> Raw:
    """A table of values (n, d) of any type; lost (d,): the largest rounding error of float64 in each column.

    Raises: InputError where that is too much for a column's spread, by the rule for float32 (see `scaling.FAR`).
    """
    with np.errstate(all="ignore"):  # values too small for float32, which become 0
        dtype, scale = storage(values)
        bad = lost > FAR * 2.0**-24 * scale
        if bad.any():
            j = int(bad.argmax())
            raise InputError(
                f"{path}: column {short(columns[j])} holds whole numbers beyond 2^53 = {WHOLE:,} that float64 moves by up "
                f"to {lost[j]:.0f}, too much for a spread of {scale[j]:.3g}; subtract a number from the column, or leave it out."
            )
        memory.require(values.size * np.dtype(dtype).itemsize, f"{path}, divided into parts,", SMALLER)
        return Raw(columns_space(columns), np.ascontiguousarray(values, dtype))


def _lines(text: TextIO, path: Path) -> Iterator[str]:
    """The lines of a text, each of bounded length and with its quotes closed."""
    number = 0
    while line := text.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise InputError(f"{path}: line {number} is longer than {MAX_LINE:,} characters.")
        if '"' in line and line.count('"') % 2:
            raise InputError(f"{path}: line {number} opens a quote that it does not close.")
        yield line


def _line_blocks(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """The lines after the header in blocks of about BLOCK characters, each with the number of its first line."""
    number, block, size = 2, [], 0
    for line in lines:
        block.append(line)
        size += len(line)
        if size >= BLOCK:
            yield number, block
            number, block, size = number + len(block), [], 0
    if block:
        yield number, block


def _csv_rows(lines: list[str], first: int, delimiter: str, columns: tuple[str, ...], path: Path) -> np.ndarray:
    """The rows (n, columns) of a block of lines, float64; blank lines are left out."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # about blocks of blank lines
            rows = np.loadtxt(lines, np.float64, comments=None, delimiter=delimiter, quotechar='"', ndmin=2)
        if not rows.size:
            return rows.reshape(0, len(columns))
        why = "" if rows.shape[1] == len(columns) and (np.abs(rows) <= MAX_VALUE).all() else "its values are unusable"
    except (ValueError, OverflowError) as error:
        why = reason(error)
    if why:  # the fast parser says that something is wrong; the slow one says where
        fault = _csv_fault(lines, first, delimiter, columns) or f"after line {first - 1}: {why}"
        raise InputError(f"{path}: {fault}.")
    return rows


def _cells_lost(lines: list[str], delimiter: str, columns: int) -> np.ndarray:
    """The largest rounding error of float64 for whole numbers, per column of a block of lines: (columns,)."""
    lost = [0] * columns
    for line in lines:
        for j, cell in enumerate(next(csv.reader([line], delimiter=delimiter))):
            with suppress(ValueError):  # no whole number
                lost[j] = max(lost[j], abs(int(cell) - int(float(cell))))
    return np.array(lost, np.float64)


def _header(line: str, delimiter: str, path: Path) -> tuple[str, ...]:
    """The names of the columns."""
    try:
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error as error:
        raise InputError(f"{path}: the header cannot be read: {reason(error)}.") from None
    if not any(names):
        raise InputError(f"{path} has no header: the first line must name the columns.")
    seen: set[str] = set()
    for i, name in enumerate(names):
        if not name:
            raise InputError(
                f"{path}: column {i + 1} has no name in the header; name it, or leave it out (pandas: index=False)."
            )
        if not is_name(name):
            raise InputError(f"{path}: column {i + 1} of the header is no name: {short(name)}.")
        if name in seen:
            raise InputError(f"{path}: the header names column {short(name)} twice.")
        seen.add(name)
    counted = names == [str(i) for i in range(len(names))]  # what pandas writes for an array without names
    if not counted and all(_number(name) is not None for name in names):
        raise InputError(f"{path} has no header: the first line must name the columns, but it holds numbers.")
    return tuple(names)


def _number(cell: str) -> float | None:
    """The value of a cell, or None when it is not a number."""
    try:
        return float(cell) if cell.isascii() and "_" not in cell else None
    except ValueError:
        return None


def _csv_fault(lines: list[str], first: int, delimiter: str, columns: tuple[str, ...]) -> str | None:
    """A description of the first error in a block of lines, if one is found."""
    for number, line in enumerate(lines, start=first):
        if not line.strip("\r\n"):
            continue
        try:
            cells = next(csv.reader([line], delimiter=delimiter))
        except csv.Error as error:
            return f"line {number} cannot be read: {reason(error)}"
        if len(cells) != len(columns):
            return f"line {number} has {len(cells)} cells, but the header names {len(columns)} columns"
        for name, cell in zip(columns, cells, strict=True):
            value, where = _number(cell), f"line {number}, column {short(name)},"
            if not cell.strip():
                return f"{where} is empty; fill in or remove missing values"
            if value is None:
                return f"{where} holds {short(cell)!r}, which is not a number"
            if not abs(value) <= MAX_VALUE:
                return f"{where} holds {short(cell)}; values must be finite and within {MAX_VALUE:g}"
    return None
