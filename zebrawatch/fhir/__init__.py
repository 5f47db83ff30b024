"""FHIR resources to rows: typed decode, plain text of attachments, time columns.

Belongs here: what turns one NDJSON line into rows of `patients`, `notes`, `events` or `quarantine`.
Does not: fetching (connectors), Spark (zebrawatch.timeline), findings (zebrawatch.evidence).
"""
