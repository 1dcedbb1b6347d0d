"""A run from Python: the files and the bytes of the command, also in a thread, and errors in a sentence."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import TINY, exit_code, tree

from minigan import fit, recipe, train
from minigan.config import Config
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.errors import InputError
from minigan.nn.gan import GAN
from minigan.runs import checkpoint
from minigan.runs.session import Session
from minigan.runs.steps import steps_of

SETTINGS = {"batch_size": 8, "hidden": (8,), "latent": 3, "log_every": 2, "sample_every": 4}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIGAN_DATA", raising=False)  # which only the command reads
    return tmp_path


def config() -> Config:
    return recipe("default", "digits").replace(**SETTINGS)


def comparable(run: str) -> dict[str, bytes | None]:
    """The files of a run, without those that hold its speed."""
    return {name: content for name, content in tree(Path(run)).items() if name not in ("metrics.jsonl", "curves.png")}


def test_a_run_from_python_is_that_of_the_command() -> None:
    assert exit_code(train.main, *TINY, "--steps", 6, "--out", "command") == 0
    session = fit(config(), steps=6, out="python")
    assert comparable("python") == comparable("command")
    assert session.sample(5).shape == (5, 8, 8) and session.run.path == Path("python")


def test_it_resumes_and_refuses_what_may_not_change() -> None:
    fit(config(), steps=4, schedule_steps=6, out="a")
    fit(resume="a", steps=6)
    fit(config(), steps=6, schedule_steps=6, out="b")
    a, b = comparable("a"), comparable("b")
    for name in ("checkpoint.safetensors", "samples.png", "training.gif"):
        assert a[name] == b[name]
    with pytest.raises(InputError, match="--seed cannot change on --resume: the run has 0, you gave 3"):
        fit(resume="a", seed=3)


def test_it_runs_in_a_thread() -> None:
    """Only the main thread receives signals, so no handler is installed."""
    sessions = []
    thread = threading.Thread(target=lambda: sessions.append(fit(config(), steps=4, out="threaded")))
    thread.start()
    thread.join()
    assert sessions[0].gan.step == 4
    fit(config(), steps=4, out="alone")
    assert comparable("threaded") == comparable("alone")


def test_it_runs_twice_in_a_process_and_beside_an_event_loop(capsys: pytest.CaptureFixture[str]) -> None:
    """As in a notebook, whose cells run inside an event loop; with the progress bar; signal handlers are restored."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    async def cell(out: str) -> Session:
        return fit(config(), steps=4, out=out, quiet=False)

    async def notebook() -> None:
        assert asyncio.get_running_loop().is_running()
        for out in ("first", "second"):
            assert (await cell(out)).gan.step == 4
        await asyncio.to_thread(fit, config(), steps=4, out="third")

    asyncio.run(notebook())
    runs = [comparable(out) for out in ("first", "second", "third")]
    assert all(run == runs[0] for run in runs)
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert "4/4" in capsys.readouterr().err


def test_ctrl_c_stops_and_saves_and_a_second_one_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python continues after both, because the kernel of a notebook must not end."""
    step = GAN.train_step

    def pressed(times: int) -> None:
        def stepping(self: GAN, *args: Any, **kwargs: Any) -> Any:
            seen = step(self, *args, **kwargs)
            for _ in range(times if self.step == 3 else 0):
                os.kill(os.getpid(), signal.SIGINT)
            return seen

        monkeypatch.setattr(GAN, "train_step", stepping)

    pressed(1)
    assert fit(config(), steps=9, out="a").gan.step == 3
    pressed(2)
    with pytest.raises(KeyboardInterrupt):
        fit(config(), steps=9, out="b")
    pressed(0)
    assert fit(resume="a").gan.step == fit(resume=Path("b")).gan.step == 9
    assert comparable("a")["checkpoint.safetensors"] == comparable("b")["checkpoint.safetensors"]


def test_what_is_made_says_what_it_is_on_a_line() -> None:
    session = fit(config(), steps=2, out="run")
    assert repr(session) == f"Session('run', 2 steps on digits, {session.gan!r})"
    assert repr(session.gan) == "GAN(relativistic, generator 3-8-64, discriminator 64-8-1, batch 8, float32, step 2)"
    assert repr(session.run) == "Run('run')" and repr(session.scaler) == "Scaler(offset 0, scale 1)"
    words = "Data(digits: 1,438 train, 359 validation, 0 test, image of 8 x 8 values, stored as uint8)"
    assert repr(session.data) == words
    assert repr(session.steps.batches) == "Batches(8 of 1,438 rows of 64 values, 179 an epoch)"
    saved = checkpoint.load("run")
    assert repr(saved) == "Checkpoint('run/checkpoint.safetensors', step 2, digits: image of 8 x 8 values)"
    columns = Scaler(np.array([0.0, -3.0]), np.array([1.0, 0.25]))
    assert repr(columns) == "Scaler(offset -3 to 0 in 2 columns, scale 0.25 to 1 in 2 columns)"


def test_sizes_that_do_not_fit_are_refused_in_a_sentence() -> None:
    session = fit(config(), steps=2, out="run")
    ops, data, scaler, saved = session.backend, session.data, session.scaler, checkpoint.load("run")
    narrow, small = GAN(session.config, 5, ops), GAN(session.config.replace(hidden=(2,)), 64, ops)
    calls: dict[str, Callable[[], object]] = {
        "the number of samples must be a whole number from 0 to 2147483647, not -1": lambda: session.sample(-1),
        "the number of samples must be .*, not 2.5": lambda: saved.sample(2.5, ops, seed=0),  # type: ignore[arg-type]
        "the seed must be a whole number from 0 to 9223372036854775807, not -1": lambda: session.sample(1, seed=-1),
        "is 8 rows of 64 values, but the GAN takes 8 rows of 5;": lambda: narrow.train_step(session.steps.batches.fill),
        "takes 8 rows of 5; make both with": lambda: steps_of(narrow, session.steps.batches),
        r"rows of shape \(n, d\), not of an array of shape \(9,\)": lambda: Batches(
            np.zeros(9), 1.0, scaler, 2, 0, ops, "float32"
        ),
        r"needs rows of shape \(n, d\), .* of shape \(3,\)": lambda: scaler.to_model(np.zeros(3)),
        r"needs rows of shape \(n, 2\), .* of shape \(3, 4\)": lambda: Scaler(np.zeros(2), np.ones(2)).to_model(
            np.zeros((3, 4))
        ),
        r"of 64 values are scaled as rows of shape \(n, 64\)": lambda: Scaler.fit(data.space, np.zeros((3, 5)), "tanh"),
        "its generator has 608 numbers, that of the GAN 200; make the GAN": lambda: saved.restore(small),
        "the GAN makes samples of 5 values, but": lambda: checkpoint.save(
            "x", narrow, data.space, scaler, {"name": "x"}
        ),
        "fit needs a configuration, .* not an object of type ndarray": lambda: fit(np.zeros((9, 3))),  # type: ignore[arg-type]
    }
    for words, call in calls.items():
        with pytest.raises(InputError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not Path("x").exists()


def test_what_cannot_be_done_is_said_in_a_sentence() -> None:
    with pytest.raises(
        InputError, match=r"fit needs a configuration, as recipe\('default', 'digits'\), or a run to resume"
    ):
        fit()
    with pytest.raises(InputError, match="nothing/config.json: cannot be read"):
        fit(resume="nothing")
    fit(config(), steps=2, out="once")
    with pytest.raises(InputError, match="--out once already holds a run"):
        fit(config(), steps=2, out="once")
    with pytest.raises(InputError, match="--batch-size 5000 is larger than the training part"):
        fit(config(), steps=2, out="other", batch_size=5000)
    assert not Path("other").exists()
