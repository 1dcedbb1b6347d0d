"""Another kind of data, a class with rows in the registries, and another measure, a row, work in all commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers import TINY, exit_code
from matplotlib.figure import Figure
from PIL import Image

from minigan import evaluate, plots, sample, train
from minigan.data import Data
from minigan.data.spaces import SPACES, Space, from_dict
from minigan.metrics.compared import Columns
from minigan.metrics.measures import HIGH, MEASURES, Measure, Where
from minigan.metrics.suite import COMPARED
from minigan.plots import Shown, style
from minigan.runs import checkpoint
from minigan.runs.directory import Run


class Signal(Space):
    """Some channels of equally many values in [-1, 1]."""

    kind = "signal"
    dimensions = 2
    limits = -1.0, 1.0
    previewed = 6
    measured = 20

    @classmethod
    def fits(cls, shape: Sequence[int], columns: Sequence[str]) -> bool:
        return not columns


def lines(space: Space, x: np.ndarray, colour: str) -> Figure:
    figure = style.figure(400, 300)
    style.axes(figure, 20, 20, 360, 260).plot(x.reshape(-1, *space.shape)[:, 0].T, color=colour)
    return figure


SIGNALS = plots.Pictures(
    lambda space, shown, title: lines(space, shown.fake, style.FAKE),
    lambda space, shown: lines(space, shown.fake, style.REAL),
    lambda space, x: lines(space, x, style.INK),
)


@pytest.fixture
def signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    """A kind of data that is not in the package, registered, and data of this kind under the name "digits"."""
    phase = np.random.default_rng(0).uniform(0, 6, (150, 2, 1))
    rows = np.sin(phase + np.arange(8)).reshape(150, 16).astype(np.float32)
    data = Data("digits", Signal((2, 8)), rows[:120], rows[120:], rows[:0], None, 1.0)
    monkeypatch.setitem(SPACES, "signal", Signal)
    monkeypatch.setitem(plots.PICTURES, Signal, SIGNALS)
    monkeypatch.setitem(COMPARED, Signal, Columns)
    for module in ("runs.parts", "runs.directory"):
        monkeypatch.setattr(f"minigan.{module}.load", lambda *_: data)
    monkeypatch.chdir(tmp_path)
    return data


def test_every_kind_of_data_has_a_row_in_every_registry() -> None:
    for kind, space in SPACES.items():
        assert space.kind == kind and space in plots.PICTURES and space in COMPARED


def test_another_kind_of_data_goes_through(signals: Data) -> None:
    space = signals.space
    assert from_dict(space.to_dict(), "here") == space and space.size == 16
    assert exit_code(train.main, *TINY, "--steps", 4, "--evaluate-every", 2, "--output", "tanh", "--out", "run") == 0
    run, saved = Run(Path("run")), checkpoint.load("run")
    assert saved.space == space and (saved.scaler.offset, saved.scaler.scale) == (0, 1), "limits are the scale"
    assert {"coverage", "frechet"} <= set(next(r for r in run.records() if "coverage" in r))
    plots.comparison("again.png", space, Shown(np.zeros((1, 16))))
    with Image.open(run.samples) as drawn, Image.open("again.png") as again:
        assert drawn.size == again.size == (400, 300)
    assert exit_code(evaluate.main, "run", "-n", 100, "--json", "m.json") == 0 and run.neighbours.exists()
    assert "coverage" in json.loads(Path("m.json").read_text())["generated"]
    assert exit_code(sample.main, "run", "-n", 3, "-o", "s.npz") == 0
    x = np.load("s.npz")["x"]
    assert x.shape == (3, 2, 8) and np.abs(x).max() <= 1
    assert exit_code(sample.main, "run", "-n", 3, "-o", "s.png") == 0


@pytest.mark.usefixtures("signals")
def test_another_measure_goes_through(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    signed = Where("signals", lambda data: isinstance(data.space, Signal))
    upward = Measure("upward", HIGH, "samples above 0", lambda g: float((g.x > 0).mean()), signed, real="training")
    monkeypatch.setitem(MEASURES, "upward", upward)
    figures: list[Figure] = []
    monkeypatch.setattr(style, "save", lambda figure, path: figures.append(figure))
    assert (
        exit_code(train.main, *TINY, "--steps", 4, "--until", "upward>0.01", "--evaluate-every", 2, "--out", "run") == 0
    )
    assert "upward" in next(r for r in Run(Path("run")).records() if "coverage" in r)
    titles = [axes.get_title("left") for figure in figures for axes in figure.axes]
    assert "upward, higher is better" in titles
    assert exit_code(evaluate.main, "run", "-n", 100) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("upward"))
    assert row.split()[3:] == ["high", "samples", "above", "0"]
