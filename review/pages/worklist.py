"""The worklist."""

from __future__ import annotations

from datetime import date

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from review import readings
from review.arms import disagreements
from review.audit_trail import QUERY, Deed, record
from review.chart import age_on
from review.episodes import absence, alerts_on, read_twice, survivor
from review.readings import Verdict
from review.records import Snapshot
from review.sessions import Session
from review.web import Site, address_of, guarded, message, page, site_of
from review.worklist import RISKS, Line, Shelf, Wish, chosen, leaf

NIGHTS_OFFERED = 60


@guarded("worklist")
def worklist(request: Request, session: Session, _form: FormData) -> Response:
    """Alerts as they stand on a night, and this month's random readings."""
    site = site_of(request)
    snapshot = site.records.snapshot()
    if snapshot is None:
        text = "The lake holds no published night. Run `zebrawatch screen` first; this page shows what it leaves."
        return message(request, session, "Nothing to read yet", text, 200)
    review = site.configuration.review
    readings.draw_unflagged(site.engine, snapshot, site.key, review.unflagged_per_month, site.opted_out)
    readings.retract_fallen(site.engine, alerts_on(snapshot, snapshot.night))
    wish = Wish.of(request.query_params)
    night = min(wish.night or snapshot.night, snapshot.night)
    lines = lines_on(site, snapshot, session, night)
    shown = leaf(chosen(lines, wish), wish.page)
    subjects = tuple(sorted({int(line.key, 16) for line in shown.lines}))
    with site.engine.begin() as connection:
        record(connection, session.account, address_of(request), Deed(QUERY, "worklist", "R", subjects))
    return page(
        request, "worklist.html", session, wish=wish, leaf=shown, night=night, last=snapshot.night,
        nights=_nights(snapshot, night), risks=RISKS, diseases=_diseases(lines), counts=_counts(lines),
        arms=any(line.disagree is not None for line in lines),
        reads=session.account.role == "reviewer",
    )  # fmt: skip


def lines_on(site: Site, snapshot: Snapshot, session: Session, night: date) -> list[Line]:
    """All lines of a night, for whoever asks."""
    by_flag: dict[str, list[Verdict]] = {}
    for verdict in readings.verdicts_on(site.engine):
        by_flag.setdefault(verdict.flag_id, []).append(verdict)
    open_ones = readings.assignments(site.engine)
    reader = session.account.id if session.account.role == "reviewer" else None
    shelf = Shelf(
        by_flag,
        {one.flag_id: one for one in open_ones if one.kind == "assign"},
        {one.flag_id: one for one in open_ones if one.kind == "snooze" and one.account_id == reader},
        reader,
    )
    share = site.configuration.review.second_reading_share
    differ = disagreements(site.records, snapshot, night)
    lines = []
    for alert in alerts_on(snapshot, night):
        twice = read_twice(alert.flag_id, site.key, share)
        who, trouble = _who(snapshot, alert.subject_id, night)
        lines.append(shelf.line(alert, who, twice=twice, disagree=differ.get(alert.flag_id), trouble=trouble))
    drawn = (one for one in open_ones if one.kind == "sample" and one.night <= night)
    lines += [shelf.sample_line(one, *_who(snapshot, one.subject_id, night)) for one in drawn]
    return lines


def _who(snapshot: Snapshot, subject: int, night: date) -> tuple[str, str | None]:
    row = snapshot.patients.get(subject)
    if row is None:
        return "", "no longer in the lake"
    trouble = absence(snapshot, subject)
    if trouble:
        return "", "deleted at the source" if row["deleted"] else "restricted"
    merged = "merged into another record" if survivor(snapshot, subject) != subject else None
    return f"{row['sex'] or 'sex not known'}, {age_on(row['birth_date'], night)}", merged


def _nights(snapshot: Snapshot, night: date) -> list[date]:
    """Nights to choose from: those on which an alert changed, newest first, with the last one and the one shown."""
    changed = {row["night"] for rows in snapshot.flags.values() for row in rows}
    return sorted({*sorted(changed)[-NIGHTS_OFFERED:], snapshot.night, night}, reverse=True)


def _diseases(lines: list[Line]) -> list[str]:
    return sorted({one.name for line in lines for one in line.diseases})


def _counts(lines: list[Line]) -> dict[str, int]:
    counts = {"new": 0, "standing": 0, "withdrawn": 0, "sample": 0}
    for line in lines:
        counts[line.state] += 1
    return counts
