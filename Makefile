# Zebrawatch. `make screen` and `make test` set up what they need; nothing else has to be installed but Python >= 3.11, make, git.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := var/demo-hospital
# Test data and knowledge files (Orphanet, MONDO) where they lie beside the project; without them the HPO's own files serve.
export ZEBRAWATCH_DATA ?= $(wildcard $(abspath ../shared/data))

.PHONY: screen demo test check setup setup-dev compare clean

screen: setup $(DEMO)/labels.csv
	$(BIN)/zebrawatch screen

demo: setup $(DEMO)/labels.csv

$(DEMO)/labels.csv:
	$(BIN)/zebrawatch demo-hospital $(DEMO)

test: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: setup-dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev

$(VENV)/.uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Zebrawatch needs Python 3.11 or later; say which with make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements-dev.lock)"
	touch $@

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/.uv
	@echo "Installing the locked packages into $(VENV) (about a minute) …"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements-dev.lock
	touch $@

# The recognisers we are compared with want another numpy, so they live in an environment of their own; the benchmarks
# find it there.
COMPARE_VENV := .venv-compare

compare: $(COMPARE_VENV)/ready
	@echo "medspaCy and negspacy are ready: zebrawatch benchmark assertion|recognise compare with them in the same run."

$(COMPARE_VENV)/ready: requirements-compare.lock | $(VENV)/.uv
	$(PYTHON) -m venv $(COMPARE_VENV)
	$(BIN)/uv pip install --quiet --python $(COMPARE_VENV)/bin/python --requirement requirements-compare.lock
	touch $@

include llm.mk

clean:
	rm -rf var
