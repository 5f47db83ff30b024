"""Coded events as findings and namings: pure functions over Arrow batches of `events`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from zebrawatch.schemas import FINDINGS, NAMINGS
from zebrawatch.screen.naming import Namer, NamingSet

_NAMERS: dict[str, Namer] = {}


def _source(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "subject_id": event["subject_id"],
        "source_id": event["event_id"],
        "source_version": event["version"],
        "event_time": event["event_time"],
        "known_night": event["known_night"],
        "pull": event["pull"],
    }


def finding_rows(batch: pa.RecordBatch) -> pa.Table:
    """Rows of FINDINGS of labs and codes."""
    return pa.Table.from_pylist([], schema=_plain(FINDINGS.schema))


def naming_rows(naming_set: NamingSet) -> Callable[[pa.RecordBatch], pa.Table]:
    """A function that makes rows of NAMINGS of a batch of events."""

    def rows(batch: pa.RecordBatch) -> pa.Table:
        namer = _NAMERS.get(naming_set.version) or _NAMERS.setdefault(naming_set.version, Namer(naming_set))
        found = [
            {
                **_source(event), "disease_id": naming.disease_id, "evidence_class": naming.evidence_class, "kind": naming.kind,
                "phenotype_name": naming.phenotype_name, "assertion": naming.assertion, "quote": event["display"] or event["code"],
            }
            for event in batch.to_pylist()
            for naming in namer.of_event(
                event["resource_type"], event["code"], event["display"], event["text_value"], event["status"], event["relationship"]
            )
        ]  # fmt: skip
        return pa.Table.from_pylist(found, schema=_plain(NAMINGS.schema))

    return rows


def _plain(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.remove_metadata() for field in schema])
