"""HOW: the science of the screen. Pure functions and Spark transformations on plain data, for others to reuse.

Belongs here: FHIR rows, knowledge, evidence, screening rules, outcomes, report pages as strings.
Does not: Dagster, MLflow, HTTP, the lake's folders. It runs in a notebook.
"""
