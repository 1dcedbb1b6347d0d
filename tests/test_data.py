"""Data: the rows of each source, their split and scaling, and the refusal of hostile files."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import os
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from minigan import memory, train
from minigan.backends import Ops
from minigan.data import DATA_SETS, Data, arrays, delimited, idx, images, load, mixtures, mnist, spaces
from minigan.data.batches import Batches
from minigan.data.raw import MAX_FEATURES
from minigan.data.reading import Reading
from minigan.data.scaling import Scaler
from minigan.errors import InputError

MNIST_DIR = os.environ.get("MINIGAN_DATA") or str(Path(__file__).parents[2] / "shared" / "data" / "mnist")
try:
    mnist.find(mnist.TRAIN_IMAGES, Path(MNIST_DIR))
    HAS_MNIST = True
except InputError:
    HAS_MNIST = False
needs_mnist = pytest.mark.skipif(not HAS_MNIST, reason=f"MNIST is neither in MINIGAN_DATA nor in {MNIST_DIR}")

TABLE = np.arange(30, dtype=np.float32).reshape(10, 3) / 7
RANDOM = np.random.default_rng(0)


def refused(what: object, *words: str, by: Callable[..., object] = load, **options: object) -> str:
    """The message with which `what` is refused: one sentence on one line, with the file name and the given words."""
    with pytest.raises(InputError) as caught:
        by(str(what) if by is load else what, **options)
    message = str(caught.value)
    assert Path(str(what)).name in message
    assert "\n" not in message and message.endswith(".") and len(message) < 600
    for word in words:
        assert word in message, message
    return message


def all_rows(data: Data) -> np.ndarray:
    return np.concatenate([data.train, data.validation])


def same_rows(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays contain the same rows in any order."""
    return a.shape == b.shape and sorted(map(bytes, np.ascontiguousarray(a))) == sorted(
        map(bytes, np.ascontiguousarray(b))
    )


# --- the sets that ship -----------------------------------------------------------------------------------------------


def test_digits_are_the_1797_of_uci() -> None:
    data = load("digits")
    assert data.name == "digits" and data.space == spaces.Image((8, 8)) and data.unit == 1 / 16
    assert data.train.shape == (1438, 64) and data.validation.shape == (359, 64) and data.test.shape == (0, 64)
    assert data.train.dtype == np.uint8 and all_rows(data).max() == 16
    assert data.labels is not None
    labels = np.concatenate([data.labels["train"], data.labels["validation"]])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert [len(data.labels[k]) for k in ("train", "validation", "test")] == [1438, 359, 0]
    assert data.part(False) is data.train and len(data.part(True)) == 1797


def test_digits_labels_belong_to_their_images() -> None:
    """The class means of the training part classify most of the held-out part."""
    data = load("digits")
    assert data.labels is not None
    means = np.stack([data.train[data.labels["train"] == k].mean(axis=0) for k in range(10)])
    guess = ((data.validation[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (guess == data.labels["validation"]).mean() > 0.85


def test_the_bundled_file_is_the_documented_one() -> None:
    path = Path(idx.__file__).with_name("digits.npz")
    assert path.stat().st_size < 100_000
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in (Path(__file__).parents[1] / "docs" / "data.md").read_text()


@pytest.mark.parametrize(("name", "modes"), [("ring", 8), ("grid", 25)])
def test_mixtures_are_those_of_the_papers(name: str, modes: int) -> None:
    data, centres, sigma = load(name), mixtures.centres(name), mixtures.SIGMA[name]
    assert data.space == spaces.Points((2,), ("x0", "x1")) and data.unit == 1.0 and data.labels is None
    assert [len(p) for p in (data.train, data.validation, data.test)] == [100_000, 10_000, 10_000]
    assert data.train.dtype == np.float32 and centres.shape == (modes, 2)
    away = data.train[:, None] - centres
    nearest = (away**2).sum(axis=2).argmin(axis=1)
    counts = np.bincount(nearest, minlength=modes)
    assert (abs(counts - 1e5 / modes) < 5 * np.sqrt(1e5 / modes)).all()  # each component is equally likely
    noise = away[np.arange(len(away)), nearest] / sigma
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.02
    assert abs((np.hypot(*noise.T) <= 3).mean() - (1 - np.exp(-4.5))) < 0.002


def test_mixture_centres() -> None:
    assert np.allclose(np.hypot(*mixtures.centres("ring").T), 1)
    assert {tuple(c) for c in mixtures.centres("grid")} == {
        (x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)
    }
    with pytest.raises(InputError, match="ring, grid"):
        mixtures.centres("spiral")


@pytest.mark.parametrize("name", [name for name in DATA_SETS if name != "mnist"])
def test_a_data_set_is_always_the_same_rows_of_its_kind(name: str) -> None:
    a, b = load(name), load(name)
    assert a.name == name and type(a.space) is DATA_SETS[name].space
    for part in ("train", "validation", "test"):
        rows = getattr(a, part)
        np.testing.assert_array_equal(rows, getattr(b, part))
        assert rows.shape[1] == a.space.size and np.isfinite(rows).all()
    assert len(a.train) > len(a.validation) > 0 and (a.train.std(axis=0) > 0).any()


def test_the_pool_is_fixed_and_its_parts_are_disjoint() -> None:
    a, b = load("ring"), load("ring")
    assert (a.train == b.train).all() and (a.test == b.test).all()
    assert np.allclose(a.train[:2], FIRST, atol=1e-5)  # in every version, or old and new results do not compare
    rows = {bytes(r) for r in a.train}
    assert not any(bytes(r) in rows for r in a.test)


FIRST = [[0.7000233, -0.6962746], [-0.0029294, 1.0074882]]
"""The first two training points of the ring."""


@needs_mnist
def test_mnist_from_a_directory() -> None:
    data = load("mnist", MNIST_DIR)
    assert data.space == spaces.Image((28, 28)) and data.unit == 1 / 255
    assert [p.shape for p in (data.train, data.validation, data.test)] == [(n, 784) for n in (50_000, 10_000, 10_000)]
    assert data.train.dtype == np.uint8 and data.train.max() == 255
    assert data.labels is not None
    assert data.labels["train"][:5].tolist() == [5, 0, 4, 1, 9] and data.labels["test"][:3].tolist() == [7, 2, 1]
    assert len(data.labels["validation"]) == 10_000 and len(data.part(True)) == 60_000


@needs_mnist
def test_mnist_stays_in_bytes() -> None:
    tracemalloc.start()
    data = load("mnist", MNIST_DIR)
    Scaler.fit(data.space, data.train, "identity", data.unit)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 56e6 and peak < 90e6  # 55 MB are the pixels themselves


@needs_mnist
def test_mnist_in_a_subdirectory_uncompressed_and_by_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mnist").mkdir()
    for source in (mnist.TRAIN_IMAGES, mnist.TRAIN_LABELS, mnist.TEST_IMAGES, mnist.TEST_LABELS):
        path = mnist.find(source, Path(MNIST_DIR))
        if source is mnist.TEST_LABELS and path.suffix == ".gz":
            (tmp_path / "mnist" / source.name).write_bytes(gzip.decompress(path.read_bytes()))
        else:
            (tmp_path / "mnist" / path.name).symlink_to(path.resolve())
    monkeypatch.setenv("MINIGAN_DATA", str(tmp_path))
    assert len(load("mnist").test) == 10_000


def test_mnist_missing_from_a_given_directory_is_not_downloaded(tmp_path: Path) -> None:
    message = refused(tmp_path, "train-images-idx3-ubyte.gz", "--data-dir", by=lambda p: load("mnist", str(p)))
    assert str(tmp_path / "mnist") in message


# --- names and spaces -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cifar", "", "no/such/file.npy", "a\0b", "\ud800", "x" * 5000, "-", "digits.npz "])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(InputError, match=", ".join(DATA_SETS)):
        load(name)


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(b"\x80\x04.")
    refused(path, ".npy, .npz, .csv or .txt")


SPACES = [
    spaces.Image((2, 3)),
    spaces.Points((2,), ("a", "b")),
    spaces.Table((3,), ("x", "y", "z")),
    spaces.Signal((2, 3), sample_rate=5),
    spaces.Clip((2, 3, 4)),
    spaces.Text((2, 3), alphabet="ab"),
]


@pytest.mark.parametrize("space", SPACES)
def test_a_space_survives_json(space: spaces.Space) -> None:
    assert spaces.from_dict(space.to_dict(), "f") == space
    assert space.size == np.prod(space.shape)


@pytest.mark.parametrize(
    "change",
    [{"kind": "sound"}, {"kind": []}, {"kind": "table"}, {"shape": [0, 3]}, {"shape": [2.0, 3]}, {"shape": [True, 3]},
     {"shape": [2, 3, 1]}, {"shape": "23"}, {"shape": None}, {"shape": [2**40, 2**40]}, {"columns": ["a"]},
     {"columns": [1]}, {"columns": None}, {"more": 1}],
)  # fmt: skip
def test_what_is_no_space_is_refused(change: dict) -> None:
    with pytest.raises(InputError, match=r"^here: "):
        spaces.from_dict({**SPACES[0].to_dict(), **change}, "here")
    for value in (None, [], "x", {}):
        with pytest.raises(InputError, match=r"^here: "):
            spaces.from_dict(value, "here")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=8), x, max_size=4),
    max_leaves=8,
)


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(["kind", "shape", "columns"]),
        JSON | st.sampled_from(["image", "points", [2], [1.0], ["a"], [2, 2]]),
    )
)
def test_any_json_is_a_space_or_refused(values: dict) -> None:
    try:
        assert spaces.from_dict(values, "f").to_dict() == values
    except InputError as error:
        assert str(error).startswith("f: ")


# --- own arrays -------------------------------------------------------------------------------------------------------


def saved(path: Path, array: np.ndarray) -> Path:
    """Save the array in the format of the suffix of `path`."""
    if path.suffix == ".npz":
        np.savez_compressed(path, x=array)
    else:
        np.save(path, array)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_table_keeps_its_rows_and_names_its_columns(tmp_path: Path, suffix: str) -> None:
    data = load(str(saved(tmp_path / f"mine{suffix}", TABLE)))
    assert (
        data.name == "mine"
        and data.space.kind == "table"
        and data.space.columns == ("x0", "x1", "x2")
        and data.unit == 1.0
    )
    assert len(data.train) == 8 and len(data.validation) == 2 and data.test.shape == (0, 3) and data.labels is None
    assert same_rows(all_rows(data), TABLE)
    assert data.test.base is None  # no view that would keep the whole file in memory


def test_two_columns_are_points(tmp_path: Path) -> None:
    assert load(str(saved(tmp_path / "p.npy", TABLE[:, :2]))).space.kind == "points"


DTYPES = [f"{order}{code}" for order in "<>" for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u8")]


@pytest.mark.parametrize("dtype", [*DTYPES, "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_type_of_number_and_order_of_axes(tmp_path: Path, dtype: str, order: str) -> None:
    x = np.asarray(RANDOM.integers(0, 2 if dtype == "?" else 100, (11, 4)).astype(dtype), order=order)  # type: ignore[call-overload]
    data = load(str(saved(tmp_path / "x.npy", x)))
    assert same_rows(all_rows(data), x.astype(np.float32)) and data.train.dtype == np.float32


@pytest.mark.parametrize(
    ("array", "stored", "unit"),
    [
        (RANDOM.integers(0, 256, (9, 4, 5)), np.uint8, 1 / 255),
        (RANDOM.integers(0, 256, (9, 4, 5), np.uint8), np.uint8, 1 / 255),
        (RANDOM.random((9, 4, 5)), np.float32, 1.0),
        (RANDOM.random((9, 4, 5)) > 0.5, np.uint8, 1.0),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_images(tmp_path: Path, array: np.ndarray, stored: type, unit: float, order: str) -> None:
    data = load(str(saved(tmp_path / "x.npy", np.asarray(array, order=order))))  # type: ignore[call-overload]
    assert data.space == spaces.Image((4, 5)) and data.unit == unit and data.train.dtype == stored
    assert same_rows(all_rows(data), array.astype(stored).reshape(9, 20))


def npy(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def npy_header(text: str, payload: bytes = b"", version: bytes = b"\1\0") -> bytes:
    data = text.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\1\0" else "<I", len(data)) + data + payload


def with_one(value: float, *at: int) -> np.ndarray:
    table = TABLE.copy()
    table[at] = value
    return table


HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 16), }"
BAD_NPY = {
    "empty": (b"", "is empty"),
    "magic": (b"not an array at all", "not a .npy"),
    "magic only": (b"\x93NUMPY", "not a .npy"),
    "version": (npy_header(HUGE, version=b"\3\0"), "not a .npy"),
    "terabytes": (npy_header(HUGE, b"\0" * 4096), "4,096 bytes follow"),
    "overflow": (npy_header(HUGE.replace("16", "99999999999999999999999")), "damaged"),
    "many digits": (npy_header(HUGE.replace("16", "9" * 4000)), "damaged"),
    "too many digits": (npy_header(HUGE.replace("16", "9" * 5000)), "header"),
    "negative": (npy_header(HUGE.replace("16", "-16")), "damaged"),
    "two negatives": (npy_header(HUGE.replace("1099511627776, 16", "-5, -1"), b"\0" * 40), "damaged"),
    "header length": (b"\x93NUMPY\2\0\xff\xff\xff\xff" + b" " * 4000, "header of 4,294,967,295 bytes"),
    "header cut": (npy(TABLE)[:40], "damaged"),
    "no dictionary": (npy_header("[1, 2]"), "header"),
    "code": (npy_header("__import__('os').abort()"), "header"),
    "nesting": (npy_header("(" * 9000), "header"),
    "truncated": (npy(TABLE)[:-1], "damaged"),
    "extended": (npy(TABLE) + b"\0", "damaged"),
    "objects": (npy(np.array([[{}, 1]] * 5, object)), "never unpickled"),
    "structure": (npy(np.zeros((5, 2), [("a", "f4"), ("b", "i4")])), "plain array"),
    "structure of objects": (npy(np.zeros((5, 2), [("a", "O")])), "never unpickled"),
    "complex": (npy(np.zeros((5, 2), complex)), "type complex128"),
    "text": (npy(np.full((5, 2), "a")), "plain array"),
    "bytes": (npy(np.full((5, 2), b"a")), "plain array"),
    "dates": (npy(np.zeros((5, 2), "M8[s]")), "plain array"),
    "0-d": (npy(np.float32(3)), "0 dimensions"),
    "1-d": (npy(np.zeros(50)), "1 dimensions"),
    "5-d": (npy(np.zeros((5, 2, 2, 2, 2))), "5 dimensions"),
    "no rows": (npy(np.zeros((0, 3))), "no samples"),
    "no columns": (npy(np.zeros((9, 0))), "samples of 0 values"),
    "no pixels": (npy(np.zeros((9, 0, 5))), "samples of 0 values"),
    "4 rows": (npy(np.zeros((4, 3))), "holds 4 samples", "at least 5"),
    "wide": (npy(np.zeros((5, MAX_FEATURES + 1), bool)), "1,048,577"),
    "infinite": (npy(with_one(np.inf, 6, 2)), "inf", "row 6, column 2"),
    "infinite, Fortran": (npy(np.asfortranarray(with_one(np.inf, 6, 2))), "row 6, column 2"),
    "inf": (npy(with_one(-np.inf, 0, 1)), "-inf", "row 0, column 1"),
    "too large": (npy(np.full((5, 2), 1e300)), "1e+300", "within 1e+30"),
    "nan image": (npy(np.full((5, 2, 2), np.nan)), "nan", "image 0, pixel (0, 0)"),
    "bright floats": (npy(np.full((5, 2, 2), 255.0)), "255.0", "[0, 1]"),
    "negative floats": (npy(np.full((5, 2, 2), -0.5)), "-0.5", "[0, 1]"),
    "bright integers": (npy(np.arange(20).reshape(5, 2, 2) * 20), "260", "0..255", "image 3, pixel (0, 1)"),
    "negative integers": (npy(np.full((5, 2, 2), -1)), "-1", "0..255"),
    "0 and 1": (npy(np.ones((5, 2, 2), np.uint8)), "bool"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_NPY)
def test_a_bad_npy_is_refused(tmp_path: Path, case: str) -> None:
    body, *words = BAD_NPY[case]
    path = tmp_path / "bad.npy"
    path.write_bytes(body)
    tracemalloc.start()
    refused(path, *words)
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()
    if body:  # and the same inside an .npz, whose checksum is right
        archive = tmp_path / "bad.npz"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("x.npy", body)
        refused(archive)


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, body in entries.items():
            file.writestr(name, body)
    return buffer.getvalue()


def lying_zip() -> bytes:
    """A zip whose directory and .npy header declare 64 bytes more than its entry contains."""
    small = npy(np.arange(200.0).reshape(20, 10))
    body = bytearray(zipped({"x.npy": small[:-64]}, zipfile.ZIP_STORED))
    for at in (body.index(b"PK\3\4") + 22, body.index(b"PK\1\2") + 24):
        body[at : at + 4] = struct.pack("<I", len(small))
    return bytes(body)


def flipped(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 16]) + body[at + 1 :]


GOOD_NPZ = zipped({"x.npy": npy(TABLE)})
BAD_NPZ = {
    "empty": (b"", "is empty"),
    "no zip": (b"nothing of the kind" * 9, "truncated, damaged"),
    "an npy": (npy(TABLE), "not a usable .npz"),
    "truncated": (GOOD_NPZ[:-30], "truncated"),
    "extended": (GOOD_NPZ + b"\0\0", "truncated, damaged"),
    "no x": (zipped({"a.npy": npy(TABLE), "b.npy": npy(TABLE)}), "it has: a, b", "x=x"),
    "no arrays": (zipped({}), "no arrays"),
    "bit in the values": (flipped(GOOD_NPZ, 150), "not a usable .npz"),
    "lying about its size": (lying_zip(), "lying"),
    "lzma": (zipped({"x.npy": npy(TABLE)}, zipfile.ZIP_LZMA), "compressed in a way"),
    "bzip2": (zipped({"x.npy": npy(TABLE)}, zipfile.ZIP_BZIP2), "compressed in a way"),
    "encrypted": (GOOD_NPZ.replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1"), "encrypted"),
    "many entries": (zipped({str(i): b"" for i in range(30_000)}), "not a usable .npz"),
    "small zip64": (GOOD_NPZ[:-22] + b"PK\6\7" + b"\0" * 16 + GOOD_NPZ[-22:], "not a usable .npz"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_a_bad_npz_is_refused(tmp_path: Path, case: str) -> None:
    body, *words = BAD_NPZ[case]
    path = tmp_path / "lying.npz"
    path.write_bytes(body)
    refused(path, *words)


def test_an_array_in_memory_is_that_in_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for array in (
        TABLE,
        TABLE[:, ::-1],
        np.asfortranarray(TABLE.astype(">f8")),
        rng.integers(0, 256, (9, 4, 3), np.uint8),
        rng.random((9, 4, 3)),
    ):
        here, there = load(array), load(saved(tmp_path / "array.npy", array))
        assert here.name == there.name == "array" and (here.space, here.unit) == (there.space, there.unit)
        for part in ("train", "validation", "test"):
            a, b = getattr(here, part), getattr(there, part)
            assert a.dtype == b.dtype and (a == b).all() and not np.shares_memory(a, array)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros(9), "the array holds an array of 1 dimensions"),
        (np.zeros((4, 3)), "the array holds 4 samples; at least 5 are needed"),
        (np.full((9, 3), np.nan), "the array holds the same values in every row"),
        (np.full((9, 3), "a"), "the array holds values of type <U1"),
        (np.ma.masked_equal(TABLE, TABLE[0, 0]), "the array is masked"),
        (
            TABLE.tolist(),
            "from a name, a path or a NumPy array, not from an object of type list; convert it with numpy.asarray",
        ),
        (None, "not from an object of type NoneType"),
    ],
)
def test_an_array_that_cannot_be_used_is_refused_in_a_sentence(source: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(source)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_the_family_of_own_arrays_is_read_from_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """While flags are parsed only the header is read; the values are read once, when the data are loaded."""
    table, images = saved(tmp_path / f"t{suffix}", TABLE), saved(tmp_path / f"i{suffix}", np.zeros((9, 2, 2)))
    monkeypatch.setattr(arrays, "_raw", None)
    assert [train.family(str(path)) for path in (table, images)] == ["table", "image"]
    with pytest.raises(InputError, match="of 1 dimensions"):
        train.family(str(saved(tmp_path / f"v{suffix}", np.zeros(9))))


# --- own tables -------------------------------------------------------------------------------------------------------


def csv_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


ROWS = [[1.5, -2.0], [3.0, 4e-5], [5.0, 6.0], [7.0, 8.0], [9.0, 1e9]]
LINES = ["1.5,-2", "3,4e-5", "5, 6", '"7","8"', "+9,1E9"]


@pytest.mark.parametrize(
    "text",
    ["\n".join(["a,b", *LINES]), "\n".join(["a,b", *LINES, ""]), "\r\n".join(["a,b", *LINES, ""]),
     "\r".join(["a,b", *LINES]), "\ufeff" + "\n".join(["a,b", *LINES]), "\n\n".join(["a,b", *LINES, ""]),
     "\n".join(['"a"; "b"', *LINES]).replace(",", ";"), "\n".join([" a,b ", *LINES]).replace(",", "\t")],
)  # fmt: skip
def test_a_csv_in_its_dialects(tmp_path: Path, text: str) -> None:
    data = load(str(csv_file(tmp_path, text)))
    assert (
        data.name == "table" and data.space.kind == "points" and data.space.columns == ("a", "b") and data.unit == 1.0
    )
    assert same_rows(all_rows(data), np.array(ROWS, np.float32))


def test_csv_columns_named_in_any_language_or_by_pandas(tmp_path: Path) -> None:
    body = "\n" + "1,2,3\n2,3,4\n3,4,5\n" * 6
    assert load(str(csv_file(tmp_path, 'Größe,"blood, mmHg",年' + body))).space.columns == (
        "Größe",
        "blood, mmHg",
        "年",
    )
    assert load(str(csv_file(tmp_path, "0,1,2" + body))).space.columns == ("0", "1", "2")
    assert load(str(csv_file(tmp_path, "1,x,2" + body))).space.kind == "table"


NUMBERED = "".join(f"{i * i},{i}.5\n" for i in range(40))
GOOD_CSV = "\n".join(["a,b", *LINES, ""])
BAD_CSV = {
    "empty": ("", "is empty"),
    "blank": ("\n\n\n", "no header"),
    "header only": ("a,b\n", "no samples"),
    "header and blank lines": ("a,b\n\n\n\r\n", "no samples"),
    "4 rows": ("a,b\n" + "1,2\n" * 4, "holds 4 samples"),
    "no header": ("\n".join(LINES * 2), "no header", "numbers"),
    "twice": ("a,b,a\n" + "0,1,2\n" * 6, "column a twice"),
    "control characters": ("a\x07,b\n" + "1,2\n" * 6, "column 1"),
    "long name": ("a" * 300 + ",b\n" + "1,2\n" * 6, "column 1"),
    "too long a name": ("a" * 200_000 + ",b\n" + "1,2\n" * 6, "line 1"),
    "short row": (GOOD_CSV + "1\n", "line 7", "1 cell,", "2 columns"),
    "long row": ("a,b\n1,2,3\n" + "1,2\n" * 6, "line 2", "3 cells"),
    "all rows long": ("a,b\n" + "1,2,3\n" * 6, "line 2", "3 cells"),
    "word": ("a,b\n1,2\n\n1,high\n" + NUMBERED, "line 4, column b", "'high'"),
    "infinity": ("a,b\n1,2\n1,-Infinity\n" + "1,2\n" * 6, "line 3, column b", "-Infinity"),
    "overflow": ("a,b\n1,2\n1,1e400\n" + "1,2\n" * 6, "line 3, column b", "1e400"),
    "too large": ("a,b\n1,2\n1,1e31\n" + "1,2\n" * 6, "line 3, column b", "1e+30"),
    "underscore": ("a,b\n1,1_000\n" + NUMBERED, "line 2, column b", "'1_000'"),
    "complex": ("a,b\n1,2j\n" + NUMBERED, "line 2, column b", "'2j'"),
    "nothing to learn": ("a,b\n" + "1,2\n" * 9, "nothing to learn"),
    "nothing at all": ("a,b\n" + "NA,?\n" * 9, "nothing to learn"),
    "open quote": ('a,b\n1,2\n1,"3\n' + "1,2\n" * 6, "quote"),
    "open quote in header": ('a,"b\n' + "1,2\n" * 6, "quote"),
    "after a quote": ("a,b\n" + '"1"x,2\n' * 6, "line 2"),
    "NUL": (b"a,b\n1,\0\n" + b"1,2\n" * 6, "no text"),
    "binary": (bytes(RANDOM.integers(0, 256, 3000, np.uint8)), "no text"),
    "zeros": (b"\0" * 4096, "no text"),
    "UTF-16 without its mark": (GOOD_CSV.encode("utf-16-le"), "no text"),
    "commas": ("," * 100_000, "no header"),
    "huge line": ("a,b\n" + "1" * (delimited.MAX_LINE + 9), "line 2 is longer"),
    "huge header": ("a" * (delimited.MAX_LINE + 9), "line 1 is longer"),
    "huge number": ("a,b\n" + "1," + "1" * 100_000 + "\n" + NUMBERED, "line 2, column b"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_a_bad_csv_is_refused(tmp_path: Path, case: str) -> None:
    text, *words = BAD_CSV[case]
    refused(csv_file(tmp_path, text), *words)


def test_a_large_csv_is_quick_and_its_last_line_is_named(tmp_path: Path) -> None:
    x = RANDOM.normal(size=(500, 10))
    body = "\n".join(",".join(f"{v:.6f}" for v in row) for row in x) + "\n"
    path = csv_file(tmp_path, "abcdefghij".replace("", ",")[1:-1] + "\n" + body * 200)
    start = time.process_time()
    data = load(str(path))
    assert len(all_rows(data)) == 100_000 and time.process_time() - start < 4  # 0.4 s when the machine is idle
    with path.open("a") as file:
        file.write("1,2,3,4,5,6,x,8,9,10\n")
    refused(path, "line 100002, column g", "'x'")


# --- own images -------------------------------------------------------------------------------------------------------


def picture(image: Image.Image, kind: str = "png", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 256, size[::-1], np.uint8))


def folder_of(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    return folder


def test_a_folder_of_images(tmp_path: Path) -> None:
    pictures = [grey() for _ in range(10)]
    suffixes = ["png", "PNG", "bmp", "pgm", "PNG", "png", "png", "png", "webp", "png"]
    kinds = {"pgm": "ppm"}
    files = {
        f"{9 - i}.{suffix}": picture(image, kinds.get(suffix, suffix), lossless=True)
        for i, (suffix, image) in enumerate(zip(suffixes, pictures, strict=True))
    }
    folder = folder_of(tmp_path / "faces", files | {"notes.txt": b"not an image", "._1.png": b"left by a Mac"})
    (folder / "more.png").mkdir()
    data = load(str(folder), image_size=8)
    assert data.name == "faces" and data.space == spaces.Image((8, 8)) and data.unit == 1 / 255
    assert data.train.dtype == np.uint8 and len(data.train) == 8
    expected = np.stack([np.asarray(image).reshape(-1) for image in pictures])
    assert same_rows(all_rows(data), expected)
    raw = images.read_images(folder, Reading(image_size=8))
    assert (raw.rows == expected[::-1]).all()  # in the order of the names


def one_image(folder: Path, body: bytes, size: int, suffix: str = ".png") -> np.ndarray:
    path = folder / f"image{suffix}"
    path.write_bytes(body)
    return images.read_image(path, size)


def test_images_are_cropped_in_the_middle_and_resized(tmp_path: Path) -> None:
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 200
    assert (one_image(tmp_path, picture(Image.fromarray(wide)), 5) == 200).all()
    assert (one_image(tmp_path, picture(Image.fromarray(wide.T)), 20) == 200).all()
    assert one_image(tmp_path, picture(grey((1, 5000))), 7).shape == (7, 7)


def test_images_of_every_mode_become_grey(tmp_path: Path) -> None:
    flat = np.full((6, 6), 100, np.uint8)
    assert (one_image(tmp_path, picture(Image.fromarray(flat).convert("RGB")), 4) == 100).all()
    assert (one_image(tmp_path, picture(Image.fromarray(flat).convert("P")), 4) == 100).all()
    assert (one_image(tmp_path, picture(Image.fromarray(flat > 0)), 4) == 255).all()
    sixteen = Image.fromarray(np.full((6, 6), 100 * 257, np.uint16))
    assert (one_image(tmp_path, picture(sixteen), 4) == 100).all()
    assert (one_image(tmp_path, picture(sixteen, "ppm"), 4, ".pgm") == 100).all()
    clear = Image.new("RGBA", (6, 6), (0, 0, 0, 0))
    assert (one_image(tmp_path, picture(clear), 4) == 255).all()  # what is transparent lies on white
    assert (one_image(tmp_path, picture(clear.convert("LA")), 4) == 255).all()
    assert (one_image(tmp_path, picture(clear, "gif"), 4, ".gif") == 255).all()
    jpeg = one_image(tmp_path, picture(Image.fromarray(np.full((600, 800), 100, np.uint8)).convert("CMYK"), "jpeg"), 4)
    assert abs(jpeg.astype(int) - 100).max() <= 2


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    photo = Image.fromarray(np.repeat(np.array([[0], [255]], np.uint8), 16, axis=0).repeat(32, axis=1))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    upright = one_image(tmp_path, picture(photo, "jpeg", exif=exif), 4, ".jpg")
    assert upright[:, 0].min() > 200 and upright[:, -1].max() < 50


def png_claiming(width: int, height: int, pixels: bytes = b"", colour: int = 0) -> bytes:
    """A PNG whose header declares a size, independent of its data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")
    )


GOOD_PNG = picture(grey())
BAD_IMAGES = {
    "empty": (b"", "is empty"),
    "garbage": (bytes(range(256)), "not a usable image", "cannot identify image file."),
    "text": (b"<svg/>", "not a usable image"),
    "truncated": (GOOD_PNG[:-40], "not a usable image"),
    "header only": (GOOD_PNG[:33], "not a usable image"),
    "bit in the pixels": (flipped(GOOD_PNG, 60), "not a usable image"),
    "bomb": (png_claiming(50_000, 50_000), "bomb"),
    "small bomb": (png_claiming(4097, 4096), "4,097 x 4,096"),
    "a line of 16 million pixels": (png_claiming(1, 4096 * 4096), "1 x 16,777,216", "at most 1,048,576"),
    "a row of 16 million pixels": (png_claiming(4096 * 4096, 1, colour=6), "16,777,216 x 1"),
    "short pixels": (png_claiming(4000, 4000, b"\0" * 100), "not a usable image"),
    "no pixels": (png_claiming(0, 4), "not a usable image"),
    "floats": (picture(Image.fromarray(np.ones((4, 4), np.float32)), "ppm"), "8-bit grey"),
    "floats in a tiff": (picture(Image.fromarray(np.ones((4, 4), np.float32)), "tiff"), "8-bit grey"),
    "gif bomb": (b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2\0\0\0;", "bomb"),
    "bmp bomb": (b"BM" + struct.pack("<4I2i2H2I2i2I", 99, 0, 54, 40, 90_000, 90_000, 1, 24, *[0] * 6), "bomb"),
    "pgm bomb": (b"P5 60000 60000 255 ", "bomb"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_a_bad_image_is_refused_by_name(tmp_path: Path, case: str) -> None:
    body, *words = BAD_IMAGES[case]
    folder = folder_of(tmp_path / "images", {f"{i}.png": GOOD_PNG for i in range(5)})
    (folder / "bad.png").write_bytes(body)
    assert str(folder / "bad.png") in refused(folder, "bad.png", *words)


def test_folders_without_enough_images(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    refused(tmp_path / "none", "no images", "png")
    folder_of(tmp_path / "none" / "deeper", {"1.png": GOOD_PNG})
    refused(tmp_path / "none", "1 samples")
    refused(folder_of(tmp_path / "four", {f"{i}.png": GOOD_PNG for i in range(4)}), "4 samples")


# --- files that are no files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
def test_pipes_links_and_unreadable_files(tmp_path: Path, suffix: str) -> None:
    pipe = tmp_path / f"pipe{suffix}"
    os.mkfifo(pipe)
    refused(pipe, "not a regular file")
    endless = tmp_path / f"endless{suffix}"
    endless.symlink_to("/dev/zero")
    refused(endless, "not a regular file")
    dangling = tmp_path / f"dangling{suffix}"
    dangling.symlink_to(tmp_path / "gone")
    refused(dangling, ", ".join(DATA_SETS))


def test_errors_of_the_operating_system_become_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not apply to root, so the system calls are replaced by ones that fail."""
    path = saved(tmp_path / "x.npy", TABLE)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", denied)
        refused(path, "cannot be read (Permission denied)")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", denied)
        refused(tmp_path, "cannot be read: Permission denied")
    with monkeypatch.context() as patch:
        patch.setattr("numpy.empty", lambda *_: (_ for _ in ()).throw(MemoryError("Unable to allocate 9 TiB")))
        refused(path, "does not fit into memory")


# --- IDX --------------------------------------------------------------------------------------------------------------

SHAPE = (5, 4, 3)
PIXELS = RANDOM.integers(0, 256, SHAPE, np.uint8)


def idx_bytes(array: np.ndarray = PIXELS, kind: int = 8, order: str = ">") -> bytes:
    return struct.pack(f"{order}4B{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_plain_or_compressed_whatever_its_name(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    for name in ("a-ubyte", "a-ubyte.gz"):
        (tmp_path / name).write_bytes(pack(idx_bytes()))
        array = idx.read(tmp_path / name, SHAPE)
        assert (array == PIXELS).all() and array.dtype == np.uint8


TERABYTES = struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 2**16, 2**16)
BAD_IDX = {
    "empty": (b"", "is empty"),
    "cut in the header": (idx_bytes()[:9], "dimensions"),
    "cut in the magic": (idx_bytes()[:2], "not an IDX"),
    "magic": (b"\1" + idx_bytes()[1:], "not an IDX"),
    "floats": (idx_bytes(kind=13), "unsigned bytes"),
    "little-endian": (b"\3\x08\0\0" + idx_bytes()[4:], "not an IDX"),
    "little-endian magic": (struct.pack("<I", 0x803) + idx_bytes()[4:], "not an IDX"),
    "little-endian sizes": (idx_bytes(order="<"), "5 x 4 x 3 are expected"),
    "labels for images": (idx_bytes(PIXELS[:, 0, 0]), "1 dimensions"),
    "other shape": (idx_bytes(PIXELS[:4]), "4 x 4 x 3"),
    "terabytes": (TERABYTES + b"\0" * 4096, "2,147,483,648"),
    "truncated": (idx_bytes()[:-1], "truncated"),
    "extended": (idx_bytes() + b"\0", "goes on"),
    "an error page": (b"<!doctype html><title>Not found</title>", "not an IDX"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("case", BAD_IDX)
def test_a_bad_idx_is_refused(tmp_path: Path, case: str, pack: Callable[[bytes], bytes]) -> None:
    body, *words = BAD_IDX[case]
    path = tmp_path / "file"
    path.write_bytes(pack(body))
    refused(path, *(words if body or pack is bytes else ["not an IDX"]), by=lambda p: idx.read(p, SHAPE))


GZIP = gzip.compress(idx_bytes(), mtime=0)
BAD_GZIP = {
    "cut in the checksum": (GZIP[:-1], "damaged"),
    "cut in the values": (GZIP[:40], "damaged"),
    "extended": (GZIP + b"more", "damaged"),
    "bit in the values": (flipped(GZIP, 60), "damaged"),
    "bit in the checksum": (flipped(GZIP, len(GZIP) - 6), "damaged"),
    "magic only": (GZIP[:2], "damaged"),
    "zeros": (GZIP[:2] + bytes(98), "damaged"),
    "bomb": (gzip.compress(idx_bytes() + bytes(8 << 20), 9, mtime=0), "goes on"),
}


@pytest.mark.parametrize("case", BAD_GZIP)
def test_damaged_gzip_and_bombs(tmp_path: Path, case: str) -> None:
    body, word = BAD_GZIP[case]
    path = tmp_path / "file.gz"
    path.write_bytes(body)
    tracemalloc.start()
    refused(path, word, by=lambda p: idx.read(p, SHAPE))
    assert tracemalloc.get_traced_memory()[1] < 5e6  # a bomb is cut off at the size that its header allows
    tracemalloc.stop()


def test_mnist_labels_are_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("TRAIN", "TEST"):
        for what, shape in (("IMAGES", (6, 2, 2)), ("LABELS", (6,))):
            monkeypatch.setattr(mnist, f"{kind}_{what}", mnist.Source(f"{kind}-{what}", shape, 0, ""))
            body = np.full(shape, 9 if kind == "TRAIN" or what == "IMAGES" else 10, np.uint8)
            (tmp_path / f"{kind}-{what}").write_bytes(idx_bytes(body))
    refused("TEST-LABELS", "label 10", by=lambda _: mnist.read(str(tmp_path)))


# --- anything at all --------------------------------------------------------------------------------------------------

WORST = """
import sys, time
from minigan.data import load
from minigan.errors import InputError
for path in sys.argv[1:]:
    start = time.process_time()
    try:
        load(path)
        print("ACCEPTED", path)
    except InputError as error:
        pass
    took = time.process_time() - start
    if took > 3:
        print("SLOW", path, took)
status = open("/proc/self/status").read()  # ru_maxrss would begin at the peak of the process that started this one
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux shows it")
def test_the_worst_files_cost_little_memory_and_time(tmp_path: Path) -> None:
    """Decompression bombs of every kind in one process: under 200 MB and fast (with a wide limit, for shared machines)."""

    def bomb_npz(path: Path, megabytes: int) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("x.npy", "w") as entry:
            entry.write(npy(np.zeros((megabytes << 10, 1024), np.uint8))[:128])
            for _ in range(megabytes):
                entry.write(bytes(1 << 20))

    bomb_npz(tmp_path / "bomb.npz", 100)
    (tmp_path / "claims.npy").write_bytes(npy_header(HUGE, b"\0" * 4096))
    csv_file(tmp_path, "a,b\n" + "1,2\n" * 9 + "7" * (60 << 20))
    (tmp_path / "quote.csv").write_text('a,b\n1,"\n' + "1,2\n" * (4 << 20))
    (tmp_path / "wide.csv").write_text("a," * (2 << 20))
    image = {f"{i}.png": GOOD_PNG for i in range(4)}
    big = png_claiming(4096, 4096, (b"\0" + bytes(4096 * 4)) * 4095, colour=6)
    tall = png_claiming(1, 1 << 20, bytes(5 << 20), colour=6)  # each row takes an address and is padded
    folder_of(tmp_path / "rgba", {**image, "big.png": big, "tall.png": tall})
    folder_of(tmp_path / "taller", {**image, "bomb.png": png_claiming(1, 1 << 24, bytes(5 << 24), colour=6)})
    folder_of(tmp_path / "png", {**image, "bomb.png": png_claiming(65_535, 65_535)})
    progressive = picture(Image.new("RGB", (64, 64)), "jpeg", progressive=True)
    at = progressive.index(b"\xff\xc2") + 5
    jpeg = progressive[:at] + struct.pack(">HH", 4096, 4096) + progressive[at + 4 :]
    folder_of(tmp_path / "jpeg", {**image, "bomb.jpg": jpeg[:-40]})
    webp = b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0\x2f\xff\xff\xff\x0f" + bytes(13)  # 16,384 x 16,384
    folder_of(tmp_path / "webp", {**image, "bomb.webp": webp})
    paths = list(tmp_path.iterdir())
    result = subprocess.run([sys.executable, "-c", WORST, *map(str, paths)], capture_output=True, text=True, check=True)
    *problems, peak = result.stdout.split("\n")[:-1]
    assert problems == [f"ACCEPTED {tmp_path / 'rgba'}"] and int(peak) < 200


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "folder"])
def test_data_that_do_not_fit_into_memory_are_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Before they are read: by the header, by the number of images, and in a CSV file during reading."""
    path = tmp_path / f"x.{suffix}"
    rows = RANDOM.normal(size=(1000, 50)).astype(np.float32)
    if suffix == "folder":
        folder_of(path, {f"{i}.png": GOOD_PNG for i in range(200)})
    elif suffix == "csv":
        path.write_text(",".join(f"c{i}" for i in range(50)) + "\n" + ("0," * 49 + "0\n" + "1," * 49 + "2\n") * 10_000)
    else:
        path.write_bytes(npy(rows) if suffix == "npy" else zipped({"x.npy": npy(rows)}))
    monkeypatch.setattr(memory, "available", lambda: 300_000)
    refused(path, "of memory, and 0.3 MB are available; give fewer samples or smaller ones")
    monkeypatch.setattr(memory, "available", lambda: 14_000_000)  # cells are read in float64, and then encoded
    load(str(path))


@given(
    kind=st.sampled_from(["png", "bmp", "gif", "ppm", "jpeg", "webp"]),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    size=st.tuples(st.integers(1, 300), st.integers(1, 3)).flatmap(lambda s: st.permutations(s)),
)
def test_images_of_any_kind_mode_and_shape_are_read(place: Path, kind: str, mode: str, size: list[int]) -> None:
    path = place / "shape.png"
    try:
        path.write_bytes(picture(Image.new(mode, tuple(size)), kind))
    except (OSError, KeyError, ValueError):
        return  # the kind has no such mode
    assert images.read_image(path, 5).shape == (5, 5)


def mutated(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Valid files with a few places overwritten, cut, doubled or extended; or arbitrary bytes."""
    cut = st.tuples(st.just("cut"), st.floats(0, 1), st.just(b""))
    write = st.tuples(st.just("write"), st.floats(0, 1), st.binary(min_size=1, max_size=4))
    numbers = st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"9999", b"-1", b"\x80", b","])
    edges = st.tuples(st.just("write"), st.floats(0, 1), numbers)
    more = st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=40))

    def apply(seed: bytes, steps: list[tuple[str, float, bytes]]) -> bytes:
        for kind, where, what in steps:
            at = round(where * len(seed))
            seed = seed[:at] + what + {"cut": b"", "write": seed[at + len(what) :], "insert": seed[at:]}[kind]
        return seed

    return st.binary(max_size=200) | st.builds(
        apply, st.sampled_from(seeds), st.lists(write | edges | more | cut, max_size=4)
    )


def check(data: Data) -> None:
    """Check the properties of every Data."""
    assert len(data.train) + len(data.validation) >= 5 and len(data.test) == 0
    for rows in (data.train, data.validation, data.test):
        assert rows.shape[1:] == (data.space.size,) and rows.flags.c_contiguous
        assert rows.dtype in (np.uint8, np.float32, np.float64)[: 2 if data.space.kind == "image" else 3]
        assert np.isfinite(rows).all()
        if data.space.kind == "image":
            assert not rows.size or (rows.min() >= 0 and rows.max() * data.unit <= 1)
    assert spaces.from_dict(data.space.to_dict(), "") == data.space
    for output in ("sigmoid", "tanh", "identity"):
        scaler = Scaler.fit(data.space, data.train, output, data.unit)
        assert np.isfinite(scaler.to_model(data.train * data.unit)).all()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def data_or_refusal(path: Path, at: Path | None = None) -> None:
    try:
        data = load(str(path), image_size=4)
    except InputError as error:
        assert str(at or path) in str(error) and "\n" not in str(error)
    else:
        check(data)


IMAGES = (RANDOM.random((6, 3, 2)) * 255).astype(np.uint8)
ARRAYS = [TABLE, np.asfortranarray(TABLE), IMAGES, IMAGES > 9]
NPY_SEEDS = [npy(TABLE.astype(">f8"), version=(2, 0))] + [npy(array) for array in ARRAYS]


@settings(max_examples=200)
@given(body=mutated(NPY_SEEDS))
def test_any_bytes_are_an_npy_or_refused(place: Path, body: bytes) -> None:
    path = place / "x.npy"
    path.write_bytes(body)
    data_or_refusal(path)


@settings(max_examples=200)
@given(body=mutated([zipped({"x.npy": s}, m) for s in NPY_SEEDS for m in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]))
def test_any_bytes_are_an_npz_or_refused(place: Path, body: bytes) -> None:
    path = place / "x.npz"
    path.write_bytes(body)
    data_or_refusal(path)


@settings(max_examples=150)
@given(body=mutated(NPY_SEEDS))
def test_any_bytes_in_a_valid_zip_are_an_npz_or_refused(place: Path, body: bytes) -> None:
    path = place / "y.npz"
    path.write_bytes(zipped({"x.npy": body}))
    data_or_refusal(path)


@settings(max_examples=200)
@given(body=mutated([GOOD_CSV.encode(), b"a;b;c\n" + b"1;2;3\n" * 5, b'"a"\n' + b'"1"\r\n' * 5]))
def test_any_bytes_are_a_csv_or_refused(place: Path, body: bytes) -> None:
    path = place / "x.csv"
    path.write_bytes(body)
    data_or_refusal(path)


@settings(max_examples=200)
@given(text=st.text(alphabet="a1,;\t\n\r\"' .-e_+nif\0\u0663\ufeff", max_size=60))
def test_any_text_is_a_csv_or_refused(place: Path, text: str) -> None:
    path = place / "y.csv"
    path.write_text("a,b\n" + text, newline="")
    data_or_refusal(path)


IMAGE_SEEDS = {
    kind: [picture(Image.fromarray(pixels), kind) for pixels in (IMAGES[0], IMAGES[:, :, :1].repeat(3, axis=2))]
    for kind in ("png", "jpeg", "gif", "bmp", "ppm", "webp")
}


@pytest.mark.parametrize("kind", IMAGE_SEEDS)
@settings(max_examples=60)
@given(data=st.data())
def test_any_bytes_are_an_image_or_refused(place: Path, kind: str, data: st.DataObject) -> None:
    folder = place / kind
    if not folder.exists():
        folder_of(folder, {f"{i}.png": GOOD_PNG for i in range(4)})
    (folder / "z.png").write_bytes(data.draw(mutated(IMAGE_SEEDS[kind])))
    data_or_refusal(folder)


@settings(max_examples=200)
@given(body=mutated([idx_bytes(), gzip.compress(idx_bytes(), mtime=0)]))
def test_any_bytes_are_an_idx_or_refused(place: Path, body: bytes) -> None:
    path = place / "idx"
    path.write_bytes(body)
    try:
        array = idx.read(path, SHAPE)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert array.shape == SHAPE and array.dtype == np.uint8


NUMBERS = hnp.floating_dtypes(endianness="?", sizes=(32, 64)).flatmap(
    lambda t: hnp.arrays(
        t,
        st.tuples(st.integers(5, 12), st.integers(1, 5)),
        elements={"min_value": -(2.0**90), "max_value": 2.0**90, "allow_subnormal": False},
    )
)


@given(x=NUMBERS, fortran=st.booleans(), suffix=st.sampled_from([".npy", ".npz"]))
def test_any_table_of_floats_round_trips(place: Path, x: np.ndarray, fortran: bool, suffix: str) -> None:
    data = load(str(saved(place / f"t{suffix}", np.asfortranarray(x) if fortran else x)), columns="plain")
    assert same_rows(all_rows(data), x.astype(data.train.dtype))
    check(data)


@given(x=NUMBERS)
def test_any_table_round_trips_through_csv(place: Path, x: np.ndarray) -> None:
    names = [f"column {i}" for i in range(x.shape[1])]
    lines = [",".join(names)] + [",".join(repr(float(v)) for v in row) for row in x.astype(np.float32)]
    data = load(str(csv_file(place, "\n".join(lines))), columns="plain")
    assert (
        same_rows(all_rows(data), x.astype(np.float32).astype(data.train.dtype)) and list(data.space.columns) == names
    )


# --- splits -----------------------------------------------------------------------------------------------------------


@given(n=st.integers(5, 200))
def test_a_fifth_is_held_out_and_depends_on_the_number_only(place: Path, n: int) -> None:
    rows = np.arange(n, dtype=np.float32)[:, None]
    a = load(str(saved(place / "a.npy", rows)))
    b = load(str(saved(place / "b.npy", rows + 1000)))
    assert len(a.validation) == n // 5 and len(a.train) == n - n // 5
    assert same_rows(all_rows(a), rows)
    assert (a.train + 1000 == b.train).all() and (a.validation + 1000 == b.validation).all()
    assert (a.part(True) == all_rows(a)).all()


# --- downloads --------------------------------------------------------------------------------------------------------

BODY = gzip.compress(idx_bytes(), mtime=0)
SOURCE = mnist.Source("some-file", SHAPE, len(BODY), hashlib.sha256(BODY).hexdigest())


class Server(http.server.ThreadingHTTPServer):
    """An HTTP server on loopback: the first part of a path selects its behaviour; requests are recorded."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.ended = threading.Event()

    def mirror(self, how: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{how}/"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        how = self.path.split("/")[1]
        self.server.asked.append(how)
        if how == "missing" or (how == "late" and self.server.asked.count("late") < 3):
            self.send_error(404 if how == "missing" else 503)
            return
        body = {"wrong": b"<html>moved</html>", "flipped": flipped(BODY, 40), "long": BODY + b"\0", "short": BODY[:-1]}
        answer = body.get(how, BODY)
        self.send_response(200)
        self.send_header("Content-Length", str(10**12 if how == "endless" else len(answer)))
        self.end_headers()
        try:
            if how == "endless":
                for _ in range(1000):
                    self.wfile.write(BODY)
            elif how == "cut":
                self.wfile.write(answer[:30])
            elif how == "stall":
                self.wfile.write(answer[:30])
                self.wfile.flush()
                self.server.ended.wait(10)
            else:
                self.wfile.write(answer)
        except ConnectionError:
            pass  # the client gave up, as it should


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()


def fetch(server: Server, cache: Path, *hows: str, rounds: int = 1) -> Path:
    mirrors = [server.mirror(how) for how in hows]
    return mnist.fetch(SOURCE, cache, mirrors, waits=[0.01 * i for i in range(rounds)], timeout=0.3)


def test_a_download_is_verified_cached_and_not_repeated(server: Server, tmp_path: Path) -> None:
    cache = tmp_path / "new" / "cache"
    path = fetch(server, cache, "good")
    assert path == cache / "some-file.gz" and path.read_bytes() == BODY
    assert (idx.read(path, SHAPE) == PIXELS).all()
    assert fetch(server, cache, "good") == path and server.asked == ["good"]
    assert os.listdir(cache) == ["some-file.gz"]


def test_a_damaged_cache_is_filled_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "some-file.gz").write_bytes(BODY[:50])
    assert fetch(server, tmp_path, "good").read_bytes() == BODY


BAD_ANSWERS = ["missing", "wrong", "flipped", "long", "short", "endless", "cut", "stall"]


@pytest.mark.parametrize("how", BAD_ANSWERS)
def test_a_bad_mirror_is_left_for_the_next(server: Server, tmp_path: Path, how: str) -> None:
    assert fetch(server, tmp_path, how, "good", "never").read_bytes() == BODY
    assert server.asked == [how, "good"] and os.listdir(tmp_path) == ["some-file.gz"]


@pytest.mark.parametrize("how", BAD_ANSWERS)
def test_no_half_file_is_left_when_every_mirror_fails(server: Server, tmp_path: Path, how: str) -> None:
    with pytest.raises(InputError, match=r"could not be downloaded .*--data-dir\.$") as caught:
        fetch(server, tmp_path, how)
    assert server.mirror(how) in str(caught.value) and "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_failed_update_keeps_a_cached_file_out_of_use(server: Server, tmp_path: Path) -> None:
    (tmp_path / "some-file.gz").write_bytes(b"half")
    with pytest.raises(InputError):
        fetch(server, tmp_path, "wrong")
    assert os.listdir(tmp_path) == ["some-file.gz"]  # still refused by its checksum, next time too


def test_all_mirrors_are_tried_again_after_a_wait(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    mnist.fetch(SOURCE, tmp_path, [server.mirror("wrong"), server.mirror("late")], waits=(0, 1, 5), timeout=1)
    assert server.asked == ["wrong", "late"] * 3 and waits == [0, 1, 5]
    assert list(mnist.WAITS) == sorted(mnist.WAITS) and len(set(mnist.WAITS)) == len(mnist.WAITS) >= 3


def test_offline_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(InputError, match=r"check the network, or put MNIST's four files .* --data-dir"):
        mnist.fetch(SOURCE, tmp_path, ["http://127.0.0.1:9/"], waits=[0], timeout=0.3)


def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="could not be downloaded"):
        fetch(server, tmp_path / "file", "good")


def test_load_mnist_uses_the_cache_when_no_directory_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIGAN_DATA", raising=False)
    asked = []

    def fake(source: mnist.Source) -> Path:
        asked.append(source.name)
        raise InputError("offline.")

    monkeypatch.setattr(mnist, "fetch", fake)
    with pytest.raises(InputError, match="offline"):
        load("mnist")
    assert asked == ["train-images-idx3-ubyte"]


# --- scaling ----------------------------------------------------------------------------------------------------------

IMAGE, WIDE = spaces.Image((2, 2)), spaces.Table((3,), ("a", "b", "c"))
PHOTOS = RANDOM.integers(0, 256, (50, 4), np.uint8)
COLUMNS = (RANDOM.normal(size=(50, 3)) * [1, 1e-2, 1e6] + [0, 5, -3e6]).astype(np.float32)


@pytest.mark.parametrize(("output", "low", "high"), [("sigmoid", 0, 1), ("tanh", -1, 1)])
def test_images_are_scaled_to_what_the_output_can_produce(output: str, low: float, high: float) -> None:
    scaler = Scaler.fit(IMAGE, PHOTOS, output, 1 / 255)
    edges = scaler.to_model(np.array([[0, 0.5, 1, 1]]))
    assert edges.dtype == np.float32 and edges.tolist() == [[low, (low + high) / 2, high, high]]


@pytest.mark.parametrize(("output", "low", "high"), [("sigmoid", 0, 1), ("tanh", -1, 1)])
def test_columns_are_scaled_to_what_the_output_can_produce(output: str, low: float, high: float) -> None:
    y = Scaler.fit(WIDE, COLUMNS, output).to_model(COLUMNS)
    assert np.allclose(y.min(axis=0), low, atol=1e-6) and np.allclose(y.max(axis=0), high, atol=1e-6)


def test_identity_standardises() -> None:
    y = Scaler.fit(WIDE, COLUMNS, "identity").to_model(COLUMNS).astype(float)
    assert np.allclose(y.mean(axis=0), 0, atol=1e-5) and np.allclose(y.std(axis=0), 1, atol=1e-5)
    scaler = Scaler.fit(IMAGE, PHOTOS, "identity", 1 / 255)
    assert scaler.offset.shape == (1,)
    assert np.allclose([scaler.offset[0], scaler.scale[0]], [(PHOTOS / 255).mean(), (PHOTOS / 255).std()])


def test_moments_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Scaler.fit(WIDE, COLUMNS, "identity")
    monkeypatch.setattr("minigan.data.scaling._BLOCK", 20)
    parts = Scaler.fit(WIDE, COLUMNS, "identity")
    assert np.allclose(whole.offset, parts.offset) and np.allclose(whole.scale, parts.scale)
    assert (whole.to_model(COLUMNS) == Scaler(whole.offset, whole.scale).to_model(COLUMNS)).all()


@pytest.mark.parametrize("output", ["sigmoid", "tanh", "identity"])
@pytest.mark.parametrize(("space", "rows", "unit"), [(IMAGE, PHOTOS, 1 / 255), (WIDE, COLUMNS, 1.0)])
def test_there_and_back(output: str, space: spaces.Space, rows: np.ndarray, unit: float) -> None:
    scaler, x = Scaler.fit(space, rows, output, unit), rows.astype(np.float64) * unit
    back = scaler.to_data(scaler.to_model(x), space)
    assert back.dtype == (np.float64 if rows is COLUMNS else np.float32)  # one of them is 500 deviations from 0
    assert (abs(back - x) <= 1e-6 * np.ptp(x, axis=0) + 2e-7 * abs(x)).all()


@pytest.mark.parametrize("output", ["sigmoid", "tanh", "identity"])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e-40, 1e8])
def test_a_constant_column_is_shifted_only(output: str, value: float) -> None:
    rows = np.full((50, 1), value, np.float32)
    space = spaces.Table((1,), ("a",))
    scaler = Scaler.fit(space, rows, output)
    assert scaler.scale.tolist() == [1.0]
    assert abs(scaler.to_model(rows)).max() <= 1e-6 * abs(value)
    assert np.allclose(scaler.to_data(np.zeros((2, 1)), space), value)
    blank = Scaler.fit(IMAGE, np.full((9, 4), 7, np.uint8), output, 1 / 255)
    assert blank.scale.tolist() == [0.5 if output == "tanh" else 1.0]


def test_generated_images_are_clipped_and_tables_are_not() -> None:
    wild = np.array([[-9.0, 0, 1, 9]], np.float32)
    scaler = Scaler(np.full(1, 0.5), np.full(1, 0.5))
    assert scaler.to_data(wild, IMAGE).tolist() == [[0, 0.5, 1, 1]]
    assert scaler.to_data(wild[:, 1:], WIDE).tolist() == [[0.5, 1, 5]]


def test_an_unknown_output_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"--output softmax .*sigmoid, tanh, identity"):
        Scaler.fit(IMAGE, PHOTOS, "softmax")


# --- minibatches ------------------------------------------------------------------------------------------------------


def batches(backend: Ops, rows: np.ndarray = PHOTOS, size: int = 8, seed: int = 3, dtype: type = np.float32) -> Batches:
    space = IMAGE if rows.dtype == np.uint8 else WIDE
    unit = 1 / 255 if rows.dtype == np.uint8 else 1.0
    return Batches(rows, unit, Scaler.fit(space, rows, "tanh", unit), size, seed, backend, dtype)


def served(source: Batches, backend: Ops, step: int, d: int = 4, dtype: type = np.float32) -> np.ndarray:
    out = backend.empty((source.batch_size, d), dtype)
    source.fill(out, step)
    return backend.to_host(out).copy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [PHOTOS, COLUMNS])
def test_an_epoch_serves_each_row_at_most_once_scaled(backend: Ops, rows: np.ndarray, dtype: type) -> None:
    source, d = batches(backend, rows, dtype=dtype), rows.shape[1]
    assert source.per_epoch == 6
    space, unit = (IMAGE, 1 / 255) if rows is PHOTOS else (WIDE, 1.0)
    scaled = Scaler.fit(space, rows, "tanh", unit).to_model(rows.astype(np.float64) * unit)
    epoch = np.concatenate([served(source, backend, step, d, dtype) for step in range(6)])
    which = [int(abs(scaled - row).max(axis=1).argmin()) for row in epoch]
    assert abs(scaled[which] - epoch).max() < 2e-5
    if rows is COLUMNS:
        assert len(set(which)) == 48  # no row twice
    later = np.concatenate([served(source, backend, step, d, dtype) for step in range(6, 12)])
    assert not (later == epoch).all()


def test_extreme_grey_values_are_scaled_exactly(backend: Ops) -> None:
    source = batches(backend, np.repeat(np.array([[0], [255]], np.uint8), 4, axis=1), size=2)
    assert sorted(served(source, backend, 0)[:, 0].tolist()) == [-1.0, 1.0]


def test_large_offsets_keep_their_digits(backend: Ops) -> None:
    """Unix times a day apart: scaling must not lose digits that float32 can represent."""
    times = (1.7e9 + 86400.0 * np.arange(60)).astype(np.float32).reshape(20, 3)
    source = batches(backend, times, size=20)
    x = times.astype(np.float64)
    middle, half = (x.min(axis=0) + x.max(axis=0)) / 2, np.ptp(x, axis=0) / 2
    expected = np.sort((x - middle) / half, axis=0)
    assert abs(np.sort(served(source, backend, 0, 3), axis=0) - expected).max() < 1e-4


def test_batches_are_a_function_of_seed_and_step(backend: Ops) -> None:
    a, b = batches(backend), batches(backend)
    forward = {step: served(a, backend, step) for step in range(20)}
    for step in (19, 3, 11, 0):  # in any order, from anywhere
        assert (served(b, backend, step) == forward[step]).all()
    assert any((served(batches(backend, seed=4), backend, s) != forward[s]).any() for s in range(3))


def test_a_batch_needs_that_many_samples(backend: Ops) -> None:
    assert batches(backend, size=50).per_epoch == 1
    with pytest.raises(InputError, match=r"--batch-size 51 .* 50 samples"):
        batches(backend, size=51)


@pytest.mark.parametrize(
    "rows", [RANDOM.integers(0, 256, (1000, 256), np.uint8), RANDOM.random((1000, 256), np.float32)]
)
def test_filling_allocates_no_array(backend: Ops, rows: np.ndarray) -> None:
    if backend.name != "numpy":
        pytest.skip("tracemalloc sees host memory only")
    source = batches_of(rows, backend)
    out = np.empty((128, 256), np.float32)
    source.fill(out, 0)
    tracemalloc.start()
    source.fill(out, 1)
    peaks = []
    for _ in range(3):  # the threads of other tests' servers may still be ending, and allocate what is none of ours
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for step in range(2, 7):
            source.fill(out, step)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    assert min(peaks) < 5_000  # an array would be 131,072 bytes


def batches_of(rows: np.ndarray, backend: Ops) -> Batches:
    scaler = Scaler.fit(spaces.Image((16, 16)), rows, "tanh")
    return Batches(rows, 1 / 255 if rows.dtype == np.uint8 else 1.0, scaler, 128, 0, backend, np.float32)
