# The only commands anyone needs. Each prepares what it needs by itself, given Python 3.11 to 3.13 and make.
.DEFAULT_GOAL := help
.PHONY: help demo up test check bench histories soak schema lock venv
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

RUN := .venv/bin/
# Compiled modules are kept: the workflow sandbox imports some of ours for every workflow.
export PYTHONDONTWRITEBYTECODE :=
BACKHAUL_PYTHON ?=
export BACKHAUL_PYTHON

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: venv ## Run a return from request to settled money, against real servers on this machine
	@$(RUN)python -m sandbox.demo

up: venv ## The same, and keep everything running to look around in
	@$(RUN)python -m sandbox.demo --stay

test: venv ## Run every test but the long soak
	@$(RUN)python -m pytest $(if $(TESTS),$(TESTS),tests) -m "not soak" -n 2 $(PYTEST_ARGS)

check: venv ## Lint, format, types, architecture, schemas
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports
	$(RUN)python -m backhaul.schemas --check

bench: venv ## Measure how many returns this machine carries
	@$(RUN)python -m benchmarks.lightning $(BENCH_ARGS)

histories: venv ## Record the history of every path anew, for the replay tests, and write docs/reference/paths.md
	@BACKHAUL_RECORD=1 $(RUN)python -m pytest -q -n 2 tests/workflows --ignore tests/workflows/test_paths.py
	@$(RUN)python -m tests.workflows.paths

SEED ?= $(shell date +%s)
SEQUENCES ?= 20000

soak: venv ## Simulate SEQUENCES random sequences of returns from SEED, far more than make test does
	@echo "seed $(SEED), $(SEQUENCES) sequences"
	@BACKHAUL_SEED=$(SEED) BACKHAUL_SEQUENCES=$(SEQUENCES) $(RUN)python -m pytest -n 2 tests/simulation $(PYTEST_ARGS)

schema: venv ## Write the JSON schemas of the messages
	@$(RUN)python -m backhaul.schemas --write

COMPILE := scripts/bootstrap.py uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-header --no-emit-index-url --no-emit-find-links $(LOCK_ARGS)

lock: ## Resolve the dependencies anew (LOCK_ARGS=--upgrade moves them all)
	@python=$$(scripts/find-python) && \
	$$python $(COMPILE) --all-extras --group server --group dev --output-file requirements.lock pyproject.toml && \
	$$python $(COMPILE) --output-file scripts/uv.requirements.lock scripts/uv.requirements.in

venv: ## Prepare .venv from requirements.lock
	@python=$$(scripts/find-python) && $$python scripts/bootstrap.py
