"""Started as a script by vLLM's own python (`python -P run.py JOB`): makes the package importable there and runs it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parent.parent))  # last: nothing of that environment is hidden
    importlib.import_module("vllm_runner.main").start()
