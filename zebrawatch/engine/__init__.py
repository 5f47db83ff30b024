"""One engine over a range of nights: texts to findings, findings to candidates, candidates to flags, under Spark.

Belongs here: DataFrame functions that wrap the pure recogniser, ranker and alert policy, a patient at a time.
Does not: the science itself (zebrawatch.evidence, zebrawatch.screen), storing (connectors.lake).
"""
