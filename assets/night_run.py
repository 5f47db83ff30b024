"""What one run over a range of nights works with: configuration, lake, Spark, knowledge, and what is to be derived."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.compute as pc

from connectors import knowledge_files
from connectors.configuration import Configuration, site_key
from connectors.lake import Lake, Written
from connectors.manifest import Manifest
from connectors.policies import policies_of
from connectors.pulls import Pull, pulls_of, write_clock
from connectors.spark import session
from connectors.vllm_batch import BatchReport, Launch
from zebrawatch import evidence, knowledge, screen
from zebrawatch.errors import ConfigurationError, LakeError
from zebrawatch.evidence.background import Background
from zebrawatch.evidence.codes import CodeMap
from zebrawatch.evidence.lexicon import Lexicon
from zebrawatch.fhir.decode import DecodeContext
from zebrawatch.fhir.subjects import subject_id_of
from zebrawatch.knowledge.diseases import Knowledge, KnowledgeFiles
from zebrawatch.knowledge.ontology import Ontology
from zebrawatch.nights import Landmarks, NightRange, ReplayPlan
from zebrawatch.outcome.summary import Outcome
from zebrawatch.reasoning.arm import ArmOutcome, Planned
from zebrawatch.reasoning.fusion import FittedFusion, read_fusion
from zebrawatch.schemas import EVENTS, NAMINGS, NOTES, PATIENTS, Table
from zebrawatch.screen.alerts import AlertPolicy
from zebrawatch.screen.naming import NamingSet, read_groups
from zebrawatch.screen.policy import PolicyHistory
from zebrawatch.timeline.rows import PullRows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NOT_READING = frozenset(
    f"{name}.py"
    for name in (
        *("background", "calibration", "common_conditions", "explanation", "likelihoods", "parameters", "phenopacket"),
        *("ranking", "reference", "strongest", "alerts", "budget", "policy", "suspicion"),
    )
)
"""Files of evidence and screen that weigh or judge what was read: a change to them reads no text again."""


BRIEF_LINES = 1_000_000
"""Lines of FHIR to be read, below which Java starts as for little work (some 170,000 notes)."""


def code_digest(*packages: ModuleType, without: Collection[str] = ()) -> str:
    """sha256 over the source files of packages, first 16 hex digits: tells one state of the code from another.

    `without` are names of files that have no part in what is asked about.
    """
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            if path.name not in without:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class WordLists(NamedTuple):
    """What texts and events are read with."""

    lexicon: Lexicon
    naming_set: NamingSet
    code_map: CodeMap


def _digest_of_makers() -> str:
    """Digest of all that makes word lists of knowledge files: sources and data of these packages, and Python."""
    digest = hashlib.sha256(f"{sys.version} {np.__version__}".encode())
    for package in (evidence, knowledge, screen):
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def context_of(
    configuration: Configuration, key: bytes, pull: str, pulled_at: datetime, texts: Path | None = None
) -> DecodeContext:
    """What decoding needs to know about a pull; `texts` is where texts of documents are kept between pulls."""
    return DecodeContext(
        pull=pull,
        site_key=key,
        zone=configuration.site.timezone,
        pulled_at=pulled_at,
        availability=configuration.availability,
        validate_share=configuration.conformance.share,
        texts=None if texts is None else str(texts),
    )


@dataclass
class NightRun:
    """One run. `asked` is the range of nights asked for; None means every night the records speak of.

    `replay` is set for a run over the past in a lake of its own.
    """

    configuration: Configuration
    lake: Lake
    run_id: str
    asked: NightRange | None
    say: Callable[[str], None] = print
    written: dict[str, Written] = field(default_factory=dict)
    outcome: Outcome | None = None
    backgrounds: Mapping[str, Background] | None = None
    raised_elsewhere: Mapping[date, Sequence[tuple[float, int]]] = field(default_factory=dict)
    """New alerts of patients who are not in this lake, for a shared budget: an audit's one patient is alone in it."""
    planned: Planned | None = None
    read: ArmOutcome | None = None
    batch: BatchReport | None = None
    launch: Launch | None = None
    pull_rows: dict[str, PullRows] = field(default_factory=dict)
    begun: float = field(default_factory=monotonic)
    replay: ReplayPlan | None = None
    landmarks: Landmarks = "note"

    def __post_init__(self) -> None:
        if self.replay is not None:
            self.landmarks = self.replay.landmarks

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        return self.configuration.zone

    @cached_property
    def spark(self) -> SparkSession:
        """The process's Spark session."""
        lines = sum(pull.manifest.lines for pull in self.pulls_to_read(NAMINGS))
        brief = self.replay is None and lines < BRIEF_LINES  # a replay may have taken its rows from another lake
        return session(self.configuration.spark, self.lake.scratch, brief=brief)

    def start_spark(self) -> None:
        """Start the session before a step that only names columns at first."""
        _ = self.spark

    @cached_property
    def site_key(self) -> bytes:
        """Secret key of the pseudonyms."""
        return site_key(self.configuration)

    # -- nights -----------------------------------------------------------------------------------------------------

    @cached_property
    def nights(self) -> NightRange:
        """The nights this run computes: those asked for, begun where the last published night left off."""
        if self.replay is not None:
            return self.replay.nights(*self.known_nights())
        last = self.lake.last_night()
        if self.asked is None:
            return self._all_nights(last.night if last else None)
        published = self.lake.nights()
        if published and self.asked.first < published[0].night:
            raise LakeError(
                f"This lake begins at night {published[0].night}; to screen earlier nights, use another lake "
                "(--lake DIR)."
            )
        if last and self.asked.first > last.night + timedelta(days=1):
            self.say(
                f"Nights {last.night + timedelta(days=1)} to {self.asked.first - timedelta(days=1)} were never "
                "screened: they are done first."
            )
            return NightRange(last.night + timedelta(days=1), self.asked.last)
        return self.asked

    def _all_nights(self, last_published: date | None) -> NightRange:
        """From the first (or next) to the last night on which a row became known, live nights left to their own job."""
        first, last = self.known_nights()
        live = self.configuration.site.first_live_night
        if first < live <= last:
            last = live - timedelta(days=1)
        begin = last_published + timedelta(days=1) if last_published else first
        return NightRange(min(begin, last), last)

    def known_nights(self) -> tuple[date, date]:
        """First and last night on which any row of the timeline became known; LakeError where there is none."""
        bounds = [
            pc.min_max(self.lake.arrow(table, ["known_night"])["known_night"]).as_py()
            for table in (PATIENTS, NOTES, EVENTS)
        ]
        firsts = [bound["min"] for bound in bounds if bound["min"]]
        if not firsts:
            raise LakeError("The source holds no usable row; `zebrawatch quarantine list` says why.")
        return min(firsts), max(bound["max"] for bound in bounds if bound["max"])

    @cached_property
    def first_screened(self) -> date:
        """The first night this lake was screened on; history known before it counts from there (backlog)."""
        published = self.lake.nights()
        return published[0].night if published else self.nights.first

    @property
    def first_run(self) -> bool:
        """Whether nights before this run's first were never screened."""
        return self.first_screened == self.nights.first

    # -- pulls ------------------------------------------------------------------------------------------------------

    def pulls(self) -> list[Pull]:
        """All pulls of the lake, in order of their night."""
        return pulls_of(self.lake.raw)

    def new_pulls(self) -> list[Pull]:
        """Pulls that no published night holds yet."""
        last = self.lake.nights()
        done = set(last[-1].identity.get("pulls", ()) if last else self.lake.taken_over.get("pulls", ()))
        return [pull for pull in self.pulls() if pull.name not in done]

    def pulls_to_read(self, table: Table) -> list[Pull]:
        """Pulls whose texts and events are to be read for a table.

        They are the new ones; all, where the reader changed since.
        """
        last = self.lake.nights()
        before = last[-1].identity if last else self.lake.taken_over
        if self.lake.exists(table) and before.get("readers") == self.readers:
            return self.new_pulls()
        return self.pulls()

    @property
    def readers(self) -> str:
        """Version of what reads texts and events: word lists, naming set, code map, and the code itself."""
        code = code_digest(evidence, screen, without=NOT_READING)
        versions = (self.lexicon.version, self.naming_set.version, self.code_map.version, code)
        return hashlib.sha256("|".join(versions).encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """How this run is named before its nights are known."""
        return str(self.asked) if self.asked else "all-nights"

    def describe_pull(self, folder: Path, manifest: Manifest, *, backload: bool) -> Pull:
        """Remember the clock of a new pull beside its files."""
        pulled_at = manifest.transaction_time or datetime.now(UTC)
        seen = self.asked.last if self.asked else pulled_at.astimezone(self.zone).date()
        pull = Pull(folder.name, folder, manifest, seen, backload, pulled_at)
        write_clock(pull.folder, pull)
        return pull

    # -- knowledge --------------------------------------------------------------------------------------------------

    @cached_property
    def _compiled(self) -> tuple[Knowledge, Path]:
        return knowledge_files.compiled(self.files, self.lake.knowledge)

    @cached_property
    def files(self) -> KnowledgeFiles:
        """The knowledge files in use."""
        return knowledge_files.knowledge_files(self.configuration.knowledge.folder)

    @property
    def knowledge(self) -> Knowledge:
        """Compiled knowledge about rare diseases."""
        return self._compiled[0]

    @property
    def knowledge_folder(self) -> Path:
        """Where it lies, for the workers."""
        return self._compiled[1]

    @cached_property
    def ontology(self) -> Ontology:
        """The Human Phenotype Ontology."""
        return knowledge_files.ontology_of(self.files)

    @cached_property
    def word_lists(self) -> WordLists:
        """Word lists of the readers: they take ten seconds to make, and are kept beside the knowledge."""
        return knowledge_files.kept(self.knowledge_folder, "word-lists", _digest_of_makers(), self._make_word_lists)

    def _make_word_lists(self) -> WordLists:
        groups = read_groups(self.files.orphanet) if self.files.orphanet else None
        return WordLists(
            Lexicon.build(self.ontology),
            NamingSet.build(self.knowledge, self.ontology, groups),
            CodeMap.build(self.ontology),
        )

    @property
    def lexicon(self) -> Lexicon:
        """The recogniser's lexicon."""
        return self.word_lists.lexicon

    @property
    def naming_set(self) -> NamingSet:
        """The naming set."""
        return self.word_lists.naming_set

    @property
    def code_map(self) -> CodeMap:
        """Codes and names of findings."""
        return self.word_lists.code_map

    @cached_property
    def policies(self) -> PolicyHistory:
        """The alert policy, night by night; ConfigurationError where a replay would look at it with hindsight."""
        found = policies_of(self.configuration, self.knowledge)
        if self.replay is not None:
            found.refuse_hindsight(self.nights)
        return found

    @property
    def policy(self) -> AlertPolicy:
        """The alert policy of the run's last night."""
        return self.policies.on(self.nights.last)

    @cached_property
    def fusion(self) -> FittedFusion | None:
        """The fitted fusion that joins the two arms, where one is configured and a model reads."""
        told = self.configuration.reasoning
        return read_fusion(Path(told.fusion)) if told.enabled and told.fusion else None

    @cached_property
    def opted_out(self) -> frozenset[int]:
        """Pseudonymous ids of patients who opted out."""
        listed = self.configuration.policy.opt_out_file
        if not listed:
            return frozenset()
        if not Path(listed).is_file():
            raise ConfigurationError(f"There is no opt-out file {listed} (policy.opt_out_file).")
        names = Path(listed).read_text(encoding="utf-8").split()
        return frozenset(subject_id_of(name, self.site_key) for name in names)

    # -- tables -----------------------------------------------------------------------------------------------------

    def table(self, table: Table) -> DataFrame:
        """A table as it stands for this run."""
        return self.lake.read(self.spark, table)

    def keep(self, written: Written) -> Written:
        """Remember what was written, for the publication."""
        self.written[written.table] = written
        return written
