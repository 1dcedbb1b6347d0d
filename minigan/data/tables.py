"""Tables: from text files of cells, and from arrays (n, d), whose columns are all numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigan import memory
from minigan.data import delimited, kinds, pixels
from minigan.data.columns import Category, Column, Constant, Number
from minigan.data.delimited import Block, Form
from minigan.data.kinds import Draft, Left, Survey
from minigan.data.raw import MAX_VALUE, SMALLER, WHOLE, Raw, check_counts
from minigan.data.reading import Reading
from minigan.data.scaling import FAR, storage
from minigan.data.spaces import Points, Table, columns_space
from minigan.data.spaces.table import Rows
from minigan.errors import InputError, reason, short

PLAIN = "plain"
"""What --columns says where all columns are numbers without kinds, as all tables were once."""

SHOWN = 40
"""Columns that are described before training."""

LEAST_PIXELS, LABELS = 64, ("label", "labels", "class", "target", "y")
"""Columns from which a table may be one of images, and what the column of their labels may be called."""

USED = ("columns", "drop", "label_column", "decimal", "shape", "color")
"""What `Reading` says about tables."""


class Filled(NamedTuple):
    """A column, its values (n,), and the largest error with which float64 holds them."""

    column: Column
    values: np.ndarray
    lost: float


def family(path: Path, reading: Reading) -> str:
    """The recipes for a table, whose rows are images if their shape is given."""
    return "image" if reading.shape else "table"


def read_csv(path: Path, reading: Reading) -> Raw:
    """A table in a text file: a header that names the columns, then a row per sample. Raises: InputError."""
    reading.only(path, "a table", *USED)
    form = delimited.form_of(path, headless=bool(reading.shape))
    try:
        return _read(form, reading)
    except UnicodeDecodeError:  # far from the beginning
        notes = (*form.notes, f"{path} is not UTF-8, so it is read as Windows-1252.")
        return _read(replace(form, encoding="cp1252", notes=notes), reading)


def _read(form: Form, reading: Reading) -> Raw:
    path = form.path
    surveys, n = _surveyed(form)
    check_counts(n, len(surveys), path, 0)
    if reading.shape:
        return _images(form, surveys, n, reading)
    plain = reading.columns == PLAIN
    asked = dict.fromkeys(form.names, "number") if plain else _asked(reading, form.names, path)
    try:
        drafts = kinds.decide(surveys, asked, reading.decimal, path)
    except kinds.OddCellError as error:
        line = _line_of(form, form.names.index(error.name), error.cell)
        place = f"{path}: line {line}, column {short(error.name)}"
        raise InputError(f"{place}, holds {short(error.cell)!r}, {error.why}.") from None
    values, lost = _values(form, drafts, n)
    if plain:
        return table(np.stack(values, axis=1), np.array(lost), form.names, path)
    left, filled = [], []
    for draft, x, loss in zip(drafts, values, lost, strict=True):
        why = "" if draft.name in asked else _counter(draft, x)
        if why or isinstance(draft, Left):
            left.append(draft if isinstance(draft, Left) else Left(draft.name, why=why))
        else:
            filled.append(Filled(draft.column(x), x, loss))
    words = [_without(draft) for draft in left]
    if all(isinstance(f.column, Number) for f in filled) and len(filled) >= LEAST_PIXELS:
        words += _hints([f for f in filled if f.column.name not in LABELS], path)
    if not filled:
        raise InputError(f"{path} holds no column to train on: {'; '.join(words)}.")
    return _table(filled, reading, path, form.separator, [*form.notes, *words])


def _surveyed(form: Form) -> tuple[list[Survey], int]:
    """What is known of each column, and the number of rows."""
    surveys = [Survey(name) for name in form.names]
    n = 0
    for block in delimited.blocks(form):
        n += len(block.lines)
        memory.require(8 * n * len(surveys), f"{form.path}, of which {n:,} rows have been read,", SMALLER)
        for survey, cells in zip(surveys, block.columns, strict=True):
            survey.see(cells)
    return surveys, n


def _images(form: Form, surveys: Sequence[Survey], n: int, reading: Reading) -> Raw:
    """Rows of pixels, perhaps with a column of labels beside them, as images."""
    labelled = next((name for name in (reading.label_column, *LABELS) if name in form.names), "")
    asked = {name: "category" if name == labelled else "number" for name in form.names}
    drafts = kinds.decide(surveys, asked, reading.decimal, form.path)
    values, _ = _values(form, drafts, n)
    rows = np.stack([x for x, name in zip(values, form.names, strict=True) if name != labelled], axis=1)
    labels = None
    if labelled:
        place = form.names.index(labelled)
        column = drafts[place].column(values[place])
        labels = np.array(getattr(column, "levels", ("",)))[values[place].astype(np.int64)]
    raw = pixels.from_rows(rows, labels, reading, form.path)
    return replace(raw, notes=(*form.notes, *raw.notes))


def _line_of(form: Form, column: int, cell: str) -> int:
    """The line in which a cell of a column is met first."""
    return next(
        line
        for block in delimited.blocks(form)
        for line, found in zip(block.lines, block.columns[column], strict=True)
        if found == cell
    )


def _values(form: Form, drafts: Sequence[Draft], n: int) -> tuple[list[np.ndarray], list[float]]:
    """The values (n,) of each column, and the largest rounding error of float64 in it."""
    values = [np.empty(0 if isinstance(draft, Left) else n) for draft in drafts]
    lost = [0.0] * len(drafts)
    at = 0
    for block in delimited.blocks(form):
        for j, (draft, cells) in enumerate(zip(drafts, block.columns, strict=True)):
            if isinstance(draft, Left):
                continue
            try:
                found = draft.values(cells)
                unusable = np.abs(found) > MAX_VALUE
            except (ValueError, OverflowError) as error:
                raise InputError(_fault(form, draft, block, cells, reason(error))) from None
            if unusable.any():
                place = f"line {block.lines[int(unusable.argmax())]}, column {short(draft.name)}"
                held = short(cells[int(unusable.argmax())])
                raise InputError(f"{form.path}: {place}, holds {held}; values must be finite and within {MAX_VALUE:g}.")
            values[j][at : at + len(cells)] = found
            lost[j] = max(lost[j], draft.lost(cells, found))
        at += len(block.lines)
    return values, lost


def _fault(form: Form, draft: Draft, block: Block, cells: Sequence[str], why: str) -> str:
    """The sentence for the first cell of a block that a draft cannot read."""
    for line, cell in zip(block.lines, cells, strict=True):
        try:
            draft.values([cell])
        except (ValueError, OverflowError):
            place = f"{form.path}: line {line}, column {short(draft.name)}"
            return f"{place}, holds {short(cell)!r}, which does not fit the others: {why}."
    return f"{form.path}: column {short(draft.name)} cannot be read: {why}."


def _asked(reading: Reading, names: Sequence[str], path: object) -> dict[str, str]:
    """The kinds that a person asks for, by the names of columns. Raises: InputError for a column or a kind that is not known."""
    asked = {}
    if reading.columns and reading.columns != PLAIN:
        for entry in reading.columns.split(","):
            name = max((n for n in names if entry.strip().startswith(f"{n}:")), key=len, default=None)
            if name is None:
                raise InputError(
                    f"--columns {short(entry)!r}: {path} has no such column; its columns are {short(', '.join(names), 200)}, and "
                    f'an entry is NAME:KIND, as in "{short(names[0])}:category".'
                )
            asked[name] = entry.strip()[len(name) + 1 :].strip()
            if asked[name].partition("=")[0] not in kinds.KINDS or (
                "=" in asked[name] and not asked[name].startswith("date=")
            ):
                raise InputError(f"--columns {short(entry)!r}: the kinds are {', '.join(kinds.KINDS)}.")
    if reading.label_column:
        if reading.label_column not in names:
            raise InputError(
                f"--label-column {short(reading.label_column)}: {path} has no such column; its columns are "
                f"{short(', '.join(names), 200)}."
            )
        asked.setdefault(reading.label_column, "category")
    for name in filter(None, reading.drop.split(",")):
        if name.strip() not in names:
            raise InputError(
                f"--drop {short(name)}: {path} has no such column; its columns are {short(', '.join(names), 200)}."
            )
        asked[name.strip()] = "ignore"
    return asked


_ID = re.compile(r"(^|[\W_])(id|uuid|guid)$|^(index|unnamed: 0|row|)$", re.IGNORECASE)


def _counter(draft: Draft, values: np.ndarray) -> str:
    """Why a column only counts or names the rows, "" if it does not."""
    if not isinstance(draft, kinds.Numbers) or draft.decimals not in (0, None) or len(values) < 2:
        return ""
    if (np.diff(values) == 1).all() and (values[0] in (0, 1)):
        return "the numbers of the rows"
    if _ID.search(draft.name) and len(np.unique(values)) == len(values):
        return "a different number in each row"
    return ""


def _hints(filled: Sequence[Filled], path: Path) -> list[str]:
    """What to say of columns that look like the pixels of images."""
    hint = pixels.hint(np.stack([f.values for f in filled], axis=1))
    return [f"{path}: {hint}"] if hint else []


def _without(draft: Left) -> str:
    name = f"column {short(draft.name)}" if draft.name else "a column without a name"
    return f"left out: {name} ({draft.why or 'as you said'})"


# ---------------------------------------------------------------------------------------------------------- arrays


def from_numbers(values: np.ndarray, lost: np.ndarray, reading: Reading, path: Path | str) -> Raw:
    """A table of the values (n, d) of an array of numbers, of which nan is missing; lost: as in `table`.

    Raises: InputError.
    """
    names = [f"x{i}" for i in range(values.shape[1])]
    asked = _asked(reading, names, path)
    if reading.columns == PLAIN:
        if np.isnan(values).any():
            raise InputError(f"{path} holds missing values, which --columns plain does not know; leave it out.")
        return table(values, lost, tuple(names), path)
    filled = []
    for name, x, loss in zip(names, values.T, lost, strict=True):
        kind = asked.get(name, "")
        if kind not in ("ignore", "id"):
            column = _of_numbers(name, x, kind)
            places = np.searchsorted(np.unique(x), x) if isinstance(column, Category) else x
            filled.append(Filled(column, places, float(loss)))
    if not filled:
        raise InputError(f"{path} holds no column to train on: all are left out.")
    return _table(filled, reading, path, ",", [])


def _of_numbers(name: str, x: np.ndarray, kind: str) -> Column:
    """The column of numbers x (n,) of any type."""
    if kind in ("category", "common"):
        return Category(name, None, tuple(map(_text, np.unique(x))))
    if x.dtype == bool:
        levels = tuple(map(str, np.unique(x)))
        return Category(name, None, levels) if len(levels) == 2 else Constant(name, None, levels[0])
    there = x[~np.isnan(x)] if x.dtype.kind == "f" else x
    gone = None if len(there) == len(x) else "nan"
    if not len(there):
        return Constant(name, None, "nan")
    if gone is None and (x == x[0]).all():
        return Constant(name, None, _text(x[0]))
    whole = x.dtype.kind in "iu" or ((np.rint(there) == there).all() and float(np.abs(there).max()) < WHOLE)
    low, high, mean = float(there.min()), float(there.max()), float(there.mean(dtype=np.float64))
    decimals = (0 if x.dtype.kind in "iu" else 1) if whole else None
    return Number(name, gone, low, high, min(max(mean, low), high), decimals=decimals, grid=0 if whole else None)


def _text(value: np.generic) -> str:
    """A number of an array as it is written."""
    return str(value)


def table(values: np.ndarray, lost: np.ndarray, columns: tuple[str, ...], path: Path | str) -> Raw:
    """Rows of numbers (n, d) of any type, without kinds; lost (d,): the largest rounding error of float64 in each column.

    Raises: InputError where that is too much for a column's spread, by the rule for float32 (see `scaling.FAR`).
    """
    return Raw(columns_space(columns), _stored(values, lost, columns, path))


def _stored(values: np.ndarray, lost: np.ndarray, columns: Sequence[str], path: Path | str) -> np.ndarray:
    """The values (n, d) in the type that keeps their digits."""
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
        return np.ascontiguousarray(values, dtype)


def _table(filled: Sequence[Filled], reading: Reading, path: Path | str, separator: str, notes: Sequence[str]) -> Raw:
    """The samples of a table of these columns."""
    columns = tuple(column for column, _, _ in filled)
    n, width = len(filled[0].values), sum(column.width for column in columns)
    if not width:
        raise InputError(f"{path} holds the same values in every row: there is nothing to learn.")
    check_counts(n, width, path, 4)
    memory.require(12 * n * width, f"{path}, as values of {len(columns)} columns,", SMALLER)
    space = (Points if _is_plane(columns) else Table)((width,), schema=columns, separator=separator)
    rows, lost, labels = np.empty((n, width)), np.zeros(width), None
    for (column, x, loss), part in zip(filled, space.slices, strict=True):
        rows[:, part] = column.block(x)
        lost[part] = loss
        if column.name == reading.label_column and isinstance(column, Category):
            labels = x.astype(np.int64)
            space = replace(space, classes=column.levels)
    rows = _stored(rows, lost, space.columns, path)
    return Raw(space, rows, labels=labels, notes=(*notes, *described(space, rows)))


def _is_plane(columns: Sequence[Column]) -> bool:
    """Whether two columns are points of the plane."""
    return len(columns) == 2 and all(isinstance(c, Number) and c.missing is None for c in columns)


def described(space: Table | Points, rows: np.ndarray) -> list[str]:
    """The columns of rows (n, size) as lines: name, kind, range or categories, share of missing cells."""
    wide = max([6, *(min(24, len(column.name)) for column in space.schema[:SHOWN])])
    lines = [f"{'column':<{wide}}  {'kind':<10}  {'missing':>7}  values"]
    for column, block in list(space.blocks(rows))[:SHOWN]:
        gone = f"{block[:, 1].mean():.1%}" if column.missing is not None else ""
        if isinstance(column, Category):
            empty = [i for i, level in enumerate(column.levels) if level.strip() in kinds.MISSING]
            share = float(np.isin(column.places(block), empty).mean())
            gone = f"{share:.1%}" if share else ""
        lines.append(
            f"{short(column.name, wide):<{wide}}  {column.words:<10}  {gone:>7}  {short(column.range, 78 - wide - 23)}"
        )
    if len(space.schema) > SHOWN:
        lines.append(f"and {len(space.schema) - SHOWN:,} more columns")
    return lines


def read_as(space: Rows, path: Path, reading: Reading) -> np.ndarray:
    """The rows (n, size) of a file that has the columns of a space, in any order and beside others, encoded as there.

    Raises: InputError where a column is missing or a cell is none of its kind.
    """
    form = delimited.form_of(path)
    gone = [column.name for column in space.schema if column.name not in form.names]
    if gone:
        raise InputError(f"{path} has no column {short(gone[0])}, which the model's table has.")
    places = [form.names.index(column.name) for column in space.schema]
    parts = []
    for block in delimited.blocks(form):
        rows = np.empty((len(block.lines), space.size))
        for column, part, place in zip(space.schema, space.slices, places, strict=True):
            try:
                rows[:, part] = column.block(kinds.read(column, block.columns[place]))
            except kinds.OddCellError as error:
                line = block.lines[block.columns[place].index(error.cell)]
                what = f"line {line}, column {short(error.name)}, holds {short(error.cell)!r}"
                raise InputError(f"{path}: {what}, {error.why}.") from None
        parts.append(rows)
    return np.concatenate(parts) if parts else np.empty((0, space.size))
