"""A small lake for the review application, written row by row: made patients, no Spark."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import lake_rows
import uvicorn
from starlette.types import ASGIApp

from connectors.configuration import Configuration, from_values
from connectors.lake import Lake
from review.app import make_app, make_site
from review.web import Site
from zebrawatch.nights import NightRange
from zebrawatch.schemas import CANDIDATES, EVENTS, FINDINGS, FLAGS, NAMINGS, NOTES, PATIENTS, SUSPICIONS, TABLES, Table

NIGHT = date(2025, 6, 30)
HUNTER, WITHDRAWN, MERGED, SURVIVOR, DELETED, UNFLAGGED = 1001, 1002, 1003, 1004, 1005, 1006
MANY = range(2001, 2031)
MPS2, FABRY = "OMIM:309900", "OMIM:301500"

HOSTILE = (
    "<script>document.title='caught'</script><img src=x onerror=\"document.title='caught'\"> & macroglossia again. "
    "Inguinal hernia repaired; no seizures."
)
LETTER = "Thank you for seeing this boy. He has an inguinal hernia and coarse facial features. No seizures."
NAMING = "Query Hunter syndrome; enzyme sent."


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 10, tzinfo=UTC)


def timed(day: date) -> dict[str, Any]:
    return {
        "event_time": at(day), "available_at": at(day), "available_rule": "DocumentReference.date",
        "available_grade": "filed", "seen_night": day, "known_night": day, "single_version": False,
    }  # fmt: skip


def patient(subject: int, **more: Any) -> dict[str, Any]:
    return {
        "subject_id": subject, "source_id": f"pat-{subject}", "version": "v1", "sex": "male",
        "birth_date": date(2015, 3, 2), "birth_precision": "day", "restricted": False, "deleted": False,
        "pull": "p", **timed(date(2023, 1, 10)), **more,
    }  # fmt: skip


def note(name: str, subject: int, day: date, text: str, **more: Any) -> dict[str, Any]:
    return {
        "subject_id": subject, "note_id": f"DocumentReference/{name}", "version": "v1", "text": text,
        "resource_type": "DocumentReference", "type_display": "Clinic letter", "author_role": "Practitioner",
        "status": "final", "restricted": False, "deleted": False, "pull": "p", **timed(day), **more,
    }  # fmt: skip


def event(name: str, subject: int, day: date, kind: str, display: str, **more: Any) -> dict[str, Any]:
    return {
        "subject_id": subject, "time": at(day), "event_id": f"{kind}/{name}", "version": "v1",
        "code": f"TEXT//{display}", "resource_type": kind, "display": display, "status": "final",
        "restricted": False, "deleted": False,
        "pull": "p", **timed(day), **more,
    }  # fmt: skip


def finding(note_row: Mapping[str, Any], hpo_id: str, quote: str, assertion: str = "present") -> dict[str, Any]:
    start = note_row["text"].index(quote)
    return {
        "subject_id": note_row["subject_id"], "source_id": note_row["note_id"], "source_version": note_row["version"],
        "origin": "text", "hpo_id": hpo_id, "assertion": assertion, "experiencer": "patient", "start": start,
        "end": start + len(quote), "quote": quote, "sentence": note_row["text"], "event_time": note_row["event_time"],
        "known_night": note_row["known_night"], "pull": "p",
    }  # fmt: skip


def weight(found: Mapping[str, Any], label: str, log10_lr: float) -> dict[str, Any]:
    return {
        "hpo_id": found["hpo_id"], "label": label, "matched_id": found["hpo_id"], "matched_label": label,
        "log10_lr": log10_lr, "origin": "text", "assertion": found["assertion"], "source_id": found["source_id"],
        "start": found["start"], "end": found["end"], "quote": found["quote"], "known_night": found["known_night"],
    }  # fmt: skip


def candidate(
    subject: int, night: date, rank: int, disease: tuple[str, str], weights: Sequence[Mapping[str, Any]], p: float,
    absent: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    return {
        "subject_id": subject, "night": night, "rank": rank, "disease_id": disease[0], "disease_name": disease[1],
        "log10_lr": sum(one["log10_lr"] for one in weights), "posterior": p, "p_any": 0.6, "n_findings": len(weights),
        "cause": "evidence", "background": "background@2025-06", "contributions": list(weights),
        "expected_absent": list(absent), "night_range": str(NIGHT), "next_test": "HP:0001744",
        "test_if_present": 0.91, "test_if_absent": -0.66, "common_explanation": "Iron deficiency anemia",
        "common_posterior": 0.2,
    }  # fmt: skip


def flag(subject: int, night: date, action: str, p_any: float, **more: Any) -> dict[str, Any]:
    shown = [
        {"rank": 1, "disease_id": MPS2, "disease_name": "Mucopolysaccharidosis, type II", "posterior": p_any * 0.9,
         "log10_lr": 3.1},
        {"rank": 2, "disease_id": FABRY, "disease_name": "Fabry disease", "posterior": 0.01, "log10_lr": 0.4},
    ]  # fmt: skip
    first = more.pop("first", night)
    return {
        "subject_id": subject, "episode_id": f"{subject}:{first}", "night": night, "action": action,
        "reason": "threshold", "met_night": first, "p_any": p_any, "threshold": 0.01, "shown": shown, "backlog": False,
        "night_range": str(NIGHT), **more,
    }  # fmt: skip


def rows() -> dict[str, list[dict[str, Any]]]:
    """Rows of every table."""
    early, raised = date(2024, 5, 4), date(2025, 6, 10)
    letter, hostile = note("a1", HUNTER, early, LETTER), note("a2", HUNTER, raised, HOSTILE)
    gone, asked = date(2025, 3, 1), note("b1", WITHDRAWN, date(2025, 2, 28), NAMING)
    hernia, face = (
        finding(letter, "HP:0000023", "inguinal hernia"),
        finding(letter, "HP:0000280", "coarse facial features"),
    )
    tongue, fits = finding(hostile, "HP:0000158", "macroglossia"), finding(letter, "HP:0001250", "seizures", "negated")
    weights = [
        weight(tongue, "Macroglossia", 1.6), weight(face, "Coarse facial features", 1.2),
        weight(hernia, "Inguinal hernia", 0.7), weight(fits, "Seizure", -0.4),
    ]  # fmt: skip
    many = [flag(subject, date(2025, 5, 1 + n % 28), "raise", 0.02) for n, subject in enumerate(MANY)]
    absent = ["HP:0001744", "HP:0001250"]
    return {
        "patients": [
            patient(HUNTER), patient(WITHDRAWN), patient(MERGED, merged_into=SURVIVOR), patient(SURVIVOR),
            patient(DELETED), patient(DELETED, version="v2", deleted=True, known_night=date(2025, 6, 20)),
            patient(UNFLAGGED, sex="female"), *(patient(subject) for subject in MANY),
        ],
        "notes": [
            letter, hostile, asked, note("m1", MERGED, early, "Told before the merge."),
            note("s1", SURVIVOR, raised, "Told after the merge."), note("u1", UNFLAGGED, raised, "Well child."),
        ],
        "events": [
            event("e1", HUNTER, early, "Encounter", "Outpatient visit", category="AMB"),
            event("e2", HUNTER, raised, "Encounter", "Inpatient stay", category="IMP"),
            event("l1", HUNTER, raised, "Observation", "Glycosaminoglycans [Mass/volume] in Urine", numeric_value=41.0,
                  unit="mg/mmol", interpretation="H", category="laboratory"),
            event("c1", HUNTER, early, "Condition", "Inguinal hernia", status="confirmed"),
        ],
        "findings": [hernia, face, tongue, fits],
        "namings": [
            {"subject_id": WITHDRAWN, "source_id": asked["note_id"], "source_version": "v1", "disease_id": MPS2,
             "evidence_class": "name", "kind": "specific", "phenotype_name": False, "assertion": "uncertain",
             "start": 6, "end": 21, "quote": "Hunter syndrome", "event_time": asked["event_time"],
             "known_night": gone, "pull": "p"}
        ],
        "candidates": [
            candidate(HUNTER, raised, 1, (MPS2, "Mucopolysaccharidosis, type II"), weights, 0.55, absent),
            candidate(HUNTER, raised, 2, (FABRY, "Fabry disease"), weights[2:3], 0.01),
        ],
        "suspicions": [
            {"subject_id": WITHDRAWN, "disease_id": MPS2, "kind": "specific", "evidence_class": "name",
             "phenotype_name": False, "source_id": asked["note_id"], "quote": "Hunter syndrome",
             "event_time": asked["event_time"], "known_night": gone, "night_range": str(NIGHT)}
        ],
        "flags": [
            flag(HUNTER, raised, "raise", 0.6),
            flag(WITHDRAWN, date(2024, 9, 1), "raise", 0.3),
            flag(WITHDRAWN, gone, "withdraw", 0.3, first=date(2024, 9, 1), reason="suspected"),
            flag(MERGED, date(2025, 4, 1), "raise", 0.2), flag(DELETED, date(2025, 4, 2), "raise", 0.2), *many,
        ],
    }  # fmt: skip


def publish(
    lake: Lake, tables: Mapping[str, Sequence[Mapping[str, Any]]], night: date = NIGHT, **more: Mapping[str, Any]
) -> None:
    """Write tables whole and publish them as a night; `more` stands in its run identity."""
    written = [lake.write_snapshot(lake_rows.arrow(TABLES[name], made), TABLES[name]) for name, made in tables.items()]
    identity = {"knowledge": {"hpo": "2025-01-16", "version": "x"}, "nights": str(night), "pulls": ["p"], **more}
    lake.publish(NightRange(night, night), written, identity, "run")


def withdraw(lake: Lake, subject: int, first: date, night: date, reason: str = "suspected") -> None:
    """Publish one more night, on which an alert is withdrawn."""
    made = rows()["flags"]
    made.append(flag(subject, night, "withdraw", 0.6, first=first, reason=reason))
    publish(lake, {"flags": made}, night)


ALL: tuple[Table, ...] = (PATIENTS, NOTES, EVENTS, FINDINGS, NAMINGS, CANDIDATES, SUSPICIONS, FLAGS)


def knowledge_folder(folder: Path) -> Path:
    """Annotations of two diseases, so that knowledge is compiled at once."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = (
        "database_id disease_name qualifier hpo_id reference evidence onset frequency sex modifier aspect biocuration"
    )
    lines = ["#version: 2025-01-16", "\t".join(columns.split())]
    for disease, name, term, share in (
        (MPS2, "Mucopolysaccharidosis, type II", "HP:0001744", "9/10"),
        (MPS2, "Mucopolysaccharidosis, type II", "HP:0000158", "8/10"),
        (MPS2, "Mucopolysaccharidosis, type II", "HP:0001250", "1/10"),
        (FABRY, "Fabry disease", "HP:0000365", "5/10"),
    ):
        lines.append(
            "\t".join([disease, name, "", term, disease, "PCS", "", share, "", "", "P", "HPO:made[2025-01-01]"])
        )
    (folder / "phenotype.hpoa").write_text("\n".join(lines) + "\n")
    genes = "ncbi_gene_id\tgene_symbol\thpo_id\thpo_name\tfrequency\tdisease_id\n"
    (folder / "genes_to_phenotype.txt").write_text(genes + f"3423\tIDS\tHP:0001744\tSplenomegaly\t-\t{MPS2}\n")
    return folder


def configuration(folder: Path, **review: Any) -> Configuration:
    """The configuration of an application whose everything lies below `folder`."""
    return from_values(
        {
            "site": {"key_file": str(folder / "site.key")},
            "lake": {"folder": str(folder / "lake")},
            "knowledge": {"folder": str(knowledge_folder(folder / "knowledge"))},
            "review": {"unflagged_per_month": 2, "second_reading_share": 1.0, **review},
        },
        "test",
    )


def make(folder: Path, **review: Any) -> Site:
    """A lake below `folder`, and the application over it."""
    settings = configuration(folder, **review)
    lake = Lake.open(settings.lake_folder, create=True)
    lake.describe(data_kind="made")
    publish(lake, rows())
    return make_site(settings)


@contextmanager
def served(site: Site) -> Iterator[str]:
    """The application on a free port of this machine; its address."""
    with serving(make_app(site)) as address:
        yield address


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Any ASGI application on a free port of this machine; its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


def soon(days: int) -> date:
    return NIGHT + timedelta(days=days)
