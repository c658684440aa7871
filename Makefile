# Two commands do everything from nothing: `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCHES ?= saturation scheduler scale endpoint trees quota

export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO := 0

.PHONY: setup demo test test-fast bench chaos lint clean

setup: $(READY)

$(READY): requirements/setup.sh requirements/cpu.lock pyproject.toml
	PYTHON="$(PYTHON)" VENV="$(VENV)" bash requirements/setup.sh
	touch $@

demo: setup
	$(BIN)/guideweave run ray_jobs/configs/demo.yaml

test: setup lint
	$(BIN)/python -m pytest

test-fast: setup
	$(BIN)/python -m pytest -m "not engine and not train and not slow"

bench: setup
	set -e; for name in $(BENCHES); do echo "== $$name"; $(BIN)/python -m tests.bench.$$name; done

chaos: setup
	$(BIN)/python -m tests.chaos.run

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check --python-interpreter-path $(BIN)/python
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build *.egg-info
