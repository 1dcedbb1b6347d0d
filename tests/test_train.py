"""The command `python -m minigan.train`: its files, how it stops, what it refuses."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from fakecuda import on_cpu, stand_in
from helpers import TINY, exit_code, start, tree
from PIL import Image

from minigan import evaluate, get_ops, memory, sample, train
from minigan.backends import Ops
from minigan.backends.cuda.ops import Graph
from minigan.data import DATA_SETS, load
from minigan.nn.gan import GAN, Measurement
from minigan.runs import checkpoint, loop, threads
from minigan.runs.directory import Run, load_config
from minigan.runs.session import Session
from minigan.runs.steps import Launch
from minigan.runs.stop import Stop
from minigan.runs.tensors import KEY, digest

FILES = [
    "checkpoint.safetensors",
    "config.json",
    "curves.png",
    "metrics.jsonl",
    "samples",
    "samples.png",
    "training.gif",
]
SCHEDULED = [
    "--r1",
    "1",
    "--r2",
    "0.5",
    "--penalty-every",
    "3",
    "--penalty-schedule",
    "linear",
    "--lr-schedule",
    "cosine",
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIGAN_DATA", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)


def run(*argv: object) -> int:
    """Train tiny networks in this process; the exit code."""
    return exit_code(train.main, *TINY, *argv)


def resume(*argv: object) -> int:
    return exit_code(train.main, "--resume", *argv)


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[GAN], Any]) -> None:
    """Call `action` when training step number `step` has been made."""
    original = GAN.train_step

    def stepping(self: GAN, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if self.step == step:
            action(self)

    monkeypatch.setattr(GAN, "train_step", stepping)


def signalling(number: int) -> Callable[[GAN], None]:
    return lambda gan: os.kill(os.getpid(), number)


def seeing(measurement: Measurement) -> Callable[[GAN], None]:
    return lambda gan: setattr(gan, "measurement", lambda: measurement)


def comparable(directory: str) -> dict[str, Any]:
    """The files of a run that must not depend on interruptions."""
    files: dict[str, Any] = {**tree(Path(directory))}
    for name in ("curves.png", "checkpoint.previous.safetensors"):  # speeds; when the stop saved
        files.pop(name, None)
    lines = [json.loads(line) for line in files.pop("metrics.jsonl").splitlines()]
    return {**files, "metrics": [{k: v for k, v in line.items() if k != "steps_per_second"} for line in lines]}


# ------------------------------------------------------------------------------------------------------ what it leaves


def test_a_run_leaves_the_files_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--steps", 8, "--save-every", 4, "--out", "a") == 0
    assert sorted(os.listdir("a")) == sorted([*FILES, checkpoint.PREVIOUS])
    assert sorted(os.listdir("a/samples")) == [f"step-{i:08d}.png" for i in (0, 4, 8)]
    assert checkpoint.load("a").step == 8
    assert checkpoint.load(f"a/{checkpoint.PREVIOUS}").step == 4
    records = [json.loads(line) for line in Path("a/metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records] == [2, 4, 6, 8]
    for record in records:
        assert set(record) == {"step", "loss_d", "loss_g", "d_real", "d_fake", "steps_per_second"}
        assert 0 < record["d_real"] < 1 and 0 < record["d_fake"] < 1 and record["steps_per_second"] > 0
    for picture in ("a/samples.png", "a/curves.png", "a/samples/step-00000004.png", "a/training.gif"):
        with Image.open(picture) as image:
            image.load()
            assert min(image.size) > 100
    assert load_config("a/config.json").steps == 8
    assert capsys.readouterr() == ("", ""), "--quiet"


def test_it_says_the_backend_the_place_and_the_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = TINY.index("--quiet")
    assert exit_code(train.main, *TINY[:quiet], "--steps", 2, "--data", "digits") == 0
    out, err = capsys.readouterr()
    assert "backend numpy on CPU" in out and "float32" in out
    for name in ("runs/digits-001/samples.png", "runs/digits-001/curves.png", "runs/digits-001/training.gif"):
        assert name in out
    assert "python -m minigan.sample runs/digits-001" in out
    assert "2/2" in err and "D(G(z))" in err and "loss D" in err


def test_every_data_set_and_a_persons_own_data_train() -> None:
    rng = np.random.default_rng(0)
    Path("folder").mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (9, 7), np.uint8)).save(f"folder/{i}.png")
    rows = rng.normal(size=(20, 3)).astype(np.float32)
    np.save("array.npy", rows)
    np.savez("arrays.npz", x=rng.random((20, 5, 4), dtype=np.float32))
    Path("table.csv").write_text("height,weight,age\n" + "\n".join(",".join(map(str, row)) for row in rows.tolist()))
    kinds = {
        "ring": ("points", (2,)), "grid": ("points", (2,)), "table.csv": ("table", (3,)), "array.npy": ("table", (3,)),
        "arrays.npz": ("image", (5, 4)), "folder": ("image", (6, 6)),
    }  # fmt: skip
    for data, (kind, shape) in kinds.items():
        assert run("--data", data, "--steps", 2, *(["--image-size", 6] if data == "folder" else [])) == 0
        name = Path(data).stem
        assert set(FILES) <= set(os.listdir(f"runs/{name}-001"))
        saved = checkpoint.load(f"runs/{name}-001")
        assert (saved.space.kind, saved.space.shape, saved.step) == (kind, shape, 2)
    assert checkpoint.load("runs/table-001").space.columns == ("height", "weight", "age")


def test_config_json_repeats_the_run() -> None:
    assert run("--steps", 4, "--out", "a", "--seed", 5, *SCHEDULED) == 0
    assert exit_code(train.main, "--config", "a/config.json", "--out", "b", "--quiet") == 0
    for name in ("checkpoint.safetensors", "config.json", "samples.png", "training.gif"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()
    assert exit_code(train.main, "--config", "a/config.json", "--out", "c", "--quiet", "--seed", 6) == 0
    assert load_config("c/config.json") == load_config("a/config.json").replace(seed=6)


def test_the_same_seed_gives_the_same_bytes_in_two_processes_and_another_does_not(tmp_path: Path) -> None:
    argv = [*TINY, "--data", "digits", "--steps", 6, *SCHEDULED]
    (tmp_path / "deeper").mkdir()
    places = [(tmp_path, "a", 1), (tmp_path / "deeper", "b", 1), (tmp_path, "c", 2)]
    processes = [start("minigan.train", *argv, "--out", out, "--seed", seed, cwd=cwd) for cwd, out, seed in places]
    assert [p.communicate()[1] for p in processes] == [""] * 3
    one, same, other = (Path(cwd, out, checkpoint.NAME).read_bytes() for cwd, out, _ in places)
    assert one == same
    assert one != other


def test_reporting_does_not_change_the_numbers() -> None:
    assert run("--steps", 6, "--out", "a") == 0
    assert run("--steps", 6, "--out", "b", "--log-every", 1, "--sample-every", 1, "--save-every", 1) == 0
    assert Path("a", checkpoint.NAME).read_bytes() == Path("b", checkpoint.NAME).read_bytes()


def test_small_products_take_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def limits(*argv: str) -> Any:
        config, _ = train.parse(list(argv))
        size = {"digits": (8, 8), "mnist": (28, 28)}[config.data]
        with monkeypatch.context() as patch:
            patch.setattr("threadpoolctl.threadpool_limits", lambda limits, user_api: asked.append((limits, user_api)))
            threads.limited_threads(GAN(config, size, get_ops()))
        return asked[-1]

    assert limits() == (1, "blas")
    assert limits("--data", "mnist", "--data-dir", ".") == (None, "blas")
    assert limits("--threads", "3") == (3, "blas")


@pytest.mark.parametrize(
    "argv, expected",
    [
        ([], 2), (["--batch-size", "16"], 2), (["--batch-size", "15"], 1), (["--batch-size", "400"], 4),
        (["--threads", "3"], 3),
    ],
)  # fmt: skip
def test_a_programs_threads_leave_the_blas_one(monkeypatch: pytest.MonkeyPatch, argv: list[str], expected: int) -> None:
    team = pytest.importorskip("minigan.backends.numba.team", reason="the extra `fast` is not installed")
    if team.blas() is None:
        pytest.skip("NumPy has another BLAS than OpenBLAS")
    asked = []
    monkeypatch.setattr("threadpoolctl.threadpool_limits", lambda limits, user_api: asked.append((limits, user_api)))
    monkeypatch.setattr(threads, "processors", lambda: 8)
    gan = GAN(train.parse(["--kernels", "numba", "--hidden", "128", "128", *argv])[0], 64, get_ops("numpy", "numba"))
    threads.limited_threads(gan)
    assert gan.ops.threads == expected
    assert asked == [(1, "blas")]


def test_a_flag_overrides_the_recipe_and_the_recipe_the_default() -> None:
    config, _ = train.parse(["--recipe", "article", "--beta1", "0.25"])
    assert (config.update, config.latent, config.output, config.beta1) == ("simultaneous", 100, "sigmoid", 0.25)
    assert train.parse(["--data", "ring"])[0].output == "identity"
    assert train.parse(["--data", "grid", "--output", "tanh"])[0].output == "tanh"
    assert run("--recipe", "article", "--steps", 2, "--out", "a") == 0


def test_the_recipe_fits_the_kind_of_a_persons_own_data() -> None:
    Path("folder").mkdir()
    np.save("table.npy", np.zeros((5, 3)))
    np.save("images.npy", np.zeros((5, 3, 3)))
    outputs = {data: train.parse(["--data", data])[0].output for data in ("folder", "table.npy", "images.npy", "x.csv")}
    assert outputs == {"folder": "sigmoid", "images.npy": "sigmoid", "table.npy": "identity", "x.csv": "identity"}


def test_the_data_directory_comes_from_the_environment_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGAN_DATA", "/there")
    assert train.parse([])[0].data_dir == "/there"
    assert train.parse(["--data-dir", "/here"])[0].data_dir == "/here"
    monkeypatch.setenv("MINIGAN_DATA", "")
    assert train.parse([])[0].data_dir is None


def test_all_data_trains_on_the_validation_part_too() -> None:
    assert run("--steps", 1, "--out", "a") == 0
    assert run("--steps", 1, "--out", "b", "--all-data") == 0
    assert [checkpoint.load(d).data["samples"] for d in ("a", "b")] == [1438, 1797]


def test_help_is_fast_and_shows_the_defaults_that_apply(tmp_path: Path) -> None:
    for data, steps in (("digits", train.parse([])[0].steps), ("ring", train.parse(["--data", "ring"])[0].steps)):
        process = start("minigan.train", "--data", data, "--help", cwd=tmp_path)
        out, err = process.communicate()
        assert process.returncode == 0 and err == ""
        assert f"training steps (generator updates) (default: {steps})" in " ".join(out.split())


# -------------------------------------------------------------------------------------------------- stop and continue


@pytest.mark.parametrize(
    "settings",
    [
        ["--data", "digits", *SCHEDULED],
        ["--data", "ring", "--update", "simultaneous", "--discriminator-steps", "2", "--gradient-penalty", "1"],
        ["--data", "digits", "--kernels", "numba", "--threads", "2", *SCHEDULED],
    ],
    ids=["digits", "ring", "numba"],
)
def test_a_run_stopped_half_way_and_resumed_equals_one_that_was_not(
    monkeypatch: pytest.MonkeyPatch, settings: list[str]
) -> None:
    if "numba" in settings:
        pytest.importorskip("numba", reason="the extra `fast` is not installed")
    settings = [*settings, "--steps", "10", "--save-every", "4", "--sample-every", "2"]
    assert run(*settings, "--out", "whole") == 0
    with monkeypatch.context() as patch:
        at_step(patch, 5, signalling(signal.SIGTERM))
        assert run(*settings, "--out", "halves") == 143
    assert checkpoint.load("halves").step == 5
    assert resume("halves", "--quiet") == 0
    assert comparable("halves") == comparable("whole")


def test_a_run_killed_between_checkpoints_and_resumed_equals_one_that_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log lines and pictures from after the last checkpoint are removed and made again."""
    settings = ["--steps", 10, "--save-every", 4, "--sample-every", 1]
    assert run(*settings, "--out", "whole") == 0

    class Killed(BaseException):
        pass

    def die(gan: GAN) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        at_step(patch, 7, die)
        with pytest.raises(Killed):
            train.main([*TINY, *map(str, settings), "--out", "killed"])
    with open("killed/metrics.jsonl", "a") as file:
        file.write('{"step": 7, "lo')
    assert checkpoint.load("killed").step == 4
    assert Path("killed/samples/step-00000006.png").exists()
    assert resume("killed", "--quiet") == 0
    assert comparable("killed") == comparable("whole")


def test_resuming_a_finished_run_changes_nothing() -> None:
    assert run("--steps", 4, "--out", "a") == 0
    before = comparable("a")
    assert resume("a", "--quiet") == 0
    assert comparable("a") == before


def test_more_steps_continue_at_the_final_values_of_the_schedule() -> None:
    assert run("--steps", 4, "--out", "a", "--lr-schedule", "linear") == 0
    trained = checkpoint.load("a").tensors["discriminator"]
    assert resume("a", "--steps", 6, "--quiet") == 0
    saved = checkpoint.load("a")
    assert (saved.step, saved.config.steps, saved.config.schedule_steps) == (6, 6, 4)
    np.testing.assert_array_equal(saved.tensors["discriminator"], trained)  # the rate had fallen to 0


def test_a_setting_that_must_not_change_on_resume_is_refused_with_both_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("--steps", 2, "--out", "a", "--seed", 3) == 0
    before = tree(Path("a"))
    for name, new, old in (("--seed", "4", "3"), ("--batch-size", "9", "8"), ("--objective", "hinge", "relativistic")):
        assert resume("a", name, new) == 2
        assert (
            capsys.readouterr().err
            == f"minigan: {name} cannot change on --resume: the run has {old}, you gave {new}.\n"
        )
    assert resume("a", "--hidden", 9, 9) == 2
    assert "--hidden cannot change" in capsys.readouterr().err
    assert tree(Path("a")) == before
    assert resume("a", "--seed", 3, "--log-every", 1, "--quiet") == 0


def test_other_data_on_resume_are_refused_in_words_that_say_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", np.random.default_rng(0).random((20, 2)))
    assert run("--data", "x.npy", "--steps", 2, "--out", "a") == 0
    np.save("x.npy", np.random.default_rng(1).random((20, 2)))
    before = tree(Path("a"))
    assert resume("a") == 2
    message = capsys.readouterr().err
    assert "--data x.npy does not hold what the run was trained on: its training rows have the SHA-256" in message
    os.remove("x.npy")
    assert resume("a") == 2
    assert tree(Path("a")) == before


def csv(name: str, rows: np.ndarray, columns: str = "a,b,c") -> None:
    np.savetxt(name, rows, "%.17g", ",", header=columns, comments="")


@pytest.mark.parametrize("change", ["columns", "held-out rows", "shape"])
def test_data_that_changed_outside_their_training_values_are_refused(
    change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By --resume and by evaluate, which compares samples with held-out rows."""
    rng = np.random.default_rng(0)
    rows, images, name = rng.random((100, 3)), rng.random((100, 4, 6)), "x.npy" if change == "shape" else "x.csv"
    np.save(name, images) if change == "shape" else csv(name, rows)
    assert run("--data", name, "--steps", 2, "--out", "a") == 0
    if change == "shape":
        np.save(name, images.reshape(100, 3, 8))
    elif change == "columns":
        csv(name, rows, "a,b,d")
    else:
        held_out = load("x.csv").validation[:, 0]
        rows[np.isin(rows[:, 0].astype("f"), held_out.astype("f"))] += 100
        csv(name, rows)
    words = {
        "columns": "its column 3 is called d, not c.",
        "held-out rows": "its held-out rows have the SHA-256",
        "shape": "its shape is (3, 8), not (4, 6).",
    }
    before = tree(Path("a"))
    for main, argv in ((train.main, ["--resume", "a"]), (evaluate.main, ["a"])):
        capsys.readouterr()
        assert exit_code(main, *argv) == 2
        message = capsys.readouterr().err
        assert words[change] in message and message.count("\n") == 1
    assert tree(Path("a")) == before


def test_the_same_data_elsewhere_and_under_another_name_resume_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", np.random.default_rng(0).random((20, 2)))
    assert run("--data", "x.npy", "--steps", 4, "--out", "whole") == 0
    assert run("--data", "x.npy", "--steps", 2, "--schedule-steps", 4, "--out", "a") == 0
    shutil.move("x.npy", "moved.npy")
    capsys.readouterr()
    assert resume("a") == 2
    message = capsys.readouterr().err
    assert message.startswith("minigan: --resume a: --data 'x.npy' is neither") and message.count("\n") == 1
    assert message.endswith("Where the run's data have moved, say so with --data (or --data-dir).\n")
    assert exit_code(evaluate.main, "a") == 2
    assert "say so with --data" in capsys.readouterr().err
    assert resume("a", "--data", "moved.npy", "--steps", 4, "--quiet") == 0
    whole, moved = checkpoint.load("whole"), checkpoint.load("a")
    assert all(whole.tensors[name].tobytes() == moved.tensors[name].tobytes() for name in whole.tensors)
    assert resume("a", "--quiet") == 0, "where they are now is remembered"


def test_a_damaged_newest_checkpoint_is_resumed_from_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--steps", 8, "--save-every", 4, "--out", "a") == 0
    whole = comparable("a")
    Path("a", checkpoint.NAME).write_bytes(b"damaged")
    assert resume("a", "--quiet") == 0
    message = capsys.readouterr().err
    assert message.startswith("minigan: a/checkpoint.safetensors: ") and message.count("\n") == 1
    assert message.endswith("Using checkpoint.previous.safetensors (step 4) instead.\n")
    assert comparable("a") == whole


def test_settings_edited_by_hand_are_refused_on_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--steps", 2, "--out", "a") == 0
    text = Path("a/config.json").read_text()
    Path("a/config.json").write_text(text.replace('"ema": 0.9997', '"ema": 0.5'))
    assert resume("a") == 2
    assert "--ema is 0.5 in config.json, 0.9997 in the checkpoint" in capsys.readouterr().err


def test_two_processes_on_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--steps", 2, "--out", "a") == 0
    first = Run.open("a")
    before = tree(Path("a"))
    assert resume("a") == 2
    assert "another process is training there" in capsys.readouterr().err
    assert tree(Path("a")) == before
    first.release()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_step_saves_and_says_how_to_continue(tmp_path: Path, number: int) -> None:
    quiet = TINY.index("--quiet")
    process = start(
        "minigan.train", *TINY[:quiet], "--steps", 10**9, "--out", "a", "--sample-every", 10**9, cwd=tmp_path
    )
    assert process.stdout is not None
    while not Path("a/metrics.jsonl").exists():
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    step = checkpoint.load("a").step
    assert step > 0
    assert f"stopped and saved at step {step}; continue with: python -m minigan.train --resume a" in out
    assert "Traceback" not in err
    assert set(FILES) <= set(os.listdir("a"))


def test_the_first_signal_requests_a_stop_and_the_second_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(BaseException):
        pass

    def ended(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", ended)
    stop, before = Stop(), signal.getsignal(signal.SIGINT)
    with stop.listening():
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested and stop.signal == signal.SIGTERM
        with pytest.raises(Ended) as caught:
            os.kill(os.getpid(), signal.SIGINT)
    assert caught.value.args == (130,)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
def test_a_closed_pipe_does_not_stop_training(tmp_path: Path) -> None:
    """Like `python -m minigan.train | head -1`."""
    quiet = TINY.index("--quiet")
    process = start(
        "minigan.train", *TINY[:quiet], "--steps", 3000, "--sample-every", 10**9, "--out", "a", cwd=tmp_path
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith("backend numpy")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert "Error" not in err and "Traceback" not in err
    assert checkpoint.load("a").step == 3000


# -------------------------------------------------------------------------------------------------- when it goes wrong


def test_divergence_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """A far too large learning rate, in a separate process: the output has no NumPy warnings either."""
    process = start("minigan.train", *TINY, "--steps", 100, "--lr-discriminator", 1e30, "--out", "a", cwd=tmp_path)
    out, err = process.communicate()
    assert process.returncode == 3
    assert out == ""
    assert err.startswith("minigan: step ") and "discriminator" in err and "--lr-discriminator" in err
    assert err.count("\n") == 1
    saved = checkpoint.load("a")
    assert saved.step == 0 and np.isfinite(saved.tensors["discriminator"]).all()


def poisoned(network: str, layer: int, part: int, value: float) -> Callable[[GAN], None]:
    def poison(gan: GAN) -> None:
        getattr(gan, network).theta.layers[layer][part].ravel()[1] = value

    return poison


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (poisoned("generator", 1, 0, np.nan), ("step 6: layer 2 of the generator", "--lr-generator")),
        (poisoned("discriminator", 0, 1, np.inf), ("step 6: layer 1 of the discriminator", "--lr-discriminator")),
        (
            seeing(Measurement(1.0, np.inf, 0.5, 0.5)),
            ("step 6: the loss of the generator is inf", "--lr-generator"),
        ),
        (seeing(Measurement(np.nan, 1.0, 0.5, 0.5)), ("step 6: the loss of the discriminator is nan", "--r1")),
    ],
)
def test_divergence_names_step_network_and_layer(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    action: Callable[[GAN], Any],
    words: tuple[str, ...],
) -> None:
    at_step(monkeypatch, 6, action)
    assert run("--steps", 10, "--save-every", 4, "--out", "a") == 3
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    for word in words:
        assert word in message
    assert checkpoint.load("a").step == 4
    Run.open("a").release()


def test_divergence_between_two_lines_of_the_log_is_never_saved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_step(monkeypatch, 3, poisoned("generator", 0, 0, np.nan))
    assert run("--steps", 10, "--log-every", 10, "--save-every", 2, "--out", "a") == 3
    assert "step 4: generator" in capsys.readouterr().err
    assert checkpoint.load("a").step == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_ends_the_run_which_continues_when_there_is_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    settings = ["--steps", 10, "--save-every", 4]
    assert run(*settings, "--out", "whole") == 0

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        at_step(patch, 6, lambda gan: patch.setattr(os, "fsync", fail))
        assert run(*settings, "--out", "a") == 4
    message = capsys.readouterr().err
    assert "could not be written" in message and os.strerror(number) in message and "--resume a" in message
    assert message.count("\n") == 1
    assert checkpoint.load("a").step == 4
    assert resume("a", "--quiet") == 0
    assert comparable("a") == comparable("whole")


def test_a_full_disk_on_resume_is_refused_before_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert run("--steps", 2, "--out", "a") == 0
    before = tree(Path("a"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        assert resume("a") == 2
    assert capsys.readouterr().err == "minigan: a: cannot be written to (No space left on device).\n"
    assert tree(Path("a")) == before
    Run.open("a").release()


def test_a_directory_that_vanishes_is_reported_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_step(monkeypatch, 5, lambda gan: shutil.rmtree("a"))
    assert run("--steps", 10, "--out", "a") == 4
    message = capsys.readouterr().err
    assert message.startswith("minigan: step ") and message.count("\n") == 1


# ------------------------------------------------------------------------------------------------------ what it refuses


def made_up_files() -> None:
    Path("file").write_text("mine")
    Path("used").mkdir()
    Path("used/config.json").write_text("{}")
    Path("empty").mkdir()
    Path("bad.json").write_text('{"config": {"steps": 0}}')
    Path("list.json").write_text("[]")
    config = json.dumps({"config": {"data": "mnist", "data_dir": "a\0b"}})
    Path("nul.json").write_text(config)
    Path("nul-data.json").write_text(json.dumps({"config": {"data": "a\0b.npy"}}))
    Path("surrogate.json").write_text('{"config": {"data": "\\udc80.csv"}}')
    Path("few.csv").write_text("a,b\n" + "1,2\n3,4\n" * 8)
    Path("text.csv").write_text("a,b\n1,two\n")
    Path("empty.npy").write_bytes(b"")
    Path("cut.npz").write_bytes(b"PK\x03\x04")


BAD_INPUT: list[tuple[str, tuple[str, ...]]] = [
    ("--data nonsense", ("--data 'nonsense' is neither", ", ".join(DATA_SETS))),
    ("--data empty", ("empty",)),
    ("--data text.csv", ("text.csv",)),
    ("--data empty.npy", ("empty.npy",)),
    ("--data cut.npz", ("cut.npz",)),
    ("--data mnist --data-dir empty", ("empty",)),
    ("--data mnist --data-dir nowhere", ("nowhere",)),
    ("--objective nonsense", ("--objective nonsense is unknown", "minimax, non-saturating")),
    ("--activation swish", ("--activation swish is unknown", "leaky-relu")),
    ("--update never", ("--update never is unknown",)),
    ("--output relu", ("--output relu is unknown",)),
    ("--dtype float16", ("--dtype float16 is unknown", "float32, float64")),
    ("--backend torch", ("--backend torch is unknown", "numpy, cupy")),
    ("--recipe nonsense", ("--recipe nonsense is unknown", "default, best, article")),
    ("--recipe article --data few.csv", ("--recipe article has no settings for table data",)),
    ("--lr-schedule step", ("--lr-schedule step is unknown",)),
    *(
        (f"--{name} {value}", (f"--{name} {value} is out of range", ">= 1"))
        for name in (
            "steps",
            "batch-size",
            "latent",
            "log-every",
            "sample-every",
            "save-every",
            "penalty-every",
            "hidden",
        )
        for value in ("0", "-3", "1" + "0" * 400)
    ),
    ("--seed -1", ("--seed -1 is out of range", f"<= {2**63 - 1}")),
    (f"--seed {2**63}", ("is out of range",)),
    *(
        (f"--lr-{player} {value}", (f"--lr-{player} {float(value)} is out of range", "> 0"))
        for player in ("generator", "discriminator")
        for value in ("0", "-1", "nan", "inf")
    ),
    *(
        (f"--{name} {v}", (f"--{name} {float(v)} is out of range", "< 1"))
        for name in ("beta1", "beta2", "ema")
        for v in ("1", "-0.1", "nan")
    ),
    ("--r1 -1", ("--r1 -1.0 is out of range", ">= 0")),
    ("--steps x", ("--steps: invalid int value: 'x'",)),
    ("--steps", ("--steps: expected one argument",)),
    ("--nonsense", ("unknown argument --nonsense",)),
    ("--step 5", ("did you mean --steps?",)),
    ("stray", ("unknown argument stray",)),
    ("--batch-size 1439", ("--batch-size 1439 is larger than the training part, which has 1438 samples",)),
    ("--data few.csv --batch-size 14", ("--batch-size 14 is larger than the training part, which has 13 samples",)),
    ("--out used", ("--out used already holds a run (config.json)",)),
    ("--out file", ("--out file: cannot make a run directory there",)),
    ("--out file/deeper", ("--out file/deeper: cannot make a run directory there",)),
    ("--config nowhere.json", ("nowhere.json: cannot be read",)),
    ("--config file", ("file: not valid JSON",)),
    ("--config bad.json", ("bad.json: --steps 0 is out of range",)),
    ("--config list.json", ("list.json: holds no configuration",)),
    ("--config nul.json", ()),
    ("--config nul-data.json", ()),
    ("--config surrogate.json", ()),
    ("--config used/config.json --recipe best", ("used/config.json",)),
    ("--resume nowhere", ("--resume nowhere: no run is there",)),
    ("--resume empty", ("--resume empty: no run is there",)),
    ("--resume used", ("used/config.json: holds no configuration",)),
    ("--resume used --out other", ()),
]


@pytest.mark.parametrize(("flags", "words"), BAD_INPUT, ids=[flags[:40] for flags, _ in BAD_INPUT])
def test_bad_input_is_refused_in_one_sentence_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], flags: str, words: tuple[str, ...]
) -> None:
    made_up_files()
    before = tree(Path())
    assert exit_code(train.main, *flags.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert (err.startswith("minigan: ") and err.endswith(".\n")) or "?\n" in err
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert tree(Path()) == before


def test_bad_input_in_a_separate_process(tmp_path: Path) -> None:
    process = start("minigan.train", "--steps", "0", cwd=tmp_path)
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err == "minigan: --steps 0 is out of range; it must be a whole number >= 1.\n"
    assert os.listdir(tmp_path) == []


def test_resume_and_config_take_no_flags_that_contradict_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--steps", 2, "--out", "a") == 0
    assert resume("a", "--out", "b") == 2
    assert "leave out --out and --config" in capsys.readouterr().err
    assert resume("a", "--config", "a/config.json") == 2
    assert exit_code(train.main, "--config", "a/config.json", "--recipe", "best") == 2
    assert "leave out --recipe" in capsys.readouterr().err
    assert sorted(os.listdir()) == ["a"]


def test_flags_that_would_have_no_effect_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--steps", 2, "--out", "a") == 0
    before = tree(Path())
    assert resume("a", "--recipe", "best") == 2
    assert "--resume continues with the run's own settings; leave out --recipe." in capsys.readouterr().err
    assert resume("a", "--recipe", "default") == 2, "whichever the run has"
    assert tree(Path()) == before


@pytest.mark.parametrize("place", ["my runs/a b", "it's", "-dash", "$HOME", "*"])
def test_printed_commands_can_be_run_in_a_shell(capsys: pytest.CaptureFixture[str], place: str) -> None:
    flags = [flag_ for flag_ in TINY if flag_ != "--quiet"]
    assert exit_code(train.main, *flags, "--steps", 2, f"--out={place}") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("more samples: python -m minigan.sample ")
    assert exit_code(sample.main, *shlex.split(last)[5:]) == 0
    assert Path("more.png").is_file()
    assert exit_code(train.main, f"--out={place}") == 2
    advice = capsys.readouterr().err.rpartition(", or ")[2].strip().removesuffix(".")
    assert exit_code(train.main, *shlex.split(advice), "--steps", 3, "--quiet") == 0
    assert checkpoint.load(place).step == 3


@pytest.mark.parametrize(
    ("variable", "code", "words"),
    [
        ("MPLBACKEND", 0, ""),
        ("COLUMNS", 0, ""),
        ("TQDM_MININTERVAL", 2, "minigan: the progress bar cannot use a variable of the environment"),
        ("TQDM_NCOLS", 2, "TQDM_NCOLS.\n"),
    ],
)
def test_invalid_environment_variables_are_ignored_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, code: int, words: str
) -> None:
    monkeypatch.setenv(variable, "nonsense")
    process = start("minigan.train", *TINY, "--steps", 1, "--out", "a", cwd=tmp_path)
    out, err = process.communicate()
    assert (process.returncode, out) == (code, "")
    assert words in err and err.count("\n") == (code != 0)
    assert (tmp_path / "a").exists() == (code == 0)


def test_a_run_with_unusable_weights_ends_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """A forged checkpoint with weights of 3e38 is resumed: the only message names where it diverges."""
    assert run("--steps", 2, "--out", "a") == 0
    path = Path("a", checkpoint.NAME)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    tensors, meta = dict(safetensors.numpy.load(content)), json.loads(header["__metadata__"][KEY])
    for name in ("generator", "generator.average", "discriminator"):
        tensors[name] = np.full_like(tensors[name], 3e38)
    meta["sha256"] = digest(tensors, meta)
    path.write_bytes(safetensors.numpy.save(tensors, {KEY: json.dumps(meta)}))
    before = path.read_bytes()
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resume("a", "--steps", 4, "--quiet") == 3
    err = capsys.readouterr().err
    assert err.startswith("minigan: step 4: ") and err.count("\n") == 1
    assert path.read_bytes() == before


def test_measures_that_do_not_fit_into_memory_are_refused_before_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 3_000_000)
    assert run("--steps", 2, "--evaluate-every", 2, "--out", "a") == 2
    err = capsys.readouterr().err
    assert "measuring 10,000 samples of digits needs" in err and "and 3.0 MB are available" in err
    assert os.listdir() == []
    assert run("--steps", 2, "--out", "a") == 0
    assert exit_code(evaluate.main, "a") == 2
    assert "measuring 10,000 samples of digits needs" in capsys.readouterr().err


def test_a_recipes_batch_is_a_suggestion_for_small_data() -> None:
    Path("few.csv").write_text("a,b\n" + "1,2\n3,4\n" * 8)
    assert exit_code(train.main, "--data", "few.csv", "--hidden", 4, "--steps", 1, "--quiet", "--out", "a") == 0
    assert checkpoint.load("a").config.batch_size == 13


def test_an_output_directory_that_cannot_be_written_is_refused_before_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", fail)
    assert run("--steps", 2, "--out", "a") == 2
    assert "a: cannot be written to (Read-only file system)" in capsys.readouterr().err


def test_cupy_without_a_device_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    assert run("--steps", 2, "--backend", "cupy") == 2
    message = capsys.readouterr().err
    assert "--backend cupy needs CuPy" in message and "pip install" in message
    assert os.listdir() == []


def test_training_raises_no_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run("--steps", 2, "--data", "grid", "--objective", "wasserstein", "--gradient-penalty", 10) == 0


def test_the_speed_is_that_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated clock: a step takes a second; pictures, measures and checkpoints take a minute each."""
    now = [0.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])

    def taking(owner: Any, name: str, seconds: float) -> None:
        original = getattr(owner, name)

        def slow(*args: Any, **kwargs: Any) -> Any:
            now[0] += seconds
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, slow)

    taking(GAN, "train_step", 1.0)
    for name in ("draw_progress", "measure", "save"):
        taking(Session, name, 60.0)
    flags = ("--log-every", 4, "--sample-every", 3, "--save-every", 2, "--evaluate-every", 5)
    assert run("--steps", 12, *flags, "--out", "a") == 0
    lines = [json.loads(line) for line in Path("a/metrics.jsonl").read_text().splitlines()]
    assert [line["steps_per_second"] for line in lines if "loss_d" in line] == [1.0, 1.0, 1.0]


ODD = ["--backend", "cupy", "--kernels", "cuda", "--log-every", 9, "--sample-every", 11, "--save-every", 10,
       "--evaluate-every", 7, "--schedule-steps", 23]  # fmt: skip
"""Intervals that are longer than a launch, and that no launch of 4 or 3 steps fits into."""


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Ops:
    """Training uses a stand-in for a GPU."""
    card = stand_in()
    monkeypatch.setattr("minigan.runs.parts.get_ops", lambda *_: card)
    return card


@on_cpu
def test_steps_per_launch_change_no_number(card: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log, pictures, measures and checkpoints are at their steps; a run may be resumed with another --steps-per-launch."""
    events: list[tuple[str, int]] = []
    for name in ("save", "measure", "draw_progress"):
        original = getattr(Session, name)
        monkeypatch.setattr(
            Session,
            name,
            lambda self, *args, name=name, original=original: (
                events.append((name, self.gan.step)),
                original(self, *args),
            )[1],
        )
    made: list[int] = []
    make = Launch.make
    monkeypatch.setattr(Launch, "make", lambda self, steps: (made.append(steps), make(self, steps))[1])

    def seen(*argv: object) -> tuple[list[tuple[str, int]], set[int]]:
        events.clear(), made.clear()
        assert run(*SCHEDULED, *ODD, *argv) == 0
        assert sum(made) == 23
        return events[:], set(made)

    one_by_one, sizes = seen("--steps", 23, "--out", "one")
    assert sizes == {1} and {step for _, step in one_by_one} == {0, 7, 10, 11, 14, 20, 21, 22, 23}
    together, sizes = seen("--steps", 23, "--out", "several", "--steps-per-launch", 3)
    assert sizes == {1, 3} and together == one_by_one
    one, several = comparable("one"), comparable("several")
    assert one.pop("config.json") != several.pop("config.json") and one == several

    assert run(*SCHEDULED, *ODD, "--steps", 14, "--out", "resumed", "--steps-per-launch", 4) == 0
    assert resume("resumed", "--steps", 23, "--steps-per-launch", 3, "--quiet") == 0
    assert Path("resumed/checkpoint.safetensors").read_bytes() == Path("one/checkpoint.safetensors").read_bytes()


@on_cpu
def test_the_bar_counts_steps_and_a_step_that_cannot_be_recorded_is_reported(
    card: Ops, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(self: Graph) -> None:
        raise RuntimeError("no recordings on this card")

    monkeypatch.setattr(Graph, "record", fails)
    flags = [flag for flag in TINY if flag != "--quiet"]
    argv = [*flags, *ODD, "--steps", 24, "--steps-per-launch", 4, "--out", "a"]
    assert exit_code(train.main, *argv) == 0
    said = capsys.readouterr().err
    assert "24/24" in said.replace("\r", "\n").splitlines()[-1]
    sentence = "minigan: a step cannot be recorded and is launched piece by piece, which is slower: no recordings on this card\n"
    assert sentence in said and "gpu.py" not in said


@on_cpu
def test_explain_times_launches_as_they_are_made(card: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make = Launch.make
    monkeypatch.setattr(Launch, "make", lambda self, steps: (made.append(steps), make(self, steps))[1])
    assert run(*ODD, "--r1", 1, "--penalty-every", 6, "--steps-per-launch", 4, "--explain") == 0
    assert set(made) == {4} and len(made) % 3 == 0


@on_cpu
def test_a_clock_waits_for_the_device_before_it_is_paused(card: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(card, "synchronize", lambda: now.__setitem__(0, now[0] + 4))
    gan = SimpleNamespace(step=0, ops=card)
    clock = loop.Clock(gan)  # type: ignore[arg-type]
    gan.step = 8
    with clock.paused():
        now[0] += 100
    assert clock.speed() == 2


def test_steps_per_launch_are_for_the_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--steps-per-launch", 8) == 2
    assert (
        "--steps-per-launch 8 is for --backend cupy --kernels cuda; elsewhere it must be 1." in capsys.readouterr().err
    )
