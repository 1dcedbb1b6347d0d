"""python -m minigan.sample: draw samples from a trained run and write them as a picture, an .npz or a .csv."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from minigan import cli, memory, written
from minigan.backends import BACKENDS, get_ops
from minigan.backends import noise as streams
from minigan.backends.noise import Noise
from minigan.config import MAX_COUNT
from minigan.errors import InputError, short
from minigan.nn.sampling import CHUNK
from minigan.runs import checkpoint
from minigan.runs.checkpoint import Checkpoint

MAX_PICTURED = 10_000
"""More samples than this are a data set, not a picture."""

PER_ROW = 10
"""Samples from one end of a walk to the next: a row of the picture."""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Raises: InputError."""
    parser = cli.Parser(prog="python -m minigan.sample", description="Draw samples from a trained run.")
    parser.add_argument("run", metavar="RUN", help="a run directory, or a checkpoint file")
    parser.add_argument("-n", type=int, default=64, help="number of samples (default: 64)")
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="PATH",
        help="FILE.png: a picture of all; FILE.npz, .npy: arrays in data units; FILE.csv, .tsv: a row per sample, as the data "
        "were written; FILE.txt: lines of text; FILE.gif: clips; DIRECTORY/: a file per sample",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides the latent points (default: 0)")
    parser.add_argument("--backend", choices=BACKENDS, default="numpy", help="where to compute (default: numpy)")
    parser.add_argument("--raw", action="store_true", default=False, help="the last weights, not their average")
    parser.add_argument(
        "--clip",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep the numbers of a table between the least and the largest seen (default: yes)",
    )
    parser.add_argument(
        "--interpolate",
        action="store_true",
        default=False,
        help="walk between latent points: each row of 10 goes from one to the next along the sphere",
    )
    values = parser.parse(argv)
    if not 1 <= values.n <= MAX_COUNT:
        raise InputError(f"-n {short(values.n)} is out of range; it must be a whole number >= 1 and <= {MAX_COUNT}.")
    if not 0 <= values.seed < 2**63:
        raise InputError(f"--seed {short(values.seed)} is out of range; it must be a whole number >= 0 and < 2^63.")
    written.require("-o", values.out)
    if written.ending(values.out) in (".png", ".gif") and values.n > MAX_PICTURED:
        raise InputError(
            f"-n {values.n} is too many for a picture; at most {MAX_PICTURED}, or write another kind of file."
        )
    return values


def interpolation(latent: int, n: int, seed: int, per_row: int = PER_ROW) -> Iterator[np.ndarray]:
    """Latent points, n in all, that walk from end to end along the great circle between the ends: a leg (per_row, latent) at
    a time.

        z(a) = (sin((1 - a) w) z0 + sin(a w) z1) / sin w,      w the angle between z0 and z1 (Shoemake 1985)

    so that |z| stays what a Gaussian's is (White 2016); a straight line would pass through untypical points near 0.
    """
    legs, noise = -(-n // per_row), Noise(seed)
    shares = np.arange(per_row) / (per_row - 1 if legs == 1 else per_row)

    def end(i: int) -> np.ndarray:
        z = np.empty(latent, np.float32)
        noise.normal(z, streams.SAMPLE, i)  # one by one, so that a longer walk begins like a shorter one
        return z.astype(np.float64)

    for leg, (z0, z1) in enumerate(itertools.pairwise(map(end, range(legs + 1)))):
        cosine = float(z0 @ z1 / (np.linalg.norm(z0) * np.linalg.norm(z1)))
        w = float(np.arccos(np.clip(cosine, -1, 1)))
        if np.sin(w) < 1e-6:  # in one line with the origin: the great circle is not unique
            rows = [(1 - a) * z0 + a * z1 for a in shares]
        else:
            rows = [(np.sin((1 - a) * w) * z0 + np.sin(a * w) * z1) / np.sin(w) for a in shares]
        yield np.array(rows[: n - leg * per_row])


def draw(saved: Checkpoint, values: argparse.Namespace) -> Iterator[np.ndarray]:
    """The requested samples in data units, (k, size) at a time. Raises: InputError where one is not finite."""
    backend = get_ops(values.backend)
    if not values.interpolate:
        return saved.samples(values.n, backend, seed=values.seed, raw=values.raw)
    generator = saved.generator(backend, raw=values.raw)
    shape, dtype = (CHUNK, saved.config.latent), saved.config.dtype
    host, z, tape = np.zeros(shape, dtype), backend.zeros(shape, dtype), generator.tape(CHUNK)

    def made() -> Iterator[np.ndarray]:
        legs = interpolation(saved.config.latent, values.n, values.seed)
        while part := list(itertools.islice(legs, CHUNK // PER_ROW)):
            rows = np.concatenate(part)
            host[: len(rows)] = rows
            backend.fill(z, host)
            yield backend.to_host(generator.forward(z, tape))[: len(rows)]

    return saved.finished(generator, made())


def require_room(path: Path, n: int, saved: Checkpoint) -> None:
    """Raise InputError where less than half the bytes of n samples are free on the disk: compression saves half at most."""
    needed = n * saved.space.size * np.dtype(saved.scaler.data_type(saved.space)).itemsize
    with suppress(OSError):  # what is wrong with the directory is said when the file is written
        free = shutil.disk_usage(path.parent).free
        if needed > 2 * free:
            words = f"{memory.words(needed)} of numbers, and {memory.words(free)} are free on the disk"
            raise InputError(f"-n {short(n)}: the samples are {words}; ask for fewer.")


def main(argv: Sequence[str] | None = None) -> int:
    values = parse(argv)
    with cli.saying_warnings():
        saved = checkpoint.load(values.run)
    written.require_space("-o", values.out, saved.space)
    if not values.clip:
        saved = dataclasses.replace(saved, space=saved.space.unclipped())
    if written.ending(values.out) in (".png", ".gif"):  # twice as float32 numbers, once as shades
        memory.require(
            9 * values.n * saved.space.size, f"-n {values.n}: a picture", "ask for fewer, or for .npz or .csv"
        )
    else:
        require_room(Path(values.out), values.n, saved)
    try:
        written.write(values.out, saved.space, values.n, draw(saved, values))
    except OSError as error:
        raise InputError(f"-o {values.out} cannot be written ({error.strerror or error}).") from None
    which = "last weights" if values.raw else "weight average"
    name = short(saved.data["name"])
    cli.say(f"{values.out}: {values.n} samples of {name} from the {which} of step {saved.step}")
    return 0


if __name__ == "__main__":
    cli.run(main)
