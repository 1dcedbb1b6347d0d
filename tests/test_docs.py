"""The documents agree with the code: a derivation per function, existing links and flags, and the layout."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from minigan.__main__ import COMMANDS
from minigan.data import DATA_SETS
from minigan.metrics.measures import MEASURES, TABLE

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DERIVED = ("backends.ops", "nn.objectives", "nn.penalties", "nn.optim")
"""Every public function of these modules has a section in docs/math.md."""
COMPUTES_NOTHING = {
    *(
        "program",
        "objective",
        "reference",
        "versions",
        "available",
        "empty",
        "zeros",
        "asarray",
        "to_host",
        "fill",
        "take",
        "columns",
    ),
    *("synchronize", "uniform", "normal", "draw", "minibatch", "advance"),
}
"""Operations that compute nothing by themselves, random numbers (see `Noise`), and what a recorded launch begins with."""
NAMED = (*DERIVED, "nn.layers", "nn.network", "backends.noise", "nn.gan", "nn.gradcheck")
"""A section of docs/math.md may be about a function of these."""


def prose(path: Path) -> str:
    """A document without its fenced code blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def headings(path: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)


def public_functions(name: str) -> set[str]:
    """Public functions and methods defined in minigan.NAME: methods of Ops by their own name, others as Class.method."""
    module = importlib.import_module(f"minigan.{name}")
    names = set()
    for key, value in vars(module).items():
        if key.startswith("_") or inspect.isabstract(value) or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            names.add(key)
        elif inspect.isclass(value):
            methods = [m for m, f in vars(value).items() if inspect.isfunction(f) and not m.startswith("_")]
            names.update(m if key in ("Ops", "CupyOps") else f"{key}.{m}" for m in methods)
    return names


def public_classes(name: str) -> set[str]:
    module = importlib.import_module(f"minigan.{name}")
    return {k for k, v in vars(module).items() if inspect.isclass(v) and v.__module__ == module.__name__}


def sections() -> set[str]:
    """The code names in the headings of docs/math.md."""
    return {code for heading in headings(ROOT / "docs" / "math.md") for code in re.findall(r"`([^`]+)`", heading)}


@pytest.mark.parametrize("module", DERIVED)
def test_every_public_function_is_derived(module: str) -> None:
    missing = public_functions(module) - sections() - COMPUTES_NOTHING
    assert not missing, f"docs/math.md has no section for these of minigan.{module}: {sorted(missing)}"


def test_every_section_of_the_mathematics_names_a_function_that_exists() -> None:
    known = set().union(*(public_functions(name) | public_classes(name) for name in NAMED))
    assert sections() <= known, f"no function is called: {sorted(sections() - known)}"
    assert len(sections()) > 50  # the headings were found at all


# ------------------------------------------------------------------------ the mathematics, the source and the papers


def tool(name: str) -> ModuleType:
    """A script of docs/, as a module."""
    spec = spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_the_source_lead_to_the_right_line(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    mended, lost = tool("source_links").mend(text)
    assert not lost, f"{path.name} links to what nothing, or more than one thing, is called: {lost}"
    assert mended == text, f"lines have moved under links of {path.name}: run python docs/source_links.py"
    assert len(re.findall(r"\.py#L", text)) == len(tool("source_links").LINK.findall(text))


def test_links_to_the_source_follow_what_has_moved() -> None:
    mend = tool("source_links").mend
    line = (ROOT / "minigan/nn/network.py").read_text(encoding="utf-8").split("def forward")[0].count("\n") + 1
    right = f"[`Network.forward`](../minigan/nn/network.py#L{line})"
    assert mend("[`Network.forward`](../minigan/nn/network.py#L1)") == (right, [])
    assert mend("[`Network.forward`](../minigan/nn/gone.py#L7)") == (right, [])
    assert mend("[`Network.forwards`](../minigan/nn/network.py#L7)")[1] == ["Network.forwards in minigan/nn/network.py"]


def chapters() -> dict[str, str]:
    """Each section of docs/math.md that is about code: its text, by its name. The chapter's heading comes first."""
    found, chapter = {}, ""
    for part in re.split(r"^(?=##+ )", prose(ROOT / "docs" / "math.md"), flags=re.MULTILINE):
        heading = part.splitlines()[0].lstrip("# ")
        if part.startswith("## "):
            chapter = heading
        for name in re.findall(r"`([^`]+)`", heading):
            found[name] = f"{chapter}\n{part}"
    return found


def test_every_section_links_to_its_function() -> None:
    for name, text in chapters().items():
        assert re.search(rf"\[`(Ops\.)?{re.escape(name)}`\]\(\.\./minigan/", text), f"{name}: no link to its source"


def test_every_function_names_its_chapter() -> None:
    """In its docstring, or in that of its class or of a base class."""
    modules = [importlib.import_module(f"minigan.{name}") for name in NAMED]
    for name, text in chapters().items():
        chapter, (owner, _, method) = text.splitlines()[0], name.partition(".")
        for module in modules:
            there = getattr(module, owner, None) or getattr(getattr(module, "Ops", None), owner, None)
            if there is None or getattr(there, "__module__", "") != module.__name__:
                continue
            docs = [
                there.__doc__,
                *(base.__doc__ for base in getattr(there, "__mro__", ())),
                getattr(there, method, there).__doc__,
            ]
            if there.__qualname__.startswith("Ops."):
                docs.append(module.Ops.__doc__)
            texts = [" ".join(doc.split()) for doc in docs if doc]
            assert any("docs/math.md" in doc and f'"{chapter}"' in doc for doc in texts), f"{name} is in {chapter!r}"


CITATION = re.compile(r"([A-Z][\w-]+)(?: et al\.| and [A-Z]\w+|, [A-Z]\w+ and [A-Z]\w+),? \(?((?:19|20)\d\d)\b")
SOURCE = re.compile(r"^- (?:[A-Z]\. )+.*?\((\d{4})\),\s\[\*[^\]]+\*\]\(https://[^)]+\)", re.MULTILINE)


def sources(path: Path) -> set[tuple[str, str]]:
    """(surname of the first author, year) of what a document's list of sources links to."""
    items = re.split(r"^(?=- )", path.read_text(encoding="utf-8").partition("\n## Sources\n")[2], flags=re.MULTILINE)
    found = set()
    for item in items[1:]:
        source = SOURCE.match(item)
        assert source, f"{path.name}: a source without a year, a title or a link: {item}"
        surname = re.match(r"- (?:[A-Z]\. )+([\w-]+)", item)
        assert surname
        found.add((surname[1], source[1]))
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_paper_has_a_link(path: Path) -> None:
    """Where a paper is named, or in the list of sources of the same page."""
    text = prose(path).partition("\n## Sources\n")[0]
    linked = {match.groups() for link in re.findall(r"\[([^\]]+)\]\(https:", text) for match in CITATION.finditer(link)}
    cited = {match.groups() for match in CITATION.finditer(text)}
    assert cited <= linked | sources(path), f"{path.name} names papers without a link: {cited - linked - sources(path)}"


@pytest.mark.parametrize(("page", "folders"), [("math", ("nn", "backends")), ("metrics", ("metrics",))])
def test_papers_of_the_source_are_in_the_sources(page: str, folders: tuple[str, ...]) -> None:
    known = sources(ROOT / "docs" / f"{page}.md")
    for folder in folders:
        for path in (ROOT / "minigan" / folder).rglob("*.py"):
            cited = {match.groups() for match in CITATION.finditer(" ".join(path.read_text(encoding="utf-8").split()))}
            assert cited <= known, f"{path.name} cites what docs/{page}.md has no link to: {cited - known}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_github_draws_the_formulas(path: Path) -> None:
    """GitHub reads Markdown before formulas: it refuses some macros, and takes \\, \\; \\| and \\\\ for escaped characters."""
    text = re.sub(r"`[^`]*`", "", prose(path))
    for formula in re.findall(r"\$\$.*?\$\$|\$[^$]+\$", text, re.DOTALL):
        assert not re.search(r"\\[^\w\s]|\\(operatorname|mbox|phantom|def|newcommand)\b", formula), (
            f"{path.name}: {formula}"
        )
        assert formula.startswith("$$") or "\n" not in formula, f"{path.name}: a formula goes over a line: {formula}"
        assert not re.search(r"\S\*|\*\S", formula), f"{path.name}: a star would begin or end emphasis: {formula}"
    for paragraph in re.split(r"\n\s*\n|\n(?=- |\|)", text):
        pair = re.search(r"[^\w\s]_(?=\S).*?\S_(?=[^\w\s])", paragraph, re.DOTALL)
        assert "$" not in paragraph or not pair, f"{path.name}: underscores that emphasise: {pair and pair[0]}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_code_blocks_fit_a_page(path: Path) -> None:
    for block in re.findall(r"^```.*?^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        wide = [line for line in block.splitlines() if len(line) > 88]
        assert not wide, f"{path.name}: more than 88 columns: {wide}"


def test_drawn_figures_are_shown_and_small() -> None:
    text = (ROOT / "docs" / "math.md").read_text(encoding="utf-8")
    for name in tool("figures").FIGURES:
        assert f"](images/{name}.png)" in text, f"docs/math.md does not show {name}.png"
        assert (ROOT / "docs" / "images" / f"{name}.png").stat().st_size < 60_000


def anchor(heading: str) -> str:
    """The anchor that GitHub and MyST give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, fragment = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), f"{path.name} links to {target}, which does not exist"
        if fragment and there.suffix == ".md":
            assert fragment in map(anchor, headings(there)), f"{path.name} links to {target}: no such heading"


def test_every_page_is_linked_from_the_readme_and_the_index() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    toctree = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").splitlines()
    for page in set((ROOT / "docs").glob("*.md")) - {ROOT / "docs" / "index.md"}:
        assert f"(docs/{page.name})" in readme, f"README.md does not link to docs/{page.name}"
        assert page.stem in toctree, f"docs/index.md does not list {page.stem}"


def commands() -> list[str]:
    return [name for name in COMMANDS if find_spec(f"minigan.{name}")]


OTHERS = (
    "minigan.metrics.features",
    "benchmarks.made_data",
    "benchmarks.report",
    "benchmarks.peers",
    "benchmarks.planted",
    "benchmarks.quality",
    "benchmarks.scaling",
    "benchmarks.tables",
)


def flags(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The flags in the help of python -m COMMAND."""
    with pytest.raises(SystemExit):
        importlib.import_module(command).main(["--help"])
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", capsys.readouterr().out))


def test_every_flag_in_a_document_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = {command: flags(command, capsys) for command in [*(f"minigan.{name}" for name in commands()), *OTHERS]}
    anywhere = set().union(*known.values())
    for path in DOCUMENTS:
        for line in path.read_text(encoding="utf-8").splitlines():
            for span in re.findall(r"`([^`]+)`", line) or [line.partition(" #")[0]]:
                called = re.search(r"python -m ((?:minigan|benchmarks)\.[\w.]*\w)(.*)", span)
                if called:
                    assert called[1] in known, f"{path.name}: there is no python -m {called[1]}"
                for flag in re.findall(r"(?:^|(?<=\s))--[a-z][a-z0-9-]*", called[2] if called else span):
                    among = known[called[1]] if called else anywhere
                    assert flag in among, (
                        f"{path.name}: {flag} is no flag of python -m {called[1] if called else 'minigan.*'}"
                    )


def test_the_readme_lists_the_commands() -> None:
    listed = re.findall(
        r"^\| `python -m minigan\.(\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert listed == commands()


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_no_document_names_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"(?<![\w.)])/(?:home|work|tmp|root|opt|Users|mnt|var)/\S*|[A-Z]:\\\S+", text)
    assert not found, f"{path.name} names a path of one machine: {found}"
    assert not re.search(r"(py[p]i|python[h]osted|anaconda)\.org", text), f"{path.name} names a package registry"


def test_the_page_on_measures_is_their_table() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").split("\n## The measures\n")[1].split("\n## ")[0]
    rows = [
        f"| `{m.name}` | {m.better.good} | {m.words} | {m.where.words} | {'yes' if m.quick else 'no'} |" for m in TABLE
    ]
    assert re.findall(r"^\| `.*`? \| .* (?:yes|no) \|$", text, re.MULTILINE) == rows
    sections = [
        code for heading in re.findall(r"^### (.+)$", text, re.MULTILINE) for code in re.findall(r"`(\w+)`", heading)
    ]
    assert sections == [m.name for m in TABLE], "a section for each measure, in the order of the table"


def test_the_page_on_data_lists_the_data_sets() -> None:
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8").split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)`", text, re.MULTILINE) == list(DATA_SETS)


def test_the_verdict_speaks_of_measures_that_exist() -> None:
    source = (ROOT / "minigan" / "metrics" / "verdict.py").read_text(encoding="utf-8")
    named = set(re.findall(r"""(?:share|excess|get)\(["'](\w+)["']|(?:made|real)\[["'](\w+)["']\]""", source))
    assert len(named) > 10 and {a or b for a, b in named} <= set(MEASURES)


# ------------------------------------------------------------------------------------------- the layout is the truth


def test_the_layout_lists_every_file() -> None:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    block = text.split("    minigan/\n", 1)[1].split("\n\n", 1)[0]
    listed: set[str] = set()
    folders: list[str] = []  # those that a line is in, by its indentation: two more columns each
    for line in block.splitlines():
        name, depth = line.split()[0], (len(line) - len(line.lstrip()) - 6) // 2
        if name.endswith("/"):
            folders[depth:] = [name]
        elif name.endswith(".py"):
            listed.add("".join(folders[:depth]) + name)
    package = ROOT / "minigan"
    there = {p.relative_to(package).as_posix() for p in package.rglob("*.py") if p.name != "__init__.py"}
    assert listed == there - {f"{name}.py" for name in COMMANDS}


def test_the_library_does_not_import_pictures_or_data_for_help() -> None:
    """--help is fast: importing the command line imports neither matplotlib nor a data set."""
    import subprocess

    code = "import sys, minigan.train; sys.exit('matplotlib' in sys.modules or 'minigan.plots' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
