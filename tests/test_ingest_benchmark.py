"""The ingest benchmark measures what it says it measures."""

from __future__ import annotations

import json

from zebrawatch.benchmarks import ingest


def test_made_notes_are_the_same_every_time_and_of_the_size_they_claim() -> None:
    notes = ingest.made_notes(20, 7)
    assert notes == ingest.made_notes(20, 7) != ingest.made_notes(20, 8)
    sizes = [len(json.loads(note)["content"][0]["attachment"]["data"]) * 3 / 4 for note in notes]
    assert 3_300 < sum(sizes) / len(sizes) < 3_710


def test_every_ratio_stands_beside_its_count() -> None:
    rows = ingest._rows(ingest.made_notes(20, 7))
    assert rows["n"] == 20
    assert all(rows[name] > 0 for name in ("to_orjson", "structs_to_orjson", "over_fhir_resources", "mb_per_second"))


def test_every_parser_reads_the_same_words() -> None:
    for form, documents in ingest._attachments(7).items():
        kind = {"html": "text/html", "rtf": "application/rtf", "pdf": "application/pdf"}[form]
        words = ingest.plain_text(documents[0], kind)[0].split()
        assert len(words) > 300
        usual = ingest._usual(form)
        if usual is not None:
            assert len(set(usual(documents[0]).split()) & set(words)) > 0.8 * len(set(words))
