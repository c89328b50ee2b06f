# Everything a newcomer needs: `make demo` and `make test` do all the set-up by themselves.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PROGRAM := $(VENV)/.program
READY  := $(VENV)/.ready
OUT    ?= out/demo
PGSTAC ?= .venv-pgstac

WHEEL  ?= .venv-wheel
OLDEST ?= .venv-oldest
# what old libraries say of themselves and of each other is not ours to mend
OLD_WARNINGS := $(foreach kind,Deprecation PendingDeprecation Future,-W default::$(kind)Warning) \
	-W "ignore:numpy.ndarray size changed:RuntimeWarning" # NumPy itself keeps it from users

.PHONY: help demo test test-pgstac check lint types house notebooks docs benchmarks samples clean fuzz faults \
	coverage mutation test-oldest resolve wheel wheel-check audit sbom dependencies

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /	/'

# what a user needs, and what the notebooks need
$(PROGRAM): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[notebook,jupyter,cubes]'
	touch $@

$(READY): $(PROGRAM)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

demo: $(PROGRAM) ## run the whole job on the bundled simulated scenes
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

dependencies: $(READY) ## what is imported is declared, and what is declared is imported
	$(BIN)/deptry .

check: lint types house dependencies test ## everything that must hold before a commit

notebooks: $(READY) ## execute the notebooks
	$(BIN)/python -m pytest tests/test_notebooks.py

docs: $(VENV)/.docs ## build the documentation into site/; open site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

coverage: $(READY) ## run the tests with line and branch coverage, and hold what they cover
	$(BIN)/python -m pytest -n auto --dist loadfile --cov --cov-report=term:skip-covered --cov-fail-under=92

$(VENV)/.release: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	touch $@

mutation: $(VENV)/.release ## change single operators and numbers of the core: do its tests notice?
	$(BIN)/mutmut run --max-children 1
	$(BIN)/python tools/mutation_score.py mutants

test-oldest: $(VENV)/.release ## run most tests with the oldest libraries declared
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) $(OLDEST)
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --python $(OLDEST)/bin/python \
		--extra cubes --extra learn pyproject.toml -o $(OLDEST)/oldest.txt
	$(BIN)/uv pip install --quiet --python $(OLDEST)/bin/python -r $(OLDEST)/oldest.txt
	$(BIN)/uv pip install --quiet --python $(OLDEST)/bin/python -c $(OLDEST)/oldest.txt --editable . hypothesis \
		jsonschema odc-stac pytest pytest-benchmark pytest-randomly pytest-socket pytest-xdist pyyaml rioxarray rio-cogeo scikit-image
	$(OLDEST)/bin/python -m pytest $(OLD_WARNINGS) -m "not pgstac and not browser" $(addprefix tests/,core output cli \
		providers watch timeline scale models)

resolve: $(VENV)/.release ## on every Python declared, built libraries can be had, the newest and the oldest
	for python in 3.11 3.12 3.13; do for which in highest lowest-direct; do \
		$(BIN)/uv pip compile --quiet --only-binary :all: --python-version $$python --resolution $$which \
			pyproject.toml -o /dev/null && echo "Python $$python, $$which: resolved" || exit 1; done; done

faults: $(READY) ## kill commands 200 times and at every step, fill up and break the disk under them
	$(BIN)/python -m tests.faults.kills --out tests/faults/results.json
	$(BIN)/python -m tests.faults.surroundings $$(mktemp -d)

fuzz: $(READY) ## give every parser spoilt input, CASES of each (CASES=100000, SECONDS for each, FUZZ=names)
	$(BIN)/python -m tests.fuzz.runner --cases $(or $(CASES),100000) --seconds $(or $(SECONDS),inf) $(FUZZ)

wheel: $(VENV)/.release ## build the wheel that is released into dist/, packed small
	$(BIN)/python tools/build_wheel.py dist

wheel-check: $(VENV)/.release ## build the wheel, install it into an empty environment, run the demo there
	$(BIN)/python tools/wheel_check.py --keep $(WHEEL)

audit: wheel-check ## look up known vulnerabilities of the libraries that a user gets
	$(BIN)/pip-audit --strict --path $(WHEEL)/venv/lib/python3*/site-packages

sbom: wheel-check ## write the bill of materials of the wheel and its libraries (CycloneDX)
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
		-o $(WHEEL)/dist/changedet.cdx.json $(WHEEL)/venv/bin/python

benchmarks: $(READY) ## measure the core beside naive and peer versions
	$(BIN)/python benchmarks/run.py

samples: $(READY) ## make the bundled samples again
	$(BIN)/python samples/make_samples.py

clean: ## remove what was built
	rm -rf $(VENV) $(PGSTAC) $(WHEEL) $(OLDEST) mutants out site build dist .pytest_cache .mypy_cache .ruff_cache
