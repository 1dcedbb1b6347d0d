"""Own data, none of which is trusted: .npy, .npz, .csv or a folder of images. The suffix chooses the reader."""

from __future__ import annotations

from pathlib import Path

from minigan.data.arrays import read_header, read_npy, read_npz
from minigan.data.images import read_images
from minigan.data.raw import Raw
from minigan.data.tables import read_csv
from minigan.errors import InputError

READERS = {".npy": read_npy, ".npz": read_npz, ".csv": read_csv}


def read(path: Path, image_size: int) -> Raw:
    """The data at `path`, by its suffix; a folder is a folder of images.

    Raises: InputError for anything that is not usable data.
    """
    if path.is_dir():
        return read_images(path, image_size)
    if path.suffix.lower() not in READERS:
        raise InputError(f"{path} is of an unknown kind: give an .npy, .npz or .csv file or a folder of images.")
    return READERS[path.suffix.lower()](path)


def holds_images(path: Path) -> bool:
    """Whether `read` would find images there, from the header of an array and without its values. Raises: InputError."""
    if path.suffix.lower() in (".npy", ".npz") and path.is_file():
        return read_header(path).images
    return path.is_dir()
