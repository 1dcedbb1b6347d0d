"""python -m minigan.lockstep: run NumPy and another backend side by side; report the first tensor and step that differ.

`runs/compare.py` says how they are compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from minigan import cli
from minigan.backends import BACKENDS, KERNELS, get_ops
from minigan.config import DTYPES, MAX_COUNT, UPDATES
from minigan.errors import InputError, MiniganError, short
from minigan.nn.objectives import OBJECTIVES
from minigan.runs.compare import BOUNDS, NOISE, NOISE_BOUND, Difference, differences, settings


class PartedError(MiniganError):
    """The two sides computed different things."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.Parser(
        prog="python -m minigan.lockstep",
        usage="%(prog)s [flags]",
        description="Run NumPy and another backend side by side from the same noise; report the first tensor and step that "
        "differ by more than a bound, in units in the last place and relative.",
    )
    parser.add_argument("--backend", choices=BACKENDS, default="cupy", help="the other side (default: cupy)")
    parser.add_argument(
        "--kernels",
        choices=KERNELS,
        default="reference",
        help="the other side's operations: with --backend numpy, numba; with cupy, reference, cuda or cuda-tf32",
    )
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="steps to make (default: 100)")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="precision (default: float32)")
    parser.add_argument(
        "--objective",
        choices=OBJECTIVES,
        default="non-saturating",
        metavar="NAME",
        help=f"loss: {', '.join(OBJECTIVES)} (default: non-saturating; the logits of relativistic have no level, so rounding "
        "moves it)",
    )
    parser.add_argument("--update", choices=UPDATES, default="alternating", help="kind of step (default: alternating)")
    parser.add_argument(
        "--bound",
        type=float,
        default=None,
        metavar="X",
        help="largest relative difference of a tensor (default: 1e-4 in float32, 1e-9 in float64; noise: at least 1e-6)",
    )
    parser.add_argument(
        "--free", action="store_true", default=False, help="do not bring the sides together before each step"
    )
    values: argparse.Namespace = parser.parse(argv)
    if not 1 <= values.steps <= MAX_COUNT:
        raise InputError(
            f"--steps {short(values.steps)} is out of range; it must be a whole number >= 1 and <= {MAX_COUNT}."
        )
    if values.backend == "numpy" and values.kernels == "reference":
        raise InputError("--backend numpy --kernels reference would compare NumPy with itself; choose other --kernels.")
    bound = BOUNDS[values.dtype] if values.bound is None else values.bound
    noise_bound = max(bound, NOISE_BOUND)
    if not bound > 0:
        raise InputError(f"--bound {values.bound} is out of range; it must be a number > 0.")
    other = get_ops(values.backend, values.kernels)
    print(f"NumPy beside {other.name} on {other.device}, {other.kernels} kernels, {values.dtype}, {values.steps} steps")
    worst: dict[str, Difference] = {}
    config = settings(values.dtype, values.objective, values.update)
    with np.errstate(all="ignore"):
        for found in differences(other, config, values.steps, free=values.free):
            if found.tensor not in worst or found.relative > worst[found.tensor].relative:
                worst[found.tensor] = found
            limit = noise_bound if found.tensor == NOISE else bound
            if found.relative > limit:
                raise PartedError(
                    f"step {found.step}: {found.tensor} differs by {found.relative:.1e} of its norm "
                    f"({found.ulps:.3g} units in the last place), more than {limit:.0e}."
                )
    print(f"\n{'tensor':<30} {'relative':>10} {'ulps':>8} {'at step':>8}")
    for name, found in worst.items():
        print(f"{name:<30} {found.relative:>10.1e} {found.ulps:>8.3g} {found.step:>8}")
    print(f"\nno tensor differs by more than {bound:.0e} of its norm after a step (noise: {noise_bound:.0e})")
    return 0


if __name__ == "__main__":
    cli.run(main)
