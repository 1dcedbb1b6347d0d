"""The command `python -m minigan.sample`."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from helpers import TINY, exit_code, start, tree
from PIL import Image

from minigan import evaluate, memory, sample, train
from minigan.backends import get_ops
from minigan.runs import checkpoint
from minigan.runs.tensors import KEY, digest
from minigan.sample import interpolation


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained runs: digits, ring, and a table of three columns."""
    home = tmp_path_factory.mktemp("runs")
    rows = np.random.default_rng(0).normal(100, 5, size=(30, 3))
    (home / "table.csv").write_text(
        'height,"weight, kg",age\n' + "\n".join(",".join(map(str, r)) for r in rows.tolist())
    )
    for data in ("digits", "ring", home / "table.csv"):
        argv = ["--data", data, "--steps", 4, "--save-every", 2, "--out", home / Path(data).stem]
        assert exit_code(train.main, *TINY, *argv) == 0
    return home


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def drawn(*argv: object) -> np.ndarray:
    """The arrays of an .npz file that the command writes."""
    assert exit_code(sample.main, *argv, "-o", "x.npz") == 0
    with np.load("x.npz", allow_pickle=False) as file:
        assert file.files == ["x"]
        x = file["x"]
    os.remove("x.npz")
    return x


def test_arrays_have_the_datas_shape_and_range(runs: Path) -> None:
    x = drawn(runs / "digits", "-n", 70)
    assert x.shape == (70, 8, 8) and x.dtype == np.float32
    assert x.min() >= 0 and x.max() <= 1 and x.std() > 0.01
    assert drawn(runs / "ring").shape == (64, 2)
    x = drawn(runs / "table", "-n", 500)
    assert x.shape == (500, 3) and abs(x.mean() - 100) < 20, "in its own units"


def test_the_first_samples_do_not_depend_on_how_many_are_asked_for(runs: Path) -> None:
    few, many = drawn(runs / "digits", "-n", 16), drawn(runs / "digits", "-n", 300)
    np.testing.assert_array_equal(few, many[:16])
    assert (drawn(runs / "digits", "-n", 16, "--seed", 1) != few).any()
    np.testing.assert_array_equal(drawn(runs / "digits", "-n", 16, "--seed", 0), few)


def test_raw_samples_the_last_weights(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    average, raw = drawn(runs / "digits"), drawn(runs / "digits", "--raw")
    assert (average != raw).any()
    saved = checkpoint.load(runs / "digits")
    np.testing.assert_array_equal(raw.reshape(64, -1), saved.sample(64, get_ops(), seed=0, raw=True))
    out = capsys.readouterr().out
    assert "64 samples of digits from the weight average of step 4" in out and "from the last weights of step 4" in out


def test_pictures_are_drawn_for_every_kind_of_data(runs: Path) -> None:
    for name in ("digits", "ring", "table"):
        for flags in ([], ["--interpolate"]):
            out = f"{name}{len(flags)}.png"
            assert exit_code(sample.main, runs / name, "-n", 20, "-o", out, *flags) == 0
            with Image.open(out) as image:
                image.load()
                assert image.format == "PNG" and min(image.size) > 50


def test_tables_read_back_as_the_same_float32(runs: Path) -> None:
    for name, header in (
        ("table", ["height", "weight, kg", "age"]),
        ("ring", ["x0", "x1"]),
        ("digits", [f"p{i}" for i in range(64)]),
    ):
        assert exit_code(sample.main, runs / name, "-n", 9, "-o", f"{name}.csv") == 0
        with open(f"{name}.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        assert rows[0] == header
        np.testing.assert_array_equal(np.array(rows[1:], np.float32), drawn(runs / name, "-n", 9).reshape(9, -1))


def test_generated_tables_can_be_trained_on_again(runs: Path) -> None:
    assert exit_code(sample.main, runs / "table", "-n", 20, "-o", "again.csv") == 0
    assert exit_code(train.main, *TINY, "--data", "again.csv", "--steps", 1) == 0


def test_a_checkpoint_file_will_do_and_the_data_are_not_needed(runs: Path) -> None:
    shutil.copy(runs / "table" / checkpoint.NAME, "elsewhere.safetensors")
    np.testing.assert_array_equal(drawn("elsewhere.safetensors"), drawn(runs / "table"))
    before = drawn(runs / "table" / checkpoint.PREVIOUS)
    assert before.shape == (64, 3)


def test_a_file_in_the_way_is_refused_and_untouched(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("x.png", "x.npz", "x.csv"):
        Path(name).write_text("mine")
        assert exit_code(sample.main, runs / "ring", "-o", name) == 2
        assert f"-o {name} already exists" in capsys.readouterr().err
        assert Path(name).read_text() == "mine"


def test_suffixes_may_be_capital_letters(runs: Path) -> None:
    for name in ("X.PNG", "X.NPZ", "X.CSV"):
        assert exit_code(sample.main, runs / "ring", "-o", name) == 0
    assert sorted(os.listdir()) == ["X.CSV", "X.NPZ", "X.PNG"]


BAD_INPUT: list[tuple[str, str]] = [
    ("RUN -n 0 -o x.png", "-n 0 is out of range; it must be a whole number >= 1 and <= 2147483647."),
    (f"RUN -n {10**20} -o x.npz", "is out of range"),
    (f"RUN -n {10**20} -o x.npz --interpolate", "is out of range"),
    (f"RUN -n {2**31} -o x.csv", "is out of range"),
    (f"RUN -n {'9' * 4000} -o x.npz", "is out of range"),
    (f"RUN -n {'9' * 5000} -o x.npz", "-n: invalid int value"),
    ("RUN -n nan -o x.npz", "-n: invalid int value"),
    (f"RUN --seed {10**400} -o x.npz", "--seed 1000"),
    ("RUN -n -5 -o x.png", "-n -5 is out of range"),
    ("RUN -n many -o x.png", "-n: invalid int value: 'many'"),
    ("RUN -n 10001 -o x.png", "-n 10001 is too many for a picture; at most 10000"),
    ("RUN --seed -1 -o x.png", "--seed -1 is out of range"),
    (f"RUN --seed {2**63} -o x.png", "is out of range"),
    ("RUN -o x.jpg", "-o x.jpg: the name must end in one of: .png, .npz, .npy, .csv, .tsv, .txt, .gif, /"),
    ("RUN -o x", "-o x: the name must end in one of"),
    ("RUN -o nowhere/x.png", "-o nowhere/x.png: the directory nowhere does not exist."),
    ("RUN -o file/x.png", "-o file/x.png: the directory file does not exist."),
    ("RUN", "-o"),
    ("-o x.png", "RUN"),
    ("RUN -o x.png --backend torch", "--backend: invalid choice: 'torch'"),
    ("RUN -o x.png --ra", "did you mean --raw?"),
    ("nowhere -o x.png", "nowhere: cannot be read (No such file or directory)."),
    ("empty -o x.png", "empty: holds no checkpoint.safetensors, so it is no minigan run."),
    ("file -o x.png", "file: not a safetensors file, or cut short (4 bytes)."),
]


@pytest.mark.parametrize(("flags", "words"), BAD_INPUT, ids=[flags for flags, _ in BAD_INPUT])
def test_bad_input_is_refused_in_one_sentence_and_nothing_is_written(
    runs: Path, capsys: pytest.CaptureFixture[str], flags: str, words: str
) -> None:
    Path("file").write_text("mine")
    Path("empty").mkdir()
    before = tree(Path())
    assert exit_code(sample.main, *flags.replace("RUN", str(runs / "ring")).split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err
    assert err.startswith("minigan: ") and err.count("\n") == 1
    assert tree(Path()) == before


def test_a_disk_that_is_full_leaves_no_part_of_a_file(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    for name in ("x.npz", "x.csv", "x.png"):
        assert exit_code(sample.main, runs / "digits", "-o", name) == 2
        assert capsys.readouterr().err == f"minigan: -o {name} cannot be written (No space left on device).\n"
    assert os.listdir() == []


def test_a_damaged_newest_checkpoint_is_replaced_with_one_line_of_warning(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "ring", "ring")
    Path("ring", checkpoint.NAME).write_bytes(b"damaged")
    np.testing.assert_array_equal(drawn("ring"), drawn(runs / "ring" / checkpoint.PREVIOUS))
    err = capsys.readouterr().err
    assert "Using checkpoint.previous.safetensors (step 2) instead." in err and err.count("\n") == 1


def walk(latent: int, n: int, seed: int) -> np.ndarray:
    return np.concatenate(list(interpolation(latent, n, seed)))


def test_interpolation_walks_along_the_sphere_from_end_to_end() -> None:
    z = walk(50, 40, seed=3)
    assert z.shape == (40, 50)
    norms = np.linalg.norm(z, axis=1)
    ends = norms[::10]
    for leg in range(3):
        low, high = sorted((ends[leg], ends[leg + 1]))
        between = norms[10 * leg : 10 * leg + 10]
        assert (between > 0.95 * low).all() and (between < 1.05 * high).all(), "a straight line would dip"
    steps = np.linalg.norm(np.diff(z, axis=0), axis=1)
    assert steps.max() < 0.4 * np.linalg.norm(z[10] - z[0])
    assert steps.max() < 2 * steps.min()
    np.testing.assert_allclose(walk(50, 15, seed=3), z[:15])
    assert (walk(50, 15, seed=4) != z[:15]).any()


def test_one_row_of_an_interpolation_ends_at_its_second_end() -> None:
    row, longer = walk(50, 10, seed=3), walk(50, 20, seed=3)
    np.testing.assert_allclose(row[0], longer[0])
    np.testing.assert_allclose(row[-1], longer[10])


@pytest.mark.parametrize("latent", [1, 2])
def test_interpolation_has_no_gaps_where_angles_are_zero_or_straight(latent: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(20):
            assert np.isfinite(walk(latent, 33, seed)).all()


def test_interpolated_samples_change_gradually(runs: Path) -> None:
    x = drawn(runs / "digits", "-n", 20, "--interpolate").reshape(20, -1)
    y = drawn(runs / "digits", "-n", 20).reshape(20, -1)
    assert np.linalg.norm(np.diff(x, axis=0), axis=1).mean() < 0.5 * np.linalg.norm(np.diff(y, axis=0), axis=1).mean()


def test_as_a_person_runs_it(runs: Path, tmp_path: Path) -> None:
    process = start("minigan.sample", runs / "digits", "-n", "4", "-o", "new.png", cwd=tmp_path)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out == "new.png: 4 samples of digits from the weight average of step 4\n"
    assert os.listdir(tmp_path) == ["new.png"]
    process = start("minigan.sample", "nowhere", "-o", "x.png", cwd=tmp_path)
    assert process.communicate() == ("", "minigan: nowhere: cannot be read (No such file or directory).\n")
    assert process.returncode == 2


# -------------------------------------------------------------------------------------- what others made, and how many


def forged(source: Path, target: str, change: Callable[[dict[str, np.ndarray], dict[str, Any]], None]) -> str:
    """A copy of a run whose checkpoint was changed, with a correct SHA-256."""
    shutil.copytree(source, target)
    path = Path(target, checkpoint.NAME)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    tensors, meta = dict(safetensors.numpy.load(content)), json.loads(header["__metadata__"][KEY])
    change(tensors, meta)
    meta["sha256"] = digest(tensors, meta)
    path.write_bytes(safetensors.numpy.save(tensors, {KEY: json.dumps(meta)}))
    return target


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("digits", "generator.average"),
        *((k, n) for k in ("ring", "table") for n in ("generator.average", "scaler.scale")),
    ],
)
def test_samples_that_are_not_finite_are_refused_and_nothing_is_written(
    runs: Path, capsys: pytest.CaptureFixture[str], kind: str, name: str
) -> None:
    """Weights of 3e38 and scales of 1e300 are finite; their samples are not."""

    def change(tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        huge = 3e38 if tensors[name].dtype == np.float32 else 1e300
        tensors[name] = np.where(np.arange(len(tensors[name])) % 2, -huge, huge).astype(tensors[name].dtype)
        if name == "scaler.scale":
            tensors[name] = np.abs(tensors[name])

    forged(runs / kind, "bad", change)
    before = tree(Path())
    for suffix in ("npz", "csv", "png"):
        for flags in ([], ["--interpolate"]):
            assert exit_code(sample.main, "bad", "-n", 300, "-o", f"x.{suffix}", *flags) == 2
            out, err = capsys.readouterr()
            assert out == "" and err.count("\n") == 1 and "samples that are not finite" in err
    if kind != "table":  # too few rows to be measured
        assert exit_code(evaluate.main, "bad", "-n", 100) == 2
        assert "samples that are not finite" in capsys.readouterr().err
    assert tree(Path()) == before


def test_the_name_of_the_data_cannot_control_the_terminal(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[2J\n\u202e" + "x" * 200
    forged(runs / "ring", "named", lambda tensors, meta: meta["data"].update(name=name))
    assert exit_code(sample.main, "named", "-o", "x.csv") == 0
    out = capsys.readouterr().out
    assert out.removesuffix("\n").isprintable() and len(out) < 200


def test_any_number_of_samples_takes_little_memory(runs: Path) -> None:
    """Many samples are written in blocks: otherwise 5 MB of values would be in memory three times."""
    for argv in (["-o", "many.npz"], ["-o", "x.csv"], ["-o", "y.npz", "--interpolate"]):
        n = 20_000 if "many.npz" in argv else 5_000
        tracemalloc.start()
        try:
            assert exit_code(sample.main, runs / "digits", "-n", n, *argv) == 0
            assert tracemalloc.get_traced_memory()[1] < 2 << 20
        finally:
            tracemalloc.stop()
    with np.load("many.npz", allow_pickle=False) as file:
        assert file["x"].shape == (20_000, 8, 8)
        np.testing.assert_array_equal(file["x"][:100], drawn(runs / "digits", "-n", 100))


def test_a_picture_that_does_not_fit_into_memory_is_refused_with_both_numbers(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1_000_000)
    assert exit_code(sample.main, runs / "digits", "-n", 10_000, "-o", "x.png") == 2
    assert "needs 5.8 MB of memory, and 1.0 MB are available" in capsys.readouterr().err
    assert os.listdir() == []
    assert exit_code(sample.main, runs / "digits", "-n", 10, "-o", "x.png") == 0


def test_an_interpolation_of_any_length_begins_with_the_same_samples(runs: Path) -> None:
    """Also beyond the number of samples in one block."""
    long = drawn(runs / "digits", "-n", 521, "--interpolate")
    assert len(long) == 521
    np.testing.assert_array_equal(drawn(runs / "digits", "-n", 45, "--interpolate"), long[:45])
