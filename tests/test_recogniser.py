"""What a clinician would expect of the recogniser: golden pairs, invariants on any text, linear time."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from zebrawatch.benchmarks.corpora import packaged_ontology
from zebrawatch.evidence.lexicon import Lexicon
from zebrawatch.evidence.recogniser import Mention, Recogniser
from zebrawatch.evidence.tokens import fold, split_words
from zebrawatch.knowledge.ontology import Ontology

GOLDEN = Path(__file__).parent / "golden" / "recognition.jsonl"
FRAGMENTS = [
    "seizures", "no", "Denies", "fever", ",", ".", "\n", "\n- ", ":", "mother", "has", "ataxia", "and", "or",
    "cardiac", "renal", "anomalies", "(", ")", "ASD", "?", "[ ]", "CK 12 000", "OFC", "3 SD below", "/", "low-set ears",
    "é", "\u00ad", "ﬁ", "\r\n", "𝔘", "Family history", "of", "the", "short", "stature", "but", "if", "\x00", "İ", "'s",
    "\ud800",
]  # fmt: skip


@cache
def ontology() -> Ontology:
    return packaged_ontology()


@cache
def recogniser() -> Recogniser:
    return Recogniser(Lexicon.build(ontology()))


def golden() -> Iterator[Any]:
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        yield pytest.param(case["text"], case["findings"], id=case["text"][:40].replace("\n", " "))


def told(text: str, found: list[Mention]) -> list[list[str | None]]:
    return [
        [text[one.start : one.end], ontology().label(one.hpo_id), one.assertion, one.relative or one.experiencer]
        for one in found
    ]


@pytest.mark.parametrize(("text", "findings"), golden())
def test_reads_what_a_clinician_reads(text: str, findings: list[list[str]]) -> None:
    assert told(text, recogniser().find(text)) == findings


def test_a_value_that_is_also_a_name_is_one_mention() -> None:
    found = recogniser().find("Height below the 3rd centile. Short stature (height < 3rd centile).")
    places = [(one.start, one.end, one.hpo_id) for one in found]
    assert len(places) == len(set(places))


def check_invariants(text: str, found: list[Mention]) -> None:
    previous = 0
    for one in found:
        assert 0 <= one.sentence_start <= one.start < one.end <= len(text)
        assert one.end <= one.sentence_end + 1 or one.origin == "measurement"
        assert one.start >= previous
        previous = one.start
        assert one.hpo_id in ontology().terms
        assert one.assertion in ("present", "negated", "uncertain", "hypothetical", "historical")
        assert one.experiencer in ("patient", "family")
        assert one.relative is None or one.experiencer == "family"
        assert text[one.start].isalnum()
        assert not text[one.start : one.end].isspace()


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=60).map(" ".join))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_arrangement_of_clinical_fragments_gives_valid_offsets(text: str) -> None:
    check_invariants(text, recogniser().find(text))


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_bounded(data: bytes) -> None:
    for text in (data.decode("latin-1"), data.decode("utf-8", "replace"), data.decode("utf-8", "surrogateescape")):
        found = recogniser().find(text)
        check_invariants(text, found)
        assert len(found) <= len(text)


@given(st.text(alphabet="ACDEIKNORST aeinorst-,.()/\n", max_size=200), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_text_before_an_empty_line_changes_nothing_after_it(before: str, pad: int) -> None:
    note = "Examination: hypotonia and ataxia. No fever."
    lead = before + "\n\n" + " " * pad
    shift = len(lead)
    alone = [(one.start + shift, one.hpo_id) for one in recogniser().find(note)]
    together = [(one.start, one.hpo_id) for one in recogniser().find(lead + note) if one.start >= shift]
    assert together == alone


def test_ten_megabytes_are_read_whole() -> None:
    unit = "Denies fever, chills or vomiting but has ataxia and cardiac and renal anomalies (ASD). "
    copies = 10_000_000 // len(unit)
    found = recogniser().find(unit * copies)
    assert len(found) == copies * len(recogniser().find(unit))
    assert found[-1].end <= copies * len(unit)


@pytest.mark.parametrize(
    ("unit", "mentions"),
    [
        ("no seizures ", 1),
        ("hearing loss ", None),
        ("and ", 0),
        ("denies:\n- ", 0),
        ("denies:\n- fever\n", 1),
        ("fever, and ", 1),
        ("mother ", 0),
        ("CK 12 000 ", None),
        ("(ASD) ", None),
        ("x", 0),
        ("\u0301", 0),
    ],
)
def test_endless_repetition_without_a_stop_is_read_in_linear_time(unit: str, mentions: int | None) -> None:
    """Two hundred thousand times the same, without a full stop: a quadratic step would take hours, not a second."""
    copies = 200_000
    found = recogniser().find(unit * copies)
    assert len(found) <= 2 * copies
    if mentions is not None:
        assert len(found) == mentions * copies


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "(((((", "," * 5000, "and " * 5000, "no " * 5000, "a-" * 5000, "\ud800" * 9]
)
def test_degenerate_texts_hold_no_finding(text: str) -> None:
    assert recogniser().find(text) == []


def test_word_order_does_not_matter() -> None:
    for text in ("short stature", "stature short", "short in stature", "Stature was short"):
        assert {one.hpo_id for one in recogniser().find(text)} == {"HP:0004322"}, text


def test_nested_mentions_are_a_setting() -> None:
    text = "sensorineural hearing loss"
    assert len(recogniser().find(text)) == 1
    nested = {one.hpo_id for one in Recogniser(recogniser().lexicon, nested=True).find(text)}
    assert {"HP:0000407", "HP:0000365"} <= nested


def test_a_recogniser_pickles_and_finds_the_same() -> None:
    text = "Floppy baby, mother has epilepsy, no fever."
    assert pickle.loads(pickle.dumps(recogniser())).find(text) == recogniser().find(text)


_DIGEST_OF_A_BUILD = """
import hashlib
from zebrawatch.benchmarks.corpora import packaged_ontology
from zebrawatch.evidence.lexicon import Lexicon
made = Lexicon.build(packaged_ontology(), roots=("HP:0000598",))
digest = hashlib.sha256(made.version.encode())
for array in (made.word_keys, made.word_values, made.entry_term, *made.index):
    digest.update(array.tobytes())
print(digest.hexdigest())
"""


def test_builds_are_the_same_in_every_process() -> None:
    """Two workers must never read a note differently, whatever seed Python gives its hashes."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", _DIGEST_OF_A_BUILD],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_retired_ids_never_come_out() -> None:
    assert set(recogniser().lexicon.hpo_ids) <= set(ontology().terms)


def test_folding_twice_changes_nothing_for_any_character() -> None:
    """Superscript capitals, letters whose marks combine with nothing, ligatures: folded at once or never found."""
    characters = (chr(point) for point in range(sys.maxunicode + 1) if chr(point).isalnum())
    assert [one for one in characters if fold(fold(one)) != fold(one)] == []
    assert fold("ᴬ") == "a" and fold("ŀ") == "l"


@given(st.text(max_size=60))
@example("\u037a")
@settings(max_examples=100, deadline=None)
def test_folded_words_are_what_the_tokeniser_reads(text: str) -> None:
    for word in split_words(text):
        assert word == fold(word)
        assert word


@pytest.mark.parametrize(
    ("british", "label"),
    [
        ("Low caeruloplasmin", "Decreased circulating ceruloplasmin concentration"),
        ("Phaeochromocytoma", "Pheochromocytoma"),
        ("Hydrocoele", "Hydrocele testis"),
        ("Myelomeningocoele", "Myelomeningocele"),
        ("Neutropaenia", "Neutropenia"),
    ],
)
def test_british_spellings(british: str, label: str) -> None:
    assert [ontology().label(one.hpo_id) for one in recogniser().find(british)] == [label]


def test_every_label_is_found_in_its_own_text() -> None:
    """A sample of all labels, so that no class of name is lost without notice."""
    roots = ontology().descendants("HP:0000118")
    sample = sorted(roots)[:: max(1, len(roots) // 400)]
    lost = [
        ontology().label(term_id)
        for term_id in sample
        if not recogniser().find(f"The child has {ontology().label(term_id)}.")
    ]
    assert len(lost) <= len(sample) * 0.02, lost
