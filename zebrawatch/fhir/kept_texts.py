"""Texts of attachments that an earlier pull made: one SQLite file, which may be thrown away at any time.

The same document is sent again whenever something about it changes (a status, an author), and by every full export.
Reading a PDF takes a hundred times as long as looking its text up.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_LIBRARIES = ("selectolax", "pypdfium2", "lxml", "charset-normalizer")
_READERS = ("text.py", "markup.py", "rtf.py", "cda.py", "pdf.py")
_SECONDS = 2.0  # waiting longer for another worker's lock than reading a document takes would be no gain


@cache
def reader_version() -> str:
    """What decides how a document is read: digest of the readers' code and of the libraries' versions, 16 digits."""
    digest = hashlib.sha256()
    for name in _READERS:
        digest.update(Path(__file__).with_name(name).read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library} {version(library)}\n".encode())
    return digest.hexdigest()[:16]


class KeptTexts:
    """Plain text and the media type it was read as, by sha256 of a document's bytes, its declared type and its reader.

    Several processes may use one file. A file that cannot be read or written (another machine's lock, a full disk,
    damage) is as good as an empty one: the document is read again. Each text is kept with its own sha256, so that a
    damaged one is never given out.
    """

    def __init__(self, folder: Path) -> None:
        self._new: list[tuple[bytes, str, str, str]] = []
        self._open = self._connected(folder / f"{reader_version()}.sqlite")

    @staticmethod
    def _connected(path: Path) -> sqlite3.Connection | None:
        def connect() -> sqlite3.Connection:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = sqlite3.connect(path, timeout=_SECONDS, isolation_level=None)
            found.execute("pragma synchronous = off")
            found.execute("create table if not exists texts (key blob primary key, text, sha256, form) without rowid")
            return found

        return _or_none(connect)

    def get(self, document: bytes, declared: str | None) -> tuple[str, str, str] | None:
        """Text, its sha256 and the type it was read as; None where it is not kept.

        `document` is the sha256 of the document's bytes, `declared` its content type.
        """
        connection = self._open
        if connection is None:
            return None
        query = "select text, sha256, form from texts where key = ?"
        row = _or_none(lambda: connection.execute(query, (_key(document, declared),)).fetchone())
        if row is None or hashlib.sha256(row[0].encode()).hexdigest() != row[1]:
            return None
        return row[0], row[1], row[2]

    def keep(self, document: bytes, declared: str | None, made: tuple[str, str, str]) -> None:
        """Keep a text from the next `store` on."""
        if self._open is not None:
            self._new.append((_key(document, declared), *made))

    def store(self) -> None:
        """Write what is to be kept."""
        connection, new = self._open, self._new
        if connection is None or not new:
            return

        def write() -> None:
            with connection:
                connection.execute("begin immediate")
                connection.executemany("insert or ignore into texts values (?, ?, ?, ?)", new)

        _or_none(write)
        self._new = []

    def close(self) -> None:
        """Write what is to be kept, and let go of the file."""
        self.store()
        if self._open is not None:
            self._open.close()
            self._open = None


def _key(document: bytes, declared: str | None) -> bytes:
    return document + (declared or "").encode("utf-8", "replace")


def _or_none(work: Callable[[], T]) -> T | None:
    try:
        return work()
    except (sqlite3.Error, OSError):
        return None
