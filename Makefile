# make setup, demo, test: all that a newcomer needs. Wants Python 3.11 or 3.12 with pip, git and make; the rest goes into .venv.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.up-to-date
FITS := import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(shell for python in python3.11 python3.12 python3 python; do "$$python" -c '$(FITS)' 2>/dev/null && echo $$python && break; done)
DEMO_ARGS ?=

# The tests' tensors are tiny: threads would only wait for each other.
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test quick check lock clean

help:
	@echo "make setup   make $(VENV): uv and everything in requirements.lock"
	@echo "make demo    a small grid, watched to its end (DEMO_ARGS=--exit: then stop)"
	@echo "make test    make check, then every test"
	@echo "make quick   the tests without Ray and a browser, on all cores"
	@echo "make check   ruff and mypy"
	@echo "make lock    write requirements.lock anew from pyproject.toml"
	@echo "make clean   remove $(VENV) and every cache"

setup: $(STAMP)

# Where the environment comes without pip, as Debian's does, the pip outside puts uv into it.
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or 3.12 found: install one, or say which with make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c '$(FITS)' || { echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1): Python 3.11 or 3.12 is needed" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV) >/dev/null || "$(PYTHON)" -m venv --without-pip $(VENV)
	$(BIN)/python -m pip --quiet install "uv>=0.5,<1" 2>/dev/null || "$(PYTHON)" -m pip --quiet --python $(BIN)/python install "uv>=0.5,<1"
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: setup
	$(BIN)/noisegrid demo $(DEMO_ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Ray and a browser want the machine to themselves.
test: check quick
	$(BIN)/pytest -m "ray or browser"

quick: setup
	$(BIN)/pytest -n auto --dist worksteal -m "not (ray or browser)"

lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-header -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
