"""A threshold for a wanted alert burden, from the scores a lake holds: no Spark, and nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial

from assets.night_run import NightRun
from assets.outcome import protocol_of, replay_of
from connectors.configuration import Configuration
from connectors.lake import Lake
from zebrawatch.errors import LakeError
from zebrawatch.nights import NightRange
from zebrawatch.outcome.matching import Matcher
from zebrawatch.outcome.protocol import SPLIT_PARTS, Split
from zebrawatch.outcome.thresholds import Choice, Wanted, at_threshold, choose
from zebrawatch.screen.policy import PolicyEntry


@dataclass(frozen=True)
class Proposal:
    """A choice, and the entry it would be: what held last with the new threshold, from the first night it can hold."""

    choice: Choice
    entry: PolicyEntry


def propose(configuration: Configuration, lake: Lake, wanted: Wanted, until: date | None = None) -> Proposal:
    """Choose on the published nights up to `until`, judge on the later ones.

    Without `until` the choice ends where the protocol's part for choosing a threshold ends. LakeError where too few
    nights are published, ConfigurationError where the choice cannot be made (zebrawatch.outcome.thresholds.choose).
    """
    published = lake.nights()
    if len(published) < len(SPLIT_PARTS):
        raise LakeError("Too few nights are published to choose a threshold on some and judge it on later ones.")
    first, last = published[0].night, published[-1].night
    on = partial(NightRun, configuration, lake, "threshold", say=lambda _: None)
    whole = on(NightRange(last, last))
    through = until or _end_of_choice(first, last, protocol_of(whole).split)
    if not first <= through < last:
        raise LakeError(f"Nights {first} to {last} are published: --until must name one of them before the last.")
    held = whole.policies.entry(last)
    early = replay_of(on(NightRange(through, through)))
    choice = choose(early, replay_of(whole), Matcher(whole.knowledge), protocol_of(whole), wanted, held.policy)
    why = f"Chosen on the nights to {through} for {wanted.sentence()}."
    policy = at_threshold(held.policy, choice.threshold)
    return Proposal(
        choice,
        replace(held, since=last + timedelta(days=1), by="", why=why, policy=policy, fitted_through=through),
    )


def _end_of_choice(first: date, last: date, split: Split) -> date:
    """The last night before the protocol's reporting part."""
    nights = (last - first).days + 1
    return first + timedelta(days=round(nights * (split.fit + split.threshold)) - 1)
