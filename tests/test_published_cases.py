"""The rendered hospital of published cases: which cases, what is written when, whether style tells."""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from knowledge_samples import knowledge_files, whole_knowledge
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from zebrawatch.benchmarks.cases import CaseError
from zebrawatch.benchmarks.published_cases.courses import LONGEST, SHORTEST, YEAR
from zebrawatch.benchmarks.published_cases.exclusion import exclude_papers
from zebrawatch.benchmarks.published_cases.hospital import Rendered, Renderer, read_summary, render_hospital
from zebrawatch.benchmarks.published_cases.selection import PublishedCase, Selection, read_published
from zebrawatch.benchmarks.published_cases.writer import MOST_NEW, NOTE_TYPES
from zebrawatch.knowledge.annotations import read_hpoa
from zebrawatch.knowledge.ontology import Ontology

CASES, CONTROLS = 120, 480


@pytest.fixture(scope="module")
def selection() -> Selection:
    data = Path(os.environ.get("ZEBRAWATCH_DATA", Path(__file__).parents[2] / "shared" / "data"))
    path = data / "cases" / "phenopackets.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"the published cases are not at {path} (set ZEBRAWATCH_DATA)")
    return read_published(path, seed=7)


@pytest.fixture(scope="module")
def cases(selection: Selection) -> list[PublishedCase]:
    return list(selection.cases[:: len(selection.cases) // CASES])[:CASES]


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    files = knowledge_files()
    return Renderer(files, whole_knowledge(), Ontology.read(files.hp_obo), 7)


@pytest.fixture(scope="module")
def patients(renderer: Renderer, cases: list[PublishedCase]) -> list[Rendered]:
    return renderer.patients(cases, CONTROLS)


# -- which cases -------------------------------------------------------------------------------------------------------


def packet(*features: dict[str, Any], last: str | None = "P10Y") -> dict[str, Any]:
    encounter = {"timeAtLastEncounter": {"age": {"iso8601duration": last}}} if last else {}
    return {
        "id": "one",
        "subject": {"sex": "FEMALE", **encounter},
        "phenotypicFeatures": list(features),
        "interpretations": [{"diagnosis": {"disease": {"id": "OMIM:301500"}}}],
        "metaData": {"externalReferences": [{"id": "PMID:1"}]},
    }


def feature(hpo_id: str, onset: str | None = None, excluded: bool = False) -> dict[str, Any]:
    told: dict[str, Any] = {"type": {"id": hpo_id}, "excluded": excluded}
    if onset is not None:
        told["onset"] = {"age": {"iso8601duration": onset}} if onset[0] == "P" else {"ontologyClass": {"id": onset}}
    return told


def read_one(tmp_path: Path, *packets: dict[str, Any]) -> Selection:
    path = tmp_path / "cases.jsonl"
    path.write_text("\n".join(json.dumps(each) for each in packets))
    return read_published(path, seed=1)


def test_an_onset_after_the_last_encounter_is_undated_and_counted(tmp_path: Path) -> None:
    found = read_one(
        tmp_path,
        packet(
            feature("HP:0001250", "P2Y"), feature("HP:0001251", "P4Y"), feature("HP:0001252", "P12Y"),
            feature("HP:0001253"), feature("HP:0001254", excluded=True),
        ),
    )  # fmt: skip
    (case,) = found.cases
    ages = {finding.hpo_id: finding.age for finding in case.findings}
    assert ages == {"HP:0001250": 2.0, "HP:0001251": 4.0, "HP:0001252": None, "HP:0001253": None}
    assert (case.first, case.last, case.excluded) == (2.0, 10.0, ("HP:0001254",))
    assert found.set_aside == {"onsets after the last encounter": 1}


def test_onset_classes_lie_in_their_range_and_before_birth_is_birth(tmp_path: Path) -> None:
    found = read_one(tmp_path, packet(feature("HP:0001250", "HP:0011461"), feature("HP:0001251", "HP:0011463")))
    ages = {finding.hpo_id: finding.age for finding in found.cases[0].findings}
    assert ages["HP:0001250"] == 0.0
    assert ages["HP:0001251"] is not None
    assert 1.0 <= ages["HP:0001251"] <= 5.0


def test_a_case_needs_two_ages(tmp_path: Path) -> None:
    one_age = packet(feature("HP:0001250", "P2Y"), feature("HP:0001251", "P2Y"), feature("HP:0001252"))
    with pytest.raises(CaseError, match="no case with 2 ages"):
        read_one(tmp_path, one_age)


def test_the_published_cases_are_those_the_evaluation_counts(selection: Selection) -> None:
    """533 state two onsets; what validation takes from them is counted, not lost."""
    few = "cases with fewer than two ages of onset"
    one = "cases whose ages of onset are one after validation"
    assert selection.read - selection.set_aside[few] == 533
    assert len(selection.cases) == 533 - selection.set_aside[one]
    assert selection.set_aside["onsets after the last encounter"] > 0


# -- what is written when ----------------------------------------------------------------------------------------------


def first_thought(patient: Rendered) -> Any:
    course = patient.course
    return min(day for day in (course.suspected, course.general) if day is not None)


def test_findings_are_told_when_they_have_begun_and_a_few_at_a_time(patients: list[Rendered]) -> None:
    late = 0
    for patient in patients:
        begins = {finding.hpo_id: finding.begins for finding in patient.course.findings}
        assert all(day >= begins[hpo_id] for hpo_id, day in patient.chart.told)
        assert max(Counter(day for _, day in patient.chart.told).values(), default=0) <= MOST_NEW
        late += sum(day >= patient.course.suspected for _, day in patient.chart.told)
    assert late > 0  # the date of suspicion waits for no finding


def test_the_suspicion_follows_the_rule(patients: list[Rendered], cases: list[PublishedCase]) -> None:
    by_id = {case.id: case for case in cases}
    for patient in patients:
        course = patient.course
        if course.kind != "case":
            continue
        case = by_id[course.case]
        delay = (course.suspected - course.birth).days / YEAR - case.first
        assert SHORTEST - 0.01 <= delay <= min(LONGEST, max(SHORTEST, case.last - case.first)) + 0.01
        assert course.general is None or course.general < course.suspected


def test_the_suspicion_is_written_on_its_day_and_never_before(patients: list[Rendered], renderer: Renderer) -> None:
    named = 0
    for patient in patients[:CASES]:
        before = [note.text for note in patient.chart.notes if note.at.date() < first_thought(patient)]
        assert all(renderer.quiet(text) for text in before)
        that_day = [note.text for note in patient.chart.notes if note.at.date() == patient.course.suspected]
        named += any(patient.disease_name in text for text in that_day)
    assert named == CASES


def test_denials_are_of_what_the_patient_never_has(patients: list[Rendered]) -> None:
    assert any(patient.course.denied for patient in patients)
    for patient in patients:
        assert not set(patient.course.denied) & {finding.hpo_id for finding in patient.course.findings}


def test_controls_have_a_case_s_skeleton_and_three_kinds(patients: list[Rendered]) -> None:
    kinds = Counter(patient.course.kind for patient in patients)
    assert kinds["case"] == CASES
    assert kinds["common"] > kinds["explained"] > kinds["mixed"] > 0
    visits = {
        kind: [len(p.course.visits) for p in patients if (p.course.kind == "case") == kind] for kind in (True, False)
    }
    told = {kind: [len(p.chart.told) for p in patients if (p.course.kind == "case") == kind] for kind in (True, False)}
    assert np.mean(visits[True]) == pytest.approx(np.mean(visits[False]), rel=0.05)
    assert np.mean(told[True]) == pytest.approx(np.mean(told[False]), rel=0.08)


def test_the_folder_is_whole_and_the_same_each_time(
    renderer: Renderer, cases: list[PublishedCase], tmp_path: Path
) -> None:
    files = knowledge_files()
    made = render_hospital(cases[:12], tmp_path / "a", controls=24, seed=7, renderer=renderer)
    again = Renderer(files, whole_knowledge(), Ontology.read(files.hp_obo), 7)
    render_hospital(cases[:12], tmp_path / "b", controls=24, seed=7, renderer=again)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    assert read_summary(tmp_path / "a") == made
    assert orjson.loads((tmp_path / "a" / "data_kind.json").read_bytes())["kind"] == "rendered"
    with (tmp_path / "a" / "labels.csv").open() as file:
        labels = list(csv.DictReader(file))
    people = {orjson.loads(line)["id"] for line in (tmp_path / "a" / "Patient.ndjson").read_bytes().splitlines()}
    assert len(labels) == 12
    assert {row["patient"] for row in labels} <= people
    assert len(people) == 36


# -- style -------------------------------------------------------------------------------------------------------------


def without_findings(patient: Rendered, renderer: Renderer) -> str:
    """Words before the first thought of a rare disease, findings and denials cut out."""
    terms = {finding.hpo_id for finding in patient.course.findings} | set(patient.course.denied)
    wordings = sorted((w for term in terms for w in renderer.vocabulary.wordings(term)), key=len, reverse=True)
    said = "\n".join(note.text for note in patient.chart.notes if note.at.date() < first_thought(patient))
    return re.sub("|".join(map(re.escape, wordings)) or r"\Z", " ", said, flags=re.IGNORECASE)


def style_of(patient: Rendered) -> list[float]:
    notes = [note for note in patient.chart.notes if note.at.date() < first_thought(patient)]
    lengths = [len(note.text) for note in notes] or [0]
    kinds = Counter(note.kind for note in notes)
    return [
        len(notes), float(np.mean(lengths)), max(lengths), float(np.std(lengths)), len(patient.problems),
        float(np.mean([note.at.hour for note in notes] or [0])), sum(note.text.count(".") for note in notes),
        *(kinds[kind] / max(1, len(notes)) for kind in NOTE_TYPES),
    ]  # fmt: skip


def auc(model: Any, features: Any, labels: Any) -> float:
    folds = StratifiedKFold(5, shuffle=True, random_state=7)
    scores = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(labels, scores))


def test_style_does_not_tell_a_case_from_a_control(patients: list[Rendered], renderer: Renderer) -> None:
    labels = np.array([patient.course.kind == "case" for patient in patients])
    numbers = np.array([style_of(patient) for patient in patients])
    texts = [without_findings(patient, renderer) for patient in patients]
    linear = LogisticRegression(max_iter=2000, C=0.1)
    words = CountVectorizer(min_df=5, ngram_range=(1, 2), binary=True)
    found = {
        "numbers": auc(make_pipeline(StandardScaler(), linear), numbers, labels),
        "numbers, forest": auc(RandomForestClassifier(100, min_samples_leaf=5, random_state=7), numbers, labels),
        "words": auc(make_pipeline(words, LogisticRegression(max_iter=2000, C=0.01)), texts, labels),
    }
    print("style AUC, case against control:", {name: round(value, 3) for name, value in found.items()})
    assert max(found.values()) <= 0.60, found


# -- knowledge without the papers --------------------------------------------------------------------------------------


def test_rows_of_the_papers_leave_and_pooled_rows_keep_the_rest(tmp_path: Path) -> None:
    files = knowledge_files(merged=False)
    _, rows = read_hpoa(files.phenotype_hpoa)
    pooled = next(
        r for r in rows if len(r.references) == 2 and r.frequency.endswith("/8") and r.references[0][:4] == "PMID"
    )
    papers = {pooled.references[0]}
    told = exclude_papers(files, papers, tmp_path / "without")
    _, left = read_hpoa(tmp_path / "without" / "phenotype.hpoa")
    assert not any(papers & set(row.references) for row in left)
    assert len(left) == len(rows) - told.rows_left_out
    kept = next(
        r for r in left if (r.disease, r.hpo_id, r.references) == (pooled.disease, pooled.hpo_id, pooled.references[1:])
    )
    assert kept.frequency.endswith("/4")
    alone = {(r.disease, r.hpo_id) for r in rows if set(r.references) == papers}
    assert told.rows_left_out == sum(set(r.references) == papers for r in rows)
    assert alone or told.rows_reduced
    assert (tmp_path / "without" / "hp.obo").is_file()
