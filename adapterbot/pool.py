"""Turns for programs on asyncio: some threads that work, and a line in front of them that has an end.

A thread mostly waits: the model has one of its own, in which all replies are made together (`engine/scheduler.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from adapterbot.errors import BusyError

if TYPE_CHECKING:
    from adapterbot.turn import Reply

THREADS = 16  # turns at a time, whose drafts grow side by side
LINE = 64  # turns that wait for a thread
T = TypeVar("T")


def nothing() -> None:
    """What is done where nothing is to be done."""


async def awaited(work: Future[T], left: Callable[[], None]) -> T:
    """What `work` returns or raises; `left` is called where nobody waits for it any more."""
    try:
        return await asyncio.wrap_future(work)
    except asyncio.CancelledError:
        left()
        raise


class Pool:
    """Runs work in at most `threads` threads; at most `line` pieces of work wait, and who comes then is told so."""

    def __init__(self, threads: int = THREADS, line: int = LINE) -> None:
        self.threads = threads
        self.line = line
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="adapterbot")
        self._lock = threading.Lock()
        self._open = 0
        self._began = 0

    @property
    def running(self) -> int:
        """Turns that are being made."""
        return self._began

    @property
    def waiting(self) -> int:
        """Turns that wait for a thread."""
        return max(0, self._open - self._began)

    async def run(self, work: Callable[[], T], left: Callable[[], None] = nothing) -> T:
        """What `work` returns or raises. Whoever is cancelled leaves the line, or `left` is called to end the work.

        Raises:
            BusyError: the line is full.
        """
        return await awaited(self.submit(work), left)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """`work` in the line, as a future; raises BusyError when the line is full."""
        with self._lock:
            if self._open >= self.threads + self.line:
                raise BusyError(f"{self._open} replies are being made or waited for, more than fit; try again shortly")
            self._open += 1
        try:
            future = self._executor.submit(self._counted, work)
        except BaseException:
            self._leave(None)
            raise
        future.add_done_callback(self._leave)
        return future

    def _counted(self, work: Callable[[], T]) -> T:
        with self._lock:
            self._began += 1
        try:
            return work()
        finally:
            with self._lock:
                self._began -= 1

    def _leave(self, _: object) -> None:
        with self._lock:
            self._open -= 1


class ReplyStream:
    """The pieces of a reply while it is made, for `async for`; then `reply` is the whole of it.

    The thread never waits for whoever reads. `aclose` (or a task that is cancelled inside `contextlib.aclosing`) ends
    the work at its next token. `waited` is how many seconds it stood in line.
    """

    def __init__(
        self, pool: Pool, open: Callable[[], Generator[str, None, Reply]], left: Callable[[], None] = nothing
    ) -> None:
        """`open` begins the turn, `left` ends what it waits for; made inside a running event loop.

        Raises:
            BusyError: the line is full.
        """
        self._open = open
        self._left = left
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Any] = asyncio.Queue()
        self._closed = False
        self._over = False
        self._reply: Reply | None = None
        self._asked = time.perf_counter()
        self.waited = 0.0
        self.work = pool.submit(self._make)  # done once no thread works on it any more

    @property
    def reply(self) -> Reply:
        """The whole reply; raises RuntimeError before the stream has ended."""
        if self._reply is None:
            raise RuntimeError("the stream has not ended yet")
        return self._reply

    def __aiter__(self) -> ReplyStream:
        return self

    async def __anext__(self) -> str:
        """The next piece; raises what the turn raises."""
        if self._over:
            raise StopAsyncIteration
        item = await self._items.get()
        if isinstance(item, str):
            return item
        self._over = True
        if isinstance(item, BaseException):
            raise item
        self._reply = item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop: what stands in line leaves it, what is being made ends at its next token."""
        if not self._over:
            self._closed = self._over = True
            self.work.cancel()
            self._left()

    def _make(self) -> None:
        """In the thread: hand every piece over, then the reply or what went wrong."""
        self.waited = time.perf_counter() - self._asked
        try:
            pieces = self._open()
            while not self._closed:
                if piece := next(pieces):  # an empty one is a beat, at which a stream can be closed
                    self._hand_over(piece)
            pieces.close()
        except StopIteration as end:
            self._hand_over(end.value)
        except BaseException as error:
            self._hand_over(error)

    def _hand_over(self, item: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
