"""The verdict: each finding has a planted fault, real samples have no finding, and no setting that a run has is advised."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import planted
from minigan.backends import get_ops
from minigan.config import OBJECTIVES, RECIPES, SCHEDULES, Config
from minigan.data import Data, load
from minigan.data.spaces import SPACES
from minigan.metrics.features import load_classifier
from minigan.metrics.measures import MEASURES
from minigan.metrics.suite import Suite
from minigan.metrics.verdict import CLEAN, FINDINGS, Trained, verdict
from minigan.recipes import recipe

HOST = get_ops()

GOOD = {
    "frechet": 1.5, "kid": 0.1, "precision": 0.93, "recall": 0.92, "density": 0.96, "coverage": 0.94, "digit_kl": 0.001,
    "kinds": 10.0, "sharpness": 1.0, "spread": 1.0, "missing": 0.0, "different_bins": 0.05, "parzen": 242.0,
    "memorisation": 1.0, "contrast": 1.0, "specks": 0.003, "faint": 0.0001, "place": 0.02, "repeated": 0.01, "copies": 0.01,
}  # fmt: skip
COLUMNS = {
    "precision": 0.95, "coverage": 0.96, "shapes": 0.05, "correlations": 0.06, "tails": 1.0, "familiar": 0.9, "lost": 0.0,
}  # fmt: skip
MIXTURE = {
    "precision": 0.99, "coverage": 0.97, "modes": 8.0, "high_quality": 0.99, "reverse_kl": 0.001, "mode_width": 1.0,
    "missing": 0.0,
}  # fmt: skip
SIGNAL = {"precision": 0.85, "coverage": 0.95, "spectrum": 0.1, "envelope": 0.3, "loudness": 1.0}
LINES = {"precision": 0.95, "coverage": 0.96, "letters": 0.02, "bigrams": 0.05, "trigrams": 0.2, "lengths": 0.06}
SHORT = Trained(recipe("default", "table"), 1500, 10_000)


# ------------------------------------------------------------------------------------------------- numbers into words


@pytest.mark.parametrize(
    ("real", "change", "words"),
    [
        (GOOD, {}, CLEAN),
        (GOOD, {"missing": 0.3}, "Mode collapse: 30% of the real samples lie where hardly any generated one is"),
        (GOOD, {"kinds": 8.0}, "Mode collapse: 2 of 10 digits are missing"),
        (GOOD, {"spread": 0.05}, "Mode collapse: all samples are alike"),
        (GOOD, {"spread": 0.7}, "Too narrow: samples differ less than real ones (spread 70% of real"),
        (GOOD, {"digit_kl": 0.5}, "Uneven: "),
        (GOOD, {"recall": 0.8}, "Less varied than real samples: coverage 100% and recall 87% of real"),
        (GOOD, {"coverage": 0.2}, "Less varied than real samples: coverage 21%"),
        (GOOD, {"memorisation": 0.5}, "Memorisation: "),
        (GOOD, {"parzen": 260.0}, "Blur: contrast of neighbouring pixels is 100% of real, and Parzen is 18 nats above"),
        (GOOD, {"sharpness": 0.5}, "Blur: "),
        (GOOD, {"sharpness": 1.4}, "Speckle: contrast of neighbouring pixels is 140% of real"),
        (GOOD, {"specks": 0.3}, "Speckle: 0.30 lone bright pixels an image (real 0.003)"),
        (GOOD, {"contrast": 0.8, "parzen": 270.0}, "Wrong contrast: pixels are spread 80% as widely as real ones"),
        (GOOD, {"faint": 0.01}, "Ghosts: 1.00% of the pixels are faint and far from bright ones (of real ones 0.01%)"),
        (GOOD, {"place": 1.5}, "Out of place: samples lie 1.5 pixels from where real ones do"),
        (GOOD, {"repeated": 0.2}, "Repetition: 20.0% of the samples are nearly like another one (of real ones 1.0%)"),
        (GOOD, {"copies": 0.1}, "Memorisation: samples are nearer to training than to held-out data; 10.0% are nearly copies"),
        (GOOD, {"precision": 0.4, "coverage": 0.2}, "Unlike the data: most samples are like no real one (precision 43%"),
        (GOOD, {"precision": 0.4, "kinds": 3.0}, "Unlike the data: .* and 7 of 10 digits are missing"),
        (GOOD, {"precision": 0.7}, "Strays: "),
        (GOOD, {"density": 0.6}, "Less faithful than real samples: "),
        (COLUMNS, {}, CLEAN),
        (COLUMNS, {"shapes": 0.2}, "A column unlike the data: the shares of one column differ by up to 20% (of real ones 5%)"),
        (COLUMNS, {"correlations": 0.7}, "Correlations lost: that of one pair of columns is wrong by 0.70"),
        (COLUMNS, {"tails": 0.1}, "Tails cut: extreme values are 10% as frequent as in the data"),
        (COLUMNS, {"tails": 3.0}, "Tails too heavy: extreme values are 3.0 times as frequent"),
        (COLUMNS, {"lost": 0.15}, "Categories lost: in one column, values that 15% of the real rows have are not generated"),
        (COLUMNS, {"familiar": 0.1, "lost": 1.0}, "Rounding lost: of the columns with repeated values 10% of the values exist"),
        (GOOD | {"motion": 1.0}, {"motion": 0.5}, "Motion unlike the data: pixels change 50% as much"),
        (SIGNAL, {}, CLEAN),
        (SIGNAL, {"loudness": 0.5}, "Too quiet: signals are 50% as strong as real ones"),
        (SIGNAL, {"loudness": 2.0}, "Too loud: signals are 200% as strong as real ones"),
        (SIGNAL, {"spectrum": 5.0}, "A spectrum unlike the data: the mean power of frequencies differs by 5.0 dB"),
        (SIGNAL, {"envelope": 5.0}, "Power at other moments: the mean power of moments differs by 5.0 dB (of real ones 0.3)"),
        (LINES, {}, CLEAN),
        (LINES, {"bigrams": 0.3}, "Letters unlike the data: 30% of the pairs of neighbouring letters are others"),
        (LINES, {"lengths": 0.9}, "Lines of another length: lengths differ by 0.9 characters (of real ones 0.1)"),
        (MIXTURE, {}, CLEAN),
        (MIXTURE, {"modes": 5.0}, "Mode collapse: 3 of 8 modes have no samples"),
        (MIXTURE, {"modes": 5.0, "high_quality": 0.02}, "Unlike the data: most .* of real)\\. "),
        (MIXTURE, {"reverse_kl": 0.3}, "Uneven: "),
        (MIXTURE, {"high_quality": 0.8}, "Strays: too many samples are like no real one (high_quality 81% of real)"),
        (MIXTURE, {"mode_width": 0.6}, "Modes too narrow: 0.60 of their true width"),
        (MIXTURE, {"mode_width": 1.6}, "Modes too wide: "),
    ],
)  # fmt: skip
def test_each_fault_alone_gives_its_finding_with_advice(
    real: dict[str, float], change: dict[str, float], words: str
) -> None:
    findings = verdict({**real, **change}, real)
    assert len(findings) == 1 and re.match(re.sub(r"([()])", r"\\\1", words), findings[0]), findings
    assert findings == [CLEAN] or " Try " in findings[0]


@pytest.mark.parametrize(
    ("name", "real", "by_chance", "wrong", "m"),
    [
        ("faint", 0.5, 0.57, 0.9, 100),  # photographs
        ("specks", 1.3, 1.5, 3.5, 100),
        ("specks", 0.05, 0.15, 1.0, 20),
        ("place", 1.5, 2.0, 3.0, 100),
        ("shapes", 0.18, 0.4, 0.6, 20),
        ("correlations", 0.15, 0.49, 0.9, 20),
        ("familiar", 0.95, 0.82, 0.3, 20),
        ("lost", 0.0, 0.03, 0.5, 60),
    ],
)
def test_what_few_or_grey_real_samples_differ_by_is_no_finding(
    name: str, real: float, by_chance: float, wrong: float, m: int
) -> None:
    """Values that were met among real samples, and values that were not."""
    assert verdict({name: by_chance}, {name: real}, m=m) == [CLEAN]
    assert verdict({name: wrong}, {name: real}, m=m) != [CLEAN]


def test_images_without_contrast_are_neither_sharp_nor_speckled() -> None:
    rows = np.zeros((100, 25))
    rows[:, 12] = np.arange(100) / 100
    for images, made in ((rows, rows * 0), (rows * 0, rows), (rows * 0, rows * 0)):
        suite = Suite(own("image", images, (5, 5)), HOST)
        findings = set(found(suite, made)) - ({"Speckle"} if made.any() else set())  # those are lone pixels
        assert not {"Speckle", "Blur"} & set(findings)
        assert ("Wrong contrast" in findings) == bool(images.any())


def test_every_finding_is_reached_by_some_fault() -> None:
    names = [finding.name for group in FINDINGS for finding in group]
    marks = test_each_fault_alone_gives_its_finding_with_advice.pytestmark[0].args[1]
    assert {words.partition(":")[0] for *_, words in marks} - {CLEAN} == set(names) - {"Under-trained"}
    assert len(set(names)) == len(names)


def test_a_run_of_few_steps_is_under_trained() -> None:
    """Three modes, all reached, by samples a little beside them."""
    real = {"precision": 0.9883, "recall": 0.9894, "density": 0.9904, "coverage": 0.98, "missing": 0.0, "spread": 1.01}
    made = {"precision": 0.1033, "recall": 1.0, "density": 0.07, "coverage": 0.2554, "missing": 0.0, "spread": 1.02}
    assert verdict(made, real, SHORT) == [
        "Under-trained: after 1,500 steps most samples are like no real one (precision 10% of real). "
        "Try more --steps (the default recipe makes 10,000)."
    ]
    assert verdict(made, real, Trained(SHORT.config, 10_000, 10_000))[0].startswith("Unlike the data")
    stopped = Trained(SHORT.config, 1500, 10_000, going_on=True)
    assert "Try its remaining steps (--resume)." in verdict(made, real, stopped)[0]


@pytest.mark.parametrize(
    ("settings", "fault", "followed", "kept"),
    [
        ({}, {"missing": 0.3}, ["--objective", "--r1 1"], ["more --steps", "larger --r1"]),
        ({"objective": "hinge"}, {"missing": 0.3}, ["--r1 1"], ["--objective relativistic"]),
        ({"r1": 0.0, "r2": 0.0}, {"missing": 0.3}, ["larger", "--objective"], ["--r1 1 with --r2 1"]),
        ({"r1": 0.0, "r2": 0.0}, {"sharpness": 0.5}, ["--r1"], ["more --steps"]),
        ({}, {"sharpness": 0.5}, ["--penalty-schedule"], ["smaller --r1"]),
        ({"ema": 0.9}, {"sharpness": 1.5}, ["--lr-schedule"], ["--ema 0.999"]),
        ({"lr_schedule": "constant"}, {"sharpness": 1.5}, ["--ema"], ["--lr-schedule cosine"]),
        ({"recipe": "best"}, {"density": 0.5}, ["--recipe"], ["more --steps"]),
        ({}, {"density": 0.5}, [], ["--recipe best"]),
        ({"lr_schedule": "exponential", "lr_end": 0.001}, {"mode_width": 0.5}, ["--lr-end"], ["--recipe best"]),
    ],
)
def test_advice_that_the_run_follows_is_not_given(
    settings: dict, fault: dict[str, float], followed: list[str], kept: list[str]
) -> None:
    config = recipe("default", "digits").replace(**settings)
    said = verdict({**GOOD, **fault}, {**GOOD, "mode_width": 1.0}, Trained(config, 20_000, 20_000))[0]
    assert not [word for word in followed if word in said] and all(word in said for word in kept), said


@pytest.mark.parametrize("undefined", ["coverage", "recall"])
def test_a_value_that_is_undefined_is_one_that_was_not_measured(undefined: str) -> None:
    uneven = {"coverage": 0.9, "recall": 0.8, "digit_kl": 0.5}
    real = {"coverage": 1.0, "recall": 1.0, "digit_kl": 0.0}
    (said,) = verdict({**uneven, undefined: math.nan}, real)
    assert said == verdict({name: value for name, value in uneven.items() if name != undefined}, real)[0]
    assert said.startswith("Uneven") and "nan" not in said and undefined not in said
    assert {"coverage": "recall 80% of real", "recall": "coverage 90% of real"}[undefined] in said


RUNS = st.builds(
    Trained,
    st.builds(
        Config,
        objective=st.sampled_from(tuple(OBJECTIVES)),
        r1=st.sampled_from((0.0, 1.0)),
        r2=st.sampled_from((0.0, 1.0)),
        lr_schedule=st.sampled_from(tuple(SCHEDULES)),
        lr_end=st.sampled_from((0.001, 0.1)),
        penalty_schedule=st.sampled_from(tuple(SCHEDULES)),
        ema=st.sampled_from((0.0, 0.9999)),
        recipe=st.sampled_from(RECIPES),
    ),
    st.none() | st.integers(0, 30_000),
    st.integers(0, 30_000),
    st.booleans(),
)
VALUES = st.dictionaries(st.sampled_from(list(MEASURES)), st.floats(allow_nan=True, allow_infinity=True))


@given(VALUES, VALUES, RUNS)
def test_a_verdict_is_found_for_any_values_and_never_without_advice(
    made: dict[str, float], real: dict[str, float], trained: Trained
) -> None:
    both = set(made) & set(real)
    findings = verdict({k: made[k] for k in both}, {k: real[k] for k in both}, trained)
    assert findings and all(f.endswith(".") and "nan" not in f for f in findings)
    assert findings == [CLEAN] or all(re.search(r" Try \S.*\w.*\.$", f) for f in findings)


@given(RUNS)
def test_every_finding_has_advice_for_every_run(trained: Trained) -> None:
    for group in FINDINGS:
        for finding in group:
            assert any(advice(trained) for advice in finding.advice), finding.name


# ------------------------------------------------------------------------------------------------------ planted faults


def own(kind: str, rows: np.ndarray, shape: tuple[int, ...]) -> Data:
    columns = () if kind == "image" else tuple(f"c{i}" for i in range(rows.shape[1]))
    rows, n = rows.astype(np.float32), len(rows) - len(rows) // 5
    return Data("own", SPACES[kind](shape, columns), rows[:n], rows[n:], rows[:0], None, 1.0)


def draw_points(n: int, seed: int) -> np.ndarray:
    """Three modes as above, with unequal shares."""
    r = np.random.default_rng(seed)
    which = r.choice(3, n, p=(0.5, 0.3, 0.2))
    angle = which * 2 * np.pi / 3
    return np.c_[np.cos(angle), np.sin(angle)] + r.normal(0, 0.03, (n, 2))


def draw_table(n: int, seed: int) -> np.ndarray:
    """Two groups of rows, with a whole number, a yes or no, and a skewed column."""
    r = np.random.default_rng(seed)
    a = r.integers(0, 2, n)
    return np.c_[r.normal(5 * a, 1), r.normal(-3 * a, 0.5), r.integers(0, 10, n) + 20 * a, a, r.gamma(2, 2, n)]


POINTS, TABLE = draw_points(3000, 0), draw_table(3000, 0)
DIGITS = planted.drawn("digits", 0, 10_000)
"""Divided anew, with images that are neither held out nor training images."""


@pytest.fixture(scope="module")
def suites() -> dict[str, Suite]:
    return {
        "points": Suite(own("points", POINTS, (2,)), HOST),
        "table": Suite(own("table", TABLE, (5,)), HOST),
        "digits": Suite(DIGITS.data, HOST),
        "ring": Suite(load("ring"), HOST, 1500),
    }


def fresh(suites: dict[str, Suite], name: str) -> np.ndarray:
    """New real samples."""
    if name == "digits":
        return DIGITS.x
    draws = {"points": draw_points, "table": draw_table}
    return draws[name](2400, 1).astype(np.float32) if name in draws else suites[name].others


def found(suite: Suite, x: np.ndarray, trained: Trained | None = None) -> list[str]:
    findings = verdict(suite.measure(np.ascontiguousarray(x, np.float32)), suite.real, trained, suite.m)
    return [finding.partition(":")[0] for finding in findings]


NAMES = ("points", "table", "digits", "ring")


@pytest.mark.parametrize("name", NAMES)
def test_new_real_samples_have_a_clean_verdict(suites: dict[str, Suite], name: str) -> None:
    assert found(suites[name], fresh(suites, name)) == [CLEAN]


def part(suites: dict[str, Suite], name: str) -> np.ndarray:
    """Real samples without those of one mode, one group, or half of the digits."""
    x = fresh(suites, name)
    if name == "digits":
        kept = load_classifier("digits", HOST).features(x)[1] < 5
    else:
        kept = {"points": x[:, 1] < 0.5, "table": x[:, 0] < 2.5, "ring": x[:, 0] < 0.9 * x[:, 0].max() - 0.1}[name]
    return np.resize(x[kept], x.shape)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strays", [0.0, 0.03])
def test_dropped_modes_are_a_collapse_also_among_strays(suites: dict[str, Suite], name: str, strays: float) -> None:
    x, r = part(suites, name), np.random.default_rng(0)
    assert len(np.unique(x, axis=0)) < 0.9 * len(x)
    at = r.random(len(x)) < strays
    x[at] = r.uniform(x.min(axis=0), x.max(axis=0), x.shape)[at]
    assert found(suites[name], x)[0] == "Mode collapse"


@pytest.mark.parametrize("name", NAMES)
def test_one_sample_for_all_is_a_collapse_like_the_data_or_not(suites: dict[str, Suite], name: str) -> None:
    x, r = fresh(suites, name), np.random.default_rng(0)
    for one in (x[:1], r.uniform(x.min(axis=0), x.max(axis=0), x[:1].shape)):
        assert found(suites[name], one + 1e-3 * r.normal(size=x.shape))[0] == "Mode collapse"


@pytest.mark.parametrize("name", ["points", "table", "ring"])
def test_samples_beside_every_mode_are_no_collapse(suites: dict[str, Suite], name: str) -> None:
    """All parts are reached, by samples displaced by three times the width of a mode."""
    x, r = fresh(suites, name), np.random.default_rng(0)
    width = {"points": 0.03, "ring": 0.02, "table": 0.5}[name]
    trained = Trained(SHORT.config, 1000, 10_000)
    assert found(suites[name], x + 3 * width * r.normal(size=x.shape), trained)[0] in (
        "Under-trained",
        "Less varied than real samples",
    )
    assert "Mode collapse" not in found(suites[name], x + 3 * width * r.normal(size=x.shape))


@pytest.mark.parametrize("name", NAMES)
def test_copies_of_training_rows_are_memorisation(suites: dict[str, Suite], name: str) -> None:
    suite = suites[name]
    assert "Memorisation" in found(suite, suite.training)


def test_blurred_and_speckled_images_are_blur_and_speckle(suites: dict[str, Suite]) -> None:
    x = fresh(suites, "digits")
    images = np.pad(x.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    blurred = sum(images[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)).reshape(-1, 64) / 9
    assert "Blur" in found(suites["digits"], blurred)
    speckled = np.clip(x + 0.3 * np.random.default_rng(0).normal(size=x.shape), 0, 1)
    assert "Speckle" in found(suites["digits"], speckled)
    noise = found(suites["digits"], np.random.default_rng(0).random(x.shape))
    assert {"Speckle", "Unlike the data"} <= set(noise)


def test_samples_drawn_together_are_too_narrow(suites: dict[str, Suite]) -> None:
    for name in ("table", "points"):
        x = fresh(suites, name)
        narrow = x.mean(axis=0) + 0.8 * (x - x.mean(axis=0)) if name == "table" else x * 0.7
        assert found(suites[name], narrow)[0] in ("Too narrow", "Unlike the data")
    r = np.random.default_rng(0)
    normal = Suite(own("table", r.normal(size=(3000, 4)), (4,)), HOST)
    assert found(normal, 0.7 * r.normal(size=(2000, 4)))[0] == "Too narrow"


def test_a_mode_of_half_its_weight_is_uneven_not_missing(suites: dict[str, Suite]) -> None:
    x = suites["ring"].others
    right = x[:, 0] > 0.3 * x[:, 0].max()
    uneven = np.concatenate([np.repeat(x[right], 6, axis=0), x[~right]])
    found_ = found(suites["ring"], np.random.default_rng(0).permutation(uneven))
    assert found_[0] == "Uneven"


def test_modes_may_be_unmet_by_chance_where_few_samples_are_good() -> None:
    real = {**MIXTURE, "modes": 25.0}
    assert "Unlike" in verdict({**real, "modes": 22.0, "high_quality": 0.05}, real)[0]
    assert "modes" not in verdict({**real, "modes": 22.0, "high_quality": 0.05}, real)[0]
    assert "3 of 25 modes" in verdict({**real, "modes": 22.0, "high_quality": 0.2}, real)[0]
    assert not math.isnan(len(verdict({**real, "modes": math.nan}, real)))
