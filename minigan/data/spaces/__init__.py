"""Kinds of data: what one sample is, which values it can have, how it is written, and how many are drawn and measured.

Another kind is a subclass of `Space` in `SPACES`. What stands above the data has a registry of its own for each class: its
pictures (`plots.PICTURES`) and what its samples are compared by (`metrics.suite.COMPARED`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigan.data.spaces.base import Space, described
from minigan.data.spaces.clip import Clip
from minigan.data.spaces.image import Colour, Image
from minigan.data.spaces.series import Signal
from minigan.data.spaces.table import Points, Table
from minigan.data.spaces.text import Text

__all__ = [
    "SPACES",
    "Clip",
    "Colour",
    "Image",
    "Points",
    "Signal",
    "Space",
    "Table",
    "Text",
    "columns_space",
    "from_dict",
]

SPACES: dict[str, type[Space]] = {space.kind: space for space in (Image, Colour, Points, Table, Signal, Clip, Text)}


def from_dict(values: Any, source: str) -> Space:
    """The inverse of `Space.to_dict`, for untrusted input.

    Raises: InputError, naming `source`, for anything that is not a space.
    """
    return described(values, SPACES, source)


def columns_space(columns: Sequence[str]) -> Space:
    """Points for two columns, which are drawn in the plane; else a table."""
    return (Points if len(columns) == 2 else Table)((len(columns),), tuple(columns))
