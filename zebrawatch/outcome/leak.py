"""The leak gate: a second detector that looks for a disease's name in every document that counted as evidence for it.

It shares neither code nor lexicon with the naming set (zebrawatch.screen.naming): it reads the published files by
itself, cuts texts into words its own way, and compares words by edit distance. It is slow and only ever asked about
pairs of a document and a disease. The gate is zero (OUTCOMES, "Leak"); what the detector itself misses is measured on
planted namings.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pandas as pd

from zebrawatch.errors import KnowledgeError
from zebrawatch.knowledge.diseases import Knowledge, KnowledgeFiles
from zebrawatch.outcome.intervals import wilson
from zebrawatch.outcome.observation import records

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_GENERIC = frozenset(
    """
    disease syndrome disorder type deficiency congenital familial hereditary inherited isolated primary secondary
    form idiopathic classic classical variant and with without of the in due to or a an related associated
    susceptibility s anomaly complex
    """.split()  # noqa: SIM905
)
"""Words of a name that people leave out. Severity, age and inheritance are not among them: without them another, wider
disease is meant."""
_HEAD = frozenset(
    """
    disease syndrome disorder anomaly deficiency sequence association
    """.split()  # noqa: SIM905
)
_QUERY = frozenset(
    """
    query possible probable suspected suspect consider exclude excluded exclusion diagnosis known confirmed
    """.split()  # noqa: SIM905
)
_ROMAN = {
    "i": "1",
    "ii": "2",
    "iii": "3",
    "iv": "4",
    "v": "5",
    "vi": "6",
    "vii": "7",
    "viii": "8",
    "ix": "9",
    "x": "10",
}
SLACK = 2
"""Foreign words allowed between the words of a name."""


class Found(NamedTuple):
    """A place where a document names a disease: `how` is plain, fuzzy or gene."""

    start: int
    end: int
    how: str
    wording: str


class _Token(NamedTuple):
    text: str
    start: int
    end: int


def _fold(word: str) -> str:
    bare = "".join(char for char in unicodedata.normalize("NFKD", word) if not unicodedata.combining(char)).casefold()
    return _ROMAN.get(bare, bare)


def _tokens(text: str) -> list[_Token]:
    return [
        _Token(_fold(match.group()), match.start(), match.end())
        for match in _WORD.finditer(text)
        if not (match.group() == "s" and text[match.start() - 1 : match.start()] in ("'", "’"))
    ]


def edit_distance(first: str, second: str, limit: int) -> int:
    """Optimal string alignment distance (insert, delete, replace, swap neighbours), `limit` + 1 where it is larger.

    Dynamic programming after R. A. Wagner, M. J. Fischer, J ACM 1974;21:168, with the swaps of F. J. Damerau,
    Commun ACM 1964;7:171.
    """
    if abs(len(first) - len(second)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, one in enumerate(first, 1):
        older, before, row = before, row, [i]
        for j, other in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (one != other))
            if i > 1 and j > 1 and one == second[j - 2] and first[i - 2] == other:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]


@lru_cache(maxsize=500_000)  # notes share their words: most pairs were compared before
def _alike(name: str, word: str) -> bool:
    """Whether a word may be a miswritten word of a name: one slip from five letters on, two from nine; digits
    exactly.
    """
    if name == word:
        return True
    if len(name) < 5 or any(char.isdigit() for char in name + word):
        return False
    if word in (name + "s", name + "es") or name in (word + "s", word + "es"):
        return True
    slips = 2 if len(name) >= 9 else 1
    return edit_distance(name, word, slips) <= slips


class _Wording(NamedTuple):
    text: str
    tokens: tuple[str, ...]
    content: tuple[str, ...]
    numbers: tuple[str, ...]
    descriptive: bool
    """An abbreviation, or made of words of findings only: its words must stand in order, side by side."""


@dataclass(frozen=True)
class LeakSet:
    """Names by id, genes by id, words of findings: read from the published files, by this module alone."""

    names: Mapping[str, tuple[str, ...]] = field(repr=False)
    genes: Mapping[str, frozenset[str]] = field(repr=False)
    finding_words: frozenset[str] = field(repr=False)
    finding_names: frozenset[str] = field(repr=False)

    @classmethod
    def read(cls, hp_obo: Path, phenotype_hpoa: Path, genes_to_phenotype: Path, orphanet: Path | None) -> LeakSet:
        """Read the files; KnowledgeError where one of them cannot be read."""
        try:
            names = _hpoa_names(phenotype_hpoa)
            if orphanet is not None:
                _add_orphanet(names, orphanet)
            findings = _finding_names(hp_obo)
            genes = _genes(genes_to_phenotype)
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise KnowledgeError(f"The leak gate cannot read its knowledge files ({type(error).__name__}).") from None
        return cls.of({one: tuple(dict.fromkeys(texts)) for one, texts in names.items()}, genes, findings)

    @classmethod
    def of(
        cls, names: Mapping[str, tuple[str, ...]], genes: Mapping[str, frozenset[str]], findings: Iterable[str]
    ) -> LeakSet:
        """From names, gene symbols and names of findings at hand."""
        folded = frozenset(" ".join(token.text for token in _tokens(text)) for text in findings)
        words = frozenset(word for text in folded for word in text.split())
        return cls(names, genes, words, folded)


def _hpoa_names(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(("OMIM:", "ORPHA:", "DECIPHER:")):
                one, name, _ = line.split("\t", 2)
                if name not in found.setdefault(one, []):
                    found[one].append(name)
    return found


def _add_orphanet(names: dict[str, list[str]], path: Path) -> None:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            entity = json.loads(line)
            names.setdefault(entity["orpha"], []).extend([entity["label"], *entity["synonyms"]])


def _finding_names(path: Path) -> list[str]:
    found = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("name: "):
                found.append(line[6:].strip())
            elif line.startswith('synonym: "') and '" EXACT' in line:
                found.append(line[10 : line.index('" EXACT')])
    return found


def _genes(path: Path) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    with path.open(encoding="utf-8") as lines:
        next(lines, None)
        for line in lines:
            cells = line.rstrip("\n").split("\t")
            found.setdefault(cells[-1], set()).add(cells[1])
    return {one: frozenset(symbols) for one, symbols in found.items()}


class LeakDetector:
    """Plain and fuzzy search for one disease's names in one text."""

    def __init__(self, leak_set: LeakSet, ids_of: Callable[[str], Sequence[str]] = lambda one: (one,)) -> None:
        self._set = leak_set
        self._ids_of = ids_of
        self._wordings: dict[str, tuple[_Wording, ...]] = {}

    @classmethod
    def of(cls, files: KnowledgeFiles, knowledge: Knowledge) -> LeakDetector:
        """From the published files; which ids mean one disease is all that is taken from compiled knowledge."""
        names = LeakSet.read(files.hp_obo, files.phenotype_hpoa, files.genes_to_phenotype, files.orphanet)
        by_id = {each: disease.ids for disease in knowledge.diseases for each in disease.ids}
        return cls(names, lambda one: by_id.get(one, (one,)))

    def search(self, text: str, disease_id: str) -> list[Found]:
        """Places in `text` that name `disease_id`, whatever is said about it, the family's history included."""
        return self._search(text, _tokens(text), disease_id)

    def _search(self, text: str, tokens: Sequence[_Token], disease_id: str) -> list[Found]:
        found = []
        joined = " " + " ".join(token.text for token in tokens) + " "
        words = {token.text for token in tokens}
        for wording in self._names(disease_id):
            if f" {' '.join(wording.tokens)} " in joined:
                found.append(_plain_place(tokens, wording))
            elif wording.descriptive:
                found += _miswritten(tokens, words, wording)
            else:
                found += _fuzzy(tokens, words, wording, text, self._set.finding_words)
        found += self._gene_places(text, disease_id)
        return sorted(set(found))

    def is_finding(self, wording: str) -> bool:
        """Whether a wording is also the name of a finding."""
        return " ".join(token.text for token in _tokens(wording)) in self._set.finding_names

    def _names(self, disease_id: str) -> tuple[_Wording, ...]:
        if disease_id not in self._wordings:
            texts = [
                part.strip()
                for one in self._ids_of(disease_id)
                for name in self._set.names.get(one, ())
                for part in name.split(";")
            ]
            built = [self._wording(text) for text in dict.fromkeys(texts)]
            self._wordings[disease_id] = tuple(
                one for one in built if len(one.tokens) > 1 or sum(map(len, one.tokens)) > 4
            )
        return self._wordings[disease_id]

    def _wording(self, text: str) -> _Wording:
        tokens = tuple(token.text for token in _tokens(text))
        numbers = tuple(token for token in tokens if any(char.isdigit() for char in token) and len(token) <= 3)
        content = tuple(token for token in tokens if token not in _GENERIC and token not in numbers)
        abbreviation = len(tokens) == 1 and sum(char.isupper() for char in text) > 1
        descriptive = abbreviation or all(token in self._set.finding_words for token in content)
        return _Wording(text, tokens, content, numbers, descriptive)

    def _gene_places(self, text: str, disease_id: str) -> list[Found]:
        symbols = {symbol for one in self._ids_of(disease_id) for symbol in self._set.genes.get(one, ())}
        long = sorted(symbol for symbol in symbols if len(symbol) > 4 and any(char.isdigit() for char in symbol))
        return [
            Found(match.start(), match.end(), "gene", symbol)
            for symbol in long
            for match in re.finditer(rf"(?<![\w-]){re.escape(symbol)}(?![\w])", text)
        ]


def _plain_place(tokens: Sequence[_Token], wording: _Wording) -> Found:
    length = len(wording.tokens)
    for place in range(len(tokens) - length + 1):
        if all(tokens[place + step].text == wording.tokens[step] for step in range(length)):
            return Found(tokens[place].start, tokens[place + length - 1].end, "plain", wording.text)
    raise AssertionError("the words were found in the joined text")


def _miswritten(tokens: Sequence[_Token], words: set[str], wording: _Wording) -> list[Found]:
    """The words of the name in order and side by side, some perhaps miswritten."""
    length = len(wording.tokens)
    if length < 2 or not all(any(_alike(name, word) for word in words) for name in wording.tokens):
        return []
    return [
        Found(tokens[place].start, tokens[place + length - 1].end, "fuzzy", wording.text)
        for place in range(len(tokens) - length + 1)
        if all(_alike(wording.tokens[step], tokens[place + step].text) for step in range(length))
    ]


def _fuzzy(
    tokens: Sequence[_Token], words: set[str], wording: _Wording, text: str, finding_words: frozenset[str]
) -> list[Found]:
    """Every content word of the name, in any order, close together, each perhaps miswritten; numbers exactly.

    A word that belongs to findings (hypophosphatemia) is itself, not a miswritten name (hypophosphatasia).
    """
    if not wording.content:
        return []
    anchor = max(wording.content, key=len)
    near = {word for word in words if word == anchor or (word not in finding_words and _alike(anchor, word))}
    if not near:
        return []
    found = []
    reach = len(wording.tokens) + SLACK
    for place, token in enumerate(tokens):
        if token.text not in near:
            continue
        window = tokens[max(0, place - reach + 1) : place + reach]
        used = [_nearest(window, word, token) for word in (*wording.content, *wording.numbers)]
        if any(one is None for one in used) or not _meant(wording, token, window, text):
            continue
        spans = [one for one in used if one is not None]
        first, last = min(spans, key=lambda one: one.start), max(spans, key=lambda one: one.end)
        between = sum(first.start <= other.start <= last.start for other in window)
        if between <= reach:
            found.append(Found(first.start, last.end, "fuzzy", wording.text))
    return found


def _nearest(window: Sequence[_Token], word: str, anchor: _Token) -> _Token | None:
    alike = [token for token in window if _alike(word, token.text)]
    return min(alike, key=lambda token: abs(token.start - anchor.start), default=None)


def _meant(wording: _Wording, anchor: _Token, window: Sequence[_Token], text: str) -> bool:
    """A single word (a surname) needs `disease` or `syndrome` beside it, a question mark, or a word of asking before
    it.
    """
    if len(wording.content) > 1 or not set(wording.tokens) & _HEAD:
        return True
    place = window.index(anchor)
    beside = window[place + 1 : place + 3]
    before = window[max(0, place - 2) : place]
    queried = text[max(0, anchor.start - 2) : anchor.start].strip().endswith("?")
    return (
        queried
        or any(_alike(head, token.text) for token in beside for head in _HEAD & set(wording.tokens))
        or any(token.text in _HEAD for token in before)
        or any(token.text in _QUERY for token in before)
    )


@dataclass(frozen=True)
class LeakGate:
    """What the gate found. `ledger` (subject_id, source_id, disease_id, how, set_aside) stays in the lake."""

    documents: int
    checked: int
    ledger: pd.DataFrame
    missing_documents: int

    @property
    def leaks(self) -> pd.DataFrame:
        """Rows that are leaks: not set aside."""
        return self.ledger[self.ledger["set_aside"].isna()]

    def as_dict(self) -> dict[str, Any]:
        """Counts only."""
        leaks = self.leaks
        return {
            "passed": leaks.empty and self.missing_documents == 0,
            "leaks": len(leaks),
            "by_how": {str(how): int(count) for how, count in leaks["how"].value_counts().items()},
            "set_aside": {str(why): int(count) for why, count in self.ledger["set_aside"].value_counts().items()},
            "documents": self.documents,
            "checked": self.checked,
            "missing_documents": self.missing_documents,
        }


LEDGER_COLUMNS = ("subject_id", "source_id", "disease_id", "how", "wording", "set_aside")


def shown_or_labelled(flags: pd.DataFrame, labels: pd.DataFrame | None) -> set[tuple[int, str]]:
    """(subject, disease) that any alert shows (schemas.FLAGS) or a label names (pairs.LABEL_COLUMNS)."""
    wanted = {(row["subject_id"], shown["disease_id"]) for row in flags.to_dict("records") for shown in row["shown"]}
    if labels is not None:
        wanted |= {(row["subject_id"], row["disease_id"]) for row in labels.to_dict("records")}
    return wanted


def evidence_of(
    candidates: pd.DataFrame, wanted: Collection[tuple[int, str]] | None = None
) -> set[tuple[int, str, str]]:
    """(subject, disease, document) of every document whose finding counted for a candidate, in schemas.CANDIDATES.

    `wanted` keeps only these (subject, disease): those shown by an alert, and those labelled.
    """
    found: set[tuple[int, str, str]] = set()
    if wanted is not None:
        candidates = candidates[candidates["subject_id"].isin({subject for subject, _ in wanted})]
    for row in records(candidates, ("subject_id", "disease_id", "contributions")):
        place = (int(row["subject_id"]), str(row["disease_id"]))
        if row["contributions"] is None or (wanted is not None and place not in wanted):
            continue
        found.update((*place, str(part["source_id"])) for part in row["contributions"] if part["source_id"] is not None)
    return found


def leak_gate(
    evidence: Iterable[tuple[int, str, str]],
    texts: Mapping[str, str],
    detector: LeakDetector,
    kept_out: Callable[[str], bool] = lambda _: False,
) -> LeakGate:
    """Search the raw text of every document that counted as evidence for the name of the disease it counted for.

    `texts`: raw text by source id; coded events have none and are left to the caller to leave out of `evidence`. A
    document whose text is missing fails the gate. Set aside, counted, and no leak: names that are also findings
    (OUTCOMES, figures both ways), and names that the naming set keeps out for a written reason (`kept_out`).
    """
    by_document: dict[str, list[tuple[int, str]]] = {}
    for subject, disease, source in sorted(set(evidence)):
        by_document.setdefault(source, []).append((subject, disease))
    rows, checked, missing = [], 0, 0
    for source, asked in by_document.items():
        text = texts.get(source)
        if text is None:
            missing += 1
            continue
        tokens = _tokens(text)
        for subject, disease in asked:
            checked += 1
            for hit in detector._search(text, tokens, disease):
                aside = "name of a finding" if detector.is_finding(hit.wording) else None
                aside = aside or ("kept out of the naming set" if kept_out(hit.wording) else None)
                rows.append((subject, source, disease, hit.how, hit.wording, aside))
    ledger = pd.DataFrame(rows, columns=list(LEDGER_COLUMNS)).drop_duplicates(ignore_index=True)
    return LeakGate(len(by_document), checked, ledger, missing)


class Planted(NamedTuple):
    """A naming written on purpose, in a wording that databases do not list."""

    text: str
    disease_id: str
    wording: str


_FRAMES = (
    "Seen in clinic today. {} was discussed with the family. Plan as before.",
    "Assessment: longstanding complaints, to consider {} among other causes.",
    "Letter received. Previously told that {} had been excluded elsewhere.",
    "Reviewed. Thought to have {}. Bloods repeated, follow-up in six months.",
    "Imaging unremarkable. Differential includes {} and nutritional causes.",
)


def plant(names: Mapping[str, Sequence[str]], *, n: int, seed: int) -> list[Planted]:
    """`n` made namings, wordings in turn: as listed, possessive, slip of the pen, reordered, hyphenated, shortened,
    plural.

    `names`: names by disease id. Deterministic in `seed`.
    """
    rng = random.Random(seed)
    pool = [
        (one, name) for one, texts in sorted(names.items()) for name in texts if 8 <= len(name) <= 60 and " " in name
    ]
    ways = list(_WAYS.items())
    found: list[Planted] = []
    for place in range(n if pool else 0):
        kind, write = ways[place % len(ways)]
        for _ in range(200):
            disease, name = rng.choice(pool)
            written = write(name, rng)
            if written is not None:
                found.append(Planted(rng.choice(_FRAMES).format(written), disease, kind))
                break
    return found


def _slip(name: str, rng: random.Random) -> str | None:
    """Two neighbouring letters of the longest word change places."""
    word = max(name.split(), key=len)
    if len(word) < 6 or not word.isalpha():
        return None
    place = rng.randrange(1, len(word) - 2)
    slipped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return name.replace(word, slipped, 1) if slipped != word else None


def _possessive(name: str, _: random.Random) -> str | None:
    found = re.match(r"([A-Z][a-z]{3,}) (disease|syndrome)", name)
    return f"{found.group(1)}'s {found.group(2)}{name[found.end() :]}" if found else None


def _reordered(name: str, _: random.Random) -> str | None:
    found = re.fullmatch(r"([A-Z][a-z]+(?:-[A-Z][a-z]+)*) (disease|syndrome)", name)
    return f"{found.group(2)} of {found.group(1)}" if found else None


def _hyphens(name: str, _: random.Random) -> str | None:
    return name.replace("-", " ") if "-" in name else None


def _shortened(name: str, _: random.Random) -> str | None:
    found = re.fullmatch(r"([A-Z][a-z]{3,}) (?:disease|syndrome)", name)
    return f"?{found.group(1)}" if found else None


def _broken(name: str, _: random.Random) -> str | None:
    return name.replace(" ", "\n", 1)


def _capitals(name: str, _: random.Random) -> str | None:
    return name.upper()


_WAYS: dict[str, Callable[[str, random.Random], str | None]] = {
    "as listed": lambda name, _: name,
    "possessive": _possessive,
    "slip of the pen": _slip,
    "reordered": _reordered,
    "hyphens left out": _hyphens,
    "surname alone, queried": _shortened,
    "broken over lines": _broken,
    "capitals": _capitals,
}


def recall(find: Callable[[Planted], bool], planted: Sequence[Planted]) -> dict[str, Any]:
    """Share of planted namings that `find` sees, overall and by wording, with Wilson intervals."""
    seen = [(one.wording, bool(find(one))) for one in planted]
    by_wording = {
        wording: _share([found for kind, found in seen if kind == wording])
        for wording in dict.fromkeys(k for k, _ in seen)
    }
    return {**_share([found for _, found in seen]), "by_wording": by_wording}


class _Named(Protocol):
    @property
    def disease_id(self) -> str | None: ...


def recall_on_planted(
    find: Callable[[str], Iterable[_Named]], knowledge: Knowledge, *, n: int, seed: int
) -> dict[str, Any]:
    """`recall` of a detector (`find`: hits in a text) on `n` namings planted of the diseases of `knowledge`."""
    names = {disease.id: [name.text for name in disease.names] for disease in knowledge.diseases}
    by_id = {each: set(disease.ids) for disease in knowledge.diseases for each in disease.ids}
    return recall(
        lambda planted: any(hit.disease_id in by_id.get(planted.disease_id, ()) for hit in find(planted.text)),
        plant(names, n=n, seed=seed),
    )


def _share(found: Sequence[bool]) -> dict[str, Any]:
    hits = sum(found)
    return {"n": len(found), "recall": hits / len(found) if found else None, "ci95": wilson(hits, len(found))}
