"""The one configuration file, `zebrawatch.toml`: typed, every key commented.

`ZEBRAWATCH_<SECTION>__<KEY>` in the environment overrides a key. Unknown keys and values of the wrong kind are
errors in one sentence. Secrets are never values here, only file paths or names of environment variables.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from zebrawatch.errors import ConfigurationError

FILE_NAME = "zebrawatch.toml"
FILE_VARIABLE = "ZEBRAWATCH_CONFIG"
PREFIX = "ZEBRAWATCH_"


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section of the file; keys that are not declared are errors."""


class Site(Section, frozen=True):
    """Whose records these are."""

    name: str = "unnamed site"
    timezone: str = "UTC"
    first_live_night: date = date(2025, 6, 24)
    key_file: str = "var/site.key"


class Source(Section, frozen=True):
    """Where the records come from."""

    location: str = "var/demo-hospital"
    labels: str = ""
    resource_types: tuple[str, ...] = (
        "Patient", "Encounter", "Condition", "Observation", "Procedure", "MedicationRequest", "ServiceRequest",
        "FamilyMemberHistory", "AllergyIntolerance", "Immunization", "DocumentReference", "DiagnosticReport",
        "Composition", "Coverage",
    )  # fmt: skip
    group: str = ""
    client_id: str = ""
    key_file: str = ""
    token_url: str = ""
    bearer_token_env: str = ""
    since_mode: str = "updated"
    attempts: int = 5


class LakeFolder(Section, frozen=True):
    """Where the lake lies."""

    folder: str = "var/lake"
    lock_wait_seconds: int = 0


class State(Section, frozen=True):
    """Where histories, Data Docs and the run store lie; empty: `var` for `var/lake`, else `<lake>-state`."""

    folder: str = ""
    mlflow_uri: str = ""


class SparkSettings(Section, frozen=True):
    """The Spark session."""

    master: str = "local[*]"
    driver_memory: str = "3g"
    partitions: int = 4


class Conformance(Section, frozen=True):
    """How many usable resources fhir.resources judges."""

    share: float = 0.01


class KnowledgeSettings(Section, frozen=True):
    """Which knowledge files are used."""

    folder: str = ""


class Evidence(Section, frozen=True):
    """The evidence arm."""

    top: int = 10


WHO_ANSWERS = frozenset(
    ("weights", "backend", "python", "base_url", "api_key_file", "concurrency", "timeout_seconds", "traces")
)
"""Keys of [reasoning] that say which machine answers, not what is asked: no part of a run's digest."""


class Reasoning(Section, frozen=True):
    """The reasoning arm: whether a language model reads the shortlisted charts, and how many of them a night."""

    enabled: bool = False
    profile: str = "smollm2-135m"
    weights: str = ""
    backend: str = "runner"
    python: str = ".venv-vllm/bin/python"
    base_url: str = ""
    api_key_file: str = ""
    concurrency: int = 64
    timeout_seconds: float = 900.0
    patients: int = 200
    tokens: int = 0
    gpu_hours: float = 0.0
    card: str = "h100-80gb"
    cards: int = 1
    sample: int = 20
    sample_share: float = 0.02
    floor: float = 0.003
    fusion: str = ""
    confirm_top: int = 1
    repeats: int = 1
    repeat_share: float = 0.05
    seed: int = 7
    traces: int = 20


class Policy(Section, frozen=True):
    """When a patient is alerted. Where `file` names a policy file, that one holds, and not the keys it has."""

    file: str = ""
    threshold: float = 0.008
    shown: int = 5
    persistence_nights: int = 0
    same_episode_days: int = 90
    diseases_never_screened: tuple[str, ...] = ()
    suspend_on_drift: bool = False
    opt_out_file: str = ""


class Review(Section, frozen=True):
    """The web application for reviewers."""

    host: str = "127.0.0.1"
    port: int = 8321
    public_url: str = ""
    database: str = ""
    idle_minutes: int = 30
    session_hours: int = 12
    second_reading_share: float = 0.1
    unflagged_per_month: int = 5
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret_file: str = ""
    oidc_role_claim: str = "roles"


class Ehr(Section, frozen=True):
    """Where confirmed flags are written back; empty: nowhere."""

    url: str = ""
    client_id: str = ""
    key_file: str = ""
    token_url: str = ""
    bearer_token_env: str = ""
    release_to_portals: bool = False


class Configuration(Section, frozen=True):
    """All of `zebrawatch.toml`."""

    site: Site = Site()
    source: Source = Source()
    availability: dict[str, tuple[str, ...]] = {}
    lake: LakeFolder = LakeFolder()
    state: State = State()
    spark: SparkSettings = SparkSettings()
    conformance: Conformance = Conformance()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    evidence: Evidence = Evidence()
    reasoning: Reasoning = Reasoning()
    policy: Policy = Policy()
    review: Review = Review()
    ehr: Ehr = Ehr()

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        return ZoneInfo(self.site.timezone)

    @property
    def lake_folder(self) -> Path:
        """The lake's folder, absolute."""
        return Path(self.lake.folder).absolute()

    @property
    def state_folder(self) -> Path:
        """Folder of Dagster's and MLflow's state and Data Docs, absolute."""
        if self.state.folder:
            return Path(self.state.folder).absolute()
        lake = self.lake_folder
        return lake.parent if lake == Path("var/lake").absolute() else lake.with_name(lake.name + "-state")

    @property
    def published_folder(self) -> Path:
        """Folder of the aggregate tables and the dashboard page; they hold no row about one person."""
        return self.state_folder / "published"

    @property
    def mlflow_uri(self) -> str:
        """MLflow's tracking store."""
        return self.state.mlflow_uri or f"sqlite:///{self.state_folder / 'mlflow.db'}"

    @property
    def review_database(self) -> str:
        """SQLAlchemy URL of the review application's database; PostgreSQL is spoken to through psycopg2."""
        if not self.review.database:
            return f"sqlite:///{self.state_folder / 'review.db'}"
        scheme, separator, rest = self.review.database.partition("://")
        known = separator and scheme in ("postgres", "postgresql")
        return f"postgresql+psycopg2://{rest}" if known else self.review.database

    @property
    def source_is_server(self) -> bool:
        """Whether the source is a FHIR server rather than a folder."""
        return bool(re.match(r"https?://", self.source.location))

    def relevant(self) -> bytes:
        """Everything that changes results (not where things lie), as JSON in one order."""
        relevant = {
            "timezone": self.site.timezone,
            "availability": self.availability,
            "resource_types": self.source.resource_types,
            "conformance": self.conformance,
            "evidence": self.evidence,
            "policy": self.policy,
        }
        if self.reasoning.enabled:  # who is read and what is asked; not which machine answers
            told = msgspec.structs.asdict(self.reasoning)
            relevant["reasoning"] = {name: value for name, value in told.items() if name not in WHO_ANSWERS}
        return msgspec.json.encode(relevant, order="sorted")

    def digest(self) -> str:
        """Digest of everything that changes results, first 16 hex digits of a sha256."""
        return hashlib.sha256(self.relevant()).hexdigest()[:16]

    def as_it_was(self, relevant: bytes) -> Configuration:
        """This configuration with what `relevant()` once gave: a run is made again under its own settings."""
        kept: dict[str, Any] = msgspec.json.decode(relevant)
        values = msgspec.to_builtins(self)
        for section in ("availability", "conformance", "evidence", "policy"):
            values[section] = kept[section]
        values["reasoning"] |= {"enabled": False} | kept.get("reasoning", {})
        values["site"]["timezone"] = kept["timezone"]
        values["source"]["resource_types"] = kept["resource_types"]
        return from_values(values, "the lake's kept settings")


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Configuration:
    """Read `path`, then the environment on top.

    `path` is $ZEBRAWATCH_CONFIG unless given, else zebrawatch.toml here, if there is one.

    Raises ConfigurationError with one sentence that names the key.
    """
    overrides = os.environ if environment is None else environment
    named = path or (Path(overrides[FILE_VARIABLE]) if overrides.get(FILE_VARIABLE) else None)
    chosen = named or Path(FILE_NAME)
    if named is not None and not named.is_file():
        raise ConfigurationError(f"There is no configuration file {named}.")
    values: dict[str, Any] = {}
    if chosen.is_file():
        try:
            values = tomllib.loads(chosen.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{chosen} is not valid TOML: {error}.") from None
    _overlay(values, overrides)
    return from_values(values, str(chosen))


def from_values(values: Mapping[str, Any], origin: str) -> Configuration:
    """Typed configuration of plain values; ConfigurationError names the key."""
    try:
        configuration = msgspec.convert(values, Configuration, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{origin}: {error}.") from None
    _check(configuration, origin)
    return configuration


def replaced(configuration: Configuration, section: str, **changes: Any) -> Configuration:
    """A configuration with keys of one section changed (what command-line options do)."""
    changed = msgspec.structs.replace(getattr(configuration, section), **changes)
    result: Configuration = msgspec.structs.replace(configuration, **{section: changed})
    _check(result, "the command line")
    return result


def _overlay(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name, text in sorted(environment.items()):
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if not name.startswith(PREFIX) or not separator:
            continue  # ZEBRAWATCH_DATA and the like are no settings
        kind = {field.name: field.type for field in msgspec.structs.fields(Configuration)}.get(section)
        keys = (
            {field.name: field.type for field in msgspec.structs.fields(kind)}
            if isinstance(kind, type(Section))
            else {}
        )
        if key not in keys:
            raise ConfigurationError(f"{name} names no setting; `zebrawatch config show` lists them all.")
        many = "tuple" in str(keys[key])
        given = values.setdefault(section, {})
        if isinstance(given, dict):  # else the file is wrong, which its own check says
            given[key] = [part.strip() for part in text.split(",") if part.strip()] if many else text


def _check(configuration: Configuration, origin: str) -> None:
    try:
        ZoneInfo(configuration.site.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones, such as `Europe`
        raise ConfigurationError(
            f"{origin}: site.timezone '{configuration.site.timezone}' is not an IANA time zone such as Europe/Berlin."
        ) from None
    ranges = {
        "conformance.share": (configuration.conformance.share, 0.0, 1.0),
        "policy.threshold": (configuration.policy.threshold, 0.0, 1.0),
        "policy.shown": (configuration.policy.shown, 1, 10),
        "policy.persistence_nights": (configuration.policy.persistence_nights, 0, 365),
        "policy.same_episode_days": (configuration.policy.same_episode_days, 0, 3650),
        "evidence.top": (configuration.evidence.top, configuration.policy.shown, 50),
        "reasoning.concurrency": (configuration.reasoning.concurrency, 1, 10_000),
        "reasoning.timeout_seconds": (configuration.reasoning.timeout_seconds, 1, 86_400),
        "reasoning.patients": (configuration.reasoning.patients, 0, 10_000_000),
        "reasoning.tokens": (configuration.reasoning.tokens, 0, 10**12),
        "reasoning.gpu_hours": (configuration.reasoning.gpu_hours, 0, 1_000_000),
        "reasoning.cards": (configuration.reasoning.cards, 1, 64),
        "reasoning.sample": (configuration.reasoning.sample, 0, 100_000),
        "reasoning.sample_share": (configuration.reasoning.sample_share, 0.0, 1.0),
        "reasoning.floor": (configuration.reasoning.floor, 0.0, 1.0),
        "reasoning.confirm_top": (configuration.reasoning.confirm_top, 0, 10),
        "reasoning.repeats": (configuration.reasoning.repeats, 0, 20),
        "reasoning.repeat_share": (configuration.reasoning.repeat_share, 0.0, 1.0),
        "source.attempts": (configuration.source.attempts, 1, 50),
        "spark.partitions": (configuration.spark.partitions, 1, 100_000),
        "review.port": (configuration.review.port, 0, 65535),
        "review.idle_minutes": (configuration.review.idle_minutes, 1, 24 * 60),
        "review.session_hours": (configuration.review.session_hours, 1, 24 * 7),
        "review.second_reading_share": (configuration.review.second_reading_share, 0.0, 1.0),
        "review.unflagged_per_month": (configuration.review.unflagged_per_month, 0, 10_000),
    }
    for key, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise ConfigurationError(f"{origin}: {key} is {value}; it must lie between {low} and {high}.")
    if configuration.policy.threshold == 0.0:
        raise ConfigurationError(f"{origin}: policy.threshold is 0, which would alert on every patient; give more.")
    if configuration.reasoning.backend not in ("runner", "run-batch", "server"):
        raise ConfigurationError(f"{origin}: reasoning.backend must be 'runner', 'run-batch' or 'server'.")
    if configuration.source.since_mode not in ("updated", "created"):
        raise ConfigurationError(f"{origin}: source.since_mode must be 'updated' or 'created'.")


def site_key(configuration: Configuration) -> bytes:
    """The site's secret key for pseudonyms, made on first use (32 random bytes, mode 0600), kept outside the lake."""
    path = Path(configuration.site.key_file).absolute()
    if path.resolve().is_relative_to(configuration.lake_folder.resolve()):
        raise ConfigurationError("site.key_file must lie outside the lake.")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(32))
    key = path.read_bytes()
    if len(key) < 16:
        raise ConfigurationError(f"The site key in {path} is shorter than 16 bytes; restore it from your backup.")
    return key
