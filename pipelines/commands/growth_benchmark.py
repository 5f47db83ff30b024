"""`zebrawatch benchmark growth`: what a night costs as a hospital grows, and as little or much of it changes.

A demo hospital (made data) is multiplied: each copy has patients, ids and texts of its own. It is screened once as a
whole; then come nights on which nothing, 1% and 10% of the patients have something new. CPU is that of all processes of
a run: Python, Java, Spark's workers.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands.benchmark import BenchmarkError, plain, table
from pipelines.commands.cost import measured
from pipelines.commands.options import JsonOption
from pipelines.commands.progress import Progress

PATIENTS, RARE = 60, 6
CHANGED = (0.0, 0.01, 0.10)
GOALS = {0.0: 0.03, 0.01: 0.05, 0.10: 0.15}
"""Largest share of a full run's CPU, net of an empty night on the small hospital (the project's own goal)."""
FIRST_POLLED = date(2025, 7, 2)  # the night after the demo hospital's export, whose log says when that was
_ID = re.compile(rb'((?:"id":"|/)[a-z]+-[0-9a-f]{12})(?=["/])')

Say = Callable[[str], None]


def growth(
    times: Annotated[int, typer.Option(help="How often the demo hospital (about 4,000 notes) is multiplied.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the demo hospital.")] = 11,
    keep: Annotated[Path | None, typer.Option(help="Work here and leave hospitals and lakes behind.")] = None,
    json_line: JsonOption = False,
) -> None:
    """CPU and memory of a full run and of nights on which little changed, on a small hospital and a large one."""
    if times < 2:
        raise BenchmarkError("Growth needs a larger hospital to compare with: --times 2 or more.")
    with Progress() as progress, tempfile.TemporaryDirectory() as scratch:
        results = run(times, seed, (keep or Path(scratch)).absolute(), progress.say)
    for line in table(results):
        print(line)
    if json_line:
        print(json.dumps(plain(results), allow_nan=False))


def run(times: int, seed: int, folder: Path, say: Say) -> dict[str, Any]:
    """Figures of the small and the large hospital, by name."""
    base = folder / "demo"
    if not base.exists():
        _zebrawatch("demo-hospital", base, "--patients", PATIENTS, "--rare", RARE, "--seed", seed)
    small = _nights(base, folder / "x1", 1, (0.0,), say)
    large = _nights(base, folder / f"x{times}", times, CHANGED, say)
    empty = small["nights"]["0%"]["cpu_seconds"]
    for share, name in ((share, f"{share:.0%}") for share in CHANGED):
        night = large["nights"][name]
        night["share_of_full"] = max(0.0, night["cpu_seconds"] - empty) / large["cpu_seconds"]
        night["goal"] = GOALS[share]
    large["memory_ratio"] = large["peak_gib"] / small["peak_gib"]
    large["note"] = "shares are net of an empty night on the small hospital; made data, multiplied"
    return {"made-x1": small, f"made-x{times}": large}


def _nights(base: Path, place: Path, times: int, changed: tuple[float, ...], say: Say) -> dict[str, Any]:
    shutil.rmtree(place, ignore_errors=True)
    say(f"Multiplying the demo hospital by {times}")
    source = multiply(base, place / "source", times)
    say("Screening all of it")
    full = _screen(source, place / "lake")
    say(_told(full))
    figures: dict[str, Any] = {**full, "nights": {}}
    known = full["n"]
    for place_of_night, share in enumerate(changed):
        night = FIRST_POLLED + timedelta(days=place_of_night)
        say(f"A night on which {share:.0%} of the patients have something new")
        update = write_update(source, place / f"update-{share}", night, share)
        told = figures["nights"][f"{share:.0%}"] = _screen(update, place / "lake", night)
        say(_told(told))
        known += round(share * full["patients"])
        if told["n"] != known:
            raise BenchmarkError(f"The lake holds {told['n']:,} notes and should hold {known:,}: some were refused.")
    return figures


def _told(cost: Mapping[str, Any]) -> str:
    """What a run cost, as soon as it is known: a benchmark of hours may be stopped."""
    return f"{cost['n']:,} notes: {cost['cpu_seconds']:.0f} s of CPU, at most {cost['peak_gib']:.1f} GiB"


def multiply(base: Path, out: Path, times: int) -> Path:
    """The hospital in `base` written `times` over, every copy with ids and texts of its own."""
    out.mkdir(parents=True)
    for file in sorted(base.glob("*.ndjson")):
        if file.name == "log.ndjson":
            (out / file.name).write_bytes(_log(file.read_bytes(), times))
            continue
        lines = [line for line in file.read_bytes().splitlines() if line.strip()]
        with (out / file.name).open("wb") as written:
            for copy in range(times):
                written.writelines(_copied(line, copy) + b"\n" for line in lines)
    shutil.copy(base / "data_kind.json", out)
    return out


def _log(log: bytes, times: int) -> bytes:
    """The export's log with the counts of all copies; without its time, the export would come after the nights."""
    events = [json.loads(line) for line in log.splitlines()]
    for detail in (event["eventDetail"] for event in events):
        detail.update({name: detail[name] * times for name in ("resourceCount", "resources") if name in detail})
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def _copied(line: bytes, copy: int) -> bytes:
    resource = json.loads(_ID.sub(rb"\g<1>x" + str(copy).encode(), line))
    for attachment in _attachments(resource):
        text = base64.b64decode(attachment["data"]).decode()
        attachment["data"] = base64.b64encode(f"{text}\nSheet {copy}.".encode()).decode()
    for section in resource.get("section", ()) if resource["resourceType"] == "Composition" else ():
        section["text"]["div"] = section["text"]["div"].replace("</div>", f" Sheet {copy}.</div>")
    return json.dumps(resource, separators=(",", ":")).encode()


def _attachments(resource: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for content in resource.get("content", ()):
        yield content["attachment"]
    yield from resource.get("presentedForm", ())


def write_update(source: Path, out: Path, night: date, share: float) -> Path:
    """A polled night's folder: one Patient as it was, and a new note for a share of the patients."""
    out.mkdir(parents=True)
    patients = (source / "Patient.ndjson").read_bytes().splitlines()
    (out / "Patient.ndjson").write_bytes(patients[0] + b"\n")
    ids = [json.loads(line)["id"] for line in patients]
    notes = [_note(one, night) for one in ids[: round(share * len(ids))]]
    if notes:
        (out / "DocumentReference.ndjson").write_bytes(b"".join(json.dumps(note).encode() + b"\n" for note in notes))
    shutil.copy(source / "data_kind.json", out)
    return out


def _note(patient: str, night: date) -> dict[str, Any]:
    text = (
        f"Seen {night}. Fatigue and joint pain for some weeks, no fever. Mild scoliosis. Review in a month. {patient}"
    )
    return {
        "resourceType": "DocumentReference",
        "id": f"growth-{night}-{patient}",
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3", "display": "Progress note"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "date": f"{night}T10:00:00Z",
        "content": [{"attachment": {"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()}}],
    }


# -- a run and what it costs -------------------------------------------------------------------------------------------


def _screen(source: Path, lake: Path, night: date | None = None) -> dict[str, Any]:
    chosen = ("--night", night) if night else ()
    out, cost = measured("screen", "--source", source, "--lake", lake, *chosen, "--json")
    said = json.loads(out.splitlines()[-1])
    return {"n": said["notes"], "patients": said["patients"], **cost}


def _zebrawatch(*arguments: object) -> None:
    measured(*arguments)
