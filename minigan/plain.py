"""The whole GAN on one page, as the formulas say it: read this first.

Functions take arrays and return new ones, with no thought of speed or memory. The package computes the same numbers with
fewer products, in arrays that it makes once; its tests and `python -m minigan.check` hold it to this page, and docs/math.md
derives each formula.

A sample is a row: x (B, d). A network is theta = [W1, b1, W2, b2, ...], W (I, O) and b (O,), with the names of its layers'
activations. `dname` is dLoss/dname and has name's shape. A convolution is a layer whose W repeats a few numbers ("shared weights").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
Theta = list[Array]
LEAK = 0.2
"""Slope of the leaky ReLU for z < 0."""


def softplus(s: Array) -> Array:
    """log(1 + e^s), without overflow. Its derivative is sigma(s)."""
    return np.logaddexp(0, s)


def sigma(s: Array) -> Array:
    """The sigmoid 1 / (1 + e^-s) = exp(-softplus(-s))."""
    return np.exp(-softplus(-s))


# --------------------------------------------------------------------------------------------------------- networks

ACTIVATIONS: dict[str, tuple[Any, Any, Any]] = {  # phi(z), phi'(z), phi''(z)
    "relu": (lambda z: np.maximum(z, 0), lambda z: 1.0 * (z > 0), np.zeros_like),
    "leaky-relu": (lambda z: np.maximum(z, LEAK * z), lambda z: np.where(z > 0, 1, LEAK), np.zeros_like),
    "tanh": (np.tanh, lambda z: np.cosh(z) ** -2, lambda z: -2 * np.tanh(z) * np.cosh(z) ** -2),
    "sigmoid": (sigma, lambda z: sigma(z) * sigma(-z), lambda z: sigma(z) * sigma(-z) * (sigma(-z) - sigma(z))),
    "identity": (lambda z: z, np.ones_like, np.zeros_like),
}


def layers(theta: Theta, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """(W, b, phi, phi', phi'') of each layer."""
    return [(theta[2 * k], theta[2 * k + 1], *ACTIVATIONS[name]) for k, name in enumerate(names)]


def forward(theta: Theta, names: tuple[str, ...], x: Array) -> tuple[Array, list[tuple[Array, Array]]]:
    """y = phi_L(... phi_1(x W1 + b1) ...), and the tape: each layer's input x and its z = x W + b."""
    tape = []
    for W, b, phi, *_ in layers(theta, names):
        z = x @ W + b
        tape.append((x, z))
        x = phi(z)
    return x, tape


def backward(theta: Theta, names: tuple[str, ...], tape: list[tuple[Array, Array]], dy: Array) -> tuple[Theta, Array]:
    """The chain rule from the last layer to the first: dtheta = [dW1, db1, ...], and dx."""
    dtheta: Theta = []
    for (W, _, _, slope, _), (x, z) in zip(layers(theta, names)[::-1], tape[::-1], strict=True):
        dz = dy * slope(z)  # y = phi(z)
        dtheta = [x.T @ dz, dz.sum(axis=0), *dtheta]  # z = x W + b, added up over the samples
        dy = dz @ W.T  # dLoss/dx, and x is the y of the layer before
    return dtheta, dy


def input_gradient(theta: Theta, names: tuple[str, ...], x: Array) -> Array:
    """g_i = dD(x_i)/dx_i of a network with one output."""
    s, tape = forward(theta, names, x)
    return backward(theta, names, tape, np.ones_like(s))[1]


def second_gradient(theta: Theta, names: tuple[str, ...], x: Array, v: Array) -> Theta:
    """d/dtheta of sum_i v_i . g_i, with v held fixed. For a penalty P(g) put v = dP/dg: by the chain rule this is dP/dtheta.

    v . g is how fast D(x) grows as x moves along v: the last t of a tangent pass t <- (t W) * phi'(z) that begins with
    t = v. Here that pass is run, and differentiated: it uses every W twice, in z = x W + b and in u = t W.
    """
    s, tape = forward(theta, names, x)
    tangents, t = [], v
    for (W, _, _, slope, _), (_, z) in zip(layers(theta, names), tape, strict=True):
        tangents.append((t, t @ W))
        t = (t @ W) * slope(z)
    dtheta: Theta = []
    dx, dt = np.zeros_like(s), np.ones_like(s)  # the sum is of the last t; the last x, D's logits, is not in it
    for (W, _, _, slope, bend), (x, z), (t, u) in zip(
        layers(theta, names)[::-1], tape[::-1], tangents[::-1], strict=True
    ):
        dz = dx * slope(z) + dt * u * bend(z)
        du = dt * slope(z)
        dtheta = [x.T @ dz + t.T @ du, dz.sum(axis=0), *dtheta]
        dx, dt = dz @ W.T, du @ W.T
    return dtheta


# --------------------------------------------------------------------------------------------------- shared weights


def convolution(h: int, w: int, c: int, side: int, stride: int, channels: int) -> tuple[Array, Array]:
    """Where the numbers of a convolution stand in W and b: 1 for its first number, 2 for the next; 0 for a 0.

    From maps (h, w, c) to maps (h', w', channels), each row by row: a pixel (i, j) of the second sees the square of the first
    that begins at (stride i, stride j). There W is the small w (side, side, c, channels), with b (channels,) for all pixels.
    """
    rows, columns = (h - side) // stride + 1, (w - side) // stride + 1
    x, y, a, i, j, k = np.indices((h, w, c, rows, columns, channels))
    down, right = x - stride * i, y - stride * j
    seen = (down >= 0) & (down < side) & (right >= 0) & (right < side)
    W = np.where(seen, 1 + ((side * down + right) * c + a) * channels + k, 0)
    return W.reshape(h * w * c, -1), np.tile(1 + np.arange(channels), rows * columns)


def transposed_convolution(h: int, w: int, c: int, side: int, stride: int, channels: int) -> tuple[Array, Array]:
    """The same from maps (h', w', channels) to maps (h, w, c): the transposed W, of a small w (channels, side, side, c)."""
    W, _ = convolution(h, w, c, side, stride, channels)
    inside, k = divmod(W.T - 1, channels)
    return np.where(W.T > 0, 1 + k * side * side * c + inside, 0), np.tile(1 + np.arange(c), h * w)


def repeated(theta: Theta, places: list[Array]) -> Theta:
    """[W1, b1, ...] whose numbers stand in the given places."""
    return [np.append(0, few)[place] for few, place in zip(theta, places, strict=True)]


def collected(dtheta: Theta, places: list[Array], theta: Theta) -> Theta:
    """The chain rule through `repeated`: the derivative for each of theta's numbers is the sum over its places."""
    return [
        np.bincount(place.reshape(-1), d.reshape(-1), few.size + 1)[1:].reshape(few.shape)
        for d, place, few in zip(dtheta, places, theta, strict=True)
    ]


# ------------------------------------------------------------------------------------------- objectives and penalties


def discriminator_loss(name: str, r: Array, f: Array, target: float = 1.0) -> tuple[Array, Array, Array]:
    """What D minimises, pair by pair, with its derivatives with respect to r = D(x), real, and f = D(G(z)): (loss, dr, df).

    target: D's target for real samples, 1 or a little less (minimax and non-saturating).
    """
    if name in ("minimax", "non-saturating"):
        loss = target * softplus(-r) + (1 - target) * softplus(r) + softplus(f)
        return loss, sigma(r) - target, sigma(f)
    if name == "least-squares":
        return (r - 1) ** 2 / 2 + f**2 / 2, r - 1, f
    if name == "hinge":
        return np.maximum(0, 1 - r) + np.maximum(0, 1 + f), -1.0 * (r < 1), 1.0 * (f > -1)
    if name == "wasserstein":
        return f - r, -np.ones_like(r), np.ones_like(f)
    if name == "relativistic":
        return softplus(f - r), -sigma(f - r), sigma(f - r)
    raise KeyError(name)


def generator_loss(name: str, r: Array, f: Array) -> tuple[Array, Array]:
    """What G minimises, pair by pair, with its derivative with respect to f: (loss, df)."""
    if name == "minimax":
        return -softplus(f), -sigma(f)
    if name == "non-saturating":
        return softplus(-f), -sigma(-f)
    if name == "least-squares":
        return (f - 1) ** 2 / 2, f - 1
    if name in ("hinge", "wasserstein"):
        return -f, -np.ones_like(f)
    if name == "relativistic":
        return softplus(r - f), -sigma(r - f)
    raise KeyError(name)


def zero_centred(g: Array, gamma: float) -> tuple[float, Array]:
    """R1 and R2: P = gamma/2 mean_i |g_i|^2, and dP/dg."""
    return gamma / 2 * float(np.mean(np.sum(g**2, axis=1))), gamma * g / len(g)


def one_centred(g: Array, weight: float) -> tuple[float, Array]:
    """WGAN-GP: P = weight mean_i (|g_i| - 1)^2, and dP/dg, where g_i / |g_i| counts as 0 at g_i = 0."""
    norm = np.linalg.norm(g, axis=1, keepdims=True)
    unit = g / np.maximum(norm, 1e-300)
    return weight * float(np.mean((norm - 1) ** 2)), 2 * weight * (g - unit) / len(g)


# ------------------------------------------------------------------------------------------------ one training step


@dataclass
class Player:
    """A network, and what Adam remembers of its gradients. places: where the numbers of theta stand in W1, b1, ..., if shared."""

    theta: Theta
    names: tuple[str, ...]
    m: Theta
    v: Theta
    places: list[Array] | None = None

    @property
    def weights(self) -> Theta:
        """[W1, b1, ...] as `forward` reads them."""
        return self.theta if self.places is None else repeated(self.theta, self.places)

    def gradient(self, dweights: Theta) -> Theta:
        """dtheta."""
        return dweights if self.places is None else collected(dweights, self.places, self.theta)

    def adam(self, gradient: Theta, t: int, lr: float, beta1: float, beta2: float) -> None:
        """Update t = 1, 2, ... (Kingma and Ba 2015, Algorithm 1)."""
        for k, g in enumerate(gradient):
            self.m[k] = beta1 * self.m[k] + (1 - beta1) * g
            self.v[k] = beta2 * self.v[k] + (1 - beta2) * g**2
            m, v = self.m[k] / (1 - beta1**t), self.v[k] / (1 - beta2**t)
            self.theta[k] = self.theta[k] - lr * m / (np.sqrt(v) + 1e-8)


def discriminator_gradient(D: Player, x: Array, fake: Array, mix: Array, c: Any, penalise: bool) -> Theta:
    """dL_D/dtheta_D: of the mean loss, and with `penalise` of the penalties.

    They are applied in every `penalty_every`-th update, as many times as strong (lazy regularisation; Karras et al. 2020).
    """
    theta = D.weights
    r, tape_r = forward(theta, D.names, x)
    f, tape_f = forward(theta, D.names, fake)
    _, dr, df = discriminator_loss(c.objective, r, f, 1 - c.label_smoothing)
    parts = [backward(theta, D.names, tape, ds / len(x))[0] for tape, ds in ((tape_r, dr), (tape_f, df))]
    between = fake + mix * (x - fake)
    penalties = ((x, zero_centred, c.r1), (fake, zero_centred, c.r2), (between, one_centred, c.gradient_penalty))
    for samples, penalty, weight in penalties:
        if penalise and weight > 0:
            _, v = penalty(input_gradient(theta, D.names, samples), weight * c.penalty_every)
            parts.append(second_gradient(theta, D.names, samples, v))
    return D.gradient([sum(part) for part in zip(*parts, strict=True)])


def generator_gradient(G: Player, D: Player, x: Array, z: Array, c: Any) -> Theta:
    """dL_G/dtheta_G: back through D to the generated samples, and through G to its weights."""
    fake, tape_g = forward(G.weights, G.names, z)
    r, _ = forward(D.weights, D.names, x)
    f, tape_f = forward(D.weights, D.names, fake)
    _, df = generator_loss(c.objective, r, f)
    _, dfake = backward(D.weights, D.names, tape_f, df / len(x))
    return G.gradient(backward(G.weights, G.names, tape_g, dfake)[0])


def train_step(G: Player, D: Player, average: Theta, x: Array, z: Array, mix: Array, t: int, c: Any) -> None:
    """Step t = 1, 2, ...: an update of D and one of G; then the average of G's weights moves.

    x: B real samples. z: as many latent points, N(0, I). mix (B, 1): uniform on [0, 1). c: the settings, a `Config`.
    Rates and penalties are constant here, with one update of D a step.
    """
    fake, _ = forward(G.weights, G.names, z)
    early = generator_gradient(G, D, x, z, c)  # before D moves
    gradient = discriminator_gradient(D, x, fake, mix, c, penalise=(t - 1) % c.penalty_every == 0)
    D.adam(gradient, t, c.lr_discriminator, c.beta1, c.beta2)
    gradient = early if c.update == "simultaneous" else generator_gradient(G, D, x, z, c)
    G.adam(gradient, t, c.lr_generator, c.beta1, c.beta2)
    decay = min(c.ema, (1 + t) / (10 + t))  # small at first: the random start is soon forgotten
    average[:] = [mean + (1 - decay) * (theta - mean) for mean, theta in zip(average, G.theta, strict=True)]


# -------------------------------------------------------------------------------------------------------------- a run


def player(sizes: tuple[int, ...], names: tuple[str, ...], rng: np.random.Generator) -> Player:
    """A network sizes[0] -> sizes[1] -> ... that has learned nothing: b = 0, and the variance of W as follows.

    2 / ((1 + a^2) I) before a ReLU with slope a for z < 0 (He et al. 2015), 2 / (I + O) before all else (Glorot and Bengio
    2010): so the layers' values begin at much the same size.
    """
    theta: Theta = []
    for inputs, outputs, name in zip(sizes, sizes[1:], names, strict=False):
        leak = {"relu": 0.0, "leaky-relu": LEAK}.get(name)
        variance = 2 / (inputs + outputs) if leak is None else 2 / ((1 + leak**2) * inputs)
        theta += [rng.normal(size=(inputs, outputs)) * np.sqrt(variance), np.zeros(outputs)]
    return Player(theta, names, [0 * w for w in theta], [0 * w for w in theta])


def train(G: Player, D: Player, data: Array, c: Any, rng: np.random.Generator) -> Theta:
    """`c.steps` training steps on the rows of data (n, d). Returns the average of G's weights: what is sampled from."""
    average = list(G.theta)
    for t in range(1, c.steps + 1):
        x = data[rng.integers(len(data), size=c.batch_size)]
        z = rng.normal(size=(c.batch_size, c.latent))
        mix = rng.uniform(size=(c.batch_size, 1))
        train_step(G, D, average, x, z, mix, t, c)
    return average
