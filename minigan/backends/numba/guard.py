"""Arrays that refuse operations which a recording would leave out.

While passes are recorded, nothing is computed. What NumPy itself computes at that time works on the old contents of arrays, and
is not repeated when the recording is replayed. `Guarded` arrays raise an error in that case. At other times they behave like
NumPy's arrays, and results of operations on them are arrays of NumPy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np

from minigan.errors import ProgramError

VIEWS = ("diagonal", "getfield", "ravel", "reshape", "setflags", "squeeze", "swapaxes", "transpose", "view")
"""Methods that return another view of an array's memory, and compute nothing."""

READS = {
    "__float__": "float()",
    "__int__": "int()",
    "__index__": "an index",
    "__bool__": "a condition",
    "__complex__": "complex()",
    "__contains__": "in",
    "__copy__": "copy.copy",
    "__deepcopy__": "copy.deepcopy",
}
"""Special methods of an array that read its numbers, and what a person calls each."""

_state = threading.local()


@contextmanager
def recording() -> Iterator[None]:
    """A context in which the operations of this thread are recorded."""
    _state.on = True
    try:
        yield
    finally:
        _state.on = False


def check(operation: str) -> None:
    """Refuse this operation while the thread is recording. Raises: ProgramError."""
    if getattr(_state, "on", False):
        raise ProgramError(refusal(operation, "it would compute now, and not when the recorded step is replayed"))


def refusal(operation: str, why: str) -> str:
    """The sentence of an error: what cannot be recorded, why, and what to do."""
    return (
        f"{operation} cannot be part of a step with --kernels numba: {why}. Compute it with self.ops.xp, as in "
        "xp.subtract(a, b, out=c), or use --kernels reference."
    )


class Guarded(np.ndarray):
    """An array of a backend that records: raises ProgramError where its numbers would be read or written meanwhile."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        check(f"np.{ufunc.__name__}" if method == "__call__" else f"np.{ufunc.__name__}.{method}")
        result = getattr(ufunc, method)(*map(_plain, inputs), **{k: _plain(v) for k, v in options.items()})
        out = options.get("out", ())
        return out[0] if len(out) == 1 else result  # the array that was given, as `x += 1` expects

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        check(f"np.{function.__name__}")
        return function(*map(_plain, args), **{k: _plain(v) for k, v in options.items()})

    def __setitem__(self, key: Any, value: Any) -> None:
        check("assignment to elements of an array")
        super().__setitem__(key, value)

    def __getitem__(self, key: Any) -> Any:
        got = super().__getitem__(key)
        if not isinstance(got, np.ndarray):
            check("a number read from an array")
        return got


def _plain(value: Any) -> Any:
    """The value with every guarded array in it as a plain one."""
    if isinstance(value, Guarded):
        return value.view(np.ndarray)
    if type(value) in (tuple, list):
        return type(value)(map(_plain, value))
    return value


def _guarded(name: str, operation: str) -> Callable[..., Any]:
    method = getattr(np.ndarray, name)

    @wraps(method)
    def checked(self: np.ndarray, *args: Any, **options: Any) -> Any:
        check(operation)
        return method(self, *args, **options)

    return checked


for _name in dir(np.ndarray):
    if not _name.startswith("_") and _name not in VIEWS and callable(getattr(np.ndarray, _name)):
        setattr(Guarded, _name, _guarded(_name, f"the method {_name} of an array"))
for _name, _operation in READS.items():
    setattr(Guarded, _name, _guarded(_name, _operation))
