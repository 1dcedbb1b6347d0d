"""Matrix products through cuBLASLt, which, unlike those of CuPy, can be recorded into a CUDA graph.

A plan (the operation, three layouts, an algorithm) is made the first time that a kind of product is needed, and takes its
working memory from one array that lives as long as the plans.

cuBLASLt reads matrices column by column, so what stands in memory row by row it sees transposed. It is therefore asked for
out^T = b^T a^T: the operands change places, and nothing is copied.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minigan.backend import Array
from minigan.errors import MiniganError, reason

WORKSPACE = 32 << 20
"""Bytes of working memory, as cuBLAS takes for Hopper cards."""

ALIGNMENT = 256
"""Bytes: what cuBLASLt takes an address to be a multiple of, unless told."""

REAL = {"float32": 0, "float64": 1}
"""cudaDataType_t: CUDA_R_32F, CUDA_R_64F."""

COMPUTE = {"float32": 68, "float64": 70, "tf32": 77}
"""cublasComputeType_t: 32F, 64F, and 32F with operands rounded to TF32 (10 bits of mantissa)."""


def address(array: Array) -> int:
    """Where an array begins on the device."""
    return array.data.ptr


class Plan(NamedTuple):
    """cuBLASLt's descriptions of a product, its factors 1 and 0, and the algorithm chosen for it."""

    operation: int
    first: int
    second: int
    result: int
    one: np.ndarray
    zero: np.ndarray
    algorithm: np.ndarray


class Products:
    """`dot`, on plans. library: nvmath.bindings.cublasLt."""

    def __init__(self, xp: Any, library: ModuleType, *, tf32: bool = False) -> None:
        self.xp = xp
        self.library: Any = library
        self.tf32 = tf32
        self.handle = self.library.create()
        self.workspace = xp.empty(WORKSPACE, np.uint8)
        self.plans: dict[tuple[Any, ...], Plan] = {}

    def dot(self, a: Array, b: Array, *, out: Array, exact: bool = False) -> None:
        """out = a b for matrices: operands row by row, or transposed views of such; on the current stream.

        exact: not in TF32, whatever this is for.  Raises: MiniganError where cuBLASLt cannot.
        """
        (m, k), n = a.shape, b.shape[1]
        if b.shape != (k, n) or out.shape != (m, n) or not out.flags.c_contiguous:
            raise ValueError(f"a product of {a.shape} and {b.shape} cannot be written to {out.shape}")
        if not a.dtype == b.dtype == out.dtype:
            raise TypeError(f"a product of {a.dtype} and {b.dtype} is not {out.dtype}")
        if not all(x.flags.c_contiguous or x.flags.f_contiguous for x in (a, b)):
            raise ValueError("a view with gaps cannot be multiplied")
        flags = tuple(0 if x.flags.c_contiguous else 1 for x in (a, b))
        addresses = tuple(address(x) for x in (b, a, out))
        aligned = tuple(min(at & -at, ALIGNMENT) for at in addresses)
        compute = "tf32" if self.tf32 and not exact and out.dtype == np.float32 else out.dtype.name
        kind = (m, n, k, flags, aligned, out.dtype.name, compute)
        plan = self.plans.get(kind)
        if plan is None:
            plan = self.plans[kind] = self.plan(*kind)
        second, first, result = addresses
        self.library.matmul(
            self.handle, plan.operation, plan.one.ctypes.data, second, plan.first, first, plan.second,
            plan.zero.ctypes.data, result, plan.result, result, plan.result, plan.algorithm.ctypes.data,
            address(self.workspace), WORKSPACE, self.xp.cuda.get_current_stream().ptr,
        )  # fmt: skip

    def plan(
        self, m: int, n: int, k: int, flags: tuple[int, ...], aligned: tuple[int, ...], dtype: str, compute: str
    ) -> Plan:
        """Describe the product and let cuBLASLt choose an algorithm. Raises: MiniganError."""
        lt = self.library
        operation = lt.matmul_desc_create(COMPUTE[compute], REAL[dtype])
        names = lt.MatmulDescAttribute
        for name, transposed in ((names.TRANSA, flags[1]), (names.TRANSB, flags[0])):
            self._set(lt.matmul_desc_set_attribute, operation, name, transposed, np.int32)
        layouts = []
        for shape, transposed in (((k, n), flags[1]), ((m, k), flags[0]), ((m, n), 0)):
            rows, columns = reversed(shape) if transposed else shape  # as they stand in memory, row by row
            layouts.append(lt.matrix_layout_create(REAL[dtype], columns, rows, columns))
        preference = lt.matmul_preference_create()
        names = lt.MatmulPreferenceAttribute
        setter = lt.matmul_preference_set_attribute
        self._set(setter, preference, names.MAX_WORKSPACE_BYTES, WORKSPACE, np.uint64)
        for letter, bytes in zip("ABCD", (*aligned, aligned[2]), strict=True):
            self._set(setter, preference, names[f"MIN_ALIGNMENT_{letter}_BYTES"], bytes, np.uint32)
        found, count = np.zeros(1, lt.matmul_heuristic_result_dtype), np.zeros(1, np.int32)
        first, second, result = layouts
        what = f"cuBLASLt has no algorithm for a product of {(m, k)} and {(k, n)} in {dtype}"
        remedy = "choose --kernels reference."
        try:
            lt.matmul_algo_get_heuristic(
                self.handle,
                operation,
                first,
                second,
                result,
                result,
                preference,
                1,
                found.ctypes.data,
                count.ctypes.data,
            )
        except Exception as error:  # the bindings' own, which knows only the status
            raise MiniganError(f"{what} ({reason(error)}); {remedy}") from None
        finally:
            lt.matmul_preference_destroy(preference)
        if count[0] == 0 or found["state"][0] != 0:
            raise MiniganError(f"{what}; {remedy}")
        one, zero = np.ones(1, dtype), np.zeros(1, dtype)
        return Plan(operation, first, second, result, one, zero, np.ascontiguousarray(found["algo"]))

    @staticmethod
    def _set(setter: Any, what: int, attribute: Any, value: int, dtype: Any) -> None:
        buffer = np.array([value], dtype)
        setter(what, int(attribute), buffer.ctypes.data, buffer.nbytes)
