# The only entry to everything that is done with this project. Each verb sets itself up:
# the virtual environment .venv is made where there is none, and renewed when pyproject.toml changes.
# `make demo` installs what runs; all others also the tools that they need.
#
#   make demo      run the shipped scenario `policy-load`; results in results/policy-load
#   make test      the tests that are quick
#   make coverage  the same, and which lines they run (takes three times as long)
#   make test-all  all tests, slow ones too, on every Python 3.11 to 3.13 of this machine,
#                  and on the oldest versions that pyproject.toml allows; and the coverage
#   make lint      ruff, mypy, import-linter
#   make bench     speed, as tables of ratios and targets (a few minutes)
#   make reproduce published experiments, predicted against measured (minutes on 2 cores); results in
#                  results/reproduce, and the page docs/truth.md
#   make study     the headline study (6 minutes on 2 cores); figures and the paper in results/study
#   make notebooks open the notebooks, with their outputs, in Jupyter Lab; installed into .venv the first time
#   make outputs   run the notebooks, and keep what they give (a few minutes)
#   make docs      the pages that the code writes, the README's price list, and the site

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Where it is set, every start of Python compiles a thousand files anew, which takes two thirds of a short run.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo test coverage test-all test-lowest lint format bench reproduce study notebooks outputs docs clean

# The first interpreter that is new enough.
PYTHON ?= $(shell \
    for python in python3 python3.13 python3.12 python3.11 $(HOME)/.pyenv/versions/3.1[1-9]*/bin/python3; do \
        if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
            command -v $$python; break; \
        fi; \
    done)
BIN := .venv/bin
READY := .venv/.ready
TOOLS := .venv/.tools
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

help:
	@sed -n '/^#   /s/^#  *//p' Makefile

# What runs, and no more: files are compiled as they are imported, which is a small part of them.
$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "pmsim needs Python 3.11 or newer, and found none" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "making .venv with $(PYTHON)"; $(PYTHON) -m venv .venv; }
	@echo "installing pmsim into .venv (about half a minute)"
	@$(BIN)/python $(PIP_INSTALL) --no-compile --editable .
	@touch $@

# What tests, checks and documents it. `--group` needs a newer pip than comes with Python 3.11.
$(TOOLS): $(READY)
	@echo "installing the tools of developers into .venv (about a minute)"
	@$(BIN)/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@$(BIN)/python $(PIP_INSTALL) --editable . --group dev
	@touch $@

demo: $(READY)
	$(BIN)/pmsim run policy-load --out results/policy-load --force

# Files go to the cores in the order in which they are found: notebooks first, which take longest.
ON_EVERY_CORE := -n auto --dist loadfile --no-loadscope-reorder

test: $(TOOLS)
	$(BIN)/python -m pytest -m "not slow" $(ON_EVERY_CORE)

# The compiled passes cannot be measured as they run: the tests of the hardware run them once more as plain Python.
coverage: $(TOOLS)
	@$(BIN)/coverage erase
	NUMBA_DISABLE_JIT=1 HYPOTHESIS_PROFILE=few $(BIN)/coverage run -m pytest -m "not slow" tests/hardware
	$(BIN)/coverage run -m pytest -m "not slow" $(ON_EVERY_CORE)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

# A line per Python says that it was left out, or how its tests went.
test-all: lint
	@ran=0; \
	for version in 3.11 3.12 3.13; do \
	    python=""; \
	    for candidate in $(HOME)/.pyenv/versions/$$version*/bin/python$$version python$$version; do \
	        if $$candidate -c '' 2>/dev/null; then python=$$candidate; break; fi; \
	    done; \
	    if [ -z "$$python" ]; then echo "== Python $$version: not on this machine, left out"; continue; fi; \
	    echo "== Python $$version ($$python)"; \
	    $(MAKE) --no-print-directory .venv-$$version/.ready VENV_PYTHON=$$python; \
	    .venv-$$version/bin/python -m pytest; \
	    ran=$$((ran + 1)); \
	done; \
	test $$ran -gt 0 || { echo "no Python 3.11 to 3.13 found" >&2; exit 1; }
	@$(MAKE) --no-print-directory test-lowest coverage

.venv-3.%/.ready: pyproject.toml
	@test -x $(@D)/bin/python || $(VENV_PYTHON) -m venv $(@D)
	@$(@D)/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@$(@D)/bin/python $(PIP_INSTALL) --editable . --group dev
	@touch $@

# Every `>=` of the dependencies becomes `==`: what pyproject.toml promises as the lowest must work.
# Warnings are no errors there: old libraries are warned of what newer ones below them have dropped, in processes
# that tests start too, whose errors tests read.
LOWEST := import tomllib; \
    wanted = tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']; \
    print(*(line.replace('>=', '==') for line in wanted))

test-lowest: .venv-lowest/.ready
	@echo "== Python $$(.venv-lowest/bin/python -V | cut -d' ' -f2) and the oldest dependencies allowed"
	PYTHONWARNINGS=ignore::DeprecationWarning .venv-lowest/bin/python -m pytest -m "not slow" -W default

.venv-lowest/.ready: pyproject.toml $(TOOLS)
	@python=$$(ls -d $(HOME)/.pyenv/versions/3.11*/bin/python3.11 2>/dev/null | head -1); \
	test -x $(@D)/bin/python || $${python:-$(PYTHON)} -m venv $(@D)
	@$(@D)/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@$(@D)/bin/python $(PIP_INSTALL) --editable . --group dev $$($(BIN)/python -c "$(LOWEST)")
	@touch $@

lint: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(TOOLS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(TOOLS)
	$(BIN)/python -m benchmarks

reproduce: $(TOOLS)
	$(BIN)/pmsim reproduce --intervals --out results/reproduce --force
	$(BIN)/python -m docs._generate.truth results/reproduce
	@echo "the page: docs/truth.md, and results/reproduce/report.html"

# What is finished of an interrupted study is not run again.
study: $(TOOLS)
	$(BIN)/pmsim sweep claim --out results/study/claim
	$(BIN)/pmsim sweep claim-arm64 --out results/study/claim-arm64
	$(BIN)/pmsim sweep claim-32bit --out results/study/claim-32bit
	$(BIN)/pmsim sweep claim-protocols --out results/study/claim-protocols
	$(BIN)/pmsim sweep claim-deferred --out results/study/claim-deferred
	$(BIN)/jupyter execute notebooks/claim.ipynb --output $(CURDIR)/results/study/claim.ipynb
	@echo "the figures: results/study/*.png; the paper around them: results/study/claim.ipynb"

# Jupyter Lab is no part of what `make demo` installs: it is as large as all the rest.
.venv/.notebooks: $(READY)
	@echo "installing Jupyter Lab into .venv (about a minute)"
	@$(BIN)/python $(PIP_INSTALL) --editable '.[notebook]'
	@touch $@

notebooks: .venv/.notebooks
	cd notebooks && ../$(BIN)/jupyter lab first_look.ipynb

outputs: $(TOOLS)
	$(BIN)/python -m docs._generate.outputs notebooks/*.ipynb

docs: $(TOOLS)
	$(BIN)/python -m docs._generate
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going docs docs/_build/html
	@echo "the site: docs/_build/html/index.html"

clean:
	rm -rf .venv .venv-* results .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache \
	    .hypothesis .import_linter_cache dist build docs/_build
