"""Benchmarks: quality and speed against published tools, each one command.

Belongs here: one module a benchmark with `run(...)`, which returns figures, intervals and seconds.
Does not: tests; nothing here asserts.
"""
