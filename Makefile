# Every target sets up what it needs: a virtual environment in .venv, then this package (editable) with one extra.
# A stamp per extra keeps an installation from being repeated until pyproject.toml changes.
# Flags are handed on with ARGS: make train ARGS="--data ring --steps 2000"

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
CANDIDATES := $(PYTHON) python3 python python3.14 python3.13 python3.12 python3.11

# a .venv whose Python was uninstalled is of no use: begin again
$(shell test -x $(PY) || rm -rf .venv)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help train test lint docs figures links bench soak mutants clean

help:  ## list these targets
	@sed -n 's/^\([a-z]*\):.*##/  make \1:/p' Makefile

train: .venv/stamp-run  ## train on the bundled digits (or as ARGS say)
	@$(PY) -m minigan.train $(ARGS)

# loadfile, because the examples of one document build on each other
test: .venv/stamp-test  ## run the test suite
	@$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

lint: .venv/stamp-lint  ## ruff (rules and format) and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

docs: .venv/stamp-docs  ## build docs/_build/html
	@$(PY) -m sphinx -W --keep-going -q -E -b html docs docs/_build/html
	@echo "The pages are in docs/_build/html/index.html"

figures: .venv/stamp-run  ## draw docs/images/math-*.png again
	@$(PY) docs/figures.py

links: .venv/stamp-run  ## set the line numbers of the links from the documents to the source
	@$(PY) docs/source_links.py

bench: .venv/stamp-bench  ## time kernels and training steps; results and a report in .benchmarks/
	@$(PY) -m benchmarks $(ARGS)

soak: .venv/stamp-test  ## run the slow tests
	@$(PY) -m pytest -m slow $(ARGS)

mutants: .venv/stamp-mutants  ## plant mistakes in the mathematics, one at a time: a test must fail for each
	@$(PY) -m mutmut run $(ARGS)
	@$(PY) -m mutmut results

clean:  ## remove all that these targets made; runs/ stays
	rm -rf .venv build dist docs/_build mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -prune -exec rm -rf {} +

# A candidate must run: a pyenv shim can be there without its Python, and Debian's Python without ensurepip.
.venv/bin/python:
	@for python in $(CANDIDATES); do \
		if "$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Creating .venv with $$("$$python" --version)"; \
			exec "$$python" -m venv .venv; \
		fi; \
	done; \
	echo "minigan needs Python 3.11 or newer with its venv module (on Debian and Ubuntu: apt install python3-venv)," \
		"and none is on the PATH; name one with: make PYTHON=/path/to/python3" >&2; \
	exit 1

.venv/stamp-run: pyproject.toml $(PY)
	@echo "Installing minigan into .venv (once)"
	@$(PIP) install -q -e .
	@touch $@

# Two CuPy wheels clash, so where CUDA 12's is installed, the test extra leaves its own out.
.venv/stamp-test: pyproject.toml $(PY)
	@echo "Installing minigan with what its tests need into .venv (once)"
	@if $(PIP) show -q cupy-cuda12x 2>/dev/null; then extra=test-tools; else extra=test; fi; \
		$(PIP) install -q -e ".[$$extra]"
	@touch $@

.venv/stamp-%: pyproject.toml $(PY)
	@echo "Installing minigan with its $* extra into .venv (once)"
	@$(PIP) install -q -e '.[$*]'
	@touch $@
