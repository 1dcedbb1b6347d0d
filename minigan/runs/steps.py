"""Training steps on the minibatches of a data set: one by one, or whole steps as one launch.

Before the passes of a minibatch its rows must be gathered, its latent points drawn, and the coefficients written that change
with the step. `GAN.train_step` does each from the host. With `--kernels cuda` the device does all of it (`Launch`): tables
written for many steps ahead hold the rows and the coefficients of each minibatch, and a counter in device memory is the number
of the minibatch. So a launch of one or several steps is the same every time, and the host only relaunches it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from minigan.backends import noise as streams
from minigan.backends.ops import Feed, Outcome
from minigan.data.batches import Batches
from minigan.nn.coefficients import Phase
from minigan.nn.gan import GAN

AHEAD = 1 << 17
"""Samples for which the tables are written at once (1 MiB of indices), or those of one launch if they are more."""

Phases = tuple[Phase, ...]
"""`Phase.of` each minibatch of a launch."""


def steps_of(gan: GAN, batches: Batches, most: int = 1) -> Steps:
    """The stepper for the backend of `gan`, with at most `most` steps per launch. Raises: InputError for data of another size."""
    batches.require_fit(gan.batch.real.x.shape)
    return Launch(gan, batches, most) if gan.ops.launches else Steps(gan, batches)


class Steps:
    """Training steps of `gan` on `batches`, one by one."""

    def __init__(self, gan: GAN, batches: Batches) -> None:
        self.gan = gan
        self.batches = batches

    def fits(self, wanted: int) -> int:
        """The number of steps that the next call to `make` performs, at most `wanted`."""
        return 1

    def make(self, steps: int) -> None:
        """Perform `steps` steps; `steps` must come from `fits`."""
        self.gan.train_step(self.batches.fill)

    def run(self, steps: int) -> None:
        """Perform any number of steps."""
        while steps > 0:
            n = self.fits(steps)
            self.make(n)
            steps -= n


class Launch(Steps):
    """`most` training steps at once, or one; bit for bit those of `GAN.train_step`."""

    def __init__(self, gan: GAN, batches: Batches, most: int = 1) -> None:
        super().__init__(gan, batches)
        self.most = most
        self.each = gan.config.discriminator_steps
        self.feed = DeviceFeed(gan, batches, most * self.each)
        self.programs: dict[Phases, Callable[[], None]] = {}

    def fits(self, wanted: int) -> int:
        """`most` steps or one. Launches of `most` steps begin at multiples of it: so there are few kinds, each of which is
        recorded, and none reads beyond the tables."""
        return self.most if wanted >= self.most and self.gan.step % self.most == 0 else 1

    def make(self, steps: int) -> None:
        """Perform `steps` steps, from `fits`: the first launch of a kind is recorded, later ones replay it."""
        assert steps == self.fits(steps)
        gan, first, count = self.gan, self.gan.step * self.each, steps * self.each
        self.feed.begin(first)
        phases = tuple(Phase.of(gan.config, i) for i in range(first, first + count))
        if phases not in self.programs:
            outcome = [*gan.outcome(), Outcome("number of the minibatch", self.feed.counter)]
            self.programs[phases] = gan.ops.program(partial(self.passes, phases), outcome, gan.called)
        self.programs[phases]()
        gan.step += steps
        self.feed.end(first + count, count)

    def passes(self, phases: Phases) -> None:
        """The operations of a launch: the same ones on the same memory in every call."""
        for ahead, phase in enumerate(phases):
            self.feed.place(ahead, phase)
            self.gan.passes(phase)
        self.feed.advance(len(phases))


class DeviceFeed:
    """What `GAN.place` does, by the device itself: minibatch i is row i modulo T of tables that are written for T minibatches
    at a time, and a counter on the device says which minibatch is next.

    one: minibatches of a launch, of which T is a multiple.
    """

    def __init__(self, gan: GAN, batches: Batches, one: int) -> None:
        ops, config = gan.ops, gan.config
        self.gan = gan
        self.ops = ops
        self.batches = batches
        self.turns = one * max(1, AHEAD // (one * config.batch_size))  # T
        self.counter = ops.zeros((1,), np.uint64)
        self.record = Feed(
            counter=self.counter,
            rows=batches.rows,
            offset=batches.offset,
            factor=batches.factor,
            chosen=ops.zeros((self.turns, config.batch_size), np.int64),
            table=ops.zeros((self.turns, gan.coefficients.array.size), config.dtype),
            seed=config.seed,
            stream=streams.LATENT,
        )
        self.next_chosen = np.zeros(self.record.chosen.shape, np.int64)  # the tables after those, on the host
        self.next_table = np.zeros(self.record.table.shape, config.dtype)
        self.at = -1  # the value of the counter; -1 before the first launch

    def begin(self, first: int) -> None:
        """See that the tables hold minibatch `first` and that the counter says so."""
        if self.at != first:  # the first launch, or after steps that were not launched
            self.look_ahead(first, self.turns)
        if self.at != first or first % self.turns == 0:
            self.ops.fill(self.record.chosen, self.next_chosen)
            self.ops.fill(self.record.table, self.next_table)
            self.ops.fill(self.counter, (first,))

    def end(self, first: int, count: int) -> None:
        """After a launch of `count` minibatches: write as many entries, while the device is busy, so that it does not wait at
        the end of the tables. first: the minibatch that is next."""
        self.at = first
        self.look_ahead(first - count + self.turns, count)

    def look_ahead(self, first: int, count: int) -> None:
        """Write the entries of `count` minibatches, from `first` on, to the next tables on the host."""
        for i in range(first, first + count):
            self.next_chosen[i % self.turns] = self.batches.chosen(i)
            self.next_table[i % self.turns] = self.gan.coefficients.of(i)

    def place(self, ahead: int, phase: Phase) -> None:
        """`GAN.place` of minibatch counter + ahead, as operations of a launch."""
        gan, config = self.gan, self.gan.config
        self.ops.minibatch(self.record, ahead, gan.batch.real.x, gan.z, gan.coefficients.array)
        if phase.penalise and config.gradient_penalty > 0:
            self.ops.draw("uniform", gan.batch.mix, config.seed, streams.INTERPOLATION, ahead, self.counter)

    def advance(self, count: int) -> None:
        """counter += count, the last operation of a launch."""
        self.ops.advance(self.counter, count, like=self.gan.coefficients.array)
