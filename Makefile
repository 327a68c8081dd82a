# Everything needs only Python 3.11+, make and a package index. `make help` lists the targets.
#
# On Linux the index serves torch with CUDA. For the much smaller CPU build:
#   make install PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
export PIP_EXTRA_INDEX_URL
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help install dev demo test check format bench docs lock clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "melink needs Python 3.11 or newer: make PYTHON=python3.12"'
	$(PYTHON) -m venv $(VENV)

# torch brings its own pinned companions, which differ by platform; all else is exactly what the lock names
$(VENV)/.installed: requirements/run.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -c requirements/run.lock "$$(grep '^torch==' requirements/run.lock)"
	$(BIN)/python -m pip install -q --no-deps -r requirements/run.lock
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.developed: requirements/dev.lock $(VENV)/.installed
	$(BIN)/python -m pip install -q --no-deps -r requirements/dev.lock
	@touch $@

install: $(VENV)/.installed ## A ready `melink` in .venv
	@echo "ready: $(BIN)/melink --help"

dev: $(VENV)/.developed ## What tests and checks need, as well

demo: $(VENV)/.installed ## Link the bundled example and write melink-demo/index.html
	$(BIN)/melink demo -o melink-demo

test: $(VENV)/.developed ## Run all tests
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

check: $(VENV)/.developed ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.developed ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed ## Measure speed and memory; writes benchmarks/results/
	$(BIN)/python benchmarks/run.py

docs: | $(BIN)/python ## Build the documentation site into site/
	$(BIN)/python -m pip install -q -r requirements/docs.lock
	$(BIN)/python -m mkdocs build --strict

lock: ## Resolve pyproject.toml anew into requirements/*.lock
	$(PYTHON) tools/lock.py

clean: ## Remove the environment and everything that was built
	rm -rf $(VENV) melink-demo site dist .pytest_cache .mypy_cache .ruff_cache
