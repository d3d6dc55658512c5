"""The app while it loads: a page that says what is being read, until the real one takes its place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from adapterbot.ui import words
from adapterbot.ui.guard import StayHere

Note = Callable[[str], None]  # told what is loaded next
ICON = Path(__file__).parent / "icon.svg"
PAGE = Path(__file__).parent / "opening.html"
STATE = "/opening"


class Opening:
    """An ASGI application: the one that `load` makes, as soon as that is done, and until then a page that waits.

    `load` runs in a thread. When it fails, `fault` is why, the page says so, and `on_fault` is called.
    """

    def __init__(self, load: Callable[[Note], FastAPI], host: str | None = None) -> None:
        self._load = load
        self._waiting = StayHere(self._answer, host=host)
        self._app: FastAPI | None = None
        self._said = list[str]()
        self._over = asyncio.Event()
        self.fault: Exception | None = None
        self.on_fault: Callable[[], None] = lambda: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)
        else:
            await self._waiting(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """From the server's start to its end."""
        await receive()
        run = asyncio.create_task(self._run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._over.set()
        await run
        await send({"type": "lifespan.shutdown.complete"})

    async def _run(self) -> None:
        """Load the app, and keep it alive until the server ends."""
        try:
            app = await asyncio.to_thread(self._load, self._said.append)
            async with app.router.lifespan_context(app):
                self._app = app
                await self._over.wait()
        except Exception as error:  # told by whoever started the server
            self.fault = error
            self.on_fault()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response(str(scope["path"]))(scope, receive, send)

    def _response(self, path: str) -> Response:
        if path == STATE:
            state = {"said": self._said, "fault": str(self.fault) if self.fault else ""}
            return Response(json.dumps(state), media_type="application/json", headers={"cache-control": "no-store"})
        if path == "/favicon.ico":
            return FileResponse(ICON)
        if path == "/":
            page = PAGE.read_text(encoding="utf-8").replace("{name}", words.NAME).replace("{reading}", words.READING)
            return HTMLResponse(page, headers={"cache-control": "no-store"})
        return PlainTextResponse(f"{words.READING}\n", status_code=503, headers={"retry-after": "1"})
