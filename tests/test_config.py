"""The configuration: every range; untrusted JSON gives a valid configuration or one sentence."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan import train
from minigan.backends.activations import ACTIVATIONS as IMPLEMENTED_ACTIVATIONS
from minigan.config import (
    ACTIVATIONS,
    DTYPES,
    MAX_COUNT,
    NEEDS,
    OUTPUTS,
    SCHEDULES,
    UPDATES,
    Config,
    Goal,
    check_effect,
    flag,
)  # fmt: skip
from minigan.data import DATA_SETS
from minigan.data.reading import COLORS, DECIMALS
from minigan.data.spaces import Image
from minigan.errors import InputError
from minigan.nn.network import Network
from minigan.nn.objectives import OBJECTIVES
from minigan.nn.optim import schedule
from minigan.recipes import RECIPES, recipe

TOO_LARGE = 10**400
"""A whole number beyond every float: JSON and argparse can hold it."""

COUNT = ([1, 2, MAX_COUNT], [0, -1, MAX_COUNT + 1, TOO_LARGE], ">= 1")
PENALTY = ([0, 0.5, 1e6], [-1e-9, math.inf, -TOO_LARGE, TOO_LARGE], ">= 0")
RATE = ([1e-12, 1, 1e30], [0, 0.0, -1.0, math.inf, TOO_LARGE], "> 0")
FRACTION = ([0, 0.0, 0.999999], [1, 1.0, -0.1, math.inf], ">= 0 and < 1")
NUMBERS = {
    "image_size": ([1, 1024], [0, 1025], ">= 1 and <= 1024"),
    "sample_rate": ([0, 8000], [-1, 1 << 31], f">= 0 and <= {1 << 30}"),
    "length": ([0, 12], [-1, 1 << 21], f">= 0 and <= {1 << 20}"),
    "latent": COUNT,
    "spread": ([0.001, 3, 1000], [0, 5e-324, -1.0, 1001, math.inf, TOO_LARGE], ">= 0.001 and <= 1000"),
    "label_smoothing": FRACTION,
    "r1": PENALTY,
    "r2": PENALTY,
    "gradient_penalty": PENALTY,
    "penalty_end": ([0, 0.0, 0.002, 1], [-0.1, 1.01, math.inf, TOO_LARGE], ">= 0 and <= 1"),
    "penalty_every": COUNT,
    "steps": COUNT,
    "schedule_steps": COUNT,
    "batch_size": COUNT,
    "threads": ([0, 1024], [-1, 1025], ">= 0 and <= 1024"),
    "steps_per_launch": ([1, 1000], [0, 1001], ">= 1 and <= 1000"),
    "discriminator_steps": ([1, 1000], [0, 1001], ">= 1 and <= 1000"),
    "lr_generator": RATE,
    "lr_discriminator": RATE,
    "lr_end": ([0, 0.0, 0.01, 1], [-0.1, 1.01, math.inf, TOO_LARGE], ">= 0 and <= 1"),
    "beta1": FRACTION,
    "beta2": FRACTION,
    "ema": FRACTION,
    "seed": ([0, 2**63 - 1], [-1, 2**63], f">= 0 and <= {2**63 - 1}"),
    "log_every": COUNT,
    "sample_every": COUNT,
    "save_every": COUNT,
    "evaluate_every": COUNT,
}
WHOLE = {f.name for f in dataclasses.fields(Config) if str(f.type).startswith("int")}
CHOICES = {
    "color": COLORS,
    "decimal": DECIMALS,
    "activation": ACTIVATIONS,
    "output": OUTPUTS,
    "dtype": DTYPES,
    "objective": OBJECTIVES,
    "penalty_schedule": SCHEDULES,
    "update": UPDATES,
    "lr_schedule": SCHEDULES,
    "kernels": ("reference", "numba", "cuda", "cuda-tf32"),
    "backend": ("numpy", "cupy"),
    "recipe": ("default", "best", "article"),
}
REST = {
    *("data", "data_dir", "all_data", "hidden", "convolutions", "until"),
    *("shape", "columns", "drop", "label_column"),
}


def refusal(**values: Any) -> str:
    with pytest.raises(InputError) as caught:
        Config(**values)
    return str(caught.value)


def test_the_tables_above_hold_every_setting() -> None:
    assert {f.name for f in dataclasses.fields(Config)} == {*NUMBERS, *CHOICES, *REST}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_out_of_range_are_refused_naming_flag_and_range(name: str) -> None:
    good, bad, words = NUMBERS[name]
    for value in good:
        assert getattr(Config(**{"lr_end": 0.01, "objective": "minimax", name: value}), name) == value
    kind = "a whole number" if name in WHOLE else "a finite number"
    for value in bad:
        assert refusal(**{name: value}) == f"{flag(name)} {value} is out of range; it must be {kind} {words}."
    for value in [
        "1",
        [1],
        True,
        {},
        1j,
        *([] if name in ("schedule_steps", "evaluate_every") else [None]),
        *([1.0] if name in WHOLE else []),
    ]:
        assert refusal(**{name: value}) == f"{flag(name)} must be {kind.replace('finite ', '')}, not {value!r}."
    if name not in WHOLE:
        assert f"{flag(name)} nan is out of range" in refusal(**{name: math.nan})


@pytest.mark.parametrize("name", CHOICES)
def test_unknown_names_list_the_known_ones(name: str) -> None:
    for value in CHOICES[name]:
        assert getattr(Config(**{"lr_end": 0.01, name: value}), name) == value
    assert (
        refusal(**{name: "nonsense"}) == f"{flag(name)} nonsense is unknown; choose one of: {', '.join(CHOICES[name])}."
    )
    assert refusal(**{name: 3}) == f"{flag(name)} must be text, not 3."


def test_other_settings_are_checked_for_their_types() -> None:
    assert Config(hidden=(3,)).hidden == (3,)
    assert Config(hidden=()).hidden == ()
    for value in (3, None, "3"):
        assert refusal(hidden=value) == f"--hidden must be whole numbers, not {value!r}."
    assert refusal(hidden=[3]) == "--hidden must be whole numbers, not [3]; give a tuple, as (3,)."
    assert refusal(steps=np.zeros((2, 3))) == "--steps must be a whole number, not an array of shape (2, 3)."
    assert (
        refusal(data=np.zeros(2))
        == "--data must be text, not an array of shape (2,); numpy.save it, and give the path."
    )
    assert refusal(hidden=(3, 0)) == "--hidden 0 is out of range; it must be a whole number >= 1."
    assert refusal(hidden=(3, 2.0)) == "--hidden must be a whole number, not 2.0."
    assert refusal(all_data=1) == "--all-data must be true or false, not 1."
    assert refusal(data=None) == "--data must be text, not None."
    assert refusal(data_dir=3) == "--data-dir must be text, not 3."
    assert Config(data_dir="x").data_dir == "x"


@pytest.mark.parametrize("text", ["frechet<8", " coverage > 0.85 ", "kid<-1e-3", "digit_kl<.01", "modes>7."])
def test_a_goal_is_a_measure_a_sign_and_a_number(text: str) -> None:
    assert Config(until=text).until == text
    goal = Goal.parse(text)
    name, _, value = text.replace(">", "<").partition("<")
    assert (goal.name, goal.below, goal.value) == (name.strip(), "<" in text, float(value))
    assert goal.met(goal.value + (-1 if goal.below else 1)) and not goal.met(goal.value) and not goal.met(math.nan)


@given(st.text(max_size=12))
@pytest.mark.parametrize(
    "text", ["", "frechet", "frechet=8", "frechet<", "<8", "frechet<nan", "a<1_0", "a<1e999", "a<٣"]
)
def test_what_is_no_goal_is_refused_in_one_sentence(text: str, other: str) -> None:
    for words in (text, other):
        try:
            Goal.parse(words)
        except InputError as error:
            assert str(error) == f'--until {words!r} must be a measure, < or >, and a number, as in "frechet<8".'
        else:
            assert words is other and re.search(r"[a-z_]\s*[<>]\s*[-+.0-9]", words)


def test_settings_cannot_be_changed_afterwards_only_replaced() -> None:
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.steps = 3  # type: ignore[misc]
    assert config.replace(steps=3).steps == 3
    assert config.steps == 5000
    with pytest.raises(InputError, match="--steps 0"):
        config.replace(steps=0)
    with pytest.raises(InputError, match=r"no setting is called step; did you mean steps\?"):
        config.replace(step=3)
    with pytest.raises(InputError, match="no setting is called x; the settings are data, data_dir"):
        config.replace(x=3)


def test_every_setting_has_documentation_and_a_kind() -> None:
    for field in dataclasses.fields(Config):
        assert field.metadata["help"] and field.metadata["kind"] in ("science", "place", "report")
    assert flag("batch_size") == "--batch-size"


def test_every_choice_is_implemented(backend: Any) -> None:
    assert {*ACTIVATIONS, *OUTPUTS} <= set(IMPLEMENTED_ACTIVATIONS)
    for name in SCHEDULES:
        schedule(name, 1, 2, 0.1)
    for dtype in DTYPES:
        assert Network((1, 1), "relu", "tanh", backend, dtype).theta.flat.dtype == dtype


NAMES = st.sampled_from([f.name for f in dataclasses.fields(Config)])
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**63 - 1),
        "hidden": st.lists(st.integers(1, 9999)).map(tuple),
        "data": st.text(),
        "data_dir": st.none() | st.text(),
        "beta1": st.floats(0, 1, exclude_max=True),
        "lr_generator": st.floats(0, exclude_min=True, allow_infinity=False),
        "schedule_steps": st.none() | st.integers(1, MAX_COUNT),
        "all_data": st.booleans(),
        "objective": st.sampled_from(tuple(OBJECTIVES)),
        "penalty_schedule": st.sampled_from(tuple(SCHEDULES)),
    },
).map(lambda values: Config(**values))


@given(CONFIGS)
def test_a_configuration_survives_json(config: Config) -> None:
    assert Config.from_dict(json.loads(json.dumps(config.to_dict())), "x") == config


def test_what_is_left_out_of_a_dictionary() -> None:
    whole = Config(data_dir="/home/somebody").to_dict()
    assert set(whole) == {f.name for f in dataclasses.fields(Config)}
    assert "data_dir" not in Config(data_dir="/home/somebody").to_dict(places=False)
    science = set(Config().to_dict(places=False, report=False))
    report = {
        "backend",
        "recipe",
        "log_every",
        "sample_every",
        "save_every",
        "evaluate_every",
        "until",
        "threads",
        "steps_per_launch",
    }
    assert set(whole) - science == {"data_dir", *report}


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([TOO_LARGE, -TOO_LARGE]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | NAMES, inner, max_size=3),
)


@given(ANYTHING | st.dictionaries(NAMES, ANYTHING, max_size=4))
def test_untrusted_values_give_a_configuration_or_one_sentence(values: Any) -> None:
    try:
        config = Config.from_dict(values, "file.json")
    except InputError as error:
        assert str(error).startswith("file.json: ")
    else:
        assert Config.from_dict(config.to_dict(), "x") == config


def test_untrusted_keys_are_not_guessed_at() -> None:
    with pytest.raises(InputError, match="c.json: unknown setting 'stepz'; it was written by another version"):
        Config.from_dict({"stepz": 3}, "c.json")
    with pytest.raises(InputError, match="c.json: the configuration is not a JSON object."):
        Config.from_dict([1], "c.json")
    with pytest.raises(InputError, match="c.json: --steps 0 is out of range"):
        Config.from_dict({"steps": 0}, "c.json")


def test_defaults_are_neutral_and_the_recipe_of_digits_is_what_is_trained_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A default means "not given" for recipes, for the check of settings without effect, and for files without a setting."""
    monkeypatch.delenv("MINIGAN_DATA", raising=False)
    plain, trained = Config(), train.parse([])[0]
    assert trained == recipe("default", "digits")
    assert (plain.r1, plain.r2, plain.gradient_penalty, plain.label_smoothing) == (0, 0, 0, 0)
    assert {plain.lr_schedule, plain.penalty_schedule} == {"constant"} and plain.penalty_every == 1
    check_effect(plain, [f.name for f in dataclasses.fields(Config)])
    assert Config.from_dict({}, "a file") == plain
    given = set(RECIPES["default"]["digits"])
    assert all(
        getattr(trained, f.name) == getattr(plain, f.name) for f in dataclasses.fields(Config) if f.name not in given
    )


def test_every_recipe_is_a_valid_configuration() -> None:
    for name, table in RECIPES.items():
        for kind in (*DATA_SETS, *table):
            config = recipe(name, kind)
            assert config.recipe == name
            assert config.data == (kind if kind in DATA_SETS else "digits")
    with pytest.raises(InputError, match="--recipe bests is unknown; choose one of: default, best, article."):
        recipe("bests", "digits")
    with pytest.raises(InputError, match="--recipe article has no settings for table data"):
        recipe("article", "table")


def test_the_article_recipe_is_the_articles() -> None:
    c = recipe("article", "mnist")
    assert (c.latent, c.hidden, c.activation, c.output) == (100, (256, 256), "relu", "sigmoid")
    assert (c.update, c.objective, c.steps, c.batch_size) == ("simultaneous", "non-saturating", 10_000, 100)
    assert (c.lr_generator, c.lr_discriminator, c.beta1, c.beta2) == (2e-4, 2e-4, 0.5, 0.999)
    assert Image((28, 28)).size == 784


def test_a_setting_of_other_objectives_is_refused_with_their_names() -> None:
    for objective in ("least-squares", "hinge", "wasserstein", "relativistic"):
        assert refusal(objective=objective, label_smoothing=0.1) == (
            f"--label-smoothing 0.1 has no effect with --objective {objective}; leave it out, or choose minimax or "
            "non-saturating."
        )
        Config(objective=objective, label_smoothing=0)


def test_what_a_run_ignored_is_left_out_of_its_configuration_and_a_users_file_is_refused() -> None:
    """Earlier versions accepted every setting with every objective."""
    stored = {**Config(objective="hinge").to_dict(), "label_smoothing": 0.1}
    assert Config.from_dict(stored, "config.json", of_a_run=True) == Config(objective="hinge")
    with pytest.raises(InputError, match="config.json: --label-smoothing 0.1 has no effect with --objective hinge"):
        Config.from_dict(stored, "config.json")
    kept = {**stored, "objective": "minimax"}
    assert Config.from_dict(kept, "config.json", of_a_run=True).label_smoothing == 0.1
    for nonsense in (["hinge"], {}, None, "hinges", 3):
        with pytest.raises(InputError, match="--objective"):
            Config.from_dict({**stored, "objective": nonsense}, "config.json", of_a_run=True)


IDLE: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "image_size": (32, {"data": "digits"}, {"data": "pictures"}),
    "color": ("rgb", {"data": "digits"}, {"data": "pictures"}),
    "shape": ((8, 8), {"data": "digits"}, {"data": "rows.npy"}),
    "columns": ("a:integer", {"data": "digits"}, {"data": "rows.csv"}),
    "drop": ("a", {"data": "digits"}, {"data": "rows.csv"}),
    "label_column": ("a", {"data": "digits"}, {"data": "rows.csv"}),
    "decimal": ("comma", {"data": "digits"}, {"data": "rows.csv"}),
    "sample_rate": (8000, {"data": "digits"}, {"data": "sounds"}),
    "length": (12, {"data": "digits"}, {"data": "names.txt"}),
    "spread": (2.0, {"output": "tanh"}, {"output": "identity"}),
    "penalty_every": (4, {"r1": 0.0}, {"r2": 1.0}),
    "penalty_schedule": ("linear", {}, {"gradient_penalty": 1.0}),
    "penalty_end": (0.5, {"r1": 1.0}, {"r1": 1.0, "penalty_schedule": "linear"}),
    "lr_end": (0.5, {}, {"lr_schedule": "cosine"}),
    "schedule_steps": (9, {"penalty_schedule": "linear"}, {"penalty_schedule": "linear", "r1": 1.0}),
}
"""A value for each, settings with which it changes nothing, and settings with which it does."""


@pytest.mark.parametrize("name", IDLE)
def test_a_given_setting_without_effect_is_refused_with_what_it_needs(name: str) -> None:
    value, without, with_ = IDLE[name]
    assert set(IDLE) == set(NEEDS)
    idle = Config(**{**without, name: value})
    with pytest.raises(InputError, match=f"^{flag(name)} has no effect without "):
        check_effect(idle, ["seed", name])
    check_effect(idle, ["seed"])  # a recipe's
    check_effect(Config(**without), [name])  # the value that it has anyway
    check_effect(Config(**{**with_, name: value}), [name])


@pytest.mark.parametrize(("schedule", "end"), [("lr_schedule", "lr_end"), ("penalty_schedule", "penalty_end")])
def test_an_exponential_schedule_needs_an_end(schedule: str, end: str) -> None:
    """0 to the power 0 is 1 and to any other power 0: learning rates would be 0 after one step, without a message."""
    message = refusal(**{schedule: "exponential", end: 0.0})
    assert f"{flag(schedule)} exponential" in message and flag(end) in message
    Config(**{schedule: "exponential", end: 0.001})  # type: ignore[arg-type]
