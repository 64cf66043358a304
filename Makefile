# Each target does its own set-up: a virtual environment in the checkout, made anew only when
# pyproject.toml changed. Nothing but Python 3.11 or later and make is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= config/podcast-monitor.toml

.DEFAULT_GOAL := help
.PHONY: help demo run test coverage corpus bench foresight chaos check format docs install clean

help: ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(VENV)/installed ## rehearse the whole service in about 20 seconds, without the internet
	@$(BIN)/podcast-monitor demo

run: $(VENV)/installed ## run the service in the foreground (CONFIG=…); the database is in the checkout
	@$(BIN)/podcast-monitor --config $(CONFIG) run

test: $(VENV)/developed ## run the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

coverage: $(VENV)/developed ## run them and say which lines none of them reaches: it takes twice as long
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --cov --cov-report term

corpus: $(VENV)/developed ## read every captured document, replay every series (minutes)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m corpus

bench: $(VENV)/benched ## measure against the targets and the rivals, in ten minutes (BENCH="--write docs/performance.md")
	@$(BIN)/python -m benchmarks $(BENCH)

foresight: $(VENV)/developed ## replay real publish times: how late does each policy find them? (FORESIGHT="--every 10")
	@$(BIN)/python -m benchmarks.foresight $(FORESIGHT)

chaos: $(VENV)/developed ## let everything fail for about an hour, and count what is broken (CHAOS="kills-warm --seed 1")
	@$(BIN)/python -m tests.campaigns $(CHAOS)

check: $(VENV)/developed ## format check, lint, types, import contracts, tests: what CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

format: $(VENV)/developed ## format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/developed ## draw the diagrams that are made from the code
	$(BIN)/python docs/draw_lifecycle.py > docs/lifecycle.md

install: ## say how to install the service under systemd
	@sed -n '/^## Install/,/^## /p' README.md | sed '$$d'

clean: ## remove the virtual environment and what the tools left
	rm -rf $(VENV) build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# pip is brought up to date first: `--group` (PEP 735) needs 25.1.
$(VENV)/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "podcast-monitor needs Python 3.11 or later; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/installed: $(VENV)/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/developed: $(VENV)/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[postgres]' --group dev
	@touch $@ $(VENV)/installed

$(VENV)/benched: $(VENV)/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable . --group bench
	@touch $@ $(VENV)/installed
