"""The batch job that runs in vLLM's own environment: OpenAI-batch JSONL in, the same out, a signed record at the end.

Belongs here: what both environments read (job.py, standard library only), what only vLLM's runs (engine.py, main.py).
Does not: anything of the project's other packages; vLLM's environment has none of their dependencies.
"""
