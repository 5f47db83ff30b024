"""`zebrawatch benchmark NAME`: measure a part of the screen, beside what people use today.

A benchmark is a module of `zebrawatch.benchmarks` with `run(*, data, files, seed, progress) -> Results`; it is imported
only when it is asked for. A line in `BENCHMARKS` makes it a subcommand.
"""

# No `from __future__ import annotations`: typer reads the annotations that `_command` makes for each benchmark.

import importlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands.options import JsonOption
from pipelines.commands.progress import Progress
from zebrawatch.errors import ZebrawatchError

DATA_VARIABLE = "ZEBRAWATCH_DATA"
DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

app = typer.Typer(no_args_is_help=True, help="Measure a part of the screen, beside what people use today.")


class BenchmarkError(ZebrawatchError):
    """A benchmark cannot be run."""


@dataclass(frozen=True)
class Benchmark:
    """A subcommand: what it measures, the option that names files of one's own, what it needs."""

    name: str
    about: str
    option: str = ""
    """Empty: it makes its own input and takes no files."""
    form: str = ""
    compared: tuple[str, ...] = ()
    """Packages it is compared with; without one of them that comparison is left out."""
    made: bool = False
    """Whether it can do without the data folder."""

    @property
    def module(self) -> str:
        """Module that measures."""
        return f"zebrawatch.benchmarks.{self.name.replace('-', '_')}"


BENCHMARKS = (
    Benchmark(
        "ranking", "Ranking of published cases, source-excluded first: top-1, top-3, top-10.", "--phenopackets",
        "phenopackets: JSON, JSON lines (plain or gzip), or a folder of them",
    ),
    Benchmark("rank", "Speed of ranking made patients, with explanations, on one core.", made=True),
    Benchmark(
        "phenotypes", "Recognition of HPO terms in text: document F1 and exact mention F1.", "--corpus",
        "annotated documents: JSON lines {id, text, annotations}, plain or gzip", ("FastHPOCR", "pronto"),
    ),
    Benchmark(
        "assertion", "Negated, historical and family findings: F1 and speed.", "--sentences",
        "judged sentences: tab-separated, six columns, plain or gzip",
    ),
    Benchmark(
        "recognise", "Speed of recognition, with and without assertion.", "--notes",
        "notes: JSON lines with `text`, plain or gzip", ("FastHPOCR", "pronto"),
    ),
    Benchmark(
        "false-alarms", "Findings and alerts of people with common diseases, by stratum.", "--notes",
        "notes: JSON lines with `text`, and `source` and `section` where known; or a folder of FHIR NDJSON",
    ),
    Benchmark(
        "ingest", "Speed and memory of the FHIR door, as ratios to orjson, fhir.resources and the bare parsers.",
        "--ndjson", "FHIR resources as NDJSON, plain or gzip", ("bs4", "pypdf", "striprtf"), made=True,
    ),
)  # fmt: skip


def data_folder() -> Path:
    """$ZEBRAWATCH_DATA, else `../shared/data` beside the project's folder."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(named) if named else DEFAULT_DATA


def run_benchmark(benchmark: Benchmark, files: list[Path], seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Results of a benchmark on the data folder, or on `files`; BenchmarkError where it cannot be run."""
    data = data_folder()
    for file in files:
        if not file.exists():
            raise BenchmarkError(f"There is no file {file}.")
    if not data.is_dir() and not files and not benchmark.made:
        raise BenchmarkError(
            f"The benchmark data folder {data} does not exist: name it in ${DATA_VARIABLE}, "
            f"or give files of your own with {benchmark.option}."
        )
    for package in benchmark.compared:
        if importlib.util.find_spec(package) is None:
            say(f"The package {package} is not installed: not compared with it (pip install 'zebrawatch[dev]').")
    try:
        results: dict[str, Any] = importlib.import_module(benchmark.module).run(
            data=data, files=files, seed=seed, progress=say
        )
    except ModuleNotFoundError as error:
        raise BenchmarkError(
            f"This benchmark needs the package {error.name}, which is not installed (pip install 'zebrawatch[dev]')."
        ) from None
    except FileNotFoundError as error:
        raise BenchmarkError(
            f"There is no {error.filename}: name another data folder in ${DATA_VARIABLE}, "
            f"or give files of your own with {benchmark.option}."
        ) from None
    return results


def _command(benchmark: Benchmark) -> Callable[..., None]:
    def plain(
        seed: Annotated[int, typer.Option(help="Seed of what is drawn.")] = 7, json_line: JsonOption = False
    ) -> None:
        _measure(benchmark, [], seed, json_line)

    def command(
        more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More files of that form.")] = None,
        files: Annotated[
            list[Path] | None,
            typer.Option(benchmark.option, metavar="FILE", help=f"Measure on your own: {benchmark.form}."),
        ] = None,
        seed: Annotated[int, typer.Option(help="Seed of intervals and of what is drawn.")] = 7,
        json_line: JsonOption = False,
    ) -> None:
        _measure(benchmark, [*(files or ()), *(more or ())], seed, json_line)

    return command if benchmark.option else plain


def _measure(benchmark: Benchmark, files: list[Path], seed: int, json_line: bool) -> None:
    with Progress() as progress:
        results = run_benchmark(benchmark, files, seed, progress.say)
    for line in table(results):
        print(line)
    if json_line:
        print(json.dumps(plain(results), allow_nan=False))


for _benchmark in BENCHMARKS:
    app.command(_benchmark.name, help=_benchmark.about)(_command(_benchmark))


@app.command("reasoning")
def reasoning(
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More files of that form.")] = None,
    cases: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Free-text cases: JSON lines {id, text, disease_id}."),
    ] = None,
    profile: Annotated[str, typer.Option(help="Model profile, by name or path.")] = "smollm2-135m",
    backend: Annotated[
        str, typer.Option(help="runner, run-batch or server (default: server where there is a URL, else runner).")
    ] = "",
    url: Annotated[str, typer.Option(help="An OpenAI-compatible server instead of vLLM on this machine.")] = "",
    served_as: Annotated[str, typer.Option(help="The model's name on that server (default: the profile's).")] = "",
    api_key_file: Annotated[Path | None, typer.Option(help="File with the server's key.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Folder of the weights (default: the profile's).")] = None,
    python: Annotated[Path, typer.Option(help="Python of vLLM's environment.")] = Path(".venv-vllm/bin/python"),
    folder: Annotated[Path | None, typer.Option(help="Keep requests and answers here; a killed run goes on.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many cases of each file.")] = None,
    overhead: Annotated[bool, typer.Option("--overhead", help="Measure our own cost against a made server.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of intervals.")] = 7,
    json_line: JsonOption = False,
) -> None:
    """A model on free-text cases with known diseases: top-1/3/10, parse rate, quotes that stand, tokens, patients/h."""
    from pipelines.commands import reasoning_benchmark

    with Progress() as progress:
        if overhead:
            results = {"overhead": reasoning_benchmark.overhead()}
        else:
            results = reasoning_benchmark.run(
                data=data_folder(), files=[*(cases or ()), *(more or ())], seed=seed, progress=progress.say,
                model=Path(profile) if profile.endswith(".toml") else profile, served_as=served_as,
                settings=reasoning_benchmark.settings_of(url, api_key_file, weights, python, backend),
                folder=folder, limit=limit,
            )  # fmt: skip
    for line in table(results):
        print(line)
    if json_line:
        print(json.dumps(plain(results), allow_nan=False))


# -- the table ---------------------------------------------------------------------------------------------------------


def table(results: Mapping[str, Any]) -> Iterator[str]:
    """Results as lines: a head for each data set, then a figure and its interval a line, columns aligned over all sets.

    A part with parts of its own (strata, variants) becomes a grid below: a line for each, a column for each figure.
    """
    rows = {name: list(_rows(figures, "")) for name, figures in results.items()}
    widths = _widths([row for listed in rows.values() for row in listed])
    for name, listed in rows.items():
        yield ""
        yield f"{name}  {_size(results[name])}".rstrip()
        yield from (f"  {line}" for line in _aligned(listed, widths))
        for label, text in _words(results[name]):
            yield f"  {label}: {text}"
        for label, part in results[name].items():
            if _is_grid(part):
                yield f"  {_readable(label)}"
                grid = _grid(part)
                yield from (f"    {line}" for line in _aligned(grid, _widths(grid)))


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _aligned(rows: Iterable[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Lines of the rows: the first column and intervals to the left, numbers to the right."""
    for row in rows:
        cells = [
            f"{cell:{width}}" if place == 0 or place % 2 == 0 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _size(figures: Mapping[str, Any]) -> str:
    parts = [f"n {figures['n']:,}"] if isinstance(figures.get("n"), int) else []
    seconds = figures.get("seconds")
    return f"({', '.join([*parts, *([f'{seconds:,.1f} s'] if isinstance(seconds, float) else [])])})" if parts else ""


def _rows(figures: Mapping[str, Any], indent: str) -> Iterator[tuple[str, str, str]]:
    """(name, value, interval) of every number; a part with figures of its own follows, indented, under its name."""
    intervals = figures.get("ci95") or {}
    for name, value in figures.items():
        if name == "ci95" or (not indent and name in ("n", "seconds")) or _is_grid(value):
            continue
        if isinstance(value, Mapping):
            yield f"{indent}{_readable(name)}", "", ""
            yield from _rows(value, indent + "  ")
        elif _is_number(value) or value is None:
            yield f"{indent}{_readable(name)}", _number(value), _interval(intervals.get(name))


def _is_grid(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(part, Mapping) for part in value.values())


def _grid(parts: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """A head, then a row for each part: its name, then value and interval of every figure any part has."""
    names = list(dict.fromkeys(name for part in parts.values() for name in part if name != "ci95"))
    names = [name for name in names if any(_is_number(part.get(name)) for part in parts.values())]
    rows = [["", *(word for name in names for word in (_readable(name), ""))]]
    for label, part in parts.items():
        intervals = part.get("ci95") or {}
        cells = [(_number(part[name]) if name in part else "", _interval(intervals.get(name))) for name in names]
        rows.append([label, *(word for cell in cells for word in cell)])
    return rows


def _words(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in figures.items():
        if isinstance(value, str):
            yield _readable(name), value
        elif isinstance(value, (list, tuple)) and value:
            items = [" ".join(map(str, item)) if isinstance(item, (list, tuple)) else str(item) for item in value]
            yield _readable(name), "; ".join(items)


def _readable(name: str) -> str:
    return name.replace("_", " ")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or hasattr(value, "__float__")


def _number(value: Any) -> str:
    if value is None or value != value:
        return "not shown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(float(value))
    return f"{float(value):,.{0 if size >= 1000 else 1 if size >= 10 else 3}f}"


def _interval(pair: Any) -> str:
    return f"{_number(float(pair[0]))} to {_number(float(pair[1]))}" if pair and None not in pair else ""


def plain(value: Any) -> Any:
    """Numbers of numpy as plain ones, and what was not measured as null, so that the line is JSON."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return float(value) if float(value) == float(value) and abs(float(value)) != float("inf") else None
