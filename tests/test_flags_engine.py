"""Flags of a range of nights equal flags made night by night, on made scores and facts."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake_rows import frame
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from zebrawatch.engine.flags import Folding, changes_of, facts, facts_of, flags, scores_of, suspicions
from zebrawatch.nights import NightRange
from zebrawatch.reasoning.answers import JudgedAnswer, JudgedDisease, Quote
from zebrawatch.reasoning.names import Resolution
from zebrawatch.schemas import CANDIDATES, FLAGS, NAMINGS, PATIENTS
from zebrawatch.screen.alerts import AlertPolicy, Span

DAY0 = date(2025, 1, 1)
POLICY = AlertPolicy(threshold=0.5, k=2)


def night(n: int) -> date:
    return DAY0 + timedelta(days=n)


def nights(first: int, last: int) -> NightRange:
    return NightRange(night(first), night(last))


def score(n: int, p: float, *ids: str, cause: str = "evidence") -> list[dict[str, Any]]:
    return [
        {
            "night": night(n),
            "rank": rank,
            "disease_id": disease,
            "disease_name": disease.lower(),
            "posterior": 0.1,
            "log10_lr": 1.0,
            "p_any": p,
            "cause": cause,
        }
        for rank, disease in enumerate(ids or ("OMIM:1", "OMIM:2", "OMIM:3"), 1)
    ]


def nothing(n: int) -> dict[str, Any]:
    empty = dict.fromkeys(("disease_id", "disease_name", "posterior", "log10_lr"))
    return {"night": night(n), "rank": 0, "p_any": 0.01, "cause": "source removed", **empty}


def fact(name: str, first: int, until: int | None = None) -> dict[str, Any]:
    return {"fact": name, "first": night(first), "until": None if until is None else night(until)}


def folded(
    over: NightRange,
    scores: list[dict[str, Any]],
    known: list[dict[str, Any]],
    before: list[dict[str, Any]],
    policy: AlertPolicy,
    answers: list[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    row = {
        "subject_id": 1,
        "scores": [one for one in scores if one["night"] <= over.last],
        "facts": known,
        "flags": before,
        "answers": answers,
    }
    return changes_of(row, Folding(policy, over, DAY0, "UTC"))


def told(rows: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    return [((row["night"] - DAY0).days, row["action"], row["reason"]) for row in rows]


def supports(disease: str, n: int) -> dict[str, Any]:
    """An answer of a night that ranks one disease first, with a quote that stands."""
    resolution, quote = Resolution(disease, disease, "exact", 1.0), Quote("DocumentReference/1", "tall")
    told = JudgedDisease(1, disease, resolution, 0.9, (quote,), (), 0, "")
    judged = JudgedAnswer("k", "accepted", None, 0.1, (told,), quotes=1)
    return {"night": night(n), "judged": json.dumps(asdict(judged))}


def test_a_chart_read_after_its_score_gives_the_standing_list_anew_until_the_next_score() -> None:
    """Its patient had waited for a place in the budget; P(any) stands, and so does every night cut."""
    scores, answers = [*score(2, 0.6), *score(9, 0.7)], [supports("OMIM:3", 5)]
    whole = folded(nights(0, 20), scores, [], [], POLICY, answers)
    assert told(whole) == [(2, "raise", "threshold"), (5, "show", "list changed"), (9, "show", "list changed")]
    lists = [[shown["disease_id"] for shown in row["shown"]] for row in whole]
    assert lists == [["OMIM:1", "OMIM:2"], ["OMIM:1", "OMIM:3"], ["OMIM:1", "OMIM:2"]]
    assert [row["p_any"] for row in whole] == [0.6, 0.6, 0.7]
    rows: list[dict[str, Any]] = []
    for n in range(21):
        known = [answer for answer in answers if answer["night"] <= night(n)]
        rows += folded(nights(n, n), scores, [], [{**row, "night_range": "x"} for row in rows], POLICY, known)
    assert rows == whole


def test_an_alert_is_raised_shown_anew_and_withdrawn() -> None:
    scores = [*score(2, 0.6), *score(5, 0.7, "OMIM:9", "OMIM:2"), nothing(8)]
    rows = folded(nights(0, 20), scores, [], [], POLICY)
    assert told(rows) == [(2, "raise", "threshold"), (5, "show", "list changed"), (8, "withdraw", "source removed")]
    assert [one["disease_id"] for one in rows[1]["shown"]] == ["OMIM:9", "OMIM:2"]


def test_candidate_rows_in_any_order_are_one_score_a_night() -> None:
    rows = [*score(1, 0.2), *score(0, 0.7, "OMIM:5", "OMIM:6")][::-1]
    first, second = scores_of(rows)
    assert (first.night, first.p_any, [one.disease_id for one in first.shown]) == (night(0), 0.7, ["OMIM:5", "OMIM:6"])
    assert (second.night, [one.rank for one in second.shown]) == (night(1), [1, 2, 3])


def test_facts_are_taken_from_their_first_night() -> None:
    found = facts_of(
        [fact("suspected", 9), fact("suspected", 4), fact("died", 30), fact("merged", 5, 7), fact("restricted", 2)]
    )
    assert (found.suspected_night, found.died) == (night(4), (Span(night(30)),))
    assert found.merged == (Span(night(5), night(7)),)
    assert found.restricted == (Span(night(2), None),)


SCORES = st.dictionaries(
    st.integers(0, 25),
    st.tuples(
        st.sampled_from([0.1, 0.49, 0.5, 0.9]),
        st.sampled_from([("A",), ("A", "B"), ("B", "A"), ()]),
        st.sampled_from(["evidence", "background", "source removed"]),
    ),
    max_size=8,
).map(
    lambda found: [
        row for n, (p, ids, cause) in found.items() for row in (score(n, p, *ids, cause=cause) if ids else [nothing(n)])
    ]
)
SPANS = st.tuples(st.integers(0, 25), st.none() | st.integers(1, 9))
FACTS = st.lists(
    st.builds(
        lambda name, span: fact(name, span[0], None if span[1] is None else span[0] + span[1]),
        st.sampled_from(["restricted", "merged"]),
        SPANS,
    )
    | st.builds(fact, st.sampled_from(["suspected", "died"]), st.integers(0, 25)),
    max_size=3,
)


@given(SCORES, FACTS, st.sets(st.integers(1, 29)), st.integers(0, 3), st.sampled_from([0, 5, 90]))
def test_a_range_equals_its_parts_made_one_after_the_other(
    scores: list[dict[str, Any]], known: list[dict[str, Any]], cuts: set[int], persistence: int, same_episode: int
) -> None:
    policy = AlertPolicy(0.5, k=2, persistence_nights=persistence, same_episode_days=same_episode)
    whole = folded(nights(0, 29), scores, known, [], policy)
    starts = [0, *sorted(cuts)]
    parts: list[dict[str, Any]] = []
    for first, following in zip(starts, [*starts[1:], 30], strict=True):
        parts += folded(nights(first, following - 1), scores, known, list(parts), policy)
    assert parts == whole


# -- under Spark -------------------------------------------------------------------------------------------------------


def test_a_range_under_spark_equals_night_by_night(spark: SparkSession) -> None:
    scores = [
        {"subject_id": subject, **row}
        for subject, rows in {
            1: [*score(0, 0.9), *score(2, 0.2)],
            2: [*score(1, 0.6), *score(3, 0.7, "OMIM:7")],
            3: score(1, 0.9),
            5: score(2, 0.1),
        }.items()
        for row in rows
    ]
    candidates = frame(spark, CANDIDATES, scores)
    known = spark.createDataFrame(
        [(3, "suspected", night(3), None), (4, "died", night(0), None)],
        "subject_id long, fact string, first date, until date",
    )

    def run(over: NightRange, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
        frame_before = frame(spark, FLAGS, before)
        upto = candidates.where(F.col("night") <= F.lit(over.last))
        rows = flags(upto, known, frame_before, Folding(POLICY, over, DAY0, "UTC")).toArrow().to_pylist()
        return sorted(rows, key=lambda row: (row["night"], row["subject_id"]))

    whole = run(nights(0, 3), [])
    assert [(row["subject_id"], (row["night"] - DAY0).days, row["action"], row["reason"]) for row in whole] == [
        (1, 0, "raise", "threshold"),
        (2, 1, "raise", "threshold"),
        (3, 1, "raise", "threshold"),
        (1, 2, "withdraw", "below threshold"),
        (2, 3, "show", "list changed"),
        (3, 3, "withdraw", "suspected"),
    ]
    parts: list[dict[str, Any]] = []
    for over in (nights(0, 1), nights(2, 2), nights(3, 3)):
        parts += run(over, parts)
    assert parts == whole
    assert whole[0]["backlog"]
    assert not whole[1]["backlog"]


def test_what_waits_is_folded_without_a_new_score(spark: SparkSession) -> None:
    """A bar falls, persistence is reached, an open alert ends: on nights on which nothing was scored."""
    scores = {1: score(0, 0.9), 2: score(2, 0.9), 3: score(0, 0.9), 4: score(0, 0.2)}
    candidates = frame(spark, CANDIDATES, [{"subject_id": who, **row} for who, rows in scores.items() for row in rows])
    known = spark.createDataFrame(
        [(1, "merged", night(0), night(5)), (3, "died", night(6), None)],
        "subject_id long, fact string, first date, until date",
    )
    patient_policy = AlertPolicy(threshold=0.5, k=2, persistence_nights=3)

    def run(over: NightRange, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows = flags(candidates, known, frame(spark, FLAGS, before), Folding(patient_policy, over, DAY0, "UTC"))
        return rows.toArrow().to_pylist()

    before = run(nights(0, 4), [])
    assert [(row["subject_id"], row["action"]) for row in before] == [(3, "raise")]
    told = run(nights(5, 9), [{**row, "night_range": "x"} for row in before])
    assert sorted((row["subject_id"], row["night"], row["action"]) for row in told) == [
        (1, night(8), "raise"),
        (2, night(5), "raise"),
        (3, night(6), "withdraw"),
    ]


def test_facts_come_from_patients_suspicions_and_the_opt_out_list(spark: SparkSession) -> None:
    from datetime import UTC, datetime

    def patient(subject: int, version: str, n: int, **more: Any) -> dict[str, Any]:
        return {"subject_id": subject, "version": version, "known_night": night(n), **more}

    died = datetime(2025, 1, 6, 23, 30, tzinfo=UTC)  # the seventh in Berlin
    people = [
        patient(1, "a", 0, restricted=True),
        patient(1, "b", 4, restricted=False),
        patient(2, "a", 0, merged_into=9),
        patient(3, "a", 2, death_time=died),
        patient(4, "a", 8, death_time=died),
        patient(5, "a", 0),
        patient(7, "a", 3, death_time=died),
        patient(7, "b", 9),  # another was meant: alive again
        patient(8, "a", 0, death_time=died),
        patient(8, "b", 1),  # taken back before it held
    ]
    suspected = spark.createDataFrame([(5, night(3))], "subject_id long, known_night date")
    opted_out = spark.createDataFrame([(6,)], "subject_id long")
    rows = facts(frame(spark, PATIENTS, people), suspected, opted_out, "Europe/Berlin").collect()
    assert sorted(map(tuple, rows)) == [
        (1, "restricted", night(0), night(4)),
        (2, "merged", night(0), None),
        (3, "died", night(6), None),
        (4, "died", night(8), None),
        (5, "suspected", night(3), None),
        (6, "restricted", date(1800, 1, 1), None),
        (7, "died", night(6), night(9)),
    ]


@pytest.mark.parametrize("first_run", [True, False])
def test_suspicions_of_a_range_are_those_of_its_nights_and_a_first_run_brings_the_past(
    spark: SparkSession, first_run: bool
) -> None:
    def naming(subject: int, n: int, disease: str | None = "OMIM:1") -> dict[str, Any]:
        return {
            "subject_id": subject,
            "source_id": f"Composition/{subject}-{n}",
            "source_version": "v",
            "disease_id": disease,
            "evidence_class": "name",
            "kind": "specific" if disease else "general",
            "phenotype_name": False,
            "quote": "named",
            "known_night": night(n),
            "assertion": "present",
        }

    rows = [naming(1, 5), naming(1, 3), naming(2, -40), naming(2, 4), naming(3, 4, None)]
    found = suspicions(frame(spark, NAMINGS, rows), nights(0, 9), first_run=first_run).collect()
    expected = [(1, "specific", night(3)), (2, "specific", night(-40)), (3, "general", night(4))]
    assert sorted((row["subject_id"], row["kind"], row["known_night"]) for row in found) == [
        one for one in expected if first_run or one[2] >= night(0)
    ]


def test_facts_without_spark_are_the_same(spark: SparkSession) -> None:
    """The policy's preview folds without Spark: what bars a patient must come out alike."""
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    from zebrawatch.screen.policy import facts_of_patient

    stamp = datetime(2025, 1, 6, 23, 30, tzinfo=UTC)
    versions = [
        {"version": "a", "known_night": night(0), "available_at": stamp, "restricted": True},
        {"version": "b", "known_night": night(4), "available_at": stamp, "restricted": False, "merged_into": 9},
        {"version": "c", "known_night": night(7), "available_at": stamp, "restricted": False, "death_time": stamp},
    ]
    rows = [{"subject_id": 1, "deleted": False, "merged_into": None, "death_time": None, **row} for row in versions]
    suspected = spark.createDataFrame([(1, night(3))], "subject_id long, known_night date")
    opted_out = spark.createDataFrame([(1,)], "subject_id long")
    told = facts(frame(spark, PATIENTS, rows), suspected, opted_out, "Europe/Berlin").toArrow().to_pylist()
    assert facts_of_patient(rows, night(3), True, ZoneInfo("Europe/Berlin")) == facts_of(told)
