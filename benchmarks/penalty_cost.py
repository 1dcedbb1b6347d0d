"""`python -m benchmarks.penalty_cost`: the cost of R1 + R2 relative to a training step without penalties.

MNIST size (784 inputs, 2 x 256, latent 64, batch 128, leaky ReLU, relativistic). The three variants take turns, so that other
load slows all of them equally; the median and the quartiles of the ratios per round are printed.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from minigan import GAN, Config, get_ops

VARIANTS = {"none": {}, "every step": {"r1": 1.0, "r2": 1.0}, "every 8th": {"r1": 1.0, "r2": 1.0, "penalty_every": 8}}
STEPS, ROUNDS = 32, 25  # a multiple of 8, so that each round has the right share of penalties


def main() -> None:
    rows = np.random.default_rng(0).random((128, 784), dtype=np.float32)
    gans = {
        name: GAN(Config(batch_size=128, latent=64, objective="relativistic", **settings), 784, get_ops())  # type: ignore[arg-type]
        for name, settings in VARIANTS.items()
    }
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for turn in range(ROUNDS + 1):
        for name, gan in gans.items():
            began = time.perf_counter()
            for _ in range(STEPS):
                gan.train_step(lambda out, i: np.copyto(out, rows))
            if turn:  # the first round warms up
                times[name].append((time.perf_counter() - began) / STEPS)
    for name in VARIANTS:
        ratios = [a / b for a, b in zip(times[name], times["none"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"R1 + R2 {name:<10}  {statistics.median(times[name]) * 1e3:6.2f} ms a step, "
            f"{middle:.3f} times none (quartiles {low:.3f} to {high:.3f})"
        )


if __name__ == "__main__":
    main()
