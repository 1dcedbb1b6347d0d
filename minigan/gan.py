"""One training step of a generative adversarial network, written as the chain rule.

The batch is joined: real rows first, generated rows after them (and interpolates after those, for WGAN-GP), so that one
pass through the discriminator serves all. The generator writes its samples straight into their rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minigan import noise as streams
from minigan.backend import Array, Backend
from minigan.config import Config
from minigan.network import Network, Tape
from minigan.noise import Noise
from minigan.objectives import OBJECTIVES
from minigan.optim import Adam, WeightAverage, schedule
from minigan.penalties import interpolate, one_centred_direction, penalised_gradient, zero_centred_direction

CHUNK = 256
"""Latents to sample from are drawn in chunks of this many rows: sample i does not depend on how many are asked for."""


@dataclass(frozen=True)
class Measurement:
    """What a step saw: both losses and mean D(x), D(G(z)), each just before the update that used it."""

    loss_d: float
    loss_g: float
    d_real: float
    d_fake: float


@dataclass(frozen=True)
class Rows:
    """Some rows of the discriminator's joined batch: samples x (n, d), logit gradients ds (n, 1) and their tape."""

    x: Array
    ds: Array
    tape: Tape

    def part(self, lo: int, hi: int) -> Rows:
        return Rows(self.x[lo:hi], self.ds[lo:hi], self.tape.rows(lo, hi))

    @property
    def s(self) -> Array:
        """The logits D(x) (n, 1) of the last forward pass."""
        return self.tape.y[-1]

    @property
    def delta(self) -> Array:
        """The last layer's deltas (n, 1), where a backward pass begins: dLoss/ds written here need not be copied there."""
        return self.tape.dz[-1]


class GAN:
    """Generator, discriminator, their optimisers and the weight average; `step` counts the training steps done.

    size: the number of values in one sample. All arrays are made here, once; a training step makes none but a few numbers
    (compiled noise: its raw words).
    """

    def __init__(self, config: Config, size: int, backend: Backend) -> None:
        batch, dtype = config.batch_size, config.dtype
        self.config = config
        self.backend = backend
        self.ops = backend.ops
        self.step = 0
        self.noise = Noise(config.seed, backend)
        self.numbers = backend.zeros((12,), dtype)  # that change from step to step, together: one copy to a device
        first = Noise(config.seed, backend)  # its scratch, as large as the weights, goes when this method ends

        self.generator = Network(
            (config.latent, *config.hidden, size), config.activation, config.output, backend, dtype
        )
        self.generator.initialise(first, streams.INIT_GENERATOR)
        self.grad_g = self.generator.parameters()
        self.adam_g = Adam(self.generator.count, backend, dtype, config.beta1, config.beta2, self.numbers[4:8])
        self.average = WeightAverage(self.generator.theta.flat, config.ema, backend, self.numbers[8:9])

        self.discriminator = Network((size, *config.hidden, 1), config.activation, "identity", backend, dtype)
        self.discriminator.initialise(first, streams.INIT_DISCRIMINATOR)
        self.grad_d = self.discriminator.parameters()
        self.adam_d = Adam(self.discriminator.count, backend, dtype, config.beta1, config.beta2, self.numbers[:4])
        self.objective = self.ops.objective(OBJECTIVES[config.objective], batch, dtype, config.label_smoothing)

        weights = (config.r1, config.r2, config.gradient_penalty)  # of real, generated and interpolated rows
        penalised = [block for block, weight in enumerate(weights) if weight > 0]
        n = (3 if config.gradient_penalty > 0 else 2) * batch
        tape = self.discriminator.tape(n, tangents=bool(penalised))
        self.joined = Rows(backend.zeros((n, size), dtype), backend.zeros((n, 1), dtype), tape)
        self.pair = self.joined.part(0, 2 * batch)
        self.real = self.joined.part(0, batch)
        self.fake = self.joined.part(batch, 2 * batch)
        self.z = backend.zeros((batch, config.latent), dtype)
        self.tape_g = self.generator.tape(batch)
        self.tape_g.y[-1] = self.fake.x  # the generator's output rows are the discriminator's input rows

        self.judged = self.joined.part(0, 2 * batch)  # the pair as the generator's loss sees it:
        if config.update == "alternating":  # through the new D, with logits of their own; `measurement` wants both
            self.judged.tape.y[-1] = backend.zeros((2 * batch, 1), dtype)
        self.judged_real, self.judged_fake = self.judged.part(0, batch), self.judged.part(batch, 2 * batch)
        self.programs: dict[tuple[bool, bool], Callable[[], None]] = {}

        self.penalises = bool(penalised)
        self.strengths = [self.numbers[i : i + 1].reshape(1, 1) for i in (9, 10, 11)]
        if penalised:
            self.first_penalised = penalised[0] * batch
            self.penalised = self.joined.part(self.first_penalised, (penalised[-1] + 1) * batch)
            self.scratch_d = self.discriminator.parameters()
        if config.gradient_penalty > 0:
            self.between = self.joined.part(2 * batch, 3 * batch)
            self.mix = backend.zeros((batch, 1), dtype)
            self.norm = backend.zeros((batch, 1), dtype)

    # ------------------------------------------------------------------------------------------- one training step

    def train_step(self, fill: Callable[[Array, int], None], *, measure: bool = False) -> Measurement | None:
        """`discriminator_steps` updates of the discriminator and one of the generator; advances `step`.

        fill(out, i) writes the i-th real minibatch into `out` (B, size). Returns what the step saw if `measure` is true.
        """
        each = self.config.discriminator_steps
        for i in range(self.step * each, (self.step + 1) * each):
            fill(self.real.x, i)
            self.draw(i)
            self.prepare(i)
            self.run(*self.kind(i))
        self.step += 1
        return self.measurement() if measure else None

    def kind(self, i: int) -> tuple[bool, bool]:
        """What discriminator update i is: the last of its step, and one that applies the penalties (every
        `penalty_every`-th does)."""
        c = self.config
        return (i + 1) % c.discriminator_steps == 0, self.penalises and i % c.penalty_every == 0

    def run(self, last: bool, penalise: bool) -> None:
        """All that is computed from one minibatch. There are four kinds; the backend may keep a program of each."""
        kind = last, penalise
        if kind not in self.programs:
            self.programs[kind] = self.ops.program(lambda: self.passes(last, penalise))
        self.programs[kind]()

    def passes(self, last: bool, penalise: bool) -> None:
        """An update of the discriminator, and with the last minibatch of a step one of the generator."""
        self.generator.forward(self.z, self.tape_g)  # x_fake = G(z)
        if last and self.config.update == "simultaneous":
            self.simultaneous_update(penalise)
        else:
            self.discriminator_update(penalise)
            if last:
                self.generator_update()

    def discriminator_update(self, penalise: bool) -> None:
        """theta_D <- Adam(dL_D/dtheta_D), generated samples held fixed."""
        rows, real, fake = self.discriminate(penalise), self.real, self.fake
        if penalise:
            self.objective.discriminator_gradient(real.s, fake.s, real.ds, fake.ds)  # dL_D/ds
            self.discriminator.backward(rows.tape.ones, rows.tape, want_dx=False)
            self.discriminator.input_gradient(self.penalised.tape)  # dD/dx
            self.penalty_directions()
            self.penalised_gradient()
        else:
            self.objective.discriminator_gradient(real.s, fake.s, real.delta, fake.delta)  # dL_D/ds
            self.discriminator.backward(rows.delta, rows.tape, into=self.grad_d, want_dx=False)  # dL_D/dtheta_D
        self.adam_d.apply(self.discriminator.theta.flat, self.grad_d.flat)

    def generator_update(self) -> None:
        """theta_G <- Adam(dL_G/dtheta_G), through the discriminator that has just been updated; its average follows."""
        fake = self.judged_fake
        rows = self.judged if self.objective.needs_real else fake
        self.discriminator.forward(rows.x, rows.tape)  # D(G(z)), and D(x) where the loss needs it
        self.objective.generator_gradient(self.judged_real.s, fake.s, fake.delta)  # dL_G/ds
        dx = self.discriminator.backward(fake.delta, fake.tape)  # dL_G/dx_fake: D's own gradients are not wanted
        self.generator.backward(dx, self.tape_g, into=self.grad_g, want_dx=False)  # dL_G/dtheta_G
        self.adam_g.apply(self.generator.theta.flat, self.grad_g.flat, self.average)

    def simultaneous_update(self, penalise: bool) -> None:
        """Both players from one forward and one backward pass through D, as in the article's code.

        D gives one logit per sample, so for either player dL/dx_i = dL/ds_i dD/dx_i. The pass is seeded with ones; its
        deltas are weighted by dL_D/ds for the weights, its dx by dL_G/ds for the generator.
        """
        rows = self.discriminate(penalise)
        self.discriminator.backward(rows.tape.ones, rows.tape, want_dx=False)
        if penalise:
            self.discriminator.input_gradient(rows.tape)  # dD/dx
            self.penalty_directions()
        else:
            self.discriminator.input_gradient(self.fake.tape)
        dx = self.fake.tape.dx
        self.objective.generator_gradient(self.real.s, self.fake.s, self.fake.ds)  # dL_G/ds
        self.ops.xp.multiply(dx, self.fake.ds, out=dx)  # dL_G/dx_fake
        self.generator.backward(dx, self.tape_g, into=self.grad_g, want_dx=False)  # dL_G/dtheta_G
        self.objective.discriminator_gradient(self.real.s, self.fake.s, self.real.ds, self.fake.ds)  # dL_D/ds
        if penalise:
            self.penalised_gradient()
        else:
            self.discriminator.weighted_gradient(rows.tape, rows.ds, self.grad_d)  # dL_D/dtheta_D
        self.adam_d.apply(self.discriminator.theta.flat, self.grad_d.flat)
        self.adam_g.apply(self.generator.theta.flat, self.grad_g.flat, self.average)

    # ---------------------------------------------------------------------------------------------- its few parts

    def discriminate(self, penalise: bool) -> Rows:
        """D(x) and D(G(z)), and D at interpolates where those are penalised; returns the rows passed through.

        Interpolates have no loss of their own: their ds stay 0.
        """
        rows = self.joined if penalise else self.pair
        if rows is self.joined and self.config.gradient_penalty > 0:
            interpolate(self.ops, self.real.x, self.fake.x, self.mix, self.between.x)
        self.discriminator.forward(rows.x, rows.tape)
        return rows

    def penalty_directions(self) -> None:
        """v = dP/d(dD/dx), from the dD/dx on the tape."""
        r1, r2, gradient_penalty = self.strengths
        if self.config.r1 > 0:
            zero_centred_direction(self.ops, self.real.tape.dx, r1, self.real.tape.v)
        if self.config.r2 > 0:
            zero_centred_direction(self.ops, self.fake.tape.dx, r2, self.fake.tape.v)
        if self.config.gradient_penalty > 0:
            tape = self.between.tape
            one_centred_direction(self.ops, tape.dx, gradient_penalty, tape.v, self.norm)

    def penalised_gradient(self) -> None:
        """dL_D/dtheta_D and the penalties' gradient, from unit-seeded deltas."""
        rows = self.joined
        penalised_gradient(
            self.discriminator,
            rows.tape,
            self.penalised.tape,
            self.first_penalised,
            rows.ds,
            self.grad_d,
            self.scratch_d,
        )

    # ------------------------------------------------------------------------------- what changes from step to step

    def draw(self, i: int) -> None:
        """The random numbers of discriminator update i."""
        _, penalise = self.kind(i)
        self.noise.normal(self.z, streams.LATENT, i)
        if penalise and self.config.gradient_penalty > 0:
            self.noise.uniform(self.mix, streams.INTERPOLATION, i)

    def prepare(self, i: int) -> None:
        """Put the numbers that depend on the step where the passes of discriminator update i read them."""
        self.backend.fill(self.numbers, self.numbers_of(i))

    def numbers_of(self, i: int) -> tuple[float, ...]:
        """What changes from step to step, for discriminator update i: both Adams', the average's weight, three penalties'."""
        c, step = self.config, i // self.config.discriminator_steps
        rate = schedule(c.lr_schedule, step, self.horizon, c.lr_end)
        strength = schedule(c.penalty_schedule, step, self.horizon, c.penalty_end) / c.batch_size
        strength *= c.penalty_every  # as many times as strong as they are rarer
        return (
            *self.adam_d.numbers(i + 1, c.lr_discriminator * rate),
            *self.adam_g.numbers(step + 1, c.lr_generator * rate),
            self.average.weight(step + 1),
            c.r1 * strength,
            c.r2 * strength,
            2 * c.gradient_penalty * strength,
        )

    @property
    def horizon(self) -> int:
        """Steps over which schedules run."""
        return self.config.schedule_steps or self.config.steps

    def measurement(self) -> Measurement:
        """Losses and mean sigmoid of the logits, from those that the step left. Waits for the device."""
        xp, r, f = self.backend.xp, self.real.s, self.fake.s
        seen = xp.stack([
            self.objective.discriminator(r, f),
            self.objective.generator(self.judged_real.s, self.judged_fake.s),
            *((0.5 * (1 + xp.tanh(s / 2))).mean() for s in (r, f)),
        ])  # fmt: skip
        loss_d, loss_g, d_real, d_fake = map(float, self.backend.to_host(seen))
        return Measurement(loss_d, loss_g, d_real, d_fake)

    # ------------------------------------------------------------------------------------------- state and samples

    def state(self) -> dict[str, Array]:
        """Everything that training changes, besides `step`: seven flat vectors. Noise and order are functions of the step."""
        return {
            "generator": self.generator.theta.flat,
            "generator.average": self.average.mean,
            "generator.adam.m": self.adam_g.m,
            "generator.adam.v": self.adam_g.v,
            "discriminator": self.discriminator.theta.flat,
            "discriminator.adam.m": self.adam_d.m,
            "discriminator.adam.v": self.adam_d.v,
        }

    def sample(self, n: int, *, seed: int | None = None, stream: int = streams.SAMPLE, raw: bool = False) -> Array:
        """n generated samples (n, size) in model units, a host array; of the weight average unless `raw`."""
        flat = self.generator.theta.flat if raw else self.average.mean
        g = Network(
            self.generator.sizes, self.config.activation, self.config.output, self.backend, self.config.dtype, flat
        )
        return sample(g, n, self.config.seed if seed is None else seed, stream)


def sample(generator: Network, n: int, seed: int, stream: int = streams.SAMPLE) -> Array:
    """n samples (n, size) of `generator`, z ~ N(0, I) a function of (seed, stream) alone; a host array."""
    backend = generator.backend
    noise = Noise(seed, backend)
    z = backend.empty((CHUNK, generator.sizes[0]), generator.dtype)
    tape = generator.tape(CHUNK)
    rows = []
    for chunk in range(-(-n // CHUNK)):
        noise.normal(z, stream, chunk)
        rows.append(backend.to_host(generator.forward(z, tape)).copy())
    return np.concatenate(rows)[:n]
