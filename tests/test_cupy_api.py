"""Without a GPU: every function of CuPy that training uses exists in CuPy, and the CuPy path gives NumPy's numbers.

Everything runs on a stand-in (fakecupy.py) that records each function, method and keyword. The record is then compared
with CuPy itself, which can be imported and inspected without a GPU.
"""

from __future__ import annotations

import inspect
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakecupy import Use, fake_cupy
from helpers import TINY, exit_code, flats, normal, tiny_gan

from minigan import sample, train
from minigan.backends import Ops, get_ops
from minigan.config import ACTIVATIONS, OUTPUTS, UPDATES
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.data.spaces import Table
from minigan.metrics import untrained
from minigan.nn.objectives import OBJECTIVES, cross_entropy, cross_entropy_gradient
from minigan.nn.penalties import one_centred, zero_centred
from minigan.runs import checkpoint, parts

# Signatures of ufuncs and methods cannot be inspected; this is what CuPy 14's documentation gives.
UFUNC_KEYWORDS = {"out", "dtype", "casting"}
REDUCTION = (3, {"axis", "dtype", "out", "keepdims"})
METHODS: dict[str, tuple[int, set[str]]] = {  # name: most positional arguments, keywords
    "sum": REDUCTION,
    "mean": REDUCTION,
    "max": (3, {"axis", "out", "keepdims"}),
    "min": (3, {"axis", "out", "keepdims"}),
    "argmax": (4, {"axis", "dtype", "out", "keepdims"}),
    "astype": (2, {"order", "casting", "subok", "copy"}),
    "copy": (1, {"order"}),
    "fill": (1, set()),
    "get": (0, {"stream", "order", "out", "blocking"}),
    "item": (0, set()),
    "ravel": (1, {"order"}),
    "reshape": (9, {"order"}),
    "set": (1, {"stream"}),
    **{name: (0, set()) for name in ("T", "dtype", "flags", "nbytes", "ndim", "shape", "size")},
}

PENALTIES: list[dict[str, Any]] = [{}, {"r1": 1.0, "r2": 0.5, "penalty_every": 2}, {"gradient_penalty": 1.0, "r1": 0.1}]
STEPS = [
    {"objective": objective, "update": update, "activation": activation, "output": output, **penalties}
    for (objective, update), activation, output, penalties in zip(
        itertools.product(OBJECTIVES, UPDATES),
        itertools.cycle(ACTIVATIONS),
        itertools.cycle(OUTPUTS),
        itertools.cycle(PENALTIES),
    )
] + [{"activation": a, **p} for a in ACTIVATIONS for p in PENALTIES]


def work(backend: Ops, settings: dict[str, Any], directory: Path) -> dict[str, np.ndarray]:
    """Perform all array operations of a training run; its results, on the host."""
    smoothed = "label_smoothing" in OBJECTIVES[settings.get("objective", "relativistic")].settings
    settings = {**settings, "label_smoothing": 0.1 if smoothed else 0.0}
    gan, _ = tiny_gan(backend, dtype="float32", discriminator_steps=2, **settings)
    rows = np.random.default_rng(0).integers(0, 16, (11, 4)).astype(np.uint8)
    scaler = Scaler(np.full(1, 0.5), np.full(1, 0.5))
    batches = Batches(rows, 1 / 16, scaler, 4, 0, backend, "float32")
    seen = []
    for _ in range(3):
        seen.append(gan.train_step(batches.fill, measure=True))
        gan.train_step(batches.fill)
    result = {**flats(gan), "sample": gan.sample(9), "raw": gan.sample(3, raw=True)}
    result["measured"] = np.array([[m.loss_d, m.loss_g, m.d_real, m.d_fake] for m in seen if m is not None])
    directory.mkdir()
    checkpoint.save(directory / checkpoint.NAME, gan, Table((4,), tuple("abcd")), scaler, {"name": "x"})
    saved = checkpoint.load(directory)
    other, _ = tiny_gan(backend, dtype="float32", discriminator_steps=2, **settings)
    saved.restore(other)
    other.train_step(batches.fill)
    backend.synchronize()
    assert isinstance(gan.z, backend.xp.ndarray)
    return {**result, **{f"later {k}": v for k, v in flats(other).items()}, "saved": saved.sample(5, backend, seed=1)}


def classify(backend: Ops) -> dict[str, np.ndarray]:
    """Use the operations that are not part of a training step."""
    s, targets = normal(backend, 5, 3), backend.asarray(np.eye(3)[[0, 1, 2, 1, 0]])
    out, g = backend.zeros((5, 3), "float64"), normal(backend, 5, 3, seed=1)
    cross_entropy_gradient(backend, s, targets, out)
    values = [cross_entropy(backend, s, targets), zero_centred(g, 1.0), one_centred(backend, g, 1.0)]
    return {"gradient": backend.to_host(out), "values": np.array([float(v) for v in values])}


@pytest.mark.parametrize("settings", STEPS, ids=lambda s: "-".join(map(str, s.values())))
def test_training_on_the_stand_in_gives_numpys_bits(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Nothing is copied between host and device implicitly: the stand-in refuses it, as CuPy does."""
    device, _ = fake_cupy()
    host = get_ops()
    got, expected = work(device, settings, tmp_path / "a"), work(host, settings, tmp_path / "b")
    assert set(got) == set(expected)
    for name, value in expected.items():
        assert isinstance(got[name], np.ndarray)
        np.testing.assert_array_equal(got[name], value)
    assert (tmp_path / "a" / checkpoint.NAME).read_bytes() == (tmp_path / "b" / checkpoint.NAME).read_bytes()


def test_a_checkpoint_from_the_device_samples_and_resumes_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    device, _ = fake_cupy()
    for data in ("ring", "digits"):
        argv = [*TINY, "--data", data, "--steps", "4"]
        with monkeypatch.context() as patch:
            patch.setattr(parts, "get_ops", lambda name, *rest: device if name == "cupy" else get_ops(name, *rest))
            assert exit_code(train.main, *argv, "--backend", "cupy", "--out", f"{data}-device") == 0
        assert '"backend": "cupy"' in Path(f"{data}-device/config.json").read_text()
        assert exit_code(train.main, *argv, "--out", f"{data}-host") == 0
        one, two = (Path(f"{data}-{place}", checkpoint.NAME).read_bytes() for place in ("device", "host"))
        assert one == two
        assert exit_code(sample.main, f"{data}-device", "-o", f"{data}.npz") == 0
        assert exit_code(sample.main, f"{data}-device", "-o", f"{data}.png", "--interpolate") == 0
    assert capsys.readouterr().err == ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "cupy", None)
        assert exit_code(train.main, "--resume", "digits-device") == 2
    assert "--backend cupy needs CuPy" in capsys.readouterr().err
    assert exit_code(train.main, "--resume", "digits-device", "--backend", "numpy", "--steps", "6", "--quiet") == 0
    assert checkpoint.load("digits-device").step == 6


# ------------------------------------------------------------------------------------------------ against CuPy itself


def missing(use: Use, cupy: Any) -> str | None:
    """What is missing in CuPy for this use, or None."""
    kind, name, arguments, keywords = use
    call = f"{name}({', '.join(['...'] * arguments + [f'{k}=...' for k in sorted(keywords)])})"
    if kind == "method":
        if not hasattr(cupy.ndarray, name):
            return f"cupy.ndarray has no {name}"
        if name.startswith("__"):
            return None
        if name not in METHODS:
            return f"cupy.ndarray.{name}: read its documentation, then add it to METHODS"
        most, allowed = METHODS[name]
        return None if arguments <= most and keywords <= allowed else f"cupy.ndarray does not take {call}"
    if not hasattr(cupy, name):
        return f"cupy has no {name}"
    if kind == "constant":
        return None
    function = getattr(cupy, name)
    if isinstance(function, cupy.ufunc):
        fits = arguments <= function.nin + function.nout and keywords <= UFUNC_KEYWORDS
        return None if fits else f"cupy does not take {call}"
    try:
        inspect.signature(function).bind(*[None] * arguments, **dict.fromkeys(keywords))
    except TypeError as error:
        return f"cupy does not take {call}: {error}"
    return None


@pytest.fixture(scope="module")
def cupy() -> Any:
    return pytest.importorskip(
        "cupy", reason="CuPy is not installed: pip install -e '.[test]' on Linux", exc_type=ImportError
    )


@pytest.fixture(scope="module")
def uses(tmp_path_factory: pytest.TempPathFactory) -> set[Use]:
    """Every use of CuPy by training, sampling, saving and restoring."""
    device, noted = fake_cupy()
    home = tmp_path_factory.mktemp("uses")
    for i, settings in enumerate(STEPS):
        work(device, settings, home / str(i))
    classify(device)
    untrained.of_levels(device.zeros((3, 4), "float32"), device)
    untrained.of_clips(np.zeros((3, 4, 6, 5), np.float32), device)
    untrained.of_lines(np.zeros((3, 4), np.int64), 2, device)
    return noted


def test_classifiers_on_the_stand_in_give_numpys_bits() -> None:
    for got, expected in zip(classify(fake_cupy()[0]).values(), classify(get_ops()).values(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_record_holds_what_a_step_is_made_of(uses: set[Use]) -> None:
    """So the comparison below is not empty."""
    functions = {use.name for use in uses if use.kind == "function"}
    assert {
        "dot",
        "multiply",
        "add",
        "exp",
        "tanh",
        "sqrt",
        "maximum",
        "sum",
        "logaddexp",
        "take",
        "copyto",
    } <= functions
    assert {"asarray", "zeros", "empty"} <= functions
    methods = {use.name for use in uses if use.kind == "method"}
    assert {"T", "fill", "get", "mean", "copy", "reshape", "__getitem__", "__setitem__", "__float__"} <= methods
    assert "set" not in methods, "CuPy's ndarray.set waits for the device: Ops.fill does not"
    assert Use("function", "take", 2, frozenset({"axis", "out"})) in uses
    assert Use("function", "sum", 1, frozenset({"axis", "keepdims", "out"})) in uses


def test_cupy_offers_everything_that_training_uses(cupy: Any, uses: set[Use]) -> None:
    assert sorted(filter(None, (missing(use, cupy) for use in uses))) == []


PLANTED = [
    Use("function", "take", 2, frozenset({"axis", "out", "mode"})),
    Use("function", "take", 5),
    Use("function", "frobnicate", 1),
    Use("function", "multiply", 2, frozenset({"out", "order"})),
    Use("function", "multiply", 4),
    Use("function", "sum", 1, frozenset({"axis", "initial"})),
    Use("function", "dot", 2, frozenset({"invented"})),
    Use("function", "random_raw"),
    Use("method", "sum", 0, frozenset({"where"})),
    Use("method", "setflags", 0, frozenset({"write"})),
    Use("method", "newbyteorder"),
    Use("method", "cumsum"),
    Use("constant", "float80"),
]


@pytest.mark.parametrize(
    "use", PLANTED, ids=lambda use: f"{use.name}({use.arguments}, {', '.join(sorted(use.keywords))})"
)
def test_what_cupy_lacks_is_found(cupy: Any, use: Use) -> None:
    assert missing(use, cupy) is not None


def test_an_operation_that_uses_what_cupy_lacks_is_found(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Planted in a training step itself."""
    original = Ops.weight_gradient

    def planted(self: Ops, x: Any, dz: Any, dW: Any, db: Any) -> None:
        original(self, x, dz, dW, db)
        self.xp.sum(dz, axis=0, out=db, where=True)

    monkeypatch.setattr(Ops, "weight_gradient", planted)
    device, noted = fake_cupy()
    work(device, {}, tmp_path / "x")
    assert [words for words in (missing(use, cupy) for use in noted) if words] == [
        "cupy does not take sum(..., axis=..., out=..., where=...): got an unexpected keyword argument 'where'"
    ]


def test_the_stand_in_refuses_to_mix_host_and_device() -> None:
    xp = fake_cupy()[0].xp
    there, here = xp.asarray(np.ones(3)), np.ones(3)
    for mixed in (
        lambda: xp.add(there, here),
        lambda: np.add(here, there),
        lambda: np.asarray(there),
        lambda: there + here,
        lambda: here + there,
        lambda: there.__setitem__(slice(None), here),
        lambda: there.set(np.ones(3, "f")),
        lambda: np.concatenate([there, here]),
    ):
        with pytest.raises(TypeError):
            mixed()
    assert float((2 * there + 1).sum()) == 9
    there[1:] -= 1
    assert there.get().tolist() == [1, 0, 0]
