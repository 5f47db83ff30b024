"""The reasoning arm: who is read tonight, the chart as a prompt, answers judged before they count, the arms joined.

Belongs here: tasks and models as data, prompts, budgets, the judging of answers, the rule of fusion. Pure.
Does not: running a model or speaking to a server (connectors.vllm_batch, connectors.vllm_runner).
"""
