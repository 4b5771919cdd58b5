# Two commands to begin with: `make run` and `make test`.

PYTHON ?= python3
PORT ?= 8000
VENV = .venv
BIN = $(VENV)/bin

.DEFAULT_GOAL = help
.PHONY: help run try test faults engines mutants bench check format formatted lint types imports coverage lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.demo ## run the service on this machine, PostgreSQL included (PORT=8000)
	@$(BIN)/python -m service demo --port $(PORT)

try: $(VENV)/.demo ## play the life of several sessions against `make run`, and print it (PORT=8000)
	@$(BIN)/python -m service try --url http://127.0.0.1:$(PORT)

test: $(VENV)/.dev ## run the tests, side by side (ARGS="tests/unit/test_text.py" for one file)
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(SIDE_BY_SIDE) $(ARGS)

SIDE_BY_SIDE = -n auto --dist worksteal

faults: $(VENV)/.dev ## break everything around the relay, and count events (about five minutes)
	$(BIN)/python -m tests.faults $(ARGS)

engines: $(VENV)/.dev ## run the service behind a real HAProxy and a real PgBouncer (needs both)
	$(BIN)/python -m pytest tests/engines/behind_haproxy.py tests/engines/through_pgbouncer.py

mutants: $(VENV)/.mutants ## show changes of the code that no test notices (ARGS="service.domain.*"; an hour at most)
	PATH="$(CURDIR)/$(BIN):$$PATH" nice -n 15 $(BIN)/python -m tests.mutants $(ARGS)

bench: $(VENV)/.bench ## measure this service against others (ARGS=--quick to try it)
	$(BIN)/python -m benchmarks $(ARGS)

check: formatted lint types imports test coverage ## all gates: format, lint, types, imports, tests, coverage

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff format

formatted: $(VENV)/.dev
	$(BIN)/ruff format --check

lint: $(VENV)/.dev
	$(BIN)/ruff check

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

coverage: $(VENV)/.dev
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lock: ## lock the newest dependencies that pyproject.toml allows (needs uv)
	uv pip compile $(LOCK) pyproject.toml -o requirements/runtime.txt
	uv pip compile $(LOCK) pyproject.toml --extra demo -o requirements/demo.txt
	uv pip compile $(LOCK) pyproject.toml --extra demo --group bench -o requirements/bench.txt
	uv pip compile $(LOCK) pyproject.toml --extra demo --group dev -o requirements/dev.txt
	uv pip compile $(LOCK) pyproject.toml --extra demo --group mutants -o requirements/mutants.txt

LOCK = --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

clean: ## remove what the other commands made, the demo's data included
	rm -rf .venv* .data .coverage* mutants .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Python 3.11 or newer is needed; name it: make PYTHON=python3.13")'
	@echo "Installing into $(VENV), once ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo $(VENV)/.dev $(VENV)/.bench $(VENV)/.mutants: $(VENV)/.%: requirements/%.txt | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement requirements/$*.txt
	@touch $@
