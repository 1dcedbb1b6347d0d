"""What images of digits are compared by: a classifier that looks at patches, and its last hidden layer.

Features of a network trained on photographs mislead on digits, so digits and MNIST have a classifier each, trained on
their training part alone: the images that measures compare are new to it. Its weights are fixed (16-bit numbers in a
file beside this one, whose SHA-256 is in this file), so that the same samples score the same anywhere.

Two networks of this library's dense layers: the *eye* sees every patch of the image by itself, with the same weights (a
convolution, written as a matrix product: im2col), the *head* sees what the eye says of all patches. A classifier of whole
images is blind to what is small, as speckle and broken strokes are (docs/metrics.md, "What the old measures did not see").

    python -m minigan.metrics.features --data mnist -o mnist.safetensors

makes such a file: softmax cross-entropy, Adam with a cosine schedule, every minibatch moved by up to a pixel (MNIST).

Half of each minibatch is spoilt, and the classifier learns to say how, beside the digit: what is never asked for is soon
not seen. Classifiers of digits alone learn to overlook speckle, gaps and ghosts.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from minigan.backends import BACKENDS, Array, Ops, get_ops
from minigan.backends.noise import CLASSIFIER, EYE, SPOIL, Noise
from minigan.data import Data, load
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.errors import InputError, reason
from minigan.files import write_bytes
from minigan.metrics.local import patch_pixels
from minigan.nn.network import Network, Tape, parameter_count
from minigan.nn.objectives import cross_entropy_gradient
from minigan.nn.optim import Adam, WeightAverage, schedule

KINDS = 10
"""Digits 0 to 9."""

SPOILT = ("not", "salt", "ghost", "gap", "blur")
"""What may be wrong with an image, as `spoilt` makes it: the classes beside the digits."""

BLOCK = 500
"""Images classified at a time."""


@dataclass(frozen=True)
class Recipe:
    """A classifier: its patches, its layers and their training.

    shape: of an image.  patch, stride: the side of a patch, and the pixels from one to the next.  eye, head: the widths of
    their hidden layers; the eye's last is what it says of a patch, the head's last are the features.  shift: minibatches are
    moved by up to so many pixels.
    """

    shape: tuple[int, int]
    patch: int
    stride: int
    eye: tuple[int, ...]
    head: tuple[int, ...]
    steps: int
    shift: int
    sha256: str
    """Of the file that is shipped."""


RECIPES = {
    "digits": Recipe(
        (8, 8), 3, 1, (32, 16), (64,), 3_000, 0, "9c96219bd735d3d7bc3efd50b9d4bbf7548010fab1ce85593eb0e1789e96ea6e"
    ),
    "mnist": Recipe(
        (28, 28), 7, 3, (32, 16), (64,), 16_000, 1, "52d593d5ca89e619d6a46642a6cfa34cf0380ed08472673688f51b2eac222f76"
    ),
}
BATCH, RATE, AVERAGE = 128, 1e-3, 0.999


class Classifier:
    """Two networks of dense layers: images x (n, d), pixels in [0, 1], to the logits of 10 digits and of 5 kinds of `SPOILT`.

        logits_i = head(e_i1, ..., e_iP),    e_ij = eye(patch j of image i)

    theta: the weights of both in one vector, the eye's first (default: zeros).
    """

    def __init__(self, recipe: Recipe, ops: Ops, theta: Array | None = None, dtype: str = "float32") -> None:
        pixels = patch_pixels(recipe.shape, (recipe.patch, recipe.patch), recipe.stride)
        self.ops, self.patches = ops, len(pixels)
        self.pixels = ops.asarray(pixels)
        self.sizes = (pixels.shape[1], *recipe.eye), (len(pixels) * recipe.eye[-1], *recipe.head, KINDS + len(SPOILT))
        self.eyes, self.count = parameter_count(self.sizes[0]), sum(map(parameter_count, self.sizes))
        self.theta = ops.zeros((self.count,), dtype) if theta is None else theta
        if len(self.theta) != self.count:
            raise ValueError(f"{self.sizes} need {self.count} weights, the vector has {len(self.theta)}")
        self.eye = Network(self.sizes[0], "leaky-relu", "leaky-relu", ops, dtype, self.theta[: self.eyes])
        self.head = Network(self.sizes[1], "leaky-relu", "identity", ops, dtype, self.theta[self.eyes :])

    def initialise(self, noise: Noise) -> None:
        """Draw the weights of both networks."""
        self.eye.initialise(noise, EYE)
        self.head.initialise(noise, CLASSIFIER)

    def tapes(self, n: int) -> tuple[Tape, Tape]:
        """For passes of n images."""
        return self.eye.tape(n * self.patches), self.head.tape(n)

    def forward(self, x: Array, tapes: tuple[Tape, Tape]) -> Array:
        """The logits (n, 15) of images x (n, d)."""
        patches = x[:, self.pixels].reshape(-1, self.sizes[0][0])
        seen = self.eye.forward(patches, tapes[0])
        return self.head.forward(seen.reshape(len(x), -1), tapes[1])

    def backward(self, ds: Array, tapes: tuple[Tape, Tape], into: Array) -> None:
        """Write the gradient of the weights, from that of the logits, ds (n, 15), to `into`, a vector like theta."""
        eye, head = self.eye.parameters(into[: self.eyes]), self.head.parameters(into[self.eyes :])
        self.head.backward(ds, tapes[1], into=head)
        self.eye.backward(tapes[1].dx.reshape(-1, self.sizes[0][-1]), tapes[0], into=eye, want_dx=False)

    def features(self, x: np.ndarray) -> tuple[Array, Array]:
        """The last hidden layer (n, F), float64, and the most likely digit (n,) of images x (n, d): backend arrays."""
        xp, tapes = self.ops.xp, self.tapes(BLOCK)
        hidden = xp.empty((len(x), self.sizes[1][-2]), xp.float64)
        kinds = xp.empty(len(x), xp.int64)
        rows = self.ops.zeros((BLOCK, x.shape[1]), "float32")
        for lo in range(0, len(x), BLOCK):
            n = min(BLOCK, len(x) - lo)
            rows[:n] = self.ops.asarray(x[lo : lo + n])
            logits = self.forward(rows, tapes)
            hidden[lo : lo + n] = tapes[1].layers[-2].y[:n]
            kinds[lo : lo + n] = logits[:n, :KINDS].argmax(axis=1)
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
    return Classifier(recipe, backend, backend.asarray(_weights(content)))


def read_classifier(path: str | Path, name: str, backend: Ops) -> Classifier:
    """A classifier of "digits" or "mnist" from a file that the command wrote. Raises: InputError where it is not one."""
    try:
        theta = _weights(Path(path).read_bytes())
        return Classifier(RECIPES[name], backend, backend.asarray(theta))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from None
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path} holds no classifier of {name} ({reason(error)}).") from None


def _weights(content: bytes) -> np.ndarray:
    return safetensors.numpy.load(content)["theta"].astype(np.float32)


def train_classifier(data: Data, recipe: Recipe, backend: Ops, seed: int = 0) -> np.ndarray:
    """The weights (float16, flat) of a classifier trained on the training part of digits or MNIST.

    Minimises softmax cross-entropy; the weights returned are the average over the last thousand steps or so.
    """
    if data.labels is None:
        raise InputError(f"--data {data.name} has no labels to learn; choose one of: {', '.join(RECIPES)}.")
    noise, xp = Noise(seed), backend.xp
    classifier = Classifier(recipe, backend)
    classifier.initialise(noise)
    gradient, tapes = xp.zeros_like(classifier.theta), classifier.tapes(BATCH)
    adam = Adam(classifier.count, backend, "float32", 0.9, 0.999)
    average = WeightAverage(classifier.theta, AVERAGE, backend)
    # the labels travel as further columns of the rows, so that one shuffle serves both; their scale is undone below
    rows = np.concatenate([data.train, np.eye(KINDS, dtype=np.uint8)[data.labels["train"]]], axis=1)
    scaler = Scaler(np.zeros(1), np.ones(1))
    batches = Batches(rows, data.unit, scaler, BATCH, seed, backend, "float32")
    batch, ds = (
        backend.empty((BATCH, rows.shape[1]), "float32"),
        backend.empty((BATCH, classifier.sizes[1][-1]), "float32"),
    )
    wrong = backend.asarray(np.eye(len(SPOILT), dtype=np.float32)[_wrong(BATCH)])
    moves = noise.integers(2 * recipe.steps, CLASSIFIER, 2) % np.uint64(2 * recipe.shift + 1)
    for step, (down, right) in enumerate(moves.astype(int).reshape(-1, 2) - recipe.shift):
        batches.fill(batch, step)
        images = shifted(xp, batch[:, : data.space.size].reshape(-1, *data.space.shape), down, right)
        x = spoilt(images, noise, step, backend).reshape(BATCH, -1)
        s = classifier.forward(x, tapes)
        cross_entropy_gradient(backend, s[:, :KINDS], batch[:, data.space.size :] / data.unit, ds[:, :KINDS])
        cross_entropy_gradient(backend, s[:, KINDS:], wrong, ds[:, KINDS:])
        classifier.backward(ds, tapes, gradient)
        adam.update(classifier.theta, gradient, step + 1, RATE * schedule("cosine", step, recipe.steps, 0.0))
        average.update(classifier.theta, step + 1)
    return backend.to_host(average.mean).astype(np.float16)


def _wrong(n: int) -> np.ndarray:
    """The kind of `SPOILT` (n,) of each image of a minibatch: the first half are not, an eighth each are."""
    return np.maximum(8 * np.arange(n) // n - 3, 0)


def spoilt(images: Array, noise: Noise, step: int, ops: Ops) -> Array:
    """Images (n, h, w) of which an eighth each, at the end, are spoilt, more or less: five bright pixels at most, a faint second
    image, a gap in a stroke, or blur."""
    xp = ops.xp
    n, h, w = images.shape
    out, k = images.copy(), n // 8
    salted, ghosts, gaps, blurred = (slice(lo, lo + k) for lo in range(4 * k, 8 * k, k))
    numbers = np.empty((k, 12 + h * w), np.float32)
    noise.uniform(numbers, SPOIL, step)
    u = ops.asarray(numbers)
    i, strength = xp.arange(k)[:, None], u[:, 0, None, None]
    # salt: 1 to 5 pixels, of .3 to 1
    bright = (0.3 + 0.7 * u[:, 1:6]) * (xp.arange(5) < 1 + 5 * u[:, 0, None])
    pixels = (h * w * u[:, 6:11]).astype(xp.int64)
    flat = out[salted].reshape(k, -1)
    flat[i, pixels] = xp.maximum(flat[i, pixels], bright)
    out[salted] = flat.reshape(k, h, w)
    # the ghost of one of the first images, of .15 to .6
    out[ghosts] = xp.maximum(out[ghosts], (0.15 + 0.45 * strength) * images[:k])
    # a gap at some pixel of the stroke: a square of three or five pixels, of up to half its brightness
    centre = ((images[gaps].reshape(k, -1) > 0.5) * (0.5 + u[:, 12:])).argmax(axis=1)[:, None, None]
    reach = 1 + (u[:, 11] < 0.5)[:, None, None] * (h > 16)
    near = xp.maximum(abs(xp.arange(h)[:, None] - centre // w), abs(xp.arange(w) - centre % w)) <= reach
    out[gaps] = xp.where(near, 0.5 * strength * out[gaps], out[gaps])
    # a mixture with its blur of .4 to 1
    soft = images[blurred]
    for down, right in ((1, 0), (0, 1)):
        soft = soft / 2 + shifted(xp, soft, down, right) / 4 + shifted(xp, soft, -down, -right) / 4
    out[blurred] += (0.4 + 0.6 * strength) * (soft - out[blurred])
    return out


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


def main(argv: Sequence[str] | None = None) -> int:
    """Train a classifier and write its file."""
    from minigan import cli  # here, because commands stand below this module in the order of imports

    parser = cli.Parser(prog="python -m minigan.metrics.features", description="Train a classifier of digits.")
    parser.add_argument("--data", choices=tuple(RECIPES), required=True, help="the images to learn")
    parser.add_argument("--data-dir", metavar="DIR", default=None, help="directory with data files (or in its mnist/)")
    parser.add_argument("--backend", choices=BACKENDS, default="numpy", help="where to compute (default: numpy)")
    parser.add_argument("--seed", type=int, default=0, help="of its weights and minibatches (default: 0)")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", type=Path, help="FILE.safetensors to write")
    values: argparse.Namespace = parser.parse(argv)
    cli.require_new("-o", values.out)
    backend, data = get_ops(values.backend), load(values.data, values.data_dir)
    assert data.labels is not None
    recipe = RECIPES[values.data]
    theta = train_classifier(data, recipe, backend, values.seed)
    content = safetensors.numpy.save({"theta": theta})
    try:
        write_bytes(values.out, content)
    except OSError as error:
        raise InputError(f"-o {values.out} cannot be written ({error.strerror or error}).") from None
    classifier = Classifier(recipe, backend, backend.asarray(_weights(content)))
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
