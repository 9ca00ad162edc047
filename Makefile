# make demo    runs the quickstart notebook, for real, and prints the best trial
# make lab     opens the quickstart in JupyterLab
# make test    runs all tests, those in the browser too
# make check   lint, format, types, layers

PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.set-up

.DEFAULT_GOAL := help
.PHONY: help demo lab test check chromium notebook clean

help:
	@sed -n 's/^# make/make/p' Makefile

# Debian keeps venv's pip in a package of its own, python3-venv.
$(SETUP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "nbtune needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/apt-install python3-venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group test --group check
	@touch $@

demo: $(SETUP)
	$(BIN)/python notebooks/demo.py

lab: $(SETUP)
	$(BIN)/jupyter lab notebooks/quickstart.ipynb $(LAB_ARGS)

test: $(SETUP) chromium
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(SETUP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
		|| command -v google-chrome >/dev/null || .ci/apt-install chromium

# Runs the quickstart in place, so that its outputs can be read without running it.
notebook: $(SETUP)
	$(BIN)/python notebooks/demo.py --in-place

clean:
	rm -rf .venv build .nbtune notebooks/.nbtune .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
