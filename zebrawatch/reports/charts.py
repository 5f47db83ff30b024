"""What the patient-level report shows of alerted patients, from rows of the lake's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from zebrawatch.evidence.common_conditions import explained_by
from zebrawatch.evidence.explanation import NextTest
from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.knowledge.ontology import Ontology
from zebrawatch.outcome.percentage import Percentage
from zebrawatch.reports import data as page
from zebrawatch.reports.pages import deciding
from zebrawatch.reports.readings import Readings

EXPECTED_LISTED = 8  # frequent findings of a disease that are named as absent; more would bury the rest
ENCOUNTERS = {
    "AMB": "outpatient visit", "VR": "virtual visit", "HH": "home visit", "EMER": "emergency", "OBSENC": "observation",
    "IMP": "inpatient stay", "ACUTE": "inpatient stay", "NONAC": "inpatient stay", "SS": "short stay", "PRENC": "visit",
}  # fmt: skip
"""Classes of an encounter (v3-ActCode) in words."""
NOTE_COLUMNS = (
    *("subject_id", "note_id", "text", "type_display", "author_role", "event_time", "known_night", "deleted"),
    "resource_type",
)

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ChartRows:
    """Rows of each table about the patients, in any order, with the columns of zebrawatch.schemas.

    Of notes only NOTE_COLUMNS are asked for.
    """

    flags: Rows
    patients: Rows
    notes: Rows
    events: Rows
    findings: Rows
    candidates: Rows
    suspicions: Rows


class Charts:
    """What the report shows of the patients, with at most `shown` ranked diseases each."""

    def __init__(
        self,
        rows: ChartRows,
        readings: Readings,
        knowledge: Knowledge,
        ontology: Ontology,
        shown: int,
        percentage: Percentage | None = None,
    ) -> None:
        self.percentage = percentage
        self.readings, self.knowledge, self.ontology, self.shown = readings, knowledge, ontology, shown
        self.flags = _by_subject(rows.flags)
        self.patients = _by_subject(rows.patients)
        self.notes = _by_subject(rows.notes)
        self.events = _by_subject(rows.events)
        self.findings = _by_subject(rows.findings)
        self.candidates = _by_subject(rows.candidates)
        self.suspicions = _by_subject(rows.suspicions)

    def patient(self, subject: int) -> page.AlertedPatient:
        """One alerted patient."""
        version = max(self.patients[subject], key=lambda row: row["known_night"])
        notes, events = self.notes.get(subject, []), self.events.get(subject, [])
        nights = [row["known_night"] for rows in (notes, events, self.patients[subject]) for row in rows]
        sources = self._sources(notes, events)
        findings = self._findings(subject, sources)
        scores = self._last_shown(subject)
        return page.AlertedPatient(
            key=f"{subject:016x}",
            sex=version["sex"],
            birth_date=version["birth_date"],
            entry_night=min(nights),
            last_night=max(nights),
            episodes=self._episodes(subject),
            diseases=self._diseases(subject, scores, findings),
            common_explanations=self._common(scores),
            percentage=self.percentage.of(scores[0]["p_any"], scores[0]["night"])
            if self.percentage and scores
            else None,
            percentage_from=self.percentage.words if self.percentage else None,
            reading=self._reading(subject, sources),
            findings=tuple(findings.values()),
            encounters=tuple(self._encounters(events)),
            notes=tuple(self._notes(notes)),
            labs=tuple(self._labs(events)),
            suspicions=tuple(
                page.SuspicionMark(
                    row["known_night"], row["kind"], self._name(row["disease_id"]), row["evidence_class"], row["quote"]
                )
                for row in self.suspicions.get(subject, [])
            ),
            death=version["death_time"].date() if version["death_time"] else None,
            p_any=self._shown(subject)["p_any"],
        )

    def _name(self, disease_id: str | None) -> str | None:
        index = self.knowledge.index_of(disease_id) if disease_id else None
        return self.knowledge.diseases[index].name if index is not None else disease_id

    def _episodes(self, subject: int) -> tuple[page.Episode, ...]:
        raised: dict[str, dict[str, Any]] = {}
        for row in sorted(self.flags[subject], key=lambda row: (row["night"], row["action"])):
            episode = raised.setdefault(
                row["episode_id"],
                {
                    "raised": row["night"],
                    "withdrawn": None,
                    "reason": None,
                    "met": row["met_night"],
                    "backlog": row["backlog"],
                    "changes": [],
                },
            )
            match row["action"]:
                case "withdraw":
                    episode |= {"withdrawn": row["night"], "reason": row["reason"]}
                case "raise":
                    episode |= {"withdrawn": None, "reason": None}
                case _:
                    episode["changes"].append(row["night"])
        return tuple(
            page.Episode(
                one["raised"], one["withdrawn"], one["reason"], one["met"], bool(one["backlog"]), tuple(one["changes"])
            )
            for one in raised.values()
        )

    def _sources(
        self, notes: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]
    ) -> dict[str, page.Source]:
        kinds = {
            "Observation": "Laboratory",
            "Condition": "Problem list",
            "ServiceRequest": "Order",
            "FamilyMemberHistory": "Family history",
        }
        found = {
            row["event_id"]: page.Source(
                row["event_id"], kinds.get(row["resource_type"], row["resource_type"]), _day(row["event_time"])
            )
            for row in events
        }
        for row in notes:
            found[row["note_id"]] = page.Source(
                row["note_id"], row["type_display"] or row["resource_type"], _day(row["event_time"]), row["author_role"]
            )
        return found

    def _findings(self, subject: int, sources: Mapping[str, page.Source]) -> dict[tuple[str, str], page.Finding]:
        """First appearance of each finding of the patient and of the family, by term and assertion."""
        rows = sorted(
            self.findings.get(subject, []),
            key=lambda row: (row["known_night"], str(row["event_time"]), row["source_id"], row["start"] or 0),
        )
        texts = {row["note_id"]: row["text"] for row in self.notes.get(subject, [])}
        first: dict[tuple[str, str], Mapping[str, Any]] = {}
        mentions: Counter[tuple[str, str]] = Counter()
        for row in rows:
            key = (row["hpo_id"], row["assertion"] if row["experiencer"] == "patient" else "family")
            first.setdefault(key, row)
            mentions[key] += 1
        return {key: self._finding(row, key[1], mentions[key], sources, texts) for key, row in first.items()}

    def _finding(
        self,
        row: Mapping[str, Any],
        assertion: str,
        mentions: int,
        sources: Mapping[str, page.Source],
        texts: Mapping[str, str | None],
    ) -> page.Finding:
        sentence, start, end = row["sentence"] or row["quote"] or "", 0, len(row["quote"] or "")
        text = texts.get(row["source_id"])
        if text is not None and row["start"] is not None and row["sentence"]:
            begun = text.rfind(row["sentence"], 0, row["start"] + len(row["sentence"]))
            start, end = (row["start"] - begun, row["end"] - begun) if 0 <= begun <= row["start"] else (0, 0)
        return page.Finding(
            row["hpo_id"],
            self._label(row["hpo_id"]),
            assertion,
            row["origin"],
            row["known_night"],
            sources.get(row["source_id"], page.Source(row["source_id"], "source", None)),
            sentence,
            max(0, start),
            min(len(sentence), max(0, end)),
            mentions,
        )

    def _label(self, hpo_id: str) -> str:
        return self.ontology.label(hpo_id) if hpo_id in self.ontology.terms else hpo_id

    def _reading(self, subject: int, sources: Mapping[str, page.Source]) -> page.ModelReading | None:
        """What a language model last said of the chart, beside the list that stood that night."""
        read = self.readings.last(subject)
        if read is None:
            return None
        scores = [row for row in self.candidates.get(subject, []) if row["night"] <= read]
        return self.readings.of(subject, read, _ranked(scores), sources)

    def _shown(self, subject: int) -> Mapping[str, Any]:
        """The row of `flags` that last showed a list."""
        return max((row for row in self.flags[subject] if row["action"] != "withdraw"), key=lambda row: row["night"])

    def _last_shown(self, subject: int) -> list[Mapping[str, Any]]:
        """The scores that the list last shown comes from, by rank."""
        shown = self._shown(subject)
        names = {one["disease_id"] for one in shown["shown"]}
        scores = [row for row in self.candidates.get(subject, []) if row["night"] <= shown["night"]]
        night = max((row["night"] for row in scores if row["disease_id"] in names), default=None)
        return _ranked([row for row in scores if row["night"] == night])

    def _diseases(
        self,
        subject: int,
        scores: Sequence[Mapping[str, Any]],
        findings: Mapping[tuple[str, str], page.Finding],
    ) -> tuple[page.RankedDisease, ...]:
        """The diseases of the list last shown, in its order, as scored on that night."""
        shown = self._shown(subject)
        places = {one["disease_id"]: place for place, one in enumerate(shown["shown"], start=1)}
        ranked = sorted(
            (row for row in scores if row["disease_id"] in places), key=lambda row: places[row["disease_id"]]
        )
        return tuple(
            page.RankedDisease(
                places[row["disease_id"]],
                row["disease_id"],
                row["disease_name"],
                row["log10_lr"],
                row["posterior"],
                tuple(
                    page.Contribution(
                        one["label"],
                        one["log10_lr"],
                        finding_weighed(one, findings),
                        one["matched_label"] if one["matched_id"] != one["hpo_id"] else None,
                    )
                    for one in row["contributions"]
                ),
                tuple(
                    page.ExpectedFinding(
                        hpo_id,
                        self._label(hpo_id),
                        self._share(row["disease_id"], hpo_id),
                        findings.get((hpo_id, "negated")),
                    )
                    for hpo_id in row["expected_absent"][:EXPECTED_LISTED]
                ),
                self._deciding_test(row),
                evidence_rank=row["rank"],
            )
            for row in ranked[: self.shown]
        )

    def _share(self, disease_id: str, hpo_id: str) -> float | None:
        index = self.knowledge.index_of(disease_id)
        return None if index is None else self.knowledge.annotated_share(index, hpo_id)

    def _deciding_test(self, row: Mapping[str, Any]) -> str | None:
        index, test = self.knowledge.index_of(row["disease_id"]), None
        if row["next_test"] is not None:
            label = self._label(row["next_test"])
            test = NextTest(row["next_test"], label, row["test_if_present"], row["test_if_absent"])
        return deciding(test, self.knowledge.diseases[index].genes if index is not None else ()) or None

    def _common(self, scores: Sequence[Mapping[str, Any]]) -> tuple[page.CommonExplanation, ...]:
        """The best common explanation of the score, as stored with it."""
        name = scores[0]["common_explanation"] if scores else None
        if name is None:
            return ()
        explained = explained_by(name, scores[0]["contributions"], self.knowledge)
        return (page.CommonExplanation(name, explained, "by the evidence arm"),)

    def _encounters(self, events: Sequence[Mapping[str, Any]]) -> Iterable[page.Encounter]:
        """A mark an encounter; its class stands in one of the rows it was read into, the reason for it in others."""
        found: dict[str, page.Encounter] = {}
        for row in events:
            start, name = _day(row["event_time"]), row["event_id"].split("#")[0]
            if row["resource_type"] == "Encounter" and start:
                kind = ENCOUNTERS.get(row["category"] or "")
                if kind or name not in found:
                    found[name] = page.Encounter(start, None, kind or "visit")
        yield from found.values()

    def _notes(self, notes: Sequence[Mapping[str, Any]]) -> Iterable[page.NoteMark]:
        for row in notes:
            day = _day(row["event_time"])
            if day:
                yield page.NoteMark(day, row["type_display"] or row["resource_type"], not row["deleted"])

    def _labs(self, events: Sequence[Mapping[str, Any]]) -> Iterable[page.LabMark]:
        for row in events:
            day = _day(row["event_time"])
            if (
                row["resource_type"] == "Observation"
                and day
                and row["numeric_value"] is not None
                and row["interpretation"] not in (None, "N")
            ):
                yield page.LabMark(
                    day,
                    row["display"] or row["code"],
                    f"{row['numeric_value']:g} {row['unit'] or ''}".strip(),
                    row["interpretation"],
                )


def finding_weighed(
    weighed: Mapping[str, Any], findings: Mapping[tuple[str, str], page.Finding]
) -> page.Finding | None:
    """The finding that a score's contribution rests on: of its term, the one in its own source, else of its assertion.

    A finding told first as history and later as present weighs from the first of them.
    """
    term, assertion = weighed["hpo_id"], weighed["assertion"]
    of_term = [findings.get((term, each)) for each in (assertion, "historical")]
    told = [finding for finding in of_term if finding is not None]
    return next((one for one in told if one.source.source_id == weighed["source_id"]), told[0] if told else None)


def _by_subject(rows: Iterable[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    grouped: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["subject_id"], []).append(row)
    return grouped


def _day(instant: Any) -> date | None:
    return instant.date() if instant else None


def _ranked(scores: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Candidate rows of the newest night, by rank; a row of rank 0 is a score that lists nothing."""
    night = max((row["night"] for row in scores), default=None)
    listed = [row for row in scores if row["night"] == night and row["rank"] > 0]
    return sorted(listed, key=lambda row: row["rank"])
