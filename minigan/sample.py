"""python -m minigan.sample: draw samples from a trained run and write them as a picture, an .npz or a .csv."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minigan import cli
from minigan.backends import BACKENDS, get_ops
from minigan.backends import noise as streams
from minigan.backends.noise import Noise
from minigan.errors import InputError
from minigan.files import write_bytes
from minigan.runs import checkpoint
from minigan.runs.checkpoint import Checkpoint

FORMATS = (".png", ".npz", ".csv")
MAX_PICTURED = 10_000
"""More samples than this are a data set, not a picture."""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Raises: InputError."""
    parser = cli.Parser(prog="python -m minigan.sample", description="Draw samples from a trained run.")
    parser.add_argument("run", metavar="RUN", help="a run directory, or a checkpoint file")
    parser.add_argument("-n", type=int, default=64, help="number of samples (default: 64)")
    parser.add_argument(
        "-o", "--out", required=True, metavar="FILE",
        help="FILE.png: a grid; FILE.npz: array x (n, ...), float32, in data units; FILE.csv: a row per sample",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="decides the latent points (default: 0)")
    parser.add_argument("--backend", choices=BACKENDS, default="numpy", help="where to compute (default: numpy)")
    parser.add_argument("--raw", action="store_true", default=False, help="the last weights, not their average")
    parser.add_argument(
        "--interpolate", action="store_true", default=False,
        help="walk between latent points: each row of 10 goes from one to the next along the sphere",
    )  # fmt: skip
    values = parser.parse(argv)
    if values.n < 1:
        raise InputError(f"-n {values.n} is out of range; it must be a whole number >= 1.")
    if not 0 <= values.seed < 2**63:
        raise InputError(f"--seed {values.seed} is out of range; it must be a whole number >= 0 and < 2^63.")
    values.out = Path(values.out)
    if values.out.suffix.lower() not in FORMATS:
        raise InputError(f"-o {values.out}: the name must end in one of: {', '.join(FORMATS)}.")
    if values.out.exists():
        raise InputError(f"-o {values.out} already exists; choose another name, or remove it first.")
    if not values.out.absolute().parent.is_dir():
        raise InputError(f"-o {values.out}: the directory {values.out.parent} does not exist.")
    if values.out.suffix.lower() == ".png" and values.n > MAX_PICTURED:
        raise InputError(f"-n {values.n} is too many for a picture; at most {MAX_PICTURED}, or write .npz or .csv.")
    return values


def interpolation(latent: int, n: int, seed: int, per_row: int = 10) -> np.ndarray:
    """Latent points (n, latent) that walk from end to end, `per_row` a leg, along the great circle between the ends.

        z(a) = (sin((1 - a) w) z0 + sin(a w) z1) / sin w,      w the angle between z0 and z1 (Shoemake 1985)

    so that |z| stays what a Gaussian's is (White 2016); a straight line would pass through untypical points near 0.
    """
    legs = -(-n // per_row)
    ends = np.empty((legs + 1, latent), np.float32)
    noise = Noise(seed)
    for i, end in enumerate(ends):
        noise.normal(end, streams.SAMPLE, i)  # one by one, so that a longer walk begins like a shorter one
    rows = []
    for z0, z1 in zip(ends[:-1].astype(np.float64), ends[1:].astype(np.float64), strict=True):
        cosine = float(z0 @ z1 / (np.linalg.norm(z0) * np.linalg.norm(z1)))
        w = float(np.arccos(np.clip(cosine, -1, 1)))
        for a in np.arange(per_row) / (per_row - 1 if legs == 1 else per_row):
            if np.sin(w) < 1e-6:  # in one line with the origin: no circle is singled out
                rows.append((1 - a) * z0 + a * z1)
            else:
                rows.append((np.sin((1 - a) * w) * z0 + np.sin(a * w) * z1) / np.sin(w))
    return np.array(rows)[:n]


def draw(saved: Checkpoint, values: argparse.Namespace) -> np.ndarray:
    """The samples asked for, (n, size) float32 in data units."""
    backend = get_ops(values.backend)
    if not values.interpolate:
        return saved.sample(values.n, backend, seed=values.seed, raw=values.raw)
    generator = saved.generator(backend, raw=values.raw)
    z = interpolation(saved.config.latent, values.n, values.seed).astype(saved.config.dtype)
    x = generator.forward(backend.asarray(z), generator.tape(len(z)))
    return saved.scaler.to_data(backend.to_host(x), saved.space)


def write(path: Path, saved: Checkpoint, x: np.ndarray) -> None:
    """Write samples in the format that the name asks for, atomically. Raises: OSError."""
    suffix = path.suffix.lower()
    if suffix == ".png":
        from minigan import plots

        plots.samples(path, saved.space, x)
    elif suffix == ".npz":
        content = io.BytesIO()
        np.savez_compressed(content, x=x.reshape(-1, *saved.space.shape))
        write_bytes(path, content.getvalue())
    else:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(saved.space.columns or [f"p{i}" for i in range(saved.space.size)])
        table.writerows([[str(v) for v in row] for row in x])  # the shortest text that reads back as the same float32
        write_bytes(path, text.getvalue().encode())


def main(argv: Sequence[str] | None = None) -> int:
    values = parse(argv)
    with cli.saying_warnings():
        saved = checkpoint.load(values.run)
    x = draw(saved, values)
    try:
        write(values.out, saved, x)
    except OSError as error:
        raise InputError(f"-o {values.out} cannot be written ({error.strerror or error}).") from None
    which = "last weights" if values.raw else "weight average"
    print(f"{values.out}: {len(x)} samples of {saved.data['name']} from the {which} of step {saved.step}")
    return 0


if __name__ == "__main__":
    cli.run(main)
