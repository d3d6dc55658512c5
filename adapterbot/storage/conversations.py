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
from adapterbot.history import MOST_TEXT, History, Utterance
from adapterbot.storage.database import Database, now, storable
from adapterbot.storage.owners import Owned
from adapterbot.storage.replies import reply_of
from adapterbot.storage.retention import before, forget_unused_since
from adapterbot.storage.schema import COLUMNS, CONVERSATION, TURN, VERSION
from adapterbot.storage.schema import MIGRATIONS as MIGRATIONS
from adapterbot.turn import Reply

SESSION_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
SAID = (TURN.c.position, TURN.c.message, TURN.c.reply, TURN.c.skill)
WHOLE = TURN.c.details.like("{%}")  # a look at both ends: the database need not send all details to find what is cut
SHOWN = ("message", "reply", "skill", "routed_by", "created_at")


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One conversation in the store; times are ISO 8601 in UTC."""

    id: str
    turns: int
    created_at: str
    updated_at: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message and the reply to it, in one of its versions; `numbers` are those of all versions, in their order.

    `opinion` is 1 where the user liked the reply, -1 where they disliked it, else 0. `message` is what was heard: one
    line; `typed` is what was typed, with its new lines.
    """

    position: int
    number: int
    message: str
    reply: Reply
    opinion: int
    created_at: str
    numbers: tuple[int, ...] = (1,)
    typed: str = ""


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

    def prepare(self) -> None:
        """Make what is not there, so that faults show at once."""
        self._database.prepare()

    def append(self, session_id: str, message: str, reply: Reply, typed: str = "") -> None:
        """Add one exchange, whole or not at all. The message is what was heard; it may have been `typed` otherwise."""
        row = _row(check_session_id(session_id), message, reply, typed)
        self._database.write(lambda connection: _insert(connection, row), session=session_id)

    def of(self, owner: str) -> Owned:
        """The conversations of one owner, with their titles."""
        return Owned(self._database, check_session_id(owner), now)

    def exchanges(self, session_id: str, most: int | None = None) -> list[Exchange]:
        """What was said with all that led to it, oldest first, at most the last `most`; damaged ones are left out."""
        where = TURN.c.session == check_session_id(session_id)
        chosen = sa.select(TURN).where(where).order_by(TURN.c.position.desc()).limit(most)
        rows = self._rows(chosen)[::-1]
        since = rows[0].position if rows else 0
        others = sa.select(VERSION.c.position, VERSION.c.number)
        others = others.where(VERSION.c.session == session_id, VERSION.c.position >= since)
        numbers = dict[int, list[int]]()
        for other in self._rows(others) if rows else ():
            numbers.setdefault(other.position, []).append(other.number)
        return [exchange for row in rows if (exchange := _exchange(row, numbers.get(row.position, [])))]

    def versions(self, session_id: str, position: int) -> list[Exchange]:
        """All versions of one exchange, that which is shown included, in the order in which they were made."""
        check_session_id(session_id)
        shown = self._rows(sa.select(TURN).where(_at(TURN, session_id, position)))
        others = self._rows(sa.select(VERSION).where(_at(VERSION, session_id, position)))
        rows = sorted([*shown, *others], key=lambda row: row.number)
        numbers = [row.number for row in rows]
        return [exchange for row in rows if (exchange := _exchange(row, numbers))]

    def add_version(
        self, session_id: str, position: int, message: str, reply: Reply, typed: str = "", opinion: int = 0
    ) -> None:
        """Another version of an exchange, which is shown from now on; appended where it is gone meanwhile."""
        row = _row(check_session_id(session_id), message, reply, typed) | {"opinion": opinion}
        here = _at(TURN, session_id, position)

        def add(connection: Connection) -> None:
            if connection.execute(sa.select(TURN.c.number).where(here)).scalar() is None:
                _insert(connection, row)
                return
            _set_aside(connection, session_id, position)
            newest = sa.select(sa.func.max(VERSION.c.number)).where(_at(VERSION, session_id, position))
            number = (connection.execute(newest).scalar() or 0) + 1
            connection.execute(sa.insert(TURN).values(**row, position=position, number=number))

        self._database.write(add, session=session_id)

    def choose(self, session_id: str, position: int, number: int) -> None:
        """Show another version of an exchange; a number that there is not changes nothing."""
        chosen = sa.and_(_at(VERSION, session_id, position), VERSION.c.number == number)

        def swap(connection: Connection) -> None:
            if connection.execute(sa.select(VERSION.c.number).where(chosen)).scalar() is None:
                return
            _set_aside(connection, session_id, position)
            connection.execute(sa.insert(TURN).from_select(COLUMNS, sa.select(VERSION).where(chosen)))
            connection.execute(sa.delete(VERSION).where(chosen))

        self._database.write(swap, session=session_id, create=False)

    def judge(self, session_id: str, position: int, opinion: int) -> None:
        """What the user thinks of the reply that is shown there: 1 liked, -1 disliked, 0 neither."""
        judged = sa.update(TURN).where(_at(TURN, session_id, position)).values(opinion=max(-1, min(1, opinion)))
        self._database.write(lambda connection: connection.execute(judged), session=session_id, create=False)

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
        """All sessions but deleted ones, the one used last first."""
        oldest = sa.func.min(TURN.c.created_at)
        newest = sa.func.max(TURN.c.created_at)
        title = sa.func.coalesce(sa.func.max(CONVERSATION.c.title), "")
        chosen = sa.select(TURN.c.session, sa.func.count(), oldest, newest, title).group_by(TURN.c.session)
        chosen = chosen.outerjoin_from(TURN, CONVERSATION, TURN.c.session == CONVERSATION.c.session)
        chosen = chosen.where(sa.func.coalesce(CONVERSATION.c.deleted_at, "") == "")
        return [SessionSummary(*tuple(row)) for row in self._rows(chosen.order_by(newest.desc(), TURN.c.session))]

    def undo(self, session_id: str) -> History:
        """Forget the last exchange of a session; returns what is left."""
        check_session_id(session_id)

        def forget(connection: Connection) -> None:
            last = connection.execute(sa.select(_last_position(session_id))).scalar()
            for table in (TURN, VERSION):
                connection.execute(sa.delete(table).where(_at(table, session_id, last or 0)))

        self._database.write(forget, session=session_id, create=False)
        return self.history(session_id)

    def remove(self, session_id: str) -> None:
        """Forget a session.

        Raises:
            UnknownNameError: there is no such session; the message lists the nearest.
        """
        check_session_id(session_id)

        def forget(connection: Connection) -> int:
            for table in (VERSION, CONVERSATION):
                connection.execute(sa.delete(table).where(table.c.session == session_id))
            return connection.execute(sa.delete(TURN).where(TURN.c.session == session_id)).rowcount

        if not self._database.write(forget, session=session_id, create=False):
            raise self._unknown(session_id)

    def forget_unused(self, *, days: float) -> int:
        """Forget the sessions in which nothing was said for so many days; returns how many they were.

        Raises:
            SettingError: no number of days.
        """
        moment = before(days)
        return self._database.write(lambda connection: forget_unused_since(connection, moment), create=False) or 0

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


def _exchange(row: sa.Row[Any], others: list[int]) -> Exchange | None:
    """A turn as it was made, `others` being the numbers of its other versions; None for a damaged one."""
    try:
        details = json.loads(row.details)
        reply = reply_of(str(row.reply), str(row.skill), str(row.routed_by), details)
        numbers = tuple(sorted({*others, row.number}))
        message = str(row.message)
        typed = str(details.get("typed") or message)
        return Exchange(row.position, row.number, message, reply, row.opinion, str(row.created_at), numbers, typed)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _at(table: sa.TableClause, session_id: str, position: int) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.session == session_id, table.c.position == position)


def _insert(connection: Connection, row: Mapping[str, Any]) -> None:
    """A new turn, after the last of its session."""
    last = connection.execute(sa.select(_last_position(row["session"]))).scalar()
    connection.execute(sa.insert(TURN).values(**row, position=(last or 0) + 1, number=1))


def _set_aside(connection: Connection, session_id: str, position: int) -> None:
    """The turn at `position` is one of the versions that are not shown."""
    here = _at(TURN, session_id, position)
    connection.execute(sa.insert(VERSION).from_select(COLUMNS, sa.select(TURN).where(here)))
    connection.execute(sa.delete(TURN).where(here))


def _left_out(session_id: str, position: object) -> str:
    return f"turn {shorten(str(position))} of the session {session_id!r} is damaged and was left out"


def _last_position(session_id: str) -> sa.ScalarSelect[Any]:
    return sa.select(sa.func.max(TURN.c.position)).where(TURN.c.session == session_id).scalar_subquery()


def _row(session_id: str, message: str, reply: Reply, typed: str = "") -> dict[str, Any]:
    details = reply.to_dict()
    del details["history"]  # the turns before this one
    if typed and typed != message:
        details["typed"] = typed[-MOST_TEXT:]
    texts = {"message": message, "reply": details.pop("text")}
    texts |= {column: details.pop(column) for column in ("skill", "routed_by")}
    plain = {column: storable(text) for column, text in texts.items()}
    return {"session": session_id, **plain, "details": json.dumps(details), "opinion": 0, "created_at": now()}
