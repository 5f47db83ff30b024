"""The alert policy over time: a reviewed TOML file whose entries are its history, and what a change would have done.

An entry holds from its night until the next one's, so that a replay of old nights takes the policy that held on them,
and a range of nights equals its nights one by one whatever was changed in between.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zebrawatch.errors import ConfigurationError
from zebrawatch.nights import NightRange
from zebrawatch.screen.alerts import AlertPolicy, Facts, FlagChange, NightScore, PatientState, Policy, Span
from zebrawatch.screen.budget import Life, fold_together

Share = Annotated[float, Field(gt=0, le=1)]
Text = Annotated[str, Field(min_length=3)]
DiseaseId = Annotated[str, Field(pattern=r"^(OMIM:\d{6}|ORPHA:\d+|MONDO:\d{7}|DECIPHER:\d+)$")]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    since: date = Field(alias="from")
    by: Text
    why: Text
    threshold: Share
    shown: Annotated[int, Field(ge=1, le=10)] = 5
    persistence_nights: Annotated[int, Field(ge=0, le=365)] = 0
    same_episode_days: Annotated[int, Field(ge=0, le=3650)] = 90
    withdraw_below: Annotated[float, Field(ge=0, le=1)] | None = None
    never_screened: tuple[DiseaseId, ...] = ()
    suspended: tuple[DiseaseId, ...] = ()
    suppressed: tuple[DiseaseId, ...] = ()
    thresholds: dict[DiseaseId, Share] = {}
    fitted_through: date | None = None
    budget: Annotated[int, Field(ge=0)] | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: Annotated[tuple[_Entry, ...], Field(min_length=1)]


@dataclass(frozen=True)
class PolicyEntry:
    """What holds from a night on, who decided it, and why. `never` are diseases left out before scoring.

    `fitted_through`: the last night that had a part in the choice of the threshold, where it was chosen on nights.
    """

    since: date
    by: str
    why: str
    policy: AlertPolicy
    never: frozenset[str] = frozenset()
    fitted_through: date | None = None

    def in_words(self, name_of: Callable[[str], str] = str) -> list[str]:
        """What it says, a phrase each; `name_of` gives a disease's name for its id."""
        policy = self.policy
        parts = [f"threshold {policy.threshold:g}"]
        parts += [] if policy.withdraw_below is None else [f"withdrawn below {policy.withdraw_below:g}"]
        parts += [
            f"{policy.k} diseases shown", f"persistence {policy.persistence_nights} nights",
            f"same episode within {policy.same_episode_days} days",
        ]  # fmt: skip
        parts += [] if policy.budget is None else [f"at most {policy.budget} new alerts a night"]
        lists = {
            "never screened": [name_of(one) for one in self.never],
            "suspended": [name_of(one) for one in policy.suspended - self.never],
            "suppressed": [name_of(one) for one in policy.suppressed],
            "own thresholds": [f"{name_of(one)} {share:g}" for one, share in policy.thresholds],
        }
        return parts + [f"{name}: {', '.join(sorted(values))}" for name, values in lists.items() if values]


@dataclass(frozen=True)
class PolicyHistory:
    """Entries in order of their nights; the first also holds before its own (zebrawatch.screen.alerts.Policy)."""

    entries: tuple[PolicyEntry, ...]

    def entry(self, night: date) -> PolicyEntry:
        """The entry that holds on a night."""
        return self.entries[max(0, bisect_right([one.since for one in self.entries], night) - 1)]

    def on(self, night: date) -> AlertPolicy:
        """The policy of a night."""
        return self.entry(night).policy

    def never(self, night: date) -> frozenset[str]:
        """Diseases not screened for on a night."""
        return self.entry(night).never

    def turns(self) -> frozenset[date]:
        """Nights on which the policy changes."""
        return frozenset(one.since for one in self.entries[1:])

    def refuse_hindsight(self, nights: NightRange) -> None:
        """ConfigurationError where a threshold would hold on a night that had a part in its choice (OUTCOMES).

        Only the first entry can, because it also holds before its own night.
        """
        through = self.entry(nights.first).fitted_through
        if through is not None and nights.first <= through:
            raise ConfigurationError(
                f"The policy's threshold was chosen on nights up to {through}: a replay under it begins on a later one."
            )

    def digest(self, through: date) -> str:
        """Of all that held up to a night, first 16 hex digits of a sha256: entries for later nights change nothing."""
        known = [one for one in self.entries if one.since <= through] or [self.entries[0]]
        told = [_plain(asdict(one.policy)) | {"since": str(one.since), "never": sorted(one.never)} for one in known]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def has_budget(self, nights: NightRange) -> bool:
        """Whether the new alerts of any of these nights are capped."""
        held = {self.entry(nights.first), *(one for one in self.entries if one.since in nights)}
        return any(one.policy.budget is not None for one in held)

    def then(self, entry: PolicyEntry) -> PolicyHistory:
        """This history with an entry that holds from its night on, whatever stood for later."""
        return PolicyHistory((*(one for one in self.entries if one.since < entry.since), entry))

    @classmethod
    def always(cls, policy: AlertPolicy, never: frozenset[str] = frozenset()) -> PolicyHistory:
        """One policy for all nights."""
        return cls((PolicyEntry(date.min, "zebrawatch.toml", "no policy file is named", policy, never),))


def as_toml(entry: PolicyEntry) -> str:
    """The entry as lines of a policy file, all that holds in it: `read_policy` gives the same entry back."""
    held = entry.policy
    told: dict[str, Any] = {
        "from": entry.since,
        "by": entry.by,
        "why": entry.why,
        "threshold": held.threshold,
        "fitted_through": entry.fitted_through,
        "withdraw_below": held.withdraw_below,
        "shown": held.k,
        "persistence_nights": held.persistence_nights,
        "same_episode_days": held.same_episode_days,
        "budget": held.budget,
        "never_screened": sorted(entry.never),
        "suspended": sorted(held.suspended - entry.never),
        "suppressed": sorted(held.suppressed),
        "thresholds": dict(held.thresholds),
    }
    return "\n".join(["[[policy]]", *(f"{key} = {_toml(value)}" for key, value in told.items() if _says(value))])


def _says(value: object) -> bool:
    return value is not None and value not in ([], {})


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, list)) else str(value)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values for JSON; without a budget the digest is what it was before there were budgets."""
    told = {key: sorted(value) if isinstance(value, frozenset) else value for key, value in values.items()}
    return {key: value for key, value in told.items() if key != "budget" or value is not None}


def read_policy(path: Path, canonical: Mapping[str, str] | None = None) -> PolicyHistory:
    """The history in a policy file; ConfigurationError, in one sentence, where it has a mistake.

    `canonical` maps every known disease id to the one that scores use; ids that it lacks are mistakes.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"The policy file {path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"The policy file {path} is not TOML: {error}.") from None
    try:
        found = _File.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(f"The policy file {path} has a mistake: {_first_fault(error)}.") from None
    days = [entry.since for entry in found.policy]
    for before, after in pairwise(days):
        if after <= before:
            raise ConfigurationError(
                f"The policy file {path} has a mistake: the entry from {after} stands after the one from {before}; "
                "entries go in order of their nights, one a night, and are never taken out."
            )
    return PolicyHistory(tuple(_entry(entry, path, canonical) for entry in found.policy))


def _entry(entry: _Entry, path: Path, canonical: Mapping[str, str] | None) -> PolicyEntry:
    def known(name: str) -> str:
        if canonical is not None and name not in canonical:
            raise ConfigurationError(
                f"The policy file {path} has a mistake: the entry from {entry.since} names {name}, which is no disease "
                "that the knowledge lists."
            )
        return name if canonical is None else canonical[name]

    never = frozenset(map(known, entry.never_screened))
    if entry.withdraw_below is not None and entry.withdraw_below > entry.threshold:
        raise ConfigurationError(
            f"The policy file {path} has a mistake: in the entry from {entry.since} withdraw_below lies above "
            "threshold."
        )
    if entry.fitted_through is not None and entry.fitted_through >= entry.since:
        raise ConfigurationError(
            f"The policy file {path} has a mistake: the entry from {entry.since} was fitted through "
            f"{entry.fitted_through}, so it may hold from the night after that at the earliest."
        )
    policy = AlertPolicy(
        entry.threshold, entry.shown, entry.persistence_nights, entry.same_episode_days, entry.withdraw_below,
        frozenset(map(known, entry.suspended)) | never, frozenset(map(known, entry.suppressed)),
        tuple(sorted((known(name), share) for name, share in entry.thresholds.items())), entry.budget,
    )  # fmt: skip
    return PolicyEntry(entry.since, entry.by, entry.why, policy, never, entry.fitted_through)


def _first_fault(error: ValidationError) -> str:
    """The first mistake: which entry, which key, what is wrong; a misspelt key before the one it leaves missing."""
    fault = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    place = [str(part + 1) if isinstance(part, int) else str(part) for part in fault["loc"]]
    in_entry = place[:1] == ["policy"] and len(place) > 2
    where = f"entry {place[1]}, {'.'.join(place[2:])}" if in_entry else ".".join(place)
    if fault["type"] == "extra_forbidden":
        keys = [field.alias or name for name, field in (_Entry if in_entry else _File).model_fields.items()]
        meant = get_close_matches(place[-1], keys, n=1)
        return f"{where}: there is no such key" + (f"; was {meant[0]} meant?" if meant else "")
    return f"{where}: {'it is missing' if fault['type'] == 'missing' else fault['msg'].lower()}"


# -- what a change would have done -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Patient:
    """What the fold needs of one patient: stored scores in order, facts, and stored rows of `flags`."""

    subject_id: int
    scores: Sequence[NightScore]
    facts: Facts
    flags: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Effect:
    """Alerts of some nights under one policy: by disease first shown those raised and withdrawn; open at the end."""

    raised: Mapping[str, int]
    withdrawn: Mapping[str, int]
    open_at_end: int

    @property
    def new_alerts(self) -> int:
        """Alerts raised in all."""
        return sum(self.raised.values())


def preview(
    patients: Iterable[Patient], policy: Policy, nights: NightRange, first_screened: date
) -> tuple[Effect, dict[int, list[FlagChange]]]:
    """Fold stored scores over the last nights under a policy, from what stood on the night before them.

    `nights` must not begin before `first_screened`. A disease that scoring had left out (`never_screened`) cannot come
    back here: it was not ranked.
    """
    raised: Counter[str] = Counter()
    withdrawn: Counter[str] = Counter()
    eve = nights.first - timedelta(days=1)
    lives = {
        one.subject_id: Life(
            PatientState.rebuild(policy, one.subject_id, one.flags, one.scores, one.facts, first_screened, eve),
            [score for score in one.scores if score.night in nights],
            one.facts,
        )
        for one in patients
    }
    still, changed = 0, {}
    for subject, (changes, end) in fold_together(policy, lives, nights, first_screened).items():
        still += end.open
        if changes:
            changed[subject] = changes
        for change in changes:
            first = _first_shown(change, lives[subject].state.shown)
            raised[first] += change.action == "raise"
            withdrawn[first] += change.action == "withdraw"
    return Effect(+raised, +withdrawn, still), changed


def _first_shown(change: FlagChange, before: Sequence[Any]) -> str:
    shown = change.shown or before
    return shown[0].disease_name if shown else "no disease shown"


def facts_of_patient(
    versions: Sequence[Mapping[str, Any]], suspected: date | None, opted_out: bool, zone: ZoneInfo
) -> Facts:
    """What bars a patient, of their rows of `patients`: as zebrawatch.engine.flags.facts gives it under Spark."""
    rows = sorted(versions, key=lambda row: (row["known_night"], row["available_at"], row["version"]))
    until = [*(row["known_night"] for row in rows[1:]), None]
    restricted = [
        Span(r["known_night"], u) for r, u in zip(rows, until, strict=True) if r["restricted"] or r["deleted"]
    ]
    merged = [Span(r["known_night"], u) for r, u in zip(rows, until, strict=True) if r["merged_into"] is not None]
    died = [
        Span(first, end)
        for row, end in zip(rows, until, strict=True)
        if row["death_time"] is not None
        and (first := max(row["known_night"], row["death_time"].astimezone(zone).date())) < (end or date.max)
    ]
    if opted_out:
        restricted.append(Span(date(1800, 1, 1)))
    return Facts(
        suspected,
        tuple(sorted(died, key=_span)),
        tuple(sorted(restricted, key=_span)),
        tuple(sorted(merged, key=_span)),
    )


def _span(span: Span) -> tuple[date, date]:
    return span.first, span.until or date.max
