"""Values far from 0 relative to their spread (timestamps, coordinates) keep their digits in all stages."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import TINY, exit_code
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from minigan import evaluate, plots, sample, train
from minigan.backends import Ops
from minigan.data import Data, load
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler, far
from minigan.data.spaces import Table
from minigan.errors import InputError
from minigan.metrics.suite import Suite

SECONDS = 1_700_000_000
RANDOM = np.random.default_rng(16)
TABLE = Table((1,), ("a",))
OUTPUTS = st.sampled_from(["sigmoid", "tanh", "identity"])


def loaded(path: Path, x: np.ndarray) -> Data:
    """The data of a file of that name with the values x (n, d)."""
    if path.suffix == ".csv":
        lines = [",".join(f"c{j}" for j in range(x.shape[1])), *(",".join(str(v) for v in row) for row in x)]
        path.write_text("\n".join(lines))
    elif path.suffix == ".npz":
        np.savez(path, x=x)
    else:
        np.save(path, x)
    return load(str(path), columns="plain")


def rows_of(data: Data) -> np.ndarray:
    return np.concatenate([data.train, data.validation])


def log(n: int = 200, offset: int = SECONDS) -> np.ndarray:
    """A table of whole seconds within an hour, a level and a constant."""
    return np.c_[RANDOM.permutation(3600)[:n] + offset, RANDOM.normal(20, 3, n), np.full(n, 7.0)]


# --- read -------------------------------------------------------------------------------------------------------------

N = np.arange(200)
NORMAL = RANDOM.normal(size=200)
CASES = {
    "seconds": (SECONDS + 17 * N, np.float64),
    "milliseconds": (1_700_000_000_000 + N, np.float64),
    "coordinates": (4_492_557 + 2.3 * NORMAL, np.float64),
    "a tiny spread": (1e9 + 1e-3 * NORMAL, np.float64),
    "two years": (2001 + N % 2, np.float64),
    "two values about a round number": (1e9 + 1 - 2 * (N % 2), np.float64),
    "two values that float32 holds, but not their mean": (1e9 + 64 * (N % 2), np.float64),
    "a constant that float32 does not hold": (np.full(200, 1e9 + 1), np.float64),
    "a constant": (np.full(200, 1e9), np.float32),
    "a small constant": (np.full(200, 0.1), np.float32),
    "nothing": (np.zeros(200), np.float32),
    "prices": (20 + 5 * NORMAL, np.float32),
    "heights": (170 + 10 * NORMAL, np.float32),
    "temperatures": (293.15 + 5 * NORMAL, np.float32),
    "large values with as large a spread": (1e9 * NORMAL, np.float32),
    "the largest values": (1e30 * np.sign(NORMAL), np.float32),
    "values below what float32 holds": (1e-40 * NORMAL, np.float64),
    "small values": (1.6e-19 + 1e-20 * NORMAL, np.float32),
    "many small values and a few large ones": (np.exp(5 * NORMAL), np.float32),
}


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
@pytest.mark.parametrize("case", CASES)
def test_values_are_kept_in_float32_where_that_is_enough_and_else_as_read(
    tmp_path: Path, case: str, suffix: str
) -> None:
    column, dtype = CASES[case]
    data = loaded(tmp_path / f"t{suffix}", np.stack([column, column], axis=1))
    assert data.train.dtype == data.validation.dtype == data.test.dtype == dtype
    assert sorted(rows_of(data)[:, 0].tolist()) == sorted(column.astype(dtype).tolist())


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<i8", ">i4", "<u8", "<u4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_timestamps_of_any_type_are_kept(tmp_path: Path, dtype: str, order: str) -> None:
    x = np.asarray(np.stack([SECONDS + 17 * N, N], axis=1).astype(dtype), order=order)  # type: ignore[call-overload]
    data = loaded(tmp_path / "t.npy", x)
    assert data.train.dtype == np.float64 and data.train.flags.c_contiguous
    assert sorted(map(tuple, rows_of(data).tolist())) == sorted(map(tuple, x.astype(np.float64).tolist()))


@given(
    x=st.lists(st.floats(-1e6, 1e6) | st.floats(-1e-37, 1e-37), min_size=5, max_size=30),
    offset=st.sampled_from([0.0, 100.0, 1.7e9, -1.7e12, 1e20]),
    suffix=st.sampled_from([".npy", ".csv"]),
)
def test_no_value_is_moved_by_more_than_its_column_can_bear(
    tmp_path_factory: pytest.TempPathFactory, x: list[float], offset: float, suffix: str
) -> None:
    read = np.array(x)[:, None] + offset
    data = loaded(tmp_path_factory.getbasetemp() / f"any{suffix}", read)
    kept, read = np.sort(rows_of(data), axis=0).astype(np.float64), np.sort(read, axis=0)
    scale = (read - read[0]).std()  # around a value, so that nothing is lost here either
    bearable = 2.0**-18 * (scale if scale > 1e-150 else 1.0) + 2.0**-24 * np.abs(read - read[0])
    assert (np.abs(kept - read) <= 2 * bearable).all()


UNEVEN = 2**53 + np.arange(200)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
@pytest.mark.parametrize("column", [UNEVEN, -UNEVEN, UNEVEN.astype(np.uint64) + np.uint64(2**63), 2**53 + N % 2])
def test_whole_numbers_that_float64_would_merge_are_refused(tmp_path: Path, suffix: str, column: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"t\.\w+: column \w+ holds whole numbers beyond 2\^53 .* subtract a number"):
        loaded(tmp_path / f"t{suffix}", np.stack([column, N.astype(column.dtype)], axis=1))


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
@pytest.mark.parametrize(
    "column",
    [
        SECONDS * 10**9 + 10**9 * N,  # nanoseconds, moved by up to 128 in 200 seconds
        RANDOM.integers(-(2**63), 2**63 - 1, 200),  # float32 is enough
        RANDOM.integers(0, 2**64 - 1, 200, np.uint64),
        np.full(200, -(2**63)),  # pandas' missing time
        np.append(RANDOM.integers(2**62, 2**63 - 1, 199), 2**63 - 1),
    ],
)
def test_whole_numbers_beyond_2_53_are_read_where_float64_is_enough(
    tmp_path: Path, suffix: str, column: np.ndarray
) -> None:
    data = loaded(tmp_path / f"t{suffix}", column[:, None])
    assert (np.sort(rows_of(data), axis=0) == np.sort(column[:, None].astype(data.train.dtype), axis=0)).all()


def test_data_values_of_stored_rows_have_the_precision_that_they_need(tmp_path: Path) -> None:
    digits, times = load("digits"), loaded(tmp_path / "t.npy", log())
    assert digits.values(digits.train[:3]).dtype == np.float32 and digits.values(digits.train).max() == 1
    assert (times.values(times.train[:3]) == times.train[:3]).all() and times.values(times.train).dtype == np.float64


# --- scaled -----------------------------------------------------------------------------------------------------------


def served(rows: np.ndarray, output: str, backend: Ops, dtype: str) -> np.ndarray:
    """All minibatches of an epoch, in model units."""
    space = Table(rows.shape[1:], tuple("abcdefg"[: rows.shape[1]]))
    batches = Batches(rows, 1.0, Scaler.fit(space, rows, output), 8, 0, backend, dtype)
    out, epoch = backend.empty((8, rows.shape[1]), dtype), []
    for step in range(batches.per_epoch):
        batches.fill(out, step)
        epoch.append(backend.to_host(out).copy())
    return np.concatenate(epoch)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", ["sigmoid", "tanh", "identity"])
@pytest.mark.parametrize("offset", [1024, 2**31, -(2**40), 2**42 + 1])
def test_minibatches_do_not_depend_on_an_offset_of_the_data(
    tmp_path: Path, backend: Ops, output: str, offset: int, dtype: str
) -> None:
    x = np.stack([RANDOM.integers(0, 2000, 64), RANDOM.integers(0, 5, 64), RANDOM.integers(0, 99, 64) / 256], axis=1)
    here, there = (served(rows_of(loaded(tmp_path / "t.npy", x + c)), output, backend, dtype) for c in (0, offset))
    step = 2.0**-52 * abs(offset)  # what float64 resolves of the offset itself
    assert (abs(there - here) < 1e-6 + step / np.array([500, 1, 0.1])).all()
    assert len(np.unique(there[:, 0])) == len(np.unique(here[:, 0])) > 50


def test_all_timestamps_reach_the_networks(tmp_path: Path, backend: Ops) -> None:
    data = loaded(tmp_path / "t.csv", log())
    assert len(np.unique(served(data.train, "identity", backend, "float32")[:, 0])) == len(data.train) == 160


@given(
    offset=st.floats(-1e15, 1e15),
    scale=st.floats(1e-3, 1e6),
    y=st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=20),
)
def test_model_values_come_back_from_data_values(offset: float, scale: float, y: list[float]) -> None:
    scaler, model = Scaler(np.array([offset]), np.array([scale])), np.array(y, np.float32)[:, None]
    data = scaler.to_data(model, TABLE)
    exact = offset + scale * model.astype(np.float64)
    single = 2.0**-24 * (64 + np.abs(model)) * scale
    double = 2.0**-52 * (abs(offset) + scale * np.abs(model))
    assert (np.abs(data - exact) <= (single if data.dtype == np.float32 else double)).all()
    assert data.dtype == (np.float32 if abs(offset) <= 64 * scale else np.float64)
    moved = (single if data.dtype == np.float32 else 2 * double) / scale + 2.0**-22 * (1 + np.abs(model))
    assert (np.abs(scaler.to_model(data) - model) <= moved).all()
    assert scaler.to_model(data, np.float64).dtype == np.float64


@given(x=st.lists(st.integers(0, 2**20), min_size=2, max_size=40), offset=st.integers(-(2**52), 2**52), output=OUTPUTS)
def test_an_offset_of_the_data_moves_the_offset_and_nothing_else(x: list[int], offset: int, output: str) -> None:
    rows = np.array(x, np.float64)[:, None]
    here, there = (Scaler.fit(TABLE, rows + c, output) for c in (0, offset))
    assert there.scale == pytest.approx(here.scale, rel=1e-12)
    assert abs(there.offset - offset - here.offset)[0] <= 1e-12 * here.scale[0] + np.spacing(abs(float(offset)))


# --- the whole command ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_table_of_timestamps_is_trained_on_sampled_and_measured(folder: Path) -> None:
    data = loaded(folder / "log.csv", log())
    assert (
        exit_code(
            train.main,
            *TINY,
            "--data",
            "log.csv",
            "--columns",
            "plain",
            "--steps",
            20,
            "--evaluate-every",
            10,
            "--out",
            "r",
        )
        == 0
    )
    for name in ("a.csv", "a.npz"):
        assert exit_code(sample.main, "r", "-n", 300, "-o", name) == 0
    x = np.load("a.npz")["x"]
    assert x.dtype == np.float64 and len(np.unique(x[:, 0])) == 300  # float32 has 29 numbers in that hour
    with open("a.csv", newline="") as file:
        assert [[float(cell) for cell in row] for row in list(csv.reader(file))[1:]] == x.tolist()
    spread = np.abs(x[:, 0] - data.train[:, 0].mean()) / data.train[:, 0].std()
    assert spread.max() < 50
    assert exit_code(evaluate.main, "r", "-n", 200, "--json", "e.json") == 0
    assert json.loads(Path("e.json").read_text())["real"]["coverage"] > 0.8


def test_measures_do_not_depend_on_an_offset_of_the_data(folder: Path, backend: Ops) -> None:
    x, made = np.round(log(offset=0) * 64) / 64, np.round(log(100, offset=20) * 64) / 64
    here, there = (Suite(loaded(folder / "t.npy", x + c), backend) for c in (0, np.array([2.0**31, 2.0**40, 0])))
    assert here.real == pytest.approx(there.real, abs=0.01, nan_ok=True)  # a near tie may go either way
    moved = made + np.array([2.0**31, 2.0**40, 0])
    assert here.measure(made.astype(np.float32)) == pytest.approx(there.measure(moved), abs=0.01, nan_ok=True)


def test_a_run_that_began_in_float32_goes_on_to_the_same_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of an earlier version: the identity of its data and all later numbers are those of rows in float32."""
    loaded(folder / "log.csv", log())
    with monkeypatch.context() as before:
        before.setattr("minigan.data.tables.storage", lambda values: (np.float32, np.ones(values.shape[1])))
        assert (
            exit_code(train.main, *TINY, "--data", "log.csv", "--columns", "plain", "--steps", 8, "--out", "old") == 0
        )
        shutil.copytree("old", "now")
        assert exit_code(train.main, "--resume", "old", "--steps", 12, "--quiet") == 0
    capsys.readouterr()
    assert exit_code(train.main, "--resume", "now", "--steps", 12, "--quiet") == 0
    assert "now: trained on log in float32" in capsys.readouterr().err
    assert Path("old/checkpoint.safetensors").read_bytes() == Path("now/checkpoint.safetensors").read_bytes()
    assert exit_code(evaluate.main, "now", "-n", 100) == 0
    assert "trained on log in float32" in capsys.readouterr().err


def test_other_data_are_refused_on_resume_whatever_they_are_stored_in(folder: Path) -> None:
    loaded(folder / "log.csv", log())
    assert exit_code(train.main, *TINY, "--data", "log.csv", "--columns", "plain", "--steps", 4, "--out", "r") == 0
    loaded(folder / "log.csv", log())
    assert exit_code(train.main, "--resume", "r", "--steps", 8) == 2
    assert exit_code(evaluate.main, "r") == 2


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_each_axis_of_a_plane_has_its_own_sense_of_small() -> None:
    """A latitude with a spread of .0001 is not constant on a plane with a northing of millions."""
    x = np.stack([52.52 + 1e-4 * NORMAL, 4_492_557 + 2.3 * NORMAL[::-1]], axis=1)
    for window, column in zip(plots.plane(x), x.T, strict=True):
        assert np.ptp(window) < 2 * np.ptp(column)
    plots.plane(np.stack([np.full(9, 1e30), np.arange(9) * 1e-3], axis=1))


def test_a_histogram_does_not_depend_on_an_offset_of_the_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, drawn, ticks = np.stack([N % 180 * 60, N % 3, 1000 * NORMAL.round(1)], axis=1), [], []
    stairs, set_xticks = Axes.stairs, Axes.set_xticks
    monkeypatch.setattr(Axes, "stairs", lambda self, *a, **k: (drawn.append(a), stairs(self, *a, **k))[1])
    monkeypatch.setattr(Axes, "set_xticks", lambda self, *a, **k: (ticks.append(a), set_xticks(self, *a, **k))[1])
    space = Table((3,), ("minutes", "kinds", "levels"))
    for c in (0, 1_700_000_000_000):
        plots.comparison(folder / "s.png", space, plots.Shown(x + c, x + c))
    half = len(drawn) // 2
    for (here, edges), (there, moved) in zip(drawn[:half], drawn[half:], strict=True):
        assert len(here) == len(there) and np.allclose(here, there) and np.allclose(moved - edges, 1.7e12, rtol=1e-12)
    assert ticks[0][1] == ["0", "1", "2"] and ticks[len(ticks) // 2][1] is None  # "1.7e+12" three times says nothing


def test_no_scale_is_too_large_to_be_asked_about() -> None:
    """A forged checkpoint may hold any that is finite; warnings are errors."""
    assert not far(np.zeros(1), np.full(1, 1e308)).any()
    assert far(np.full(1, 1e308), np.ones(1)).all()
