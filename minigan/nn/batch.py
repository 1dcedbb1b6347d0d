"""The discriminator's batch: real rows, generated rows and interpolates, one below the other, with their penalties.

One pass through the discriminator serves all of them; the generator writes its samples straight into their rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minigan.backends import Array
from minigan.nn.coefficients import Coefficients
from minigan.nn.network import Network, Parameters, Tape
from minigan.nn.penalties import interpolate, one_centred_direction, penalised_gradient, zero_centred_direction

if TYPE_CHECKING:
    from minigan.config import Config


@dataclass(frozen=True)
class Rows:
    """Some rows of the batch: samples x (n, d), logit gradients ds = dL_D/ds (n, 1), and their tape."""

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


class JoinedBatch:
    """B real samples, B generated ones, and for WGAN-GP B interpolates between them.

    all: every row. real, fake: those of each kind; real_fake: both. fresh_real, fresh_fake, fresh: the same samples as the
    generator's loss sees them, through the D it is trained by. interpolates, and mix (B, 1), which says where each of them
    lies; penalised: the rows from the first penalised one to the last.
    """

    def __init__(self, config: Config, discriminator: Network, coefficients: Coefficients) -> None:
        B, ops, dtype, size = config.batch_size, discriminator.ops, config.dtype, discriminator.sizes[0]
        self.config = config
        self.D = discriminator
        self.ops = ops
        self.coefficients = coefficients

        n = (3 if config.gradient_penalty > 0 else 2) * B
        tape = discriminator.tape(n, tangents=config.has_penalties)
        self.all = Rows(ops.zeros((n, size), dtype), ops.zeros((n, 1), dtype), tape)
        self.real_fake = self.all.part(0, 2 * B)
        self.real = self.all.part(0, B)
        self.fake = self.all.part(B, 2 * B)

        self.fresh = self.real_fake
        if config.update == "alternating":  # D has been updated since; a measurement wants the logits before and after
            self.fresh = self.real_fake.with_logits(ops.zeros((2 * B, 1), dtype))
        self.fresh_real, self.fresh_fake = self.fresh.part(0, B), self.fresh.part(B, 2 * B)

        if config.has_penalties:
            weights = (config.r1, config.r2, config.gradient_penalty)  # of the rows in their order
            blocks = [block for block, weight in enumerate(weights) if weight > 0]
            self.penalised = self.all.part(blocks[0] * B, (blocks[-1] + 1) * B)
            self.scratch = discriminator.parameters()
        if config.gradient_penalty > 0:
            self.interpolates = self.all.part(2 * B, 3 * B)
            self.mix = ops.zeros((B, 1), dtype)
            self.norm = ops.zeros((B, 1), dtype)

    def forward(self, penalise: bool) -> Rows:
        """D(x) and D(G(z)), and D at interpolates where those are penalised; returns the rows passed through.

        Interpolates have no loss of their own: their ds stay 0.
        """
        rows = self.all if penalise else self.real_fake
        if penalise and self.config.gradient_penalty > 0:
            interpolate(self.ops, self.real.x, self.fake.x, self.mix, self.interpolates.x)
        self.D.forward(rows.x, rows.tape)
        return rows

    def penalty_directions(self) -> None:
        """v = dP/d(dD/dx), from the dD/dx on the tape."""
        c, ops, factor = self.config, self.ops, self.coefficients
        if c.r1 > 0:
            zero_centred_direction(ops, self.real.tape.dx, factor.r1, self.real.tape.v)
        if c.r2 > 0:
            zero_centred_direction(ops, self.fake.tape.dx, factor.r2, self.fake.tape.v)
        if c.gradient_penalty > 0:
            tape = self.interpolates.tape
            one_centred_direction(ops, tape.dx, factor.gradient_penalty, tape.v, self.norm)

    def penalised_gradient(self, into: Parameters) -> None:
        """dL_D/dtheta_D of the loss (through ds) and the penalties (through v), from unit-seeded deltas."""
        penalised_gradient(self.D, self.all.tape, self.penalised.tape, self.all.ds, into, self.scratch)
