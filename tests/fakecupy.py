"""A stand-in for CuPy on machines without a GPU: CuPy's rules, NumPy's arithmetic, and a record of what was used.

Arrays of the stand-in do not mix with NumPy's and are converted only explicitly (`get`, `set`, `asarray`), like
CuPy's. Code that runs on it and uses only functions that CuPy has (test_cupy_api.py) runs on CuPy.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigan.backends.ops import CupyOps, Ops


class Use(NamedTuple):
    """One way in which something of CuPy was used; kind: "function", "method" or "constant"."""

    kind: str
    name: str
    arguments: int = 0
    keywords: frozenset[str] = frozenset()


OPERATORS = (
    *("add", "radd", "iadd", "sub", "rsub", "isub", "mul", "rmul", "imul", "truediv", "rtruediv", "itruediv"),
    *("pow", "rpow", "ipow", "matmul", "rmatmul", "neg", "abs", "floordiv", "mod", "eq", "ne", "lt", "le", "gt", "ge"),
    *("and", "or", "invert", "getitem", "setitem", "len", "float", "int", "bool"),
)


def fake_cupy() -> tuple[Ops, set[Use]]:
    """A backend called "cupy" over a new stand-in, and the set in which it records every use."""
    uses: set[Use] = set()

    class ndarray:  # noqa: N801
        """Wrap a NumPy array and record every method and operator."""

        __array_ufunc__ = None  # NumPy's operators leave the work to this class
        __hash__ = None  # type: ignore[assignment]

        def __init__(self, host: np.ndarray) -> None:
            self._host = host

        def __array__(self, *_: Any, **__: Any) -> np.ndarray:
            raise TypeError("implicit conversion to a NumPy array is not allowed, as on CuPy")

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            value = getattr(self._host, name)
            if callable(value):
                return noted("method", name, value)
            uses.add(Use("method", name))
            return wrapped(value)

        def get(self) -> np.ndarray:
            uses.add(Use("method", "get"))
            return self._host.copy()

        def set(self, host: np.ndarray) -> None:
            uses.add(Use("method", "set", 1))
            if not isinstance(host, np.ndarray) or host.dtype != self._host.dtype or host.shape != self._host.shape:
                raise TypeError("set() takes a NumPy array of the same type and shape")
            if not self._host.flags.c_contiguous:
                raise RuntimeError("Cannot set to non-contiguous array")
            self._host[...] = host

    def unwrapped(value: Any) -> Any:
        if isinstance(value, ndarray):
            return value._host
        if isinstance(value, np.ndarray):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        if isinstance(value, (list, tuple)):
            return type(value)(map(unwrapped, value))
        return value

    def wrapped(value: Any) -> Any:
        if isinstance(value, (np.ndarray, np.generic)):
            return ndarray(np.asarray(value))
        return value

    def noted(kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            uses.add(Use(kind, name, len(args), frozenset(kwargs)))
            result = function(*map(unwrapped, args), **{k: unwrapped(v) for k, v in kwargs.items()})
            return kwargs["out"] if kwargs.get("out") is not None else wrapped(result)

        return call

    def operator(name: str) -> Callable[..., Any]:
        def call(self: Any, *args: Any) -> Any:
            uses.add(Use("method", name, len(args)))
            result = getattr(self._host, name)(*map(unwrapped, args))
            return self if name.startswith("__i") and name != "__int__" and name != "__invert__" else wrapped(result)

        return call

    for short in OPERATORS:
        setattr(ndarray, f"__{short}__", operator(f"__{short}__"))

    class Module(types.ModuleType):
        __version__ = "0"

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            value = getattr(np, name)
            if callable(value) and not isinstance(value, type):
                return noted("function", name, value)
            uses.add(Use("constant", name))
            return value

        def asarray(self, value: Any, *args: Any, **kwargs: Any) -> Any:
            uses.add(Use("function", "asarray", 1 + len(args), frozenset(kwargs)))
            return (
                value
                if isinstance(value, ndarray) and not args and not kwargs
                else ndarray(np.array(value, *args, **kwargs))
            )

    module = Module("fakecupy")
    module.ndarray = ndarray  # type: ignore[attr-defined]
    stream = types.SimpleNamespace(synchronize=lambda: None)
    runtime = types.SimpleNamespace(memGetInfo=lambda: (1 << 34, 1 << 35))
    module.cuda = types.SimpleNamespace(get_current_stream=lambda: stream, runtime=runtime)  # type: ignore[attr-defined]
    return CupyOps(module, "a stand-in"), uses
