# make demo   create .venv, install, run the embedded matrix to its tables
# make test   the same set-up, then ruff, import-linter, mypy --strict and pytest
# make test-all   also the tests that are marked slow
# make test-lowest   the tests with the lowest versions that pyproject.toml allows
# make test-page  the HTML page in a browser, which is installed where it is missing (as root, on Debian)

PYTHON ?= python3
VENV   ?= .venv
# None of them (CONSTRAINTS=) has the newest of all.
CONSTRAINTS ?= constraints.txt
BIN     = $(VENV)/bin

.PHONY: demo test test-all checks test-lowest lowest-versions test-page benchmarks clean

demo: $(VENV)/installed
	$(BIN)/python runner.py experiments/digits.yaml

test: checks
	$(BIN)/pytest

# In one run of pytest: those on Ray wait more than they compute, while others have the cores.
test-all: checks
	$(BIN)/pytest -m ''

checks: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

test-lowest:
	$(MAKE) .venv-lowest/installed VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt
	.venv-lowest/bin/pytest -m ''

# With the oldest Python that is allowed, and the pair of torch and torchvision of constraints.txt.
# Named otherwise than its file: git sets the times of a clone's files in no order.
lowest-versions:
	$(PYTHON) -m uv pip compile --quiet --resolution lowest-direct --python-version 3.11 --extra dev \
	    --no-annotate --custom-compile-command 'pip install uv && make lowest-versions' \
	    -c constraints.txt pyproject.toml -o constraints-lowest.txt

test-page: $(VENV)/installed
	command -v chromium || command -v chromium-browser || command -v google-chrome || { \
	    test "$$(id -u)" = 0 || { echo "no browser: install chromium (Debian: apt install chromium)" >&2; exit 1; }; \
	    apt-get update && apt-get install --yes --no-install-recommends chromium; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(addprefix -c ,$(CONSTRAINTS)) -e '.[page]'
	$(BIN)/pytest -n 0 tests/page

benchmarks: $(VENV)/installed
	$(BIN)/python -m tests.benchmarks ratios
	$(BIN)/python -m tests.benchmarks sharing
	$(BIN)/python -m tests.benchmarks transfer
	$(BIN)/python -m tests.benchmarks order

$(VENV)/installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(addprefix -c ,$(CONSTRAINTS)) -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .venv-lowest build *.egg-info .mypy_cache .ruff_cache
