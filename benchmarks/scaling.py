"""`python -m benchmarks.scaling`: time and memory of a training step against batch, width, depth and data; docs/scaling.md.

Starting from the MNIST settings (784 inputs, 2 x 256, latent 64, batch 128; relativistic, alternating, penalties every 8th
step), one of the four is varied at a time. Operations and bytes of a step are counted (`minigan.runs.cost`), its time is
measured, and one formula is fitted to all:

    seconds = products * a + FLOPs / f + bytes / w

a: overhead per product, including that of the operations between products; f: speed of products; w: speed of reading or writing
memory: activations, and the passes of Adam and of the weight average over the weights.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from benchmarks import disturbed, machine
from benchmarks.pictures import panels, plot
from benchmarks.report import insert
from minigan import GAN, cli, get_ops
from minigan.config import Config
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.data.spaces import Image
from minigan.files import write_json
from minigan.plots.style import FAKE, REAL
from minigan.runs import cost as explain
from minigan.runs.contention import LOAD, Meter

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scaling.md"
SIZE = 784
AXES: dict[str, tuple[int, ...]] = {
    "batch": (16, 32, 64, 128, 256, 512, 1024, 2048),
    "width": (32, 64, 128, 256, 512, 1024, 2048),
    "depth": (1, 2, 3, 4, 6, 8, 12, 16),
    "samples": (1_000, 10_000, 60_000, 240_000),
}
UNITS = {"batch": "real rows", "width": "units of a layer", "depth": "hidden layers", "samples": "rows of data"}
BASE = {"batch": 128, "width": 256, "depth": 2, "samples": 60_000}
PASSES = 28
"""How often a weight is read or written: 24 times by Adam, 8 times by the average, which goes over one network of two."""


@dataclass(frozen=True)
class Point:
    """One size: the cost of a step, and its measured time."""

    axis: str
    value: int
    products: int
    flops: float
    bytes: int
    memory: int
    seconds: float
    load: float = 0.0  # the share of the processors that other processes took meanwhile


def measure(axis: str, value: int) -> Point:
    size = {**BASE, axis: value}
    config = Config(
        objective="relativistic", r1=1.0, r2=1.0, penalty_every=8, hidden=(size["width"],) * size["depth"],
        batch_size=size["batch"],
    )  # fmt: skip
    backend = get_ops()
    rows = np.random.default_rng(0).integers(0, 256, (size["samples"], SIZE), np.uint8)
    scaler = Scaler.fit(Image((28, 28)), rows[:1000], config.output, 1 / 255)
    batches = Batches(rows, 1 / 255, scaler, config.batch_size, 0, backend, config.dtype)
    cost = explain.count(config, SIZE, batches.fill, backend)
    weights = cost.gan.generator.theta.flat.nbytes + cost.gan.discriminator.theta.flat.nbytes
    gan = GAN(config, SIZE, backend)

    def steps() -> None:
        for _ in range(8):
            gan.train_step(batches.fill)

    meter = Meter()
    taken = explain.seconds(steps, backend) / 8
    return Point(
        axis, value, len(cost.plain), cost.flops, cost.work + PASSES * weights, cost.state + cost.work, taken,
        round(meter.read().load, 3),
    )  # fmt: skip


def fit(points: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
    """(a, 1/f, 1/w), none below 0, by least squares of the relative errors; and fitted over measured, per point."""
    columns = np.array([[p.products, p.flops, p.bytes] for p in points], np.float64)
    seconds = np.array([p.seconds for p in points])
    relative = columns / seconds[:, None]
    kept = [0, 1, 2]
    while True:
        found, *_ = np.linalg.lstsq(relative[:, kept], np.ones(len(points)), rcond=None)
        if (found >= 0).all():
            break
        kept.pop(int(found.argmin()))  # a term whose time on this machine cannot be distinguished from the others'
    coefficients = np.zeros(3)
    coefficients[kept] = found
    return coefficients, relative @ coefficients


def text(results: dict[str, Any], picture: str) -> str:
    points = [Point(**p) for p in results["points"]]
    (a, f, w), ratio = fit(points)
    error = np.abs(ratio - 1)
    speed = [
        f"{1 / x / 1e9:,.0f} {unit}" if x else f"no limit in {unit} seen" for x, unit in ((f, "GFLOP/s"), (w, "GB/s"))
    ]
    loads = [p.load for p in points if p.load > LOAD]
    warning = [f"Warning: {disturbed(len(loads), len(points), max(loads))}\n"] if loads else []
    lines = [
        f"On {results['machine']['cpu']}, {results['machine']['cores']} cores, Python {results['machine']['python']}, "
        f"NumPy {results['machine']['versions']['numpy']}.\n",
        f"Fitted: {a * 1e6:.1f} us a product, {speed[0]}, {speed[1]}. Relative error: {np.median(error):.0%} in the median, "
        f"{error.max():.0%} at most.\n",
        *warning,
        f"![Time of a step against batch, width, depth and data]({picture})\n",
        "| varied | value | ms per step | fitted | MFLOP | MB moved once | MB of memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for p, r in zip(points, ratio, strict=True):
        lines.append(
            f"| {p.axis} | {p.value:,} | {p.seconds * 1e3:.3g} | {p.seconds * r * 1e3:.3g} | {p.flops / 1e6:,.0f} "
            f"| {p.bytes / 1e6:,.0f} | {p.memory / 1e6:,.1f} |"
        )
    return "\n".join(lines) + "\n"


def draw(path: Path, points: Sequence[Point]) -> None:
    """Time of a step against each axis, measured and fitted. Raises: OSError."""
    _, ratio = fit(points)
    measured = Line2D([], [], linestyle="", marker="o", markersize=4.5, color=FAKE, label="measured")
    fitted = Line2D([], [], color=REAL, linewidth=1.6, label="fitted")

    def panel(axes: Axes, name: str) -> None:
        chosen = [(p, r) for p, r in zip(points, ratio, strict=True) if p.axis == name]
        plot(axes, fitted, [(p.value, p.seconds * r * 1e3) for p, r in chosen])
        plot(axes, measured, [(p.value, p.seconds * 1e3) for p, _ in chosen])
        sizes = [p.value for p, _ in chosen]
        sizes = sizes[:: 1 + len(sizes) // 4]
        axes.set_xticks(sizes, labels=[f"{n:,}" for n in sizes])
        axes.set_xlabel(f"{name} ({UNITS[name]})")
        axes.set_ylim(min(p.seconds for p in points) * 700, max(p.seconds for p in points) * 1400)
        axes.set_ylabel("time of a step (ms)")

    path.parent.mkdir(parents=True, exist_ok=True)
    panels(path, "time of a step", list(AXES), panel, [measured, fitted])


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.Parser(prog="python -m benchmarks.scaling", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "scaling.json", metavar="FILE",
                        help="file of the measurements (default: benchmarks/scaling.json)")  # fmt: skip
    parser.add_argument(
        "--page", action="store_true", default=False, help="write docs/scaling.md from FILE without measuring"
    )
    values: argparse.Namespace = parser.parse(argv)
    if not values.page:
        points = [measure(axis, value) for axis, sizes in AXES.items() for value in sizes]
        write_json(values.json, {"machine": machine(), "points": [asdict(p) for p in points]})
    results = json.loads(values.json.read_text(encoding="utf-8"))
    draw(PAGE.parent / "images" / "scaling.png", [Point(**p) for p in results["points"]])
    insert(PAGE, text(results, "images/scaling.png"))
    print(PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    cli.run(main)
