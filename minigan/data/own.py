"""Own data, none of which is trusted. The end of a file's name chooses the reader, one row of `READERS`; a folder has its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from minigan.data import arrays, folders, idx, images, sounds, tables, texts
from minigan.data.raw import Raw
from minigan.data.reading import Reading
from minigan.errors import InputError, quoted


class Reader(NamedTuple):
    """How one kind of file is read."""

    read: Callable[[Path, Reading], Raw]
    family: Callable[[Path, Reading], str]
    """The recipes for what is in a file, from as little of it as possible."""


READERS: dict[str, Reader] = {
    ".npy": Reader(arrays.read_npy, arrays.family),
    ".npz": Reader(arrays.read_npz, arrays.family),
    **dict.fromkeys((".csv", ".tsv"), Reader(tables.read_csv, tables.family)),
    ".txt": Reader(texts.read_text, texts.family),
}
FOLDER = Reader(images.read_images, images.family)
SOUNDS = Reader(sounds.read_sounds, sounds.family)
"""A folder that holds more WAV files than images."""
IDX = Reader(idx.read_own, images.family)
"""Files of this kind have names of many kinds, and are known by their first bytes."""


def reader(path: Path) -> Reader:
    """The reader of a path. Raises: InputError where there is none."""
    if path.is_dir():
        heard = folders.number_of(path, sounds.SOUNDS)
        return SOUNDS if heard and heard > folders.number_of(path, folders.IMAGES) else FOLDER
    if ending(path) in READERS:
        return READERS[ending(path)]
    if idx.recognised(path):
        return IDX
    if folders.IMAGES.is_one(path):
        raise InputError(f"{path} is one picture; give the folder of many: --data {quoted(path.parent)}.")
    raise InputError(
        f"{path} is of an unknown kind: give an .npy, .npz, .csv or .txt file, an IDX file, or a folder of images or WAV files."
    )


def is_text(path: Path) -> bool:
    """Whether a path is that of a text file of cells."""
    return path.is_file() and ending(path) in (".csv", ".tsv")


def ending(path: Path) -> str:
    """The end of a file's name, without that of its compression: .csv of table.csv.gz."""
    suffix = path.suffix.lower()
    return path.with_suffix("").suffix.lower() if suffix == ".gz" else suffix


def read(path: Path, reading: Reading) -> Raw:
    """The data at `path`. Raises: InputError for anything that is not usable data."""
    return reader(path).read(path, reading)


def family(path: Path, reading: Reading) -> str:
    """The recipes for what `read` would find there; "table" where it would find nothing. Raises: InputError."""
    known = path.is_dir() or (path.is_file() and (ending(path) in READERS or idx.recognised(path)))
    return reader(path).family(path, reading) if known else "table"
