"""The tables of the store, and the migrations that make them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from adapterbot.storage.database import Migration

COLUMNS = (
    "session",
    "position",
    "number",
    "message",
    "reply",
    "skill",
    "routed_by",
    "details",
    "opinion",
    "created_at",
)
TURN = sa.table("turn", *map(sa.column, COLUMNS))  # what was said, each turn in the version that is shown
VERSION = sa.table("version", *map(sa.column, COLUMNS))  # what else was said at the same place
CONVERSATION = sa.table("conversation", *map(sa.column, ("session", "owner", "title", "deleted_at")))


def m001_turns(connection: Connection) -> None:
    """One row per exchange; `details` is JSON, `created_at` ISO 8601 in UTC."""
    connection.exec_driver_sql("""
        CREATE TABLE turn (
            session VARCHAR(100) NOT NULL, position INTEGER NOT NULL, message TEXT NOT NULL, reply TEXT NOT NULL,
            skill VARCHAR(100) NOT NULL, routed_by VARCHAR(20) NOT NULL, details TEXT NOT NULL,
            created_at VARCHAR(40) NOT NULL, PRIMARY KEY (session, position)
        )""")


def m002_versions(connection: Connection) -> None:
    """Several versions of a turn, by `number`; `opinion` is 1 for one that was liked, -1 disliked, 0 neither."""
    connection.exec_driver_sql("ALTER TABLE turn ADD COLUMN number INTEGER NOT NULL DEFAULT 1")
    connection.exec_driver_sql("ALTER TABLE turn ADD COLUMN opinion INTEGER NOT NULL DEFAULT 0")
    connection.exec_driver_sql("""
        CREATE TABLE version (
            session VARCHAR(100) NOT NULL, position INTEGER NOT NULL, number INTEGER NOT NULL, message TEXT NOT NULL,
            reply TEXT NOT NULL, skill VARCHAR(100) NOT NULL, routed_by VARCHAR(20) NOT NULL, details TEXT NOT NULL,
            opinion INTEGER NOT NULL, created_at VARCHAR(40) NOT NULL, PRIMARY KEY (session, position, number)
        )""")


def m003_conversations(connection: Connection) -> None:
    """What the sessions of the app are called and whose they are; `deleted_at` is empty for one that is there."""
    connection.exec_driver_sql("""
        CREATE TABLE conversation (
            session VARCHAR(100) PRIMARY KEY, owner VARCHAR(100) NOT NULL, title TEXT NOT NULL,
            deleted_at VARCHAR(40) NOT NULL
        )""")
    connection.exec_driver_sql("CREATE INDEX conversation_owner ON conversation (owner)")


def m004_keys(connection: Connection) -> None:
    """One row per API key; `hash` is the SHA-256 of its secret, `per_minute` the requests it may make (NULL: any)."""
    connection.exec_driver_sql("""
        CREATE TABLE api_key (
            id VARCHAR(20) NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL, hash CHAR(64) NOT NULL,
            admin INTEGER NOT NULL, per_minute INTEGER, created_at VARCHAR(40) NOT NULL, revoked_at VARCHAR(40)
        )""")


def m005_long_skills(connection: Connection) -> None:
    """A stack of several skills may have a longer name than 100 characters; SQLite never minded."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE turn ALTER COLUMN skill TYPE TEXT")
        connection.exec_driver_sql("ALTER TABLE version ALTER COLUMN skill TYPE TEXT")


# In this order, each once per database; a function's name is the migration's id. Append only.
MIGRATIONS: tuple[Migration, ...] = (m001_turns, m002_versions, m003_conversations, m004_keys, m005_long_skills)
