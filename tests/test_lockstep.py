"""Lockstep passes where both sides compute the same, and names the tensor and the step where they do not."""

from __future__ import annotations

import numpy as np
import pytest
from fakecupy import fake_cupy
from helpers import exit_code

from minigan import lockstep
from minigan.backends import Ops, get_ops
from minigan.runs import compare


def differences(other: Ops, **options: bool) -> list[compare.Difference]:
    return list(compare.differences(other, compare.settings("float32", "non-saturating", "alternating"), 3, **options))


class Off(Ops):
    """Adam with 1 - beta1 in place of 1 - beta1^t, from the second step on."""

    calls = 0

    def adam(self, theta, grad, m, v, factors, scratch, *average):  # type: ignore[no-untyped-def]
        self.calls += 1
        wrong = np.array([1, 1, 1 if self.calls <= 2 else 1.5, 1], factors.dtype)
        super().adam(theta, grad, m, v, factors * wrong, scratch, *average)


def planted() -> Ops:
    return Off()


@pytest.mark.parametrize("free", [False, True])
def test_equal_sides_do_not_differ(free: bool) -> None:
    found = differences(get_ops(), free=free)
    assert {d.relative for d in found} == {0.0} and {d.ulps for d in found} == {0.0}
    assert [d.step for d in found] == sorted(d.step for d in found)
    assert {d.step for d in found} == ({1, 2, 3} if free else {6, 7, 8})


def test_a_mistake_is_found_in_its_step_and_tensor() -> None:
    parted = [d for d in differences(planted()) if d.relative > 1e-5]
    # the generator's pass goes through the discriminator that has just been updated wrongly
    assert (parted[0].step, parted[0].tensor) == (7, "logits that the generator saw")
    assert {d.tensor for d in parted if d.step == 7} >= {"generator", "discriminator"}


def test_both_sides_start_each_step_from_the_same_state() -> None:
    sizes = {
        free: [d.relative for d in differences(planted(), free=free) if d.tensor == "generator"] for free in (0, 1)
    }
    assert sizes[True][2] > 1.5 * sizes[False][2] > 0


def test_differences_are_relative_and_in_units_of_the_last_place() -> None:
    a = np.array([3.0, -4.0], np.float32)
    found = compare.compare(7, "x", a, a + np.array([0, 5 * 2**-20], np.float32))
    assert (found.step, found.tensor, found.relative, found.ulps) == (7, "x", pytest.approx(2**-20), 10.0)
    assert compare.compare(1, "x", a, np.array([np.nan, 0], np.float32)).relative == np.inf
    assert compare.compare(1, "x", 0 * a, 0 * a).relative == 0
    assert compare.compare(1, "x", 0 * a, a).relative == np.inf


def test_a_device_is_compared() -> None:
    """On the stand-in for CuPy, with CuPy's rules and NumPy's arithmetic."""
    device, _ = fake_cupy()
    assert {d.relative for d in differences(device)} == {0.0}


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockstep, "get_ops", lambda *names: planted() if names else get_ops())
    assert exit_code(lockstep.main, "--steps", 1) == 0
    out = capsys.readouterr().out
    assert "generator.adam.v" in out and "no tensor differs by more than 1e-04" in out
    assert exit_code(lockstep.main, "--steps", 3, "--bound", 1e-5) == 1
    assert "step 7: logits that the generator saw differs by" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--steps", 0), "--steps 0 is out of range"),
        (("--bound", 0), "--bound 0.0 is out of range"),
        (("--bound", "nan"), "--bound nan is out of range"),
        (("--backend", "numpy"), "would compare NumPy with itself"),
    ],
)
def test_bad_flags_end_in_one_sentence(
    arguments: tuple[object, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(lockstep.main, *arguments) == 2
    assert words in capsys.readouterr().err


def test_compiled_loops_stay_in_step() -> None:
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    for dtype, bound in compare.BOUNDS.items():
        other = get_ops("numpy", "numba")
        found = list(compare.differences(other, compare.settings(dtype, "relativistic", "simultaneous"), 20))
        assert max(d.relative for d in found if d.tensor != compare.NOISE) < bound
        assert 0 < max(d.relative for d in found if d.tensor == compare.NOISE) < compare.NOISE_BOUND


@pytest.mark.parametrize("dtype", compare.BOUNDS)
def test_the_command_allows_noise_its_own_rounding(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    arguments = ("--backend", "numpy", "--kernels", "numba", "--dtype", dtype, "--objective", "hinge", "--steps", 3)
    assert exit_code(lockstep.main, *arguments) == 0
    assert "latent points" in capsys.readouterr().out


@pytest.mark.gpu
def test_a_gpu_stays_in_step() -> None:
    for dtype, bound in compare.BOUNDS.items():
        config = compare.settings(dtype, "non-saturating", "alternating")
        found = list(compare.differences(get_ops("cupy"), config, 100))
        assert max(d.relative for d in found if d.tensor != compare.NOISE) < bound
