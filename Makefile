# `make demo` and `make test` are all a new machine needs; `make help` lists the rest.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

# The lock names torch's build without CUDA; it is installed first, so that nothing pulls another one.
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test check lock clean
help: ## List what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(VENV)/serving ## Receive, analyse and deliver a real study on this machine (ARGS=--once to end afterwards)
	@$(BIN)/overread demo $(ARGS)

test: $(VENV)/testing ## Install what the tests need and run everything
	@scripts/test

check: $(VENV)/testing ## Linters, types and import arrows only
	@scripts/check

lock: $(VENV)/testing ## Write constraints.txt anew from pyproject.toml
	@scripts/lock

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed; set PYTHON=/path/to/python3.11 or later."; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/serving: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing Overread into $(VENV) (once)…"
	@$(PIP) --editable '.[cpu,demo]'
	@touch $@

$(VENV)/testing: $(VENV)/serving
	@echo "Installing what the tests need into $(VENV) (once)…"
	@$(PIP) --editable '.[cpu,demo,test]'
	@touch $@
