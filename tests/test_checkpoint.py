"""Checkpoints: the same bytes for the same run, verified on reading, hostile bytes refused with one sentence."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import struct
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from helpers import flats, tiny_gan
from hypothesis import given
from hypothesis import strategies as st

from minigan import fit
from minigan.backends import Ops, get_ops
from minigan.config import Config
from minigan.data import Data
from minigan.data.scaling import Scaler
from minigan.data.spaces import Image, Table
from minigan.errors import DivergenceError, InputError
from minigan.nn.gan import GAN
from minigan.runs import checkpoint
from minigan.runs.checkpoint import FORMAT, NAME, PREVIOUS, load, save
from minigan.runs.identity import check_data, identify
from minigan.runs.tensors import KEY, digest

SPACE = Image((2, 2))
SCALER = Scaler(np.full(1, 0.5), np.full(1, 0.5))
EARLIER = Path(__file__).with_name("runs")
IDENTITY = {"name": "things", "samples": 10, "sha256": "ab"}


def trained(backend: Ops, steps: int = 2, **settings: Any) -> GAN:
    gan, fill = tiny_gan(backend, dtype=settings.pop("dtype", "float32"), **settings)
    for _ in range(steps):
        gan.train_step(fill)
    return gan


def written(directory: Path, gan: GAN) -> Path:
    directory.mkdir(exist_ok=True)
    save(directory / NAME, gan, SPACE, SCALER, IDENTITY)
    return directory / NAME


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a valid checkpoint."""
    return written(tmp_path_factory.mktemp("good"), trained(get_ops())).read_bytes()


def refused(path: Path, *words: str) -> str:
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and message.endswith(".") and len(message) < 700
    for word in words:
        assert word in message, message
    return message


def forged(
    content: bytes, change: Callable[[dict[str, np.ndarray], dict[str, Any]], None], *, sign: bool = True
) -> bytes:
    """A checkpoint with changed tensors and metadata and a correct SHA-256: well formed, but invalid."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    tensors, meta = dict(safetensors.numpy.load(content)), json.loads(header["__metadata__"][KEY])
    change(tensors, meta)
    if sign:
        meta["sha256"] = digest(tensors, meta)
    return safetensors.numpy.save(tensors, {KEY: json.dumps(meta)})


# --------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_comes_back(backend: Ops, tmp_path: Path, dtype: str) -> None:
    gan = trained(backend, dtype=dtype, r1=0.5)
    saved = load(written(tmp_path, gan))
    assert (saved.step, saved.space, saved.data) == (2, SPACE, IDENTITY)
    assert saved.config.to_dict(report=False) == {**gan.config.to_dict(report=False), "data": "things"}
    assert (saved.scaler.offset, saved.scaler.scale) == (0.5, 0.5)
    other, fill = tiny_gan(backend, dtype=dtype, r1=0.5)
    saved.restore(other)
    assert other.step == 2
    for one, two in zip(flats(gan).values(), flats(other).values(), strict=True):
        np.testing.assert_array_equal(one, two)
        assert one.dtype == dtype
    gan.train_step(fill)
    other.train_step(fill)
    for one, two in zip(flats(gan).values(), flats(other).values(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_samples_come_back_in_data_units(backend: Ops, tmp_path: Path) -> None:
    gan = trained(backend)
    saved = load(written(tmp_path, gan))
    for raw in (False, True):
        expected = np.clip(0.5 + 0.5 * gan.sample(9, seed=4, raw=raw).astype(np.float64), 0, 1)
        np.testing.assert_allclose(saved.sample(9, backend, seed=4, raw=raw), expected, rtol=1e-6)
    assert (saved.sample(9, backend, seed=4) != saved.sample(9, backend, seed=4, raw=True)).any()


def test_transposed_and_strided_arrays_are_not_corrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """safetensors writes the memory behind an array whatever its strides."""
    gan = trained(get_ops())
    kept = {name: array.copy() for name, array in gan.state().items()}
    strided = {name: np.stack([array] * 3, axis=1)[:, 1] for name, array in kept.items()}
    assert not any(array.flags.c_contiguous for array in strided.values())
    monkeypatch.setattr(gan, "state", lambda: strided)
    saved = load(written(tmp_path, gan))
    for name, array in kept.items():
        np.testing.assert_array_equal(saved.tensors[name], array)

    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    monkeypatch.setattr(gan, "state", lambda: {"matrix": matrix.T})
    content = written(tmp_path / "transposed", gan).read_bytes()
    np.testing.assert_array_equal(safetensors.numpy.load(content)["matrix"], matrix.T)


def test_the_digest_does_not_depend_on_strides_or_order_but_on_all_else() -> None:
    a, b = np.arange(6.0), np.arange(6.0).reshape(2, 3)
    assert digest({"a": a, "b": b}, {}) == digest({"b": b, "a": a}, {})
    assert digest({"a": b.T}, {}) == digest({"a": b.T.copy()}, {})
    seen = [{"a": a}, {"b": a}, {"a": b}, {"a": a.astype("f")}, {"a": a + 1}, {"a": b.T}, {"a": a, "b": b}, {}]
    assert len({digest(t, {}) for t in seen}) == len(seen)


def test_the_same_run_gives_the_same_bytes_in_two_directories(backend: Ops, tmp_path: Path) -> None:
    one, two = (written(tmp_path / name, trained(backend)).read_bytes() for name in ("a", "b"))
    assert one == two
    for different in (trained(backend, seed=4), trained(backend, steps=3), trained(backend, r1=0.1)):
        assert written(tmp_path / "c", different).read_bytes() != one
    assert str(tmp_path).encode() not in one


def test_paths_and_reporting_are_not_in_a_checkpoint(backend: Ops, tmp_path: Path) -> None:
    plain = written(tmp_path / "a", trained(backend)).read_bytes()
    settings = {
        "data": "/home/somebody/things",
        "data_dir": "/home/somebody",
        "log_every": 7,
        "save_every": 3,
        "recipe": "best",
    }
    content = written(tmp_path / "b", trained(backend, **settings)).read_bytes()
    assert content == plain
    assert b"somebody" not in content


def test_metadata_are_one_key_of_sorted_json(good: bytes) -> None:
    header = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])
    assert list(header["__metadata__"]) == [KEY]
    text = header["__metadata__"][KEY]
    assert text == json.dumps(json.loads(text), sort_keys=True)
    assert set(json.loads(text)) == {"format", "version", "config", "step", "space", "data", "sha256"}


# ------------------------------------------------------------------------------------------------- writing, and failing


def test_the_checkpoint_before_is_kept(backend: Ops, tmp_path: Path) -> None:
    gan, fill = tiny_gan(backend, dtype="float32")
    for step in range(4):
        save(tmp_path / NAME, gan, SPACE, SCALER, IDENTITY)
        assert load(tmp_path).step == step
        assert (tmp_path / PREVIOUS).exists() == (step > 0)
        if step:
            assert load(tmp_path / PREVIOUS).step == step - 1
        gan.train_step(fill)
    assert sorted(os.listdir(tmp_path)) == [PREVIOUS, NAME]


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod", "link", "unlink"])
def test_a_loadable_checkpoint_is_left_whichever_system_call_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    gan, fill = tiny_gan(get_ops(), dtype="float32")
    for _ in range(2):
        save(tmp_path / NAME, gan, SPACE, SCALER, IDENTITY)
        gan.train_step(fill)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space left"):
            save(tmp_path / NAME, gan, SPACE, SCALER, IDENTITY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(tmp_path).step == 1
    save(tmp_path / NAME, gan, SPACE, SCALER, IDENTITY)
    assert load(tmp_path).step == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["generator", "generator.average", "discriminator.adam.v"])
def test_numbers_that_are_not_finite_are_never_saved(backend: Ops, tmp_path: Path, name: str, value: float) -> None:
    gan = trained(backend)
    written(tmp_path, gan)
    before = (tmp_path / NAME).read_bytes()
    gan.state()[name][3] = value
    with pytest.raises(DivergenceError, match=f"step 2: {name} holds a number that is not finite"):
        save(tmp_path / NAME, gan, SPACE, SCALER, IDENTITY)
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == before


# ----------------------------------------------------------------------------------------------- reading, and refusing


@pytest.mark.parametrize("damage", ["cut", "emptied", "removed", "flipped"])
def test_a_damaged_newest_checkpoint_is_replaced_by_the_previous_with_a_warning(tmp_path: Path, damage: str) -> None:
    gan, fill = tiny_gan(get_ops(), dtype="float32")
    for _ in range(2):
        save(tmp_path / NAME, gan, SPACE, SCALER, IDENTITY)
        gan.train_step(fill)
    newest = tmp_path / NAME
    content = newest.read_bytes()
    newest.unlink()  # it shares no bytes with the previous one
    if damage != "removed":
        flipped = bytearray(content)
        flipped[-5] ^= 1
        newest.write_bytes({"cut": content[:-1], "emptied": b"", "flipped": bytes(flipped)}[damage])
    with pytest.warns(UserWarning, match=f"Using {PREVIOUS} \\(step 0\\) instead."):
        assert load(tmp_path).step == 0
    if damage != "removed":
        refused(newest)  # a file that is named is not replaced by another
    (tmp_path / PREVIOUS).write_bytes(b"x")
    with pytest.raises(InputError):
        load(tmp_path)


def test_a_directory_without_a_checkpoint_is_no_run(tmp_path: Path) -> None:
    refused(tmp_path, "holds no checkpoint.safetensors")
    refused(tmp_path / "nowhere", "cannot be read (No such file")


GARBAGE = {
    "empty": b"",
    "seven bytes": b"1234567",
    "text": b"this is no checkpoint at all\n" * 100,
    "zeros": bytes(10_000),
    "a pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "a zip": b"PK\x03\x04" + bytes(1000),
    "a negative length": b"\xff" * 1000,
    "a header that is no object": struct.pack("<Q", 2) + b"[]",
    "a header that is no JSON": struct.pack("<Q", 4) + b"{{{{",
    "no tensors": struct.pack("<Q", 2) + b"{}",
    "deep JSON": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "entries that are numbers": struct.pack("<Q", 7) + b'{"a":1}',
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_bytes(GARBAGE[name])
    refused(tmp_path / "x")


def header_only(**tensors: Any) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


HOSTILE = {
    "terabytes": header_only(generator={"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}),
    "a negative offset": header_only(generator={"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}),
    "offsets that are text": header_only(generator={"dtype": "F32", "shape": [1], "data_offsets": ["0", "4"]}),
    "offsets that are fractions": header_only(generator={"dtype": "F32", "shape": [0], "data_offsets": [0, 0.0]}),
    "endless digits": header_only(generator={"dtype": "F32", "shape": [1], "data_offsets": [0, 10**4000]}),
    "another type": header_only(generator={"dtype": "I64", "shape": [0], "data_offsets": [0, 0]}),
    "a type that is a list": header_only(generator={"dtype": ["F32"], "shape": [0], "data_offsets": [0, 0]}),
    "nothing of a shape of terabytes": header_only(
        generator={"dtype": "F32", "shape": [0, 10**15], "data_offsets": [0, 0]}
    ),
    "a header length of terabytes": struct.pack("<Q", 10**13) + b"{}",
    "metadata that are numbers": header_only(__metadata__={"minigan": 3}),
    "metadata that are a list": header_only(__metadata__=[]),
    "metadata of no JSON": header_only(__metadata__={"minigan": "{"}),
    "metadata of a list": header_only(__metadata__={"minigan": "[]"}),
    "foreign metadata": header_only(__metadata__={"other": "{}"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused_at_once_and_without_memory(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_bytes(HOSTILE[name])
    tracemalloc.start()
    began = time.perf_counter()
    try:
        refused(tmp_path / "x")
        assert time.perf_counter() - began < 1
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_sparse_terabyte_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 100))
        file.truncate(1 << 40)
    refused(path)


def change_meta(**values: Any) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    return lambda tensors, meta: meta.update(values)


def change_config(**values: Any) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    return lambda tensors, meta: meta["config"].update(values)


def change_tensor(name: str, value: np.ndarray) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    return lambda tensors, meta: tensors.update({name: value})


def poison(tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    tensors["generator"] = tensors["generator"].copy()
    tensors["generator"][7] = np.nan


WRONG: dict[str, tuple[Callable[[dict[str, np.ndarray], dict[str, Any]], None], tuple[str, ...]]] = {
    "a future format": (
        change_meta(format=2, version="9.9"),
        (f"format 2, written by minigan 9.9; this version reads format {FORMAT}",),
    ),
    "no format": (lambda t, m: m.pop("format"), ("format None",)),
    "an endless version": (change_meta(format=0, version="9" * 10_000), ("format 0",)),
    "other widths": (change_config(hidden=[5, 7]), ("needs float32",)),
    "another latent size": (change_config(latent=4), ("generator", "needs float32")),
    "another precision": (change_config(dtype="float64"), ("needs float64",)),
    "widths of terabytes": (change_config(hidden=[2**31 - 1] * 3), ("needs float32",)),
    "a setting out of range": (change_config(beta1=1.5), ("--beta1 1.5 is out of range",)),
    "an unknown setting": (change_config(nonsense=1), ("unknown setting 'nonsense'",)),
    "no configuration": (change_meta(config=None), ("configuration is not a JSON object",)),
    "another sample shape": (change_meta(space=Image((3, 3)).to_dict()), ("needs float32",)),
    "a broken space": (change_meta(space={"kind": "image"}), ("description of the data",)),
    "a negative step": (change_meta(step=-1), ("lack a step",)),
    "a step that is no number": (change_meta(step="2"), ("lack a step",)),
    "a step that is true": (change_meta(step=True), ("lack a step",)),
    "no data": (change_meta(data=None), ("data's identity",)),
    "a step beyond all": (change_meta(step=10**30), ("lack a step",)),
    **{
        f"data that are {name}": (change_meta(data=data), ("lack the data's identity",))
        for name, data in {
            "nothing": {},
            "a list": [],
            "without a name": {"samples": 1, "sha256": "ab"},
            "called by a number": {"name": 3},
            "called by 300,000 letters": {"name": "x" * 300_000},
            "many without end": {"name": "x", "samples": 10**400},
            "as many as true": {"name": "x", "samples": True},
            "summed up in words": {"name": "x", "sha256": "words"},
            "summed up without end": {"name": "x", "sha256": "a" * 65},
            "nested": {"name": "x", "parts": {"train": "ab"}},
        }.items()
    },
    **{
        f"a column called by {name}": (
            change_meta(space={"kind": "table", "shape": [4], "columns": ["a", "b", "c", column]}),
            ("must be a list of names, each printable",),
        )
        for name, column in {
            "a lone surrogate": "\udc80",
            "an escape": "\x1b[2J",
            "a line break": "a\nb",
            "300,000 letters": "x" * 300_000,
            "nothing": "",
        }.items()
    },
    "not a number inside": (poison, ("generator holds a number that is not finite",)),
    "an extra tensor": (change_tensor("extra", np.zeros(3, "f")), ("not those of a minigan checkpoint",)),
    "a missing tensor": (lambda t, m: t.pop("generator.average"), ("not those of a minigan checkpoint",)),
    "a matrix": (change_tensor("scaler.scale", np.ones((1, 1))), ("scaler.scale is float64 (1, 1)",)),
    "a scale of zero": (change_tensor("scaler.scale", np.zeros(1)), ("scaler.scale must be positive",)),
    "a scale that is not a number": (change_tensor("scaler.scale", np.full(1, np.nan)), ("scaler.scale",)),
}


@pytest.mark.parametrize("name", WRONG)
def test_well_formed_but_wrong_checkpoints_are_refused(tmp_path: Path, good: bytes, name: str) -> None:
    change, words = WRONG[name]
    (tmp_path / "x").write_bytes(forged(good, change))
    refused(tmp_path / "x", *words)


def test_the_forger_can_also_do_nothing(tmp_path: Path, good: bytes) -> None:
    """Without changes a forged checkpoint loads, so the test above fails for the stated reasons."""
    (tmp_path / "x").write_bytes(forged(good, lambda tensors, meta: None))
    assert load(tmp_path / "x").step == 2


def test_changed_tensors_do_not_match_their_sum(tmp_path: Path, good: bytes) -> None:
    def change(tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        tensors["generator"] = tensors["generator"] * np.float32(1.01)

    (tmp_path / "x").write_bytes(forged(good, change, sign=False))
    refused(tmp_path / "x", "SHA-256 does not match")


@pytest.mark.parametrize("keep", [0, 7, 8, 9, 100, 0.5, -1])
def test_truncated_files_are_refused(tmp_path: Path, good: bytes, keep: float) -> None:
    n = int(len(good) * keep) if 0 < keep < 1 else int(keep)
    (tmp_path / "x").write_bytes(good[:n])
    refused(tmp_path / "x")


def test_extended_files_are_refused(tmp_path: Path, good: bytes) -> None:
    for extra in (b"\0", b"\0" * 8, good):
        (tmp_path / "x").write_bytes(good + extra)
        refused(tmp_path / "x", "copy it again")


@given(data=st.data())
def test_no_flipped_bit_of_a_tensor_is_missed(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, data: st.DataObject
) -> None:
    start = 8 + int.from_bytes(good[:8], "little")
    bit = data.draw(st.integers(8 * start, 8 * len(good) - 1))
    content = bytearray(good)
    content[bit // 8] ^= 1 << bit % 8
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    path.write_bytes(content)
    refused(path, "SHA-256 does not match")


@given(data=st.data())
def test_mangled_bytes_give_a_checkpoint_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, data: st.DataObject
) -> None:
    """Removed, inserted and overwritten bytes, most of them in the header."""
    content = bytearray(good)
    header = 8 + int.from_bytes(good[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, header) | st.integers(0, len(good)))
        gone = data.draw(st.sampled_from([0, 0, 1, 8]) | st.integers(0, 300))
        content[at : at + gone] = data.draw(
            st.binary(max_size=12) | st.text('0123456789,:"[]{}', max_size=6).map(str.encode)
        )
    path = tmp_path_factory.getbasetemp() / "mangled.safetensors"
    path.write_bytes(content)
    try:
        saved = load(path)
    except InputError as error:
        assert str(error).startswith(str(path)) and len(str(error)) < 1000
    else:
        assert np.isfinite(saved.sample(3, get_ops(), seed=0)).all()


def test_loading_a_path_given_as_text(tmp_path: Path, good: bytes) -> None:
    (tmp_path / NAME).write_bytes(good)
    assert load(str(tmp_path)).step == load(str(tmp_path / NAME)).step == 2
    assert checkpoint.load is load


def test_a_digit_changed_in_the_metadata_is_noticed(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / NAME
    for name, value in (("step", 7), ("version", "9.9"), ("data", {"name": "others"})):
        path.write_bytes(forged(good, lambda tensors, meta, n=name, v=value: meta.update({n: v}), sign=False))  # type: ignore[misc]
        refused(path, "SHA-256 does not match")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[]), max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=4), inside, max_size=3),
    max_leaves=6,
)
NAMES = st.text(st.characters(exclude_categories=[]), max_size=12)
NEAR = {
    "step": st.integers(0, 2**31),
    "data": st.fixed_dictionaries({"name": NAMES}, optional={"samples": JSON | st.integers(0, 9), "sha256": JSON}),
    "space": st.fixed_dictionaries({
        "kind": st.just("table"), "shape": st.just([4]), "columns": st.lists(NAMES, min_size=4, max_size=4)
    }),
}  # fmt: skip
"""Metadata that are nearly right."""


@given(name=st.sampled_from(sorted(NEAR)), data=st.data())
def test_whatever_signed_metadata_say_is_usable_or_refused(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, name: str, data: st.DataObject
) -> None:
    """All text that commands print or write from metadata fits on a line and is valid UTF-8."""
    path = tmp_path_factory.getbasetemp() / "signed.safetensors"
    path.write_bytes(forged(good, change_meta(**{name: data.draw(NEAR[name] | JSON)})))
    try:
        saved = load(path)
    except InputError as error:
        assert str(error).startswith(str(path)) and len(str(error)) < 1000
        return
    assert 0 <= saved.step < 2**31
    for column in saved.space.columns:
        assert column.encode() and column.isprintable() and len(column) <= 200


# ------------------------------------------------------------------------------------- what was measured, and the data

RECORD = st.fixed_dictionaries(
    {"step": st.integers(-1, 4) | st.floats() | st.none()}, optional={"frechet": st.floats()}
)


@given(st.dictionaries(st.sampled_from(["last", "best", "other"]), RECORD | st.none() | st.integers()) | st.integers())
def test_what_was_measured_comes_back_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, measured: Any
) -> None:
    path = tmp_path_factory.mktemp("measured") / NAME
    path.write_bytes(forged(good, lambda _, meta: meta.update(measured=measured)))
    usable = isinstance(measured, dict) and all(
        key in ("last", "best")
        and isinstance(record, dict)
        and type(record["step"]) is int
        and 0 <= record["step"] <= 2
        and math.isfinite(record.get("frechet", 0))
        for key, record in measured.items()
    )
    if usable:
        assert load(path).measured == measured
    else:
        refused(path, "measured")


def data_of(**changes: Any) -> Data:
    rows = np.arange(240, dtype=np.uint8).reshape(30, 8)
    parts = {"train": rows[:20], "validation": rows[20:25], "test": rows[25:]}
    labels = {name: part[:, 0] for name, part in parts.items()}
    space = Image((2, 4))
    return Data(**{"name": "things", "space": space, **parts, "labels": labels, "unit": 1 / 255, **changes})


def checkpoint_of(data: Data, identity: dict[str, Any]) -> Any:
    return SimpleNamespace(space=data.space, data=identity, config=Config())


def changed(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[-1, -1] += 1
    return rows


TABLE = Table((8,), tuple("abcdefgh"))
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a training value": ({}, {"train": changed(data_of().train)}, "its training rows have the SHA-256"),
    "a validation value": ({}, {"validation": changed(data_of().validation)}, "its held-out rows have the SHA-256"),
    "a test value": ({}, {"test": changed(data_of().test)}, "its held-out rows have the SHA-256"),
    "a label": ({}, {"labels": {**data_of().labels, "test": data_of().test[:, 1]}}, "its labels have the SHA-256"),
    "no labels": ({}, {"labels": None}, "its labels have the SHA-256"),
    "the unit": ({}, {"unit": 1.0}, "its unit is 1.0, not 0.0039"),
    "the shape": ({}, {"space": Image((4, 2))}, "its shape is (4, 2), not (2, 4)"),
    "the kind": ({}, {"space": TABLE}, "its kind is table, not image; its shape is (8,), not (2, 4)"),
    "a column": (
        {"space": TABLE},
        {"space": Table((8,), (*"abcdefg", "\x1b[2J"))},
        "its column 8 is called \\x1b[2J, not h.",
    ),
    "the number": ({}, {"train": data_of().train[:19]}, "its number of samples to train on is 19, not 20"),
    "the type": ({}, {"train": data_of().train.astype("f")}, "its training rows have the SHA-256"),
    "where a part ends": (
        {},
        {"validation": data_of().validation[:4], "test": np.concatenate([data_of().validation[4:], data_of().test])},
        "its held-out rows have the SHA-256",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_differs_in_the_data_is_named(change: str) -> None:
    before, after, words = CHANGES[change]
    then, now = data_of(**before), data_of(**{**before, **after})
    saved = checkpoint_of(then, identify(then, False))
    check_data(saved, then, "run", "x.npy")
    with pytest.raises(InputError) as caught:
        check_data(saved, now, "run", "x.npy")
    message = str(caught.value)
    assert message.startswith("run: --data x.npy does not hold what the run was trained on: ") and words in message
    assert all(one != other for one, other in re.findall(r"the SHA-256 (\w+), not (\w+)", message))
    assert message.isprintable()


def test_data_are_the_same_under_any_name_and_for_older_checkpoints() -> None:
    data = data_of()
    for all_data in (False, True):
        rows = data.part(all_data)
        old = {"name": "x", "samples": len(rows), "sha256": hashlib.sha256(rows.tobytes()).hexdigest()}
        for identity in (identify(data, all_data), old, {"name": "x"}):
            saved = checkpoint_of(data, identity)
            saved.config = Config(all_data=all_data)
            check_data(saved, data_of(name="other"), "run", "x.npy")
        saved = checkpoint_of(data, old)
        with pytest.raises(InputError, match="its training rows have the SHA-256"):
            check_data(saved, data_of(train=changed(data.train)), "run", "x.npy")
    # older versions kept tables in float32
    table = data_of(space=TABLE, train=np.random.default_rng(0).random((20, 8)))
    sha256 = hashlib.sha256(table.train.astype("f").tobytes()).hexdigest()
    check_data(checkpoint_of(table, {"name": "x", "samples": 20, "sha256": sha256}), table, "run", "x.npy")


@given(st.dictionaries(st.sampled_from([*identify(data_of(), False), "sha256"]), st.text() | st.lists(st.none())))
def test_any_forged_identity_is_one_sentence(identity: dict[str, Any]) -> None:
    identity.pop("name", None)
    try:
        check_data(checkpoint_of(data_of(), identity), data_of(), "run", "x.npy")
        assert not identity
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 1000


# ------------------------------------------------------------------------------------------- runs of earlier versions


@pytest.mark.parametrize("run", sorted(EARLIER.iterdir()), ids=lambda run: run.name)
def test_a_run_of_an_earlier_version_samples_and_resumes_as_it_did_there(run: Path, tmp_path: Path) -> None:
    """Each directory of tests/runs was written by the commit in its name: a checkpoint, samples that this commit drew from it,
    and the checkpoint after the same number of further steps. Products on another processor may differ in the last bits."""
    before, after = (safetensors.numpy.load_file(run / name) for name in (NAME, "resumed.safetensors"))
    saved = load(run / NAME)
    with np.load(run / "samples.npz") as kept:
        drawn = saved.sample(8, get_ops(), seed=0).reshape(kept["x"].shape)
        np.testing.assert_allclose(drawn, kept["x"], rtol=1e-4, atol=1e-5)
    shutil.copytree(run, tmp_path / "run")
    session = fit(resume=str(tmp_path / "run"), steps=2 * saved.step)
    assert session.gan.step == 2 * saved.step
    for name, value in flats(session.gan).items():
        np.testing.assert_allclose(value, after[name], rtol=1e-3, atol=1e-5, err_msg=name)
        assert not np.allclose(value, before[name], rtol=1e-3, atol=1e-5), name
