# Everything is run from here; `make` alone lists the targets.
# Written for GNU Make 3.81, the one that macOS has.

SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
RUN := $(VENV)/bin/python
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
PORT ?= 8000
EXAMPLES ?= 200
DEMO := $(CURDIR)/var/demo
export PORT YES

# The first Python that is new enough; PYTHON=... chooses another.
FIND_PYTHON = for p in "$(PYTHON)" python3 python3.13 python3.12 python3.11 python3.14 python; do \
    [ -n "$$p" ] && "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    && break; p=; done; \
  [ -n "$$p" ] || { echo "Python 3.11 or newer is needed; PYTHON=/path/to/python3 names one" >&2; exit 1; }

.PHONY: help demo demo-reset test test-faults test-hosts test-deployment lint lint-style lint-types lint-layers lint-templates lint-django lint-pins sbom fuzz format screenshots bench bench-evaluation bench-painted bench-export bench-load bench-pipeline certificate-validity constraints

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## start everything with example data; PORT=8123 moves it
	@SYNTHREVIEW_DATA="$(DEMO)" exec $(RUN) manage.py demo --data "$(DEMO)"

demo-reset: $(VENV)/.installed  ## clear the demonstration's data; YES=1 does not ask
	@SYNTHREVIEW_DATA="$(DEMO)" exec $(RUN) manage.py demo_reset --data "$(DEMO)"

test: $(VENV)/.installed-dev  ## run all tests, on PostgreSQL and on SQLite; JOBS=2 at once
	@$(RUN) -m tests.prepare
	@echo "--- the tests that use the database, on PostgreSQL"
	@$(RUN) -m pytest -n $(JOBS) --database postgresql
	@echo "--- all tests, on SQLite"
	@$(RUN) -m pytest -n $(JOBS)

test-faults: $(VENV)/.installed-dev  ## kill workers, break off answers, at length; writes docs/reliability.md
	@$(RUN) -m tests.prepare
	@for database in sqlite postgresql; do \
	  $(RUN) -m pytest tests/faults -n0 --database $$database \
	    --long-faults var/faults/$$database.json || exit 1; done
	@$(RUN) -m tests.faults.figures docs/reliability.md var/faults/sqlite.json var/faults/postgresql.json

test-hosts: $(VENV)/.installed-dev  ## two hosts in network namespaces, and what befalls them (root, Linux)
	@$(RUN) -m tests.prepare
	@$(RUN) -m tests.faults.hosts --json var/faults/hosts.json
	@$(RUN) -m tests.faults.figures docs/reliability.md --hosts var/faults/hosts.json

test-deployment: $(VENV)/.installed-dev  ## start every process that the Compose file names, as it is written
	@$(RUN) -m tests.prepare
	@TEST_DEPLOYMENT=1 $(RUN) -m pytest -n0 tests/test_deployment.py

lint: lint-style lint-types lint-layers lint-templates lint-django lint-pins  ## check style, types, layers, templates, deployment, known vulnerabilities; -k goes on

lint-style: $(VENV)/.installed-dev
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

lint-types: $(VENV)/.installed-dev
	@$(RUN) -m mypy

lint-layers: $(VENV)/.installed-dev
	@$(VENV)/bin/lint-imports

lint-templates: $(VENV)/.installed-dev
	@find templates -name '*.html' -exec $(VENV)/bin/djade --target-version 5.2 --check {} +

lint-django: $(VENV)/.installed-dev
	@$(LIKE_PRODUCTION) $(RUN) manage.py makemigrations --check --dry-run
	@$(LIKE_PRODUCTION) $(RUN) manage.py check --deploy --fail-level WARNING

lint-pins: $(VENV)/.installed-dev
	@$(RUN) tools/audit.py

sbom: $(VENV)/.installed-dev  ## write what is installed as a CycloneDX bill of materials, var/sbom.json
	@mkdir -p var
	@$(RUN) -m cyclonedx_py environment --output-format JSON --output-file var/sbom.json $(VENV)

fuzz: $(VENV)/.installed-dev  ## fuzz the API from its own document, at length; EXAMPLES=500 for each operation
	@$(RUN) -m tests.prepare
	@FUZZ_EXAMPLES=$(EXAMPLES) $(RUN) -m pytest -n $(JOBS) tests/test_fuzz.py tests/test_fuzz_readers.py

LIKE_PRODUCTION = SYNTHREVIEW_DATA=$(CURDIR)/var/lint SYNTHREVIEW_HTTPS=1 \
  SYNTHREVIEW_ALLOWED_HOSTS=review.example.org

format: $(VENV)/.installed-dev  ## mend what can be mended by itself
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .
	@find templates -name '*.html' -exec $(VENV)/bin/djade --target-version 5.2 {} +

screenshots: $(VENV)/.installed-dev  ## take the pictures of docs/ anew
	@$(RUN) -m tests.prepare
	@$(RUN) -m tests.screenshots

bench: $(VENV)/.installed-dev  ## run the benchmarks
	@for bench in benchmarks/bench_*.py; do echo "--- $$bench"; $(RUN) "$$bench" || exit 1; done

certificate-validity: $(VENV)/.installed-dev  ## simulate how often the certificate is wrong, where its page has no figure yet; ARGS="--minutes 8"
	@$(RUN) -m benchmarks.certificate_validity --jobs $(JOBS) $(ARGS)

bench-review: $(VENV)/.installed-dev  ## measure a review against the barest view; ARGS="--long" adds a million images
	@$(RUN) -m benchmarks.bench_review $(ARGS)

bench-painted: $(VENV)/.installed-dev  ## measure a key to the next image painted, in a browser; ARGS="--keys 300"
	@$(RUN) -m benchmarks.bench_painted $(ARGS)

bench-load: $(VENV)/.installed-dev  ## let many people review while everything else runs; ARGS="--long": 50 on a million images
	@$(RUN) -m benchmarks.bench_load $(ARGS)

bench-export: $(VENV)/.installed-dev  ## measure exports against cp -r, and what reviewers feel of them; ARGS="--long" adds 100,000 images
	@$(RUN) -m benchmarks.bench_export $(ARGS)

bench-evaluation: $(VENV)/.installed-dev  ## measure what approved images gain and unreviewed ones cost, in the drawn world
	@$(RUN) -m benchmarks.evaluation_gain $(ARGS)

bench-pipeline: $(VENV)/.installed-dev  ## measure what the pipeline adds to an image; ARGS="--memory 10000" watches memory
	@$(RUN) -m benchmarks.bench_pipeline $(ARGS)

bench-scoring: $(VENV)/.installed-dev  ## measure the scoring worker against the bare forward pass; ARGS="--flat 20000"
	@$(RUN) -m benchmarks.bench_scoring $(ARGS)

constraints: $(VENV)/.installed-dev  ## pin what is installed now, after an upgrade by hand
	@{ echo '# Exact versions of everything that was tested, made by `make constraints`.'; \
	  $(RUN) -m pip freeze --all --exclude-editable | grep -E '^[A-Za-z0-9_.-]+==[^+]+$$'; } \
	  > constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt tools/install.py
	@$(FIND_PYTHON); "$$p" tools/install.py
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt tools/install.py
	@$(FIND_PYTHON); "$$p" tools/install.py dev
	@touch $(VENV)/.installed $@
