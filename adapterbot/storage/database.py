"""8 · The database under the store: migrating, transactions, and errors that say what to do.

Writers wait for each other, at most `ATTEMPTS * WAIT` seconds. Nothing is created before the first write.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from adapterbot.errors import StoreError, shorten
from adapterbot.home import private_file, private_folder
from adapterbot.storage import engines

ATTEMPTS = 3
PAUSE = 0.05  # seconds between attempts
REST = 10.0  # seconds for which a server that did not answer is not asked again: each time would hold somebody up
PASSING = ("55P03", "40P01", "40001")  # PostgreSQL: a lock was not free in time, a deadlock, a conflict
LOG = "-wal"  # what SQLite appends to the file's name for its write-ahead log

Migration = Callable[[Connection], None]
T = TypeVar("T")
# Which migrations a database has had; a migration's id is its function's name.
MIGRATION = sa.table("migration", sa.column("name"), sa.column("applied_at"))


class Database:
    """One database with a schema that `migrations` make, in their order and each once. Safe to use from threads.

    `read` and `write` raise StoreError when the database is damaged, newer than this program, locked for too long or
    cannot be read or written; a damaged file is left as it is.
    """

    def __init__(self, place: str | os.PathLike[str], migrations: Sequence[Migration]) -> None:
        """`place` is a file, ':memory:', or an SQLAlchemy URL such as `postgresql+psycopg://user@host/name`.

        Raises:
            StoreError: not a URL, or one of a database that no store can be in.
            MissingPartError: the driver that the URL names is not installed.
        """
        self._engine, self.place, self._file = engines.opened(os.fspath(place))  # `place` without its password
        self._migrations = tuple(migrations)
        self._ready = False
        self._silent = (0.0, "")  # until when a server that did not answer is left alone, and what was said of it
        self._turn: Any = threading.Lock() if engines.one_for_all(self._engine) else nullcontext()
        weakref.finalize(self, self._engine.dispose)

    def prepare(self) -> None:
        """Make the database where there is none and bring its schema up to date, so that faults show at once."""
        self._tried(lambda: self._prepare(create=True))

    def read(self, work: Callable[[Connection], T], empty: T) -> T:
        """`work` in one read transaction; `empty` where there is no database yet."""
        try:
            return self._tried(lambda: self._transact(work) if self._prepare(create=False) else empty)
        except StoreError as error:
            if self._file is None or not self._file.is_file() or _can_write(self._file.parent):
                raise
            try:
                with _copy_of(self._file) as copy:  # SQLite cannot read a log without writing beside it
                    return Database(copy, self._migrations).read(work, empty)
            except StoreError:
                raise error from None  # it is not the disk alone

    def write(self, work: Callable[[Connection], T], *, session: str = "", create: bool = True) -> T | None:
        """`work` in one write transaction, whole or not at all; None if there is no database and none is to be made.

        Until it is done nobody else writes in that `session`, or, where none is named, in the whole store. `work` runs
        again when another writer was in the way.
        """
        options = {"writes": True, "session": session}
        return self._tried(lambda: self._transact(work, **options) if self._prepare(create=create) else None)

    def _tried(self, work: Callable[[], T]) -> T:
        """`work()`, again while another writer is in the way; errors become StoreError."""
        until, fault = self._silent
        if time.monotonic() < until:
            raise StoreError(fault)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return work()
            except (DBAPIError, NoConnectionError, sqlite3.Error, OSError) as error:
                self._ready = False  # look again next time: the file may have been moved away
                passing = isinstance(error, IntegrityError) or _state(error) in PASSING or "locked" in str(error)
                if attempt == ATTEMPTS or not passing:
                    explained = self._explained(error)
                    if engines.unanswered(error):
                        self._silent = (time.monotonic() + REST, str(explained))
                    raise explained from None
            time.sleep(PAUSE * attempt)
        raise AssertionError("unreachable")

    def _transact(self, work: Callable[[Connection], T], **options: Any) -> T:
        with self._turn, self._engine.connect().execution_options(**options) as connection, connection.begin():
            return work(connection)

    def _prepare(self, *, create: bool) -> bool:
        """Bring the schema up to date; False when there is no database yet and none is to be created."""
        if self._ready:
            return True
        if self._file is not None:
            if not create and not self._file.exists():
                return False
            if create and not self._file.exists():
                private_folder(self._file.parent)
                self._file.touch(mode=0o600)  # what people said is for nobody else; SQLite's log gets the same mode
            for end in ("", LOG, "-shm"):
                private_file(self._file.with_name(self._file.name + end))
        applied = self._transact(self._applied)
        if not applied and not create:
            return False
        if len(applied) < len(self._migrations):
            if self._file is not None:  # cannot be changed within a transaction
                with closing(self._engine.raw_connection()) as raw:
                    raw.cursor().execute("PRAGMA journal_mode = WAL")
            self._transact(self._migrate, writes=True)
        self._ready = True
        return True

    def _applied(self, connection: Connection) -> set[str]:
        """Names of the migrations that the database has had."""
        tables = sa.inspect(connection).get_table_names()
        if not tables:
            return set()
        if MIGRATION.name not in tables:
            raise StoreError(f"{self.place} holds another program's tables ({shorten(', '.join(tables))}); use another")
        applied = set(connection.execute(sa.select(MIGRATION.c.name)).scalars())
        newer = sorted(applied - {m.__name__ for m in self._migrations})
        if newer:
            raise StoreError(
                f"{self.place} was written by a newer adapterbot ({', '.join(newer)}): pip install --upgrade adapterbot"
            )
        return applied

    def _migrate(self, connection: Connection) -> None:
        applied = self._applied(connection)  # again: another process may have been quicker
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS migration (name VARCHAR(100) PRIMARY KEY, applied_at VARCHAR(40) NOT NULL)"
        )
        for migration in self._migrations:
            if migration.__name__ not in applied:
                migration(connection)
                connection.execute(sa.insert(MIGRATION).values(name=migration.__name__, applied_at=now()))

    def _explained(self, error: Exception) -> StoreError:
        reason = _reason(error)
        if "not a database" in reason or "malformed" in reason:
            return StoreError(
                f"{self.place} is damaged ({reason}). It was left as it is; move it away"
                f" (mv '{self.place}' '{self.place}.damaged') and the next message starts a new one"
            )
        if "locked" in reason or _state(error) in PASSING:
            return StoreError(f"{self.place} is locked by another program (waited {ATTEMPTS * engines.WAIT:g} s)")
        check = "its folder, permissions and the disk" if self._file else "its server, and what this user may do there"
        return StoreError(f"{self.place} cannot be used: {reason}; check {check}")


def _state(error: Exception) -> str:
    """PostgreSQL's code of what went wrong, empty for another database's errors."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _reason(error: Exception) -> str:
    """What the database says, on one line, without the values that a statement had."""
    said = getattr(error, "orig", None) or error
    primary = getattr(getattr(said, "diag", None), "message_primary", None)
    return shorten(" ".join((primary or str(said)).split()), 300)


def _can_write(folder: Path) -> bool:
    """Whether a file can be made in `folder`, tried: a mode says nothing about a read-only disk."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextmanager
def _copy_of(file: Path) -> Iterator[Path]:
    """A copy of an SQLite file and its log in a folder that can be written.

    Raises:
        StoreError: there is no room for it, or the file cannot be read.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="adapterbot-") as folder:
            copy = Path(folder, file.name)
            for end in ("", LOG):
                if (part := file.with_name(file.name + end)).is_file():
                    shutil.copyfile(part, copy.with_name(copy.name + end))
            yield copy
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror or error}") from None


def storable(text: str) -> str:
    """`text` without what not every database takes: lone surrogates and NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def now() -> str:
    """The time in UTC, ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
