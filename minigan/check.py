"""python -m minigan.check: the certificate. Every derivative in this package against central differences, in float64.

The numbers come from `plain`, the page of formulas, which shares no code with `ops`, `network`, `objectives` or
`penalties`: the package's hand-derived gradient is compared with the *numerical* gradient of that page's values. So a wrong
value, a wrong derivative and a wrong wiring of the step all show.

Errors are relative, per tensor: |analytic - numerical| / max(|analytic|, |numerical|). Neither side may be zero, except
for a listed set of tensors whose gradient must vanish, which is then asserted. ReLU, leaky ReLU and hinge have kinks, and
across one a penalty even jumps: the sign of every pre-activation and margin is recorded in each evaluation, and a draw in
which a difference step would cross a kink is drawn again.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from minigan import cli, plain
from minigan.backends import BACKENDS, KERNELS, Ops, get_ops
from minigan.backends.activations import ACTIVATIONS
from minigan.backends.noise import INTERPOLATION
from minigan.config import Config
from minigan.errors import InputError, MiniganError
from minigan.files import write_bytes
from minigan.nn.gan import GAN
from minigan.nn.gradcheck import STEP, numerical_derivative, numerical_gradient, relative_error
from minigan.nn.layers import Convolution, Dense, Patches, TransposedConvolution
from minigan.nn.network import Network
from minigan.nn.objectives import OBJECTIVES, cross_entropy, cross_entropy_gradient
from minigan.nn.optim import Adam, WeightAverage, schedule
from minigan.nn.penalties import one_centred, one_centred_direction, zero_centred, zero_centred_direction

BOUND = 1e-6
"""Largest relative error that passes."""

ZERO = 1e-9
"""What must vanish may not exceed this."""

PENALTIES: dict[str, dict[str, float]] = {
    "no penalty": {},
    "r1": {"r1": 1.3},
    "r2": {"r2": 0.7},
    "gradient-penalty": {"gradient_penalty": 2.5},
}
COMBINED: dict[str, dict[str, float]] = {
    "all, every 3rd step": {"r1": 0.4, "r2": 0.9, "gradient_penalty": 1.1, "penalty_every": 3}
}


def bends(name: str) -> bool:
    """Whether an activation has a second derivative."""
    return ACTIVATIONS[name].curvature is not None


@cache
def jumps(name: str) -> bool:
    """Whether the slope of an activation, or its second derivative, jumps at 0."""
    below, above = np.array(-1e-12), np.array(1e-12)
    return any(abs(derivative(above) - derivative(below)) > 1e-6 for derivative in plain.ACTIVATIONS[name][1:])


class CertificateError(MiniganError):
    """The certificate failed."""


class BadDrawError(Exception):
    """A difference step crossed a kink, or a gradient happens to be zero (dead units, say): the draw proves nothing."""


@dataclass(frozen=True)
class Row:
    """One line of the certificate."""

    what: str
    shapes: str
    relative_error: float
    passed: bool


# ------------------------------------------------------------------------------------------------ away from kinks

Evaluated = tuple[float, list[np.ndarray]]
"""A value of `plain`, and the numbers on whose signs its formula depends."""


def kinked(tape: list[tuple[np.ndarray, np.ndarray]], names: Sequence[str]) -> list[np.ndarray]:
    """The pre-activations of a pass that have a kink at 0."""
    return [z for (_, z), name in zip(tape, names, strict=True) if jumps(name)]


def margins(objective: str, r: np.ndarray, f: np.ndarray) -> list[np.ndarray]:
    """What the kinks of a loss are at 0 of: the hinge's."""
    return [1 - r, 1 + f] if objective == "hinge" else []


def watched(f: Callable[[], Evaluated]) -> Callable[[], float]:
    """The value of f(), raising BadDrawError where an evaluation sees other signs than the first did."""

    def evaluate() -> tuple[float, bytes]:
        value, numbers = f()
        return value, b"".join(np.packbits(z > 0).tobytes() for z in numbers)

    _, base = evaluate()

    def value() -> float:
        result, signs = evaluate()
        if signs != base:
            raise BadDrawError
        return result

    return value


def compare(
    f: Callable[[], float],
    variables: Sequence[tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator | None,
    vanishing: Sequence[int] = (),
) -> float:
    """The largest relative error over tensors. variables: (x, df/dx) pairs, x read by f; `vanishing`: those with df/dx = 0.

    Without `rng` every entry is checked; with it two random directions per tensor.
    Returns infinity where a tensor that must vanish does not.
    """
    worst = 0.0
    for number, (x, analytic) in enumerate(variables):
        if rng is None:
            numerical = numerical_gradient(f, x)
            expected = analytic
        else:
            us = [u / np.linalg.norm(u) for u in rng.normal(size=(2, *x.shape))]
            numerical = np.array([numerical_derivative(f, x, u) for u in us])
            expected = np.array([np.sum(analytic * u) for u in us])
        if number in vanishing:
            if max(np.abs(expected).max(), np.abs(numerical).max()) > ZERO:
                return math.inf
        elif max(np.abs(expected).max(), np.abs(numerical).max()) <= ZERO:
            raise BadDrawError
        else:
            worst = max(worst, relative_error(expected, numerical))
    return worst


def informative(attempt: Callable[[int], Row]) -> Row:
    """The row of the first draw whose difference steps cross no kink and whose gradients are not zero."""
    for draw in range(50):
        try:
            return attempt(draw)
        except BadDrawError:
            continue
    raise CertificateError("fifty draws in a row crossed a kink or had a zero gradient: nothing was proven.")


def row(what: str, shapes: Any, error: float) -> Row:
    return Row(what, str(shapes).replace(" ", ""), error, bool(error <= BOUND))


# -------------------------------------------------------------------------------------------------- the operations


def activations(backend: Ops) -> Iterator[Row]:
    """phi, phi' and phi''/phi' of each activation, and its dense step: forward, backward and tangent."""
    ops, rng = backend, np.random.default_rng(1)
    z = rng.normal(size=(5, 7)) * 2
    z[np.abs(z) < 0.01] += 0.1  # away from the kink
    for name in ACTIVATIONS:
        phi, dphi, _ = plain.ACTIVATIONS[name]
        y, out = backend.asarray(z.copy()), backend.empty(z.shape, "float64")
        ops.activation(name, y, out)
        yield row(f"activation {name}: phi", z.shape, relative_error(backend.to_host(y), phi(z)))
        ops.slope(name, y, out)
        slope = backend.to_host(out).copy()
        numerical = (phi(z + STEP) - phi(z - STEP)) / (2 * STEP)
        yield row(f"activation {name}: slope", z.shape, relative_error(slope, numerical))
        ops.curvature(name, y, out)
        bend = backend.to_host(out) * slope
        numerical = (dphi(z + STEP) - dphi(z - STEP)) / (2 * STEP)
        if bends(name):
            error = relative_error(bend, numerical)
        else:
            error = 0.0 if not bend.any() and not numerical.any() else math.inf
        yield row(f"activation {name}: curvature", z.shape, error)
        for what in ("dense_forward", "weight_gradient dW", "weight_gradient db", "input_gradient dX", "dense_tangent"):
            yield informative(partial(dense, backend, name, what))


def dense(backend: Ops, name: str, what: str, draw: int) -> Row:
    """One part of the dense step phi(X W + b), with a random upstream gradient."""
    ops, rng = backend, np.random.default_rng((2, draw))
    x, W, b, dy, v = (rng.normal(size=s) for s in ((4, 3), (3, 5), (5,), (4, 5), (4, 3)))
    on = [backend.asarray(a.copy()) for a in (x, W, b, dy, v)]
    y, slope, dz, t = (backend.zeros((4, 5), "float64") for _ in range(4))
    dW, db, dx = (backend.zeros(s, "float64") for s in ((3, 5), (5,), (4, 3)))
    ops.dense_forward(on[0], on[1], on[2], name, y, slope)
    ops.activation_backward(on[3], y, name, slope, dz)
    ops.weight_gradient(on[0], dz, dW, db)
    ops.input_gradient(dz, on[1], dx)
    ops.dense_tangent(on[4], on[1], name, slope, t, t)

    def value() -> Evaluated:
        y, tape = plain.forward([W, b], (name,), x)
        return float(np.sum(dy * y)), kinked(tape, (name,))

    f = watched(value)
    if what == "dense_forward":
        error = relative_error(backend.to_host(y), plain.forward([W, b], (name,), x)[0])
    elif what == "dense_tangent":
        # <dy, T> is the derivative of <dy, Y> along v
        error = relative_error(float(np.sum(dy * backend.to_host(t))), numerical_derivative(f, x, v))
    else:
        variable, analytic = {"dW": (W, dW), "db": (b, db), "dX": (x, dx)}[what.split()[1]]
        error = compare(f, [(variable, backend.to_host(analytic))], None)
    return row(f"{what}, {name}", f"{x.shape}x{W.shape}", error)


def networks(backend: Ops) -> Iterator[Row]:
    """Whole networks: backward, tangent and the weighted gradient of unit-seeded deltas."""
    for kind, name, what in itertools.product(KINDS, ACTIVATIONS, ("backward", "tangent", "weighted_gradient")):
        yield informative(partial(network, backend, kind, name, what))


MAP = Patches((2, 4, 2), 2, 1)
"""Patches of a map of 2 x 4 pixels with 2 channels: three of 8 numbers, which overlap."""

KINDS: dict[str, tuple[tuple[int, ...], Any]] = {
    "": ((3, 5, 4), Dense),
    " with a convolution": ((16, 6, 4), (partial(Convolution, MAP), Dense, Dense)),
    " with a transposed convolution": ((3, 6, 16), (Dense, partial(TransposedConvolution, MAP), Dense)),
}
"""Networks for `network`: their sizes but the last, and what their layers are made by."""


def network(backend: Ops, kind: str, name: str, what: str, draw: int) -> Row:
    rng = np.random.default_rng((3, draw))
    sizes, layers = (*KINDS[kind][0], 2 if what != "weighted_gradient" else 1), KINDS[kind][1]
    net = Network(sizes, name, "tanh" if what == "backward" else "identity", backend, "float64", layer=layers)
    net.theta.flat[...] = backend.asarray(rng.normal(size=net.count) * 0.7)
    x, dy, v = rng.normal(size=(4, sizes[0])), rng.normal(size=(4, sizes[-1])), rng.normal(size=(4, sizes[0]))
    theta, names, weights = host(net), net.activations, repeating(net)
    tape, into = net.tape(4, tangents=True), net.parameters()
    net.forward(backend.asarray(x.copy()), tape)

    def value() -> Evaluated:
        y, tape = plain.forward(weights(theta), names, x)
        return float(np.sum(dy * y)), kinked(tape, names)

    f = watched(value)
    if what == "tangent":
        net.backward(backend.asarray(dy), tape)
        error = relative_error(
            float(np.sum(dy * backend.to_host(net.tangent(backend.asarray(v), tape)))), numerical_derivative(f, x, v)
        )
    else:
        if what == "backward":
            net.backward(backend.asarray(dy), tape, into=into)
        else:
            net.backward(tape.ones, tape)
            net.weighted_gradient(tape, backend.asarray(dy), into)
        variables = pairs(theta, into.layers, backend)
        if what == "backward":
            variables.append((x, backend.to_host(tape.dx)))
        error = compare(f, variables, None)
    return row(f"Network{kind}: {what}, {name}" if kind else f"Network.{what}, {name}", sizes, error)


def host(net: Network) -> plain.Theta:
    """Host copies of a network's weights, W1, b1, W2, b2, ..."""
    return [net.ops.to_host(array).copy() for layer in net.theta.layers for array in layer]


def repeating(net: Network) -> Callable[[plain.Theta], plain.Theta]:
    """From a network's weights to those that `plain.forward` reads: a convolution's stand in many places."""
    places: list[np.ndarray] = []
    for layer, p in zip(net.layers, net.theta.layers, strict=True):
        if isinstance(layer, Convolution):
            made, (inputs, outputs) = layer.patches, layer.kernel
            if isinstance(layer, TransposedConvolution):
                places += plain.transposed_convolution(*made.shape, made.side, made.stride, inputs)
            else:
                places += plain.convolution(*made.shape, made.side, made.stride, outputs)
        else:
            places += [1 + np.arange(array.size).reshape(array.shape) for array in p]
    return lambda theta: plain.repeated(theta, places)


def pairs(theta: plain.Theta, gradients: Sequence[tuple[Any, Any]], backend: Ops) -> list[tuple[Any, Any]]:
    """(variable, analytic gradient) for W1, b1, W2, b2, ..."""
    analytic = [backend.to_host(array) for layer in gradients for array in layer]
    return list(zip(theta, analytic, strict=True))


# ---------------------------------------------------------------------------------------- objectives and penalties


def objectives(backend: Ops) -> Iterator[Row]:
    """Values and gradients of each objective, near 0 and far out, and softmax cross-entropy."""
    rng, B = np.random.default_rng(4), 6
    for name, smoothing in [*((name, 0.0) for name in OBJECTIVES), ("minimax", 0.1), ("non-saturating", 0.1)]:
        settings = {"label_smoothing": smoothing} if smoothing else {}
        objective = backend.objective(OBJECTIVES[name], B, "float64", **settings)
        label = name if not smoothing else f"{name} smoothed"
        r, f = rng.normal(size=(2, B, 1)) * 2
        dr, df, dg = (backend.zeros((B, 1), "float64") for _ in range(3))
        on_r, on_f = backend.asarray(r.copy()), backend.asarray(f.copy())
        objective.discriminator_gradient(on_r, on_f, dr, df)
        objective.generator_gradient(on_r, on_f, dg)
        values = float(objective.discriminator(on_r, on_f)), float(objective.generator(on_r, on_f))

        def loss_d(name: str = name, target: float = 1 - smoothing, r: Any = r, f: Any = f) -> Evaluated:
            return float(np.mean(plain.discriminator_loss(name, r, f, target)[0])), margins(name, r, f)

        def loss_g(name: str = name, r: Any = r, f: Any = f) -> Evaluated:
            return float(np.mean(plain.generator_loss(name, r, f)[0])), []

        expected = np.array([loss_d()[0], loss_g()[0]])
        yield row(f"objective {label}: values", r.shape, relative_error(np.array(values), expected))
        variables = [(r, backend.to_host(dr)), (f, backend.to_host(df))]
        yield row(f"objective {label}: discriminator_gradient", r.shape, compare(watched(loss_d), variables, None))
        variables = [(f, backend.to_host(dg))]
        yield row(f"objective {label}: generator_gradient", r.shape, compare(watched(loss_g), variables, None))

    s = rng.normal(size=(5, 4)) * 2
    targets = np.eye(4)[[0, 3, 1, 1, 2]]
    out = backend.zeros(s.shape, "float64")
    cross_entropy_gradient(backend, backend.asarray(s.copy()), backend.asarray(targets), out)
    value = float(cross_entropy(backend, backend.asarray(s.copy()), backend.asarray(targets)))

    def plain_cross_entropy() -> float:
        return float(-np.mean(np.sum(targets * np.log(np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)), axis=1)))

    yield row("cross_entropy", s.shape, relative_error(value, plain_cross_entropy()))
    yield row("cross_entropy_gradient", s.shape, compare(plain_cross_entropy, [(s, backend.to_host(out))], None))


def penalties(backend: Ops) -> Iterator[Row]:
    """Each penalty as a function of g, and alone (no loss) as a function of D's weights, for each activation."""
    ops, rng = backend, np.random.default_rng(5)
    g = rng.normal(size=(4, 3))
    v, norm = backend.zeros(g.shape, "float64"), backend.zeros((4, 1), "float64")
    zero_centred_direction(ops, backend.asarray(g.copy()), 1.7 / len(g), v)
    f = partial(plain.zero_centred, g, 1.7)
    yield row("zero_centred_direction", g.shape, compare(lambda: f()[0], [(g, backend.to_host(v))], None))
    one_centred_direction(ops, backend.asarray(g.copy()), 2 * 1.7 / len(g), v, norm)
    h = partial(plain.one_centred, g, 1.7)
    yield row("one_centred_direction", g.shape, compare(lambda: h()[0], [(g, backend.to_host(v))], None))
    values = float(zero_centred(g, 1.7)), float(one_centred(get_ops("numpy"), g, 1.7))
    error = relative_error(np.array(values), np.array([f()[0], h()[0]]))
    yield row("zero_centred and one_centred: values", g.shape, error)
    for shape, name, (label, settings) in itertools.product((TINY, MAPS), ACTIVATIONS, list(PENALTIES.items())[1:]):
        yield informative(partial(penalty, backend, shape, name, label, settings))


def penalties_of(
    config: Config, theta: plain.Theta, names: tuple[str, ...], real: np.ndarray, fake: np.ndarray, between: np.ndarray
) -> Evaluated:
    """The penalties that a configuration asks for, on the samples of one minibatch."""
    asked = (
        (plain.zero_centred, real, config.r1),
        (plain.zero_centred, fake, config.r2),
        (plain.one_centred, between, config.gradient_penalty),
    )
    value, kinks = 0.0, []
    for penalty, samples, weight in asked:
        if weight > 0:
            value += penalty(plain.input_gradient(theta, names, samples), weight * config.penalty_every)[0]
            kinks += kinked(plain.forward(theta, names, samples)[1], names)
    return value, kinks


def penalty(backend: Ops, shape: Shape, name: str, label: str, settings: dict[str, float], draw: int) -> Row:
    """The gradient of a penalty alone: ds = 0. Biases of piecewise-linear networks do not matter to it."""
    step = Step(backend, shape, "wasserstein", name, settings, "alternating", draw)
    gan = step.gan
    batch = gan.batch
    batch.fake.x[...] = backend.asarray(step.real[::-1] * 0.7 + 0.2)
    fake = backend.to_host(batch.fake.x).copy()
    gan.place(0, step.fill)
    rows = batch.forward(penalise=True)
    gan.discriminator.backward(rows.tape.ones, rows.tape, want_dx=False)
    gan.discriminator.input_gradient(batch.penalised.tape)
    batch.penalty_directions()
    rows.ds.fill(0)
    batch.penalised_gradient(gan.grad_d)
    theta, names = host(gan.discriminator), gan.discriminator.activations
    weights, between = repeating(gan.discriminator), step.between(fake)
    f = watched(lambda: penalties_of(gan.config, weights(theta), names, step.real, fake, between))
    variables = pairs(theta, gan.grad_d.layers, backend)
    last = len(variables) - 1
    vanishing = [last] if bends(name) else range(1, last + 1, 2)
    error = compare(f, variables, None, vanishing)
    return row(f"penalty {label}, {name}{shape.words}", gan.discriminator.sizes, error)


# ------------------------------------------------------------------------------------------------- the whole steps


@dataclass(frozen=True)
class Shape:
    """Sizes of a whole-step check."""

    sample: tuple[int, ...]
    latent: int
    hidden: tuple[int, ...]
    batch: int
    every_entry: bool
    convolutions: tuple[int, ...] = ()

    @property
    def words(self) -> str:
        return " conv" if self.convolutions else ""


TINY = Shape((3,), 2, (4, 3), 3, True)
MAPS = Shape((3, 5), 2, (3,), 3, True, (2, 1, 2, 2, 2, 3))
"""Images of 3 x 5 pixels, maps of 2 x 4 with 2 channels, whose patches overlap, and of 1 x 2 with 3."""
ARTICLE = Shape((784,), 100, (256, 256), 3, False)


class Step:
    """A GAN with random weights and non-zero biases, its batch, and one real `train_step` of it."""

    def __init__(
        self,
        backend: Ops,
        shape: Shape,
        objective: str,
        activation: str,
        penalty: dict[str, Any],
        update: str,
        draw: int,
    ) -> None:
        self.ops, self.shape, self.objective = backend, shape, objective
        rng = np.random.default_rng((6, draw))
        output = {"sigmoid": "sigmoid", "identity": "identity"}.get(activation, "tanh")
        rate = 0.01 if shape.every_entry else 1e-4  # of Adam; so many weights must not move D into saturation at once
        self.config = Config(
            objective=objective,
            activation=activation,
            output=output,
            update=update,
            latent=shape.latent,
            hidden=shape.hidden,
            convolutions=shape.convolutions,
            batch_size=shape.batch,
            dtype="float64",
            seed=draw,
            lr_generator=rate,
            lr_discriminator=rate,
            beta1=0.5,
            **penalty,
        )
        self.gan = GAN(self.config, shape.sample, backend)
        for net in (self.gan.generator, self.gan.discriminator):
            for W, b in net.theta.layers:
                # keep gradients of order 1 through all layers: the slope of a sigmoid is at most 1/4
                few = shape.every_entry and not shape.convolutions
                spread = 0.8 if few else (4 if activation == "sigmoid" else 1.4) / math.sqrt(len(W))
                W[...] = backend.asarray(rng.normal(size=W.shape) * spread)
                b[...] = backend.asarray(rng.normal(size=b.shape) * 0.3)
        self.real = rng.normal(size=(shape.batch, math.prod(shape.sample))) * 0.8

    def take(self) -> None:
        """One train_step; keeps the weights from before it."""
        gan = self.gan
        self.before_g, self.before_d = host(gan.generator), host(gan.discriminator)
        self.gan.train_step(self.fill)

    def fill(self, out: Any, i: int = 0) -> None:
        out[...] = self.ops.asarray(self.real)

    def between(self, fake: np.ndarray) -> np.ndarray:
        """The interpolates of discriminator update 0."""
        mix = np.empty((self.shape.batch, 1))
        self.gan.noise.uniform(mix, INTERPOLATION, 0)
        return mix * self.real + (1 - mix) * fake


def steps(backend: Ops) -> Iterator[Row]:
    """The whole discriminator and generator step for every objective, penalty, activation and update rule."""
    for case in itertools.product(OBJECTIVES, PENALTIES, ACTIVATIONS, ("alternating", "simultaneous"), "DG"):
        yield informative(partial(whole_step, backend, TINY, *case))
    for case in itertools.product(("relativistic",), PENALTIES, ACTIVATIONS, ("alternating", "simultaneous"), "DG"):
        yield informative(partial(whole_step, backend, MAPS, *case))
    for label, name, update in itertools.product(COMBINED, ("relu", "tanh"), ("alternating", "simultaneous")):
        yield informative(partial(whole_step, backend, TINY, "relativistic", label, name, update, "D"))


def article_steps(backend: Ops) -> Iterator[Row]:
    """The same at the article's sizes, along random directions."""
    for case in itertools.product(("non-saturating",), PENALTIES, ACTIVATIONS, ("alternating",), "DG"):
        yield informative(partial(whole_step, backend, ARTICLE, *case))


def whole_step(
    backend: Ops, shape: Shape, objective: str, label: str, activation: str, update: str, player: str, draw: int
) -> Row:
    """One player's gradient in one real train_step, against the numerical gradient of the plain loss."""
    step = Step(backend, shape, objective, activation, {**PENALTIES, **COMBINED}[label], update, draw)
    step.take()
    gan = step.gan
    names_g, names_d = gan.generator.activations, gan.discriminator.activations
    weights_g, weights_d = repeating(gan.generator), repeating(gan.discriminator)
    z = backend.to_host(gan.z)
    if player == "D":
        theta, net, grad = step.before_d, gan.discriminator, gan.grad_d
        fake = plain.forward(weights_g(step.before_g), names_g, z)[0]
        between = step.between(fake)

        def loss() -> Evaluated:
            weights = weights_d(theta)
            (r, tape_r), (f, tape_f) = (plain.forward(weights, names_d, x) for x in (step.real, fake))
            value = np.mean(plain.discriminator_loss(objective, r, f)[0])
            of_penalties, kinks = penalties_of(step.config, weights, names_d, step.real, fake, between)
            kinks += [*kinked(tape_r, names_d), *kinked(tape_f, names_d), *margins(objective, r, f)]
            return float(value) + of_penalties, kinks

    else:
        theta, net, grad = step.before_g, gan.generator, gan.grad_g
        critic = weights_d(step.before_d if update == "simultaneous" else host(gan.discriminator))

        def loss() -> Evaluated:
            fake, tape_g = plain.forward(weights_g(theta), names_g, z)
            f, tape_f = plain.forward(critic, names_d, fake)
            r, _ = plain.forward(critic, names_d, step.real)
            value = np.mean(plain.generator_loss(objective, r, f)[0])
            return float(value), [*kinked(tape_g, names_g), *kinked(tape_f, names_d)]

    f = watched(loss)
    variables = pairs(theta, grad.layers, backend)
    vanishing = vanishing_biases(objective, activation, len(names_d)) if player == "D" else []
    rng = None if shape.every_entry else np.random.default_rng((7, draw))
    error = compare(f, variables, rng, vanishing)
    what = f"{player} step, {objective}, {label}, {activation}, {update}{shape.words}"
    return row(what, net.sizes, error)


def vanishing_biases(objective: str, activation: str, depth: int) -> list[int]:
    """Where dL_D/db is exactly 0, as positions in W1, b1, W2, b2, ...: shifting all logits alike does not change losses of
    differences, and in a linear network every bias only shifts them all alike."""
    _, dr, df = plain.discriminator_loss(objective, *np.meshgrid(np.linspace(-3, 3, 8), np.linspace(-3, 3, 8)))
    if (dr + df).any():
        return []
    return list(range(1, 2 * depth, 2)) if activation == "identity" else [2 * depth - 1]


# ------------------------------------------------------------------------------------------------------ optimisers


def optimisers(backend: Ops) -> Iterator[Row]:
    """Adam against a scalar transcription of the paper's Algorithm 1, the weight average, the schedules."""
    rng = np.random.default_rng(8)
    for beta1, beta2 in ((0.9, 0.999), (0.5, 0.9), (0.0, 0.99)):
        theta = rng.normal(size=5)
        gradients = rng.normal(size=(12, 5))
        adam, on = Adam(5, backend, "float64", beta1, beta2), backend.asarray(theta.copy())
        for t, g in enumerate(gradients, 1):
            adam.update(on, backend.asarray(g), t, 0.01)
        paper = plain.Player([theta.copy()], (), [np.zeros(5)], [np.zeros(5)])
        for t, g in enumerate(gradients, 1):
            paper.adam([g], t, 0.01, beta1, beta2)
        moved = relative_error(backend.to_host(on) - theta, paper.theta[0] - theta)
        yield row(f"Adam, beta1 {beta1}, beta2 {beta2}, 12 updates", theta.shape, moved)
    theta = rng.normal(size=(12, 5))
    average, mean = WeightAverage(backend.asarray(theta[0].copy()), 0.6, backend), theta[0].copy()
    for t in range(1, 12):
        average.update(backend.asarray(theta[t]), t)
        decay = min(0.6, (1 + t) / (10 + t))
        mean = decay * mean + (1 - decay) * theta[t]
    yield row("WeightAverage, 11 updates", mean.shape, relative_error(backend.to_host(average.mean), mean))
    values = [
        schedule(name, t, 10, 0.1) for name in ("constant", "linear", "cosine", "exponential") for t in (0, 5, 10, 20)
    ]
    expected = [1, 1, 1, 1, 1, 0.55, 0.1, 0.1, 1, 0.55, 0.1, 0.1, 1, math.sqrt(0.1), 0.1, 0.1]
    yield row(
        "schedule: constant, linear, cosine, exponential", (16,), relative_error(np.array(values), np.array(expected))
    )


# -------------------------------------------------------------------------------------- the reference and fast twins


def differences(backend: Ops) -> Iterator[tuple[str, float]]:
    """Each float32 operation's largest difference from NumPy's reference, relative to the largest value: (what, difference)."""
    host, rng = get_ops("numpy"), np.random.default_rng(9)
    x, W, b, dy = (rng.normal(size=s).astype(np.float32) for s in ((64, 784), (784, 256), (256,), (64, 256)))
    for name in ACTIVATIONS:
        results = []
        for side in (host, backend):
            ops, on = side, [side.asarray(a.copy()) for a in (x, W * 0.05, b, dy)]
            y, slope, dz, t = (side.zeros((64, 256), "float32") for _ in range(4))
            dW, db, dx = (side.zeros(s, "float32") for s in ((784, 256), (256,), (64, 784)))
            ops.dense_forward(on[0], on[1], on[2], name, y, slope)
            ops.activation_backward(on[3], y, name, slope, dz)
            ops.weight_gradient(on[0], dz, dW, db)
            ops.input_gradient(dz, on[1], dx)
            ops.dense_tangent(on[0], on[1], name, slope, t, t)
            results.append([side.to_host(a) for a in (y, dz, dW, db, dx, t)])
        parts = ("dense_forward", "activation_backward", "dW", "db", "dX", "dense_tangent")
        for part, a, c in zip(parts, *results, strict=True):
            yield f"{part}, {name}", float(np.abs(a - c).max() / np.abs(a).max())
    logits = np.array([[-9, 0.3, 8], [4, -0.2, -7]], np.float32).reshape(2, 3, 1)
    for name, kind in OBJECTIVES.items():
        gradients = []
        for side in (host, backend):
            r, f = (side.asarray(s.copy()) for s in logits)
            objective, out = side.objective(kind, 3, "float32"), [side.zeros((3, 1), "float32") for _ in range(3)]
            objective.discriminator_gradient(r, f, out[0], out[1])
            objective.generator_gradient(r, f, out[2])
            gradients.append(np.concatenate([side.to_host(a) for a in out]))
        yield f"objective {name}", float(np.abs(gradients[0] - gradients[1]).max() / np.abs(gradients[0]).max())


# ---------------------------------------------------------------------------------------------------- the command

SECTIONS: dict[str, Callable[[Ops], Iterator[Row]]] = {
    "operations": activations,
    "networks": networks,
    "objectives": objectives,
    "penalties": penalties,
    "optimisers": optimisers,
    "steps": steps,
    "article steps": article_steps,
}


def certificate(backend: Ops, sections: Sequence[str] = tuple(SECTIONS)) -> Iterator[Row]:
    """All rows of the named sections, in order."""
    for name in sections:
        yield from SECTIONS[name](backend)


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.Parser(prog="python -m minigan.check", description="Prove every derivative of minigan numerically.")
    parser.add_argument(
        "--backend", choices=BACKENDS, default="numpy", help="where the derivatives are computed (default: numpy)"
    )
    parser.add_argument(
        "--kernels", choices=KERNELS, default="reference", help="implementation of the operations (default: reference)"
    )
    parser.add_argument("--json", metavar="FILE", default=None, help="write the rows as a JSON list too")
    values = parser.parse(argv)
    if values.json is not None:
        cli.require_new("--json", values.json)
    backend = get_ops(values.backend, values.kernels)
    rows = []
    print("relative errors of every derivative")
    for section in SECTIONS:
        print(f"\n{section}")
        for result in certificate(backend, [section]):
            rows.append(result)
            print(f"{result.relative_error:9.1e}  {'' if result.passed else 'FAILED: '}{result.what}")
    if (values.backend, values.kernels) != ("numpy", "reference"):
        print("\nlargest differences from NumPy's reference in float32, relative")
        for what, difference in differences(backend):
            print(f"{difference:9.1e}  {what}")
    if values.json is not None:
        try:
            write_bytes(Path(values.json), (json.dumps([asdict(r) for r in rows], indent=1) + "\n").encode())
        except OSError as error:
            raise InputError(f"--json {values.json} cannot be written ({error.strerror or error}).") from None
    failed = [r for r in rows if not r.passed]
    worst = max(rows, key=lambda r: r.relative_error)
    passed = f"{len(rows) - len(failed)} of {len(rows)} passed"
    print()
    print(cli.wrapped(f"{passed}; largest relative error {worst.relative_error:.1e} ({worst.what})"))
    if failed:
        raise CertificateError(f"{len(failed)} of {len(rows)} checks exceed {BOUND}; the first is: {failed[0].what}.")
    return 0


if __name__ == "__main__":
    cli.run(main)
