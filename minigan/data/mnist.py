"""The MNIST files: in a directory that the user names, else downloaded once, verified and cached."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minigan.data import idx
from minigan.errors import InputError, quoted, reason

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
WAITS = (0.0, 2.0, 8.0)
"""Seconds to wait before each round through the mirrors."""

TIMEOUT = 20.0
"""Seconds without a byte after which a mirror is abandoned."""


PLACES = ("", "mnist", "MNIST/raw", "raw")
"""Where in a directory the files may be; torchvision puts them into MNIST/raw."""


@dataclass(frozen=True)
class Source:
    """One of the four files: its name without .gz, the shape inside, and size and SHA-256 of the .gz file."""

    name: str
    shape: tuple[int, ...]
    size: int
    sha256: str


TRAIN_IMAGES = Source(
    "train-images-idx3-ubyte",
    (60_000, 28, 28),
    9_912_422,
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
)
TRAIN_LABELS = Source(
    "train-labels-idx1-ubyte",
    (60_000,),
    28_881,
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
)
TEST_IMAGES = Source(
    "t10k-images-idx3-ubyte",
    (10_000, 28, 28),
    1_648_877,
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
)
TEST_LABELS = Source(
    "t10k-labels-idx1-ubyte",
    (10_000,),
    4_542,
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
)


def read(data_dir: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images (60000, 784) and labels, test images (10000, 784) and labels, all uint8.

    The files are looked for in `data_dir` (else in the directory that MINIGAN_DATA names), and in `PLACES` in it; when
    neither is given they come from the cache, which is filled from `MIRRORS` the first time.

    Raises: InputError for missing, damaged or unexpected files, and when a download fails.
    """
    data_dir = data_dir or os.environ.get("MINIGAN_DATA")
    arrays = []
    for source in (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS):
        path = find(source, Path(data_dir)) if data_dir else fetch(source)
        shape = idx.shape_of(path)
        if shape is not None and shape != source.shape and len(source.shape) == 3:
            raise InputError(
                f"{path} holds {idx.words(shape)} values where MNIST has {idx.words(source.shape)}; to train on other images, give "
                f"their file itself: --data {quoted(path)}."
            )
        array = idx.read(path, source.shape)
        if array.ndim == 1 and array.max() > 9:
            raise InputError(f"{path} holds the label {array.max()}; MNIST's labels are 0 to 9.")
        arrays.append(array.reshape(len(array), -1) if array.ndim > 1 else array)
    return arrays[0], arrays[1], arrays[2], arrays[3]


def find(source: Source, directory: Path) -> Path:
    """The path of a file in `directory` or one of `PLACES` in it, compressed or not, under one of its names.

    Raises: InputError when it is in none.
    """
    dotted = source.name.replace("-idx", ".idx")  # as it is called inside the official .gz, and by Kaggle
    names = [name + end for name in (source.name, dotted) for end in (".gz", "")]
    names += [f"{name}/{name}" for name in (source.name, dotted)]  # as Kaggle's archive is unpacked
    for place in PLACES:
        for name in names:
            if (path := directory / place / name).exists() and not path.is_dir():
                return path
    others = idx.images_in(directory) if directory.is_dir() else []
    other = next((path for path in others if "train" in path.name), next(iter(others), None))
    remedy = (
        "give no data directory and they are downloaded"
        if other is None
        else (f"train on the images that are there, with --data {quoted(other)}")
    )
    raise InputError(
        f"{source.name}.gz is in none of {', '.join(str(directory / place) for place in PLACES)} (--data-dir or MINIGAN_DATA); put "
        f"MNIST's four files there, or {remedy}."
    )


def fetch(
    source: Source,
    cache: Path | None = None,
    mirrors: Sequence[str] = MIRRORS,
    waits: Sequence[float] = WAITS,
    timeout: float = TIMEOUT,
) -> Path:
    """The cached .gz file, downloaded first unless it is there and has its checksum.

    Every mirror is tried in order, then all of them again after each of the growing `waits` (seconds). A file gets its
    final name only once its checksum is right, and a body is cut off at the size that it should have.

    Raises: InputError when no mirror delivers.
    """
    import pooch  # here, because it is needed for MNIST without --data-dir only

    cache = Path(pooch.os_cache("minigan")) if cache is None else cache
    name, reasons = source.name + ".gz", []
    for wait in waits:
        time.sleep(wait)
        for mirror in mirrors:
            try:
                url, downloader = mirror + name, _bounded(source.size, timeout)
                return Path(pooch.retrieve(url, f"sha256:{source.sha256}", name, cache, downloader=downloader))
            except Exception as error:  # of requests, urllib3, pooch or the operating system; the next mirror may work
                reasons.append(f"{mirror}: {reason(error)}")
    raise InputError(
        f"{name} could not be downloaded to {cache} ({'; '.join(dict.fromkeys(reasons))}); check the network, or put "
        f"MNIST's four files into a directory and name it with --data-dir."
    )


def _bounded(size: int, timeout: float) -> Any:
    """A pooch downloader that fails on a body longer than `size` bytes, and after `timeout` seconds without a byte."""

    def download(url: str, path: str, _: Any) -> None:
        import pooch

        get = pooch.HTTPDownloader(chunk_size=1 << 16, timeout=timeout, headers={"Accept-Encoding": "identity"})
        with open(path, "wb") as file:
            get(url, _Limited(file, size), None)

    return download


class _Limited:
    """A file for pooch to write to, of at most `size` bytes."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.left = file, size

    def write(self, block: bytes) -> int:
        self.left -= len(block)
        if self.left < 0:
            raise ValueError("the answer is longer than the file should be")
        return self.file.write(block)

    def flush(self) -> None:
        self.file.flush()
