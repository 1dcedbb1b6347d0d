"""A stand-in for a GPU: CuPy's `RawModule` and streams, and cuBLASLt, with kernels compiled for this CPU.

An operation that a GPU refuses during a recording is an error here too.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigan.backends import Ops
from minigan.backends.cuda import cublaslt
from minigan.backends.cuda import ops as cuda

SHIM = Path(__file__).with_name("cuda_on_cpu.h")
COMPILER = shutil.which("g++") or shutil.which("c++")
on_cpu = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler is on the PATH")


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
            runtime=SimpleNamespace(memGetInfo=lambda: (1 << 34, 1 << 35)),
        )

    @contextmanager
    def using_allocator(self, allocator: Callable[[int], object]) -> Iterator[None]:
        kept, self.allocator = self.allocator, allocator
        try:
            yield
        finally:
            self.allocator = kept

    def do(self, call: Callable[[], Any]) -> Any:
        """Execute now, or add to the graph that is being recorded."""
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
            """CuPy allocates memory for a result that is not given, and for operands that partly overlap it."""
            out = kwargs.get("out", args[0] if name == "copyto" else None)
            if out is None:
                self.allocator(1)
            for operand in args if out is not None else ():
                if isinstance(operand, np.ndarray) and operand is not out and np.may_share_memory(operand, out):
                    self.allocator(operand.nbytes)
            return self.do(lambda: function(*args, **kwargs))

        return call


class Stream:
    """A stream of CuPy, of which only recording is used."""

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
        if sys.exc_info()[0] is not None:
            raise RuntimeError("the recording is invalid")  # as CUDA says after most of what can go wrong in one
        return SimpleNamespace(launch=lambda: [call() for call in calls], nodes=calls)


class CublasLt:
    """nvmath.bindings.cublasLt for matrices on the host, stored column by column as its manual specifies."""

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
        """Choose an algorithm, which contains the product that it was chosen for."""
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
    """The error of the bindings, with its status."""

    def __init__(self, status: int) -> None:
        self.status = status


def tf32(x: np.ndarray) -> np.ndarray:
    """Round to 10 bits of mantissa."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


C = {"float32": ctypes.c_float, "float64": ctypes.c_double, "int32": ctypes.c_int32, "int64": ctypes.c_int64,
     "uint64": ctypes.c_uint64}  # fmt: skip


def argument(value: Any) -> Any:
    """An argument as CuPy passes it: an array as its address, a NumPy number as its type; anything else is an error."""
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous, "a kernel was given an array that is not contiguous"
        return ctypes.c_void_p(value.ctypes.data)
    return C[value.dtype.name](value)


def stand_in(kernels: str = "cuda") -> Ops:
    """A backend whose kernels, products and graphs run on the CPU."""
    module = OnCpu()
    with pytest.MonkeyPatch.context() as patch:  # only while it is built: the same tests may use a real card
        patch.setitem(sys.modules, "nvmath.bindings.cublasLt", CublasLt(module))
        ops = HostArrays(module, "kernels on the CPU", tf32=kernels == "cuda-tf32")
    ops.xp.products.address = address
    return ops


class HostArrays(cuda.CudaOps):
    """CUDA's operations on arrays of NumPy."""

    def to_host(self, array: np.ndarray) -> np.ndarray:
        return array


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def products_on(module: Any, library: Any) -> cublaslt.Products:
    """Products of arrays on the host."""
    made = cublaslt.Products(module, library)
    made.address = address  # type: ignore[method-assign]
    return made
