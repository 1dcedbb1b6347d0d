"""Which files of a folder are its samples, which class each belongs to, and what is said of all others."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minigan.data import labels
from minigan.data.labels import Labels
from minigan.errors import InputError, reason, short


@dataclass(frozen=True)
class Wanted:
    """The files that are looked for: a word for one, the ends of their names; those of similar files that are not read, and what
    to do with these."""

    word: str
    suffixes: tuple[str, ...]
    unread: tuple[str, ...]
    remedy: str

    def is_one(self, path: Path) -> bool:
        """Whether a file is one that is read, by its name."""
        return path.suffix.lower() in self.suffixes

    def counted(self, count: int) -> str:
        """So many of them, in words."""
        return f"{count:,} {self.word}{'s' if count != 1 else ''}"


SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm", ".pnm",
)  # fmt: skip
"""The ends of the names of image files that are read."""

UNREAD = (
    ".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".psd", ".tga", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".dcm", ".dicom",
)  # fmt: skip
"""Those of other image files: DICOM's need the range of values that a person wants to see."""

IMAGES = Wanted("image", SUFFIXES, UNREAD, "convert them to PNG or JPEG")

SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}
"""Names of subfolders that are parts of a data set rather than classes."""

MAX_FILES = 2_000_000
"""Files looked at below a folder: with more, it is in all likelihood another folder than the one that was meant."""

SHOWN = 6
"""Kinds of files, or subfolders, that a note lists."""


@dataclass
class Found:
    """The wanted files of a folder in their order, their labels if subfolders are their classes, and notes on what is not read.

    others: how many files of each other kind are there, by the ends of their names; unread: wanted ones that are left out.
    """

    wanted: Wanted
    folder: Path
    paths: list[Path]
    labels: Labels | None = None
    notes: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    unread: int = 0

    def require(self) -> None:
        """Raise InputError where there is none."""
        if not self.paths:
            kinds = ", ".join(suffix[1:] for suffix in self.wanted.suffixes)
            there = f"; {self.left_out}" if self.others else ""
            raise InputError(f"{self.folder} holds no {self.wanted.word}s ({kinds}){there}.")

    @property
    def left_out(self) -> str:
        """The files of other kinds, in words."""
        common = self.others.most_common()
        listed = [f"{count:,} {short(kind or 'without a suffix', 20)}" for kind, count in common[:SHOWN]]
        listed += [f"{sum(count for _, count in common[SHOWN:]):,} others"] if len(common) > SHOWN else []
        verb = "are" if sum(self.others.values()) != 1 else "is"
        hint = f": {self.wanted.remedy}" if any(kind in self.wanted.unread for kind in self.others) else ""
        return f"{' and '.join(filter(None, (', '.join(listed[:-1]), listed[-1])))} {verb} not read{hint}"


def search(folder: Path, wanted: Wanted = IMAGES) -> Found:
    """The wanted files directly in a folder; or, where its subfolders hold more of them, those in the subfolders.

    Each of several subfolders is a class; one alone stands for the folder, and so does the first part of a data set that is
    divided into train and test. Names that begin with a dot are passed over. Raises: InputError where a folder cannot be read.
    """
    files, subfolders = _entries(folder)
    own, others = _divided(files, wanted)
    below = {sub: list(_walk(sub)) for sub in subfolders}
    nested = {sub: sorted(path for path in paths if wanted.is_one(path)) for sub, paths in below.items()}
    nested = {sub: paths for sub, paths in nested.items() if paths}
    elsewhere = _kinds(path for paths in below.values() for path in paths if not wanted.is_one(path))
    count = sum(map(len, nested.values()))
    if count <= len(own):
        found = Found(wanted, folder, own, others=others + elsewhere, unread=count)
        if nested:
            names = _listed([sub.name for sub in nested])
            found.notes.append(
                f"{wanted.counted(count)} in its subfolders ({names}) not read; give one of them to read those"
            )
        return found
    chosen = _one(list(nested))
    if chosen is not None:
        found = search(chosen, wanted)
        passed = count - len(nested[chosen])
        if passed:
            names = _listed([sub.name for sub in nested if sub != chosen])
            found.notes.insert(0, f"{wanted.counted(passed)} in {names} not read")
        found.others += others + _kinds(
            p for sub, paths in below.items() if sub != chosen for p in paths if not wanted.is_one(p)
        )
        found.unread += passed
    else:
        found = _classes(folder, nested, wanted)
        found.others += others + elsewhere
    if own:
        found.notes.insert(0, f"{wanted.counted(len(own))} directly in {folder} not read, only those in its subfolders")
        found.unread += len(own)
    return found


def number_of(folder: Path, wanted: Wanted) -> int:
    """How many wanted files are in a folder and below it. Raises: InputError."""
    return sum(map(wanted.is_one, _walk(folder)))


def _one(subfolders: Sequence[Path]) -> Path | None:
    """The subfolder that is read alone, if one is."""
    if len(subfolders) == 1:
        return subfolders[0]
    if all(sub.name.lower() in SPLITS for sub in subfolders):
        return next((sub for sub in subfolders if sub.name.lower() in ("train", "training")), None)
    return None


def _classes(folder: Path, nested: dict[Path, list[Path]], wanted: Wanted) -> Found:
    """The wanted files of several subfolders, each of which is a class. Numbers are in their order."""
    numbers = all(sub.name.isdecimal() and sub.name.isascii() for sub in nested)
    subfolders = sorted(nested, key=lambda sub: (int(sub.name) if numbers else 0, sub.name))
    paths = [path for sub in subfolders for path in nested[sub]]
    names = tuple(sub.name for sub in subfolders)
    index = np.repeat(np.arange(len(names)), [len(nested[sub]) for sub in subfolders])
    try:
        labels.check_names(names)
    except ValueError as why:
        return Found(wanted, folder, paths, None, [f"its {len(names):,} subfolders are not taken as classes: {why}"])
    return Found(wanted, folder, paths, Labels(index, names))


def _divided(files: Sequence[Path], wanted: Wanted) -> tuple[list[Path], Counter[str]]:
    """The wanted ones among files, and how many others there are of each kind."""
    own = [path for path in files if wanted.is_one(path)]
    return own, _kinds(path for path in files if not wanted.is_one(path))


def _kinds(paths: Iterator[Path]) -> Counter[str]:
    return Counter(path.suffix.lower() for path in paths)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(short(name, 40) for name in names[:SHOWN]) + more


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files and subfolders of a folder, in the order of their names, without hidden ones and links that lead back above.

    Raises: InputError.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.name[0] != ".")
        subfolders = [path for path in paths if path.is_dir()]
        circles = {path for path in subfolders if path.is_symlink() and folder.resolve().is_relative_to(path.resolve())}
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {reason(error)}.") from None
    inside = set(subfolders)
    return [path for path in paths if path not in inside], [path for path in subfolders if path not in circles]


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, however deep; a folder that links lead to twice is entered once. Raises: InputError."""
    waiting, seen, count = [folder], set(), 0
    while waiting:
        here = waiting.pop()
        try:
            status = os.stat(here)
        except OSError as error:
            raise InputError(f"{here} cannot be read: {reason(error)}.") from None
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        files, subfolders = _entries(here)
        count += len(files)
        if count > MAX_FILES:
            raise InputError(f"{folder} holds more than {MAX_FILES:,} files; give the folder in which the samples are.")
        yield from files
        waiting += subfolders
