"""Text: files of lines are read, drawn, measured and written, and what is no text is refused with one sentence."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import TINY, exit_code
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from PIL import Image

from minigan import evaluate, plots, sample, train
from minigan.backends import get_ops
from minigan.data import Data, load, texts
from minigan.data.spaces import Text, from_dict
from minigan.errors import InputError
from minigan.metrics import texts as measures
from minigan.metrics.suite import Suite
from minigan.metrics.verdict import verdict
from minigan.plots import Shown
from minigan.runs import checkpoint

WORDS = ["Ann", "Bo", "Zoë", "Mary Ann", "O'Neil", "李", "x" * 9]


def file_of(path: Path, lines: list[str], encoding: str = "utf-8", newline: str = "\n") -> Path:
    path.write_bytes("".join(line + newline for line in lines).encode(encoding))
    return path


def lines_of(data: Data) -> list[str]:
    """The lines of a data set, sorted."""
    assert isinstance(data.space, Text)
    return sorted(data.space.texts(np.concatenate([data.train, data.validation])))


# ------------------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", " \n\n\t \n"])
def test_lines_are_read_in_any_encoding(tmp_path: Path, encoding: str, newline: str) -> None:
    data = load(file_of(tmp_path / "w.txt", WORDS, encoding, newline))
    assert lines_of(data) == sorted(WORDS)
    alphabet = "".join(sorted(set("".join(WORDS))))
    assert data.space == Text((9, len(alphabet) + 1), alphabet=alphabet, shortest=1)
    assert data.notes == (f"{tmp_path / 'w.txt'}: 7 lines of 1 to 9 characters, {len(alphabet)} different ones",)
    assert data.train.dtype == np.uint8 and (data.train.reshape(-1, *data.space.shape).sum(axis=2) == 1).all()


def test_a_file_of_another_encoding_and_a_compressed_one_are_read(tmp_path: Path) -> None:
    names = ["Jürgen", "Zoë", "Ann", "Bo", "Cy"]
    data = load(file_of(tmp_path / "w.txt", names, "latin-1"))
    assert lines_of(data) == sorted(names) and "is not UTF-8, so it is read as Windows-1252" in data.notes[1]
    path = tmp_path / "w.txt.gz"
    path.write_bytes(gzip.compress("\n".join(names).encode()))
    assert lines_of(load(path)) == sorted(names)


def test_longer_lines_are_left_out_and_said(tmp_path: Path) -> None:
    path = file_of(tmp_path / "w.txt", [*WORDS, "q" * 20])
    data = load(path, length=8)
    assert lines_of(data) == sorted(word for word in WORDS if len(word) <= 8) and data.space.shape[0] == 8
    assert data.notes[0].endswith("; 2 longer ones are left out") and "q" not in data.space.alphabet
    assert load(path, length=1000).space.shape[0] == 20, "no longer than the longest"


def test_a_text_that_would_cost_much_is_refused_with_its_cost(tmp_path: Path) -> None:
    path = file_of(tmp_path / "w.txt", [*WORDS * 3, "abcdefghijklmnopqrstuvwxyz" * 30])
    with pytest.raises(InputError) as caught:
        load(path)
    said = "its longest line has 780 characters, of 36 different ones, which makes 28,860 values of a sample; give --length N"
    assert said in str(caught.value) and "(--length 780 takes all)" in str(caught.value)
    assert load(path, length=780).space.shape == (780, 37)
    assert len(load(path, length=9).train) > 10


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (b"", {}, "is empty"),
        (b"\n \n\t\n", {}, "holds no text: there is no line"),
        (b"abcd\n" * 9, {"length": 3}, "all 9 lines are longer than 3 characters"),
        (b"a\nb\nc\nd\n", {}, "holds 4 samples"),
        (b"same\n" * 9, {}, "holds the same line 9 times: there is nothing to learn"),
        (
            b"a\nb\tc\nd\ne\nf\n",
            {},
            "line 2 holds '\\t', which is no character of a line; a table is named .csv or .tsv",
        ),
        (b"a\nb\nc\0d\ne\nf\n", {}, "line 3 holds '\\x00'"),
        (b"a\nb\nc\nd\n\x81\x8d\xff\n", {}, "it is neither UTF-8 nor Windows-1252"),
        (b"a" * 100_000, {}, "line 1 is longer than 65,536 characters"),
        (b"a\nb\nc\nd\ne\n", {"color": "rgb"}, "--color has no effect"),
        (b"a\nb\nc\nd\ne\n", {"sample_rate": 5}, "--sample-rate has no effect"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, options: dict, words: str) -> None:
    path = tmp_path / "w.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load(path, **options)
    assert words in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("separator", [" ", "\t", ",", ";", "  "])
def test_rows_of_numbers_are_a_table(tmp_path: Path, separator: str) -> None:
    rows = [f"{i / 7:.3f}{separator}{i * i / 3:.2e}" for i in range(40)]
    path = file_of(tmp_path / "points.txt", [separator.join("xy"), *rows])
    if separator != "  ":
        data = load(path)
        assert data.space.kind == "points" and "its lines are rows of numbers: a table" in data.notes[0]
        assert train.family(str(path)) == "table"
    file_of(path, rows)
    with pytest.raises(InputError, match="header"):
        load(path)


def test_numbers_alone_are_codes_with_a_note(tmp_path: Path) -> None:
    data = load(file_of(tmp_path / "w.txt", [f"{i:04}" for i in range(50)]))
    assert data.space == Text((4, 11), alphabet="0123456789", shortest=4)
    assert "to train on them as numbers, name the file .csv" in data.notes[1]


@given(
    st.lists(st.text(max_size=12), max_size=12), st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]), st.integers(0, 12)
)
def test_any_text_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], encoding: str, length: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes("\n".join(lines).encode(encoding, "surrogatepass"))
    try:
        data = load(path, length=length)
    except InputError as error:
        assert str(error).endswith((".", "?")) and "\n" not in str(error)
    else:
        if data.space.kind == "text":
            assert all(1 <= len(line) <= (length or 12) for line in lines_of(data))
            assert from_dict(json.loads(json.dumps(data.space.to_dict())), "here") == data.space


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.txt"
    path.write_bytes(content)
    try:
        load(path)
    except InputError as error:
        assert str(error).endswith((".", "?")) and "\n" not in str(error)


# ---------------------------------------------------------------------------------------------------------- the space

SPACE = Text((4, 4), alphabet="abc", shortest=2)


@given(
    arrays_of.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(16)), elements=st.floats(-5, 5, width=32)),
)
def test_settled_rows_are_lines(x: np.ndarray) -> None:
    settled = SPACE.settle(x.copy())
    blocks = settled.reshape(-1, 4, 4)
    assert settled.dtype == x.dtype and set(np.unique(settled)) <= {0, 1} and (blocks.sum(axis=2) == 1).all()
    ended = blocks[:, :, 3] == 1
    assert not ended[:, :2].any() and (np.diff(ended.astype(int), axis=1) >= 0).all(), (
        "after an end sign all are end signs"
    )
    assert np.array_equal(SPACE.settle(settled.copy()), settled), "settled rows stay"
    assert np.array_equal(SPACE.rows(SPACE.codes(settled)), settled)
    lines = SPACE.texts(settled)
    assert all(2 <= len(line) <= 4 and set(line) <= set("abc") for line in lines)


def test_what_is_not_finite_stays_so_that_it_is_found() -> None:
    x = np.zeros((2, 16), np.float32)
    x[1, 5] = np.nan
    settled = SPACE.settle(x)
    assert np.isfinite(settled[0]).all() and np.isnan(settled[1]).all()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 6) | st.floats() | st.text("abc\n", max_size=5),
    lambda x: st.lists(x, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["alphabet", "shortest", "x"]), JSON), st.lists(st.integers(-1, 5), max_size=3))
def test_a_description_that_is_none_is_refused(details: dict, shape: list[int]) -> None:
    try:
        space = from_dict({"kind": "text", "shape": shape, "columns": [], **details}, "here")
    except InputError as error:
        assert str(error).startswith("here: ") and str(error).endswith(".")
    else:
        assert isinstance(space, Text) and len(set(space.alphabet)) == shape[1] - 1 and 1 <= space.shortest <= shape[0]


# ---------------------------------------------------------------------------------------------- the commands, together


def test_a_file_goes_through_all_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    r = np.random.default_rng(0)
    file_of(Path("names.txt"), ["".join(r.choice(list('ab,"ü '), 5)) + "z" for _ in range(100)])
    assert train.family("names.txt") == "text"
    flags = [*TINY[:-1], "--data", "names.txt", "--steps", 4, "--evaluate-every", 4, "--out", "run"]
    assert exit_code(train.main, *flags) == 0
    assert "names.txt: 100 lines of" in capsys.readouterr().out
    space = checkpoint.load("run").space
    assert isinstance(space, Text) and space.shape == (6, 8)
    assert exit_code(train.main, "--resume", "run", "--steps", 6, "--quiet") == 0
    assert exit_code(evaluate.main, "run", "-n", 100) == 0
    assert "shares of two neighbours" in capsys.readouterr().out
    for suffix in ("txt", "csv", "npz", "npy", "png"):
        assert exit_code(sample.main, "run", "-n", 300, "-o", f"s.{suffix}") == 0
    lines = Path("s.txt").read_text(encoding="utf-8").split("\n")
    assert len(lines) == 301 and lines.pop() == "" and set("".join(lines)) <= set(space.alphabet)
    with open("s.csv", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["text"], *([line] for line in lines)]
    with np.load("s.npz") as arrays:
        assert arrays["text"].tolist() == np.load("s.npy").tolist() == lines
    again = load("s.txt")
    assert set(lines_of(again)) == {line.strip() for line in lines} - {""}
    assert exit_code(sample.main, "run", "-o", "out/") == 2
    assert "text samples are written to .png, .txt, .csv, .tsv, .npz, .npy" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------ pictures


def test_lines_of_any_kind_are_drawn(tmp_path: Path) -> None:
    for length, alphabet in ((1, "a"), (12, "abc $_{}^\\é"), (300, "李ab")):
        space = Text((length, len(alphabet) + 1), alphabet=alphabet)
        x = np.random.default_rng(0).normal(size=(9, space.size)).astype(np.float32)
        odd = x.copy()
        odd[0], odd[1, 0] = np.nan, np.inf
        plots.progress(tmp_path / "a.png", space, Shown(odd, x), 5)
        plots.comparison(tmp_path / "b.png", space, Shown(x, x[:1]))
        plots.samples(tmp_path / "c.png", space, x)
        plots.neighbours(
            tmp_path / "d.png", space, [("one", x[:2], x[None, :3].repeat(2, 0)), ("two", x[:1], x[None, :3])]
        )
        for name in "abcd":
            with Image.open(tmp_path / f"{name}.png") as image:
                assert image.width == 1200 and np.asarray(image).min() < 200


# ------------------------------------------------------------------------------------------------------------ measures


def grams(lines: list[str], n: int) -> dict[str, int]:
    """Runs of n neighbours by hand, `$` being the ends of a line."""
    found: dict[str, int] = {}
    for line in lines:
        whole = line if n == 1 else f"${line}$"
        for i in range(len(whole) - n + 1):
            found[whole[i : i + n]] = found.get(whole[i : i + n], 0) + 1
    return found


LINES = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=8)


@given(LINES, LINES, st.integers(1, 3))
def test_distances_are_those_of_shares_counted_by_hand(a: list[str], b: list[str], n: int) -> None:
    codes = [np.array([["abc".find(c) % 4 for c in line.ljust(4, "$")] for line in lines]) for lines in (a, b)]
    p, q = grams(a, n), grams(b, n)
    by_hand = 0.0
    for gram in {*p, *q}:
        by_hand += abs(p.get(gram, 0) / max(1, sum(p.values())) - q.get(gram, 0) / max(1, sum(q.values()))) / 2
    np.testing.assert_allclose(measures.grams_apart(*codes, n, 3), by_hand)
    ordered = [np.sort(np.resize(list(map(len, lines)), 56 * 15)) for lines in (a, b)]  # 840 is a multiple of 1 to 8
    np.testing.assert_allclose(measures.lengths_apart(*codes, 3), np.abs(ordered[0] - ordered[1]).mean())
    assert measures.distinct(codes[0]) == len(set(a)) / len(a)


def words(n: int, seed: int) -> list[str]:
    """Words of two or three syllables."""
    r = np.random.default_rng(seed)
    onsets, nuclei = list("bdfgklmnprst"), ["a", "e", "i", "o", "u", "ai", "ou"]

    def word() -> str:
        return "".join(str(r.choice(onsets)) + str(r.choice(nuclei)) for _ in range(r.integers(2, 4)))

    return [word() for _ in range(n)]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return Suite(load(file_of(tmp_path_factory.getbasetemp() / "words.txt", words(6000, 0))), get_ops())


def garbled(lines: list[str], r: np.random.Generator) -> list[str]:
    """Every line with its letters in another order."""
    return ["".join(r.permutation(list(line))) for line in lines]


FAULTS: dict[str, Any] = {
    "none": (lambda lines, r: lines, {"No sign of mode collapse, memorisation or blur."}),
    "garbled": (garbled, {"Letters unlike the data"}),
    "one letter": (lambda lines, r: [line.replace("a", "e") for line in lines], {"Letters unlike the data"}),
    "cut": (lambda lines, r: [line[:3] for line in lines], {"Lines of another length"}),
    "same": (lambda lines, r: [lines[0]] * len(lines), {"Mode collapse"}),
    "few": (lambda lines, r: [lines[i % 300] for i in range(len(lines))], {"Repetition"}),
    "copies": (lambda lines, r: words(6000, 0)[: len(lines)], {"Memorisation"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_of_a_text_is_named(suite: Suite, name: str) -> None:
    spoil, named = FAULTS[name]
    space = suite.data.space
    assert isinstance(space, Text)
    made = spoil(words(2400, 5), np.random.default_rng(1))
    codes = np.full((len(made), space.shape[0]), len(space.alphabet))
    for code, line in zip(codes, made, strict=True):
        code[: len(line)] = [space.alphabet.index(letter) for letter in line]
    found = suite.measure(space.rows(codes).astype(np.float32))
    findings = {finding.partition(":")[0] for finding in verdict(found, suite.real, m=suite.m)}
    assert named <= findings, (findings, found)
    if name == "none":
        assert findings == named, found
        assert abs(found["known"] - suite.real["known"]) < 0.1
    if name == "copies":
        assert found["known"] > 0.8


def test_encoding_is_by_characters(tmp_path: Path) -> None:
    assert texts.encoding_of(file_of(tmp_path / "a.txt", ["a"], "utf-16")) == "utf-16"
    assert texts.encoding_of(file_of(tmp_path / "b.txt", ["ü"], "latin-1")) == "cp1252"
    assert texts.encoding_of(file_of(tmp_path / "c.txt", ["ü"])) == "utf-8-sig"
