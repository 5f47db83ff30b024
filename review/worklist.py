"""The worklist: alerts as lines, filtered, sorted, by pages. What one reviewer decided is not told to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from review.episodes import SAMPLE, Alert, Disease
from review.readings import Assignment, Verdict, standing
from zebrawatch.reports.risk import BANDS

PAGE = 25
STATES = ("all", "open", "new", "standing", "withdrawn", "sample")
READS = ("all", "mine", "unread", "second", "snoozed")
SORTS = ("state", "risk", "llr", "raised", "changed", "patient", "disease")
RISKS = tuple(word for _, word in BANDS)


@dataclass(frozen=True)
class Line:
    """One line of the worklist."""

    flag_id: str
    key: str
    who: str
    state: str
    reason: str
    backlog: bool
    raised: date
    changed: date
    risk: str
    p_any: float
    diseases: tuple[Disease, ...]
    disagree: bool | None
    mine: str | None
    readers: int
    second: bool
    """Two are to read it, and the second has not."""
    assigned: str | None
    assigned_to_me: bool
    snoozed: date | None
    trouble: str | None
    """Deleted, restricted or merged since."""


@dataclass(frozen=True)
class Wish:
    """What is asked for; anything not understood falls back to the default."""

    night: date | None = None
    state: str = "all"
    read: str = "all"
    disease: str = ""
    risk: str = ""
    disagree: bool = False
    sort: str = "state"
    down: bool = False
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wish:
        """Of a page's query."""
        try:
            night = date.fromisoformat(query.get("night", ""))
        except ValueError:
            night = None
        page = query.get("page", "1")
        sort = query.get("sort", "state")
        return cls(
            night,
            _one_of(query.get("state", ""), STATES),
            _one_of(query.get("read", ""), READS),
            query.get("disease", "").strip()[:100],
            query.get("risk", "") if query.get("risk") in RISKS else "",
            query.get("disagree") == "1",
            _one_of(sort.removeprefix("-"), SORTS),
            sort.startswith("-"),
            min(int(page), 100_000) if page.isdecimal() and int(page) > 0 else 1,
        )

    def link(self, **changes: object) -> str:
        """The query of a page with some wishes changed."""
        values = {
            "night": self.night, "state": self.state, "read": self.read, "disease": self.disease, "risk": self.risk,
            "disagree": "1" if self.disagree else "", "sort": ("-" if self.down else "") + self.sort, "page": self.page,
        } | {"page": 1} | changes  # fmt: skip
        defaults = {"state": "all", "read": "all", "sort": "state", "page": 1}
        kept = {name: value for name, value in values.items() if value and value != defaults.get(name)}
        return "?" + urlencode(kept)

    def sorted_by(self, column: str) -> str:
        """The query that sorts by a column, or turns its order round."""
        return self.link(sort=f"-{column}" if self.sort == column and not self.down else column)

    def direction(self, column: str) -> str:
        """aria-sort of a column's head."""
        return "none" if self.sort != column else "descending" if self.down else "ascending"


def _one_of(value: str, known: Sequence[str]) -> str:
    return value if value in known else known[0]


@dataclass(frozen=True)
class Shelf:
    """What lines are made of besides alerts, looked up once a page."""

    verdicts: Mapping[str, Sequence[Verdict]]
    assigned: Mapping[str, Assignment]
    snoozed: Mapping[str, Assignment]
    """Those of the reader."""
    reader: int | None
    """The reviewer for whom the list is made; None for an auditor, who reads nothing."""

    def line(
        self, alert: Alert, who: str, *, twice: bool, disagree: bool | None = None, trouble: str | None = None
    ) -> Line:
        """The line of an alert."""
        held = standing(self.verdicts.get(alert.flag_id, ()))
        mine = held.get(self.reader) if self.reader is not None else None
        assigned = self.assigned.get(alert.flag_id)
        snooze = self.snoozed.get(alert.flag_id)
        return Line(
            alert.flag_id, f"{alert.subject_id:016x}", who, alert.state, alert.reason, alert.backlog, alert.raised,
            alert.changed, alert.risk, alert.p_any, alert.diseases, disagree, mine.verdict if mine else None, len(held),
            twice and len(held) == 1 and mine is None, assigned.name if assigned else None,
            assigned is not None and assigned.account_id == self.reader,
            snooze.until if snooze and snooze.until and snooze.until > alert.night else None, trouble,
        )  # fmt: skip

    def sample_line(self, drawn: Assignment, who: str, trouble: str | None) -> Line:
        """The line of a random reading."""
        held = standing(self.verdicts.get(drawn.flag_id, ()))
        mine = held.get(self.reader) if self.reader is not None else None
        return Line(
            drawn.flag_id, f"{drawn.subject_id:016x}", who, SAMPLE, "", False, drawn.night, drawn.night, "", 0.0, (),
            None, mine.verdict if mine else None, len(held), False, None, False, None, trouble,
        )  # fmt: skip


def chosen(lines: Iterable[Line], wish: Wish) -> list[Line]:
    """The lines asked for, in the order asked for; ties by raise, newest first."""
    kept = [line for line in lines if _wanted(line, wish)]
    kept.sort(key=lambda line: (line.changed, line.flag_id), reverse=True)
    kept.sort(key=lambda line: _KEYS[wish.sort](line), reverse=wish.down)
    return kept


def _wanted(line: Line, wish: Wish) -> bool:
    states = {"all": True, "open": line.state in ("new", "standing", SAMPLE)}
    if not states.get(wish.state, line.state == wish.state):
        return False
    reads = {
        "all": True, "mine": line.assigned_to_me, "unread": line.readers == 0, "second": line.second,
        "snoozed": line.snoozed is not None,
    }  # fmt: skip
    if not reads[wish.read] or (line.snoozed and wish.read not in ("snoozed", "mine") and wish.state == "open"):
        return False
    if wish.disagree and not line.disagree:
        return False
    if wish.risk and (line.state == SAMPLE or RISKS.index(wish.risk) < _risk_order(line.risk)):
        return False
    words = wish.disease.lower()
    return not words or any(words in f"{one.name} {one.id}".lower() for one in line.diseases)


def _risk_order(word: str) -> int:
    return RISKS.index(word) if word in RISKS else len(RISKS)


_STATE_ORDER = {"new": 0, "standing": 1, SAMPLE: 2, "withdrawn": 3}
_KEYS: Mapping[str, Callable[[Line], Any]] = {
    "state": lambda line: (line.snoozed is not None, _STATE_ORDER[line.state], _risk_order(line.risk)),
    "risk": lambda line: (_risk_order(line.risk), -line.p_any),
    "llr": lambda line: -(line.diseases[0].log10_lr if line.diseases else -99.0),
    "raised": lambda line: -line.raised.toordinal(),
    "changed": lambda line: -line.changed.toordinal(),
    "patient": lambda line: line.key,
    "disease": lambda line: line.diseases[0].name.lower() if line.diseases else "~",
}


@dataclass(frozen=True)
class Leaf:
    """One page of the list: its lines, its number, how many pages and lines there are in all."""

    lines: tuple[Line, ...]
    page: int
    pages: int
    total: int


def leaf(lines: Sequence[Line], page: int) -> Leaf:
    """A page of 25 lines; a number past the end gives the last page."""
    pages = max(1, -(-len(lines) // PAGE))
    page = min(page, pages)
    return Leaf(tuple(lines[(page - 1) * PAGE : page * PAGE]), page, pages, len(lines))
