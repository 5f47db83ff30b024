"""The label file: known diagnoses of a source's patients, as a hospital's registry or the demo hospital gives them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd

from connectors.configuration import Configuration
from zebrawatch.errors import SourceError
from zebrawatch.fhir.subjects import subject_id_of
from zebrawatch.outcome.pairs import LABEL_COLUMNS

NEEDED = ("patient", "disease_id")


def label_file(configuration: Configuration) -> Path | None:
    """The label file that the configuration names, else labels.csv in the source folder; None where there is none."""
    if configuration.source.labels:
        named = Path(configuration.source.labels)
        if not named.is_file():
            raise SourceError(f"There is no label file {named}.")
        return named
    beside = Path(configuration.source.location) / "labels.csv"
    return beside if not configuration.source_is_server and beside.is_file() else None


def read_labels(path: Path, site_key: bytes) -> pd.DataFrame:
    """Rows of `patient, disease_id, suspected, confirmed` as LABEL_COLUMNS: pseudonymous keys, dates or None.

    SourceError in one sentence where the file is no CSV, a needed column is missing or a date is not YYYY-MM-DD.
    """
    try:
        given = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise SourceError(f"The label file {path} is not a table in CSV and UTF-8.") from None
    missing = [name for name in NEEDED if name not in given.columns]
    if missing:
        raise SourceError(
            f"The label file {path} has no column {missing[0]}; it needs patient, disease_id and may have suspected, "
            "confirmed."
        )
    rows = [
        (
            subject_id_of(row["patient"], site_key) if row["patient"] else None,
            row["disease_id"],
            _day(row.get("suspected"), path),
            _day(row.get("confirmed"), path),
        )
        for row in given.to_dict("records")
    ]
    # as objects: beside one label without a patient, keys of 63 bits would become floats and fit nobody
    return pd.DataFrame(rows, columns=list(LABEL_COLUMNS), dtype=object)


def _day(text: str | None, path: Path) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise SourceError(f"The label file {path} holds a date that is not YYYY-MM-DD.") from None
