"""Keep the links from the documents to the source on the right lines: `python docs/source_links.py` rewrites them.

A link such as [`Network.forward`](../minigan/nn/network.py#L132) names what it leads to, so its line can be looked up. Where
a definition has moved to another file of the package, and only one file has it, the path is rewritten too.
`--check` changes nothing; a test calls `mend` and so holds all links.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[`([\w.]+)`\]\(((?:\.\./)*)(minigan/[\w/]+\.py)(?:#L\d+)?\)")


@functools.cache
def definitions(path: Path) -> dict[str, int]:
    """The line of each function, class, method (as Class.method) and module-level constant that a file defines."""
    found: dict[str, int] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[prefix + node.name] = node.lineno
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(target, ast.Name):
                        found.setdefault(prefix + target.id, node.lineno)

    visit(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


def locate(name: str, file: str) -> tuple[str, int] | None:
    """The file and line of `name`: in `file`, or else in the one other file of the package that defines it."""
    path = ROOT / file
    if path.exists() and name in definitions(path):
        return file, definitions(path)[name]
    others = [p for p in sorted((ROOT / "minigan").rglob("*.py")) if name in definitions(p)]
    return (others[0].relative_to(ROOT).as_posix(), definitions(others[0])[name]) if len(others) == 1 else None


def mend(text: str) -> tuple[str, list[str]]:
    """The document with its links set right, and the names that nothing in the package, or more than one file, defines."""
    lost: list[str] = []

    def right(link: re.Match[str]) -> str:
        name, up, file = link.groups()
        found = locate(name, file)
        if found is None:
            lost.append(f"{name} in {file}")
            return link[0]
        return f"[`{name}`]({up}{found[0]}#L{found[1]})"

    return LINK.sub(right, text), lost


def main(arguments: list[str]) -> int:
    """Mend README.md and docs/*.md; 1 where something is lost, or with --check where something would change."""
    status = 0
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = path.read_text(encoding="utf-8")
        mended, lost = mend(text)
        status |= bool(lost) or (mended != text and "--check" in arguments)
        for name in lost:
            print(f"{path.name}: nothing, or more than one thing, is called {name}", file=sys.stderr)
        if mended != text:
            lines = zip(text.splitlines(), mended.splitlines(), strict=True)
            print(f"{path.name}: {sum(a != b for a, b in lines)} lines with links to other places")
            if "--check" not in arguments:
                path.write_text(mended, encoding="utf-8")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
