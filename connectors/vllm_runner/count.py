"""Counts tokens with a model's own tokenizer: JSON arrays of texts in, JSON arrays of counts out, a line each.

Started by vLLM's own python (`python -P count.py WEIGHTS`), because the other environment has no tokenizer library.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(sys.argv[1]) / "tokenizer.json"))
    for line in sys.stdin:
        encoded = tokenizer.encode_batch(json.loads(line), add_special_tokens=False)
        print(json.dumps([len(each.ids) for each in encoded]), flush=True)
