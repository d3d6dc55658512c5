# Every target sets up .venv by itself: `make chat` installs what chatting needs, the others the tools as well.
# PYTHON=python3.12 chooses the interpreter; otherwise the first one of 3.11 or newer is taken.

PYTHON ?= python3 python3.13 python3.12 python3.11 python
TESTS = -m pytest -n logical --maxprocesses 4 --dist loadfile --durations=10
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
SETUP := pyproject.toml constraints.txt .ci/install.py

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help chat test check models bench pictures

help: ## what this file can do
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

chat: .venv/.chat ## open the chat app in a browser, and print its address (http://127.0.0.1:7860)
	@$(BIN)/adapterbot ui

test: .venv/.dev ## run the tests
	@$(BIN)/python $(TESTS)

check: .venv/.dev .venv/types ## format, lint, types and tests: what a change has to pass; shows what has grown long
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m ruff check .
	@cd .venv/types && ../../$(BIN)/python -m mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache adapterbot tests
	@$(BIN)/python tests/sizes.py
	@$(BIN)/python $(TESTS)

models: .venv/.dev ## make every model from $ADAPTERBOT_CORPORA, as data/recipe.toml says (DRY=1 only shows the plan)
	@test -d "$$ADAPTERBOT_CORPORA" || { \
	  echo "make models: set ADAPTERBOT_CORPORA to the folder of dialogue corpora (one sub-folder each)" >&2; exit 1; }
	@$(BIN)/adapterbot build --data "$$ADAPTERBOT_CORPORA" $(if $(DRY),--dry-run)

bench: .venv/.dev ## measure speed and memory (slow)
	@$(BIN)/adapterbot bench

pictures: .venv/.dev ## make the pictures of the app in docs/ (needs chromium)
	@$(BIN)/python tests/pictures.py

$(BIN)/python:
	@for python in $(PYTHON); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "making .venv with $$("$$python" --version)"; exec "$$python" -m venv --clear .venv; \
	  fi; \
	done; echo "make: no Python 3.11 or newer found (looked for: $(PYTHON))" >&2; exit 1

.venv/.chat: $(SETUP) | $(BIN)/python
	@echo "installing adapterbot and the app into .venv (once, some minutes)"
	@$(BIN)/python .ci/install.py app
	@touch $@

.venv/.dev: $(SETUP) | $(BIN)/python
	@echo "installing adapterbot and its tools into .venv (once, some minutes)"
	@$(BIN)/python .ci/install.py tools
	@touch .venv/.chat $@

# mypy knows no package-dir: this folder of links is the package as it is installed, always fresh.
.venv/types: .venv/.dev .FORCE
	@rm -rf $@ && mkdir -p $@/adapterbot
	@ln -s "$(CURDIR)"/adapterbot/* "$(CURDIR)/skills" "$(CURDIR)/manager" "$(CURDIR)/ui" "$(CURDIR)/data" $@/adapterbot/
	@ln -s "$(CURDIR)/tests" $@/tests

.FORCE:
