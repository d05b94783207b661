# Every target makes its own environment in .venv; only Python 3.11 to 3.13 is needed.
SHELL := /bin/bash
BIN := .venv/bin
# Advertisements of documentation tools have no place in a build's output.
export DISABLE_MKDOCS_2_WARNING := true
export NO_MKDOCS_2_WARNING := 1
RUN := runs/demo
# What `make demo` trains: small enough for three minutes on a laptop without a graphics card.
DEMO := train rpgan --conditional --data digits --data.resolution 16 --run.folder $(RUN) --run.minutes 3

.DEFAULT_GOAL := help
.PHONY: help demo test check docs bench clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: .venv/.ready  ## train a small GAN in three minutes, check its health, write a report
	@if [ -e $(RUN) ]; then echo "moving the earlier $(RUN) to $(RUN).old"; rm -rf $(RUN).old; mv $(RUN) $(RUN).old; fi
	$(BIN)/zerosum $(DEMO)
	$(BIN)/zerosum health $(RUN) || test $$? -eq 1  # 1: it found something, which is no failure of the demo
	@echo; echo "The report: $(CURDIR)/$(RUN)/report.html"

test: .venv/.ready  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests

check: .venv/.ready .venv/.docs  ## lint, format, types, spelling, import layers, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy zerosum
	$(BIN)/codespell
	$(BIN)/python -m pytest tests/test_layers.py tests/test_house.py
	$(BIN)/mkdocs build --strict --quiet

docs: .venv/.ready .venv/.docs  ## build the documentation into site/
	$(BIN)/mkdocs build --strict
	@echo "Open $(CURDIR)/site/index.html, or run $(BIN)/mkdocs serve"

bench: .venv/.ready  ## make the published numbers again (hours)
	$(BIN)/python -m benchmarks

clean:  ## remove what was built (not runs/)
	rm -rf site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The first Python of a supported version; override with `make PYTHON=/path/to/python ...`.
.venv/bin/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then \
			echo "making .venv with $$python"; exec $$python -m venv .venv; \
		fi; \
	done; echo "zerosum needs Python 3.11, 3.12 or 3.13; none was found. Name one: make PYTHON=..." >&2; exit 1

.venv/.ready: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.venv/.docs: pyproject.toml constraints.txt | .venv/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@
