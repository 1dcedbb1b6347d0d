"""The doctor lists what is installed, tests it, and prints how to install what is missing."""

from __future__ import annotations

import platform
from types import SimpleNamespace

import numpy as np
import pytest
from fakecupy import fake_cupy
from helpers import exit_code

from minigan import doctor
from minigan.backends import Ops, get_ops
from minigan.errors import InputError


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PATIENCE", 0.01)


def only(monkeypatch: pytest.MonkeyPatch, **found: Ops | str) -> None:
    """Make these backends available by name, or missing for a given reason; all others are missing."""

    def get(name: str, kernels: str = "reference") -> Ops:
        backend = found.get("numba" if kernels == "numba" else name, "it is not here: install it")
        if isinstance(backend, str):
            raise InputError(backend)
        return backend

    monkeypatch.setattr(doctor, "get_ops", get)


def test_it_lists_what_is_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    only(monkeypatch, numpy=get_ops())
    assert exit_code(doctor.main) == 0
    out = capsys.readouterr().out
    assert platform.python_version() in out and np.__version__ in out and "threads" in out
    assert "works," in out and out.count("not available. it is not here: install it") == 3


def test_a_device_is_described_and_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = {"name": b"A Card", "totalGlobalMem": 141 * 2**30, "major": 9, "minor": 0}
    backend, _ = fake_cupy()
    runtime = SimpleNamespace(
        driverGetVersion=lambda: 13010,
        runtimeGetVersion=lambda: 12090,
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda i: properties,
    )
    monkeypatch.setattr(backend.xp.cuda, "runtime", runtime, raising=False)
    only(monkeypatch, numpy=get_ops(), cupy=backend)
    lines = dict(doctor.report())
    assert lines["CUDA"] == "driver for 13.1, runtime 12.9"
    assert lines["GPU 0"] == "A Card, 141 GiB, compute capability 9.0"
    assert lines["--backend cupy"].endswith("as NumPy computes them")


def test_wrong_numbers_are_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cpu = pytest.importorskip(
        "minigan.backends.numba.ops", reason="the extra `fast` is not installed", exc_type=ImportError
    )

    class Wrong(cpu.NumbaOps):  # type: ignore[misc, name-defined]
        def average(self, mean, theta, weight, scratch):  # type: ignore[no-untyped-def]
            for _ in range(2):
                super().average(mean, theta, weight, scratch)

    only(monkeypatch, numpy=get_ops(), numba=Wrong())
    assert exit_code(doctor.main) == 1
    assert "FAILS: generator.average differs from NumPy's by" in " ".join(capsys.readouterr().out.split())


def test_it_reports_where_no_program_is_possible(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cpu = pytest.importorskip(
        "minigan.backends.numba.ops", reason="the extra `fast` is not installed", exc_type=ImportError
    )
    monkeypatch.setattr(cpu, "blas", lambda: None)
    only(monkeypatch, numpy=get_ops(), numba=get_ops("numpy", "numba"))
    assert exit_code(doctor.main) == 0
    assert "operation by operation, because NumPy has no OpenBLAS" in capsys.readouterr().out
