"""The recognition benchmarks on files of one's own: what they report, and what they refuse in one sentence."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from connectors.configuration import Policy
from zebrawatch.benchmarks import assertion, burden, evidence_arm, false_alarms, peers, phenotypes, recognise
from zebrawatch.benchmarks.burden import (
    THRESHOLD,
    Arm,
    Watched,
    exact_share,
    middle_month,
    own_background,
    read_folder,
    watch,
    watch_notes,
)
from zebrawatch.benchmarks.corpora import CorpusError, packaged_ontology, read_concepts
from zebrawatch.benchmarks.ingest import document_line
from zebrawatch.benchmarks.recognise import compose_notes
from zebrawatch.screen.alerts import NightScore
from zebrawatch.screen.naming import NamingSet


@pytest.fixture(autouse=True)
def without_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEBRAWATCH_COMPARE_PYTHON", "/nowhere/python")
    monkeypatch.setattr(phenotypes, "has_fasthpocr", lambda: False)
    monkeypatch.setattr(recognise, "has_fasthpocr", lambda: False)
    made = arm()  # read and built once for all tests
    monkeypatch.setattr(false_alarms.Arm, "build", lambda _: made)
    monkeypatch.setattr(phenotypes.Lexicon, "build", lambda *_, **__: made.recogniser.lexicon)


@cache
def arm() -> Arm:
    return Arm.build(Path("/nowhere"))


def corpus(folder: Path, *documents: tuple[str, list[str]]) -> Path:
    path = folder / "own.jsonl"
    path.write_text(
        "\n".join(
            json.dumps({"id": str(n), "text": text, "annotations": listed})
            for n, (text, listed) in enumerate(documents)
        )
    )
    return path


def test_phenotypes_counts_terms_and_exact_mentions_of_ones_own_corpus(tmp_path: Path) -> None:
    path = corpus(
        tmp_path,
        ("Seizures and ataxia.", ["0\t8\tSeizures\tHP:0001250", "13\t19\tataxia\tHP:0001251"]),
        ("Ataxia was seen.", ["0\t6\tAtaxia\tHP:0001251", "7\t10\twas\tHP:0001250"]),
    )
    (name, figures), *_ = phenotypes.run(data=tmp_path, files=[path]).items()
    assert name == "own"
    assert (figures["n"], figures["mentions"]) == (2, 4)
    assert figures["mention_precision"] == 1.0
    assert figures["mention_recall"] == 0.75
    assert figures["document_f1"] == pytest.approx(6 / 7)
    low, high = figures["ci95"]["document_f1"]
    assert low <= figures["document_f1"] <= high
    assert figures["document_f1_gain_over_dictionary"] >= 0


def test_a_retired_id_of_a_corpus_is_mapped_forward(tmp_path: Path) -> None:
    ontology = packaged_ontology()
    retired, live = next((old, new) for old, new in ontology.retired.items() if new)
    (document,) = read_concepts(corpus(tmp_path, ("x", [f"0\t1\tx\t{retired}"])), ontology)
    assert [gold.hpo_id for gold in document.mentions] == [live]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no document"),
        (b"not json", "Line 1 of"),
        (b'{"id": 1, "text": "a"}', "is no annotated document"),
        (b'{"id": 1, "text": "a", "annotations": ["x"]}', "is no annotated document"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"\x1f\x8b\x00", "cannot be read"),
    ],
)
def test_a_file_that_is_no_corpus_is_refused_in_one_sentence(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=told):
        phenotypes.run(data=tmp_path, files=[path])


SENTENCES = (
    "1\tseizures\tNo SEIZURES today.\tNegated\tRecent\tPatient\n"
    "2\tataxia\tHistory of ATAXIA.\tAffirmed\tHistorical\tPatient\n"
    "3\tfever\tMother has FEVER.\tAffirmed\tRecent\tOther\n"
    "4\tcough\tHas a COUGH.\tAffirmed\tRecent\tPatient\n"
)


def test_assertion_judges_ones_own_sentences_and_says_with_whom_it_is_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    path.write_text(SENTENCES)
    said: list[str] = []
    figures = assertion.run(data=tmp_path, files=[path], progress=said.append)["own"]
    assert (figures["n"], figures["n_negated"], figures["n_historical"], figures["n_family"]) == (4, 1, 1, 1)
    assert (figures["negated_f1"], figures["historical_f1"], figures["family_f1"]) == (1.0, 1.0, 1.0)
    assert "make compare" in figures["not_compared"]
    assert any("Not compared" in line for line in said)


@pytest.mark.parametrize(("content", "told"), [("", "no judged sentence"), ("1\ta\tb\n", "has 3 columns")])
def test_a_file_that_is_no_list_of_sentences_is_refused(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "own.tsv"
    path.write_text(content)
    with pytest.raises(CorpusError, match=told):
        assertion.run(data=tmp_path, files=[path])


def test_the_interpreter_of_the_peers_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peers.compare_python() == "/nowhere/python"
    monkeypatch.delenv("ZEBRAWATCH_COMPARE_PYTHON")
    assert Path(peers.compare_python()).name.startswith("python")


def test_notes_of_the_speed_benchmark_are_of_one_length_and_seeded() -> None:
    notes = compose_notes(["Fever and cough.", "  ", "Denies pain."], 3)
    assert {len(note) for note in notes} == {3700}
    assert notes == compose_notes(["Fever and cough.", "Denies pain."], 3)
    with pytest.raises(CorpusError, match="holds no text"):
        compose_notes([" "], 3)


# -- alerts of people without a rare disease ---------------------------------------------------------------------------


def test_the_threshold_is_the_delivered_policys() -> None:
    assert Policy().threshold == THRESHOLD


def test_a_common_cold_raises_nothing_and_a_textbook_syndrome_would() -> None:
    cold, marfan = watch_notes(
        [
            {"text": "Cough and fever for three days. Sore throat. No rash."},
            {
                "text": "Ectopia lentis, aortic root dilatation, arachnodactyly, disproportionate tall stature, pectus "
                "excavatum, dural ectasia, high palate, scoliosis, joint hypermobility, striae distensae."
            },
        ],
        arm(),
    )
    assert burden.episodes(cold, THRESHOLD) == 0
    assert burden.episodes(marfan, THRESHOLD) == 1


def test_denied_and_relatives_findings_raise_nothing() -> None:
    said = "ectopia lentis, aortic root dilatation, arachnodactyly, pectus excavatum or dural ectasia"
    present, denied, family = watch_notes(
        [{"text": said}, {"text": f"No {said}."}, {"text": f"His father has {said}."}], arm()
    )
    assert present.scores[0].p_any > max(denied.scores[0].p_any, family.scores[0].p_any)


def score(day: int, p_any: float) -> NightScore:
    return NightScore(date(2025, 1, 1) + timedelta(days=day), p_any, ())


def test_burden_counts_persons_and_episodes_with_intervals_that_are_never_empty() -> None:
    quiet = [Watched(("a", "x"), 2.0, (score(0, 0.001),)) for _ in range(30)]
    loud = Watched(
        ("b", "x"), 1.0, (score(0, 0.5), score(10, 0.001), score(20, 0.5), score(200, 0.001), score(400, 0.5))
    )
    told = burden.burden([*quiet, loud], THRESHOLD, 7)
    assert told["alerted"] == 1
    assert told["person_years"] == pytest.approx(61)
    assert told["episodes_per_1000_py"] == pytest.approx(1000 * 2 / 61)  # a raise within 90 days is the same episode
    nothing = burden.burden(quiet, THRESHOLD, 7)
    assert nothing["alerts_per_1000"] == 0
    assert nothing["ci95"]["alerts_per_1000"][1] > 50
    assert nothing["ci95"]["episodes_per_1000_py"][1] > 10
    strata = burden.by_stratum([*quiet, loud], 7)["strata"]
    assert set(strata) == {"a", "x"}  # one person is no stratum


def test_exact_intervals_are_the_published_ones() -> None:
    """Clopper and Pearson: none of 30 gives an upper bound of 11.6%, ten of 20 give 27.2% to 72.8%."""
    assert exact_share(0, 30) == (0.0, pytest.approx(0.1157, abs=1e-4))
    assert exact_share(10, 20) == (pytest.approx(0.2720, abs=1e-4), pytest.approx(0.7280, abs=1e-4))
    assert exact_share(5, 5)[1] == 1.0


def resources(folder: Path) -> Path:
    words = base64.b64encode(b"Tall and hypermobile. Arachnodactyly.").decode()
    note = {
        "resourceType": "DocumentReference", "id": "n1", "status": "current", "subject": {"reference": "Patient/1"},
        "date": "2024-03-01T10:00:00Z",
        "content": [{"attachment": {"contentType": "text/plain", "data": words}}],
    }  # fmt: skip

    def ck(number: int, day: datetime) -> dict[str, Any]:
        return {
            "resourceType": "Observation", "id": f"o{number}", "status": "final", "subject": {"reference": "Patient/1"},
            "code": {"coding": [{"system": "http://loinc.org", "code": "2157-6", "display": "CK"}]},
            "effectiveDateTime": day.isoformat(), "issued": day.isoformat(),
            "valueQuantity": {"value": 4200, "unit": "U/L", "system": "http://unitsofmeasure.org", "code": "U/L"},
            "interpretation": [{"coding": [{"code": "H"}]}],
        }  # fmt: skip

    person = {"resourceType": "Patient", "id": "1", "gender": "male", "birthDate": "2010-05-01"}
    start = datetime(2024, 3, 1, 12, tzinfo=UTC)
    by_type = {
        "Patient": [person],
        "DocumentReference": [note],
        "Observation": [ck(1, start), ck(2, start + timedelta(days=30))],
    }
    for name, listed in by_type.items():
        (folder / f"{name}.ndjson").write_text("\n".join(json.dumps(one) for one in listed))
    return folder


def test_a_folder_of_fhir_is_watched_night_by_night(tmp_path: Path) -> None:
    (one,) = watch(read_folder(resources(tmp_path), arm()), arm().ranker)
    assert one.strata == ("under 18", "male")
    assert one.years == pytest.approx(30 / 365.25, abs=0.01)
    assert [found.night for found in one.scores] == [date(2024, 3, 1), date(2024, 3, 31)]  # CK counts from its second


def test_a_background_of_ones_own_counts_what_was_known_before_it(tmp_path: Path) -> None:
    (record,) = read_folder(resources(tmp_path), arm())
    assert middle_month([record]) == date(2024, 3, 1)
    knowledge = arm().ranker.knowledge
    term, above = (knowledge.term_index(one) for one in ("HP:0001166", "HP:0000118"))  # arachnodactyly, and any
    assert term is not None
    assert above is not None
    before, after = (own_background([record], arm(), date(2024, month, 1)) for month in (3, 4))
    assert (before.n_patients, before.counts[term], before.fitted_through) == (0, 0, date(2024, 2, 29))
    assert (after.n_patients, after.counts[term], after.counts[above]) == (1, 1, 1)
    assert watch([record], arm().ranker, date(2024, 4, 1)) == []


def test_a_folder_without_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no FHIR patient"):
        read_folder(tmp_path, arm())


def test_false_alarms_of_ones_own_notes_and_folder(tmp_path: Path) -> None:
    notes = tmp_path / "own.jsonl"
    notes.write_text(json.dumps({"text": "Fever and cough. No rash."}) + "\n" + json.dumps({"text": "Knee pain."}))
    folder = tmp_path / "records"
    folder.mkdir()
    results = false_alarms.run(data=tmp_path, files=[notes, resources(folder)])
    assert results["own"]["n"] == 2
    assert results["own"]["alerts"]["alerted"] == 0
    assert results["own"]["present_findings_per_note"] > 0
    assert [results[name]["n"] for name in results if name.startswith("records")] == [1, 1, 1]
    assert {"person_years", "episodes_per_1000_py", "by_threshold"} <= set(results["records"])


def test_a_file_of_notes_without_text_is_refused(tmp_path: Path) -> None:
    notes = tmp_path / "own.jsonl"
    notes.write_text('{"body": "x"}')
    with pytest.raises(CorpusError, match="is no note"):
        false_alarms.run(data=tmp_path, files=[notes])


def test_the_arm_ranks_from_lines_as_it_ranks_a_note_alone() -> None:
    text = "Seizures and ataxia. No cataract."
    (p_any,) = evidence_arm.rank_patients([document_line(0, text, 1)], arm()).values()
    assert p_any == burden.p_any_of_note(text, arm())


def test_the_arm_is_told_as_notes_a_second_and_beside_orjson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_arm, "ROUNDS", 1)
    figures = evidence_arm.time_arm(evidence_arm.lines_of_notes(["Seizures and ataxia."] * 20), arm())
    assert (figures["n"], figures["patients"]) == (20, 2)
    assert figures["to_orjson"] > 1
    assert figures["notes_per_second"] > 0


def test_under_spark_a_worker_builds_its_readers_once(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_arm, "ROUNDS_UNDER_SPARK", 1)
    nothing = NamingSet({}, {}, frozenset(), version="empty")
    figures = evidence_arm.time_under_spark(spark, ["Seizures and ataxia."] * 3, arm(), nothing, tmp_path)
    assert figures["n"] == 3 * evidence_arm.TIMES_UNDER_SPARK
    assert figures["automata_a_worker"] == 1
    assert figures["spark_over_plain"] > 0
