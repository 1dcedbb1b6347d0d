"""One training run: its parts, what it leaves on the way, and the loop. The command is in train.py."""

from __future__ import annotations

import dataclasses
import errno
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan import cli
from minigan.backends import Ops, get_ops
from minigan.backends import noise as streams
from minigan.config import Config, Goal, flag
from minigan.errors import DivergenceError, FallbackWarning, InputError, OutputError, quoted, reason
from minigan.files import ours
from minigan.runs import checkpoint, contention
from minigan.runs.directory import Run, find_data, load_config

if TYPE_CHECKING:  # imported when needed: --help and errors come at once
    from minigan.data import Data
    from minigan.data.batches import Batches
    from minigan.data.scaling import Scaler
    from minigan.metrics.suite import Suite
    from minigan.nn.gan import GAN, Measurement
    from minigan.runs.steps import Steps

Record = dict[str, Any]
"""A line of metrics.jsonl: a step, and numbers by their names."""

MAY_CHANGE = ("steps", "schedule_steps", "data", "data_dir")
"""Settings that decide the numbers, and still may change on --resume."""


# -------------------------------------------------------------------------------------------------------- the parts


@dataclass(frozen=True)
class Request:
    """What is asked of a run besides its configuration.

    out: a fresh run directory (None: runs/NAME-001, -002, ...). resume: the directory of a run to continue. quiet: print
    nothing. given: the names of settings that a person chose: a recipe's are adapted to small data, these are not.
    """

    out: str | None = None
    resume: str | None = None
    quiet: bool = False
    given: frozenset[str] = frozenset()


@dataclass
class Parts:
    """What training is made of, before the networks: their size depends on the data."""

    config: Config
    backend: Ops
    data: Data
    rows: np.ndarray
    scaler: Scaler
    batches: Batches

    @classmethod
    def load(cls, config: Config, request: Request) -> Parts:
        """Raises: InputError where the data cannot be used."""
        from minigan.data import load
        from minigan.data.batches import Batches
        from minigan.data.scaling import Scaler

        backend = get_ops(config.backend, config.kernels)
        if config.steps_per_launch > 1 and not backend.launches:
            raise InputError(
                f"--steps-per-launch {config.steps_per_launch} is for --backend cupy --kernels cuda; elsewhere it must be 1."
            )
        if request.resume is None:
            data = load(config.data, config.data_dir, config.image_size)
        else:
            data = find_data(f"--resume {request.resume}", config, told="data" in request.given)
            with cli.saying_warnings():
                data = checkpoint.as_trained(data, request.resume, config.all_data)
        rows = data.part(config.all_data)
        if "batch_size" not in request.given and request.resume is None and config.batch_size > len(rows):
            config = config.replace(batch_size=len(rows))  # the recipe's size is a suggestion, a given one is an order
        scaler = Scaler.fit(data.space, rows, config.output, data.unit, config.spread)
        batches = Batches(rows, data.unit, scaler, config.batch_size, config.seed, backend, config.dtype)
        return cls(config, backend, data, rows, scaler, batches)

    def gan(self) -> GAN:
        """Raises: InputError where they do not fit into memory."""
        from minigan.nn.gan import GAN
        from minigan.runs import cost

        size = self.data.space.size
        cost.require(cost.outline(self.config, size, self.backend, steps=False), self.backend)
        return GAN(self.config, size, self.backend)


@dataclass
class Watch:
    """What is measured on the way: every `every` steps, `samples` samples; the best is chosen by the measure `name`.

    last, best: the newest record of measures, and the best. They belong to the state of a run, as its weights do: whether a
    goal is reached, and whether a later step is better, follows from them.
    """

    suite: Suite
    every: int
    samples: int
    name: str
    goal: Goal | None
    last: Record | None = None
    best: Record | None = None

    @classmethod
    def begin(cls, config: Config, data: Data, backend: Ops) -> Watch | None:
        """None where nothing is to be measured. Raises: InputError where --until names no measure of these data."""
        every = config.evaluate_every or (config.sample_every if config.until is not None else None)
        if every is None:
            return None
        from minigan.metrics import suite

        known = suite.names(data, quick=True)
        goal = None if config.until is None else Goal.parse(config.until)
        if goal is not None and goal.name not in known:
            raise InputError(f"--until {config.until}: {data.name} is measured by {', '.join(known)} during training.")
        samples = data.space.measured
        measures = suite.Suite(data, backend, samples, all_data=config.all_data)
        return cls(measures, every, samples, suite.primary(data) if goal is None else goal.name, goal)

    def note(self, record: Record) -> bool:
        """Take note of a record of measures; whether it is the best so far."""
        from minigan.metrics.measures import cost

        if self.name not in record:
            return False
        self.last = record
        better = self.best is None or cost(self.name, record[self.name]) < cost(self.name, self.best[self.name])
        if better:
            self.best = record
        return better

    def restore(self, measured: dict[str, Record], records: Iterable[Record]) -> None:
        """Take over what a checkpoint holds; what it lacks (an older one, another measure) comes from the log's records."""
        self.last, self.best = measured.get("last"), measured.get("best")
        if self.best is None or self.name not in self.best:
            self.best = None
            for record in records:
                self.note(record)

    def state(self) -> dict[str, Record]:
        """What a checkpoint holds of it."""
        return {key: record for key, record in (("last", self.last), ("best", self.best)) if record is not None}

    def reached(self, step: int) -> str:
        """The measure and its value at this step that meet --until; empty where none does."""
        if self.goal is None or self.last is None or self.last["step"] != step:
            return ""
        value = self.last.get(self.goal.name, math.nan)
        return f"{self.goal.name} {value:.4g}" if self.goal.met(value) else ""


@dataclass
class Session:
    """One process's training of one run: the parts, wired together."""

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

    @property
    def reached(self) -> str:
        """The measure and its value by which --until ends the run; empty where it does not."""
        return "" if self.watch is None else self.watch.reached(self.gan.step)

    def steps_until(self, *every: int | None) -> int:
        """How many training steps to make at once, so that none of these intervals ends on the way."""
        step = self.gan.step
        return self.steps.fits(min(self.config.steps - step, *(n - step % n for n in every if n is not None)))

    def say(self, line: str) -> None:
        """Print for people; a closed standard output does not stop training."""
        if not self.quiet:
            try:
                cli.say(line)
            except (OSError, ValueError):
                self.quiet = True
                cli.silence()

    def save(self) -> None:
        self.save_to(self.run.checkpoint)

    def save_to(self, path: Path) -> None:
        measured = None if self.watch is None else self.watch.state()
        checkpoint.save(path, self.gan, self.data.space, self.scaler, self.identity, measured)

    def measure(self, watch: Watch) -> None:
        """Log the measures of samples, and keep the checkpoint if it is the best so far."""
        # the samples that `python -m minigan.evaluate` measures
        x = self.scaler.to_data(self.gan.sample(watch.samples), self.data.space)
        measured = watch.suite.measure(x, quick=True)
        record = {"step": self.gan.step, **{name: value for name, value in measured.items() if math.isfinite(value)}}
        self.run.append(record)
        if watch.note(record):
            self.save_to(self.run.best)

    def sample(self, n: int, *, seed: int | None = None) -> np.ndarray:
        """n generated samples in data units, (n, h, w) for images and (n, d) else; of the weight average."""
        x = self.scaler.to_data(self.gan.sample(n, seed=seed), self.data.space)
        return x.reshape(n, *self.data.space.shape)

    def preview(self, raw: bool = False) -> np.ndarray:
        """The samples that pictures show: always the same latent points. In data units."""
        n = self.data.space.previewed
        return self.scaler.to_data(self.gan.sample(n, stream=streams.PREVIEW, raw=raw), self.data.space)

    def real(self) -> np.ndarray:
        """As many real samples, always the same. In data units."""
        return self.data.values(self.data.train[: self.data.space.previewed])

    def draw_progress(self) -> None:
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
        """The pictures that sum up the run."""
        from minigan import plots

        fake, real = self.preview(), self.real()
        plots.comparison(self.run.samples, self.data.space, plots.Shown(fake, real, self.field(real, fake)))
        plots.curves(self.run.curves, self.run.records(), self.watch.suite.quick_real if self.watch else {})
        plots.animation(self.run.animation, self.run.frames())


# --------------------------------------------------------------------------------------------- a run from Python


def fit(config: Config | None = None, *, out: str | None = None, resume: str | None = None, quiet: bool = True,
        **changes: Any) -> Session:  # fmt: skip
    """Train as `python -m minigan.train` does, and leave the same files; or continue the run in the directory `resume`.

    changes: settings by name, in place of those of `config` or of the run. Ctrl-C stops and saves where this is the main
    thread. Raises: InputError, DivergenceError, OutputError.
    """
    if resume is not None:
        config = resumed_config(load_config(Path(resume) / "config.json", of_a_run=True), changes)
    elif config is None:
        raise InputError("fit needs a configuration, as recipe('default', 'digits'), or a run to resume.")
    else:
        config = config.replace(**changes)
    session = prepare(config, Request(out, resume, quiet, frozenset(changes)))
    perform(session, Stop())
    return session


def resumed_config(base: Config, given: dict[str, Any]) -> Config:
    """A run's settings with the few changes that resuming allows. Raises: InputError, with both values."""
    fixed = [f.name for f in dataclasses.fields(Config) if f.metadata["kind"] == "science" and f.name not in MAY_CHANGE]
    for name in fixed:
        if given.get(name, getattr(base, name)) != getattr(base, name):
            raise InputError(
                f"{flag(name)} cannot change on --resume: the run has {getattr(base, name)}, you gave {given[name]}."
            )
    if given.get("steps", base.steps) != base.steps:
        given = {"schedule_steps": base.schedule_steps or base.steps, **given}  # schedules end where they would have
    return base.replace(**given)


def perform(session: Session, stop: Stop) -> float:
    """Train to the end, or until `stop`, and draw the pictures that sum up the run; the seconds that training took.

    Raises: DivergenceError, OutputError.
    """
    began = time.perf_counter()
    try:
        silent = np.errstate(all="ignore")  # check_finite says it better than NumPy's warnings
        with stop.listening(), silent, cli.saying_warnings(FallbackWarning):
            train(session, stop)
            session.backend.synchronize()
            seconds = time.perf_counter() - began
            session.finish()
    except (OSError, InputError) as error:
        raise OutputError(unwritable(error, session.gan.step, session.run)) from None
    finally:
        session.run.release()
    return seconds


# ------------------------------------------------------------------------------------------------------ the beginning


def prepare(config: Config, request: Request) -> Session:
    """Load the data, build the networks, open the run directory: all that can be refused, before anything is written."""
    from minigan.runs.steps import steps_of

    progress_bar()
    parts = Parts.load(config, request)
    config, backend, data = parts.config, parts.backend, parts.data
    identity = checkpoint.identify(data, config.all_data)
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


def saved_state(run: Run, config: Config, data: Data) -> checkpoint.Checkpoint | None:
    """The checkpoint to go on from; None where the process was killed before it wrote the first, so nothing is lost.

    Raises: InputError where it is unusable, or belongs to other data or settings.
    """
    if not run.began():
        return None
    with cli.saying_warnings():
        saved = checkpoint.load(run.path)
    checkpoint.check_data(saved, data, f"--resume {run.path}", config.data)
    now, then = checkpoint.portable(config, data.name), saved.config.to_dict(places=False, report=False)
    for name in now:
        if name not in MAY_CHANGE and now[name] != then[name]:
            raise InputError(
                f"--resume {run.path}: {flag(name)} is {now[name]} in config.json, {then[name]} in the checkpoint."
            )
    if config.steps < saved.step:
        raise InputError(f"--steps {config.steps} is too few: the run in {run.path} has made {saved.step} already.")
    return saved


# --------------------------------------------------------------------------------------------------------- the loop


SMALL = 16_000_000
"""Floating-point operations of a matrix product below which a second thread of the BLAS gains a tenth at best. On a busy
machine it loses a multiple: the threads of a product wait for each other, spinning."""

SECOND, SHARE = 1_000_000, 2_000_000
"""The same for a program, which shares out everything: from when on it takes a second thread, and what each of more than two
must have; it takes `cost.MOST` at most unless told (--threads)."""


def limited_threads(gan: GAN) -> Any:
    """--threads while training; 0 decides by the largest product, the same on every machine with as many processors.

    A context manager: at its end the BLAS has its threads back. Threads are either the BLAS's or a program's; programs keep
    the number with which they were taken down.
    """
    from threadpoolctl import threadpool_limits

    from minigan.runs.cost import MOST

    largest = max(W.size for network in (gan.generator, gan.discriminator) for W, _ in network.theta.layers)
    operations = 2 * (2 * gan.config.batch_size) * largest  # the discriminator sees real and generated rows at once
    threads = gan.config.threads
    if gan.ops.threads is not None:
        chosen = threads or max(1 + (operations >= SECOND), min(operations // SHARE, MOST))
        gan.ops.threads = min(chosen, processors())
        threads = 1
    return threadpool_limits(limits=threads or (1 if operations < SMALL else None), user_api="blas")


def processors() -> int:
    """As many as the BLAS would take: this machine's, unless the environment (OPENBLAS_NUM_THREADS) says fewer."""
    from threadpoolctl import threadpool_info

    return max((info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"), default=1)


def held_up(found: contention.Contention, gan: GAN) -> str:
    """A sentence about other processes that take the processors while `gan` is trained, and what to do about it."""
    on_host = gan.ops.name == "numpy"
    several = on_host and (gan.ops.threads or processors()) > 1
    return f"{found}: steps are slower than they need be" + ("; --threads 1 waits less" if several else "") + "."


def train(session: Session, stop: Stop) -> None:
    """Run the steps that are left, logging, drawing and saving on the way. Raises: DivergenceError, OSError."""
    config, gan, run, watch = session.config, session.gan, session.run, session.watch
    if gan.step == 0:
        session.draw_progress()
    saved, clock, notice = gan.step, Clock(gan), contention.Notice(contention.Meter())
    terminal = not sys.stderr.closed and sys.stderr.isatty()
    bar = progress_bar()(
        total=config.steps, initial=gan.step, unit="step", disable=session.quiet, file=Progress(sys.stderr),
        mininterval=0.2 if terminal else 5, dynamic_ncols=terminal, ascii=not terminal, smoothing=0.05,
    )  # fmt: skip
    with limited_threads(gan) as limits, bar:
        while gan.step < config.steps and not stop.requested and not session.reached:
            steps = session.steps_until(
                config.log_every, config.sample_every, config.save_every, watch.every if watch else None
            )
            session.steps.make(steps)
            bar.update(steps)
            if gan.step % config.log_every == 0 or gan.step == config.steps:
                seen = gan.measurement()
                speed = clock.speed()
                check_finite(gan, seen)
                run.append({"step": gan.step, **asdict(seen), "steps_per_second": round(speed, 2)})
                bar.set_postfix_str(
                    f"loss D {seen.loss_d:.3f} G {seen.loss_g:.3f}, D(x) {seen.d_real:.2f}, D(G(z)) {seen.d_fake:.2f}",
                    refresh=False,
                )
                if found := notice():
                    bar.clear()
                    session.say(held_up(found, gan))
            if watch is not None and (gan.step % watch.every == 0 or gan.step == config.steps):
                with clock.paused():
                    limits.restore_original_limits()  # measures are made of large products
                    session.measure(watch)
                    limited_threads(gan)
            last = gan.step == config.steps or session.reached
            if gan.step % config.sample_every == 0 or last:
                with clock.paused():
                    session.draw_progress()
            if gan.step % config.save_every == 0 or last:
                with clock.paused():
                    session.save()
                saved = gan.step
    if saved != gan.step:
        session.save()


def progress_bar() -> Any:
    """The class of the bar. Raises: InputError where the environment holds what it cannot use (it reads TQDM_... on import)."""
    try:
        from minigan.runs.progress import Bar
    except ValueError as error:
        names = ", ".join(sorted(name for name in os.environ if name.startswith("TQDM_")))
        raise InputError(
            f"the progress bar cannot use a variable of the environment ({reason(error)}): {names}."
        ) from None
    return Bar


class Clock:
    """Training steps per second since last asked; what is not training does not count."""

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


def unwritable(error: OSError | InputError, step: int, run: Run) -> str:
    """A sentence about a file that could not be written, or one that could not be read, and what to do."""
    if isinstance(error, InputError):
        return (
            f"step {step}: {str(error).removesuffix('.')}; the last checkpoint is intact. "
            f"Put that right, then continue with --resume {run.path}."
        )
    what = f"step {step}: {error.filename or run.path} could not be written ({error.strerror or error})"
    if error.errno == errno.ESTALE:
        return f"{what}, so nothing was. Put this run's directory back, or train again with another --out."
    if not run.path.is_dir():
        return f"{what}: the run directory is gone, and its checkpoints with it. Put it back, or train again."
    remedy = "Make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Put that right"
    return f"{what}; the last checkpoint is intact. {remedy}, then continue with --resume {quoted(run.path)}."


class Progress:
    """A stream that swallows errors: a closed terminal must not end a training run."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self.stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self.stream.flush()


class Stop:
    """The first Ctrl-C or SIGTERM asks the loop to finish its step and save; the second ends the process at once."""

    def __init__(self) -> None:
        self.signal = 0

    @property
    def requested(self) -> bool:
        return self.signal != 0

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        if threading.current_thread() is not threading.main_thread():  # signals come to the main thread alone
            yield self
            return

        def note(number: int, frame: Any) -> None:
            if self.signal:
                os._exit(128 + number)
            self.signal = number

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
