"""Backends: `get_ops` returns the operations for NumPy or CuPy, with the kernels of that name."""

from __future__ import annotations

import importlib
import shlex
import sys
import warnings
from typing import Any

from minigan.backends.ops import Array, CupyOps, Ops
from minigan.errors import FallbackWarning, InputError, reason

__all__ = ["BACKENDS", "KERNELS", "Array", "Ops", "get_ops"]

BACKENDS = ("numpy", "cupy")
KERNELS = ("reference", "numba", "cuda", "cuda-tf32")
PACKAGES = {
    "fast": ("numba>=0.61",),
    "cuda13": ("cupy-cuda13x[ctk]>=14.0.1,!=14.1.0", "nvmath-python>=1.0", "cuda-bindings>=13.0.1,<14"),
    "cuda12": ("cupy-cuda12x[ctk]>=14.0.1,!=14.1.0", "nvmath-python>=1.0", "cuda-bindings>=12.9.2,<13"),
}
"""The packages that each extra in pyproject.toml installs."""


def install_line(extra: str) -> str:
    """The command that installs the packages of an extra: by their names, because minigan is on no package index."""
    return f"pip install {' '.join(map(shlex.quote, PACKAGES[extra]))}"


INSTALL_CUPY = f"{install_line('cuda13')} (CUDA 13) or {install_line('cuda12')} (CUDA 12)"
if sys.platform == "darwin":
    INSTALL_CUPY = "CuPy has no version for macOS"


def get_ops(name: str = "numpy", kernels: str = "reference") -> Ops:
    """The operations of backend `name`: the reference, or faster ones called `kernels`.

    Raises: InputError for an unknown name, a missing package, or a CuPy that finds no device.
    """
    if kernels not in KERNELS:
        raise InputError(f"--kernels {kernels} is unknown; choose one of: {', '.join(KERNELS)}.")
    if kernels == "numba":
        return _numba(name)
    if kernels.startswith("cuda") and name != "cupy":
        raise InputError(f"--kernels {kernels} is for the GPU; leave it out with --backend {name}.")
    if name == "numpy":
        return Ops()
    if name == "cupy":
        return _cupy(kernels)
    raise InputError(f"--backend {name} is unknown; choose one of: {', '.join(BACKENDS)}.")


def _numba(name: str) -> Ops:
    if name != "numpy":
        raise InputError(f"--kernels numba is for the CPU; leave it out with --backend {name}.")
    numba = _import("numba", "--kernels numba needs Numba", install_line("fast"))
    if numba.config.DISABLE_JIT:
        raise InputError("--kernels numba needs Numba's compiler: unset NUMBA_DISABLE_JIT, or use --kernels reference.")
    from minigan.backends.numba.ops import NumbaOps

    return NumbaOps()


def _import(name: str, needs: str, install: str) -> Any:
    """Import an optional package; each of its warnings becomes one line.

    Raises: InputError, a sentence that begins with `needs` and says why the package cannot be imported or used.
    """
    try:
        with warnings.catch_warnings(record=True) as complaints:
            warnings.simplefilter("always", RuntimeWarning)
            module = importlib.import_module(name)
        for complaint in complaints:
            warnings.warn(f"{name}: {reason(complaint.message)}.", FallbackWarning, stacklevel=2)  # type: ignore[arg-type]
        return module
    except FallbackWarning:  # where warnings are errors
        raise
    except ImportError as error:
        raise InputError(f"{needs}, which cannot be imported ({reason(error)}): {install}.") from None
    except Exception as error:  # a package at odds with NumPy, with a library or with its own settings
        raise InputError(f"{needs}, which cannot be used ({reason(error)}): {install}.") from None


def _cupy(kernels: str) -> Ops:
    """Import CuPy *and* probe a device: importing alone proves no GPU."""
    cupy = _import("cupy", "--backend cupy needs CuPy", INSTALL_CUPY)
    try:
        count = cupy.cuda.runtime.getDeviceCount()
        if count < 1:
            raise RuntimeError("no device")
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        cupy.zeros(1).sum().get()
    except Exception as error:  # of many types: driver missing, too old, no device, no kernel image
        raise InputError(
            f"--backend cupy finds no usable CUDA device ({reason(error)}): check the driver with nvidia-smi and that "
            f"CuPy matches it, {INSTALL_CUPY}, or use --backend numpy."
        ) from None
    device = properties["name"].decode()
    if kernels == "reference":
        return CupyOps(cupy, device)
    _require_nvmath(kernels)
    from minigan.backends.cuda.ops import CudaOps

    return CudaOps(cupy, device, tf32=kernels == "cuda-tf32")


def _require_nvmath(kernels: str) -> None:
    cublaslt = _import("nvmath.bindings.cublasLt", f"--kernels {kernels} needs nvmath-python", INSTALL_CUPY)
    try:
        cublaslt.destroy(cublaslt.create())
    except Exception as error:  # any error of the library, or of loading it
        raise InputError(
            f"--kernels {kernels} needs cuBLASLt, which cannot be used ({reason(error)}): {INSTALL_CUPY}."
        ) from None
