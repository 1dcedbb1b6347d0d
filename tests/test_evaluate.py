"""`python -m minigan.evaluate`, and measures during training, by the commands."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import TINY, exit_code, tree
from PIL import Image
from test_checkpoint import forged

from minigan import evaluate, plots, train
from minigan.data import spaces
from minigan.metrics.suite import Suite
from minigan.nn.gan import GAN
from minigan.runs import checkpoint, identity
from minigan.runs.directory import Run
from minigan.runs.session import Session


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIGAN_DATA", raising=False)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny trained run of every kind of data, under the names in KINDS."""
    home = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    np.save(home / "table.npy", rng.normal(size=(300, 4)))
    np.save(home / "images.npy", rng.random((120, 5, 7)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for name, data in KINDS.items():
            data = str(home / data) if data.endswith(".npy") else data
            assert exit_code(train.main, *TINY, "--data", data, "--steps", "4", "--out", name) == 0
    return home


KINDS = {"digits": "digits", "ring": "ring", "table": "table.npy", "images": "images.npy"}


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    for name in KINDS:
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def run(*argv: object) -> int:
    return exit_code(evaluate.main, *argv)


# --------------------------------------------------------------------------------------------------------- the command


@pytest.mark.parametrize("name", KINDS)
def test_a_run_of_every_kind_is_measured(runs: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(runs / name)
    assert run(name, "-n", "200", "--json", "out.json") == 0
    said, after = capsys.readouterr(), tree(runs / name)
    assert said.err == "" and set(after) - set(before) == {"neighbours.png"}
    assert {k: after[k] for k in before} == before, "nothing else is touched"
    result = json.loads(Path("out.json").read_text())
    assert list(result["generated"]) == list(result["real"]) and "coverage" in result["real"]
    for measure in result["generated"]:
        assert re.search(rf"^{measure} +\S+ +\S+  ", said.out, re.MULTILINE)
    assert said.out.count("\n\n") == 2 + bool(result["columns"]) and result["verdict"][0] in " ".join(said.out.split())
    assert result["compared"] == {"digits": 200, "ring": 200, "table": 60, "images": 24}[name]
    with Image.open(runs / name / "neighbours.png") as image:
        assert image.width > 300


def test_the_same_run_gives_the_same_report_and_picture(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def once() -> tuple[str, bytes]:
        assert run("digits", "-n", "150") == 0
        return capsys.readouterr().out, (runs / "digits" / "neighbours.png").read_bytes()

    assert once() == once()


def test_an_untrained_generator_has_bad_values_and_a_verdict(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("digits", "-n", "359", "--json", "a.json") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Under-trained: after 4 steps" in said and "more --steps (the default recipe makes 30,000)" in said
    assert "--objective" not in said and "--recipe best" not in said, "followed, or too early"
    values = json.loads(Path("a.json").read_text())
    assert values["generated"]["frechet"] > 10 * values["real"]["frechet"]
    assert values["step"] == 4 and values["data"]["name"] == "digits" and values["groups"] == 1


def test_a_checkpoint_file_is_measured_too(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ring/checkpoint.previous.safetensors", "-n", "100") == 0
    assert "step 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["nowhere"], "nowhere"),
        (["digits", "-n", "99"], "-n 99 is out of range"),
        (["digits", "-n", "1000000"], "-n 1000000 is out of range"),
        (["digits", "-n", "many"], "invalid int value"),
        (["digits", "--json", "digits/config.json"], "already exists; choose another name"),
        (["digits", "--json", "none/x.json"], "the directory none does not exist"),
        (["digits", "--nonsense"], "unknown argument --nonsense"),
        (["digits", "--data", "ring"], "its kind is points, not image; its shape is (2,), not (8, 8)"),
        (["digits", "--data", "gone.npy"], "gone.npy"),
        ([], "RUN"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence_and_changes_nothing(
    runs: Path, argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(runs)
    assert run(*argv) == 2
    said = capsys.readouterr()
    assert said.out == "" and words in said.err and said.err.count("\n") == 1 and said.err.startswith("minigan: ")
    assert tree(runs) == before


def test_a_run_without_its_configuration_or_with_a_damaged_one_is_refused(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / "digits" / "config.json").write_text("{")
    assert run("digits") == 2
    assert "not valid JSON" in capsys.readouterr().err
    (runs / "digits" / "config.json").unlink()
    assert run("digits") == 2
    assert "holds no config.json" in capsys.readouterr().err


def test_data_that_have_moved_are_found_and_data_that_have_changed_are_refused(
    runs: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(made / "table.npy", "elsewhere.npy")
    config = json.loads((runs / "table" / "config.json").read_text())
    config["config"]["data"] = "gone.npy"
    (runs / "table" / "config.json").write_text(json.dumps(config))
    assert run("table") == 2 and "gone.npy" in capsys.readouterr().err
    assert run("table", "--data", "elsewhere.npy", "-n", "100") == 0
    np.save("elsewhere.npy", np.load("elsewhere.npy") + 1)
    capsys.readouterr()
    assert run("table", "--data", "elsewhere.npy") == 2
    assert "what the run was trained on: its training rows have the SHA-256" in capsys.readouterr().err


def test_missing_mnist_files_are_requested(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = json.loads((runs / "digits" / "config.json").read_text())
    config["config"].update(data="mnist", data_dir="no/where")
    (runs / "digits" / "config.json").write_text(json.dumps(config))
    assert run("digits") == 2
    assert "train-images-idx3-ubyte.gz is in none of no/where" in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_said_after_the_numbers(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs / "ring" / "neighbours.png").mkdir()
    assert run("ring", "-n", "100") == 4
    said = capsys.readouterr()
    assert "coverage" in said.out and "neighbours.png could not be written" in said.err


def test_a_run_on_all_data_says_that_nothing_was_held_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(train.main, *TINY, "--data", "digits", "--steps", "2", "--all-data", "--out", "all") == 0
    assert run("all", "-n", "100") == 0
    said = capsys.readouterr().out
    assert "--all-data" in said and "memorisation" not in said.split("\n\n")[1]


# ---------------------------------------------------------------------------------------------------------- the picture


def test_the_picture_shows_each_image_beside_its_nearest(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    near = rng.random((3, 5, 16)).astype(np.float32)
    near[:, 0] = 1
    panels = [("one", np.zeros((3, 16), np.float32), near), ("two", np.zeros((2, 16), np.float32), near[:2])]
    plots.neighbours(tmp_path / "a.png", spaces.Image((4, 4)), panels)
    plots.neighbours(tmp_path / "b.png", spaces.Image((4, 4)), panels)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image.convert("L"))
    assert (pixels == 0).sum() > 5 * 80 * 80, "five black tiles"
    plots.distances(tmp_path / "c.png", rng.random(50), rng.random(50) + 1)
    plots.distances(tmp_path / "d.png", np.zeros(3), np.array([np.nan, 0.0]))


def test_copies_of_training_images_are_brought_forward(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among noise, three planted copies are the first rows of the second panel, beside their originals."""
    saved = checkpoint.load("digits")
    data = identity.training_data(Run(runs / "digits"), saved, None, None)
    x = np.random.default_rng(0).random((200, 64)).astype(np.float32)
    x[[7, 100, 150]] = data.train[[3, 4, 5]] * np.float32(data.unit)
    suite = Suite(data, evaluate.get_ops(), 100)
    report = evaluate.Report(Run(runs / "digits"), saved, suite, 1, {}, {}, [])
    drawn: list[Any] = []
    monkeypatch.setattr(plots, "neighbours", lambda path, space, panels: drawn.extend(panels))
    evaluate.picture(report, x, evaluate.get_ops())
    (_, first, _), (_, suspect, near) = drawn
    assert (first == x[:10]).all() and (suspect[:3] == x[[7, 100, 150]]).all()
    assert (near[:3, 0] == suspect[:3]).all() and near.shape == (10, 5, 64)


# ------------------------------------------------------------------------------------------------------ during training


def trained(*argv: object) -> int:
    return exit_code(train.main, *TINY, "--data", "digits", "--out", "run", *argv)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces.Image, "measured", 200)


@pytest.mark.usefixtures("few")
def test_measures_go_into_the_log_and_the_best_checkpoint_is_kept() -> None:
    assert trained("--steps", "12", "--evaluate-every", "5") == 0
    records = [r for r in Run(Path("run")).records() if "frechet" in r]
    assert [r["step"] for r in records] == [5, 10, 12]
    assert all({"coverage", "recall", "digit_kl"} <= set(r) and "memorisation" not in r for r in records)
    best = min(records, key=lambda r: r["frechet"])
    assert checkpoint.load("run/checkpoint.best.safetensors").step == best["step"]
    assert checkpoint.load("run").step == 12 and Path("run/curves.png").exists()
    assert checkpoint.load("run/checkpoint.previous.safetensors").step < 12, "the best is never kept as the previous"


@pytest.mark.usefixtures("few")
def test_the_curves_of_measures_get_the_real_scores_also_after_resuming(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, float]] = []
    monkeypatch.setattr(plots, "curves", lambda path, records, real: given.append(real))
    assert trained("--steps", "4", "--evaluate-every", "2") == 0
    assert exit_code(train.main, "--resume", "run", "--steps", "6", "--quiet") == 0
    assert exit_code(train.main, *TINY, "--data", "digits", "--steps", "2", "--out", "unmeasured") == 0
    measured = set([*Run(Path("run")).records()][-1]) - {"step"}
    assert given[0] == given[1] and set(given[0]) == measured and given[0]["kinds"] == 10 and given[2] == {}


@pytest.mark.usefixtures("few")
def test_the_command_measures_what_training_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert trained("--steps", "6", "--evaluate-every", "6") == 0
    logged = list(Run(Path("run")).records())[-1]
    assert run("run", "-n", "200", "--json", "a.json") == 0
    measured = json.loads(Path("a.json").read_text())["generated"]
    assert {k: measured[k] for k in logged if k != "step"} == {k: v for k, v in logged.items() if k != "step"}


@pytest.mark.usefixtures("few")
def test_training_ends_when_the_goal_is_met(capsys: pytest.CaptureFixture[str]) -> None:
    assert trained("--steps", "40", "--until", "frechet<1e9") == 0
    assert checkpoint.load("run").step == 4, "measured as often as pictures are drawn"
    assert (Path("run/samples.png")).exists() and checkpoint.load("run/checkpoint.best.safetensors").step == 4
    assert exit_code(train.main, "--resume", "run", "--until", "coverage>2", "--steps", "10", "--quiet") == 0
    assert checkpoint.load("run").step == 10


POINTS = ["--data", "points.npy"]


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data that are measured fast, and no pictures, which are slow."""
    np.save("points.npy", np.random.default_rng(0).normal(size=(100, 3)))
    for name in ("draw_progress", "finish"):
        monkeypatch.setattr(Session, name, lambda self: None)


@pytest.mark.usefixtures("points")
def test_a_run_whose_goal_is_reached_makes_no_further_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert trained(*POINTS, "--steps", "40", "--until", "frechet<1e9") == 0
    capsys.readouterr()
    before = without_speeds("run")
    for goal in ([], ["--until", "frechet < 1e8"]):  # another goal that the same measure reaches
        assert exit_code(train.main, "--resume", "run", *goal) == 0
        said = capsys.readouterr().out
        assert "is reached already, at step 4 with frechet" in said
        assert "no step is made; to go on, resume with another --until" in said
    assert {**without_speeds("run"), "config.json": None} == {**before, "config.json": None}


@pytest.mark.usefixtures("points")
@pytest.mark.parametrize("lost", ["the log", "what the checkpoint holds of it"])
def test_what_was_measured_is_remembered_by_checkpoints_and_by_older_ones_through_the_log(
    lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trained(*POINTS, "--steps", "8", "--until", "frechet<1e9", "--evaluate-every", "4") == 0
    if lost == "the log":
        Path("run/metrics.jsonl").unlink()
    else:
        newest = Path("run", checkpoint.NAME)
        newest.write_bytes(forged(newest.read_bytes(), lambda _, meta: meta.pop("measured")))
        assert checkpoint.load("run").measured == {}
    best, measure = Path("run/checkpoint.best.safetensors").read_bytes(), Suite.measure
    monkeypatch.setattr(Suite, "measure", lambda *a, **k: {**measure(*a, **k), "frechet": 1e12})
    assert exit_code(train.main, "--resume", "run", "--quiet") == 0
    assert checkpoint.load("run").step == 4
    assert exit_code(train.main, "--resume", "run", "--until", "frechet<0", "--quiet") == 0
    assert checkpoint.load("run").step == 8 and Path("run/checkpoint.best.safetensors").read_bytes() == best
    assert (
        checkpoint.load("run").measured["best"] == checkpoint.load("run/checkpoint.best.safetensors").measured["best"]
    )


@pytest.mark.usefixtures("points")
def test_a_best_checkpoint_from_beyond_the_newest_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed between the two saves of the step at which the goal is reached."""
    flags = [*POINTS, "--steps", "12", "--evaluate-every", "2", "--save-every", "4"]
    assert trained(*flags) == 0
    best = min((r for r in Run(Path("run")).records() if "frechet" in r), key=lambda r: r["frechet"])
    goal = ["--until", f"frechet<{math.nextafter(best['frechet'], math.inf)!r}"]
    shutil.rmtree("run")
    assert trained(*flags, *goal) == 0
    whole = without_speeds("run")
    shutil.rmtree("run")

    class Killed(BaseException):
        pass

    def die(self: Session) -> None:
        if self.reached:
            raise Killed
        save(self)

    save = Session.save
    with monkeypatch.context() as patch:
        patch.setattr(Session, "save", die)
        with pytest.raises(Killed):
            train.main([*TINY, "--out", "run", *flags, *goal])
    assert checkpoint.load("run").step < checkpoint.load("run/checkpoint.best.safetensors").step == best["step"]
    assert exit_code(train.main, "--resume", "run", "--quiet") == 0
    assert without_speeds("run") == whole


def without_speeds(run: str) -> dict[str, Any]:
    files: dict[str, Any] = tree(Path(run))
    lines = [json.loads(line) for line in files.pop("metrics.jsonl").splitlines()]
    for name in ("curves.png", checkpoint.PREVIOUS):
        files.pop(name, None)
    return {**files, "metrics": [{k: v for k, v in line.items() if k != "steps_per_second"} for line in lines]}


@pytest.mark.usefixtures("few")
def test_measuring_does_not_change_training(tmp_path: Path) -> None:
    assert trained("--steps", "8") == 0
    assert exit_code(train.main, *TINY, "--steps", "8", "--evaluate-every", "3", "--out", "other") == 0
    a, b = (checkpoint.load(p) for p in ("run", "other"))
    assert all(a.tensors[name].tobytes() == b.tensors[name].tobytes() for name in a.tensors)
    assert (a.measured, b.measured["last"]["step"]) == ({}, 8)


@pytest.mark.usefixtures("few")
def test_a_resumed_run_remembers_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trained("--steps", "6", "--evaluate-every", "3") == 0
    measure = Suite.measure

    def worse(self: Suite, x: np.ndarray, *, quick: bool = False) -> dict[str, float]:
        return {**measure(self, x, quick=quick), "frechet": 1e12}

    before = Path("run/checkpoint.best.safetensors").read_bytes()
    monkeypatch.setattr(Suite, "measure", worse)
    assert exit_code(train.main, "--resume", "run", "--steps", "9", "--quiet") == 0
    assert Path("run/checkpoint.best.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--until", "frechet=8"], "as in"),
        (["--until", "beauty<3"], "digits is measured by frechet, kid,"),
        (["--until", "modes>7"], "digits is measured by"),
        (["--until", "parzen>200"], "during training"),
        (["--evaluate-every", "0"], "--evaluate-every 0 is out of range"),
    ],
)
def test_goals_that_cannot_be_are_refused_before_anything_is_written(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained(*argv) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and not Path("run").exists()


@pytest.mark.usefixtures("few")
def test_samples_that_are_not_finite_end_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = GAN.sample
    monkeypatch.setattr(
        GAN, "sample", lambda self, n, **k: np.full((n, 64), np.nan) if n == 200 else sample(self, n, **k)
    )
    assert trained("--steps", "6", "--evaluate-every", "2") == 3
    assert "200 of 200 samples hold a number that is not finite" in capsys.readouterr().err


def test_a_picture_is_not_put_into_a_run_that_took_the_place_of_the_one_measured(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def replaced(*_: Any) -> Any:
        found = measured(*_)
        (runs / "ring").rename(runs / "moved")
        (runs / "ring").mkdir()
        return found

    measured = evaluate.evaluate
    monkeypatch.setattr(evaluate, "evaluate", replaced)
    assert run("ring", "-n", "100") == 4
    assert "ring could not be written (another directory has taken its place)" in capsys.readouterr().err
    assert tree(runs / "ring") == {}


def test_what_a_killed_evaluation_left_is_removed_by_the_next_and_on_resuming(runs: Path) -> None:
    left = runs / "table" / ".neighbours.png.x1y2z3a4.tmp.png"
    for again in ((evaluate.main, "table", "-n", "100"), (train.main, "--resume", "table", "--quiet")):
        left.write_bytes(b"half")
        assert exit_code(*again) == 0
        assert not left.exists()
