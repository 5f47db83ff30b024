"""From what an audit made and counted again to what its pages show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.outcome.rebuilt import Compared, FlagName, Rebuild, SourceLine
from zebrawatch.reports import audit as page

Row = Mapping[str, Any]
VERSION_COLUMNS = ("source_id", "hpo_id", "start", "source_version", "known_night")
"""Of `findings`: what tells in which version of its source a finding stands."""
SCORE_COLUMNS = ("night", "rank", "disease_id")
"""Of `candidates`: what tells how a disease was ranked."""
KEYS_TOLD = 3


def verdict_of(made: Rebuild) -> str:
    """What making a flag again showed, in one sentence."""
    rows = sum(one.stored for one in made.compared)
    if made.differs:
        tables = ", ".join(one.table for one in made.compared if one.verdict == "differs")
        why = "the same code and settings" if not made.other_versions else "another state of code or settings (below)"
        return f"The rebuilt flag DIFFERS from the stored one in {tables}; it was made with {why}."
    if not made.whole:
        return "What could be rebuilt equals what is stored; the rest could not be rebuilt (below)."
    return f"The flag was rebuilt from {len(made.lines):,} raw lines, and all {rows:,} rows behind it are the same."


def check_of(one: Compared) -> page.Check:
    """A table that was made again."""
    again = "" if one.rebuilt is None else f"{one.rebuilt:,} rows, {(one.rebuilt_digest or '')[:12]}"
    stored = f"{one.stored:,} rows, {one.stored_digest[:12]}"
    return page.Check(one.table, stored, again, one.verdict, _differences(one.only_stored, one.only_rebuilt))


def _differences(stored: Sequence[str], rebuilt: Sequence[str]) -> str:
    """The keys of rows that differ, the first few of each side."""
    told = [
        f"only {where}: {', '.join(rows[:KEYS_TOLD])}{' …' if len(rows) > KEYS_TOLD else ''}"
        for where, rows in (("stored", stored), ("rebuilt", rebuilt))
        if rows
    ]
    return "; ".join(told)


def change_of(row: Row) -> page.Change:
    """A row of `flags`."""
    shown = tuple(f"{one['rank']}. {one['disease_name']}" for one in row["shown"])
    return page.Change(row["night"], row["action"], row["reason"], row["p_any"], row["threshold"], shown)


def lineage_of(
    changes: Sequence[Row], scores: Sequence[Row], findings: Iterable[Row], lines: Iterable[SourceLine]
) -> list[page.Lineage]:
    """Weighed findings of the list shown last, weightiest first, each with its raw line.

    `changes`: the episode's rows of `flags` in order; `scores`, `findings`: the patient's rows of `candidates` and
    `findings` (VERSION_COLUMNS).
    """
    shown = next(row for row in reversed(changes) if row["action"] != "withdraw")
    ids = {one["disease_id"] for one in shown["shown"]}
    known = [row for row in scores if row["night"] <= shown["night"] and row["rank"] > 0]
    last = max((row["night"] for row in known), default=None)
    versions, by_version = _versions(findings), {line.version: line for line in lines}
    seen: dict[tuple[Any, ...], page.Lineage] = {}
    for score in sorted((row for row in known if row["night"] == last), key=lambda row: row["rank"]):
        for one in score["contributions"] if score["disease_id"] in ids else ():
            if one["source_id"] is None:
                continue
            version = versions.get((one["source_id"], one["hpo_id"], one["start"]), "")
            line = by_version.get(version.partition(".")[0])  # `.2`: the same bytes came back, or were completed
            seen.setdefault(
                (one["hpo_id"], one["assertion"], one["source_id"]),
                page.Lineage(
                    one["label"] + (", absent" if one["assertion"] == "negated" else ""), one["log10_lr"],
                    one["quote"] or "", one["source_id"], version, one["known_night"],
                    f"{line.pull}/{line.file}" if line else "", line.line_number if line else 0,
                ),
            )  # fmt: skip
    return sorted(seen.values(), key=lambda one: -abs(one.weight))


def _versions(findings: Iterable[Row]) -> dict[tuple[str, str, int | None], str]:
    """The version of the source that a finding stands in, by source, term and place; the earliest known where many."""
    found: dict[tuple[str, str, int | None], str] = {}
    for row in sorted(findings, key=lambda row: row["known_night"]):
        found.setdefault((row["source_id"], row["hpo_id"], row["start"]), row["source_version"])
    return found


def night_verdict(whole: bool, checks: Sequence[page.Check], files: int, gate: bool | None) -> str:
    """What looking over a night showed, in one sentence. `gate`: whether the leak gate held, None where not run."""
    differing = [check.what for check in checks if check.state == "differs"]
    if differing:
        return f"The tables {', '.join(differing)} are NOT what was published with this night."
    if not whole:
        return "The raw files are NOT those that were pulled."
    checked = [check for check in checks if check.state == "same"]
    tail = "; the leak gate did not hold" if gate is False else ""
    return (
        f"All {files} raw files are as pulled, and {len(checked)} of {len(checks)} tables were compared and are as "
        f"published{tail}."
    )


def night_flags(rows: Iterable[Row]) -> Iterator[page.NightFlag]:
    """A night's rows of `flags`."""
    for row in rows:
        flag = FlagName.parse(row["episode_id"])
        name = row["shown"][0]["disease_name"] if row["shown"] else ""
        yield page.NightFlag(f"{flag.key}:{flag.first_night}", row["action"], row["reason"], name)


def missed_by(lead_time: Iterable[Row], night: date) -> list[Row]:
    """Rows of `lead_time` at risk that were suspected by the night without an open alert for them.

    Of the label source that the leading figures rest on: a label file where there is one, else the records. A pair that
    both know stands in the table twice.
    """
    rows = list(lead_time)
    source = "labels" if any(row["label_source"] == "labels" for row in rows) else "records"
    return [
        row
        for row in rows
        if row["label_source"] == source
        and row["pair_class"] == "at risk"
        and not row["prioritised"]
        and row["suspicion_night"] <= night
    ]


def missed_of(row: Row, scores: Iterable[Row], knowledge: Knowledge, matcher: Matcher) -> page.Missed:
    """A missed pair with its last rank before suspicion. `scores`: the patient's rows, SCORE_COLUMNS."""
    before = [score for score in scores if score["night"] < row["suspicion_night"]]
    last = max((score["night"] for score in before), default=None)
    ranks = [
        score["rank"]
        for score in before
        if score["night"] == last and score["rank"] and matcher.same(row["disease_id"], score["disease_id"])
    ]
    index = knowledge.index_of(row["disease_id"])
    return page.Missed(
        f"{row['subject_id']:016x}",
        knowledge.diseases[index].name if index is not None else row["disease_id"],
        row["suspicion_night"],
        f"{min(ranks)} on {last}" if ranks else (f"not listed on {last}" if last else "never scored before"),
        "never listed" if row["best_rank"] is None else str(row["best_rank"]),
        row["match_tier"] or "miss",
    )


def deviations(identity: Row, *, stale: bool, result: Row, data_kind: str, protocol: Protocol) -> Iterator[str]:
    """What a night did otherwise than the written protocol, or what else a reader must know of its figures.

    `identity` and `result` are those the night was published with.
    """
    policy = identity.get("policy") or {}
    written = {
        "threshold": protocol.alert.threshold,
        "k": protocol.estimand.k,
        "persistence_nights": protocol.alert.persistence_nights,
    }
    for name, value in written.items():
        if name in policy and policy[name] != value:
            yield f"The alert policy's {name} was {policy[name]}; the protocol says {value}."
    if identity.get("protocol") != protocol.digest:
        yield (
            f"The night followed {identity.get('protocol')}; the protocol of this release is {protocol.digest}, "
            "and is the one listed here."
        )
    if stale:
        yield "The night is stale: an earlier night was made again since."
    gate = result.get("leak_gate") or {}
    if gate.get("leaks"):
        yield f"The leak gate did not hold: {gate['leaks']} namings in scored documents."
    if str(identity.get("reasoning", {}).get("arm", "")).startswith("not run"):
        yield "The reasoning arm did not run: the evidence arm screened alone, so there is no model answer to replay."
    if data_kind != "real":
        yield f"The data are {data_kind}: they show that the machinery is right, not clinical benefit."


def protocol_words(protocol: Protocol, then: object) -> dict[str, str]:
    """The protocol as an auditor reads it; `then` is the digest the night was published with."""
    return {
        "digest, then": str(then),
        "digest, today": protocol.digest,
        "primary": ", ".join(protocol.estimand.primary),
        "population": protocol.estimand.population,
        "match tier": protocol.estimand.match_tier,
        "diseases shown": str(protocol.estimand.k),
        "threshold": str(protocol.alert.threshold),
        "persistence, nights": str(protocol.alert.persistence_nights),
        "same episode, days": str(protocol.alert.same_episode_days),
    }
