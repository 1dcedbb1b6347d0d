"""`python -m benchmarks.made_data DIRECTORY`: make small data sets of the kinds that docs/data.md shows, always the same ones.

heartbeats/   4,000 electrocardiograms of one beat each: WAV files of 256 samples at 250 Hz, in two class folders
names.txt     30,000 names by a grammar of syllables, one in a line
moving.npz    10,000 clips x (10000, 6, 12, 12), uint8: the bundled digits, moving in straight lines and bouncing off the edges

Another `--seed` makes other samples of the same kinds: the settings of the recipes were found on those of seed 1, and are reported
on those of seed 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minigan import cli
from minigan.data import load
from minigan.data.spaces import Signal

RATE, BEAT = 250, 256
"""Samples a second, and of a heart beat."""

WAVES = {
    "normal": ((-0.2, 0.025, 0.12), (-0.035, 0.01, -0.1), (0.0, 0.011, 1.0), (0.035, 0.01, -0.22), (0.26, 0.045, 0.28)),
    "ectopic": ((-0.03, 0.03, 0.75), (0.06, 0.035, -0.55), (0.3, 0.06, -0.3)),
}
"""The waves of a beat: seconds from the middle, width in seconds, height. An ectopic beat is wide, and has no P wave."""

FRAMES, SIDE = 6, 12
"""Frames of a clip and their side in pixels."""

ONSETS = (
    "", "b", "br", "c", "ch", "d", "dr", "f", "g", "gl", "h", "j", "k", "l", "m", "n", "p", "r", "s", "st", "t", "th", "v", "w",
    "z",
)  # fmt: skip
NUCLEI = ("a", "e", "i", "o", "u", "ae", "ai", "ea", "ia", "ie", "oo", "y")
CODAS = ("", "", "", "l", "n", "r", "s", "m", "t", "nd", "rt", "ck")
ENDS = ("a", "o", "en", "in", "us", "ia", "er", "y")


def heartbeats(n: int, r: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Beats (n, BEAT) in [-1, 1], and whether each is ectopic (n,): sums of Gaussian waves, each moved, stretched and scaled a
    little, over a slow drift and noise."""
    ectopic = r.random(n) < 0.25
    seconds = (np.arange(BEAT) - 0.45 * BEAT) / RATE
    rows = np.empty((n, BEAT))
    for row, wide in zip(rows, ectopic, strict=True):
        at, width, height = np.array(WAVES["ectopic" if wide else "normal"]).T
        pace = r.normal(1, 0.08)  # a quick heart has all waves nearer together
        at = at * pace + r.normal(0, 0.006, len(at))
        width = width * r.lognormal(0, 0.12, len(at))
        height = height * r.lognormal(0, 0.2, len(at)) * r.lognormal(0, 0.15)
        waves = height * np.exp(-np.square((seconds[:, None] - at) / width) / 2)
        drift = 0.04 * np.sin(2 * np.pi * (0.3 * seconds * r.normal(1, 0.3) + r.random()))
        row[:] = 0.5 * (waves.sum(axis=1) + drift + r.normal(0, 0.012, BEAT))
    return np.clip(rows, -1, 1), ectopic


def names(n: int, r: np.random.Generator) -> list[str]:
    """Names of one to three syllables, the last of which may have an end of its own; common ones more often than rare ones."""
    shares = [1 / (1 + np.arange(len(parts))) ** 0.7 for parts in (ONSETS, NUCLEI, CODAS, ENDS)]
    shares = [share / share.sum() for share in shares]

    def one(parts: Sequence[str], share: np.ndarray) -> str:
        return parts[int(r.choice(len(parts), p=share))]

    made = []
    while len(made) < n:
        name = ""
        for _ in range(int(r.choice([1, 2, 3], p=[0.2, 0.6, 0.2]))):
            name += one(ONSETS, shares[0]) + one(NUCLEI, shares[1]) + one(CODAS, shares[2])
        name += one(ENDS, shares[3]) if r.random() < 0.4 and name[-1] not in "aeiouy" else ""
        if 3 <= len(name) <= 12:
            made.append(name.capitalize())
    return made


def moving(n: int, r: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Clips (n, FRAMES, SIDE, SIDE), uint8, of digits that move at a steady speed, and which digit each shows (n,)."""
    digits = load("digits")
    assert digits.labels is not None
    chosen = r.integers(0, len(digits.train), n)
    pictures = np.rint(255 * digits.values(digits.train[chosen])).astype(np.uint8).reshape(n, 8, 8)
    room = SIDE - 8
    angle, speed = r.uniform(0, 2 * np.pi, n), r.uniform(0.5, 1.6, n)
    path = (
        r.uniform(0, room, (n, 1, 2)) + np.arange(FRAMES)[:, None] * (speed * [np.sin(angle), np.cos(angle)]).T[:, None]
    )
    places = np.rint(room - np.abs(path % (2 * room) - room)).astype(int)  # reflected at 0 and at `room`
    clips = np.zeros((n, FRAMES, SIDE, SIDE), np.uint8)
    for clip, picture, place in zip(clips, pictures, places, strict=True):
        for frame, (y, x) in zip(clip, place, strict=True):
            frame[y : y + 8, x : x + 8] = picture
    return clips, digits.labels["train"][chosen]


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.Parser(prog="python -m benchmarks.made_data", description="Make small data sets of several kinds.")
    parser.add_argument("directory", metavar="DIRECTORY", type=Path, help="where they are put; it must not exist yet")
    parser.add_argument("--seed", type=int, default=0, help="decides all samples (default: 0)")
    values: argparse.Namespace = parser.parse(argv)
    cli.require_new("DIRECTORY", values.directory)
    folder = values.directory
    rows, ectopic = heartbeats(4000, np.random.default_rng([values.seed, 0]))
    space = Signal((1, BEAT), sample_rate=RATE, bounded=True)
    for name in ("normal", "ectopic"):
        (folder / "heartbeats" / name).mkdir(parents=True)
    for i, (row, wide) in enumerate(zip(rows, ectopic, strict=True)):
        path = folder / "heartbeats" / ("ectopic" if wide else "normal") / f"{i:04}.wav"
        path.write_bytes(space.encoded(row.reshape(space.shape)))
    lines = names(30_000, np.random.default_rng([values.seed, 1]))
    (folder / "names.txt").write_text("".join(f"{name}\n" for name in lines), encoding="utf-8")
    clips, labels = moving(10_000, np.random.default_rng([values.seed, 2]))
    np.savez_compressed(folder / "moving.npz", x=clips, y=labels)
    cli.say(f"{folder}: heartbeats/, names.txt, moving.npz")
    return 0


if __name__ == "__main__":
    cli.run(main)
