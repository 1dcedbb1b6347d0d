"""Tables as people have them: the kinds of their columns, their exact values, and their cells again."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigan import written
from minigan.data import dates, kinds, load, own, spaces, tables
from minigan.data.columns import Category, Column, Constant, Date, Number
from minigan.data.delimited import line
from minigan.data.numerals import Numerals
from minigan.data.raw import Raw
from minigan.data.reading import Reading
from minigan.data.spaces.table import Rows
from minigan.errors import InputError

RANDOM = np.random.default_rng(0)
N = 40
X = [f"{x:.3f}" for x in RANDOM.normal(50, 9, N)]
"""A column of measured numbers, beside which another is tested."""


def saved(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def table(folder: Path, columns: dict[str, Sequence[str]], separator: str = ",") -> Path:
    """A file of these columns, with quotes where they are needed."""
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    return saved(folder, "".join(line(row, separator) for row in rows))


def beside(folder: Path, cells: Sequence[str], **reading: Any) -> Raw:
    """A column c of cells beside one of numbers."""
    return own.read(table(folder, {"c": cells, "x": X}, ";"), Reading(**reading))


def rows_of(raw: Raw) -> Rows:
    assert isinstance(raw.space, Rows)
    return raw.space


def again(raw: Raw) -> dict[str, list[str]]:
    """The cells of each column as they are written back."""
    cells = list(zip(*raw.space.cells(raw.rows), strict=True))
    return dict(zip(raw.space.header(), map(list, cells), strict=True))


def read_as(raw: Raw, path: Path) -> np.ndarray:
    """The rows of a file with the columns of a table, in the table's type."""
    return tables.read_as(rows_of(raw), path, Reading()).astype(raw.rows.dtype)


def refusal(path: Path, **reading: Any) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(InputError) as caught:
        own.read(path, Reading(**reading))
    sentence = str(caught.value)
    assert sentence.endswith((".", "?")) and "\n" not in sentence and len(sentence) < 700
    return sentence.replace(f"{path}: ", "").replace(str(path), "FILE")


# --- which kind, and the same cells again ----------------------------------------------------------------------------

DAY, BEGIN = timedelta(days=1), datetime(2019, 3, 8, 7, 5, 3)
MOMENTS = [BEGIN + i * timedelta(days=17, hours=5, minutes=7, seconds=11, milliseconds=250) for i in range(N)]


def each(*cells: str) -> list[str]:
    """These cells in turn, as many as a column has."""
    return [cells[i % len(cells)] for i in range(N)]


def moments(form: str) -> list[str]:
    return [moment.strftime(form) for moment in MOMENTS]


SAME = {
    "whole numbers": ([str(7 * i % 90) for i in range(N)], "integer"),
    "whole numbers with a point": ([f"{i * i}.0" for i in range(N)], "integer"),
    "numbers beyond float32": ([str(123456789 + 97 * i**3) for i in range(N)], "integer"),
    "money beyond float32": ([f"{13.37 * i**4:.2f}" for i in range(1, N + 1)], "continuous"),
    "decimals": ([f"{x:.2f}" for x in RANDOM.normal(size=N).round(2) + 0.0], "continuous"),
    "decimals as they come": (each("1", "2.5", "3.25", "-7", "0.125"), "continuous"),
    "decimals as Python writes them": (each("1.0", "2.5", "3.25", "-7.0", "1e-05", "1e+16"), "continuous"),
    "exponents": ([f"{x:.3e}" for x in RANDOM.normal(0, 1e-5, N)], "continuous"),
    "capital exponents": ([f"{x:.2E}" for x in RANDOM.normal(0, 1e9, N)], "continuous"),
    "thousands": ([f"{997 * i**3:,}" for i in range(1, N + 1)], "integer"),
    "thousands with decimals": ([f"{99.7 * i**3:,.2f}" for i in range(1, N + 1)], "continuous"),
    "thousands in Switzerland": ([f"{99.7 * i**3:,.2f}".replace(",", "\u2019") for i in range(1, N + 1)], "continuous"),
    "per cent": ([f"{i / 7:.2f}%" for i in range(N)], "continuous"),
    "per cent after a space": ([f"{i / 7:.2f} %" for i in range(N)], "continuous"),
    "dollars": ([f"{'-' if i % 3 else ''}${i + 1}.50" for i in range(N)], "continuous"),
    "dollars before the minus": ([f"${(-1) ** i * (i + 1)}.50" for i in range(N)], "continuous"),
    "signs": ([f"{x:+.2f}" for x in RANDOM.normal(size=N)], "continuous"),
    "typographic minus": (each("\N{MINUS SIGN}1.5", "2.5", "0.5"), "continuous"),
    "missing numbers": (each("4", "NA", "12", "8", "NA"), "integer"),
    "missing decimals": (each("4.5", "", "1.5", "8.0"), "continuous"),
    "yes and no": (each("yes", "no", "no"), "yes/no"),
    "0 and 1": (each("0", "1", "1"), "yes/no"),
    "True and False": (each("True", "False", "True"), "yes/no"),
    "one text, or nothing": (each("x", ""), "yes/no"),
    "categories": (each("red", "green", "blue"), "category"),
    "missing categories": (each("red", "green", "", "blue"), "category"),
    "categories with spaces around": (each(" a", "a", "a ", ""), "category"),
    "categories with anything in them": (each('5" nail', "a;b", "line\nbreak", "crlf\r\n", "x,y", "\t"), "category"),
    "postal codes": (each("01234", "99999", "02115"), "category"),
    "constant": (["always"] * N, "constant"),
    "empty": ([""] * N, "constant"),
    "days": (moments("%Y-%m-%d"), "date"),
    "days without a 0": ([f"{m.day}.{m.month}.{m.year}" for m in MOMENTS], "date"),
    "American days": ([f"{m.month}/{m.day}/{m.year} {m.hour}:{m.minute:02d}" for m in MOMENTS], "date"),
    "minutes": (moments("%Y-%m-%d %H:%M"), "date"),
    "seconds": (moments("%d.%m.%Y %H:%M:%S"), "date"),
    "seconds in Greenwich": (moments("%Y-%m-%dT%H:%M:%SZ"), "date"),
    "seconds in a zone": (moments("%Y-%m-%dT%H:%M:%S+02:00"), "date"),
    "milliseconds": ([m.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] for m in MOMENTS], "date"),
    "microseconds": (moments("%Y-%m-%dT%H:%M:%S.%f"), "date"),
    "AM and PM": (moments("%m/%d/%Y %I:%M %p"), "date"),
    "names of months": (moments("%d %b %Y"), "date"),
    "names of months in capitals": ([m.strftime("%d-%b-%y").upper() for m in MOMENTS], "date"),
    "months": ([f"{2001 + i // 12}-{i % 12 + 1:02d}" for i in range(N)], "date"),
    "times": ([f"{7 * i % 24:02d}:{11 * i % 60:02d}" for i in range(N)], "date"),
    "old days": ([f"{37 * i + 600:04d}-02-{i % 28 + 1:02d}" for i in range(N)], "date"),
    "the last day": (each("9999-12-31", "2024-01-05", "2023-02-07"), "date"),
    "missing days": (["" if i % 5 == 3 else text for i, text in enumerate(moments("%Y-%m-%d"))], "date"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_cells_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    cells, words = SAME[name]
    raw = beside(tmp_path, cells)
    column = rows_of(raw).schema[0]
    assert (column.name, column.words) == ("c", words)
    assert again(raw) == {"c": cells, "x": X}
    written.write(str(tmp_path / "again.csv"), raw.space, N, iter([raw.rows]))
    assert (read_as(raw, tmp_path / "again.csv") == raw.rows).all()
    assert own.read(tmp_path / "again.csv", Reading()).space == raw.space


SIMILAR = {
    "missing in several ways": (each("1", "NA", "", "nan", "7"), each("1", "", "", "", "7")),
    "nothing in several ways": (each("NA", "", "?"), [""] * N),
    "minus in two ways": (each("-1.5", "\N{MINUS SIGN}2.5", "3.5"), each("-1.5", "-2.5", "3.5")),
    "minus 0": (each("-0", "0", "1.5", "-0.0"), each("0", "0", "1.5", "0")),
    "no 0 before the point": (each(".5", "-.25", "1.75"), each("0.5", "-0.25", "1.75")),
    "nothing after the point": (each("5.", "6.", "7."), each("5", "6", "7")),
    "the same number in two ways": (each("1", "1.0"), ["1"] * N),
    "spaces around numbers": (each("5 ", "  6", "7"), each("5", "6", "7")),
    "spaces around dates": ([f"{text} " for text in moments("%Y-%m-%d")], moments("%Y-%m-%d")),
}


@pytest.mark.parametrize("name", SIMILAR)
def test_cells_that_mean_the_same_come_back_in_one_way(tmp_path: Path, name: str) -> None:
    cells, known = SIMILAR[name]
    assert again(beside(tmp_path, cells))["c"] == known


def test_values_are_exact(tmp_path: Path) -> None:
    """What the networks see: numbers, seconds since 1970, a bit for missing cells, and one value for each level."""
    days = [f"2024-03-{i % 28 + 1:02d}" for i in range(N)]
    cells = {
        "n": each("1,234", "-5", "", "7"),
        "d": days,
        "c": each("b", "a", "c"),
        "y": each("no", "yes"),
        "p": [f"{i % 9}.5 %" for i in range(N)],
        "k": ["k"] * N,
    }
    raw = own.read(table(tmp_path, cells), Reading(decimal="point"))
    space = rows_of(raw)
    assert space.columns == ("n", "n missing", "d", "c=a", "c=b", "c=c", "y=yes", "p")
    part = dict(zip((c.name for c in space.schema), space.slices, strict=True))
    assert raw.rows[:4, part["n"]].tolist() == [[1234, 0], [-5, 0], [412, 1], [7, 0]]  # 412: the mean, rounded
    first = datetime(2024, 3, 1).timestamp() - datetime(1970, 1, 1).timestamp()
    assert raw.rows[:3, part["d"]].ravel().tolist() == [first, first + 86400, first + 2 * 86400]
    assert raw.rows[:3, part["c"]].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert raw.rows[:3, part["y"]].ravel().tolist() == [0, 1, 0]
    assert raw.rows[:3, part["p"]].ravel().tolist() == [0.5, 1.5, 2.5]
    assert raw.rows[:, part["k"]].shape == (N, 0)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    cells = {
        "row": [str(i) for i in range(N)],
        "customerId": [str(7 * i + 3) for i in range(N)],
        "paid": [str(7 * i + 3) for i in range(N)],  # ends in id as well
        "token": [f"{i * 7919 % 1000:x}-{i}" for i in range(N)],
        "censored": ["<0.5" if i % 5 == 0 else f"{i}.25" for i in range(N)],
        "remark": ["y" * 2000 if i % 2 else "" for i in range(N)],
        "x": X,
    }
    raw = own.read(table(tmp_path, cells), Reading(drop="x"))
    assert raw.space.header() == ["paid"]
    assert [note for note in raw.notes if note.startswith("left out")] == [
        "left out: column row (the numbers of the rows)",
        "left out: column customerId (a different number in each row)",
        "left out: column token (40 different texts)",
        "left out: column censored (33 different texts, 80% of them numbers, but also '<0.5')",
        "left out: column remark (texts of up to 2,000 characters)",
        "left out: column x (as you said)",
    ]


def test_names_with_anything_in_them(tmp_path: Path) -> None:
    names = ["a", "a:b", "a,b", 'say "so"', "two\nlines", "", "größe; m"]
    path = table(tmp_path, dict(zip(names, [X] * 7, strict=True)))
    known = own.read(path, Reading()).space.header()
    assert known == ["a", "a:b", "a,b", 'say "so"', "two\nlines", "column 6", "größe; m"]
    asked = 'a:b:category , a,b:category,a:integer,say "so":id,two lines:category,'
    text = path.read_text().replace(f"\n{X[0]},", "\n5,")
    path.write_text(text)
    with pytest.raises(InputError, match=r"line 4, column a, holds .*, which is not a whole number"):
        own.read(path, Reading(columns=asked, drop="column 6, größe; m"))
    raw = own.read(path, Reading(columns=asked.replace("integer", "number"), drop="column 6, größe; m"))
    assert [(column.name, column.words) for column in rows_of(raw).schema] == [
        ("a", "continuous"), ("a:b", "category"), ("a,b", "category"), ("two\nlines", "category"),
    ]  # fmt: skip


def test_what_a_person_asks_for(tmp_path: Path) -> None:
    whole, codes = [str(i * i) for i in range(N)], each("1", "2", "3")
    for cells, asked, words, first in (
        (whole, "c:continuous", "continuous", "0"),
        (codes, "c:category", "category", "1"),
        (each("0", "1"), "c:integer", "integer", "0"),
        (each("01/02/2020", "05/04/2021"), "c:date=%d/%m/%Y", "date", "01/02/2020"),
        (each("Jan 02, 2020", "Mar 04, 2021"), "c:date=%b %d, %Y,x:number", "date", "Jan 02, 2020"),
        (each("20200102", "20210304"), "c:date=%Y%m%d", "date", "20200102"),
        (each("a", "b", "a", "a"), "c:common", "yes/no", "a"),
        ([*(["a"] * 300), *(["b"] * 99), "c"], "c:common", "category", "a"),
    ):
        path = table(tmp_path, {"c": cells, "x": X * (len(cells) // N) + X[: len(cells) % N]}, ";")
        raw = own.read(path, Reading(columns=asked))
        assert rows_of(raw).schema[0].words == words and again(raw)["c"][0] == first
    assert again(raw)["c"][-1] == "other"
    label = beside(tmp_path, each("b", "a", "c"), label_column="c")
    assert label.space.classes == ("a", "b", "c")
    assert label.labels is not None and label.labels[:3].tolist() == [1, 0, 2]


DAYS = moments("%d.%m.%Y")
REFUSED = {
    "a day that is none": ([*DAYS[1:], "31.02.2020"], "line 41, column c, holds '31.02.2020', but nearly all others are dates"),
    "a day in another form": ([*DAYS[1:], "2020-02-01"], "line 41, column c, holds '2020-02-01', but nearly all others are dates"),
    "a word among numbers": ([*X[1:], "high"], "line 41, column c, holds 'high', but nearly all others are numbers"),
    "days that could be months": (each("01/02/2020", "03/04/2021"), 'say --columns "c:date=%d/%m/%Y" or "c:date=%m/%d/%Y".'),
    "a comma": (each("1,234", "5,678", "9,012"), "column c holds 1,234, in which the comma can be"),
    "per cent or not": (each("1%", "2", "3"), 'numbers such as 1 and 1%; write all with the same sign, or say --drop "c".'),
    "infinity": ([*X[1:], "-inf"], "line 41, column c, holds '-inf', but values must be finite"),
    "too large": ([*X[1:], "-1e31"], "line 41, column c, holds '-1e31', but values must be finite and within 1e+30"),
    "a break in a number": ([*X[1:], "1\n2"], "line 42, column c, holds '1\\\\n2', but nearly all others are numbers"),
    "whole numbers beyond float64": ([str(10**17 + i) for i in range(N)], "beyond 2^53"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_known_is_asked_for(tmp_path: Path, name: str) -> None:
    cells, words = REFUSED[name]
    x = [str(i * i) for i in range(N)]
    assert words in refusal(table(tmp_path, {"c": cells, "x": x}, ";"))


ASKED = {
    "unknown column": ({"columns": "y:number"}, "--columns 'y:number': an entry is NAME:KIND"),
    "unknown second column": ({"columns": "x:number,y:number"}, "--columns 'y:number': an entry is NAME:KIND"),
    "no kind": ({"columns": "x"}, "--columns 'x': an entry is NAME:KIND"),
    "unknown kind": ({"columns": "x:float"}, "--columns 'x:float': the kinds are number, integer"),
    "two kinds": ({"columns": "x:number,x:integer"}, "--columns says that column x is number and integer"),
    "no format": ({"columns": "c:date=%Y-%Q"}, "%Y-%Q is no format of dates: it may hold % only before one of"),
    "a zone in a format": ({"columns": "c:date=%H:%M%z"}, "it may hold % only before one of"),
    "no part in a format": ({"columns": "c:date=day"}, "it must name a month or an hour"),
    "a part twice in a format": ({"columns": "c:date=%d%m%d"}, "each part only once"),
    "another format": ({"columns": "c:date=%Y-%m"}, "line 2, column c, holds 'b', which is no date of the form %Y-%m."),
    "no date": ({"columns": "x:date"}, "column x holds no dates that are known"),
    "no number": ({"columns": "c:number"}, "line 2, column c, holds 'b', which is not a number"),
    "not whole": ({"columns": "x:integer"}, "column x, holds '51.132', which is not a whole number."),
    "drops what is not there": ({"drop": "c,y"}, "--drop 'y': the columns of FILE are c, x, k."),
    "drops all": ({"drop": "c,x,k"}, "holds no column to train on"),
    "drops and keeps": ({"drop": "x", "columns": "x:number"}, "--drop names column x, which is number by --columns"),
    "unknown labels": ({"label_column": "y"}, "--label-column 'y': the columns of FILE are c, x, k."),
    "labels that are numbers": ({"label_column": "x", "columns": "x:number"}, "labels are categories"),
    "labels that are left out": ({"label_column": "c", "drop": "c"}, "labels are categories"),
    "one label": ({"label_column": "k"}, "holds the same label in every row"),
    "a missing label": ({"label_column": "m"}, "'' cannot be the name of a class; change it, or leave its rows out."),
    "a decimal sign that is not there": ({"decimal": "comma"}, "column x, holds '51.13', which is no number with --decimal comma"),
    "only different texts": ({"columns": "c:common"}, ""),
    "plain": ({"columns": "plain"}, "line 2, column c, holds 'b', which is not a number"),
    "nothing, plain": ({"columns": "plain"}, "line 3, column m, holds '', and --columns plain knows no missing cells"),
    "text, as images": ({"shape": (3, 1)}, "line 2, column c, holds 'b', which is not a number"),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_what_cannot_be_done_as_asked_is_refused(tmp_path: Path, name: str) -> None:
    reading, words = ASKED[name]
    cells: dict[str, Sequence[str]] = {"c": each("b", "a", "c"), "x": X, "k": ["k"] * N}
    if name == "a missing label":
        cells["m"] = each("u", "", "v")
    if name == "only different texts":
        cells["c"], words = [f"text {i}" for i in range(400)], "column c has no category of at least 1% of the rows"
        cells |= {"x": X * 10, "k": ["k"] * 400}
    if "decimal" in reading:
        cells["x"] = [x[:-1] for x in X]
    if name == "nothing, plain":
        cells = {"m": each("1", "", "2"), "x": X}
    assert words in refusal(table(tmp_path, cells), **reading)


# --- files as people bring them --------------------------------------------------------------------------------------

WEIGHT, HEIGHT = [f"{x:.1f}" for x in RANDOM.normal(70, 9, N)], [f"{x:.2f}" for x in RANDOM.normal(1.7, 0.1, N)]
AGE = [str(20 + 7 * i % 50) for i in range(N)]


def text(columns: dict[str, Sequence[str]], separator: str = ",", comma: bool = False, end: str = "\n") -> str:
    """A file without quotes; comma: the decimal sign."""
    rows = [",".join(columns).split(","), *zip(*columns.values(), strict=True)]
    lines = [separator.join(cell.replace(".", ",") if comma else cell for cell in row) for row in rows]
    return end.join(lines) + end


BODY: dict[str, Sequence[str]] = {"age": AGE, "height": HEIGHT, "weight": WEIGHT}
PLAIN, SPACED = text(BODY), "".join(f"{float(h):.18e} {float(w):.18e}\n" for h, w in zip(HEIGHT, WEIGHT, strict=True))
NUMBERS = ["integer", "continuous", "continuous"]
QUOTED = "".join(line([c.replace(".", ",") for c in row], ",") for row in csv.reader(io.StringIO(PLAIN)))
LATITUDE, INCOME = [f"52.5195{i:03d}3916328" for i in range(N)], [f"{17 * i * i + 999}.0" for i in range(N)]
SPACES = [f"{4 + i}\xa0{21 * i % 900 + 100}.4" for i in range(N)]
CASES: dict[str, tuple[str, str | bytes, list[str] | str]] = {
    "01 decimal comma of Excel": ("t.csv", "\ufeff" + text(BODY, ";", True, "\r\n"), NUMBERS),
    "01b decimal comma in quotes": ("t.csv", QUOTED, NUMBERS),
    "01c decimal comma and tabs": ("t.csv", text(BODY, "\t", True), NUMBERS),
    "02 sep= of Excel": ("t.csv", "sep=;\r\n" + text(BODY, ";", end="\r\n"), NUMBERS),
    "03 UTF-16 of Excel": ("t.csv", text(BODY, "\t", end="\r\n").encode("utf-16"), NUMBERS),
    "04 thousands": ("t.csv", text({**BODY, "weight": [f'"{57613.62 + i * 997.13:,.2f}"' for i in range(N)]}), NUMBERS),
    "05b per cent": ("t.csv", text({"price": WEIGHT, "ret": [f"{h}%" for h in HEIGHT]}), NUMBERS[1:]),
    "06b row numbers of pandas": ("t.csv", text({"Unnamed: 0": [str(i) for i in range(N)], "h": HEIGHT, "w": WEIGHT}), NUMBERS[1:]),
    "06c row numbers of R": ("t.csv", text({'""': [f'"{i + 1}"' for i in range(N)], '"h"': HEIGHT, '"w"': WEIGHT}), NUMBERS[1:]),
    "07b missing NA": ("t.csv", text({**BODY, "height": ["NA", *HEIGHT[1:]]}), NUMBERS),
    "07c missing nan": ("t.csv", text({**BODY, "height": ["nan", *HEIGHT[1:]]}), NUMBERS),
    "08 categories": ("t.csv", text({"sex": each("female", "female", "male"), "w": WEIGHT}), ["yes/no", "continuous"]),
    "08b bool": ("t.csv", text({"smoker": each("False", "True"), "w": WEIGHT}), ["yes/no", "continuous"]),
    "08c dates": ("t.csv", text({"date": moments("%Y-%m-%d"), "close": WEIGHT}), ["date", "continuous"]),
    "09c savetxt without a header": ("t.csv", SPACED, "it holds numbers, with spaces between cells"),
    "09d savetxt with a header": ("t.csv", text({"x": HEIGHT, "y": WEIGHT}, " "), NUMBERS[1:]),
    "10 .tsv": ("t.tsv", text(BODY, "\t"), NUMBERS),
    "10d .csv.gz": ("t.csv.gz", gzip.compress(PLAIN.encode()), NUMBERS),
    "11 commas behind each row": ("t.csv", PLAIN.replace("\n", ",\n"), NUMBERS),
    "11b rows of commas at the end": ("t.csv", PLAIN + ",,\n" * 5, NUMBERS),
    "13 a line break in the header": ("t.csv", PLAIN.replace("height", '"height\n(m)"'), NUMBERS),
    "14 unix times": ("t.csv", text({"t": [str(1_700_000_015 + 17 * i + i % 5) for i in range(N)], "w": WEIGHT}), NUMBERS[:2]),
    "14c coordinates": ("t.csv", text({"lat": LATITUDE, "lon": [f"4492559.{i:03d}9782255" for i in range(N)]}), NUMBERS[1:]),
    "16 whole numbers": ("t.csv", text({"age": AGE, "kids": each("1", "0", "2"), "pay": INCOME}), ["integer"] * 3),
    "49c comments": ("t.csv", "# 2024\n# units: m\n" + PLAIN, "the header must be in line 1, so remove the lines before it"),
    "49d numbers without a header": ("t.csv", "5.1,3.5,1.4,1.4\n4.3,2.7,3.0,3.6\n" * 9, "has no header"),
    "49e a title": ("t.csv", "Quarterly report,,\n,,\n" + PLAIN, "a title before the header removed"),
    "49g spaces that do not break": ("t.csv", text({"a": SPACES, "b": HEIGHT}, ";"), NUMBERS[1:]),
    "49j bars": ("t.csv", text(BODY, "|"), NUMBERS),
    "blank lines first": ("t.csv", "\n,,\n" + PLAIN, NUMBERS),
    "one column": ("t.csv", text({"weight": WEIGHT}), NUMBERS[1:2]),
    "one column with missing cells": ("t.csv", text({"weight": ['""', *WEIGHT[1:]]}), NUMBERS[1:2]),
    "old Macs": ("t.csv", text(BODY, end="\r"), NUMBERS),
    "Windows-1252": ("t.csv", text({"ort": each("Köln", "Ulm", "Jülich"), "x": AGE}).encode("cp1252"), ["category", "integer"]),
    "colons": ("t.csv", text(BODY, ":"), "between cells must be a comma, a semicolon, a tab, | or spaces"),
    "an unknown sep=": ("t.csv", "sep=^\n" + text(BODY, "^"), "cells cannot be separated by '^'"),
    "a line of sums": ("t.csv", PLAIN + "Total,,123.4\n", "line 42, column age, holds 'Total'"),
    "a line that is cut": ("t.csv", PLAIN + "31\n", "line 42 has 1 cell, but the header names 3 columns; add the others"),
    "quotes with a backslash": ("t.csv", PLAIN.replace("\n", '\n"5\\" nail",', 1), "a quote within quotes must be doubled"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_files_as_people_bring_them(tmp_path: Path, name: str) -> None:
    file, content, wanted = CASES[name]
    path = saved(tmp_path, content, file)
    if isinstance(wanted, str):
        assert wanted in refusal(path)
        return
    raw = own.read(path, Reading())
    assert [column.words for column in rows_of(raw).schema] == wanted
    out = tmp_path / f"again{'.tsv' if file.endswith('.tsv') else '.csv'}"
    written.write(str(out), raw.space, N, iter([raw.rows]))
    assert (read_as(raw, out) == raw.rows).all()
    if file == "t.csv" and wanted == NUMBERS and name[:2] in ("01", "02", "03", "04", "07", "10", "49"):
        encoding = "utf-16" if name.startswith("03") else "utf-8-sig"
        came = path.read_bytes().decode(encoding).replace("\r\n", "\n").removeprefix("sep=;\n")
        assert out.read_text() == came
    if name.startswith("14"):
        assert len(np.unique(raw.rows[:, -2 if name == "14 unix times" else -1])) == N


def test_a_table_of_pixels_says_that_it_may_be_one_of_images(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 256, (N, 64))
    head = ",".join(["label", *(f"pixel{i}" for i in range(64))])
    body = "".join(f"{i % 10},{','.join(map(str, row))}\n" for i, row in enumerate(pixels.tolist()))
    raw = own.read(saved(tmp_path, f"{head}\n{body}"), Reading())
    assert raw.space.kind == "table" and any("--shape 8 8" in note for note in raw.notes)
    assert "--shape 8 8" in refusal(saved(tmp_path, body))  # without a header
    for content in (f"{head}\n{body}", body):
        raw = own.read(saved(tmp_path, content), Reading(shape=(8, 8)))
        assert raw.space.kind == "image" and raw.labels is not None and (raw.rows == pixels).all()


# --- any table -------------------------------------------------------------------------------------------------------

ROWS = 24
SIGNS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")
SPECIAL = st.sampled_from(list(",;\t| \"'\n\r%:#=é"))
TEXTS = st.text(st.one_of(SPECIAL, SIGNS), max_size=12)
MOMENT = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))


def listed(cells: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(cells, min_size=ROWS, max_size=ROWS)


@st.composite
def numbers(draw: st.DrawFn, decimal: str, thousands: str) -> list[str]:
    """Numbers in one of the ways in which people and programs write them."""
    form = Numerals(
        decimals=(decimals := draw(st.integers(0, 9))),
        fewest=draw(st.sampled_from([0, min(1, decimals), decimals])),
        decimal=decimal,
        thousands=thousands,
        before=(before := draw(st.sampled_from(["", "", "$", "€ "]))),
        negative=draw(st.sampled_from([f"-{before}", f"{before}-", f"\N{MINUS SIGN}{before}"])),
        after=draw(st.sampled_from(["", "", "%", " %"])),
    )
    largest = 10 ** draw(st.integers(1, 15 - decimals))
    values = draw(st.lists(st.integers(-largest, largest), min_size=ROWS, max_size=ROWS))
    return form.texts(np.array(values) / 10**decimals)


@st.composite
def floats(draw: st.DrawFn, decimal: str) -> list[str]:
    """As programs write numbers that float32 holds: with the fewest digits, or all with an exponent."""
    values = draw(
        st.lists(st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False), min_size=ROWS, max_size=ROWS)
    )
    form = draw(st.sampled_from(["", ".3e", ".6E"]))
    found = (f"{v + 0.0:{form}}" if form else repr(float(str(np.float32(v + 0.0)))) for v in values)
    return [cell.replace(".", decimal) for cell in found]


@st.composite
def dated(draw: st.DrawFn) -> tuple[list[str], str]:
    """Dates in one format, and the format."""
    form = draw(st.sampled_from(kinds.FORMATS))
    flags = {letter: draw(st.sampled_from(["", "-"])) for letter in "dmHI"}
    flags |= {letter: draw(st.sampled_from(["", "^"])) for letter in "bB"}
    for letter, flag in flags.items():
        form = form.replace(f"%{letter}", f"%{flag}{letter}")
    form = form.replace("%f", f"%{draw(st.integers(1, 3))}f") + (
        draw(st.sampled_from(["", "Z"])) if ":" in form else ""
    )
    low = datetime(1970, 1, 1) if "%y" in form else datetime(1, 1, 1)
    high = datetime(2068, 1, 1) if "%y" in form else datetime(9999, 12, 31)
    values = draw(st.lists(st.datetimes(low, high), min_size=ROWS, max_size=ROWS))
    seconds = dates.rounded(
        np.array([(v - datetime(1970, 1, 1)) / timedelta(seconds=1) for v in values]), dates.step(form)
    )
    return dates.texts(seconds, form), form


@st.composite
def any_table(draw: st.DrawFn) -> tuple[dict[str, list[str]], str, Reading, str, str]:
    """Columns of any kinds, the separator, how they are read, the ends of lines, and a missing cell's text."""
    decimal, thousands = draw(
        st.sampled_from([(".", ""), (".", ","), (",", ""), (",", "."), (".", "'"), (",", "\xa0")])
    )
    columns, asked = {"first": [f"{i}{decimal}5" for i in range(ROWS)]}, []  # no row is empty
    for i in range(draw(st.integers(1, 5))):
        name, kind = f"c{i}{draw(TEXTS)}".strip(), draw(st.sampled_from("nfdtyk"))
        name = "".join(sign for sign in name if sign.isprintable() or sign in "\n\t").strip()
        if kind == "n":
            cells = draw(numbers(decimal, thousands))
        elif kind == "f":
            cells = draw(floats(decimal))
        elif kind == "d":
            cells, form = draw(dated())
            asked.append(f"{name}:date={form}")
        elif kind == "k":
            cells = [draw(TEXTS)] * ROWS
        else:
            levels = draw(st.lists(TEXTS, min_size=2, max_size=2 if kind == "y" else 6, unique=True))
            cells = draw(listed(st.sampled_from([f"x{level}" for level in levels])))
        if draw(st.booleans()) and kind != "k":
            gone = draw(st.sampled_from(sorted(kinds.MISSING)))
            cells = [gone if draw(st.integers(0, 4)) == 0 else cell for cell in cells]
        columns[name] = cells
    reading = Reading(decimal="comma" if decimal == "," else "point", columns=",".join(asked))
    return (
        columns,
        draw(st.sampled_from([",", ";", "\t", "|", " "])),
        reading,
        draw(st.sampled_from(["\n", "\r\n"])),
        decimal,
    )


def quoted(cells: Sequence[str], separator: str, end: str) -> str:
    """A line in which no cell can be taken for several, whatever the separator."""
    return (
        separator.join('"' + c.replace('"', '""') + '"' if set(c) & set(',;\t| "\r\n') or not c else c for c in cells)
        + end
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@settings(max_examples=150)
@given(made=any_table())
def test_any_table_is_read_and_written_as_it_was(place: Path, made: Any) -> None:
    columns, separator, reading, end, _ = made
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    path = saved(place, "".join(quoted(row, separator, end) for row in rows))
    raw = own.read(path, reading)
    space = rows_of(raw)
    assert space.separator == separator and list(columns) == space.header()
    for name, cells in again(raw).items():
        assert cells == columns[name], next((a, b) for a, b in zip(cells, columns[name], strict=True) if a != b)
    assert spaces.from_dict(json.loads(json.dumps(space.to_dict())), "here") == space
    fitted = space.fitted(raw.rows)
    assert spaces.from_dict(json.loads(json.dumps(fitted.to_dict())), "here") == fitted
    out = place / "out.csv"
    written.write(str(out), space, ROWS, iter([raw.rows]))
    assert (read_as(raw, out) == raw.rows).all() and (read_as(raw, path) == raw.rows).all()
    for known in (space, fitted):
        assert (known.settle(raw.rows.astype(np.float64)).astype(raw.rows.dtype) == raw.rows).all()


# --- descriptions in checkpoints -------------------------------------------------------------------------------------

SCHEMA = (
    Number("n", "NA", -5, 7.5, 1.25, decimals=2, fewest=1, decimal=",", before="$", negative="-$", grid=2),
    Number("few", None, 0, 2, 1, 0.0, (0.0, 1.0, 2.0), (0.5, 0.25, 0.25), decimals=0, grid=0),
    Number("open"),
    Date("d", "", 0, 86400 * 9, 86400, 0.1, format="%-d.%-m.%Y", step=86400),
    Category("c", None, ("", "a", "b\nc"), shares=(0.5, 0.25, 0.25)),
    Category("y", None, ("other", "x"), True),
    Constant("k", None, "x" * 1000),
)
SPACE = Rows((sum(column.width for column in SCHEMA),), schema=SCHEMA, separator=";")
TABLE = spaces.Table(SPACE.shape, schema=SCHEMA, separator=";")


def test_a_table_is_described_in_json_and_back() -> None:
    described = json.loads(json.dumps(TABLE.to_dict()))
    assert spaces.from_dict(described, "here") == TABLE
    assert len(json.dumps(described["schema"][2])) < 40  # what is usual is not written: tables may have many columns


@pytest.mark.parametrize("column", range(len(SCHEMA)))
def test_damaged_descriptions_are_refused(column: int) -> None:
    """Any value of another type, lone surrogates, numbers that are none, and other names."""
    good = TABLE.to_dict()
    values = good["schema"][column]
    for name in (*values, "kind", "more"):
        for bad in (None, True, 3, -1, 0.5, float("nan"), "\ud800", "x" * 1001, [], ["\ud800"], [[1]], {"a": 1}):
            damaged = json.loads(json.dumps(good))
            damaged["schema"][column][name] = bad
            try:
                space = spaces.from_dict(damaged, "here")
            except InputError as error:
                assert str(error).startswith("here: ") and str(error).endswith(".")
                continue
            x = space.settle(np.random.default_rng(0).normal(size=(3, space.size)))
            assert all(line(cells, ";").encode() for cells in space.cells(x))  # what is taken can be used
    for name in ("kind", "name", "levels"):
        damaged = json.loads(json.dumps(good))
        if damaged["schema"][column].pop(name, None) is not None:
            with pytest.raises(InputError, match="damaged"):
                spaces.from_dict(damaged, "here")


def test_descriptions_that_do_not_fit_are_refused() -> None:
    good = TABLE.to_dict()
    for change in (
        {"schema": []}, {"schema": good["schema"][1:]}, {"schema": [*good["schema"][:-1], good["schema"][0]]},
        {"schema": None}, {"separator": ""}, {"separator": "x"}, {"separator": None}, {"shape": [3]}, {"more": 1},
    ):  # fmt: skip
        with pytest.raises(InputError, match="^here: "):
            spaces.from_dict(good | change, "here")


# --- what samples become ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(place: Path) -> Raw:
    """A table with a column of each kind, of 200 rows."""
    n, draw = 200, np.random.default_rng(5)
    columns = {
        "number": [f"{x:.1f}" for x in draw.normal(50, 9, n)],
        "whole": [str(v) for v in draw.integers(-3, 4, n)],
        "gone": [f"{x:.2f}" if p else "" for x, p in zip(draw.normal(size=n), draw.random(n) > 0.2, strict=True)],
        "day": [f"2024-{v // 28 + 1:02d}-{v % 28 + 1:02d}" for v in draw.integers(0, 300, n)],
        "month": [f"{2000 + v // 12}-{v % 12 + 1:02d}" if v % 7 else "NA" for v in draw.integers(0, 200, n)],
        "level": draw.choice(["a", "b", "c", ""], n, p=[0.5, 0.3, 0.15, 0.05]).tolist(),
        "yes": draw.choice(["no", "yes"], n, p=[0.9, 0.1]).tolist(),
        "same": ["x"] * n,
    }
    raw = own.read(table(place, columns), Reading())
    assert [type(column) for column in rows_of(raw).schema] == [Number] * 3 + [Date] * 2 + [Category] * 2 + [Constant]
    return raw


def possible(column: Column, block: np.ndarray) -> bool:
    """Whether a settled block is one that cells can have."""
    if isinstance(column, Category):
        ones = block if column.width == 1 else block.sum(axis=1)
        return bool(np.isin(block, [0, 1]).all() and (column.width == 1 or (ones == 1).all()))
    if not isinstance(column, Number | Date):
        return block.size == 0
    there = block[:, 0] if column.missing is None else block[block[:, 1] == 0, 0]
    bits = column.missing is None or (
        np.isin(block[:, 1], [0, 1]).all() and (block[block[:, 1] == 1, 0] == column.fill).all()
    )
    read = kinds.read(column, column.texts(there)) if len(there) else there
    within = (column.low <= there).all() and (there <= column.high).all()
    return bool(bits and within and np.allclose(read, there, rtol=1e-12))


@given(seed=st.integers(0, 1 << 30), scale=st.sampled_from([0.3, 3.0, 1e6, 1e29]))
def test_what_is_settled_is_possible_and_stays(mixed: Raw, seed: int, scale: float) -> None:
    """Any numbers become rows that could have been read, before and after the kinds know training rows."""
    draw, space = np.random.default_rng(seed), rows_of(mixed)
    spread = mixed.rows.std(axis=0) + 0.1
    x = mixed.rows.mean(axis=0) + scale * spread * draw.normal(size=(50, space.size))
    x = np.clip(x, -9e29, 9e29)
    for known in (space, rows_of(mixed).fitted(mixed.rows.astype(np.float64))):
        settled = known.settle(x.copy())
        assert all(possible(column, block) for column, block in known.blocks(settled))
        assert (known.settle(settled.copy()) == settled).all()
        calibrated = known.calibrated(x)
        assert all(possible(column, block) for column, block in calibrated.blocks(calibrated.settle(x.copy())))


def test_without_clipping_values_may_leave_what_was_seen(mixed: Raw) -> None:
    space = rows_of(mixed).unclipped()
    x = mixed.rows.astype(np.float64)
    x[:, space.slices[0]] += 1000
    x[:, space.slices[3]] = 1e29  # years end, also without a largest date
    cells = list(zip(*space.cells(space.settle(x)), strict=True))
    assert min(map(float, cells[0])) > 1000 and set(cells[3]) == {"9999-12-31"}


@given(seed=st.integers(0, 1 << 30))
def test_cells_are_as_frequent_as_in_training_rows(mixed: Raw, seed: int) -> None:
    """Within one row for each level, each value of few, and missing cells; whatever the generator's values are."""
    space, draw = rows_of(mixed).fitted(mixed.rows), np.random.default_rng(seed)
    n = 1000
    x = draw.normal(draw.normal(size=space.size), draw.uniform(0.1, 3), (n, space.size))
    made = space.calibrated(x).settle(x.copy())
    for column, part in zip(space.schema, space.slices, strict=True):
        if column.counts:
            known = mixed.rows[:, part]
            if isinstance(column, Category):
                shares = known.mean(axis=0), made[:, part].mean(axis=0)
            elif column.missing is not None:
                shares = known[:, 1].mean(axis=0), made[:, part][:, 1].mean(axis=0)
            else:
                assert isinstance(column, Number) and column.values == (-3, -2, -1, 0, 1, 2, 3)
                shares = tuple((x[:, part] == column.values).mean(axis=0) for x in (mixed.rows, made))
            assert np.abs(shares[0] - shares[1]).max() <= 1.001 / n, column.name


def test_what_is_not_finite_stays_visible(mixed: Raw) -> None:
    space = rows_of(mixed)
    for bad in (np.nan, np.inf, -np.inf, 2e30):
        for j in range(space.size):
            x = mixed.rows[:3].astype(np.float64)
            x[1, j] = bad
            settled = space.settle(x)
            assert np.isnan(settled[1]).all() and np.isfinite(settled[[0, 2]]).all()


# --- numbers and dates -----------------------------------------------------------------------------------------------


@given(moment=MOMENT, form=st.sampled_from(kinds.FORMATS))
def test_dates_are_those_of_datetime(moment: datetime, form: str) -> None:
    if "%y" in form:
        moment = moment.replace(year=1970 + moment.year % 99)
    text = moment.strftime(form.replace("%Y", f"{moment.year:04d}"))
    known = datetime.strptime(text, form)
    (seconds,) = dates.seconds([text], form)
    if "%Y" in form or "%y" in form:
        assert seconds == (known - datetime(1970, 1, 1)) / timedelta(seconds=1)
        near = abs(seconds) < 2**33 or "%f" not in form  # farther away float64 has no microseconds
        assert not near or dates.texts(np.array([seconds]), form) == [text]
    else:
        assert dates.texts(np.array([seconds]), form) == [text]


def test_days_and_times_that_are_none() -> None:
    for text, form in (
        ("2023-02-29", "%Y-%m-%d"), ("2024-13-01", "%Y-%m-%d"), ("2024-00-01", "%Y-%m-%d"), ("2024-01-00", "%Y-%m-%d"),
        ("0000-01-01", "%Y-%m-%d"), ("2024-1-1 ", "%Y-%m-%d"), ("24:00", "%H:%M"), ("12:60", "%H:%M"), ("1:5", "%H:%M"),
        ("0:30 AM", "%I:%M %p"), ("13:30 PM", "%I:%M %p"), ("2023366", "%Y%j"), ("2024367", "%Y%j"), ("2024000", "%Y%j"),
        ("1 Fbr 2024", "%d %b %Y"), ("", "%H:%M"), ("١٢:٠٠", "%H:%M"),
    ):  # fmt: skip
        assert np.isnan(dates.seconds([text], form)).all(), text
    assert not np.isnan(dates.seconds(["2024-02-29", "9999-12-31", "0001-1-1"], "%Y-%m-%d")).any()


def test_a_test_file_is_read_by_the_model(mixed: Raw, place: Path) -> None:
    """Its columns in any order and beside others; cells of another kind are named."""
    space, head = rows_of(mixed), mixed.space.header()
    cells = [list(row) for row in mixed.space.cells(mixed.rows[:6])]
    turned = [[*reversed(row), "more"] for row in (head, *cells)]
    path = saved(place, "".join(line(row, "|") for row in turned), "test.csv")
    assert (tables.read_as(space, path, Reading()) == mixed.rows[:6]).all()
    for name, bad in (
        ("number", "many"), ("number", ""), ("number", "1,5"), ("number", "nan"), ("number", "inf"), ("number", "1_0"),
        ("number", "1e31"), ("number", "1\n2"), ("gone", "x"), ("day", "2024-02-30"), ("day", ""), ("level", "z"),
        ("same", "y"),
    ):  # fmt: skip
        rows = [list(row) for row in cells]
        rows[3][head.index(name)] = bad
        path = saved(place, "".join(line(row, ",") for row in (head, *rows)), "bad.csv")
        with pytest.raises(InputError) as caught:
            tables.read_as(space, path, Reading())
        words = f"line {6 if chr(10) in bad else 5}, column {name}, holds "
        assert words in str(caught.value) and "where the model knows" in str(caught.value)
    with pytest.raises(InputError, match="has no column number, which the model's table has"):
        tables.read_as(space, saved(place, "a\n1\n", "other.csv"), Reading())
    plain = spaces.Table((3,), ("a", "b", "c"))
    assert tables.read_as(plain, saved(place, "b,c,a\n1,2,3\n", "plain.csv"), Reading()).tolist() == [[3, 1, 2]]


def test_common_categories_are_found_in_any_order_of_the_rows(tmp_path: Path) -> None:
    """Also where there are more different texts than are kept, and the frequent ones come last."""
    rare = [f"r{i}" for i in range(kinds.DISTINCT + 9)]
    cells = [*rare, *(["late"] * 2000)]
    path = saved(tmp_path, "c;x\n" + "".join(f"{cell};{i % 97}\n" for i, cell in enumerate(cells)))
    (category, _) = rows_of(own.read(path, Reading(columns="c:common"))).schema
    assert isinstance(category, Category) and category.levels == ("late", "other") and category.joined
    assert kinds.read(category, ["late", "never seen"]).tolist() == [0, 1]
    assert "c has more than 65," in refusal(path, columns="c:category")
    assert "(more than 65," in "".join(own.read(path, Reading()).notes)


def test_one_word_far_down_in_a_column_of_numbers_is_found(tmp_path: Path) -> None:
    body = "".join(f"{i * i % 99991}.25;{i % 97}\n" for i in range(20_000))
    path = saved(tmp_path, f"c;x\n{body}high;5\n{body}")
    assert "line 20002, column c, holds 'high', but nearly all" in refusal(path)


COST = """
import sys, time
from minigan.data import load
began = time.process_time()
data = load(sys.argv[1])
status = open("/proc/self/status").read()  # ru_maxrss would begin at the peak of the process that started this one
print(time.process_time() - began, int(status.split("VmHWM:")[1].split()[0]) / 1024, data.train.shape)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux shows it")
def test_a_hundred_thousand_rows_take_little_time_and_memory(tmp_path: Path) -> None:
    """2,000,000 cells of all kinds: 2 s and 210 MB where the machine is not busy with other things."""
    n, draw = 100_000, np.random.default_rng(0)
    day = draw.integers(0, 3000, n).astype("datetime64[D]").astype(str).tolist()
    moment = draw.integers(0, 3000 * 86400, n).astype("datetime64[s]").astype(str).tolist()
    columns: list[Sequence[object]] = [day, [text.replace("T", " ") for text in moment], ["const"] * n]
    columns += [[f"{x:.{k}f}" for x in draw.normal(50, 9, n).tolist()] for k in (1, 2, 3, 4, 6)]
    columns += [draw.integers(0, high, n).tolist() for high in (2, 9, 90, 10**6)]
    columns += [draw.choice(levels, n).tolist() for levels in (["yes", "no"], list("abcdefgh"), ["True", "False", ""])]
    columns += [[f"level {v}" for v in draw.integers(0, 99, n).tolist()], [f"{v}%" for v in draw.integers(0, 99, n)]]
    columns += [["" if p < 0.2 else f"{p:.3f}" for p in draw.random(n).tolist()], draw.random(n).tolist()]
    columns += [[f"u{v:x}-{v % 7}" for v in draw.integers(0, 1 << 60, n).tolist()]]
    assert len(columns) == 20
    path = tmp_path / "large.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([[f"c{i}" for i in range(20)], *zip(*columns, strict=True)])
    result = subprocess.run([sys.executable, "-c", COST, str(path)], capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, result.stdout.split()[:2])
    assert seconds < 6 and megabytes < 300  # the limit of time is wide, for shared machines


def test_an_array_keeps_its_whole_numbers() -> None:
    """Numbers of an array have kinds as well; the array itself stays as it is."""
    x = np.stack([np.arange(N) ** 4 * 7919, np.arange(N) % 5], axis=1)
    before = x.copy()
    data = load(x)
    assert (x == before).all() and data.train.dtype == np.float64
    assert sorted(data.train[:, 0].tolist() + data.validation[:, 0].tolist()) == sorted(map(float, x[:, 0]))
    y = RANDOM.normal(size=(N, 3)).astype(np.float32)
    before = y.copy()
    assert load(y).train.dtype == np.float32 and (y == before).all()
