"""One training step of a generative adversarial network, written as the chain rule.

The batch is joined: real rows first, generated rows after them (and interpolates after those, for WGAN-GP), so that one
pass through the discriminator serves all. The generator writes its samples straight into their rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from minigan.backends import Array, Ops
from minigan.backends import noise as streams
from minigan.backends.noise import Noise
from minigan.backends.ops import Outcome
from minigan.nn.network import Network, Tape
from minigan.nn.objectives import OBJECTIVES
from minigan.nn.optim import Adam, WeightAverage, schedule
from minigan.nn.penalties import interpolate, one_centred_direction, penalised_gradient, zero_centred_direction

if TYPE_CHECKING:
    from minigan.config import Config

CHUNK = 256
"""Latents to sample from are drawn in chunks of this many rows: sample i does not depend on how many are asked for."""


@dataclass(frozen=True)
class Measurement:
    """What a step saw: both losses and mean D(x), D(G(z)), each just before the update that used it."""

    loss_d: float
    loss_g: float
    d_real: float
    d_fake: float


class Phase(NamedTuple):
    """What is done with a minibatch, besides an update of the discriminator."""

    generator: bool
    """The generator is updated too: it is the last minibatch of a training step."""

    penalise: bool
    """The gradient penalties are applied."""


class Coefficients:
    """The numbers that change from step to step, in one array: they go to a device in one copy."""

    SLOTS: ClassVar = {"adam_d": 4, "adam_g": 4, "average": 1, "r1": 1, "r2": 1, "gradient_penalty": 1}
    """How many numbers each reader has (`Adam.coefficients`, `WeightAverage.weight`, one strength a penalty), in order."""

    def __init__(self, ops: Ops, dtype: str) -> None:
        self.array = ops.zeros((sum(self.SLOTS.values()),), dtype)
        ends = itertools.accumulate(self.SLOTS.values())
        views = (self.array[end - n : end] for n, end in zip(self.SLOTS.values(), ends, strict=True))
        self.adam_d, self.adam_g, self.average, self.r1, self.r2, self.gradient_penalty = views

    @classmethod
    def row(cls, **values: tuple[float, ...]) -> tuple[float, ...]:
        """The content of the array, from the numbers of each slot."""
        return tuple(itertools.chain.from_iterable(values[name] for name in cls.SLOTS))


@dataclass(frozen=True)
class Rows:
    """Some rows of the discriminator's batch: samples x (n, d), logit gradients ds (n, 1) and their tape."""

    x: Array
    ds: Array
    tape: Tape

    def part(self, lo: int, hi: int) -> Rows:
        return Rows(self.x[lo:hi], self.ds[lo:hi], self.tape.rows(lo, hi))

    def with_logits(self, s: Array) -> Rows:
        """The same rows, whose logits go to `s` (n, 1)."""
        return Rows(self.x, self.ds, self.tape.with_output(s))

    @property
    def s(self) -> Array:
        """The logits D(x) (n, 1) of the last forward pass."""
        return self.tape.output


class GAN:
    """Generator, discriminator, their optimisers and the weight average; `step` counts the training steps done.

    size: the number of values in one sample. All arrays are made here, once; a training step makes none but a few numbers
    (compiled noise: its raw words).
    """

    def __init__(self, config: Config, size: int, ops: Ops) -> None:
        batch, dtype = config.batch_size, config.dtype
        self.config = config
        self.ops = ops
        self.step = 0
        self.noise = Noise(config.seed, ops)
        self.coefficients = Coefficients(ops, dtype)
        self.programs: dict[Phase, Callable[[], None]] = {}
        first = Noise(config.seed, ops)  # its scratch, as large as the weights, goes when this method ends

        sizes = config.latent, *config.hidden, size
        self.generator = Network(sizes, config.activation, config.output, ops, dtype)
        self.generator.initialise(first, streams.INIT_GENERATOR)
        self.grad_g = self.generator.parameters()
        betas = config.beta1, config.beta2
        self.adam_g = Adam(self.generator.count, ops, dtype, *betas, self.coefficients.adam_g)
        self.average = WeightAverage(self.generator.theta.flat, config.ema, ops, self.coefficients.average)

        self.discriminator = Network((size, *config.hidden, 1), config.activation, "identity", ops, dtype)
        self.discriminator.initialise(first, streams.INIT_DISCRIMINATOR)
        self.grad_d = self.discriminator.parameters()
        self.adam_d = Adam(self.discriminator.count, ops, dtype, *betas, self.coefficients.adam_d)
        objective = OBJECTIVES[config.objective]
        settings = {name: getattr(config, name) for name in objective.settings}
        self.objective = self.ops.objective(objective, batch, dtype, **settings)

        self.make_rows(size)
        self.z = ops.zeros((batch, config.latent), dtype)
        # the generator's output rows are the discriminator's input rows
        self.tape_g = self.generator.tape(batch, output=self.fake.x)

    def make_rows(self, size: int) -> None:
        """The discriminator's batch, and the parts of it that the passes use."""
        config, ops = self.config, self.ops
        batch, dtype = config.batch_size, config.dtype
        weights = (config.r1, config.r2, config.gradient_penalty)  # of real, generated and interpolated rows
        penalised = [block for block, weight in enumerate(weights) if weight > 0]
        self.has_penalties = bool(penalised)

        n = (3 if config.gradient_penalty > 0 else 2) * batch
        tape = self.discriminator.tape(n, tangents=self.has_penalties)
        self.critic_rows = Rows(ops.zeros((n, size), dtype), ops.zeros((n, 1), dtype), tape)
        self.real_fake = self.critic_rows.part(0, 2 * batch)
        self.real = self.critic_rows.part(0, batch)
        self.fake = self.critic_rows.part(batch, 2 * batch)

        self.fresh = self.real_fake  # real and generated rows as the generator's loss sees them:
        if config.update == "alternating":  # through the updated D; `measurement` wants the logits before and after
            self.fresh = self.real_fake.with_logits(ops.zeros((2 * batch, 1), dtype))
        self.fresh_real, self.fresh_fake = self.fresh.part(0, batch), self.fresh.part(batch, 2 * batch)

        if penalised:
            self.penalty_rows = self.critic_rows.part(penalised[0] * batch, (penalised[-1] + 1) * batch)
            self.scratch_d = self.discriminator.parameters()
        if config.gradient_penalty > 0:
            self.interpolates = self.critic_rows.part(2 * batch, 3 * batch)
            self.mix = ops.zeros((batch, 1), dtype)
            self.norm = ops.zeros((batch, 1), dtype)

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
            self.run(self.phase(i))
        self.step += 1
        return self.measurement() if measure else None

    def phase(self, i: int) -> Phase:
        """What is done with minibatch i: penalties are applied in every `penalty_every`-th discriminator update."""
        c = self.config
        return Phase((i + 1) % c.discriminator_steps == 0, self.has_penalties and i % c.penalty_every == 0)

    def run(self, phase: Phase) -> None:
        """All that is computed from one minibatch. There are four phases; the backend may keep a program of each."""
        if phase not in self.programs:
            self.programs[phase] = self.ops.program(lambda: self.passes(phase), self.outcome(), self.called)
        self.programs[phase]()

    def passes(self, phase: Phase) -> None:
        """An update of the discriminator, and with the last minibatch of a step one of the generator."""
        self.generator.forward(self.z, self.tape_g)  # x_fake = G(z)
        if phase.generator and self.config.update == "simultaneous":
            self.simultaneous_update(phase.penalise)
        else:
            self.discriminator_update(phase.penalise)
            if phase.generator:
                self.generator_update()

    def discriminator_update(self, penalise: bool) -> None:
        """theta_D <- Adam(dL_D/dtheta_D), generated samples held fixed."""
        D, real, fake = self.discriminator, self.real, self.fake
        rows = self.discriminate(penalise)
        if penalise:
            self.objective.discriminator_gradient(real.s, fake.s, real.ds, fake.ds)  # dL_D/ds
            D.backward(rows.tape.ones, rows.tape, want_dx=False)
            D.input_gradient(self.penalty_rows.tape)  # dD/dx
            self.penalty_directions()
            self.penalised_gradient()
        else:
            self.objective.discriminator_gradient(real.s, fake.s, real.tape.delta, fake.tape.delta)  # dL_D/ds
            D.backward(rows.tape.delta, rows.tape, into=self.grad_d, want_dx=False)  # dL_D/dtheta_D
        self.adam_d.apply(D.theta.flat, self.grad_d.flat)

    def generator_update(self) -> None:
        """theta_G <- Adam(dL_G/dtheta_G), through the discriminator that has just been updated; its average follows."""
        D, G, real, fake = self.discriminator, self.generator, self.fresh_real, self.fresh_fake
        rows = self.fresh if self.objective.needs_real else fake
        D.forward(rows.x, rows.tape)  # D(G(z)), and D(x) where the loss needs it
        self.objective.generator_gradient(real.s, fake.s, fake.tape.delta)  # dL_G/ds
        dx = D.backward(fake.tape.delta, fake.tape)  # dL_G/dx_fake: D's own gradients are not wanted
        G.backward(dx, self.tape_g, into=self.grad_g, want_dx=False)  # dL_G/dtheta_G
        self.adam_g.apply(G.theta.flat, self.grad_g.flat, self.average)

    def simultaneous_update(self, penalise: bool) -> None:
        """Both players from one forward and one backward pass through D, as in the article's code.

        D gives one logit per sample, so for either player dL/dx_i = dL/ds_i dD/dx_i. The pass is seeded with ones; its
        deltas are weighted by dL_D/ds for the weights, its dx by dL_G/ds for the generator.
        """
        D, G, real, fake = self.discriminator, self.generator, self.real, self.fake
        rows = self.discriminate(penalise)
        D.backward(rows.tape.ones, rows.tape, want_dx=False)
        if penalise:
            D.input_gradient(rows.tape)  # dD/dx
            self.penalty_directions()
        else:
            D.input_gradient(fake.tape)
        dx = fake.tape.dx
        self.objective.generator_gradient(real.s, fake.s, fake.ds)  # dL_G/ds
        self.ops.xp.multiply(dx, fake.ds, out=dx)  # dL_G/dx_fake
        G.backward(dx, self.tape_g, into=self.grad_g, want_dx=False)  # dL_G/dtheta_G
        self.objective.discriminator_gradient(real.s, fake.s, real.ds, fake.ds)  # dL_D/ds
        if penalise:
            self.penalised_gradient()
        else:
            D.weighted_gradient(rows.tape, rows.ds, self.grad_d)  # dL_D/dtheta_D
        self.adam_d.apply(D.theta.flat, self.grad_d.flat)
        self.adam_g.apply(G.theta.flat, self.grad_g.flat, self.average)

    # ---------------------------------------------------------------------------------------------- its few parts

    def discriminate(self, penalise: bool) -> Rows:
        """D(x) and D(G(z)), and D at interpolates where those are penalised; returns the rows passed through.

        Interpolates have no loss of their own: their ds stay 0.
        """
        rows = self.critic_rows if penalise else self.real_fake
        if penalise and self.config.gradient_penalty > 0:
            interpolate(self.ops, self.real.x, self.fake.x, self.mix, self.interpolates.x)
        self.discriminator.forward(rows.x, rows.tape)
        return rows

    def penalty_directions(self) -> None:
        """v = dP/d(dD/dx), from the dD/dx on the tape."""
        c, ops, strength = self.config, self.ops, self.coefficients
        if c.r1 > 0:
            zero_centred_direction(ops, self.real.tape.dx, strength.r1.reshape(1, 1), self.real.tape.v)
        if c.r2 > 0:
            zero_centred_direction(ops, self.fake.tape.dx, strength.r2.reshape(1, 1), self.fake.tape.v)
        if c.gradient_penalty > 0:
            tape = self.interpolates.tape
            one_centred_direction(ops, tape.dx, strength.gradient_penalty.reshape(1, 1), tape.v, self.norm)

    def penalised_gradient(self) -> None:
        """dL_D/dtheta_D and the penalties' gradient, from unit-seeded deltas."""
        rows = self.critic_rows
        penalised_gradient(self.discriminator, rows.tape, self.penalty_rows.tape, rows.ds, self.grad_d, self.scratch_d)

    # ------------------------------------------------------------------------------- what changes from step to step

    def draw(self, i: int) -> None:
        """The random numbers of discriminator update i."""
        self.noise.normal(self.z, streams.LATENT, i)
        if self.phase(i).penalise and self.config.gradient_penalty > 0:
            self.noise.uniform(self.mix, streams.INTERPOLATION, i)

    def prepare(self, i: int) -> None:
        """Put the numbers that depend on the step where the passes of discriminator update i read them."""
        self.ops.fill(self.coefficients.array, self.coefficients_of(i))

    def coefficients_of(self, i: int) -> tuple[float, ...]:
        """The coefficients of discriminator update i."""
        c, step = self.config, i // self.config.discriminator_steps
        rate = schedule(c.lr_schedule, step, self.horizon, c.lr_end)
        strength = schedule(c.penalty_schedule, step, self.horizon, c.penalty_end) / c.batch_size
        strength *= c.penalty_every  # as many times as strong as they are rarer
        return Coefficients.row(
            adam_d=self.adam_d.coefficients(i + 1, c.lr_discriminator * rate),
            adam_g=self.adam_g.coefficients(step + 1, c.lr_generator * rate),
            average=(self.average.weight(step + 1),),
            r1=(c.r1 * strength,),
            r2=(c.r2 * strength,),
            gradient_penalty=(2 * c.gradient_penalty * strength,),
        )

    @property
    def horizon(self) -> int:
        """Steps over which schedules run."""
        return self.config.schedule_steps or self.config.steps

    def measurement(self) -> Measurement:
        """Losses and mean sigmoid of the logits, from those that the step left. Waits for the device."""
        xp, r, f = self.ops.xp, self.real.s, self.fake.s
        seen = xp.stack([
            self.objective.discriminator(r, f),
            self.objective.generator(self.fresh_real.s, self.fresh_fake.s),
            *((0.5 * (1 + xp.tanh(s / 2))).mean() for s in (r, f)),
        ])  # fmt: skip
        loss_d, loss_g, d_real, d_fake = map(float, self.ops.to_host(seen))
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

    def outcome(self) -> list[Outcome]:
        """What a step leaves, in the order in which it is computed: what the losses and the log are made of, and the state."""
        players = {"generator": "gradient of the generator", "discriminator": "gradient of the discriminator"}
        return [
            Outcome("generated samples", self.fake.x),
            Outcome("logits of the discriminator", self.critic_rows.s),
            Outcome(players["discriminator"], self.grad_d.flat),
            # a loss of differences leaves their level to rounding, which moves D's last bias
            Outcome("logits that the generator saw", self.fresh.s, compared=False),
            Outcome(players["generator"], self.grad_g.flat),
            *(Outcome(name, array, players[name.partition(".")[0]]) for name, array in self.state().items()),
        ]

    @property
    def called(self) -> str:
        """A step, as the subject of a sentence."""
        return f"a step with --objective {self.config.objective}"

    def sample(self, n: int, *, seed: int | None = None, stream: int = streams.SAMPLE, raw: bool = False) -> Array:
        """n generated samples (n, size) in model units, a host array; of the weight average unless `raw`."""
        flat = self.generator.theta.flat if raw else self.average.mean
        c = self.config
        g = Network(self.generator.sizes, c.activation, c.output, self.ops, c.dtype, flat)
        return sample(g, n, c.seed if seed is None else seed, stream)


def sample(generator: Network, n: int, seed: int, stream: int = streams.SAMPLE) -> Array:
    """n samples (n, size) of `generator`, z ~ N(0, I) a function of (seed, stream) alone; a host array."""
    x, at = np.empty((n, generator.sizes[-1]), generator.dtype), 0
    for part in samples(generator, n, seed, stream):
        x[at : at + len(part)] = part
        at += len(part)
    return x


def samples(generator: Network, n: int, seed: int, stream: int = streams.SAMPLE) -> Iterator[Array]:
    """The same, CHUNK at a time: host arrays, which may be overwritten when the next one is asked for."""
    ops = generator.ops
    noise = Noise(seed, ops)
    z = ops.empty((CHUNK, generator.sizes[0]), generator.dtype)
    tape = generator.tape(CHUNK)
    for chunk in range(-(-n // CHUNK)):
        noise.normal(z, stream, chunk)
        yield ops.to_host(generator.forward(z, tape))[: n - chunk * CHUNK]
