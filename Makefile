# Everything a newcomer needs: `make demo` and `make test` do all the set-up by themselves.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
OUT    ?= out/demo
PGSTAC ?= .venv-pgstac

.PHONY: help demo test test-pgstac check lint types house notebooks docs benchmarks samples clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /	/'

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

demo: $(READY) ## run the whole job on the bundled simulated scenes
	$(BIN)/changedet demo --samples samples --out $(OUT) --overwrite

test: $(READY) ## run the tests
	$(BIN)/python -m pytest -n auto --dist loadfile

test-pgstac: $(READY) $(PGSTAC)/.ready ## ask a real STAC server what the tests ask their stand-ins
	CHANGEDET_PGSTAC_PYTHON=$(PGSTAC)/bin/python $(BIN)/python -m pytest tests/pgstac -m pgstac

$(PGSTAC)/.ready:
	$(PYTHON) -m venv $(PGSTAC)
	$(PGSTAC)/bin/python -m pip install --quiet --disable-pip-version-check 'pypgstac[psycopg]~=0.10.0' 'stac-fastapi.pgstac~=7.2' uvicorn
	touch $@

lint: $(READY) ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## check types
	$(BIN)/mypy

house: $(READY) ## print the house figures and hold them
	$(BIN)/python tools/house.py

check: lint types house test ## everything that must hold before a commit

notebooks: $(READY) ## execute the notebooks
	$(BIN)/python -m pytest tests/test_notebooks.py

docs: $(VENV)/.docs ## build the documentation into site/; open site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

benchmarks: $(READY) ## measure the core beside naive and peer versions
	$(BIN)/python benchmarks/run.py

samples: $(READY) ## make the bundled samples again
	$(BIN)/python samples/make_samples.py

clean: ## remove what was built
	rm -rf $(VENV) $(PGSTAC) out site build dist .pytest_cache .mypy_cache .ruff_cache
