"""Backends: NumPy or CuPy, chosen explicitly, with one sentence for every error."""

from __future__ import annotations

import builtins
import importlib
import inspect
import re
import shlex
import tomllib
import types
import warnings
from typing import Any

import numpy as np
import pytest
from helpers import ROOT

from minigan.backends import INSTALL_CUPY, PACKAGES, Ops, get_ops, install_line
from minigan.errors import FallbackWarning, InputError


def test_numpy_is_the_default() -> None:
    found = get_ops()
    assert (found.name, found.xp) == ("numpy", np)
    assert found.device.startswith("CPU")


@pytest.mark.parametrize("name", ["torch", "", "NumPy"])
def test_an_unknown_backend_lists_the_known_ones(name: str) -> None:
    with pytest.raises(InputError, match=f"--backend {name} is unknown; choose one of: numpy, cupy."):
        get_ops(name)


def with_cupy(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Make `import cupy` return `answer`, or raise it."""
    real = importlib.import_module

    def fake(name: str, *args: Any) -> Any:
        if name != "cupy":
            return real(name, *args)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(importlib, "import_module", fake)


@pytest.mark.parametrize(
    "error", [ImportError("No module named 'cupy'\nlong help"), ImportError(), ModuleNotFoundError("x")]
)
def test_without_cupy_one_sentence_names_the_cause_and_the_install_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with_cupy(monkeypatch, error)
    with pytest.raises(InputError) as caught:
        get_ops("cupy")
    message = str(caught.value)
    assert message.startswith("--backend cupy needs CuPy") and INSTALL_CUPY in message and "\n" not in message


@pytest.mark.parametrize("extra", PACKAGES)
def test_the_install_line_names_what_the_extra_installs(extra: str) -> None:
    """minigan is not on a package index, so a command with `minigan[...]` would work in a checkout only."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"][extra]
    assert shlex.split(install_line(extra)) == ["pip", "install", *(line.split(";")[0].strip() for line in extras)]


def test_every_message_that_names_a_pip_line_takes_it_from_one_place() -> None:
    for path in (ROOT / "minigan").rglob("*.py"):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if "pip install" in line]
        assert lines == (
            ["return f\"pip install {' '.join(map(shlex.quote, PACKAGES[extra]))}\""]
            if path.parts[-2:] == ("backends", "__init__.py")
            else []
        )


def test_no_page_gives_a_line_that_asks_an_index_for_minigan() -> None:
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "tests").glob("*.py"),
    ):
        if path.name != "test_backend.py":
            assert not re.search(r"pip install [^\n`]*minigan\b", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    ("name", "flags"),
    [("numba", ("numpy", "numba")), ("cupy", ("cupy",)), ("nvmath.bindings.cublasLt", ("cupy", "cuda"))],
)
@pytest.mark.parametrize("kind", [ImportError, OSError, AttributeError, SystemError])
def test_a_package_that_cannot_be_imported_is_one_sentence_with_the_cause(
    monkeypatch: pytest.MonkeyPatch, name: str, flags: tuple[str, ...], kind: type[Exception]
) -> None:
    real = importlib.import_module

    def fake(wanted: str, *args: Any) -> Any:
        if wanted == name:
            raise kind("\n=====\nFailed.\n\nOriginal error:\n  libx.so.12: no such file\n=====\n")
        return cupy_like(1) if wanted == "cupy" else real(wanted, *args)

    monkeypatch.setattr(importlib, "import_module", fake)
    with pytest.raises(
        InputError, match=r"which cannot be (imported|used) \(libx.so.12: no such file\): pip install '"
    ) as caught:
        get_ops(*flags)
    assert "\n" not in str(caught.value)


def cupy_like(count: Any) -> types.SimpleNamespace:
    def get_count() -> int:
        if isinstance(count, Exception):
            raise count
        return count

    runtime = types.SimpleNamespace(getDeviceCount=get_count, getDeviceProperties=lambda i: {"name": b"Card 9"})
    cuda = types.SimpleNamespace(runtime=runtime, Device=lambda: types.SimpleNamespace(id=0))
    zeros = lambda n: types.SimpleNamespace(sum=lambda: types.SimpleNamespace(get=lambda: 0.0))  # noqa: E731
    return types.SimpleNamespace(cuda=cuda, zeros=zeros)


@pytest.mark.parametrize(
    "count", [0, RuntimeError("cudaErrorNoDevice: none\nmore"), OSError("libcuda.so.1"), RuntimeError()]
)
def test_cupy_without_a_device_is_refused_and_never_replaced_by_numpy(
    monkeypatch: pytest.MonkeyPatch, count: Any
) -> None:
    with_cupy(monkeypatch, cupy_like(count))
    with pytest.raises(InputError) as caught:
        get_ops("cupy")
    message = str(caught.value)
    assert "no usable CUDA device" in message and "--backend numpy" in message and INSTALL_CUPY in message
    assert "\n" not in message


def test_a_device_is_probed_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cupy(monkeypatch, cupy_like(1))
    assert get_ops("cupy").device == "Card 9"


def test_choosing_numpy_does_not_import_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def guarded(name: str, *args: Any, **kwargs: Any) -> Any:
        assert not name.startswith("cupy")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", guarded)
    with_cupy(monkeypatch, AssertionError("cupy was imported"))
    get_ops("numpy")


def test_what_a_package_complains_of_when_it_is_imported_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba raises an error for an invalid environment variable."""

    def fake(name: str, *args: Any) -> Any:
        warnings.warn(
            "NUMBA_DEBUG is no number.\nTraceback (most recent call last):\n  ...", RuntimeWarning, stacklevel=2
        )
        return cupy_like(1)

    monkeypatch.setattr(importlib, "import_module", fake)
    with pytest.warns(FallbackWarning) as said:
        assert get_ops("cupy").device == "Card 9"
    assert [str(w.message) for w in said] == ["cupy: NUMBA_DEBUG is no number."]


OF_THEIR_OWN = {"NumbaOps": {"guarded"}, "CudaOps": {"launch"}}
"""Public methods that `Ops` lacks: what a class uses itself."""


@pytest.mark.parametrize(("module", "name"), [("ops", "CupyOps"), ("numba.ops", "NumbaOps"), ("cuda.ops", "CudaOps")])
def test_faster_operations_are_called_as_the_reference_is(module: str, name: str) -> None:
    """Subclasses have the same parameters with the same names, defaults and types, and no further public methods."""
    kind = getattr(pytest.importorskip(f"minigan.backends.{module}", exc_type=ImportError), name)
    methods = {key: value for key, value in vars(kind).items() if inspect.isfunction(value) and not key.startswith("_")}
    own = {key for key in methods if not hasattr(Ops, key)}
    assert own == OF_THEIR_OWN.get(name, set())
    for key in methods.keys() - own:
        assert inspect.signature(methods[key]) == inspect.signature(getattr(Ops, key)), f"{name}.{key}"
