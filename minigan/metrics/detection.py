"""How well a classifier tells generated rows from real ones: a two-sample test (Lopez-Paz and Oquab 2017, "C2ST")."""

from __future__ import annotations

import numpy as np

from minigan.backends import Array, Ops
from minigan.backends.noise import DETECTION, Noise
from minigan.nn.network import Network, parameter_count
from minigan.nn.optim import Adam

HIDDEN, STEPS, BATCH, RATE, ROWS = (64, 64), 400, 64, 2e-3, 2000
FAR = 30.0
"""Standard deviations beyond which a value says no more."""


def detection(real: Array, made: Array, ops: Ops) -> float:
    """The area under the ROC curve of a network trained on half of the rows, on the other half: .5 where it tells nothing apart,
    1 where it tells everything.

    real, made: (m, d), in like units, of which the first `ROWS` are used, in an order that depends on their values alone.
    Minimises mean softplus(-t s), t = +1 for real and -1 for generated rows.
    """
    xp, half, d = ops.xp, min(len(real), ROWS) // 2, real.shape[1]
    real, made = (_shuffled(xp.clip(rows[:ROWS], -FAR, FAR), ops) for rows in (real, made))
    sizes = (d, *HIDDEN, 1)
    noise, count = Noise(0, ops), parameter_count(sizes)
    theta, gradient = ops.zeros((count,), "float32"), ops.zeros((count,), "float32")
    network = Network(sizes, "leaky-relu", "identity", ops, "float32", theta)
    network.initialise(noise, DETECTION)
    adam, into = Adam(count, ops, "float32", 0.9, 0.999), network.parameters(gradient)
    train, test = (
        xp.concatenate([real[part], made[part]]).astype(np.float32) for part in (slice(0, half), slice(half, None))
    )
    sign = xp.ones((len(train), 1), np.float32)
    sign[half:] = -1
    tape, chosen = network.tape(BATCH), Noise(0).integers(STEPS * BATCH, DETECTION, 1) % np.uint64(len(train))
    for step, rows in enumerate(ops.asarray(chosen.astype(np.int64)).reshape(STEPS, BATCH)):
        t = sign[rows]
        s = network.forward(train[rows], tape)
        network.backward(t * (xp.tanh(t * s / 2) - 1) / (2 * BATCH), tape, into=into, want_dx=False)
        adam.update(theta, gradient, step + 1, RATE)
    scores = ops.to_host(network.forward(test, network.tape(len(test))))[:, 0]
    return area(scores[: len(real) - half], scores[len(real) - half :])


def _shuffled(rows: Array, ops: Ops) -> Array:
    """Rows (m, d) in a fixed shuffle of their order along a fixed direction."""
    direction = ops.empty((rows.shape[1],), "float32")
    Noise(0, ops).normal(direction, DETECTION, 2)
    order = ops.to_host(ops.xp.argsort(rows @ direction.astype(rows.dtype)))
    return rows[ops.asarray(order[Noise(0).permutation(len(rows), DETECTION, 3)])]


def area(above: np.ndarray, below: np.ndarray) -> float:
    """The share of pairs in which the first score (n,) is larger than the second (m,); ties count a half: Mann and Whitney's U."""
    order = np.sort(below)
    less, up_to = (np.searchsorted(order, above, side=side) for side in ("left", "right"))
    return float((less + up_to).mean() / 2 / len(below))
