"""The order of the modules, and what must not be in them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

PACKAGE = ROOT / "minigan"

# A module imports, at its top, only what stands above it. Folders stand for all of their modules.
ORDER = [
    "__init__", "errors", "plain", "files", "backend", "activations", "noise", "ops", "layers", "network", "objectives",
    "penalties", "optim", "config", "cli", "gan", "gradcheck", "data", "launch", "metrics", "checkpoint", "run", "recipes", "plots",
    "explain", "training",
    "train", "sample", "evaluate", "check", "lockstep", "doctor", "__main__",
]  # fmt: skip
COMMANDS = ORDER[ORDER.index("train") :]
SOURCES = sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    """The name in ORDER under which a file stands."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def typing_only(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported(tree: ast.AST, package: str = "minigan") -> set[str]:
    """Modules of this package that run when the file is imported, as names in ORDER."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue  # imported when called
        if isinstance(node, ast.If) and typing_only(node):
            waiting += node.orelse
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module == package
                else [str(node.module)]
            )
        found |= {name.split(".")[1] for name in names if name.startswith(f"{package}.")}
        waiting += ast.iter_child_nodes(node)
    return {name if name in ORDER else "__init__" for name in found}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_what_stands_above_it(path: Path) -> None:
    here = place(path)
    assert here in ORDER or here == "kernels", "add the module to ORDER, at its place"
    if here == "kernels":
        return
    above = {*ORDER[: ORDER.index(here)], *([here] if path.parent != PACKAGE else [])}
    wrong = imported(ast.parse(path.read_text(encoding="utf-8"))) - above
    assert not wrong, f"{path.name} imports {sorted(wrong)}, which stand below it"


def test_no_command_imports_another_at_its_top() -> None:
    for name in COMMANDS:
        path = PACKAGE / f"{name}.py"
        if path.exists() and name != "__main__":
            assert not imported(ast.parse(path.read_text(encoding="utf-8"))) & set(COMMANDS)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from minigan.gan import GAN", {"gan"}),
        ("from minigan import noise as streams, ops", {"noise", "ops"}),
        ("import minigan.data.own", {"data"}),
        ("from minigan import __version__", {"__init__"}),
        ("try:\n    import minigan.gan\nexcept ImportError: pass", {"gan"}),
        ("class A:\n    from minigan import gan", {"gan"}),
        ("def f():\n    import minigan.gan", set()),
        ("if TYPE_CHECKING:\n    import minigan.gan", set()),
        ("import numpy, os.path", set()),
    ],
)
def test_the_reader_of_imports_sees_them(source: str, found: set[str]) -> None:
    assert imported(ast.parse(source)) == found


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "joblib", "ctypes"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def dangers(tree: ast.AST) -> list[str]:
    """Whatever could run code that came with data."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in FORBIDDEN_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            found.append(node.func.id)
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            found.append("allow_pickle")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    allowed = ["ctypes"] if path.name == "team.py" else []  # the address of NumPy's own matrix products
    assert dangers(ast.parse(path.read_text(encoding="utf-8"))) == allowed


def test_the_search_for_dangers_finds_them() -> None:
    for source in (
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "exec(x)",
        "np.load(f, allow_pickle=True)",
    ):
        assert dangers(ast.parse(source))
    assert not dangers(ast.parse("re.compile('x'); np.load(f, allow_pickle=False)"))


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {statement}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_is_quick() -> None:
    loaded = loaded_by("import minigan; minigan.__version__")
    assert not loaded & {"numpy", "matplotlib", "PIL", "safetensors", "tqdm", "cupy", "minigan.gan"}


def test_the_public_names_are_found_when_they_are_used() -> None:
    import minigan

    assert set(minigan.__all__) <= set(dir(minigan))
    for name in minigan.__all__:
        assert getattr(minigan, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        minigan.nonsense  # noqa: B018


def test_training_imports_pictures_and_cupy_only_when_it_needs_them() -> None:
    loaded = loaded_by("import minigan.train, minigan.sample")
    assert not loaded & {"matplotlib", "cupy", "minigan.plots"}
