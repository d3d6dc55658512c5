"""What the page says of itself to whoever links to it, in place of what gradio says of itself."""

from __future__ import annotations

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapterbot.ui import words

THEIRS = re.compile(r'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>\s*')
OURS = (
    f'<meta name="description" content="{words.ABOUT}"><meta property="og:type" content="website">'
    f'<meta property="og:title" content="{words.NAME}"><meta property="og:description" content="{words.ABOUT}">'
)


def with_head(page: str) -> str:
    """The HTML of gradio's page with a description and `og:` tags of our own."""
    return THEIRS.sub("", page).replace("<head>", f"<head>{OURS}", 1)


class Head:
    """ASGI middleware that changes the head of the page at / and nothing else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gather the page, which is small, and send it with its own head."""
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def gather(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if message["type"] != "http.response.body":  # what a test client is told on the side
                await send(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            headers = MutableHeaders(raw=start["headers"])
            changed = bytes(body)
            if "text/html" in headers.get("content-type", "") and "content-encoding" not in headers:
                changed = with_head(changed.decode("utf-8")).encode("utf-8")
                headers["content-length"] = str(len(changed))
            await send(start)
            await send({"type": "http.response.body", "body": changed})

        await self.app(scope, receive, gather)
