"""Images in a folder and in its subfolders, which are classes: converted to squares of one size, grey or in colour."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minigan.data import folders, idx
from minigan.data.files import opened
from minigan.data.folders import Found
from minigan.data.raw import Raw, check_counts, parsing
from minigan.data.reading import Reading
from minigan.data.spaces import Colour
from minigan.data.spaces import Image as Grey
from minigan.errors import InputError, short

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
JPEG = ("JPEG", "MPO")
"""What Pillow calls a JPEG; MPO is one followed by further pictures of the camera."""

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The first bytes of a TIFF."""

ROWS_PER_STRIP, TILE_WIDTH, TILE_LENGTH = 278, 322, 323
"""Tags of a TIFF."""

MAX_PIXELS = 4096 * 4096
"""Pixels of one image in memory: decoding this many stays well under 200 MB."""

MAX_SCANS = 150_000_000
"""Bytes of what a JPEG of several scans, as a progressive one is, keeps in memory until the last of them is read."""

MIN_SIDE = 16
"""Pixels that a shorter side counts as: every row, however short, takes an address and padding in every copy."""

STRIP = 256
"""Rows of an image that are converted at a time."""

FULL = (1 << 16) - 1
"""The white of 16 bits."""

LOOKED_AT = 32
"""Images of a folder, evenly spaced, that say whether it is one of colour pictures."""

COLOURED, SHARE = 25, 0.01
"""A pixel is coloured where its channels differ by more than this, of 255: JPEGs and scans of grey paper differ by less. An
image is, where more than this share of its pixels are."""


def family(folder: Path, reading: Reading) -> str:
    """The recipes for a folder of images."""
    return "image"


def read_images(folder: Path, reading: Reading) -> Raw:
    """The images of a folder as squares of `image_size` pixels, in the order of their names; subfolders are their classes.

    A folder without images may hold them in an IDX file instead.
    """
    found = folders.search(folder)
    if not found.paths and idx.images_in(folder):
        return idx.read_folder(folder, reading)
    found.require()
    reading.only(folder, "a folder of images", "image_size", "color")
    side, n = reading.image_size, len(found.paths)
    coloured, looked_at = _coloured(found.paths, side) if reading.color == "auto" else (0, 0)
    in_colour = reading.color == "rgb" or 2 * coloured > looked_at
    shape = (side, side, 3) if in_colour else (side, side)
    space = Colour(shape) if in_colour else Grey(shape)
    check_counts(n, space.size, folder, 1)
    convert = Converter(side, "RGB" if in_colour else "L", found.paths)
    rows = np.empty((n, space.size), np.uint8)
    for row, path in zip(rows, found.paths, strict=True):
        row[:] = convert.read(path).reshape(-1)
    raw = Raw(space, rows, 1 / 255, notes=_notes(found, convert, coloured, looked_at))
    return raw if found.labels is None else found.labels.beside(raw)


def read_image(path: Path, size: int, mode: str = "L") -> np.ndarray:
    """An image file by itself, as `Converter` makes it."""
    return Converter(size, mode).read(path)


@dataclass
class Converter:
    """What makes squares of `side` pixels of image files: upright, on white where transparent, centre-cropped, resized; grey
    (`mode` "L", (side, side)) or in colour ("RGB", (side, side, 3)), uint8.

    paths: the files whose 16-bit grey has one white.  pages: those of several pages or frames that were read so far.
    """

    side: int
    mode: str = "L"
    paths: Sequence[Path] = ()
    pages: list[Path] = field(default_factory=list)
    deep: bool = False
    """Whether there was one of 16 bits."""

    @cached_property
    def white(self) -> int:
        """The value that becomes white: the largest of as many bits as the largest value of all files has. Cameras and
        microscopes put 12 bits into files of 16."""
        most = max(map(self._deepest, self.paths), default=FULL)
        return (1 << most.bit_length()) - 1 or 1

    def read(self, path: Path) -> np.ndarray:
        from PIL import Image, ImageOps  # here, because only this class needs it and importing it takes a while

        with self._decoded(path) as image:
            if getattr(image, "is_animated", False) and image.format != "MPO":  # a camera's second picture is no page
                self.pages.append(path)
            ImageOps.exif_transpose(image, in_place=True)
            if _deep(image):
                self.deep = True
                image = Image.fromarray(self._shallow(image))
            square = self._square(image)
            if square.mode != self.mode:
                square = square.convert(self.mode)
            return np.asarray(square.resize((self.side, self.side), Image.Resampling.LANCZOS))

    def _square(self, image: Any) -> Any:
        """The square in the middle of an image, on white where the image is transparent; no copy where it is all of the image."""
        from PIL import Image

        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        if not image.has_transparency_data:
            return image if image.size == (side, side) else image.crop((left, top, left + side, top + side))
        page = Image.new(self.mode, (side, side), "white")
        for y in range(0, side, STRIP):
            strip = image.crop((left, top + y, left + side, top + min(y + STRIP, side))).convert("RGBA")
            page.paste(strip.convert(self.mode), (0, y), strip.getchannel("A"))
        return page

    def _deepest(self, path: Path) -> int:
        """The largest value of an image of 16 bits; 0 for others."""
        with self._decoded(path) as image:
            if not _deep(image):
                return 0
            least, most = image.getextrema()
            if least < 0:
                raise InputError(f"{path} holds values below 0, so black is not known; convert it to 8-bit grey.")
            return int(most)

    @contextmanager
    def _decoded(self, path: Path) -> Iterator[Any]:
        """The image of a file, of bounded size. Raises: InputError where it cannot be used, also inside the block."""
        from PIL import Image

        with opened(path) as (file, _), parsing(path, "is not a usable image, so remove or replace it"):
            silence = _silence() if file.read(4) in TIFF else nullcontext()
            file.seek(0)
            with silence:
                image: Any = Image.open(file, formats=FORMATS)
                # only the header has been read so far
                scans = _scans(image, file) if image.format in JPEG else 0
                # lets the JPEG decoder skip detail that would be thrown away
                image.draft(self.mode, (self.side, self.side))
                _check_size(image, scans, path)
                image.load()
                if image.mode == "F":
                    raise InputError(f"{path} holds floats of no known range; convert it to 8-bit grey.")
                yield image

    def _shallow(self, image: Any) -> np.ndarray:
        """16-bit grey as 8-bit grey."""
        values, white = np.asarray(image), self.white
        shades = np.empty(values.shape, np.uint8)
        for top in range(0, len(values), STRIP):
            part = values[top : top + STRIP].astype(np.int64)
            shades[top : top + STRIP] = np.clip(part * 255 // white, 0, 255)
        return shades


def _deep(image: Any) -> bool:
    """Whether an image is grey of 16 bits, or of 32."""
    return image.mode == "I" or image.mode.startswith("I;16")


def _check_size(image: Any, scans: int, path: Path) -> None:
    """Raise InputError where an image, after `draft`, takes too much memory to be decoded; scans: as `_scans` says."""
    # decoding these two takes twice the memory
    most = MAX_PIXELS // 2 if image.format == "WEBP" or image.mode == "I" else MAX_PIXELS
    pixels = max(image.width, MIN_SIDE) * max(image.height, MIN_SIDE)
    if pixels > most:
        raise InputError(
            f"{path} claims {image.width:,} x {image.height:,} pixels; at most {most:,} are read, and the longer side is at "
            f"most {most // MIN_SIDE:,}, so shrink it first."
        )
    if image.format == "TIFF" and 2 * (pixels + _strip(image)) > 3 * most:
        raise InputError(f"{path} is a TIFF in strips or tiles of {_strip(image):,} pixels; save it in smaller ones.")
    if scans > MAX_SCANS:
        raise InputError(
            f"{path} is a progressive JPEG, of which {scans:,} bytes would be in memory at once; at most {MAX_SCANS:,} are, so "
            f"shrink it, or save it without that."
        )


def _strip(image: Any) -> int:
    """Pixels of a strip or a tile of a compressed TIFF, which is decompressed beside the image."""
    tags, (w, h) = image.tag_v2, image.size
    if image.info.get("compression") == "raw":
        return 0
    rows = min(int(tags.get(ROWS_PER_STRIP, h)), h)
    return int(tags.get(TILE_WIDTH, w)) * int(tags.get(TILE_LENGTH, rows))


def _scans(image: Any, file: BinaryIO) -> int:
    """Bytes that a JPEG keeps in memory until it is decoded: all of its coefficients, of 2 bytes, where it has several scans.

    file: stands behind the header of the first scan, as Pillow leaves it.
    """
    header = bytes([0xFF, 0xDA, 0, 6 + 2 * image.layers, image.layers])  # of a scan with all channels
    file.seek(-8 - 2 * image.layers, os.SEEK_CUR)
    if "progressive" not in image.info and file.read(len(header)) == header:
        return 0
    w, h = (max(side, MIN_SIDE) for side in image.size)
    samples = [down * across for _, down, across, _ in image.layer]
    return 2 * w * h * sum(samples) // max(samples)


@contextmanager
def _silence() -> Iterator[None]:
    """Discard what a decoder writes to the standard error of the process, if there is one."""
    try:
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:
        yield
        return
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _coloured(paths: Sequence[Path], side: int) -> tuple[int, int]:
    """How many of some images of a folder are in colour, and how many were looked at."""
    some = [paths[i] for i in np.linspace(0, len(paths) - 1, min(LOOKED_AT, len(paths))).round().astype(int)]
    convert = Converter(side, "RGB")
    return sum(map(has_colours, map(convert.read, some))), len(some)


def has_colours(image: np.ndarray) -> bool:
    """Whether an image (h, w, 3), uint8, is more than shades of grey."""
    return bool((np.ptp(image, axis=2) > COLOURED).mean() > SHARE)


def _notes(found: Found, convert: Converter, coloured: int, looked_at: int) -> tuple[str, ...]:
    """What is said about a folder of images before training."""
    n, in_colour, side = len(found.paths), convert.mode == "RGB", convert.side
    whole = n + found.unread + sum(found.others.values())
    what = f"{'colour' if in_colour else 'grey'} images of {side} x {side} pixels"
    if 0 < coloured < looked_at or (coloured and not in_colour):
        other = "--color grey" if in_colour else "--color rgb"
        what += f" ({coloured} of {looked_at} looked at have colours; otherwise {other})"
    if n == whole:
        notes = [f"{found.folder}: {n:,} {what}"]
    else:
        notes = [f"{found.folder}: {n:,} of {whole:,} files are read, as {what}"]
    if found.others:
        notes[0] += f"; {found.left_out}"
    notes += found.notes
    if convert.deep and convert.white != FULL:
        bits = convert.white.bit_length()
        notes.append(
            f"of 16-bit files, {convert.white:,} is taken as white, since no value of any needs more than {bits} bits"
        )
    if convert.pages:
        names = ", ".join(short(path.name, 40) for path in convert.pages[:3]) + (
            ", ..." if len(convert.pages) > 3 else ""
        )
        notes.append(f"{len(convert.pages):,} with several pages or frames, of which the first is read: {names}")
    return tuple(notes)
