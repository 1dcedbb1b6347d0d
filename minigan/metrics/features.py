"""What images are compared by: a classifier made of this library's own dense layers, and its last hidden layer.

Features of a network trained on photographs mislead on digits, so digits and MNIST have a classifier each, trained on
their training part alone: the images that measures compare are new to it. Its weights are fixed (16-bit numbers in a
file beside this one, whose SHA-256 is in this file), so that the same samples score the same anywhere.

    python -m minigan.metrics.features --data mnist -o mnist.safetensors

makes such a file: softmax cross-entropy, Adam with a cosine schedule, every minibatch moved by up to a pixel or two.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from minigan.backends import BACKENDS, Array, Ops, get_ops
from minigan.backends.noise import CLASSIFIER, Noise
from minigan.data import Data, load
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.errors import InputError
from minigan.files import write_bytes
from minigan.nn.network import Network
from minigan.nn.objectives import cross_entropy_gradient
from minigan.nn.optim import Adam, WeightAverage, schedule

KINDS = 10
"""Digits 0 to 9."""

BLOCK = 1000
"""Images classified at a time."""


@dataclass(frozen=True)
class Recipe:
    """A classifier: its layers and their training. `shift`: minibatches are moved by up to so many pixels."""

    sizes: tuple[int, ...]
    steps: int
    shift: int
    sha256: str
    """Of the file that is shipped."""


RECIPES = {
    "digits": Recipe(
        (64, 128, 64, KINDS), 2_000, 0, "ebc966ce1cd2fa4c1058c27d7badc5b7c6bb91c7cc46b96bdd20d064cd3c39c2"
    ),
    "mnist": Recipe(
        (784, 256, 64, KINDS), 20_000, 2, "f061726c3fda885c502ab6274bd1c36be46fc3b396b7fa1a86067d442e861651"
    ),
}
BATCH, RATE, AVERAGE = 128, 1e-3, 0.999


class Classifier:
    """Dense layers that tell digits apart: x (n, d), pixels in [0, 1], to 10 logits."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.ops = network.ops

    def features(self, x: np.ndarray) -> tuple[Array, Array]:
        """The last hidden layer (n, F), float64, and the most likely digit (n,) of images x (n, d): backend arrays."""
        xp, tape = self.ops.xp, self.network.tape(BLOCK)
        hidden = xp.empty((len(x), self.network.sizes[-2]), xp.float64)
        kinds = xp.empty(len(x), xp.int64)
        rows = self.ops.zeros((BLOCK, x.shape[1]), self.network.dtype)
        for lo in range(0, len(x), BLOCK):
            n = min(BLOCK, len(x) - lo)
            rows[:n] = self.ops.asarray(x[lo : lo + n])
            logits = self.network.forward(rows, tape)
            hidden[lo : lo + n] = tape.layers[-2].y[:n]
            kinds[lo : lo + n] = logits[:n].argmax(axis=1)
        return hidden, kinds

    def accuracy(self, x: np.ndarray, labels: np.ndarray) -> float:
        """The share of images that are told right."""
        return float((self.ops.to_host(self.features(x)[1]) == labels).mean())


def load_classifier(name: str, backend: Ops) -> Classifier:
    """The shipped classifier of "digits" or "mnist".

    Raises: InputError where its file is missing or is not the one that was shipped.
    """
    recipe, path = RECIPES[name], Path(__file__).with_name(f"{name}.safetensors")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); install minigan again.") from None
    if hashlib.sha256(content).hexdigest() != recipe.sha256:
        raise InputError(f"{path} is not the file that belongs to this version; install minigan again.")
    theta = safetensors.numpy.load(content)["theta"].astype(np.float32)
    return Classifier(_network(recipe, backend, backend.asarray(theta)))


def train_classifier(data: Data, recipe: Recipe, backend: Ops, seed: int = 0) -> np.ndarray:
    """The weights (float16, flat) of a classifier trained on the training part of digits or MNIST.

    Minimises softmax cross-entropy; the weights returned are the average over the last thousand steps or so.
    """
    if data.labels is None:
        raise InputError(f"--data {data.name} has no labels to learn; choose one of: {', '.join(RECIPES)}.")
    noise, xp = Noise(seed), backend.xp
    network = _network(recipe, backend)
    network.initialise(noise, CLASSIFIER)
    gradient, tape = network.parameters(), network.tape(BATCH)
    adam = Adam(network.count, backend, "float32", 0.9, 0.999)
    average = WeightAverage(network.theta.flat, AVERAGE, backend)
    # the labels travel as further columns of the rows, so that one shuffle serves both; their scale is undone below
    rows = np.concatenate([data.train, np.eye(KINDS, dtype=np.uint8)[data.labels["train"]]], axis=1)
    scaler = Scaler(np.zeros(1), np.ones(1))
    batches = Batches(rows, data.unit, scaler, BATCH, seed, backend, "float32")
    batch, ds = backend.empty((BATCH, rows.shape[1]), "float32"), backend.empty((BATCH, KINDS), "float32")
    moves = noise.integers(2 * recipe.steps, CLASSIFIER, len(recipe.sizes)) % np.uint64(2 * recipe.shift + 1)
    for step, (down, right) in enumerate(moves.astype(int).reshape(-1, 2) - recipe.shift):
        batches.fill(batch, step)
        x = shifted(xp, batch[:, : data.space.size].reshape(-1, *data.space.shape), down, right)
        s = network.forward(x.reshape(BATCH, -1), tape)
        cross_entropy_gradient(network.ops, s, batch[:, data.space.size :] / data.unit, ds)
        network.backward(ds, tape, into=gradient, want_dx=False)
        adam.update(network.theta.flat, gradient.flat, step + 1, RATE * schedule("cosine", step, recipe.steps, 0.0))
        average.update(network.theta.flat, step + 1)
    return backend.to_host(average.mean).astype(np.float16)


def shifted(xp: object, images: Array, down: int, right: int) -> Array:
    """Images (n, h, w) moved by whole pixels; what comes in at the edge is 0."""
    h, w = images.shape[1:]
    out = images * 0
    out[:, max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)] = images[
        :, max(-down, 0) : h + min(-down, 0), max(-right, 0) : w + min(-right, 0)
    ]
    return out


def digit_kl(generated: np.ndarray, real: np.ndarray) -> float:
    """KL(q || p) = sum_k q_k log(q_k / p_k) between the shares of digits among generated and among real images.

    generated, real: the digits (n,) that the classifier sees. In nats; 0 where the shares agree; inf where a digit is
    generated that is not among the real ones.
    """
    q, p = (np.bincount(kinds, minlength=KINDS) / max(1, len(kinds)) for kinds in (generated, real))
    with np.errstate(divide="ignore"):
        return float(np.sum(q[q > 0] * np.log(q[q > 0] / p[q > 0])))


def digits_met(generated: np.ndarray, real: np.ndarray) -> float:
    """How many digits are met at least a tenth as often as among real images, and at least once."""
    counts, true = (np.bincount(kinds, minlength=KINDS) for kinds in (generated, real))
    return float((counts >= np.maximum(0.1 * true, 1)).sum())


def _network(recipe: Recipe, backend: Ops, flat: Array | None = None) -> Network:
    return Network(recipe.sizes, "leaky-relu", "identity", backend, "float32", flat)


def main(argv: Sequence[str] | None = None) -> int:
    """Train a classifier and write its file."""
    from minigan import cli  # here, because commands stand below this module in the order of imports

    parser = cli.Parser(prog="python -m minigan.metrics.features", description="Train a classifier of digits.")
    parser.add_argument("--data", choices=tuple(RECIPES), required=True, help="the images to learn")
    parser.add_argument("--data-dir", metavar="DIR", default=None, help="directory with data files (or in its mnist/)")
    parser.add_argument("--backend", choices=BACKENDS, default="numpy", help="where to compute (default: numpy)")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", type=Path, help="FILE.safetensors to write")
    values: argparse.Namespace = parser.parse(argv)
    cli.require_new("-o", values.out)
    backend, data = get_ops(values.backend), load(values.data, values.data_dir)
    assert data.labels is not None
    recipe = RECIPES[values.data]
    theta = train_classifier(data, recipe, backend)
    content = safetensors.numpy.save({"theta": theta})
    try:
        write_bytes(values.out, content)
    except OSError as error:
        raise InputError(f"-o {values.out} cannot be written ({error.strerror or error}).") from None
    classifier = Classifier(_network(recipe, backend, backend.asarray(theta.astype(np.float32))))
    for part in ("train", "validation", "test"):
        rows = getattr(data, part)
        if len(rows):
            share = classifier.accuracy(data.values(rows), data.labels[part])
            print(f"{part:<10} {share:8.2%} of {len(rows):,} images told right")
    print(f"{values.out}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")
    return 0


def _run() -> None:
    from minigan import cli

    cli.run(main)


if __name__ == "__main__":
    _run()
