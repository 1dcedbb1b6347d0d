"""`python -m benchmarks.rival`: train the GAN of PyTorch-GAN's `gan.py` on MNIST for a given time, and measure it like a run.

Its networks and settings, implemented here from their description (extra `bench-peers`): generator
100-128-256-512-1024-784 with batch normalisation (epsilon .8) from the second layer on, discriminator 784-512-256-1,
leaky ReLU .2, tanh output, binary cross-entropy, the generator updated first, batch 64, Adam 2e-4 (.5, .999).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from minigan import cli, get_ops, load, plots
from minigan.data import Data
from minigan.errors import InputError
from minigan.files import write_json
from minigan.metrics.suite import Suite
from minigan.metrics.verdict import verdict

LATENT, BATCH, COMPARED = 100, 64, 10_000


def build(torch: Any, size: int) -> tuple[Any, Any]:
    """Generator and discriminator."""
    nn = torch.nn
    generator: list[Any] = []
    for fan_in, fan_out in pairwise((LATENT, 128, 256, 512, 1024)):
        generator.append(nn.Linear(fan_in, fan_out))
        if fan_in != LATENT:
            generator.append(nn.BatchNorm1d(fan_out, eps=0.8))
        generator.append(nn.LeakyReLU(0.2))
    generator += [nn.Linear(1024, size), nn.Tanh()]
    discriminator = [
        nn.Linear(size, 512), nn.LeakyReLU(0.2), nn.Linear(512, 256), nn.LeakyReLU(0.2), nn.Linear(256, 1), nn.Sigmoid(),
    ]  # fmt: skip
    return nn.Sequential(*generator), nn.Sequential(*discriminator)


def train(torch: Any, data: Data, seconds: float, seed: int) -> tuple[np.ndarray, int]:
    """Samples (10,000, size) in data units after `seconds` of training, and the number of steps made."""
    torch.manual_seed(seed)
    rows = torch.from_numpy(data.values(data.train) * 2 - 1)
    g, d = build(torch, rows.shape[1])
    adam_g, adam_d = (torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.5, 0.999)) for n in (g, d))
    loss, ones, zeros = torch.nn.BCELoss(), torch.ones(BATCH, 1), torch.zeros(BATCH, 1)
    steps, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for chosen in torch.randperm(len(rows)).split(BATCH):
            if len(chosen) < BATCH or time.perf_counter() >= end:
                break
            adam_g.zero_grad()
            fake = g(torch.randn(BATCH, LATENT))
            loss(d(fake), ones).backward()
            adam_g.step()
            adam_d.zero_grad()
            ((loss(d(rows[chosen]), ones) + loss(d(fake.detach()), zeros)) / 2).backward()
            adam_d.step()
            steps += 1
    with torch.no_grad():  # in training mode like the original's pictures: each batch is normalised by itself
        x = torch.cat([g(torch.randn(100, LATENT)) for _ in range(COMPARED // 100)])
    return ((x.numpy() + 1) / 2).clip(0, 1), steps


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.Parser(prog="python -m benchmarks.rival", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, required=True, help="how long to train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="PyTorch's threads (default: its own choice)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="directory of quality.json and samples.png"
    )
    parser.add_argument("--data-dir", default=os.environ.get("MINIGAN_DATA") or None, metavar="DIR")
    values: argparse.Namespace = parser.parse(argv)
    try:
        import torch
    except ImportError as error:
        raise InputError(f"benchmarks.rival needs PyTorch ({error}): pip install -e '.[bench-peers]'.") from None
    if values.threads:
        torch.set_num_threads(values.threads)
    data = load("mnist", values.data_dir)
    x, steps = train(torch, data, values.seconds, values.seed)
    suite = Suite(data, get_ops(), COMPARED)
    made = suite.measure(x)
    values.out.mkdir(parents=True, exist_ok=True)
    found = {"step": steps, "compared": suite.m, "groups": 1, "generated": made, "real": suite.real}
    write_json(values.out / "quality.json", {**found, "verdict": verdict(made, suite.real)})
    plots.samples(values.out / "samples.png", data.space, x[:64])
    return 0


if __name__ == "__main__":
    cli.run(main)
