"""3 · A user's own passages: one search index under ADAPTERBOT_HOME that files are added to.

Every change makes a new file that takes the old one's place when it is whole: whoever searches meanwhile, and whatever
breaks off, nothing is lost.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from adapterbot.errors import KnowledgeError, UnknownNameError
from adapterbot.home import DATA, Home, written_by_rename
from adapterbot.knowledge.passages.index import FORMAT, TABLES, Index, content_digest
from adapterbot.knowledge.passages.readers import files_of, passages_of
from adapterbot.knowledge.sqlite_cache import ABOUT, WAIT
from adapterbot.language.markup import clean

NAME = "passages.sqlite3"
SHIPPED = DATA / "knowledge" / "passages.jsonl"
STEP = 1_000  # passages between two reports
PENDING = 2**26  # bytes of terms that SQLite gathers before it writes them
SOURCES = """
    CREATE TABLE source (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, path TEXT NOT NULL, name TEXT NOT NULL,
        digest TEXT NOT NULL);
"""
UNUSABLE = "the added passages cannot be read ({}); `adapterbot knowledge rm passages` and add them again"


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was added: its passages are the rows `first` to `last`."""

    first: int
    last: int
    path: str
    name: str
    digest: str


class OwnIndex(Index):
    """The search index of a user's own passages, which also knows the file that each came from."""

    def file_name(self, row: int) -> str:
        """The name of the file that passage `row` came from."""
        found = self._fetch("SELECT name FROM source WHERE first <= ? ORDER BY first DESC LIMIT 1", (row,))
        return str(found[0][0]) if found else ""


class OwnPassages:
    """The index of what the user has added, opened anew whenever it was changed. Safe to use from several threads."""

    def __init__(self, home: Home) -> None:
        self._path = home.knowledge / NAME
        self._lock = threading.Lock()
        self._opened: tuple[tuple[int, int], OwnIndex] | None = None

    def index(self) -> OwnIndex | None:
        """The index as it is now, None when nothing was added.

        Raises:
            KnowledgeError: the file is damaged or of another version.
        """
        with self._lock:
            identity = _identity(self._path)
            if identity is None:
                self._opened = None
            elif self._opened is None or self._opened[0] != identity:
                self._opened = identity, OwnIndex(_open(self._path))
            return self._opened[1] if self._opened else None


def add(path: Path, home: Home, name: str, advance: Callable[[int], None] = lambda _: None) -> str:
    """Add the passages of a file or folder; what the same file or content had brought before is replaced.

    `advance` is told how many passages are done. Returns what was added, for people.

    Raises:
        KnowledgeError: nothing in `path` can be used, or the index cannot be written; it is then as it was.
    """
    files = {file: content_digest(file) for file in files_of(path)}
    target = home.knowledge / NAME
    before = _identity(target)
    try:
        with written_by_rename(target) as temporary, contextlib.closing(sqlite3.connect(temporary)) as new:
            _start(new, target, _replaced(target, path, files))
            added = _fill(new, files, advance)
            if not added:
                raise KnowledgeError(f"{path}: holds no text, so there is no passage to add")
            total = _finish(new)
            if _identity(target) != before:
                raise KnowledgeError(f"{target}: another import changed it meanwhile; add {path} again")
    except (OSError, sqlite3.Error) as error:
        raise KnowledgeError(f"{target}: cannot be written ({error}); the passages are as before") from None
    where = f"{len(files):,} files" if len(files) > 1 else path.name
    return f"{added:,} passage{'s' if added > 1 else ''} from {where}" + (
        f", {total:,} in all" if total > added else ""
    )


def remove(home: Home, name: str) -> bool:
    """Remove all passages that the user added; whether there were any."""
    target = home.knowledge / NAME
    try:
        target.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise KnowledgeError(f"{target}: cannot be removed: {error.strerror}") from None
    return True


def remove_file(home: Home, file: Path) -> str:
    """Remove the passages of one file, or of all files below a folder; says what is left.

    `file` is the path that it was added from, also where nothing is there any more, or its name alone.

    Raises:
        UnknownNameError: no passages are of it; the message names the nearest file. KnowledgeError: the index is
            damaged, or cannot be written; it is then as it was.
    """
    target = home.knowledge / NAME
    known = added_files(home)
    gone = [source for source in known if _is_replaced(source, file, {})]
    gone = gone or [source for source in known if source.name == str(file)]
    if not gone:
        raise UnknownNameError("file of passages", str(file), [source.path for source in known])
    removed = sum(source.last - source.first + 1 for source in gone)
    if len(gone) == len(known):
        remove(home, "passages")
        return f"{removed:,} removed, none of yours left"
    try:
        with written_by_rename(target) as temporary, contextlib.closing(sqlite3.connect(temporary)) as new:
            _start(new, target, gone)
            left = _finish(new)
    except (OSError, sqlite3.Error) as error:
        raise KnowledgeError(f"{target}: cannot be written ({error}); the passages are as before") from None
    return f"{removed:,} removed, {left:,} of yours left"


def added_files(home: Home) -> list[Source]:
    """The files that the user has added.

    Raises:
        KnowledgeError: the index is damaged or of another version.
    """
    target = home.knowledge / NAME
    if not target.is_file():
        return []
    with contextlib.closing(_open(target)) as connection:
        return sources(connection)


def stock(home: Home, name: str) -> list[tuple[str, bool]]:
    """What there is to answer from, in words, and whether it is the user's own."""
    with SHIPPED.open("rb") as stream:
        shipped = sum(1 for line in stream if line.strip())
    counts = [(source.last - source.first + 1, source.path) for source in added_files(home)]
    own = [(f"{count:,} passage{'s' if count > 1 else ''} of {path}", True) for count, path in counts]
    return [(f"{shipped:,} passages that ship", False), *own]


def sources(connection: sqlite3.Connection) -> list[Source]:
    """The files that were added, in the order of their passages."""
    return [
        Source(*row) for row in connection.execute("SELECT first, last, path, name, digest FROM source ORDER BY first")
    ]


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from the one that takes its place; a vector written into it changes nothing of that."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _open(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=WAIT, check_same_thread=False)
        found = connection.execute("SELECT value FROM about WHERE key = 'format'").fetchone()
        problem = "" if found == (str(FORMAT),) else "made by another version"
    except sqlite3.Error as error:
        problem = str(error)
    if problem:
        raise KnowledgeError(f"{path}: {UNUSABLE.format(problem)}")
    connection.execute("PRAGMA cache_size = -65536")  # KiB
    return connection


def _replaced(target: Path, path: Path, files: Mapping[Path, str]) -> list[Source]:
    """The files in `target` that `path` and its `files` replace."""
    if not target.exists():
        return []
    with contextlib.closing(_open(target)) as old:
        return [source for source in sources(old) if _is_replaced(source, path, files)]


def _start(new: sqlite3.Connection, target: Path, without: Sequence[Source]) -> None:
    """Make `new` what is to be added to: the passages in `target` but those of some files."""
    dropped: Sequence[Source] = ()
    if target.exists():
        with contextlib.closing(_open(target)) as old:
            if len(without) < len(sources(old)):
                old.backup(new)
                dropped = without
    new.execute("PRAGMA journal_mode = OFF")  # renamed into place only when whole
    new.execute("PRAGMA synchronous = OFF")
    if not new.execute("SELECT 1 FROM sqlite_master WHERE name = 'source'").fetchone():
        new.executescript(f"{ABOUT};{TABLES}{SOURCES}")
    new.execute("INSERT INTO passage (passage, rank) VALUES ('hashsize', ?)", (PENDING,))
    for source in dropped:
        new.execute("DELETE FROM passage WHERE rowid BETWEEN ? AND ?", (source.first, source.last))
        new.execute("DELETE FROM vector WHERE passage BETWEEN ? AND ?", (source.first, source.last))
        new.execute("DELETE FROM source WHERE first = ?", (source.first,))


def _is_replaced(source: Source, path: Path, files: Mapping[Path, str]) -> bool:
    """The same content under any name, the same file, or a file of the folder that is added again."""
    place = _stored(path)
    return source.digest in files.values() or source.path == place or source.path.startswith(place + os.sep)


def _stored(path: Path) -> str:
    """The whole path as text that a database takes, whatever bytes are in it."""
    return str(path.resolve()).encode("utf-8", "backslashreplace").decode()


def _fill(new: sqlite3.Connection, files: Mapping[Path, str], advance: Callable[[int], None]) -> int:
    """Add the passages of `files`, each content once; returns how many there were."""
    first = start = (new.execute("SELECT max(last) FROM source").fetchone()[0] or 0) + 1
    for digest, file in {digest: file for file, digest in files.items()}.items():
        rows = ((row, title, text) for row, (title, text) in enumerate(passages_of(file), first))
        row = first
        while batch := list(islice(rows, STEP)):
            new.executemany("INSERT INTO passage (rowid, title, text) VALUES (?, ?, ?)", batch)
            row += len(batch)
            advance(row - start)
        if row > first:
            about = (first, row - 1, _stored(file), clean(file.name), digest)
            new.execute("INSERT INTO source VALUES (?, ?, ?, ?, ?)", about)
        first = row
    return first - start


def _finish(new: sqlite3.Connection) -> int:
    """Make `new` a complete index; returns how many passages it has."""
    total = int(new.execute("SELECT sum(last - first + 1) FROM source").fetchone()[0])
    about = [("format", str(FORMAT)), ("passages", str(total))]
    new.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", about)
    new.execute("INSERT INTO passage (passage) VALUES ('optimize')")
    new.commit()
    return total
