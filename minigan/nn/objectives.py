"""Adversarial losses: each a value, and its gradient with respect to the logits, for both players.

With real logits r = D(x) and generated logits f = D(G(z)), both (B, 1), sigma the sigmoid and softplus(s) = log(1 + e^s):

    objective        discriminator minimises (mean over B)               generator minimises
    minimax          softplus(-r) + softplus(f)                          -softplus(f)
    non-saturating   softplus(-r) + softplus(f)                          softplus(-f)
    least-squares    (r - 1)^2 / 2 + f^2 / 2                             (f - 1)^2 / 2
    hinge            max(0, 1 - r) + max(0, 1 + f)                       -f
    wasserstein      f - r                                               -f
    relativistic     softplus(-(r - f))                                  softplus(-(f - r))

Losses work on logits, so no log(sigmoid) is ever taken: finite and accurate for |s| up to 1e4 and beyond. `out` arrays
belong to the caller. Gradients are those of the batch mean: they carry the factor 1/B.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from minigan.backends import Array
from minigan.backends.ops import Ops


def binary_cross_entropy(ops: Ops, s: Array, target: float) -> Array:
    """mean(target softplus(-s) + (1 - target) softplus(s)): -log-likelihood of `target` under sigma(s). A 0-d array.

    docs/math.md, "Objectives".
    """
    xp = ops.xp
    loss = xp.empty_like(s)
    ops.softplus(s, loss)  # softplus(-s) = softplus(s) - s, but not in floating point
    positive = xp.empty_like(s)
    ops.softplus(-s, positive)
    return (target * positive + (1 - target) * loss).mean()


class Objective(ABC):
    """An adversarial loss: its values, and their gradients with respect to the logits.

    Values are made of arrays freely. Gradients are written to arrays that the caller owns, by `self.xp` and `self.ops` alone:
    they are part of a training step, which a backend may record. docs/math.md, "Objectives", derives each.
    """

    needs_real = False
    """Whether the generator's gradient depends on the real logits."""

    settings: ClassVar[tuple[str, ...]] = ()
    """The settings of `Config` that the constructor takes, by name; others than these are refused with this objective."""

    target = 1.0
    """What the discriminator is to say of real samples, where the loss is a cross-entropy."""

    def __init__(self, ops: Ops, batch: int, dtype: str) -> None:
        self.ops = ops
        self.xp = ops.xp

    @abstractmethod
    def discriminator(self, r: Array, f: Array) -> Array:
        """The discriminator's loss, a 0-d array."""

    @abstractmethod
    def discriminator_gradient(self, r: Array, f: Array, dr: Array, df: Array) -> None:
        """dr, df = its gradient with respect to r and f."""

    @abstractmethod
    def generator(self, r: Array, f: Array) -> Array:
        """The generator's loss, a 0-d array."""

    @abstractmethod
    def generator_gradient(self, r: Array, f: Array, df: Array) -> None:
        """df = its gradient with respect to f."""


class NonSaturating(Objective):
    """Binary cross-entropy for both players; the generator maximises log D(G(z)) (Goodfellow et al. 2014, section 3).

    label_smoothing: real targets are 1 minus this for the discriminator (one-sided, Salimans et al. 2016, section 3.4).
    """

    settings = ("label_smoothing",)

    def __init__(self, ops: Ops, batch: int, dtype: str, label_smoothing: float = 0.0) -> None:
        super().__init__(ops, batch, dtype)
        self.target = 1 - label_smoothing
        self.scratch = ops.empty((batch, 1), dtype)

    def discriminator(self, r: Array, f: Array) -> Array:
        """mean softplus(-r) + mean softplus(f), the real term with its smoothed target."""
        return binary_cross_entropy(self.ops, r, self.target) + binary_cross_entropy(self.ops, f, 0)

    def discriminator_gradient(self, r: Array, f: Array, dr: Array, df: Array) -> None:
        """dr = (sigma(r) - target) / B, df = sigma(f) / B."""
        self.ops.binary_cross_entropy_gradient(r, self.target, dr, self.scratch)
        self.ops.binary_cross_entropy_gradient(f, 0, df, self.scratch)

    def generator(self, r: Array, f: Array) -> Array:
        """mean softplus(-f)."""
        return binary_cross_entropy(self.ops, f, 1)

    def generator_gradient(self, r: Array, f: Array, df: Array) -> None:
        """df = -sigma(-f) / B."""
        self.ops.binary_cross_entropy_gradient(f, 1, df, self.scratch)


class Minimax(NonSaturating):
    """The original two-player game: the generator minimises log(1 - D(G(z))) (Goodfellow et al. 2014, equation 1)."""

    def generator(self, r: Array, f: Array) -> Array:
        """-mean softplus(f)."""
        return -binary_cross_entropy(self.ops, f, 0)

    def generator_gradient(self, r: Array, f: Array, df: Array) -> None:
        """df = -sigma(f) / B: it saturates where the discriminator is sure."""
        self.ops.binary_cross_entropy_gradient(f, 0, df, self.scratch)
        self.xp.negative(df, out=df)


class LeastSquares(Objective):
    """Targets 1 for real, 0 for generated, 1 for the generator (Mao et al. 2017, equation 9)."""

    def discriminator(self, r: Array, f: Array) -> Array:
        """mean (r - 1)^2 / 2 + mean f^2 / 2."""
        return ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2

    def discriminator_gradient(self, r: Array, f: Array, dr: Array, df: Array) -> None:
        """dr = (r - 1) / B, df = f / B."""
        self.xp.subtract(r, 1, out=dr)
        self.xp.multiply(dr, 1 / r.size, out=dr)
        self.xp.multiply(f, 1 / f.size, out=df)

    def generator(self, r: Array, f: Array) -> Array:
        """mean (f - 1)^2 / 2."""
        return ((f - 1) ** 2).mean() / 2

    def generator_gradient(self, r: Array, f: Array, df: Array) -> None:
        """df = (f - 1) / B."""
        self.xp.subtract(f, 1, out=df)
        self.xp.multiply(df, 1 / f.size, out=df)


class Wasserstein(Objective):
    """The critic's difference of means (Arjovsky et al. 2017, equation 2): use it with a gradient penalty."""

    def discriminator(self, r: Array, f: Array) -> Array:
        """mean f - mean r."""
        return f.mean() - r.mean()

    def discriminator_gradient(self, r: Array, f: Array, dr: Array, df: Array) -> None:
        """dr = -1 / B, df = 1 / B."""
        self.xp.copyto(dr, -1 / r.size)
        self.xp.copyto(df, 1 / f.size)

    def generator(self, r: Array, f: Array) -> Array:
        """-mean f."""
        return -f.mean()

    def generator_gradient(self, r: Array, f: Array, df: Array) -> None:
        """df = -1 / B."""
        self.xp.copyto(df, -1 / f.size)


class Hinge(Wasserstein):
    """Samples beyond the margin no longer pull; the generator's loss is Wasserstein's (Lim and Ye 2017; Miyato et al. 2018,
    equation 16)."""

    def discriminator(self, r: Array, f: Array) -> Array:
        """mean max(0, 1 - r) + mean max(0, 1 + f)."""
        return self.xp.maximum(1 - r, 0).mean() + self.xp.maximum(1 + f, 0).mean()

    def discriminator_gradient(self, r: Array, f: Array, dr: Array, df: Array) -> None:
        """dr = -[r < 1] / B, df = [f > -1] / B."""
        self.xp.less(r, 1, out=dr)
        self.xp.multiply(dr, -1 / r.size, out=dr)
        self.xp.greater(f, -1, out=df)
        self.xp.multiply(df, 1 / f.size, out=df)


class Relativistic(Objective):
    """Pairs each real sample with a generated one (Jolicoeur-Martineau 2019; R3GAN, Huang et al. 2024, equation 2)."""

    needs_real = True

    def __init__(self, ops: Ops, batch: int, dtype: str) -> None:
        super().__init__(ops, batch, dtype)
        self.scratch = ops.empty((batch, 1), dtype)

    def discriminator(self, r: Array, f: Array) -> Array:
        """mean softplus(-(r - f))."""
        return binary_cross_entropy(self.ops, r - f, 1)

    def discriminator_gradient(self, r: Array, f: Array, dr: Array, df: Array) -> None:
        """df = sigma(f - r) / B, dr = -df."""
        self.xp.subtract(r, f, out=df)
        self.ops.binary_cross_entropy_gradient(df, 1, dr, self.scratch)
        self.xp.negative(dr, out=df)

    def generator(self, r: Array, f: Array) -> Array:
        """mean softplus(-(f - r))."""
        return binary_cross_entropy(self.ops, f - r, 1)

    def generator_gradient(self, r: Array, f: Array, df: Array) -> None:
        """df = -sigma(r - f) / B."""
        self.xp.subtract(r, f, out=df)
        self.ops.sigmoid(df, df, self.scratch)
        self.xp.multiply(df, -1 / f.size, out=df)


OBJECTIVES: dict[str, type[Objective]] = {
    "minimax": Minimax,
    "non-saturating": NonSaturating,
    "least-squares": LeastSquares,
    "hinge": Hinge,
    "wasserstein": Wasserstein,
    "relativistic": Relativistic,
}
"""The values of --objective."""


def cross_entropy(ops: Ops, s: Array, targets: Array) -> Array:
    """Softmax cross-entropy for classifiers: mean over B of logsumexp(s_i) - s_i . targets_i; s and one-hot targets (B, K).

    docs/math.md, "Objectives".
    """
    top = s.max(axis=1, keepdims=True)
    return (top[:, 0] + ops.xp.log(ops.xp.exp(s - top).sum(axis=1)) - (s * targets).sum(axis=1)).mean()


def cross_entropy_gradient(ops: Ops, s: Array, targets: Array, out: Array) -> None:
    """out = (softmax(s) - targets) / B (docs/math.md, "Objectives")."""
    xp = ops.xp
    xp.subtract(s, s.max(axis=1, keepdims=True), out=out)
    xp.exp(out, out=out)
    xp.divide(out, out.sum(axis=1, keepdims=True), out=out)
    xp.subtract(out, targets, out=out)
    xp.multiply(out, 1 / len(s), out=out)
