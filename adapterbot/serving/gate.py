"""What every request passes: a request id, the host and page that it is for, the key that it brings, a line of log.

A page on the internet can make a browser ask 127.0.0.1. It cannot make it name that address as its host by a name of
its own (DNS rebinding), nor hide where the question comes from: hence the looks at Host and Origin.
"""

from __future__ import annotations

import re
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapterbot.errors import shorten
from adapterbot.serving.keys import Access, Caller
from adapterbot.serving.listening import is_address
from adapterbot.serving.metrics import Metrics
from adapterbot.serving.refusals import ApiError, answer_of

ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
OPEN = ("/healthz", "/health", "/readyz", "/login")  # to whoever reaches the server
API = ("/v1", "/metrics", "/openapi.json")  # asked by programs, with a key in a header; the rest is the app
COOKIE = "adapterbot"
MOST_BYTES = 2**20  # of a request's body
TOO_LARGE = f"the body is larger than the {MOST_BYTES:,} bytes that this server reads"
log = structlog.get_logger("adapterbot.serving")


@dataclass(frozen=True, slots=True)
class Doors:
    """By which names the server is asked, and which other sites' pages may ask it."""

    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, host: str, hosts: Sequence[str] = (), origins: Sequence[str] = ()) -> Doors:
        """The names of this machine, the address listened on, and those given."""
        names = {"localhost", host, socket.gethostname(), socket.getfqdn(), *hosts}
        return cls(frozenset(name.lower() for name in names), frozenset(origin.rstrip("/") for origin in origins))

    def check(self, headers: Headers) -> None:
        """Raises ApiError (403) for a host that is not ours or a page of another site."""
        host = headers.get("host", "")
        name = (urlsplit(f"//{host}").hostname or "") if host.isprintable() and "@" not in host else ""
        if name not in self.hosts and not is_address(name):
            raise ApiError(403, f"the host {shorten(host)!r} is not served; start with --allow-host NAME to serve it")
        origin = headers.get("origin", "")
        if origin and origin not in self.origins and urlsplit(origin).netloc.lower() != host.lower():
            raise ApiError(403, f"pages of {shorten(origin)!r} may not ask; start with --allow-origin to let them")


class Gate:
    """ASGI middleware around everything; nothing that a handler raises gets past it."""

    def __init__(
        self, app: ASGIApp, access: Access, doors: Doors, metrics: Metrics, page: ASGIApp | None = None
    ) -> None:
        """`page` gets what is no path of the API."""
        self.app = app
        self._page = page or app
        self._access = access
        self._doors = doors
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer why not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        passing = _Passing(scope, send)
        path = scope["path"]
        ours = path.startswith(API) or path in OPEN
        if ours and passing.method == "HEAD":  # what GET answers, but for its body
            scope = {**scope, "method": "GET"}
        structlog.contextvars.bind_contextvars(request_id=passing.id)
        try:
            if not await self._refused(scope, receive, passing):
                chosen = self.app if ours else self._page
                await chosen(scope, _limited(receive), passing.send)
        except Exception as error:
            refusal = answer_of(error)
            if passing.status is None:
                await refusal(scope, receive, passing.send)
        finally:
            self._note(scope, passing)
            structlog.contextvars.unbind_contextvars("request_id")

    async def _refused(self, scope: Scope, receive: Receive, passing: _Passing) -> bool:
        """Whether the request was answered here; else its caller is known."""
        headers = Headers(scope=scope)
        self._doors.check(headers)
        path = str(scope["path"])
        if int(length if (length := headers.get("content-length", "")).isdecimal() else 0) > MOST_BYTES:
            raise ApiError(413, TOO_LARGE)
        scope.setdefault("state", {})["caller"] = Caller()
        if path in OPEN or scope["method"] == "OPTIONS":
            return False
        if path.startswith(API):
            scope["state"]["caller"] = await self._access.caller(headers.get("authorization", ""))
            return False
        if not await self._access.needed() or await self._access.knows(_cookie(headers)):
            return False
        if "text/html" in headers.get("accept", "") and scope["method"] == "GET":
            await RedirectResponse("/login", 303)(scope, receive, passing.send)
            return True
        raise ApiError(401, "log in first: open /login in the browser", code="login_needed")

    def _note(self, scope: Scope, passing: _Passing) -> None:
        route = getattr(scope.get("route"), "path", "") or "other"
        status = passing.status or 499  # the client went away before there was an answer
        seconds = time.perf_counter() - passing.started
        self._metrics.answered(route, status, seconds)
        caller = scope.get("state", {}).get("caller", Caller())
        log.info("answered", method=passing.method, route=route, status=status, s=round(seconds, 4), key=caller.key)


class _Passing:
    """One request on its way: its id and method, and the status that was sent."""

    def __init__(self, scope: Scope, send: Send) -> None:
        given = Headers(scope=scope).get("x-request-id", "")
        self.id = given if ID.fullmatch(given) else uuid.uuid4().hex
        self.method = str(scope["method"])
        self.status: int | None = None
        self.started = time.perf_counter()
        self._send = send

    async def send(self, message: Message) -> None:
        """Pass an answer on, with the request's id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["x-request-id"] = self.id
        elif self.method == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)


def _limited(receive: Receive) -> Receive:
    """`receive`, until a body of untold length has grown too large."""
    read = 0

    async def limited() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MOST_BYTES:
            raise HTTPException(413, TOO_LARGE)
        return message

    return limited


def _cookie(headers: Headers) -> str:
    found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    return found.value if found else ""
