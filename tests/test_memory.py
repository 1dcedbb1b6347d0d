"""Available memory is the smallest of all limits, and a command that needs more is refused with both numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT
from hypothesis import given
from hypothesis import strategies as st

from minigan import memory
from minigan.errors import InputError

INFO = "MemTotal: 900 kB\nMemFree: 10 kB\nMemAvailable:  700 kB\nSwapTotal: 9 kB\nSwapFree: 5 kB\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A simulated machine whose files report 705 kB available, without a limit on addresses."""
    (tmp_path / "meminfo").write_text(INFO)
    (tmp_path / "cgroup").write_text("")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "MOUNT", tmp_path / "mount")
    monkeypatch.setattr(memory, "_of_limit", lambda: iter(()))
    return tmp_path


def group(machine: Path, path: str, **files: object) -> None:
    """A simulated control group of these files; `_` in a name is a point."""
    (machine / "mount" / path).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (machine / "mount" / path / name.replace("__", ".")).write_text(f"{text}\n")


def test_unused_memory_and_swap_are_available(machine: Path) -> None:
    assert memory.available() == 705 * 1024


def test_the_narrowest_control_group_decides(machine: Path) -> None:
    (machine / "cgroup").write_text("0::/a/b\n")
    group(machine, "", memory__max="max", memory__current=1)
    group(machine, "a", memory__max=5000, memory__current=3000, memory__stat="anon 9\ninactive_file 400")
    group(machine, "a/b", memory__max=9000, memory__current=100)
    assert memory.available() == 2400, "the cache of files goes when memory is needed"
    group(machine, "a", memory__current=6000)
    assert memory.available() == 0


def test_the_first_version_of_control_groups_is_read_too(machine: Path) -> None:
    (machine / "cgroup").write_text("9:cpu:/x\n4:memory:/x\n0::/\n")
    group(machine, "memory", memory__limit_in_bytes=2**63 - 4096, memory__usage_in_bytes=5)
    group(machine, "memory/x", memory__limit_in_bytes=7000, memory__usage_in_bytes=1000)
    assert memory.available() == 6000


def test_a_container_sees_its_group_at_the_mount_whatever_its_path(machine: Path) -> None:
    (machine / "cgroup").write_text("0::/docker/0123\n")
    group(machine, "", memory__max=8000, memory__current=1000)
    assert memory.available() == 7000


@given(
    text=st.text(max_size=60) | st.sampled_from(["0::/../..", "a:b", "::", "0::/a\0b", "MemAvailable:\nSwapFree: x"])
)
def test_whatever_the_system_says_is_a_number_or_left_out(text: str) -> None:
    place = Path(__file__).parent / "nowhere"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MEMINFO", "GROUPS"):
            patch.setattr(memory, name, Said(text))
        patch.setattr(memory, "MOUNT", place)
        found = memory.available()
        assert found is None or found >= 0


class Said:
    """A file that holds this text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read_text(self) -> str:
        return self.text


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits of addresses as Linux counts them")
def test_a_limit_on_addresses_counts() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from minigan import memory; print(memory.available())"
    script = f"ulimit -v 1000000; exec {sys.executable} -c '{code.replace(chr(39), chr(34))}'"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 1_024_000_000


def test_what_does_not_fit_is_refused_with_both_numbers(machine: Path) -> None:
    memory.require(705 * 1024, "it", "try less")
    with pytest.raises(InputError) as caught:
        memory.require(2_500_000_000, "it", "try less")
    assert str(caught.value) == "it needs 2.5 GB of memory, and 0.7 MB are available; try less."
    with pytest.raises(InputError, match="1.0e\\+30 bytes"):
        memory.require(10**30, "it", "try less")
    memory.require(10**9, "it", "try less", free=10**9)


def test_nothing_is_refused_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.require(10**30, "it", "try less")
