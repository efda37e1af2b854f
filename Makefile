# nextclick: `make demo` from raw clicks to recommendations, `make help` for the rest.
SHELL := /bin/bash
PYTHON ?= python3.11
VAR := $(abspath $(or $(NEXTCLICK_VAR),var))
WORKER := $(VAR)/venv/worker/bin
SOURCE ?=
RAW ?=
ARGS ?=
export PYTHONUTF8 = 1
export PATH := $(WORKER):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check faults up down status schema repro rollback override clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

setup:  ## install everything under var/ (resumable; DEVICE=cuda or DEVICE=cpu chooses the build)
	@command -v $(PYTHON) >/dev/null || { echo "SetupError: $(PYTHON) is not installed"; echo "  next   install Python 3.11, or: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) infra/local/setup.py $(if $(DEVICE),--$(DEVICE))

demo: setup  ## start the platform, run the Airflow DAG, ask Triton (SOURCE=rees46 RAW=path/to/2019-Oct.csv)
	@python -m infra.local demo $(if $(SOURCE),--source $(SOURCE)) $(if $(RAW),--raw "$(RAW)") $(ARGS)

up: setup  ## start MLflow, Airflow and Triton, wait until they answer
	@python -m infra.local up

down:  ## stop them all
	@test ! -x $(WORKER)/python || python -m infra.local down

status: setup  ## what runs, where, and how it fares
	@python -m infra.local status

repro: setup  ## the stages by hand, without Airflow (dvc repro)
	@dvc repro

rollback: setup  ## the previous champion serves again
	@python -m pipelines rollback

override: setup  ## let a version be promoted that the gate refused (VERSION=7 REASON="...")
	@python -m pipelines override "$(VERSION)" "$(REASON)"

schema: setup  ## write params.schema.json anew from the types
	@python -m pipelines schema

check: setup  ## ruff, mypy, import contracts, fast tests
	@ruff check . && ruff format --check . && mypy && lint-imports && pytest -m "not services and not slow" $(ARGS)

test: setup  ## all tests, real services included
	@ruff check . && mypy && lint-imports && pytest $(ARGS)

faults: setup  ## publishing with everything that can go wrong, whole: 100 kills, 100 swaps under load (minutes)
	@NEXTCLICK_FAULTS=whole pytest tests/faults $(ARGS)

clean: down  ## remove run workspaces, caches and data (not the environments, not mlruns)
	@rm -rf $(VAR)/runs $(VAR)/dvc data/events data/validate data/quarantine data/docs data/etl data/train data/evaluate
	@git worktree prune
