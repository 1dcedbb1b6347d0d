"""Folders of WAV files, as signals of one rate and one length.

A dense network sees some thousand values at most, and all files must agree. So recordings at another rate than `--sample-rate` are
resampled rather than refused: nothing is lost but frequencies that the rate cannot hold.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigan.data import folders
from minigan.data.files import opened, read_exactly
from minigan.data.folders import Found, Wanted
from minigan.data.raw import MAX_VALUE, Raw, check_counts, same
from minigan.data.reading import Reading
from minigan.data.spaces.series import FLOAT, MAX_CHANNELS, PCM, Signal
from minigan.errors import InputError

SOUNDS = Wanted(
    "WAV file",
    (".wav", ".wave"),
    (".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aif", ".aiff", ".aifc", ".au"),
    "convert them to WAV",
)
"""The files of a folder that are read."""

EXTENSIBLE = 0xFFFE
"""How a WAV file says that what its values are stands further behind."""

MAX_FORM, MAX_CHUNKS = 1 << 10, 1000
"""Bytes that describe the values of a file, of which 40 are needed, and parts that a file has at most."""

MAX_FILE_RATE = 1 << 22
"""Samples a second that a file has at most: more than any recorder makes."""

MAX_READ = 1 << 22
"""Values of one file that are read at most: a minute and a half of one channel at 44,100 samples a second."""

SILENCE = 64
"""Samples that are put behind a recording before it is resampled, at least."""

STREAMED = 0x7FFF0000
"""Bytes from which on their number is not meant: programs that write to a pipe do not know it, and say about 2^31 or 2^32."""


class Sound(NamedTuple):
    """What a WAV file holds before its values are read; start: the byte at which they begin; depth: bits of a value."""

    path: Path
    channels: int
    rate: int
    depth: int
    floats: bool
    start: int
    frames: int

    def length(self, rate: int) -> int:
        """Its length in samples at another rate."""
        return (self.frames * rate + self.rate // 2) // self.rate


def family(folder: Path, reading: Reading) -> str:
    """The recipes for a folder of WAV files."""
    return "signal"


def read_sounds(folder: Path, reading: Reading) -> Raw:
    """Every WAV file of a folder, or of its subfolders, which are classes then. Raises: InputError."""
    reading.only(folder, "a folder of WAV files", "sample_rate", "length")
    found = folders.search(folder, SOUNDS)
    found.require()
    sounds = [described(path) for path in found.paths]
    rate = reading.sample_rate or _most([sound.rate for sound in sounds])
    channels = sounds[0].channels if len({sound.channels for sound in sounds}) == 1 else 1
    lengths = [sound.length(rate) for sound in sounds]
    length = reading.length or common_length(lengths)
    check_counts(len(sounds), channels * length, folder, 4)
    rows = np.empty((len(sounds), channels, length), np.float32)
    for row, sound in zip(rows, sounds, strict=True):
        row[:] = values(sound, channels, rate, length)
    flat = rows.reshape(len(rows), -1)
    if same(flat):
        raise InputError(f"{folder} holds {len(rows):,} WAV files that are all alike: there is nothing to learn.")
    space = Signal((channels, length), sample_rate=rate, bounded=bool(np.abs(flat).max() <= 1))
    raw = Raw(space, flat, notes=_notes(found, sounds, space, lengths))
    return raw if found.labels is None else found.labels.beside(raw)


def common_length(lengths: Sequence[int]) -> int:
    """The length of most recordings, if more than half have it; else that of the shortest: no silence is invented."""
    most = _most(lengths)
    return most if 2 * lengths.count(most) > len(lengths) else min(lengths)


def _most(numbers: Sequence[int]) -> int:
    """The most frequent number; of several that are, the smallest."""
    counts = Counter(numbers)
    return min(counts, key=lambda number: (-counts[number], number))


def _notes(found: Found, sounds: Sequence[Sound], space: Signal, lengths: Sequence[int]) -> tuple[str, ...]:
    """What is said about a folder of WAV files before training."""
    (channels, length), rate, n = space.shape, space.sample_rate, len(sounds)
    whole = n + found.unread + sum(found.others.values())
    read = f"{n:,} WAV files" if n == whole else f"{n:,} of {whole:,} files are read"
    what = f"{length:,} samples at {rate:,} Hz, {length / rate:.3g} s" + (
        f", {channels} channels" if channels > 1 else ""
    )
    notes = [f"{found.folder}: {read}, as signals of {what}" + (f"; {found.left_out}" if found.others else "")]
    notes += found.notes
    longer, shorter = (sum(test) for test in ([x > length for x in lengths], [x < length for x in lengths]))
    if longer or shorter:
        parts = [f"the first {length:,} samples of {longer:,} longer ones are taken"] if longer else []
        parts += [f"{shorter:,} shorter ones end in silence"] if shorter else []
        notes.append(
            f"they are {min(lengths):,} to {max(lengths):,} samples long: {', and '.join(parts)} (--length takes more or less)"
        )
    others = Counter(sound.rate for sound in sounds if sound.rate != rate)
    if others:
        rates = [f"{count:,} from {old:,} Hz" for old, count in others.most_common(folders.SHOWN)]
        rates += ["..."] if len(others) > folders.SHOWN else []
        notes.append(f"{others.total():,} are resampled to {rate:,} Hz: {', '.join(rates)}")
    mixed = Counter(sound.channels for sound in sounds if sound.channels != channels)
    if mixed:
        notes.append(f"{mixed.total():,} with several channels are mixed to one, because not all have as many")
    return tuple(notes)


# ---------------------------------------------------------------------------------------------------------- one file


def described(path: Path) -> Sound:
    """What a WAV file holds, from its parts before the values. Raises: InputError where it cannot be read."""
    with opened(path) as (file, size):
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            raise InputError(f"{path} is not a WAV file, or is damaged; convert it to WAV again, or remove it.")
        form = b""
        for _ in range(MAX_CHUNKS):
            head = file.read(8)
            if len(head) < 8:
                break
            name, length, begins = head[:4], int.from_bytes(head[4:], "little"), file.tell()
            if name == b"data":
                return _described(path, form, begins, size - begins, length)
            if name == b"fmt ":
                form = file.read(min(length, MAX_FORM))
            file.seek(begins + length + length % 2)
    raise InputError(f"{path} holds no sound: it is truncated or damaged, so remove or replace it.")


def _described(path: Path, form: bytes, start: int, there: int, claimed: int) -> Sound:
    """The same from what the file says of its values, which begin at `start`; there, claimed: the bytes that follow, and that
    are said to."""
    if len(form) < 16:
        raise InputError(f"{path} does not say what its values are: it is damaged, so remove or replace it.")
    tag, channels, rate, _, block, depth = struct.unpack("<HHIIHH", form[:16])
    if tag == EXTENSIBLE and len(form) >= 26:
        tag = int.from_bytes(form[24:26], "little")
    if (tag, depth) not in [(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)]:
        raise InputError(
            f"{path} is a WAV file of {depth}-bit values of kind {tag}; convert it to 16-bit PCM, as most are."
        )
    if not 1 <= channels <= MAX_CHANNELS or not 1 <= rate <= MAX_FILE_RATE or block != channels * depth // 8:
        raise InputError(
            f"{path} claims {channels:,} channels at {rate:,} Hz in frames of {block:,} bytes: it is damaged."
        )
    if there < claimed < STREAMED:
        raise InputError(f"{path} is truncated: {claimed:,} bytes of sound were expected, {there:,} are there.")
    frames = min(claimed, there) // block
    if not frames:
        raise InputError(f"{path} holds no sound; remove it.")
    return Sound(path, channels, rate, depth, tag == FLOAT, start, frames)


def values(sound: Sound, channels: int, rate: int, length: int) -> np.ndarray:
    """The first `length` samples of a file at a rate, silence behind its end; (channels, length), float32.

    Several channels are mixed to one where one is wanted. Raises: InputError where it cannot be read.
    """
    wanted = -(-length * sound.rate // rate)
    # what follows the end has a part in what is before it
    x = decoded(sound, min(sound.frames, wanted + wanted // 8 + SILENCE))
    if channels == 1:
        x = x.mean(axis=0, keepdims=True)
    x = resampled(x, sound.rate, rate)[:, :length]
    if not sound.floats:
        x = np.clip(x, -1, 1)
    return np.pad(x, ((0, 0), (0, length - x.shape[1]))).astype(np.float32)


def decoded(sound: Sound, frames: int) -> np.ndarray:
    """The first frames of a file: (channels, frames), float32, PCM in [-1, 1]. Raises: InputError."""
    if frames * sound.channels > MAX_READ:
        raise InputError(
            f"{sound.path}: {frames:,} samples of {sound.channels} channels would be read; at most {MAX_READ:,} values of one file "
            f"are, so give a smaller --length, or shorter files."
        )
    raw = np.empty(frames * sound.channels * sound.depth // 8, np.uint8)
    with opened(sound.path) as (file, _):
        file.seek(sound.start)
        read_exactly(file, raw.data, sound.path)
    x = (_floats if sound.floats else _whole)(raw, sound.depth)
    with np.errstate(all="ignore"):  # odd kinds of NaN
        if not (np.abs(x) <= MAX_VALUE).all():  # false for NaN
            raise InputError(
                f"{sound.path} holds values that are not finite or beyond {MAX_VALUE:g}; remove or replace it."
            )
    return x.reshape(frames, sound.channels).T.astype(np.float32)


def _floats(raw: np.ndarray, depth: int) -> np.ndarray:
    return raw.view(f"<f{depth // 8}")


def _whole(raw: np.ndarray, depth: int) -> np.ndarray:
    """PCM in [-1, 1): bytes count from 128, others are signed; those of 24 bits stand in the upper bytes of 32."""
    if depth == 8:
        return (raw.astype(np.float32) - 128) / 128
    if depth == 24:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        raw, depth = wide.reshape(-1), 32
    return raw.view(f"<i{depth // 8}").astype(np.float32) / np.float32(2.0 ** (depth - 1))


def resampled(x: np.ndarray, old: int, new: int) -> np.ndarray:
    """Signals x (channels, t) at another rate, (channels, round(t new / old)): by their Fourier series, of which only what the
    lower rate can hold is kept. Silence is put behind them, if possible so much that their new length is exact."""
    if old == new:
        return x
    t, step = x.shape[1], old // math.gcd(old, new)
    kept = max(1, (t * new + old // 2) // old)
    silence = SILENCE + t // 8  # a series goes round: its end has a part in its beginning
    if step <= t:
        silence += -(t + silence) % step
    x = np.pad(x, ((0, 0), (0, silence)))
    t = x.shape[1]
    made = max(1, (t * new + old // 2) // old)
    spectrum = np.fft.rfft(x, axis=1)[:, : made // 2 + 1]
    if made < t and made % 2 == 0:
        spectrum[:, -1] = 0  # half of it would be another frequency's
    if t < made and t % 2 == 0:
        spectrum[:, t // 2] /= 2  # two frequencies' from now on
    return (np.fft.irfft(spectrum, made, axis=1) * (made / t))[:, :kept]
