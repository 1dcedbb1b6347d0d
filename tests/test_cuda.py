"""The CUDA kernels without a GPU: they compile for cards, and compiled for this CPU they compute what the reference does.

On a GPU `python -m minigan.lockstep --kernels cuda` and the tests marked gpu say the same of the card itself.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import hashlib
import importlib
import inspect
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import agree, exit_code, tiny_gan

from minigan import lockstep, train
from minigan.backend import Backend, _require_nvmath, get_backend
from minigan.check import certificate
from minigan.config import Config
from minigan.data import load
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.errors import InputError, MiniganError
from minigan.gan import GAN
from minigan.kernels import cublaslt, gpu
from minigan.noise import Noise
from minigan.objectives import OBJECTIVES
from minigan.ops import ACTIVATIONS, Ops

CUBLASLT: Any = None
with suppress(ImportError):
    CUBLASLT = importlib.import_module("nvmath.bindings.cublasLt")

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
    """NumPy with CuPy's `RawModule`, whose kernels run on the CPU, and a stream that can be recorded."""

    def __init__(self) -> None:
        self.recording: list[Callable[[], Any]] | None = None
        self.allocator: Callable[[int], object] = lambda size: None
        self.cuda = SimpleNamespace(
            using_allocator=self.using_allocator,
            Stream=lambda *, non_blocking: Stream(self, non_blocking),
            get_current_stream=lambda: SimpleNamespace(ptr=0, synchronize=lambda: None),
        )

    @contextmanager
    def using_allocator(self, allocator: Callable[[int], object]) -> Iterator[None]:
        kept, self.allocator = self.allocator, allocator
        try:
            yield
        finally:
            self.allocator = kept

    def do(self, call: Callable[[], Any]) -> Any:
        """Now, or whenever the graph is launched that is being recorded."""
        return call() if self.recording is None else self.recording.append(call)

    def RawModule(self, code: str, options: tuple[str, ...]) -> Any:
        assert self.recording is None, "compiled while recording"
        shared = library(code, tuple(f.replace("-std=c++14", "-std=c++17") for f in options))

        def get_function(name: str) -> Any:
            function = getattr(shared, name)
            function.restype = None

            def launch(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
                assert 0 < grid[0] <= 2**31 - 1 and 0 < block[0] <= 1024
                self.do(functools.partial(function, *(argument(a) for a in arguments)))

            return launch

        return SimpleNamespace(get_function=get_function)

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if not callable(function) or isinstance(function, type):
            return function

        def call(*args: Any, **kwargs: Any) -> Any:
            """CuPy takes memory for a result that is not given, and for operands that overlap it without being it."""
            out = kwargs.get("out", args[0] if name == "copyto" else None)
            if out is None:
                self.allocator(1)
            for operand in args if out is not None else ():
                if isinstance(operand, np.ndarray) and operand is not out and np.may_share_memory(operand, out):
                    self.allocator(operand.nbytes)
            return self.do(lambda: function(*args, **kwargs))

        return call


class Stream:
    """CuPy's, of which only recording is used."""

    def __init__(self, module: OnCpu, non_blocking: bool) -> None:
        assert non_blocking, "CUDA does not record the default stream, nor one that waits for it"
        self.module = module

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.module.recording is None

    def begin_capture(self) -> None:
        self.module.recording = []

    def end_capture(self) -> Any:
        calls, self.module.recording = self.module.recording, None
        assert calls is not None
        return SimpleNamespace(launch=lambda: [call() for call in calls], nodes=calls)


class CublasLt:
    """nvmath.bindings.cublasLt for matrices on the host, as its manual says: columns one after the other."""

    MatmulDescAttribute = enum.IntEnum(
        "MatmulDescAttribute", {"TRANSA": 3, "TRANSB": 4, "EPILOGUE": 7, "BIAS_POINTER": 8}
    )
    MatmulPreferenceAttribute = enum.IntEnum(
        "MatmulPreferenceAttribute",
        {"MAX_WORKSPACE_BYTES": 1, **{f"MIN_ALIGNMENT_{x}_BYTES": 5 + i for i, x in enumerate("ABCD")}},
    )
    matmul_heuristic_result_dtype = np.dtype([
        ("algo", [("data_", "<u8", (8,))]), ("workspace_size", "<u8"), ("state", "<i4"), ("waves_count", "<f4"),
        ("reserved", "<i4", (4,)),
    ])  # fmt: skip

    def __init__(self, module: OnCpu) -> None:
        self.module = module
        self.made: list[Any] = []
        self.supports = {0, 4, 256}

    def new(self, thing: Any) -> int:
        self.made.append(thing)
        return len(self.made) - 1

    def create(self) -> int:
        return self.new("handle")

    def destroy(self, light_handle: int) -> None:
        self.made[light_handle] = None

    def matmul_desc_create(self, compute_type: int, scale_type: int) -> int:
        assert (compute_type, scale_type) in ((68, 0), (77, 0), (70, 1))
        return self.new({"compute": compute_type, 3: 0, 4: 0, 7: 0, 8: 0})

    def matrix_layout_create(self, type: int, rows: int, cols: int, ld: int) -> int:
        assert ld >= rows
        return self.new((("f4", "f8")[type], rows, cols, ld))

    def matmul_preference_create(self) -> int:
        return self.new({f"MIN_ALIGNMENT_{x}_BYTES": 256 for x in "ABCD"})

    def matmul_desc_set_attribute(self, matmul_desc: int, attr: int, buf: int, size_in_bytes: int) -> None:
        kind = {3: ctypes.c_int32, 4: ctypes.c_int32, 7: ctypes.c_uint32, 8: ctypes.c_uint64}[attr]
        assert size_in_bytes == ctypes.sizeof(kind)
        self.made[matmul_desc][attr] = kind.from_address(buf).value

    def matmul_preference_set_attribute(self, pref: int, attr: int, buf: int, size_in_bytes: int) -> None:
        name = self.MatmulPreferenceAttribute(attr).name
        kind = ctypes.c_uint64 if name == "MAX_WORKSPACE_BYTES" else ctypes.c_uint32
        assert size_in_bytes == ctypes.sizeof(kind)
        self.made[pref][name] = kind.from_address(buf).value

    def matmul_algo_get_heuristic(
        self, light_handle: int, operation_desc: int, adesc: int, bdesc: int, cdesc: int, ddesc: int, preference: int,
        requested_algo_count: int, heuristic_results_array: int, return_algo_count: int,
    ) -> None:  # fmt: skip
        """The algorithm remembers what it was chosen for."""
        assert self.module.recording is None, "a product planned while recording"
        wishes, operation = self.made[preference], self.made[operation_desc]
        assert (operation[7] == 0) == (operation[8] == 0), "an epilogue has a vector, and nothing else has"
        if operation[7] not in self.supports:
            raise CublasLtError(cublaslt.NOT_SUPPORTED)
        operation["planned"] = operation[8] & -operation[8]
        found = np.frombuffer(
            (ctypes.c_byte * 96).from_address(heuristic_results_array), self.matmul_heuristic_result_dtype
        )
        found["algo"]["data_"][0] = [
            *(wishes[f"MIN_ALIGNMENT_{x}_BYTES"] for x in "ABCD"),
            operation_desc,
            adesc,
            bdesc,
            ddesc,
        ]
        ctypes.c_int32.from_address(return_algo_count).value = 1

    def matmul_preference_destroy(self, pref: int) -> None:
        self.made[pref] = None

    def matmul(
        self, light_handle: int, compute_desc: int, alpha: int, a: int, adesc: int, b: int, bdesc: int, beta: int, c: int,
        cdesc: int, d: int, ddesc: int, algo: int, workspace: int, workspace_size_in_bytes: int, stream: int,
    ) -> None:  # fmt: skip
        chosen = np.frombuffer((ctypes.c_byte * 64).from_address(algo), np.uint64)
        assert all(at % int(bytes) == 0 for at, bytes in zip((a, b, c, d), chosen[:4], strict=True)), (
            "less aligned than said"
        )
        assert [*chosen[4:]] == [compute_desc, adesc, bdesc, ddesc] and c == d and workspace and workspace_size_in_bytes

        def matrix(at: int, layout: int) -> np.ndarray:
            dtype, rows, columns, ld = self.made[layout]
            size = np.dtype(dtype).itemsize * (ld * (columns - 1) + rows)
            numbers = np.frombuffer((ctypes.c_byte * size).from_address(at), dtype)
            strides = numbers.itemsize, ld * numbers.itemsize
            return np.lib.stride_tricks.as_strided(numbers, (rows, columns), strides)

        real = self.made[ddesc][0]
        factors = [np.frombuffer((ctypes.c_byte * 8).from_address(at), real)[0] for at in (alpha, beta)]
        assert factors == [1, 0]
        vector = None
        if self.made[compute_desc][7]:
            at, size = self.made[compute_desc][8], len(matrix(d, ddesc))
            assert at % min(self.made[compute_desc]["planned"], 256) == 0, "the vector is less aligned than said"
            vector = np.frombuffer((ctypes.c_byte * (np.dtype(real).itemsize * size)).from_address(at), real)
        operation, first, second, result = self.made[compute_desc], matrix(a, adesc), matrix(b, bdesc), matrix(d, ddesc)
        first, second = first.T if operation[3] else first, second.T if operation[4] else second
        rounded = tf32 if operation["compute"] == 77 else np.asarray

        def product() -> None:
            np.matmul(rounded(first), rounded(second), out=result)
            if operation[7] == 4:
                np.add(result, vector[:, None], out=result)
            elif operation[7] == 256:
                np.sum(first, axis=1, out=vector)

        self.module.do(product)


class CublasLtError(Exception):
    """The bindings' own, which knows a status."""

    def __init__(self, status: int) -> None:
        self.status = status


def tf32(x: np.ndarray) -> np.ndarray:
    """Rounded to 10 bits of mantissa."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


C = {"float32": ctypes.c_float, "float64": ctypes.c_double, "int32": ctypes.c_int32, "int64": ctypes.c_int64,
     "uint64": ctypes.c_uint64}  # fmt: skip


def argument(value: Any) -> Any:
    """As CuPy hands it on: an array as its address, a NumPy number as that type; anything else is a mistake."""
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous, "a kernel was given an array that is not contiguous"
        return ctypes.c_void_p(value.ctypes.data)
    return C[value.dtype.name](value)


def stand_in(patch: pytest.MonkeyPatch, kernels: str = "cuda") -> Backend:
    """A backend whose kernels, products and graphs run on the CPU."""
    module = OnCpu()
    patch.setitem(sys.modules, "nvmath.bindings.cublasLt", CublasLt(module))
    patch.setattr(cublaslt, "address", lambda array: array.ctypes.data)
    backend = Backend("cupy", module, "kernels on the CPU", kernels)  # type: ignore[arg-type]
    assert isinstance(backend.ops, gpu.CudaOps)
    return backend


@pytest.fixture(scope="module")
def fake() -> Iterator[Backend]:
    with pytest.MonkeyPatch.context() as patch:
        yield stand_in(patch)


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
    calls: dict[str, Callable[[Ops, np.ndarray], None]] = {
        "sigmoid": lambda ops, out: ops.sigmoid(s, out, scratch),
        "softplus": lambda ops, out: ops.softplus(s, out),
        **{
            f"gradient {t}": lambda ops, out, t=t: ops.binary_cross_entropy_gradient(s, t, out, scratch)  # type: ignore[misc]
            for t in (0, 0.9, 1)
        },
    }
    for name, call in calls.items():
        with np.errstate(all="ignore"):
            call(Ops(get_backend()), expected)
        call(fake.ops, got)
        atol = np.finfo(dtype).eps / s.size if name == "gradient 0.9" else np.finfo(dtype).tiny
        np.testing.assert_allclose(got, expected, rtol=8 * np.finfo(dtype).eps, atol=atol, err_msg=name)


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_of_objectives_agree_into_the_tails(fake: Backend, name: str, smoothing: float, dtype: str) -> None:
    edge = [0, 1, -1, 40, -40, 1e4, -1e4, np.inf, -np.inf, np.nan]
    r, f = np.meshgrid(np.array([*np.linspace(-9, 9, 31), *edge]), np.array([*np.linspace(-8, 8, 27), *edge]))
    r, f = (a.astype(dtype).reshape(-1, 1) for a in (r, f))
    results = []
    for ops in (Ops(get_backend()), fake.ops):
        dr, df, dg = (np.full_like(r, 7) for _ in range(3))
        objective = ops.objective(OBJECTIVES[name], r.size, dtype, smoothing)
        with np.errstate(all="ignore"):
            objective.discriminator_gradient(r, f, dr, df)
            objective.generator_gradient(r, f, dg)
        results.append((dr, df, dg))
    assert isinstance(objective, gpu.SingleKernels) and len(gpu.OBJECTIVES) == len(OBJECTIVES)
    eps, smoothed = np.finfo(dtype).eps, smoothing and name in ("minimax", "non-saturating")
    atol = 4 * eps / r.size if smoothed else np.finfo(dtype).tiny  # sigma(r) - 0.9 cancels
    for expected, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=8 * eps, atol=atol)


def test_an_objective_without_kernels_of_its_own_runs_as_it_is(fake: Backend) -> None:
    class Own(OBJECTIVES["hinge"]):  # type: ignore[misc]
        pass

    assert type(fake.ops.objective(Own, 4, "float32")) is Own


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adam_and_the_average_agree_with_the_reference(fake: Backend, dtype: str) -> None:
    rng = np.random.default_rng(2)
    gradients, start = rng.normal(size=(3, 1001)).astype(dtype), rng.normal(size=1001).astype(dtype)
    results = []
    for ops in (Ops(get_backend()), fake.ops):
        theta, m, v, mean, scratch = start.copy(), *(np.zeros_like(start) for _ in range(4))
        for g in gradients:
            factors, weight = np.array([0.5, 0.99, 0.01, 1e-8], dtype), np.array([0.1], dtype)
            ops.adam(theta, g, m, v, factors, scratch)
            ops.average(mean, theta, weight, scratch)
            ops.adam(theta, g, m, v, factors, scratch, mean, weight)
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


# ------------------------------------------------------------------------------------------- products and graphs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m, n, k", [(32, 8, 5), (3, 40, 7), (1, 9, 20), (64, 1, 3), (50, 33, 1), (1, 1, 1)])
def test_products_are_numpys(fake: Backend, m: int, n: int, k: int, dtype: str) -> None:
    """In all four orders, and from addresses that are multiples of nothing but the size of a number."""
    rng, flat = np.random.default_rng(2), np.empty(m * n + 3, dtype)
    for a in (rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, m)).astype(dtype).T):
        for b in (rng.normal(size=(k, n)).astype(dtype), rng.normal(size=(n, k)).astype(dtype).T):
            for first in range(3):
                out = flat[first : first + m * n].reshape(m, n)
                out[:] = np.nan
                fake.ops.xp.dot(a, b, out=out)
                agree(out, a @ b)


def test_a_plan_is_made_once(fake: Backend) -> None:
    products = cublaslt.Products(fake.xp, sys.modules["nvmath.bindings.cublasLt"])
    x, W, out = np.ones((6, 4)), np.ones((4, 8)), np.empty((6, 8))
    for _ in range(3):
        products.dot(x, W, out=out)
    assert len(products.plans) == 1
    products.dot(out, W.T, out=x)
    assert len(products.plans) == 2


def test_products_that_cannot_be_are_refused(fake: Backend) -> None:
    dot, x = fake.ops.xp.dot, np.zeros((4, 6))
    for error, a, b, out in (
        (ValueError, x, x, np.zeros((4, 6))),
        (ValueError, x, x.T, np.zeros((4, 5))),
        (ValueError, x, x.T, np.zeros((4, 4), order="F")),
        (ValueError, np.zeros((4, 9))[:, :6], x.T, np.zeros((4, 4))),
        (TypeError, x, x.T.astype(np.float32), np.zeros((4, 4))),
    ):
        dot(np.zeros((4, 6)), np.zeros((4, 6)).T, out=np.zeros((4, 4)))  # there is a plan for such a product
        with pytest.raises(error):
            dot(a, b, out=out)
    for vector in (np.zeros(5), np.zeros(4, np.float32), np.zeros(8)[::2]):
        with pytest.raises(ValueError, match="cannot stand beside"):
            fake.ops.xp.products.affine(x, x.T, vector, out=np.zeros((4, 4)))


def test_a_product_that_cublaslt_cannot_do_is_a_sentence(fake: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def saying(status: int) -> Callable[..., None]:
        def raises(*_: object) -> None:
            raise CublasLtError(status)

        return raises

    library = CublasLt(OnCpu())
    products, x = cublaslt.Products(fake.xp, library), np.zeros((4, 4))  # type: ignore[arg-type]

    for found in (lambda *_: None, saying(cublaslt.NOT_SUPPORTED)):  # none is counted, or it says so
        monkeypatch.setattr(library, "matmul_algo_get_heuristic", found)
        with pytest.raises(
            MiniganError, match=r"no algorithm for a product of \(4, 4\) .*; choose --kernels reference"
        ):
            products.dot(x, x, out=np.zeros((4, 4)))
        assert not products.affine(x, x, x[0], out=x) and not products.dot_and_sums(x, x, x[0], out=x)
        products.plans.clear()
    monkeypatch.setattr(library, "matmul_algo_get_heuristic", saying(cublaslt.INVALID_VALUE))
    assert not products.affine(x, x, x[0], out=x)
    with pytest.raises(MiniganError, match="cannot plan"):
        products.dot(x, x, out=np.zeros((4, 4)))
    products.plans.clear()
    monkeypatch.setattr(library, "matmul_algo_get_heuristic", lambda *_: 1 / 0)
    for multiply in (products.dot, lambda a, b, *, out: products.affine(a, b, x[0], out=out)):
        with pytest.raises(MiniganError, match=r"cannot plan .* \(division by zero\); choose --kernels reference"):
            multiply(x, x, out=np.zeros((4, 4)))
    assert not products.plans


@pytest.mark.parametrize("supports", [{0, 4, 256}, {0}])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_bias_and_sums_come_with_their_product_where_they_can(dtype: str, supports: set[int]) -> None:
    """From addresses of every alignment: those of the vectors count too."""
    with pytest.MonkeyPatch.context() as patch:
        ops = stand_in(patch).ops
        ops.xp.products.library.supports = supports  # type: ignore[attr-defined]
        rng = np.random.default_rng(4)
        x, dz, W = (rng.normal(size=shape).astype(dtype) for shape in ((9, 6), (9, 5), (6, 5)))
        for first in range(3):
            b, db = rng.normal(size=first + 5).astype(dtype)[first:], np.full(first + 5, np.nan, dtype)[first:]
            y, dW = np.full((9, 5), np.nan, dtype), np.full((6, 5), np.nan, dtype)
            if len(supports) > 1:
                ops.dense_forward(x, W, b, "identity", y, y)
                agree(y, x @ W + b)
            ops.weight_gradient(x, dz, dW, db)
            agree(dW, x.T @ dz)
            agree(db, dz.sum(axis=0))


@on_cpu
@pytest.mark.parametrize("settings", [
    {}, {"objective": "relativistic", "r1": 0.5, "r2": 0.3, "penalty_every": 2}, {"discriminator_steps": 2},
    {"objective": "wasserstein", "gradient_penalty": 0.7, "update": "simultaneous"}, {"activation": "tanh", "r1": 0.5},
])  # fmt: skip
def test_a_recorded_step_goes_on_as_the_step_does(fake: Backend, settings: dict[str, Any]) -> None:
    """Call after call, although numbers change from step to step; and a recording computes nothing by itself."""
    (expected, fill), (gan, fill_there) = (tiny_gan(backend, **settings) for backend in (get_backend(), fake))
    gan.noise = Noise(gan.config.seed)
    for name, value in expected.state().items():
        np.copyto(gan.state()[name], value)
    for _ in range(7):
        expected.train_step(fill)
        gan.train_step(fill_there)
    assert gan.programs and all(isinstance(p, gpu.Graph) and p.recorded is not None for p in gan.programs.values())
    for name, value in expected.state().items():
        np.testing.assert_allclose(
            gan.state()[name], value, rtol=0, atol=1e-9 * max(1, np.abs(value).max()), err_msg=name
        )


@on_cpu
def test_a_step_records_the_launches_that_the_documents_list(fake: Backend) -> None:
    gan = GAN(Config(objective="non-saturating"), 784, fake)
    for _ in range(2):
        gan.train_step(lambda out, i: out.fill(0.3))
    (graph,) = gan.programs.values()
    names = [call.func.__name__ if isinstance(call, functools.partial) else "product" for call in graph.recorded.nodes]  # type: ignore[attr-defined]
    text = (Path(__file__).parents[1] / "docs" / "gpu.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| \d+ \| .* \| (.+) \|$", text, re.MULTILINE)
    listed = [name for line in lines for name in re.findall(r"`(\w+)`", line)]
    assert names == listed and len(names) <= 40


@on_cpu
def test_a_recording_that_fails_is_ended(fake: Backend) -> None:
    def fails() -> None:
        if graph.warm:
            raise KeyboardInterrupt

    graph = gpu.Graph(fails, fake.xp)
    graph()
    with pytest.raises(KeyboardInterrupt):
        graph()
    assert fake.xp.recording is None and graph.recorded is None


@on_cpu
def test_a_recording_that_takes_memory_is_refused(fake: Backend) -> None:
    x = np.zeros((6, 2))
    for passes in (lambda: fake.xp.add(x[:4], 1, out=x[2:]), lambda: fake.xp.multiply(x, 2)):
        graph = gpu.Graph(passes, fake.xp)
        graph()
        with pytest.raises(MemoryError, match="in a step that is being recorded"):
            graph()


@on_cpu
def test_a_recorded_step_in_tf32_is_the_step_in_tf32() -> None:
    """Its operands are rounded whenever it runs, and its weights stay close to those of float32."""
    with pytest.MonkeyPatch.context() as patch:
        config = lockstep.settings("float32", "non-saturating", "alternating")
        backend = stand_in(patch, "cuda-tf32")
        found = [d for d in lockstep.run(backend, config, 6) if d.tensor in ("generator", "discriminator")]
        assert 1e-7 < max(d.relative for d in found) < 1e-2


@on_cpu
def test_tf32_rounds_what_is_multiplied_and_nothing_else() -> None:
    with pytest.MonkeyPatch.context() as patch:
        ops = stand_in(patch, "cuda-tf32").ops
        x = np.array([[1 + 2**-12, 3.0]], np.float32)
        out = np.empty((1, 1), np.float32)
        ops.xp.dot(x, np.array([[1], [0]], np.float32), out=out)
        assert out[0, 0] == 1
        twice = np.empty((1, 1))
        ops.xp.dot(x.astype(np.float64), np.array([[1.0], [0.0]]), out=twice)
        assert twice[0, 0] == 1 + 2**-12
        ops.xp.sum(x, axis=1, keepdims=True, out=out)
        assert out[0, 0] == np.float32(4 + 2**-12), "a sum is none of the products that are meant"


FUNCTIONS = [name for name, _ in inspect.getmembers(CublasLt, inspect.isfunction) if name not in ("new", "__init__")]


@pytest.mark.skipif(CUBLASLT is None, reason="nvmath-python is not installed")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_stand_in_takes_what_cublaslt_takes(name: str) -> None:
    """The arguments of the bindings, by name and order, as their first line of documentation gives them."""
    first = getattr(CUBLASLT, name).__doc__.splitlines()[0]
    named = [part.split()[-1] for part in first[first.index("(") + 1 : first.rindex(")")].split(",") if part.strip()]
    assert list(inspect.signature(getattr(CublasLt, name)).parameters)[1:] == named


@pytest.mark.skipif(CUBLASLT is None, reason="nvmath-python is not installed")
def test_the_stand_ins_numbers_are_those_of_cublaslt() -> None:
    real: Any = CUBLASLT
    for mine, theirs in (
        (CublasLt.MatmulDescAttribute, real.MatmulDescAttribute),
        (CublasLt.MatmulPreferenceAttribute, real.MatmulPreferenceAttribute),
    ):
        assert all(theirs[name] == value for name, value in mine.__members__.items())
    assert tuple(cublaslt.EPILOGUE.values()) == (real.Epilogue.BIAS, real.Epilogue.BGRADA)
    assert issubclass(real.cuBLASLtError, Exception)
    assert np.dtype(real.matmul_heuristic_result_dtype) == CublasLt.matmul_heuristic_result_dtype
    from nvmath.bindings.cublas import ComputeType, Status

    assert (Status.NOT_SUPPORTED, Status.INVALID_VALUE) == (cublaslt.NOT_SUPPORTED, cublaslt.INVALID_VALUE)

    for name, value in (("float32", "COMPUTE_32F"), ("float64", "COMPUTE_64F"), ("tf32", "COMPUTE_32F_FAST_TF32")):
        assert cublaslt.COMPUTE[name] == ComputeType[value]


def test_cupy_records_streams() -> None:
    cuda = pytest.importorskip("cupy", reason="CuPy is not installed").cuda
    assert all(hasattr(cuda.Stream, name) for name in ("begin_capture", "end_capture", "__enter__"))
    assert (
        hasattr(cuda.Graph, "launch")
        and hasattr(cuda, "using_allocator")
        and "non_blocking" in (cuda.Stream.__init__.__doc__ or cuda.Stream.__doc__)
    )


def test_cuda_kernels_need_nvmath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvmath.bindings.cublasLt", None)
    with pytest.raises(InputError, match=r"--kernels cuda needs nvmath-python .* pip install 'minigan\[cuda13\]'"):
        _require_nvmath("cuda")
    library = CublasLt(OnCpu())
    monkeypatch.setitem(sys.modules, "nvmath.bindings.cublasLt", library)
    _require_nvmath("cuda")
    monkeypatch.setattr(library, "create", lambda: 1 / 0)
    with pytest.raises(InputError, match=r"--kernels cuda needs cuBLASLt, which cannot be used \(division by zero\)"):
        _require_nvmath("cuda")


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
