"""Every setting of a run, in one frozen dataclass: the command line, `config.json` and checkpoints are made from it."""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from minigan.backends import BACKENDS, KERNELS
from minigan.backends.activations import ACTIVATIONS
from minigan.data import DATA_SETS
from minigan.data.reading import COLORS, DECIMALS, Reading
from minigan.data.scaling import OUTPUTS
from minigan.errors import InputError
from minigan.nn.objectives import OBJECTIVES
from minigan.nn.optim import SCHEDULES

RECIPES = ("default", "best", "article")
UPDATES = ("alternating", "simultaneous")
DTYPES = ("float32", "float64")

MAX_COUNT = 2**31 - 1
MAX_LAYERS = 100
MAX_TEXT = 4096


def setting(
    default: Any,
    help: str,
    *,
    choices: Collection[str] = (),
    kind: str = "science",
    section: str | None = None,
    metavar: str | None = None,
    **limits: float,
) -> Any:
    """A dataclass field with its documentation and its range.

    limits: any of low, high, below and above, with low <= value <= high and above < value < below. kind: "science" (decides
    the numbers), "place" (where files are; never in a checkpoint) or "report" (how often something is shown or saved; may
    change on resume). section: heading in --help, given by its first field.
    """
    meta = {
        "help": help,
        "choices": choices,
        "kind": kind,
        "limits": limits,
        "section": section,
        "metavar": metavar,
    }
    return dataclasses.field(default=default, metadata=meta)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a training run. A value out of range raises `InputError`, which names its flag and its range.

    Defaults are neutral: no penalty, constant rates, small counts. Recipes say what differs from them, a setting with its default
    value counts as not given, and a file written before a setting existed is read with its default. What
    `python -m minigan.train` trains without flags is `recipe("default", "digits")`.
    """

    data: str = setting(
        "digits",
        f"{', '.join(DATA_SETS)}, or the PATH of an .npy, .npz, .csv or .txt file, or of a folder of images or WAV files",
        metavar="NAME|PATH",
        section="data",
    )
    data_dir: str | None = setting(
        None, "directory with data files (or in its mnist/); with it nothing is downloaded", kind="place", metavar="DIR"
    )
    all_data: bool = setting(False, "train on everything but the test images (no validation part held out)")
    image_size: int = setting(28, "side in pixels to which a folder's images are converted", low=1, high=1024)
    color: str = setting("auto", "own images: grey, rgb, or as the first of them are", choices=COLORS)
    shape: tuple[int, ...] = setting(
        (), "own data in flat rows: the shape of a sample, as in 28 28", low=1, high=1 << 20, metavar="N"
    )
    columns: str = setting(
        "", "kinds of a table's columns, others are inferred (plain: numbers all)", metavar='"NAME:KIND,..."'
    )
    drop: str = setting("", "columns of a table to leave out", metavar='"NAME,..."')
    label_column: str = setting("", "the column of a table that holds labels", metavar="NAME")
    decimal: str = setting("auto", "the decimal sign in a table", choices=DECIMALS)
    sample_rate: int = setting(0, "own signals: samples a second (0: from the files)", low=0, high=1 << 30)
    length: int = setting(
        0, "own signals and texts: cut to so many samples or characters (0: as they are)", low=0, high=1 << 20
    )

    latent: int = setting(
        64, "size of the latent vector z, drawn from N(0, I)", low=1, high=MAX_COUNT, section="networks"
    )
    hidden: tuple[int, ...] = setting(
        (256, 256), "widths of the hidden layers, generator and discriminator", low=1, high=MAX_COUNT
    )
    convolutions: tuple[int, ...] = setting(
        (),
        "SIDE STRIDE CHANNELS of each convolution between an image and the dense layers: of the discriminator, and mirrored of "
        "the generator; no numbers: dense layers alone",
        low=1,
        high=MAX_COUNT,
    )
    activation: str = setting("leaky-relu", "activation of the hidden layers", choices=ACTIVATIONS)
    output: str = setting("tanh", "activation of the generator's output; data are scaled to its range", choices=OUTPUTS)
    spread: float = setting(
        1.0, "standard deviation that data are scaled to where the output is identity", low=0.001, high=1000
    )
    dtype: str = setting("float32", "precision of every array", choices=DTYPES)

    objective: str = setting("relativistic", "adversarial loss", choices=OBJECTIVES, section="objective")
    label_smoothing: float = setting(
        0.0, "one-sided: real targets are 1 minus this (minimax, non-saturating)", low=0, below=1
    )
    r1: float = setting(0.0, "gamma of the R1 penalty, gamma/2 |dD/dx|^2 on real samples", low=0)
    r2: float = setting(0.0, "gamma of the R2 penalty, the same on generated samples", low=0)
    gradient_penalty: float = setting(0.0, "lambda of WGAN-GP, lambda (|dD/dx| - 1)^2 on interpolates", low=0)
    penalty_every: int = setting(
        1, "apply penalties every K discriminator steps, K times as strong", low=1, high=MAX_COUNT
    )
    penalty_schedule: str = setting("constant", "how penalty weights fall, to --penalty-end", choices=SCHEDULES)
    penalty_end: float = setting(
        0.1, "share of the penalty weights that is left at the end of the schedule", low=0, high=1
    )

    steps: int = setting(5000, "training steps (generator updates)", low=1, high=MAX_COUNT, section="optimisation")
    schedule_steps: int | None = setting(
        None, "steps over which schedules run (unset: as many as --steps)", low=1, high=MAX_COUNT
    )
    batch_size: int = setting(64, "real samples (and as many generated) per step", low=1, high=MAX_COUNT)
    update: str = setting("alternating", "discriminator then generator, or both from one forward pass", choices=UPDATES)
    discriminator_steps: int = setting(1, "discriminator updates per generator update", low=1, high=1000)
    lr_generator: float = setting(1e-3, "Adam's learning rate, generator", above=0)
    lr_discriminator: float = setting(1e-3, "Adam's learning rate, discriminator", above=0)
    lr_schedule: str = setting("constant", "how learning rates fall, to --lr-end", choices=SCHEDULES)
    lr_end: float = setting(0.0, "share of the learning rates that is left at the end of the schedule", low=0, high=1)
    beta1: float = setting(0.0, "Adam's decay of the first moment", low=0, below=1)
    beta2: float = setting(0.99, "Adam's decay of the second moment", low=0, below=1)
    ema: float = setting(0.999, "decay of the generator's weight average", low=0, below=1)
    seed: int = setting(0, "decides every random number of the run", low=0, high=2**63 - 1)

    backend: str = setting(
        "numpy", "numpy (CPU) or cupy (GPU)", choices=BACKENDS, kind="report", section="running and reporting"
    )
    kernels: str = setting(
        "reference",
        "reference (plain NumPy or CuPy), numba (a compiled program on the CPU, extra fast) or cuda (kernels of our own and a "
        "recorded step on a GPU; cuda-tf32: its matrix products with 10 bits of mantissa)",
        choices=KERNELS,
    )
    steps_per_launch: int = setting(
        1,
        "with --kernels cuda: training steps that the GPU is asked for at once; best a multiple of --penalty-every that "
        "divides --log-every and the like, because it is asked for one by one before and after what falls between",
        low=1,
        high=1000,
        kind="report",
    )
    threads: int = setting(
        0,
        "threads of the CPU; 0: one where the networks are small, else what the BLAS chooses, or up to four with numba kernels",
        low=0,
        high=1024,
        kind="report",
    )
    recipe: str = setting(
        "default", "named settings for the data set; any other flag overrides them", choices=RECIPES, kind="report"
    )
    log_every: int = setting(100, "steps between lines of metrics.jsonl", low=1, high=MAX_COUNT, kind="report")
    sample_every: int = setting(500, "steps between sample pictures", low=1, high=MAX_COUNT, kind="report")
    save_every: int = setting(1000, "steps between checkpoints", low=1, high=MAX_COUNT, kind="report")
    evaluate_every: int | None = setting(
        None, "steps between measurements of samples; the best checkpoint is kept", low=1, high=MAX_COUNT, kind="report"
    )
    until: str | None = setting(
        None,
        'end the run once a measure of its samples is reached, as in "frechet<8"',
        kind="report",
        metavar='"NAME<VALUE"',
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        for name, end in (("lr_schedule", "lr_end"), ("penalty_schedule", "penalty_end")):
            if getattr(self, name) == "exponential" and getattr(self, end) == 0:
                raise InputError(
                    f"{flag(name)} exponential never reaches 0; give {flag(end)} a value above 0, as in 0.01."
                )
        for name in foreign(self.objective):
            if getattr(self, name) != getattr(Config, name):
                owners = " or ".join(owner for owner, kind in OBJECTIVES.items() if name in kind.settings)
                raise InputError(
                    f"{flag(name)} {getattr(self, name)} has no effect with --objective {self.objective}; leave it out, or "
                    f"choose {owners}."
                )
        if len(self.convolutions) % 3:
            raise InputError(
                f"--convolutions are three numbers each (SIDE STRIDE CHANNELS), as in 4 2 16 3 2 32; "
                f"{len(self.convolutions)} were given."
            )
        if self.until is not None:
            Goal.parse(self.until)

    @property
    def has_penalties(self) -> bool:
        """Whether the discriminator's gradient is penalised at all."""
        return self.r1 > 0 or self.r2 > 0 or self.gradient_penalty > 0

    @property
    def reading(self) -> Reading:
        """How own data are read."""
        return Reading(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Reading)})

    @property
    def horizon(self) -> int:
        """Steps over which schedules run."""
        return self.schedule_steps or self.steps

    def replace(self, **changes: Any) -> Config:
        """A copy with some settings changed (and checked). Raises: InputError."""
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(known)}."
                raise InputError(f"no setting is called {_shown(name)}; {hint}")
        return dataclasses.replace(self, **changes)

    def to_dict(self, *, places: bool = True, report: bool = True) -> dict[str, Any]:
        """JSON-ready; without `places` no directory is in it, without `report` only what decides the numbers."""
        left_out = {kind for kind, wanted in (("place", places), ("report", report)) if not wanted}
        return {
            f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v
            for f in dataclasses.fields(self)
            if f.metadata["kind"] not in left_out
        }

    @classmethod
    def from_dict(cls, values: Any, source: str, *, of_a_run: bool = False) -> Config:
        """The inverse of `to_dict`, for untrusted input.

        of_a_run: the settings of a run that was made. Earlier versions accepted and ignored settings of other objectives:
        those are left out.
        Raises: InputError, naming `source`, for anything that is not a configuration.
        """
        if not isinstance(values, dict):
            raise InputError(f"{source}: the configuration is not a JSON object.")
        known = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(str(k) for k in values if k not in known)
        if unknown:
            raise InputError(
                f"{source}: unknown setting {_shown(repr(unknown[0]))}; it was written by another version of minigan."
            )
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        if of_a_run:
            for name in foreign(settings.get("objective", cls.objective)):
                settings.pop(name, None)
            if (
                "columns" not in settings and settings.get("data") not in DATA_SETS
            ):  # made before tables had kinds of columns, and images colours
                settings |= {"columns": "plain", "color": "grey"}
        try:
            return cls(**settings)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None


def _penalised(c: Config) -> bool:
    return c.r1 > 0 or c.r2 > 0 or c.gradient_penalty > 0


NEEDS: dict[str, tuple[Callable[[Config], bool], str]] = {
    "image_size": (lambda c: c.data not in DATA_SETS, "a folder of images as --data"),
    **{
        field.name: (lambda c: c.data not in DATA_SETS, "own data as --data")
        for field in dataclasses.fields(Reading)
        if field.name != "image_size"
    },
    "spread": (lambda c: c.output == "identity", "--output identity"),
    "penalty_every": (_penalised, "a penalty (--r1, --r2 or --gradient-penalty)"),
    "penalty_schedule": (_penalised, "a penalty (--r1, --r2 or --gradient-penalty)"),
    "penalty_end": (lambda c: _penalised(c) and c.penalty_schedule != "constant", "a penalty and a --penalty-schedule"),
    "lr_end": (lambda c: c.lr_schedule != "constant", "an --lr-schedule"),
    "schedule_steps": (
        lambda c: c.lr_schedule != "constant" or (_penalised(c) and c.penalty_schedule != "constant"),
        "an --lr-schedule or a --penalty-schedule of a penalty",
    ),
}
"""Settings that have an effect only if another is set: the condition, and the words for it."""


def check_effect(config: Config, names: Iterable[str]) -> None:
    """Refuse settings that were given explicitly, by these names, and have no effect; a recipe may hold such settings.

    Raises: InputError naming the flag and what it needs.
    """
    for name in names:
        needed, words = NEEDS.get(name, (lambda c: True, ""))
        if getattr(config, name) != getattr(Config, name) and not needed(config):
            raise InputError(f"{flag(name)} has no effect without {words}; leave it out, or set that too.")


@dataclass(frozen=True)
class Goal:
    """The condition of --until: a measure falls below a value, or rises above it."""

    name: str
    below: bool
    value: float

    @classmethod
    def parse(cls, text: str) -> Goal:
        """From "frechet<8" or "coverage > 0.8". Raises: InputError for anything else."""
        match = re.fullmatch(
            r"\s*([a-z_]+)\s*([<>])\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*", text, re.ASCII
        )
        if match is None or abs(float(match[3])) > sys.float_info.max:
            raise InputError(f'--until {text!r} must be a measure, < or >, and a number, as in "frechet<8".')
        return cls(match[1], match[2] == "<", float(match[3]))

    def met(self, value: float) -> bool:
        """Whether a value of the measure is good enough; nan never is."""
        return value < self.value if self.below else value > self.value


def foreign(objective: Any) -> list[str]:
    """The settings that other objectives have and this one does not; objective: a name, or any value from a file."""
    if not isinstance(objective, str) or objective not in OBJECTIVES:
        return []
    names = dict.fromkeys(name for kind in OBJECTIVES.values() for name in kind.settings)
    return [name for name in names if name not in OBJECTIVES[objective].settings]


def flag(name: str) -> str:
    """The command-line flag of a setting: batch_size -> --batch-size."""
    return "--" + name.replace("_", "-")


_TYPES: dict[str, Any] = {"int": int, "float": (int, float), "str": str, "bool": bool}


def _check(field: dataclasses.Field, value: Any) -> None:
    """Raise InputError naming the flag unless `value` has the field's type and lies in its range."""
    name, meta = flag(field.name), field.metadata
    declared = str(field.type)
    if value is None and declared.endswith("| None"):
        return
    base = declared.removesuffix(" | None")
    items = value if base == "tuple[int, ...]" else (value,)
    kind = "int" if base == "tuple[int, ...]" else base
    if not isinstance(items, tuple):
        hint = f"; give a tuple, as {tuple(value)}" if isinstance(value, list) else ""
        raise InputError(f"{name} must be whole numbers, not {_shown(repr(value))}{hint}.")
    if len(items) > MAX_LAYERS:
        raise InputError(f"{name} has {len(items)} numbers; at most {MAX_LAYERS} layers can be trained.")
    for item in items:
        if not isinstance(item, _TYPES[kind]) or (isinstance(item, bool) and kind != "bool"):
            words = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}[kind]
            if shape := getattr(item, "shape", ()):  # of an array, whose numbers would say nothing
                remedy = "; numpy.save it, and give the path" if name == "--data" else ""
                raise InputError(f"{name} must be {words}, not an array of shape {tuple(shape)}{remedy}.")
            raise InputError(f"{name} must be {words}, not {_shown(repr(item))}.")
        if kind == "str" and len(item) > MAX_TEXT:
            raise InputError(f"{name} is a text of {len(item)} characters; no name or path is that long.")
        if meta["choices"] and item not in meta["choices"]:
            raise InputError(f"{name} {_shown(item)} is unknown; choose one of: {', '.join(meta['choices'])}.")
        if kind in ("int", "float") and not _inside(item, meta["limits"]):
            raise InputError(
                f"{name} {_shown(str(item))} is out of range; it must be {_range_words(kind, meta['limits'])}."
            )


def _shown(text: str) -> str:
    """A given value as part of a sentence: on one line, and of bounded length."""
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= 500 else text[:500] + "..."


def _inside(value: float, limits: dict[str, float]) -> bool:
    low, high, below, above = map(limits.get, ("low", "high", "below", "above"))
    return (
        abs(value) <= sys.float_info.max  # not NaN or infinite, nor a whole number beyond every float
        and (low is None or value >= low)
        and (high is None or value <= high)
        and (below is None or value < below)
        and (above is None or value > above)
    )


def _range_words(kind: str, limits: dict[str, float]) -> str:
    low, high, below, above = map(limits.get, ("low", "high", "below", "above"))
    words = "a whole number" if kind == "int" else "a finite number"
    if low is not None:
        words += f" >= {low}"
    if above is not None:
        words += f" > {above}"
    if high is not None and high != MAX_COUNT:
        words += f" and <= {high}"
    if below is not None:
        words += f" and < {below}"
    return words
