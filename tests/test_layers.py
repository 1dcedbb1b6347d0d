"""Every kind of layer in a network of its kind alone, and beside dense ones: each pass against differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers import differences, normal

from minigan.backends import Array, Ops
from minigan.backends.activations import ACTIVATIONS
from minigan.backends.noise import Noise
from minigan.nn.gradcheck import relative_error
from minigan.nn.layers import LAYERS, Dense
from minigan.nn.network import Network
from minigan.nn.penalties import penalised_gradient

TOLERANCE = 1e-7
SIZES = (3, 5, 4, 1)
Make = Callable[..., Network]


@pytest.fixture(
    params=[(kind, mixed) for kind in LAYERS for mixed in (False, True)], ids=lambda p: p[0] + " mixed" * p[1]
)
def make(request: pytest.FixtureRequest, backend: Ops) -> Make:
    """Makes a float64 network of one kind of layer; mixed: dense layers before and after it."""
    kind, mixed = request.param

    def layer(fan_in: int, fan_out: int, activation: str, ops: Ops) -> Dense:
        return (Dense if mixed and fan_out != SIZES[2] else LAYERS[kind])(fan_in, fan_out, activation, ops)

    def network(activation: str, output: str = "identity") -> Network:
        net = Network(SIZES, activation, output, backend, "float64", layer=layer)
        net.theta.flat[...] = normal(backend, net.count, seed=8, scale=0.8)
        return net

    return network


def arrays(backend: Ops) -> tuple[Array, Array, Array]:
    """x, directions v, and an upstream gradient of logits."""
    return normal(backend, 6, 3, seed=1), normal(backend, 6, 3, seed=3), normal(backend, 6, 1, seed=2)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backward_and_the_weighted_gradient_agree_with_differences(backend: Ops, make: Make, name: str) -> None:
    net, (x, _, ds) = make(name), arrays(backend)
    tape, into = net.tape(6), net.parameters()

    def loss() -> Array:
        return (net.forward(x, tape) * ds).sum()

    loss()
    dx = backend.to_host(net.backward(ds, tape, into)).copy()
    numerical = differences(loss, net.theta.flat, backend)
    assert relative_error(backend.to_host(into.flat), numerical) < TOLERANCE
    assert relative_error(dx, differences(loss, x, backend)) < TOLERANCE
    into.flat.fill(7)
    net.forward(x, tape)
    net.backward(tape.ones, tape)
    net.weighted_gradient(tape, ds, into)
    assert relative_error(backend.to_host(into.flat), numerical) < TOLERANCE


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_tangent_is_the_directional_derivative(backend: Ops, make: Make, name: str) -> None:
    net, (x, v, _), h = make(name), arrays(backend), 1e-5
    tape = net.tape(6, tangents=True)
    above, below = (backend.to_host(net.forward(x + sign * h * v, tape)).copy() for sign in (1, -1))
    net.forward(x, tape)
    net.backward(tape.ones, tape)
    assert relative_error(backend.to_host(net.tangent(v, tape)), (above - below) / (2 * h)) < TOLERANCE


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_gradient_of_a_penalty_agrees_with_differences(backend: Ops, make: Make, name: str) -> None:
    """sum of ds . s + v . g, with g = dD/dx: what `penalised_gradient` is the gradient of."""
    net, (x, v, ds) = make(name), arrays(backend)
    tape, probe, into = net.tape(6, tangents=True), net.tape(6), net.parameters()

    def loss() -> Array:
        s = net.forward(x, probe)
        return (s * ds).sum() + (net.backward(probe.ones, probe) * v).sum()

    net.forward(x, tape)
    net.backward(tape.ones, tape)
    tape.v[...] = v
    penalised_gradient(net, tape, tape, ds, into, net.parameters())
    assert relative_error(backend.to_host(into.flat), differences(loss, net.theta.flat, backend)) < TOLERANCE


def test_weights_start_as_a_function_of_the_seed_and_fill_the_flat_vector(backend: Ops, make: Make) -> None:
    net = make("tanh")
    assert sum(array.size for layer in net.theta.layers for array in layer) == net.count
    starts = []
    for seed in (1, 1, 2):
        net.theta.flat.fill(np.nan)
        net.initialise(Noise(seed, backend), 1)
        starts.append(backend.to_host(net.theta.flat).copy())
    assert np.isfinite(starts).all() and (starts[0] == starts[1]).all() and (starts[0] != starts[2]).any()
