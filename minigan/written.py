"""Generated samples as files: rows of text, arrays, a picture, or a directory with a file for each. One function per kind of file.

Samples come a chunk at a time, so memory does not grow with their number where the format allows it.
"""

from __future__ import annotations

import io
import itertools
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from minigan import cli
from minigan.data.delimited import line
from minigan.data.spaces import Space
from minigan.errors import InputError
from minigan.files import replacing, umask, write_bytes

Labels = np.ndarray | None

DIRECTORY = "/"
"""The end of a path at which a directory of single files is written."""


GAP = 2
"""Pixels between the clips of an animation."""


def ending(path: str) -> str:
    """What decides how samples are written: the end of a file's name, or `DIRECTORY`."""
    return DIRECTORY if path.endswith(("/", os.sep)) else Path(path).suffix.lower()


def endings(space: Space) -> list[str]:
    """The kinds of files in which samples of a space can be written."""
    return [".png", *space.files, *([DIRECTORY] if space.single else [])]


def require(flag: str, path: str) -> None:
    """Raise InputError unless samples can be written to the path that a flag names: nothing is there, and its end is known."""
    if ending(path) not in WRITERS:
        ends = ", ".join(WRITERS)
        raise InputError(
            f"{flag} {path}: the name must end in one of: {ends}, the last for a directory of single files."
        )
    cli.require_new(flag, path.rstrip("/" + os.sep))
    if not Path(path).absolute().parent.is_dir():
        raise InputError(f"{flag} {path}: the directory {Path(path).parent} does not exist.")


def require_space(flag: str, path: str, space: Space) -> None:
    """Raise InputError where samples of this space are not written to files of that kind."""
    if ending(path) not in endings(space):
        raise InputError(f"{flag} {path}: {space.kind} samples are written to {', '.join(endings(space))}.")


def write(path: str, space: Space, n: int, parts: Iterator[np.ndarray], labels: np.ndarray | None = None) -> None:
    """Write n samples, which come as parts (k, size) in data units, whole or not at all.

    labels (n,): of real samples, as indices into the space's classes: written beside arrays as `y`, and as class folders.
    Raises: OSError, InputError.
    """
    WRITERS[ending(path)](Path(path), space, n, parts, labels)


def _picture(path: Path, space: Space, n: int, parts: Iterator[np.ndarray], labels: Labels) -> None:
    """One picture of all."""
    from minigan import plots

    plots.samples(path, space, np.concatenate(list(parts)))


def _rows(path: Path, space: Space, n: int, parts: Iterator[np.ndarray], labels: Labels) -> None:
    """A header, and a row of cells per sample."""
    separator = "\t" if path.suffix.lower() == ".tsv" else space.separator
    with replacing(path) as file:
        file.write(line(space.header(), separator).encode())
        for x in parts:
            file.write("".join(line(cells, separator) for cells in space.cells(x)).encode())


def _lines(path: Path, space: Space, n: int, parts: Iterator[np.ndarray], labels: Labels) -> None:
    """A line of text per sample."""
    with replacing(path) as file:
        for x in parts:
            file.write("".join(f"{cells[0]}\n" for cells in space.cells(x)).encode())


def _npz(path: Path, space: Space, n: int, parts: Iterator[np.ndarray], labels: Labels) -> None:
    """Arrays by name, compressed; a single one is written a part at a time, as np.savez_compressed cannot."""
    first = next(parts)
    names = list(space.arrays(first))
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        if labels is not None:
            with archive.open("y.npy", "w") as entry:
                np.lib.format.write_array(entry, np.array(space.classes)[labels] if space.classes else labels)
        if len(names) == 1:
            with archive.open(f"{names[0]}.npy", "w", force_zip64=True) as entry:
                _array(entry.write, space, n, itertools.chain([first], parts))
            return
        for name, array in space.arrays(np.concatenate([first, *parts])).items():
            with archive.open(f"{name.replace('/', '_')}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _npy(path: Path, space: Space, n: int, parts: Iterator[np.ndarray], labels: Labels) -> None:
    """One array."""
    first = next(parts)
    if len(space.arrays(first)) != 1:
        raise InputError(
            f"-o {path}: samples with categories or dates are no single array of numbers; write .npz or .csv."
        )
    with replacing(path) as file:
        _array(file.write, space, n, itertools.chain([first], parts))


def _array(put: Callable[[bytes], object], space: Space, n: int, parts: Iterator[np.ndarray]) -> None:
    """The header and the values of the only array of a space, in NumPy's format."""
    for i, part in enumerate(parts):
        (array,) = space.arrays(part).values()
        descr = array.dtype.newbyteorder("<").str
        if i == 0:
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                header, {"descr": descr, "fortran_order": False, "shape": (n, *array.shape[1:])}
            )
            put(header.getvalue())
        put(array.astype(descr).tobytes())


def _animation(path: Path, space: Space, n: int, parts: Iterator[np.ndarray], labels: Labels) -> None:
    """One animation of all clips side by side."""
    x = np.concatenate(list(parts)).reshape(-1, *space.shape)
    columns = math.ceil(math.sqrt(n))
    x = np.pad(x, ((0, -n % columns), (0, 0), (0, GAP), (0, GAP)))
    rows, (_, t, h, w) = len(x) // columns, x.shape
    tiled = x.reshape(rows, columns, t, h, w).transpose(2, 0, 3, 1, 4).reshape(t, rows * h, columns * w)
    write_bytes(path, space.encoded(tiled[:, :-GAP, :-GAP]))


def _files(path: Path, space: Space, n: int, parts: Iterator[np.ndarray], labels: Labels) -> None:
    """A directory with a file per sample, 00001 and on; it has its name once all of them are there."""
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        partial.chmod(0o777 & ~umask())
        width, numbers = max(5, len(str(n))), itertools.count(1)
        for x in parts:
            for sample in x.reshape(-1, *space.shape):
                number, folder = next(numbers), partial
                if labels is not None:
                    folder = partial / _folder(space, int(labels[number - 1]))
                    folder.mkdir(exist_ok=True)
                (folder / f"{number:0{width}}{space.single}").write_bytes(space.encoded(sample))
        os.rename(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _folder(space: Space, label: int) -> str:
    """The name of a class as that of a folder."""
    name = space.classes[label] if space.classes else str(label)
    return "".join("_" if c in '<>:"/\\|?*' else c for c in name).strip(". ") or f"class {label}"


WRITERS: dict[str, Callable[[Path, Space, int, Iterator[np.ndarray], Labels], None]] = {
    ".png": _picture,
    ".npz": _npz,
    ".npy": _npy,
    ".csv": _rows,
    ".tsv": _rows,
    ".txt": _lines,
    ".gif": _animation,
    DIRECTORY: _files,
}
"""How samples are written, by the end of the path."""
