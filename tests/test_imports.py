"""The order of imports between modules, and code that must not be in them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

from minigan.__main__ import COMMANDS

PACKAGE = ROOT / "minigan"

# A file imports only from the packages (and single files) that stand before its own, inside functions too.
ORDER = [
    "interrupt", "__init__", "errors", "plain", "memory", "files", "backends", "nn", "data", "config", "cli", "recipes",
    "metrics", "plots", "runs", "written",
    *COMMANDS, "__main__",
]  # fmt: skip
SOURCES = sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    """The name in ORDER of a file."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def typing_only(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def modules(tree: ast.AST, package: str = "minigan") -> set[str]:
    """What a file imports from this package, at its top or inside functions, as dotted names below the package."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and typing_only(node):
            waiting += node.orelse
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.removeprefix(f"{package}.") for name in names if name.startswith(f"{package}.")}
        waiting += ast.iter_child_nodes(node)
    return found


def imported(tree: ast.AST) -> set[str]:
    """The imports of a file as names in ORDER."""
    tops = {name.partition(".")[0] for name in modules(tree)}
    return {name if name in ORDER else "__init__" for name in tops}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_imports_only_what_is_listed_before_it(path: Path) -> None:
    here = place(path)
    assert here in ORDER, "add the package or file to ORDER, at its place"
    before = {*ORDER[: ORDER.index(here)], *([here] if path.parent != PACKAGE else [])}
    wrong = imported(ast.parse(path.read_text(encoding="utf-8"))) - before
    assert not wrong, f"{path.name} imports {sorted(wrong)}, which stand behind it"


def files_of(name: str) -> list[Path]:
    """The source file of a dotted name below the package, if there is one."""
    path = PACKAGE.joinpath(*name.split("."))
    candidates = (
        path.with_suffix(".py"),
        path / "__init__.py",
        path.parent.with_suffix(".py"),
        path.parent / "__init__.py",
    )
    return [next((c for c in candidates if c.is_file()), PACKAGE / "__init__.py")]


def test_there_is_no_import_cycle() -> None:
    """Also within a package: the graph of all imports between files has no cycle."""
    edges = {
        path: {f for name in modules(ast.parse(path.read_text(encoding="utf-8"))) for f in files_of(name)} - {path}
        for path in SOURCES
    }
    late = {
        (PACKAGE / "backends" / "__init__.py", PACKAGE / "backends" / kind / "ops.py") for kind in ("numba", "cuda")
    }
    for a, b in late:  # `get_ops` imports the operations of optional packages when they are asked for
        edges[a].discard(b)
    done: set[Path] = set()

    def visit(path: Path, above: tuple[Path, ...]) -> None:
        assert path not in above, " -> ".join(str(p.relative_to(PACKAGE)) for p in (*above, path))
        if path not in done:
            for other in edges.get(path, ()):
                visit(other, (*above, path))
            done.add(path)

    for path in SOURCES:
        visit(path, ())


def test_no_command_imports_another() -> None:
    for name in COMMANDS:
        path = PACKAGE / f"{name}.py"
        if path.exists():
            assert not imported(ast.parse(path.read_text(encoding="utf-8"))) & {*COMMANDS, "__main__"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from minigan.nn.gan import GAN", {"nn"}),
        ("from minigan import plain, errors", {"plain", "errors"}),
        ("import minigan.data.own", {"data"}),
        ("from minigan import __version__", {"__init__"}),
        ("try:\n    import minigan.nn\nexcept ImportError: pass", {"nn"}),
        ("class A:\n    from minigan import nn", {"nn"}),
        ("def f():\n    import minigan.nn.gan", {"nn"}),
        ("if TYPE_CHECKING:\n    import minigan.nn", set()),
        ("import numpy, os.path", set()),
    ],
)
def test_the_reader_of_imports_sees_them(source: str, found: set[str]) -> None:
    assert imported(ast.parse(source)) == found


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "joblib", "ctypes"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def dangers(tree: ast.AST) -> list[str]:
    """Calls that could execute code contained in data."""
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
    assert not loaded & {"numpy", "matplotlib", "PIL", "safetensors", "tqdm", "cupy", "minigan.nn.gan"}


def test_the_public_names_are_found_when_they_are_used() -> None:
    import minigan

    assert set(minigan.__all__) <= set(dir(minigan))
    for name in minigan.__all__:
        assert getattr(minigan, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        minigan.nonsense  # noqa: B018


def test_flags_are_read_before_what_trains_is_imported() -> None:
    loaded = loaded_by("import minigan.train; minigan.train.parse(['--data', 'ring', '--steps', '3'])")
    assert not {
        name
        for name in loaded
        if name.startswith(("minigan.runs", "minigan.data.own", "minigan.metrics", "minigan.nn.gan"))
    }


def test_training_imports_pictures_and_cupy_only_when_it_needs_them() -> None:
    loaded = loaded_by("import minigan.train, minigan.sample")
    assert not loaded & {"matplotlib", "cupy", "minigan.plots"}
