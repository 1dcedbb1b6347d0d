"""Tables: from text files of cells, and from arrays (n, d), whose columns are all numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigan import memory
from minigan.data import delimited, kinds, labels, pixels
from minigan.data.columns import Category, Column, Constant, Number, Scaled, split
from minigan.data.delimited import Block, Form
from minigan.data.kinds import Draft, Left, Survey
from minigan.data.labels import Labels
from minigan.data.raw import MAX_VALUE, SMALLER, WHOLE, Raw, check_counts
from minigan.data.reading import Reading
from minigan.data.scaling import FAR, storage
from minigan.data.spaces import Points, Table, columns_space
from minigan.data.spaces.table import Rows
from minigan.errors import InputError, short

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
    if reading.shape:
        return _images(form, reading)
    plain = reading.columns == PLAIN
    asked = dict.fromkeys(form.names, "number") if plain else _asked(reading, form.names, path)
    surveys, n = _surveyed(form, asked)
    drafts = _decided(form, surveys, reading)
    if plain and (gone := next((draft for draft in drafts if draft.gone), None)):
        line, cell = min((_line_of(form, form.names.index(gone.name), cell), cell) for cell in gone.gone)
        why = "and --columns plain knows no missing cells; leave that out"
        raise InputError(_sentence(path, line, gone.name, cell, why))
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
    words = [f"left out: column {short(draft.name)} ({draft.why or 'as you said'})" for draft in left]
    if all(isinstance(f.column, Number) for f in filled) and len(filled) >= LEAST_PIXELS:
        words += _hints([f for f in filled if f.column.name not in LABELS], path)
    if not filled:
        apart = "; between cells must be a comma, a semicolon, a tab, | or spaces" if len(form.names) == 1 else ""
        raise InputError(f"{path} holds no column to train on: {'; '.join(words)}{apart}.")
    return _table(filled, reading, path, form.separator, [*form.notes, *words])


def _surveyed(form: Form, asked: dict[str, str]) -> tuple[list[Survey], int]:
    """What is known of each column, and the number of rows; asked: kinds by the names of columns."""
    surveys = [Survey(name, asked.get(name, "")) for name in form.names]
    n = checked = 0
    for block in delimited.blocks(form):
        n += len(block.lines)
        if n > 1.1 * checked:  # asking takes as long as reading some rows
            memory.require(8 * n * len(surveys), f"{form.path}, of which {n:,} rows have been read,", SMALLER)
            checked = n
        for survey, cells in zip(surveys, block.columns, strict=True):
            survey.see(cells)
    check_counts(n, len(surveys), form.path, 0)
    return surveys, n


def _decided(form: Form, surveys: Sequence[Survey], reading: Reading) -> list[Draft]:
    """A draft of each column. Raises: InputError."""
    try:
        return kinds.decide(surveys, reading.decimal, form.path)
    except kinds.OddCellError as error:
        line = _line_of(form, form.names.index(error.name), error.cell)
        raise InputError(_sentence(form.path, line, error.name, error.cell, error.why)) from None


def _sentence(path: object, line: int, column: str, cell: str, why: str) -> str:
    return f"{path}: line {line}, column {short(column)}, holds {short(cell)!r}, {why}."


def _images(form: Form, reading: Reading) -> Raw:
    """Rows of pixels, perhaps with a column of labels beside them, as images."""
    labelled = next((name for name in (reading.label_column, *LABELS) if name in form.names), "")
    asked = {name: "category" if name == labelled else "number" for name in form.names}
    surveys, n = _surveyed(form, asked)
    drafts = _decided(form, surveys, reading)
    values, _ = _values(form, drafts, n)
    rows = np.stack([x for x, name in zip(values, form.names, strict=True) if name != labelled], axis=1)
    classes = None
    if labelled:
        place = form.names.index(labelled)
        column = drafts[place].column(values[place])
        levels = column.levels if isinstance(column, Category) else (column.range,)
        classes = np.array(levels)[values[place].astype(np.int64)]
    raw = pixels.from_rows(rows, classes, reading, form.path)
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
            except ValueError:
                raise InputError(_fault(form, draft, block, cells)) from None
            unusable = np.abs(found) > MAX_VALUE
            if unusable.any():
                i = int(unusable.argmax())
                why = f"but values must be finite and within {MAX_VALUE:g}"
                raise InputError(_sentence(form.path, block.lines[i], draft.name, cells[i], why))
            values[j][at : at + len(cells)] = found
            lost[j] = max(lost[j], draft.lost(cells, found))
        at += len(block.lines)
    return values, lost


def _fault(form: Form, draft: Draft, block: Block, cells: Sequence[str]) -> str:
    """The sentence for the first cell of a block that a draft cannot read."""
    for line, cell in zip(block.lines, cells, strict=True):
        try:
            draft.values([cell])
        except ValueError as why:
            return _sentence(form.path, line, draft.name, cell, str(why))
    raise AssertionError("a cell that cannot be read is found")


def _asked(reading: Reading, names: Sequence[str], path: object) -> dict[str, str]:
    """The kinds that a person asks for, by the names of columns.

    Raises: InputError for columns and kinds that are not known, and for a column of two kinds.
    """
    there = f"the columns of {path} are {short(', '.join(names), 200)}"
    asked: dict[str, str] = {}
    for name, text in _entries(reading.columns if reading.columns != PLAIN else "", names, ":"):
        kind = text.strip(", ")
        try:
            kinds.check_kind(kind)
        except ValueError as why:
            unknown = kind.partition(",")[2].strip()
            if unknown or not name:
                example = f'an entry is NAME:KIND, as in "{short(names[0])}:category"'
                raise InputError(f"--columns {short(unknown or kind)!r}: {example}, and {there}.") from None
            raise InputError(f"--columns {short(f'{name}:{kind}')!r}: {why}.") from None
        if asked.setdefault(name, kind) != kind:
            raise InputError(f"--columns says that column {short(name)} is {asked[name]} and {kind}; say one of them.")
    for name, text in _entries(reading.drop, names, r"(?=,|$)"):
        unknown = text.strip(", ")
        if unknown:
            raise InputError(f"--drop {short(unknown)!r}: {there}.")
        if asked.setdefault(name, "ignore") not in ("ignore", "id"):
            raise InputError(
                f"--drop names column {short(name)}, which is {asked[name]} by --columns; say one of them."
            )
    if reading.label_column:
        name = _known(names).get(" ".join(reading.label_column.split()), "")
        if not name:
            raise InputError(f"--label-column {short(reading.label_column)!r}: {there}.")
        if asked.setdefault(name, "category") not in ("category", "common"):
            raise InputError(
                f"--label-column {short(name)}: labels are categories, but the column is said to be {asked[name]}; say one of them."
            )
    return asked


def _known(names: Sequence[str]) -> dict[str, str]:
    """The names of columns by what people write for them, a space in place of line breaks."""
    return {" ".join(name.split()): name for name in names}


def _entries(text: str, names: Sequence[str], after: str) -> list[tuple[str, str]]:
    """The columns in a list that is separated by commas, which names may hold as well, and the text that follows each.

    after: a pattern of what must follow a name. Text before the first column is an entry without a name.
    """
    text = " ".join(text.split())
    known = {given: name for given, name in _known(names).items() if given in text}
    pattern = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    found = list(re.finditer(rf"(?:^|,) ?({pattern}) ?{after}", text)) if known else []
    starts = [match.start() for match in found] + [len(text)]
    entries = [(known[match[1]], text[match.end() : end]) for match, end in zip(found, starts[1:], strict=True)]
    before = text[: starts[0]].strip(", ")
    return [("", before), *entries] if before else entries


_ID = re.compile(r"(^|[\W_])(?i:id|uuid|guid)$|[a-z]I[Dd]$|^(?i:index|unnamed: 0|row)$")


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
        for name, loss, spread in zip(columns, lost, scale, strict=True):
            _check_loss(name, loss, spread, path)
        memory.require(values.size * np.dtype(dtype).itemsize, f"{path}, divided into parts,", SMALLER)
        return np.ascontiguousarray(values, dtype)


def _check_loss(name: str, lost: float, scale: float, path: Path | str) -> None:
    """Raise InputError where a column's rounding error in float64 is too much for its spread."""
    if lost > FAR * 2.0**-24 * scale:
        raise InputError(
            f"{path}: column {short(name)} holds whole numbers beyond 2^53 = {WHOLE:,} that float64 moves by up to {lost:.0f}, "
            f"too much for a spread of {scale:.3g}; subtract a number from the column, or leave it out."
        )


def _table(filled: Sequence[Filled], reading: Reading, path: Path | str, separator: str, notes: Sequence[str]) -> Raw:
    """The samples of a table of these columns."""
    columns = tuple(column for column, _, _ in filled)
    n, width = len(filled[0].values), sum(column.width for column in columns)
    if not width:
        raise InputError(f"{path} holds the same values in every row: there is nothing to learn.")
    check_counts(n, width, path, 4)
    space = (Points if _is_plane(columns) else Table)((width,), schema=columns, separator=separator)
    dtype = np.dtype(np.float64 if space.fine else np.float32)
    for column, x, loss in filled:
        if isinstance(column, Scaled):
            wide, scale = storage(x[~np.isnan(x)].reshape(-1, 1))
            _check_loss(column.name, loss, scale[0], path)
            dtype = max(dtype, np.dtype(wide))
    memory.require((8 + dtype.itemsize) * n * width, f"{path}, as values of {len(columns)} columns,", SMALLER)
    rows = np.empty((n, width), dtype)
    with np.errstate(all="ignore"):  # values too small for float32, which become 0
        for (column, x, _), part in zip(filled, space.slices, strict=True):
            column.encode(x, rows[:, part])
    raw = Raw(space, rows, notes=(*notes, *described(space, rows)))
    name = _known([column.name for column in columns]).get(" ".join(reading.label_column.split()))
    return raw if name is None else _labelled(raw, next(f for f in filled if f.column.name == name), path)


def _labelled(raw: Raw, label: Filled, path: Path | str) -> Raw:
    """Rows with one of their columns as labels. Raises: InputError."""
    name = short(label.column.name)
    if not isinstance(label.column, Category):
        raise InputError(f"--label-column {name}: {path} holds the same label in every row; leave --label-column out.")
    try:
        labels.check_names(label.column.levels)
    except ValueError as why:
        raise InputError(
            f"--label-column {name}: {path} cannot have such labels: {why}; change it, or leave its rows out."
        ) from None
    return Labels(label.values.astype(np.int64), label.column.levels).beside(raw)


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
            gone = f"{np.isin(column.places(block), empty).mean():.1%}" if empty else ""
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
    columns = space.schema or tuple(Number(name) for name in space.columns)
    place = {name: i for i, name in enumerate(form.names)}
    gone = next((column.name for column in columns if column.name not in place), None)
    if gone is not None:
        raise InputError(f"{path} has no column {short(gone)}, which the model's table has.")
    parts = []
    for block in delimited.blocks(form):
        rows = np.empty((len(block.lines), space.size))
        for column, part in zip(columns, split(columns), strict=True):
            cells = block.columns[place[column.name]]
            try:
                column.encode(kinds.read(column, cells), rows[:, part])
            except kinds.OddCellError as error:
                line = block.lines[cells.index(error.cell)]
                raise InputError(_sentence(path, line, error.name, error.cell, error.why)) from None
        parts.append(rows)
    return np.concatenate(parts) if parts else np.empty((0, space.size))
