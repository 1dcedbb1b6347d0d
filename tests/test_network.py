"""Networks over one flat vector: gradients, tangents, independent tapes, initialisation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from helpers import differences, normal

from minigan import plain
from minigan.backends import Array, Ops
from minigan.backends.activations import ACTIVATIONS
from minigan.backends.noise import Noise
from minigan.nn.gradcheck import relative_error
from minigan.nn.network import Network, Tape, parameter_count
from minigan.nn.penalties import penalised_gradient

HIDDEN_AND_OUTPUT = [
    *itertools.product(ACTIVATIONS, ["identity"]),
    ("leaky-relu", "tanh"),
    ("tanh", "sigmoid"),
    ("relu", "relu"),
]
TOLERANCE = 1e-8


def network(
    backend: Ops, hidden: str = "tanh", output: str = "identity", sizes: tuple[int, ...] = (3, 5, 4, 2)
) -> Network:
    """A float64 network with random weights and random, non-zero biases."""
    net = Network(sizes, hidden, output, backend, "float64")
    net.theta.flat[...] = normal(backend, net.count, seed=8, scale=0.8)
    return net


def test_parameters_are_views_of_one_vector_in_the_documented_order(backend: Ops) -> None:
    flat = backend.asarray(np.arange(3 * 2 + 2 + 2 * 1 + 1, dtype=np.float64))
    net = Network((3, 2, 1), "tanh", "identity", backend, "float64")
    p = net.parameters(flat)
    (W1, b1), (W2, b2) = p.layers
    assert [a.shape for a in (W1, b1, W2, b2)] == [(3, 2), (2,), (2, 1), (1,)]
    assert backend.to_host(W1).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert [backend.to_host(a).ravel().tolist() for a in (b1, W2, b2)] == [[6, 7], [8, 9], [10]]
    W2.fill(-1)
    assert backend.to_host(flat)[8:10].tolist() == [-1, -1]
    for wrong in (10, 12):
        with pytest.raises(ValueError, match=f"layers \\(3, 2, 1\\) need 11 parameters, the vector has {wrong}"):
            net.parameters(backend.zeros((wrong,), "float64"))


def test_a_network_can_look_at_other_weights(backend: Ops) -> None:
    net = network(backend)
    other = normal(backend, net.count, seed=9)
    twin = Network(net.sizes, "tanh", "identity", backend, "float64", other)
    assert twin.theta.flat is other
    assert twin.count == net.count == 4 * 5 + 6 * 4 + 5 * 2


@pytest.mark.parametrize(("hidden", "output"), HIDDEN_AND_OUTPUT)
def test_gradients_agree_with_differences(backend: Ops, hidden: str, output: str) -> None:
    net = network(backend, hidden, output)
    x, dy = normal(backend, 6, 3, seed=1), normal(backend, 6, 2, seed=2)
    tape, into = net.tape(6), net.parameters()
    loss = lambda: float((net.forward(x, tape) * dy).sum())  # noqa: E731
    loss()
    dx = net.backward(dy, tape, into)
    assert dx is tape.dx
    analytic = [backend.to_host(a).copy() for a in (into.flat, dx)]
    for gradient, array in zip(analytic, (net.theta.flat, x), strict=True):
        assert relative_error(gradient, differences(loss, array, backend)) < TOLERANCE


def test_backward_gives_only_what_is_asked_for(backend: Ops) -> None:
    net = network(backend)
    x, dy = normal(backend, 6, 3, seed=1), normal(backend, 6, 2, seed=2)
    tape, into = net.tape(6), net.parameters()
    net.forward(x, tape)
    dx = backend.to_host(net.backward(dy, tape)).copy()
    assert net.backward(dy, tape, into, want_dx=False) is None
    weights = backend.to_host(into.flat).copy()
    np.testing.assert_array_equal(backend.to_host(net.input_gradient(tape)), dx)
    into.flat.fill(7)
    net.backward(dy, tape, into)
    np.testing.assert_array_equal(backend.to_host(into.flat), weights)  # written, not added to


def test_backward_changes_neither_its_upstream_gradient_nor_the_parameters(backend: Ops) -> None:
    for hidden, output in HIDDEN_AND_OUTPUT:
        net = network(backend, hidden, output)
        x, dy = normal(backend, 6, 3, seed=1), normal(backend, 6, 2, seed=2)
        kept = [backend.to_host(a).copy() for a in (x, dy, net.theta.flat)]
        tape = net.tape(6)
        net.forward(x, tape)
        net.backward(dy, tape, net.parameters())
        for array, before in zip((x, dy, net.theta.flat), kept, strict=True):
            np.testing.assert_array_equal(backend.to_host(array), before)


@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_two_tapes_coexist(backend: Ops, hidden: str) -> None:
    """A second forward pass must not overwrite arrays that the backward pass of the first one reads."""
    net = network(backend, hidden)
    x, other, dy = normal(backend, 6, 3, seed=1), normal(backend, 6, 3, seed=5), normal(backend, 6, 2, seed=2)
    alone, first, second = net.tape(6), net.tape(6), net.tape(6)
    expected, got = net.parameters(), net.parameters()
    net.forward(x, alone)
    dx = backend.to_host(net.backward(dy, alone, expected)).copy()

    y = net.forward(x, first)
    kept = backend.to_host(y).copy()
    net.forward(other, second)
    net.backward(dy, second, net.parameters())
    np.testing.assert_array_equal(backend.to_host(y), kept)
    np.testing.assert_array_equal(backend.to_host(net.backward(dy, first, got)), dx)
    np.testing.assert_array_equal(backend.to_host(got.flat), backend.to_host(expected.flat))


def test_nothing_but_the_parameters_is_kept_on_the_network(backend: Ops) -> None:
    net = network(backend)
    before, of_layers = set(vars(net)), [dict(vars(layer)) for layer in net.layers]
    tape = net.tape(6, tangents=True)
    net.forward(normal(backend, 6, 3), tape)
    net.backward(normal(backend, 6, 2), tape, net.parameters())
    net.tangent(normal(backend, 6, 3), tape)
    assert set(vars(net)) == before
    assert [vars(layer) for layer in net.layers] == of_layers
    assert not [name for name, value in vars(net).items() if isinstance(value, backend.xp.ndarray)]


def same_memory(a: object, b: object) -> bool:
    """Whether writing to `a` changes `b`."""
    a.fill(123)  # type: ignore[attr-defined]
    return bool((b == 123).all())  # type: ignore[attr-defined]


def arrays(tape: Tape) -> dict[str, Array]:
    """Every array of a tape by its name."""
    found = {name: value for name, value in vars(tape).items() if name != "layers"}
    for number, layer in enumerate(tape.layers, 1):
        found |= {f"{name}[{number}]": value for name, value in vars(layer).items()}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize("hidden", ["leaky-relu", "tanh"])
@pytest.mark.parametrize("tangents", [False, True])
def test_rows_of_a_tape_are_views(backend: Ops, hidden: str, tangents: bool) -> None:
    net = network(backend, hidden)
    tape = net.tape(6, tangents=tangents)
    tape.x = normal(backend, 6, 3)
    part = tape.rows(2, 5)
    assert (len(tape), len(part)) == (6, 3)
    wholes, views = arrays(tape), arrays(part)
    assert set(views) == set(wholes) and len(wholes) >= (19 if tangents else 12)
    for name, whole in wholes.items():
        assert views[name].shape == (3, *whole.shape[1:])
        assert same_memory(views[name], whole[2:5])


def test_a_tape_with_another_output_shares_all_but_that(backend: Ops) -> None:
    net, y = network(backend), normal(backend, 6, 2)
    tape = net.tape(6)
    other = arrays(tape.with_output(y))
    assert other.pop("y[3]") is y
    assert all(same_memory(other[name], array) for name, array in arrays(tape).items() if name != "y[3]")
    assert arrays(net.tape(6, output=y))["y[3]"] is y


@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_a_tape_holds_what_its_passes_need_and_no_more(backend: Ops, hidden: str) -> None:
    net = network(backend, hidden)
    bare, tape = arrays(net.tape(6)), arrays(net.tape(6, tangents=True))
    assert net.curved == plain.ACTIVATIONS[hidden][2](np.array([-0.7, 0.3])).any()
    kept = {"dx", "ones"} | {f"{name}[{k}]" for name in ("y", "slope", "dz") for k in (1, 2, 3)}
    assert set(bare) == kept
    more = ("u", "t", "bend", "e") if net.curved else ("u", "t", "mix")
    assert set(tape) == kept | {"v"} | {f"{name}[{k}]" for name in more for k in (1, 2, 3)}
    shapes = {"v": (6, 3), "e[1]": (6, 5), "bend[2]": (6, 4), "mix[1]": (6, 3), "mix[3]": (6, 4)}
    assert all(tape[name].shape == shape for name, shape in shapes.items() if name in tape)


@pytest.mark.parametrize("hidden", ["leaky-relu", "tanh"])
def test_every_array_of_a_tape_has_the_networks_precision(backend: Ops, hidden: str) -> None:
    net = Network((3, 5, 2), hidden, "identity", backend, "float32")
    assert {array.dtype.name for array in arrays(net.tape(6, tangents=True)).values()} == {"float32"}


def test_a_tape_of_a_deeper_network_is_refused(backend: Ops) -> None:
    net, deeper = network(backend), network(backend, sizes=(3, 5, 4, 2, 2))
    with pytest.raises(ValueError, match="longer"):
        net.forward(normal(backend, 6, 3), deeper.tape(6))
    with pytest.raises(ValueError, match="longer"):
        net.tangent(normal(backend, 6, 3), deeper.tape(6, tangents=True))


@pytest.mark.parametrize("hidden", ["leaky-relu", "tanh"])
def test_a_gradient_of_a_deeper_network_is_refused(backend: Ops, hidden: str) -> None:
    net = network(backend, hidden, sizes=(3, 5, 1))
    deeper, ds = network(backend, hidden, sizes=(3, 5, 1, 1)).parameters(), normal(backend, 6, 1)
    tape = net.tape(6, tangents=True)
    net.forward(normal(backend, 6, 3), tape)
    net.backward(tape.ones, tape)
    with pytest.raises(ValueError, match="longer"):
        net.weighted_gradient(tape, ds, deeper)
    if not net.curved:
        with pytest.raises(ValueError, match="longer"):
            penalised_gradient(net, tape, tape, ds, deeper, deeper)


def test_a_network_of_one_width_is_refused(backend: Ops) -> None:
    with pytest.raises(ValueError, match="longer"):
        Network((3,), "tanh", "identity", backend)


def test_a_network_is_printed_with_its_widths_and_activations(backend: Ops) -> None:
    net = Network((100, 30, 2), "tanh", "sigmoid", backend)
    assert repr(net) == "Network(100-30-2, tanh sigmoid, 3,092 parameters, float32)"


def test_a_pass_over_some_rows_equals_those_rows_of_the_whole_pass(backend: Ops) -> None:
    net = network(backend, "leaky-relu")
    x, dy = normal(backend, 6, 3, seed=1), normal(backend, 6, 2, seed=2)
    tape = net.tape(6)
    whole = backend.to_host(net.forward(x, tape)).copy()
    dx = backend.to_host(net.backward(dy, tape)).copy()
    part = net.tape(6).rows(2, 5)
    np.testing.assert_allclose(backend.to_host(net.forward(x[2:5], part)), whole[2:5], rtol=1e-12)
    np.testing.assert_allclose(backend.to_host(net.backward(dy[2:5], part)), dx[2:5], rtol=1e-12)


@pytest.mark.parametrize(("hidden", "output"), HIDDEN_AND_OUTPUT)
def test_the_tangent_is_the_directional_derivative(backend: Ops, hidden: str, output: str) -> None:
    net = network(backend, hidden, output)
    x, v, dy = normal(backend, 6, 3, seed=1), normal(backend, 6, 3, seed=3), normal(backend, 6, 2, seed=2)
    tape, probe = net.tape(6, tangents=True), net.tape(6)
    h = 1e-5
    above = backend.to_host(net.forward(x + h * v, probe)).copy()
    below = backend.to_host(net.forward(x - h * v, probe)).copy()
    net.forward(x, tape)
    dx = backend.to_host(net.backward(dy, tape)).copy()
    tangent = backend.to_host(net.tangent(v, tape))
    assert relative_error(tangent, (above - below) / (2 * h)) < TOLERANCE
    # forward and reverse mode are adjoint: dy . (J v) = (J^T dy) . v
    assert (tangent * backend.to_host(dy)).sum() == pytest.approx((dx * backend.to_host(v)).sum(), rel=1e-12)


@pytest.mark.parametrize(("hidden", "one"), [("leaky-relu", True), ("tanh", False)])
def test_a_part_of_a_tape_has_one_array_where_the_tape_has(backend: Ops, hidden: str, one: bool) -> None:
    """CuPy computes in place where operand and result are the same object, and copies where they only share memory."""
    tape = Network((3, 4, 1), hidden, "identity", backend).tape(6, tangents=True)
    for part in (tape, tape.rows(1, 4), tape.rows(1, 4).rows(0, 2)):
        assert all((layer.u is layer.t) == one for layer in part.layers)


@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_weighted_gradient_is_the_gradient_with_those_logit_gradients(backend: Ops, hidden: str) -> None:
    net = network(backend, hidden, sizes=(3, 5, 4, 1))
    x, ds = normal(backend, 6, 3, seed=1), normal(backend, 6, 1, seed=2)
    ds[2:4] = 0  # as the hinge loss has it
    tape, expected, got = net.tape(6), net.parameters(), net.parameters()
    net.forward(x, tape)
    net.backward(ds, tape, expected)
    net.backward(tape.ones, tape)
    net.weighted_gradient(tape, ds, got)
    np.testing.assert_allclose(backend.to_host(got.flat), backend.to_host(expected.flat), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("activation", "variance"),
    [
        ("relu", 2 / 300),
        ("leaky-relu", 2 / (1.04 * 300)),
        ("tanh", 2 / 700),
        ("sigmoid", 2 / 700),
        ("identity", 2 / 700),
    ],
)
def test_weights_start_with_the_variance_of_he_or_glorot(backend: Ops, activation: str, variance: float) -> None:
    net = Network((300, 400, 300), activation, "identity", backend)
    net.theta.flat.fill(5)
    net.initialise(Noise(1, backend), 1)
    (W1, b1), (W2, b2) = ((backend.to_host(W), backend.to_host(b)) for W, b in net.theta.layers)
    assert W1.var() == pytest.approx(variance, rel=0.02) and abs(W1.mean()) < 0.001
    assert W2.var() == pytest.approx(2 / 700, rel=0.02), "the output is linear"
    assert not b1.any() and not b2.any()
    assert abs(np.corrcoef(W1.ravel(), W2.ravel())[0, 1]) < 0.02, "layers draw different numbers"


def test_initial_weights_are_a_function_of_seed_and_stream(backend: Ops) -> None:
    def weights(seed: int, stream: int) -> np.ndarray:
        net = Network((3, 4, 2), "relu", "tanh", backend)
        net.initialise(Noise(seed, backend), stream)
        return backend.to_host(net.theta.flat).copy()

    np.testing.assert_array_equal(weights(1, 1), weights(1, 1))
    assert (weights(1, 1) != weights(2, 1)).any() and (weights(1, 1) != weights(1, 2)).any()


def test_a_network_without_hidden_layers_is_one_dense_step(backend: Ops) -> None:
    net = network(backend, "relu", "sigmoid", (3, 2))
    (W, b), x = net.theta.layers[0], normal(backend, 6, 3)
    expected = 1 / (1 + np.exp(-(backend.to_host(x) @ backend.to_host(W) + backend.to_host(b))))
    np.testing.assert_allclose(backend.to_host(net.forward(x, net.tape(6))), expected, rtol=1e-12)


def test_parameters_are_counted(backend: Ops) -> None:
    assert (
        parameter_count((3, 5, 2)) == (3 + 1) * 5 + (5 + 1) * 2 == Network((3, 5, 2), "relu", "identity", backend).count
    )
    assert parameter_count((7,)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_layer_that_is_not_finite_is_found(backend: Ops, bad: float) -> None:
    parameters = Network((3, 4, 5, 2), "relu", "identity", backend).parameters()
    assert parameters.first_not_finite() is None
    parameters.flat[...] = -3e38  # large is not infinite
    assert parameters.first_not_finite() is None
    for layer in (3, 2, 1):
        for array in parameters.layers[layer - 1]:
            kept = array.copy()
            array[-1] = bad
            assert parameters.first_not_finite() == layer
            array[...] = kept
        parameters.layers[layer - 1][1][0] = bad
