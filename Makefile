# Targets for people; .ci/run uses the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install demo dev test lint bench lock docs clean

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: $(INSTALLED)  ## Build .venv with the locked packages and the command novacron-analytics

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: install  ## Simulate a fleet, analyse it whole, and say what was found
	$(BIN)/novacron-analytics demo $(DEMO)

dev: install  ## Open Dagster's UI on the home
	$(BIN)/novacron-analytics dev

test: install  ## Run the whole test suite
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder $(TESTS)

lint: install  ## Formatting, lint, types and import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install  ## Measure speed, size and memory beside their limits
	$(BIN)/python -m benchmarks $(BENCH)

lock: $(INSTALLED)  ## Renew requirements.lock: newest versions that pyproject.toml allows, with hashes
	$(BIN)/python -m piptools compile --quiet --upgrade --generate-hashes --allow-unsafe --no-strip-extras \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-annotate --no-header \
		--extra dev --output-file requirements.lock pyproject.toml

docs: install  ## Renew the generated pages docs/tables.md and docs/settings.md
	( printf '# Data dictionary\n\nMade by `make docs`. Every view also has `tenant` and `day`.\n\n'; \
		$(BIN)/novacron-analytics tables --markdown ) > docs/tables.md
	( printf '# Settings\n\nMade by `make docs`. An environment variable beats `analytics.toml` in the home, which beats the default;\n'; \
		printf 'in the file a setting has its plain name. A wrong or unknown setting stops the start-up.\n\n'; \
		$(BIN)/novacron-analytics settings --markdown ) > docs/settings.md

clean:  ## Remove what the other targets built
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache *.egg-info
