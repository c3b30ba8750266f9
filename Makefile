# make setup    the environment in .venv, every version from constraints.txt
# make demo     HandMIM end to end on open data; PHOTOS="dir 'my dir' ..." pretrains on your photos
# make all      the same, then the other methods: tokenizer, MaskHand, and whatever else is a stage
# make sweeps   all of the papers' experiments, seconds each (ENV=base: the real ones, hours), and the claims
# make test     all tests
# make goldens  the goldens once more, with the oldest instructions that torch knows
# make lint     ruff, mypy, import rules, dvc.yaml up to date
# make ui       MLflow's pages on http://127.0.0.1:5000
# make clean    what runs have made (never photos, licensed data or the environment)
PYTHON ?= python3
PHOTOS ?=
ENV ?= smoke
BIN := .venv/bin
# no bytecode for the ten thousands of files that nobody imports: it takes longer than the unpacking
PIP := $(BIN)/python -m pip --disable-pip-version-check install --no-compile --constraint constraints.txt
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := true
export DO_NOT_TRACK := 1
export GIT_PYTHON_REFRESH := quiet
# where it is set, each of the tests' hundreds of processes would compile torch and MLflow anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo all sweeps test goldens lint format ui clean benchmarks
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# make/make/p' Makefile

setup: .venv/.ready

.venv/.ready: constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 13), f"Python 3.11 or 3.12 is needed, this is {sys.version.split()[0]}; call make PYTHON=python3.11"'
	$(PYTHON) -m venv .venv
	$(PIP) --quiet torch
	$(PIP) --quiet --editable '.[dev]'
	$(BIN)/python -m pip check
	touch $@

demo: setup
	$(BIN)/python -m hand_pipeline photos $(PHOTOS)
	$(BIN)/dvc repro report
	@$(BIN)/python -m hand_pipeline show

all: demo
	$(BIN)/dvc repro
	@$(BIN)/python -m hand_pipeline show

sweeps: setup
	@$(BIN)/python -m hand_pipeline sweeps --env $(ENV)

test: setup
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

goldens: setup
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE $(BIN)/python -m pytest tests/golden

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m hand_pipeline dvcgen --check

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ui: setup
	$(BIN)/mlflow server --host 127.0.0.1 --port 5000 \
	  --backend-store-uri "sqlite:///$(CURDIR)/mlflow/mlflow.db" --artifacts-destination "$(CURDIR)/mlflow/artifacts"

benchmarks: setup
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf data/.checkpoints data/0[2-8]_*/[!.]* data/sweeps data/smoke mlflow/mlflow.db* mlflow/artifacts \
	  dvc.lock sweeps/dvc.lock .dvc/tmp .dvc/cache
