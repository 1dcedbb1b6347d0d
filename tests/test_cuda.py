"""The CUDA kernels without a GPU: they compile for cards, and compiled for this CPU they compute what the reference does.

On a GPU `python -m minigan.lockstep --kernels cuda` and the tests marked gpu say the same of the card itself.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import agree, exit_code, tiny_gan

from minigan import lockstep, train
from minigan.backend import Backend, get_backend
from minigan.check import certificate
from minigan.data import load
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.kernels import gpu
from minigan.noise import Noise
from minigan.ops import ACTIVATIONS, Ops

SHIM = Path(__file__).with_name("cuda_on_cpu.h")
COMPILER = shutil.which("g++") or shutil.which("c++")
on_cpu = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler is on the PATH")

# ------------------------------------------------------------------------------------------------ compiled for cards


@pytest.mark.parametrize("card", ["sm_80", "sm_90"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("file", gpu.KERNELS)
def test_every_kernel_compiles_for_cards(file: str, dtype: str, card: str) -> None:
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")
    try:
        error, program = nvrtc.nvrtcCreateProgram(gpu.source(file).encode(), f"{file}.cu".encode(), 0, [], [])
    except RuntimeError as missing:
        pytest.skip(f"NVRTC is not installed ({missing})")
    flags = [f.encode() for f in (*gpu.options(dtype, "uint8"), f"--gpu-architecture={card}")]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(flags), flags)
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytes(size + 16)  # NVRTC writes into it: never one byte, because Python shares those with everybody
    nvrtc.nvrtcGetProgramLog(program, log)
    assert error == nvrtc.nvrtcResult.NVRTC_SUCCESS, log.rstrip(b"\0").decode()
    _, size = nvrtc.nvrtcGetPTXSize(program)
    ptx = bytes(size + 16)
    nvrtc.nvrtcGetPTX(program, ptx)
    for name in gpu.KERNELS[file]:
        assert f".entry {name}(".encode() in ptx
    if dtype == "float32" and file not in ("gather", "noise"):  # cosf reduces huge angles in double; ours are small
        assert b".f64" not in ptx, "a float kernel computes in double"
    nvrtc.nvrtcDestroyProgram(program)


# --------------------------------------------------------------------------------------------- compiled for this CPU


@functools.cache
def library(code: str, flags: tuple[str, ...]) -> ctypes.CDLL:
    """The kernels as a shared library."""
    assert COMPILER is not None
    folder = Path(tempfile.mkdtemp(prefix="minigan-cuda-"))
    name = hashlib.sha256((code + " ".join(flags)).encode()).hexdigest()[:16]
    (folder / f"{name}.cpp").write_text(f'#include "{SHIM}"\n{code}', encoding="utf-8")
    out = folder / f"{name}.so"
    command = [
        COMPILER,
        "-x",
        "c++",
        "-O1",
        "-fPIC",
        "-shared",
        "-Wall",
        "-Werror",
        *flags,
        f"{name}.cpp",
        "-o",
        str(out),
    ]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return ctypes.CDLL(str(out))


class OnCpu:
    """NumPy with CuPy's `RawModule`, whose kernels run on the CPU."""

    class RawModule:
        def __init__(self, code: str, options: tuple[str, ...]) -> None:
            self.library = library(code, tuple(f.replace("-std=c++14", "-std=c++17") for f in options))

        def get_function(self, name: str) -> Any:
            function = getattr(self.library, name)
            function.restype = None

            def launch(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
                assert 0 < grid[0] <= 2**31 - 1 and 0 < block[0] <= 1024
                function(*(argument(a) for a in arguments))

            return launch

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


C = {"float32": ctypes.c_float, "float64": ctypes.c_double, "int32": ctypes.c_int32, "int64": ctypes.c_int64,
     "uint64": ctypes.c_uint64}  # fmt: skip


def argument(value: Any) -> Any:
    """As CuPy hands it on: an array as its address, a NumPy number as that type; anything else is a mistake."""
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous, "a kernel was given an array that is not contiguous"
        return ctypes.c_void_p(value.ctypes.data)
    return C[value.dtype.name](value)


@pytest.fixture(scope="module")
def fake() -> Backend:
    return Backend("cupy", OnCpu(), "kernels on the CPU", "cuda")  # type: ignore[arg-type]


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_agree_with_the_reference(fake: Backend, name: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    x, W, b, dy = (rng.normal(size=s).astype(dtype) for s in ((33, 5), (5, 7), (7,), (33, 7)))
    results = []
    for ops in (Ops(get_backend()), fake.ops):
        y, slope, dz = (np.full((33, 7), np.nan, dtype) for _ in range(3))  # poison: everything must be written
        ops.dense_forward(x, W, b, name, y, slope)
        ops.activation_backward(dy, y, name, slope, dz)
        results.append((y, dz, dz if name == "identity" else slope))
    for expected, got in zip(*results, strict=True):
        agree(got, expected)


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_logits_agree_into_the_tails(fake: Backend, dtype: str) -> None:
    s = np.concatenate([np.linspace(-30, 30, 401), [0, 1e4, -1e4, np.inf, -np.inf, np.nan]]).astype(dtype)[:, None]
    expected, got, scratch = (np.full_like(s, 7) for _ in range(3))
    for name, extra in (("sigmoid", [scratch]), ("softplus", [])):
        with np.errstate(all="ignore"):
            getattr(Ops(get_backend()), name)(s, expected, *extra)
        getattr(fake.ops, name)(s, got, *extra)
        np.testing.assert_allclose(got, expected, rtol=8 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adam_and_the_average_agree_with_the_reference(fake: Backend, dtype: str) -> None:
    rng = np.random.default_rng(2)
    gradients, start = rng.normal(size=(3, 1001)).astype(dtype), rng.normal(size=1001).astype(dtype)
    results = []
    for ops in (Ops(get_backend()), fake.ops):
        theta, m, v, mean, scratch = start.copy(), *(np.zeros_like(start) for _ in range(4))
        for g in gradients:
            ops.adam(theta, g, m, v, np.array([0.5, 0.99, 0.01, 1e-8], dtype), scratch)
            ops.average(mean, theta, np.array([0.1], dtype), scratch)
        results.append((theta, m, v, mean))
    for expected, got in zip(*results, strict=True):
        agree(got, expected)


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stored", ["uint8", "float32", "float64"])
def test_gathering_agrees_with_the_reference(fake: Backend, stored: str, dtype: str) -> None:
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 256, (20, 6)).astype(stored)
    chosen, offset, factor = rng.permutation(20)[:8], *rng.normal(size=(2, 6)).astype(dtype)
    expected, got = np.full((8, 6), np.nan, dtype), np.full((8, 6), np.nan, dtype)
    Ops(get_backend()).gather(rows, chosen, offset, factor, np.empty((8, 6), stored), expected)
    fake.ops.gather(rows, chosen, offset, factor, None, got)
    agree(got, expected)


@on_cpu
@pytest.mark.parametrize("data", ["digits", "ring"])
def test_minibatches_are_the_references(fake: Backend, data: str) -> None:
    """Images have one offset and one factor for all of their pixels, points have one for each column."""
    loaded, batches = load(data), []
    for backend in (get_backend(), fake):
        scaler = Scaler.fit(loaded.space, loaded.train, "tanh", loaded.unit)
        out = np.full((16, loaded.space.size), np.nan, np.float32)
        Batches(loaded.train, loaded.unit, scaler, 16, 0, backend, "float32").fill(out, 5)
        batches.append(out)
    agree(batches[1], batches[0])


SEEDS = [(0, 3, 0), (7, 8, 12345), (2**63 - 1, 13, 2**40)]


@on_cpu
@pytest.mark.parametrize(("seed", "stream", "step"), SEEDS)
def test_integers_are_numpys_to_the_bit(fake: Backend, seed: int, stream: int, step: int) -> None:
    for n in (1, 4, 1003):
        out = np.zeros(n, np.uint64)
        fake.ops.launch("words", n, np.float32(0), out, np.int64(n), *map(np.uint64, (seed, stream, step)))  # type: ignore[attr-defined]
        np.testing.assert_array_equal(out, Noise(seed).integers(n, stream, step))


@on_cpu
@pytest.mark.parametrize(("seed", "stream", "step"), SEEDS)
@pytest.mark.parametrize("n", [1, 2, 7, 8, 15, 16, 17, 31, 33, 1000, 4098])
def test_noise_is_the_hosts(fake: Backend, n: int, seed: int, stream: int, step: int) -> None:
    """Uniforms to the bit; normals to a few units in the last place, because logarithms and cosines differ by as much."""
    for dtype in ("float32", "float64"):
        expected, got = np.empty((n, 1), dtype), np.full((n, 1), np.nan, dtype)
        Noise(seed).uniform(expected, stream, step)
        Noise(seed, fake).uniform(got, stream, step)
        np.testing.assert_array_equal(got, expected)
        Noise(seed).normal(expected, stream, step)
        Noise(seed, fake).normal(got, stream, step)
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)


@on_cpu
def test_kernels_do_not_hide_a_nan(fake: Backend) -> None:
    for name in ACTIVATIONS:
        y, slope = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)
        x = np.array([[np.nan], [1]], np.float32)
        fake.ops.dense_forward(x, np.ones((1, 3), np.float32), np.zeros(3, np.float32), name, y, slope)
        assert np.isnan(y[0]).all() and np.isfinite(y[1]).all()


@on_cpu
def test_the_certificate_holds_with_cuda_kernels(fake: Backend) -> None:
    sections = ("operations", "networks", "penalties", "optimisers")
    assert [row.what for row in certificate(fake, sections) if not row.passed] == []


@on_cpu
@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
def test_training_stays_in_step_with_numpy(fake: Backend, update: str) -> None:
    for dtype, bound in lockstep.BOUNDS.items():
        found = list(lockstep.run(fake, lockstep.settings(dtype, "non-saturating", update), 5))
        assert max(d.relative for d in found if d.tensor != lockstep.NOISE) < bound
        assert max(d.relative for d in found if d.tensor == lockstep.NOISE) < lockstep.NOISE_BOUND


@on_cpu
def test_a_step_draws_its_noise_on_the_device(fake: Backend) -> None:
    """Nothing is copied to the device but what it is given: no host array is drawn into `z`."""
    gan, fill = tiny_gan(fake, objective="non-saturating")
    drawn: list[str] = []
    kept = fake.ops.draw  # type: ignore[attr-defined]
    fake.ops.draw = lambda kind, *rest: (drawn.append(kind), kept(kind, *rest))  # type: ignore[attr-defined]
    try:
        gan.train_step(fill)
    finally:
        fake.ops.draw = kept  # type: ignore[attr-defined]
    assert drawn == ["normal"]


def test_cuda_kernels_are_for_the_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(train.main, "--kernels", "cuda", "--steps", 1) == 2
    assert "--kernels cuda is for the GPU; leave it out with --backend numpy." in capsys.readouterr().err


@pytest.mark.gpu
def test_a_gpu_stays_in_step_with_cuda_kernels() -> None:
    backend = get_backend("cupy", "cuda")
    for dtype, bound in lockstep.BOUNDS.items():
        config = lockstep.settings(dtype, "non-saturating", "alternating")
        assert max(d.relative for d in lockstep.run(backend, config, 100) if d.tensor != "latent points") < max(
            bound, 1e-5
        )
