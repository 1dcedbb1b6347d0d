"""`minigan`, or `python -m minigan`: list the commands, and run one."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

import minigan
from minigan import cli
from minigan.errors import InputError, short

COMMANDS = {
    "train": "train a GAN on digits, MNIST or your own data",
    "sample": "draw samples from a run: picture, array or table",
    "evaluate": "measure the quality and variety of a run's samples",
    "split": "write the real samples that a run held out",
    "check": "prove every gradient against numerical differences",
    "lockstep": "hold another backend to NumPy, step by step",
    "doctor": "report what works here, and how to fix the rest",
}


def overview() -> str:
    """The commands that exist, one line each."""
    lines = [f"minigan {minigan.__version__}: generative adversarial networks from scratch, on NumPy or CuPy", ""]
    for name, purpose in COMMANDS.items():
        if find_spec(f"minigan.{name}"):
            lines.append(f"  python -m minigan.{name:<9} {purpose}")
    return "\n".join([*lines, "", "Each explains its flags with --help. `minigan NAME` does the same."])


def main(argv: Sequence[str] | None = None) -> int:
    """The overview, or the command named first with the flags after it: `minigan train --data ring`.

    Raises: InputError where there is no such command.
    """
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(overview())
        return 0
    if name == "--version":
        print(f"minigan {minigan.__version__}")
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of: {', '.join(COMMANDS)}."
        raise InputError(f"there is no command {short(name)!r}; {hint}")
    return int(import_module(f"minigan.{name}").main(rest))


def run() -> None:
    """The console script."""
    cli.run(main)


if __name__ == "__main__":
    run()
