"""The counts of --explain: the products compared with the formulas, the bytes with what Python allocates."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from fakecupy import fake_cupy
from helpers import exit_code
from hypothesis import given
from hypothesis import strategies as st

from minigan import memory, train
from minigan.backends import Ops, get_ops
from minigan.config import ACTIVATIONS, DTYPES, OBJECTIVES, OUTPUTS, UPDATES, Config
from minigan.data.scaling import Scaler
from minigan.data.spaces import Image
from minigan.errors import InputError
from minigan.nn.gan import GAN
from minigan.runs import checkpoint
from minigan.runs import cost as explain


def test_products_are_counted_from_a_step(backend: Ops) -> None:
    config, size = Config(hidden=(8, 9), batch_size=4, latent=3, objective="non-saturating"), 6
    cost = explain.count(config, size, lambda out, i: out.fill(0), backend)
    g, d = (3 * 8, 8 * 9, 9 * 6), (6 * 8, 8 * 9, 9 * 1)
    discriminator = 2 * (2 * sum(d) + sum(d[1:]))  # twice the rows: forward, weights, inputs of all layers but one
    generator = sum(g) + 2 * sum(d) + sum(g) + sum(g[1:])
    assert explain.flops(cost.plain) == cost.flops == 2 * 4 * (discriminator + generator)
    assert explain.moved(cost.plain) == sum(array.nbytes for product in cost.plain for array in product)
    assert cost.penalised == []


def test_lazy_penalties_are_counted_by_their_share(backend: Ops) -> None:
    config = Config(hidden=(8,), batch_size=4, latent=3, r1=1.0, penalty_every=4)
    cost = explain.count(config, 6, lambda out, i: out.fill(0), backend)
    plain, due = explain.flops(cost.plain), explain.flops(cost.penalised)
    # on the real rows dD/dx and a tangent pass; the bias gradients become products of all rows
    assert due - plain == 2 * (4 * 6 * 8 + 4 * (6 * 8 + 8) + 8 * (8 + 1))
    assert cost.flops == pytest.approx(plain * 3 / 4 + due / 4)


@pytest.mark.parametrize("settings", [{}, {"r1": 1.0, "r2": 1.0}, {"gradient_penalty": 1.0, "activation": "tanh"}])
def test_bytes_are_those_that_networks_take(settings: dict[str, float]) -> None:
    from minigan import get_ops

    config, backend = Config(hidden=(512, 256), batch_size=200, latent=10, **settings), get_ops()  # type: ignore[arg-type]
    cost = explain.count(config, 100, lambda out, i: out.fill(0), backend)
    tracemalloc.start()
    gan = GAN(config, 100, backend)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cost.state == 4 * sum(
        n * k for n, k in ((gan.generator.count, 5), (gan.discriminator.count, 4 + bool(settings)))
    )
    assert cost.state + cost.work == pytest.approx(held, rel=0.01)


@pytest.mark.parametrize("backend_name", ["reference", "without blocks"])
@given(
    config=st.builds(
        Config,
        hidden=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
        activation=st.sampled_from(tuple(ACTIVATIONS)),
        output=st.sampled_from(OUTPUTS),
        objective=st.sampled_from(tuple(OBJECTIVES)),
        update=st.sampled_from(UPDATES),
        dtype=st.sampled_from(DTYPES),
        batch_size=st.integers(1, 9),
        latent=st.integers(1, 5),
        r1=st.sampled_from([0.0, 1.0]),
        r2=st.sampled_from([0.0, 1.0]),
        gradient_penalty=st.sampled_from([0.0, 1.0]),
        penalty_every=st.integers(1, 3),
        discriminator_steps=st.integers(1, 2),
    ),
    size=st.integers(1, 9),
)
def test_the_outline_counts_what_a_step_takes(backend_name: str, config: Config, size: int) -> None:
    """Arrays without memory give the same products, shapes, order and number of bytes."""
    ops = get_ops()
    if backend_name == "without blocks":
        ops.block = None
    real = explain.count(config, size, lambda out, i: out.fill(0.5), ops)
    drawn = explain.outline(config, size, ops)

    def shapes(products: list[explain.Product]) -> list[tuple[object, ...]]:
        return [(a.shape, b.shape, out.shape, a.dtype, a.nbytes) for a, b, out in products]

    assert shapes(drawn.plain) == shapes(real.plain) and shapes(drawn.penalised) == shapes(real.penalised)
    assert (drawn.state, drawn.work, drawn.saving, drawn.flops) == (real.state, real.work, real.saving, real.flops)
    assert explain.counted(drawn, 7) == explain.counted(real, 7)
    without = explain.outline(config, size, ops, steps=False)
    assert (without.state, without.work, without.plain) == (real.state, real.work, [])


HUGE = Config(hidden=(40_000, 40_000), r1=1.0, r2=1.0, gradient_penalty=1.0, activation="tanh", objective="wasserstein")


def test_an_outline_of_terabytes_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        for config in (HUGE, HUGE.replace(hidden=(2**31 - 1,), batch_size=10_000), HUGE.replace(dtype="float64")):
            assert explain.outline(config, 784, get_ops()).state > 10**10
        with pytest.raises(InputError, match="fit into no memory"):
            explain.outline(HUGE.replace(hidden=(2**31 - 1,) * 50), 784, get_ops())
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


def test_no_more_is_needed_than_was_counted(tmp_path: Path) -> None:
    """For networks, a training step and saving; the memory used is close to the count."""
    config, ops = Config(hidden=(700, 600), batch_size=200, latent=10, r1=1.0), get_ops()
    needed, _ = explain.outline(config, 100, ops).needed(ops)
    tracemalloc.start()
    try:
        gan = GAN(config, 100, ops)
        gan.train_step(lambda out, i: out.fill(0.5))
        checkpoint.save(
            tmp_path / checkpoint.NAME,
            gan,
            Image((10, 10)),
            Scaler(np.zeros(1), np.ones(1)),
            {"name": "x"},
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.6 * needed < peak < needed + (1 << 20)


@pytest.mark.parametrize("flags", [[], ["--kernels", "numba"]])
def test_networks_that_do_not_fit_are_explained_and_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    if flags:
        pytest.importorskip("numba")
    monkeypatch.chdir(tmp_path)
    argv = ["--data", "digits", "--hidden", 40_000, 40_000, *flags]
    monkeypatch.setattr(memory, "available", lambda: 4 * 10**9)
    tracemalloc.start()
    try:
        assert exit_code(train.main, *argv, "--explain") == 0
        out, err = capsys.readouterr()
        assert "1,605,200,064 parameters" in out and "MFLOP" in out and "weights, gradients" in out and err == ""
        assert out.splitlines()[-1] == "available        4.0 GB: too little to train them here"
        assert exit_code(train.main, *argv, "--out", "a") == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1
        assert "3,207,880,065 parameters needs " in err and "and 4.0 GB are available" in err
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert list(tmp_path.iterdir()) == []


def test_what_fits_only_once_is_trained_but_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ops = get_ops()
    needed, _ = explain.outline(Config(hidden=(128, 128), r1=1.0, batch_size=1000), 64, ops).needed(ops)
    monkeypatch.setattr(memory, "available", lambda: needed + 100_000)
    argv = ["--data", "digits", "--hidden", 128, 128, "--r2", 0, "--batch-size", 1000]
    assert exit_code(train.main, *argv, "--explain") == 0
    assert "MB: too little to time a step" in capsys.readouterr().out
    assert exit_code(train.main, *argv, "--steps", 1, "--quiet", "--out", "a") == 0


def test_the_command_explains_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(explain, "PATIENCE", 0.01)
    assert exit_code(train.main, "--explain") == 0
    text = capsys.readouterr().out
    assert "64-192-128-128-64: 61,952 parameters" in text and "every 8 steps" in text and "times the floor" in text
    assert list(tmp_path.iterdir()) == []
    assert exit_code(train.main, "--explain", "--out", "x") == 2
    assert "--explain trains nothing" in capsys.readouterr().err


def test_recording_changes_no_number(backend: Ops) -> None:
    config = Config(hidden=(8,), batch_size=4, latent=3, r2=1.0)
    gan, fill = GAN(config, 6, backend), lambda out, i: out.fill(0.5)
    gan.train_step(fill)
    cost = explain.count(config, 6, fill, backend)
    np.testing.assert_array_equal(
        backend.to_host(cost.gan.generator.theta.flat), backend.to_host(gan.generator.theta.flat)
    )


@pytest.mark.parametrize("name", ["numpy", "cupy"])
def test_a_device_is_timed_with_a_queue(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock on which a call takes a millisecond and synchronising with the device ten."""
    now, waits, calls = [0.0], [], []
    monkeypatch.setattr(explain.time, "perf_counter", lambda: now[0])
    backend = get_ops() if name == "numpy" else fake_cupy()[0]

    def wait() -> None:
        waits.append(len(calls))
        now[0] += 0.01

    def call() -> None:
        calls.append(0)
        now[0] += 1e-3

    monkeypatch.setattr(backend, "synchronize", wait)
    monkeypatch.setattr(explain, "QUEUE", 0.11)  # ten calls, as the first ones look
    found = explain.seconds(call, backend)
    assert found == pytest.approx(0.011 if name == "numpy" else 0.002)
    assert np.diff(waits[-5:]).tolist() == [1 if name == "numpy" else 10] * 4
