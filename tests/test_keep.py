"""Machine code is cached in a directory that only the user can write to, and compiled again where it is damaged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import exit_code
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minigan import lockstep
from minigan.backends import get_ops
from minigan.errors import FallbackWarning, InputError

numba = pytest.importorskip("numba", reason="the extra `fast` is not installed")
keep = pytest.importorskip("minigan.backends.numba.keep")


def twice(x: float) -> float:
    return x + x


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(keep.pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.delenv("NUMBA_CACHE_LOCATOR_CLASSES", raising=False)
    keep.say_not_kept.cache_clear()
    yield tmp_path / "cache" / "minigan" / "numba"
    keep.say_not_kept.cache_clear()


def made() -> Any:
    """The function as compiled or loaded in a new process, after one call."""
    function = keep.kept(nogil=True)(twice)
    assert function(2.0) == 4.0
    return function


def was_read(function: Any) -> bool:
    return sum(function.stats.cache_hits.values()) == 1


def files(cache: Path, kind: str) -> list[Path]:
    return sorted(cache.glob(f"*/*.{kind}"))


def test_code_is_cached_for_the_next_process_in_a_directory_of_the_user(cache: Path) -> None:
    assert not was_read(made()) and was_read(made())
    assert files(cache, "nbi") and files(cache, "nbc")
    assert os.name != "posix" or cache.stat().st_mode & 0o777 == 0o700
    assert not numba.config.CACHE_DIR, "Numba's setting is everybody's"


def test_code_is_compiled_again_when_another_source_file_changes(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other file may define a function that is compiled into the code."""
    for name in ("outer", "inner"):
        (tmp_path / f"{name}.py").write_text("def twice(x):\n    return x + x\n")
    source = tmp_path / "outer.py"
    names: dict[str, Any] = {}
    exec(compile(source.read_text(), str(source), "exec"), names)
    monkeypatch.setitem(globals(), "twice", names["twice"])
    assert not was_read(made()) and was_read(made())
    (tmp_path / "inner.py").write_text("def twice(x):\n    return 2 * x + 0\n")
    assert not was_read(made()) and was_read(made())


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "its last byte lost": lambda content: content[:-1],
    "garbage": lambda content: np.random.default_rng(0).bytes(len(content)),
    "text": lambda content: b"not a pickle",
    "a byte of its code changed": lambda content: content[:-300] + bytes([content[-300] ^ 0xFF]) + content[-299:],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_file_is_compiled_again_once(cache: Path, kind: str, damage: str) -> None:
    made()
    for path in files(cache, kind):
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
    made()
    assert was_read(made())


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=100), st.sampled_from(["nbi", "nbc"]))
def test_any_bytes_in_a_cache_file_are_handled(cache: Path, content: bytes, kind: str) -> None:
    made()
    for path in files(cache, kind):
        path.write_bytes(content)
    made()
    assert was_read(made())


def test_a_file_that_cannot_be_replaced_is_reported_and_not_used(cache: Path) -> None:
    made()
    (index,) = files(cache, "nbi")
    index.unlink()
    index.mkdir()
    for _ in range(2):
        with pytest.warns(FallbackWarning, match="what Numba compiles cannot be kept .*compiled anew in every process"):
            made()
        keep.say_not_kept.cache_clear()


def test_a_full_disk_is_reported_and_code_is_not_cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keep.IndexDataCacheFile, "_save_data", full)
    with pytest.warns(FallbackWarning, match="No space left on device"):
        made()


@pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")
def test_a_directory_that_others_could_write_to_is_not_used(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made()
    cache.chmod(0o777)
    assert was_read(made()) and cache.stat().st_mode & 0o777 == 0o700
    with monkeypatch.context() as patch, pytest.warns(FallbackWarning, match="belongs to another user"):
        patch.setattr(os, "getuid", lambda: 12345)
        assert not was_read(made())
    keep.say_not_kept.cache_clear()
    elsewhere = tmp_path / "elsewhere"
    shutil.move(cache, elsewhere)
    cache.symlink_to(elsewhere)
    with pytest.warns(FallbackWarning, match="belongs to another user"):
        assert not was_read(made())


def test_code_is_compiled_without_a_cache_directory(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.warns(FallbackWarning, match="Not a directory|File exists|cannot find"):
        made()
    keep.say_not_kept.cache_clear()
    monkeypatch.setattr(keep.pooch, "os_cache", lambda name: Path("~") / name)
    with pytest.warns(FallbackWarning, match="is not an absolute path"):
        made()


def test_numbas_own_setting_of_the_directory_holds(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "mine"))
    made()
    assert files(tmp_path / "mine", "nbi") and not cache.exists()
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(FallbackWarning, match="file cannot be written to"):
        made()


def test_numba_without_its_compiler_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    with pytest.raises(InputError, match="unset NUMBA_DISABLE_JIT, or use --kernels reference"):
        get_ops("numpy", "numba")
    assert exit_code(lockstep.main, "--backend", "numpy", "--kernels", "numba") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_numba_that_cannot_be_imported_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> Any:
        raise ValueError("Number of threads specified must be > 0.")

    monkeypatch.setattr("minigan.backends.importlib.import_module", fails)
    with pytest.raises(InputError, match=r"cannot be used \(Number of threads specified must be > 0\)"):
        get_ops("numpy", "numba")
