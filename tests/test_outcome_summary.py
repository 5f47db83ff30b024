"""The whole of a replay's figures, and the protocol they obey."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from outcome_stories import (
    DAY0,
    FABRY,
    FABRY_ORPHA,
    GAUCHER,
    NIGHTS,
    POMPE,
    candidates,
    flags,
    flags_of,
    labels,
    matcher,
    on,
    people,
    suspicions,
    written,
)  # fmt: skip

from zebrawatch.errors import ConfigurationError
from zebrawatch.nights import NightRange
from zebrawatch.outcome.episodes import episodes_of
from zebrawatch.outcome.observation import observed, people_table
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.outcome.summary import Outcome, Replay, compare_runs, summarise, weekly_burden

KEYS = {
    "at_risk", "incident", "prioritised_share", "lead_days_median", "lead_days_mean_unconditional", "interval_share",
    "episodes_per_1000_py", "false_alerts_per_1000_12m", "person_years", "ppv_by_prevalence", "nulls", "leak_gate",
    "suspicion_recall", "ci95", "by_k",
}  # fmt: skip


def replay(**more: Any) -> Replay:
    """1: Fabry, alert 100, suspected 300. 2: Gaucher, no alert, suspected 500. 3: false alert. 4: nothing.
    6: Pompe, referred on the day of entry. 7: Fabry known from the start."""
    given: dict[str, Any] = {
        "nights": [NIGHTS],
        "people": people(*((subject, 0, 1400) for subject in (1, 2, 3, 4, 6, 7))),
        "suspicions": suspicions(
            (1, FABRY, "specific", 300), (1, FABRY, "confirmed", 330), (2, GAUCHER, "confirmed", 500),
            (6, None, "general", 0), (6, POMPE, "confirmed", 90), (7, FABRY, "confirmed", 5),
        ),
        "flags": flags(
            flags_of(1, [(100, 0.9, [GAUCHER, FABRY])], suspected=300),
            flags_of(3, [(50, 0.9, [POMPE]), (80, 0.1, [POMPE])]),
        ),
        "candidates": candidates((1, 100, [GAUCHER, FABRY]), (3, 50, [POMPE])),
        "written": written((1, 10, 2), (3, 10, 5), (4, 10, 1)),
        **more,
    }  # fmt: skip
    return Replay(**given)


def figures(**more: Any) -> dict[str, Any]:
    return summarise(replay(**more), matcher(), protocol()).figures


def protocol() -> Protocol:
    read = Protocol.read()
    return read.model_copy(update={"resampling": read.resampling.model_copy(update={"draws": 200, "null_draws": 20})})


def test_the_keys_of_the_evaluation_and_the_figures_by_hand() -> None:
    found = figures()
    assert set(found) >= KEYS
    assert (found["at_risk"], found["incident"]) == (2, 3)
    assert (found["prioritised_share"], found["lead_days_median"]) == (0.5, 200)
    assert found["lead_days_mean_unconditional"] == 100
    assert found["interval_share"] == pytest.approx(200 / 800)
    assert found["incident_pairs"]["prioritised_share"] == pytest.approx(1 / 3)
    assert found["pair_classes"] == {"prevalent": 1, "not in the knowledge": 0, "first contact": 1, "at risk": 2}
    days = 300 + 500 + 1401 + 1401 + 0 + 5
    assert found["person_years"] == pytest.approx(days / 365.25)
    assert found["episodes_per_1000_py"] == pytest.approx(2 * 365_250 / days)
    assert found["false_alerts_per_1000_12m"] == pytest.approx(1000 / 4)
    assert set(found["ppv_by_prevalence"]) == {"1/500", "1/2,000", "1/10,000", "1/25,000"}
    assert {"within_stratum", "random_timing", "utilisation", "counts"} <= set(found["nulls"])
    assert (found["leak_gate"], found["suspicion_recall"]) == ("not assessed", "not assessed")


def test_share_and_lead_by_k_come_from_the_same_alerts() -> None:
    found = figures()["by_k"]
    assert (found["1"]["prioritised_share"], found["3"]["prioritised_share"]) == (0, 0.5)
    assert found["5"]["prioritised_share"] == figures()["prioritised_share"]
    assert isinstance(found["10"], str)


def test_the_result_is_plain_json_and_the_same_every_time() -> None:
    assert json.dumps(figures(), allow_nan=False, sort_keys=True) == json.dumps(figures(), sort_keys=True)


def test_the_upper_figure_counts_to_the_specific_suspicion() -> None:
    thought = suspicions((1, None, "general", 160), (1, FABRY, "specific", 300), (1, FABRY, "confirmed", 330))
    alerts = flags(flags_of(1, [(100, 0.9, [FABRY])], suspected=160))
    found = figures(suspicions=thought, flags=alerts)
    assert (found["lead_days_median"], found["upper"]["lead_days_median"]) == (60, 200)


def test_labels_are_the_headline_where_they_are_given() -> None:
    result: Outcome = summarise(
        replay(labels=labels((1, FABRY_ORPHA, 300, 400), (9, FABRY, 1, 2), (4, GAUCHER, 700, 800))),
        matcher(),
        protocol(),
    )
    assert result.figures["label_source"] == "labels"
    assert set(result.lead_time["label_source"]) == {"labels", "records"}
    assert set(result.headline["label_source"]) == {"labels"}, "each pair once in all that is told of them"
    assert (result.figures["at_risk"], result.figures["prioritised_share"]) == (2, 0.5)
    assert result.figures["problems"] == {"unknown patient": 1}
    assert result.flow["excluded: unknown patient"] == 1
    assert result.figures["label_disagreements"] == len(result.disagreements) > 0


def test_nobody_and_nothing_give_no_figures_rather_than_wrong_ones() -> None:
    empty = figures(people=people(), suspicions=suspicions(), flags=flags(), candidates=candidates(), written=written())
    assert (empty["at_risk"], empty["prioritised_share"], empty["person_years"]) == (0, None, 0)
    assert empty["nulls"]["counts"] is False
    no_cases = figures(suspicions=suspicions())
    assert (no_cases["at_risk"], no_cases["episodes_per_1000_py"] > 0) == (0, True)


def test_holes_between_nights_are_counted() -> None:
    parts = [NightRange(NIGHTS.first, on(699)), NightRange(on(710), NIGHTS.last)]
    found = figures(nights=parts)
    assert (found["nights"], found["nights_missing"]) == (1451, 10)


def test_small_groups_are_not_shown() -> None:
    found = figures()["by_subgroup"]
    assert found["sex"]["female"] == {"n": "below 11", "alerts": "below 11"}
    assert found["race_ethnicity"] == "not assessed"


def test_detection_and_false_alerts_by_subgroup() -> None:
    """Forty women, each suspected on day 300; of forty men ten are falsely alerted on day 50."""
    everyone = people(*((subject, 0, 1400) for subject in range(1, 81))).assign(payer="public")
    women, men = range(1, 81, 2), range(2, 81, 2)
    alerts = [flags_of(s, [(200, 0.9, [FABRY])], suspected=300) for s in list(women)[:20]]
    alerts += [flags_of(s, [(50, 0.9, [FABRY]), (60, 0.1, [FABRY])]) for s in list(men)[:10]]
    found = figures(
        people=everyone, suspicions=suspicions(*((s, FABRY, "confirmed", 300) for s in women)), flags=flags(*alerts),
        candidates=candidates(), written=written(*((s, 10, s) for s in range(1, 81))),
    )["by_subgroup"]  # fmt: skip
    assert (found["sex"]["female"]["n"], found["sex"]["female"]["prioritised_share"]) == (40, 0.5)
    assert found["sex"]["female"]["alerts"]["false"] == 0
    assert found["sex"]["male"]["alerts"]["false"] == pytest.approx(10 * 365_250 / (40 * 1401))
    assert found["payer"]["public"]["n"] == 40
    assert sorted(found["note_density"]) == ["high", "low", "middle"]


def test_figures_without_a_class_of_evidence() -> None:
    """A referral on day 160 is the first thought; had referrals not been read, the lead would reach to day 300."""
    base = {"subject_id": 1, "phenotype_name": False, "source_id": "x", "start": 0, "quote": "", "event_time": None}
    read = [
        {**base, "disease_id": None, "kind": "general", "evidence_class": "referral", "known_night": on(160)},
        {**base, "disease_id": FABRY, "kind": "confirmed", "evidence_class": "name", "known_night": on(300)},
    ]
    found = figures(
        namings=pd.DataFrame(read), labels=labels((1, FABRY, 300, 330)),
        flags=flags(flags_of(1, [(100, 0.9, [FABRY])])),
        suspicions=suspicions((1, None, "general", 160), (1, FABRY, "confirmed", 300)),
    )  # fmt: skip
    assert found["lead_days_median"] == 60
    assert found["without_class"]["referral"]["lead_days_median"] == 200
    assert found["without_class"]["name"]["lead_days_median"] == 60


def test_two_runs_are_compared_pair_by_pair() -> None:
    before = summarise(replay(flags=flags()), matcher(), protocol()).lead_time
    after = summarise(replay(), matcher(), protocol()).lead_time
    found = compare_runs(before, after, draws=200)
    assert (found["pairs"], found["lead_days"]["difference"]) == (2, 100)
    with pytest.raises(ValueError, match="share no at-risk pair"):
        compare_runs(before[before["subject_id"] == 1], after[after["subject_id"] == 2])


def test_weekly_burden_counts_new_and_open() -> None:
    weeks = weekly_burden(episodes_of(replay().flags), NightRange(on(49), on(111)))
    assert weeks["new"].sum() == 2
    assert weeks["open"].tolist() == [1, 1, 1, 1, 0, 0, 0, 1, 1]


def test_observation_ends_with_death_or_the_last_night() -> None:
    table = people_table({1: on(0), 2: on(10)}, {2: on(50)}, on(100), {1: "female"}, {})
    assert [(p.entry, p.last, p.death, p.sex) for p in observed(table)] == [
        (on(0), on(100), None, "female"), (on(10), on(50), on(50), "unknown"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="twice"):
        observed(pd.concat([table, table]))


def test_the_protocol_fixes_the_policy_and_has_a_digest(tmp_path: Path) -> None:
    own = Protocol.read()
    assert (own.policy.k, own.policy.same_episode_days, own.estimand.match_tier) == (5, 90, "exact")
    text = (Path(__file__).parents[1] / "zebrawatch" / "outcome" / "protocol.toml").read_text()
    same, other = tmp_path / "same.toml", tmp_path / "other.toml"
    same.write_text("# a comment more\n" + text)
    other.write_text(text.replace("threshold = 0.008", "threshold = 0.6"))
    assert Protocol.read(same).digest == own.digest
    assert Protocol.read(other).digest != own.digest


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("k = 5 ", "k = 0 "), "estimand.k"),
        (("[workload]", "surprise = 1\n[workload]"), "surprise"),
        (("threshold = 0.008", "threshold = 5"), "alert.threshold"),
        (("[estimand]", "[estimand"), "not TOML"),
        (("look_back_years = [1.0, 3.0]", "look_back_years = [3.0, 1.0]"), "must ascend"),
    ],
)
def test_a_wrong_protocol_is_refused_in_one_sentence(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    text = (Path(__file__).parents[1] / "zebrawatch" / "outcome" / "protocol.toml").read_text()
    assert change[0] in text
    wrong = tmp_path / "protocol.toml"
    wrong.write_text(text.replace(*change))
    with pytest.raises(ConfigurationError, match=complaint):
        Protocol.read(wrong)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Protocol.read(tmp_path / "absent.toml")


def test_screening_that_begins_later_moves_entry_to_prevalence() -> None:
    found = figures(nights=[NightRange(DAY0 + timedelta(days=400), NIGHTS.last)], flags=flags())
    assert found["pair_classes"]["at risk"] == 1  # patient 2 only: 1, 6 and 7 were suspected before
