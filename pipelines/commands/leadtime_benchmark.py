"""`zebrawatch benchmark leadtime`: the screen over rendered published cases, and over the demo hospital.

The hospital is made once and kept in the cache, and so are its decoded rows and what was read in its texts while the
code that made them stays the same. Scores and all figures are made anew each time, by `zebrawatch screen` itself, so
that what is measured is the program as it stands. Definitions: docs/lead-time-benchmark.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands.benchmark import BenchmarkError, data_folder, plain, table
from pipelines.commands.options import JsonOption
from pipelines.commands.progress import Progress

CONTROLS = 3100
FEWEST_CONTROLS = 3000
SCREENED_AT = 0.001
"""Threshold of the screen itself: low, so that its leak gate searches every disease any later threshold could show.
Which raise owes to a new background alone is judged at it, and not again at the threshold that is chosen."""
MEASURING = frozenset({"measure.py", "figures.py"})
"""Modules of published_cases that have no part in what the hospital holds."""
SHOWN = 5
"""K of the headline; no longer list is kept."""
DEMO = (60, 6, 7)
"""Patients, rare ones, seed of the demo hospital."""
RADAR = (
    "RaDaR (arXiv 2606.24510): 61.06% prioritised, 1.87 months, 50.18% of the interval; other data, and not stated: K, "
    "cohort size, how suspicion was dated, any patient without a rare disease. A reference line, no comparison."
)

Say = Callable[[str], None]


def leadtime(
    cases: Annotated[
        Path | None, typer.Option("--cases", help="Phenopackets: JSON, JSON lines (plain or gzip), or a folder.")
    ] = None,
    controls: Annotated[int, typer.Option(help="People without a rare disease in the rendered hospital.")] = CONTROLS,
    cache: Annotated[Path, typer.Option(help="Where hospitals are kept, and lakes made.")] = Path(
        "var/benchmarks/leadtime"
    ),
    demo: Annotated[bool, typer.Option(help="Also the demo hospital (correctness only).")] = True,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn.")] = 7,
    json_line: JsonOption = False,
) -> None:
    """Lead time and its cost on published cases, rendered as notes, with the cases' own papers left out of the
    knowledge; then the demo hospital, for correctness. Some minutes.
    """
    with Progress() as progress:
        results = run(
            cases=cases or data_folder() / "cases" / "phenopackets.jsonl.gz", controls=controls, cache=cache, demo=demo,
            seed=seed, say=progress.say,
        )  # fmt: skip
    for line in table(results):
        print(line)
    if json_line:
        print(json.dumps(plain(results), allow_nan=False))


def run(*, cases: Path, controls: int, cache: Path, demo: bool, seed: int, say: Say) -> dict[str, Any]:
    """Both data sets, by name; BenchmarkError where the cases cannot be found."""
    if not cases.exists():
        raise BenchmarkError(f"There are no cases at {cases}: give them with --cases, or set $ZEBRAWATCH_DATA.")
    if controls < 1:
        raise BenchmarkError("The rendered hospital needs controls: --controls 1 or more.")
    results = {"published-cases": _published(cases, controls, cache.absolute(), seed, say)}
    if demo:
        results["demo"] = _demo(cache.absolute(), say)
    return results


# -- a screen run, as a user would start it ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """One lake and what screens it."""

    folder: Path
    """Holds the lake, its state, and the configuration."""
    source: Path
    knowledge: Path | None
    key: bytes

    def screen(self, say: Say) -> None:
        """Screen all nights. BenchmarkError where the screen fails (it says why itself).

        A run that was stopped goes on. Where rows of the same hospital stand, decoded by the present code, they are not
        decoded again, nor texts read again by the same readers; scores and all that follows are made anew.
        """
        self.begin()
        command = [sys.executable, "-m", "pipelines.commands.main", "screen", "--config", str(self.config)]
        if published := self.lake_nights():
            command += ["--nights", f"{published[0].night}..{published[-1].night}"]
        say(f"Screening {self.source.name}")
        done = subprocess.run(command, env=self.environment(), stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise BenchmarkError(f"The screen of {self.source} did not finish; what it said stands above.")

    def begin(self) -> None:
        """An empty lake, unless this hospital's rows lie in it as the present code decodes them."""
        from assets.night_run import code_digest
        from zebrawatch import fhir, timeline

        state = f"{self.source.name} {code_digest(fhir, timeline)}\n"
        note = self.folder / "decoded_by.txt"
        if not note.is_file() or note.read_text() != state:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.configure()
        note.write_text(state)

    def lake_nights(self) -> Sequence[Any]:
        """Nights that an earlier run published; none where it got nowhere."""
        from connectors.lake import Lake
        from zebrawatch.errors import LakeError

        try:
            return Lake.open(self.folder / "lake").nights()
        except LakeError:
            return ()

    def last_background(self) -> Any:
        """The background that the last scores name."""
        import pyarrow.compute as pc

        from zebrawatch.evidence.background import Background
        from zebrawatch.schemas import CANDIDATES

        rows = self.lake.arrow(CANDIDATES, ["night", "background"])
        last = rows.filter(pc.equal(rows["night"], pc.max(rows["night"])))
        return Background.load(self.lake.root / "background" / f"{last['background'][0].as_py()}.json")

    @property
    def config(self) -> Path:
        """The configuration file of this lake."""
        return self.folder / "zebrawatch.toml"

    @property
    def lake(self) -> Any:
        """The lake."""
        from connectors.lake import Lake

        return Lake.open(self.folder / "lake")

    @cached_property
    def night_run(self) -> Any:
        """A run over all nights, to read by: nothing is written with it."""
        from assets.night_run import NightRun
        from connectors.configuration import load
        from zebrawatch.nights import NightRange

        nights = self.lake.nights()
        whole = NightRange(nights[0].night, nights[-1].night)
        return NightRun(load(self.config, {}), self.lake, "benchmark", whole, lambda _: None)

    def figures(self) -> dict[str, Any]:
        """What the screen itself measured over everybody."""
        last = self.lake.last_night()
        found: dict[str, Any] = json.loads(
            (self.lake.reports / str(last.identity["nights"]) / "result.json").read_text()
        )
        return found

    def configure(self) -> None:
        """Write the configuration: the benchmark's own, nothing of the site it is started in."""
        self.folder.mkdir(parents=True, exist_ok=True)
        key = self.folder / "site.key"
        key.write_bytes(self.key)
        key.chmod(0o600)
        settings: dict[str, dict[str, Any]] = {
            "site": {"name": "benchmark", "key_file": str(key), "first_live_night": date(2100, 1, 1)},
            "source": {"location": str(self.source)},
            "lake": {"folder": str(self.folder / "lake")},
            "knowledge": {"folder": str(self.knowledge) if self.knowledge else ""},
            "evidence": {"top": SHOWN},
            "policy": {"threshold": SCREENED_AT, "shown": SHOWN},
        }
        lines = []
        for section, values in settings.items():
            lines.append(f"[{section}]")
            for name, value in values.items():
                lines.append(f"{name} = {json.dumps(value) if isinstance(value, (str, float)) else value}")
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @staticmethod
    def environment() -> dict[str, str]:
        """The environment without settings of a site, which would overlay the benchmark's own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ZEBRAWATCH_")}
        if "ZEBRAWATCH_DATA" in os.environ:
            kept["ZEBRAWATCH_DATA"] = os.environ["ZEBRAWATCH_DATA"]
        return kept


# -- published cases ---------------------------------------------------------------------------------------------------


def _published(cases: Path, controls: int, cache: Path, seed: int, say: Say) -> dict[str, Any]:
    from connectors.knowledge_files import compiled, knowledge_files
    from zebrawatch.benchmarks.published_cases.exclusion import exclude_papers
    from zebrawatch.benchmarks.published_cases.figures import annotated
    from zebrawatch.benchmarks.published_cases.selection import read_published

    begun = time.monotonic()
    selection = read_published(cases, seed=seed)
    papers = frozenset(paper for case in selection.cases for paper in case.papers)
    say(f"{len(selection.cases):,} of {selection.read:,} cases state two ages of onset ({len(papers)} papers left out)")
    whole = knowledge_files(_shipped())
    excluded = exclude_papers(whole, papers, cache / "knowledge")
    files = knowledge_files(str(excluded.folder))
    knowledge, _ = compiled(files, cache / "compiled")
    hospital = _hospital(selection.cases, controls, seed, files, knowledge, cache, say)
    site = Site(cache / "published", hospital.folder, excluded.folder, hashlib.sha256(f"{seed}".encode()).digest())
    site.screen(say)
    published = annotated(compiled(whole, cache / "compiled")[0])
    return {
        **measured(site, selection.cases, published, say),
        "hospital": {
            "patients": hospital.cases + sum(hospital.controls.values()),
            "cases": hospital.cases,
            **{f"controls_{kind}": n for kind, n in hospital.controls.items()},
            "notes": hospital.notes,
            "findings_without_words": hospital.findings_without_words,
        },
        "source_excluded": {name: n for name, n in asdict(excluded).items() if name != "folder"},
        "set_aside": dict(selection.set_aside),
        "data": "rendered: published cases and made controls; it tests the method, not clinical benefit",
        "reference": RADAR,
        "seconds": time.monotonic() - begun,
    }


def _shipped() -> str:
    folder = data_folder() / "knowledge"
    return str(folder) if folder.is_dir() else ""


def measured(site: Site, cases: Sequence[Any], published: frozenset[str], say: Say) -> dict[str, Any]:
    """The figures of a screened hospital (zebrawatch.benchmarks.published_cases.figures), and its leak gate.

    `published`: ids of the diseases that the knowledge annotated before papers were left out.
    """
    from assets.outcome import protocol_of, replay_of
    from zebrawatch.benchmarks.published_cases.figures import Screened, figures_of, planted_of
    from zebrawatch.outcome.matching import Matcher
    from zebrawatch.schemas import FINDINGS

    say("Choosing the threshold on the half for development, measuring on the other")
    run = site.night_run
    screened = Screened(
        replay_of(run),
        site.lake.arrow(FINDINGS, ["subject_id", "hpo_id", "assertion", "experiencer"]).to_pandas(),
        run.knowledge,
        site.last_background(),
        run.configuration.policy.shown,
    )
    planted = planted_of(site.source, site.key)
    found = figures_of(screened, cases, planted, published, Matcher(run.knowledge), protocol_of(run))
    return {**found, "leak_gate": site.figures()["leak_gate"]}


def _hospital(
    cases: Sequence[Any], controls: int, seed: int, files: Any, knowledge: Any, cache: Path, say: Say
) -> Any:  # fmt: skip
    """The rendered hospital of these cases: from the cache where the same was made before."""
    from assets.night_run import code_digest
    from connectors.knowledge_files import ontology_of
    from zebrawatch.benchmarks import published_cases
    from zebrawatch.benchmarks.published_cases.hospital import Renderer, read_summary, render_hospital

    phrases = Path(str(published_cases.__file__)).parent
    state = hashlib.sha256(
        "|".join(
            [repr(cases), str(controls), str(seed), knowledge.version, code_digest(published_cases, without=MEASURING)]
            + [path.read_text(encoding="utf-8") for path in sorted(phrases.glob("*.t*"))]
        ).encode()
    ).hexdigest()[:16]
    folder = cache / f"hospital-{state}"
    kept = read_summary(folder)
    if kept is not None:
        say(f"The rendered hospital is in the cache: {kept.notes:,} notes")
        return kept
    say(f"Rendering {len(cases):,} cases and {controls:,} controls")
    renderer = Renderer(files, knowledge, ontology_of(files), seed)
    return render_hospital(cases, folder, controls=controls, seed=seed, renderer=renderer, progress=say)


# -- the demo ----------------------------------------------------------------------------------------------------------


def _demo(cache: Path, say: Say) -> dict[str, Any]:
    """Correctness only: planted suspicions found on their day, leak gate, nulls. Circular, and no performance."""
    from connectors.knowledge_files import knowledge_files
    from zebrawatch.benchmarks.published_cases.figures import nulls_of
    from zebrawatch.demo.hospital import make_demo_hospital

    begun = time.monotonic()
    patients, rare, seed = DEMO
    folder = cache / f"demo-{patients}-{rare}-{seed}"
    if not (folder / "labels.csv").is_file():
        files = knowledge_files(_shipped())
        make_demo_hospital(folder, patients=patients, rare=rare, seed=seed, knowledge=files, progress=say)
    site = Site(cache / "demo", folder, Path(_shipped()) if _shipped() else None, b"demo hospital, no secret")
    site.screen(say)
    figures = site.figures()
    return {
        "n": figures["at_risk"],
        "labelled": sum(figures["pair_classes"].values()),
        "suspicions_that_differ_from_the_label": figures["label_disagreements"],
        "leaks": figures["leak_gate"]["leaks"],
        "documents_searched": figures["leak_gate"]["documents"],
        "prioritised_share": figures["prioritised_share"],
        "nulls": nulls_of(figures["nulls"]),
        "data": "made; correctness only: its findings come from the annotations the ranker reads",
        "seconds": time.monotonic() - begun,
    }
