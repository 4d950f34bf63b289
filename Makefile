# The front door. `make demo` shows the main job, `make test` passes every test; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
# The testbed may install Docker Engine and start it where it runs as root; it asks for nothing else.
export COLDVOX_TESTBED_INSTALL ?= $(if $(filter 0,$(shell id -u)),1,)
# The scenarios are at the top of the checkout; without this molecule would warn about that on every run.
export MOLECULE_GLOB := molecule/*/molecule.yml
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## list these targets
	@sed -n 's/^\([a-z][a-z -]*\):.*## /  make \1\t/p' Makefile | expand -t 48

.PHONY: setup
setup: .venv/complete ## make the virtual environment .venv

.venv/complete: requirements/dev.txt requirements/core-current.txt scripts/setup
	@scripts/setup .venv core-current 3.13 3.14 3.12 3.11

.venv-oldest/complete: requirements/dev.txt requirements/core-oldest.txt scripts/setup
	@scripts/setup .venv-oldest core-oldest 3.11 3.12 3.13

.PHONY: demo
demo: setup ## a fresh machine to a converged laptop-extra, left running to look at
	@python scripts/demo.py

.PHONY: test
test: setup .venv-oldest/complete ## everything: lint, unit tests on both cores, molecule, installed collection
	@python -m scripts.run_tests

.PHONY: lint unit faults sandbox kernel sanity roles site molecule
lint unit faults sandbox kernel sanity roles site: setup .venv-oldest/complete ## one stage of `make test`
	@python -m scripts.run_tests $@

molecule: setup .venv-oldest/complete ## every scenario of molecule, and the tests of converged hosts
	@python -m scripts.run_tests roles site

.PHONY: bench
bench: setup ## speed as ratios measured in one run; BENCH='--full cold' chooses
	@python -m testbed up --world test
	@python tests/bench/run.py $(BENCH)

.PHONY: coverage
coverage: setup ## which lines of plugins/ the unit tests run; details in build/coverage/html
	@scripts/coverage

.PHONY: docs
docs: setup ## write the generated tables of the role READMEs anew
	@python scripts/role_readme.py --write

.PHONY: docs-site
docs-site: setup ## the documentation of all plugins and roles as a web site in build/docs-site
	@scripts/docs-site

.PHONY: clean
clean: ## stop what the testbed started and remove everything that was generated
	@if [ -x $(BIN)/python ]; then for world in demo roles kernel; do python -m testbed down --world $$world; done; python -m testbed down --world test --caches --engine; fi
	@rm -rf .testbed .cache .venv .venv-oldest build .mypy_cache .ruff_cache .hypothesis
