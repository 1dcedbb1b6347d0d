"""pytest for the whole repository: the backend under test, and the examples of documents and docstrings as tests."""

from __future__ import annotations

import os

# Set before NumPy is imported. Test networks are small, and two pytest workers with two spinning BLAS threads each would
# fight over two cores: ten times slower. What must hold for any thread count is checked in processes of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import functools
import signal
import tempfile
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sybil import Sybil
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.sybil import SybilCollection

from minigan.backends import BACKENDS, Ops, get_ops
from minigan.errors import InputError

# A shell that starts something in the background hands SIGINT on ignored, to all that tests start and interrupt too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples are slow by nature here (whole training steps), so no deadline; CI must not depend on luck.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", choices=BACKENDS, default="numpy", help="the backend that the tests run on")


@functools.cache
def _backend(name: str) -> Ops | str:
    """The backend, or the sentence that says why there is none."""
    try:
        return get_ops(name)
    except InputError as error:
        return str(error)


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Ops:
    """The backend chosen with --backend; without its device the test is skipped and says why."""
    found = _backend(request.config.getoption("--backend"))
    if isinstance(found, str):
        pytest.skip(found)
    return found


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and isinstance(reason := _backend("cupy"), str):
        pytest.skip(reason)


def _enter(namespace: dict[str, Any]) -> None:
    """The examples of one document share a fresh directory, so that what they write is not left in the repository."""
    namespace["_home"], namespace["_directory"] = os.getcwd(), tempfile.TemporaryDirectory()
    os.chdir(namespace["_directory"].name)


def _leave(namespace: dict[str, Any]) -> None:
    os.chdir(namespace["_home"])
    namespace["_directory"].cleanup()


_documents = {"parsers": [PythonCodeBlockParser(), SkipParser()], "setup": _enter, "teardown": _leave}
pytest_collect_file = SybilCollection(
    [
        Sybil(patterns=["README.md"], **_documents),
        Sybil(path="docs", patterns=["*.md"], **_documents),
        Sybil(path="minigan", patterns=["*.py"], parsers=[DocTestParser()]),
    ]
).pytest()
