"""Helpers of several tests: small GANs, gradients by differences on any backend, and commands in this or another process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigan import cli
from minigan.backends import Array, Ops
from minigan.config import Config
from minigan.nn.gan import GAN
from minigan.nn.gradcheck import numerical_gradient

ROOT = Path(__file__).parents[1]

TINY = ["--batch-size", "8", "--hidden", "8", "--latent", "3", "--log-every", "2", "--sample-every", "4", "--quiet"]
"""Flags of a run that takes a fraction of a second."""


def differences(f: Callable[[], Any], array: Array, backend: Ops) -> np.ndarray:
    """The gradient of the scalar f() with respect to `array` of any backend, by central differences; array is restored."""
    host = np.array(backend.to_host(array))

    def value() -> float:
        array[...] = backend.asarray(host)
        return float(f())

    gradient = numerical_gradient(value, host)
    array[...] = backend.asarray(host)
    return gradient


def agree(a: np.ndarray, b: np.ndarray) -> None:
    """Equal to a few units in the last place of the largest value."""
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=0, atol=8 * np.finfo(b.dtype).eps * max(np.abs(b).max(), 1e-30))


def normal(backend: Ops, *shape: int, seed: int = 0, scale: float = 1.0, dtype: Any = np.float64) -> Array:
    """Normal numbers on the backend."""
    return backend.asarray((scale * np.random.default_rng([seed, *shape]).standard_normal(shape)).astype(dtype))


def tiny_gan(
    backend: Ops, shape: int | tuple[int, ...] = 4, scale: float = 0.7, **settings: Any
) -> tuple[GAN, Callable[[Array, int], None]]:
    """A float64 GAN with random weights *and biases*, and a `fill` with a fixed minibatch for each step."""
    config = Config(**{"batch_size": 4, "latent": 3, "hidden": (5, 6), "dtype": "float64", "seed": 3, **settings})
    gan = GAN(config, shape, backend)
    size = gan.generator.sizes[-1]
    for seed, network in enumerate((gan.generator, gan.discriminator)):
        network.theta.flat[...] = normal(backend, network.count, seed=seed, scale=scale, dtype=config.dtype)

    def fill(out: Array, step: int) -> None:
        out[...] = normal(backend, config.batch_size, size, seed=step, dtype=config.dtype)

    return gan, fill


def slope_error(ops: Any, name: str) -> float:
    """The largest relative error of phi' in float32, |z| <= 9 (tanh) or 16 (sigmoid), as a share of the bound that docs/math.md
    states: 2^-21 + 3 * 2^-25 / (1 - |y|). y itself, rounded to the nearest float32 below 1, is up to 2^-25 off."""
    z = np.linspace(-9, 9, 100_001, dtype=np.float32) * np.float32(1 if name == "tanh" else 16 / 9)
    y, slope, dz = (
        np.zeros((z.size, 1), np.float32),
        np.zeros((z.size, 1), np.float32),
        np.ones((z.size, 1), np.float32),
    )
    one, zero = np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    ops.dense_forward(z[:, None], one, zero, name, y, slope)
    ops.activation_backward(dz, y, name, slope, dz)
    z = z.astype(np.float64)
    exact = 1 / np.cosh(z) ** 2 if name == "tanh" else 1 / (np.exp(z / 2) + np.exp(-z / 2)) ** 2
    rest = 2 / (np.exp(2 * abs(z)) + 1) if name == "tanh" else 1 / (1 + np.exp(z))  # 1 - |y|
    np.testing.assert_array_equal(dz, slope)
    return float((np.abs(slope[:, 0] / exact - 1) / (2**-21 + 3 * 2**-25 / rest)).max())


def flats(gan: GAN) -> dict[str, np.ndarray]:
    """A copy on the host of all arrays that training changes."""
    return {name: np.array(gan.ops.to_host(array)) for name, array in gan.state().items()}


def exit_code(main: Callable[[Sequence[str] | None], int], *argv: object) -> int:
    """Run a command in this process as `python -m` would; its exit code."""
    with pytest.raises(SystemExit) as caught:
        cli.run(main, [str(a) for a in argv])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def start(*argv: object, cwd: Path, **options: Any) -> subprocess.Popen[str]:
    """Start `python -m argv` in another process."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *map(str, argv)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, **pipes)


def tree(directory: Path) -> dict[str, bytes | None]:
    """Every file below a directory with its content, and every directory (None)."""
    return {
        str(p.relative_to(directory)): p.read_bytes() if p.is_file() else None for p in sorted(directory.rglob("*"))
    }
