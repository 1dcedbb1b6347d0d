"""Every kind of layer in a network of its kind alone, and beside dense ones: each pass against differences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from helpers import differences, normal

from minigan.backends import Array, Ops
from minigan.backends.activations import ACTIVATIONS
from minigan.backends.noise import Noise
from minigan.nn.gradcheck import relative_error
from minigan.nn.layers import LAYERS, Convolution, Dense, Make, Patches, TransposedConvolution
from minigan.nn.network import Network
from minigan.nn.penalties import penalised_gradient

TOLERANCE = 1e-7
MakeNetwork = Callable[..., Network]

SMALL, LARGE = (
    Patches((2, 4, 2), 2, 1),
    Patches((3, 5, 1), 2, 1),
)  # 3 patches of 8 numbers; 8 patches of 4, which overlap
NETWORKS: dict[str, tuple[tuple[int, ...], tuple[Make, ...]]] = {
    "dense": ((3, 5, 4, 1), (Dense, Dense, Dense)),
    "convolution": ((15, 16, 6, 1), (partial(Convolution, LARGE), partial(Convolution, SMALL), Dense)),
    "convolution after a dense layer": ((3, 15, 16, 1), (Dense, partial(Convolution, LARGE), Dense)),
    "transposed convolution": (
        (6, 16, 15, 1),
        (partial(TransposedConvolution, SMALL), partial(TransposedConvolution, LARGE), Dense),
    ),
    "transposed convolution after a dense layer": (
        (3, 6, 16, 30, 1),
        (Dense, partial(TransposedConvolution, SMALL), partial(TransposedConvolution, Patches((3, 5, 2), 2, 1)), Dense),
    ),
    "both": (
        (16, 6, 16, 6, 1),
        (partial(Convolution, SMALL), partial(TransposedConvolution, SMALL), partial(Convolution, SMALL), Dense),
    ),
}
"""Sizes and layers of networks with one output."""


@pytest.fixture(params=NETWORKS)
def make(request: pytest.FixtureRequest, backend: Ops) -> MakeNetwork:
    """Makes a float64 network of these layers."""
    sizes, layers = NETWORKS[request.param]

    def network(activation: str, output: str = "identity") -> Network:
        net = Network(sizes, activation, output, backend, "float64", layer=layers)
        net.theta.flat[...] = normal(backend, net.count, seed=8, scale=0.8)
        return net

    return network


def test_every_kind_of_layer_is_in_one_of_these_networks() -> None:
    made = {getattr(maker, "func", maker) for _, layers in NETWORKS.values() for maker in layers}
    assert made == set(LAYERS.values())


def arrays(backend: Ops, net: Network) -> tuple[Array, Array, Array]:
    """x, directions v, and an upstream gradient of logits."""
    size = net.sizes[0]
    return normal(backend, 6, size, seed=1), normal(backend, 6, size, seed=3), normal(backend, 6, 1, seed=2)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backward_and_the_weighted_gradient_agree_with_differences(backend: Ops, make: MakeNetwork, name: str) -> None:
    net = make(name)
    x, _, ds = arrays(backend, net)
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
def test_the_tangent_is_the_directional_derivative(backend: Ops, make: MakeNetwork, name: str) -> None:
    net, h = make(name), 1e-5
    x, v, _ = arrays(backend, net)
    tape = net.tape(6, tangents=True)
    above, below = (backend.to_host(net.forward(x + sign * h * v, tape)).copy() for sign in (1, -1))
    net.forward(x, tape)
    net.backward(tape.ones, tape)
    assert relative_error(backend.to_host(net.tangent(v, tape)), (above - below) / (2 * h)) < TOLERANCE


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_gradient_of_a_penalty_agrees_with_differences(backend: Ops, make: MakeNetwork, name: str) -> None:
    """sum of ds . s + v . g, with g = dD/dx: what `penalised_gradient` is the gradient of."""
    net = make(name)
    x, v, ds = arrays(backend, net)
    tape, probe, into = net.tape(6, tangents=True), net.tape(6), net.parameters()

    def loss() -> Array:
        s = net.forward(x, probe)
        return (s * ds).sum() + (net.backward(probe.ones, probe) * v).sum()

    net.forward(x, tape)
    net.backward(tape.ones, tape)
    tape.v[...] = v
    penalised_gradient(net, tape, tape, ds, into, net.parameters())
    assert relative_error(backend.to_host(into.flat), differences(loss, net.theta.flat, backend)) < TOLERANCE


def test_weights_start_as_a_function_of_the_seed_and_fill_the_flat_vector(backend: Ops, make: MakeNetwork) -> None:
    net = make("tanh")
    assert sum(array.size for layer in net.theta.layers for array in layer) == net.count
    starts = []
    for seed in (1, 1, 2):
        net.theta.flat.fill(np.nan)
        net.initialise(Noise(seed, backend), 1)
        starts.append(backend.to_host(net.theta.flat).copy())
    assert np.isfinite(starts).all() and (starts[0] == starts[1]).all() and (starts[0] != starts[2]).any()
