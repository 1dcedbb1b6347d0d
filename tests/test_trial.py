"""Operations that a recording would omit are refused: by name where NumPy reports them, else by comparison with the passes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakecuda import on_cpu, stand_in
from helpers import TINY, exit_code, flats, tiny_gan

pytest.importorskip("numba", reason="the extra `fast` is not installed")

from minigan import train
from minigan.backends import Array, Ops, get_ops, trial
from minigan.backends.numba.guard import Guarded
from minigan.backends.ops import Outcome
from minigan.backends.trial import Trial, difference
from minigan.errors import ProgramError
from minigan.nn import batch
from minigan.nn import gan as gan_module
from minigan.nn.layers import Dense
from minigan.nn.objectives import OBJECTIVES, Hinge, LeastSquares, Objective


@pytest.fixture(scope="module")
def fast() -> Ops:
    backend = get_ops("numpy", "numba")
    if backend.threads is None:
        pytest.skip("NumPy has another BLAS than OpenBLAS")
    return backend


def own(gradient: Callable[[Any, Array, Array, Array], None]) -> type[Objective]:
    """Least squares, whose generator's gradient is gradient(objective, r, f, df)."""
    return type("Own", (LeastSquares,), {"generator_gradient": gradient})


def from_numpy(array: Array) -> np.ndarray:
    """The memory of an array without its guard."""
    return np.asarray(array)


# -------------------------------------------------------------------------------------------------- by its name


def subtract(self: Any, r: Array, f: Array, df: Array) -> None:
    np.subtract(f, 1, out=df)


def assign(self: Any, r: Array, f: Array, df: Array) -> None:
    df[...] = f


def operate(self: Any, r: Array, f: Array, df: Array) -> None:
    self.xp.copyto(df, f - 1)


def inplace(self: Any, r: Array, f: Array, df: Array) -> None:
    df -= 1


BYPASSES: dict[str, Callable[[Any, Array, Array, Array], None]] = {
    "np.subtract": subtract,
    "assignment to elements of an array": assign,
    "np.subtract ": operate,
    "np.subtract  ": inplace,
    "np.copyto": lambda self, r, f, df: np.copyto(df, f),
    "np.exp": lambda self, r, f, df: np.exp(f, out=df),
    "np.dot": lambda self, r, f, df: np.dot(f, f.T),
    "the method fill of an array": lambda self, r, f, df: df.fill(1),
    "the method mean of an array": lambda self, r, f, df: self.xp.copyto(df, f.mean()),
    "np.mean": lambda self, r, f, df: self.xp.copyto(df, np.mean(f)),
    "the method item of an array": lambda self, r, f, df: self.xp.copyto(df, f[:1].item()),
    "float()": lambda self, r, f, df: self.xp.copyto(df, float(f[0, :1].reshape(()))),
    "a number read from an array": lambda self, r, f, df: self.xp.copyto(df, f[0, 0]),
    "xp.log": lambda self, r, f, df: self.xp.log(f, out=df),
}


@pytest.mark.parametrize("operation", BYPASSES)
def test_what_bypasses_a_recording_is_named_with_the_remedy(
    fast: Ops, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    monkeypatch.setitem(OBJECTIVES, "own", own(BYPASSES[operation]))
    gan, fill = tiny_gan(fast, objective="own")
    with pytest.raises(ProgramError) as caught:
        gan.train_step(fill)
    said = str(caught.value)
    assert said.startswith(f"{operation.strip()} cannot be part of a step with --kernels numba: ")
    assert "self.ops.xp" in said and "--kernels reference" in said
    for _ in range(3):  # nothing is switched off for good
        get, fill = tiny_gan(fast)
        get.train_step(fill)


def test_layers_penalties_and_optimisers_are_refused_alike(fast: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    def direction(ops: Any, g: Array, coefficient: Array, v: Array) -> None:
        np.multiply(g, coefficient, out=v)

    def forward(self: Dense, p: Any, x: Array, tape: Any) -> Array:
        tape.y[...] = np.tanh(x @ p[0] + p[1])
        return tape.y

    def apply(self: Any, theta: Array, grad: Array, average: Any = None) -> None:
        theta -= 0.01 * grad

    for where, what, instead in (
        (batch, "zero_centred_direction", direction), (Dense, "forward", forward), (gan_module.Adam, "apply", apply)
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(where, what, instead)
            gan, fill = tiny_gan(fast, r1=1.0)
            with pytest.raises(ProgramError, match=r"^np\.(multiply|matmul) cannot be part of a step"):
                gan.train_step(fill)


def test_a_command_ends_in_one_sentence(
    fast: Ops, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Registered as docs/design.md says, an objective is a value of --objective."""
    flags = ["--data", "ring", *TINY, "--steps", "4", "--kernels", "numba", "--objective", "own", "--out"]
    for name, gradient, sentence in (
        ("named", subtract, "minigan: np.subtract cannot be part of a step"),
        ("compared", lambda self, r, f, df: subtract(self, r, from_numpy(f), from_numpy(df)),
         "minigan: a step with --objective own leaves another gradient of the generator when"),
    ):  # fmt: skip
        monkeypatch.setitem(OBJECTIVES, "own", own(gradient))
        assert exit_code(train.main, *flags, tmp_path / name) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and said.startswith(sentence)


def test_an_objective_as_in_the_design_page_trains_alike_on_both(fast: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    def gradient(self: Any, r: Array, f: Array, df: Array) -> None:
        self.xp.subtract(f, 1, out=df)
        self.xp.multiply(df, 1 / f.size, out=df)

    monkeypatch.setitem(OBJECTIVES, "own", own(gradient))
    ends = []
    for backend in (get_ops(), fast):
        gan, fill = tiny_gan(backend, objective="own")
        gan.noise = gan_module.Noise(3)
        gan.average.mean[:] = gan.generator.theta.flat
        for _ in range(4):
            gan.train_step(fill)
        ends.append(flats(gan))
    for name, value in ends[0].items():
        np.testing.assert_allclose(ends[1][name], value, rtol=0, atol=1e-9, err_msg=name)


def test_outside_a_recording_arrays_are_numpys(fast: Ops) -> None:
    x = fast.zeros((3, 2), np.float64)
    x[1:] = 2
    x += 1
    assert (
        type(x * 2) is np.ndarray and type(np.concatenate([x, x])) is np.ndarray and type(np.asarray(x)) is np.ndarray
    )
    assert type(x) is Guarded and float(x.sum()) == 14.0 and x.mean() == 14 / 6
    assert x[1, 0] == 3 and np.linalg.norm(x) > 0 and bool(x[0, 0])
    assert np.add(x, x, out=x) is not None and x.max() == 6 and x.tolist()[0] == [2.0, 2.0]


def test_only_the_thread_that_records_is_refused(fast: Ops) -> None:
    x, y, results = fast.zeros((2, 2), np.float64), fast.zeros((2, 2), np.float64), []

    def passes() -> None:
        other = threading.Thread(target=lambda: results.append(float((y + 1).sum())))
        other.start()
        other.join()
        fast.xp.add(x, 1, out=x)

    fast.program(passes)()
    assert results == [4.0] and (x == 1).all()


# ----------------------------------------------------------------------------------------------- by comparison


def counted() -> Callable[[Any, Array, Array, Array], None]:
    calls: list[int] = []

    def gradient(self: Any, r: Array, f: Array, df: Array) -> None:
        calls.append(1)
        self.xp.copyto(df, -len(calls) / f.size)

    return gradient


HIDDEN: dict[str, Callable[[], Callable[[Any, Array, Array, Array], None]]] = {
    "numpy": lambda: lambda self, r, f, df: subtract(self, r, from_numpy(f), from_numpy(df)),
    "a number": lambda: lambda self, r, f, df: self.xp.copyto(df, -float(from_numpy(f).mean())),
    "a count": counted,
}


@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
@pytest.mark.parametrize("fault", HIDDEN)
def test_what_is_not_refused_by_name_is_found_by_comparison(
    fast: Ops, monkeypatch: pytest.MonkeyPatch, fault: str, update: str
) -> None:
    monkeypatch.setitem(OBJECTIVES, "own", own(HIDDEN[fault]()))
    gan, fill = tiny_gan(fast, objective="own", update=update)
    with pytest.raises(ProgramError, match="a step with --objective own leaves another gradient of the generator when"):
        for _ in range(2):
            gan.train_step(fill)


@on_cpu
@pytest.mark.parametrize("fault", HIDDEN)
def test_a_graph_is_compared_with_its_passes_too(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """The first call executes the passes, the second one records them and is compared."""
    monkeypatch.setitem(OBJECTIVES, "own", own(HIDDEN[fault]()))
    gan, fill = tiny_gan(stand_in(), objective="own")
    gan.train_step(fill)
    with pytest.raises(ProgramError, match="--objective own leaves another gradient of the generator .*--kernels cuda"):
        for _ in range(2):
            gan.train_step(fill)


@pytest.mark.parametrize("kernels", ["numba", pytest.param("cuda", marks=on_cpu)])
def test_a_number_of_the_first_minibatch_is_found_on_the_second(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kernels: str
) -> None:
    """The recording is correct on the minibatch that it was recorded on."""
    backend = request.getfixturevalue("fast") if kernels == "numba" else stand_in()
    held: list[Any] = []

    def gradient(self: Any, r: Array, f: Array, df: Array) -> None:
        self.xp.copyto(df, float(from_numpy(held[0].batch.real.x).mean()))

    monkeypatch.setitem(OBJECTIVES, "own", own(gradient))
    gan, fill = tiny_gan(backend, objective="own")
    held.append(gan)
    right = 1 if kernels == "numba" else 2
    for _ in range(right):
        gan.train_step(fill)
    with pytest.raises(ProgramError, match="leaves another gradient of the generator"):
        for _ in range(2):
            gan.train_step(fill)


def test_an_optimiser_that_is_left_out_is_found(fast: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    def apply(self: Any, theta: Array, grad: Array, average: Any = None) -> None:
        theta = from_numpy(theta)
        theta -= 0.01 * from_numpy(grad)

    monkeypatch.setattr(gan_module.Adam, "apply", apply)
    gan, fill = tiny_gan(fast, update="simultaneous")
    with pytest.raises(ProgramError, match="leaves another generator when .* by 1.0e.00 of its movement"):
        gan.train_step(fill)


@pytest.mark.parametrize("kernels", ["numba", pytest.param("cuda", marks=on_cpu)])
@pytest.mark.parametrize("settings", [{}, {"update": "simultaneous", "r1": 1.0, "penalty_every": 2, "dtype": "float32"},
                                      {"discriminator_steps": 2, "gradient_penalty": 1.0}])  # fmt: skip
def test_a_trial_changes_no_bit(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kernels: str, settings: dict[str, Any]
) -> None:
    backend = request.getfixturevalue("fast") if kernels == "numba" else stand_in()
    results = []
    for trials in (2, 0):
        monkeypatch.setattr(trial, "TRIALS", trials)
        gan, fill = tiny_gan(backend, **settings)
        seen = [gan.train_step(fill, measure=True) for _ in range(6)]
        results.append((seen, flats(gan)))
    assert results[0][0] == results[1][0]
    for name, value in results[1][1].items():
        np.testing.assert_array_equal(results[0][1][name], value, err_msg=name)


@pytest.mark.parametrize("wrong", [(1,), (2,), (1, 3)])
def test_one_small_difference_is_a_kink_and_two_in_a_row_are_a_fault(
    fast: Ops, monkeypatch: pytest.MonkeyPatch, wrong: tuple[int, ...]
) -> None:
    """Rounding may move a number next to the kink of a ReLU to either side."""
    x, steps = fast.zeros((2, 2), np.float64), [0]

    def passes() -> None:
        fast.xp.copyto(x, 1.0)

    def replay() -> None:
        steps[0] += 1
        x.fill(1.01 if steps[0] in wrong else 1)

    def tried(*differs: int) -> Trial:
        nonlocal wrong
        wrong, steps[0] = differs, 0
        return Trial(replay, passes, [Outcome("x", x)], "it", fast)

    kink = tried(*wrong)
    for _ in range(6):
        kink()
    assert kink.left == 0
    fault = tried(2, 3)
    for _ in range(2):
        fault()
    with pytest.raises(ProgramError, match="it leaves another x when .* by 1.0e-02 of its norm, more than 1e-09"):
        fault()


def test_later_replays_are_not_compared(fast: Ops) -> None:
    calls, x = [], fast.zeros((2, 2), np.float64)

    def passes() -> None:
        calls.append(1)
        fast.xp.add(x, 1, out=x)

    program = fast.program(passes, [Outcome("x", x)], "it")
    assert isinstance(program, Trial) and len(calls) == 1
    for i in range(1, 6):
        program()
        assert (x == i).all() and len(calls) == 1 + min(i, 2)


def test_the_distance_of_two_results() -> None:
    def apart(a: Any, b: Any, before: Any = (0.0, 0.0), gradients: Any = None) -> float:
        held = [{"x": np.array(v, np.float32)} for v in (before, a, b)]
        for found, g in zip(held[1:], gradients or (), strict=False):
            found["g"] = np.array(g, np.float32)
        return difference(Outcome("x", held[0]["x"], "g" if gradients else None), *held)

    assert apart([3, 4], [3, 4]) == 0 and apart([0, 0], [3, 4]) == 1 and apart([0, 0], [0, 0]) == 0
    assert apart([1, 0], [0, 0]) > 1e9
    assert apart([np.nan, 1], [np.nan, 1]) == 0 and apart([np.nan, 1], [1, 1]) == np.inf == apart([1, 1], [np.inf, 1])
    assert apart([1, 1], [1.5, 1.5], before=[1, 1], gradients=([1, 1], [1, 1])) == 1, "it did not move"
    assert apart([1.5, 1], [1.5, 2], before=[1, 1], gradients=([1, 1e-9], [1, -1e-9])) == 0, "a gradient of rounding"
    assert apart([1, 1], [1, 1 + 1e-7], before=[1, 1], gradients=([1, 1], [1, 1])) == 0


# ------------------------------------------------------------------------------------------- settings of objectives


def test_an_objective_takes_the_settings_that_it_declares(fast: Ops) -> None:
    assert {name: kind.settings for name, kind in OBJECTIVES.items() if kind.settings} == {
        "minimax": ("label_smoothing",), "non-saturating": ("label_smoothing",)
    }  # fmt: skip
    with pytest.raises(TypeError):
        Hinge(fast, 4, "float64", 0.1)  # type: ignore[call-arg]
    gan, _ = tiny_gan(fast, objective="minimax", label_smoothing=0.25)
    assert gan.objective.target == 0.75
