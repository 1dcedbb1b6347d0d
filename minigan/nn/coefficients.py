"""What changes from step to step: which passes are due, and the numbers that they read.

Step t = 0, 1, ... has `discriminator_steps` minibatches, of which each is an update of the discriminator and the last also
one of the generator. Minibatches are counted by i = 0, 1, ... over all of training.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from minigan.backends import Ops
from minigan.nn.optim import adam_coefficients, average_weight, schedule

if TYPE_CHECKING:
    from minigan.config import Config


class Phase(NamedTuple):
    """What is done with a minibatch, besides an update of the discriminator."""

    generator: bool
    """The generator is updated too: it is the last minibatch of a training step."""

    penalise: bool
    """The gradient penalties are applied."""

    @classmethod
    def of(cls, config: Config, i: int) -> Phase:
        """Of minibatch i: penalties are applied in every `penalty_every`-th update of the discriminator."""
        last = (i + 1) % config.discriminator_steps == 0
        return cls(last, config.has_penalties and i % config.penalty_every == 0)


class Coefficients:
    """The numbers that the passes read and that change from step to step, in one array: a device gets them in one copy.

    adam_d, adam_g: beta1, beta2, step size and epsilon (`adam_coefficients`). average: how far the weight average moves
    (`average_weight`). r1, r2, gradient_penalty: the factor of each penalty's direction, as `penalties` defines it.
    """

    SLOTS: ClassVar = {"adam_d": 4, "adam_g": 4, "average": 1, "r1": 1, "r2": 1, "gradient_penalty": 1}
    """How many numbers each reader has, in the order of the array."""

    def __init__(self, config: Config, ops: Ops) -> None:
        self.config = config
        self.ops = ops
        self.array = ops.zeros((sum(self.SLOTS.values()),), config.dtype)
        ends = itertools.accumulate(self.SLOTS.values())
        views = (self.array[end - n : end] for n, end in zip(self.SLOTS.values(), ends, strict=True))
        self.adam_d, self.adam_g, self.average, self.r1, self.r2, self.gradient_penalty = views

    def write(self, i: int) -> None:
        """Put the coefficients of minibatch i where its passes read them."""
        self.ops.fill(self.array, self.of(i))

    def of(self, i: int) -> tuple[float, ...]:
        """The coefficients of minibatch i, in the order of the array.

        A penalty that is applied in every k-th update is k times as strong (lazy regularisation; Karras et al. 2020,
        appendix B).
        """
        c, step = self.config, i // self.config.discriminator_steps
        rate = schedule(c.lr_schedule, step, c.horizon, c.lr_end)
        strength = schedule(c.penalty_schedule, step, c.horizon, c.penalty_end) / c.batch_size * c.penalty_every
        return (
            *adam_coefficients(i + 1, c.lr_discriminator * rate, c.beta1, c.beta2),
            *adam_coefficients(step + 1, c.lr_generator * rate, c.beta1, c.beta2),
            average_weight(step + 1, c.ema),
            c.r1 * strength,
            c.r2 * strength,
            2 * c.gradient_penalty * strength,
        )
