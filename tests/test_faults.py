"""Faults: whatever fails, and whenever the process dies, a checkpoint loads and the run resumes to the last bit."""

from __future__ import annotations

import builtins
import errno
import io
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import TINY, exit_code, start, tree
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_checkpoint import IDENTITY, SCALER, SPACE, trained

from minigan import train
from minigan.backends import get_ops
from minigan.config import Config
from minigan.nn.gan import GAN
from minigan.runs import checkpoint
from minigan.runs.checkpoint import NAME, PREVIOUS
from minigan.runs.directory import Run
from minigan.runs.session import Session
from minigan.runs.watch import Watch

pytestmark = pytest.mark.skipif(os.name != "posix", reason="injects the faults of POSIX systems")

LONG = [*TINY, "--log-every", "50", "--sample-every", "1000", "--save-every", "250", "--steps", "2000"]
"""Flags of a run that is most of a second away from nothing but its steps, and is killed between checkpoints."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def results(run: Path | str) -> dict[str, Any]:
    """All files that must be equal for a resumed and an uninterrupted run: all bytes except speeds and their curve."""
    files: dict[str, Any] = tree(Path(run))
    files.pop("curves.png", None)
    files.pop(PREVIOUS, None)  # when it was saved depends on when the run was stopped
    lines = [json.loads(line) for line in files.pop("metrics.jsonl").splitlines()]
    return {**files, "metrics": [{k: v for k, v in line.items() if k != "steps_per_second"} for line in lines]}


def load_silently(run: Path | str) -> checkpoint.Checkpoint:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return checkpoint.load(run)


def temporaries(directory: Path | str) -> list[Path]:
    return list(Path(directory).rglob(".*"))


# ------------------------------------------------------------------------------------- a system call that fails, in turn

CALLS = ("open", "close", "fsync", "chmod", "replace", "link", "unlink")
"""What files are written with, in `os`; and besides, opening a file for writing, and writing to it."""


class Faults:
    """Count the calls that write files, and make call number `at` fail, or all calls from it on."""

    def __init__(self, at: int = -1, number: int = errno.ENOSPC, once: bool = True, armed: bool = True) -> None:
        self.at, self.number, self.once, self.armed = at, number, once, armed
        self.names: list[str] = []

    def count(self, name: str) -> None:
        if not self.armed:
            return
        self.names.append(name)
        made = len(self.names) - 1
        if made == self.at or (made > self.at >= 0 and not self.once and name not in ("close", "unlink")):
            raise OSError(self.number, os.strerror(self.number))

    @contextmanager
    def injected(self) -> Iterator[None]:
        plain_open = open
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self.counted(name, getattr(os, name)))
            for module in (builtins, io):
                patch.setattr(module, "open", self.counted_open(plain_open))
            yield

    def counted(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if name == "close":
                original(*args)  # close(2) frees the number even where it reports an error
            self.count(name)
            return None if name == "close" else original(*args, **options)

        return call

    def counted_open(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            if not set(mode) & set("wax+"):
                return original(file, mode, *args, **options)
            self.count("open for writing")
            opened = original(file, mode, *args, **options)
            return Writing(opened, self)

        return call


class Writing:
    """A file whose writing stops half-way where it is made to fail."""

    def __init__(self, file: Any, faults: Faults) -> None:
        self.file, self.faults = file, faults

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, content: Any) -> int:
        try:
            self.faults.count("write")
        except OSError:
            self.file.write(content[: len(content) // 2])
            raise
        return int(self.file.write(content))


def saved(directory: Path, gan: GAN) -> None:
    checkpoint.save(directory / NAME, gan, SPACE, SCALER, IDENTITY)


def steps_twice(directory: Path) -> GAN:
    """A GAN after two steps, with the checkpoints of steps 0 and 1 in the directory."""
    directory.mkdir()
    gan = trained(get_ops(), steps=0)
    saved(directory, gan)
    for step in (1, 2):
        other = trained(get_ops(), steps=step)
        if step == 1:
            saved(directory, other)
    return other


def calls_of_one_save(directory: Path) -> list[str]:
    faults = Faults()
    gan = steps_twice(directory)
    with faults.injected():
        saved(directory, gan)
    return faults.names


def test_the_injector_sees_every_call_of_the_checkpoint_writer(tmp_path: Path) -> None:
    assert calls_of_one_save(tmp_path / "a") == [
        "open", "open for writing", "write",  # under a fresh name
        "unlink", "link",  # the one before gets its second name
        "fsync", "chmod", "replace",
        "open", "fsync", "close",  # the directory
    ]  # fmt: skip


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EIO, errno.EINTR, errno.EROFS, errno.EDQUOT], ids=errno.errorcode.get
)
@pytest.mark.parametrize("once", [True, False], ids=["once", "from then on"])
def test_every_call_of_the_checkpoint_writer_may_fail(tmp_path: Path, number: int, once: bool) -> None:
    n = len(calls_of_one_save(tmp_path / "counted"))
    for at in range(n):
        directory = tmp_path / str(at)
        gan = steps_twice(directory)
        faults = Faults(at, number, once)
        with faults.injected(), pytest.raises(OSError, match=os.strerror(number)):
            saved(directory, gan)
        assert temporaries(directory) == [], faults.names[at]
        assert load_silently(directory).step in (1, 2)  # 2 where only the directory could not be synced
        if (directory / PREVIOUS).exists():
            assert checkpoint.load(directory / PREVIOUS).step in (0, 1)
        saved(directory, gan)
        assert load_silently(directory).step == 2 and checkpoint.load(directory / PREVIOUS).step in (1, 2)


@settings(max_examples=30)
@given(data=st.data(), dtype=st.sampled_from(["float32", "float64"]), hidden=st.lists(st.integers(1, 4), max_size=3))
def test_any_finite_state_round_trips(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, dtype: str, hidden: list[int]
) -> None:
    """Bit for bit, including denormal and huge numbers and negative zeros."""
    gan, directory = (
        GAN(Config(hidden=tuple(hidden), latent=2, dtype=dtype), 4, get_ops()),
        tmp_path_factory.mktemp("x"),
    )
    finite = st.floats(allow_nan=False, allow_infinity=False, width=32 if dtype == "float32" else 64)
    for array in gan.state().values():
        few = data.draw(st.lists(finite, min_size=1, max_size=5))
        array[:] = np.resize(np.array(few, dtype), array.size)
    gan.step = data.draw(st.integers(0, 2**31 - 1))
    saved(directory, gan)
    loaded = load_silently(directory)
    assert loaded.step == gan.step
    for name, array in gan.state().items():
        assert loaded.tensors[name].dtype == dtype and loaded.tensors[name].tobytes() == array.tobytes()


def test_a_file_system_without_hard_links_keeps_both_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gan = steps_twice(tmp_path / "a")

    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    saved(tmp_path / "a", gan)
    assert load_silently(tmp_path / "a").step == 2 and checkpoint.load(tmp_path / "a" / PREVIOUS).step == 1
    real, seen = os.replace, []

    def replace(source: Any, target: Any) -> None:  # killed between the two renames
        seen.append(target)
        if len(seen) == 2:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        saved(tmp_path / "a", gan)
    with pytest.warns(UserWarning, match="Using checkpoint.previous"):
        assert checkpoint.load(tmp_path / "a").step == 2


def command_with_fault(faults: Faults, *flags: object) -> int:
    """Train with faults from the second step on; the exit code."""
    original = GAN.train_step

    def stepping(self: GAN, *args: Any, **options: Any) -> Any:
        faults.armed = self.step == 1 or faults.armed
        return original(self, *args, **options)

    faults.armed = False
    with pytest.MonkeyPatch.context() as patch, faults.injected():
        patch.setattr(GAN, "train_step", stepping)
        return exit_code(train.main, *TINY, *flags)


FLAGS = ["--steps", 4, "--save-every", 2, "--log-every", 2, "--sample-every", 4]


def check_faults_of_a_command(
    capsys: pytest.CaptureFixture[str], chosen: Callable[[list[str]], list[int]], resumed_every: int
) -> None:
    whole = Faults()
    assert command_with_fault(whole, *FLAGS, "--out", "whole") == 0
    expected, numbers = results("whole"), [errno.ENOSPC, errno.EIO, errno.EINTR, errno.EROFS]
    for at in chosen(whole.names):
        faults = Faults(at, numbers[at % len(numbers)])
        code = command_with_fault(faults, *FLAGS, "--out", f"at{at}")
        message = capsys.readouterr().err
        assert code == 4
        assert message.startswith("minigan: step ") and message.count("\n") == 1 and message.endswith(".\n")
        assert os.strerror(faults.number) in message and f"--resume at{at}" in message
        load_silently(f"at{at}")
        assert temporaries(f"at{at}") == []
        if at % resumed_every == 0:
            assert exit_code(train.main, "--resume", f"at{at}", "--quiet") == 0
            assert results(f"at{at}") == expected


def test_the_command_survives_every_call_of_a_save_that_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls for the metrics and the checkpoint of step 2; without pictures, which are slow."""
    for name in ("draw_progress", "finish"):
        monkeypatch.setattr(Session, name, lambda self: None)

    def first(names: list[str]) -> list[int]:
        return list(range(names.index("close", names.index("replace")) + 1))

    check_faults_of_a_command(capsys, first, resumed_every=1)


@pytest.mark.slow
def test_the_command_survives_every_writing_call_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """The calls of the whole run: metrics, checkpoints and every picture. The last two calls close the directories."""
    check_faults_of_a_command(capsys, lambda names: list(range(len(names) - 2)), resumed_every=1)


# --------------------------------------------------------------------------------------------------- kill -9, any moment


@dataclass(frozen=True)
class Uninterrupted:
    """An uninterrupted run: its flags, its files, its last step and its duration after its start."""

    flags: list[str]
    results: dict[str, Any]
    last: int
    seconds: float


def let_alone(directory: Path, *flags: object) -> Uninterrupted:
    with start("minigan.train", *flags, "--out", "run", cwd=directory) as process:
        while not (directory / "run").exists() and process.poll() is None:
            time.sleep(0.001)
        began = time.monotonic()
        assert process.wait(120) == 0
    seconds = time.monotonic() - began
    return Uninterrupted([*map(str, flags)], results(directory / "run"), load_silently(directory / "run").step, seconds)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    return let_alone(tmp_path_factory.mktemp("uninterrupted"), *LONG)


@pytest.fixture(scope="module")
def with_a_goal(tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    """A run with measures during training that ends at its best value, by --until."""
    directory = tmp_path_factory.mktemp("goal")
    np.save(directory / "x.npy", np.random.default_rng(0).random((200, 4, 4)))
    flags = [*LONG, "--data", directory / "x.npy", "--evaluate-every", "80"]
    with start("minigan.train", *flags, "--out", "measured", cwd=directory) as process:
        assert process.wait(120) == 0
    best = min(record["frechet"] for record in Run(directory / "measured").records() if "frechet" in record)
    found = let_alone(directory, *flags, "--until", f"frechet<{math.nextafter(best, math.inf)!r}")
    assert found.last > 0 and found.results["checkpoint.best.safetensors"] == found.results[NAME]
    return found


def kill_and_resume(directory: Path, after: float, expected: Uninterrupted) -> tuple[int, int]:
    """Kill a run some seconds after its directory appears, and resume it; its steps, and those of its checkpoint."""
    directory.mkdir()
    run = directory / "run"
    with start(
        "minigan.train",
        *expected.flags,
        "--out",
        "run",
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as killed:
        while not run.exists() and killed.poll() is None:
            time.sleep(0.001)
        time.sleep(after)
        killed.send_signal(signal.SIGKILL)
    step = kept = -1
    if any((run / name).exists() for name in (NAME, PREVIOUS)):
        kept = load_silently(run).step
        step = max([kept, *(record["step"] for record in Run(run).records())])
    flags = ["--resume", "run", "--quiet"] if (run / "config.json").exists() else [*expected.flags, "--out", "run"]
    with start("minigan.train", *flags, cwd=directory) as resumed:
        _, err = resumed.communicate(timeout=120)
    assert (resumed.returncode, err) == (0, "")
    assert results(run) == expected.results
    assert temporaries(run) == []
    shutil.rmtree(directory)
    return step, kept


def kill(times: int, tmp_path: Path, expected: Uninterrupted, longest: float, workers: int = 1) -> None:
    seed = int(os.environ.get("MINIGAN_KILL_SEED", random.randrange(10**6)))
    moments = [random.Random(seed + i).uniform(0, longest) for i in range(times - 1)] + [longest]
    with ThreadPoolExecutor(workers) as pool:
        seen = list(pool.map(lambda i: kill_and_resume(tmp_path / str(i), moments[i], expected), range(times)))
    before, between = sum(kept < 0 for _, kept in seen), sum(step > kept for step, kept in seen)
    ended = sum(kept == expected.last for _, kept in seen)
    print(
        f"\n{times} of {times} killed runs resumed to the same bytes (seed {seed}): {before} killed before the first "
        f"checkpoint, {between} seen to have gone on after their newest, {ended} after their last"
    )


def test_a_run_killed_at_a_random_moment_resumes_to_the_same_bytes(
    tmp_path: Path, uninterrupted: Uninterrupted
) -> None:
    kill(2, tmp_path, uninterrupted, 1.0)


def test_a_run_with_a_goal_killed_at_a_random_moment_resumes_to_the_same_bytes(
    tmp_path: Path, with_a_goal: Uninterrupted
) -> None:
    kill(2, tmp_path, with_a_goal, 2 * with_a_goal.seconds)


@pytest.mark.slow
def test_two_hundred_runs_killed_at_random_moments_resume_to_the_same_bytes(
    tmp_path: Path, uninterrupted: Uninterrupted
) -> None:
    times = int(os.environ.get("MINIGAN_KILLS", 200))
    kill(times, tmp_path, uninterrupted, 1.5 * let_alone(tmp_path, *LONG).seconds, workers=2)


@pytest.mark.slow
def test_forty_runs_with_a_goal_killed_at_random_moments_resume_to_the_same_bytes(
    tmp_path: Path, with_a_goal: Uninterrupted
) -> None:
    """With --until and --evaluate-every, the goal and the best checkpoint are part of the saved state."""
    times = int(os.environ.get("MINIGAN_KILLS", 40))
    kill(times, tmp_path, with_a_goal, 2.5 * with_a_goal.seconds, workers=2)  # two at a time take longer than one


def test_a_run_killed_before_its_first_checkpoint_begins_again() -> None:
    """The directory has a config.json and possibly an incomplete checkpoint, and no result that could be lost."""
    assert exit_code(train.main, *TINY, "--steps", 2, "--out", "whole") == 0
    for left in (["config.json"], []):
        os.makedirs("a/samples")
        for name in left:
            shutil.copy(Path("whole", name), "a")
        Path("a/.checkpoint.safetensors.x1y2.tmp.safetensors").write_bytes(b"half")
        flags = ["--resume", "a", "--quiet"] if left else [*TINY, "--steps", 2, "--out", "a"]
        assert exit_code(train.main, *flags) == 0
        assert results("a") == results("whole")
        shutil.rmtree("a")


def test_a_run_whose_checkpoints_were_deleted_is_not_begun_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(train.main, *TINY, "--steps", 2, "--out", "a") == 0
    Path("a", NAME).unlink()
    Path("a", PREVIOUS).unlink()
    before = tree(Path("a"))
    assert exit_code(train.main, "--resume", "a") == 2
    assert capsys.readouterr().err == "minigan: a: holds no checkpoint.safetensors, so it is no minigan run.\n"
    assert tree(Path("a")) == before


def test_a_damaged_newest_checkpoint_never_takes_the_place_of_the_good_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is resumed from the previous checkpoint and killed before, during and after the next save."""
    assert exit_code(train.main, *TINY, "--steps", 4, "--save-every", 2, "--out", "a") == 0
    content = Path("a", NAME).read_bytes()
    Path("a", NAME).unlink()
    Path("a", NAME).write_bytes(content[:-1])
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        train.main(["--resume", "a", "--quiet"])
    assert load_silently("a").step == 2


def test_fewer_steps_than_were_made_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(train.main, *TINY, "--steps", 4, "--out", "a") == 0
    before = tree(Path("a"))
    assert exit_code(train.main, "--resume", "a", "--steps", 3) == 2
    assert capsys.readouterr().err == "minigan: --steps 3 is too few: the run in a has made 4 already.\n"
    assert tree(Path("a")) == before


# --------------------------------------------------------------------------------- file systems: full, read-only, vanished


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A separate, small file system."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "none", place], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("may not mount a file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


BIG = [*TINY, "--hidden", "24", "--steps", "20", "--save-every", "5", "--sample-every", "5"]


def finished(*argv: object, cwd: Path) -> tuple[int, str]:
    with start(*argv, cwd=cwd) as process:
        _, err = process.communicate(timeout=120)
    return process.returncode, err


def test_a_full_disk_ends_the_run_which_resumes_when_there_is_room(tmp_path: Path, small: Path) -> None:
    assert exit_code(train.main, *BIG, "--out", "whole") == 0
    code, err = finished("minigan.train", *BIG, "--out", "run", cwd=small)
    assert code == 4
    assert err.startswith("minigan: step ") and "No space left on device" in err and err.count("\n") == 1
    assert "the last checkpoint is intact. Make room, then continue with --resume run." in err
    kept = load_silently(small / "run").step
    assert temporaries(small / "run") == []
    code, err = finished("minigan.train", "--resume", "run", cwd=small)  # still full: refused, or as far as it goes
    assert code in (2, 4) and "No space left on device" in err and "Traceback" not in err
    assert load_silently(small / "run").step >= kept
    remount(small, "size=64m")
    assert finished("minigan.train", "--resume", "run", "--quiet", cwd=small) == (0, "")
    assert results(small / "run") == results("whole")


def test_a_disk_that_is_full_at_the_start_is_refused(small: Path) -> None:
    with open(small / "filler", "wb") as filler, pytest.raises(OSError, match="No space"):
        filler.write(bytes(1 << 20))
    code, err = finished("minigan.train", *BIG, "--out", "run", cwd=small)
    assert code == 2 and "run: cannot be written to (No space left on device)" in err and err.count("\n") == 1


def test_a_disk_that_becomes_read_only(tmp_path: Path, small: Path) -> None:
    remount(small, "size=64m")
    with endless(small) as process:
        remount_when_idle(small)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "Read-only file system" in err and err.endswith("continue with --resume run.\n")
    load_silently(small / "run")
    for argv in (["--resume", "run"], [*TINY, "--out", "new"]):
        code, err = finished("minigan.train", *argv, cwd=small)
        assert code == 2 and "Read-only file system" in err and err.count("\n") == 1


def remount_when_idle(place: Path) -> None:
    """A file system becomes read-only only while no file on it is being written."""
    for _ in range(1000):
        if not subprocess.run(["mount", "-o", "remount,ro", place], capture_output=True, check=False).returncode:
            return
    raise AssertionError("always busy")


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits another process as Linux can")
def test_a_limit_on_the_size_of_files_ends_the_run_which_resumes_without_it(tmp_path: Path) -> None:
    """The effect of a quota, without mounting a file system."""
    with endless(tmp_path) as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (5000, 5000))
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "File too large" in err and err.splitlines()[-1].endswith("Put that right, then continue with --resume run.")
    steps = load_silently("run").step + 5
    assert exit_code(train.main, "--resume", "run", "--steps", steps, "--quiet") == 0
    assert (
        exit_code(train.main, *ENDLESS, "--quiet", "--steps", steps, "--schedule-steps", 10**9, "--out", "whole") == 0
    )
    assert results("run") == results("whole")


def test_a_directory_that_vanishes(tmp_path: Path) -> None:
    with endless(tmp_path) as process:
        os.rename("run", "elsewhere")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "the run directory is gone" in err and "Traceback" not in err
    load_silently("elsewhere")


def stranger(place: str) -> dict[str, bytes | None]:
    """Move a run's directory away and replace it by another run's; the contents of the latter."""
    os.rename(place, "moved")
    shutil.copytree("other", place)
    return tree(Path(place))


@pytest.mark.parametrize(
    ("what", "method"),
    [
        ("a line of the log", "append"),
        ("a picture", "picture"),
        ("a checkpoint", "save"),
        ("the best checkpoint", "note"),
        ("the last pictures", "finish"),
    ],
)
def test_nothing_is_written_into_a_directory_that_took_the_place_of_the_runs(
    what: str, method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("x.npy", np.random.default_rng(0).random((60, 4, 4)))
    if method not in ("picture", "finish"):  # drawing takes its time
        for name in ("draw_progress", "finish"):
            monkeypatch.setattr(Session, name, lambda self: None)
    flags = [
        *TINY,
        "--data",
        "x.npy",
        "--evaluate-every",
        "2",
        "--save-every",
        "2",
        "--sample-every",
        "2",
        "--steps",
        "4",
    ]
    assert exit_code(train.main, *flags, "--seed", 1, "--out", "other") == 0
    owner: Any = {"append": Run, "picture": Run, "note": Watch}.get(method, Session)
    original, found = getattr(owner, method), []

    def changing(self: Any, *args: Any) -> Any:
        if not found and Path("a/metrics.jsonl").exists() == (method != "append"):
            found.append(stranger("a"))
        return original(self, *args)

    monkeypatch.setattr(owner, method, changing)
    assert exit_code(train.main, *flags, "--out", "a") == 4
    message = capsys.readouterr().err
    assert message.startswith("minigan: step ") and message.count("\n") == 1
    assert "(another directory has taken its place), so nothing was. Put this run's directory back" in message
    assert tree(Path("a")) == found[0]
    load_silently("moved")


def test_samples_are_not_written_where_their_directory_was_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(train.main, *TINY, "--steps", 4, "--out", "a") == 0
    os.mkdir("elsewhere")
    Path("elsewhere/step-00000008.png").write_text("mine")
    os.rename("a/samples", "a/moved")
    os.symlink("../elsewhere", "a/samples")
    assert exit_code(train.main, "--resume", "a", "--steps", 8, "--quiet") == 2
    assert (
        capsys.readouterr().err
        == "minigan: a/samples: is no directory, or a link to one; put a directory in its place.\n"
    )
    assert tree(Path("elsewhere")) == {"step-00000008.png": b"mine"}
    os.unlink("a/samples")
    os.rename("a/moved", "a/samples")
    original = Session.draw_progress

    def replaced(self: Session) -> None:
        os.rename("a/samples", "a/moved")
        os.symlink("../elsewhere", "a/samples")
        original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "draw_progress", replaced)
        assert exit_code(train.main, "--resume", "a", "--steps", 8, "--quiet") == 4
    assert "a/samples could not be written (another directory has taken its place)" in capsys.readouterr().err
    assert tree(Path("elsewhere")) == {"step-00000008.png": b"mine"}


def test_a_run_whose_directory_was_removed_leaves_it_to_the_next(tmp_path: Path) -> None:
    """Two processes with the same --out: the directory of the first was removed, and the second has created another."""
    with endless(tmp_path) as first:
        first.send_signal(signal.SIGSTOP)  # so that it meets not a directory that is gone, but another
        shutil.rmtree("run")
        flags = [*TINY, "--steps", 500, "--seed", 5, "--log-every", 10, "--save-every", 50, "--sample-every", 1000]
        code, err = finished("minigan.train", *flags, "--out", "run", cwd=tmp_path)
        first.send_signal(signal.SIGCONT)
        try:
            _, said = first.communicate(timeout=20)
        finally:
            first.kill()
    assert (code, err) == (0, "") and first.returncode == 4
    assert said.splitlines()[-1].startswith("minigan: step ") and "Traceback" not in said
    assert exit_code(train.main, *flags, "--out", "alone") == 0
    assert results("run") == results("alone")
    assert {checkpoint.load(Path("run", name)).config.seed for name in (NAME, PREVIOUS)} == {5}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_to_write() -> None:
    os.mkdir("locked", 0o500)
    assert exit_code(train.main, *TINY, "--out", "locked/run") == 2


# ------------------------------------------------------------------------------------ streams, signals, a second process


@pytest.mark.parametrize(
    "redirection",
    [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full", "2>&1 | head -1"],
)
def test_closed_and_full_streams_do_not_stop_training(tmp_path: Path, redirection: str) -> None:
    quiet = TINY.index("--quiet")
    flags = [*TINY[:quiet], "--steps", 4, "--out", "a"]
    command = " ".join(map(str, [sys.executable, "-m", "minigan.train", *flags]))
    environment = {**os.environ, "PYTHONPATH": str(Path(train.__file__).parents[1])}
    script = f"set -o pipefail; {command} {redirection}"
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr and "Error" not in done.stderr
    assert load_silently("a").step == 4


def test_bad_flags_with_closed_streams_keep_their_exit_code() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(train.__file__).parents[1])}
    script = f"{sys.executable} -m minigan.train --nonsense >&- 2>&-"
    assert subprocess.run(["bash", "-c", script], env=environment, check=False).returncode == 2


ENDLESS = [*TINY[: TINY.index("--quiet")], "--steps", 10**9, "--sample-every", 10**9, "--save-every", 100]


def endless(cwd: Path) -> subprocess.Popen[str]:
    """A process that trains without end in run/, after its first steps."""
    process = start("minigan.train", *ENDLESS, "--out", "run", cwd=cwd)
    while not (cwd / "run/metrics.jsonl").exists():
        time.sleep(0.01)
        assert process.poll() is None
    return process


def test_a_second_process_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with endless(tmp_path) as process:
        for flags in (["--resume", "run"], [*TINY, "--out", "run"]):
            code, err = finished("minigan.train", *flags, cwd=tmp_path)
            assert (code, err) == (
                2,
                "minigan: run: another process is training there; wait for it, or stop it first.\n",
            )
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_and_leaves_a_loadable_checkpoint(tmp_path: Path, number: int) -> None:
    with endless(tmp_path) as process:
        process.send_signal(number)
        time.sleep(0.1)  # two of a kind that come together are one
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "stopped and saved" not in out and "Traceback" not in err
    step = load_silently(tmp_path / "run").step
    code, _ = finished("minigan.train", "--resume", "run", "--steps", step + 1, "--quiet", cwd=tmp_path)
    assert code == 0 and load_silently(tmp_path / "run").step == step + 1


# --------------------------------------------------------------------------------------------------- backends


@pytest.mark.gpu
def test_a_checkpoint_of_one_backend_loads_on_the_other_and_resumes_exactly_on_its_own() -> None:
    flags = [*TINY, "--steps", 8, "--save-every", 4]
    for name, other in (("numpy", "cupy"), ("cupy", "numpy")):
        assert exit_code(train.main, *flags, "--backend", name, "--out", f"{name}-whole") == 0
        assert exit_code(train.main, *flags, "--backend", name, "--steps", 4, "--schedule-steps", 8, "--out", name) == 0
        shutil.copytree(name, f"{name}-moved")
        assert exit_code(train.main, "--resume", name, "--steps", 8, "--quiet") == 0
        whole, halves = load_silently(f"{name}-whole"), load_silently(name)
        for key, array in whole.tensors.items():
            np.testing.assert_array_equal(halves.tensors[key], array)
        assert exit_code(train.main, "--resume", f"{name}-moved", "--steps", 8, "--backend", other, "--quiet") == 0
        moved = load_silently(f"{name}-moved")
        np.testing.assert_allclose(
            moved.sample(9, get_ops(), seed=1), whole.sample(9, get_ops(), seed=1), rtol=1e-2, atol=1e-3
        )


# ---------------------------------------------------------------------------------------- a run directory from others


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_directory(path: Path) -> None:
    path.mkdir()
    (path / "mine").write_text("mine")


def as_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def as_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


def as_garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 9)


LEFT = ["config.json", "metrics.jsonl", NAME, PREVIOUS, "checkpoint.best.safetensors", "samples.png", "curves.png",
        "training.gif", "neighbours.png", "samples", "samples/step-00000002.png", "samples/step-00000003.png"]  # fmt: skip


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended."""
    directory = tmp_path_factory.mktemp("left") / "run"
    flags = ["--steps", 2, "--save-every", 1, "--sample-every", 1, "--evaluate-every", 1]
    assert exit_code(train.main, *TINY, *flags, "--out", directory) == 0
    return directory


@pytest.mark.parametrize("kind", [as_pipe, as_directory, as_device, as_nothing, as_garbage])
def test_whatever_a_file_of_a_run_is_resuming_works_or_ends_in_one_sentence(
    kind: Callable[[Path], None], left: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no traceback, and no process blocks at the other end of a pipe."""
    drawn = Session.finish
    signal.signal(signal.SIGALRM, give_up)
    for name in LEFT:
        shutil.copytree(left, "run")
        shutil.rmtree(f"run/{name}") if name == "samples" else Path("run", name).unlink(missing_ok=True)
        kind(Path("run", name))
        before = tree_of_files("run")
        # without drawing what takes its time, but for the animation, which reads pictures
        monkeypatch.setattr(Session, "finish", drawn if "step" in name else lambda self: None)
        signal.alarm(60)
        code = exit_code(train.main, "--resume", "run", "--quiet")
        signal.alarm(0)
        said = capsys.readouterr().err
        assert "Traceback" not in said
        if code:
            assert code in (2, 4) and said.startswith("minigan: ") and said.count("\n") == 1, (name, said)
            assert Path(name).name in said or name == "config.json", (name, said)
            assert code == 4 or tree_of_files("run") == before, name
        shutil.rmtree("run")
    assert kind is not as_pipe or not Path("nowhere").exists()


def give_up(*_: object) -> None:
    raise KeyboardInterrupt("it waits for ever")


def tree_of_files(directory: str) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(Path(directory).rglob("*")) if p.is_file()}


LINES = [
    '{"step": 1, "loss_d": ' + "9" * 400 + "}",
    '{"step": ' + "9" * 400 + ', "loss_d": 1}',
    '{"step": -' + "9" * 400 + ', "loss_d": 1}',
    '{"step": 1, "loss_d": ' + "9" * 5000 + "}",
    '{"step": 1, "frechet": -1e999}',
    '{"step": 1, "frechet": NaN}',
    '{"step": true, "frechet": 1}',
    '{"step": 1, "frechet": true, "kid": [1], "recall": {"a": 2}, "precision": "\\ud800"}',
    '{"step": 1, "\\ud800\\u0000\\n": 3}',
    "[" * 3000,
    '{"step": 1, "frechet": ' + "[" * 2000 + "]" * 2000 + "}",
    "\0" * 9000,
    "{" + ", ".join(f'"key{i}": {i}' for i in range(250)) + ', "step": 1}',
]


def test_no_line_of_a_log_from_others_stops_a_run(left: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(left, "run")
    for name in (
        "step-\u00b2.png",
        "step-1.png",
        f"step-{'9' * 200}.png",
        "step-\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661.png",
    ):
        Path("run/samples", name).write_text("mine")
    with open("run/metrics.jsonl", "a") as log:
        log.write("\n".join(LINES))
    assert exit_code(train.main, "--resume", "run", "--steps", 3, "--quiet") == 0
    assert capsys.readouterr().err == ""
    assert not Path(f"run/samples/step-{'9' * 200}.png").exists(), "a picture from beyond the checkpoint"
    assert Path("run/samples/step-\u00b2.png").read_text() == "mine"
    for line in Path("run/metrics.jsonl").read_text().splitlines():
        assert json.loads(line)["step"] <= 3


MEMORY = """
import sys
from minigan import cli, train
try:
    cli.run(train.main, sys.argv[1:])
finally:
    status = open("/proc/self/status").read()
    print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux shows it")
def test_a_long_log_and_a_huge_picture_cost_little_memory(left: Path) -> None:
    def resumed(directory: str) -> tuple[int, str, int]:
        argv = [sys.executable, "-c", MEMORY, "--resume", directory, "--quiet"]
        environment = {**os.environ, "PYTHONPATH": str(Path(train.__file__).parents[1])}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stderr, int(done.stdout)

    for name in ("plain", "log", "sparse", "picture"):
        shutil.copytree(left, name)
    code, _, usual = resumed("plain")
    assert code == 0
    lines = Path("log/metrics.jsonl").read_text()
    Path("log/metrics.jsonl").write_text(lines * (30_000_000 // len(lines)))
    code, _, peak = resumed("log")
    assert code == 0 and peak < usual + 40
    os.truncate("sparse/metrics.jsonl", 1 << 40)
    code, said, peak = resumed("sparse")
    assert code == 2 and "longer than 268,435,456 bytes; move it away" in said and peak < usual + 40
    Image.new("1", (20_000, 8_000)).save("picture/samples/step-00000001.png")
    code, said, peak = resumed("picture")
    assert code == 4 and peak < usual + 40
    assert "samples/step-00000001.png: is a picture of 20000 x 8000 pixels; a frame has at most 1600" in said


# ------------------------------------------------------------------------------------------ promises, and their tests


def test_every_test_that_the_document_names_exists() -> None:
    tests = Path(__file__).parent
    text = (tests.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    file, named = "", 0
    for module, name in re.findall(r"`(test_\w+\.py)?(?:::(test_\w+))?`", text):
        file = module or file
        source = (tests / file).read_text(encoding="utf-8")
        assert not name or f"def {name}(" in source, f"docs/reliability.md names {file}::{name}, which does not exist"
        named += bool(name)
    assert named > 50


# ------------------------------------------------------------------------------------------ what bad files may cost

COST = """
import sys, time
from pathlib import Path
from minigan.runs import checkpoint
from minigan.nn import gan
from minigan.errors import InputError
from minigan.runs.directory import load_config
for path in map(Path, sys.argv[1:]):
    began = time.process_time()
    try:
        (load_config if path.suffix == ".json" else checkpoint.load)(path)
        print("ACCEPTED", path)
    except InputError as error:
        if len(str(error)) > 1000 + len(str(path)):
            print("LONG", path)
    if time.process_time() - began > 1:
        print("SLOW", path, time.process_time() - began)
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux shows it")
def test_bad_checkpoints_and_configurations_cost_little_memory_and_time(tmp_path: Path) -> None:
    def file(name: str, content: bytes, size: int = 0) -> None:
        with open(tmp_path / name, "wb") as out:
            out.write(content)
            if size:
                out.truncate(size)

    def claiming(values: int, size: int = 0, **meta: Any) -> tuple[bytes, int]:
        """A checkpoint, sparse where `size` is given, whose header gives every tensor `values` values."""
        names = ("generator", "generator.average", "generator.adam.m", "generator.adam.v", "discriminator",
                 "discriminator.adam.m", "discriminator.adam.v")  # fmt: skip
        offsets = iter(range(100))
        header: dict[str, Any] = {}
        for name in (*names, "scaler.offset", "scaler.scale"):
            i = next(offsets)
            header[name] = {"dtype": "F32", "shape": [values], "data_offsets": [4 * values * i, 4 * values * (i + 1)]}
        described = {"format": 1, "config": Config().to_dict(), "space": SPACE.to_dict(), "step": 1, "data": IDENTITY}
        header["__metadata__"] = {"minigan": json.dumps({**described, **meta})}
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text, size and 8 + len(text) + 4 * values * 9

    file("terabytes.safetensors", *claiming(10**12))
    file("sparse terabytes.safetensors", *claiming(10**11, size=1))
    file("sparse, wide.safetensors", *claiming(10**11, size=1, config=Config(hidden=(2**31 - 1,) * 99).to_dict()))
    file("a long header.safetensors", (1 << 40).to_bytes(8, "little") + b"{" * 4096)
    file("a sparse header.safetensors", (1 << 40).to_bytes(8, "little") + b"{", 1 << 42)
    file("a header of spaces.safetensors", (1 << 20).to_bytes(8, "little") + b" " * (1 << 20))
    file("deep.safetensors", (1 << 20).to_bytes(8, "little") + b"[" * (1 << 20))
    file("many.safetensors", *claiming(0, space={"kind": "table", "shape": [10**5], "columns": ["x"] * 10**5}))
    file("a gigabyte of spaces.json", b" " * (4 << 20), 1 << 30)
    file("a megabyte of spaces.json", b" " * (1 << 20))
    file("deep.json", b'{"config":' * (1 << 16))
    file("layers.json", b'{"config": {"hidden": [1' + b",1" * (1 << 18) + b"]}}")
    file("a long name.json", b'{"config": {"data": "' + b"x" * (1 << 19) + b'"}}')
    file("a long choice.json", b'{"config": {"output": "' + b"x" * (1 << 19) + b'"}}')
    file("a long setting.json", b'{"config": {"' + b"x" * (1 << 19) + b'": 1}}')
    file("digits.json", b'{"config": {"steps": ' + b"9" * (1 << 19) + b"}}")
    paths = sorted(tmp_path.glob("*.*"))
    assert len(paths) == 16
    result = subprocess.run([sys.executable, "-c", COST, *map(str, paths)], capture_output=True, text=True, check=True)
    *problems, peak = result.stdout.split("\n")[:-1]
    assert problems == [] and int(peak) < 200
