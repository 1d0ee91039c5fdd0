# On a new machine: `make compare`, `make learn`, `make test`.
# Both use one virtual environment; a stamp in it says what is installed, so nothing is done twice.

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
VENV ?= .venv
JOBS ?= 2

# `make compare COMPARE="--agents static,ilp --scenario tiny" OUTPUT=results/mine ARGS="--workers 2"`
COMPARE ?= --agents static,reactive,hpa,ilp,ppo --scenario tiny --seeds 3
OUTPUT ?= results/compare
ARGS ?=
# `make test PYTEST_ARGS="-k router"`
PYTEST_ARGS ?=
# What runs the kernels in plain Python for `make coverage`; the rest of the tests would take hours.
PLAIN_TESTS := tests/simulator tests/traces/test_synthetic.py tests/traces/test_transforms.py \
	tests/env/test_actions.py

CORE_EXTRAS := report,forecast
TEST_EXTRAS := $(CORE_EXTRAS),learn,marl,mo,tune,ray,docs,dev
LEARN_EXTRAS := $(CORE_EXTRAS),learn
DOCS_EXTRAS := $(CORE_EXTRAS),docs

BIN := $(VENV)/bin
CORE_STAMP := $(VENV)/.installed-core
LEARN_STAMP := $(VENV)/.installed-learn
TEST_STAMP := $(VENV)/.installed-test
DOCS_STAMP := $(VENV)/.installed-docs
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check --no-input -c constraints.txt

# $(call install,EXTRAS): pip's chatter goes to a file that is shown only if it fails.
define install
	@echo "Installing sageserve-env[$(1)] in $(VENV) (log: $(VENV)/install.log)"
	@{ $(PIP) hatchling editables && $(PIP) --no-build-isolation -e ".[$(1)]"; } \
		>$(VENV)/install.log 2>&1 </dev/null || { tail -n 40 $(VENV)/install.log >&2; exit 1; }
endef

# So that no first run compiles; where that fails it says why, and the first run does.
precompile = @$(BIN)/python -m sageserve_env.precompile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help compare learn benchmark test libraries lint docs coverage clean distclean

help:  ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1|/' \
		| while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

compare: $(CORE_STAMP)  ## Compare rules, the planner and a learner on three days of traffic
	@$(BIN)/sageserve compare $(COMPARE) --output $(OUTPUT) $(ARGS)

learn: $(LEARN_STAMP)  ## Install what training needs (PyTorch, Stable-Baselines3)
	@echo "Train with: $(BIN)/python examples/ppo_sb3.py --env SageServe-Tiny-v1 --minutes 5"

benchmark: $(CORE_STAMP)  ## Run every published comparison again, each value compared; ARGS=--verify replays
	@$(BIN)/sageserve benchmark $(ARGS)

test: lint docs  ## Linters, types, import rules, documentation, all tests, a small comparison
	@echo "== pytest"
	@$(BIN)/python -m pytest -q -n $(JOBS) $(PYTEST_ARGS)
	@echo "== make compare, small"
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
		&& $(MAKE) --no-print-directory compare OUTPUT="$$folder" ARGS= \
			COMPARE="--agents static,reactive,ilp,ppo --scenario tiny --seeds 1" \
		&& test -s "$$folder/results.csv" && test -s "$$folder/report.html"

# Each lies over the environment of the tests, so that only what differs is installed, without the
# constraints: some pin other versions of Gymnasium.
LIBRARIES ?= torchrl skrl tianshou minari[create,hdf5] supersuit ray[rllib] array-api-compat
libraries: $(TEST_STAMP)  ## A few steps with each library for learning, each in its own environment
	@for library in $(LIBRARIES); do \
		folder=build/libraries/$${library%%[*}; echo "== $$library"; \
		$(BIN)/python -m venv $$folder \
		&& $(BIN)/python -c 'import site; print("import site; site.addsitedir(%r)" % site.getsitepackages()[0])' \
			>$$($$folder/bin/python -c 'import site; print(site.getsitepackages()[0])')/zz_tests.pth \
		&& { $$folder/bin/python -m pip install -q --disable-pip-version-check --no-input \
			"$$library" >$$folder/install.log 2>&1 </dev/null \
			|| { tail -n 20 $$folder/install.log >&2; exit 1; }; } \
		&& $$folder/bin/python -m pytest -q -n0 tests/libraries $(PYTEST_ARGS) || exit 1; \
	done

lint: $(TEST_STAMP)  ## Ruff, mypy and the import rules
	@echo "== ruff"
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check . || { echo "make lint: run '$(BIN)/ruff format'" >&2; exit 1; }
	@echo "== mypy"
	@$(BIN)/mypy --strict
	@echo "== import rules"
	@shown=$$($(BIN)/lint-imports --no-cache 2>&1) && echo "$$shown" | tail -n 1 \
		|| { echo "$$shown" >&2; exit 1; }

docs: $(DOCS_STAMP)  ## Build the documentation in site/, every link checked
	@echo "== documentation"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q --strict

coverage: $(TEST_STAMP)  ## Coverage of the Python code, kernels measured without compilation
	@$(BIN)/python -m coverage erase
	@echo "== kernels, not compiled"
	@NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q -n $(JOBS) -m "not compiled" \
		--cov --cov-report= $(PLAIN_TESTS)
	@echo "== everything else"
	@$(BIN)/python -m pytest -q -n $(JOBS) --cov --cov-append --cov-report= $(PYTEST_ARGS)
	@$(BIN)/python -m coverage report --fail-under=92 --skip-covered --sort=cover

clean:  ## Remove caches and builds, keep the environment and results
	@rm -rf build dist site htmlcov .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache \
		.hypothesis .import_linter_cache
	@find sageserve_env agents traces benchmarks tests -name __pycache__ -type d \
		-exec rm -rf {} +

distclean: clean  ## As clean, and remove the environment
	@rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "make: Python 3.11 or newer is needed; set PYTHON=..." >&2; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(CORE_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(call install,$(CORE_EXTRAS))
	$(precompile)
	@touch $@

$(LEARN_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(call install,$(LEARN_EXTRAS))
	$(precompile)
	@touch $(CORE_STAMP) $@

# The extras of the tests contain those of `make compare` and `make docs`.
$(TEST_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(call install,$(TEST_EXTRAS))
	$(precompile)
	@touch $(CORE_STAMP) $(LEARN_STAMP) $(DOCS_STAMP) $@

$(DOCS_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(call install,$(DOCS_EXTRAS))
	@touch $@
