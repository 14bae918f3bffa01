# Every target sets up .venv first when it is not there. PYTHON: any Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench bench-accept docs clean

demo: $(READY)
	$(BIN)/vesselbench compare sa2va unet

# Two processes share the files of tests, in the order of tests/conftest.py.
test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# make ends with its own 2 whatever the gate's code was, and cannot be told otherwise. What must tell "slower" (3) from
# "failed" (1) and "mistake" (2), such as CI, calls `python -m benchmarks.gate` itself.
bench: $(READY)
	$(BIN)/python -m benchmarks.gate

bench-accept: $(READY)
	$(BIN)/python -m benchmarks.gate --accept

docs: $(READY)
	$(BIN)/python docs/make_reference.py

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("vesselbench needs Python 3.11 or newer: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
