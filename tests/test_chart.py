"""A patient's chart as it stood on a night."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from zebrawatch.engine.chart import Chart, Demographics, Finding

DAY0 = date(2025, 1, 1)
SPLEEN, LIVER, PAIN = "HP:0001744", "HP:0002240", "HP:0002653"


def night(n: int) -> date:
    return DAY0 + timedelta(days=n)


def finding(hpo_id: str, n: int, source: str = "note 1", until: int | None = None, **more: Any) -> Finding:
    facts: dict[str, Any] = {
        "source_id": source,
        "origin": "text",
        "hpo_id": hpo_id,
        "assertion": "present",
        "experiencer": "patient",
        "start": 0,
        "end": 6,
        "quote": "quoted",
        "event_time": None,
        "known_night": night(n),
        "source_night": night(n),
        "removed_night": None if until is None else night(until),
    }
    return Finding(**(facts | more))


def person(n: int = 0, **more: Any) -> Demographics:
    facts: dict[str, Any] = {"sex": "female", "birth_date": date(1990, 5, 1), "restricted": False, "merged_into": None}
    return Demographics(night(n), **(facts | {"deleted": False} | more))


def weighed(chart: Chart, n: int) -> dict[str, str]:
    return {one.hpo_id: one.assertion for one in chart.evidence(night(n), night(n))}


def turns(chart: Chart, first: int = 0, through: int = 100) -> list[int]:
    return [(turn.night - DAY0).days for turn in chart.turns(night(first), night(through))]


def test_a_finding_counts_from_its_night_until_its_note_is_corrected_or_deleted() -> None:
    chart = Chart([finding(SPLEEN, 3, until=10), finding(LIVER, 10)], [person()])
    assert [weighed(chart, n) for n in (2, 3, 9, 10)] == [
        {},
        {SPLEEN: "present"},
        {SPLEEN: "present"},
        {LIVER: "present"},
    ]
    assert turns(chart) == [3, 10]


def test_a_note_corrected_the_same_night_never_stood() -> None:
    assert turns(Chart([finding(SPLEEN, 3, until=3)], [person()])) == []


def test_only_the_patients_own_certain_findings_are_weighed() -> None:
    chart = Chart(
        [
            finding(SPLEEN, 1, experiencer="family"),
            finding(SPLEEN, 1, assertion="uncertain"),
            finding(SPLEEN, 1, assertion="hypothetical"),
            finding(LIVER, 1, assertion="historical"),
            finding(PAIN, 1, assertion="negated"),
        ],
        [person()],
    )
    assert weighed(chart, 1) == {LIVER: "present", PAIN: "negated"}


def test_what_was_once_found_is_not_weighed_as_denied_too() -> None:
    chart = Chart([finding(SPLEEN, 1, assertion="negated"), finding(SPLEEN, 5, "note 2", until=9)], [person()])
    assert [weighed(chart, n)[SPLEEN] for n in (1, 5, 9)] == ["negated", "present", "negated"]


def test_evidence_is_quoted_from_its_first_appearance() -> None:
    chart = Chart([finding(SPLEEN, 5, "note 2"), finding(SPLEEN, 3, "note 1", until=8)], [person()])
    assert [chart.evidence(night(n), night(n))[0].source_id for n in (5, 8)] == ["note 1", "note 2"]


def test_a_disease_masks_a_finding_until_a_document_that_does_not_name_it_holds_it_too() -> None:
    gaucher, fabry = "OMIM:230800", "OMIM:301500"
    chart = Chart(
        [
            finding(SPLEEN, 1, "note 1", masked_for=frozenset({gaucher, fabry})),
            finding(SPLEEN, 5, "note 2", masked_for=frozenset({gaucher})),
            finding(SPLEEN, 9, "note 3"),
        ],
        [person()],
    )
    masks = [chart.evidence(night(n), night(n))[0].masked_for for n in (1, 5, 9)]
    assert masks == [{gaucher, fabry}, {gaucher}, frozenset()]
    assert turns(chart) == [1, 5, 9]


def test_a_copy_unmasks_a_finding_only_from_the_night_its_own_note_was_known() -> None:
    """Copied text is evidence from its first appearance; the note that copies it is not known any earlier for that."""
    copied = finding(SPLEEN, 1, "note 2", source_night=night(7))
    chart = Chart([finding(SPLEEN, 1, "note 1", masked_for=frozenset({"OMIM:230800"})), copied], [person()])
    assert chart.evidence(night(6), night(1))[0].masked_for == {"OMIM:230800"}
    assert chart.evidence(night(7), night(1))[0].masked_for == frozenset()
    assert turns(chart) == [1, 7]


def test_a_copy_does_not_bridge_the_nights_between_deletion_and_copy() -> None:
    chart = Chart(
        [finding(SPLEEN, 1, "note 1", until=4), finding(SPLEEN, 1, "note 2", source_night=night(7))], [person()]
    )
    assert [bool(weighed(chart, n)) for n in (1, 4, 6, 7)] == [True, False, False, True]
    assert chart.evidence(night(7), night(7))[0].known_night == night(1)


def test_a_patient_is_left_out_of_the_background_for_what_they_gave_to_it() -> None:
    chart = Chart(
        [finding(SPLEEN, 1), finding(LIVER, 40), finding(PAIN, 2, until=20), finding(PAIN, 45, "note 2")], [person()]
    )
    left_out = {one.hpo_id: one.in_background for one in chart.evidence(night(50), night(31))}
    assert left_out == {SPLEEN: True, LIVER: False, PAIN: False}


def test_what_a_merged_record_gave_to_the_background_is_left_out_for_the_survivor_while_the_merge_holds() -> None:
    """Written on night 3, merged on night 40, within the month that began on night 31; apart again on night 60."""
    came = finding(SPLEEN, 40, until=60, written_night=night(3), source_night=night(3))
    chart = Chart([came, finding(LIVER, 40, written_night=night(35)), finding(SPLEEN, 50, "own note")], [person()])
    left_out = {one.hpo_id: one.in_background for one in chart.evidence(night(50), night(31))}
    assert left_out == {SPLEEN: True, LIVER: False}
    apart = {one.hpo_id: one.in_background for one in chart.evidence(night(65), night(31))}
    assert apart == {SPLEEN: False, LIVER: False}


def test_denied_findings_are_not_part_of_the_background() -> None:
    (one,) = Chart([finding(SPLEEN, 1, assertion="negated")], [person()]).evidence(night(50), night(31))
    assert not one.in_background


def test_demographics_hold_from_their_own_night() -> None:
    chart = Chart([], [person(10, sex="male"), person(0)])
    assert [chart.person(night(n)).sex for n in (-5, 0, 9, 10)] == ["female", "female", "female", "male"]
    assert Chart([], []).person(DAY0).sex is None


def test_a_restricted_deleted_or_merged_patient_is_barred_until_that_is_undone() -> None:
    for facts in ({"restricted": True}, {"deleted": True}, {"merged_into": 2}):
        chart = Chart([finding(SPLEEN, 1)], [person(0), person(5, **facts), person(8)])
        assert [chart.barred(night(n)) for n in (4, 5, 7, 8)] == [False, True, True, False]
        assert [turn.removed for turn in chart.turns(night(0), night(50))] == [False, True, False]
        assert turns(chart) == [1, 5, 8]


def test_history_before_the_screen_began_counts_from_its_first_night() -> None:
    chart = Chart([finding(SPLEEN, -300), finding(LIVER, -200, until=-100), finding(PAIN, 4)], [person(-300)])
    assert turns(chart) == [0, 4]
    assert weighed(chart, 0) == {SPLEEN: "present"}


FINDINGS = st.lists(
    st.builds(
        lambda hpo_id, source, n, late, stays, assertion, masked: finding(
            hpo_id,
            n,
            f"note {source}",
            None if stays is None else n + late + stays,
            source_night=night(n + late),
            assertion=assertion,
            masked_for=frozenset(masked),
        ),
        st.sampled_from([SPLEEN, LIVER, PAIN]),
        st.integers(1, 4),
        st.integers(-5, 20),
        st.integers(0, 9),
        st.none() | st.integers(0, 20),
        st.sampled_from(["present", "negated", "historical", "uncertain"]),
        st.sets(st.sampled_from(["OMIM:1", "OMIM:2"])),
    ),
    max_size=8,
)
PEOPLE = st.lists(
    st.builds(lambda n, restricted: person(n, restricted=restricted), st.integers(-5, 30), st.booleans()), max_size=3
)


@given(FINDINGS, PEOPLE)
def test_evidence_changes_only_on_turns(findings: list[Finding], people: list[Demographics]) -> None:
    chart = Chart(findings, people)

    def key(n: int) -> object:
        evidence = [] if chart.barred(night(n)) else chart.evidence(night(n), night(n))
        return frozenset((one.hpo_id, one.assertion, one.masked_for) for one in evidence)

    changed = [n for n in range(41) if key(n) != (key(n - 1) if n else frozenset())]
    assert turns(chart, 0, 40) == changed


@given(FINDINGS, st.integers(0, 40))
def test_what_becomes_known_later_changes_no_night_before(findings: list[Finding], n: int) -> None:
    """Neither a later document, nor a later removal, nor the order of rows."""
    known = [
        one._replace(removed_night=one.removed_night if one.removed_night and one.removed_night <= night(n) else None)
        for one in reversed(findings)
        if one.source_night <= night(n)
    ]
    whole, then = Chart(findings, [person()]), Chart(known, [person()])
    assert whole.turns(night(0), night(n)) == then.turns(night(0), night(n))
    assert sorted(map(str, whole.evidence(night(n), night(0)))) == sorted(map(str, then.evidence(night(n), night(0))))


def test_what_counts_is_not_quoted_from_a_document_that_names_the_disease() -> None:
    gaucher = "OMIM:230800"
    naming = finding(SPLEEN, 1, "note 1", masked_for=frozenset({gaucher}))
    (evidence,) = Chart([naming, finding(SPLEEN, 5, "note 2")], [person()]).evidence(night(5), night(5))
    assert (evidence.source_id, evidence.masked_for) == ("note 2", frozenset())


# -- values that take a second one -------------------------------------------------------------------------------------

CK = "HP:0003236"


def ck(n: int, assertion: str = "present", day: int | None = None, **more: Any) -> Finding:
    """A raised CK of day `day` (that of its night unless given): commonly transient, so it takes two."""
    taken = datetime(2025, 1, 1, 12) + timedelta(days=n if day is None else day)
    return finding(CK, n, f"Observation/{n}", origin="lab", assertion=assertion, event_time=taken, **more)


def test_a_value_confirmed_by_one_later_withdrawn_falls_with_it_from_that_night() -> None:
    chart = Chart([ck(0, "uncertain", until=40), ck(30)], [person()])
    assert [weighed(chart, n) for n in (0, 29, 30, 39)] == [{}, {}, {CK: "present"}, {CK: "present"}]
    assert weighed(chart, 40) == {}
    assert turns(chart) == [30, 40]


def test_a_third_value_confirms_it_again() -> None:
    chart = Chart([ck(0, "uncertain", until=40), ck(30), ck(50)], [person()])
    assert [CK in weighed(chart, n) for n in (30, 39, 40, 49, 50)] == [True, True, False, False, True]
    assert turns(chart) == [30, 40, 50]


def test_a_corrected_value_that_is_still_abnormal_confirms_from_the_same_night() -> None:
    corrected = ck(40, "uncertain", day=0)._replace(source_id="Observation/0")
    chart = Chart([ck(0, "uncertain", until=40), corrected, ck(30)], [person()])
    assert [CK in weighed(chart, n) for n in (29, 30, 40, 60)] == [False, True, True, True]


def test_a_value_withdrawn_before_the_second_came_never_confirmed_it() -> None:
    assert turns(Chart([ck(0, "uncertain", until=10), ck(30)], [person()])) == []


def test_an_earlier_version_of_a_value_does_not_confirm_its_correction() -> None:
    corrected = ck(20, day=20)._replace(source_id="Observation/0")
    assert weighed(Chart([ck(0, "uncertain"), corrected], [person()]), 30) == {}


def test_a_coded_diagnosis_needs_no_second_one() -> None:
    assert CK in weighed(Chart([finding(CK, 3, "Condition/1", origin="code")], [person()]), 3)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60), st.booleans()), min_size=1, max_size=6),
    st.integers(0, 130),
)
def test_a_transient_value_counts_only_while_two_of_different_days_stand(
    values: list[tuple[int, int, bool]], on: int
) -> None:
    made = [
        ck(n, "present" if sure else "uncertain", until=n + length)._replace(source_id=f"Observation/{index}")
        for index, (n, length, sure) in enumerate(values)
    ]
    standing = [one for one in made if one.stands(night(on))]
    expected = any(
        one.assertion == "present" and abs((one.event_time - other.event_time).days) >= 7
        for one in standing
        for other in standing
        if one.event_time and other.event_time
    )
    assert (CK in weighed(Chart(made, [person()]), on)) == expected
