# Plain `make` explains every target.

PROFILE ?= laptop
JOBS    ?=
DEVICE  ?=
PYTHON  ?= python3
# Where torch comes from: empty for PyPI, or for example https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
TORCH   := torch==2.13.0

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help

VENV  := .venv
READY := $(VENV)/.ready
BIN   := $(VENV)/bin
OUT   := figures/$(PROFILE)
# One thread a process; processes are what is scaled.
RUN    = OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 BUTTERFLY_JOBS=$(JOBS) PYTHONHASHSEED=0 $(BIN)/python -m butterfly

LIB    := $(shell find lib -name '*.py')
TOPICS := $(filter-out 00_index,$(basename $(notdir $(wildcard notebooks/[0-9][0-9]_*.py))))
DRAWN  := $(TOPICS:%=$(OUT)/%.ipynb)

.PHONY: help env figures notebooks test lint bench lab claims compare reference lock clean distclean FORCE

help: ## explain every target (this text)
	@echo "How neural networks train: a companion. Targets:"
	@awk -F ':.*## ' '/^[a-z%0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make figure-NN   one notebook's figures, for example: make figure-01"
	@echo "Settings: PROFILE=laptop|gpu|paper  DEVICE=cpu|cuda  JOBS=2  PYTHON=python3.11  TORCH_INDEX=URL"

env: $(READY) ## make the environment in .venv (about 3 minutes, once)

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "error: Python 3.11 is needed, this is %d.%d; name one with: make env PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@echo "making the environment in $(VENV), about 3 minutes"
	@rm -f $@
	@$(PYTHON) -m venv --clear $(VENV)
	@# torch first: a package that merely depends on it would pull another build.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

figures: $(OUT)/00_index.ipynb ## regenerate every figure and claim of PROFILE, then compare with the reference
	@$(RUN) report --profile $(PROFILE)

figure-%: $(READY) FORCE
	@$(MAKE) --no-print-directory $(filter $(OUT)/$*_%,$(DRAWN) $(OUT)/00_index.ipynb) $(if $(filter $(OUT)/$*_%,$(DRAWN) $(OUT)/00_index.ipynb),,no-notebook-$*)

no-notebook-%:
	@echo "error: there is no notebook $*; use two digits, as in figure-01. There are: 00_index $(TOPICS)" >&2; exit 2

$(DRAWN): $(OUT)/%.ipynb: notebooks/%.py params/$(PROFILE)/%.yaml $(LIB) $(READY)
	@$(RUN) run $* --profile $(PROFILE) $(if $(DEVICE),--device $(DEVICE))

$(OUT)/claims.json: $(DRAWN)
	@$(RUN) ledger --profile $(PROFILE)

$(OUT)/00_index.ipynb: $(OUT)/claims.json notebooks/00_index.py
	@$(RUN) run 00_index --profile $(PROFILE) $(if $(DEVICE),--device $(DEVICE))

params/%.yaml:
	@if [ -d params/$(PROFILE) ]; then echo "error: params/$*.yaml is missing; copy it from params/laptop/" >&2; \
	else echo "error: there is no params/$(PROFILE)/; PROFILE is one of: $$(ls params | xargs)" >&2; fi; exit 2

notebooks: $(READY) ## execute the notebooks at their defaults and rewrite the committed .ipynb
	@$(RUN) build

test: $(READY) ## everything CI runs: lint, tests, notebooks
	@$(MAKE) --no-print-directory lint
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile tests
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 BUTTERFLY_JOBS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --nbval --nbval-current-env --nbval-cell-timeout=300 notebooks

lint: $(READY) ## style and formatting
	@$(BIN)/ruff check --quiet lib tests notebooks/*.py
	@$(BIN)/ruff format --quiet --check lib tests notebooks/*.py

bench: $(READY) ## measure speed as ratios in one run, one thread
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python tests/bench.py

lab: $(READY) ## open JupyterLab on the notebooks
	@OMP_NUM_THREADS=1 $(BIN)/jupyter lab --ServerApp.root_dir=$(CURDIR) --LabApp.default_url=/lab/tree/notebooks/00_index.ipynb

claims: $(READY) ## print the ledger of PROFILE as a table
	@$(RUN) claims --profile $(PROFILE)

compare: $(READY) ## hold the ledger of PROFILE against the reference run, in words
	@$(RUN) compare --profile $(PROFILE)

reference: $(READY) ## keep the figures of PROFILE as the reference run
	@$(RUN) reference --profile $(PROFILE)

lock: $(READY) ## rewrite requirements.lock from the environment
	@{ head -1 requirements.lock; $(BIN)/python -m pip freeze --all --exclude-editable --exclude torch --exclude pip; } > .lock && mv .lock requirements.lock

clean: ## remove generated figures and tool caches; finished runs in .runs are kept
	@find figures -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +
	@rm -rf .pytest_cache .ruff_cache .hypothesis

distclean: clean ## also remove finished runs and the environment
	@rm -rf .runs $(VENV)
