"""WHERE: the doors to outside systems, one module each (configuration file, lake, Spark, FHIR server, MLflow, ...).

Belongs here: reading and writing them, their errors in one clear sentence.
Does not: science (zebrawatch), what is computed when (assets, pipelines).
"""
