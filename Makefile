# Two commands to begin with: `make run` and `make test`.

PYTHON ?= python3
PORT ?= 8000
VENV = .venv
RUN = $(VENV)/bin/python -m

.DEFAULT_GOAL = help
.PHONY: help run try consume test faults failover brokers chaos engines mutants typescript screenshot swagger-ui grafana-schemas dashboards bench check format formatted lint types imports advisories coverage lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.demo ## run the service on this machine, PostgreSQL included (PORT=8000)
	@$(BLOCK_CTRL_C) $(RUN) service demo --port "$(PORT)"

try: $(VENV)/.demo ## play the life of several sessions against `make run`, and print it (PORT=8000)
	@$(BLOCK_CTRL_C) $(RUN) service try --port "$(PORT)"

consume: $(VENV)/.demo ## print the events of `make run` as a consumer gets them (NATS, relay, example)
	@$(BLOCK_CTRL_C) $(RUN) service consume

test: $(VENV)/.dev ## run the tests, but for the slow ones (ARGS=tests for all, ARGS="tests/unit/test_text.py" for one file)
	$(RUN) pytest $(SIDE_BY_SIDE) $(or $(ARGS),-m "not slow")

SIDE_BY_SIDE = -n auto --dist worksteal

# Python keeps its bytecode, also where the environment says not to: the tests start it many times.
test coverage: export PYTHONDONTWRITEBYTECODE =

faults: $(VENV)/.dev ## break everything around the relay, and count events (about five minutes)
	$(RUN) tests.faults $(ARGS)

failover: $(VENV)/.dev ## lose the primary of PostgreSQL in three ways, and compare every answer (about six minutes)
	$(RUN) tests.faults.failover $(ARGS)

brokers: $(VENV)/.dev ## kill, part, fill and damage NATS brokers, and count events (half an hour; root for all of it)
	$(RUN) tests.faults.brokers $(ARGS)

chaos: $(VENV)/.dev ## break all parts at random, and judge every answer (ARGS="--minutes 5 --seed 1")
	$(RUN) tests.chaos $(ARGS)

engines: $(VENV)/.dev ## run the service behind a real HAProxy and a real PgBouncer (needs both)
	$(RUN) pytest tests/haproxy tests/engines/through_pgbouncer.py

mutants: $(VENV)/.mutants ## show changes of the code that no test notices (ARGS="service.domain.*"; an hour at most)
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" nice -n 15 $(RUN) tests.mutants $(ARGS)

screenshot: $(VENV)/.dev ## take the picture of the README from a fresh `make run` (needs chromium)
	$(RUN) tests.browser.screenshot http://127.0.0.1:$(PORT)/ docs/images/docs-page.png

swagger-ui: ## take the newest Swagger UI for the page of the API (needs npm)
	cd $(SWAGGER_UI) && npm pack --silent swagger-ui-dist && tar -xzf swagger-ui-dist-*.tgz && \
	cp package/LICENSE package/NOTICE package/swagger-ui-bundle.js.LICENSE.txt . && \
	(cd package && sha256sum swagger-ui-bundle.js swagger-ui.css) > SHA256SUMS && \
	for file in swagger-ui-bundle.js swagger-ui.css; do gzip -9nc package/$$file > $$file.gz; done && \
	rm -r package swagger-ui-dist-*.tgz

SWAGGER_UI = service/http/docs/swagger_ui

dashboards: $(VENV)/.dev ## draw the dashboards from a run with faults (eight minutes; needs prometheus)
	$(RUN) tests.prometheus docs/images

grafana-schemas: ## make the schemas that dashboards are held against from Grafana's types (needs npm)
	cd tests/monitoring/grafana && npm ci --silent && node schemas.mjs > ../grafana_schemas.json

typescript: $(VENV)/.dev ## compile TypeScript types made from the description of the API (needs Node 20)
	$(RUN) service openapi > tests/typescript/openapi.json
	cd tests/typescript && npm ci --silent && npm run --silent check

bench: $(VENV)/.bench ## measure this service against others (ARGS=--quick to try it)
	$(RUN) benchmarks $(ARGS)

check: formatted lint types imports advisories coverage ## all gates: format, lint, types, imports, advisories, and the tests with their coverage

format: $(VENV)/.dev ## format the code
	$(RUN) ruff format

formatted: $(VENV)/.dev
	$(RUN) ruff format --check

lint: $(VENV)/.dev
	$(RUN) ruff check
	$(RUN) yamllint --strict .

types: $(VENV)/.dev
	$(RUN) mypy

imports: $(VENV)/.dev
	$(VENV)/bin/python -c 'from importlinter.cli import lint_imports_command as lint; lint()'

advisories: $(VENV)/.dev
	$(VENV)/bin/python requirements/advisories.py requirements/runtime.txt

coverage: $(VENV)/.dev
	@rm -f .coverage .coverage.*
	$(RUN) coverage run -m pytest $(SIDE_BY_SIDE)
	@$(RUN) coverage combine --quiet
	$(RUN) coverage report

lock: ## lock the newest dependencies that pyproject.toml allows (needs uv)
	uv pip compile $(LOCK) pyproject.toml -o requirements/runtime.txt
	uv pip compile $(LOCK) pyproject.toml --extra otel -o requirements/otel.txt
	uv pip compile $(LOCK) pyproject.toml --extra demo -o requirements/demo.txt
	uv pip compile $(LOCK) pyproject.toml --extra demo --group bench -o requirements/bench.txt
	uv pip compile $(LOCK) pyproject.toml --extra demo --extra otel --group dev -o requirements/dev.txt
	uv pip compile $(LOCK) pyproject.toml --extra demo --extra otel --group mutants -o requirements/mutants.txt

LOCK = --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

clean: ## remove what the other commands made, the demo's data included
	@$(if $(BROKEN),$(PYTHON),$(VENV)/bin/python) -m service.dev.clean .data
	@rm -f .venv*/.demo .venv*/.dev .venv*/.bench .venv*/.mutants
	rm -rf tests/monitoring/grafana/node_modules
	rm -rf tests/typescript/node_modules tests/typescript/openapi.json tests/typescript/api.d.ts
	rm -rf .venv* .data .coverage* mutants .hypothesis .schemathesis .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache

# Not empty if an installation was broken off, or if the Python of the environment is gone.
BROKEN := $(shell test ! -e $(VENV)/.installing && $(VENV)/bin/python -c "import pip" 2>/dev/null \
	|| echo broken)
.PHONY: $(BROKEN)

$(VENV)/.demo $(VENV)/.dev $(VENV)/.bench $(VENV)/.mutants: $(VENV)/.%: requirements/%.txt $(BROKEN)
	$(REQUIRE_PYTHON)
	@$(BLOCK_CTRL_C) $(PYTHON) requirements/install.py $(VENV) $*

define REQUIRE_PYTHON
@found=$$($(PYTHON) -c 'import sys; print(sys.version_info >= (3, 11) or sys.version)' 2>/dev/null); \
case "$$found" in \
	True) ;; \
	"") echo "Python 3.11 or newer is needed, and $(PYTHON) does not run. On Debian and Ubuntu:" \
		"sudo apt install python3 python3-venv" >&2; exit 1 ;; \
	*) echo "Python 3.11 or newer is needed, and $(PYTHON) is $${found%% *}. Name a newer one:" \
		"make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1 ;; \
esac
endef

# A blocked Ctrl-C waits until Python can handle it. Earlier, Python would print a traceback.
BLOCK_CTRL_C := $(shell env --block-signal=INT true 2>/dev/null && echo env --block-signal=INT)
