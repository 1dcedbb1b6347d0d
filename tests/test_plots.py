"""Every picture opens, shows its input, is reproducible, and is drawn for unusual input (warnings are errors)."""

from __future__ import annotations

import os
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from minigan import plots
from minigan.data import spaces
from minigan.errors import InputError
from minigan.plots import Shown, gif, images, points, series, style, tables

POINTS = spaces.Points((2,), ("x0", "x1"))


def image_space(h: int, w: int) -> spaces.Space:
    return spaces.Image((h, w))


def table_space(d: int) -> spaces.Space:
    return spaces.Table((d,), tuple(f"column {j}" for j in range(d)))


def pixels(path: Path) -> np.ndarray:
    """(height, width, 3); asserts that the picture can be read, is not one plain colour, and is of sensible size."""
    with Image.open(path) as image:
        image.load()
        values = np.asarray(image.convert("RGB"))
    assert values.std() > 1
    assert 400 <= values.shape[1] <= 1500
    assert path.stat().st_size < 500_000
    return values


def shows(values: np.ndarray, colour: str) -> bool:
    """Whether some pixel has about this colour (it may be drawn half transparent on white)."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float)
    return any((np.abs(values - (a * rgb + (1 - a) * 255)).max(axis=2) < 12).any() for a in (1, 0.8, 0.45))


def ring(n: int, sigma: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    angle = rng.integers(0, 8, n) * np.pi / 4
    return (np.c_[np.cos(angle), np.sin(angle)] + rng.normal(0, sigma, (n, 2))).astype(np.float32)


def field_of(real: np.ndarray, at: np.ndarray) -> plots.Field:
    xs, ys = plots.plane(real, 40)
    logits = np.hypot(*np.meshgrid(xs, ys)).astype(np.float32)
    return plots.Field(xs, ys, logits, at, -at)


def records(n: int) -> list[dict]:
    rng = np.random.default_rng(0)
    return [
        {"step": 10 * (i + 1), "loss_d": 1.0 + rng.normal() / 9, "loss_g": 0.7, "d_real": 0.6, "d_fake": 0.4,
         "steps_per_second": 300.0 + i % 7}
        for i in range(n)
    ]  # fmt: skip


# --- mosaics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "h", "w"), [(64, 8, 8), (64, 28, 28), (100, 28, 28), (7, 12, 20), (1, 9, 9), (3, 40, 9)])
def test_a_mosaic_holds_every_image_pixel_for_pixel(tmp_path: Path, n: int, h: int, w: int) -> None:
    x = np.random.default_rng(0).random((n, h, w)).astype(np.float32)
    path = tmp_path / "p.png"
    plots.progress(path, image_space(h, w), Shown(x.reshape(n, -1)), 500)
    picture = pixels(path)
    columns, (th, tw) = images.tiling(n, h, w, images.MOSAIC_WIDTH)
    assert th % h == tw % w == 0 and th // h == tw // w  # one whole zoom, so nearest neighbour is exact
    for i, image in enumerate(x):
        y = style.MARGIN + style.TITLE + i // columns * (th + images.TILE_GAP)
        left = style.MARGIN + i % columns * (tw + images.TILE_GAP)
        tile = picture[y : y + th, left : left + tw]
        expected = np.rint(image * 255).repeat(th // h, axis=0).repeat(tw // w, axis=1)
        assert (tile == expected[:, :, None]).all()


def test_comparison_puts_generated_left_and_real_right(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    plots.comparison(path, image_space(8, 8), Shown(np.zeros((16, 64)), np.full((9, 64), 0.5)))
    picture = pixels(path)
    height, width = picture.shape[:2]
    y = style.MARGIN + style.TITLE + 3
    assert (picture[y, style.MARGIN + 3] == 0).all()
    assert (picture[y, width // 2 + style.MARGIN] == 128).all()
    assert (picture[height - style.MARGIN - 3, width // 2 + style.MARGIN] == 255).all()  # nine real images fill less


def test_images_larger_than_the_page_are_shrunk(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    x = np.tile(np.linspace(0, 1, 300, dtype=np.float32), (25, 200, 1))
    plots.samples(path, image_space(200, 300), x)
    first = pixels(path)[style.MARGIN + 5, style.MARGIN :, 0]
    assert first[0] < 5 and 120 < first[90] < 135  # left and middle of the first tile


def test_values_out_of_range_or_not_finite_are_drawn_as_black_or_white(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    plots.samples(path, image_space(1, 5), np.array([[np.nan, -np.inf, np.inf, -3, 3]]))
    row = pixels(path)[style.MARGIN + 2, style.MARGIN : -style.MARGIN, 0]
    assert list(row[row.size // 10 :: row.size // 5]) == [0, 0, 255, 0, 255]


def test_a_mosaic_of_100_images_is_drawn_quickly(tmp_path: Path) -> None:
    """All images share one pair of axes, so 100 images take only a little longer than one, also under load."""
    x = np.random.default_rng(0).random((100, 784)).astype(np.float32)
    times: dict[int, list[float]] = {1: [], 100: []}
    for step in range(4):
        for count, taken in times.items():
            start = time.process_time()
            plots.progress(tmp_path / "p.png", image_space(28, 28), Shown(x[:count]), step)
            taken.append(time.process_time() - start)
    assert min(times[100]) < 5 * min(times[1])


# --- points ---------------------------------------------------------------------------------------------------------


def test_points_are_drawn_over_the_surface_with_arrows(tmp_path: Path) -> None:
    real, fake = ring(300, 0.02), ring(200, 0.2, 1)
    plain, path, still = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"
    field = field_of(real, fake[:50])
    plots.progress(plain, POINTS, Shown(fake, real), 1)
    plots.progress(path, POINTS, Shown(fake, real, field), 1)
    field.push = np.zeros_like(field.push)
    plots.progress(still, POINTS, Shown(fake, real, field), 1)
    assert shows(pixels(plain), style.REAL) and shows(pixels(plain), style.FAKE)
    inside = np.s_[style.MARGIN + style.TITLE + 20 : points.PANEL, 120 : points.PANEL]
    assert (pixels(plain)[inside] == 255).all(axis=2).mean() > 0.8
    assert (pixels(path)[inside] == 255).all(axis=2).mean() < 0.2
    assert (pixels(path)[inside] != pixels(still)[inside]).any()  # the arrows


def test_the_axes_follow_from_the_real_points_alone(tmp_path: Path) -> None:
    real = ring(300, 0.02)
    frames = []
    for i, fake in enumerate((ring(100, 0.01), ring(100, 0.01) * 50)):  # the second lies outside the picture
        path = tmp_path / f"{i}.png"
        plots.progress(path, POINTS, Shown(fake, real), 0)
        frames.append(pixels(path))
    assert frames[0].shape == frames[1].shape
    below = style.MARGIN + style.TITLE + points.PANEL + 2
    assert (frames[0][below:] == frames[1][below:]).all()  # ticks and their labels
    xs, ys = plots.plane(real)
    assert xs[0] < real[:, 0].min() and xs[-1] > real[:, 0].max() and len(xs) == len(ys)
    assert np.isclose(xs[-1] - xs[0], ys[-1] - ys[0])  # square, so that one unit is as long on both axes


def test_axes_of_very_different_ranges_do_not_share_a_unit() -> None:
    xs, ys = plots.plane(np.array([[0.0, 0.0], [1.0, 1000.0]]))
    assert xs[-1] - xs[0] < 2 and ys[-1] - ys[0] > 1000


@pytest.mark.parametrize("logits", [0.0, -1e4, 1e30, np.nan, np.inf])
def test_a_constant_surface_is_drawn(tmp_path: Path, logits: float) -> None:
    real = ring(50, 0.1)
    xs, ys = plots.plane(real, 12)
    field = plots.Field(xs, ys, np.full((12, 12), logits), real, np.full((50, 2), np.nan))
    plots.progress(tmp_path / "p.png", POINTS, Shown(real, real, field), 0)
    pixels(tmp_path / "p.png")


def test_comparison_of_points_puts_generated_left_and_real_right(tmp_path: Path) -> None:
    real, fake = ring(300, 0.02), ring(200, 0.2, 1)
    plots.comparison(tmp_path / "c.png", POINTS, Shown(fake, real, field_of(real, fake)))
    plots.comparison(tmp_path / "d.png", POINTS, Shown(fake, real))
    picture = pixels(tmp_path / "d.png")
    left, right = np.array_split(picture[style.MARGIN + style.TITLE :], 2, axis=1)
    assert shows(left, style.FAKE) and not shows(left, style.REAL)
    assert shows(right, style.REAL) and not shows(right, style.FAKE)
    assert pixels(tmp_path / "c.png").shape[1] > picture.shape[1]  # room for the colour bar


@pytest.mark.parametrize("at", [0.0, -1e8, 1e-30])
def test_identical_points_are_drawn(tmp_path: Path, at: float) -> None:
    same = np.full((20, 2), at, np.float32)
    plots.progress(tmp_path / "p.png", POINTS, Shown(same, same, field_of(same, same)), 0)
    plots.samples(tmp_path / "s.png", POINTS, same[:1])
    pixels(tmp_path / "p.png")
    assert shows(pixels(tmp_path / "s.png"), style.FAKE)


def test_points_without_a_finite_one_still_make_a_picture(tmp_path: Path) -> None:
    nowhere = np.full((5, 2), np.nan)
    plots.samples(tmp_path / "s.png", POINTS, nowhere)
    plots.comparison(tmp_path / "c.png", POINTS, Shown(nowhere, ring(20, 0.1)))
    pixels(tmp_path / "s.png")
    pixels(tmp_path / "c.png")


# --- tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 3, 20])
def test_tables_show_real_against_generated(tmp_path: Path, d: int) -> None:
    rng = np.random.default_rng(0)
    fake, real = rng.normal(1, 1, (99, d)), rng.normal(0, 1, (300, d))
    plots.progress(tmp_path / "p.png", table_space(d), Shown(fake, real), 3)
    picture = pixels(tmp_path / "p.png")
    assert shows(picture, style.REAL) and shows(picture, style.FAKE)


def test_comparison_of_tables_shows_both_and_samples_only_the_generated(tmp_path: Path) -> None:
    fake, real = ring(50, 0.1), ring(90, 0.2, 1)
    plots.comparison(tmp_path / "c.png", table_space(2), Shown(fake, real))
    plots.samples(tmp_path / "s.png", table_space(2), fake)
    both, alone = pixels(tmp_path / "c.png"), pixels(tmp_path / "s.png")
    assert shows(both, style.REAL) and shows(both, style.FAKE)
    assert shows(alone, style.FAKE) and not shows(alone, style.REAL)


def test_shares_count_what_lies_outside_in_the_outermost_bins() -> None:
    shares = tables.shares(np.array([-9.0, 0.1, 0.1, 99.0]), np.linspace(0, 1, 5))
    assert shares.tolist() == [0.75, 0, 0, 0.25]


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved after this call, with their final layout."""
    figures: list[Figure] = []

    def keep(figure: Figure, path: Path) -> None:
        figure.canvas.draw()
        figures.append(figure)

    monkeypatch.setattr(style, "save", keep)
    return figures


STEPS = st.fractions(Fraction(1, 100), 1000, max_denominator=100)


@given(STEPS, st.integers(-50, 50), st.integers(2, 300), st.integers(0, 9))
def test_values_in_equal_steps_have_bins_of_as_many_values_each(
    step: Fraction, offset: int, kinds: int, seed: int
) -> None:
    """Although float32 cannot represent tenths exactly, every bin contains the same number of possible values."""
    places = np.append([0, kinds - 1], np.random.default_rng(seed).integers(0, kinds, 3 * kinds))
    values = np.array([float(step * (offset + int(i))) for i in places], np.float32).astype(np.float64)
    edges, found = tables.edges_of(values), tables.step_of(np.unique(values))
    assert found is not None
    assert found == pytest.approx(float(step) * np.gcd.reduce(np.diff(np.unique(places))), rel=1e-4)
    lattice = values.min() + found * np.arange(round(np.ptp(values) / found) + 1)
    held = np.histogram(lattice, edges)[0]
    assert held[0] == held[-1] == 0 and held.sum() == len(lattice), "nothing but strays in the outermost"
    assert len(set(held[1:-2])) <= 1 and held[-2] <= max(held)
    assert len(held) - 2 <= tables.BINS


@given(STEPS, st.integers(-1000, 1000), st.lists(st.integers(0, 2000), min_size=2, max_size=40, unique=True))
def test_a_step_that_is_found_is_one(step: Fraction, offset: int, places: list[int]) -> None:
    distinct = np.unique(np.array([float(step * (offset + i)) for i in places], np.float32).astype(np.float64))
    found = tables.step_of(distinct)
    if found is not None:
        times = (distinct - distinct[0]) / found
        assert np.abs(times - np.rint(times)).max() < 0.02


def test_steps_of_a_continuous_column_are_not_found() -> None:
    r = np.random.default_rng(0)
    for n in (4, 12, 100, 1000):
        for values in (r.normal(size=n), r.random(n), r.lognormal(size=n)):
            assert tables.step_of(np.unique(values.astype(np.float32).astype(float))) is None


@given(st.integers(1, 3000), st.integers(0, 9))
def test_values_of_any_size_have_at_most_as_many_bins_as_the_root_of_their_number(n: int, seed: int) -> None:
    r = np.random.default_rng(seed)
    values = r.normal(r.normal(0, 100), 10 ** r.uniform(-3, 3), n)
    edges = tables.edges_of(values)
    held = np.histogram(values, edges)[0]
    assert held.sum() == n and (np.diff(edges) > 0).all()
    assert n == 1 or (held[0] == held[-1] == 0 and len(held) - 2 <= min(tables.BINS, np.ceil(np.sqrt(n))))


def test_yes_and_no_have_two_bars_and_nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, r = drawn(monkeypatch), np.random.default_rng(0)
    real, fake = r.integers(0, 2, (300, 1)), r.integers(0, 2, (200, 1)) * np.float32(1.00001)
    plots.comparison(tmp_path / "p.png", table_space(1), Shown(fake, real))
    axes = figures[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1"]
    assert not [text for text in axes.texts if "outside" in text.get_text()]
    assert (tables.edges_of(real[:, 0].astype(float)) == [-1.5, -0.5, 0.5, 1.5, 2.5]).all()
    plots.comparison(tmp_path / "p.png", table_space(1), Shown(fake + 3, real))
    assert [text.get_text() for text in figures[1].axes[0].texts] == ["100% outside"]


def test_few_rows_have_few_bins_and_strays_stand_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, r = drawn(monkeypatch), np.random.default_rng(0)
    plots.progress(tmp_path / "p.png", table_space(1), Shown(r.normal(0, 3, (500, 1)), r.normal(0, 1, (12, 1))), 1)
    real, fake = (patch.get_data().values for patch in figures[0].axes[0].patches)
    assert len(real) == 6 and real[0] == real[-1] == 0 < fake[0]
    assert real.sum() == pytest.approx(1) and fake.sum() == pytest.approx(1)


def test_odd_tables_are_drawn(tmp_path: Path) -> None:
    names = ("$x_1^$", "an unusually long name of a column, " * 9, "\u5e74\u9f62", "two\nlines", "", "huge", "tiny")
    space = spaces.Table((7,), names)
    real = np.zeros((40, 7))
    real[:, 1] = np.nan
    real[:, 3] = np.arange(40)
    real[:, 5] = np.linspace(-1e38, 1e38, 40)
    real[:, 6] = 5 + np.arange(40) * 1e-14
    fake = real[:1].copy()
    fake[0, 2] = np.inf
    plots.progress(tmp_path / "p.png", space, Shown(fake, real), 0)
    plots.samples(tmp_path / "s.png", space, fake)
    pixels(tmp_path / "p.png")
    pixels(tmp_path / "s.png")


# --- curves ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 40, 500])
def test_curves_of_any_number_of_records(tmp_path: Path, n: int) -> None:
    plots.curves(tmp_path / "c.png", records(n))
    picture = pixels(tmp_path / "c.png")
    assert shows(picture, style.REAL) and shows(picture, style.FAKE)


def test_every_other_numeric_key_gets_a_panel(tmp_path: Path) -> None:
    lines = records(20)
    heights = []
    many = {f"key {i}": i for i in range(6)}
    for extra in ({}, {"frechet": 9.0, "coverage": 0.5}, many, {"note": "text", "ok": True}):
        plots.curves(tmp_path / "c.png", [{**line, **extra} for line in lines])
        heights.append(pixels(tmp_path / "c.png").shape[0])
    assert heights[0] == heights[3] < heights[1] < heights[2]


def test_curves_survive_any_number(tmp_path: Path) -> None:
    lines = records(100)
    for i, value in enumerate((np.nan, np.inf, -np.inf, 1e308, -1e308, None, "nan", True)):
        lines[10 + i]["loss_d"] = value
        lines[30 + i]["steps_per_second"] = value
        lines[50 + i]["frechet"] = value
    lines[90]["step"] = None
    del lines[91]["step"], lines[92]["loss_g"]
    lines[95]["coverage"], lines[99]["coverage"] = 1e-3, 1e6
    for line in lines[60:]:
        line["loss_g"], line["d_real"] = -4e6, 1.5
    plots.curves(tmp_path / "c.png", lines)
    pixels(tmp_path / "c.png")
    plots.curves(tmp_path / "n.png", [{"step": 1, "loss_d": np.nan, "loss_g": np.inf, "steps_per_second": 0}])
    pixels(tmp_path / "n.png")


def test_measures_show_the_real_score_and_the_good_direction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch)
    lines = [
        {"step": 10 * i, "frechet": 200 / i, "modes": 7.0, "precision": 0.01 * i, "mode_width": 2.0}
        for i in range(1, 9)
    ]
    real = {"frechet": 1.25, "modes": 8.0, "precision": 0.97, "mode_width": float("nan"), "kid": 3.0}
    plots.curves(tmp_path / "c.png", lines, real)
    panels = {axes.get_title("left"): axes for axes in figures[0].axes[2:]}
    assert list(panels) == [
        "frechet, lower is better", "modes, higher is better", "precision, higher is better", "mode width, near 1 is good",
    ]  # fmt: skip
    for axes, words in zip(panels.values(), ("real 1.25", "real 8", "real 0.97", ""), strict=True):
        assert axes.get_title("right") == words
        level = [line for line in axes.lines if line.get_color() == style.REAL]
        assert bool(level) == bool(words)
        low, high = axes.get_ylim()
        assert all(low <= line.get_ydata()[0] <= high for line in level), "the real score is in the picture"
    frechet, modes, precision, _ = panels.values()
    low, high = modes.get_ylim()
    ticks = [tick for tick in modes.get_yticks() if low <= tick <= high]
    assert ticks and all(tick == round(tick) for tick in ticks)
    assert frechet.get_yscale() == "log" and precision.get_yscale() == "linear"
    plots.curves(tmp_path / "c.png", [{**line, "modes": 8.0} for line in lines], real)
    modes = figures[1].axes[3]
    assert [tick for tick in modes.get_yticks() if modes.get_ylim()[0] <= tick <= modes.get_ylim()[1]] == [8]


def test_the_running_mean_is_the_mean_of_the_neighbours() -> None:
    x = np.random.default_rng(0).random(50)
    expected = [x[max(0, i - 3) : i + 4].mean() for i in range(50)]
    np.testing.assert_allclose(series.running_mean(x, 3), expected, rtol=1e-12)


# --- the animation --------------------------------------------------------------------------------------------------


def test_an_animation_shows_its_frames_and_lingers_on_the_last(tmp_path: Path) -> None:
    frames = []
    for i in range(4):
        frames.append(tmp_path / f"{i}.png")
        plots.progress(frames[-1], image_space(8, 8), Shown(np.full((16, 64), i / 3)), i)
    plots.animation(tmp_path / "t.gif", frames)
    with Image.open(tmp_path / "t.gif") as file:
        assert file.n_frames == 4 and file.info["loop"] == 0
        shades, durations = [], []
        for i in range(4):
            file.seek(i)
            durations.append(file.info["duration"])
            shades.append(int(np.asarray(file.convert("L"))[60, 40]))
    np.testing.assert_allclose(shades, [0, 85, 170, 255], atol=3)
    assert durations == [gif.FRAME_MS] * 3 + [gif.LAST_FRAME_MS]


def test_an_animation_of_coloured_frames_of_many_sizes(tmp_path: Path) -> None:
    frames = []
    for i, size in enumerate([(300, 200), (200, 300), (30, 20), (900, 100)]):
        frames.append(str(tmp_path / f"{i}.png"))
        Image.new("RGB", size, (200, 40 * i, 30)).save(frames[-1])
    plots.animation(tmp_path / "t.gif", frames)
    with Image.open(tmp_path / "t.gif") as file:
        assert file.size == (300, 200) and file.n_frames == 4
    plots.animation(tmp_path / "one.gif", frames[:1])
    plots.animation(tmp_path / "none.gif", [])
    assert (tmp_path / "one.gif").exists() and not (tmp_path / "none.gif").exists()


def test_a_long_animation_is_thinned_and_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = []
    for i in range(8):  # noise is the worst that a picture can hold
        frames.append(tmp_path / f"{i}.png")
        plots.progress(frames[-1], image_space(28, 28), Shown(rng.random((64, 784))), i)
    plots.animation(tmp_path / "t.gif", frames * 20)
    assert (tmp_path / "t.gif").stat().st_size < 3_000_000
    with Image.open(tmp_path / "t.gif") as file:
        assert file.n_frames <= gif.MAX_FRAMES


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "flipped"])
def test_a_frame_that_cannot_be_read_is_named_in_one_sentence(tmp_path: Path, damage: str) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    plots.progress(good, image_space(8, 8), Shown(np.zeros((4, 64))), 0)
    data = good.read_bytes()
    flipped = bytearray(data)
    flipped[40] ^= 255
    contents = {"empty": b"", "text": b"no picture", "cut": data[:200], "flipped": bytes(flipped)}
    if damage != "missing":
        bad.write_bytes(contents[damage])
    for frames in ([good, bad], [bad, good]):
        with pytest.raises(InputError, match="bad.png: (cannot be read|is not a readable picture) .*[^.>]\\.$"):
            plots.animation(tmp_path / "t.gif", frames)
    assert not (tmp_path / "t.gif").exists()


# --- bytes and files ------------------------------------------------------------------------------------------------


def draw_all(folder: Path) -> dict[str, bytes]:
    real, fake = ring(60, 0.02), ring(40, 0.2, 1)
    rng = np.random.default_rng(0)
    nine = rng.random((9, 64))
    plots.progress(folder / "image.png", image_space(8, 8), Shown(nine), 1)
    plots.progress(folder / "points.png", POINTS, Shown(fake, real, field_of(real, fake)), 1)
    plots.comparison(folder / "table.png", table_space(2), Shown(fake, real))
    plots.curves(folder / "curves.png", records(80))
    plots.animation(folder / "t.gif", [folder / "image.png", folder / "points.png"])
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_the_same_input_gives_the_same_bytes_whatever_the_settings(tmp_path: Path) -> None:
    import matplotlib

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = draw_all(tmp_path / "a")
    settings = {"font.size": 20, "axes.facecolor": "red", "lines.linewidth": 9, "text.usetex": True, "savefig.dpi": 7}
    with matplotlib.rc_context(settings):
        second = draw_all(tmp_path / "b")
        assert matplotlib.rcParams["font.size"] == 20  # and a person's own settings are left alone
    assert first == second
    assert len(first) == 5  # no temporary file is left
    assert not any(word in data for data in first.values() for word in (b"Software", b"matplotlib", b"tIME"))


def test_drawing_never_imports_pyplot() -> None:
    import subprocess
    import sys

    code = "import sys, minigan.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.png"
    plots.curves(path, [])
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            plots.curves(path, records(3))
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            plots.curves(path, records(3))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["p.png"]
    with pytest.raises(OSError):
        plots.curves(tmp_path / "absent" / "p.png", [])
