"""Runs with --convolutions: what is refused, what is counted, and what a checkpoint holds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import TINY, exit_code, normal

from minigan import fit, train
from minigan.backends import Ops, get_ops
from minigan.config import Config
from minigan.errors import InputError
from minigan.nn import architecture
from minigan.nn.gan import GAN
from minigan.nn.layers import Patches
from minigan.recipes import recipe
from minigan.runs import checkpoint, cost

SETTINGS: dict[str, Any] = {"convolutions": (4, 2, 3, 2, 1, 5), "hidden": (6,), "latent": 3, "batch_size": 8, "r1": 1.0}
"""On images of 8 x 8 pixels: maps of 3 x 3 with 3 channels, and of 2 x 2 with 5."""


@pytest.mark.parametrize(("shape", "side", "stride"), [((28, 28, 1), 4, 2), ((5, 7, 3), 3, 2), ((4, 4, 2), 2, 2)])
def test_patches_are_those_of_the_image_and_adding_them_up_is_the_transpose(
    backend: Ops, shape: tuple[int, int, int], side: int, stride: int
) -> None:
    patches = Patches(shape, side, stride)
    image, q = normal(backend, 2, patches.size), patches.count * patches.inside
    taken, scratch = backend.zeros((2, q), "float64"), backend.zeros((2, patches.size), "float64")
    backend.sum_columns(image, patches.taken(backend), taken)
    pixels, got = backend.to_host(image).reshape(2, *shape), backend.to_host(taken).reshape(2, patches.count, -1)
    for number, (i, j) in enumerate(np.ndindex(*patches.places)):
        square = pixels[:, stride * i : stride * i + side, stride * j : stride * j + side]
        np.testing.assert_array_equal(got[:, number], square.reshape(2, -1))
    other, back = normal(backend, 2, q, seed=1), backend.zeros((2, patches.size), "float64")
    backend.sum_columns(other, patches.given(backend), back, scratch)
    assert float((taken * other).sum()) == pytest.approx(float((image * back).sum()), rel=1e-12)


def test_a_networks_parameters_are_counted_before_it_is_made(backend: Ops) -> None:
    for settings in ({}, SETTINGS):
        config = Config(**settings)
        gan = GAN(config, (8, 8), backend)
        assert architecture.generator(config, (8, 8)).count == gan.generator.count == gan.generator.theta.flat.size
        assert architecture.discriminator(config, (8, 8)).count == gan.discriminator.count
    assert gan.generator.sizes == (3, 6, 20, 27, 64) and gan.discriminator.sizes == (64, 27, 20, 6, 1)
    assert gan.discriminator.count == (16 + 1) * 3 + (4 * 3 + 1) * 5 + (20 + 1) * 6 + 7
    assert gan.generator.count == 4 * 6 + 7 * 20 + (5 * 4 * 3 + 3) + (3 * 16 + 1)


@pytest.mark.parametrize(
    ("convolutions", "shape", "words"),
    [
        ((4, 2), (8, 8), "three numbers each"),
        ((0, 2, 3), (8, 8), "--convolutions 0 is out of range"),
        ((3, 2, 4), (8, 8), "do not cover 8 x 8 pixels exactly; the stride must divide 8 - 3, and be at most 3."),
        ((2, 2, 4), (8, 7), "the stride must divide 8 - 2 and 7 - 2"),
        ((2, 3, 4), (8, 8), "do not cover 8 x 8"),
        ((9, 1, 4), (8, 8), "do not cover 8 x 8"),
        ((4, 2, 3, 4, 1, 3), (8, 8), "do not cover 3 x 3"),
        ((500, 1, 1), (1000, 1000), "251,001 squares of 500 pixels are too many"),
        ((4, 2, 3), (64,), "for images"),
        ((4, 2, 3), 64, "for images"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(convolutions: tuple[int, ...], shape: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        GAN(Config(convolutions=convolutions, hidden=(4,), latent=2), shape, get_ops())
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_points_have_no_convolutions_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert exit_code(train.main, *TINY, "--data", "ring", "--convolutions", 2, 1, 4, "--out", out) == 2
    assert "--convolutions are for images" in capsys.readouterr().err and not out.exists()


def test_the_command_line_takes_them_and_no_numbers_for_none() -> None:
    config, _ = train.parse(["--data", "digits", "--convolutions", "4", "2", "8", "--hidden", "16"])
    assert config.convolutions == (4, 2, 8)
    assert train.parse(["--data", "digits", "--convolutions"])[0].convolutions == ()


def test_a_run_is_resumed_exactly_and_sampled_from(tmp_path: Path) -> None:
    config = recipe("default", "digits").replace(**SETTINGS, log_every=2, sample_every=1000)
    whole = fit(config, steps=6, out=tmp_path / "whole")
    fit(config, steps=3, out=tmp_path / "parts", schedule_steps=30_000)
    fit(config.replace(schedule_steps=30_000), steps=6, out=tmp_path / "whole2")
    parts = fit(resume=tmp_path / "parts", steps=6)
    for name, array in parts.gan.state().items():
        np.testing.assert_array_equal(array, checkpoint.load(tmp_path / "whole2").tensors[name])
    saved = checkpoint.load(tmp_path / "whole")
    assert saved.config.convolutions == SETTINGS["convolutions"]
    np.testing.assert_array_equal(saved.sample(5, get_ops(), seed=1).reshape(5, 8, 8), whole.sample(5, seed=1))


def test_a_checkpoint_without_them_does_not_name_them_and_one_with_others_is_refused(tmp_path: Path) -> None:
    assert "convolutions" not in checkpoint.portable(Config(), "digits")
    assert checkpoint.portable(Config(**SETTINGS), "digits")["convolutions"] == list(SETTINGS["convolutions"])
    fit(recipe("default", "digits").replace(**SETTINGS), steps=1, out=tmp_path / "run")
    path = tmp_path / "run" / checkpoint.NAME
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    for wrong, words in (("[4,2,4,2,1,5]", "needs float32"), ("[3,2,3,2,1,5]", "do not cover 8 x 8 pixels")):
        header = json.loads(content[8 : 8 + length])
        meta = next(iter(header["__metadata__"].values()))
        assert '"convolutions":' in meta.replace(" ", "")
        changed = (
            content[8 : 8 + length]
            .replace(b"[4,2,3,2,1,5]", wrong.encode())
            .replace(b"[4, 2, 3, 2, 1, 5]", wrong.encode())
        )
        path.write_bytes(len(changed).to_bytes(8, "little") + changed + content[8 + length :])
        with pytest.raises(InputError, match=words) as caught:
            checkpoint.load(path)
        assert str(path) in str(caught.value)


def test_images_of_another_shape_are_not_saved(tmp_path: Path) -> None:
    session = fit(recipe("default", "digits").replace(**SETTINGS), steps=1, out=tmp_path / "run")
    session.gan.shape = (4, 16)
    with pytest.raises(InputError, match=re.escape("images of (4, 16) pixels, but its space has (8, 8).")):
        session.save_to(tmp_path / "other.safetensors")


def test_the_outline_counts_what_a_step_does(backend: Ops) -> None:
    config, ops = Config(**SETTINGS), get_ops()
    drawn = cost.outline(config, (8, 8), ops)
    made = cost.count(config, (8, 8), lambda out, i: out.fill(0.5), ops)
    assert (drawn.flops, drawn.state, drawn.work) == (made.flops, made.state, made.work)
    sizes = [(a.shape, out.shape) for a, _, out in made.plain]
    assert ((16 * 9, 16), (16 * 9, 3)) in sizes and ((16 * 4, 12), (16 * 4, 5)) in sizes
