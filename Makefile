# Requires only Python 3.11 or newer and a package index.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
EXTRAS ?= test,embedded
# Processes of `make test`. Three on two processors took as long as two, and more processor time.
TESTERS ?= 2

.PHONY: demo test hermetic lint types js docs check nightly reliability floors lock sbom runtime dist space clean

demo: $(VENV)/.run ## open the page on the built-in demo
	$(BIN)/inficond demo $(ARGS)

test: $(VENV)/.test ## run the tests
	$(BIN)/python -m pytest -m "not nightly" -n $(TESTERS) $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

types: $(VENV)/.test ## mypy and pyright over the package names that users import
	$(BIN)/mypy && $(BIN)/pyright --pythonpath $(BIN)/python

js: ## format, lint, types and unit tests of the page's scripts; skipped without Node
	@if ! command -v npm >/dev/null; then echo "js: skipped, Node is not installed"; \
	else cd tests/js && npm ci --silent --no-audit --no-fund && npm run --silent check; fi

check: lint types js test

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "InFiConD needs Python 3.11 or newer; choose one with: make demo PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing InFiConD and what it needs into $(VENV): about 900 MB, some minutes, once"
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e .
	$(BIN)/inficond demo --prepare-only
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[$(EXTRAS)]"
	touch $@

nightly: $(VENV)/.test ## run the tests that take many minutes
	$(BIN)/python -m pytest -m nightly $(ARGS)

hermetic: $(VENV)/.test ## test with home, cache and temporary folder left over by others, read-only, missing, empty
	$(BIN)/python -m tests.tools.hermetic $(ARGS)

reliability: $(VENV)/.test ## measure kills, changed bytes and load and write docs/reliability.md (30 minutes): ARGS="--only kills"
	$(BIN)/python -m tests.tools.reliability $(ARGS)

docs: $(VENV)/.test ## write the documentation site to build/site; dead links are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet $(ARGS)
	@echo "open build/site/index.html"

floors: $(VENV)/.test ## test in fresh environments with the lowest allowed and the newest versions
	$(BIN)/python -m pytest -m nightly tests/repo/test_install.py $(ARGS)

lock: $(VENV)/.test ## write requirements.lock: the newest versions with their hashes
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
		--annotation-style line --custom-compile-command "make lock" --output-file requirements.lock $(ARGS)

sbom: $(VENV)/.test ## write sbom.cdx.json: packages of the lock with licences (CycloneDX)
	$(BIN)/python tests/tools/sbom.py $(ARGS)

runtime: $(VENV)/.test ## renew ONNX Runtime Web, which pages of students contain (needs npm): ARGS="--version 1.30.0"
	$(BIN)/python -m tests.tools.vendor_onnxruntime_web $(ARGS)

dist: $(VENV)/.test ## write wheel and source archive to dist; the same commit gives the same bytes
	$(BIN)/python -m tests.tools.distributions $(ARGS)

space: $(VENV)/.run ## assemble the folder of a Hugging Face Space: make space OUT=folder
	@test -n "$(OUT)" || { echo 'name the output folder: make space OUT=folder' >&2; exit 2; }
	$(BIN)/python spaces/assemble.py $(OUT)

clean:
	rm -rf $(VENV) build artifacts src/*.egg-info
