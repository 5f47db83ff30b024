"""The alert policy of a configuration: its policy file, or the section's own keys."""

from __future__ import annotations

from pathlib import Path

from connectors.configuration import Configuration
from zebrawatch.knowledge.diseases import Knowledge
from zebrawatch.screen.alerts import AlertPolicy
from zebrawatch.screen.policy import PolicyHistory, read_policy


def policies_of(configuration: Configuration, knowledge: Knowledge, file: str | None = None) -> PolicyHistory:
    """The alert policy of the configuration: a policy file (or `file` in its place), else the section's own keys.

    Diseases are named by any of their ids; ConfigurationError where one is none that the knowledge lists.
    """
    keys = configuration.policy
    if file or keys.file:
        canonical = {each: disease.id for disease in knowledge.diseases for each in disease.ids}
        return read_policy(Path(file or keys.file), canonical)
    policy = AlertPolicy(keys.threshold, keys.shown, keys.persistence_nights, keys.same_episode_days)
    return PolicyHistory.always(policy, frozenset(keys.diseases_never_screened))
