"""From a request to a reply: the one place where the server asks the bot, so that all of it is counted and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import structlog
from starlette.requests import Request

from adapterbot.bot import Bot
from adapterbot.engine.request import Deadline
from adapterbot.errors import BusyError
from adapterbot.history import History
from adapterbot.pool import ReplyStream, awaited, nothing
from adapterbot.serving.metrics import Metrics
from adapterbot.serving.refusals import ApiError
from adapterbot.turn import Reply

MOST_IN_ORDER = 16  # messages of one session that wait for the one before
T = TypeVar("T")
log = structlog.get_logger("adapterbot.serving")


@dataclass(frozen=True, slots=True)
class Ask:
    """One message to answer. Of a session the history is what the store has, else it is `history`."""

    message: str
    history: History = field(default_factory=History)
    session: str | None = None
    request: dict[str, Any] = field(default_factory=dict)  # what else `Bot.respond` takes


class Turns:
    """Asks the bot, for all routes."""

    def __init__(self, bot: Bot, metrics: Metrics, timeout: float | None = None) -> None:
        """`timeout`: the seconds from its request on in which a reply has to be there; None: any number."""
        self.bot = bot
        self._timeout = timeout
        self._metrics = metrics
        self._orders: WeakValueDictionary[str, _Order] = WeakValueDictionary()

    async def reply(self, ask: Ask) -> Reply:
        """The whole reply; raises what `Bot.arespond` raises."""
        started = time.perf_counter()
        try:
            reply = await self._whole(ask)
        except asyncio.CancelledError:
            self._metrics.cut()
            raise
        self._note(reply, waited=time.perf_counter() - started - reply.timings.get("total", 0.0))
        return reply

    async def _whole(self, ask: Ask) -> Reply:
        deadline = self.deadline()
        request = ask.request | {"deadline": deadline}
        if ask.session is None:
            return await self.bot.arespond(ask.message, ask.history, **request)
        session = self.bot.session(ask.session)
        async with self._order(ask.session) as order:
            work = self.bot.pool.submit(lambda: session.respond(ask.message, **request))
            order.keep(work)
        return await awaited(work, deadline.leave)

    async def stream(self, ask: Ask) -> Pieces:
        """The reply in pieces, its first one waited for: what goes wrong before it is raised here."""
        request = ask.request | {"deadline": self.deadline()}
        if ask.session is None:
            begun = self.bot.astream(ask.message, ask.history, **request)
        else:
            async with self._order(ask.session) as order:
                begun = self.bot.session(ask.session).astream(ask.message, **request)
                order.keep(begun.work)
        pieces = Pieces(begun, self)
        try:
            await pieces.begin()
        except BaseException:
            await begun.aclose()
            raise
        return pieces

    def deadline(self) -> Deadline:
        """By when what is asked now has to be there, the time in line included."""
        return Deadline() if self._timeout is None else Deadline(time.monotonic() + self._timeout)

    async def work(self, work: Callable[[], T], left: Callable[[], None] = nothing) -> T:
        """What `work` returns or raises, after what stands in line before it; `left` as of `Pool.run`."""
        return await self.bot.pool.run(work, left)

    def tokens(self, text: str) -> int:
        """How many tokens `text` has."""
        return len(self.bot.backbone.tokenizer.encode(text)) if text else 0

    def _note(self, reply: Reply, *, waited: float, first: float | None = None) -> None:
        tokens = self.tokens(reply.text)
        self._metrics.replied(reply, tokens, waited=max(waited, 0.0), first=first)
        log.info("replied", skill=reply.skill, routed_by=reply.routed_by, care=bool(reply.care), tokens=tokens)

    def _order(self, session: str) -> _Order:
        return self._orders.setdefault(session, _Order())


class Pieces:
    """A reply in pieces for one reader, who calls `close` when leaving; `reply` is there after the last piece."""

    def __init__(self, begun: ReplyStream, turns: Turns) -> None:
        self._begun = begun
        self._turns = turns
        self._started = time.perf_counter()
        self._first: str | None = None
        self._first_after: float | None = None
        self.reply: Reply | None = None

    async def begin(self) -> None:
        """Wait for the first piece."""
        try:
            self._first = await anext(self._begun)
            self._first_after = time.perf_counter() - self._started
        except StopAsyncIteration:
            self._end()

    async def __aiter__(self) -> AsyncIterator[str]:
        if self._first is None:
            return
        yield self._first
        async for piece in self._begun:
            yield piece
        self._end()

    async def close(self) -> None:
        """Whoever reads is gone: the work stops at its next token."""
        if self.reply is None:
            self._turns._metrics.cut()
            await self._begun.aclose()

    def _end(self) -> None:
        self.reply = self._begun.reply
        self._turns._note(self.reply, waited=self._begun.waited, first=self._first_after)


class _Order:
    """The messages of one session, one after the other; who waits is counted.

    `async with` waits for one's turn, in which the work is begun; `keep` says until when the turn is one's own.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._inside = 0

    async def __aenter__(self) -> _Order:
        """Wait for one's turn; raises BusyError when too many wait already."""
        if self._inside >= MOST_IN_ORDER:
            raise BusyError(f"{self._inside} messages of this session wait already; send the next after their replies")
        self._inside += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self._inside -= 1
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """What could not be begun is over."""
        if kind is not None:
            self._leave()

    def keep(self, work: Future[Any]) -> None:
        """The next one may come once no thread works on it any more, whoever has left by then."""
        loop = asyncio.get_running_loop()

        def over(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._leave)

        work.add_done_callback(over)

    def _leave(self) -> None:
        self._inside -= 1
        self._lock.release()


async def while_there(request: Request, work: Awaitable[T]) -> T:
    """What `work` returns; it is cancelled when the client goes away."""
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ApiError(499, "the client went away")
        return doing.result()
    finally:
        leaving.cancel()
        doing.cancel()


async def all_replies(turns: Turns, asks: Sequence[Ask]) -> list[Reply]:
    """The replies to several asks, made side by side; the first error of them is raised, and ends the others."""
    tasks = [asyncio.ensure_future(turns.reply(ask)) for ask in asks]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
