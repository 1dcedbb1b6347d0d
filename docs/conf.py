"""Sphinx: Markdown pages; formulas are drawn by a MathJax that is copied beside them: no page needs a network."""

from __future__ import annotations

import re
from pathlib import Path

project = "minigan"
author = "minigan contributors"
copyright = "2026, minigan contributors"
_source = (Path(__file__).parents[1] / "minigan" / "__init__.py").read_text(encoding="utf-8")
release = version = re.findall(r'^__version__ = "(.+)"$', _source, re.MULTILINE)[0]

extensions = ["myst_parser", "sphinx.ext.mathjax", "sphinx-mathjax-offline"]
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"minigan {release}"
html_copy_source = False
