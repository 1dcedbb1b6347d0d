"""The fit recovers the costs of synthetic times, and the page agrees with the measurements."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scaling
from benchmarks.scaling import Point


def made(seconds_per_byte: float) -> list[Point]:
    rng = np.random.default_rng(0)
    points = []
    for axis, sizes in scaling.AXES.items():
        for value in sizes:
            n, flops, moved = (int(v) for v in rng.integers(10, 100, 3) * np.array([1, 10**6, 10**5]))
            seconds = n * 2e-6 + flops / 50e9 + moved * seconds_per_byte
            points.append(Point(axis, value, n, flops, moved, 10**6, seconds))
    return points


def test_the_fit_finds_what_made_the_times() -> None:
    found, ratio = scaling.fit(made(1e-10))
    np.testing.assert_allclose(found, [2e-6, 1 / 50e9, 1e-10], rtol=1e-6)
    np.testing.assert_allclose(ratio, 1, rtol=1e-6)


def test_no_cost_is_negative() -> None:
    found, _ = scaling.fit(made(-1e-12))
    assert (found >= 0).all() and found[2] == 0


def test_a_size_is_counted_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling.explain, "PATIENCE", 0.0)
    monkeypatch.setattr(scaling, "BASE", {"batch": 8, "width": 16, "depth": 2, "samples": 1000})
    small, large = scaling.measure("depth", 1), scaling.measure("depth", 3)
    assert small.seconds > 0 and small.products < large.products and small.flops < large.flops
    assert small.memory < large.memory and small.bytes < large.bytes


def test_the_page_and_its_picture(tmp_path: Path) -> None:
    points = made(1e-10)
    about = {"cpu": "a processor", "cores": 2, "python": "3.11", "versions": {"numpy": "2"}}
    text = scaling.text({"machine": about, "points": [asdict(p) for p in points]}, "x.png")
    assert "On a processor, 2 cores" in text and "2.0 us a product, 50 GFLOP/s, 10 GB/s" in text
    assert text.count("\n| ") == len(points) + 1 and "other processes" not in text
    busy = [asdict(replace(points[0], load=0.62)), *(asdict(p) for p in points[1:])]
    text = scaling.text({"machine": about, "points": busy}, "x.png")
    assert f"other processes used up to 62% of the processors during 1 of {len(points)} benchmarks" in text
    scaling.draw(tmp_path / "x.png", points)
    assert (tmp_path / "x.png").stat().st_size > 5000
