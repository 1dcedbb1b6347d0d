"""The progress bar of training: tqdm's, with fewer words on a narrow terminal so that a bar remains visible.

tqdm reads variables TQDM_... of the environment when it is imported. Where it cannot use one, importing this module raises
InputError: so it is imported inside functions.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from minigan.errors import InputError, reason

try:
    from tqdm import tqdm
except ValueError as error:
    names = ", ".join(sorted(name for name in os.environ if name.startswith("TQDM_")))
    raise InputError(f"the progress bar cannot use a variable of the environment ({reason(error)}): {names}.") from None

LEAST = 8
"""Cells that the bar itself must have; else fewer words are written beside it."""

LAYOUTS = (
    "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]",
    "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}, {remaining} left{postfix}",
    "{percentage:3.0f}%|{bar}| {remaining} left{postfix}",
    "{percentage:3.0f}%|{bar}|{postfix}",
)
"""From the fullest to the shortest."""


class Bar(tqdm):  # type: ignore[misc]
    """tqdm, whose postfix is in two parts, "losses, outputs": first the losses are left out, then the outputs."""

    @staticmethod
    def format_meter(n: float, total: float, elapsed: float, ncols: int | None = None, **more: Any) -> str:
        """One line of at most `ncols` columns (any number if None, where there is no terminal)."""
        words = str(more.pop("postfix", None) or "")
        more.pop("bar_format", None)  # one of LAYOUTS takes its place
        if not ncols:
            return tqdm.format_meter(n, total, elapsed, postfix=words, **more)
        choices = [(layout, kept) for kept in (words, words.partition(", ")[2]) for layout in LAYOUTS]
        for layout, kept in [*choices, (LAYOUTS[-1], "")]:
            bare = tqdm.format_meter(n, total, elapsed, postfix=kept, bar_format=layout.replace("{bar}", ""), **more)
            if len(bare) + LEAST <= ncols:
                break
        return tqdm.format_meter(n, total, elapsed, ncols=ncols, postfix=kept, bar_format=layout, **more)


class ForgivingStream:
    """A stream that ignores errors on writing: a closed terminal must not end a training run."""

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


def training_bar(total: int, initial: int, *, quiet: bool) -> Bar:
    """A bar for `total` steps on standard error, `initial` of which are made; where that is no terminal, plain and slow."""
    stream = sys.stderr  # None where a window system started Python
    terminal = stream is not None and not stream.closed and stream.isatty()
    return Bar(
        total=total,
        initial=initial,
        unit="step",
        disable=quiet or stream is None,
        file=ForgivingStream(stream),
        mininterval=0.2 if terminal else 5,
        dynamic_ncols=terminal,
        ascii=not terminal,
        smoothing=0.05,
    )
