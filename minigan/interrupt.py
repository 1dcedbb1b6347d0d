"""Ctrl-C before a command can catch it, or when it no longer can: the process ends at once, without a traceback."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # `signal` without its enumerations, which take long to import
import os
import sys


def is_command() -> bool:
    """Whether this process was started as `python -m minigan...` or by the console script.

    With -m, asked while Python looks for the module: until it is found, sys.argv[0] is "-m" in place of the module's name.
    """
    first = (getattr(sys, "argv", None) or [""])[0]
    if first == "-m":
        return sys.orig_argv[-len(sys.argv)].removeprefix("-m").partition(".")[0] == "minigan"
    return os.path.basename(first).removesuffix(".exe") == "minigan"


def end(number: int, frame: object) -> None:
    """Handle the signal: print what `cli.run` prints, and exit with 130."""
    try:
        os.write(2, b"minigan: interrupted.\n")
    finally:
        os._exit(128 + number)


def guard() -> None:
    """Let Ctrl-C end the process at once, unless it is ignored (as by nohup) or handled already."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)


def unguard() -> bool:
    """Let Ctrl-C raise KeyboardInterrupt again; returns whether `guard` was in effect."""
    guarded = signal.getsignal(signal.SIGINT) is end
    if guarded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return guarded
