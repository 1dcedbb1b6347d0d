"""Launches of several steps compute the same bits as single steps, on the stand-in for a GPU and on a GPU."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakecuda import on_cpu, stand_in

from minigan.backends import Ops, get_ops
from minigan.backends.cuda.ops import Graph
from minigan.config import Config
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.nn.gan import GAN
from minigan.runs import steps as module
from minigan.runs.steps import Launch

ROWS = np.random.default_rng(5).integers(0, 256, (23, 6), dtype=np.uint8)
"""Five minibatches of four an epoch, and three rows that wait for another."""


@pytest.fixture(scope="module")
def fake() -> Ops:
    return stand_in()


def made(backend: Ops, **settings: Any) -> tuple[GAN, Batches]:
    config = Config(**{"batch_size": 4, "latent": 3, "hidden": (8, 5), "steps": 40, "lr_schedule": "linear",
                       "penalty_schedule": "linear", "seed": 3, **settings})  # fmt: skip
    scaler = Scaler(np.array([0.5]), np.array([0.5]))
    return GAN(config, 6, backend), Batches(ROWS, 1 / 255, scaler, 4, config.seed, backend, config.dtype)


SETTINGS: list[dict[str, Any]] = [
    {}, {"objective": "non-saturating", "update": "simultaneous", "dtype": "float64"},
    {"r1": 1.0, "r2": 1.0, "penalty_every": 3}, {"discriminator_steps": 2, "r1": 0.5, "penalty_every": 4},
    {"objective": "wasserstein", "gradient_penalty": 2.0, "penalty_every": 2, "discriminator_steps": 3},
]  # fmt: skip


def same_by_launches(backend: Ops, most: int, settings: dict[str, Any]) -> None:
    """Launches of at most `most` steps, interrupted at several steps, compared with the same number of single steps."""
    (gan, batches), (expected, others) = made(backend, **settings), made(backend, **settings)
    launch = Launch(gan, batches, most)
    for end in (7, 27, 103):
        launch.run(end - gan.step)
        while expected.step < end:
            expected.train_step(others.fill)
        assert gan.step == end and gan.measurement() == expected.measurement()
        for name, value in expected.state().items():
            np.testing.assert_array_equal(backend.to_host(gan.state()[name]), backend.to_host(value), err_msg=name)
    assert any(isinstance(p, Graph) and p.recorded is not None for p in launch.programs.values())


@on_cpu
@pytest.mark.parametrize("most", [1, 4])
@pytest.mark.parametrize("settings", SETTINGS)
def test_launches_compute_what_steps_do(
    fake: Ops, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], most: int
) -> None:
    """Across epochs and new tables, with a stop between two multiples of the launch length."""
    monkeypatch.setattr(module, "AHEAD", 36)
    same_by_launches(fake, most, settings)


@pytest.mark.gpu
@pytest.mark.parametrize("most", [1, 4, 8])
@pytest.mark.parametrize("settings", SETTINGS)
def test_launches_on_a_card_compute_what_steps_do(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], most: int
) -> None:
    """There new tables are written while launches that read the old ones are still queued."""
    monkeypatch.setattr(module, "AHEAD", 36)
    same_by_launches(get_ops("cupy", "cuda"), most, settings)


@on_cpu
def test_a_launch_continues_after_steps_that_were_not_launched(fake: Ops) -> None:
    """As in a resumed run: the counter is set to the step."""
    (gan, batches), (expected, others) = made(fake), made(fake)
    launch = Launch(gan, batches, 2)
    launch.make(2)
    for _ in range(3):
        gan.train_step(batches.fill)
    launch.make(1)
    launch.make(2)
    for _ in range(8):
        expected.train_step(others.fill)
    assert gan.step == 8
    np.testing.assert_array_equal(gan.state()["generator"], expected.state()["generator"])


@on_cpu
def test_there_are_few_kinds_of_launches(fake: Ops) -> None:
    """Launches of full length begin at multiples of it, wherever they are interrupted; the steps between are single ones."""
    gan, batches = made(fake, r1=1.0, penalty_every=8)
    launch = Launch(gan, batches, 4)
    sizes = []
    for end in (6, 13, 21, 40):
        while gan.step < end:
            sizes.append(launch.fits(end - gan.step))
            launch.make(sizes[-1])
    assert sizes == [4, 1, 1, 1, 1, 4, 1, 1, 1, 1, 4, 1, 1, 1, 1, 4, 4, 4, 4]
    assert len(launch.programs) == 3  # four steps with a penalty and without, and one without
    with pytest.raises(AssertionError):
        launch.make(5)


@on_cpu
def test_the_host_only_launches_graphs(fake: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two writes of the tables nothing is copied to the device, and nothing is computed outside a launch."""
    gan, batches = made(fake, objective="non-saturating")
    launch = Launch(gan, batches)
    for _ in range(3):  # one by one, recorded and compared, compared
        launch.make(1)
    monkeypatch.setattr(fake, "fill", None)
    monkeypatch.setattr(fake, "launch", None)
    before = gan.generator.theta.flat.copy()
    for _ in range(4):
        launch.make(1)
    assert gan.step == 7 and (gan.generator.theta.flat != before).any()


@on_cpu
def test_the_next_tables_are_written_while_the_device_is_busy(fake: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some rows are written after each launch, so that the device does not wait at the end of the tables."""
    monkeypatch.setattr(module, "AHEAD", 36)
    gan, batches = made(fake, discriminator_steps=2)
    launch, asked, chosen = Launch(gan, batches), [], batches.chosen
    monkeypatch.setattr(batches, "chosen", lambda i: (asked.append(i), chosen(i))[1])
    launch.make(1)
    assert launch.feed.turns == 8 and asked == list(range(10))
    for _ in range(20):
        launch.make(1)
    assert asked == list(range(50))


@on_cpu
def test_only_a_launch_that_penalises_interpolates(fake: Ops) -> None:
    gan, batches = made(fake, objective="wasserstein", gradient_penalty=2.0, penalty_every=2)
    launch = Launch(gan, batches)
    launch.run(4)
    recorded = {kinds: graph.recorded.nodes for kinds, graph in launch.programs.items()}  # type: ignore[attr-defined]
    names = {kinds: [getattr(call.func, "__name__", "") for call in nodes if isinstance(call, functools.partial)]
             for kinds, nodes in recorded.items()}  # fmt: skip
    assert {kinds: found.count("uniform") for kinds, found in names.items()} == {
        ((True, True),): 1,
        ((True, False),): 0,
    }


def of_the_article(backend: Ops) -> Launch:
    """Launches of the networks described in the documents, of which the first is recorded."""
    config = Config(objective="non-saturating", latent=100, batch_size=128)
    rows = np.zeros((128, 784), np.uint8)
    scaler = Scaler(np.array([0.5]), np.array([0.5]))
    batches = Batches(rows, 1 / 255, scaler, 128, config.seed, backend, config.dtype)
    launch = Launch(GAN(config, 784, backend), batches)
    for _ in range(2):
        launch.make(1)
    return launch


@on_cpu
def test_a_step_records_the_launches_that_the_documents_list(fake: Ops) -> None:
    (graph,) = of_the_article(fake).programs.values()
    nodes = graph.recorded.nodes  # type: ignore[attr-defined]
    names = [call.func.__name__ if isinstance(call, functools.partial) else "product" for call in nodes]
    text = (Path(__file__).parents[1] / "docs" / "gpu.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| \d+ \| .* \| (.+) \|$", text, re.MULTILINE)
    listed = [name for line in lines for name in re.findall(r"`(\w+)`", line)]
    assert names == listed and len(names) <= 40


def test_nodes_are_counted_in_what_cuda_draws(fake: Ops) -> None:
    graph = Graph(lambda: None, fake)
    assert graph.nodes() == 0
    lines = (f'"graph_3_node_{i}"[shape="record" label="{{KERNEL|node_{i}}}"];' for i in (0, 1, 10))
    drawn = "digraph dot {" + "\n".join(lines) + '\n"graph_3_node_0" -> "graph_3_node_1" [headlabel=0];}'
    graph.recorded = SimpleNamespace(debug_dot_str=lambda: drawn)
    assert graph.nodes() == 3


@pytest.mark.gpu
def test_a_recorded_step_has_a_node_for_every_call_on_a_card() -> None:
    """There are more nodes where cuBLASLt splits a product; `python -m benchmarks.peers` prints their number."""
    (graph,) = of_the_article(get_ops("cupy", "cuda")).programs.values()
    assert isinstance(graph, Graph) and 40 <= graph.nodes() <= 100
