# make demo: set up and see it work.   make test: set up and test.   make lint: ruff and mypy.
# make slow: full-size parity checks and larger samples.   make exhaustive: everything of what is sampled; hours.
# make gpu: the tests that need an accelerator.
# make test-oldest: the tests with the oldest versions that pyproject.toml allows.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
OLDEST := .venv-oldest
# Two processes with a thread each: most tests are too small for two threads. A file's tests stay in one process.
PARALLEL := -n 2 --dist loadfile

.PHONY: demo test test-oldest slow exhaustive gpu lint setup clean

demo: setup
	$(BIN)/frugalseg demo

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) -m "not slow and not exhaustive and not gpu"

slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) -m "slow and not gpu"

exhaustive: setup
	$(BIN)/python -m pytest -m exhaustive

gpu: setup
	$(BIN)/python -m pytest -m gpu

test-oldest: $(OLDEST)/ready
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest $(PARALLEL) -m "not slow and not exhaustive and not gpu"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

$(OLDEST)/ready: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --constraint constraints-oldest.txt --editable ".[dev]"
	touch $(OLDEST)/ready

clean:
	rm -rf $(VENV) $(OLDEST) build *.egg-info
