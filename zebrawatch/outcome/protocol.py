"""The protocol: what is counted how, read from protocol.toml, checked, and hashed into the run identity."""

from __future__ import annotations

import hashlib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from zebrawatch.errors import ConfigurationError
from zebrawatch.screen.alerts import AlertPolicy


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Share = Annotated[float, Field(gt=0, le=1)]
Days = Annotated[int, Field(ge=0)]


class Estimand(_Strict):
    """The one primary estimand."""

    primary: tuple[Literal["sustained lead", "prioritised share"], ...]
    population: Literal["at risk"]
    match_tier: Literal["exact"]
    k: PositiveInt


class Alert(_Strict):
    """The alert policy that every figure comes from."""

    threshold: Share
    persistence_nights: Days
    same_episode_days: Days


class Windows(_Strict):
    """Windows in days."""

    prevalent_days: Days
    follow_up_days: Days
    horizon_days: PositiveInt
    landmark_days: tuple[PositiveInt, ...]
    minimum_interval_days: PositiveInt


class Exploratory(_Strict):
    """What is shown beside, and labelled exploratory."""

    k: tuple[PositiveInt, ...]
    look_back_years: tuple[float, ...]
    subgroups: tuple[str, ...]
    thresholds: tuple[Share, ...]
    minimum_cell: PositiveInt


SPLIT_PARTS = ("fit", "threshold", "report")


class Split(_Strict):
    """Shares of nights and of patients for fitting and for choosing a threshold; the rest reports."""

    fit: Share
    threshold: Share

    @model_validator(mode="after")
    def _leaves_some(self) -> Split:
        if self.fit + self.threshold >= 1:
            raise ValueError("fit and threshold must leave some nights and patients to report on")
        return self

    def part(self, share: float) -> str:
        """The part (SPLIT_PARTS) in which a place from 0 to 1 lies."""
        return SPLIT_PARTS[0 if share < self.fit else 1 if share < self.fit + self.threshold else 2]


class Promotion(_Strict):
    """What a challenger must gain before it may replace what runs."""

    share_margin: Annotated[float, Field(ge=0, le=1)]
    lead_margin_days: Annotated[float, Field(ge=0)]
    minimum_pairs: PositiveInt


class Prevalence(_Strict):
    """Prevalences for which PPV is printed."""

    per_person: tuple[Share, ...]


class Resampling(_Strict):
    """Resampling."""

    draws: PositiveInt
    null_draws: PositiveInt
    seed: int


class Workload(_Strict):
    """Who reads the alerts."""

    reviewers: PositiveInt


class Protocol(_Strict):
    """A whole protocol. `digest` identifies the file it was read from."""

    estimand: Estimand
    alert: Alert
    windows: Windows
    exploratory: Exploratory
    split: Split
    promotion: Promotion
    prevalence: Prevalence
    resampling: Resampling
    workload: Workload
    digest: str

    @model_validator(mode="after")
    def _ordered(self) -> Protocol:
        years = self.exploratory.look_back_years
        if list(years) != sorted(years):
            raise ValueError("exploratory.look_back_years must ascend")
        return self

    @property
    def policy(self) -> AlertPolicy:
        """The alert policy that the protocol fixes."""
        return AlertPolicy(
            threshold=self.alert.threshold,
            k=self.estimand.k,
            persistence_nights=self.alert.persistence_nights,
            same_episode_days=self.alert.same_episode_days,
        )

    def under(self, policy: AlertPolicy) -> Protocol:
        """This protocol with a site's alert policy in it; `digest` stays that of the file."""
        alert = self.alert.model_copy(
            update={
                "threshold": policy.threshold,
                "persistence_nights": policy.persistence_nights,
                "same_episode_days": policy.same_episode_days,
            }
        )
        return self.model_copy(update={"alert": alert, "estimand": self.estimand.model_copy(update={"k": policy.k})})

    @classmethod
    def read(cls, path: Path | None = None) -> Protocol:
        """Read a protocol file, or the one that comes with the package.

        ConfigurationError in one sentence where it is missing, not TOML, or holds a wrong or unknown key.
        """
        name = str(path or "protocol.toml")
        try:
            source = path or resources.files("zebrawatch.outcome") / "protocol.toml"
            content = source.read_bytes()
            values = tomllib.loads(content.decode("utf-8"))
        except OSError as error:
            raise ConfigurationError(f"The protocol {name} cannot be read: {error.strerror}.") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"The protocol {name} is not TOML: {error}.") from None
        try:
            return cls(**values, digest=f"protocol@{_digest(values)}")
        except (ValidationError, TypeError) as error:
            raise ConfigurationError(f"The protocol {name} is wrong: {_first_fault(error)}.") from None


def _digest(values: object) -> str:
    """Of the values, not of the comments: the same protocol however it is laid out."""
    return hashlib.sha256(_canonical(values).encode()).hexdigest()[:16]


def _canonical(values: object) -> str:
    if isinstance(values, dict):
        return "{" + ",".join(f"{name}:{_canonical(values[name])}" for name in sorted(values)) + "}"
    return repr(values)


def _first_fault(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return "it sets `digest`, which is computed"
    fault = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg'].lower()}"
