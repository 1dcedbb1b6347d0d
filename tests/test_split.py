"""`python -m minigan.split` and `evaluate --test`: what was held out, written and used again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import exit_code

from minigan import evaluate, split, train
from minigan.data import load

TINY = ("--hidden", 8, "--batch-size", 8, "--steps", 2, "--quiet")
ROWS = [f"{i},{i * i / 10:.1f},{'abc'[i % 3]}" for i in range(100)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("n,square,letter\n" + "\n".join(ROWS) + "\n")
    return tmp_path


def run(*flags: object) -> None:
    assert exit_code(train.main, "--data", "t.csv", "--columns", "n:integer", *TINY, "--out", "r", *flags) == 0


def test_both_parts_together_are_the_rows_as_they_were_written(folder: Path) -> None:
    run()
    assert exit_code(split.main, "r", "-o", "held.csv") == 0
    assert exit_code(split.main, "r", "-o", "training.csv", "--part", "training") == 0
    held, training = (Path(name).read_text().splitlines() for name in ("held.csv", "training.csv"))
    assert held[0] == training[0] == "n,square,letter" and len(held) == 21
    assert sorted(held[1:] + training[1:]) == sorted(ROWS)


def test_labels_are_class_folders_and_an_array(folder: Path) -> None:
    assert exit_code(train.main, "--data", "digits", *TINY, "--out", "d") == 0
    assert exit_code(split.main, "d", "-o", "held/") == 0 and exit_code(split.main, "d", "-o", "held.npz") == 0
    data = load("digits")
    assert data.labels is not None
    for digit in range(10):
        assert len(list(Path("held", str(digit)).iterdir())) == (data.labels["validation"] == digit).sum()
    with np.load("held.npz") as file:
        assert (file["y"] == data.labels["validation"]).all()
        assert file["x"].reshape(-1, 64) == pytest.approx(data.values(data.validation))


def test_a_run_on_all_data_held_nothing_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--all-data")
    assert exit_code(split.main, "r", "-o", "held.csv") == 2 and not Path("held.csv").exists()
    assert "nothing was held out" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["t.csv", "no/where.csv", "x.jpg", "x/"])
def test_nothing_is_overwritten_and_no_other_kind_of_file_is_written(folder: Path, out: str) -> None:
    run()
    before = sorted(folder.iterdir())
    assert exit_code(split.main, "r", "-o", out) == 2 and sorted(folder.iterdir()) == before


def test_samples_are_compared_with_rows_that_a_person_brings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    Path("mine.csv").write_text("letter,more,n,square\n" + "".join(f"b,?,{i},{i / 2:.1f}\n" for i in range(30)))
    Path("odd.csv").write_text("n,square,letter\n" + "1,2.0,d\n" * 30)
    Path("few.csv").write_text("n,square,letter\n" + "1,2.0,b\n" * 3)
    Path("other.csv").write_text("n,letter\n" + "1,b\n" * 30)
    capsys.readouterr()
    assert exit_code(evaluate.main, "r", "-n", 100, "--test", "mine.csv") == 0
    for name, words in (
        ("odd.csv", "line 2, column letter"),
        ("few.csv", "3 samples"),
        ("other.csv", "no column square"),
        ("no.csv", "does not exist"),
    ):
        assert exit_code(evaluate.main, "r", "-n", 100, "--test", name) == 2
        assert words in capsys.readouterr().err
