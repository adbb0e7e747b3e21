# Everything by hand starts here; each target says what it does. The work is in scripts/.
# Needed beforehand: git, make, Python >= 3.11 (PYTHON=... names another one) and ca-certificates.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
export PYTHON

# A Node that scripts/node.sh had to bring goes before the machine's own, which is missing or old.
export PATH := $(CURDIR)/.peers/bin:$(PATH)

RUN := .venv/bin/python -m

# Tests that sample in `make test` what they do at length in `make soak`.
LONG := tests/engines/test_clamd_failover.py tests/engines/test_clamd_signatures.py
CODE := $(wildcard src tests peers demo)

.PHONY: help
help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: ## put ostiary and its locked dependencies into .venv
	@scripts/install.sh
	@$(if $(filter install,$(MAKECMDGOALS)),echo "ostiary is at .venv/bin/ostiary")

.PHONY: demo
demo: install peers ## watch it keep malware test files away from a real homeserver's users; KEEP=1 stays up
	@$(RUN) demo $(if $(KEEP),--keep)

.PHONY: test
test: test-setup ## run all tests against real components; ARGS="-k clamd -x" goes to pytest
	@$(RUN) pytest $(ARGS)

.PHONY: soak
soak: test-setup ## fuzz for new examples (EXAMPLES=100000 each), kill and reload clamd a hundred times; ARGS="-k clamd"
	@HYPOTHESIS_PROFILE=soak SOAK_EXAMPLES=$(or $(EXAMPLES),10000) $(RUN) pytest tests/fuzz --timeout=0 -q $(ARGS)
	@SOAK=1 $(RUN) pytest $(LONG) --timeout=0 -q $(ARGS)

.PHONY: coverage
coverage: test-setup ## run all tests and show the lines and branches that they miss
	@$(RUN) pytest --cov --cov-report=term-missing:skip-covered $(ARGS)

.PHONY: lint
lint: develop ## check style, format, types and the rules of import
	@$(RUN) ruff check $(CODE)
	@$(RUN) ruff format --check $(CODE)
	@$(RUN) mypy $(CODE)
	@.venv/bin/lint-imports

.PHONY: format
format: develop ## format the code, mend what ruff can mend
	@$(RUN) ruff check --fix $(CODE)
	@$(RUN) ruff format $(CODE)

.PHONY: lock
lock: ## write requirements/*.txt anew; UPGRADE=1 takes the newest versions
	@UPGRADE=$(UPGRADE) scripts/lock.sh

.PHONY: clean
clean: ## remove everything that was made here
	rm -rf .venv .peers tests/npm/node_modules
	rm -rf build dist htmlcov .coverage .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

# Set-up alone: .venv with the tools of development; Synapse and Node; Debian's clamd and Chromium.
.PHONY: develop peers test-setup
develop: install
	@scripts/venv.sh .venv requirements/dev.txt

peers:
	@scripts/venv.sh .peers/synapse requirements/synapse.txt
	@scripts/node.sh

test-setup: develop peers ## set up all that the tests need, and run none
	@scripts/debian.sh
	@scripts/pdqhash.sh
