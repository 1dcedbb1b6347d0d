"""A run in memory: its parts wired together; saving, measuring, sampling and drawing."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigan import cli
from minigan.backends import Ops
from minigan.backends import noise as streams
from minigan.config import Config
from minigan.data import Data
from minigan.data.scaling import Scaler
from minigan.errors import InputError
from minigan.files import ours
from minigan.nn.gan import GAN
from minigan.runs import checkpoint
from minigan.runs.directory import Run
from minigan.runs.identity import identify
from minigan.runs.parts import Parts, Request
from minigan.runs.resume import saved_state
from minigan.runs.steps import Steps, steps_of
from minigan.runs.watch import Watch


@dataclass
class Session:
    """One process's training of one run: its parts, wired together."""

    config: Config
    backend: Ops
    data: Data
    identity: dict[str, Any]
    scaler: Scaler
    gan: GAN
    steps: Steps
    run: Run
    quiet: bool
    watch: Watch | None = None

    def __repr__(self) -> str:
        return f"Session({str(self.run.path)!r}, {self.config.steps} steps on {self.data.name}, {self.gan!r})"

    @property
    def reached(self) -> str:
        """The measure and its value by which --until ends the run; empty where it does not."""
        return "" if self.watch is None else self.watch.reached(self.gan.step)

    def steps_until(self, *every: int | None) -> int:
        """How many training steps to make at once: none of these intervals may end before the last of them."""
        step = self.gan.step
        return self.steps.fits(min(self.config.steps - step, *(n - step % n for n in every if n is not None)))

    def say(self, line: str) -> None:
        """Print a line for people; a closed standard output does not stop training."""
        if not self.quiet:
            try:
                cli.say(line)
            except (OSError, ValueError):
                self.quiet = True
                cli.silence()

    def save(self) -> None:
        """Write the newest checkpoint. Raises: DivergenceError, OSError."""
        self.save_to(self.run.checkpoint)

    def save_to(self, path: Path) -> None:
        """Write a checkpoint to `path`. Raises: DivergenceError, OSError."""
        measured = None if self.watch is None else self.watch.state()
        checkpoint.save(path, self.gan, self.data.space, self.scaler, self.identity, measured)

    def measure(self, watch: Watch) -> None:
        """Log the measures of samples, and keep the checkpoint if it is the best so far."""
        # the samples that `python -m minigan.evaluate` measures
        x = self.made(watch.samples)
        measured = watch.measures.measure(x, quick=True)
        record = {"step": self.gan.step, **{name: value for name, value in measured.items() if math.isfinite(value)}}
        self.run.append(record)
        if watch.note(record):
            self.save_to(self.run.best)

    def sample(self, n: int, *, seed: int | None = None) -> np.ndarray:
        """n generated samples in data units (n, *shape), of the weight average.

        seed: None means that of the run. Raises: InputError for a negative n or seed.
        """
        checkpoint.require_samples(n, seed)
        return self.made(n, seed=seed).reshape(n, *self.data.space.shape)

    def made(self, n: int, *, raw: bool = False, **which: Any) -> np.ndarray:
        """n generated samples (n, size) in data units; which: seed and stream, as in `GAN.sample`."""
        space = checkpoint.calibrated(self.data.space, self.scaler, self.gan.sampler(raw=raw))
        return self.scaler.to_data(self.gan.sample(n, raw=raw, **which), space)

    def preview(self, raw: bool = False) -> np.ndarray:
        """The generated samples of pictures, in data units: always from the same latent points."""
        return self.made(self.data.space.previewed, stream=streams.PREVIEW, raw=raw)

    def real(self) -> np.ndarray:
        """The real samples of pictures, in data units: always the same ones."""
        return self.data.values(self.data.train[: self.data.space.previewed])

    def draw_progress(self) -> None:
        """Draw the sample picture of this step."""
        from minigan import plots

        fake, real = self.preview(), self.real()
        shown = plots.Shown(fake, real, self.field(real, fake))
        plots.progress(self.run.picture(self.gan.step), self.data.space, shown, self.gan.step)

    def field(self, real: np.ndarray, fake: np.ndarray) -> Any:
        """On 2-D data: D's logits over the plane, and the direction in which D pushes each generated point."""
        from minigan import plots

        if (plane := plots.pictures(self.data.space).plane) is None:
            return None
        xs, ys = plane(real)
        grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
        logits, _ = self.discriminate(grid)
        at = fake[:200]
        _, gradient = self.discriminate(at)
        # every generator loss falls where the logit rises; back from model units to data units
        return plots.Field(xs, ys, logits.reshape(len(ys), len(xs)), at, gradient * self.scaler.scale)

    def discriminate(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """D's logits (n, 1) at points x (n, d) in data units, and dD/dx (n, d) in model units; host arrays."""
        d = self.gan.discriminator
        tape = d.tape(len(x))
        logits = d.forward(self.backend.asarray(self.scaler.to_model(x).astype(self.config.dtype)), tape)
        gradient = d.backward(tape.ones, tape)
        return self.backend.to_host(logits), self.backend.to_host(gradient)

    def finish(self) -> None:
        """Draw the pictures that sum up the run."""
        from minigan import plots

        fake, real = self.preview(), self.real()
        plots.comparison(self.run.samples, self.data.space, plots.Shown(fake, real, self.field(real, fake)))
        plots.curves(self.run.curves, self.run.records(), self.watch.measures.quick_real if self.watch else {})
        plots.animation(self.run.animation, self.run.frames())


def prepare(config: Config, request: Request) -> Session:
    """Load the data, build the networks, open the run directory: everything that can be refused, before anything is written.

    Raises: InputError.
    """
    from minigan.runs import progress  # noqa: F401  (its import may be refused)

    parts = Parts.load(config, request)
    config, backend, data = parts.config, parts.backend, parts.data
    identity = identify(data, config.all_data)
    watch = Watch.begin(config, data, backend)
    run = None if request.resume is None else Run.open(request.resume)
    try:
        saved = None if run is None else saved_state(run, config, data)
        gan = parts.gan()
        steps = steps_of(gan, parts.batches, config.steps_per_launch)
        run = run or Run.create(request.out, data.name)
        session = Session(config, backend, data, identity, parts.scaler, gan, steps, run, request.quiet, watch)
        if saved is not None:
            saved.restore(gan)
            if saved.path != run.checkpoint:  # else the next save would keep the damaged one in place of the good one
                os.replace(saved.path, ours(run.checkpoint))
            run.rewind(gan.step)
            if watch is not None:
                watch.restore(saved.measured, run.records())
        run.write_config(config, backend)
        if saved is None:
            session.save()
    except BaseException as error:
        if run is not None:
            run.release()
            if isinstance(error, OSError):
                raise InputError(f"{run.path}: cannot be written to ({error.strerror or error}).") from None
        raise
    return session
