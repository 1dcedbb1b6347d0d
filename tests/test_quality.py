"""The page of results agrees with the records, and the runs use the public commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, exit_code

from benchmarks import quality
from benchmarks.quality import Trial
from minigan import train


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(quality, "RESULTS", tmp_path)
    return tmp_path


def put(trial: Trial, **values: Any) -> None:
    key = {"group": trial.group, "data": trial.data, "recipe": trial.recipe, "seed": trial.seed}
    trial.write({**key, "seconds": 10.0, "jobs": 2, "threads": 1, "kernels": "numba", "step": 500, **values})


def ring(seed: int, **changes: float) -> dict[str, Any]:
    real = {"modes": 8.0, "high_quality": 0.99, "reverse_kl": 0.001, "mode_width": 1.0}
    return {"real": real, "generated": {**real, **changes}, "seconds": float(seed)}


def test_every_run_has_a_name_of_its_own_and_a_command_that_parses() -> None:
    trials = quality.plan()
    assert len({t.name for t in trials}) == len(trials)
    for trial in trials:
        if not trial.rival:
            config, _ = train.parse(quality.command(trial, 1)[3:])
            assert (config.data, config.recipe, config.seed) == (trial.data, trial.recipe, trial.seed)


def test_the_table_gives_mean_error_and_worst_seed(records: Path) -> None:
    put(Trial("recipe", "ring", "default", 100), **ring(10, reverse_kl=0.004, mode_width=1.3))
    put(Trial("recipe", "ring", "default", 101), **ring(30, reverse_kl=0.002, mode_width=0.9))
    put(Trial("recipe", "ring", "default", 102), failed="step 7: diverged")
    text = quality.measures("ring", ("default", "best"))
    assert "`default`, 2 of 10 seeds" in text and "best" not in text
    assert "| seconds of training | 20 ± 10 | 30 |" in text
    assert "| `reverse_kl` | 0.0030 ± 0.0010 | 0.004 | 0.001 |" in text
    assert "| `mode_width` | 1.10 ± 0.20 | 1.3 | 1 |" in text  # the farthest from 1
    assert "2 at once on 1 thread each, numba kernels. Failed: 1." in text
    assert "| **minigan `default`** | 8 | 99.0 % | 0.0030 |" in quality.published("ring")


def test_a_run_is_lost_by_an_error_or_a_missing_mode(records: Path) -> None:
    whole, missing = ring(1), ring(1, modes=7.0)
    for seed, values in ((200, whole), (201, missing), (202, {"failed": "step 7: diverged"}), (203, whole)):
        put(Trial("stability-half", "ring", "default", seed), **values)
    text = quality.stability()
    assert "| ring | half | 4 | 2 | `high_quality` 0.990 | 0.990 |" in text
    assert "2 of 4 runs (50.0%) kept every mode" in text


def test_nothing_measured_says_so(records: Path) -> None:
    assert quality.page().count("Not measured yet.") == 7


def test_a_rival_trains_as_long_as_the_recipe(records: Path) -> None:
    rival = Trial("rival", "mnist", "default", 100, rival=True)
    with pytest.raises(quality.InputError, match="no records yet"):
        quality.rival_command(rival, 2)
    for seed, seconds in ((100, 10.0), (101, 30.0), (102, 20.0)):
        put(Trial("recipe", "mnist", "default", seed), seconds=seconds)
    command = quality.rival_command(rival, 2)
    assert command[command.index("--seconds") + 1] == "20"


def test_a_run_is_made_measured_and_not_made_again(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--steps", "20", "--hidden", "8", "--sample-every", "20")
    good, bad = (
        Trial("test", "ring", "default", 3, few),
        Trial("test", "ring", "default", 4, (*few, "--lr-generator", "1e30")),
    )
    monkeypatch.setattr(quality, "WORK", tmp_path / "work")
    monkeypatch.setattr(quality, "plan", lambda: [good, bad])
    assert exit_code(quality.main, "--threads", "1") == 0
    found = good.read()
    assert found is not None and found["step"] == 20 and set(found["generated"]) == set(found["real"])
    assert "not finite" in (bad.read() or {})["failed"]
    before = good.records.read_bytes()
    assert exit_code(quality.main, "--threads", "1") == 0
    assert good.records.read_bytes() == before and before.count(b"\n") == 2
    assert str(ROOT) not in before.decode()
    capsys.readouterr()
    assert exit_code(quality.main, "--list") == 0
    assert capsys.readouterr().out.count("done") == 2
