"""The progress bar of training: tqdm's, which leaves out what there is no room for, so that a bar remains to be seen."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

LEAST = 8
"""Cells that the bar itself must have, or less is written beside it."""

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
    def format_meter(n: float, total: float, elapsed: float, ncols: int | None = None, postfix: Any = None,
                     bar_format: str | None = None, **more: Any) -> str:  # fmt: skip
        """One line of at most `ncols` columns (any number if None, where there is no terminal)."""
        words = str(postfix or "")
        if not ncols:
            return tqdm.format_meter(n, total, elapsed, postfix=words, **more)
        choices = [(layout, kept) for kept in (words, words.partition(", ")[2]) for layout in LAYOUTS]
        for layout, kept in [*choices, (LAYOUTS[-1], "")]:
            bare = tqdm.format_meter(n, total, elapsed, postfix=kept, bar_format=layout.replace("{bar}", ""), **more)
            if len(bare) + LEAST <= ncols:
                break
        return tqdm.format_meter(n, total, elapsed, ncols=ncols, postfix=kept, bar_format=layout, **more)
