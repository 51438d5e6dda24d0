# `make demo` and `make test` are all a new machine needs; `make help` lists the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

# The lock names torch's build without CUDA; it is installed first, so that nothing pulls another one.
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help install demo test check lock clean
help: ## List what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install: $(VENV)/serving ## Install the serving part into .venv

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
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or later is needed; run make PYTHON=/path/to/python3.11."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	    { rm -rf $(VENV); echo "No virtual environment could be made; on Debian: apt-get install python3-venv."; exit 1; }

$(VENV)/serving: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing Overread into $(VENV) (once)…"
	@$(PIP) --editable '.[cpu,demo]'
	@touch $@

$(VENV)/testing: $(VENV)/serving
	@echo "Installing what the tests need into $(VENV) (once)…"
	@$(PIP) --editable '.[cpu,demo,train,cohort,test]'
	@touch $@
