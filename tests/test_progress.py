"""Progress and reports fit the terminal: a bar that is visible at any width, and no line beyond 80 columns."""

from __future__ import annotations

import os
import re
import struct
import sys
from importlib import import_module
from pathlib import Path

import pytest
from helpers import ROOT, TINY, exit_code
from hypothesis import given
from hypothesis import strategies as st

from minigan import __main__ as main
from minigan import check, cli, doctor, evaluate, lockstep, sample, train
from minigan.runs.contention import Contention, Meter
from minigan.runs.progress import LEAST, Bar

WORDS = "loss D 0.570 G 0.927, D(x) 0.54, D(G(z)) 0.46"


def line(width: int | None, words: str = WORDS, done: int = 10_000, total: int = 20_000) -> str:
    return Bar.format_meter(done, total, 12.5, ncols=width, postfix=words, unit="step", rate=812.3)


@pytest.mark.parametrize(
    ("width", "kept", "left_out"),
    [
        (120, ("10000/20000", "step/s", "00:12", "loss D 0.570", "D(G(z)) 0.46"), ()),
        (80, ("50%", "00:12 left", "loss D 0.570 G 0.927", "D(x) 0.54", "D(G(z)) 0.46"), ("step/s",)),
        (60, ("50%", "00:12 left", "D(x) 0.54, D(G(z)) 0.46"), ("loss",)),
        (40, ("50%", "D(x) 0.54, D(G(z)) 0.46"), ("loss", "left")),
        (20, ("50%",), ("D(",)),
    ],
)
def test_parts_without_room_are_left_out_and_the_bar_remains(width: int, kept: tuple, left_out: tuple) -> None:
    said = line(width)
    assert len(said) == width and len(re.search(r"\|(.*)\|", said)[1]) >= LEAST
    assert all(words in said for words in kept) and not any(words in said for words in left_out)


@given(
    st.integers(16, 200),
    st.floats(-1e6, 1e6),
    st.integers(0, 10**7),
    st.integers(1, 10**7),
)
def test_no_line_is_wider_than_the_terminal_whatever_the_numbers(
    width: int, loss: float, done: int, total: int
) -> None:
    said = line(width, f"loss D {loss:.3f} G {-loss:.3f}, D(x) 0.54, D(G(z)) 0.46", min(done, total), total)
    assert len(said) <= width and len(re.search(r"\|(.*)\|", said)[1]) >= LEAST


def test_without_a_terminal_every_message_is_printed() -> None:
    assert WORDS in line(None) and "10000/20000" in line(None)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize("width", [80])
def test_training_on_a_terminal_shows_a_bar_and_no_line_is_cut_off(width: int, tmp_path: Path) -> None:
    import fcntl
    import pty
    import subprocess
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | {"PYTHONPATH": str(ROOT)}
    flags = [*TINY[:-1], "--data", "ring", "--steps", "8", "--out", "run"]
    command = [sys.executable, "-m", "minigan.train", *flags]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment)
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # the other side has been closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert process.wait() == 0
    lines = re.split(r"[\r\n]+", said.decode())
    bars = [line for line in lines if "|" in line]
    assert max(map(len, bars)) <= width and "\N{FULL BLOCK}" * LEAST in bars[-1] and "D(G(z))" in bars[-1]


# ------------------------------------------------------------------------------------------------------------- reports


@pytest.fixture
def eighty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def fits(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().out
    wide = [line for line in said.splitlines() if len(line) > 80]
    assert said and not wide, "\n".join(wide)
    return said


@pytest.mark.usefixtures("eighty")
@pytest.mark.parametrize("command", [*main.COMMANDS, "metrics.features"])
def test_help_fits_80_columns(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(import_module(f"minigan.{command}").main, "--help") == 0
    said = fits(capsys)
    if command in ("train", "lockstep"):
        assert "relativistic" in said, "the choices are listed, wherever"


@pytest.mark.usefixtures("eighty")
def test_the_output_of_commands_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print(main.overview())
    assert exit_code(train.main, "--data", "ring", "--explain") == 0
    fits(capsys)
    for data in ("digits", "ring"):
        flags = ["--batch-size", "8", "--hidden", "8", "--sample-every", "4", "--steps", "4"]
        assert exit_code(train.main, *flags, "--data", data) == 0
        assert exit_code(evaluate.main, f"runs/{data}-001", "-n", "359") == 0
        said = fits(capsys)
        assert "D(G(z))" not in said and "Under-trained" in said and "training over held-out distance" in said
    assert exit_code(sample.main, "runs/digits-001", "-n", "5", "-o", "a.png") == 0
    assert exit_code(lockstep.main, "--backend", "numpy", "--kernels", "numba", "--steps", "2") == 0
    fits(capsys)


@pytest.mark.usefixtures("eighty")
def test_the_report_of_doctor_fits_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def report() -> list[tuple[str, str]]:
        return [("--backend cupy --kernels cuda", "not available. " + "no device " * 30), ("minigan", "0.1.0")]

    monkeypatch.setattr(doctor, "report", report)
    monkeypatch.setattr(Meter, "read", lambda self: Contention(31.5, 32, 0.5))
    assert exit_code(doctor.main) == 0
    assert "\nminigan                          0.1.0\nother work  " in fits(capsys)


@pytest.mark.usefixtures("eighty")
def test_every_row_of_the_certificate_fits_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = check.row
    monkeypatch.setattr(check, "row", lambda what, shapes, error: row(what, shapes, 3.2e-11))  # the names matter here
    monkeypatch.setattr(check, "SECTIONS", {k: check.SECTIONS[k] for k in ("objectives", "steps")})
    assert exit_code(check.main) == 0
    said = fits(capsys)
    assert "3.2e-11  objective hinge: values" in said and "\nsteps\n" in said


@pytest.mark.parametrize(
    ("columns", "width"), [("80", 80), ("60", 60), ("500", 100), ("abc", 80), ("0", 80), ("1", 40)]
)
def test_text_is_wrapped_to_the_terminal_and_words_stay_whole(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    text = "as it was said before, " * 20 + "--lr-generator " + "a/" * 60 + "end"
    lines = cli.wrapped(text, 2).splitlines()
    assert " ".join(line.strip() for line in lines) == text
    assert all(len(line) <= width for line in lines[:-1]) and all(line.startswith("  ") for line in lines[1:])
    assert max(map(len, lines[:-1])) > width - 12
