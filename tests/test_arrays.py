"""Arrays of a backend, their moves between host and device, and what a backend says of itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fakecupy import fake_cupy

from minigan.backends import Ops


@pytest.fixture(params=["chosen", "stand-in"])
def each(request: pytest.FixtureRequest, backend: Ops) -> Ops:
    """The backend under test, and CuPy's operations on the stand-in for it."""
    return backend if request.param == "chosen" else fake_cupy()[0]


def test_arrays_go_there_and_back_unchanged(each: Ops) -> None:
    for dtype in ("float32", "float64", "uint8", "int64"):
        host = np.arange(12).reshape(3, 4).astype(dtype)
        there = each.asarray(host)
        assert isinstance(there, each.xp.ndarray) and there.dtype == dtype
        np.testing.assert_array_equal(each.to_host(there), host)


def test_new_arrays_have_the_shape_and_type_asked_for(each: Ops) -> None:
    zeros = each.zeros((2, 3), "float32")
    assert zeros.shape == (2, 3) and zeros.dtype == "float32" and not each.to_host(zeros).any()
    empty = each.empty((4,), "float64")
    assert empty.shape == (4,) and empty.dtype == "float64"


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_take_gathers_rows_into_the_callers_array(each: Ops, dtype: str) -> None:
    array = each.asarray(np.arange(20).reshape(10, 2).astype(dtype))
    out = each.zeros((4, 2), dtype)
    each.take(array, each.asarray(np.array([9, 0, 3, 3])), out)
    np.testing.assert_array_equal(each.to_host(out), [[18, 19], [0, 1], [6, 7], [6, 7]])


def test_the_reference_has_the_same_arrays_and_other_operations(each: Ops) -> None:
    reference = each.reference()
    assert (reference.name, reference.kernels, reference.xp) == (each.name, "reference", each.xp)
    assert each.reference(math).xp is math, "whatever has its functions: one that counts, for example"
    assert reference.device == each.reference(math).device == each.device
    each.synchronize()
    assert each.name in repr(each) and each.device in repr(each)


@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_filling_takes_numbers_and_host_arrays_in_their_order(each: Ops, shape: tuple[int, ...]) -> None:
    array = each.zeros(shape, "float32")
    for values in (tuple(range(6)), np.arange(1, 7.0)):
        each.fill(array, values)
        np.testing.assert_array_equal(each.to_host(array), np.reshape(values, shape))


def test_what_is_copied_to_a_device_has_the_precision_of_its_array(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coefficients are Python numbers: in float64 they would take a kernel more to be converted on the device."""
    device, copied = fake_cupy()[0], []
    asarray = device.xp.asarray
    monkeypatch.setattr(device.xp, "asarray", lambda host: (copied.append((host.dtype, host.shape)), asarray(host))[1])
    device.fill(device.zeros((2, 1), "float32"), (0.1, 0.2))
    assert copied == [(np.float32, (2, 1))]


def test_a_device_tells_its_memory_and_the_version_of_its_package() -> None:
    device, _ = fake_cupy()
    assert device.name == "cupy" and device.available() == 1 << 34
    assert device.versions() == {"cupy": "0"} and Ops().versions() == {}


def test_the_cpu_is_named_after_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for machine, named in (("x86_64", "CPU (x86_64)"), ("", "CPU (unknown machine)")):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert Ops().device == named
        assert repr(Ops()) == f"Ops(numpy, reference kernels, {named})"
    assert Ops(np, "mine").device == Ops(np, "mine").reference().device == "mine"
