"""Benchmarks of single kernels: each is compared with a float64 reference first, then timed.

FLOPs and bytes are those of the mathematical definition, not those of an implementation: each input is read once, each
output is written once, and an exponential or a square root counts as one operation. So a fused kernel reports more GB/s.
Where the backend records programs, a program is timed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from minigan import plain
from minigan.backends import Array, Ops
from minigan.backends import noise as streams
from minigan.backends.activations import ACTIVATIONS, LEAK
from minigan.backends.noise import Noise
from minigan.nn.objectives import OBJECTIVES
from minigan.nn.optim import EPSILON, Adam, WeightAverage
from minigan.runs.contention import Meter
from minigan.runs.cost import queued

pytestmark = pytest.mark.benchmark(max_time=0.3, min_rounds=5, warmup=False)  # `timed` warms up

TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "tf32": 2e-5 * 2**13}
"""Largest error allowed, relative to the largest value; TF32 has 13 bits less than float32."""


def precision_of(backend: Ops, dtype: str) -> str:
    """The key of TOLERANCE for a product of `dtype`."""
    return "tf32" if backend.kernels == "cuda-tf32" and dtype == "float32" else dtype


def normal(backend: Ops, dtype: str, *shape: int, seed: int = 0) -> Array:
    return backend.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32).astype(dtype))


def reference(backend: Ops, array: Array) -> np.ndarray:
    """A float64 copy on the host."""
    return np.array(backend.to_host(array), np.float64)


def assert_close(backend: Ops, dtype: str, pairs: Sequence[tuple[Array, np.ndarray]], slack: float = 1) -> None:
    for got, expected in pairs:
        error = np.abs(backend.to_host(got) - expected).max() / max(np.abs(expected).max(), 1e-30)
        assert error <= slack * TOLERANCE[precision_of(backend, dtype)], f"off by {error:.1e} of the largest value"


def timed(benchmark: Any, backend: Ops, kernel: Callable[[], object], name: str, flops: float, bytes: float,
          **size: Any) -> None:  # fmt: skip
    """Time `kernel`, and record its FLOPs and bytes, and the share of the processors that other processes used.

    On a device several calls are queued before it is synchronised (`cost.queued`), as in training. Their number is recorded;
    pytest-benchmark's own times are those of all queued calls.
    """
    calls = queued(kernel, backend)

    def run() -> None:
        for _ in range(calls):
            kernel()
        backend.synchronize()

    label = backend.name if backend.kernels == "reference" else f"{backend.name}+{backend.kernels}"
    benchmark.extra_info.update(
        kernel=name, backend=label, device=backend.device, flops=int(flops), bytes=int(bytes), calls=calls, **size
    )
    meter = Meter()
    benchmark(run)
    if benchmark.stats is not None:  # None with --benchmark-disable
        benchmark.extra_info["load"] = round(meter.read().load, 3)
        seconds = benchmark.stats.stats.median / calls
        benchmark.extra_info.update({"GFLOP/s": flops / seconds / 1e9, "GB/s": bytes / seconds / 1e9})


# ---------------------------------------------------------------------------------- ceilings, for the roofline


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_ceiling_product(benchmark: Any, backend: Ops, precision: str) -> None:
    """The ceiling of computing: a large matrix product."""
    n = 2048 if backend.name == "numpy" else 8192
    a, b, out = (normal(backend, precision, n, n, seed=s) for s in range(3))
    kernel = backend.program(lambda: backend.xp.dot(a, b, out=out))
    kernel()
    rows = slice(0, 4)
    assert_close(backend, precision, [(out[rows], reference(backend, a[rows]) @ reference(backend, b))], slack=10)
    timed(benchmark, backend, kernel, "ceiling: product", 2 * n**3, 3 * a.nbytes, dtype=precision)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_ceiling_copy(benchmark: Any, backend: Ops, precision: str) -> None:
    """The ceiling of moving data: a copy far larger than every cache."""
    n = (1 << 28 if backend.name == "numpy" else 1 << 31) // np.dtype(precision).itemsize
    a, b = backend.zeros((n,), precision), backend.zeros((n,), precision)
    a.fill(1)
    kernel = lambda: backend.xp.copyto(b, a)  # noqa: E731
    kernel()
    assert float(b[-1]) == 1
    timed(benchmark, backend, kernel, "ceiling: copy", 0, 2 * a.nbytes, dtype=precision)


# ------------------------------------------------------------------------------------------- the dense step


class Dense:
    """A square layer (width -> width) on a batch, its arrays, and their float64 copies on the host."""

    def __init__(self, backend: Ops, dtype: str, batch: int, width: int) -> None:
        self.x, self.dy = (normal(backend, dtype, batch, width, seed=s) for s in (1, 2))
        self.W = normal(backend, dtype, width, width) / math.sqrt(width)
        self.b = normal(backend, dtype, width)
        self.y, self.slope, self.dz, self.dx = (backend.zeros((batch, width), dtype) for _ in range(4))
        self.dW, self.db = backend.zeros((width, width), dtype), backend.zeros((width,), dtype)
        self.W = self.W.astype(dtype)
        self.n, self.weights, self.item = batch * width, width * width, np.dtype(dtype).itemsize
        self.product = 2 * batch * width * width
        self.host = [reference(backend, a) for a in (self.x, self.W, self.b, self.dy)]
        self.z = self.host[0] @ self.host[1] + self.host[2]
        self.slope_host = np.where(self.z > 0, 1, LEAK)


def test_dense_forward(benchmark: Any, backend: Ops, dtype: str, batch: int, width: int) -> None:
    """Y = phi(X W + b)."""
    d, ops = Dense(backend, dtype, batch, width), backend
    kernel = ops.program(lambda: ops.dense_forward(d.x, d.W, d.b, "leaky-relu", d.y, d.slope))
    kernel()
    assert_close(backend, dtype, [(d.y, d.z * d.slope_host)])
    moved = d.item * (2 * d.n + d.weights + width)
    timed(
        benchmark, backend, kernel, "dense forward", d.product + 3 * d.n, moved, dtype=dtype, batch=batch, width=width
    )


def test_dense_backward(benchmark: Any, backend: Ops, dtype: str, batch: int, width: int) -> None:
    """dZ = dY * phi'(Y), dW = X^T dZ, db = sum dZ, dX = dZ W^T."""
    d, ops = Dense(backend, dtype, batch, width), backend
    ops.dense_forward(d.x, d.W, d.b, "leaky-relu", d.y, d.slope)

    def passes() -> None:
        ops.activation_backward(d.dy, d.y, "leaky-relu", d.slope, d.dz)
        ops.weight_gradient(d.x, d.dz, d.dW, d.db)
        ops.input_gradient(d.dz, d.W, d.dx)

    kernel = ops.program(passes)
    kernel()
    x, W, _, dy = d.host
    dz = dy * np.where(reference(backend, d.y) > 0, 1, LEAK)
    assert_close(backend, dtype, [(d.dW, x.T @ dz), (d.db, dz.sum(axis=0)), (d.dx, dz @ W.T)], slack=3)
    moved = d.item * (4 * d.n + 2 * d.weights + width)
    timed(
        benchmark,
        backend,
        kernel,
        "dense backward",
        2 * d.product + 3 * d.n,
        moved,
        dtype=dtype,
        batch=batch,
        width=width,
    )


@pytest.mark.parametrize("apart", [False, True])
def test_weight_gradient(benchmark: Any, backend: Ops, monkeypatch: pytest.MonkeyPatch, apart: bool, dtype: str,
                         batch: int, width: int) -> None:  # fmt: skip
    """dW = X^T dZ and db = sum dZ, in one launch where cuBLASLt supports it; apart: always in two launches."""
    if not backend.kernels.startswith("cuda"):
        pytest.skip("elsewhere they are two operations")
    d, ops = Dense(backend, dtype, batch, width), backend
    if apart:
        monkeypatch.setattr(ops.xp.products, "dot_and_sums", lambda *_, **__: False)
    kernel = ops.program(lambda: ops.weight_gradient(d.x, d.dy, d.dW, d.db))
    kernel()
    x, _, _, dy = d.host
    assert_close(backend, dtype, [(d.dW, x.T @ dy), (d.db, dy.sum(axis=0))], slack=3)
    moved = d.item * (2 * d.n + d.weights + width)
    name = "weight gradient, sums apart" if apart else "weight gradient"
    timed(benchmark, backend, kernel, name, d.product + d.n, moved, dtype=dtype, batch=batch, width=width)


def test_dense_tangent(benchmark: Any, backend: Ops, dtype: str, batch: int, width: int) -> None:
    """T_out = (T_in W) * phi'(Y)."""
    d, ops = Dense(backend, dtype, batch, width), backend
    d.slope[...] = backend.asarray(d.slope_host.astype(dtype))
    kernel = ops.program(lambda: ops.dense_tangent(d.x, d.W, "leaky-relu", d.slope, d.y, d.y))
    kernel()
    assert_close(backend, dtype, [(d.y, (d.host[0] @ d.host[1]) * d.slope_host)])
    moved = d.item * (3 * d.n + d.weights)
    timed(benchmark, backend, kernel, "dense tangent", d.product + d.n, moved, dtype=dtype, batch=batch, width=width)


# ------------------------------------------------------------------------------------------------ activations


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(benchmark: Any, backend: Ops, name: str, dtype: str, batch: int, width: int) -> None:
    """y = phi(z + b), which follows the product of a dense step. (From z, because repeated calls in place would change y.)"""
    z, b = normal(backend, dtype, batch, width), normal(backend, dtype, width)
    y, scratch = backend.zeros((batch, width), dtype), backend.zeros((batch, width), dtype)

    def passes() -> None:
        backend.xp.add(z, b, out=y)
        backend.activation(name, y, scratch)

    kernel = backend.program(passes)
    kernel()
    assert_close(backend, dtype, [(y, plain.ACTIVATIONS[name][0](reference(backend, z) + reference(backend, b)))])
    size = {"dtype": dtype, "batch": batch, "width": width}
    timed(benchmark, backend, kernel, f"{name} forward", 2 * z.size, 2 * z.nbytes, **size)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_backward(benchmark: Any, backend: Ops, name: str, dtype: str, batch: int, width: int) -> None:
    """dZ = dY * phi'(Y)."""
    z, dy = (normal(backend, dtype, batch, width, seed=s) for s in (0, 1))
    phi, slope_of, _ = plain.ACTIVATIONS[name]
    y = backend.asarray(phi(reference(backend, z)).astype(dtype))
    slope, dz = backend.zeros((batch, width), dtype), backend.zeros((batch, width), dtype)
    kernel = backend.program(lambda: backend.activation_backward(dy, y, name, slope, dz))
    kernel()
    assert_close(backend, dtype, [(dz, reference(backend, dy) * slope_of(reference(backend, z)))])
    size = {"dtype": dtype, "batch": batch, "width": width}
    timed(benchmark, backend, kernel, f"{name} backward", 2 * z.size, 4 * z.nbytes, **size)


# ------------------------------------------------------------------------------------------------- objectives


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective(benchmark: Any, backend: Ops, name: str, dtype: str, batch: int) -> None:
    """The gradients with respect to the logits, of both players."""
    r, f = (normal(backend, dtype, batch, 1, seed=s) for s in (0, 1))
    dr, df, dg = (backend.zeros((batch, 1), dtype) for _ in range(3))
    objective = backend.objective(OBJECTIVES[name], batch, dtype)

    def passes() -> None:
        objective.discriminator_gradient(r, f, dr, df)
        objective.generator_gradient(r, f, dg)

    kernel = backend.program(passes)
    kernel()
    logits = reference(backend, r), reference(backend, f)
    expected = (*plain.discriminator_loss(name, *logits)[1:], plain.generator_loss(name, *logits)[1])
    assert_close(backend, dtype, [(got, e / batch) for got, e in zip((dr, df, dg), expected, strict=True)])
    timed(benchmark, backend, kernel, name, 12 * batch, 5 * r.nbytes, dtype=dtype, batch=batch)


# ----------------------------------------------------------------------------------- optimiser, noise, gather


def test_adam(benchmark: Any, backend: Ops, dtype: str, width: int) -> None:
    """One Adam update of a square layer's weights."""
    time_adam(benchmark, backend, dtype, width * (width + 1), width=width)


def test_adam_of_many(benchmark: Any, backend: Ops) -> None:
    """More weights than fit into any cache, for comparison with the copy: 50 million, on a CPU a tenth of that."""
    time_adam(benchmark, backend, "float32", 5_000_000 if backend.name == "numpy" else 50_000_000, every=50)


def time_adam(benchmark: Any, backend: Ops, dtype: str, n: int, every: int = 1, **size: int) -> None:
    """Time Adam; one weight in `every` is compared with the reference."""
    theta, grad = (normal(backend, dtype, n, seed=s) for s in (0, 1))
    adam = Adam(n, backend, dtype, 0.5, 0.999)
    some = slice(None, None, every)
    start, g = reference(backend, theta[some]), reference(backend, grad[some])
    m = v = np.zeros(len(g))
    for t in (1, 2, 3):  # Algorithm 1 of Kingma and Ba, as it is printed
        adam.update(theta, grad, t, 1e-3)
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g * g
        start = start - 1e-3 * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.999**t)) + EPSILON)
    assert_close(backend, dtype, [(theta[some], start)])
    adam.prepare(1000, 1e-9)
    kernel = backend.program(lambda: adam.apply(theta, grad))
    name = "Adam" if size else f"Adam of {n:,}"
    timed(benchmark, backend, kernel, name, 11 * n, 7 * theta.nbytes, dtype=dtype, **size)


def test_average(benchmark: Any, backend: Ops, dtype: str, width: int) -> None:
    """One update of the weight average of a square layer."""
    theta, other = (normal(backend, dtype, width * (width + 1), seed=s) for s in (0, 1))
    average = WeightAverage(theta, 0.999, backend)
    average.update(other, 1)
    start, end = reference(backend, theta), reference(backend, other)
    assert_close(backend, dtype, [(average.mean, start + (1 - 2 / 11) * (end - start))])
    kernel = backend.program(lambda: average.apply(other))
    timed(benchmark, backend, kernel, "average", 3 * theta.size, 3 * theta.nbytes, dtype=dtype, width=width)


def test_noise(benchmark: Any, backend: Ops, dtype: str, batch: int, width: int) -> None:
    """z ~ N(0, I), drawn on the host, or on the device with CUDA kernels."""
    out, noise = backend.empty((batch, width), dtype), Noise(3, backend)
    u = np.empty(2 * ((out.size + 1) // 2), np.float32)
    Noise(3).uniform(u, streams.LATENT, 5)
    half = len(u) // 2
    r, angle = np.sqrt(-2 * np.log(1 - u[:half].astype(np.float64))), 2 * np.pi * u[half:].astype(np.float64)
    expected = np.concatenate([r * np.cos(angle), r * np.sin(angle)])[: out.size].reshape(out.shape)
    kernel = lambda: noise.normal(out, streams.LATENT, 5)  # noqa: E731
    kernel()
    assert_close(backend, "float32", [(out, expected)])  # drawn in float32 whatever the dtype
    timed(
        benchmark, backend, kernel, "normal noise", 6 * out.size, out.nbytes, dtype=dtype, batch=batch, width=width
    )  # fmt: skip


def test_noise_of_cupy(benchmark: Any, backend: Ops, batch: int, width: int) -> None:
    """CuPy's normal numbers, from its generator of the same name as NumPy's, for comparison with minigan's."""
    if (backend.name, backend.kernels) != ("cupy", "reference"):
        pytest.skip("it is CuPy's, whatever our kernels are")
    n, random = batch * width, backend.xp.random
    generator = random.Generator(random.Philox4x3210(3, size=n))  # a state for each number: one launch for all
    draw = lambda: generator.standard_normal((batch, width), dtype=np.float32)  # noqa: E731
    assert abs(float(draw().mean())) < 6 / math.sqrt(n)
    timed(benchmark, backend, draw, "normal noise of CuPy", 6 * n, 4 * n, dtype="float32", batch=batch, width=width)


def test_gather(benchmark: Any, backend: Ops, dtype: str, batch: int, width: int) -> None:
    """out[i] = (rows[order[i]] - offset) * factor from 16,384 rows of bytes in memory, the stored type of images."""
    rng = np.random.default_rng(1)
    stored, order = rng.integers(0, 256, (16384, width), np.uint8), rng.permutation(16384)[:batch]
    rows, chosen = backend.asarray(stored), backend.asarray(order)
    offset, factor = normal(backend, dtype, width, seed=2), normal(backend, dtype, width, seed=3)
    scratch, out = backend.zeros((batch, width), "uint8"), backend.zeros((batch, width), dtype)
    kernel = lambda: backend.gather(rows, chosen, offset, factor, scratch, out)  # noqa: E731
    kernel()
    assert_close(backend, dtype, [(out, (stored[order] - reference(backend, offset)) * reference(backend, factor))])
    moved = out.size + out.nbytes + chosen.nbytes + offset.nbytes + factor.nbytes
    timed(benchmark, backend, kernel, "gather", 2 * out.size, moved, dtype=dtype, batch=batch, width=width)
