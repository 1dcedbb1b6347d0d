"""One training step of a generative adversarial network, written as the chain rule.

The passes of a step work on fixed arrays: `place` writes a minibatch to them, `passes` computes from there, and a backend may
record the passes once and replay them from then on (a *program*, see `Ops.program`).

    rows.x, rows.s    samples and their logits; `batch.real`, `batch.fake`, or more of the discriminator's batch (`nn.batch`)
    rows.ds           dL/ds, the objective's gradient with respect to the logits, divided by B
    tape.delta        dL/ds as the beginning of a backward pass (the last layer is linear, so it is dZ_L)
    tape.ones         1 in its place: the pass then leaves dD/dz_l of each row, to be weighted by ds afterwards
    batch.fresh_*     the same samples, with logits of the D that the generator's loss sees
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigan.backends import Array, Ops
from minigan.backends import noise as streams
from minigan.backends.noise import Noise
from minigan.backends.ops import Outcome
from minigan.nn import architecture
from minigan.nn.batch import JoinedBatch
from minigan.nn.coefficients import Coefficients, Phase
from minigan.nn.network import Network
from minigan.nn.objectives import OBJECTIVES
from minigan.nn.optim import Adam, WeightAverage
from minigan.nn.sampling import sample

if TYPE_CHECKING:
    from minigan.config import Config


@dataclass(frozen=True)
class Measurement:
    """What a step saw: both losses and mean D(x), D(G(z)), each just before the update that used it."""

    loss_d: float
    loss_g: float
    d_real: float
    d_fake: float


class GAN:
    """Generator, discriminator, their optimisers and the weight average; `step` counts the training steps done.

    shape: of one sample, or just the number of its values where there are no convolutions. All arrays are made here, once; a
    training step makes none but a few numbers (compiled noise: its raw words). docs/math.md, "The training step", derives
    its updates. Raises: InputError where convolutions do not fit to the shape.
    """

    def __init__(self, config: Config, shape: int | Sequence[int], ops: Ops) -> None:
        B, dtype, betas = config.batch_size, config.dtype, (config.beta1, config.beta2)
        self.config = config
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.ops = ops
        self.step = 0
        self.noise = Noise(config.seed, ops)
        self.coefficients = Coefficients(config, ops)
        self.programs: dict[Phase, Callable[[], None]] = {}
        init_noise = Noise(config.seed, ops)  # its scratch, as large as the weights, is freed on return

        self.generator = architecture.generator(config, self.shape).network(ops)
        self.generator.initialise(init_noise, streams.INIT_GENERATOR)
        self.grad_g = self.generator.parameters()
        self.adam_g = Adam(self.generator.count, ops, dtype, *betas, self.coefficients.adam_g)
        self.average = WeightAverage(self.generator.theta.flat, config.ema, ops, self.coefficients.average)

        self.discriminator = architecture.discriminator(config, self.shape).network(ops)
        self.discriminator.initialise(init_noise, streams.INIT_DISCRIMINATOR)
        self.grad_d = self.discriminator.parameters()
        self.adam_d = Adam(self.discriminator.count, ops, dtype, *betas, self.coefficients.adam_d)

        objective = OBJECTIVES[config.objective]
        settings = {name: getattr(config, name) for name in objective.settings}
        self.objective = ops.objective(objective, B, dtype, **settings)

        self.batch = JoinedBatch(config, self.discriminator, self.coefficients)
        self.z = ops.zeros((B, config.latent), dtype)
        # the generator's output rows are the discriminator's input rows
        self.tape_g = self.generator.tape(B, output=self.batch.fake.x)

    def __repr__(self) -> str:
        c, (g, d) = self.config, (network.shape for network in (self.generator, self.discriminator))
        return (
            f"GAN({c.objective}, generator {g}, discriminator {d}, batch {c.batch_size}, {c.dtype}, step {self.step})"
        )

    # ------------------------------------------------------------------------------------------- one training step

    def train_step(self, fill: Callable[[Array, int], None], *, measure: bool = False) -> Measurement | None:
        """`discriminator_steps` updates of the discriminator and one of the generator; advances `step`.

        fill(out, i) writes the i-th real minibatch into `out` (B, size). Returns what the step saw if `measure` is true.
        """
        updates = self.config.discriminator_steps
        for i in range(self.step * updates, (self.step + 1) * updates):
            self.place(i, fill)
            self.run(Phase.of(self.config, i))
        self.step += 1
        return self.measurement() if measure else None

    def place(self, i: int, fill: Callable[[Array, int], None]) -> None:
        """Write minibatch i to the arrays that its passes read: real samples, random numbers, coefficients."""
        fill(self.batch.real.x, i)
        self.noise.normal(self.z, streams.LATENT, i)
        if self.config.gradient_penalty > 0 and Phase.of(self.config, i).penalise:
            self.noise.uniform(self.batch.mix, streams.INTERPOLATION, i)
        self.coefficients.write(i)

    def run(self, phase: Phase) -> None:
        """The passes of one minibatch. A backend may keep a program for each phase: with or without G, and penalties."""
        if phase not in self.programs:
            self.programs[phase] = self.ops.program(lambda: self.passes(phase), self.outcome(), self.called)
        self.programs[phase]()

    def passes(self, phase: Phase) -> None:
        """All that is computed from one minibatch: an update of the discriminator and, when due, one of the generator."""
        self.generator.forward(self.z, self.tape_g)  # x_fake = G(z)
        if phase.generator and self.config.update == "simultaneous":
            self.simultaneous_update(phase.penalise)
        else:
            self.discriminator_update(phase.penalise)
            if phase.generator:
                self.generator_update()

    def discriminator_update(self, penalise: bool) -> None:
        """theta_D <- Adam(dL_D/dtheta_D), generated samples held fixed."""
        D, real, fake = self.discriminator, self.batch.real, self.batch.fake
        rows = self.batch.forward(penalise)  # D(x), D(G(z)), and D at interpolates for WGAN-GP
        if penalise:
            self.objective.discriminator_gradient(real.s, fake.s, real.ds, fake.ds)  # dL_D/ds
            D.backward(rows.tape.ones, rows.tape, want_dx=False)
            D.input_gradient(self.batch.penalised.tape)  # dD/dx
            self.batch.penalty_directions()  # dP/d(dD/dx)
            self.batch.penalised_gradient(self.grad_d)  # dL_D/dtheta_D
        else:
            self.objective.discriminator_gradient(real.s, fake.s, real.tape.delta, fake.tape.delta)  # dL_D/ds
            D.backward(rows.tape.delta, rows.tape, into=self.grad_d, want_dx=False)  # dL_D/dtheta_D
        self.adam_d.apply(D.theta.flat, self.grad_d.flat)

    def generator_update(self) -> None:
        """theta_G <- Adam(dL_G/dtheta_G), through the discriminator that has just been updated; G's average follows."""
        D, G, real, fake = self.discriminator, self.generator, self.batch.fresh_real, self.batch.fresh_fake
        rows = self.batch.fresh if self.objective.needs_real else fake
        D.forward(rows.x, rows.tape)  # D(G(z)), and D(x) where the loss needs it
        self.objective.generator_gradient(real.s, fake.s, fake.tape.delta)  # dL_G/ds
        dx = D.backward(fake.tape.delta, fake.tape)  # dL_G/dx_fake: D's own gradients are not wanted
        G.backward(dx, self.tape_g, into=self.grad_g, want_dx=False)  # dL_G/dtheta_G
        self.adam_g.apply(G.theta.flat, self.grad_g.flat, self.average)

    def simultaneous_update(self, penalise: bool) -> None:
        """Both players from one forward and one backward pass through D, as in the code of docs/article.md.

        D gives one logit per sample, so for either player dL/dx_i = dL/ds_i dD/dx_i. The pass is seeded with ones; its
        deltas are weighted by dL_D/ds for the weights, its dx by dL_G/ds for the generator.
        """
        D, G, real, fake = self.discriminator, self.generator, self.batch.real, self.batch.fake
        rows = self.batch.forward(penalise)  # D(x), D(G(z))
        D.backward(rows.tape.ones, rows.tape, want_dx=False)
        D.input_gradient((rows if penalise else fake).tape)  # dD/dx
        if penalise:
            self.batch.penalty_directions()  # dP/d(dD/dx)
        dx = fake.tape.dx
        self.objective.generator_gradient(real.s, fake.s, fake.ds)  # dL_G/ds
        self.ops.xp.multiply(dx, fake.ds, out=dx)  # dL_G/dx_fake; penalties have what they need of dD/dx
        G.backward(dx, self.tape_g, into=self.grad_g, want_dx=False)  # dL_G/dtheta_G
        self.objective.discriminator_gradient(real.s, fake.s, real.ds, fake.ds)  # dL_D/ds
        if penalise:
            self.batch.penalised_gradient(self.grad_d)  # dL_D/dtheta_D
        else:
            D.weighted_gradient(rows.tape, rows.ds, self.grad_d)  # dL_D/dtheta_D
        self.adam_d.apply(D.theta.flat, self.grad_d.flat)
        self.adam_g.apply(G.theta.flat, self.grad_g.flat, self.average)

    # ----------------------------------------------------------------------------------------- what a step leaves

    def measurement(self) -> Measurement:
        """Both losses, without penalties, and the mean sigmoid of the logits that the last step computed. Waits for the device."""
        xp, real, fake = self.ops.xp, self.batch.real.s, self.batch.fake.s
        loss_d = self.objective.discriminator(real, fake)
        loss_g = self.objective.generator(self.batch.fresh_real.s, self.batch.fresh_fake.s)
        d_real, d_fake = ((0.5 * (1 + xp.tanh(s / 2))).mean() for s in (real, fake))
        return Measurement(*map(float, self.ops.to_host(xp.stack([loss_d, loss_g, d_real, d_fake]))))

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
        gradients = {"generator": "gradient of the generator", "discriminator": "gradient of the discriminator"}
        return [
            Outcome("generated samples", self.batch.fake.x),
            Outcome("logits of the discriminator", self.batch.all.s),
            Outcome(gradients["discriminator"], self.grad_d.flat),
            # relativistic and Wasserstein losses do not see a constant added to D: it is rounding, and not compared
            Outcome("logits that the generator saw", self.batch.fresh.s, compared=False),
            Outcome(gradients["generator"], self.grad_g.flat),
            *(Outcome(name, array, gradients[name.partition(".")[0]]) for name, array in self.state().items()),
        ]

    @property
    def called(self) -> str:
        """What a step is called in messages about its program."""
        return f"a step with --objective {self.config.objective}"

    def sample(self, n: int, *, seed: int | None = None, stream: int = streams.SAMPLE, raw: bool = False) -> Array:
        """n generated samples (n, size) in model units, a host array; of the weight average unless `raw`."""
        return sample(self.sampler(raw=raw), n, self.config.seed if seed is None else seed, stream)

    def sampler(self, *, raw: bool = False) -> Network:
        """The generator that samples come from: with the weight average unless `raw`."""
        flat = self.generator.theta.flat if raw else self.average.mean
        return architecture.generator(self.config, self.shape).network(self.ops, flat)
