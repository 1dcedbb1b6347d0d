"""The CUDA kernels without a GPU: they compile for GPUs, and compiled for this CPU they compute what the reference does.

On a GPU `python -m minigan.lockstep --kernels cuda` and the tests marked gpu verify the same on the device.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from fakecuda import CublasLt, CublasLtError, OnCpu, on_cpu, products_on, stand_in
from helpers import agree, exit_code, slope_error, tiny_gan

from minigan import train
from minigan.backends import Ops, _require_nvmath, get_ops
from minigan.backends.activations import ACTIVATIONS
from minigan.backends.cuda import cublaslt
from minigan.backends.cuda import ops as gpu
from minigan.backends.noise import Noise
from minigan.check import certificate
from minigan.data import load
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.errors import FallbackWarning, InputError, MiniganError
from minigan.nn.objectives import OBJECTIVES
from minigan.runs import compare

CUBLASLT: Any = None
with suppress(ImportError):
    CUBLASLT = importlib.import_module("nvmath.bindings.cublasLt")


# ------------------------------------------------------------------------------------------------ compiled for cards


@pytest.mark.parametrize("card", ["sm_80", "sm_90"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("file", gpu.KERNELS)
def test_every_kernel_compiles_for_cards(file: str, dtype: str, card: str) -> None:
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")
    try:
        error, program = nvrtc.nvrtcCreateProgram(gpu.source(file).encode(), f"{file}.cu".encode(), 0, [], [])
    except RuntimeError as missing:
        pytest.skip(f"NVRTC is not installed ({missing})")
    flags = [
        f.encode() for f in (*gpu.options(dtype, "uint8"), f"--gpu-architecture={card}", "-ftz=true")
    ]  # as CuPy does
    (error,) = nvrtc.nvrtcCompileProgram(program, len(flags), flags)
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytes(size + 16)  # NVRTC writes into it: never one byte, because Python shares those with everybody
    nvrtc.nvrtcGetProgramLog(program, log)
    assert error == nvrtc.nvrtcResult.NVRTC_SUCCESS, log.rstrip(b"\0").decode()
    _, size = nvrtc.nvrtcGetPTXSize(program)
    ptx = bytes(size + 16)
    nvrtc.nvrtcGetPTX(program, ptx)
    for name in gpu.KERNELS[file]:
        assert f".entry {name}(".encode() in ptx
    if dtype == "float32" and file not in (
        "gather",
        "noise",
        "minibatch",
    ):  # cosf reduces huge angles in double; ours are small
        assert b".f64" not in ptx, "a float kernel computes in double"
    nvrtc.nvrtcDestroyProgram(program)


# --------------------------------------------------------------------------------------------- compiled for this CPU


@pytest.fixture(scope="module")
def fake() -> Ops:
    return stand_in()


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_agree_with_the_reference(fake: Ops, name: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    x, W, b, dy = (rng.normal(size=s).astype(dtype) for s in ((33, 5), (5, 7), (7,), (33, 7)))
    results = []
    for ops in (get_ops(), fake):
        y, slope, dz = (np.full((33, 7), np.nan, dtype) for _ in range(3))  # poison: everything must be written
        ops.dense_forward(x, W, b, name, y, slope)
        ops.activation_backward(dy, y, name, slope, dz)
        results.append((y, dz, dz if name == "identity" else slope))
    for expected, got in zip(*results, strict=True):
        agree(got, expected)


@on_cpu
@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_without_a_kernel_of_its_own_is_computed_by_its_row(
    fake: Ops, monkeypatch: pytest.MonkeyPatch, name: str, outputs: int
) -> None:
    monkeypatch.setattr(gpu, "KINDS", tuple(kind for kind in gpu.KINDS if kind != name))
    test_activations_agree_with_the_reference(fake, name, "float64")
    rng = np.random.default_rng(2)
    dz, W, y = (rng.normal(size=s) for s in ((33, outputs), (7, outputs), (33, 7)))
    found = []
    for ops in (get_ops(), fake):
        slope, out = np.full((33, 7), np.nan), np.full((33, 7), np.nan)
        ops.hidden_delta(dz, W, np.tanh(y), name, slope, out)
        found.append(out)
    agree(found[1], found[0])


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_delta_below_a_layer_agrees_with_the_reference(fake: Ops, name: str, outputs: int, dtype: str) -> None:
    """One output has a separate kernel; an activation whose slope is 1 may leave `slope` unchanged."""
    rng = np.random.default_rng(6)
    dz, W, y = (rng.normal(size=s).astype(dtype) for s in ((33, outputs), (7, outputs), (33, 7)))
    y = np.tanh(y)
    results = []
    for ops in (get_ops(), fake):
        slope, out = np.ones((33, 7), dtype), np.full((33, 7), np.nan, dtype)
        ops.hidden_delta(dz, W, y, name, slope, out)
        results.append((slope, out))
    for expected, got in zip(*results, strict=True):
        agree(got, expected)


@on_cpu
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_slopes_keep_the_accuracy_that_their_outputs_can_hold(fake: Ops, name: str) -> None:
    assert slope_error(fake, name) <= 1


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_logits_agree_into_the_tails(fake: Ops, dtype: str) -> None:
    s = np.concatenate([np.linspace(-30, 30, 401), [0, 1e4, -1e4, np.inf, -np.inf, np.nan]]).astype(dtype)[:, None]
    expected, got, scratch = (np.full_like(s, 7) for _ in range(3))
    calls: dict[str, Callable[[Ops, np.ndarray], None]] = {
        "sigmoid": lambda ops, out: ops.sigmoid(s, out, scratch),
        "softplus": lambda ops, out: ops.softplus(s, out),
        **{
            f"gradient {t}": lambda ops, out, t=t: ops.binary_cross_entropy_gradient(s, t, out, scratch)  # type: ignore[misc]
            for t in (0, 0.9, 1)
        },
    }
    for name, call in calls.items():
        with np.errstate(all="ignore"):
            call(get_ops(), expected)
        call(fake, got)
        atol = np.finfo(dtype).eps / s.size if name == "gradient 0.9" else np.finfo(dtype).tiny
        np.testing.assert_allclose(got, expected, rtol=8 * np.finfo(dtype).eps, atol=atol, err_msg=name)


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "smoothing"), [*((name, 0.0) for name in OBJECTIVES), ("minimax", 0.1), ("non-saturating", 0.1)]
)
def test_gradients_of_objectives_agree_into_the_tails(fake: Ops, name: str, smoothing: float, dtype: str) -> None:
    edge = [0, 1, -1, 40, -40, 1e4, -1e4, np.inf, -np.inf, np.nan]
    r, f = np.meshgrid(np.array([*np.linspace(-9, 9, 31), *edge]), np.array([*np.linspace(-8, 8, 27), *edge]))
    r, f = (a.astype(dtype).reshape(-1, 1) for a in (r, f))
    results, settings = [], {"label_smoothing": smoothing} if smoothing else {}
    for ops in (get_ops(), fake):
        dr, df, dg = (np.full_like(r, 7) for _ in range(3))
        objective = ops.objective(OBJECTIVES[name], r.size, dtype, **settings)
        with np.errstate(all="ignore"):
            objective.discriminator_gradient(r, f, dr, df)
            objective.generator_gradient(r, f, dg)
        results.append((dr, df, dg))
    assert isinstance(objective, gpu.SingleKernels) == (OBJECTIVES[name].__name__ in gpu.OBJECTIVES)
    eps = np.finfo(dtype).eps
    atol = 4 * eps / r.size if smoothing else np.finfo(dtype).tiny  # sigma(r) - 0.9 cancels
    for expected, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=8 * eps, atol=atol)


def test_an_objective_without_kernels_of_its_own_runs_as_it_is(fake: Ops) -> None:
    assert set(gpu.OBJECTIVES) <= {kind.__name__ for kind in OBJECTIVES.values()}

    class Own(OBJECTIVES["hinge"]):  # type: ignore[misc]
        pass

    assert type(fake.objective(Own, 4, "float32")) is Own


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adam_and_the_average_agree_with_the_reference(fake: Ops, dtype: str) -> None:
    rng = np.random.default_rng(2)
    gradients, start = rng.normal(size=(3, 1001)).astype(dtype), rng.normal(size=1001).astype(dtype)
    results = []
    for ops in (get_ops(), fake):
        theta, m, v, mean, scratch = start.copy(), *(np.zeros_like(start) for _ in range(4))
        for g in gradients:
            factors, weight = np.array([0.5, 0.99, 0.01, 1e-8], dtype), np.array([0.1], dtype)
            ops.adam(theta, g, m, v, factors, scratch)
            ops.average(mean, theta, weight, scratch)
            ops.adam(theta, g, m, v, factors, scratch, mean, weight)
        results.append((theta, m, v, mean))
    for expected, got in zip(*results, strict=True):
        agree(got, expected)


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stored", ["uint8", "float32", "float64"])
def test_gathering_agrees_with_the_reference(fake: Ops, stored: str, dtype: str) -> None:
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 256, (20, 6)).astype(stored)
    chosen, offset, factor = rng.permutation(20)[:8], *rng.normal(size=(2, 6)).astype(dtype)
    expected, got = np.full((8, 6), np.nan, dtype), np.full((8, 6), np.nan, dtype)
    get_ops().gather(rows, chosen, offset, factor, np.empty((8, 6), stored), expected)
    fake.gather(rows, chosen, offset, factor, None, got)
    agree(got, expected)


@on_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [1, 3])
def test_columns_are_added_up_as_by_the_reference(fake: Ops, width: int, dtype: str) -> None:
    """To the bit: in the order of the terms."""
    rng = np.random.default_rng(3)
    index = rng.integers(-1, 5, (4, 6))
    index[0] = rng.integers(0, 5, 6)
    x, results = rng.normal(size=(9, 5 * width)).astype(dtype), []
    for ops in (get_ops(), fake):
        out, scratch = (np.full((9, 6 * width), np.nan, dtype) for _ in range(2))
        ops.sum_columns(x, ops.columns(index, width), out, scratch)
        results.append(out)
    np.testing.assert_array_equal(*results)


@on_cpu
@pytest.mark.parametrize("data", ["digits", "ring"])
def test_minibatches_are_the_references(fake: Ops, data: str) -> None:
    """Images have one offset and one factor for all of their pixels, points have one for each column."""
    loaded, batches = load(data), []
    for backend in (get_ops(), fake):
        scaler = Scaler.fit(loaded.space, loaded.train, "tanh", loaded.unit)
        out = np.full((16, loaded.space.size), np.nan, np.float32)
        Batches(loaded.train, loaded.unit, scaler, 16, 0, backend, "float32").fill(out, 5)
        batches.append(out)
    agree(batches[1], batches[0])


SEEDS = [(0, 3, 0), (7, 8, 12345), (2**63 - 1, 13, 2**40)]


@on_cpu
@pytest.mark.parametrize(("seed", "stream", "step"), SEEDS)
def test_integers_are_numpys_to_the_bit(fake: Ops, seed: int, stream: int, step: int) -> None:
    for n in (1, 4, 1003):
        out = np.zeros(n, np.uint64)
        fake.launch("words", n, np.float32(0), out, np.int64(n), *map(np.uint64, (seed, stream, step)))  # type: ignore[attr-defined]
        np.testing.assert_array_equal(out, Noise(seed).integers(n, stream, step))


@on_cpu
@pytest.mark.parametrize(("seed", "stream", "step"), SEEDS)
@pytest.mark.parametrize("n", [1, 2, 7, 8, 15, 16, 17, 31, 33, 1000, 4098])
def test_noise_is_the_hosts(fake: Ops, n: int, seed: int, stream: int, step: int) -> None:
    """Uniforms to the bit; normals to a few units in the last place, because logarithms and cosines differ by that."""
    for dtype in ("float32", "float64"):
        expected, got = np.empty((n, 1), dtype), np.full((n, 1), np.nan, dtype)
        Noise(seed).uniform(expected, stream, step)
        Noise(seed, fake).uniform(got, stream, step)
        np.testing.assert_array_equal(got, expected)
        Noise(seed).normal(expected, stream, step)
        Noise(seed, fake).normal(got, stream, step)
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)


@on_cpu
def test_kernels_do_not_hide_a_nan(fake: Ops) -> None:
    for name in ACTIVATIONS:
        y, slope = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)
        x = np.array([[np.nan], [1]], np.float32)
        fake.dense_forward(x, np.ones((1, 3), np.float32), np.zeros(3, np.float32), name, y, slope)
        assert np.isnan(y[0]).all() and np.isfinite(y[1]).all()


@on_cpu
def test_the_certificate_holds_with_cuda_kernels(fake: Ops) -> None:
    sections = ("operations", "networks", "penalties", "optimisers")
    assert [row.what for row in certificate(fake, sections) if not row.passed] == []


@on_cpu
@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
def test_training_stays_in_step_with_numpy(fake: Ops, update: str) -> None:
    for dtype, bound in compare.BOUNDS.items():
        found = list(compare.differences(fake, compare.settings(dtype, "non-saturating", update), 5))
        assert max(d.relative for d in found if d.tensor != compare.NOISE) < bound
        assert max(d.relative for d in found if d.tensor == compare.NOISE) < compare.NOISE_BOUND


@on_cpu
def test_a_step_draws_its_noise_on_the_device(fake: Ops) -> None:
    """Noise is drawn on the device: no host array is copied into `z`."""
    gan, fill = tiny_gan(fake, objective="non-saturating")
    drawn: list[str] = []
    kept = fake.draw  # type: ignore[attr-defined]
    fake.draw = lambda kind, *rest: (drawn.append(kind), kept(kind, *rest))  # type: ignore[attr-defined]
    try:
        gan.train_step(fill)
    finally:
        fake.draw = kept  # type: ignore[attr-defined]
    assert drawn == ["normal"]


# ------------------------------------------------------------------------------------------- products and graphs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m, n, k", [(32, 8, 5), (3, 40, 7), (1, 9, 20), (64, 1, 3), (50, 33, 1), (1, 1, 1)])
def test_products_are_numpys(fake: Ops, m: int, n: int, k: int, dtype: str) -> None:
    """With all four orders of the operands, and from addresses that are aligned to single numbers only."""
    rng, flat = np.random.default_rng(2), np.empty(m * n + 3, dtype)
    for a in (rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, m)).astype(dtype).T):
        for b in (rng.normal(size=(k, n)).astype(dtype), rng.normal(size=(n, k)).astype(dtype).T):
            for first in range(3):
                out = flat[first : first + m * n].reshape(m, n)
                out[:] = np.nan
                fake.xp.dot(a, b, out=out)
                agree(out, a @ b)


def test_a_plan_is_made_once(fake: Ops) -> None:
    products = products_on(fake.xp, CublasLt(fake.xp))  # type: ignore[arg-type]
    x, W, out = np.ones((6, 4)), np.ones((4, 8)), np.empty((6, 8))
    for _ in range(3):
        products.dot(x, W, out=out)
    assert len(products.plans) == 1
    products.dot(out, W.T, out=x)
    assert len(products.plans) == 2


def test_products_that_cannot_be_are_refused(fake: Ops) -> None:
    dot, x = fake.xp.dot, np.zeros((4, 6))
    for error, a, b, out in (
        (ValueError, x, x, np.zeros((4, 6))),
        (ValueError, x, x.T, np.zeros((4, 5))),
        (ValueError, x, x.T, np.zeros((4, 4), order="F")),
        (ValueError, np.zeros((4, 9))[:, :6], x.T, np.zeros((4, 4))),
        (TypeError, x, x.T.astype(np.float32), np.zeros((4, 4))),
    ):
        dot(np.zeros((4, 6)), np.zeros((4, 6)).T, out=np.zeros((4, 4)))  # there is a plan for such a product
        with pytest.raises(error):
            dot(a, b, out=out)
    for vector in (np.zeros(5), np.zeros(4, np.float32), np.zeros(8)[::2]):
        with pytest.raises(ValueError, match="cannot stand beside"):
            fake.xp.products.affine(x, x.T, vector, out=np.zeros((4, 4)))


def test_a_product_that_cublaslt_cannot_do_is_a_sentence(fake: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    def saying(status: int) -> Callable[..., None]:
        def raises(*_: object) -> None:
            raise CublasLtError(status)

        return raises

    library = CublasLt(OnCpu())
    products, x = products_on(fake.xp, library), np.zeros((4, 4))

    for found in (lambda *_: None, saying(cublaslt.NOT_SUPPORTED)):  # none is counted, or it says so
        monkeypatch.setattr(library, "matmul_algo_get_heuristic", found)
        with pytest.raises(
            MiniganError, match=r"no algorithm for a product of \(4, 4\) .*; choose --kernels reference"
        ):
            products.dot(x, x, out=np.zeros((4, 4)))
        assert not products.affine(x, x, x[0], out=x) and not products.dot_and_sums(x, x, x[0], out=x)
        products.plans.clear()
    monkeypatch.setattr(library, "matmul_algo_get_heuristic", saying(cublaslt.INVALID_VALUE))
    assert not products.affine(x, x, x[0], out=x)
    with pytest.raises(MiniganError, match="cannot plan"):
        products.dot(x, x, out=np.zeros((4, 4)))
    products.plans.clear()
    monkeypatch.setattr(library, "matmul_algo_get_heuristic", lambda *_: 1 / 0)
    for multiply in (products.dot, lambda a, b, *, out: products.affine(a, b, x[0], out=out)):
        with pytest.raises(MiniganError, match=r"cannot plan .* \(division by zero\); choose --kernels reference"):
            multiply(x, x, out=np.zeros((4, 4)))
    assert not products.plans


@pytest.mark.parametrize("supports", [{0, 4, 256}, {0}])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_bias_and_sums_are_part_of_their_product_where_possible(dtype: str, supports: set[int]) -> None:
    """From addresses of every alignment, including those of the vectors."""
    ops = stand_in()
    ops.xp.products.library.supports = supports  # type: ignore[attr-defined]
    rng = np.random.default_rng(4)
    x, dz, W = (rng.normal(size=shape).astype(dtype) for shape in ((9, 6), (9, 5), (6, 5)))
    for first in range(3):
        b, db = rng.normal(size=first + 5).astype(dtype)[first:], np.full(first + 5, np.nan, dtype)[first:]
        y, dW = np.full((9, 5), np.nan, dtype), np.full((6, 5), np.nan, dtype)
        if len(supports) > 1:
            ops.dense_forward(x, W, b, "identity", y, y)
            agree(y, x @ W + b)
        ops.weight_gradient(x, dz, dW, db)
        agree(dW, x.T @ dz)
        agree(db, dz.sum(axis=0))


@pytest.mark.parametrize("status", [cublaslt.NOT_SUPPORTED, cublaslt.INVALID_VALUE, 13])
def test_a_plan_that_fails_when_it_is_executed(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """With a vector, the failure counts as no plan, and the plan is not tried again; otherwise it is an error."""
    library = CublasLt(OnCpu())
    products, x, calls = products_on(library.module, library), np.zeros((4, 4)), []

    def refuses(*_: object) -> None:
        calls.append(1)
        raise CublasLtError(status)

    monkeypatch.setattr(library, "matmul", refuses)
    with pytest.raises(CublasLtError):
        products.dot(x, x, out=np.zeros((4, 4)))
    if status == 13:
        with pytest.raises(CublasLtError):
            products.affine(x, x, x[0], out=np.zeros((4, 4)))
    else:
        assert not any(products.affine(x, x, x[0], out=np.zeros((4, 4))) for _ in range(2))
        assert len(calls) == 2


@on_cpu
@pytest.mark.parametrize("settings", [
    {}, {"objective": "relativistic", "r1": 0.5, "r2": 0.3, "penalty_every": 2}, {"discriminator_steps": 2},
    {"objective": "wasserstein", "gradient_penalty": 0.7, "update": "simultaneous"}, {"activation": "tanh", "r1": 0.5},
    {"shape": (8, 6), "convolutions": (3, 1, 4, 2, 2, 5), "r1": 0.5, "r2": 0.3, "penalty_every": 2},
    {"shape": (8, 6), "convolutions": (2, 2, 1), "r1": 0.5, "update": "simultaneous", "activation": "tanh"},
])  # fmt: skip
def test_a_recorded_step_computes_what_the_step_computes(fake: Ops, settings: dict[str, Any]) -> None:
    """In every call, although coefficients change from step to step; recording computes nothing."""
    (expected, fill), (gan, fill_there) = (tiny_gan(backend, **settings) for backend in (get_ops(), fake))
    gan.noise = Noise(gan.config.seed)
    for name, value in expected.state().items():
        np.copyto(gan.state()[name], value)
    for _ in range(7):
        expected.train_step(fill)
        gan.train_step(fill_there)
    assert gan.programs and all(isinstance(p, gpu.Graph) and p.recorded is not None for p in gan.programs.values())
    for name, value in expected.state().items():
        np.testing.assert_allclose(
            gan.state()[name], value, rtol=0, atol=1e-9 * max(1, np.abs(value).max()), err_msg=name
        )


@on_cpu
def test_a_recording_that_fails_is_ended(fake: Ops) -> None:
    def fails() -> None:
        if graph.warm:
            raise KeyboardInterrupt

    graph = gpu.Graph(fails, fake)
    graph()
    with pytest.raises(KeyboardInterrupt):  # not that CUDA has no use for what was recorded up to there
        graph()
    assert fake.xp.recording is None and graph.recorded is None


@on_cpu
def test_what_cannot_be_recorded_is_launched_piece_by_piece_with_a_warning(fake: Ops) -> None:
    """Here because it allocates memory, as CuPy does for operands that overlap."""
    x = np.zeros((6, 2))

    def passes() -> None:
        fake.xp.add(x[:4], 1, out=x[2:])

    graph = gpu.Graph(passes, fake)
    graph()
    with pytest.warns(FallbackWarning, match="piece by piece.*: 64 bytes asked for in a step that is being recorded"):
        graph()
    graph()
    assert x[5, 0] == 2 and graph.nodes() == 0 and fake.xp.recording is None


@on_cpu
def test_a_recorded_step_in_tf32_is_the_step_in_tf32() -> None:
    """Its operands are rounded in every launch, and its weights stay close to those of float32."""
    config = compare.settings("float32", "non-saturating", "alternating")
    backend = stand_in("cuda-tf32")
    found = [d for d in compare.differences(backend, config, 6) if d.tensor in ("generator", "discriminator")]
    assert 1e-7 < max(d.relative for d in found) < 1e-2


@on_cpu
def test_tf32_rounds_what_is_multiplied_and_nothing_else() -> None:
    ops = stand_in("cuda-tf32")
    x = np.array([[1 + 2**-12, 3.0]], np.float32)
    out = np.empty((1, 1), np.float32)
    ops.xp.dot(x, np.array([[1], [0]], np.float32), out=out)
    assert out[0, 0] == 1
    twice = np.empty((1, 1))
    ops.xp.dot(x.astype(np.float64), np.array([[1.0], [0.0]]), out=twice)
    assert twice[0, 0] == 1 + 2**-12
    ops.xp.sum(x, axis=1, keepdims=True, out=out)
    assert out[0, 0] == np.float32(4 + 2**-12), "a sum is none of the products that are meant"


FUNCTIONS = [name for name, _ in inspect.getmembers(CublasLt, inspect.isfunction) if name not in ("new", "__init__")]


@pytest.mark.skipif(CUBLASLT is None, reason="nvmath-python is not installed")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_stand_in_takes_what_cublaslt_takes(name: str) -> None:
    """The arguments of the bindings, by name and order, from the first line of their documentation."""
    first = getattr(CUBLASLT, name).__doc__.splitlines()[0]
    named = [part.split()[-1] for part in first[first.index("(") + 1 : first.rindex(")")].split(",") if part.strip()]
    assert list(inspect.signature(getattr(CublasLt, name)).parameters)[1:] == named


@pytest.mark.skipif(CUBLASLT is None, reason="nvmath-python is not installed")
def test_the_stand_ins_numbers_are_those_of_cublaslt() -> None:
    real: Any = CUBLASLT
    for mine, theirs in (
        (CublasLt.MatmulDescAttribute, real.MatmulDescAttribute),
        (CublasLt.MatmulPreferenceAttribute, real.MatmulPreferenceAttribute),
    ):
        assert all(theirs[name] == value for name, value in mine.__members__.items())
    assert tuple(cublaslt.EPILOGUE.values()) == (real.Epilogue.BIAS, real.Epilogue.BGRADA)
    assert issubclass(real.cuBLASLtError, Exception)
    assert np.dtype(real.matmul_heuristic_result_dtype) == CublasLt.matmul_heuristic_result_dtype
    from nvmath.bindings.cublas import ComputeType, Status

    assert (Status.NOT_SUPPORTED, Status.INVALID_VALUE) == (cublaslt.NOT_SUPPORTED, cublaslt.INVALID_VALUE)

    for name, value in (("float32", "COMPUTE_32F"), ("float64", "COMPUTE_64F"), ("tf32", "COMPUTE_32F_FAST_TF32")):
        assert cublaslt.COMPUTE[name] == ComputeType[value]


def test_cupy_records_streams() -> None:
    cuda = pytest.importorskip("cupy", reason="CuPy is not installed").cuda
    assert all(hasattr(cuda.Stream, name) for name in ("begin_capture", "end_capture", "__enter__"))
    assert (
        hasattr(cuda.Graph, "launch")
        and hasattr(cuda, "using_allocator")
        and "non_blocking" in (cuda.Stream.__init__.__doc__ or cuda.Stream.__doc__)
    )


def test_cuda_kernels_need_nvmath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvmath.bindings.cublasLt", None)
    with pytest.raises(InputError, match=r"--kernels cuda needs nvmath-python, .* pip install 'cupy-cuda13x\[ctk\]"):
        _require_nvmath("cuda")
    library = CublasLt(OnCpu())
    monkeypatch.setitem(sys.modules, "nvmath.bindings.cublasLt", library)
    _require_nvmath("cuda")
    monkeypatch.setattr(library, "create", lambda: 1 / 0)
    with pytest.raises(InputError, match=r"--kernels cuda needs cuBLASLt, which cannot be used \(division by zero\)"):
        _require_nvmath("cuda")


def test_cuda_kernels_are_for_the_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(train.main, "--kernels", "cuda", "--steps", 1) == 2
    assert "--kernels cuda is for the GPU; leave it out with --backend numpy." in capsys.readouterr().err


@pytest.mark.gpu
def test_a_gpu_stays_in_step_with_cuda_kernels() -> None:
    backend = get_ops("cupy", "cuda")
    for dtype, bound in compare.BOUNDS.items():
        config = compare.settings(dtype, "non-saturating", "alternating")
        assert max(d.relative for d in compare.differences(backend, config, 100) if d.tensor != "latent points") < max(
            bound, 1e-5
        )
