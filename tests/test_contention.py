"""The share of the processors that other processes use is measured, and a run reports it once."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import TINY, exit_code
from hypothesis import given
from hypothesis import strategies as st

from minigan import doctor, train
from minigan.runs import contention
from minigan.runs.contention import Contention, Meter, Notice

COUNTED = st.floats(0, 1e6)


class Machine:
    """A machine whose clocks a test sets: elapsed, busy by all processes, busy by this process, and waiting of its threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cores: int = 2) -> None:
        self.wall = self.busy = self.own = self.waited = 100.0
        monkeypatch.setattr(contention, "time", SimpleNamespace(monotonic=lambda: self.wall))
        monkeypatch.setattr(contention, "busy_seconds", lambda: self.busy)
        monkeypatch.setattr(contention, "waits", lambda: {"1": self.waited})
        monkeypatch.setattr(contention, "cores", lambda: cores)

    def meter(self) -> Meter:
        return Meter(lambda: self.own)

    def run(self, wall: float, *, own: float, others: float, waited: float) -> None:
        self.wall += wall
        self.own += own
        self.busy += own + others
        self.waited += waited


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_a_reading_is_the_rates_since_the_last_one(machine: Machine) -> None:
    meter = machine.meter()
    machine.run(10, own=5, others=12, waited=4)
    found = meter.read()
    assert (found.others, found.waiting, found.load, found.cores) == pytest.approx((1.2, 0.4, 0.6, 2))
    assert str(found) == "other processes take 1.2 of 2 processors"
    machine.run(10, own=20, others=-0.1, waited=0)  # two clocks of one thing differ a little
    assert meter.read() == Contention(0, 2, 0)


@given(st.lists(st.tuples(*[COUNTED] * 4), min_size=2, max_size=5))
def test_whatever_the_clocks_say_nothing_is_negative(readings: list[tuple[float, float, float, float]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(patch)
        meter = machine.meter()
        for machine.wall, machine.busy, machine.own, machine.waited in readings:
            found = meter.read()
            assert found.others >= 0 and found.waiting >= 0 and found.load >= 0


@pytest.mark.parametrize(
    ("own", "others", "waited"), [(2.0, 0.01, 0.02), (1.0, 1.0, 0.0), (2.0, 0.0, 1.5), (1.0, math.nan, 0.9)]
)
def test_nothing_is_reported_where_no_other_process_delays_the_run(
    machine: Machine, own: float, others: float, waited: float
) -> None:
    """Without other processes; with a process on another processor; with more threads than processors; with unknown values."""
    notice = Notice(machine.meter())
    for _ in range(5):
        machine.run(1, own=own, others=others, waited=waited)
        assert notice() is None


def test_it_is_reported_once_and_not_within_an_interval(machine: Machine) -> None:
    notice = Notice(machine.meter())
    said = []
    for _ in range(10):
        machine.run(contention.INTERVAL / 2, own=1.0, others=1.0, waited=0.9)
        said.append(notice())
    assert [i for i, found in enumerate(said) if found] == [1]


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(contention, "PROC", tmp_path)
    monkeypatch.setattr(contention, "allowed", lambda: [1, 3])
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setattr(contention.os, "sysconf", lambda name: 100)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("cpu  9 9 9 9\ncpu0 900 0 0 0 0 0 0 0\ncpu1 10 20 30 40 50 60 70 80 90 100\ncpu3 100 0 0 0\nintr 1\n", 3.7),
        ("cpu  10 20 30 40 50 60 70 80 90 100\ncpu0 1 0 0 0\n", 2.7),  # a container that numbers its own
        ("cpu  10 20 30 40\n", 0.6),
        ("", math.nan),
        ("cpu one two\n", math.nan),
        ("intr 1", math.nan),
    ],
)
def test_the_processors_of_this_process_count_without_their_idle_time(proc: Path, text: str, seconds: float) -> None:
    (proc / "stat").write_text(text)
    assert contention.busy_seconds() == pytest.approx(seconds, nan_ok=True)


@given(st.text(alphabet="cpu0123456789 -\n.é", max_size=60))
def test_any_content_of_proc_gives_a_number_or_nan(text: str) -> None:
    import tempfile

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(contention, "PROC", Path(folder))
        patch.setitem(sys.modules, "psutil", None)
        (Path(folder) / "stat").write_text(text, encoding="utf-8")
        assert isinstance(contention.busy_seconds(), float)


def test_threads_that_cannot_be_read_are_left_out(proc: Path) -> None:
    assert contention.waits() == {}
    for number, text in ((7, "1 2500000000 3"), (8, ""), (9, "x y z")):
        (proc / "self" / "task" / str(number)).mkdir(parents=True)
        (proc / "self" / "task" / str(number) / "schedstat").write_text(text)
    (proc / "self" / "task" / "10").mkdir()  # a thread that has ended
    assert contention.waits() == {"7": 2.5}


def test_another_system_asks_psutil(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = SimpleNamespace(user=3.0, system=2.0, idle=9.0)
    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace(cpu_times=lambda: times))
    assert contention.busy_seconds() == 5


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="what Linux says")
def test_a_busy_process_is_load_for_others_and_not_for_itself() -> None:
    meter = Meter()
    spin = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    child = subprocess.Popen([sys.executable, "-c", spin])
    own, busy = contention.own_seconds(), contention.busy_seconds()
    assert child.wait() == 0
    assert contention.busy_seconds() - busy > 0.2
    assert contention.own_seconds() - own > 0.3  # a child that has ended is this process's own work
    assert meter.read().cores == contention.cores() >= 1


def test_a_reading_of_no_time_finds_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system counts in steps: two readings within one of them would make a crowd of a single step."""
    busy = iter((1.0, 1.01, 5.0))
    monkeypatch.setattr(contention, "busy_seconds", lambda: next(busy))
    meter = Meter(lambda: 0.0)
    assert meter.read().load == 0
    later = contention.time.monotonic() + 2
    monkeypatch.setattr(contention.time, "monotonic", lambda: later)
    assert meter.read().load > 0


# ------------------------------------------------------------------------------------------------- who says it


def tiny(out: Path, *flags: str) -> list[str]:
    return [*TINY[:-1], "--data", "ring", "--steps", "12", "--out", str(out), *flags]


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contention, "INTERVAL", 0.0)
    monkeypatch.setattr(Meter, "read", lambda self: Contention(1.44, 2, 0.5))


SENTENCE = "other processes take 1.4 of 2 processors: steps are slower than they need be"


@pytest.mark.parametrize(("threads", "end"), [("1", "."), ("0", "; --threads 1 waits less.")])
def test_a_run_under_other_load_reports_it_once_and_computes_the_same(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    crowded: None,
    threads: str,
    end: str,
) -> None:
    from minigan.runs import threads as training

    monkeypatch.setattr(training, "processors", lambda: 2 if threads == "0" else 1)
    assert exit_code(train.main, *tiny(tmp_path / "busy", "--threads", threads)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "processes" in line] == [SENTENCE + end]
    monkeypatch.setattr(Meter, "read", lambda self: Contention(0.0, 2, 0.0))
    assert exit_code(train.main, *tiny(tmp_path / "alone", "--threads", threads)) == 0
    assert "processes" not in capsys.readouterr().out
    names = "checkpoint.safetensors", "samples.png"
    busy, alone = ([(tmp_path / run / name).read_bytes() for name in names] for run in ("busy", "alone"))
    assert busy == alone
    assert "others" not in (tmp_path / "busy" / "metrics.jsonl").read_text(encoding="utf-8")


def test_a_run_without_other_load_reports_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], crowded: None
) -> None:
    assert exit_code(train.main, *tiny(tmp_path / "run", "--quiet")) == 0
    assert capsys.readouterr() == ("", "")


def test_printed_times_say_that_they_are_uncertain(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, crowded: None
) -> None:
    monkeypatch.setattr(doctor, "report", lambda: iter([("--backend numpy", "works")]))
    assert exit_code(doctor.main) == 0
    assert "other processes take 1.4 of 2 processors, so the speeds above are uncertain" in " ".join(
        capsys.readouterr().out.split()
    )
    monkeypatch.setattr("minigan.runs.cost.PATIENCE", 0.0)
    assert exit_code(train.main, "--data", "ring", "--hidden", "8", "--explain") == 0
    assert capsys.readouterr().out.endswith(
        "other processes take 1.4 of 2 processors: the times above are uncertain.\n"
    )
