# Every command starts on a fresh machine: each target sets up what it needs first, and only that.
# ENV and INSTANCE choose the environment, PLUMBLINE_INSTALL=no forbids apt, PLUMBLINE_CACHE moves the cache.

PYTHON ?= python3
ENV ?= $(or $(PLUMBLINE_ENV),dev)
INSTANCE ?= $(PLUMBLINE_INSTANCE)

export PLUMBLINE_ENV := $(ENV)
export PLUMBLINE_INSTANCE := $(INSTANCE)

SUITE := $(PYTHON) -m tools.suite
INFRA := PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python -m infra

.DEFAULT_GOAL := help
.PHONY: help setup lint test test-unit molecule bench-ids soak-ids demo up preview down clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: ## Make this machine ready: packages, virtual environment, Docker, tools, images
	@$(PYTHON) -m tools.setup

lint: ## Check style, types, YAML and roles
	@$(SUITE) lint

test: ## Run every test, on real services (half an hour at most)
	@$(SUITE) lint unit integration e2e molecule

test-unit: ## Run the tests that need no service
	@$(SUITE) unit

molecule: ## Run the Molecule scenarios: hosts from the platform's own images
	@$(SUITE) molecule

bench-ids: ## Measure the ID service: results/bench/ids.json (about 5 minutes)
	@$(PYTHON) -m tools.setup --quiet bench
	@.venv/bin/python -m release.load.bench ids

soak-ids: ## Draw 100 million IDs through faults and look for one twice: results/soak/ids.json (about 10 minutes)
	@$(PYTHON) -m tools.setup --quiet bench
	@.venv/bin/python -m release.load.soak ids

demo: ## Watch the whole: provision, configure, a good release, a bad one rolled back, the report
	@started=$$(date +%s.%N) && $(PYTHON) -m tools.setup --quiet && PLUMBLINE_STARTED=$$started \
		PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python -m release.demo $(ENV)

up: ## Provision an environment: make up ENV=dev INSTANCE=
	@$(PYTHON) -m tools.setup --quiet
	@$(INFRA) up $(ENV)

preview: ## Show what `make up` would change
	@$(PYTHON) -m tools.setup --quiet
	@$(INFRA) preview $(ENV)

down: ## Remove every container, network and volume of an environment, and nothing else
	@$(PYTHON) -m tools.setup --quiet control
	@$(INFRA) destroy $(ENV)

clean: ## Remove what this checkout made for itself; environments and the shared cache stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .ansible build dist *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
	@echo "results/ and the cache ($${PLUMBLINE_CACHE:-~/.cache/plumbline}) are still there; make down removes an environment"
