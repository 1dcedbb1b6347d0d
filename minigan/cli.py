"""What all commands share: flags made from the configuration, and errors that end in one sentence.

argparse rather than a richer library: it starts in milliseconds and its errors are one line.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from minigan import __version__, interrupt
from minigan.config import Config, flag
from minigan.errors import FallbackWarning, InputError, MiniganError, printable, short

TYPES: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str, "tuple[int, ...]": int}

SYNONYMS = {
    "--backend cupy": "--gpu --gpus --gpu-id --gpu-ids --cuda --use-gpu --use-cuda --accelerator --cupy",
    "--device gpu": "--gpu --gpus --cuda",
    "--backend numpy": "--cpu --no-cuda --no-gpu --use-cpu --numpy",
    "--device cpu": "--cpu",
    "--kernels numba": "--numba --jit --compile --fast",
    "--steps": "--epochs --epoch --n-epochs --num-epochs --nepochs --niter --iters --iterations --max-steps --max-epochs --kimg",
    "--lr-generator and --lr-discriminator": "--lr --learning-rate --learningrate",
    "--batch-size": "--batch --bs --minibatch --batchsize",
    "--out": "--output --output-dir --outdir --out-dir --outf --save-dir --logdir --log-dir --workdir --run-dir --name",
    "--data": "--dataset --dataroot --data-path --data-root --datapath --input --train-data",
    "--latent": "--latent-dim --latent-size --nz --z-dim --zdim --noise-dim",
    "--hidden": "--hidden-size --hidden-dim --layers --units --width --ngf --ndf",
    "--objective": "--loss --gan-mode --criterion",
    "--threads": "--workers --num-workers --jobs --num-threads --nproc -j",
    "--dtype float64": "--double --float64 --fp64",
    "--resume": "--checkpoint --ckpt --load --continue --restore --pretrained",
    "--save-every": "--save-interval --save-freq --checkpoint-every --snap",
    "--log-every": "--log-interval --log-freq --print-every",
    "--sample-every": "--sample-interval --sample-freq",
    "--evaluate-every": "--eval-every --eval-interval --metrics",
    "-n": "--num-samples --n-samples --samples --number --num --count",
    "--quiet": "--silent --no-verbose",
    "--seed": "--manualseed --random-seed --random-state",
}
"""Flags of this package, and the names that other tools use for them. The first that a command has is suggested."""


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations, whose errors are one sentence with a suggestion."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=Formatter, argument_default=argparse.SUPPRESS, **options)
        self.add_argument(
            "--version", action="version", version=f"minigan {__version__}", help="print the version and exit"
        )

    def error(self, message: str) -> NoReturn:
        what = short(message.removeprefix("argument ").rstrip("."), 300)
        raise InputError(f"{what}; {self.prog} --help lists the flags.")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse does, but no argument may be empty: "" as a path means the current directory to Python, but usually comes
        from a shell variable that was not set. Raises: InputError."""
        args = sys.argv[1:] if args is None else list(args)
        refuse_empty(args)
        return super().parse_known_args(args, namespace)

    def parse(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """Parse all of argv. Raises: InputError."""
        given = list(sys.argv[1:] if argv is None else argv)
        refuse_empty(given)
        for i, word in enumerate(given[: given.index("--") if "--" in given else None]):
            if word.startswith("--") and " " not in word and word.split("=")[0] not in self._option_string_actions:
                self.refuse(*given[i:])  # before argparse reports the flag that was meant as missing
        values, unknown = self.parse_known_args(given)
        if unknown:
            self.refuse(*unknown)
        return values

    def refuse(self, given: str, *after: str) -> NoReturn:
        near = self.nearest(given, *after)
        hint = f"did you mean {near}?" if near else f"{self.prog} --help lists the flags."
        raise InputError(f"unknown argument {short(given, 300)}; {hint}")

    def nearest(self, given: str, value: str = "", *after: str) -> str | None:
        """This command's flag for an unknown one: a synonym from another tool, or a similar spelling."""
        known = list(self._option_string_actions)
        name, _, joined = given.partition("=")
        word = name.lower().replace("_", "-")
        if word == "--device":
            word = "--cpu" if (joined or value).lower().startswith("cpu") else "--gpu"
        ours = [mine for mine, theirs in SYNONYMS.items() if word in theirs.split()]
        if ours:  # if the command has none of them, a similar spelling means something else
            return next((o for o in ours if {w for w in o.split() if w.startswith("-")} <= set(known)), None)
        near = [k for k in known if k.startswith(word)] or difflib.get_close_matches(word, known, 1)
        return near[0] if near else None


def require_new(flag: str, path: str | os.PathLike[str]) -> None:
    """Raise InputError where there is something at the path that a flag names: no command overwrites a file."""
    if os.path.lexists(path):
        raise InputError(f"{flag} {path} already exists; choose another name, or remove it first.")


def refuse_empty(args: Sequence[str]) -> None:
    """Raise InputError where an argument is empty, as an unset variable of the shell leaves it."""
    for before, argument in zip(["", *args], args, strict=False):
        name, equals, value = argument.partition("=")
        if not argument or (equals and not value and name.startswith("-")):
            what = name or before
            what = what if what.startswith("-") else "an argument"
            raise InputError(f"{short(what)} is empty; give a value, or leave it out.")


class Formatter(argparse.HelpFormatter):
    """Help with room for the names, at most 100 columns."""

    def __init__(self, prog: str) -> None:
        width = shutil.get_terminal_size((100, 24)).columns  # COLUMNS, if that is a number
        super().__init__(prog, max_help_position=30, width=min(100, width))


def add_settings(parser: argparse.ArgumentParser, base: Config) -> None:
    """One flag for every field of `Config`, whose help says the default in `base`. Only flags given end up in the result."""
    group: Any = parser
    for field in dataclasses.fields(Config):
        meta = field.metadata
        if meta["section"]:
            group = parser.add_argument_group(meta["section"])
        default = getattr(base, field.name)
        names = "|".join(meta["choices"])
        listed = len(names) <= 60  # more would be wider than the terminal
        shown = " ".join(map(str, default)) or None if isinstance(default, tuple) else default
        choices = "" if listed else f": {', '.join(meta['choices'])}"
        text = f"{meta['help']}{choices} (default: {'none' if default is None else shown})".replace("%", "%%")
        kind = str(field.type).removesuffix(" | None")
        if kind == "bool":
            group.add_argument(
                flag(field.name), action=argparse.BooleanOptionalAction, help=text.replace(": False", ": no")
            )
        else:
            group.add_argument(
                flag(field.name),
                type=TYPES[kind],
                nargs=("+" if field.default else "*") if kind.startswith("tuple") else None,
                metavar=(names if listed else "NAME")
                or meta["metavar"]
                or kind.split("[")[0].replace("tuple", "int").upper(),
                help=text,
            )


def settings(values: argparse.Namespace) -> dict[str, Any]:
    """The settings among parsed flags, ready for Config.replace."""
    names = {field.name for field in dataclasses.fields(Config)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(values).items()
        if name in names
    }


def run(main: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command: its exit code is main's, or that of the error that ended it, said in one sentence on stderr."""
    _open_streams()
    # pictures go to files, so no window system is asked for; a name that matplotlib does not know would be an error
    os.environ["MPLBACKEND"] = "agg"
    guarded = interrupt.unguard()
    try:
        with saying_warnings(FallbackWarning):
            code = main(argv)
    except SystemExit as ended:  # after --help and --version
        code = int(ended.code or 0)
    except MiniganError as error:
        say_error(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        say_error("interrupted.")
        code = 130
    except BrokenPipeError:
        code = 0  # the reader of the output has ended, as `| head` does: there is no one to tell
    except OSError as error:
        say_error(f"{error.filename or 'a file'}: {error.strerror or error}.")
        code = 2
    except MemoryError:
        say_error("not enough memory; try a smaller --batch-size, --hidden or -n.")
        code = 2
    finally:
        if guarded:
            interrupt.guard()  # nothing is left to do
    sys.exit(flush(code))


def _open_streams() -> None:
    """Open descriptors 0, 1 and 2, and their streams, where the caller closed them, as `>&-` does: else files opened later would
    get their numbers. What is printed there is discarded."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold what the output's encoding does not


@contextmanager
def saying_warnings(category: type[Warning] = Warning) -> Iterator[None]:
    """Print warnings of this kind raised inside in one line each, without the source line that Python would show."""
    with warnings.catch_warnings():
        others: Any = warnings.showwarning

        def show(message: Any, kind: type[Warning], *more: Any) -> None:
            if issubclass(kind, category):
                say_error(str(message))
            else:
                others(message, kind, *more)

        warnings.simplefilter("always", category)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def wrapped(text: str, hang: int = 0) -> str:
    """Text wrapped to the terminal's width (80 where there is none, at most 100); all lines but the first are indented by `hang`.

    Words are never broken, so that paths and flags can be copied.
    """
    width = max(40, min(100, shutil.get_terminal_size((80, 24)).columns))
    return textwrap.fill(
        text, width, subsequent_indent=hang * " ", break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )


def say_error(sentence: str) -> None:
    """One line on standard error, if there still is one."""
    with suppress(OSError, ValueError):
        print(f"minigan: {printable(sentence)}", file=sys.stderr, flush=True)


def say(text: str = "") -> None:
    """Print lines on standard output. Raises: OSError that names standard output, where it cannot be written."""
    try:
        print("\n".join(map(printable, text.split("\n"))), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def silence() -> None:
    """Discard standard output, including what is still buffered."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def flush(code: int) -> int:
    """Flush standard output; returns the exit code of a command that ended with `code`: 2 where flushing fails.

    A reader that has ended is no failure. In neither case does Python print an error at exit.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence()
    except (OSError, ValueError) as error:
        silence()
        if code == 0:
            say_error(f"standard output: {getattr(error, 'strerror', None) or error}.")
            code = 2
    return code
