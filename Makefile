# Plain `make` explains every target.

PROFILE ?= laptop
JOBS    ?=
EXECUTOR ?=
GRAPHS ?=
DEVICE  ?=
SET     ?=
DAYS    ?= 30
KILLS   ?= 200
RATE    ?= 10
PYTHON  ?= python3
# Where torch comes from: empty for PyPI, or for example https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
TORCH   := torch==2.13.0
# Empty for an index with builds of its own: what is installed is then not held against the hashes of PyPI's files.
HASHES  ?= yes

# What users give is text: make does not expand it, and the shell sees it only inside quotes.
$(foreach name,PROFILE JOBS EXECUTOR GRAPHS DEVICE SET DAYS KILLS RATE,$(eval override $(name) := $$(value $(name))))
export PROFILE DEVICE SET DAYS KILLS RATE
export BUTTERFLY_JOBS := $(value JOBS)
export BUTTERFLY_EXECUTOR := $(value EXECUTOR)
export BUTTERFLY_GRAPHS := $(value GRAPHS)
# One thread a process; processes are what is scaled.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export PYTHONHASHSEED := 0

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.SUFFIXES:
.DEFAULT_GOAL := help

VENV  := .venv
READY := $(VENV)/.ready
BIN   := $(VENV)/bin
DRIVE := $(BIN)/python -m butterfly

.PHONY: help env figures plan notebooks test lint bench scaling soak lab book book-check atlas claims compare register reference elsewhere report lock clean clean-runs distclean

help: ## explain every target (this text)
	@echo "How neural networks train: a companion. Targets:"
	@awk -F ':.*## ' '/^[a-zN%0-9-]+:.*## / {sub("%", "NN", $$1); printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo 'Settings: PROFILE=laptop|gpu|paper|yours  SET="recipe.lr=0.1 seeds=5"  DEVICE=cpu|cuda  GRAPHS=1  JOBS=2  EXECUTOR=local|dask:ADDRESS|slurm:FILE  PYTHON=python3.11  TORCH_INDEX=URL'

env: $(READY) ## make the environment in .venv (about 3 minutes, once)

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "error: Python 3.11 is needed, this is %d.%d; name one with: make env PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@# It is emptied first: behind a link, that would be somebody else's.
	@if [ -L $(VENV) ]; then echo "error: $(VENV) is a link to $$(readlink $(VENV)), which is older than requirements.lock or pyproject.toml; remove the link, and make has its own"; exit 1; fi
	@echo "making the environment in $(VENV), about 3 minutes"
	@rm -f $@
	@$(PYTHON) -m venv --clear $(VENV)
	@# torch first: a package that merely depends on it would pull another build.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(HASHES),--require-hashes --no-deps -r requirements.hashes,-r requirements.lock)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

figures: $(READY) ## regenerate every figure and claim of PROFILE that is out of date, then compare with the reference
	@$(DRIVE) figures --profile "$$PROFILE" --device "$$DEVICE" --set "$$SET"

figure-%: $(READY) ## one notebook's figures and verdicts, for example: make figure-01
	@$(DRIVE) figures --profile "$$PROFILE" --device "$$DEVICE" --set "$$SET" --only "$*"

plan: $(READY) ## what PROFILE would cost, nothing trained: networks, FLOP, memory, time here and on a GPU
	@$(DRIVE) plan --profile "$$PROFILE" --set "$$SET" --rate "$$RATE"

plan-%: $(READY) ## the same of one notebook
	@$(DRIVE) plan --profile "$$PROFILE" --set "$$SET" --rate "$$RATE" --only "$*"

notebooks: $(READY) ## execute the notebooks at their defaults and rewrite the committed .ipynb
	@$(DRIVE) build

test: $(READY) ## everything CI runs: lint, site, tests, notebooks
	@$(MAKE) --no-print-directory lint book
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --ignore=tests/book/test_browser.py tests
	@BUTTERFLY_JOBS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --nbval --nbval-current-env --nbval-cell-timeout=300 notebooks

lint: $(READY) ## style and formatting
	@$(BIN)/ruff check --quiet lib book tests notebooks/*.py
	@$(BIN)/ruff format --quiet --check lib book tests notebooks/*.py

bench: $(READY) ## measure speed as ratios in one run, one thread
	@$(BIN)/python tests/bench.py

scaling: $(READY) ## measure how time and memory grow with members, data, width, shards; keeps docs/scaling.md
	@$(BIN)/python -m tests.scaling --write docs/scaling.md

soak: $(READY) ## accidents on purpose: KILLS=200 kills, damaged files, full disks, two drivers; keeps docs/soak.md
	@$(BIN)/python tests/soak.py --kills "$$KILLS" --write docs/soak.md

lab: $(READY) ## open JupyterLab on the notebooks
	@$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks/00_index.ipynb

book: $(READY) ## make the site in book/_build/html from the committed notebooks, figures and claims
	@$(BIN)/python book/convert.py
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env \
		-c book -d book/_build/doctrees book/_build/source book/_build/html
	@echo "The site is book/_build/html/index.html"

book-check: book ## open the site in headless Chromium: filters, search, zoom, phone width, the kick (a minute)
	@$(BIN)/python -m pytest -q -rs tests/book

atlas: $(READY) ## train what the site's atlas of examples shows, and write book/atlas.json (some minutes)
	@$(BIN)/python book/atlas.py

claims: $(READY) ## print the ledger of PROFILE as a table
	@$(DRIVE) claims --profile "$$PROFILE"

compare: $(READY) ## hold what ran of PROFILE against the reference run, in words
	@$(DRIVE) compare --profile "$$PROFILE"

register: $(READY) ## explore, and write down every claim before the run that counts
	@$(DRIVE) register --profile "$$PROFILE"

register-%: $(READY) ## explore one notebook, and write its claims down beside those of the others
	@$(DRIVE) register --profile "$$PROFILE" --only "$*"

reference: $(READY) ## keep the figures of PROFILE as the reference run; make LEDGER.md and the README's table
	@$(DRIVE) reference --profile "$$PROFILE"

reference-%: $(READY) ## keep one notebook's figures as the reference, beside what it has of the others
	@$(DRIVE) reference --profile "$$PROFILE" --only "$*"

elsewhere: $(READY) ## judge every claim under other instruction sets, and keep beside the reference which verdicts hold
	@$(DRIVE) elsewhere --profile "$$PROFILE"

elsewhere-%: $(READY) ## the same of one notebook, beside what is kept of the others
	@$(DRIVE) elsewhere --profile "$$PROFILE" --only "$*"

report: $(READY) ## make LEDGER.md and the README's table anew
	@$(DRIVE) report

lock: $(READY) ## rewrite requirements.lock from the environment, and requirements.hashes from PyPI
	@{ head -1 requirements.lock; $(BIN)/python -m pip freeze --all --exclude-editable --exclude torch --exclude pip; } > .lock && mv .lock requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --target .uv uv
	@{ head -1 requirements.hashes; .uv/bin/uv pip compile --quiet --no-deps --generate-hashes --no-annotate --no-header \
		--python $(BIN)/python requirements.lock; } > .lock && mv .lock requirements.hashes
	@rm -rf .uv

clean: ## remove generated figures, the site and tool caches; finished runs in .runs are kept
	@find figures -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +
	@rm -rf book/_build .pytest_cache .ruff_cache .hypothesis

clean-runs: $(READY) ## remove finished runs that nobody asked for in the last DAYS=30 days
	@$(DRIVE) clean-runs --days "$$DAYS"

distclean: clean ## also remove finished runs and the environment
	@rm -rf .runs $(VENV)
