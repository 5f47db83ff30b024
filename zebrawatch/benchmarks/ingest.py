"""Speed and memory of the FHIR door, as ratios of two things timed in one run on the same bytes.

EVALUATION, "Speed": NDJSON to rows against orjson.loads (goal at most 1.3) and against fhir.resources (goal at least
15); attachments against the bare fast parsers (goal at most 1.3) and against what people use today; peak memory at one
and ten times the notes. Runs are interleaved, the minimum of each counts, in CPU seconds so that a busy machine
disturbs both alike.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import orjson

from zebrawatch.benchmarks.results import Results
from zebrawatch.fhir.conformance import refusals
from zebrawatch.fhir.decode import DecodeContext, decode_lines
from zebrawatch.fhir.kept_texts import KeptTexts
from zebrawatch.fhir.resources import resource_decoder
from zebrawatch.fhir.rtf import rtf_text
from zebrawatch.fhir.text import Deadline, TextLimits, plain_text

_ROUNDS = 7
_NOTES = 2_000
_FEWEST = 100  # lines of a type that are timed by themselves
_WORDS = """
    patient reports episodes of weakness and fatigue since last visit no fever no weight loss examination shows
    normal tone reflexes symmetric gait unsteady plan repeat creatine kinase refer to neurology continue current
    medication follow up in three months blood pressure stable lungs clear abdomen soft mother has similar
    complaints denies chest pain
""".split()  # noqa: SIM905


def run(
    *, data: Path, files: Sequence[Path] = (), seed: int = 7, progress: Callable[[str], None] = lambda _: None
) -> Results:
    """Ratios for made notes of 3.7 kB, the third-party export, each given NDJSON file, and each form of attachment.

    Rows are the lake's: identifiers keyed, times resolved, two digests a note, Arrow columns. The structs are what they
    are made of: decoded resources and the attachments' bytes. `kept_over_reading` is how many times faster a document's
    text is looked up, once an earlier pull made it, than read.

    `to_orjson` is rows' time over orjson.loads' time, `structs_to_orjson` that of the typed structs and base64 alone,
    `over_fhir_resources` how many times faster than fhir.resources. `ci95` is empty: these are minima, not samples.
    """
    results: Results = {}
    for name, lines in _data_sets(data, files, seed):
        progress(f"{name}: {len(lines):,} lines")
        results[name] = _rows(lines)
    for form, documents in _attachments(seed).items():
        progress(f"{form}: {len(documents):,} documents")
        results[f"attachments_{form}"] = _parsers(form, documents)
    progress("peak memory")
    results["memory"] = _memory(seed)
    return results


# ---- NDJSON to rows --------------------------------------------------------------------------------------------------


def _data_sets(data: Path, files: Sequence[Path], seed: int) -> Iterator[tuple[str, list[bytes]]]:
    yield "made_notes", made_notes(_NOTES, seed)
    by_type = export_lines(data)
    if by_type:
        yield "synthea_bulk_10", [line for lines in by_type.values() for line in lines]
        for kind, lines in by_type.items():
            if len(lines) >= _FEWEST:
                yield f"synthea_bulk_10 {kind}", lines
    for path in files:
        yield path.name.partition(".")[0], _lines(path)


def export_lines(data: Path) -> dict[str, list[bytes]]:
    """Lines of the third-party export in the data folder by resource type; empty where it is not there."""
    paths = sorted((data / "ehr" / "synthea_bulk_10").glob("*.ndjson.gz"))
    return {path.name.partition(".")[0]: _lines(path) for path in paths if not path.name.startswith("log.")}


def _lines(path: Path) -> list[bytes]:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()


def made_notes(count: int, seed: int) -> list[bytes]:
    """DocumentReferences as NDJSON lines, each with a made note of about 3.7 kB in base64."""
    source = random.Random(seed)
    return [document_line(n, _note(source)) for n in range(count)]


def _note(source: random.Random) -> str:
    lines = [" ".join(source.choices(_WORDS, k=source.randint(8, 18))) + "." for _ in range(45)]
    return "\n".join(lines)[:3_700]


def document_line(number: int, text: str, patients: int = 200) -> bytes:
    """A DocumentReference with a note in base64, of one of so many patients in turn."""
    return json.dumps(_document(number, text, patients)).encode()


def _document(number: int, text: str, patients: int) -> dict[str, Any]:
    data = base64.b64encode(text.encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "id": f"note-{number}",
        "meta": {"lastUpdated": f"2024-03-{number % 28 + 1:02}T10:{number % 60:02}:00Z"},
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3", "display": "Progress note"}]},
        "subject": {"reference": f"Patient/p{number % patients}"},
        "date": f"2024-03-{number % 28 + 1:02}T09:{number % 60:02}:00Z",
        "author": [{"reference": "Practitioner/d1"}],
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain; charset=utf-8",
                    "data": data,
                }
            }
        ],
        "context": {"encounter": [{"reference": f"Encounter/e{number}"}]},
    }


def _rows(lines: list[bytes]) -> dict[str, Any]:
    context = DecodeContext(
        pull="benchmark",
        site_key=b"benchmark",
        zone="UTC",
        pulled_at=datetime(2100, 1, 1, tzinfo=UTC),
        validate_share=0.0,
    )
    numbered = list(enumerate(lines, 1))
    decode = resource_decoder().decode
    started = time.monotonic()
    times = _interleaved(
        {
            "rows": lambda: drain(decode_lines(numbered, "benchmark", context)),
            "orjson": lambda: drain(map(orjson.loads, lines)),
            "structs": lambda: drain(map(_structs(decode), lines)),
        }
    )
    sample = lines[:: max(1, len(lines) // 200)]
    judged = (
        _interleaved({"fhir_resources": lambda: drain(map(_judge, sample))}, rounds=5)["fhir_resources"]
        * len(lines)
        / len(sample)
    )
    size = sum(map(len, lines))
    return {
        "n": len(lines),
        "mb_per_second": round(size / times["rows"] / 1e6, 1),
        "orjson_mb_per_second": round(size / times["orjson"] / 1e6, 1),
        "to_orjson": round(times["rows"] / times["orjson"], 2),
        "structs_to_orjson": round(times["structs"] / times["orjson"], 2),
        "over_fhir_resources": round(judged / times["rows"], 1),
        "ci95": {},
        "seconds": round(time.monotonic() - started, 1),
    }


def _structs(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """The typed structs and the attachment's bytes alone: what the rows are made of."""
    import pybase64

    def read(line: bytes) -> Any:
        resource = decode(line)
        for content in getattr(resource, "content", None) or ():
            if content.attachment is not None and content.attachment.data != msgspec.Raw():
                pybase64.b64decode(memoryview(content.attachment.data)[1:-1], validate=True)
        return resource

    return read


def _judge(line: bytes) -> list[str]:
    return refusals(json.loads(line)["resourceType"], line)


# ---- attachments -----------------------------------------------------------------------------------------------------


def _attachments(seed: int) -> dict[str, list[bytes]]:
    source = random.Random(seed)
    notes = [_note(source) for _ in range(300)]
    return {
        "html": [_as_html(note) for note in notes],
        "rtf": [_as_rtf(note) for note in notes],
        "pdf": [_as_pdf(note) for note in notes[:100]],
    }


def _as_html(note: str) -> bytes:
    parts = [f"<p><b>{line[:12]}</b>{line[12:]}</p>" for line in note.split("\n")]
    return (
        f"<html><head><style>p {{margin: 0}}</style></head><body><h1>Visit</h1>{''.join(parts)}</body></html>".encode()
    )


def _as_rtf(note: str) -> bytes:
    body = "".join(rf"\b {line[:12]}\b0 {line[12:]}\par" + "\n" for line in note.split("\n"))
    return (r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fnil Arial;}}\f0\fs20 " + body + "}").encode()


def _as_pdf(note: str) -> bytes:
    lines = "".join(f"({line[:90]}) Tj 0 -12 Td " for line in note.split("\n"))
    stream = f"BT /F1 9 Tf 40 750 Td {lines}ET"
    fonts = "/Resources << /Font << /F1 5 0 R >> >>"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R {fonts} >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    end = f"xref\n0 6\n0000000000 65535 f \n{table}trailer << /Size 6 /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF"
    return out + end.encode()


def _parsers(form: str, documents: list[bytes]) -> dict[str, Any]:
    kind = {"html": "text/html", "rtf": "application/rtf", "pdf": "application/pdf"}[form]
    fast, usual = _bare(form), _usual(form)
    few = documents[:30]
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        look_up = _filled(Path(folder), documents, kind)
        times = _interleaved(
            {
                "ours": lambda: drain(plain_text(document, kind) for document in documents),
                "kept": lambda: drain(map(look_up, documents)),
                "fast": lambda: drain(map(fast, documents)),
                **({"usual": lambda: drain(map(usual, few))} if usual is not None else {}),
            }
        )
    result: dict[str, Any] = {
        "n": len(documents),
        "documents_per_second": round(len(documents) / times["ours"]),
        "to_fast_parser": round(times["ours"] / times["fast"], 2),
        "kept_over_reading": round(times["ours"] / times["kept"], 1),
    }
    if "usual" in times:
        result["over_usual_parser"] = round(times["usual"] / len(few) * len(documents) / times["ours"], 1)
    return {**result, "ci95": {}, "seconds": round(time.monotonic() - started, 1)}


def _filled(folder: Path, documents: list[bytes], kind: str) -> Callable[[bytes], Any]:
    """A look-up of texts that an earlier pull kept, the digest of the document's bytes included."""
    kept = KeptTexts(folder)
    for document in documents:
        text, form = plain_text(document, kind)
        kept.keep(_digest(document), kind, (text, hashlib.sha256(text.encode()).hexdigest(), form))
    kept.store()
    return lambda document: kept.get(_digest(document), kind)


def _digest(document: bytes) -> bytes:
    return hashlib.sha256(document).digest()


def _bare(form: str) -> Callable[[bytes], str]:
    """The fast parser alone: selectolax, PDFium; for RTF there is none but ours."""
    if form == "html":
        from selectolax.lexbor import LexborHTMLParser

        def html(document: bytes) -> str:
            tree = LexborHTMLParser(document.decode())
            tree.strip_tags(["script", "style"])
            return str(tree.body.text(separator="\n")) if tree.body is not None else ""

        return html
    if form == "pdf":
        import pypdfium2

        return lambda document: str(pypdfium2.PdfDocument(document)[0].get_textpage().get_text_range())
    return lambda document: rtf_text(document, TextLimits(), Deadline(60))


def _usual(form: str) -> Callable[[bytes], str] | None:
    """What people use today: BeautifulSoup, pypdf (both only where the development extra is installed), striprtf."""
    try:
        if form == "html":
            from bs4 import BeautifulSoup

            return lambda document: str(BeautifulSoup(document, "html.parser").get_text("\n"))
        if form == "pdf":
            from io import BytesIO

            from pypdf import PdfReader

            return lambda document: PdfReader(BytesIO(document)).pages[0].extract_text()
    except ImportError:
        return None
    from striprtf.striprtf import rtf_to_text

    return lambda document: str(rtf_to_text(document.decode("cp1252")))  # type: ignore[no-untyped-call]


# ---- memory ----------------------------------------------------------------------------------------------------------

_CHILD = """
import resource, sys
from datetime import UTC, datetime
from zebrawatch.benchmarks.ingest import made_notes
from zebrawatch.fhir.decode import DecodeContext, decode_lines
lines, times = made_notes(2000, int(sys.argv[2])), int(sys.argv[1])
pulled_at = datetime(2100, 1, 1, tzinfo=UTC)
context = DecodeContext(pull="m", site_key=b"m", zone="UTC", pulled_at=pulled_at, validate_share=0.0)
numbered = ((n, line) for repeat in range(times) for n, line in enumerate(lines))
for batch in decode_lines(numbered, "m", context):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def _memory(seed: int) -> dict[str, Any]:
    """Peak resident MB of a process that decodes 10,000 notes, and 100,000."""
    started = time.monotonic()
    root = str(Path(__file__).parents[2])
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    peaks = []
    for times in (5, 50):
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, str(times), str(seed)],
            capture_output=True,
            text=True,
            check=True,
            env=surroundings,
        )
        peaks.append(int(done.stdout))
    return {
        "n": 100_000,
        "peak_mb_1x": peaks[0],
        "peak_mb_10x": peaks[1],
        "growth": round(peaks[1] / peaks[0], 2),
        "ci95": {},
        "seconds": round(time.monotonic() - started, 1),
    }


# ---- timing ----------------------------------------------------------------------------------------------------------


def _interleaved(tasks: dict[str, Callable[[], None]], rounds: int = _ROUNDS) -> dict[str, float]:
    """The least CPU seconds of each task over `rounds`, the tasks taken in turn."""
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(rounds):
        for name, task in tasks.items():
            started = time.process_time()
            task()
            best[name] = min(best[name], time.process_time() - started)
    return best


def drain(things: Iterable[Any]) -> None:
    """Make each thing and keep none: what is kept slows the collector of garbage."""
    for _ in things:
        pass
