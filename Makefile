# make demo   create .venv, install, run the embedded matrix to its tables
# make test   the same set-up, then ruff, import-linter, mypy --strict and pytest
# make test-all   also the tests that are marked slow

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin

.PHONY: demo test test-all benchmarks clean

demo: $(VENV)/installed
	$(BIN)/python runner.py experiments/digits.yaml

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	$(BIN)/pytest

test-all: test
	$(BIN)/pytest -m slow

benchmarks: $(VENV)/installed
	$(BIN)/python -m tests.benchmarks ratios
	$(BIN)/python -m tests.benchmarks transfer

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache
