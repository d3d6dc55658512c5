"""8 · Which database a place names, and how transactions begin there.

SQLite runs in WAL mode, so that several processes may read while one writes; a writer is alone in the whole file. In
PostgreSQL a writer that names a session is alone in it, by an advisory lock that ends with its transaction; one that
names none is alone in the whole store.
"""

from __future__ import annotations

import re
import sqlite3
from functools import partial
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError

from adapterbot.errors import MissingPartError, StoreError, shorten

MEMORY = ":memory:"
WAIT = 1.0  # seconds that one attempt waits for another writer
REACHED = 3  # seconds in which a server has to be reached
FORMS = "a file, sqlite:///FILE, or postgresql+psycopg://USER@HOST/NAME"
POSTGRES = ("postgres", "postgresql", "postgresql+psycopg")  # psycopg whatever SQLAlchemy's own default is
SECRETS = ("password", "sslpassword")  # what libpq takes in a URL's query as well
SPACE = 0x61646170  # of our advisory locks ("adap"), which all programs of a database share
HIDDEN = "***"


class Opened(NamedTuple):
    """A database that was not reached yet: how it is called where people read it, and the file of SQLite."""

    engine: Engine
    shown: str
    file: Path | None


def opened(place: str) -> Opened:
    """The database that `place` names: a file, ':memory:' or an SQLAlchemy URL. Nothing is created or reached.

    Raises:
        StoreError: not a URL, or one of a database that no store can be in. No password is in any message.
        MissingPartError: psycopg is not installed.
    """
    url = _url(place)
    if url.drivername in POSTGRES:
        return Opened(_postgres(url.set(drivername=POSTGRES[-1])), _shown(url), None)
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise StoreError(f"{shorten(url.drivername)!r} is no database for a store, which is {FORMS}")
    path = url.database or MEMORY
    file = None if path.startswith((MEMORY, "file:")) else Path(path)
    return Opened(_sqlite(url), str(file or _shown(url)), file)


def one_for_all(engine: Engine) -> bool:
    """Whether all threads share one connection."""
    return engine.dialect.name == "sqlite" and engine.url.database in (None, "", MEMORY)


def _url(place: str) -> URL:
    if place == MEMORY:
        return URL.create("sqlite")
    scheme, mark, _ = place.partition("://")
    if not mark:
        if re.match(r"(postgres|sqlite)[\w+]*:", place):
            raise StoreError(f"{place.partition(':')[0]}: without // is neither a file nor a URL; a store is {FORMS}")
        return URL.create("sqlite", database=str(Path(place).absolute()))
    try:
        url = sa.make_url(place)
    except (ArgumentError, ValueError):
        raise StoreError(f"the URL {shorten(scheme)}://... cannot be read; a store is {FORMS}") from None
    if "@" in place.partition("@")[2]:  # what stands before the second one may be half of a password
        raise StoreError(f"the URL {shorten(scheme)}://... has more than one @: write %40 for those that are no mark")
    return url


def _shown(url: URL) -> str:
    hidden = {name: HIDDEN for name in url.query if name in SECRETS}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


# -- SQLite -----------------------------------------------------------------------------------------------------------


def _sqlite(url: URL) -> Engine:
    """No pool for a file: opening one costs 0.1 ms, and no connection stays behind in another thread."""
    if url.database in (None, "", MEMORY):
        engine = sa.create_engine(url, poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False})
    else:
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool, connect_args={"timeout": WAIT})
    sa.event.listen(engine, "connect", _own_transactions)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _own_transactions(connection: sqlite3.Connection, _: object) -> None:
    """Python's sqlite3 would begin transactions late, and none before CREATE TABLE; see below for texts."""
    connection.isolation_level = None
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")  # a damaged text hides no other


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


# -- PostgreSQL -------------------------------------------------------------------------------------------------------


def _postgres(url: URL) -> Engine:
    """Connections are kept and tried before they are used: a server that was started anew costs no turn.

    None waits for ever (see `postgres.Connection`).
    """
    limits = {
        "connect_timeout": REACHED,
        "prepare_threshold": None,  # poolers such as PgBouncer give every transaction another connection
        "application_name": "adapterbot",
    }
    asked = {name: value for name, value in limits.items() if name not in url.query}
    try:
        from adapterbot.storage.postgres import Connection as Answered

        engine = sa.create_engine(
            url,
            connect_args=asked,
            isolation_level="READ COMMITTED",  # what stands in the store once a lock is there, not before
            pool_pre_ping=True,  # 15 connections at most; who finds none free waits up to 30 s
        )
    except ImportError:  # psycopg, or the libpq that it calls
        raise MissingPartError(
            "a store in PostgreSQL needs psycopg, which is not installed: pip install 'adapterbot[postgres]'"
        ) from None
    sa.event.listen(engine, "do_connect", lambda _, __, place, options: Answered.connect(*place, **options))
    sa.event.listen(engine, "begin", _begin_postgres)
    return engine


def unanswered(error: Exception) -> bool:
    """Whether a server was silent, when it was asked or before: waiting for it took seconds."""
    return type(getattr(error, "orig", None)).__name__ == "ConnectionTimeout"  # psycopg need not be installed


def _begin_postgres(connection: Connection) -> None:
    """Wait so long for any lock, and take those of a writer; all settings and locks end with the transaction."""
    lock, whole = sa.func.pg_advisory_xact_lock, SPACE << 32
    options = connection.get_execution_options()
    connection.execute(sa.select(sa.func.set_config("lock_timeout", f"{1000 * WAIT:.0f}", True)))
    if not options.get("writes"):
        return
    if session := options.get("session"):  # in this order, or a writer of the whole store would stand between the two
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(whole)))
        connection.execute(sa.select(lock(sa.func.hashtextextended(session, whole))))
    else:
        connection.execute(sa.select(lock(whole)))
