"""Files: written atomically, and read with a bound on their size."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan import files
from minigan.errors import InputError
from minigan.files import MAX_JSON, read_json, replacing, write_bytes, write_json


def failing(number: int) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_the_old_file_survives_whichever_system_call_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        with pytest.raises(OSError, match=os.strerror(number)):
            write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_the_old_file_survives_a_write_that_stops_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")
    for error in (OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError("bug")):
        with pytest.raises(type(error)), replacing(path) as file:
            file.write(b"ne")
            assert path.read_bytes() == b"old"
            raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_the_content_is_on_disk_before_it_gets_its_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(handle: int) -> None:
        calls.append("directory" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noting_replace(source: Any, target: Any) -> None:
        calls.append("replace")
        assert Path(source).parent == Path(target).parent, "a rename is atomic within one file system"
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    write_bytes(tmp_path / "x", b"new")
    assert calls == ["file", "replace", "directory"]


def test_a_directory_that_refuses_to_sync_is_forgiven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def refusing(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refusing)
    write_bytes(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_follows_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "x", b"")
        assert os.umask(umask) == umask, "the umask itself is left as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode


def test_the_temporary_name_keeps_the_suffix_that_tells_the_format(tmp_path: Path) -> None:
    with replacing(tmp_path / "picture.png"):
        (name,) = os.listdir(tmp_path)
        assert name.startswith(".picture.png.") and name.endswith(".png")


def test_json_is_sorted_and_comes_back(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, True], "a": {"é": "x"}}
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text()
    assert text.index('"a"') < text.index('"b"') and text.endswith("}\n")
    assert read_json(tmp_path / "x.json") == value


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_json_or_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    try:
        value = read_json(path)
    except InputError as error:
        assert "any.json: not valid JSON" in str(error) and "\n" not in str(error)
    else:
        json.dumps(value)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{", b"", b"\xff\xfe", b"1" * 5000, b'{"a":' * 50_000])
def test_hostile_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match="x.json: not valid JSON"):
        read_json(tmp_path / "x.json")


def test_huge_and_missing_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(InputError, match="x.json: cannot be read \\(No such file"):
        read_json(path)
    with pytest.raises(InputError, match="cannot be read \\(Is a directory"):
        read_json(tmp_path)
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # a sparse terabyte
    with pytest.raises(InputError, match=f"larger than {MAX_JSON} bytes"):
        read_json(path)
    largest = tmp_path / "largest.json"
    largest.write_bytes(b" " * (MAX_JSON - 1) + b"1")
    assert read_json(largest) == 1
    assert files.MAX_JSON == MAX_JSON


# -------------------------------------------------------------------------------------------- whose directory it is


@pytest.mark.parametrize("path", ["a/x", "relative"])
@pytest.mark.parametrize("without", ["", "locks", "handles of directories"])
def test_nothing_is_written_where_another_directory_has_taken_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str, path: str
) -> None:
    if without == "locks":
        monkeypatch.setitem(sys.modules, "fcntl", None)
    elif without:
        monkeypatch.setattr(os, "open", failing_for_directories(os.open))
    monkeypatch.chdir(tmp_path)
    place, moved = tmp_path / "a", tmp_path / "b"
    file = Path("a/x") if path == "relative" else place / "x"
    place.mkdir()
    assert files.hold(place, lock=True)
    write_bytes(file, b"old")
    place.rename(moved)
    writers = (lambda: write_bytes(file, b"new"), lambda: files.append(file, "new"), lambda: files.ours(file).unlink())
    for write in writers:
        with pytest.raises(FileNotFoundError):
            write()
    place.mkdir()
    for write in writers:
        with pytest.raises(OSError, match="another directory has taken its place") as caught:
            write()
        assert caught.value.errno == errno.ESTALE
    place.rmdir()
    moved.rename(place)
    with pytest.raises(OSError, match="another directory has taken its place"), replacing(file) as writing:
        place.rename(moved)  # while it is being written
        place.mkdir()
        writing.write(b"new")
    assert os.listdir(place) == [] and (moved / "x").read_bytes() == b"old"
    files.let_go(place)
    write_bytes(file, b"mine")


def failing_for_directories(opens: Any) -> Any:
    def call(path: Any, *args: Any) -> Any:
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        return opens(path, *args)

    return call


def test_a_directory_is_locked_by_one_holder_at_a_time(tmp_path: Path) -> None:
    assert files.hold(tmp_path, lock=True)
    assert not files.hold(tmp_path, lock=True)
    files.let_go(tmp_path)
    assert files.hold(tmp_path, lock=True)
    files.let_go(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="locks are POSIX's")
def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a[1].png"
    with replacing(path) as file:
        (being_written,) = tmp_path.iterdir()
        abandoned = being_written.with_name(".a[1].png.abcdefgh.tmp.png")
        others = [tmp_path / name for name in (".a1.png.abcdefgh.tmp.png", ".a[1].png", "a[1].png.tmp.png")]
        for name in (abandoned, *others):
            name.write_bytes(b"half")
        write_bytes(path, b"one")
        assert sorted(tmp_path.iterdir()) == sorted([being_written, path, *others])
        file.write(b"two")
    assert path.read_bytes() == b"two" and sorted(tmp_path.iterdir()) == sorted([path, *others])
    os.mkfifo(tmp_path / ".a[1].png.abcdefgh.tmp.png")
    write_bytes(path, b"three")  # not ours to remove, nor anything to wait for


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
def test_what_is_no_regular_file_is_neither_read_nor_appended_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device", "."):
        with pytest.raises(InputError, match="cannot be read \\((not a regular file|Is a directory)"):
            read_json(tmp_path / name)
        with pytest.raises(OSError):
            files.append(tmp_path / name, "x")


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="there is no /dev/null")
def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is a device, not a file"):
        write_bytes(Path(os.devnull), b"x")
    assert Path(os.devnull).is_char_device()
