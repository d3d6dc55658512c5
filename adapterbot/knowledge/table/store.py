"""3 · Rows of a table, read from CSV or SQLite, checked, and written to a SQLite file that is made to be searched.

In it the columns are c0, c1, ...: no name from a user's file ever becomes SQL. The table `shape` says what each is
called and what it is for, so that a large table opens without being read.
"""

# Long: reading rows and writing them checked are one form of file.

from __future__ import annotations

import contextlib
import csv
import errno
import io
import itertools
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from adapterbot.errors import KnowledgeError, nearest, shorten
from adapterbot.home import DATA, Home, bounded_lines, opened, written_by_rename

FORMAT = "rows 1"  # of the file; another one has to be imported again
LONGEST = 300  # characters of a cell
MOST_COLUMNS = 40
LONGEST_ROW = 2**20  # characters of a line, and of all lines of a row whose quoted cells go on in the next one
BATCH = 5_000  # rows between two calls of `advance`
MOST_ASKED = 8  # columns that people can ask for; each has an index
MOST_VALUES = 300  # different values of a column that people can ask for
DELIMITERS = (",", ";", "\t")
NAMES = ("name", "poi", "trainid", "title", "id")  # the column that tells rows apart, the first of these that is there
NEVER = frozenset({"address", "phone", "postcode", "price", "duration", "distance", "id"})  # told, not asked for
# What stands beside the rows. A key is an entity's name as it is looked up (see `key`).
TABLES = """
    CREATE TABLE about (format TEXT NOT NULL, rows INTEGER NOT NULL);
    CREATE TABLE shape (place INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL);
    CREATE TABLE choice (place INTEGER NOT NULL, value TEXT NOT NULL);
    CREATE TABLE entity (key TEXT NOT NULL, row INTEGER NOT NULL);
"""
WORD = re.compile(r"[^\W_]+")
TIME = re.compile(r"\d{1,2}:\d\d")
NUMBER = re.compile(r"\d{1,3}")
SAYS_NOTHING = frozenset({"", "?", "-", "n/a", "none", "unknown"})

# entity: tells rows apart · value: one of few · flag: yes or no · time: of day · number · plain: told, not asked for
Kind = Literal["entity", "value", "flag", "time", "number", "plain"]
Advance = Callable[[int], None]
Line = tuple[str, Sequence[str]]  # where it stands, and its cells


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `values` are the different ones of a column that people can ask for."""

    place: int
    name: str
    kind: Kind
    values: tuple[str, ...] = ()

    @property
    def sql(self) -> str:
        """What it is called in the database."""
        return f"c{self.place:d}"


def key(text: str) -> str:
    """A name as it is looked up: its words in lower case, without apostrophes and 'the'."""
    words = WORD.findall(text.lower().replace("'", "").replace("’", ""))
    return " ".join(word for word in words if word != "the")


def import_rows(path: Path, target: Path, like: Sequence[str], needed: Sequence[str], advance: Advance) -> int:
    """Write the rows of a CSV or SQLite file to `target`, whole or not at all; returns how many.

    Columns are called and ordered as in `like`, others follow. `advance` is told how many more rows were read.

    Raises:
        KnowledgeError: the file cannot be used (`file:line: what is wrong`), or `target` cannot be written.
    """
    header, lines = read_table(path, target.stem)
    order = _order(path, header, like, needed)
    called = {name.lower(): name for name in like}
    names = [called.get(header[i].lower(), header[i]) for i in order]
    ordered = ((where, [cells[i] for i in order]) for where, cells in lines)
    try:
        with written_by_rename(target) as temporary, contextlib.closing(sqlite3.connect(temporary)) as new:
            return fill(new, names, ordered, path, advance)
    except (OSError, sqlite3.Error) as error:
        raise KnowledgeError(f"{target}: cannot be written ({error})") from None


def stock(home: Home, name: str) -> list[tuple[str, bool]]:
    """What the skill `name` answers from, in words, and whether it is the user's own, which replaces what ships."""
    own = home.knowledge / "tables" / f"{name}.sqlite3"
    shipped = DATA / "knowledge" / f"{name}.csv"
    if own.is_file():
        try:
            with contextlib.closing(sqlite3.connect(f"{own.absolute().as_uri()}?mode=ro", uri=True)) as database:
                count = int(database.execute("SELECT rows FROM about").fetchone()[0])
        except (sqlite3.Error, TypeError) as error:
            raise KnowledgeError(f"{own}: damaged ({error}); add the table again") from None
        instead = ", in place of those that ship" if shipped.is_file() else ""
        return [(f"{count:,} row{'s' if count > 1 else ''} in {own}{instead}", True)]
    if shipped.is_file():
        return [(f"{sum(1 for _ in _csv(shipped)) - 1:,} rows that ship, made up", False)]
    return []


def read_table(path: Path, name: str) -> tuple[list[str], Iterator[Line]]:
    """The header of a CSV or SQLite file and its rows, one at a time; `name` picks one of several SQLite tables.

    Raises:
        KnowledgeError: what is wrong with the file, also while its rows are read.
    """
    try:
        with opened(path) as stream:
            start = stream.read(16)
    except OSError as error:
        raise KnowledgeError(f"{path}: cannot be read: {error.strerror}") from None
    lines = _sqlite(path, name) if start == b"SQLite format 3\0" else _csv(path)
    _, first = next(lines, ("", ()))
    header = [" ".join(cell.split()) for cell in first]
    if not header:
        raise KnowledgeError(f"{path}: empty; the first line names the columns, each further line is a row")
    _check_header(path, header)
    return header, _checked(lines, len(header))


def fill(
    database: sqlite3.Connection, names: Sequence[str], lines: Iterable[Line], path: Path, advance: Advance
) -> int:
    """Make an empty database that of these rows; returns how many there are.

    Raises:
        KnowledgeError: there is no row in `path`.
    """
    database.execute("PRAGMA journal_mode = OFF")  # renamed into place only when whole
    database.execute("PRAGMA synchronous = OFF")
    database.executescript(TABLES)
    columns = ", ".join(f"c{i:d} TEXT NOT NULL COLLATE NOCASE" for i in range(len(names)))
    create = f"CREATE TABLE row (id INTEGER PRIMARY KEY, {columns})"
    database.execute(create)
    insert = f"INSERT INTO row VALUES (NULL{', ?' * len(names)})"
    seen = [_Seen() for _ in names]
    count = 0
    rows = iter(lines)
    while batch := [[_cell(c) for c in cells] for _, cells in itertools.islice(rows, BATCH)]:
        database.executemany(insert, batch)
        for column, cells in zip(seen, zip(*batch, strict=True), strict=True):
            column.add(cells)
        count += len(batch)
        advance(len(batch))
    if not count:
        raise KnowledgeError(f"{path}: no rows below the header")
    _finish(database, names, seen, count)
    return count


def _finish(database: sqlite3.Connection, names: Sequence[str], seen: Sequence[_Seen], count: int) -> None:
    """Write what the columns are, and the indexes."""
    lower = [name.lower() for name in names]
    entity = next((lower.index(name) for name in NAMES if name in lower), 0)
    columns = [s.column(i, n, i == entity) for i, (n, s) in enumerate(zip(names, seen, strict=True))]
    asked = [c for c in columns if c.kind not in ("entity", "plain")][:MOST_ASKED]
    columns = [c if c in asked or c.kind == "entity" else Column(c.place, c.name, "plain") for c in columns]
    database.executemany("INSERT INTO shape VALUES (?, ?, ?)", [(c.place, c.name, c.kind) for c in columns])
    database.executemany("INSERT INTO choice VALUES (?, ?)", [(c.place, v) for c in columns for v in c.values])
    database.create_function("key", 1, key, deterministic=True)
    named = f"INSERT INTO entity SELECT key({columns[entity].sql}), id FROM row"
    database.execute(named)
    database.execute("CREATE INDEX by_key ON entity (key)")
    for column in asked:  # each index holds all that is asked for, so that any combination is found in the index alone
        rest = ", ".join(c.sql for c in (column, *(other for other in asked if other is not column)))
        create = f"CREATE INDEX by_{column.sql} ON row ({rest})"
        database.execute(create)
    database.execute("INSERT INTO about VALUES (?, ?)", (FORMAT, count))
    database.execute("ANALYZE")
    database.commit()


class _Seen:
    """What the cells of one column have in common, in bounded memory."""

    def __init__(self) -> None:
        self.values: dict[str, None] = {}
        self.times = self.numbers = True
        self.many = False

    def add(self, cells: Sequence[str]) -> None:
        """Take in some more cells."""
        new = [c for c in dict.fromkeys(cells) if c not in self.values and c.lower() not in SAYS_NOTHING]
        self.times = self.times and all(TIME.fullmatch(c) for c in new)
        self.numbers = self.numbers and all(NUMBER.fullmatch(c) for c in new)
        self.many = self.many or len(self.values) + len(new) > MOST_VALUES
        if not self.many:
            self.values |= dict.fromkeys(new)

    def column(self, place: int, name: str, entity: bool) -> Column:
        """The column as it can be asked for."""
        known = {value.lower() for value in self.values}
        if entity:
            return Column(place, name, "entity")
        if self.times and (self.many or known):
            return Column(place, name, "time")
        if name.lower() in NEVER or self.many or not known:
            return Column(place, name, "plain")
        if "yes" in known and known <= {"yes", "no", "free"}:
            return Column(place, name, "flag")
        if self.numbers:
            return Column(place, name, "number")
        words = [v for v in self.values if not v[0].isdigit() and len(v) <= 40]
        codes = sum(sum(map(str.isdigit, v)) > 4 for v in self.values) * 2 > len(known)
        return Column(place, name, "value", tuple(words)) if words and not codes else Column(place, name, "plain")


def _order(path: Path, header: Sequence[str], like: Sequence[str], needed: Sequence[str]) -> list[int]:
    """The columns of the file in the order of `like`, others after them."""
    lower = [name.lower() for name in header]
    for name in needed:
        if name.lower() not in lower:
            raise KnowledgeError(f"{path}: the column {name!r} is missing; {nearest(name, header)}")
    known = [lower.index(name.lower()) for name in like if name.lower() in lower]
    return known + [i for i in range(len(header)) if i not in known]


def _check_header(path: Path, header: Sequence[str]) -> None:
    if len(header) > MOST_COLUMNS:
        raise KnowledgeError(f"{path}:1: {len(header)} columns; at most {MOST_COLUMNS} are taken")
    seen: set[str] = set()
    for number, name in enumerate(header, 1):
        if not re.fullmatch(r"[A-Za-z][\w ]{0,39}", name):
            raise KnowledgeError(
                f"{path}:1: column {number} is called {shorten(name)!r}; the first line names the columns, in letters"
            )
        if name.lower() in seen:
            raise KnowledgeError(f"{path}:1: two columns are called {name!r}")
        seen.add(name.lower())


def _checked(lines: Iterable[Line], width: int) -> Iterator[Line]:
    for where, cells in lines:
        if len(cells) != width:
            raise KnowledgeError(f"{where}: {len(cells)} cells, but the header has {width}; quote cells with commas")
        longest = max(cells, key=len)
        if len(longest) > LONGEST:
            raise KnowledgeError(f"{where}: a cell has {len(longest):,} characters; at most {LONGEST} are taken")
        yield where, cells


def _cell(text: str) -> str:
    """A cell on one line; a time gets two digits for its hour, so that times sort."""
    plain = " ".join(text.replace("\0", " ").split())
    return f"0{plain}" if len(plain) == 4 and TIME.fullmatch(plain) else plain


def _csv(path: Path) -> Iterator[Line]:
    """The lines of a CSV file that have something in them, the header first."""
    line = 1
    try:
        with io.TextIOWrapper(opened(path), encoding="utf-8-sig", newline="") as stream:
            head = stream.readline(LONGEST * MOST_COLUMNS)
            delimiter = max(DELIMITERS, key=head.count)
            stream.seek(0)
            lines = _Lines(stream, path)
            rows = csv.reader(lines, delimiter=delimiter, strict=True)
            for cells in rows:
                lines.size = 0
                if any(cell.strip() for cell in cells):
                    yield f"{path}:{line}", cells
                line = rows.line_num + 1
    except UnicodeDecodeError:
        raise KnowledgeError(f"{path}:{line}: not UTF-8 from here on; convert the file to UTF-8") from None
    except csv.Error as error:
        raise KnowledgeError(f"{path}:{line}: not CSV: {error}") from None
    except OSError as error:
        raise KnowledgeError(f"{path}: cannot be read: {error.strerror}") from None


def _quoted(table: str) -> str:
    """A table's name, which the database itself gave, as an identifier."""
    return '"' + table.replace('"', '""') + '"'


class _Lines:
    """The lines of a CSV file; raises OSError when a row, whose `size` is set to 0 at its end, grows too long."""

    def __init__(self, stream: IO[str], path: Path) -> None:
        self._lines = bounded_lines(stream, LONGEST_ROW, str(path))
        self._name = str(path)
        self.size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        self.size += len(line)
        if self.size > LONGEST_ROW:
            raise OSError(errno.EFBIG, f"a row goes on in line {number:,}; a quote is not closed", self._name)
        return line


def _sqlite(path: Path, name: str) -> Iterator[Line]:
    """The column names and the rows of the only table of a SQLite file, or of the one called `name`."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_ROW)
            found = database.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
                " AND sql NOT LIKE 'CREATE VIRTUAL%'"
            )
            tables = [row[0] for row in found]
            table = tables[0] if len(tables) == 1 else name
            if table not in tables:
                raise KnowledgeError(f"{path}: a table {name!r} is expected; {nearest(name, tables)}")
            rows = database.execute(f"SELECT * FROM {_quoted(table)}")
            yield f"{path}: table {table}", [str(column[0]) for column in rows.description]
            for number, row in enumerate(rows, 1):
                yield f"{path}: row {number}", ["" if v is None or isinstance(v, bytes) else str(v) for v in row]
    except sqlite3.Error as error:
        raise KnowledgeError(f"{path}: not a sound SQLite file: {error}") from None
