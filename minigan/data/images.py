"""Images in a folder, converted to grey squares of one size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minigan.data.files import opened
from minigan.data.raw import Raw, check_counts, parsing
from minigan.data.reading import Reading
from minigan.data.spaces import Image as Grey
from minigan.errors import InputError, reason

IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm")
MAX_PIXELS = 4096 * 4096
"""Pixels of one image file: decoding this many stays well under 200 MB."""

MIN_SIDE = 16
"""Pixels that a shorter side counts as: every row, however short, takes an address and padding in every copy."""


def family(folder: Path, reading: Reading) -> str:
    """The recipes for a folder of images."""
    return "image"


def read_images(folder: Path, reading: Reading) -> Raw:
    """Every image directly in a folder, in the order of their names, as grey squares of `image_size` pixels."""
    size = reading.image_size
    try:
        paths = sorted(
            p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "." and not p.is_dir()
        )
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {reason(error)}.") from None
    if not paths:
        kinds = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
        raise InputError(f"{folder} holds no images ({kinds}); subfolders are not searched.")
    check_counts(len(paths), size * size, folder, 1)
    rows = np.empty((len(paths), size * size), np.uint8)
    for row, path in zip(rows, paths, strict=True):
        row[:] = read_image(path, size).reshape(-1)
    return Raw(Grey((size, size)), rows, 1 / 255)


def read_image(path: Path, size: int) -> np.ndarray:
    """An image file as (size, size) uint8: upright, on white where transparent, grey, centre-cropped, resized."""
    from PIL import Image, ImageOps  # here, because only this function needs it and importing it takes a while

    with opened(path) as (file, _), parsing(path, "is not a usable image, so remove or replace it"):
        if file.read(4) in (b"II*\0", b"MM\0*"):  # its decoders write to standard error themselves
            raise InputError(f"{path} is a TIFF, which is not read; convert it to PNG.")
        file.seek(0)
        image: Any = Image.open(file, formats=IMAGE_FORMATS)
        # only the header has been read so far; decoding these two takes twice the memory
        most = MAX_PIXELS // 2 if image.format == "WEBP" or image.mode == "I" else MAX_PIXELS
        if max(image.width, MIN_SIDE) * max(image.height, MIN_SIDE) > most:
            raise InputError(
                f"{path} claims {image.width:,} x {image.height:,} pixels; at most {most:,} are read, and the longer side is at "
                f"most {most // MIN_SIDE:,}, so shrink it first."
            )
        image.draft("L", (size, size))  # lets the JPEG decoder skip detail that would be thrown away
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode == "I" or image.mode.startswith("I;16"):  # 16-bit PNG and PGM
            image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))  # convert("L") would clip
        elif image.mode == "F":
            raise InputError(f"{path} holds floats of no known range; convert it to 8-bit grey.")
        elif image.has_transparency_data:
            image = image if image.mode == "RGBA" else image.convert("RGBA")
            page = Image.new("L", image.size, "white")
            page.paste(image.convert("L"), mask=image.getchannel("A"))
            image = page
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.convert("L").crop((left, top, left + side, top + side))
        return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
