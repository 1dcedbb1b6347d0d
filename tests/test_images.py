"""Images of every kind: folders and their classes, colour, files of cameras and microscopes, arrays, IDX files, labels."""

from __future__ import annotations

import gzip
import io
import itertools
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, TINY, exit_code
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from test_data import check, flipped, folder_of, grey, idx_bytes, mutated, picture, png_claiming, refused, zipped

from minigan import evaluate, plots, sample, train
from minigan.backends import get_ops
from minigan.data import Data, arrays, folders, idx, images, labels, load, mnist, pixels, spaces
from minigan.data.raw import Raw
from minigan.data.reading import Reading
from minigan.errors import InputError
from minigan.metrics import local
from minigan.metrics.compared import Pixels
from minigan.metrics.variation import roughness
from minigan.plots import Shown
from minigan.runs import checkpoint

RANDOM = np.random.default_rng(0)


def colour(size: tuple[int, int] = (8, 8)) -> Image.Image:
    """A picture in one strong colour."""
    shade = np.array([250, 10, 40], np.uint8)[RANDOM.permutation(3)]
    return Image.fromarray(np.broadcast_to(shade, (*size[::-1], 3)).copy())


def png(image: Image.Image) -> bytes:
    return picture(image)


def tree(folder: Path, **counts: int) -> Path:
    """A folder with as many grey pictures in each subfolder; `here`: directly in it."""
    for name, count in counts.items():
        place = folder if name == "here" else folder / name
        place.mkdir(parents=True, exist_ok=True)
        folder_of(place, {f"{name}{i}.png": png(grey()) for i in range(count)})
    return folder


def read(folder: Path, **options: object) -> Raw:
    return images.read_images(folder, Reading(**{"image_size": 8, **options}))  # type: ignore[arg-type]


def notes(raw: Raw | Data) -> str:
    return "\n".join(raw.notes)


# ------------------------------------------------------------------------------------------------- folders and classes


def test_subfolders_are_classes(tmp_path: Path) -> None:
    folder = tree(tmp_path / "pets", cat=6, dog=4)
    raw = read(folder)
    assert raw.space.classes == ("cat", "dog") and raw.labels is not None
    assert raw.labels.tolist() == [0] * 6 + [1] * 4
    assert notes(raw) == f"{folder}: 10 grey images of 8 x 8 pixels\n2 classes: cat 6, dog 4"
    data = load(str(folder), image_size=8)
    assert data.labels is not None and [len(data.labels[part]) for part in ("train", "validation", "test")] == [8, 2, 0]
    for rows, index in zip(
        (data.train, data.validation), (data.labels["train"], data.labels["validation"]), strict=True
    ):
        assert all((raw.rows[raw.labels == k] == row).all(axis=1).any() for row, k in zip(rows, index, strict=True))


def test_classes_called_by_numbers_are_in_their_order(tmp_path: Path) -> None:
    raw = read(tree(tmp_path, **{"10": 2, "2": 2, "1": 2}))
    assert (
        raw.space.classes == ("1", "2", "10") and raw.labels is not None and raw.labels.tolist() == [0, 0, 1, 1, 2, 2]
    )


def test_images_deep_in_a_class_belong_to_it(tmp_path: Path) -> None:
    tree(tmp_path / "a", one=3, two=3)
    raw = read(tree(tmp_path, b=2))
    assert raw.space.classes == ("a", "b") and raw.labels is not None and raw.labels.tolist() == [0] * 6 + [1] * 2


def test_one_subfolder_stands_for_the_folder(tmp_path: Path) -> None:
    tree(tmp_path / "train", images=12, here=1)
    raw = read(tmp_path / "train")
    assert len(raw.rows) == 12 and raw.labels is None
    assert "12 of 13 files are read" in notes(raw) and "1 image directly in" in notes(raw)
    raw = read(tmp_path)  # through both
    assert len(raw.rows) == 12 and raw.labels is None


def test_loose_images_beside_classes_are_said_not_to_be_read(tmp_path: Path) -> None:
    raw = read(tree(tmp_path, here=6, cat=8, dog=8))
    assert len(raw.rows) == 16 and "16 of 22 files are read" in notes(raw) and "6 images directly in" in notes(raw)


def test_few_images_in_subfolders_beside_many_loose_ones_are_said_not_to_be_read(tmp_path: Path) -> None:
    raw = read(tree(tmp_path, here=9, bad=2, worse=1))
    assert len(raw.rows) == 9 and raw.labels is None
    assert "9 of 12 files are read" in notes(raw) and "3 images in its subfolders (bad, worse) not read" in notes(raw)


def test_train_and_test_are_no_classes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        tree(tmp_path / part, cat=5, dog=3)
    raw = read(tmp_path)
    assert raw.space.classes == ("cat", "dog") and len(raw.rows) == 8 and "8 images in test not read" in notes(raw)


def test_every_file_that_is_not_read_is_counted(tmp_path: Path) -> None:
    folder = folder_of(
        tree(tmp_path, a=3, b=3), {"IMG_1.HEIC": b"x", "notes.txt": b"x", ".DS_Store": b"x", "README": b"x"}
    )
    folder_of(folder / "a", {"IMG_2.heic": b"x"})
    said = notes(read(folder))
    assert "6 of 10 files are read" in said
    assert "2 .heic, 1 without a suffix and 1 .txt are not read: convert them to PNG or JPEG" in said


def test_a_folder_of_other_files_says_what_they_are(tmp_path: Path) -> None:
    refused(
        folder_of(tmp_path / "phone", {f"{i}.HEIC": b"x" for i in range(6)}),
        "no images",
        "6 .heic are not read: convert",
    )
    refused(folder_of(tmp_path / "scans", {"1.dcm": b"x"}), "1 .dcm is not read: convert")
    many = {f"{i}.{kind}": b"" for i in range(2) for kind in ("a", "b", "c", "d", "e", "f", "g", "h")}
    refused(folder_of(tmp_path / "many", many), "and 4 others are not read.")


def test_a_picture_by_itself_is_refused_with_its_folder(tmp_path: Path) -> None:
    folder = tree(tmp_path / "my pics", here=6)
    refused(folder / "here0.png", "is one picture", f"--data '{folder}'")


def test_links_in_a_circle_are_followed_once(tmp_path: Path) -> None:
    folder = tree(tmp_path / "a", b=6)
    (folder / "b" / "back").symlink_to(folder / "b")
    (folder / "b" / "up").symlink_to(folder)
    assert len(read(folder).rows) == 6


def test_names_that_no_class_can_have_and_too_many_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, **{"a\nb": 3, "c": 3})
    raw = read(tmp_path)
    assert raw.labels is None and len(raw.rows) == 6 and "not taken as classes: 'a\\nb' cannot be" in notes(raw)
    monkeypatch.setattr(labels, "MAX_CLASSES", 1)
    assert "at most 1 classes" in notes(read(tmp_path))
    monkeypatch.setattr(folders, "MAX_FILES", 2)
    refused(tree(tmp_path / "many", a=3), "more than 2 files", by=read)


NAMES = st.sampled_from(["a", "b", "train", "test", "1", "10", "x.png"])
FILES = st.sampled_from(["1.png", "2.jpg", "3.JFIF", "4.tif", "5.heic", "6.txt", ".hidden", "7"])
TREES: st.SearchStrategy = st.recursive(
    st.dictionaries(FILES, st.none(), max_size=4),
    lambda inner: st.dictionaries(FILES, st.none(), max_size=3).flatmap(
        lambda files: st.dictionaries(NAMES, inner, max_size=3).map(lambda folders: {**files, **folders})
    ),
    max_leaves=6,
)
NUMBER = itertools.count()


@settings(max_examples=150)
@given(contents=TREES)
def test_every_file_of_any_folder_is_read_or_counted(tmp_path_factory: pytest.TempPathFactory, contents: dict) -> None:
    root = tmp_path_factory.getbasetemp() / f"tree{next(NUMBER)}"

    def make(folder: Path, inside: dict) -> int:
        folder.mkdir()
        files = 0
        for name, value in inside.items():
            if value is None:
                (folder / name).write_bytes(b"")
                files += name[0] != "."
            else:
                files += make(folder / name, value)
        return files

    files = make(root, contents)
    found = folders.search(root)
    assert len(found.paths) + found.unread + sum(found.others.values()) == files
    assert len(set(found.paths)) == len(found.paths)
    if found.labels is not None:
        assert len(found.labels.index) == len(found.paths) and len(found.labels.names) > 1
        assert found.labels.index.max() < len(found.labels.names)


# --------------------------------------------------------------------------------------------------------------- colour


def test_a_folder_is_in_colour_if_most_of_its_images_are(tmp_path: Path) -> None:
    plain = {f"g{i}.png": png(grey().convert("RGB")) for i in range(5)}
    bright = {f"c{i}.png": png(colour()) for i in range(6)}
    folder = folder_of(tmp_path / "most", plain | bright)
    raw = read(folder)
    assert raw.space == spaces.Colour((8, 8, 3)) and raw.rows.shape == (11, 192)
    assert "11 colour images of 8 x 8 pixels (6 of 11 looked at have colours; otherwise --color grey)" in notes(raw)
    assert read(folder, color="grey").space == spaces.Image((8, 8))
    few = folder_of(tmp_path / "few", plain | dict(list(bright.items())[:4]))
    raw = read(few)
    assert raw.space == spaces.Image((8, 8)) and "(4 of 9 looked at have colours; otherwise --color rgb)" in notes(raw)
    raw = read(few, color="rgb")
    assert raw.space == spaces.Colour((8, 8, 3)) and "looked at" not in notes(raw)
    three = raw.rows[-1].reshape(8, 8, 3)
    assert (three == three[:, :, :1]).all(), "a grey picture among them"
    assert "looked at" not in notes(read(folder_of(tmp_path / "none", plain)))


def test_what_is_grey_but_for_the_noise_of_jpeg_and_old_paper_is_grey() -> None:
    paper = np.full((20, 20, 3), (245, 240, 228), np.uint8)
    assert not images.has_colours(paper)
    paper[:1, :5] = (200, 30, 30)  # a stamp
    assert images.has_colours(paper)


@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    kind=st.sampled_from(["png", "tiff", "jpeg", "webp", "gif", "bmp"]),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_any_mode_becomes_grey_and_colour(
    tmp_path_factory: pytest.TempPathFactory, mode: str, kind: str, size: tuple
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.png"
    try:
        path.write_bytes(picture(Image.new(mode, size), kind))
    except (OSError, KeyError, ValueError):
        return  # the kind has no such mode
    assert images.read_image(path, 5).shape == (5, 5)
    assert images.read_image(path, 5, "RGB").shape == (5, 5, 3)


def test_colours_are_kept_and_transparency_lies_on_white(tmp_path: Path) -> None:
    path = tmp_path / "c.png"
    half = np.zeros((600, 600, 4), np.uint8)
    half[:, :300] = (255, 0, 0, 255)
    path.write_bytes(png(Image.fromarray(half)))
    seen = images.read_image(path, 2, "RGB")
    assert (seen[:, 0, 0] == 255).all() and seen[:, 0, 1:].max() < 30, "red, but for the edge's ringing"
    assert (seen[:, 1] > 225).all(), "white"
    wide = Image.fromarray(np.hstack([half[:, :300]] * 3))
    path.write_bytes(png(wide))
    assert (images.read_image(path, 3, "RGB") == (255, 0, 0)).all()


def test_a_checkpoints_space_in_colour_is_checked() -> None:
    space = spaces.Colour((4, 5, 3), (), ("a", "b"))
    assert spaces.from_dict(space.to_dict(), "f") == space and space.size == 60
    for shape in ([4, 5, 4], [4, 5, 1], [4, 5]):
        with pytest.raises(InputError, match=r"^here: "):
            spaces.from_dict({**space.to_dict(), "shape": shape}, "here")


def test_a_sample_in_colour_is_a_png() -> None:
    x = RANDOM.random((6, 5, 3)).astype(np.float32)
    body = spaces.Colour((6, 5, 3)).encoded(x)
    with Image.open(io.BytesIO(body)) as image:
        assert image.format == "PNG" and (np.asarray(image) == np.rint(255 * x)).all()


def test_pictures_show_colours_pixel_by_pixel(tmp_path: Path) -> None:
    space, x = spaces.Colour((8, 8, 3)), RANDOM.random((9, 8, 8, 3)).astype(np.float32)
    plots.samples(tmp_path / "s.png", space, x)
    with Image.open(tmp_path / "s.png") as image:
        shown = np.asarray(image.convert("RGB"))
    zoom = plots.images.tiling(9, 8, 8, plots.images.MOSAIC_WIDTH)[1][0] // 8
    tile = shown[plots.style.MARGIN :, plots.style.MARGIN :][: 8 * zoom, : 8 * zoom]
    assert (tile == np.rint(x[0] * 255).repeat(zoom, axis=0).repeat(zoom, axis=1)).all()
    plots.comparison(tmp_path / "c.png", space, Shown(x.reshape(9, -1), x[:4]))
    plots.neighbours(tmp_path / "n.png", space, [("first", x[:2].reshape(2, -1), x[:6].reshape(2, 3, -1))])
    large = RANDOM.random((2, 700, 500, 3)).astype(np.float32)
    plots.samples(tmp_path / "l.png", spaces.Colour((700, 500, 3)), large)
    for name in ("c.png", "n.png", "l.png"):
        with Image.open(tmp_path / name) as image:
            assert np.ptp(np.asarray(image.convert("RGB")).astype(int), axis=2).max() > 50


def test_colours_from_training_to_pictures_and_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path / "c", {f"{i}.png": png(colour()) for i in range(60)})
    for i in range(60):  # two classes
        place = tmp_path / "pics" / f"kind{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        (tmp_path / "c" / f"{i}.png").rename(place / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    flags = [*TINY, "--steps", 4, "--evaluate-every", 2, "--image-size", 8]
    assert exit_code(train.main, "--data", "pics", *flags, "--out", "run") == 0
    saved = checkpoint.load("run")
    assert saved.space == spaces.Colour((8, 8, 3), (), ("kind0", "kind1"))
    with Image.open("run/training.gif") as animation:
        frame = np.asarray(animation.convert("RGB")).astype(int)
    assert np.ptp(frame, axis=2).max() > 40, "the animation has colours"
    assert exit_code(evaluate.main, "run", "-n", 100) == 0 and Path("run/neighbours.png").exists()
    assert exit_code(sample.main, "run", "-n", 3, "-o", "s.npz") == 0 and np.load("s.npz")["x"].shape == (3, 8, 8, 3)
    assert exit_code(sample.main, "run", "-n", 3, "-o", "s.png") == 0
    (tmp_path / "pics").rename(tmp_path / "renamed")  # the same files under another name
    assert exit_code(train.main, "--resume", "run", "--data", "renamed", "--steps", 6) == 0
    (tmp_path / "renamed" / "kind0").rename(tmp_path / "renamed" / "kind9")
    with pytest.raises(InputError, match="its class 1 is called kind1, not kind0"):
        train.main(["--resume", "run", "--data", "renamed", "--steps", "8"])


# ------------------------------------------------------------------------------------------------- measures of colours


def test_measures_of_colour_are_those_of_grey_where_all_channels_are_equal() -> None:
    ops, x = get_ops(), RANDOM.random((40, 9, 8)).astype(np.float32)
    three = np.repeat(x[..., None], 3, axis=3)
    assert local.specks(three) == local.specks(x) and local.faint(three) == local.faint(x)
    np.testing.assert_allclose(local.centres(three), local.centres(x), rtol=1e-6)
    assert roughness(three) == pytest.approx(roughness(x), rel=1e-5)
    np.testing.assert_allclose(local.texture(x[..., None], ops), local.texture(x, ops))


def test_a_red_dot_is_one_speck_and_a_blue_stroke_is_bright() -> None:
    image = np.zeros((1, 6, 6, 3), np.float32)
    image[0, 2, 2, 0] = 1
    assert local.specks(image) == 1
    image[0, 2, 2] = 1
    assert local.specks(image) == 1, "one pixel, not one a channel"
    image[...] = 0
    image[0, 2:4, 1:3, 2] = 1
    assert local.faint(image) == 0 and local.specks(image) == 0
    assert local.centres(image).tolist() == [[2.5, 1.5]]


def test_a_plain_colour_has_no_texture_and_large_images_are_filtered_in_parts() -> None:
    ops = get_ops()
    plain = np.broadcast_to(RANDOM.random((3, 1, 1, 3)).astype(np.float32), (3, 9, 9, 3))
    assert float(local.texture(plain, ops).max()) < 1e-3
    x = RANDOM.random((7, 30, 20, 3)).astype(np.float32)
    whole = local.texture(x, ops)
    assert whole.shape == (7, 2 * local.FILTERS)
    for values in (1, 3 * 26 * 16 * 75):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(local, "VALUES", values)
            np.testing.assert_allclose(local.texture(x, ops), whole, rtol=1e-6)


def test_colour_images_are_compared_by_all_channels_in_blocks() -> None:
    x = RANDOM.random((4, 64, 10, 3)).astype(np.float32)
    data = Data(
        "d", spaces.Colour((64, 10, 3)), x.reshape(4, -1), x[:0].reshape(0, 1920), x[:0].reshape(0, 1920), None, 1.0
    )
    seen = Pixels(data).rows(x.reshape(4, -1)).reshape(4, 32, 10, 3)
    np.testing.assert_allclose(seen, x.reshape(4, 32, 2, 10, 3).mean(axis=2), rtol=1e-6)


# -------------------------------------------------------------------------------------------- cameras and microscopes


def test_jfif_and_tiff_are_read(tmp_path: Path) -> None:
    flat = Image.fromarray(np.full((20, 30), 90, np.uint8))
    for how in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        (tmp_path / f"{how}.TIF").write_bytes(picture(flat, "tiff", compression=how))
    (tmp_path / "a.jfif").write_bytes(picture(flat, "jpeg"))
    raw = read(tmp_path)
    assert len(raw.rows) == 5 and abs(raw.rows.astype(int) - 90).max() <= 2


def test_of_several_pages_the_first_is_read(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "stack", {f"{i}.png": png(grey()) for i in range(5)})
    pages = [Image.fromarray(np.full((8, 8), shade, np.uint8)) for shade in (10, 200)]
    (folder / "z.tif").write_bytes(picture(pages[0], "tiff", save_all=True, append_images=pages[1:]))
    (folder / "z.gif").write_bytes(picture(pages[0], "gif", save_all=True, append_images=pages[1:]))
    raw = read(folder)
    assert (raw.rows[-2:] == 10).all()
    assert "2 with several pages or frames, of which the first is read: z.gif, z.tif" in notes(raw)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_16_bits_are_scaled_by_their_true_range(tmp_path: Path, kind: str) -> None:
    values = np.zeros((10, 4, 4), np.uint16)
    values[:, 1:] = np.linspace(100, 4080, 10).astype(np.uint16)[:, None, None]
    folder = folder_of(
        tmp_path / "scope", {f"{i}.{kind[:3]}": picture(Image.fromarray(v), kind) for i, v in enumerate(values)}
    )
    raw = read(folder, image_size=4)
    assert (raw.rows == (values.astype(int) * 255 // 4095).reshape(10, 16)).all()
    assert "of 16-bit files, 4,095 is taken as white" in notes(raw) and "12 bits" in notes(raw)
    (folder / f"9.{kind[:3]}").write_bytes(picture(Image.fromarray(np.full((4, 4), 65535, np.uint16)), kind))
    raw = read(folder, image_size=4)
    assert "white" not in notes(raw), "all bits are used: as everywhere"
    assert (raw.rows[:9] == (values[:9] // 257).reshape(9, 16)).all()


def test_signed_and_black_deep_images(tmp_path: Path) -> None:
    (tmp_path / "0.tif").write_bytes(picture(Image.fromarray(np.full((4, 4), -1000, np.int32)), "tiff"))
    refused(tree(tmp_path, here=5), "0.tif", "below 0")
    (tmp_path / "0.tif").write_bytes(picture(Image.fromarray(np.zeros((4, 4), np.uint16)), "tiff"))
    assert (read(tmp_path).rows[0] == 0).all()


def test_a_photograph_of_24_megapixels_is_read(tmp_path: Path) -> None:
    photo = Image.new("RGB", (6000, 4000), (200, 30, 30))
    path = tmp_path / "photo.jpg"
    for options in ({}, {"progressive": True}):
        path.write_bytes(picture(photo, "jpeg", **options))
        seen = images.read_image(path, 16, "RGB").astype(int)
        assert abs(seen - (200, 30, 30)).max() < 6
    path.write_bytes(picture(photo.resize((8000, 6000)), "jpeg", progressive=True, subsampling=0))
    refused(path, "progressive JPEG", by=lambda p: images.read_image(p, 16))
    path.write_bytes(picture(photo, "png"))
    refused(path, "6,000 x 4,000", by=lambda p: images.read_image(p, 16))


def test_a_jpeg_whose_scans_are_hidden_counts_as_one_of_several(tmp_path: Path) -> None:
    """A baseline file may have a scan for each channel, and then is in memory whole, without being called progressive."""
    body = picture(Image.new("RGB", (6000, 6000)), "jpeg", subsampling=0)
    at = body.index(b"\xff\xda")
    assert body[at : at + 5] == b"\xff\xda\0\x0c\3"
    separate = body[:at] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" + body[at + 14 :]
    path = tmp_path / "x.jpg"
    path.write_bytes(separate)
    refused(path, "216,000,000 bytes", by=lambda p: images.read_image(p, 16))


def test_a_damaged_tiff_is_refused_and_its_decoder_is_silent(tmp_path: Path) -> None:
    body = picture(grey((64, 64)), "tiff", compression="tiff_lzw")
    folder = tree(tmp_path / "pics", here=5)
    (folder / "z.tif").write_bytes(body[:200] + b"\xff" * 2000 + body[2200:])
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from minigan import cli, train; cli.run(train.main)"
    done = subprocess.run(
        [sys.executable, "-c", code, "--data", str(folder), "--steps", "1", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert done.stderr.count("\n") == 1 and str(folder / "z.tif") in done.stderr


def tiff_of(tags: dict[int, int]) -> bytes:
    """A grey TIFF, compressed with LZW, of these further tags, each a number of 32 bits; its values are not there."""
    entries = {256: 16, 257: 16, 258: 8, 259: 5, 262: 1, 273: 8, 277: 1, 279: 64, **tags}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)


@pytest.mark.parametrize(
    "tags",
    [
        {322: 1 << 15, 323: 1 << 15, 324: 8, 325: 64},
        {322: (1 << 32) - 16, 323: (1 << 32) - 16, 324: 8, 325: 64},
        {256: 4096, 257: 4096, 278: 4096},
        {256: 4096, 257: 4096},
    ],
)
def test_a_tiff_with_large_tiles_or_strips_is_refused(tmp_path: Path, tags: dict[int, int]) -> None:
    path = tmp_path / "t.tif"
    path.write_bytes(tiff_of(tags))
    refused(path, "in strips or tiles of", by=lambda p: images.read_image(p, 8))


TIFFS = [
    picture(Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).convert(mode), "tiff", compression=how)
    for mode in ("L", "RGB", "1")
    for how in ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate")
]


@settings(max_examples=200)
@given(body=mutated(TIFFS))
def test_any_bytes_are_a_tiff_or_refused(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.tif"
    path.write_bytes(body)
    for mode in ("L", "RGB"):
        try:
            assert images.read_image(path, 4, mode).dtype == np.uint8
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)


# -------------------------------------------------------------------------------------------------------------- arrays


def saved(path: Path, **named: np.ndarray) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **named)
    else:
        np.save(path, named["x"])
    return path


@given(
    n=st.integers(5, 8),
    h=st.integers(1, 6),
    w=st.integers(1, 6),
    kind=st.sampled_from(["grey", "last", "first", "rgb", "rgb first"]),
    dtype=st.sampled_from(["u1", "f4", "f8", "?"]),
    fortran=st.booleans(),
)
def test_every_layout_of_images(
    tmp_path_factory: pytest.TempPathFactory, n: int, h: int, w: int, kind: str, dtype: str, fortran: bool
) -> None:
    rgb = kind.startswith("rgb")
    truth = (
        np.random.default_rng(h * w)
        .integers(0, 2 if dtype in "?f4f8" else 256, (n, h, w, 3 if rgb else 1))
        .astype(dtype)
    )
    truth.reshape(-1)[-1] = 1 if dtype != "u1" else 2
    x = {"grey": truth[..., 0], "last": truth, "first": np.moveaxis(truth, 3, 1)}.get(
        kind.removeprefix("rgb ")[:5], truth
    )
    if kind == "rgb first":
        x = np.moveaxis(truth, 3, 1)
    if x.ndim == 4 and x.shape[-1] in (1, 3) and x.shape[1] in (1, 3) and "first" in kind:
        return  # the last axis is taken for the channels
    path = saved(tmp_path_factory.getbasetemp() / "layout.npy", x=np.asfortranarray(x) if fortran else x)
    raw = arrays.read_npy(path, Reading())
    assert raw.space == (spaces.Colour((h, w, 3)) if rgb else spaces.Image((h, w)))
    assert (raw.rows == truth.reshape(n, -1).astype(raw.rows.dtype)).all() and raw.unit == (
        1 / 255 if dtype == "u1" else 1
    )
    memory = arrays.from_array(np.asfortranarray(x) if fortran else x, Reading())
    assert (memory.rows == raw.rows).all() and memory.space == raw.space
    check(load(str(path)))


ODD = {
    "one photograph": ((64, 64, 3), "one colour picture of 64 x 64", "(64, 64, 3, 1)"),
    "one photograph, channels first": ((3, 64, 64), "one colour picture of 64 x 64"),
    "MATLAB": ((28, 28, 500), "moveaxis(x, 2, 0)", "28 grey images of 28 x 500"),
    "MATLAB in colour": ((32, 32, 3, 40), "moveaxis(x, 3, 0)"),
    "with transparency": ((9, 16, 16, 4), "x[..., :3]"),
    "five": ((5, 5, 5, 5, 3), "5 dimensions"),
    "few": ((4, 8, 8, 3), "4 samples"),
}


@pytest.mark.parametrize("case", ODD)
def test_other_layouts_are_refused_with_a_remedy(tmp_path: Path, case: str) -> None:
    shape, *words = ODD[case]
    refused(saved(tmp_path / "odd.npy", x=np.full(shape, 7, np.uint8)), *words)


def test_the_remedies_for_odd_layouts_work(tmp_path: Path) -> None:
    x = RANDOM.integers(0, 256, (28, 28, 50), np.uint8)
    assert load(np.moveaxis(x, 2, 0)).space.shape == (28, 28)
    assert load(x[..., None]).space.shape == (28, 50)
    x = RANDOM.integers(0, 256, (32, 32, 3, 9), np.uint8)
    data = load(np.moveaxis(x, 3, 0))
    assert data.space == spaces.Colour((32, 32, 3)) and len(data.train) + len(data.validation) == 9


def test_color_grey_makes_colour_arrays_grey_as_pillow_does(tmp_path: Path) -> None:
    x = RANDOM.integers(0, 256, (9, 5, 4, 3), np.uint8)
    path = saved(tmp_path / "c.npy", x=x)
    raw = arrays.read_npy(path, Reading(color="grey"))
    assert raw.space == spaces.Image((5, 4)) and "9 colour images of 5 x 4 pixels, made grey" in notes(raw)
    assert (raw.rows == [np.asarray(Image.fromarray(image).convert("L")).reshape(-1) for image in x]).all()
    floats = arrays.from_array(x / 255, Reading(color="grey")).rows
    assert floats.dtype == np.float32 and abs(floats * 255 - raw.rows).max() < 0.6
    assert (pixels.greyed(np.ones((5, 6), np.float32)) <= 1).all()
    refused(saved(tmp_path / "g.npy", x=x[..., 0]), "--color rgb", "grey", color="rgb")


@pytest.mark.parametrize(
    ("x", "shape", "space", "unit"),
    [
        (RANDOM.integers(0, 256, (9, 20), np.uint8), (4, 5), spaces.Image((4, 5)), 1 / 255),
        (RANDOM.integers(0, 256, (9, 20)).astype(float), (4, 5), spaces.Image((4, 5)), 1 / 255),
        (RANDOM.random((9, 20)), (4, 5), spaces.Image((4, 5)), 1.0),
        (RANDOM.random((9, 20)) > 0.5, (4, 5), spaces.Image((4, 5)), 1.0),
        ((RANDOM.random((9, 20)) > 0.5).astype(float), (4, 5), spaces.Image((4, 5)), 1.0),
        (RANDOM.integers(0, 256, (9, 60), np.uint8), (4, 5, 3), spaces.Colour((4, 5, 3)), 1 / 255),
        (RANDOM.integers(0, 256, (9, 60), np.uint8), (3, 4, 5), spaces.Colour((4, 5, 3)), 1 / 255),
        (RANDOM.integers(0, 256, (9, 20), np.uint8), (4, 5, 1), spaces.Image((4, 5)), 1 / 255),
    ],
)
def test_flat_rows_become_images_by_their_shape(x: np.ndarray, shape: tuple, space: spaces.Space, unit: float) -> None:
    raw = arrays.from_array(x, Reading(shape=shape))
    assert raw.space == space and raw.unit == unit and raw.labels is None
    expected = x if shape[0] != 3 else np.moveaxis(x.reshape(9, 3, 20), 1, 2).reshape(9, 60)
    assert np.allclose(raw.rows, expected)


def test_flat_rows_that_begin_with_their_label() -> None:
    x = RANDOM.integers(0, 256, (9, 20), np.uint8)
    y = np.arange(9) % 3
    raw = pixels.from_rows(np.c_[y, x].astype(float), None, Reading(shape=(4, 5)), "t.csv")
    assert (raw.rows == x).all() and raw.space.classes == ("0", "1", "2") and raw.labels is not None
    assert (raw.labels == y).all() and "3 classes: 0 3, 1 3, 2 3" in notes(raw)
    words = pixels.from_rows(x, np.array(["b", "a", "b"] * 3), Reading(shape=(4, 5)), "t.csv")
    assert words.space.classes == ("a", "b") and words.labels is not None and words.labels.tolist() == [1, 0, 1] * 3


@pytest.mark.parametrize(
    ("x", "shape", "words"),
    [
        (np.zeros((9, 20)), (4, 6), "--shape 4 6 makes 24 values of an image, but rows of the array have 20"),
        (np.zeros((9, 20)), (2, 2, 5), "--shape"),
        (np.full((9, 20), 300), (4, 5), "from 300 to 300"),
        (np.full((9, 20), -0.5), (4, 5), "from -0.5 to -0.5"),
        (np.full((9, 20), 1.5), (4, 5), "rescale"),
        (np.ones((9, 20), int), (4, 5), "none is above 1"),
        (np.c_[np.full(9, 0.5), np.full((9, 20), 9)], (4, 5), "its labels cannot be used"),
        (np.zeros((9, 4, 5)), (4, 5), "--shape has no effect"),
        (np.full((9, 20), np.nan), (4, 5), "holds nan"),
    ],
)
def test_flat_rows_that_are_no_images_are_refused(x: np.ndarray, shape: tuple, words: str) -> None:
    if len(shape) == 3:  # not of images: the other kinds of data have such shapes
        assert not pixels.is_shape(shape)
        return
    with pytest.raises(InputError, match=words):
        load(x, shape=shape)


def test_a_table_that_looks_like_images_has_a_hint() -> None:
    square, cifar = RANDOM.integers(0, 256, (9, 784), np.uint8), RANDOM.integers(0, 256, (9, 3072), np.uint8)
    assert "--shape 28 28" in notes(load(square)) and "--shape 28 28" in notes(load(square.astype(float)))
    assert "--shape 3 32 32" in notes(load(cifar))
    for x in (square[:, :100] / 255, square[:, :101], square[:, :49], square.astype(int) * 2, square > 9):
        assert "--shape" not in notes(load(x))


# -------------------------------------------------------------------------------------------------------------- labels

PIXELS = RANDOM.integers(0, 256, (12, 5, 4), np.uint8)
KINDS = np.arange(12) % 3


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("x", "y"),
        ("x_train", "y_train"),
        ("X", "Y"),
        ("images", "labels"),
        ("data", "target"),
        ("arr_0", "arr_1"),
        ("train_images", "train_labels"),
        ("faces", "label"),
    ],
)
def test_samples_and_labels_of_an_npz_under_their_usual_names(tmp_path: Path, x: str, y: str) -> None:
    raw = arrays.read_npz(saved(tmp_path / "d.npz", **{x: PIXELS, y: KINDS}), Reading())
    assert (raw.rows == PIXELS.reshape(12, 20)).all() and raw.labels is not None and (raw.labels == KINDS).all()
    assert raw.space.classes == ("0", "1", "2") and "3 classes: 0 4, 1 4, 2 4" in notes(raw)


def test_what_an_npz_holds_besides_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path / "mnist.npz", x_train=PIXELS, y_train=KINDS, x_test=PIXELS[:3], y_test=KINDS[:3])
    raw = arrays.read_npz(path, Reading())
    assert "samples from x_train, labels from y_train; not read: x_test, y_test" in notes(raw)
    assert "samples from arr_0" in notes(arrays.read_npz(saved(tmp_path / "k.npz", arr_0=PIXELS), Reading()))
    assert "samples from" not in notes(arrays.read_npz(saved(tmp_path / "x.npz", x=PIXELS, y=KINDS), Reading()))
    refused(saved(tmp_path / "two.npz", left=PIXELS, right=PIXELS), "it has: left, right")


@given(names=st.lists(st.sampled_from([*arrays.SAMPLES, *arrays.LABELS, "X", "Labels", "arr_1", "a", "b"]), max_size=6))
def test_every_array_of_an_npz_is_read_or_named(names: list[str]) -> None:
    try:
        chosen = arrays.choice(names, Path("f.npz"))
    except InputError as error:
        assert "f.npz" in str(error) and not any(name.lower() in arrays.SAMPLES for name in names)
    else:
        assert {chosen.samples, *chosen.others} | ({chosen.labels} if chosen.labels else set()) == set(names)
        assert chosen.samples not in chosen.others and chosen.labels != chosen.samples


def test_labels_of_tables_in_an_npz(tmp_path: Path) -> None:
    table = RANDOM.normal(size=(12, 3))
    data = load(str(saved(tmp_path / "t.npz", x=table, y=KINDS)))
    assert data.space.kind == "table" and data.space.classes == ("0", "1", "2") and data.labels is not None


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (KINDS[:, None], ("0", "1", "2")),
        (KINDS.astype(">i2") - 1, ("-1", "0", "1")),
        (KINDS > 0, ("False", "True")),
        (np.array(["dog", "cat", "Übung"])[KINDS], ("cat", "dog", "Übung")),
        (np.array(["dog", "cat", "ant"])[KINDS].astype(">U5"), ("ant", "cat", "dog")),
    ],
)
def test_labels_of_every_type(tmp_path: Path, y: np.ndarray, names: tuple) -> None:
    raw = arrays.read_npz(saved(tmp_path / "d.npz", x=PIXELS, y=y), Reading())
    assert raw.space.classes == names and raw.labels is not None
    assert [names[k] for k in raw.labels] == [str(v) for v in y.reshape(-1)]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (KINDS / 2, "y (it holds values of type float64"),
        (KINDS[:9], "y (it has the shape (9,), and there are 12 samples)"),
        (np.eye(3)[KINDS], "y (it has the shape (12, 3)"),
        (np.array(["a"] * 12, "S3"), "type |S3"),
        (np.array(["a\x07"] * 12), "cannot be the name of a class"),
        (np.array([""] * 12), "not whole numbers or short words|cannot be the name"),
        (np.array(["a" * 300] * 12), "short words"),
        (np.array([{}] * 12, object), "never unpickled"),
    ],
)
def test_what_are_no_labels_is_left_out_with_a_word(tmp_path: Path, y: np.ndarray, words: str) -> None:
    raw = arrays.read_npz(saved(tmp_path / "d.npz", x=PIXELS, y=y), Reading())
    assert raw.labels is None and raw.space.classes == () and any(word in notes(raw) for word in words.split("|"))
    assert "not read: y (" in notes(raw)


def test_too_many_classes_are_no_classes() -> None:
    with pytest.raises(ValueError, match="at most 1,000"):
        labels.from_values(np.arange(1001), 1001)
    with pytest.raises(ValueError, match="more than 65,536 characters"):
        labels.check_names([f"{i:0200}" for i in range(400)])
    many = labels.from_values(np.arange(40), 40)
    assert many.note().startswith("40 classes: 0 1, 1 1,") and many.note().endswith("and 28 more")


def test_an_older_run_on_data_whose_labels_were_not_read_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(labels, "from_values", lambda *_: (_ for _ in ()).throw(ValueError("not read then")))
    saved(Path("d.npz"), x=PIXELS, y=KINDS)
    assert exit_code(train.main, "--data", "d.npz", *TINY, "--steps", 2, "--out", "run") == 0
    assert checkpoint.load("run").space.classes == ()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert exit_code(train.main, "--resume", "run", "--steps", 4) == 0
    assert checkpoint.load("run").space.classes == ("0", "1", "2")
    saved(Path("d.npz"), x=PIXELS, y=KINDS[::-1])
    with pytest.raises(InputError, match="its labels have the SHA-256"):
        train.main(["--resume", "run", "--steps", "6"])


NPZS = []
for y in (KINDS, np.array(["dog", "cat"])[KINDS % 2], KINDS[:, None] > 1):
    buffer = io.BytesIO()
    np.save(buffer, y)
    NPZS.append(buffer.getvalue())
BODY = io.BytesIO()
np.save(BODY, PIXELS)


@settings(max_examples=200)
@given(body=mutated(NPZS))
def test_any_bytes_are_labels_or_left_out_or_refused(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "labels.npz"
    path.write_bytes(zipped({"x.npy": BODY.getvalue(), "y.npy": body}))
    try:
        raw = arrays.read_npz(path, Reading())
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert len(raw.rows) == 12 and all("\n" not in note and note.isprintable() for note in raw.notes)
        assert spaces.from_dict(raw.space.to_dict(), "") == raw.space
        if raw.labels is not None:
            assert raw.labels.shape == (12,) and raw.labels.min() >= 0 and raw.labels.max() < len(raw.space.classes)


LABELS = hnp.arrays(
    st.sampled_from(["i1", "i8", "u8", "?", "U3", "f4", "S2"]).map(np.dtype),
    st.sampled_from([(12,), (12, 1), (11,), (12, 2), ()]),
)


@given(y=LABELS)
def test_any_array_is_labels_or_says_why_not(y: np.ndarray) -> None:
    try:
        found = labels.from_values(y, 12)
    except ValueError as why:
        assert str(why) and "\n" not in str(why) and len(str(why)) < 200
    else:
        assert [found.names[k] for k in found.index] == [str(v) for v in y.reshape(-1).tolist()]


# ------------------------------------------------------------------------------------------------------------ IDX files


@pytest.mark.parametrize("pack", [bytes, lambda body: gzip.compress(body, mtime=0)])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images.idx3-ubyte", "letters", "x.idx"])
def test_idx_files_of_any_size_and_name(tmp_path: Path, pack: object, name: str) -> None:
    assert callable(pack)
    body = pack(idx_bytes(PIXELS))
    path = tmp_path / (name + (".gz" if body[:2] == b"\x1f\x8b" else ""))
    path.write_bytes(body)
    data = load(str(path))
    assert data.space == spaces.Image((5, 4)) and len(data.train) + len(data.validation) == 12 and data.labels is None
    assert train.family(str(path)) == "image"
    if "images" in name:
        other = tmp_path / name.replace("images", "labels").replace("idx3", "idx1")
        other.write_bytes(idx_bytes(KINDS.astype(np.uint8)))
        data = load(str(path))
        assert data.space.classes == ("0", "1", "2") and data.labels is not None and "3 classes" in notes(data)
        other.write_bytes(idx_bytes(KINDS[:5].astype(np.uint8)))
        assert "it holds 5, and there are 12 images" in notes(load(str(path)))
        refused(other, "holds labels")


def test_idx_files_in_colour_black_and_white_and_lying(tmp_path: Path) -> None:
    three = RANDOM.integers(0, 256, (9, 4, 5, 3), np.uint8)
    (tmp_path / "c-images-idx4-ubyte").write_bytes(idx_bytes(three))
    assert load(str(tmp_path / "c-images-idx4-ubyte")).space == spaces.Colour((4, 5, 3))
    (tmp_path / "b-images").write_bytes(idx_bytes(PIXELS % 2))
    assert load(str(tmp_path / "b-images")).unit == 1.0
    path = tmp_path / "emnist-letters-train-images-idx3-ubyte"
    path.write_bytes(idx_bytes(PIXELS))
    raw = idx.read_own(path, Reading())
    assert raw.space.shape == (4, 5) and (raw.rows.reshape(12, 4, 5) == PIXELS.swapaxes(1, 2)).all()
    assert "rows and columns are exchanged" in notes(raw)


def test_a_folder_of_idx_files_is_its_training_images(tmp_path: Path) -> None:
    for part, x in (("train", PIXELS), ("t10k", PIXELS[:5])):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(x))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(KINDS[: len(x)].astype(np.uint8)))
    data = load(str(tmp_path))
    assert data.labels is not None and len(data.train) == 10 and "not read: t10k-images-idx3-ubyte" in notes(data)
    assert train.family(str(tmp_path)) == "image"
    (tmp_path / "other-train-images-idx3-ubyte").write_bytes(idx_bytes(PIXELS))
    refused(tmp_path, "several IDX files", "--data")


def test_the_files_of_mnist_under_all_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, n in (("TRAIN", 6), ("TEST", 5)):
        for what, shape in (("IMAGES", (n, 2, 2)), ("LABELS", (n,))):
            name = getattr(mnist, f"{kind}_{what}").name
            monkeypatch.setattr(mnist, f"{kind}_{what}", mnist.Source(name, shape, 0, ""))
    for i, place in enumerate(mnist.PLACES):
        for j, naming in enumerate(("{0}", "{0}.gz", "{1}", "{1}.gz", "{0}/{0}", "{1}/{1}")):
            root = tmp_path / f"{i}{j}"
            for source in (mnist.TRAIN_IMAGES, mnist.TRAIN_LABELS, mnist.TEST_IMAGES, mnist.TEST_LABELS):
                path = root / place / naming.format(source.name, source.name.replace("-idx", ".idx"))
                path.parent.mkdir(parents=True, exist_ok=True)
                body = idx_bytes(np.full(source.shape, 7, np.uint8))
                path.write_bytes(gzip.compress(body) if naming.endswith("gz") else body)
            x, _, _, y = mnist.read(str(root))
            assert x.shape == (6, 4) and y.tolist() == [7] * 5


def test_other_images_in_the_place_of_mnist_are_named_with_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    folder.mkdir()
    for part in ("test", "train"):
        (folder / f"emnist-letters-{part}-images-idx3-ubyte").write_bytes(idx_bytes(PIXELS))
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte.gz is in none of") as caught:
        mnist.read(str(folder))
    assert f"with --data '{folder}/emnist-letters-train-images-idx3-ubyte'." in str(caught.value)
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(PIXELS))
    with pytest.raises(InputError, match=r"12 x 5 x 4 values where MNIST has 60,000 x 28 x 28") as caught:
        mnist.read(str(folder))
    assert f"--data '{folder}/train-images-idx3-ubyte'." in str(caught.value)


@settings(max_examples=200)
@given(
    body=mutated([idx_bytes(PIXELS), idx_bytes(PIXELS.reshape(5, 4, 4, 3)), gzip.compress(idx_bytes(PIXELS), mtime=0)])
)
def test_any_bytes_are_images_in_idx_or_refused(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "x-images-idx3-ubyte"
    path.write_bytes(body)
    assert isinstance(idx.recognised(path), bool)
    try:
        raw = idx.read_own(path, Reading())
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert raw.rows.shape == (len(raw.rows), raw.space.size)


def test_a_bomb_that_says_it_is_idx_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x-images-idx3-ubyte"
    for claim in ((2**31, 2**16, 2**16), (1000, 1000, 1000), (5, 2**11, 2**11)):
        body = bytes([0, 0, 8, 3]) + np.array(claim, ">u4").tobytes()
        for content in (body, gzip.compress(body, mtime=0)):
            path.write_bytes(content)
            refused(path)


# ------------------------------------------------------------------------------------------------------------- memory

WORST = """
import sys
sys.path.insert(0, ".")
from pathlib import Path
from minigan.data import images
from minigan.errors import InputError
for name in sys.argv[1:]:
    for mode in ("L", "RGB"):
        try:
            images.read_image(Path(name), 28, mode)
        except InputError:
            pass
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux shows it")
def test_the_largest_images_in_colour_stay_below_200_mb(tmp_path: Path) -> None:
    rows = (b"\0" + bytes(4096 * 4)) * 4096
    (tmp_path / "rgba.png").write_bytes(png_claiming(4096, 4096, rows, colour=6))
    tall = (b"\0" + bytes(16 * 4)) * (1 << 20)
    (tmp_path / "tall.png").write_bytes(png_claiming(16, 1 << 20, tall, colour=6))
    plain = Image.new("RGB", (3500, 3500))
    for how in ("raw", "tiff_lzw"):
        (tmp_path / f"{how}.tif").write_bytes(picture(plain, "tiff", compression=how, tiffinfo={278: 4096}))
    (tmp_path / "full.tif").write_bytes(picture(Image.new("RGB", (4096, 4096)), "tiff", compression="tiff_lzw"))
    (tmp_path / "photo.jpg").write_bytes(picture(Image.new("RGB", (11_000, 11_000)), "jpeg"))
    (tmp_path / "progressive.jpg").write_bytes(
        picture(Image.new("RGB", (4990, 4990)), "jpeg", progressive=True, subsampling=0)
    )
    for path in tmp_path.iterdir():
        done = subprocess.run(
            [sys.executable, "-c", WORST, str(path)], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert int(done.stdout) < 200 and not done.stderr, path.name


def test_a_flipped_bit_anywhere_in_a_photograph_is_an_image_or_a_sentence(tmp_path: Path) -> None:
    body, path = picture(colour((24, 24)), "jpeg"), tmp_path / "x.jpg"
    for at in range(0, len(body), 7):
        path.write_bytes(flipped(body, at))
        try:
            assert images.read_image(path, 4, "RGB").shape == (4, 4, 3)
        except InputError as error:
            assert str(path) in str(error)
