# `make demo` and `make test` begin on an empty machine: each does the set-up it needs, then its job.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
# Arguments for pytest: make test PYTEST_ARGS="-k watermark"
PYTEST_ARGS ?=

# Files whose change makes a part of the set-up be done again.
MADE := $(VENV)/.made
RUNTIME := $(VENV)/.runtime
PROJECT := $(VENV)/.project
DEV := $(VENV)/.dev
COMPILED := $(wildcard sampler/*/_compiled/*.pyx sampler/*/_compiled/*.pxd)

PIP_TOOLS := 7.6.2
# pip-compile takes over neither addresses nor options of this machine's pip.
COMPILE := env -u PIP_FIND_LINKS $(PY) -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
# What the locks are made of. The build's own needs are locked too, so that the build takes nothing from an index.
INPUTS := import sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	print(*p["build-system"]["requires"], *p["project"]["dependencies"], \
	*(p["dependency-groups"]["dev"] if "dev" in sys.argv else ()), sep="\n")

.PHONY: help
help:  ## Show this list
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## (.*)/  make \1\t\2/' | expand -t 20

.PHONY: setup
setup: $(PROJECT)  ## Make .venv with everything tailsampler needs to run

.PHONY: demo
demo: $(PROJECT)  ## Set up, then sample real traces on this machine, without a Kafka to install
	@$(VENV)/bin/tailsampler demo

.PHONY: test
test: tools $(DEV) $(PROJECT)  ## Set up, then lint, types and all tests, with a real Kafka (Java 17, Maven), Helm (Go) and Prometheus
	@$(MAKE) --no-print-directory lint
	@$(PY) -m tests.harness.helm
	@$(PY) -m tests $(PYTEST_ARGS)

.PHONY: test-faults
test-faults: tools $(DEV) $(PROJECT)  ## All fault scenarios on a real Kafka (about half an hour); writes docs/faults.md
	@$(PY) -m pytest -m faults tests/faults tests/integration $(PYTEST_ARGS)

.PHONY: lint
lint: $(DEV) $(PROJECT)  ## Ruff (rules and format) and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

.PHONY: manifests
manifests: $(DEV) $(PROJECT)  ## Render deploy/kubernetes from the Helm chart, after a change of it
	@$(PY) -m tests.harness.manifests

.PHONY: docs
docs: $(DEV) $(PROJECT)  ## Build the site of docs/ into build/site; broken links are errors
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@echo "build/site/index.html"

.PHONY: bench
bench: tools $(DEV) $(PROJECT)  ## Spans per CPU-second of agent and worker, on a real Kafka
	@$(PY) -m benchmarks.agent
	@$(PY) -m benchmarks.worker

.PHONY: lock
lock: $(MADE)  ## Resolve pyproject.toml anew into the two lock files
	@$(PIP) install --quiet pip-tools==$(PIP_TOOLS)
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	$(PY) -c '$(INPUTS)' >"$$scratch/run.in"; \
	$(PY) -c '$(INPUTS)' dev >"$$scratch/dev.in"; \
	$(COMPILE) --output-file requirements.lock "$$scratch/run.in"; \
	$(COMPILE) --constraint requirements.lock --output-file requirements-dev.lock "$$scratch/dev.in"

.PHONY: clean
clean:  ## Remove all that was made here, .venv included
	@rm -rf $(VENV) build dist ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@rm -f sampler/*/_compiled/*.so sampler/*/_compiled/*.c
	@find benchmarks policies sampler tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The first three lines of set-up are the only ones that can fail for want of something outside the tree.
$(MADE):
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or later is needed, and there is no \`$(PYTHON)\` (make PYTHON=... names another)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed, and \`$(PYTHON)\` is $$($(PYTHON) -V 2>&1) (make PYTHON=... names another)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "The venv module of $(PYTHON) is needed (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@if ! [ -x $(PY) ] || ! $(PY) -m pip --version >/dev/null 2>&1; then $(PYTHON) -m venv --clear $(VENV); fi
	@touch $@

$(RUNTIME): requirements.lock | $(MADE)
	@echo "Installing what tailsampler needs into $(VENV) (some minutes the first time)"
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@touch $@

$(DEV): requirements-dev.lock | $(RUNTIME)
	@echo "Installing the tools of the tests into $(VENV)"
	@$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

# Without isolation and index: what the build needs is in the lock, with its hash. Setuptools warns of every editable
# installation beside a folder of the package's name; here that is meant.
$(PROJECT): pyproject.toml setup.py $(COMPILED) $(RUNTIME)
	@PYTHONWARNINGS=ignore $(PIP) install --quiet --no-build-isolation --no-deps --no-index --editable .
	@if compgen -G 'sampler/*/_compiled/*.so' >/dev/null; then echo "tailsampler is installed, with its compiled scanner"; \
	else echo "tailsampler is installed without its compiled scanner (no C compiler?): it works, at a fraction of the speed"; fi
	@touch $@

.PHONY: tools
tools:
	@command -v java >/dev/null || { echo "Java 17 or later is needed for the real Kafka of the tests, and there is no \`java\` (Debian: apt-get install openjdk-17-jre-headless)" >&2; exit 1; }
	@found=$$(java -version 2>&1 | sed -nE '1s/.*version "([0-9]+).*/\1/p'); [ "$${found:-0}" -ge 17 ] || { echo "Java 17 or later is needed for the real Kafka of the tests; \`java\` is version $${found:-unknown}" >&2; exit 1; }
	@command -v mvn >/dev/null || { echo "Maven is needed to fetch the Kafka of the tests, and there is no \`mvn\` (Debian: apt-get install maven)" >&2; exit 1; }
	@for tool in prometheus promtool; do command -v $$tool >/dev/null || { echo "Prometheus is needed for the tests of alerts and dashboards, and there is no \`$$tool\` (Debian: apt-get install prometheus)" >&2; exit 1; }; done
	@compgen -G "$${TAILSAMPLER_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/tailsampler}/bin/helm-*[0-9]" >/dev/null || command -v go >/dev/null || { echo "Go 1.24 or later is needed to build Helm for the tests of the chart, and there is no \`go\` (Debian 13: apt-get install golang-go)" >&2; exit 1; }
