"""3 · A table: what the conversation asks for becomes a query, and the rows that fit become facts.

Four things can come back: rows ("address: ..., area: ..., name: ..."); `<skill>: none` when no row is as wanted;
`<skill>: 40 found` while nothing to choose by was said; and nothing when the user only says thanks or goodbye. The
training dialogues of `data.corpora.multiwoz` have the same four.
"""

from __future__ import annotations

import difflib
import sqlite3
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Count, Fact, Nothing, Row
from adapterbot.history import History
from adapterbot.home import DATA, Home, is_inside
from adapterbot.knowledge import Advance, Opening, Source, Stock, skill_file
from adapterbot.knowledge.lines import read_row
from adapterbot.knowledge.table import store
from adapterbot.knowledge.table.dialogue_state import understood
from adapterbot.knowledge.table.slots import TYPO, Speech, Want
from adapterbot.knowledge.table.store import FORMAT, Column, fill, import_rows, key, read_table
from adapterbot.language.words import STOP
from adapterbot.spec.folders import check_name

SHIPPED = DATA / "knowledge"
COMPARED = {"=": "=", ">=": ">=", "<=": "<="}  # a test as SQL
COUNTED = 1000  # matches are counted up to here
LONGEST_NAME = 6  # words
MOST_WORDS = 200  # of a message that are looked up
SMALL = 1000  # rows; in a larger table names are not searched for typos
TYPO_LETTERS = 6


def table_file(home: Home, name: str) -> Path:
    """Where the user's own table of a skill is.

    Raises:
        KnowledgeError: a symbolic link leads out of the user's folder.
    """
    path = home.knowledge / "tables" / f"{check_name(name)}.sqlite3"
    if not is_inside(path, home.knowledge):
        raise KnowledgeError(f"{path} leads out of {home.knowledge} by a symbolic link; add the table again")
    return path


class TableSource(Source):
    """The rows that fit what was said. Safe to use from several threads."""

    files = "a CSV file with a line of column names, or an SQLite table"
    per_skill = True

    def __init__(self, table: Table, topic: str, limit: int) -> None:
        self._table = table
        self._topic = topic
        self._limit = limit
        self._speech = Speech(table.columns, topic)

    @classmethod
    def open(cls, opening: Opening) -> TableSource:
        """The user's own table of the skill's name, else the spec's `file`, else the one that ships."""
        spec = opening.spec
        own = table_file(opening.home, spec.name)
        if own.is_file():
            return cls(Table(_opened(own, spec.name)), spec.name, spec.knowledge.limit)
        path = skill_file(spec) if spec.knowledge.file else SHIPPED / f"{spec.name}.csv"
        if not path.is_file():
            raise KnowledgeError(
                f"skill {spec.name!r} has no table: adapterbot knowledge add {spec.name} FILE.csv,"
                f" or name one as `file` under [knowledge] in {spec.folder / 'skill.toml'}"
            )
        return cls(Table(_filled(path, spec.name)), spec.name, spec.knowledge.limit)

    @classmethod
    def read_line(cls, line: str) -> Fact:
        """A row, or what a table says where it has none to show."""
        return read_row(line, "")

    @classmethod
    def add(cls, path: Path, home: Home, name: str, advance: Advance = lambda count: None) -> str:
        """Make a CSV or SQLite file the table of the skill `name`; returns a line for people.

        Raises:
            KnowledgeError: the file cannot be used, as `file:line: what is wrong`.
        """
        like = [column.name for column in _shipped_columns(name)]
        target = table_file(home, name)
        count = import_rows(path, target, like, cls.needed(name), advance)
        columns = Table(_opened(target, name)).columns
        return f"{count:,} rows, {len(columns)} columns: {', '.join(column.name for column in columns)}"

    @classmethod
    def needed(cls, name: str) -> list[str]:
        """The columns that a table of this skill has to have; none for a skill whose table does not ship."""
        return [column.name for column in _shipped_columns(name) if column.kind in ("entity", "value", "time")]

    @classmethod
    def forget(cls, home: Home, name: str) -> bool:
        """Take the user's own table of a skill away; whether there was one."""
        path = table_file(home, name)
        there = path.is_file()
        path.unlink(missing_ok=True)
        return there

    @classmethod
    def stock(cls, home: Home, name: str) -> Sequence[Stock]:
        """The user's table of the skill, else the one that ships."""
        return [Stock(what, own) for what, own in store.stock(home, name)]

    def mentions(self, text: str) -> tuple[str, ...]:
        """The names of the rows that stand in `text`."""
        return tuple(row.key for row in self._table.rows(self._table.named(text)))

    def retrieve(self, history: History) -> list[Fact]:
        """At most `limit` rows, the count of all while too little was asked, or that there is none; empty after
        thanks."""
        wish = understood(history, self._table, self._speech)
        if wish.over:
            return []
        if wish.focus:
            return [self._row(row, "named before") for row in self._table.rows(wish.focus[: self._limit])]
        if not wish.wants and not wish.order and not wish.without and not wish.ready:
            return [Count(self._table.size, self._topic, source="table", note="no query yet")]
        found, count = self._table.select(wish.wants, wish.without, wish.order, self._limit)
        query = f" for {wish}" if wish.wants else ""
        if not found:
            return [Nothing(self._topic, source="table", note=f"0{query}")]
        total = f"{count:,}" if count <= COUNTED else f"more than {COUNTED:,}"
        return [self._row(row, f"{i} of {total}{query}") for i, row in enumerate(found, 1)]

    def _row(self, row: Row, note: str) -> Row:
        return replace(row, table=self._topic, source="table", note=note, score=1.0)


class Table:
    """A database that `rows.fill` has filled."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        self._lock = threading.Lock()
        weakref.finalize(self, database.close)
        self.size = int(self._fetch("SELECT rows FROM about")[0][0])
        choices: dict[int, list[str]] = {}
        for place, value in self._fetch("SELECT place, value FROM choice ORDER BY rowid"):
            choices.setdefault(place, []).append(value)
        shape = self._fetch("SELECT place, name, kind FROM shape ORDER BY place")
        self.columns = [Column(place, name, kind, tuple(choices.get(place, ()))) for place, name, kind in shape]
        self._keys: dict[tuple[str, int], list[str]] = {}  # for names with typos, by first letter and number of words
        if self.size <= SMALL:
            for (name,) in self._fetch("SELECT DISTINCT key FROM entity WHERE key <> ''"):
                self._keys.setdefault((name[0], name.count(" ")), []).append(name)

    def named(self, text: str) -> tuple[int, ...]:
        """The rows whose name stands in `text`; a name inside a longer one does not count."""
        words = key(text).split()[:MOST_WORDS]
        spans = [(i, j) for j in range(len(words) + 1) for i in range(max(0, j - LONGEST_NAME), j)]
        spans.sort(key=lambda span: span[0] - span[1])
        keys = {span: " ".join(words[slice(*span)]) for span in spans}
        usable = [k for span, k in keys.items() if span[1] - span[0] > 1 or k not in STOP]
        known = self._entities(usable)
        if not known:
            typos = {k: near for k in usable if (near := self._misspelt(k))}
            known = {k: self._entities([near]).get(near, []) for k, near in typos.items()}
        rows = dict[int, None]()
        taken = set[int]()
        for span, name in keys.items():
            if name in known and not taken & set(range(*span)):
                taken |= set(range(*span))
                rows |= dict.fromkeys(known[name])
        return tuple(rows)

    def select(
        self,
        wants: Mapping[str, Want],
        without: frozenset[int],
        order: tuple[Column, bool] | None,
        limit: int,
    ) -> tuple[list[Row], int]:
        """The first `limit` rows that are as wanted, and how many there are (counted up to `COUNTED` + 1)."""
        where, values = _where(wants)
        if without:
            where += f" AND id NOT IN ({_marks(without)})"
            values += sorted(without)
        count = f"SELECT count(*) FROM (SELECT 1 FROM row WHERE {where} LIMIT {COUNTED + 1})"
        matches = int(self._fetch(count, values)[0][0])
        by = "id" if matches <= COUNTED else ""  # sorting all of a large table would take longer than a turn may
        if order:
            column, descending = order
            sql = column.sql if column.kind == "time" else f"CAST({column.sql} AS REAL)"
            by = f"{sql} {'DESC' if descending else 'ASC'}, id"
        select = f"SELECT id FROM row WHERE {where} {'ORDER BY ' + by if by else ''} LIMIT {limit:d}"
        return self.rows([row for (row,) in self._fetch(select, values)]), matches

    def rows(self, ids: Sequence[int]) -> list[Row]:
        """Rows as facts, in the order of `ids`; empty cells are left out."""
        select = f"SELECT * FROM row WHERE id IN ({_marks(ids)})"
        found = {row[0]: row[1:] for row in self._fetch(select, list(ids))}
        rows = []
        for i in ids:
            cells = tuple((c.name, v) for c, v in zip(self.columns, found[i], strict=True) if v)
            key = next((v for c, v in zip(self.columns, found[i], strict=True) if c.kind == "entity"), "")
            rows.append(Row("", key, cells))
        return rows

    def fitting(self, rows: Sequence[int], wants: Mapping[str, Want]) -> tuple[int, ...]:
        """Those of `rows` that are as wanted."""
        where, values = _where(wants)
        select = f"SELECT id FROM row WHERE {where} AND id IN ({_marks(rows)})"
        kept = {row for (row,) in self._fetch(select, [*values, *rows])}
        return tuple(row for row in rows if row in kept)

    def cell(self, row: int, column: Column) -> str:
        """One cell."""
        select = f"SELECT {column.sql} FROM row WHERE id = ?"
        return str(self._fetch(select, [row])[0][0])

    def _entities(self, keys: Sequence[str]) -> dict[str, list[int]]:
        """The rows of names, by key; at most 50 in all, so that a chain's name is no flood."""
        select = f"SELECT key, row FROM entity WHERE key IN ({_marks(keys)}) LIMIT 50"
        found: dict[str, list[int]] = {}
        for name, row in self._fetch(select, list(keys)):
            found.setdefault(name, []).append(row)
        return found

    def _misspelt(self, name: str) -> str:
        """The name that `name` misspells, or ""."""
        if len(name) < TYPO_LETTERS:
            return ""
        near = difflib.get_close_matches(name, self._keys.get((name[0], name.count(" ")), ()), n=1, cutoff=TYPO)
        return near[0] if near else ""

    def _fetch(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            place = self._db.execute("PRAGMA database_list").fetchone()[2] or "the table"
            raise KnowledgeError(f"{place}: the table cannot be read ({error}); add it again") from None


def _where(wants: Mapping[str, Want]) -> tuple[str, list[Any]]:
    """The condition that rows are as wanted, with ? for the values, and the values."""
    parts = ["1"]
    values = list[Any]()
    for want in wants.values():
        number = want.column.kind == "number"
        sql = f"CAST({want.column.sql} AS INTEGER)" if number and want.test != "=" else want.column.sql
        parts.append(f"{sql} IN ({_marks(want.values)})" if want.test == "=" else f"{sql} {COMPARED[want.test]} ?")
        values += [int(v) for v in want.values] if number and want.test != "=" else want.values
    return " AND ".join(parts), values


def _marks(values: Sequence[Any] | frozenset[Any]) -> str:
    return ", ".join("?" * len(values))


def _shipped_columns(name: str) -> list[Column]:
    """The columns of the table that ships for a skill, none where there is no such table."""
    shipped = SHIPPED / f"{check_name(name)}.csv"
    return Table(_filled(shipped, name)).columns if shipped.is_file() else []


def _filled(path: Path, name: str) -> sqlite3.Connection:
    """A CSV file as a database in memory."""
    database = sqlite3.connect(":memory:", check_same_thread=False)
    header, lines = read_table(path, name)
    fill(database, header, lines, path, lambda rows: None)
    return database


def _opened(path: Path, name: str) -> sqlite3.Connection:
    """A table that `add` has made.

    Raises:
        KnowledgeError: it is damaged or of another format.
    """
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
    try:
        if database.execute("SELECT format FROM about").fetchone() == (FORMAT,):
            return database
        problem = "was made by another version"
    except sqlite3.Error as error:
        problem = f"is damaged ({error})"
    database.close()
    raise KnowledgeError(f"{path} {problem}: adapterbot knowledge add {name} FILE, or knowledge remove {name}")


SOURCE = TableSource
