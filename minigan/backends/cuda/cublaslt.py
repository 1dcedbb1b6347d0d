"""Matrix products through cuBLASLt, which, unlike those of CuPy, can be recorded into a CUDA graph.

A plan (the operation, three layouts, an algorithm) is made the first time that a kind of product is needed. All plans use one
array as working memory.

cuBLASLt expects matrices column by column, so that a matrix in memory row by row is its transpose to cuBLASLt. It is therefore
asked for out^T = b^T a^T: the operands are exchanged, and nothing is copied.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minigan.backends import Array
from minigan.errors import MiniganError, reason

WORKSPACE = 32 << 20
"""Bytes of working memory, as cuBLAS takes for Hopper cards."""

SPARE = 256
"""Bytes of it that are kept back: nvmath adds a few to what an algorithm with an epilogue asks for."""

ALIGNMENT = 256
"""Bytes: the alignment of addresses that cuBLASLt assumes by default."""

REAL = {"float32": 0, "float64": 1}
"""cudaDataType_t: CUDA_R_32F, CUDA_R_64F."""

NOT_SUPPORTED, INVALID_VALUE = 15, 7
"""cublasStatus_t: no algorithm computes the product; some versions report an invalid value instead."""

REMEDY = "choose --kernels reference."

EPILOGUE = {"bias": 4, "sums": 256}
"""cublasLtEpilogue_t, what is computed besides: BIAS, a vector added to every row of out; BGRADA, the sums of b's columns."""

COMPUTE = {"float32": 68, "float64": 70, "tf32": 77}
"""cublasComputeType_t: 32F, 64F, and 32F with operands rounded to TF32 (10 bits of mantissa)."""


class Kind(NamedTuple):
    """What a plan depends on: out (m, n) = a (m, k) b (k, n)."""

    m: int
    n: int
    k: int
    transposed: tuple[bool, bool]
    """Whether a, and b, are transposed views."""

    alignment: tuple[int, ...]
    """Bytes of which the addresses of b, a, out and the vector are multiples."""

    dtype: str
    compute: str
    """A key of COMPUTE."""

    epilogue: str
    """A key of EPILOGUE, or empty."""


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
    """Products of matrices, some with an epilogue, by plans that are made once. library: nvmath.bindings.cublasLt."""

    def __init__(self, xp: Any, library: ModuleType, *, tf32: bool = False) -> None:
        self.xp = xp
        self.library: Any = library
        self.tf32 = tf32
        self.handle = self.library.create()
        self.workspace = xp.empty(WORKSPACE, np.uint8)
        self.plans: dict[Kind, Plan | None] = {}

    def dot(self, a: Array, b: Array, *, out: Array, exact: bool = False) -> None:
        """out = a b for matrices: operands row by row, or transposed views of such; on the current stream.

        exact: not in TF32, even where products are.  Raises: MiniganError where cuBLASLt has no algorithm.
        """
        if not self.multiply(a, b, out, exact=exact):
            (m, k), n = a.shape, b.shape[1]
            raise MiniganError(
                f"cuBLASLt has no algorithm for a product of {(m, k)} and {(k, n)} in {out.dtype.name}; {REMEDY}"
            )

    def affine(self, a: Array, b: Array, bias: Array, *, out: Array) -> bool:
        """out = a b + bias in one launch, bias (n,); False, and nothing done, where cuBLASLt has no algorithm for that."""
        return self.multiply(a, b, out, "bias", bias)

    def dot_and_sums(self, a: Array, b: Array, sums: Array, *, out: Array) -> bool:
        """The same for out = a b and sums (n,) = the sums of b's columns. Not in TF32, which would round the terms of the sums."""
        return not self.tf32 and self.multiply(a, b, out, "sums", sums)

    def multiply(
        self, a: Array, b: Array, out: Array, epilogue: str = "", vector: Array = None, *, exact: bool = False
    ) -> bool:
        """out = a b with an epilogue, which reads or writes `vector`; False where cuBLASLt has no algorithm for that.

        Raises: ValueError, TypeError for operands that do not fit together.
        """
        (m, k), n = a.shape, b.shape[1]
        if b.shape != (k, n) or out.shape != (m, n) or not out.flags.c_contiguous:
            raise ValueError(f"a product of {a.shape} and {b.shape} cannot be written to {out.shape}")
        if not a.dtype == b.dtype == out.dtype:
            raise TypeError(f"a product of {a.dtype} and {b.dtype} is not {out.dtype}")
        if not all(x.flags.c_contiguous or x.flags.f_contiguous for x in (a, b)):
            raise ValueError("a view with gaps cannot be multiplied")
        second, first, result = (self.address(x) for x in (b, a, out))
        if epilogue and not (vector.shape == (n,) and vector.dtype == out.dtype and vector.flags.c_contiguous):
            raise ValueError(f"a vector of {vector.shape} and {vector.dtype} cannot stand beside {out.shape}")
        beside = self.address(vector) if epilogue else ALIGNMENT  # without a vector, no restriction
        transposed = not a.flags.c_contiguous, not b.flags.c_contiguous
        alignment = tuple(min(at & -at, ALIGNMENT) for at in (second, first, result, beside))
        compute = "tf32" if self.tf32 and not exact and out.dtype == np.float32 else out.dtype.name
        kind = Kind(m, n, k, transposed, alignment, out.dtype.name, compute, epilogue)
        if kind not in self.plans:
            self.plans[kind] = self.plan(kind, beside)
        plan = self.plans[kind]
        if plan is None:
            return False
        if epilogue:
            self.attach(plan.operation, beside)
        factors = plan.one.ctypes.data, plan.zero.ctypes.data
        operands = factors[0], second, plan.first, first, plan.second
        results = factors[1], result, plan.result, result, plan.result
        workspace = self.address(self.workspace), WORKSPACE
        stream = self.xp.cuda.get_current_stream().ptr
        algorithm = plan.algorithm.ctypes.data
        try:
            self.library.matmul(self.handle, plan.operation, *operands, *results, algorithm, *workspace, stream)
        except Exception as error:
            if not epilogue or getattr(error, "status", None) not in (NOT_SUPPORTED, INVALID_VALUE):
                raise
            self.plans[kind] = None  # refused at execution: the same as no plan
            return False
        return True

    def attach(self, operation: int, vector: int) -> None:
        """Set the address of the operation's vector: on the host, so that it is not part of a recording."""
        name = self.library.MatmulDescAttribute.BIAS_POINTER
        self._set(self.library.matmul_desc_set_attribute, operation, name, vector, np.uint64)

    def plan(self, kind: Kind, beside: int) -> Plan | None:
        """Describe the product and let cuBLASLt choose an algorithm; None where it has none. Raises: MiniganError.

        beside: the address of a vector as it will be, from which cuBLASLt takes its alignment.
        """
        m, n, k, (a_transposed, b_transposed), alignment, dtype, compute, epilogue = kind
        lt = self.library
        operation = lt.matmul_desc_create(COMPUTE[compute], REAL[dtype])
        names = lt.MatmulDescAttribute
        for name, transposed in ((names.TRANSA, b_transposed), (names.TRANSB, a_transposed)):
            self._set(lt.matmul_desc_set_attribute, operation, name, transposed, np.int32)
        if epilogue:
            self._set(lt.matmul_desc_set_attribute, operation, names.EPILOGUE, EPILOGUE[epilogue], np.uint32)
            self.attach(operation, beside)
        layouts = []
        for shape, transposed in (((k, n), b_transposed), ((m, k), a_transposed), ((m, n), False)):
            rows, columns = reversed(shape) if transposed else shape  # as in memory, row by row
            layouts.append(lt.matrix_layout_create(REAL[dtype], columns, rows, columns))
        preference = lt.matmul_preference_create()
        names = lt.MatmulPreferenceAttribute
        setter = lt.matmul_preference_set_attribute
        self._set(setter, preference, names.MAX_WORKSPACE_BYTES, WORKSPACE - SPARE, np.uint64)
        for letter, bytes in zip("ABCD", (*alignment[:3], alignment[2]), strict=True):
            self._set(setter, preference, names[f"MIN_ALIGNMENT_{letter}_BYTES"], bytes, np.uint32)
        found, count = np.zeros(1, lt.matmul_heuristic_result_dtype), np.zeros(1, np.int32)
        first, second, result = layouts
        try:
            output = 1, found.ctypes.data, count.ctypes.data
            lt.matmul_algo_get_heuristic(self.handle, operation, first, second, result, result, preference, *output)
        except Exception as error:  # the bindings' own, which knows only the status
            if getattr(error, "status", None) not in (NOT_SUPPORTED, *((INVALID_VALUE,) if epilogue else ())):
                raise MiniganError(
                    f"cuBLASLt cannot plan a product of {(m, k)} and {(k, n)} in {dtype} ({reason(error)}); {REMEDY}"
                ) from None
            return None
        finally:
            lt.matmul_preference_destroy(preference)
        if count[0] == 0 or found["state"][0] != 0:
            return None
        one, zero = np.ones(1, dtype), np.zeros(1, dtype)
        return Plan(operation, first, second, result, one, zero, np.ascontiguousarray(found["algo"]))

    @staticmethod
    def address(array: Array) -> int:
        """The address of an array on the device."""
        return array.data.ptr

    @staticmethod
    def _set(setter: Any, what: int, attribute: Any, value: int, dtype: Any) -> None:
        buffer = np.array([value], dtype)
        setter(what, int(attribute), buffer.ctypes.data, buffer.nbytes)
