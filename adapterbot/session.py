"""A conversation that remembers: ordered, persisted, one exchange at a time."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from adapterbot.engine.request import Deadline
from adapterbot.errors import InputError, StoreError
from adapterbot.history import READ, History
from adapterbot.pool import Pool, ReplyStream
from adapterbot.turn import Reply

if TYPE_CHECKING:  # a third of a second that only sessions pay for
    from adapterbot.storage.conversations import Store


class Speaker(Protocol):
    """What a session needs of a bot."""

    @property
    def store(self) -> Store: ...
    @property
    def pool(self) -> Pool: ...
    def respond(self, message: str, history: History, **request: Any) -> Reply: ...
    def stream(self, message: str, history: History, **request: Any) -> Generator[str, None, Reply]: ...


class Session:
    """One conversation, by its id. Messages that `respond` gets at the same time are answered one after the other.

    Every exchange is written as a whole before the reply is returned; a store that cannot be written costs the reply
    nothing: it carries a warning.
    """

    def __init__(self, bot: Speaker, id: str, lock: threading.Lock) -> None:
        self._bot = bot
        self.id = id
        self._lock = lock

    @property
    def history(self) -> History:
        """All that was said so far; a turn reads the end of it."""
        return self._bot.store.history(self.id)

    def respond(self, message: str, **request: Any) -> Reply:
        """Answer and remember; takes what `Bot.respond` takes, but the history."""
        with self._lock:
            past, warnings = self.recent()
            return self.keep(message, self._bot.respond(message, past, **request), warnings)

    def stream(self, message: str, **request: Any) -> Generator[str, None, Reply]:
        """Like `respond`, in pieces. A stream that is closed early is not remembered.

        Whoever stops reading holds nobody up: messages that come meanwhile are answered, without this exchange, which
        is remembered after theirs once it is read to its end.
        """
        with self._lock:
            past, warnings = self.recent()
        reply = yield from self._bot.stream(message, past, **request)
        with self._lock:
            return self.keep(message, reply, warnings)

    def again(self, message: str | None = None, **request: Any) -> Generator[str, None, Reply]:
        """Like `stream`, but answers the last message once more, or `message` in its place.

        The former exchange is kept as another version (see `Store.versions`).

        Raises:
            InputError: nothing was said yet.
        """
        with self._lock:
            last = self._bot.store.exchanges(self.id, most=1)
            if not last:
                raise InputError("nothing was said yet that could be answered again")
            asked = last[-1].typed if message is None else message
            past = self._bot.store.history(self.id, most=READ).without_last_exchange()
        reply = yield from self._bot.stream(asked, past, **request)
        with self._lock:
            self._bot.store.add_version(self.id, last[-1].position, reply.history.last_user, reply, asked)
        return reply

    async def arespond(self, message: str, **request: Any) -> Reply:
        """`respond` for asyncio; raises BusyError as well, when too many turns wait for a thread.

        What a task asked that was cancelled before its reply was there is not remembered.
        """
        end = Deadline.of(request.pop("deadline", None))
        return await self._bot.pool.run(lambda: self.respond(message, deadline=end, **request), end.leave)

    def astream(self, message: str, **request: Any) -> ReplyStream:
        """`stream` for asyncio (see `Bot.astream`). It is remembered once it is made, even if nobody reads it."""
        end = Deadline.of(request.pop("deadline", None))
        return ReplyStream(self._bot.pool, lambda: self.stream(message, beats=True, deadline=end, **request), end.leave)

    def undo(self) -> History:
        """Forget the last exchange; returns what is left.

        Raises:
            StoreError: the store cannot be written.
        """
        with self._lock:
            return self._bot.store.undo(self.id)

    def recent(self) -> tuple[History, tuple[str, ...]]:
        """What a turn reads of what was said, and why that is nothing where the store cannot be read."""
        try:
            return self._bot.store.history(self.id, most=READ), ()  # its notes become warnings of the turn
        except StoreError as error:
            return History(), (f"what was said before could not be read: {error}",)

    def keep(self, message: str, reply: Reply, warnings: tuple[str, ...] = ()) -> Reply:
        """Remember an exchange; the reply with these warnings, and one more where it could not be stored."""
        try:
            self._bot.store.append(self.id, reply.history.last_user, reply, message)
        except StoreError as error:
            warnings = (*warnings, f"this exchange was not saved: {error}")
        return replace(reply, warnings=(*reply.warnings, *warnings)) if warnings else reply
