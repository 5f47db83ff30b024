"""The asset graph: every layer's steps in the order the data flows: by night, for the past, and for replays.

Nights from the site's first live night on are Dagster partitions. The past before it is one range in a job of its own,
over the same steps, since thousands of partitions would only be thousands of events (DESIGN, "One engine"). A replay
is the same again, in a lake of its own.
"""

import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, cast

import dagster as dg

from assets import evidence, outcome, raw, reasoning, screen, timeline
from assets.checks import CHECKED, WATCHER, checks_of
from assets.drift import WATCHED
from assets.night_run import NightRun
from assets.replay import corner_of
from connectors import configuration
from connectors.lake import Lake
from connectors.vllm_pipes import pipes_launcher
from zebrawatch.errors import SourceError, ZebrawatchError
from zebrawatch.nights import Landmarks, NightRange, ReplayPlan

# backfill policies are marked beta; that a range of nights is one run rests on them, and a test holds it
warnings.filterwarnings("ignore", category=dg.BetaWarning)

NIGHTS_TAG = "zebrawatch/nights"
ALL_NIGHTS = "all"
PAST, REPLAY = "past", "replay"
GPU = "gpu"  # the pool of one (dagster.yaml) in which a language model runs
_RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
_NIGHT_TAG = "dagster/partition"


@dataclass(frozen=True)
class Step:
    """One asset: its table's name, its layer, the steps it reads, the function that makes it."""

    name: str
    group: str
    deps: tuple[str, ...]
    make: Callable[[NightRun], dict[str, Any]]
    retries: int = 0
    pool: str | None = None


STEPS = (
    Step("raw_fhir", "raw", (), raw.raw_fhir, retries=2),
    Step("verdicts", "raw", ("raw_fhir",), raw.verdicts),
    Step("referred", "raw", ("raw_fhir",), timeline.referred),
    Step("quarantine", "raw", ("raw_fhir", "referred"), raw.quarantine),
    Step("patients", "timeline", ("raw_fhir", "quarantine"), timeline.patients),
    Step("notes", "timeline", ("raw_fhir", "quarantine"), timeline.notes),
    Step("events", "timeline", ("raw_fhir", "quarantine"), timeline.events),
    Step("findings", "evidence", ("notes", "events"), evidence.findings),
    Step("namings", "evidence", ("notes", "events"), evidence.namings),
    Step("background", "evidence", ("patients", "findings"), evidence.background),
    Step("candidates", "evidence", ("patients", "findings", "namings", "background"), evidence.candidates),
    Step("suspicions", "screen", ("namings", "events"), screen.suspicions),
    Step(
        "llm_requests",
        "reasoning",
        ("candidates", "findings", "namings", "notes", "patients", "suspicions"),
        reasoning.llm_requests,
    ),
    Step("llm_responses", "reasoning", ("llm_requests",), reasoning.llm_responses, pool=GPU),
    Step("flags", "screen", ("candidates", "llm_responses", "suspicions", "patients"), screen.flags),
    Step("lead_time", "outcome", ("flags", "suspicions", "patients"), outcome.lead_time),
    Step("published", "outcome", ("lead_time", "quarantine", "verdicts"), outcome.published),
)


class ScreenRun(dg.ConfigurableResource[NightRun]):
    """The run over a range of nights that all steps of one Dagster run share.

    It holds the lake's lock while it lasts.
    """

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[NightRun]:
        """Open the lake and lock it for the run."""
        settings = configuration.load()
        log = context.log
        with _plainly():
            lake = Lake.open(settings.lake_folder, create=True)
            with lake.writing(settings.lake.lock_wait_seconds):
                run = context.run
                tags: Mapping[str, str] = run.tags if run else {}
                say = PROGRESS or (lambda text: log.info(text) if log else None)
                yield NightRun(settings, lake, run.run_id if run else "none", _asked(tags), say)


class ReplayRun(dg.ConfigurableResource[NightRun]):
    """A replay of the configured source (a folder or a lake) in its own corner of the lake, which it locks.

    `first` and `last` are nights (YYYY-MM-DD; empty: as far as the records go), `landmarks` one of nightly, note,
    monthly.
    """

    first: str = ""
    last: str = ""
    landmarks: str = "note"

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[NightRun]:
        """Open the replay's lake and lock it for the run."""
        log = context.log
        with _plainly():
            plan = ReplayPlan(_night(self.first), _night(self.last), cast(Landmarks, self.landmarks))
            corner = corner_of(configuration.load(), plan)
            lake = Lake.open(corner.folder, create=True)
            with lake.writing(corner.configuration.lake.lock_wait_seconds):
                say = PROGRESS or (lambda text: log.info(text) if log else None)
                run_id = context.run.run_id if context.run else "none"
                yield NightRun(corner.configuration, corner.open(), run_id, None, say, replay=plan)


def _night(text: str) -> date | None:
    return NightRange.parse(text).first if text else None


PROGRESS: Callable[[str], None] | None = None
"""Where progress goes; the command line sets it, under `dagster dev` it goes to the run's log."""


def _asked(tags: Mapping[str, str]) -> NightRange | None:
    if NIGHTS_TAG in tags:
        return None if tags[NIGHTS_TAG] == ALL_NIGHTS else NightRange.parse(tags[NIGHTS_TAG])
    if _NIGHT_TAG in tags:
        return NightRange.parse(tags[_NIGHT_TAG])
    if _RANGE_TAGS[0] in tags:
        return NightRange.parse(f"{tags[_RANGE_TAGS[0]]}..{tags[_RANGE_TAGS[1]]}")
    raise SourceError(f"This run names no nights; give it a partition, or the tag {NIGHTS_TAG}: A..B.")


@contextmanager
def _plainly(run: NightRun | None = None, what: str = "the run") -> Iterator[None]:
    """Faults a user can mend become one clear sentence in Dagster.

    A night run is tried again where a server did not answer; nobody waits for that at the command line, and a folder
    that is wrong stays wrong. The text of any other error may hold patient data: it is written into the lake, and
    Dagster gets its kind only.
    """
    try:
        yield
    except ZebrawatchError as error:
        may_pass = isinstance(error, SourceError) and run is not None and run.configuration.source_is_server
        raise dg.Failure(description=str(error), allow_retries=may_pass and PROGRESS is None) from None
    except Exception as error:
        place = _kept_error(run.lake) if run else "nowhere"
        raise dg.Failure(
            description=f"Step {what} failed with {type(error).__name__}; its text is kept in {place}.",
            allow_retries=False,
        ) from None


def _kept_error(lake: Lake) -> str:
    folder = lake.root / "errors"
    folder.mkdir(exist_ok=True, mode=0o700)
    place = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.txt"
    place.write_text(traceback.format_exc())
    return str(place)


def night_partitions(first_live_night: str, zone: str) -> dg.DailyPartitionsDefinition:
    """One partition a night, from the site's first live night on."""
    return dg.DailyPartitionsDefinition(start_date=first_live_night, timezone=zone)


def assets_of(partitions: dg.PartitionsDefinition[str] | None, group: str | None = None) -> list[dg.AssetsDefinition]:
    """All steps as assets: by night in their layers' groups, or without partitions as one group (PAST, REPLAY)."""
    return [_asset(step, partitions, group) for step in STEPS]


def _asset(step: Step, partitions: dg.PartitionsDefinition[str] | None, group: str | None) -> dg.AssetsDefinition:
    above = [group] if group else []
    resource = "replay_run" if group == REPLAY else "screen_run"

    @dg.asset(
        key=dg.AssetKey([*above, step.name]),
        deps=[dg.AssetKey([*above, name]) for name in step.deps],
        group_name=group or step.group,
        description=step.make.__doc__,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run() if partitions else None,
        retry_policy=dg.RetryPolicy(max_retries=step.retries, delay=30, backoff=dg.Backoff.EXPONENTIAL)
        if step.retries
        else None,
        check_specs=[
            dg.AssetCheckSpec(name, asset=dg.AssetKey([*above, step.name]), blocking=True, description=about)
            for name, about in CHECKED.get(step.name, ())
        ]
        + [
            dg.AssetCheckSpec(name, asset=dg.AssetKey([*above, step.name]), blocking=False, description=about)
            for name, about in (WATCHED.items() if step.name == WATCHER else ())
        ],
        kinds={"spark"} if step.group in ("timeline", "evidence", "screen") else {"vllm"} if step.pool else set(),
        pool=step.pool,
        required_resource_keys={resource},
    )
    def made(context: dg.AssetExecutionContext) -> Iterator[Any]:
        run: NightRun = getattr(context.resources, resource)
        run.say(f"· {step.name}")
        begun = time.monotonic()
        with _plainly(run, step.name):
            if step.group != "raw":
                run.start_spark()
            if step.pool == GPU:
                run.launch = pipes_launcher(context, dg.PipesSubprocessClient())
            facts = step.make(run)
            results = checks_of(step.name, run)
        yield dg.MaterializeResult(
            metadata={
                **{name: _metadata(value) for name, value in facts.items()},
                "seconds": round(time.monotonic() - begun, 2),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=result.name, passed=result.passed, severity=result.severity, metadata=result.metadata
                )
                for result in results
            ],
        )

    return made


def _metadata(value: Any) -> Any:
    if isinstance(value, Mapping):
        rows = "\n".join(
            f"| {name} | {number:,} |" if isinstance(number, int) else f"| {name} | {number} |"
            for name, number in value.items()
        )
        return dg.MetadataValue.md(f"| | |\n|---|---|\n{rows}") if value else "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return value
