# qbg: everything that a developer types. `make help` reads the comments behind `##`.
#
# Needs a Rust toolchain and Python 3.11 or newer with pip; all the rest goes into .venv and target/.
# Works from any folder: make -C path/to/qbg test
# Stamps in .venv/ say what is there, so that a second call does only what has changed.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
.NOTPARALLEL:

# rustup puts cargo here; a shell that was open before does not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Override to choose another interpreter for .venv: make test PYTHON=python3.13
PYTHON ?= $(shell scripts/tools.sh python)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
OUT    ?= out/samples

# What the wheel is made of.
SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md LICENSE \
           $(shell find rust python -type f -not -path '*/target/*' -not -name '*.pyc' -not -name '*.so' -not -name '*.pyd')

.PHONY: help run miri memcheck test test-slow lint lint-rust lint-python lint-shell test-rust test-kernels test-python \
        build build-prod build-profiling bench format clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.wheel-release ## Build and install the wheel, cut out the sample pictures, print the throughput
	@$(BIN)/python scripts/sample_run.py python/qbg/bench/samples $(OUT)

test: lint test-rust test-kernels test-python ## Every test and lint; does its own set-up

test-slow: $(VENV)/.wheel-release $(VENV)/.dev ## The tests marked slow, with hypothesis in its thorough profile
	@echo "== slow tests"
	@HYPOTHESIS_PROFILE=slow $(BIN)/python -m pytest -m slow

lint: lint-rust lint-python lint-shell ## rustfmt, clippy, ruff, mypy, stubtest, shellcheck

lint-rust:
	@scripts/tools.sh rust-lint
	@echo "== rustfmt"
	@cargo fmt --all --check
	@echo "== clippy"
	@cargo clippy --quiet --workspace --all-targets --features qbg-core/faults --locked -- -D warnings

lint-python: $(VENV)/.wheel-release $(VENV)/.dev
	@echo "== ruff"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@echo "== mypy"
	@$(BIN)/mypy --no-error-summary
	@echo "== stubtest"
	@$(BIN)/python -m mypy.stubtest --concise --allowlist tests/stubtest-allowlist.txt qbg._native

lint-shell: $(VENV)/.dev
	@scripts/lint_shell.sh $(BIN)

test-rust: ## Unit tests of the Rust core
	@scripts/tools.sh rust
	@echo "== cargo test"
	@cargo test --quiet --locked -p qbg-core

# Each level this CPU has among those named: the Rust kernels, then the same through Python.
test-kernels: $(VENV)/.wheel-release $(VENV)/.dev ## The kernels' tests once more with QBG_SIMD=scalar and avx2
	@scripts/test_kernels.sh $(BIN) scalar avx2

test-python: $(VENV)/.wheel-release $(VENV)/.dev ## pytest on the installed wheel
	@echo "== pytest"
	@$(BIN)/python -m pytest -m "not slow"

build: $(VENV)/.made ## Debug wheel into .venv: quick to build, slow to run
	@scripts/build.sh $(BIN) dev

build-prod: $(VENV)/.made ## Release wheel into .venv, even if nothing has changed
	@scripts/build.sh $(BIN) release

build-profiling: $(VENV)/.made ## Release wheel with symbols into .venv, for perf and flame graphs
	@scripts/build.sh $(BIN) profiling

miri: ## Parts of the core under Miri, where a toolchain has it
	@scripts/sanitize.sh miri

memcheck: ## The core's tests at the scalar level under valgrind: a few minutes
	@scripts/sanitize.sh memcheck

bench: $(VENV)/.wheel-release ## Side-by-side runs; writes benches/record/<cpu>/ (ARGS="--quick", ARGS="--only folder")
	@$(BIN)/python benches/spine.py $(ARGS)

format: $(VENV)/.dev ## Rewrite all sources in the house's format
	@cargo fmt --all
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

clean: ## Remove everything that was built; .venv too
	@rm -rf target $(VENV) out dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find python tests benches scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made: requirements-dev.txt
	@scripts/tools.sh rust python-venv
	@scripts/venv.sh "$(PYTHON)" $(VENV)
	@echo "== runtime dependencies and maturin into $(VENV)"
	@$(PIP) install --constraint requirements-dev.txt maturin numpy onnxruntime pillow rich typer
	@touch $@

$(VENV)/.dev: $(VENV)/.made requirements-dev.txt
	@echo "== development tools into $(VENV)"
	@$(PIP) install --requirement requirements-dev.txt
	@touch $@

$(VENV)/.wheel-release: $(VENV)/.made $(SOURCES)
	@scripts/build.sh $(BIN) release
