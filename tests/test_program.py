"""A program computes what the passes that it records compute, on any number of threads, and idle threads sleep."""

from __future__ import annotations

import os
import threading
import time
from itertools import pairwise
from typing import Any

import numpy as np
import psutil
import pytest
from helpers import agree, flats, start

from minigan.backends import get_ops
from minigan.backends.activations import ACTIVATIONS
from minigan.backends.noise import Noise
from minigan.config import UPDATES, Config
from minigan.errors import ProgramError
from minigan.nn.gan import GAN
from minigan.nn.objectives import OBJECTIVES

pytest.importorskip("numba", reason="the extra `fast` is not installed")

from minigan.backends.numba import kernels, program, team, vm
from minigan.backends.numba.instructions import (
    ADDRESSES,
    FUNCTIONS,
    INSTRUCTION_SET,
    LEAST,
    READ_ALL,
    READ_BROADCAST,
    READ_ROWS,
    WRITE_ALL,
    WRITE_ROWS,
    Access,
    Function,
    Opcode,
    Partition,
)
from minigan.backends.numba.ops import NumbaOps
from minigan.backends.numba.program import Program, Recorder, Use
from minigan.backends.trial import Trial

pytestmark = pytest.mark.skipif(team.blas() is None, reason="NumPy has another BLAS than OpenBLAS")

PENALTIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "r1": {"r1": 0.5},
    "lazy": {"r1": 0.5, "r2": 0.3, "penalty_every": 2, "penalty_schedule": "linear"},
    "all": {"r1": 0.5, "r2": 0.3, "gradient_penalty": 0.7},
}


CONVOLUTIONS: dict[str, Any] = {"convolutions": (3, 1, 4, 2, 2, 5), "hidden": (24,)}
"""On images of 8 x 6 pixels: maps of 6 x 4 with 4 channels, and of 3 x 2 with 5."""


def trained(kernels: str, threads: int, steps: int = 5, size: Any = 6, **settings: Any) -> GAN:
    """A GAN after some steps, with the reference's noise for any kernels."""
    given: dict[str, Any] = {
        "batch_size": 36,
        "latent": 4,
        "hidden": (40, 24),
        "dtype": "float64",
        "seed": 3,
        "steps": 50,
    }
    config = Config(**{**given, **settings})
    gan = GAN(config, size, get_ops("numpy", kernels))
    if gan.ops.threads is not None:
        gan.ops.threads = threads
    gan.noise = noise = Noise(config.seed)
    for i, network in enumerate((gan.generator, gan.discriminator)):
        noise.normal(network.theta.flat, 90, i)
        network.theta.flat *= 0.4
    gan.average.mean[...] = gan.generator.theta.flat

    def fill(out: np.ndarray, i: int) -> None:
        noise.normal(out, 91, i)

    seen = None
    for _ in range(steps):
        seen = gan.train_step(fill, measure=True)
    gan.seen_last = seen  # type: ignore[attr-defined]
    return gan


@pytest.mark.parametrize("penalties", PENALTIES)
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_program_does_what_the_step_does(objective: str, update: str, penalties: str) -> None:
    settings: dict[str, Any] = {"objective": objective, "update": update, **PENALTIES[penalties]}
    expected, one, two = (
        trained("reference", 1, **settings),
        trained("numba", 1, **settings),
        trained("numba", 2, **settings),
    )
    assert all(isinstance(p, Trial) and isinstance(p.replay, Program) for p in two.programs.values())
    for name, value in flats(expected).items():
        scale = max(np.abs(value).max(), 1e-3)
        for got in (one, two):  # where a gradient is nothing but rounding, Adam makes a step of it
            np.testing.assert_allclose(flats(got)[name], value, rtol=0, atol=1e-9 * scale, err_msg=name)
    for got, wanted in zip(vars(one.seen_last).values(), vars(expected.seen_last).values(), strict=True):  # type: ignore[attr-defined]
        assert got == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("penalties", PENALTIES)
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("activation", ["leaky-relu", "tanh"])
def test_a_program_does_what_the_step_does_with_convolutions(activation: str, update: str, penalties: str) -> None:
    settings = {"activation": activation, "update": update, "size": (8, 6), **CONVOLUTIONS, **PENALTIES[penalties]}
    expected = trained("reference", 1, **settings)
    for threads in (1, 2, 3):
        got = flats(trained("numba", threads, **settings))
        for name, value in flats(expected).items():
            scale = max(np.abs(value).max(), 1e-3)
            np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-9 * scale, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", ["tanh", "sigmoid", "identity"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_can_be_part_of_a_program(activation: str, output: str, dtype: str) -> None:
    settings: dict[str, Any] = {"activation": activation, "output": output, "dtype": dtype, "r1": 0.5, "beta1": 0.5}
    if activation == "identity":
        settings["objective"] = "hinge"
    expected, got = trained("reference", 1, 1, **settings), trained("numba", 2, 1, **settings)
    for a, b in ((got.grad_d, expected.grad_d), (got.grad_g, expected.grad_g)):
        assert a.flat.dtype == dtype
        bound = {"float32": 1e-5, "float64": 1e-13}[dtype]
        assert np.linalg.norm(a.flat - b.flat) <= bound * np.linalg.norm(b.flat)


@pytest.mark.parametrize("update", UPDATES)
def test_several_discriminator_steps_have_programs_of_their_own(update: str) -> None:
    settings: dict[str, Any] = {"update": update, "discriminator_steps": 3, "r1": 0.5, "penalty_every": 2}
    expected, got = trained("reference", 1, **settings), trained("numba", 2, **settings)
    assert set(got.programs) == {(last, due) for last in (False, True) for due in (False, True)}
    for name, value in flats(expected).items():
        np.testing.assert_allclose(flats(got)[name], value, rtol=0, atol=1e-9 * max(np.abs(value).max(), 1e-3))


# -------------------------------------------------------------------------------------------- the instruction set


def test_the_instruction_set_has_a_row_for_every_opcode() -> None:
    assert list(INSTRUCTION_SET) == list(Opcode)
    for opcode, (meaning, partition, operands) in INSTRUCTION_SET.items():
        assert meaning and 1 < len(operands) <= len(ADDRESSES), opcode
        assert any(operand.access.writes for operand in operands), opcode
        whole = [operand.name for operand in operands if operand.access is WRITE_ALL]
        assert bool(whole) == (partition is not Partition.ROWS), (
            f"{opcode}: rows are written where work is divided by rows"
        )
        for operand in operands:
            assert set(operand.shape.split()) <= {"T-1", "m", "n", "k", "1", "4", "or", "fewer", "row", "block"}
            if operand.access.own_rows:
                assert operand.shape.startswith("m"), f"{opcode}, {operand.name}: shares are of m rows"


@pytest.mark.parametrize("threads", [1, 2])
def test_recorded_arrays_have_the_shapes_of_the_instruction_set(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a step with every penalty, and with activations of all kinds."""
    append, seen = Program.append, set()

    def checked(self: Program, opcode: Opcode, extents: tuple[int, ...], *arrays: np.ndarray, **fields: Any) -> None:
        append(self, opcode, extents, *arrays, **fields)
        m, n, k = (*extents, 1)[:3]
        row, block = (*fields.get("strides", ()), 0, 0)[:2]
        sizes = {"m": m, "n": n, "k": k, "T-1": self.threads - 1, "1": 1, "4": 4, "row": row, "block": block}
        for array, operand in zip(arrays, INSTRUCTION_SET[opcode].operands, strict=True):
            if operand.access is not READ_BROADCAST:
                assert array.size == np.prod([sizes[letter] for letter in operand.shape.split()]), (opcode, operand)
        seen.add(opcode)

    monkeypatch.setattr(Program, "append", checked)
    for settings in (
        {"activation": "tanh", "dtype": "float32"},
        PENALTIES["all"],
        {"hidden": (1, 2)},
        {"size": (8, 6), **CONVOLUTIONS},
    ):
        trained("numba", threads, 2, **{"output": "tanh", **settings})
    missing = set(Opcode) - seen - {Opcode.MATMUL_BY_COLUMNS}  # for few rows
    assert missing == ({Opcode.ADD_PARTIAL_SUMS} if threads == 1 else set())


def test_functions_have_the_names_of_numpys() -> None:
    assert all(callable(getattr(np, name)) for name in FUNCTIONS)
    assert all(
        (getattr(np, name).nin == 2) == (f < Function.COPYTO) for name, f in FUNCTIONS.items() if name != "copyto"
    )


# ---------------------------------------------------------------------------------------------- hazards and barriers


def pieces(code: np.ndarray) -> list[np.ndarray]:
    """The parts of a program between two barriers."""
    starts = [0, *np.flatnonzero(code["barrier"]), len(code)]
    return [code[a:b].copy() for a, b in pairwise(starts) if b > a]


def one_after_the_other(code: np.ndarray, order: list[int]) -> None:
    """Every thread executes its share of a part before the next thread starts with it."""
    alone = team.Team(np.dtype("float64"), 1)
    control = alone.control
    control[vm.ARRIVED] = 1 << 40  # no thread waits
    for piece in pieces(code):
        piece["barrier"] = 0
        for thread in order:
            control[vm.TABLE], control[vm.LENGTH] = piece.ctypes.data, len(piece)
            vm.execute(control, thread, len(order), *alone.types)


@pytest.mark.parametrize("order", [[0, 1], [1, 0], [2, 0, 1]])
@pytest.mark.parametrize("penalties", ["plain", "all"])
@pytest.mark.parametrize("layers", [{}, {"size": (8, 6), **CONVOLUTIONS}], ids=["dense", "convolutions"])
@pytest.mark.parametrize("update", UPDATES)
def test_there_is_a_barrier_wherever_a_thread_needs_what_another_did(
    update: str, layers: dict[str, Any], penalties: str, order: list[int]
) -> None:
    """Between two barriers the threads may execute their shares in any order."""
    settings: dict[str, Any] = {"update": update, "batch_size": 48, **PENALTIES[penalties], **layers}
    threads = len(order)
    expected, gan = trained("numba", threads, 2, **settings), trained("numba", threads, 1, **settings)
    gan.place(1, lambda out, i: gan.noise.normal(out, 91, i))
    code = gan.programs[(True, penalties == "all")].replay.code  # type: ignore[attr-defined]
    assert len(pieces(code)) > 4
    one_after_the_other(code, order)
    for name, value in flats(expected).items():
        np.testing.assert_array_equal(flats(gan)[name], value, err_msg=name)


def test_a_hazard_is_where_one_thread_writes_what_another_uses() -> None:
    x = np.zeros((8, 3))

    def hazard(a: np.ndarray, access: Access, b: np.ndarray, earlier: Access) -> bool:
        return Use(a, access).conflicts(Use(b, earlier))

    assert not hazard(x, READ_ROWS, x, READ_ALL)
    assert not hazard(x, WRITE_ROWS, x, WRITE_ROWS) and not hazard(x, READ_ROWS, x, WRITE_ROWS)
    assert hazard(x, READ_ALL, x, WRITE_ROWS) and hazard(x, WRITE_ROWS, x, READ_ALL)
    assert hazard(x, WRITE_ALL, x, WRITE_ALL)
    assert hazard(x[4:], READ_ROWS, x, WRITE_ROWS), "other rows are partitioned otherwise"
    assert not hazard(x[4:], WRITE_ROWS, x[:4], WRITE_ROWS)
    assert hazard(x.reshape(4, 6), READ_ROWS, x, WRITE_ROWS)


def test_a_broadcast_operand_is_partitioned_only_if_it_has_the_rows_of_the_result() -> None:
    assert READ_BROADCAST.of(np.zeros((8, 1)), 8) is READ_ROWS
    for repeated in (np.zeros((1, 3)), np.zeros(3), np.zeros(8)):
        assert READ_BROADCAST.of(repeated, 8) is READ_ALL
    assert WRITE_ROWS.of(np.zeros((1, 3)), 8) is WRITE_ROWS


# ------------------------------------------------------------------------------------------------------- recording


def recorded(name: str, *operands: Any, out: np.ndarray, threads: int = 2) -> Program:
    """A program of one operation."""
    recorder, where = Recorder(np), {} if name == "copyto" else {"out": out}
    return recorder.record(lambda: getattr(recorder, name)(*operands, **where), threads)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 3), (40, 1), (3, 700), (1, 600)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementwise_instructions_compute_what_numpy_does(name: str, shape: tuple[int, int], dtype: str) -> None:
    rng, binary = np.random.default_rng(7), FUNCTIONS[name] < Function.COPYTO
    m, n = shape

    def array(*s: int) -> np.ndarray:
        return (
            (rng.normal(size=s) + (3 if name == "sqrt" else 0))
            .clip(0.01 if name == "sqrt" else None, None)
            .astype(dtype)
        )

    for a in (array(m, n), array(m, 1), array(1, n), array(n), 1.5):
        for b in (array(m, n), array(m, 1), array(1, n), array(n), -0.5) if binary else (None,):
            expected, out = np.full(shape, np.nan, dtype), np.full(shape, np.nan, dtype)
            given = [a] if b is None else [a, b]
            if name == "copyto":
                np.copyto(expected, a)
            else:
                getattr(np, name)(*given, out=expected)
            program = recorded(name, *((out, a) if name == "copyto" else given), out=out)
            assert np.isnan(out).all(), "recorded, not computed"
            program()
            if name in ("exp", "tanh"):
                agree(out, expected)
            else:
                np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", ["subtract", "divide", "maximum"])
def test_an_operand_may_be_the_result(name: str) -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 9, 70))
    expected = [getattr(np, name)(x, y), getattr(np, name)(x, y), getattr(np, name)(x, x)]
    a, b, c = (x.copy(), y), (x, y.copy()), x.copy()
    recorder = Recorder(np)

    def passes() -> None:
        for operands, out in ((a, a[0]), (b, b[1]), ((c, c), c)):
            getattr(recorder, name)(*operands, out=out)

    recorder.record(passes, 2)()
    for got, wanted in zip((a[0], b[1], c), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    "m, n, k",
    [(32, 8, 5), (3, 40, 7), (1, 9, 20), (64, 1, 3), (50, 33, 1), (7, 2, 2), (5, 6, 2), (4, 3, 1), (70, 3, 65)],
)
def test_products_are_numpys(m: int, n: int, k: int, threads: int, dtype: str) -> None:
    rng = np.random.default_rng(2)
    for a in (rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, m)).astype(dtype).T):
        for b in (rng.normal(size=(k, n)).astype(dtype), rng.normal(size=(n, k)).astype(dtype).T):
            out = np.full((m, n), np.nan, dtype)
            program = recorded("dot", a, b, out=out, threads=threads)
            for _ in range(2):
                program()
                agree(out, a @ b)


@pytest.mark.parametrize("rows", [1, 2, 3, 47, 64])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sums_over_rows_are_complete_when_they_are_read(threads: int, rows: int) -> None:
    """Each thread has a partial sum: the partial sums are added before another instruction reads or writes the sum."""
    rng = np.random.default_rng(3)
    x, y, z = rng.normal(size=(rows, 5)), rng.normal(size=(rows, 20)), rng.normal(size=(rows, 4))
    ops, both, third, copy = get_ops("numpy", "numba"), np.empty(100 + 20), np.empty((5, 4)), np.empty((1, 20))
    ops.threads = threads
    dW, db = both[:100].reshape(5, 20), both[100:]

    def passes() -> None:
        ops.weight_gradient(x, y, dW, db)
        ops.xp.copyto(copy, db.reshape(1, 20))  # reads a part of a sum that is not settled
        ops.xp.add(dW, dW, out=dW)
        ops.xp.dot(x.T, z, out=third)
        ops.xp.dot(x.T, z, out=third)  # written again before it was settled
        ops.xp.dot(third, third.T[:, :5], out=square)
        ops.xp.dot(x.T, y, out=last)  # not read by any instruction

    square, last = np.empty((5, 5)), np.empty((5, 20))
    program = ops.program(passes)
    for _ in range(2):
        both[:], third[:], copy[:], square[:], last[:] = (np.nan,) * 5
        program()
        for got, expected in (
            (dW, 2 * x.T @ y), (db, y.sum(axis=0)), (copy[0], y.sum(axis=0)), (third, x.T @ z),
            (square, x.T @ z @ (x.T @ z).T), (last, x.T @ y),
        ):  # fmt: skip
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_the_exponential_is_within_a_unit_and_a_half_in_the_last_place() -> None:
    ends = [0, -0.0, 1e-30, 88.72, 88.73, 89.5, -87.3, -95, -103.9, -104.5, 1e4, -1e4, np.inf, -np.inf]
    x = np.concatenate([np.linspace(-104, 88.7, 100_001), ends]).astype(np.float32)
    with np.errstate(over="ignore", under="ignore"):
        exact = np.exp(x.astype(np.float64))
        wanted = exact.astype(np.float32)
    got = x.copy()
    kernels.exponential(got, got.size)
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(got[~finite], wanted[~finite])
    assert (np.abs(got[finite] - exact[finite]) <= 1.5 * np.spacing(wanted[finite])).all()
    nan = np.full(1, np.nan, np.float32)
    kernels.exponential(nan, 1)
    assert np.isnan(nan).all()


def test_nan_is_not_hidden_by_a_maximum() -> None:
    nan, one = np.full((1, 1), np.nan, np.float32), np.ones((1, 1), np.float32)
    for name in ("maximum", "minimum"):
        for a, b in ((nan, one), (one, nan)):
            out = np.zeros((1, 1), np.float32)
            recorded(name, a, b, out=out)()
            assert np.isnan(out).all()


def test_an_operation_without_an_instruction_is_refused_while_a_program_is_recorded() -> None:
    backend = get_ops("numpy", "numba")
    x = np.zeros((2, 2))
    with pytest.raises(ProgramError, match="xp.cumsum cannot be part of a step .* instructions exist for add, "):
        backend.program(lambda: backend.xp.cumsum(x, out=x))
    assert backend.xp.cumsum is np.cumsum, "and done as ever outside"
    with pytest.raises(ProgramError, match="an array of float32 cannot .* all others are of float64"):
        backend.program(lambda: backend.xp.add(x, x.astype(np.float32), out=x))


def test_a_batch_that_does_not_fit_is_refused() -> None:
    backend = get_ops("numpy", "numba")
    xp, x, y, z = backend.xp, np.zeros((4, 6)), np.zeros((4, 3)), np.zeros((6, 3))
    for message, passes in {
        "row by row, without gaps": lambda: xp.add(x[:, :3], y, out=y),
        "in memory row by row": lambda: xp.dot(x.T, y, out=np.asfortranarray(z)),
        "not in memory row by row": lambda: xp.copyto(z, np.asfortranarray(z)),
        "overlapping arrays": lambda: xp.multiply(x, x[:1], out=x),
        "broadcast": lambda: xp.add(y, x, out=x),
        r"a product of \(4, 6\) and \(4, 3\) is not": lambda: xp.dot(x, y, out=z),
    }.items():
        with pytest.raises((ValueError, ProgramError), match=message):
            backend.program(passes)


def test_without_a_blas_to_call_the_passes_are_executed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = flats(trained("numba", 1, r1=0.5))
    monkeypatch.setattr("minigan.backends.numba.ops.blas", lambda: None)
    gan = trained("numba", 1, r1=0.5)
    assert isinstance(gan.ops, NumbaOps) and gan.ops.threads is None
    assert not any(isinstance(p, (Program, Trial)) for p in gan.programs.values())
    for name, value in flats(gan).items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-9 * max(np.abs(value).max(), 1e-3))


# -------------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("m", [1, 2, 15, 16, 17, 31, 32, 100, 784, 100_003])
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_shares_cover_all_rows_and_are_even(m: int, threads: int) -> None:
    ends = [vm.share(m, t, threads) for t in range(threads + 1)]
    sizes = np.diff(ends)
    assert ends[0] == 0 and ends[-1] == m and (sizes >= 0).all()
    assert sizes.max() - m / threads <= 2 * LEAST
    if m >= threads * LEAST:
        assert all(end % LEAST == 0 for end in ends[:-1])


def test_idle_threads_sleep_and_wake_again() -> None:
    settings: dict[str, Any] = {"batch_size": 48, "r1": 0.5}
    expected = flats(trained("numba", 2, 6, **settings))
    gan, process = trained("numba", 2, 3, **settings), psutil.Process()
    noise = Noise(3)
    for _ in range(3):
        time.sleep(0.3)  # they go to sleep
        before = process.cpu_times()
        time.sleep(0.3)
        after = process.cpu_times()
        assert after.user + after.system - before.user - before.system < 0.1
        gan.train_step(lambda out, i: noise.normal(out, 91, i))
    for name, value in flats(gan).items():
        np.testing.assert_array_equal(value, expected[name])


def test_no_wake_up_is_lost() -> None:
    """With three threads, one of which polls for the last time while another has just been woken."""
    settings: dict[str, Any] = {"batch_size": 96, "r1": 0.5}
    expected = flats(trained("numba", 3, 30, **settings))
    gan, noise = trained("numba", 3, 0, **settings), Noise(3)
    for step in range(30):
        time.sleep((step % 7) * 0.002)  # about as long as their patience
        gan.train_step(lambda out, i: noise.normal(out, 91, i))
    for name, value in flats(gan).items():
        np.testing.assert_array_equal(value, expected[name])
    events = team.team(np.dtype("float64"), 3).awake
    assert len(events) == 2 and events[0] is not events[1]


def test_an_interrupted_call_leaves_a_team_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, gan, noise = flats(trained("numba", 2, 6)), trained("numba", 2, 3), Noise(3)
    start = team.begin

    def interrupted(control: np.ndarray) -> None:
        start(control)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(team, "begin", interrupted)
        gan.train_step(lambda out, i: noise.normal(out, 91, i))
    gan.step += 1  # its passes were done
    for _ in range(2):
        gan.train_step(lambda out, i: noise.normal(out, 91, i))
    for name, value in flats(gan).items():
        np.testing.assert_array_equal(value, expected[name])


def test_several_threads_of_python_take_turns() -> None:
    """A team has one control block: a second caller waits."""
    expected, results = flats(trained("numba", 2, 8)), []
    workers = [threading.Thread(target=lambda: results.append(flats(trained("numba", 2, 8)))) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result in results:
        for name, value in result.items():
            np.testing.assert_array_equal(value, expected[name])
    assert len(results) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(tmp_path: Any) -> None:
    script = tmp_path / "forked.py"
    script.write_text(
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_program import trained, flats\n"
        "a = flats(trained('numba', 2))\n"
        "child = os.fork()\n"
        "b = flats(trained('numba', 2))\n"
        "same = all((a[k] == b[k]).all() for k in a)\n"
        "os._exit(0 if same else 1) if child == 0 else None\n"
        "raise SystemExit(os.waitpid(child, 0)[1] != 0 or not same)\n",
        encoding="utf-8",
    )
    process = start("forked", os.path.dirname(__file__), cwd=tmp_path)
    said = process.communicate(timeout=120)
    assert process.returncode == 0, said


def test_programs_keep_their_arrays_alive() -> None:
    out = np.zeros((2, 2))
    taken = recorded("add", np.full((2, 2), 3.0), np.full((2, 2), 4.0), out=out)
    for _ in range(100):
        np.full((2, 2), 9.0)
    taken()
    assert (out == 7).all()
    assert program.address(out) in [taken.code[name][0] for name in ADDRESSES]
