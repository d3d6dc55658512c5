"""3 · One table that is asked: names that stand in a text, values near to what was said, and the rows of a query."""

from __future__ import annotations

import difflib
import re
import sqlite3
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Row
from adapterbot.knowledge.query_language import FEW, Clause, Schema, WrittenQuery
from adapterbot.knowledge.table.amounts import units_of
from adapterbot.knowledge.table.store import TIME, WORD, Column, key
from adapterbot.language.values import DIGITS
from adapterbot.language.words import STOP

COUNTED = 1000  # matches are counted up to here
LONGEST_NAME = 6  # words
MOST_WORDS = 200  # of a message that are looked up
MOST_NAMED = 50  # rows of names that are looked up, so that a chain's name is no flood
SMALL = 1000  # rows; in a larger table names are not searched for typos
# how alike a misspelt name or value of at least so many letters has to be
TYPO = 0.85
TYPO_LETTERS = 5
COMPARED = {"<": "<", "<=": "<=", ">": ">", ">=": ">="}  # a test as SQL
SAMPLED = 300  # cells of a column that are looked at for units
SPELT = re.compile(r"[^\W_]+(?:['’][^\W_]+)*['’]?")  # a word as it is written
AMOUNT = re.compile(r"-?\d+(?:[.,]\d+)?")
ORDINAL = ("cheap", "moderate", "expensive")  # words that go from less to more


@dataclass(frozen=True, slots=True)
class Condition:
    """A part of a search: SQL with ? for its values."""

    sql: str
    values: tuple[Any, ...] = ()


class Table:
    """A database that `store.fill` has filled. Safe to use from several threads."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        database.create_function("amount", 1, amount_of, deterministic=True)
        self._lock = threading.Lock()
        weakref.finalize(self, database.close)
        self.size = int(self._fetch("SELECT rows FROM about")[0][0])
        choices: dict[int, list[str]] = {}
        for place, value in self._fetch("SELECT place, value FROM choice ORDER BY rowid"):
            choices.setdefault(place, []).append(value)
        shape = self._fetch("SELECT place, name, kind FROM shape ORDER BY place")
        self.columns = [Column(place, name, kind, tuple(choices.get(place, ()))) for place, name, kind in shape]
        self.entity = next((column.name for column in self.columns if column.kind == "entity"), "")
        self.units = {c.name: units for c in self.columns if (units := self._units(c))}  # of columns with amounts
        self._by_name = {column.name: column for column in self.columns}
        self._keys: dict[str, list[str]] = {}  # of names, by first letter
        if self.size <= SMALL:
            for (name,) in self._fetch("SELECT DISTINCT key FROM entity WHERE key <> ''"):
                self._keys.setdefault(name[0], []).append(name)

    def schema(self, topic: str) -> Schema:
        """What can be asked of it."""
        return Schema(topic, tuple((c.name, c.values if len(c.values) <= FEW else ()) for c in self.columns))

    # -- what was said, and what the table calls it -----------------------------------------------------------------

    def named(self, text: str) -> tuple[int, ...]:
        """The rows whose name stands in `text`, in its order; a name inside a longer one does not count."""
        return tuple(dict.fromkeys(row for _, _, rows in self.name_places(text) for row in rows))

    def name_places(self, text: str) -> list[tuple[int, int, tuple[int, ...]]]:
        """Where names of rows stand in `text`, by characters, and the rows that go by each."""
        found = ((m.start(), m.end(), key(m[0])) for m in SPELT.finditer(text))
        words = [(start, end, word) for start, end, word in found if word][:MOST_WORDS]
        spans = [(i, j) for j in range(len(words) + 1) for i in range(max(0, j - LONGEST_NAME), j)]
        spans.sort(key=lambda span: span[0] - span[1])
        keys = {(i, j): " ".join(word for _, _, word in words[i:j]) for i, j in spans}
        usable = [k for (i, j), k in keys.items() if j - i > 1 or k not in STOP]
        known = self._entities(usable)
        if not known:
            known = {k: self._entities([near]).get(near, []) for k in usable if (near := self._misspelt(k))}
        places, taken = list[tuple[int, int, tuple[int, ...]]](), set[int]()
        for (start, end), name in keys.items():
            if name in known and not taken & set(range(start, end)):
                taken |= set(range(start, end))
                places.append((words[start][0], words[end - 1][1], tuple(known[name])))
        return sorted(places)

    def called(self, name: str) -> tuple[int, ...]:
        """The rows that go by a name: as it is, misspelt, or the only ones that have all of its words in theirs."""
        looked_up = key(name)
        near = self._misspelt(looked_up)
        for form in filter(None, (looked_up, near)):
            if found := self._entities([form]).get(form):
                return tuple(found)
        words = set(looked_up.split()) - STOP
        longer = [known for keys in self._keys.values() for known in keys if words and words <= set(known.split())]
        return tuple(row for rows in self._entities(longer).values() for row in rows) if len(longer) <= FEW else ()

    def near(self, column: str, value: str) -> tuple[str, ...]:
        """The values of a column that `value` may mean; where there is none `value` alone, as it was said."""
        known = self._by_name[column].values
        said = squeezed(value)
        same = [v for v in known if squeezed(v) == said] or [v for v in known if squeezed(v) in (said + "s", said[:-1])]
        if not same and len(said) >= TYPO_LETTERS:
            forms = {squeezed(v): v for v in known}
            same = [forms[form] for form in difflib.get_close_matches(said, forms, n=1, cutoff=TYPO)]
        words = _words(value)
        same = same or [v for v in known if words and (words <= _words(v) or _words(v) <= words)]
        return tuple(same) or (value,)

    # -- the rows of a query ----------------------------------------------------------------------------------------

    def conditions(self, query: WrittenQuery, *, named: bool = True) -> list[Condition]:
        """What rows of a query have to be; without `named` those that go by a certain name are not asked for."""
        clauses = [c for c in query.clauses if named or c.column != self.entity or c.test == "!="]
        return [self._condition(clause) for clause in clauses]

    def select(
        self, conditions: Sequence[Condition], order: tuple[str, bool] | None, limit: int
    ) -> tuple[list[Row], int]:
        """The first `limit` rows that are as wanted, and how many there are (counted up to `COUNTED` + 1)."""
        where, values = _joined(conditions)
        count = f"SELECT count(*) FROM (SELECT 1 FROM row WHERE {where} LIMIT {COUNTED + 1})"
        matches = int(self._fetch(count, values)[0][0])
        by = "id" if matches <= COUNTED else ""  # sorting all of a large table would take longer than a turn may
        if order:
            by = f"{_sorted(self._by_name[order[0]], self.units)} {'DESC' if order[1] else 'ASC'}, id"
        select = f"SELECT id FROM row WHERE {where} {'ORDER BY ' + by if by else ''} LIMIT {limit:d}"
        return self.rows([row for (row,) in self._fetch(select, values)]), matches

    def rows(self, ids: Sequence[int]) -> list[Row]:
        """Rows as facts, in the order of `ids`; empty cells are left out."""
        select = f"SELECT * FROM row WHERE id IN ({_marks(ids)})"
        found = {row[0]: row[1:] for row in self._fetch(select, list(ids))}
        rows = []
        for i in ids:
            cells = tuple((c.name, v) for c, v in zip(self.columns, found[i], strict=True) if v)
            name = next((v for c, v in zip(self.columns, found[i], strict=True) if c.kind == "entity"), "")
            rows.append(Row("", name, cells))
        return rows

    def among(self, ids: Sequence[int]) -> Condition:
        """That a row is one of these."""
        return Condition(f"id IN ({_marks(ids)})", tuple(ids))

    def others(self, ids: Sequence[int]) -> Condition:
        """That a row is none of these."""
        return Condition(f"id NOT IN ({_marks(ids)})", tuple(ids))

    def _condition(self, clause: Clause) -> Condition:
        """What a clause asks of a row."""
        column = self._by_name[clause.column]
        if clause.test in COMPARED:
            return self._compared(column, clause)
        inverse = "NOT " if clause.test == "!=" else ""
        if column.kind == "entity":
            rows = [row for value in clause.values for row in self.called(value)]
            return Condition(f"{inverse}id IN ({_marks(rows)})", tuple(rows))
        if column.name in self.units and all(AMOUNT.fullmatch(_number_word(value)) for value in clause.values):
            numbers = [float(_number_word(value).replace(",", ".")) for value in clause.values]
            return Condition(f"{inverse}amount({column.sql}) IN ({_marks(numbers)})", tuple(numbers))
        if column.kind in ("number", "time"):
            values = [_number_word(value) for value in clause.values]
            return Condition(f"{column.sql} {inverse}IN ({_marks(values)})", tuple(values))
        if column.kind == "flag":
            values = [v for value in clause.values for v in _flags(value)]
            return Condition(f"{column.sql} {inverse}IN ({_marks(values)})", tuple(values))
        if column.values:
            values = [v for value in clause.values for v in self.near(column.name, value)]
            return Condition(f"{column.sql} {inverse}IN ({_marks(values)})", tuple(values))
        parts = " OR ".join(f"instr(lower({column.sql}), lower(?))" for _ in clause.values)
        return Condition(f"{inverse}({parts})", clause.values)

    def _compared(self, column: Column, clause: Clause) -> Condition:
        """An amount or a time of day that is more or less; all rows where what was said is neither."""
        value = clause.values[0]
        if column.kind == "time" and TIME.fullmatch(value):
            return Condition(f"{column.sql} {COMPARED[clause.test]} ?", (value.zfill(5),))
        number = amount_of(_number_word(value))
        return (
            Condition("1")
            if number is None
            else Condition(f"amount({column.sql}) {COMPARED[clause.test]} ?", (number,))
        )

    def _units(self, column: Column) -> tuple[str, ...]:
        """What the amounts of a column are counted in; none for a column of something else."""
        if column.kind in ("entity", "time", "flag"):
            return ()
        select = f"SELECT DISTINCT {column.sql} FROM row LIMIT {SAMPLED:d}"
        cells = [str(row[0]) for row in self._fetch(select)]
        return units_of(column.name, [cell for cell in cells if cell])

    @property
    def money(self) -> str:
        """The column of prices, or of words for them."""
        priced = [name for name, units in self.units.items() if "pounds" in units]
        return next(iter(priced), next((c.name for c in self.columns if set(ORDINAL) & set(c.values)), ""))

    def fitting(self, rows: Sequence[int], query: WrittenQuery) -> tuple[int, ...]:
        """Those of `rows` that are as wanted, in their order."""
        where, values = _joined([*self.conditions(query), self.among(rows)])
        kept = {row for (row,) in self._fetch(f"SELECT id FROM row WHERE {where}", values)}
        return tuple(row for row in rows if row in kept)

    def sorted(self, rows: Sequence[int], order: tuple[str, bool]) -> tuple[int, ...]:
        """Rows by a column."""
        by = f"{_sorted(self._by_name[order[0]], self.units)} {'DESC' if order[1] else 'ASC'}, id"
        select = f"SELECT id FROM row WHERE id IN ({_marks(rows)}) ORDER BY {by}"
        return tuple(row for (row,) in self._fetch(select, list(rows)))

    def cell(self, row: int, column: str) -> str:
        """One cell."""
        return str(self._fetch(f"SELECT {self._by_name[column].sql} FROM row WHERE id = ?", [row])[0][0])

    def _entities(self, keys: Sequence[str]) -> dict[str, list[int]]:
        """The rows of names, by key."""
        select = f"SELECT key, row FROM entity WHERE key IN ({_marks(keys)}) LIMIT {MOST_NAMED:d}"
        found: dict[str, list[int]] = {}
        for name, row in self._fetch(select, list(keys)):
            found.setdefault(name, []).append(row)
        return found

    def _misspelt(self, name: str) -> str:
        """The name that `name` misspells, or ""; one with another number than it has is another name."""
        if len(name) <= TYPO_LETTERS or any(map(str.isdigit, name)):
            return ""
        near = difflib.get_close_matches(name, self._keys.get(name[0], ()), n=1, cutoff=TYPO)
        return near[0] if near else ""

    def _fetch(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            place = self._db.execute("PRAGMA database_list").fetchone()[2] or "the table"
            raise KnowledgeError(f"{place}: the table cannot be read ({error}); add it again") from None

    @cached_property
    def times(self) -> tuple[str, ...]:
        """The columns of times of day."""
        return tuple(column.name for column in self.columns if column.kind == "time")


def squeezed(text: str) -> str:
    """The letters and digits of `text`, lower case, so that "guest house" is "guesthouse"."""
    return "".join(WORD.findall(text.lower().replace("'", "").replace("’", "")))


def _words(text: str) -> set[str]:
    return {word for word in WORD.findall(text.lower()) if word not in STOP}


def _number_word(value: str) -> str:
    """A number in digits, where it is said in words; a time of day with two digits for its hour."""
    if TIME.fullmatch(value):
        return value.zfill(5)
    return DIGITS.get(value.lower(), value)


def _flags(value: str) -> tuple[str, ...]:
    """The cells that a yes or a no stands for: what is free is there."""
    return ("yes", "free") if value.lower() in ("yes", "true") else (value,)


def amount_of(cell: str) -> float | None:
    """The number in a cell: of "£12.50" 12.5, of "free" nothing at all; None where there is none."""
    if cell.strip().lower() == "free":
        return 0.0
    number = AMOUNT.search(cell)
    return float(number[0].replace(",", ".")) if number else None


def _sorted(column: Column, units: Mapping[str, object]) -> str:
    """What rows are sorted by: amounts by their number, words that go from less to more in that order, else as they
    are."""
    if column.name in units:
        return f"amount({column.sql}) IS NULL, amount({column.sql})"
    if set(ORDINAL) & set(column.values):
        return f"CASE lower({column.sql}) WHEN 'cheap' THEN 0 WHEN 'moderate' THEN 1 WHEN 'expensive' THEN 2 ELSE 3 END"
    return column.sql


def _joined(conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
    """All of them at once."""
    parts = ["1"]
    parts += [condition.sql for condition in conditions]
    return " AND ".join(parts), [value for condition in conditions for value in condition.values]


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
