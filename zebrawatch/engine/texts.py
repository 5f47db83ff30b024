"""Texts read once: HPO mentions and namings of every distinct text, in one Python stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from zebrawatch.evidence.lexicon import Lexicon
from zebrawatch.evidence.recogniser import Recogniser
from zebrawatch.screen.naming import Namer, NamingSet

READ_SCHEMA = pa.schema(
    [
        ("text_sha256", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("quote", pa.string()),
        ("assertion", pa.string()),
        ("hpo_id", pa.string()),
        ("origin", pa.string()),
        ("experiencer", pa.string()),
        ("sentence", pa.string()),
        ("disease_id", pa.string()),
        ("evidence_class", pa.string()),
        ("kind", pa.string()),
        ("phenotype_name", pa.bool_()),
    ]
)
"""A row a mention (`hpo_id` set) or a naming (`evidence_class` set) of a text."""


@dataclass(frozen=True)
class Readers:
    """What reads a text: the recogniser of findings and the detector of namings."""

    recogniser: Recogniser
    namer: Namer

    def read(self, text: str) -> Iterator[tuple[Any, ...]]:
        """Rows of READ_SCHEMA for one text, without its hash."""
        for one in self.recogniser.find(text):
            yield (
                one.start, one.end, text[one.start : one.end], one.assertion, one.hpo_id, one.origin, one.experiencer,
                text[one.sentence_start : one.sentence_end], *_NO_NAMING,
            )  # fmt: skip
        for name in self.namer.find(text):
            yield (
                name.start, name.end, text[name.start : name.end], name.assertion, *_NO_MENTION, name.disease_id,
                name.evidence_class, name.kind, name.phenotype_name,
            )  # fmt: skip


_NO_MENTION = _NO_NAMING = (None, None, None, None)
_READERS: dict[tuple[str, str], Readers] = {}


def readers_of(lexicon: Lexicon, naming_set: NamingSet) -> Readers:
    """The readers of this process, built once: the automata take longer to build than a batch to read."""
    key = (lexicon.version, naming_set.version)
    if key not in _READERS:
        _READERS[key] = Readers(Recogniser(lexicon), Namer(naming_set))
    return _READERS[key]


def read_texts(spark: SparkSession, texts: DataFrame, lexicon: Lexicon, naming_set: NamingSet) -> DataFrame:
    """Read distinct texts (`text_sha256`, `text`): rows of READ_SCHEMA."""
    shared = spark.sparkContext.broadcast((lexicon, naming_set))

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return rows_of(readers_of(*shared.value), batches)

    return texts.select("text_sha256", "text").mapInArrow(read, from_arrow_schema(READ_SCHEMA))


def rows_of(readers: Readers, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of READ_SCHEMA for batches of `text_sha256` and `text`; none for a batch in which nothing was found."""
    for batch in batches:
        texts = zip(batch.column("text_sha256").to_pylist(), batch.column("text").to_pylist(), strict=True)
        rows = [(sha, *row) for sha, text in texts for row in readers.read(text)]
        if rows:
            columns = zip(READ_SCHEMA.types, zip(*rows, strict=True), strict=True)
            yield pa.record_batch([pa.array(values, kind) for kind, values in columns], schema=READ_SCHEMA)
