"""8 · Conversations, kept: every exchange in one transaction, in SQLite by default, in another database by URL."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from adapterbot.errors import InputError, UnknownNameError, shorten
from adapterbot.history import History, Utterance
from adapterbot.storage.database import Database, Migration, now
from adapterbot.turn import Reply

SESSION_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
COLUMNS = ("session", "position", "message", "reply", "skill", "routed_by", "details", "created_at")
TURN = sa.table("turn", *map(sa.column, COLUMNS))
SAID = (TURN.c.position, TURN.c.message, TURN.c.reply, TURN.c.skill)
WHOLE = TURN.c.details.like("{%}")  # a look at both ends: the database need not send all details to find what is cut
SHOWN = ("message", "reply", "skill", "routed_by", "created_at")


def m001_turns(connection: Connection) -> None:
    """One row per exchange; `details` is JSON, `created_at` ISO 8601 in UTC."""
    connection.exec_driver_sql("""
        CREATE TABLE turn (
            session VARCHAR(100) NOT NULL, position INTEGER NOT NULL, message TEXT NOT NULL, reply TEXT NOT NULL,
            skill VARCHAR(100) NOT NULL, routed_by VARCHAR(20) NOT NULL, details TEXT NOT NULL,
            created_at VARCHAR(40) NOT NULL, PRIMARY KEY (session, position)
        )""")


# In this order, each once per database; a function's name is the migration's id. Append only.
MIGRATIONS: tuple[Migration, ...] = (m001_turns,)


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One conversation in the store; times are ISO 8601 in UTC."""

    id: str
    turns: int
    created_at: str
    updated_at: str


class Store:
    """The conversations in one database. Safe to use from several threads and processes.

    Every method raises StoreError when the database cannot be used (see `Database`), and InputError for a session id
    that is not 1 to 100 of `A-Z a-z 0-9 . _ -`.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        """`place` is a file, ':memory:' or an SQLAlchemy URL (see `Database`); nothing is created yet."""
        self._database = Database(place, MIGRATIONS)

    @property
    def place(self) -> str:
        """The file, or the URL without its password."""
        return self._database.place

    def append(self, session_id: str, message: str, reply: Reply) -> None:
        """Add one exchange, whole or not at all."""
        row = _row(check_session_id(session_id), message, reply)

        def insert(connection: Connection) -> None:
            last = connection.execute(sa.select(_last_position(session_id))).scalar()
            connection.execute(sa.insert(TURN).values(**row, position=(last or 0) + 1))

        self._database.write(insert)

    def history(self, session_id: str, most: int | None = None) -> History:
        """What was said in a session, oldest first, at most the last `most` utterances; empty for one never used.

        A damaged turn is left out, and `History.notes` says so.
        """
        chosen = sa.select(*SAID, WHOLE).where(TURN.c.session == check_session_id(session_id))
        chosen = chosen.order_by(TURN.c.position.desc()).limit(None if most is None else -(-most // 2))
        said = list[Utterance]()
        notes = list[str]()
        for position, message, reply, skill, whole in reversed(self._rows(chosen)):
            if whole and isinstance(message, str) and isinstance(reply, str):
                said += (Utterance("user", message), Utterance("bot", reply, str(skill)))
            else:
                notes.append(_left_out(session_id, position))
        return History(tuple(said if most is None else said[-most:] if most else ()), notes=tuple(notes))

    def sessions(self) -> list[SessionSummary]:
        """All sessions, the one used last first."""
        oldest = sa.func.min(TURN.c.created_at)
        newest = sa.func.max(TURN.c.created_at)
        chosen = sa.select(TURN.c.session, sa.func.count(), oldest, newest).group_by(TURN.c.session)
        return [SessionSummary(*tuple(row)) for row in self._rows(chosen.order_by(newest.desc(), TURN.c.session))]

    def undo(self, session_id: str) -> History:
        """Forget the last exchange of a session; returns what is left."""
        check_session_id(session_id)
        self._delete(TURN.c.session == session_id, TURN.c.position == _last_position(session_id))
        return self.history(session_id)

    def remove(self, session_id: str) -> None:
        """Forget a session.

        Raises:
            UnknownNameError: there is no such session; the message lists the nearest.
        """
        if not self._delete(TURN.c.session == check_session_id(session_id)):
            raise self._unknown(session_id)

    def export(self, session_id: str) -> dict[str, Any]:
        """A session as JSON: `{"session", "turns": [{"message", "reply", "skill", "scores", "facts", ...}]}`.

        Damaged turns are left out; there is then a key `warnings` that names them.

        Raises:
            UnknownNameError: there is no such session; the message lists the nearest.
        """
        chosen = sa.select(TURN).where(TURN.c.session == check_session_id(session_id)).order_by(TURN.c.position)
        turns = list[dict[str, Any]]()
        notes = list[str]()
        for row in self._rows(chosen):
            try:
                turns.append(_exported(row._asdict()))
            except (ValueError, TypeError, RecursionError):
                notes.append(_left_out(session_id, row.position))
        if not turns and not notes:
            raise self._unknown(session_id)
        return {"session": session_id, "turns": turns} | ({"warnings": notes} if notes else {})

    def _rows(self, chosen: sa.Select[Any]) -> list[sa.Row[Any]]:
        return self._database.read(lambda connection: list(connection.execute(chosen)), [])

    def _delete(self, *where: sa.ColumnElement[bool]) -> int:
        """How many turns went; a store that does not exist is not created for it."""
        statement = sa.delete(TURN).where(*where)
        return self._database.write(lambda connection: connection.execute(statement).rowcount, create=False) or 0

    def _unknown(self, session_id: str) -> UnknownNameError:
        return UnknownNameError("session", session_id, [session.id for session in self.sessions()])


def check_session_id(session_id: str) -> str:
    """`session_id` if it can name a session; raises InputError otherwise."""
    if not isinstance(session_id, str) or not SESSION_ID.fullmatch(session_id):
        raise InputError(f"session id {shorten(str(session_id))!r}: use 1 to 100 letters, digits, '.', '_' or '-'")
    return session_id


def _exported(row: Mapping[str, Any]) -> dict[str, Any]:
    """A turn as JSON; raises ValueError or TypeError for a damaged one."""
    details = json.loads(row["details"])
    if not isinstance(details, dict) or not all(isinstance(row[key], str) for key in SHOWN):
        raise ValueError("not what was written")
    return {key: row[key] for key in SHOWN} | details


def _left_out(session_id: str, position: object) -> str:
    return f"turn {shorten(str(position))} of the session {session_id!r} is damaged and was left out"


def _last_position(session_id: str) -> sa.ScalarSelect[Any]:
    return sa.select(sa.func.max(TURN.c.position)).where(TURN.c.session == session_id).scalar_subquery()


def _row(session_id: str, message: str, reply: Reply) -> dict[str, Any]:
    details = reply.to_dict()
    del details["history"]  # the turns before this one
    texts = {"message": message, "reply": details.pop("text")}
    texts |= {column: details.pop(column) for column in ("skill", "routed_by")}
    plain = {column: text.encode("utf-8", "replace").decode() for column, text in texts.items()}  # no lone surrogates
    return {"session": session_id, **plain, "details": json.dumps(details), "created_at": now()}
