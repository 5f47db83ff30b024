"""`zebrawatch benchmark leadtime`: the screen over rendered published cases, and over the demo hospital.

The hospital is made once and kept in the cache; the lake is made anew each time, by `zebrawatch screen` itself, so that
what is measured is the program as it stands. Definitions: docs/lead-time-benchmark.md.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
        """Screen all nights in a new lake. BenchmarkError where the screen fails (it says why itself)."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.configure()
        command = [sys.executable, "-m", "pipelines.commands.main", "screen", "--config", str(self.config)]
        say(f"Screening {self.source.name}")
        done = subprocess.run(command, env=self.environment(), stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise BenchmarkError(f"The screen of {self.source} did not finish; what it said stands above.")

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
    published = _annotated(compiled(whole, cache / "compiled")[0])
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
    """The figures of a screened hospital: threshold from one half, the other half reported.

    `published`: ids of the diseases that the knowledge annotated before papers were left out.
    """
    from assets.outcome import protocol_of, replay_of
    from zebrawatch.benchmarks.published_cases.measure import BUDGETS, MOST_FALSE, Trial, half_of, part_of
    from zebrawatch.outcome.matching import Matcher

    say("Choosing the threshold on the half for development")
    knowledge = site.night_run.knowledge
    half, planted = half_of(cases), planted_of(site.source, site.key)
    protocol, matcher, replay = protocol_of(site.night_run), Matcher(knowledge), replay_of(site.night_run)
    parts = {
        name: part_of(replay, {s for s, one in planted.items() if half[one.case] == name})
        for name in ("develop", "report")
    }
    trials = {name: Trial(part, matcher, protocol) for name, part in parts.items()}
    chosen = {budget: trials["develop"].threshold_for(budget) for budget in BUDGETS}
    budgets = {f"{budget:g}": _budget(at, trials) for budget, at in chosen.items()}
    strict = trials["develop"].threshold_for(MOST_FALSE, "mix_upper")
    budgets["5, in the rendered mix"] = _budget(strict, trials)
    told = {}
    for name, part in parts.items():
        say(f"Measuring on the half to {name}")
        told[name] = _half(part, trials[name], chosen[MOST_FALSE], planted, published, matcher, site)
    reported = told["report"]
    return {
        **reported,
        "threshold": chosen[MOST_FALSE],
        "reached": {
            "share_at_least_half": (reported["prioritised_share"] or 0.0) >= 0.5,
            "false_alerts_within_5": reported["false_alerts"]["at_one_in_500_upper"] <= MOST_FALSE,
            "better_than_every_null": reported["nulls_beaten"],
        },
        "by_budget": budgets,
        "develop_half": told["develop"],
        "leak_gate": site.figures()["leak_gate"],
    }


def _half(
    part: Any, trial: Any, threshold: float, planted: Mapping[int, Planted], published: frozenset[str], matcher: Any,
    site: Site,
) -> dict[str, Any]:  # fmt: skip
    """All figures of one half at the threshold: alerts by the policy's fold over the screen's own scores."""
    from assets.outcome import protocol_of
    from zebrawatch.outcome.summary import summarise

    protocol = protocol_of(site.night_run)
    part = replace(part, flags=trial.flags(threshold))
    outcome = summarise(part, matcher, protocol)
    cost = trial.burden(outcome.classified, draws=protocol.resampling.draws)
    return _figures(outcome, part, planted, published, matcher, site) | _cost(cost)


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
            [repr(cases), str(controls), str(seed), knowledge.version, code_digest(published_cases)]
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


@dataclass(frozen=True)
class Planted:
    """One rendered patient: what it is, whose case or skeleton, what was told when."""

    kind: str
    case: str
    told: tuple[Any, ...]


def planted_of(folder: Path, key: bytes) -> dict[int, Planted]:
    """What was planted in each patient of a rendered hospital, by subject id."""
    from zebrawatch.benchmarks.published_cases.measure import Told
    from zebrawatch.fhir.subjects import subject_id_of

    found: dict[str, Planted] = {}
    with (folder / "planted.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            before = found.get(row["patient"], Planted(row["kind"], row["case"], ()))
            told = (*before.told, Told(row["hpo_id"], date.fromisoformat(row["told"]))) if row["hpo_id"] else ()
            found[row["patient"]] = Planted(row["kind"], row["case"], told)
    return {subject_id_of(patient, key): planted for patient, planted in found.items()}


def _budget(threshold: float, trials: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"threshold": threshold}
    for name, trial in trials.items():
        point = trial.at(threshold)
        row |= {f"{name}_share": point.prioritised_share, f"{name}_false": point.burden.standard}
    return row


HEADLINE = (
    "prioritised_share", "lead_days_median", "lead_days_mean_unconditional", "interval_share",
    "false_alerts_per_1000_12m", "episodes_per_1000_py", "person_years",
)  # fmt: skip


def _figures(
    outcome: Any,
    part: Any,
    planted: Mapping[int, Planted],
    published: frozenset[str],
    matcher: Any,
    site: Site,
) -> dict[str, Any]:
    from zebrawatch.benchmarks.published_cases.measure import losses, recognised
    from zebrawatch.schemas import FINDINGS

    figures, rows, knowledge = outcome.figures, outcome.lead_time, site.night_run.knowledge
    at_risk = rows[(rows["label_source"] == "labels") & (rows["pair_class"] == "at risk")]
    findings = site.lake.arrow(FINDINGS, ["subject_id", "hpo_id", "assertion", "experiencer"]).to_pandas()
    findings = findings[
        findings["assertion"].isin(("present", "historical"))
        & (findings["experiencer"] == "patient")
        & findings["subject_id"].isin(part.people["subject_id"])
    ]
    own = {int(s): planted[int(s)].told for s in part.people["subject_id"] if int(s) in planted}
    ranks = _ranks_of_told(site, at_risk, own, knowledge)
    nulls = figures["nulls"]
    return {
        "n": figures["at_risk"],
        "incident": figures["incident"],
        "pairs": sum(figures["pair_classes"].values()),
        "patients": len(part.people),
        **{name: figures[name] for name in HEADLINE},
        "ci95": {name: figures["ci95"].get(name) for name in (*HEADLINE[:4], *HEADLINE[4:6])},
        "prioritised_share_of_incident": figures["incident_pairs"]["prioritised_share"],
        "nulls": _nulls(nulls),
        "nulls_beaten": bool(nulls["counts"]),
        "by_k": {
            k: {"prioritised_share": one["prioritised_share"], "lead_days_median": one["lead_days_median"]}
            for k, one in figures["by_k"].items()
            if isinstance(one, dict)
        },
        "alerts_by_kind": _alerts_by_kind(part, planted),
        "episodes_by_class": {name: one["episodes"] for name, one in figures["burden"]["by_class"].items()},
        "losses": losses(
            at_risk,
            part.candidates,
            own,
            published,
            _annotated(knowledge),
            ranks,
            matcher,
            site.night_run.configuration.policy.shown,
        ),
        "recognition": recognised(own, findings, _ancestors(site, own, findings)),
        "knowledge_look_ahead": _look_ahead(figures["knowledge_look_ahead"]),
    }


def _nulls(nulls: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every null beside what was observed, with the difference's interval."""
    return {
        name: {
            "share": one["share"],
            "lead_days_mean": one["lead_days_mean"],
            "share_difference": one.get("share_difference"),
            "lead_difference": one.get("lead_difference"),
            "ci95": one.get("ci95", {}),
        }
        for name, one in nulls.items()
        if isinstance(one, Mapping)
    }


def _look_ahead(told: Any) -> dict[str, Any]:
    if not isinstance(told, Mapping):
        return {"share": None}
    first = told["curated_after_suspicion"]
    return {
        "share_curated_after_suspicion": first["share"],
        "ci95": {"share_curated_after_suspicion": first["ci95"]},
        "dated": told["dated"],
        "undated": told["undated"],
        "prioritised_after": told["prioritised_after"],
    }


def _cost(cost: Any) -> dict[str, Any]:
    """False alerts per 1,000 patients in 12 months, at a stated prevalence, of controls, and in the rendered mix."""
    return {
        "false_alerts": {
            "at_one_in_500": cost.standard, "at_one_in_500_upper": cost.standard_upper,
            "controls": cost.controls, "controls_upper": cost.controls_upper,
            "rendered_mix": cost.mix, "rendered_mix_upper": cost.mix_upper,
        }
    }  # fmt: skip


def _alerts_by_kind(part: Any, planted: Mapping[int, Planted]) -> dict[str, int]:
    """Patients alerted at least once, by what they are."""
    raised = part.flags[part.flags["action"] == "raise"]["subject_id"].unique()
    return dict(sorted(Counter(planted[int(s)].kind for s in raised if int(s) in planted).items()))


def _annotated(knowledge: Any) -> frozenset[str]:
    """Every id of the diseases that have an annotation row which is not only their name."""
    from zebrawatch.knowledge.diseases import SOURCES

    told = knowledge.row_source != SOURCES.index("name")
    return frozenset(
        each for disease in set(knowledge.row_disease[told].tolist()) for each in knowledge.diseases[disease].ids
    )


def _ranks_of_told(
    site: Site, at_risk: Any, told: Mapping[int, Sequence[Any]], knowledge: Any
) -> dict[tuple[int, str], float]:
    """Rank of each pair's disease where the ranker is given every finding told before suspicion as planted.

    Diseases outside the first K are left out.
    """
    from zebrawatch.evidence.background import Background
    from zebrawatch.evidence.parameters import RankingParameters
    from zebrawatch.evidence.ranking import Evidence, Ranker

    newest = sorted((site.lake.root / "background").glob("background@*.json"))[-1]
    ranker = Ranker(knowledge, Background.load(newest), RankingParameters())
    shown = site.night_run.configuration.policy.shown
    found: dict[tuple[int, str], float] = {}
    for row in at_risk.to_dict("records"):
        subject, disease = int(row["subject_id"]), str(row["disease_id"])
        known = [one.hpo_id for one in told.get(subject, ()) if one.night < row["suspicion_night"]]
        evidence = [Evidence(hpo_id, "present", "text", "planted", in_background=True) for hpo_id in known]
        for entry in ranker.rank(evidence, top=shown).entries:
            if knowledge.index_of(entry.disease_id) == knowledge.index_of(disease):
                found[subject, disease] = float(entry.rank)
    return found


def _ancestors(site: Site, told: Mapping[int, Sequence[Any]], findings: Any) -> dict[str, frozenset[str]]:
    knowledge = site.night_run.knowledge
    wanted = {one.hpo_id for listed in told.values() for one in listed} | set(findings["hpo_id"])
    found = {}
    for hpo_id in wanted:
        term = knowledge.term_index(hpo_id)
        if term is not None:
            found[hpo_id] = frozenset(knowledge.terms[up] for up in knowledge.ancestors(term).tolist())
    return found


# -- the demo ----------------------------------------------------------------------------------------------------------


def _demo(cache: Path, say: Say) -> dict[str, Any]:
    """Correctness only: planted suspicions found on their day, leak gate, nulls. Circular, and no performance."""
    from connectors.knowledge_files import knowledge_files
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
        "nulls": _nulls(figures["nulls"]),
        "data": "made; correctness only: its findings come from the annotations the ranker reads",
        "seconds": time.monotonic() - begun,
    }
