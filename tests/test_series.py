"""Signals: WAV files and arrays are read, drawn, measured and written, and what cannot be used is refused with one sentence."""

from __future__ import annotations

import json
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import TINY, exit_code
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from PIL import Image

from minigan import evaluate, plots, sample, train
from minigan.backends import get_ops
from minigan.data import Data, load, sounds
from minigan.data.scaling import Scaler
from minigan.data.spaces import Signal, from_dict
from minigan.data.spaces.series import wav
from minigan.errors import InputError
from minigan.metrics import spectra
from minigan.metrics.suite import Suite
from minigan.metrics.verdict import verdict
from minigan.plots import Shown
from minigan.plots import signals as pictures
from minigan.runs import checkpoint

RATE = 8000


def tone(frequency: float, t: int = 400, rate: int = RATE, phase: float = 0.0, loud: float = 0.5) -> np.ndarray:
    return loud * np.sin(2 * np.pi * frequency * np.arange(t) / rate + phase)


def pcm(x: np.ndarray, rate: int = RATE) -> bytes:
    """A WAV file of 16 bits of x (t,) or (t, channels) in [-1, 1]."""
    return wav(np.rint(x.reshape(len(x), -1) * 32767).astype("<i2"), rate)


def chunks(*parts: tuple[bytes, bytes], claimed: int | None = None) -> bytes:
    """A RIFF file of named parts; claimed: what the last says of its size."""
    body = b"WAVE"
    for i, (name, part) in enumerate(parts):
        size = claimed if claimed is not None and i == len(parts) - 1 else len(part)
        body += name + struct.pack("<I", size) + part + b"\0" * (len(part) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def form(tag: int, channels: int, rate: int, depth: int, more: bytes = b"") -> bytes:
    block = channels * depth // 8
    return struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, depth) + more


def folder_of(path: Path, n: int = 60, **options: Any) -> Path:
    """A folder of tones that differ in frequency and phase."""
    path.mkdir()
    r = np.random.default_rng(0)
    for i in range(n):
        (path / f"{i:03}.wav").write_bytes(pcm(tone(r.uniform(200, 1200), phase=r.uniform(0, 6), **options)))
    return path


# ------------------------------------------------------------------------------------------------------ one WAV file


@pytest.mark.parametrize(
    ("tag", "depth", "of"),
    [
        (1, 8, lambda x: np.rint(x * 128 + 128).clip(0, 255).astype("u1").tobytes()),
        (1, 16, lambda x: np.rint(x * 2**15).astype("<i2").tobytes()),
        (1, 24, lambda x: b"".join(round(v * 2**23).to_bytes(3, "little", signed=True) for v in x)),
        (1, 32, lambda x: np.rint(x * 2**31).astype("<i4").tobytes()),
        (3, 32, lambda x: x.astype("<f4").tobytes()),
        (3, 64, lambda x: x.astype("<f8").tobytes()),
    ],
)
@pytest.mark.parametrize("extensible", [False, True])
def test_every_depth_is_read(tmp_path: Path, tag: int, depth: int, of: Any, extensible: bool) -> None:
    x = tone(440, 101, loud=0.9)
    guid = struct.pack("<HHIH", 22, depth, 4, tag) + bytes(14)
    described = form(0xFFFE, 1, RATE, depth, guid) if extensible else form(tag, 1, RATE, depth)
    path = tmp_path / "x.wav"
    path.write_bytes(chunks((b"LIST", b"odd"), (b"fmt ", described), (b"data", of(x)), (b"LIST", b"more")))
    sound = sounds.described(path)
    assert (sound.channels, sound.rate, sound.frames) == (1, RATE, 101)
    found = sounds.values(sound, 1, RATE, 110)
    np.testing.assert_allclose(found[0, :101], x, atol=1.01 / 2 ** min(depth - 1, 23))
    assert found.dtype == np.float32 and not found[0, 101:].any()


def test_what_the_standard_library_writes_is_read(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.array([[100, -100], [200, 0], [300, 32767]], "<i2").tobytes())
    sound = sounds.described(tmp_path / "x.wav")
    np.testing.assert_array_equal(
        sounds.decoded(sound, 3), (np.array([[100, 200, 300], [-100, 0, 32767]]) / 2**15).astype("f")
    )
    np.testing.assert_allclose(sounds.values(sound, 1, RATE, 2), [[0, 100 / 2**15]], atol=1e-7)


def test_what_is_written_is_read_by_the_standard_library_and_here(tmp_path: Path) -> None:
    x = np.stack([tone(300), tone(500)]).astype(np.float32)
    path = tmp_path / "x.wav"
    path.write_bytes(Signal(x.shape, sample_rate=RATE, bounded=True).encoded(x))
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth(), file.getnframes()) == (2, RATE, 2, 400)
    again = sounds.values(sounds.described(path), 2, RATE, 400)
    np.testing.assert_allclose(again, x, atol=0.51 / 2**15)
    path.write_bytes(Signal(x.shape, sample_rate=RATE, bounded=True).encoded(again))
    np.testing.assert_array_equal(sounds.values(sounds.described(path), 2, RATE, 400), again)
    path.write_bytes(Signal(x.shape, sample_rate=RATE).encoded(1000 * x))
    np.testing.assert_array_equal(sounds.values(sounds.described(path), 2, RATE, 400), 1000 * x)
    assert Signal(x.shape).single == ".npy" and Signal(x.shape, sample_rate=1).single == ".wav"
    path.write_bytes(Signal(x.shape).encoded(x))
    np.testing.assert_array_equal(np.load(path), x)


@pytest.mark.parametrize("claimed", [0xFFFFFFFF, 0x7FFFF000])
def test_a_file_that_was_written_to_a_pipe_is_read_to_its_end(tmp_path: Path, claimed: int) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(chunks((b"fmt ", form(1, 1, RATE, 16)), (b"data", bytes(200)), claimed=claimed))
    assert sounds.described(path).frames == 100


FORM = (b"fmt ", form(1, 1, RATE, 16))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"ID3 is an mp3", "is not a WAV file"),
        (b"RIFF\0\0\0\0AVI ", "is not a WAV file"),
        (b"RIFX\0\0\0\0WAVE", "is not a WAV file"),
        (chunks(FORM), "holds no sound"),
        (chunks((b"data", bytes(8))), "does not say what its values are"),
        (chunks((b"fmt ", b"short"), (b"data", bytes(8))), "does not say what its values are"),
        (chunks(FORM, (b"data", b"")), "holds no sound"),
        (chunks(FORM, (b"data", b"x")), "holds no sound"),
        (chunks(FORM, (b"data", bytes(8)), claimed=10), "is truncated: 10 bytes of sound were expected, 8 are there"),
        (chunks((b"fmt ", form(7, 1, RATE, 8)), (b"data", bytes(8))), "8-bit values of kind 7; convert it"),
        (chunks((b"fmt ", form(1, 1, RATE, 12)), (b"data", bytes(8))), "12-bit values"),
        (chunks((b"fmt ", form(1, 0, RATE, 16)), (b"data", bytes(8))), "claims 0 channels"),
        (chunks((b"fmt ", form(1, 1, 0, 16)), (b"data", bytes(8))), "at 0 Hz"),
        (chunks((b"fmt ", form(1, 5000, RATE, 16)), (b"data", bytes(8))), "claims 5,000 channels"),
        (chunks((b"fmt ", form(3, 1, RATE, 32)), (b"data", struct.pack("<f", np.nan))), "not finite"),
        (chunks((b"fmt ", form(3, 1, RATE, 64)), (b"data", struct.pack("<d", 1e300))), "not finite or beyond"),
    ],
)
def test_a_file_that_is_no_sound_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        sounds.values(sounds.described(path), 1, RATE, 10)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_no_more_is_read_than_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(pcm(tone(300, 4000)))
    monkeypatch.setattr(sounds, "MAX_READ", 400)
    sounds.values(sounds.described(path), 1, RATE, 200)
    with pytest.raises(InputError, match="at most 400 values of one file are, so give a smaller --length"):
        sounds.values(sounds.described(path), 1, RATE, 400)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.wav"
    for whole in (content, chunks(FORM, (b"data", content)), chunks((b"fmt ", content[:40]), (b"data", content))):
        path.write_bytes(whole)
        try:
            x = sounds.values(sounds.described(path), 1, RATE, 20)
        except InputError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
        else:
            assert x.shape == (1, 20) and np.isfinite(x).all()


# ---------------------------------------------------------------------------------------------------------- resampling


@pytest.mark.parametrize(("old", "new"), [(44100, 8000), (8000, 44100), (8000, 4000), (4000, 8000), (8000, 7900)])
def test_a_tone_keeps_its_frequency_at_another_rate(old: int, new: int) -> None:
    t = old // 5
    found = sounds.resampled(tone(500, t, old)[None], old, new)[0]
    expected = tone(500, len(found), new)
    assert len(found) == round(t * new / old)
    np.testing.assert_allclose(found[200:-200], expected[200:-200], atol=2e-3)


def test_what_a_lower_rate_cannot_hold_is_left_out() -> None:
    x = tone(3000, 8000)[None] + tone(200, 8000)[None]
    np.testing.assert_allclose(sounds.resampled(x, 8000, 2000)[0, 200:-200], tone(200, 2000, 2000)[200:-200], atol=1e-2)


@given(
    arrays_of.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 50)), elements=st.floats(-1, 1, width=32)),
    st.integers(1, 200),
    st.integers(1, 200),
)
def test_resampling_gives_finite_values_and_the_length_that_was_promised(x: np.ndarray, old: int, new: int) -> None:
    found = sounds.resampled(x, old, new)
    assert found.shape == (len(x), max(1, (x.shape[1] * new + old // 2) // old)) or old == new
    assert np.isfinite(found).all()


# -------------------------------------------------------------------------------------------------- folders of files


def test_a_folder_says_what_it_does_with_files_that_differ(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "w", 20)
    (folder / "long.wav").write_bytes(pcm(tone(300, 500)))
    (folder / "short.wav").write_bytes(pcm(tone(300, 300)))
    (folder / "fast.wav").write_bytes(pcm(tone(300, 2205, 44100), 44100))
    (folder / "stereo.WAV").write_bytes(pcm(np.stack([tone(300), tone(300)], 1)))
    for name in ("a.mp3", "b.mp3", "notes.txt"):
        (folder / name).write_text("x")
    data = load(folder)
    assert (
        data.space == Signal((1, 400), sample_rate=RATE, bounded=True) and len(data.train) + len(data.validation) == 24
    )
    assert list(data.notes) == [
        f"{folder}: 24 of 27 files are read, as signals of 400 samples at 8,000 Hz, 0.05 s; 2 .mp3 and 1 .txt are not read: "
        "convert them to WAV",
        "they are 300 to 500 samples long: the first 400 samples of 1 longer ones are taken, and 1 shorter ones end in silence "
        "(--length takes more or less)",
        "1 are resampled to 8,000 Hz: 1 from 44,100 Hz",
        "1 with several channels are mixed to one, because not all have as many",
    ]
    rows = np.concatenate([data.train, data.validation])
    same = [row for row in rows if np.abs(row - tone(300))[:250].max() < 0.02]
    assert len(same) == 4, "the long, the resampled, the short and the mixed one are the same tone"
    assert sum(not row[300:].any() for row in same) == 1
    halved = load(folder, sample_rate=4000, length=100)
    assert halved.space == Signal((1, 100), sample_rate=4000, bounded=True)
    assert halved.notes[2].startswith("24 are resampled to 4,000 Hz: 23 from 8,000 Hz, 1 from 44,100 Hz")


def test_the_length_is_that_of_most_files_or_of_the_shortest() -> None:
    assert sounds.common_length([5, 5, 5, 1, 9]) == 5
    assert sounds.common_length([5, 5, 1, 9]) == 1


def test_subfolders_are_classes_and_channels_stay(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "w" / name).mkdir(parents=True)
        for i in range(5):
            x = np.stack([tone(300 + i), tone(100)], 1)
            (tmp_path / "w" / name / f"{i}.wav").write_bytes(pcm(x))
    data = load(tmp_path / "w")
    assert data.space == Signal((2, 400), classes=("a", "b"), sample_rate=RATE, bounded=True)
    assert "2 classes: a 5, b 5" in data.notes and "2 channels" in data.notes[0]
    np.testing.assert_allclose(data.train[0].reshape(2, 400)[1], tone(100), atol=1e-4)


def test_a_folder_of_more_images_is_one_of_images(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "w", 5)
    for i in range(6):
        Image.fromarray(np.full((4, 4), 40 * i, np.uint8)).save(folder / f"{i}.png")
    data = load(folder)
    assert data.space.kind == "image" and "5 .wav are not read" in data.notes[0]
    (folder / "5.png").unlink()
    with pytest.raises(InputError, match="holds no|held out|images"):
        (folder / "4.png").rename(folder / "4.wav")
        load(folder)


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "w", 4)
    with pytest.raises(InputError, match="holds 4 samples; at least 5"):
        load(folder)
    for path in folder.iterdir():
        path.write_bytes(pcm(tone(300)))
    (folder / "x.wav").write_bytes(pcm(tone(300)))
    with pytest.raises(InputError, match="5 WAV files that are all alike: there is nothing to learn"):
        load(folder)
    with pytest.raises(InputError, match="--color has no effect on .*, which is a folder of WAV files"):
        load(folder, color="rgb")
    with pytest.raises(InputError, match="samples of 1,073,741,824 values"):
        load(folder, length=1 << 30)


# --------------------------------------------------------------------------------------------------------- arrays


def waves(n: int = 50, t: int = 64) -> np.ndarray:
    r = np.random.default_rng(1)
    return np.stack([tone(r.uniform(200, 900), t, phase=r.uniform(0, 6)) for _ in range(n)])


def test_an_array_is_signals_if_that_is_said(tmp_path: Path) -> None:
    x = 20 + 5 * waves()
    assert load(x).space.kind == "table"
    assert load(x, sample_rate=100).space == Signal((1, 64), sample_rate=100)
    told = load(x, shape=(1, 64))
    assert told.space == Signal((1, 64)) and told.notes == ("the array: signals of 64 samples",)
    assert load(x, sample_rate=100, shape=(4, 16)).space == Signal((4, 16), sample_rate=100)
    assert load(x.reshape(50, 4, 16), sample_rate=100).space == Signal((4, 16), sample_rate=100)
    np.testing.assert_allclose(np.concatenate([told.train, told.validation]).sum(), x.sum(), rtol=1e-5)
    cut = load(x, sample_rate=64, length=16)
    assert cut.space.shape == (1, 16) and cut.notes[0].endswith("at 64 Hz, 0.25 s, the first of 64")
    longer = load(x.reshape(50, 2, 32), sample_rate=64, length=40)
    assert not longer.train.reshape(-1, 2, 40)[:, :, 32:].any() and longer.notes[0].endswith("the last 8 of them 0")
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(50) % 2)
    labelled = load(tmp_path / "x.npz", sample_rate=100)
    assert labelled.space.kind == "signal" and labelled.space.classes == ("0", "1")


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        (waves(), {"shape": (1, 63)}, "--shape 1 63 is not that of the signals of the array"),
        (waves().reshape(50, 2, 32), {"sample_rate": 1, "shape": (1, 64)}, "is not that of the signals"),
        (waves(), {"sample_rate": 1, "shape": (64,)}, "--shape 64 is no shape of signals; give CHANNELS T"),
        (waves(), {"sample_rate": 1, "shape": (1, 8, 8)}, "--shape 1 8 8 is no shape of signals"),
        (waves() * 0, {"sample_rate": 1}, "all alike"),
        (waves() * np.nan, {"sample_rate": 1}, "signal 0, value (0)"),
        (waves(4), {"sample_rate": 1}, "holds 4 samples"),
        (np.full((9, 4), 2**60), {"sample_rate": 1}, "beyond 2^53"),
        (waves(), {"sample_rate": 1, "color": "rgb"}, "--color has no effect"),
        (waves().reshape(50, 2, 2, 16), {"sample_rate": 1}, ""),
    ],
)
def test_an_array_that_is_no_signals_is_refused(x: np.ndarray, options: dict, words: str) -> None:
    with pytest.raises(InputError) as caught, np.errstate(all="ignore"):
        load(x, **options)
    assert words in str(caught.value)


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=4),
    st.lists(st.integers(1, 6), max_size=4),
    st.integers(0, 8),
    st.sampled_from([np.uint8, np.int64, np.float32, np.float64, np.bool_]),
    st.integers(0, 3),
)
def test_arrays_of_any_shape_are_read_or_refused(
    shape: list[int], told: list[int], length: int, dtype: Any, seed: int
) -> None:
    x = (np.random.default_rng(seed).normal(size=shape) * 10**seed).astype(dtype)
    try:
        data = load(x, shape=tuple(told), length=length, sample_rate=5)
    except InputError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
    else:
        assert isinstance(data.space, Signal) and data.space.shape[1] == (length or data.space.shape[1])
        assert from_dict(data.space.to_dict(), "here") == data.space


def test_channels_of_different_units_are_scaled_apart_and_moments_together() -> None:
    x = np.stack([1000 + waves(), 1e-3 * waves()], 1)
    x[:, :, 40:] *= 0.01
    data = load(x, sample_rate=100)
    scaler = Scaler.fit(data.space, data.train, "identity")
    model = scaler.to_model(data.train).reshape(-1, 2, 64)
    scale = scaler.scale.reshape(2, 64)
    assert (scale == scale[:, :1]).all(), "moments of a channel share a scale, so quiet ones stay quiet"
    np.testing.assert_allclose(np.sqrt(np.square(model).mean(axis=(0, 2))), 1, rtol=1e-5)
    np.testing.assert_allclose(
        scaler.to_data(model.reshape(len(model), -1), data.space), data.train, rtol=1e-4, atol=1e-5
    )


# ------------------------------------------------------------------------------------------------------- checkpoints


def test_a_signal_is_described_in_a_checkpoint() -> None:
    space = Signal((2, 8), (), ("a", "b"), sample_rate=RATE, bounded=True)
    assert from_dict(json.loads(json.dumps(space.to_dict())), "here") == space
    assert space.header()[7:9] == ["c0t7", "c1t0"] and Signal((1, 2)).header() == ["t0", "t1"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda x: st.lists(x, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["sample_rate", "bounded", "x"]), JSON), st.lists(st.integers(-1, 5), max_size=3)
)
def test_a_description_that_is_none_is_refused(details: dict, shape: list[int]) -> None:
    try:
        space = from_dict({"kind": "signal", "shape": shape, "columns": [], **details}, "here")
    except InputError as error:
        assert str(error).startswith("here: ") and str(error).endswith(".")
    else:
        assert isinstance(space, Signal) and type(space.sample_rate) is int and type(space.bounded) is bool


# ---------------------------------------------------------------------------------------------- the commands, together


def test_a_folder_goes_through_all_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder_of(Path("w"))
    assert train.family("w") == "signal"
    flags = [*TINY[:-1], "--data", "w", "--steps", 4, "--evaluate-every", 4, "--out", "run"]
    assert exit_code(train.main, *flags) == 0
    assert "w: 60 WAV files, as signals of 400 samples at 8,000 Hz, 0.05 s" in capsys.readouterr().out
    assert checkpoint.load("run").space == Signal((1, 400), sample_rate=RATE, bounded=True)
    assert exit_code(train.main, "--resume", "run", "--steps", 6, "--quiet") == 0
    assert exit_code(evaluate.main, "run", "-n", 100) == 0
    assert "decibels between mean spectra" in capsys.readouterr().out
    assert exit_code(sample.main, "run", "-n", 3, "-o", "out/") == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["00001.wav", "00002.wav", "00003.wav"]
    with wave.open("out/00001.wav") as file:
        assert (file.getframerate(), file.getnframes(), file.getsampwidth()) == (RATE, 400, 2)
    assert exit_code(sample.main, "run", "-n", 3, "-o", "s.npz") == 0
    x = np.load("s.npz")["x"]
    assert x.shape == (3, 1, 400) and np.abs(x).max() <= 1
    one = sounds.values(sounds.described(Path("out/00002.wav")), 1, RATE, 400)
    np.testing.assert_allclose(one, x[1], atol=0.51 / 2**15)
    assert exit_code(sample.main, "run", "-n", 3, "-o", "s.csv") == 0
    assert Path("s.csv").read_text().startswith("t0,t1,")
    np.save("w.npy", waves())
    assert exit_code(train.main, *TINY, "--data", "w.npy", "--sample-rate", 100, "--steps", 2, "--out", "run2") == 0
    assert checkpoint.load("run2").space == Signal((1, 64), sample_rate=100)
    assert exit_code(train.main, *TINY, "--data", "w.npy", "--shape", 1, 64, "--steps", 2, "--out", "run3") == 0
    assert exit_code(sample.main, "run3", "-n", 2, "-o", "out3/") == 0 and np.load("out3/00002.npy").shape == (1, 64)


# ------------------------------------------------------------------------------------------------------------ pictures


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 5000), (5, 40)])
@pytest.mark.parametrize("rate", [0, 100])
def test_signals_of_any_shape_are_drawn(tmp_path: Path, shape: tuple[int, int], rate: int) -> None:
    space, r = Signal(shape, sample_rate=rate), np.random.default_rng(0)
    x = r.normal(size=(7, space.size)).astype(np.float32)
    odd = x.copy()
    odd[0], odd[1, 0], odd[2] = np.nan, np.inf, 1e30
    for name, real in (("a", x), ("b", None), ("c", odd), ("d", 0 * x)):
        plots.progress(tmp_path / f"{name}.png", space, Shown(odd, real), 5)
    plots.comparison(tmp_path / "e.png", space, Shown(x, x[:1]))
    plots.samples(tmp_path / "f.png", space, odd)
    plots.neighbours(
        tmp_path / "g.png",
        space,
        [("one", x[:2], x[None, :3].repeat(2, 0)), ("two", odd[:2], x[None, :3].repeat(2, 0))],
    )
    for name in "abcdefg":
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.width == 1200


@given(arrays_of.arrays(np.float64, st.integers(1, 3000), elements=st.floats(-5, 5)))
def test_the_outline_of_a_curve_has_its_extremes(x: np.ndarray) -> None:
    at, shown = pictures.outline(x)
    assert len(at) == len(shown) <= 2 * pictures.POINTS and (np.diff(at) >= 0).all()
    assert shown.min() == x.min() and shown.max() == x.max()


# ------------------------------------------------------------------------------------------------------------ measures


def test_the_spectrum_of_a_tone_has_its_frequency_and_its_power() -> None:
    x = np.stack([tone(1000, 4096, phase=p, loud=0.5) for p in range(8)])[:, None]
    power = spectra.spectrum(x)[0]
    at = np.linspace(0, RATE / 2, len(power))
    assert abs(at[power.argmax()] - 1000) < RATE / 1024
    noise = np.random.default_rng(0).normal(0, 0.3, (50, 1, 2048))
    np.testing.assert_allclose(spectra.spectrum(noise).mean(), 0.09, rtol=0.02)
    np.testing.assert_allclose(spectra.envelope(noise).mean(), 0.09, rtol=0.02)


def test_powers_are_those_of_the_discrete_fourier_transform() -> None:
    """Against the sum that defines it."""
    x = np.random.default_rng(0).normal(size=(1, 1, 24))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(8) / 8)
    for f, frame in enumerate(range(0, 17, 4)):
        for k in range(5):
            waves = np.exp(-2j * np.pi * k * np.arange(8) / 8)
            expected = abs((hann * x[0, 0, frame : frame + 8] * waves).sum()) ** 2 / (hann**2).sum()
            np.testing.assert_allclose(spectra.powers(x, 8)[0, 0, f, k], expected)


def beats(n: int, seed: int) -> np.ndarray:
    """Pulses of a random height and width a random moment before the middle, and faint noise."""
    r = np.random.default_rng(seed)
    at = np.arange(128)
    place, width, height = r.normal(50, 4, n), r.lognormal(1, 0.2, n), r.normal(1, 0.15, n)
    x = height[:, None] * np.exp(-np.square((at - place[:, None]) / width[:, None]) / 2)
    return 0.5 * x + r.normal(0, 0.01, x.shape)


@pytest.fixture(scope="module")
def suite() -> Suite:
    return Suite(load(beats(3000, 0), sample_rate=100), get_ops())


FAULTS: dict[str, Any] = {
    "none": (lambda x, r: x, set(), set()),
    "noise": (lambda x, r: x + r.normal(0, 0.05, x.shape), {"spectrum"}, {"A spectrum unlike the data"}),
    "low-pass": (
        lambda x, r: np.stack([np.convolve(row, np.ones(9) / 9, "same") for row in x]),
        {"spectrum"},
        {"A spectrum unlike the data"},
    ),
    "silence": (lambda x, r: 0 * x, {"spectrum", "loudness", "envelope"}, {"Mode collapse", "Too quiet"}),
    "half": (lambda x, r: 0.5 * x, {"spectrum", "loudness"}, {"Too quiet"}),
    "double": (lambda x, r: 2 * x, {"spectrum", "loudness"}, {"Too loud"}),
    "late": (lambda x, r: np.roll(x, 30, axis=1), {"envelope"}, {"Power at other moments"}),
    "backwards": (lambda x, r: x[:, ::-1], {"envelope"}, {"Power at other moments"}),
    "one": (lambda x, r: x[:1].repeat(len(x), 0), set(), {"Mode collapse"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_of_a_signal_is_seen_and_named(suite: Suite, name: str) -> None:
    spoil, seen, named = FAULTS[name]
    made = suite.measure(spoil(beats(3000, 5), np.random.default_rng(1)).astype(np.float32))
    findings = {finding.partition(":")[0] for finding in verdict(made, suite.real, m=suite.m)}
    assert named <= findings, (findings, made)
    if name == "none":
        assert findings == {"No sign of mode collapse, memorisation or blur."}, made
    for measure, most in (("spectrum", 1.0), ("envelope", 1.0), ("loudness", 0.1)):
        off = abs(made[measure] - (1 if measure == "loudness" else 0))
        if measure in seen:
            assert off > most, (measure, made[measure])
        elif name in ("none", "late", "backwards") and measure != "envelope":
            assert off < most, (measure, made[measure])


def test_measures_of_signals_do_not_depend_on_their_unit() -> None:
    x = beats(1500, 0)
    plain, moved = (Suite(load(rows, sample_rate=100), get_ops()) for rows in (x, 40 + 1000 * x))
    for a, b in zip(
        plain.measure(x[:600].astype("f")).values(), moved.measure(40 + 1000 * x[:600]).values(), strict=True
    ):
        assert abs(a - b) < 0.02 * max(1, abs(a))


def test_short_and_constant_channels_are_measured() -> None:
    r = np.random.default_rng(0)
    for shape in ((1, 1), (3, 2), (2, 7)):
        x = r.normal(size=(100, *shape))
        x[:, -1] = 7 if shape[0] > 1 else x[:, -1]
        data: Data = load(x.reshape(100, -1), sample_rate=1, shape=shape)
        suite = Suite(data, get_ops())
        assert all(np.isfinite(value) for value in suite.measure(suite.others).values())
