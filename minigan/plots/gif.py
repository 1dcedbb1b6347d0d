"""The animation of a run: its pictures of progress, one after another."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from minigan.errors import InputError, reason
from minigan.files import reading, write_bytes
from minigan.plots.style import thin

MAX_FRAMES, FRAME_MS, LAST_FRAME_MS = 100, 150, 2000
MAX_GIF_WIDTH, MAX_GIF_BYTES = 720, 2_600_000
MANY_COLOURS = 10_000  # more than a drawing of points or columns has
MAX_FRAME = 1600  # pixels of a side of a picture of progress: those drawn here have at most 1209


def animation(path: str | Path, frames: Sequence[str | Path]) -> None:
    """`training.gif` from pictures of progress: at most 100 of them, evenly thinned, the last one shown longest.

    Frames of another size are fitted into the first one's. The size in pixels and the number of colours are chosen so
    that the file stays under about 3 MB. Without frames nothing is written.
    Raises: OSError; InputError for a frame that cannot be read.
    """
    if not frames:
        return
    chosen = [Path(frames[i]) for i in thin(np.arange(len(frames)), MAX_FRAMES)]
    size = _open(chosen[0]).size
    f = math.ceil(size[0] / MAX_GIF_WIDTH)
    probes = [chosen[i] for i in sorted({0, len(chosen) // 2, len(chosen) - 1})]
    smaller: tuple[tuple[int, int], ...] = (
        (f, 255), (f, 64), (f, 32), (f, 16), (f + 1, 16), (2 * f, 16), (3 * f, 8),
    )  # fmt: skip
    if _photographic([_frame(p, size, f) for p in probes]):
        smaller = ((f, 255), (f + 1, 255), (f + 2, 255), (f + 2, 128), (2 * f + 2, 64), (3 * f + 2, 16))
    for factor, colours in smaller:  # the first that is small enough, judged by three of the frames
        trial = [_frame(p, size, factor) for p in probes]
        palette = _palette(trial, colours)
        weight = sum(len(_gif([_coloured(t, palette)])) for t in trial) / len(trial)
        if weight * len(chosen) < MAX_GIF_BYTES:
            break
    write_bytes(Path(path), _gif([_coloured(_frame(p, size, factor), palette) for p in chosen]))


def _open(path: Path) -> Image.Image:
    """A picture of ours. Raises: InputError for what is none, before it takes memory."""
    with reading(path) as (file, _):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about large pictures, which are refused
                picture = Image.open(file, formats=["PNG"])
            if max(picture.size) <= MAX_FRAME:
                return picture.convert("RGB")
        except Exception as error:  # of untrusted bytes Pillow raises nearly every class
            raise InputError(f"{path}: is not a readable picture ({reason(error).split(' <_io')[0]}).") from None
    raise InputError(
        f"{path}: is a picture of {picture.width} x {picture.height} pixels; a frame has at most {MAX_FRAME}."
    )


def _frame(path: Path, size: tuple[int, int], factor: int) -> Image.Image:
    image = _open(path)
    if image.size != size:
        image = ImageOps.pad(image, size, color="white")
    return image.reduce(factor)


def _palette(images: Sequence[Image.Image], colours: int) -> Image.Image:
    """One palette for the whole animation, so that colours do not flicker; even shades where all is grey."""
    pixels = np.concatenate([np.asarray(i).reshape(-1, 3) for i in images])
    if (pixels[:, :1] == pixels).all():
        shades = np.linspace(0, 255, colours).round().astype(int)
        palette = Image.new("P", (1, 1))
        palette.putpalette([int(s) for s in shades.repeat(3)])
        return palette
    method = Image.Quantize.FASTOCTREE if _photographic(images) else Image.Quantize.MAXCOVERAGE
    return Image.fromarray(pixels[None]).quantize(colours, method=method)


def _photographic(images: Sequence[Image.Image]) -> bool:
    """Whether there are so many colours that only the frequent ones can be kept; a drawing's few are all needed."""
    return (
        len(np.unique(np.concatenate([np.asarray(i).reshape(-1, 3) @ (1 << 16, 1 << 8, 1) for i in images])))
        > MANY_COLOURS
    )


def _coloured(image: Image.Image, palette: Image.Image) -> Image.Image:
    return image.quantize(palette=palette, dither=Image.Dither.NONE)


def _gif(images: Sequence[Image.Image]) -> bytes:
    durations = [FRAME_MS] * (len(images) - 1) + [LAST_FRAME_MS]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return file.getvalue()
