"""Patients' timelines under Spark: lines of a pull to `patients`, `notes`, `events`; what stood on a night.

Belongs here: DataFrame to DataFrame functions over the timeline tables, and the as-of rules.
Does not: decoding one line (zebrawatch.fhir), findings and scores (zebrawatch.engine), storing (connectors.lake).
"""
