"""Who may ask the app's server: pages of this server alone, under an address or name that is this machine's."""

from __future__ import annotations

import re
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapterbot.serving.listening import is_address

# The browser itself refuses whatever would leave this server: scripts, fonts, images, requests.
POLICY = (
    b"default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    b"style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
# Where gradio takes calls by a function's name, of those as well that it calls private. The page asks by numbers,
# in the queue or, for Stop, which waits for nobody, at run/predict.
CALLS = re.compile(r"/gradio_api/(call|api|run(?!/predict/?\Z))/")
CALLED = "the app's functions are the page's own; programs ask the API of `adapterbot serve` at /v1"
PORT = re.compile(r":\d+\Z")


class StayHere:
    """ASGI middleware: no other site's page is served, whatever name it made this machine's address its own by (DNS
    rebinding), no function of the page is called by its name, and every answer carries the policy that keeps the
    browser from asking anybody else.
    """

    def __init__(self, app: ASGIApp, host: str | None = None) -> None:
        """`host` is what the server listens on; None leaves the look at who asks to what stands before it."""
        self.app = app
        self.names = {"localhost", socket.gethostname().lower(), host.lower()} if host else set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request in one line, or pass it on and add the headers to what comes back."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(b"content-security-policy", POLICY), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        refused = ""
        if scope["type"] == "http":
            refused = CALLED if CALLS.search(scope["path"]) else self.refusal(Headers(scope=scope))
        if refused:
            await PlainTextResponse(f"{refused}\n", status_code=403)(scope, receive, guarded)
        else:
            await self.app(scope, receive, guarded)

    def refusal(self, headers: Headers) -> str:
        """Why a request with these headers is not answered; empty for one that is."""
        if not self.names:
            return ""
        host = headers.get("host", "")
        name = PORT.sub("", host)
        if name.lower() not in self.names and not is_address(name.strip("[]")):
            return "adapterbot is asked by its address or as localhost; under this name it does not answer"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "adapterbot answers its own page alone; this request comes from another site's"
        return ""
