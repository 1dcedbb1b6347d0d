"""What --explain says is counted: the products against the formulas, the bytes against what Python allocates."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from fakecupy import fake_cupy
from helpers import exit_code

from minigan import train
from minigan.backends import Ops, get_ops
from minigan.config import Config
from minigan.nn.gan import GAN
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


def test_the_command_explains_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(explain, "PATIENCE", 0.01)
    assert exit_code(train.main, "--explain") == 0
    text = capsys.readouterr().out
    assert "64-128-128-64: 33,088 parameters" in text and "every 8 steps" in text and "times the floor" in text
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
    """By a clock on which a call takes a millisecond, and waiting for the device ten."""
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
