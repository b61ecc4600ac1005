# make demo  - set up .venv and make images     make test - set up .venv and run every check
# Needs Python 3.11 or newer with venv, make and git. pip's own settings (PIP_INDEX_URL, ...) are honoured.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test clean

help:
	@sed -n 1,2p Makefile

$(VENV)/torch-is-there: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "needs Python 3.11 or newer, found: $$($(PYTHON) --version); set PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "needs venv; on Debian: apt install python3-venv"; exit 1; }
	@echo "setting up $(VENV) (once; PyTorch is a large download) ..."
	$(PIP) -r constraints.txt
	@touch $@

$(VENV)/demo-is-there: $(VENV)/torch-is-there pyproject.toml
	$(PIP) -c constraints.txt -e .
	@touch $@

$(VENV)/test-is-there: $(VENV)/torch-is-there pyproject.toml
	$(PIP) -c constraints.txt -e '.[test,data,dev]'
	@touch $@ $(VENV)/demo-is-there

demo: $(VENV)/demo-is-there
	$(BIN)/synthderm generate --recipe demo --output demo

test: $(VENV)/test-is-there
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .import_linter_cache
