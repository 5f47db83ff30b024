"""Run identity: everything a figure or a flag rests on, so that it can be traced and made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import zebrawatch
from assets.drift import suspended
from assets.night_run import NightRun, code_digest
from assets.reasoning import ALONE
from connectors.configuration import Configuration, replaced
from connectors.lake import Lake
from zebrawatch.evidence.ranking import RankingParameters
from zebrawatch.outcome.protocol import Protocol
from zebrawatch.schemas import LAKE_SCHEMA_VERSION, LLM_RESPONSES


def identity_of(run: NightRun) -> dict[str, Any]:
    """The identity of a run, nested: data, knowledge, readers, parameters, policy, configuration, protocol, code."""
    pulls = run.pulls()
    return {
        "nights": str(run.nights),
        "site": {"timezone": run.configuration.site.timezone},
        "data": {
            "kind": run.lake.about().get("data_kind", "real"),
            "snapshot": hashlib.sha256("".join(pull.manifest.fingerprint for pull in pulls).encode()).hexdigest()[:16],
            "pulls": len(pulls),
        },
        "knowledge": {"version": run.knowledge.version, **dict(run.knowledge.releases)},
        "readers": {
            "lexicon": run.lexicon.version,
            "naming_set": run.naming_set.version,
            "codes": run.code_map.version,
        },
        "evidence": {"parameters": RankingParameters().digest},
        "policy": {
            "threshold": run.policy.threshold,
            "k": run.policy.k,
            "persistence_nights": run.policy.persistence_nights,
            **({"suspended": sorted(left_out)} if (left_out := suspended(run.lake, run.nights.first)) else {}),
            "history": run.policies.digest(run.nights.last),
        },
        "reasoning": _reasoning(run),
        "configuration": run.configuration.digest(),
        "protocol": Protocol.read().digest,
        "code": f"{version('zebrawatch')}+{code_digest(zebrawatch)}",
        "schema": LAKE_SCHEMA_VERSION,
        **({"replay": {"landmarks": run.replay.landmarks}} if run.replay else {}),
    }


def keep_settings(run: NightRun) -> None:
    """Keep in the lake what `identity.configuration` is the digest of, so that the run can be made again."""
    folder = run.lake.root / "settings"
    folder.mkdir(exist_ok=True, mode=0o700)
    (folder / f"{run.configuration.digest()}.json").write_bytes(run.configuration.relevant())
    if run.configuration.policy.file:
        kept = folder / f"policy-{run.policies.digest(run.nights.last)}.toml"
        kept.write_bytes(Path(run.configuration.policy.file).read_bytes())


def kept_settings(lake: Lake, identity: Mapping[str, Any], configuration: Configuration) -> Configuration | None:
    """The configuration under which a run was made; None where it was not kept and is no longer the one that holds."""
    folder = lake.root / "settings"
    kept = folder / f"{identity.get('configuration')}.json"
    if identity.get("configuration") != configuration.digest():
        if not kept.is_file():
            return None
        configuration = configuration.as_it_was(kept.read_bytes())
    if not configuration.policy.file:
        return configuration
    policy = folder / f"policy-{(identity.get('policy') or {}).get('history')}.toml"
    return replaced(configuration, "policy", file=str(policy)) if policy.is_file() else None


def _reasoning(run: NightRun) -> dict[str, str]:
    """What the reasoning arm's answers rest on: model, weights, prompts, rule, engine."""
    if not run.configuration.reasoning.enabled:
        return {"arm": ALONE}
    if run.planned is None:
        stored = run.lake.arrow(LLM_RESPONSES, ["night", "identity"]).to_pylist()
        newest = max(stored, key=lambda row: row["night"], default=None)
        return {"arm": "answers as stored", **_plain(json.loads(newest["identity"]) if newest else {})}
    versions = run.batch.versions if run.batch is not None else {}
    told = {"arm": run.configuration.reasoning.backend, **_plain(run.planned.settings.identity()), **versions}
    return {**told, "fusion": run.fusion.rule} if run.fusion else told


def _plain(told: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix("llm."): value for name, value in told.items()}
