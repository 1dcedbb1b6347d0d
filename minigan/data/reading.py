"""What a person may say about own data: how they are to be read."""

from __future__ import annotations

from dataclasses import dataclass, fields

from minigan.errors import InputError

COLORS = ("auto", "grey", "rgb")
DECIMALS = ("auto", "point", "comma")


_HARMLESS = ("plain", "grey")
"""Values that runs of earlier versions have, whatever their data are."""


@dataclass(frozen=True)
class Reading:
    """How own data are read; a setting with its default was not given.

    image_size: side in pixels of a folder's images.  color: of images, in `COLORS`.  shape: of a sample where a file has flat
    rows.  columns: kinds of columns, as "age:integer,id:ignore".  drop: names of columns to leave out, joined by commas.
    label_column: the column that holds labels.  decimal: the sign in a table's numbers, in `DECIMALS`.  sample_rate: of
    signals, per second.  length: of signals in samples, or of texts in characters.
    """

    image_size: int = 28
    color: str = "auto"
    shape: tuple[int, ...] = ()
    columns: str = ""
    drop: str = ""
    label_column: str = ""
    decimal: str = "auto"
    sample_rate: int = 0
    length: int = 0

    def only(self, source: object, what: str, *names: str) -> None:
        """Refuse settings that have no effect on a source that is `what`; names: those that have one. Raises: InputError."""
        for field in fields(self):
            if field.name not in names and getattr(self, field.name) not in (field.default, *_HARMLESS):
                flag = "--" + field.name.replace("_", "-")
                raise InputError(f"{flag} has no effect on {source}, which is {what}; leave it out.")
