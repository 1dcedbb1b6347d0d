"""Where arrays live: NumPy on the host or CuPy on a GPU, behind one small object.

A `Backend` is passed explicitly to whatever computes; there is no global state and no silent fall-back. All
mathematics is written once against `backend.xp` (the array module) and `backend.ops` (see `ops.py`).
"""

from __future__ import annotations

import importlib
import platform
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.errors import InputError, reason

if TYPE_CHECKING:
    from minigan.ops import Ops

Array = Any
"""A numpy.ndarray or a cupy.ndarray: the two share no common type to name here."""

BACKENDS = ("numpy", "cupy")
KERNELS = ("reference", "numba", "cuda", "cuda-tf32")
INSTALL_CUPY = "pip install 'minigan[cuda13]' (CUDA 13) or 'minigan[cuda12]' (CUDA 12)"


class Backend:
    """An array module with the few things that differ between host and device.

    Attributes: `name` ("numpy" or "cupy"), `xp` (the module), `device` (a description for people), `kernels` (which
    implementation of the operations: "reference", "numba" for compiled loops on the CPU, "cuda" for kernels on a GPU, "cuda-tf32"
    for those with matrix products of numbers rounded to TF32).
    """

    def __init__(self, name: str, xp: ModuleType, device: str, kernels: str = "reference") -> None:
        self.name = name
        self.kernels = kernels
        self.xp = xp
        self.device = device

    def __repr__(self) -> str:
        return f"Backend({self.name!r}, {self.device!r})"

    @cached_property
    def ops(self) -> Ops:
        """The operations of this backend: the reference mathematics of `ops.py`, or faster twins of some."""
        # imported here, because these stand below backend in the import order
        if self.kernels == "numba":
            from minigan.kernels.cpu import NumbaOps

            return NumbaOps(self)
        if self.kernels.startswith("cuda"):
            from minigan.kernels.gpu import CudaOps

            return CudaOps(self)
        from minigan.ops import Ops

        return Ops(self)

    def asarray(self, host: np.ndarray) -> Array:
        """A copy of a host array on this backend (NumPy: the array itself)."""
        return self.xp.asarray(host)

    def to_host(self, array: Array) -> np.ndarray:
        """A NumPy copy of `array` (NumPy: the array itself); waits for the device to finish it."""
        return array if isinstance(array, np.ndarray) else array.get()

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.xp.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.xp.zeros(shape, dtype)

    def fill(self, array: Array, values: Any) -> None:
        """array = values, numbers or a host array; does not wait for the device."""
        host = np.asarray(values, array.dtype).reshape(array.shape)
        if isinstance(array, np.ndarray):
            array[...] = host
        else:  # not array.set(host), which waits for what the device has yet to do; asarray goes through pinned memory
            self.xp.copyto(array, self.xp.asarray(host))

    def take(self, array: Array, rows: Array, out: Array) -> None:
        """out[i] = array[rows[i]]; the rows must be valid."""
        if self.name == "numpy":
            # mode="clip" writes straight into `out`; the default mode would go through a hidden buffer
            np.take(array, rows, axis=0, out=out, mode="clip")
        else:
            self.xp.take(array, rows, axis=0, out=out)

    def synchronize(self) -> None:
        """Wait until everything queued on the device is done (NumPy: nothing to wait for)."""
        if self.name == "cupy":
            self.xp.cuda.get_current_stream().synchronize()

    def check(self, array: Array, what: str) -> None:
        """Refuse an array of the other backend, naming the remedy.

        Raises: InputError when `array` is not an array of this backend.
        """
        if not isinstance(array, self.xp.ndarray):
            kind = f"{type(array).__module__}.{type(array).__name__}"
            remedy = "backend.asarray(x)" if self.name == "cupy" else "backend.to_host(x) of the backend that made it"
            raise InputError(f"{what} is a {kind}, but the backend is {self.name}; convert it first with {remedy}.")


def get_backend(name: str = "numpy", kernels: str = "reference") -> Backend:
    """The backend called `name`, with its reference operations or the faster ones called `kernels`.

    Raises: InputError for an unknown name, a missing package, or a CuPy that finds no device.
    """
    if kernels not in KERNELS:
        raise InputError(f"--kernels {kernels} is unknown; choose one of: {', '.join(KERNELS)}.")
    if kernels == "numba":
        _require_numba(name)
    if kernels.startswith("cuda") and name != "cupy":
        raise InputError(f"--kernels {kernels} is for the GPU; leave it out with --backend {name}.")
    if name == "numpy":
        return Backend("numpy", np, f"CPU ({platform.machine() or 'unknown machine'})", kernels)
    if name == "cupy":
        return _cupy_backend(kernels)
    raise InputError(f"--backend {name} is unknown; choose one of: {', '.join(BACKENDS)}.")


def _require_numba(name: str) -> None:
    if name != "numpy":
        raise InputError(f"--kernels numba is for the CPU; leave it out with --backend {name}.")
    try:
        importlib.import_module("numba")
    except ImportError as error:
        raise InputError(f"--kernels numba needs Numba ({error}): pip install 'minigan[fast]'.") from None


def _cupy_backend(kernels: str) -> Backend:
    """Import CuPy *and* probe a device: importing alone proves no GPU."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise InputError(
            f"--backend cupy needs CuPy, which cannot be imported ({reason(error)}): {INSTALL_CUPY}."
        ) from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        if count < 1:
            raise RuntimeError("no device")
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        cupy.zeros(1).sum().get()
    except Exception as error:  # CuPy raises many kinds here: driver missing, too old, no device, no kernel image
        raise InputError(
            f"--backend cupy finds no usable CUDA device ({reason(error)}): check the driver with nvidia-smi and that "
            f"CuPy matches it, {INSTALL_CUPY}, or use --backend numpy."
        ) from None
    if kernels.startswith("cuda"):
        _require_nvmath(kernels)
    return Backend("cupy", cupy, properties["name"].decode(), kernels)


def _require_nvmath(kernels: str) -> None:
    try:
        cublaslt: Any = importlib.import_module("nvmath.bindings.cublasLt")
    except ImportError as error:
        raise InputError(f"--kernels {kernels} needs nvmath-python ({reason(error)}): {INSTALL_CUPY}.") from None
    try:
        cublaslt.destroy(cublaslt.create())
    except Exception as error:  # whatever loading a library, or the library, comes up with
        raise InputError(
            f"--kernels {kernels} needs cuBLASLt, which cannot be used ({reason(error)}): {INSTALL_CUPY}."
        ) from None
