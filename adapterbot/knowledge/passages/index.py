"""3 · A full-text index over passages: one SQLite file (FTS5, porter stems), which also keeps the passages' vectors.

The file is a cache: it is rebuilt when the passages' content changes or it is damaged, and stays in memory where the
user's folder cannot be written.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterbot.errors import KnowledgeError
from adapterbot.home import bounded_lines
from adapterbot.home import opened as opened_file
from adapterbot.knowledge.lines import read_json
from adapterbot.knowledge.sqlite_cache import opened

FORMAT = 1  # of the index file; another number makes it be built again
RANKING = "bm25(4.0, 1.0)"  # a hit in the title counts as four in the text
# around each hit in a highlighted title
MARK = "\x02"
UNMARK = "\x03"
# bm25 costs 2 µs for each passage that it ranks, and 0.05 µs for each that has a word of the query.
RANKED = 10_000  # passages that one statement ranks at most
SCANNED = 200_000  # passages that the frequent words of a query may have
LINE = 16 * 2**20  # bytes in a line at most
KEPT = 100_000  # vectors that an index keeps, the newest (77 MB with MiniLM)
TABLES = """
    CREATE TABLE vector (encoder TEXT, passage INTEGER, row BLOB NOT NULL, PRIMARY KEY (encoder, passage));
    CREATE VIRTUAL TABLE passage USING fts5(title, text, tokenize = "porter unicode61 remove_diacritics 2");
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """A short text about one thing. `row` counts from 1 in the order of the file."""

    row: int
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that holds some of the query's terms.

    `bm25` is divided by the weight of a word that only one passage has, so that it means the same in a small and in a
    large collection. `marked` and `marked_text` are title and text with `MARK` before each word that the query has.
    """

    passage: Passage
    bm25: float
    marked: str
    marked_text: str


class Index:
    """The passages of one file, searchable. Safe to use from several threads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        # over the connection and the counts
        self._db = connection
        self._lock = threading.Lock()
        weakref.finalize(self, connection.close)
        self.size = int(connection.execute("SELECT value FROM about WHERE key = 'passages'").fetchone()[0])
        # FTS5's inverse document frequency of a word that one passage has (sqlite.org/fts5.html, section 5.1.1).
        self._counts: dict[str, int] = {}
        self._rare = max(math.log((self.size - 0.5) / 1.5), 1e-6) if self.size else 1.0

    @classmethod
    def open(cls, path: Path, folder: Path) -> Index:
        """The index of the passages file `path`, kept in `folder`; built first where it is missing or out of date.

        Raises:
            KnowledgeError: the passages cannot be read, or a line of them is bad.
        """
        digest = f"{FORMAT} {content_digest(path)}"
        place = hashlib.sha256(str(path.absolute()).encode("utf-8", "surrogatepass")).hexdigest()[:8]
        target = folder / f"{path.stem}-{place}.sqlite3"
        return cls(opened(target, digest, lambda connection: _fill(connection, path)))

    def search(self, terms: Sequence[str], limit: int) -> list[Hit]:
        """The `limit` best passages with any of `terms`, best first. Terms are plain text, whatever is in them.

        In an index of more than `RANKED` passages those are left out that have none but frequent terms, and only one.
        """
        quoted = ['"' + term.replace("\0", " ").replace('"', '""') + '"' for term in terms]
        found: dict[int, Hit] = {}
        for wanted in self._affordable(quoted):
            for hit in self._ranked(wanted, limit):
                row = hit.passage.row
                found[row] = max(found.get(row, hit), hit, key=lambda other: other.bm25)
        return sorted(found.values(), key=lambda hit: -hit.bm25)[:limit]

    def _affordable(self, terms: Sequence[str]) -> list[str]:
        """Match expressions that together find the best passages with any of `terms` and rank few of the others.

        All passages with one of the rarest terms are ranked, and again, with the frequent ones, those that have both:
        each has its full score in one of the two.
        """
        if self.size <= RANKED:
            return [" OR ".join(terms)] if terms else []
        counts = {term: count for term in terms if (count := self._count(term))}
        known = sorted(counts, key=lambda term: counts[term])
        totals = dict(zip(known, itertools.accumulate(counts[term] for term in known), strict=True))
        rare = [term for term in known if totals[term] <= RANKED]
        frequent = [term for term in known if RANKED < totals[term] <= SCANNED]
        if rare and frequent:
            return [" OR ".join(rare), f"({' OR '.join(rare)}) AND ({' OR '.join(frequent)})"]
        if rare or not known:
            return [" OR ".join(rare)] if rare else []
        return [" AND ".join(known[:2]), f"{{title}} : ({' OR '.join(frequent or known[:1])})"]

    def _count(self, term: str) -> int:
        """How many passages have `term`, at most one more than may be scanned."""
        with self._lock:
            known = self._counts.get(term)
        if known is not None:
            return known
        query = "SELECT count(*) FROM (SELECT 1 FROM passage WHERE passage MATCH ? LIMIT ?)"
        count: int = self._fetch(query, (term, SCANNED + 1))[0][0]
        with self._lock:
            if len(self._counts) >= RANKED:
                self._counts.clear()
            self._counts[term] = count
        return count

    def _ranked(self, wanted: str, limit: int) -> list[Hit]:
        """The best of the first `RANKED` passages that match."""
        query = "SELECT max(rowid) FROM (SELECT rowid FROM passage WHERE passage MATCH ? LIMIT ?)"
        last = self._fetch(query, (wanted, RANKED))[0][0]
        found = self._fetch(
            "SELECT rowid, title, text, -rank, highlight(passage, 0, ?, ?), highlight(passage, 1, ?, ?) FROM passage"
            " WHERE passage MATCH ? AND rowid <= ? AND rank MATCH ? ORDER BY rank LIMIT ?",
            (MARK, UNMARK, MARK, UNMARK, wanted, last, RANKING, limit),
        )
        return [Hit(Passage(row, title, text), rank / self._rare, *marked) for row, title, text, rank, *marked in found]

    def vectors(self, encoder: str, rows: Sequence[int]) -> dict[int, bytes]:
        """Those vectors of the passages `rows` that `put_vectors` has kept for this encoder's fingerprint."""
        marks = ",".join("?" * len(rows))
        query = f"SELECT passage, row FROM vector WHERE encoder = ? AND passage IN ({marks})"
        return dict(self._fetch(query, (encoder, *rows)))

    def put_vectors(self, encoder: str, vectors: Mapping[int, bytes]) -> None:
        """Keep vectors by passage row. Where the index cannot be written they are not kept, which only costs time."""
        rows = [(encoder, passage, blob) for passage, blob in vectors.items()]
        with self._lock, contextlib.suppress(sqlite3.OperationalError), self._db:
            self._db.executemany("INSERT OR REPLACE INTO vector VALUES (?, ?, ?)", rows)
            self._db.execute("DELETE FROM vector WHERE rowid <= (SELECT max(rowid) FROM vector) - ?", (KEPT,))

    def _fetch(self, query: str, values: Sequence[Any]) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            place = self._db.execute("PRAGMA database_list").fetchone()[2]
            raise KnowledgeError(f"{place}: the search index cannot be read ({error}); remove it") from None


def content_digest(path: Path) -> str:
    """Start of the SHA-256 of a file; raises KnowledgeError when it cannot be read."""
    try:
        with opened_file(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    except OSError as error:
        raise KnowledgeError(f"{path}: cannot be read: {error.strerror}") from None


def read_passages(path: Path) -> Iterator[Passage]:
    """The passages of a JSONL file with a `title` and a `text` on each line; other keys are for people.

    Raises:
        KnowledgeError: the first bad line, as `file:line: what is wrong`.
    """
    try:
        with opened_file(path) as stream:
            row = 0
            for number, raw in bounded_lines(stream, LINE):
                if raw.strip(b"\xef\xbb\xbf \t\r\n"):
                    row += 1
                    yield Passage(row, *parse_passage(raw, f"{path}:{number}"))
    except OSError as error:
        raise KnowledgeError(f"{path}: cannot be read: {error.strerror}") from None


def parse_passage(raw: bytes, where: str) -> tuple[str, str]:
    """Title and text of a JSON line; raises KnowledgeError, which begins with `where`."""
    item = read_json(raw, where)
    values = [item.get(key) if isinstance(item, dict) else None for key in ("title", "text")]
    title, text = (
        " ".join(v.split()).encode("utf-8", "replace").decode() if isinstance(v, str) else "" for v in values
    )
    if not title or not text:
        raise KnowledgeError(
            f'{where}: a passage is an object {{"title": "...", "text": "..."}}, neither of them empty'
        )
    return title, text


def _fill(connection: sqlite3.Connection, path: Path) -> None:
    """Make an empty database the index of the passages of `path`."""
    connection.executescript(TABLES)
    rows = ((p.row, p.title, p.text) for p in read_passages(path))
    size = connection.executemany("INSERT INTO passage (rowid, title, text) VALUES (?, ?, ?)", rows).rowcount
    connection.execute("INSERT INTO about VALUES ('passages', ?)", (str(max(size, 0)),))
