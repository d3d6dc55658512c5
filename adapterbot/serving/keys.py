"""Who may ask: API keys, how often each may, and the cookies of people who opened the app with one."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from adapterbot.errors import StoreError
from adapterbot.serving.refusals import RETRY, ApiError
from adapterbot.storage.keys import Key, KeyStore, find

FRESH = 1.0  # seconds for which keys are not read again: a revoked one opens nothing after that
TRUSTED = 600.0  # seconds for which keys still open though the store cannot be read
LOGIN = 12 * 3600.0  # seconds that a browser stays logged in
MOST_LOGINS = 10_000
MISSING = "this server needs a key: send 'Authorization: Bearer KEY'; `adapterbot keys new` makes one"
log = structlog.get_logger("adapterbot.serving")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, by the id of a key, empty where none is needed. What is stored belongs to `owner`.

    That is the hash of the key, which nobody can guess: the app's visitors say themselves who they are.
    """

    key: str = ""
    owner: str = "local"
    admin: bool = False


class Access:
    """Looks keys up, counts their requests, and remembers browsers; all of it for one server."""

    def __init__(self, store: KeyStore, *, required: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """`required`: a key is needed even if there is none; else as soon as there is one."""
        self._store = store
        self._needed = required
        self._clock = clock
        self._keys: list[Key] = []
        self._read_at = -FRESH  # when it was tried last, and when it worked
        self._known_at: float | None = None
        self._reading = asyncio.Lock()
        self._buckets: dict[str, Bucket] = {}
        self._logins: dict[str, tuple[str, float]] = {}  # cookie -> key and when it ends

    async def needed(self) -> bool:
        """Whether a key has to be given. A server that needed one once does so until it ends."""
        self._needed = self._needed or any(key.revoked_at is None for key in await self._fresh())
        return self._needed

    async def caller(self, authorization: str) -> Caller:
        """Who sends this header, and one request more on their account.

        Raises:
            ApiError: 401 for no key or a wrong one, 429 for too many requests.
        """
        if not await self.needed():
            return Caller()
        scheme, _, given = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise ApiError(401, MISSING, code="missing_api_key", headers={"www-authenticate": "Bearer"})
        key = find(await self._fresh(), given.strip())
        if key is None:
            raise ApiError(
                401,
                "this key opens nothing: it is wrong or was revoked; `adapterbot keys list` shows those that there are",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        self._count(key)
        return Caller(key.id, key.hash, key.admin)

    async def log_in(self, given: str) -> str | None:
        """A cookie for whoever gives a key that is open, else None."""
        key = find(await self._fresh(), given.strip())
        if key is None:
            return None
        now = self._clock()
        self._logins = {cookie: (id, end) for cookie, (id, end) in self._logins.items() if end > now}
        while len(self._logins) >= MOST_LOGINS:
            del self._logins[next(iter(self._logins))]
        cookie = secrets.token_urlsafe(32)
        self._logins[cookie] = (key.id, now + LOGIN)
        return cookie

    async def knows(self, cookie: str) -> bool:
        """Whether a browser's cookie is of a login that has not ended, by a key that is still open."""
        id, end = self._logins.get(cookie, ("", 0.0))
        open = {key.id for key in await self._fresh() if key.revoked_at is None}
        return id in open and self._clock() < end

    def _count(self, key: Key) -> None:
        if key.per_minute is None:
            return
        bucket = self._buckets.setdefault(key.id, Bucket(key.per_minute, self._clock))
        if wait := bucket.take():
            raise ApiError(
                429,
                f"this key may make {key.per_minute} requests a minute; the next is answered in {wait:.1f} s",
                code="rate_limit_exceeded",
                headers={"retry-after": str(int(wait) + 1), "retry-after-ms": str(int(wait * 1000) + 1)},
            )

    async def _fresh(self) -> list[Key]:
        async with self._reading:
            if self._clock() - self._read_at >= FRESH:
                await self._read()
        return self._keys

    async def _read(self) -> None:
        """Read the keys; where the store cannot be read, those that were read before are good for a while.

        Raises:
            ApiError: 503 when they are too old for that, or there are none. Nobody learns here where the store is.
        """
        try:
            self._keys = await asyncio.to_thread(self._store.all)
            self._known_at = self._clock()
        except StoreError as error:
            log.warning("keys_not_read", error=str(error))
            if self._known_at is None or (self._needed and self._clock() - self._known_at > TRUSTED):
                text = "the keys cannot be read just now; the server's log says why"
                raise ApiError(503, text, code="store_failed", headers=RETRY) from None
        self._read_at = self._clock()


class Bucket:
    """A token bucket: so many requests at once, and as many a minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._size = float(per_minute)
        self._clock = clock
        self._left = self._size
        self._at = clock()

    def take(self) -> float:
        """Take one: 0 when there was one, else the seconds until there is."""
        now = self._clock()
        self._left = min(self._size, self._left + (now - self._at) * self._size / 60)
        self._at = now
        if self._left < 1:
            return (1 - self._left) * 60 / self._size
        self._left -= 1
        return 0.0
