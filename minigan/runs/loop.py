"""The training loop: steps, and between them the log, the measures, the pictures and the checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from minigan.errors import DivergenceError
from minigan.nn.gan import GAN, Measurement
from minigan.runs import contention
from minigan.runs.session import Session
from minigan.runs.stop import Stop
from minigan.runs.threads import held_up, limited_threads, original_threads


def train(session: Session, stop: Stop) -> None:
    """Make the remaining steps; log, measure, draw and save between them. Raises: DivergenceError, OSError."""
    from minigan.runs.progress import training_bar  # here, because its import may be refused

    config, gan, watch = session.config, session.gan, session.watch
    if gan.step == 0:
        session.draw_progress()
    saved, clock, notice = gan.step, Clock(gan), contention.Notice(contention.Meter())
    with limited_threads(gan) as limits, training_bar(config.steps, gan.step, quiet=session.quiet) as bar:
        while gan.step < config.steps and not stop.requested and not session.reached:
            steps = session.steps_until(
                config.log_every, config.sample_every, config.save_every, watch.every if watch else None
            )
            session.steps.make(steps)
            bar.update(steps)
            last = gan.step == config.steps
            if last or gan.step % config.log_every == 0:
                log(session, clock, bar)
                if found := notice():
                    bar.clear()
                    session.say(held_up(found, gan))
            if watch is not None and (last or gan.step % watch.every == 0):
                with clock.paused(), original_threads(limits, gan):
                    session.measure(watch)
                last = last or bool(session.reached)
            if last or gan.step % config.sample_every == 0:
                with clock.paused():
                    session.draw_progress()
            if last or gan.step % config.save_every == 0:
                with clock.paused():
                    session.save()
                saved = gan.step
    if saved != gan.step:  # stopped
        session.save()


def log(session: Session, clock: Clock, bar: Any) -> None:
    """Write a line of metrics.jsonl and the postfix of the bar. Raises: DivergenceError, OSError."""
    gan = session.gan
    seen = gan.measurement()
    speed = clock.speed()
    check_finite(gan, seen)
    session.run.append({"step": gan.step, **asdict(seen), "steps_per_second": round(speed, 2)})
    words = f"loss D {seen.loss_d:.3f} G {seen.loss_g:.3f}, D(x) {seen.d_real:.2f}, D(G(z)) {seen.d_fake:.2f}"
    bar.set_postfix_str(words, refresh=False)


class Clock:
    """Training steps per second since the last call of `speed`, without the time spent in `paused`."""

    def __init__(self, gan: GAN) -> None:
        self.gan = gan
        self.began, self.step = time.perf_counter(), gan.step

    def speed(self) -> float:
        now, made = time.perf_counter(), self.gan.step - self.step
        speed = made / max(now - self.began, 1e-9)
        self.began, self.step = now, self.gan.step
        return speed

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Around work that is not training."""
        self.gan.ops.synchronize()  # steps that a device has yet to make are training
        start = time.perf_counter()
        yield
        self.began += time.perf_counter() - start


def check_finite(gan: GAN, seen: Measurement) -> None:
    """Stop on the first weight, gradient or loss that is not finite.

    Raises: DivergenceError naming step, network and layer.
    """
    for player, network, gradient, loss in (
        ("discriminator", gan.discriminator, gan.grad_d, seen.loss_d),
        ("generator", gan.generator, gan.grad_g, seen.loss_g),
    ):
        advice = f"the last good checkpoint is kept. Try a smaller --lr-{player}, or --r1 1."
        for what, parameters in (("", network.theta), ("the gradient of ", gradient)):
            layer = parameters.first_not_finite()
            if layer is not None:
                raise DivergenceError(
                    f"step {gan.step}: {what}layer {layer} of the {player} holds a number that is not finite; {advice}"
                )
        if not math.isfinite(loss):
            raise DivergenceError(f"step {gan.step}: the loss of the {player} is {loss}; {advice}")
