# make demo    runs the quickstart notebook, for real, and prints the best trial
# make lab     opens the quickstart in JupyterLab
# make test    runs all tests, those in the browser too
# make check   lint, format, types, layers
# make lock    renews locks/: the versions, with their hashes, that all of the above install
# make newest  runs the tests on the newest release of everything, in .venv-newest
# make oldest  runs the tests on the lower bounds of pyproject.toml, in .venv-oldest

PYTHON ?= python3
BIN := .venv/bin
# Many tests wait for a browser or a process, so one more runs than there are cores.
PROCESSES ?= $(shell expr $$(nproc) + 1)
PYTEST := python -m pytest --numprocesses $(PROCESSES) --maxprocesses 8 --dist worksteal
SETUP := .venv/.set-up
SETUP_TESTS := .venv/.set-up-tests

.DEFAULT_GOAL := help
.PHONY: help demo lab test check lock newest oldest python chromium notebook clean

# $(call install,ENVIRONMENT,WHAT): for pip, silently, so that what it does is said before.
install = $(1)/bin/python -m pip install --quiet $(2)
# A release of pip and of nbtune's build backend may break an installation, so these are locked too.
install_pip = $(call install,$(1),--require-hashes -r locks/pip.txt)
install_nbtune = $(call install,$(1),--no-deps --no-build-isolation --editable .)

help:
	@sed -n 's/^# make/make/p' Makefile

$(SETUP): pyproject.toml locks/pip.txt locks/demo.txt | python
	@echo "Setting up .venv (1 of 3): an empty virtual environment"
	@$(PYTHON) -m venv .venv
	@$(call install_pip,.venv)
	@echo "Setting up .venv (2 of 3): JupyterLab and what nbtune needs, 0.7 GB, a minute or two"
	@$(call install,.venv,--require-hashes -r locks/demo.txt)
	@echo "Setting up .venv (3 of 3): nbtune itself, from this folder"
	@$(call install_nbtune,.venv)
	@touch $@

# PyTorch has a step of its own because no hash fits all its builds (see pyproject.toml).
$(SETUP_TESTS): $(SETUP) locks/test.txt
	@echo "Setting up .venv for tests (1 of 2): pytest, Dask, Optuna, linters, 0.8 GB, a minute or two"
	@$(call install,.venv,--require-hashes -r locks/test.txt)
	@echo "Setting up .venv for tests (2 of 2): PyTorch, 0.7 GB or more, a minute or two"
	@$(call install,.venv,--group torch)
	@touch $@

demo: $(SETUP)
	@$(BIN)/python notebooks/demo.py

lab: $(SETUP)
	$(BIN)/jupyter lab notebooks/quickstart.ipynb $(LAB_ARGS)

test: $(SETUP_TESTS) chromium
	$(BIN)/$(PYTEST) $(PYTEST_ARGS)

check: $(SETUP_TESTS)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: | python
	@echo "Setting up .venv-lock: uv, which only this command needs"
	@$(PYTHON) -m venv .venv-lock
	@$(call install,.venv-lock,--upgrade uv)
	@.venv-lock/bin/python locks/renew.py

newest: chromium | python
	@echo "Setting up .venv-newest: the newest release of everything, 2 GB or more, a few minutes"
	@$(PYTHON) -m venv .venv-newest
	@$(call install,.venv-newest,--upgrade pip)
	@$(call install,.venv-newest,--upgrade --upgrade-strategy eager --editable . --group test)
	.venv-newest/bin/$(PYTEST) $(PYTEST_ARGS)

oldest: chromium | python
	@echo "Setting up .venv-oldest: the lower bounds of pyproject.toml, 2 GB or more, a few minutes"
	@$(PYTHON) -m venv .venv-oldest
	@$(call install_pip,.venv-oldest)
	@$(call install,.venv-oldest,--require-hashes -r locks/oldest.txt)
	@$(call install,.venv-oldest,--group torch)
	@$(call install_nbtune,.venv-oldest)
	.venv-oldest/bin/$(PYTEST) $(PYTEST_ARGS)

# Debian keeps venv's pip in a package of its own, python3-venv.
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "nbtune needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/apt-install python3-venv

chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
		|| command -v google-chrome >/dev/null || .ci/apt-install chromium

# Runs the quickstart in place, so that its outputs can be read without running it.
notebook: $(SETUP)
	@$(BIN)/python notebooks/demo.py --in-place

clean:
	rm -rf .venv .venv-lock .venv-newest .venv-oldest build .nbtune notebooks/.nbtune
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
