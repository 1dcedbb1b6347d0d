"""A run from Python: the files and the bytes of the command, also in a thread, and errors in a sentence."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from helpers import TINY, exit_code, tree

from minigan import fit, recipe, train
from minigan.config import Config
from minigan.errors import InputError

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
    """Signals come to the main thread alone: none is listened for."""
    sessions = []
    thread = threading.Thread(target=lambda: sessions.append(fit(config(), steps=4, out="threaded")))
    thread.start()
    thread.join()
    assert sessions[0].gan.step == 4
    fit(config(), steps=4, out="alone")
    assert comparable("threaded") == comparable("alone")


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
