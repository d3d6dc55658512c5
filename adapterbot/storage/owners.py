"""The conversations of one owner: a browser of the app, known by a random id that it keeps."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from adapterbot.errors import UnknownNameError
from adapterbot.storage.database import Database, storable
from adapterbot.storage.schema import CONVERSATION, TURN, VERSION

LISTED = 200  # conversations of a list, the newest
TITLE = 80  # characters of a title
REGRET = timedelta(hours=1)  # how long what was deleted can be brought back


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation of a list; times are ISO 8601 in UTC."""

    id: str
    title: str
    turns: int
    updated_at: str


class Owned:
    """The conversations of `owner`. Nobody else's can be named: they are unknown here."""

    def __init__(self, database: Database, owner: str, now: Callable[[], str]) -> None:
        self._database = database
        self._now = now
        self.owner = owner

    def list(self, search: str = "") -> list[Conversation]:
        """Those that have turns, the one used last first; with `search`, those in which it was said or is the title."""
        newest = sa.func.max(TURN.c.created_at)
        chosen = sa.select(CONVERSATION.c.session, CONVERSATION.c.title, sa.func.count(), newest)
        chosen = chosen.join_from(CONVERSATION, TURN, CONVERSATION.c.session == TURN.c.session)
        chosen = chosen.where(CONVERSATION.c.owner == self.owner, CONVERSATION.c.deleted_at == "")
        for word in storable(search).split():
            chosen = chosen.where(sa.or_(_holds(CONVERSATION.c.title, word), CONVERSATION.c.session.in_(_saying(word))))
        chosen = chosen.group_by(CONVERSATION.c.session, CONVERSATION.c.title)
        chosen = chosen.order_by(newest.desc(), CONVERSATION.c.session).limit(LISTED)
        none: list[sa.Row[Any]] = []
        rows = self._database.read(lambda connection: list(connection.execute(chosen)), none)
        return [Conversation(*tuple(row)) for row in rows]

    def new_id(self) -> str:
        """An id for a conversation that is about to begin; nobody guesses it."""
        return secrets.token_hex(8)

    def begin(self, id: str, first: str) -> None:
        """A new conversation, called by its first message."""
        row = {"session": id, "owner": self.owner, "title": titled(first), "deleted_at": ""}
        insert = sa.insert(CONVERSATION).values(**row)
        self._database.write(lambda connection: connection.execute(insert), session=id)

    def title(self, id: str) -> str:
        """What a conversation is called.

        Raises:
            UnknownNameError: the owner has none of that id.
        """
        chosen = sa.select(CONVERSATION.c.title).where(self._named(id), CONVERSATION.c.deleted_at == "")
        found = self._database.read(lambda connection: connection.execute(chosen).scalar(), None)
        if found is None:
            raise UnknownNameError("conversation", id, [each.id for each in self.list()[:3]])
        return str(found)

    def rename(self, id: str, title: str) -> None:
        """Call a conversation otherwise; raises UnknownNameError as `title`. An empty title changes nothing."""
        self.title(id)
        if title.strip():
            self._change(id, title=titled(title))

    def delete(self, id: str) -> None:
        """Take a conversation out of the list; it can be brought back for an hour. Raises as `title`."""
        self.title(id)
        self._change(id, deleted_at=self._now())
        self._database.write(_forget_deleted)

    def restore(self, id: str) -> None:
        """Bring back what was deleted; raises UnknownNameError when it is too late."""
        self._change(id, deleted_at="")
        self.title(id)

    def _named(self, id: str) -> sa.ColumnElement[bool]:
        return sa.and_(CONVERSATION.c.session == storable(id), CONVERSATION.c.owner == self.owner)

    def _change(self, id: str, **values: str) -> None:
        changed = sa.update(CONVERSATION).where(self._named(id)).values(**values)
        self._database.write(lambda connection: connection.execute(changed), session=id, create=False)


def titled(text: str) -> str:
    """`text` on one line, short enough for a list."""
    line = " ".join(storable(text).split())
    return line if len(line) <= TITLE else line[: TITLE - 1].rstrip() + "…"


def _holds(column: sa.ColumnElement[str], word: str) -> sa.ColumnElement[bool]:
    return sa.func.lower(column).contains(word.lower(), autoescape=True)


def _saying(word: str) -> sa.Select[tuple[str]]:
    """The sessions in which `word` was said."""
    return sa.select(TURN.c.session).where(sa.or_(_holds(TURN.c.message, word), _holds(TURN.c.reply, word)))


def _forget_deleted(connection: Connection) -> None:
    """Remove for good what was deleted too long ago to be brought back."""
    before = (datetime.now(UTC) - REGRET).isoformat(timespec="milliseconds")
    late = sa.and_(CONVERSATION.c.deleted_at != "", CONVERSATION.c.deleted_at < before)
    gone = sa.select(CONVERSATION.c.session).where(late)
    for table in (TURN, VERSION):
        connection.execute(sa.delete(table).where(table.c.session.in_(gone)))
    connection.execute(sa.delete(CONVERSATION).where(late))
