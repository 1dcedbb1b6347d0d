"""Generative adversarial networks from scratch: every derivative by hand, on NumPy or CuPy.

The public names are imported when they are first used, so that `import minigan` is quick.
"""

from __future__ import annotations

from minigan import interrupt

if interrupt.is_command():  # what it imports takes a while, in which Ctrl-C has to end it as quietly as later
    interrupt.guard()

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minigan.backends import get_ops
    from minigan.config import Config
    from minigan.data import load
    from minigan.data.batches import Batches
    from minigan.data.scaling import Scaler
    from minigan.nn.gan import GAN
    from minigan.nn.network import Network
    from minigan.recipes import recipe
    from minigan.runs.fit import fit

__version__ = "0.1.0"

__all__ = ["GAN", "Batches", "Config", "Network", "Scaler", "__version__", "fit", "get_ops", "load", "recipe"]

_HOMES = {
    "Batches": "minigan.data.batches",
    "Config": "minigan.config",
    "GAN": "minigan.nn.gan",
    "Network": "minigan.nn.network",
    "Scaler": "minigan.data.scaling",
    "fit": "minigan.runs.fit",
    "get_ops": "minigan.backends",
    "load": "minigan.data",
    "recipe": "minigan.recipes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minigan' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # found there from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
