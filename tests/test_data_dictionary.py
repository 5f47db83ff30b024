"""The data dictionary in ARCHITECTURE.md is current, and names every column."""

from __future__ import annotations

from pathlib import Path

import pytest

from zebrawatch.data_dictionary import BEGIN, DOCUMENT, END, DictionaryError, data_dictionary, main, with_dictionary
from zebrawatch.schemas import TABLES


def test_the_dictionary_in_the_document_is_current() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert with_dictionary(document) == document, "run python -m zebrawatch.data_dictionary"


def test_every_column_stands_in_it_with_what_it_holds() -> None:
    text = data_dictionary()
    for table in TABLES.values():
        assert f"### `{table.name}`" in text
        for field in table.schema:
            assert f"| `{field.name}` |" in text
            assert field.metadata[b"about"].decode().strip(), f"{table.name}.{field.name} says nothing"


def test_what_stands_around_the_markers_is_kept_and_a_second_time_changes_nothing() -> None:
    once = with_dictionary(f"before\n{BEGIN}\nan older state\n{END}\nafter\n")
    assert once.startswith("before\n") and once.endswith("\nafter\n") and "an older state" not in once
    assert with_dictionary(once) == once


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(DictionaryError, match="no markers"):
        with_dictionary("nothing here")


def test_the_check_fails_on_a_stale_document_and_writing_mends_it(tmp_path: Path) -> None:
    stale = tmp_path / "A.md"
    stale.write_text(f"{BEGIN}\n{END}\n")
    assert main([str(stale), "--check"]) == 1
    assert main([str(stale)]) == 0
    assert main([str(stale), "--check"]) == 0
