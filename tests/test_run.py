"""A run directory: numbered, never overwritten, locked by one process at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT

from minigan.backends import Ops
from minigan.config import Config
from minigan.errors import InputError
from minigan.runs.directory import Run, load_config, versions


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def opened(path: Path | str) -> Run:
    """A run that can be opened."""
    run = Run.create(str(path), "x")
    run.config.write_text("{}")
    run.release()
    return run


def test_runs_are_numbered_by_name() -> None:
    assert [str(Run.create(None, "ring").path) for _ in range(3)] == ["runs/ring-001", "runs/ring-002", "runs/ring-003"]
    assert str(Run.create(None, "grid").path) == "runs/grid-001"
    Path("runs/grid-003").mkdir()
    assert [str(Run.create(None, "grid").path) for _ in range(2)] == ["runs/grid-002", "runs/grid-004"]
    assert Path("runs/grid-004/samples").is_dir()


def test_an_empty_or_new_directory_is_taken_and_parents_are_made() -> None:
    Path("empty").mkdir()
    Path("empty/notes.txt").write_text("mine")
    for out in ("empty", "a/b/c"):
        assert Run.create(out, "x").path == Path(out)
    assert Path("empty/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "config.json", "metrics.jsonl", "samples", "samples.png"])
def test_a_directory_that_holds_a_run_is_refused_and_untouched(name: str) -> None:
    Path("used").mkdir()
    Path("used", name).write_text("mine")
    with pytest.raises(
        InputError, match=f"--out used already holds a run \\({name}\\); choose another, or --resume used."
    ):
        Run.create("used", "x")
    assert os.listdir("used") == [name]
    assert Path("used", name).read_text() == "mine"


def test_a_place_where_no_directory_can_be_made_is_refused() -> None:
    Path("file").write_text("mine")
    for out in ("file", "file/deeper", "x" * 300):
        with pytest.raises(InputError, match="cannot make a run directory there"):
            Run.create(out, "x")
    Path("runs").write_text("mine")
    with pytest.raises(InputError, match="runs: cannot make a run directory there"):
        Run.create(None, "x")


def test_one_process_at_a_time() -> None:
    run = opened("a")
    run.lock()
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from minigan.runs.directory import Run; Run.open('a')"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert second.returncode == 1
    assert "InputError: a: another process is training there" in second.stderr
    run.release()
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_lock_ends_with_the_process_that_held_it() -> None:
    opened("a")
    code = f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); from minigan.runs.directory import Run; Run.open('a'); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    Run.open("a").release()


def test_what_is_no_run_cannot_be_opened() -> None:
    Path("empty").mkdir()
    for path in ("nowhere", "empty"):
        with pytest.raises(InputError, match=f"--resume {path}: no run is there \\(no config.json\\)."):
            Run.open(path)


def test_a_directory_that_cannot_be_written_to_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    opened("a")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    with pytest.raises(InputError, match="--resume a: cannot be written to \\(Read-only file system\\)."):
        Run.open("a")


def test_opening_leaves_nothing_behind() -> None:
    opened("a")
    before = sorted(os.listdir("a"))
    Run.open("a").release()
    assert sorted(os.listdir("a")) == before


def test_the_configuration_comes_back_with_versions_beside_it(backend: Ops) -> None:
    run, config = Run.create("a", "x"), Config(seed=5, hidden=(3, 4), data_dir="/somewhere")
    run.write_config(config, backend)
    assert run.read_config() == load_config("a/config.json") == config
    written = json.loads(run.config.read_text())
    assert written["versions"] == versions(backend)
    assert {"minigan", "python", "numpy", "device"} <= set(versions(backend))
    assert ("cupy" in versions(backend)) == (backend.name == "cupy")


@pytest.mark.parametrize("content", ["[]", "{}", "3", '{"config": 3}', '{"config": {"steps": 0}}', "{", ""])
def test_a_damaged_configuration_is_refused(content: str) -> None:
    Path("config.json").write_text(content)
    with pytest.raises(InputError, match="config.json"):
        load_config("config.json")


def test_metrics_are_a_line_a_record_and_torn_lines_are_left_out() -> None:
    run = Run.create("a", "x")
    assert list(run.records()) == []
    records = [{"step": i, "loss_d": i / 3} for i in (2, 4, 6)]
    for record in records:
        run.append(record)
    assert len(run.metrics.read_text().splitlines()) == 3
    assert list(run.records()) == records
    with open(run.metrics, "ab") as file:
        file.write(b'{"step": 8, "los\xff')
    assert list(run.records()) == records
    run.rewind(4)
    assert list(run.records()) == records[:2]
    assert run.metrics.read_text() == "".join(json.dumps(r) + "\n" for r in records[:2])


def test_lines_that_are_no_records_are_left_out() -> None:
    run = Run.create("a", "x")
    run.metrics.write_text('[]\n3\nnull\n\n{}\n{"step": "x"}\n{"step": 1}\n')
    assert list(run.records()) == [{"step": 1}]


def test_rewinding_forgets_later_pictures_and_nothing_else() -> None:
    run = Run.create("a", "x")
    assert run.picture(500).name == "step-00000500.png"
    for step in (0, 500, 1000):
        run.picture(step).write_text("x")
    for other in ("step-x.png", "mine.png", "step-00002000.txt"):
        (run.pictures / other).write_text("mine")
    assert run.frames() == [run.picture(s) for s in (0, 500, 1000)]
    run.rewind(500)
    assert run.frames() == [run.picture(s) for s in (0, 500)]
    assert len(os.listdir(run.pictures)) == 5
