"""`python -m minigan`: what there is to run."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import minigan

COMMANDS = {
    "train": "train a GAN on digits, MNIST, 2-D mixtures or your own data",
    "sample": "draw samples from a trained run: a picture, an array or a table",
    "evaluate": "measure the quality and diversity of a run's samples",
    "check": "prove every gradient against numerical differences",
    "lockstep": "run NumPy and another backend or kernels side by side and report where they part",
    "doctor": "report what is installed, which devices work, and how to fix the rest",
}


def overview() -> str:
    """The commands that exist, one line each."""
    lines = [f"minigan {minigan.__version__}: generative adversarial networks from scratch, on NumPy or CuPy", ""]
    for name, purpose in COMMANDS.items():
        if find_spec(f"minigan.{name}"):
            lines.append(f"  python -m minigan.{name:<9} {purpose}")
    return "\n".join([*lines, "", "Each command explains its flags with --help."])


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        print(minigan.__version__)
        return 0
    print(f"python -m minigan takes no {arguments[0]!r}; a command is run as python -m minigan.NAME.", file=sys.stderr)
    print(overview(), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
