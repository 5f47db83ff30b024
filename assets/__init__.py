"""WHAT exists: Dagster assets and their checks, one module per layer, in the order the data flows.

Belongs here: thin steps that load, call one function of `zebrawatch`, store, and report metadata.
Does not: science (zebrawatch), schedules and commands (pipelines).
"""
