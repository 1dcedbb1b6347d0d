"""The errors that reach a user: one clear sentence each, the exit code of the command that met it, and words for them."""

from __future__ import annotations

import operator
import os
import re
import shlex
from typing import SupportsIndex


class MiniganError(Exception):
    """Base of every error that a command reports as one sentence instead of a traceback."""

    exit_code = 1


class InputError(MiniganError):
    """Something that the user gave (a flag, a file, a directory) cannot be used; nothing was written."""

    exit_code = 2


class DivergenceError(MiniganError):
    """Training produced a non-finite number; the last good checkpoint is kept."""

    exit_code = 3


class OutputError(MiniganError):
    """Training had begun and a file could not be written; what was saved before is intact."""

    exit_code = 4


class ProgramError(MiniganError):
    """Something cannot be part of a recorded step, or a recorded step computes something different from its passes."""


class FallbackWarning(UserWarning):
    """Something is done in another way than requested, with the same result."""


def reason(error: BaseException) -> str:
    """The line in which an exception says its cause, for use inside a sentence.

    That is what follows "Original error:" in the banner of a package that cannot be imported; else its first line with words.
    """
    text = str(getattr(error, "strerror", None) or error)
    found = _CAUSE.search(text) or _WORDS.search(text)
    return short(found[1].strip().rstrip(".") if found else type(error).__name__, 160)


_CAUSE = re.compile(
    r"^[^\w\n]*(?:original error(?: was)?|error was|caused by):\s*(\S.*)$", re.IGNORECASE | re.MULTILINE
)
_WORDS = re.compile(r"^(.*\w.*)$", re.MULTILINE)


def short(value: object, limit: int = 60) -> str:
    """`value` as text of bounded length, printable on one line."""
    text = str(value)
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    return text if text.isprintable() else ascii(text)[1:-1][: 2 * limit]


def printable(line: str) -> str:
    """A line for a terminal, without control characters, which may come from a file."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def require_whole(name: str, value: object, low: int, high: int) -> None:
    """Raise InputError, naming an argument, unless its value is a whole number from `low` to `high`."""
    if not isinstance(value, SupportsIndex) or isinstance(value, bool) or not low <= operator.index(value) <= high:
        raise InputError(f"{name} must be a whole number from {low} to {high}, not {short(value)}.")


def quoted(path: str | os.PathLike[str]) -> str:
    """A path as one word of a command line to paste: for cmd on Windows, elsewhere for a POSIX shell.

    Control characters and bytes that are no text are escaped as bash, ksh and zsh (and POSIX since 2024) read them.
    """
    text = os.fspath(path)
    if text.startswith("-"):
        text = os.path.join(os.curdir, text)  # else it would be taken for a flag
    if os.name == "nt":
        from subprocess import list2cmdline  # here, because it takes a while and is needed there only

        return list2cmdline([text])
    if text.isprintable():
        return shlex.quote(text)
    plain = b"".join(bytes([b]) if 32 <= b < 127 and b not in b"'\\" else b"\\x%02x" % b for b in os.fsencode(text))
    return f"$'{plain.decode()}'"
