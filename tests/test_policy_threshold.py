"""A threshold for a wanted burden: chosen on some nights with what was known then, judged on the later ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import lake_rows
import pandas as pd
import pytest
from outcome_stories import FABRY, NIGHTS, POMPE, matcher, on, people, suspicions, written
from review_lake import MPS2, candidate, configuration, patient
from typer.testing import CliRunner

from assets.policy_threshold import propose
from connectors.configuration import Configuration, replaced
from connectors.lake import Lake
from pipelines.commands.main import app
from zebrawatch.errors import ConfigurationError, LakeError
from zebrawatch.nights import NightRange
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.outcome.summary import Replay
from zebrawatch.outcome.thresholds import Choice, Trial, Wanted, choose
from zebrawatch.reports.figures import FEWEST_YEARS
from zebrawatch.schemas import CANDIDATES, EVENTS, FLAGS, NAMINGS, NOTES, PATIENTS, SUSPICIONS
from zebrawatch.screen.alerts import AlertPolicy
from zebrawatch.screen.policy import PolicyEntry, PolicyHistory, as_toml, read_policy

UNTIL = 729  # two of the four years
WEEKS = 730 / 7
SCORES: Mapping[int, tuple[int, float]] = {n: ((n * 37) % 1400 + 5, n / 1000) for n in range(1, 201)}


def replay(scores: Mapping[int, tuple[int, float]] = SCORES, last: int = 1460, **suspected: int) -> Replay:
    """Patients scored once each; what was known by day `last`. `p7=100`: patient 7 suspected on day 100."""
    rows = [
        {"subject_id": subject, "night": on(day), "rank": 1, "disease_id": POMPE, "disease_name": "", "posterior": p,
         "log10_lr": 0.0, "p_any": p, "cause": "evidence"}
        for subject, (day, p) in scores.items() if day <= last
    ]  # fmt: skip
    thought = [(int(name[1:]), None, "general", day) for name, day in suspected.items() if day <= last]
    return Replay(
        nights=[NightRange(NIGHTS.first, on(last))],
        people=people(*((subject, 0, last) for subject in scores)),
        suspicions=suspicions(*thought),
        flags=pd.DataFrame([], columns=FLAGS.schema.names),
        candidates=pd.DataFrame(rows, columns=CANDIDATES.schema.names),
        written=written(*((subject, 0, 1) for subject in scores)),
    )


def chosen(scores: Mapping[int, tuple[int, float]] = SCORES, wanted: Wanted | None = None, **suspected: int) -> Choice:
    early, whole = replay(scores, UNTIL, **suspected), replay(scores, **suspected)
    return choose(early, whole, matcher(), Protocol.read(), wanted or Wanted(alerts_per_week=0.5))


def raised(threshold: float, first: int, last: int) -> int:
    return sum(first <= day <= last and p >= threshold for day, p in SCORES.values())


def test_the_lowest_threshold_that_keeps_to_the_burden_on_the_nights_up_to_a_night() -> None:
    found = chosen()
    assert found.chosen.alerts == raised(found.threshold, 0, UNTIL)
    assert found.chosen.alerts / WEEKS <= 0.5 < raised(found.threshold - 0.001, 0, UNTIL) / WEEKS
    assert found.fitted_through == on(UNTIL)


def test_later_nights_judge_and_have_no_part_in_the_choice() -> None:
    found = chosen()
    assert found.judged.nights == NightRange(on(UNTIL + 1), NIGHTS.last)
    assert found.judged.alerts == raised(found.threshold, UNTIL + 1, 1460)
    for later, kept in ((0.9, False), (0.0005, True)):
        other = chosen({n: (day, p if day <= UNTIL else later) for n, (day, p) in SCORES.items()})
        assert other.threshold == found.threshold
        assert other.judged.alerts == (0 if kept else sum(day > UNTIL for day, _ in SCORES.values()))
        assert other.kept is kept


def test_a_suspicion_takes_an_alert_away_only_once_it_is_known() -> None:
    found = chosen()
    loud = next(n for n, (day, p) in SCORES.items() if day < UNTIL and p >= found.threshold)
    assert chosen(**{f"p{loud}": UNTIL + 10}).threshold == found.threshold
    assert chosen(**{f"p{loud}": SCORES[loud][0]}).threshold < found.threshold


def test_an_alert_that_stood_already_is_no_new_one() -> None:
    scores = {1: (10, 0.9), **{n: (UNTIL + 10 + n, 0.4) for n in range(2, 6)}}
    judged = Trial(replay(scores), matcher(), Protocol.read(), since=on(UNTIL + 1))
    assert [one.episode.subject_id for one in judged.alerts(0.3)] == [2, 3, 4, 5]


def test_patients_first_known_after_the_choice_stand_apart() -> None:
    whole = replay()
    entered = [on(UNTIL + 1) if n % 2 else on(0) for n in whole.people["subject_id"]]
    early = replay({n: one for n, one in SCORES.items() if n % 2 == 0}, UNTIL)
    crowd = replace(whole, people=whole.people.assign(entry_night=entered))
    found = choose(early, crowd, matcher(), Protocol.read(), Wanted(alerts_per_week=0.2))
    late = [p for n, (day, p) in SCORES.items() if n % 2 and day > UNTIL]
    assert found.judged_newcomers.patients == 100
    assert found.judged_newcomers.alerts == sum(p >= found.threshold for p in late)


def test_the_upper_end_asks_for_more_than_the_estimate() -> None:
    plain, sure = chosen(), chosen(wanted=Wanted(alerts_per_week=0.5, upper=True))
    assert sure.threshold > plain.threshold
    assert sure.chosen.alerts_per_week.ci95 is not None
    assert sure.chosen.alerts_per_week.ci95.high <= 0.55  # found with fewer draws than it is reported with


def test_false_alerts_of_twelve_months() -> None:
    found = chosen(wanted=Wanted(false_per_1000=50))
    first_year = raised(found.threshold, 0, 364)
    assert found.chosen.false_per_1000.value == pytest.approx(first_year / 200 * 1000)
    assert first_year / 200 * 1000 <= 50


def test_diseases_that_a_policy_suspends_cost_nothing() -> None:
    early, whole = replay(last=UNTIL), replay()
    deaf = AlertPolicy(0.5, suspended=frozenset({POMPE}))
    with pytest.raises(ConfigurationError, match="no threshold"):
        choose(early, whole, matcher(), Protocol.read(), Wanted(alerts_per_week=0.5), deaf)
    other = choose(
        early, whole, matcher(), Protocol.read(), Wanted(alerts_per_week=0.5),
        AlertPolicy(0.5, suspended=frozenset({FABRY})),
    )  # fmt: skip
    assert other.threshold == chosen().threshold


def test_a_choice_that_cannot_be_made_says_why_in_one_sentence() -> None:
    protocol, early, whole = Protocol.read(), replay(last=UNTIL), replay()
    with pytest.raises(ConfigurationError, match="either how many"):
        Wanted()
    with pytest.raises(ConfigurationError, match="above 0"):
        Wanted(alerts_per_week=0.0)
    with pytest.raises(ConfigurationError, match="No night after"):
        choose(early, early, matcher(), protocol, Wanted(alerts_per_week=1))
    with pytest.raises(ConfigurationError, match="need 365 nights"):
        choose(replay(last=100), whole, matcher(), protocol, Wanted(false_per_1000=5))
    with pytest.raises(ConfigurationError, match=r"no threshold is known to keep to at most 0\.001"):
        choose(early, whole, matcher(), protocol, Wanted(alerts_per_week=0.001, upper=True))


def test_a_threshold_is_not_used_on_nights_it_was_chosen_on(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    entry = '[[policy]]\nfrom = 2025-01-02\nby = "Ada"\nwhy = "chosen"\nthreshold = 0.01\nfitted_through = '
    path.write_text(entry + "2025-01-01\n")
    history = read_policy(path)
    assert history.entries[0].fitted_through == date(2025, 1, 1)
    history.refuse_hindsight(NightRange(date(2025, 1, 2), date(2025, 2, 1)))
    with pytest.raises(ConfigurationError, match="chosen on nights up to 2025-01-01"):
        history.refuse_hindsight(NightRange(date(2024, 1, 2), date(2025, 2, 1)))
    path.write_text(entry + "2025-01-02\n")
    with pytest.raises(ConfigurationError, match="fitted through 2025-01-02"):
        read_policy(path)
    PolicyHistory((PolicyEntry(date.min, "me", "why", AlertPolicy(0.1)),)).refuse_hindsight(NIGHTS)


# -- over a lake -------------------------------------------------------------------------------------------------------

LAKE_NIGHTS = NightRange(date(2023, 1, 10), date(2025, 6, 30))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Configuration, Lake]]:
    """A lake of forty patients, each scored once, published as one range of nights."""
    found = configuration(tmp_path_factory.mktemp("threshold"))
    lake = Lake.open(found.lake_folder, create=True)
    lake.describe(data_kind="made")
    scored = [
        candidate(n, LAKE_NIGHTS.first + timedelta(days=20 * n), 1, (MPS2, "Mucopolysaccharidosis, type II"), [], 0.1)
        | {"p_any": n % 20 / 100, "night_range": str(LAKE_NIGHTS)}
        for n in range(1, 41)
    ]  # fmt: skip
    tables: dict[Any, list[dict[str, Any]]] = {
        PATIENTS: [patient(n) for n in range(1, 41)], CANDIDATES: scored, NOTES: [], EVENTS: [], NAMINGS: [],
        SUSPICIONS: [], FLAGS: [],
    }  # fmt: skip
    kept = [lake.write_snapshot(lake_rows.arrow(table, rows), table) for table, rows in tables.items()]
    lake.publish(LAKE_NIGHTS, kept, {"pulls": []}, "run")
    yield found, Lake.open(found.lake_folder, published=True)


def test_the_split_is_the_protocols_unless_a_night_is_given(site: tuple[Configuration, Lake]) -> None:
    found, lake = site
    whole = propose(found, lake, Wanted(alerts_per_week=0.1))
    nights = len(LAKE_NIGHTS)
    assert (whole.choice.fitted_through - LAKE_NIGHTS.first).days + 1 == round(nights * 0.75)
    given = propose(found, lake, Wanted(alerts_per_week=0.1), date(2024, 1, 9))
    assert given.choice.fitted_through == date(2024, 1, 9)
    assert given.entry.since == LAKE_NIGHTS.last + timedelta(days=1)
    with pytest.raises(LakeError, match="--until must name"):
        propose(found, lake, Wanted(alerts_per_week=0.1), LAKE_NIGHTS.last)


def test_the_entry_to_paste_keeps_all_that_held(site: tuple[Configuration, Lake], tmp_path: Path) -> None:
    """A suspension, a budget or a disease never screened for must not be lost with a new threshold."""
    found, lake = site
    path = tmp_path / "policy.toml"
    common = (
        '[[policy]]\nfrom = 2023-01-10\nby = "Ada"\nwhy = "a \\"first\\""\nthreshold = 0.1\nwithdraw_below = 0.05\n'
        "budget = 3\nshown = 4\n"
    )
    path.write_text(
        f'{common}never_screened = ["OMIM:143100"]\nsuspended = ["OMIM:277900", "OMIM:301500"]\n'
        'suppressed = ["ORPHA:791"]\nthresholds = { "OMIM:154700" = 0.2, "OMIM:309900" = 0.5 }\n'
    )
    whole = read_policy(path).entries
    path.write_text(as_toml(*whole) + "\n")
    assert read_policy(path).entries == whole
    path.write_text(f'{common}never_screened = ["{FABRY}"]\n')
    (held,) = read_policy(path).entries
    proposed = propose(replaced(found, "policy", file=str(path)), lake, Wanted(alerts_per_week=0.1)).entry
    assert proposed.policy.withdraw_below == pytest.approx(proposed.policy.threshold / 2)
    same = replace(proposed.policy, threshold=held.policy.threshold, withdraw_below=held.policy.withdraw_below)
    assert (same, proposed.never) == (held.policy, held.never)


def test_the_command_prints_an_entry_that_the_policy_file_takes(
    site: tuple[Configuration, Lake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = site
    monkeypatch.setenv("ZEBRAWATCH_STATE__FOLDER", str(tmp_path / "state"))
    monkeypatch.setenv("ZEBRAWATCH_KNOWLEDGE__FOLDER", found.knowledge.folder)
    monkeypatch.setenv("ZEBRAWATCH_LAKE__FOLDER", str(found.lake_folder))
    asked = ["policy", "threshold", "--alerts-per-week", "0.1", "--until", "2024-01-09", "--json"]
    said = CliRunner().invoke(app, asked)
    assert said.exit_code == 0, said.output
    figures = json.loads(said.stdout.splitlines()[-1])
    assert figures["fitted_through"] == "2024-01-09"
    assert figures["chosen"]["alerts_per_week"]["value"] <= 0.1
    assert figures["chosen"]["alerts"] > 0
    (rates,) = (line for line in said.stdout.splitlines() if line.startswith("new alerts per 1,000 patient-years"))
    years = [figures[name]["person_years"] for name in ("chosen", "judged", "judged_newcomers")]
    assert rates.count("too few patient-years") == sum(one < FEWEST_YEARS for one in years)
    path = tmp_path / "policy.toml"
    entry = said.stdout[said.stdout.index("[[policy]]") : said.stdout.rindex("\n", 0, said.stdout.rindex("\n{"))]
    path.write_text(entry.replace('by = ""', 'by = "Dr. Ada Okafor"'))
    (read,) = read_policy(path).entries
    assert (read.policy.threshold, read.fitted_through) == (figures["threshold"], date(2024, 1, 9))
    none = CliRunner().invoke(app, ["policy", "threshold"])
    assert isinstance(none.exception, ConfigurationError)
