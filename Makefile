# `make help` lists what there is. Everything is installed into .venv; nothing outside the folder is touched.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
INSTALLED_DEV := $(VENV)/installed-dev
INSTALLED_HEAVY := $(VENV)/installed-heavy
PIP := $(BIN)/python -m pip --disable-pip-version-check
# What the extras bring, but for cryptography, which Beam needs as well.
NOT_FOR_WORKERS := duckdb fsspec grpcio-health-checking grpcio-reflection

.DEFAULT_GOAL := help
.PHONY: help run sandbox test machines heavy check format protos rows reference manifests lock dist tools images bench clean

help: ## list the targets
	@grep -hE '^[a-z][a-zA-Z._-]*:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | \
	  while IFS='|' read -r name does; do printf '  make %-10s %s\n' "$$name" "$$does"; done

run: $(INSTALLED) ## watch half a minute of made-up events become Parquet, then ask it
	$(BIN)/wgtwo-pipeline run --for 30s --lake ./lake

sandbox: $(INSTALLED) ## serve made-up events on 127.0.0.1:50051, with a page on http://127.0.0.1:8080
	$(BIN)/wgtwo-pipeline sandbox --admin-address 127.0.0.1:8080

test: $(INSTALLED_DEV) ## run the tests that need nothing but Python
	$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m "not heavy"

heavy: $(INSTALLED_HEAVY) tools ## run the tests with real S3, Spark, Flink, Prism, grpcurl, kills and chaos (Go, Java, Maven)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m heavy --ignore tests/machines --durations 30

machines: $(INSTALLED_DEV) ## run the commands as on other people's machines; prints a table of what each case showed (Linux)
	$(BIN)/python -m pytest -q -n 2 tests/machines

check: $(INSTALLED_DEV) ## types, lint, format, the floors of the house
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(INSTALLED_DEV) ## format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

wgtwo.bin: $(INSTALLED) $(wildcard protos/wgtwo/*/*/*.proto) ## write the descriptor set that `grpcurl -protoset` takes
	$(BIN)/python -m wgtwo_pipeline.sandbox.services.descriptor_set $@

protos: $(INSTALLED_DEV) ## generate the stubs beside the .proto files anew
	protos/generate.sh $(BIN)/python

rows: $(INSTALLED) ## generate the row types for Beam pipelines anew
	$(BIN)/python -m wgtwo_pipeline.ask.row_types

reference: $(INSTALLED) ## write docs/reference.md and the schema of the configuration file anew
	$(BIN)/python -m wgtwo_pipeline.cli.reference docs

manifests: ## write infra/k8s/ out of the Helm chart anew (needs Go)
	.ci/tools.sh helm
	infra/k8s/render.sh .tools/bin/helm

lock: $(INSTALLED_DEV) ## pin the newest versions that fit pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-header -U \
	  pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-header \
	  pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-header \
	  --group heavy -c requirements-dev.lock -o requirements-heavy.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate \
	  pyproject.toml -c requirements.lock -o requirements-worker.lock \
	  $(foreach package,$(NOT_FOR_WORKERS),--no-emit-package $(package))

dist: $(INSTALLED_DEV) ## build the wheel and the sdist into dist/, checked as an index checks them
	rm -rf dist
	$(BIN)/python -m build --installer uv
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

tools: ## install what the heavy tests run beside Python into .tools (needs Go)
	.ci/tools.sh

images: $(INSTALLED_DEV) ## build the three images without Docker and run them as pods do (Debian, root; some minutes)
	.ci/images.sh

bench: $(INSTALLED_DEV) tools ## measure; prints the ratios that the README states (about 20 minutes)
	$(BIN)/python benchmarks/run.py

clean: ## remove what make has made
	rm -rf $(VENV) .tools build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis wgtwo.bin

$(BIN)/python:
	@command -v $(PYTHON) > /dev/null || { echo "make: no Python on the PATH: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install -q -r requirements.lock
	$(PIP) install -q --no-deps -e .
	@touch $@

$(INSTALLED_DEV): requirements-dev.lock $(INSTALLED)
	$(PIP) install -q -r requirements-dev.lock
	@touch $@

$(INSTALLED_HEAVY): requirements-heavy.lock $(INSTALLED_DEV)
	$(PIP) install -q -r requirements-heavy.lock
	@touch $@
