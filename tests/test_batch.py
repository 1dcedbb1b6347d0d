"""The discriminator's batch: exactly the rows that a configuration needs, each where its pass looks for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import tiny_gan

from minigan.backends import Ops

PENALTIES: dict[str, tuple[dict[str, float], tuple[int, int]]] = {
    "none": ({}, (0, 0)),
    "r1": ({"r1": 1.0}, (0, 1)),
    "r2": ({"r2": 1.0}, (1, 2)),
    "r1 and r2": ({"r1": 1.0, "r2": 0.5}, (0, 2)),
    "gradient penalty": ({"gradient_penalty": 2.0}, (2, 3)),
    "r2 and gradient penalty": ({"r2": 1.0, "gradient_penalty": 2.0}, (1, 3)),
    "all": ({"r1": 1.0, "r2": 1.0, "gradient_penalty": 2.0}, (0, 3)),
}
"""Settings, and which blocks of B rows are penalised: from the first of them to the one after the last."""


@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
@pytest.mark.parametrize("name", PENALTIES)
def test_the_batch_holds_exactly_the_rows_that_its_penalties_need(backend: Ops, name: str, update: str) -> None:
    settings, (first, last) = PENALTIES[name]
    gan, _ = tiny_gan(backend, update=update, **settings)
    batch, B = gan.batch, gan.config.batch_size
    blocks = 3 if "gradient_penalty" in settings else 2
    assert len(batch.all.x) == len(batch.all.ds) == len(batch.all.tape) == blocks * B
    assert {"mix", "norm", "interpolates"} <= vars(batch).keys() or blocks == 2
    assert not {"mix", "norm", "interpolates"} & vars(batch).keys() or blocks == 3
    assert ("penalised" in vars(batch)) == ("scratch" in vars(batch)) == bool(settings)
    number = np.arange(blocks * B)[:, None] + np.zeros_like(backend.to_host(batch.all.x))
    batch.all.x[...] = backend.asarray(number)
    parts: dict[str, tuple[int, int]] = {
        "real": (0, 1), "fake": (1, 2), "real_fake": (0, 2), "fresh": (0, 2), "fresh_real": (0, 1), "fresh_fake": (1, 2),
    }  # fmt: skip
    if settings:
        parts["penalised"] = first, last
    if blocks == 3:
        parts["interpolates"] = 2, 3
    for part, (lo, hi) in parts.items():
        rows: Any = getattr(batch, part)
        np.testing.assert_array_equal(backend.to_host(rows.x), number[lo * B : hi * B], err_msg=part)
        assert len(rows.ds) == len(rows.s) == len(rows.tape) == (hi - lo) * B, part


@pytest.mark.parametrize("name", PENALTIES)
def test_only_rows_that_are_penalised_have_a_direction(backend: Ops, name: str) -> None:
    """A direction of 0 beside it would cost a product, and one that is left from before would be a penalty."""
    settings, _ = PENALTIES[name]
    if not settings:
        return
    gan, fill = tiny_gan(backend, **settings)
    gan.batch.all.tape.v[...] = 7
    gan.place(0, fill)
    gan.batch.all.tape.dx[...] = 1
    gan.batch.penalty_directions()
    B = gan.config.batch_size
    moved = [bool((backend.to_host(gan.batch.all.tape.v)[k * B : (k + 1) * B] != 7).any()) for k in range(3)]
    assert moved == [settings.get(key, 0) > 0 for key in ("r1", "r2", "gradient_penalty")]
