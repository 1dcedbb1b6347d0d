"""A coverage-guided fuzzer of all readers of untrusted files (docs/reliability.md says how to run it).

    python tests/fuzz.py LOADER [CORPUS] [-max_total_time=SECONDS] [any flag of libFuzzer]

It needs atheris, which the project does not install. A finding is any exception but `InputError`, an error that is not
one bounded sentence, a second of computing, or 200 MB of memory for one file. Findings become files in
tests/regressions/LOADER/, which tests/test_regressions.py reads in every test run.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

SECONDS, MEGABYTES, LETTERS = 1.0, 200, 1000


def loaders() -> dict[str, tuple[Callable[[Path], Any], str]]:
    """The reader of each kind of file, and the suffix of such files."""
    from minigan.data import arrays, idx, images, sounds, tables, texts
    from minigan.data.reading import Reading
    from minigan.runs import checkpoint
    from minigan.runs.directory import load_config

    return {
        "idx": (lambda path: idx.read(path, (6, 3, 2)), ""),
        "idx-own": (lambda path: idx.read_own(path, Reading()), "-images-idx3-ubyte"),
        "npy": (lambda path: arrays.read_npy(path, Reading()), ".npy"),
        "flat": (lambda path: arrays.read_npy(path, Reading(shape=(2, 2))), ".npy"),
        "npz": (lambda path: arrays.read_npz(path, Reading()), ".npz"),
        "signal": (lambda path: arrays.read_npy(path, Reading(sample_rate=9, length=3)), ".npy"),
        "clip": (lambda path: arrays.read_npy(path, Reading(shape=(2, 3, 2))), ".npy"),
        "wav": (lambda path: sounds.values(sounds.described(path), 1, 8000, 50), ".wav"),
        "text": (lambda path: texts.read_text(path, Reading()), ".txt"),
        "csv": (lambda path: tables.read_csv(path, Reading()), ".csv"),
        "image": (lambda path: images.read_image(path, 8), ".png"),
        "colour": (lambda path: images.read_image(path, 8, "RGB"), ".png"),
        "tiff": (lambda path: images.Converter(8, "L", [path]).read(path), ".tif"),
        "checkpoint": (checkpoint.load, ".safetensors"),
        "config": (load_config, ".json"),
    }


def check(load: Callable[[Path], Any], path: Path) -> None:
    """Load a file. Raises: AssertionError, and any exception that `load` must not raise."""
    from minigan.errors import InputError

    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        load(path)
    except InputError as error:
        sentence = str(error)
        assert sentence.endswith((".", "?")) and "\n" not in sentence and len(sentence) < LETTERS, sentence[:2000]
    took, after = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert took < SECONDS, f"{took:.2f} s"
    assert (after - before) / 1024 < MEGABYTES, f"{(after - before) / 1024:.0f} MB"


def seeds(name: str) -> Iterator[bytes]:
    """Small valid files as initial corpus."""
    numbers = np.random.default_rng(0)
    table, images = numbers.normal(size=(6, 3)).astype("f"), numbers.integers(0, 256, (6, 3, 2), np.uint8)
    colours = numbers.integers(0, 256, (6, 3, 3, 2), np.uint8)
    arrays = [table, np.asfortranarray(table.astype(">f8")), images, images > 9, images / 255, colours]
    if name in ("idx", "idx-own"):
        plain = bytes([0, 0, 8, 3]) + np.array([6, 3, 2], ">u4").tobytes() + images.tobytes()
        yield from (plain, gzip.compress(plain, mtime=0))
    elif name in ("npy", "npz"):
        for array in arrays:
            for write in [np.save] if name == "npy" else [np.savez, np.savez_compressed]:
                file = io.BytesIO()
                write(file, array) if name == "npy" else write(file, x=array)
                yield file.getvalue()
        for y in (np.arange(6) % 2, np.array(["a", "b c", "ü"] * 2), np.zeros((6, 1), ">u2")) if name == "npz" else ():
            file = io.BytesIO()
            np.savez(file, images, y)
            yield file.getvalue()
    elif name == "wav":
        from minigan.data.spaces.series import wav

        x = numbers.uniform(-1, 1, (40, 2))
        whole, floats = wav((x * 32767).astype("<i2"), 8000), wav(x[:, :1].astype("<f4"), 11025)
        yield from (whole, floats)
        for depth, tag in ((8, 1), (24, 1), (32, 1), (64, 3)):  # the same bytes as other values
            block = (2 * depth // 8).to_bytes(2, "little")
            yield whole[:20] + bytes([tag, 0]) + whole[22:32] + block + bytes([depth, 0]) + whole[36:]
        guid = b"\x16\0\x10\0\3\0\0\0\1\0" + bytes(14)
        yield whole[:16] + b"\x28\0\0\0\xfe\xff" + whole[22:36] + guid + whole[36:]
    elif name == "text":
        lines = ["Ann", "Bo", "Zoë", "Mary Ann", "李", "x" * 9]
        for encoding, newline in (("utf-8", "\n"), ("utf-8-sig", "\r\n"), ("utf-16", "\n")):
            yield newline.join(lines).encode(encoding)
        yield "\n".join(lines[:3] * 2).encode("latin-1")
        yield b"x y\n" + b"1.5 2\n3 -4e5\n" * 4
        yield b"0042\n0043\n" * 3 + b"0044\n"
    elif name in ("signal", "clip"):
        shaped = (
            [table, images, images / 255, images > 9] if name == "signal" else [colours[:, :2], colours[:, :2] / 255]
        )
        shaped += [np.asfortranarray(shaped[0]), shaped[0].reshape(6, -1)]
        for array in shaped:
            file = io.BytesIO()
            np.save(file, array)
            yield file.getvalue()
    elif name == "flat":
        flat = images.reshape(6, -1)[:, :4]
        for array in (flat, np.asfortranarray(flat / 255), flat > 9):
            file = io.BytesIO()
            np.save(file, array)
            yield file.getvalue()
        file = io.BytesIO()
        np.save(file, np.c_[np.arange(6), flat].astype("f8"))
        yield file.getvalue()
    elif name == "csv":
        rows = [",".join(map(str, row)) for row in table.tolist()]
        yield "\n".join(["a,b,c", *rows]).encode()
        yield '\ufeffa;"b c";d\r\n1;2;3\r\n\r\n'.encode() + b'"4";-5e-3;.6\r\n' * 6
    elif name in ("image", "colour"):
        from PIL import Image

        for mode in ("L", "RGBA", "P", "1", "I;16"):
            image = Image.fromarray(images[:, :, 0]).convert("L").convert(mode)
            for kind in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF"):
                file = io.BytesIO()
                with contextlib.suppress(OSError, ValueError):  # not every mode goes into every format
                    image.save(file, kind)
                    yield file.getvalue()
        file = io.BytesIO()
        Image.fromarray(colours[0].transpose(1, 2, 0)).save(file, "JPEG", progressive=True)
        yield file.getvalue()
    elif name == "tiff":
        from PIL import Image

        for mode in ("1", "L", "RGB", "RGBA", "CMYK", "P", "LA", "I;16", "I"):
            image = Image.fromarray(images[:, :, 0]).convert("L").convert(mode)
            for how in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"):
                file = io.BytesIO()
                with contextlib.suppress(OSError, ValueError, KeyError):
                    image.save(file, "TIFF", compression=how)
                    yield file.getvalue()
        file = io.BytesIO()
        pages = [Image.fromarray(images[:, :, i]) for i in range(2)]
        pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw", tiffinfo={278: 1})
        yield file.getvalue()
    elif name == "checkpoint":
        from minigan.backends import get_ops
        from minigan.config import Config
        from minigan.data.scaling import Scaler
        from minigan.data.spaces import Clip, Points, Signal, Text
        from minigan.nn.gan import GAN
        from minigan.runs.checkpoint import save

        gan = GAN(Config(latent=1, hidden=(1,), batch_size=1), 2, get_ops())
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "x")
            save(path, gan, Points((2,), ("a", "b")), Scaler(np.zeros(2), np.ones(2)), {"name": "x"})
            content = path.read_bytes()
        yield content
        header = content[8 : 8 + int.from_bytes(content[:8], "little")]
        yield header  # alone: `whole` makes a file of it
        spaces = Points((2,), ("a", "b")), Signal((1, 2), sample_rate=9), Text((1, 2), alphabet="a"), Clip((2, 1, 1))
        words = [json.dumps(json.dumps(space.to_dict(), sort_keys=True))[1:-1].encode() for space in spaces]
        yield from (header.replace(words[0], other) for other in words[1:])
    elif name == "config":
        from minigan.config import Config

        yield json.dumps({"config": Config().to_dict(), "versions": {}}).encode()
        yield b'{"config": {"steps": 1e3, "hidden": [1, 2], "data": "x.csv", "seed": null, "all_data": true}}'


def whole(name: str, content: bytes) -> bytes:
    """The file for an input: the header of a checkpoint is completed by its length and the values of the seed."""
    if name == "checkpoint" and content[:1] == b"{":
        return len(content).to_bytes(8, "little") + content + bytes(4 * (4 * 6 + 3 * 5) + 8 * 4)
    return content


def main(argv: list[str]) -> None:
    import atheris

    name = argv[1] if len(argv) > 1 else ""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    with atheris.instrument_imports():
        import zipfile  # noqa: F401

        from PIL import Image

        Image.init()  # imports its decoders
        known = loaders()
    if name not in known:
        sys.exit(f"usage: python tests/fuzz.py {'|'.join(known)} [CORPUS] [-max_total_time=SECONDS]")
    load, suffix = known[name]
    directory = Path(tempfile.mkdtemp())
    corpus = [a for a in argv[2:] if not a.startswith("-")] or [str(directory)]
    Path(corpus[0]).mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(seeds(name)):
        Path(corpus[0], f"seed-{i}").write_bytes(seed)
    path = directory / f"file{suffix}"

    def one(content: bytes) -> None:
        path.write_bytes(whole(name, content))
        check(load, path)

    flags = [a for a in argv[2:] if a.startswith("-")]
    atheris.Setup([argv[0], *flags, *corpus], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
