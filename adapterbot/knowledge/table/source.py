"""3 · A table: what the conversation asks for becomes a query, and the rows that fit become facts.

Four things can come back: rows ("address: ..., area: ..., name: ..."); `<skill>: none` when no row is as wanted;
`<skill>: 40 found` while nothing to choose by was said; and nothing when the user only says thanks or goodbye. The
training dialogues of `data.corpora.multiwoz` have the same four.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Answer, Asked, Count, Fact, Nothing, Row
from adapterbot.history import History
from adapterbot.home import DATA, Home, is_inside
from adapterbot.knowledge import Advance, Opening, Source, Stock, skill_file
from adapterbot.knowledge.lines import read_row
from adapterbot.knowledge.query_language import WrittenQuery
from adapterbot.knowledge.table import store
from adapterbot.knowledge.table.dialogue_state import Wish, understood
from adapterbot.knowledge.table.slots import Speech
from adapterbot.knowledge.table.store import FORMAT, Column, fill, import_rows, key, read_table
from adapterbot.knowledge.table.table import COUNTED, Table
from adapterbot.knowledge.table.times import said_of
from adapterbot.spec.folders import check_name
from adapterbot.turn import Evidence

SHIPPED = DATA / "knowledge"


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

    def __init__(self, table: Table, topic: str, limit: int, own: bool = False) -> None:
        from adapterbot.manager.tracker import shipped_tracker  # loads torch

        self._table = table
        self._own = own
        self._topic = topic
        self._limit = limit
        self._speech = Speech(table, topic, shipped_tracker())

    @classmethod
    def open(cls, opening: Opening) -> TableSource:
        """The user's own table of the skill's name, else the spec's `file`, else the one that ships."""
        spec = opening.spec
        own = table_file(opening.home, spec.name)
        if own.is_file():
            return cls(Table(_opened(own, spec.name)), spec.name, spec.knowledge.limit, own=True)
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

    def evidence(self, history: History) -> Evidence | None:
        """The row that the newest message names, by more than one everyday word."""
        text = history.last_user
        said = next((name for name in self.mentions(text) if _is_plain(name, text)), "")
        return Evidence(f"{said} stands in the table of {self._topic}", own=self._own) if said else None

    def retrieve(self, history: History) -> list[Fact]:
        """At most `limit` rows, the count of all while too little was asked, or that there is none; empty after
        thanks."""
        wish = understood(history, self._table, self._speech)
        if wish.over:
            return []
        if wish.focus:
            asked = self._asked(wish) if wish.about else {}
            rows = wish.focus[: self._limit]
            found = zip(rows, self._table.rows(rows), strict=True)
            return [self._row(row, "named before", asked.get(i, ())) for i, row in found]
        if not wish.clauses and not wish.order and not wish.without and not wish.ready:
            return [Count(self._table.size, self._topic, wish.count, source="table", note="no query yet")]
        return self._search(wish)

    def _search(self, wish: Wish) -> list[Fact]:
        """The rows of a query, how many there are where that is asked, or that there is none."""
        conditions = self._table.conditions(wish.query)
        if wish.without:
            conditions.append(self._table.others(sorted(wish.without)))
        found, count = self._table.select(conditions, wish.order, self._limit)
        query = f" for {wish}" if wish.clauses else ""
        wanted = tuple((c.column, c.test, value) for c in wish.clauses for value in (" or ".join(c.values),))
        if not found and (nearest := self._nearest(wish)):
            return nearest
        if not found:
            return [Nothing(self._topic, wanted=wanted, source="table", note=f"0{query}")]
        total = f"{count:,}" if count <= COUNTED else f"more than {COUNTED:,}"
        if wish.count and count <= COUNTED:
            return [Count(count, self._topic, True, wanted, source="table", note=f"{total}{query}")]
        if wish.first and wish.order:
            first = dict(found[0].cells).get(wish.order[0])
            found = [row for row in found if dict(row.cells).get(wish.order[0]) == first]
        asked = tuple(map(Asked, wish.ask))
        return [self._row(row, f"{i} of {total}{query}", asked) for i, row in enumerate(found, 1)]

    def _nearest(self, wish: Wish) -> list[Fact]:
        """The last row, where none is as late as was asked for, or the first one; none where times are not at fault."""
        times = [clause for clause in wish.clauses if clause.column in self._table.times]
        if len(times) != 1:
            return []
        (time,) = times
        rest = WrittenQuery(tuple(clause for clause in wish.clauses if clause is not time))
        late = time.test in (">", ">=")
        found, _ = self._table.select(self._table.conditions(rest), (time.column, late), 1)
        value = dict(found[0].cells).get(time.column, "") if found else ""
        if not value:
            return []
        order, bound = ("last", "after") if late else ("first", "before")
        there = f"the {order} one, {found[0].key}, {said_of(time.column, value)}"
        text = f"There is none {bound} {time.values[0]}; {there}."
        return [Answer(order, value, text, source="table"), self._row(found[0], f"the {order} one")]

    def _asked(self, wish: Wish) -> dict[int, tuple[Asked, ...]]:
        """What the newest message asks of each row in focus."""
        asked = {}
        for row in wish.focus[: self._limit]:
            claims = [
                Asked(c.column, c.test, " or ".join(c.values), bool(self._table.fitting([row], WrittenQuery((c,)))))
                for c in wish.claims
            ]
            asked[row] = (*claims, *map(Asked, wish.ask), *([Asked("")] if wish.lost else []))
        return asked

    def _row(self, row: Row, note: str, asked: tuple[Asked, ...] = ()) -> Row:
        return replace(row, table=self._topic, source="table", note=note, score=1.0, asked=asked)


def _is_plain(name: str, text: str) -> bool:
    """Whether a name cannot be a word of the language: it has several, a digit, or a capital where none is due."""
    words = key(name).split()
    if len(words) > 1 or any(map(str.isdigit, name)):
        return True
    return re.search(rf"(?<=[\w,'’] ){re.escape(name)}\b", text) is not None and name[:1].isupper()


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
