# Tallystick. `make help` lists what there is.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test check format bench fuzz docs lock clean

help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Virtual environment with the locked packages that running needs.
	@sh scripts/setup.sh run

setup-dev: ## The same, with the tools for tests and checks.
	@sh scripts/setup.sh dev

demo: setup ## People pay each other offline; one cheats; everything settles. KEEP=1 leaves the server running.
	@$(BIN)/tallystick demo $(if $(KEEP),--keep)

test: setup-dev ## Install what the tests need (PostgreSQL too), then run them all.
	@sh scripts/test-needs.sh
	@$(BIN)/python -m pytest -rs -n auto --maxprocesses 4 --dist worksteal $(ARGS)

check: setup-dev ## Formatting, lint, strict types, import contracts.
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup-dev ## Format the code and mend what lint can mend.
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup-dev ## Measure; JSON lines. ONLY=prefix filters.
	@sh scripts/test-needs.sh
	@$(BIN)/python -m tests.load.bench $(if $(ONLY),--only $(ONLY))

fuzz: setup-dev ## Coverage-guided fuzzing of every reader, SECONDS (20) each. TARGETS="cbor text" picks some.
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),20) $(TARGETS)

docs: setup-dev ## Write the reference pages that follow from the code.
	@$(BIN)/python -m scripts.reference

lock: ## Make the lock files anew: hashes, no addresses.
	@sh scripts/lock.sh

clean: ## Remove the virtual environment and caches.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
