"""Named settings per data set. A flag given on the command line overrides the recipe's value.

default   quick, with good samples
best      two to eight times as many steps; mixtures with other settings
article   the networks and schedule of the article that this project starts from (docs/article.md)
"""

from __future__ import annotations

from typing import Any

from minigan.config import Config
from minigan.data import DATA_SETS
from minigan.errors import InputError

# Relativistic pairing loss with zero-centred penalties on both sides (R3GAN, Huang et al. 2024), the penalties applied
# lazily (StyleGAN2, Karras et al. 2020, section 4.1): many cheap steps beat few expensive ones.
_STABLE = {
    "objective": "relativistic",
    "r1": 1.0,
    "r2": 1.0,
    "penalty_every": 8,
    "penalty_schedule": "linear",
    "lr_schedule": "cosine",
    "beta1": 0.0,
    "beta2": 0.99,
    "lr_generator": 1e-3,
    "lr_discriminator": 1e-3,
    "activation": "leaky-relu",
    "ema": 0.999,
    "batch_size": 64,
}
# The sigmoid leaves fewer lone bright pixels than tanh, which saturates at both ends of grey values that are mostly black; a long
# average leaves fewer still (docs/results.md, "Choice of the settings").
_IMAGES = {**_STABLE, "latent": 64, "hidden": (256, 256), "output": "sigmoid", "ema": 0.9997}
# Deep and narrow networks draw sharp borders between distant modes. Modes come out too narrow as long as learning rates
# and penalties are large, so both fall by orders of magnitude (docs/results.md, "How the settings were found").
_POINTS = {
    **_STABLE,
    "latent": 2,
    "hidden": (48,) * 5,
    "output": "identity",
    "spread": 3.0,
    "update": "simultaneous",
    "batch_size": 128,
    "penalty_end": 0.02,
    "lr_generator": 3e-3,
    "lr_discriminator": 3e-3,
    "lr_schedule": "exponential",
    "lr_end": 0.05,
    "beta2": 0.999,
    "steps": 28_000,
    "log_every": 200,
    "sample_every": 1000,
}
_RING = {**_POINTS, "r1": 0.07, "r2": 0.07}
# In a short run 25 modes need large learning rates for longer, to separate: a cosine schedule.
_GRID = {
    **_POINTS,
    "r1": 0.12,
    "r2": 0.12,
    "lr_schedule": "cosine",
    "lr_end": 0.02,
    "steps": 36_000,
    "sample_every": 2000,
}
_LONG_POINTS = {"hidden": (48,) * 6, "steps": 190_000, "log_every": 500, "sample_every": 10_000}
# Small penalties and learning rates give modes their true width. The ring's few modes stay separate with them; too many of
# the grid's 25 would be connected.
_LONG_RING = {
    **_LONG_POINTS,
    "r1": 0.025,
    "r2": 0.025,
    "penalty_end": 0.0002,
    "lr_generator": 7e-4,
    "lr_discriminator": 7e-4,
    "lr_end": 0.01,
}
_LONG_GRID = {
    **_LONG_POINTS,
    "lr_schedule": "exponential",
    "steps": 300_000,
    "r1": 0.07,
    "r2": 0.07,
    "penalty_end": 0.001,
    "lr_generator": 1.5e-3,
    "lr_discriminator": 1.5e-3,
    "lr_end": 0.005,
}
_TABLE = {
    **_STABLE,
    "latent": 16,
    "hidden": (128, 128),
    "output": "identity",
    "steps": 10_000,
    "log_every": 200,
    "sample_every": 1000,
}
_SIGNAL = {**_IMAGES, "output": "identity", "steps": 20_000, "log_every": 200, "sample_every": 1000}
# One value of many at a position is 1 and all others are 0: as they are, not in their standard deviations, beyond which the rare
# ones would lie.
_TEXT = {**_IMAGES, "steps": 20_000, "log_every": 200, "sample_every": 1000}
_CLIP = {**_IMAGES, "hidden": (512, 256), "steps": 10_000, "log_every": 200, "sample_every": 1000}
_DIGITS = {**_IMAGES, "hidden": (192, 128, 128), "steps": 30_000, "log_every": 200, "sample_every": 1500}
# Weights that the patches of an image share see a gap, a ghost or a speck wherever it is, from few images.
_MNIST = {
    **_IMAGES,
    "convolutions": (4, 2, 16, 3, 2, 32),
    "hidden": (128, 256),
    "ema": 0.9998,
    "r1": 0.5,
    "r2": 0.5,
    "lr_generator": 3.2e-3,
    "lr_discriminator": 3.2e-3,
    "steps": 25_000,
    "log_every": 500,
    "sample_every": 2000,
    "save_every": 5000,
}
_LONG_MNIST = {
    "ema": 0.9999,
    "steps": 60_000,
    "log_every": 1000,
    "sample_every": 6000,
}
_ARTICLE = {
    "latent": 100,
    "hidden": (256, 256),
    "activation": "relu",
    "output": "sigmoid",
    "objective": "non-saturating",
    "update": "simultaneous",
    "steps": 10_000,
    "batch_size": 100,
    "lr_generator": 2e-4,
    "lr_discriminator": 2e-4,
    "beta1": 0.5,
    "beta2": 0.999,
    "ema": 0.0,
}

# "image" and "table" are for own data
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "default": {
        "digits": _DIGITS,
        "mnist": _MNIST,
        "ring": _RING,
        "grid": _GRID,
        "image": {**_IMAGES, "steps": 15_000, "log_every": 200, "sample_every": 1000},
        "table": _TABLE,
        "signal": _SIGNAL,
        "text": _TEXT,
        "clip": _CLIP,
    },
    # longer; schedules stretch with the steps
    "best": {
        "digits": {**_DIGITS, "steps": 100_000, "log_every": 500, "sample_every": 5000},
        "mnist": {**_MNIST, **_LONG_MNIST},
        "ring": {**_RING, **_LONG_RING},
        "grid": {**_GRID, **_LONG_GRID},
        "image": {**_IMAGES, "steps": 60_000, "log_every": 500, "sample_every": 4000},
        "table": {**_TABLE, "steps": 40_000, "log_every": 500, "sample_every": 4000},
        "signal": {**_SIGNAL, "steps": 60_000, "log_every": 500, "sample_every": 4000},
        "text": {**_TEXT, "steps": 45_000, "log_every": 500, "sample_every": 4000},
        "clip": {**_CLIP, "steps": 20_000, "log_every": 200, "sample_every": 2000},
    },
    "article": dict.fromkeys((*DATA_SETS, "image"), _ARTICLE),
}


def recipe(name: str, family: str) -> Config:
    """The settings of recipe `name` for a data set, or for own data ("image", "table"), whose settings a data set without a row
    in it has too.

    Raises: InputError where there is no such recipe.
    """
    if name not in RECIPES:
        raise InputError(f"--recipe {name} is unknown; choose one of: {', '.join(RECIPES)}.")
    table = RECIPES[name]
    kin = DATA_SETS[family].space.family if family in DATA_SETS else family
    values = table.get(family, table.get(kin))
    if values is None:
        raise InputError(f"--recipe {name} has no settings for {family} data; choose --recipe default.")
    return Config(**{"data": family if family in DATA_SETS else "digits", "recipe": name, **values})
