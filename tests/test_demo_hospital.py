"""The demo hospital: the writer's two hands are one, nothing is named too early, the same seed gives the same bytes."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import orjson
import pytest
from fhir.resources.R4B import get_fhir_model_class
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from zebrawatch.demo.__main__ import packaged_knowledge
from zebrawatch.demo.base import KEPT_TYPES, LAST_DAY, MADE_TAG, filed_at, made_id, make_parts
from zebrawatch.demo.charting import write_chart
from zebrawatch.demo.course import Course, Delays, Planner, Sitter
from zebrawatch.demo.hospital import attached_texts, make_demo_hospital, overlay_hospital
from zebrawatch.demo.profiles import Wordings, all_disease_names, read_profiles
from zebrawatch.demo.resources import chart_resources
from zebrawatch.demo.writing import Book, Chart
from zebrawatch.errors import ZebrawatchError
from zebrawatch.knowledge.ontology import Ontology

CASES = 120
STAFF = {
    post: [(made_id("prac", post, str(n)), f"{post} {n}") for n in range(3)]
    for post in ("DR-CA", "DR-GI", "DR-OR", "DR-IM", "DR-PC", "DR-RAD", "NS-PC", "PT")
}
# What general suspicion sounds like; no case note may hold it before its own date.
GENERAL = re.compile(
    r"syndromic|genetic|exome|microarray|gene panel|undiagnosed disease|metabolic (?:screen|clinic)", re.I
)


def sitters(count: int, seed: int) -> list[Sitter]:
    """People of all ages with a record over the demo's years, without running clinosim."""
    random = Random(seed)
    made = []
    for number in range(count):
        birth = date(2018, 1, 1) - timedelta(days=random.randrange(0, 78 * 365))
        first = date(2019, 1, 1) + timedelta(days=random.randrange(400))
        last = LAST_DAY - timedelta(days=random.randrange(200))
        identity = made_id("pt", str(seed), str(number))
        made.append(
            Sitter(identity, random.choice(("female", "male")), birth, first, last, random.randrange(3, 60), number % 2)
        )
    return made


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.read(packaged_knowledge().hp_obo)


@pytest.fixture(scope="module")
def book(ontology: Ontology) -> Book:
    return Book(ontology, Wordings(ontology, all_disease_names(packaged_knowledge())))


@pytest.fixture(scope="module")
def planner(ontology: Ontology, book: Book) -> Planner:
    return Planner(7, ontology, book.wordings, read_profiles(packaged_knowledge(), ontology))


@pytest.fixture(scope="module")
def courses(planner: Planner) -> list[Course]:
    people = sitters(1000, 3)
    cases = planner.cases(people, CASES)
    return [*cases, *planner.controls(cases, people)]


@pytest.fixture(scope="module")
def charts(planner: Planner, book: Book, courses: list[Course]) -> list[Chart]:
    return [write_chart(book, course, planner.stream("chart", course.sitter.patient_id)) for course in courses]


# -- style -------------------------------------------------------------------------------------------------------------


def words_without_findings(chart: Chart) -> str:
    """What the chart says before the suspicion, without its findings."""
    said = []
    for note in chart.notes:
        if note.at.date() < chart.course.headline:
            text, spans = note.text_and_spans()
            for span in sorted(spans, reverse=True):
                text = text[: span.start] + " " + text[span.end :]
            said.append(text)
    return "\n".join(said)


def style_of(chart: Chart) -> dict[str, float]:
    """Types, lengths, counts, authors, hours and id forms before the suspicion; nothing of what was found."""
    index = chart.course.headline
    notes = [note for note in chart.notes if note.at.date() < index]
    texts = [note.text_and_spans()[0] for note in notes]
    lengths = [len(text) for text in texts] or [0]
    features: dict[str, float] = {
        "notes": len(notes),
        "length": float(np.mean(lengths)),
        "longest": max(lengths),
        "spread": float(np.std(lengths)),
        "marks": float(np.mean([len(note.text_and_spans()[1]) for note in notes] or [0])),
        "sections": float(np.mean([len(note.sections) for note in notes] or [0])),
        "labs": sum(lab.at.date() < index for lab in chart.labs),
        "orders": sum(order.at.date() < index for order in chart.orders),
        "drugs": sum(order.at.date() < index for order in chart.medications),
        "coded": sum(coded.at.date() < index for coded in chart.coded),
        "relatives": sum(relative.at.date() < index for relative in chart.relatives),
        "lines": float(np.mean([text.count("\n") for text in texts] or [0])),
        "capitals": float(np.mean([sum(c.isupper() for c in text) / len(text) for text in texts] or [0])),
    }
    for name, counts in (
        ("kind", Counter(note.kind for note in notes)),
        ("role", Counter(note.role for note in notes)),
        ("hour", Counter(f"{note.at.hour // 3}" for note in notes)),
    ):
        features.update({f"{name}_{key}": value / max(1, len(notes)) for key, value in counts.items()})
    for resource in chart_resources(chart, STAFF, {}):
        filed = filed_at(resource)
        if filed and filed[:10] < str(index):
            prefix = resource["id"].partition("-")[0]
            features[f"id_{prefix}"] = features.get(f"id_{prefix}", 0) + 1
    return features


def auc(model: Any, features: Any, labels: Any) -> float:
    """Cross-validated area under the curve; every patient is one row, so folds are by patient."""
    folds = StratifiedKFold(5, shuffle=True, random_state=7)
    scores = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(labels, scores))


def test_style_does_not_tell_a_case_from_a_control(charts: list[Chart]) -> None:
    labels = np.array([chart.course.kind == "case" for chart in charts])
    rows = [style_of(chart) for chart in charts]
    names = sorted({name for row in rows for name in row})
    numbers = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    texts = [words_without_findings(chart) for chart in charts]
    linear = LogisticRegression(max_iter=2000, C=0.1)
    found = {
        "numbers": auc(make_pipeline(StandardScaler(), linear), numbers, labels),
        "numbers, forest": auc(RandomForestClassifier(100, min_samples_leaf=5, random_state=7), numbers, labels),
        "words": auc(
            make_pipeline(
                CountVectorizer(min_df=5, ngram_range=(1, 2), binary=True),
                LogisticRegression(max_iter=2000, C=0.01),
            ),
            texts,
            labels,
        ),
    }
    print("style AUC, case against control:", {name: round(value, 3) for name, value in found.items()})
    assert max(found.values()) <= 0.60, found


# -- what may be said when ---------------------------------------------------------------------------------------------


def before(chart: Chart, day: date) -> Iterator[str]:
    """Everything a chart's resources say before a day, decoded."""
    for resource in chart_resources(chart, STAFF, {}):
        filed = filed_at(resource)
        if filed is not None and filed[:10] < str(day):
            yield from attached_texts(resource)
            for element in ("content", "presentedForm"):
                resource.pop(element, None)
            yield orjson.dumps(resource).decode()


def test_nothing_names_the_disease_before_its_suspicion(charts: list[Chart]) -> None:
    cases = [chart for chart in charts if chart.course.kind == "case"]
    for chart in cases:
        profile = chart.course.profile
        assert profile is not None
        words = [*profile.names, *profile.genes, *profile.treatments]
        for text in before(chart, chart.course.index):
            said = text.lower()
            assert not any(re.search(rf"(?<!\w){re.escape(word.lower())}(?!\w)", said) for word in words)
    assert len(cases) == CASES


def test_the_suspicion_is_written_down_on_its_day(charts: list[Chart]) -> None:
    for chart in charts:
        course = chart.course
        if course.profile is None:
            continue
        that_day = " ".join(n.text_and_spans()[0] for n in chart.notes if n.at.date() == course.index)
        assert any(name.lower() in that_day.lower() for name in course.profile.names)


def test_general_suspicion_comes_on_its_day_and_not_before(charts: list[Chart]) -> None:
    with_general = 0
    for chart in charts:
        course = chart.course
        first = course.general if course.kind != "case" else course.headline
        for text in before(chart, first or LAST_DAY):
            assert not GENERAL.search(text)
        if course.kind == "case" and course.general is not None:
            with_general += 1
            assert course.general < course.index
    assert 0.25 * CASES <= with_general <= 0.55 * CASES  # two in five


def test_controls_are_never_suspected_of_the_case_s_disease(charts: list[Chart], courses: list[Course]) -> None:
    profiles = {course.case: course.profile for course in courses if course.kind == "case"}
    for chart in charts:
        if chart.course.kind != "case":
            profile = profiles[chart.course.case]
            assert profile is not None
            names = re.compile(rf"\b(?:{'|'.join(re.escape(name) for name in profile.names)})\b", re.I)
            assert not any(names.search(text) for text in before(chart, date(2100, 1, 1)))


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_every_case_has_five_controls_like_it(courses: list[Course]) -> None:
    cases = {course.case: course for course in courses if course.kind == "case"}
    kinds = Counter((course.case, course.kind) for course in courses)
    assert all(kinds[case, "explained"] == 3 and kinds[case, "mixed"] == 2 for case in cases)
    assert len({course.sitter.patient_id for course in courses}) == len(courses)
    controls = [course for course in courses if course.kind != "case"]
    same_sex = np.mean([c.sitter.sex == cases[c.case].sitter.sex for c in controls])
    ages = [abs((c.sitter.birth - cases[c.case].sitter.birth).days) / 365.25 for c in controls]
    assert same_sex > 0.95
    assert np.median(ages) < 6
    assert all(
        abs((c.index - c.start) - (cases[c.case].index - cases[c.case].start)) <= timedelta(days=1) for c in controls
    )
    assert np.mean([len(c.findings) for c in controls]) == pytest.approx(
        np.mean([len(c.findings) for c in cases.values()]), rel=0.03
    )


def test_the_delay_has_the_published_quartiles_and_is_cut_to_the_record() -> None:
    delays = Delays()
    assert [delays.years(q) for q in (0.25, 0.5, 0.75)] == pytest.approx([2.0, 5.0, 10.0])
    drawn = [delays.draw(Random(n), 1.0, 5.0) for n in range(2000)]
    assert min(drawn) >= 1.0
    assert max(drawn) <= 5.0
    middle = delays.years((delays.share(1.0) + delays.share(5.0)) / 2)
    assert np.median(drawn) == pytest.approx(middle, rel=0.05)


def test_the_date_of_suspicion_knows_nothing_of_the_findings(courses: list[Course]) -> None:
    """When findings appear, counted from the start, is the same in early and late suspected cases."""
    cases = [course for course in courses if course.kind == "case"]
    late = np.median([(c.index - c.start).days for c in cases])
    onset = {
        side: [(f.first - c.start).days for c in cases for f in c.findings if ((c.index - c.start).days > late) == side]
        for side in (True, False)
    }
    assert np.mean(onset[True]) == pytest.approx(np.mean(onset[False]), rel=0.12)


def test_cases_fit_their_disease_and_do_not_repeat_early(courses: list[Course]) -> None:
    cases = [course for course in courses if course.kind == "case"]
    for course in cases:
        profile = course.profile
        assert profile is not None
        assert profile.from_age <= course.sitter.age(course.start) <= profile.to_age
        assert profile.sex in (None, course.sitter.sex)
        assert 1.0 <= (course.index - course.start).days / 365.25 <= 5.01
    first = [course.profile.disease_id for course in cases[:24] if course.profile]
    assert len(set(first)) == 24


def test_half_of_a_profile_is_left_out(courses: list[Course]) -> None:
    kept, expected = [], []
    for course in courses:
        if course.kind == "case" and course.profile:
            own = {term for term, _ in course.profile.findings}
            kept.append(sum(f.hpo_id in own for f in course.findings))
            expected.append(sum(share for _, share in course.profile.findings))
    assert 0.2 <= sum(kept) / sum(expected) <= 0.6


def test_marks_stand_where_they_say(charts: list[Chart]) -> None:
    assertions: Counter[str] = Counter()
    for chart in charts[:200]:
        denied: set[str] = set()
        for note in chart.notes:
            text, spans = note.text_and_spans()
            for span in spans:
                assert text[span.start : span.end].strip()
                assertions[f"{span.assertion} {span.experiencer}"] += 1
                if span.assertion == "negated":
                    denied.add(span.hpo_id)
        assert not denied & {finding.hpo_id for finding in chart.course.findings}
    assert (
        min(assertions[kind] for kind in ("present patient", "negated patient", "uncertain patient", "present family"))
        > 50
    )


def test_text_is_copied_forward(charts: list[Chart]) -> None:
    copied = 0
    for chart in charts[:100]:
        sections = [tuple(said) for note in chart.notes for title, said in note.sections if len(said) >= 3]
        copied += len(sections) - len(set(sections))
    assert copied > 50


# -- the folder --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small clinosim run, thinned."""
    return make_parts(tmp_path_factory.mktemp("base"), (26,), 5)[0]


@pytest.fixture(scope="module")
def folder(part: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return overlaid(part, tmp_path_factory.mktemp("demo") / "hospital")


def overlaid(part: Path, out: Path) -> Path:
    overlay_hospital([part], out, patients=14, rare=1, seed=5, knowledge=packaged_knowledge())
    return out


def resources(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("[A-Z]*.ndjson")):
        for line in path.read_bytes().splitlines():
            yield orjson.loads(line)


def test_the_same_seed_makes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = overlaid(make_parts(tmp_path, (26,), 5)[0], tmp_path / "hospital")
    assert sorted(p.name for p in again.iterdir()) == sorted(p.name for p in folder.iterdir())
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_folder_is_a_whole_export_that_says_it_is_made(folder: Path) -> None:
    said = orjson.loads((folder / "data_kind.json").read_bytes())
    assert said["kind"] == "made"
    with (folder / "labels.csv").open() as file:
        labels = list(csv.DictReader(file))
    assert [list(row) for row in labels] == [["patient", "disease_id", "suspected", "confirmed"]]
    patients = {str(r["id"]) for r in resources(folder) if r["resourceType"] == "Patient"}
    assert len(patients) == 14
    assert {row["patient"] for row in labels} <= patients
    counts = Counter(str(r["resourceType"]) for r in resources(folder))
    log = [orjson.loads(line) for line in (folder / "log.ndjson").read_bytes().splitlines()]
    logged = {
        e["eventDetail"]["resourceType"]: e["eventDetail"]["resourceCount"]
        for e in log
        if e["eventId"] == "download_complete"
    }
    assert {kind: n for kind, n in logged.items() if n} == dict(counts)
    assert set(logged) == set(KEPT_TYPES)


def test_resources_are_valid_tagged_and_of_one_form(folder: Path) -> None:
    seen: Counter[str] = Counter()
    updated: dict[str, set[bool]] = {}
    ids: set[str] = set()
    for resource in resources(folder):
        kind, meta = str(resource["resourceType"]), resource["meta"]
        assert meta["tag"] == [MADE_TAG]
        updated.setdefault(kind, set()).add("lastUpdated" in meta)
        assert re.fullmatch(r"[a-z]+-[0-9a-f]{12}", str(resource["id"]))
        ids.add(f"{kind}/{resource['id']}")
        seen[kind] += 1
        if seen[kind] <= 25 or int(str(resource["id"])[-2:], 16) < 3:
            get_fhir_model_class(kind).model_validate_json(orjson.dumps(resource))
    assert all(len(forms) == 1 for forms in updated.values())
    assert len(ids) == sum(seen.values())
    for resource in resources(folder):
        for target in re.findall(r'"((?:Patient|Encounter)/[^"]+)"', orjson.dumps(resource).decode()):
            assert target in ids


def test_nothing_is_dated_after_the_export(folder: Path) -> None:
    for resource in resources(folder):
        filed = filed_at(resource)
        assert filed is None or filed[:10] <= "2025-06-30"


def test_wrong_wishes_get_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ZebrawatchError, match="at least 18 patients"):
        make_demo_hospital(tmp_path / "a", patients=10, rare=2, seed=1, knowledge=packaged_knowledge())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "file").write_text("x")
    with pytest.raises(ZebrawatchError, match="not empty"):
        make_demo_hospital(tmp_path / "b", patients=20, rare=2, seed=1, knowledge=packaged_knowledge())
