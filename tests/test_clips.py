"""Clips: arrays of grey frames are told from images, drawn, measured and written."""

from __future__ import annotations

import io
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
from minigan.data import load
from minigan.data.spaces import Clip, from_dict
from minigan.errors import InputError
from minigan.metrics.suite import Suite
from minigan.metrics.variation import motion
from minigan.metrics.verdict import verdict
from minigan.plots import Shown
from minigan.runs import checkpoint


def moving(n: int, seed: int, t: int = 6, side: int = 10) -> np.ndarray:
    """A square of 3 x 3 pixels and any shade that moves to the right or down, (n, t, side, side), uint8."""
    r = np.random.default_rng(seed)
    clips = np.zeros((n, t, side, side), np.uint8)
    for clip in clips:
        place, step, shade = r.integers(0, 4, 2), r.permutation([0, 1]), r.integers(120, 256)
        for i, frame in enumerate(clip):
            y, x = place + step * min(i, 4)
            frame[y : y + 3, x : x + 3] = shade
    return clips


# ------------------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    ("shape", "told", "kind", "of"),
    [
        ((20, 5, 8, 8), (), "clip", (5, 8, 8)),
        ((20, 1, 8, 8), (), "image", (8, 8)),
        ((20, 3, 8, 8), (), "colour", (8, 8, 3)),
        ((20, 8, 8, 3), (), "colour", (8, 8, 3)),
        ((20, 3, 8, 8), (3, 8, 8), "clip", (3, 8, 8)),
        ((20, 8, 8, 3), (8, 8, 3), "clip", (8, 8, 3)),
        ((20, 1, 8, 8), (1, 8, 8), "clip", (1, 8, 8)),
        ((20, 320), (5, 8, 8), "clip", (5, 8, 8)),
        ((20, 192), (3, 8, 8), "colour", (8, 8, 3)),
        ((20, 320), (), "table", (320,)),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_clips_are_told_from_images_by_their_sizes(
    tmp_path: Path, shape: tuple[int, ...], told: tuple[int, ...], kind: str, of: tuple[int, ...], dtype: Any
) -> None:
    x = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    x = x if dtype == np.uint8 else (x / 255).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    for data in (load(x, shape=told), load(tmp_path / "x.npy", shape=told)):
        assert (data.space.kind, data.space.shape) == (kind, of)
        assert kind == "table" or data.train.dtype == dtype
        if kind == "clip":
            assert data.notes[0].endswith(f"clips of {of[0]} frames of {of[1]} x {of[2]} pixels")
            values = np.concatenate([data.train, data.validation]) * np.float64(data.unit)
            np.testing.assert_allclose(values.sum(), x.sum() / (255 if dtype == np.uint8 else 1), rtol=1e-6)
    flags = ["--shape", *map(str, told)] if told else []
    parsed, _ = train.parse(["--data", str(tmp_path / "x.npy"), *flags])
    assert parsed.shape == told


def test_clips_of_bool_and_in_fortran_order_are_read(tmp_path: Path) -> None:
    x = moving(20, 0) > 0
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    data = load(tmp_path / "x.npy")
    assert data.space == Clip((6, 10, 10)) and data.unit == 1
    np.testing.assert_array_equal(np.unique(np.concatenate([data.train, data.validation])), [0, 1])
    assert {row.tobytes() for row in data.train} <= {clip.astype(np.uint8).tobytes() for clip in x}


@pytest.mark.parametrize(
    ("x", "told", "words"),
    [
        (moving(20, 0), (6, 10, 9), "--shape 6 10 9 is not that of the clips of the array"),
        (moving(20, 0).reshape(20, -1), (6, 10, 9), "is not that of the clips"),
        (moving(20, 0) // 200, (), "none is above 1"),
        (moving(20, 0) * 1.0, (), "counting from 0: clip 0, pixel (0, "),
        (moving(20, 0) * -1.0, (), "must lie in [0, 1]"),
        (np.full((20, 24), np.nan), (4, 2, 3), "holds nan; the pixels of an image cannot be missing"),
        (np.full((20, 48), np.nan), (4, 2, 6), "counting from 0: clip 0, pixel (0)"),
        (np.full((20, 5, 8, 8), 0.5), (), "all alike: there is nothing to learn"),
        (moving(4, 0), (), "holds 4 samples"),
        (np.zeros((20, 2, 5, 8, 8)), (), "5 dimensions"),
    ],
)
def test_what_is_no_clip_is_refused(x: np.ndarray, told: tuple[int, ...], words: str) -> None:
    with pytest.raises(InputError) as caught:
        load(x, shape=told)
    assert words in str(caught.value)


@given(
    st.lists(st.integers(0, 6), min_size=4, max_size=4),
    st.lists(st.integers(1, 6), max_size=4),
    st.sampled_from([np.uint8, np.float32, np.bool_]),
)
def test_arrays_of_any_shape_are_read_or_refused(shape: list[int], told: list[int], dtype: Any) -> None:
    x = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    x = x * 255 if dtype == np.uint8 else x
    try:
        data = load(x, shape=tuple(told))
    except InputError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
    else:
        assert data.space.size == x[0].size and data.train.shape[1] == data.space.size
        assert from_dict(data.space.to_dict(), "here") == data.space


# ---------------------------------------------------------------------------------------------- the commands, together


def test_clips_go_through_all_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("m.npz", x=moving(100, 0), y=np.arange(100) % 3)
    assert train.family("m.npz") == "clip"
    flags = [*TINY[:-1], "--data", "m.npz", "--steps", 4, "--evaluate-every", 4, "--out", "run"]
    assert exit_code(train.main, *flags) == 0
    assert "m.npz: clips of 6 frames of 10 x 10 pixels" in capsys.readouterr().out
    assert checkpoint.load("run").space == Clip((6, 10, 10), classes=("0", "1", "2"))
    assert exit_code(train.main, "--resume", "run", "--steps", 6, "--quiet") == 0
    assert exit_code(evaluate.main, "run", "-n", 100) == 0
    assert "steps between frames over real" in capsys.readouterr().out
    assert exit_code(sample.main, "run", "-n", 3, "-o", "out/") == 0
    assert exit_code(sample.main, "run", "-n", 3, "-o", "s.npz") == 0
    assert exit_code(sample.main, "run", "-n", 3, "-o", "s.png") == 0
    assert exit_code(sample.main, "run", "-n", 3, "-o", "s.gif") == 0
    with Image.open("s.gif") as animation:
        assert animation.n_frames == 6 and animation.size == (22, 22)
    assert exit_code(sample.main, "run", "-n", 20_000, "-o", "t.gif") == 2
    x = np.load("s.npz")["x"]
    assert x.shape == (3, 6, 10, 10) and x.min() >= 0 and x.max() <= 1
    with Image.open("out/00002.gif") as animation:
        assert animation.n_frames == 6 and animation.size == (10, 10)
        for i in range(6):
            animation.seek(i)
            np.testing.assert_array_equal(np.asarray(animation.convert("L")), np.rint(255 * x[1, i]))


@given(arrays_of.arrays(np.float32, st.tuples(*[st.integers(1, 4)] * 3), elements=st.floats(0, 1, width=32)))
def test_every_shade_of_an_animation_is_kept(x: np.ndarray) -> None:
    with Image.open(io.BytesIO(Clip(x.shape).encoded(x))) as animation:
        frames = []
        for i in range(animation.n_frames):
            animation.seek(i)
            frames += [np.asarray(animation.convert("L"))] * round(animation.info["duration"] / 100)
    np.testing.assert_array_equal(frames, np.rint(255 * x))  # equal frames are written as a longer one


# ------------------------------------------------------------------------------------------------------------ pictures


@pytest.mark.parametrize("shape", [(1, 1, 1), (6, 10, 10), (40, 3, 70), (2, 300, 200)])
def test_clips_of_any_shape_are_drawn(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    space, r = Clip(shape), np.random.default_rng(0)
    x = r.uniform(size=(5, space.size)).astype(np.float32)
    odd = x.copy()
    odd[0, 0], odd[1] = np.nan, np.inf
    plots.progress(tmp_path / "a.png", space, Shown(odd, x), 5)
    plots.comparison(tmp_path / "b.png", space, Shown(x, x[:1]))
    plots.samples(tmp_path / "c.png", space, x)
    plots.neighbours(
        tmp_path / "d.png", space, [("one", x[:2], x[None, :3].repeat(2, 0)), ("two", x[:2], x[None, :3].repeat(2, 0))]
    )
    for name in "abcd":
        with Image.open(tmp_path / f"{name}.png") as image:
            assert max(image.size) < 4000


# ------------------------------------------------------------------------------------------------------------ measures


def test_motion_by_hand() -> None:
    clips = np.zeros((1, 3, 1, 2))
    clips[0, 1] = 1
    np.testing.assert_allclose(motion(clips), 1 / clips.var())
    assert motion(clips[:, :1]) == 0
    assert motion(0.3 * clips) == pytest.approx(motion(clips)), "contrast does not count"


@pytest.fixture(scope="module")
def suite() -> Suite:
    return Suite(load(moving(1500, 0)), get_ops())


FAULTS: dict[str, Any] = {
    "none": (lambda x, r: x, "No sign of mode collapse, memorisation or blur."),
    "still": (lambda x, r: x[:, :1].repeat(6, 1), "Motion unlike the data"),
    "shuffled": (lambda x, r: np.stack([clip[r.permutation(6)] for clip in x]), "Motion unlike the data"),
    "flicker": (lambda x, r: x * r.choice([0.4, 1.0], (len(x), 6, 1, 1)), "Motion unlike the data"),
    "half": (lambda x, r: x * 0.5, "Ghosts"),
    "speckle": (lambda x, r: np.maximum(x, r.random(x.shape) < 0.002), "Speckle"),
    "aside": (lambda x, r: np.roll(x, 3, axis=3), "Out of place"),
    "one": (lambda x, r: x[:1].repeat(len(x), 0), "Mode collapse"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_of_a_clip_is_named(suite: Suite, name: str) -> None:
    spoil, named = FAULTS[name]
    x = spoil(moving(900, 5) / 255.0, np.random.default_rng(1)).reshape(900, -1).astype(np.float32)
    made = suite.measure(x)
    findings = {finding.partition(":")[0] for finding in verdict(made, suite.real, m=suite.m)}
    unlike = {"Unlike the data"} if name in ("still", "flicker", "shuffled") else set()
    assert named in findings or findings & unlike, (findings, made)
    if name == "none":
        assert findings == {named}, made
    if name in ("still", "shuffled", "flicker"):
        assert not 0.7 < made["motion"] < 1.4


def test_clips_of_any_shape_are_measured() -> None:
    for shape in ((1, 1, 1), (2, 1, 5), (40, 2, 2), (3, 40, 7)):
        x = np.random.default_rng(0).integers(0, 256, (60, *shape)).astype(np.uint8)
        data = load(x, shape=shape)
        suite = Suite(data, get_ops())
        with np.errstate(all="ignore"):
            values = suite.measure(suite.others)
        assert all(np.isfinite(values[name]) for name in ("frechet", "coverage", "spread"))
        assert np.isnan(values["motion"]) == (shape[0] == 1)
