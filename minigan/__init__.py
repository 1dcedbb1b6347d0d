"""Generative adversarial networks from scratch: every derivative by hand, on NumPy or CuPy.

The public names are imported when they are first used, so that `import minigan` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minigan.backend import get_backend
    from minigan.config import Config
    from minigan.data import load
    from minigan.gan import GAN
    from minigan.network import Network

__version__ = "0.1.0"

__all__ = ["GAN", "Config", "Network", "__version__", "get_backend", "load"]

_HOMES = {
    "Config": "minigan.config",
    "GAN": "minigan.gan",
    "Network": "minigan.network",
    "get_backend": "minigan.backend",
    "load": "minigan.data",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minigan' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # found there from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
