"""Who looks: the web application for reviewers, auditors and dashboards, its database, log-in and audit trail.

Holds pages, forms and what people decided. It reads published nights of the lake and never writes to it.
What does not belong here: science (zebrawatch/), outside systems (connectors/), Dagster; assets/ is unknown to it.
"""
