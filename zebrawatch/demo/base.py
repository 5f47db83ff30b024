"""The base of the demo hospital: made patients with common disease (clinosim), thinned, with ids of one form.

clinosim numbers the patients of every run from one, so two runs side by side hold the same ids. Every id is therefore
replaced by the type's prefix and twelve hex digits of a hash over the part and the old id; the overlay makes its ids by
the same rule (`made_id`), so that an id says nothing about who wrote the resource.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import orjson

from zebrawatch.errors import ZebrawatchError

Resource = dict[str, Any]

FIRST_DAY: Final = date(2019, 1, 1)
LAST_DAY: Final = date(2025, 6, 30)

# What the screen reads. Left out: nursing charts, medication administrations, specimens, care teams and other lists
# that only add bulk (two thirds of clinosim's bytes).
KEPT_TYPES: Final = (
    "AllergyIntolerance",
    "Composition",
    "Condition",
    "Coverage",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "FamilyMemberHistory",
    "Immunization",
    "MedicationRequest",
    "Observation",
    "Patient",
    "Procedure",
    "ServiceRequest",
)

# Vital signs kept, one of each an encounter: LOINC codes of pressure, pulse, temperature, saturation, height, weight,
# BMI, head circumference. Hourly charts and scores of inpatients add bulk, nothing to read.
KEPT_VITALS: Final = frozenset(
    {"85354-9", "8867-4", "8310-5", "2708-6", "59408-5", "8302-2", "29463-7", "39156-5", "9843-4", "8287-5"}
)

# Elements that point to resources left out, or repeat clinosim's own numbering of patients.
DROPPED_ELEMENTS: Final = frozenset(
    {"identifier", "masterIdentifier", "specimen", "imagingStudy", "media", "location", "method", "basedOn", "attester"}
)

# Body measures, which clinosim writes at every visit: one of each a year is kept.
YEARLY: Final = frozenset({"8302-2", "29463-7", "39156-5", "9843-4", "8287-5"})

MADE_TAG: Final[Resource] = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "code": "HTEST",
    "display": "test health data",
}

# Where each type says when it became available; `meta.lastUpdated` is set from it on every resource but Patient.
FILED_BY: Final[dict[str, tuple[str, ...]]] = {
    "AllergyIntolerance": ("recordedDate",),
    "Composition": ("date",),
    "Condition": ("recordedDate",),
    "Coverage": ("period.start",),
    "DiagnosticReport": ("issued",),
    "DocumentReference": ("date",),
    "Encounter": ("period.end", "period.start"),
    "FamilyMemberHistory": ("date",),
    "Immunization": ("recorded", "occurrenceDateTime"),
    "MedicationRequest": ("authoredOn",),
    "Observation": ("issued", "effectiveDateTime"),
    "Procedure": ("performedPeriod.end", "performedDateTime"),
    "ServiceRequest": ("authoredOn",),
}


def made_id(prefix: str, *parts: str) -> str:
    """An id of the demo hospital's one form: `prefix-` and twelve hex digits of SHA-256 over the parts."""
    return f"{prefix}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:12]}"


def filed_at(resource: Resource) -> str | None:
    """When the resource was filed, by `FILED_BY`, as a FHIR instant; a date without a time counts as that day's end."""
    for path in FILED_BY.get(resource["resourceType"], ()):
        value: Any = resource
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, str):
            return value if "T" in value else f"{value}T23:59:59Z"
    return None


def marked_made(resource: Resource) -> Resource:
    """The resource with `meta` written anew: tagged as made, `lastUpdated` from its filing (Patients carry none)."""
    meta: Resource = {"tag": [MADE_TAG]}
    filed = filed_at(resource)
    if filed is not None:
        meta["lastUpdated"] = filed
    return {**resource, "meta": meta}


# -- one clinosim run, in a process of its own -------------------------------------------------------------------------


def simulate(out: Path, population: int, seed: int) -> None:
    """Run clinosim for a catchment of `population` people over the demo's years into `out`."""
    yaml = import_module("yaml")
    # Its two hundred YAML files take pure Python a fifth of the run; libyaml reads the same.
    if hasattr(yaml, "CSafeLoader"):
        yaml.SafeLoader = yaml.CSafeLoader  # type: ignore[attr-defined]
    from clinosim.simulator.cli import main

    arguments = ["clinosim", "simulate", "--country", "US", "-p", str(population), "--seed", str(seed)]
    arguments += ["--start", str(FIRST_DAY), "--end", str(LAST_DAY), "--format", "fhir-r4", "-o", str(out)]
    sys.argv = arguments
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            if end.code not in (None, 0):
                raise ZebrawatchError(f"clinosim ended with status {end.code}.") from None


def thin(folder: Path, out: Path, part: str) -> None:
    """Write what is kept of a clinosim export to `out`, one file a type, and its staff to `staff.json`."""
    out.mkdir(parents=True, exist_ok=True)
    entries = _entries(folder)
    for kind in KEPT_TYPES:
        with (out / f"{kind}.ndjson").open("wb") as file:
            for resource in _thinned(_read(folder / "fhir_r4" / f"{kind}.ndjson"), part, entries):
                file.write(orjson.dumps(resource) + b"\n")
    staff = [
        {"id": _renamed("Practitioner", r["id"], part), "name": _name_of(r), "post": r["id"].rpartition("-")[0]}
        for r in _read(folder / "fhir_r4" / "Practitioner.ndjson")
    ]
    (out / "staff.json").write_bytes(orjson.dumps(staff))


def _read(path: Path) -> Iterator[Resource]:
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            yield orjson.loads(line)


def _name_of(practitioner: Resource) -> str:
    name = practitioner["name"][0]
    return f"{' '.join(name.get('given', []))} {name['family']}".strip()


def _entries(folder: Path) -> dict[str, str]:
    """Start of every patient's first encounter: the hospital knows nothing of them before."""
    entries: dict[str, str] = {}
    for encounter in _read(folder / "fhir_r4" / "Encounter.ndjson"):
        patient, start = encounter["subject"]["reference"], encounter["period"]["start"]
        entries[patient] = min(start, entries.get(patient, start))
    return entries


def _as_recorded(resource: Resource, entries: dict[str, str]) -> Resource:
    """Histories taken at registration (shots since birth, relatives) are dated no earlier than the registration."""
    element = {"FamilyMemberHistory": "date", "Immunization": "recorded"}.get(resource["resourceType"])
    if element is None:
        return resource
    entry = entries.get(resource["patient"]["reference"], str(FIRST_DAY))
    return {**resource, element: max(resource.get(element, entry), entry)}


def _thinned(resources: Iterable[Resource], part: str, entries: dict[str, str]) -> Iterator[Resource]:
    charted: set[tuple[str, str]] = set()
    for resource in resources:
        if resource["resourceType"] == "Observation" and not _keep_observation(resource, charted):
            continue
        kept = {key: value for key, value in resource.items() if key not in DROPPED_ELEMENTS or _is_patient(resource)}
        if kept["resourceType"] == "Composition":
            kept["section"] = [{k: v for k, v in section.items() if k != "entry"} for section in kept["section"]]
        if kept["resourceType"] == "Coverage":
            kept["period"] = _cover(kept, entries)
        yield marked_made(_with_new_ids(_as_recorded(kept, entries), part))


def _cover(coverage: Resource, entries: dict[str, str]) -> Resource:
    entry = entries.get(coverage["beneficiary"]["reference"], str(FIRST_DAY))
    period: Resource = coverage["period"]
    return {**period, "start": max(period["start"], entry[:10])}


def _is_patient(resource: Resource) -> bool:
    return bool(resource["resourceType"] == "Patient")


def _keep_observation(resource: Resource, charted: set[tuple[str, str]]) -> bool:
    category = resource["category"][0]["coding"][0]["code"]
    if category == "survey":
        return False
    if category != "vital-signs":
        return True
    code = resource["code"].get("coding", [{}])[0].get("code", "")
    if code in YEARLY:
        key = (resource["subject"]["reference"] + resource["effectiveDateTime"][:4], code)
    else:
        key = (resource.get("encounter", {}).get("reference", ""), code)
    if code not in KEPT_VITALS or key in charted:
        return False
    charted.add(key)
    return True


def _with_new_ids(resource: Resource, part: str) -> Resource:
    kind = resource["resourceType"]
    renamed: Resource = {**_rename_references(resource, part), "id": _renamed(kind, resource["id"], part)}
    if kind == "Patient":
        number = hashlib.sha256(renamed["id"].encode()).hexdigest()
        renamed["identifier"] = [{**resource["identifier"][0], "value": f"{int(number[:8], 16) % 10**8:08d}"}]
        renamed["identifier"][0].pop("assigner", None)
    return renamed


def _rename_references(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str) and "/" in value["reference"]:
            kind, _, old = value["reference"].partition("/")
            return {**value, "reference": f"{kind}/{_renamed(kind, old, part)}"}
        return {key: _rename_references(item, part) for key, item in value.items()}
    if isinstance(value, list):
        return [_rename_references(item, part) for item in value]
    return value


PREFIXES: Final = {
    "AllergyIntolerance": "allergy",
    "Composition": "comp",
    "Condition": "cond",
    "Coverage": "cov",
    "DiagnosticReport": "dr",
    "DocumentReference": "doc",
    "Encounter": "enc",
    "FamilyMemberHistory": "fmh",
    "Immunization": "imm",
    "MedicationRequest": "mr",
    "Observation": "obs",
    "Organization": "org",
    "Patient": "pt",
    "Practitioner": "prac",
    "Procedure": "proc",
    "ServiceRequest": "sr",
}


def _renamed(kind: str, old: str, part: str) -> str:
    # Departments and payers belong to the one hospital; everything else to the part.
    scope = "" if kind == "Organization" else part
    return made_id(PREFIXES.get(kind, "res"), scope, kind, old)


# -- both runs, side by side -------------------------------------------------------------------------------------------


def make_parts(work: Path, populations: tuple[int, ...], seed: int, *, first: int = 0) -> list[Path]:
    """Run one clinosim process for each of `populations` (they run at the same time); the thinned folders, in order.

    `first` numbers the first part, and with `seed` decides its people. Raises ZebrawatchError where a process fails.
    """
    runs = []
    for number, population in enumerate(populations, first):
        command = [sys.executable, "-m", "zebrawatch.demo.base", str(work / f"part{number}"), str(population)]
        command += [str(seed * 1000 + number), f"part{number}"]
        # A fixed hash seed: sets of clinosim that are walked in order must not depend on the process.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        runs.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL))
    errors = [run.communicate()[1] for run in runs]
    for run, error in zip(runs, errors, strict=True):
        if run.returncode != 0:
            lines = error.decode(errors="replace").strip().splitlines() or ["no message"]
            raise ZebrawatchError(f"The base patients could not be made (clinosim): {lines[-1]}")
    return [work / f"part{number}" for number in range(first, first + len(populations))]


def main() -> None:
    """Make one part: `python -m zebrawatch.demo.base OUT POPULATION SEED PART`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("population", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("part")
    given = parser.parse_args()
    raw = given.out.with_name(given.out.name + "-raw")
    simulate(raw, given.population, given.seed)
    thin(raw, given.out, given.part)


if __name__ == "__main__":
    main()
