"""The chat app's server: it shows the page on this machine, and the browser asks nobody else for anything."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import fastapi
import gradio
import uvicorn
from starlette.types import ASGIApp

from adapterbot.serving import listening
from adapterbot.ui import words
from adapterbot.ui.file_routes import add_file_routes
from adapterbot.ui.guard import StayHere
from adapterbot.ui.handlers import Handlers
from adapterbot.ui.head import Head
from adapterbot.ui.opening import ICON, Note, Opening
from adapterbot.ui.page import SCRIPT, build, theme

if TYPE_CHECKING:
    from adapterbot.bot import Bot

PORT = 7860
UPLOAD = 1  # bytes: files go by `file_routes`, so gradio takes nothing
CSS = Path(__file__).parent / "theme.css"


def web_app(bot: Bot, host: str | None = None) -> fastapi.FastAPI:
    """The ASGI application: the page at /, no sharing, no analytics, no run history, no API pages.

    With a `host`, the name or address listened on, it looks itself at who asks; without, its caller does.
    """
    outer = fastapi.FastAPI(openapi_url=None)
    outer.add_middleware(Head)
    outer.add_middleware(StayHere, host=host)
    handlers = Handlers(bot)
    add_file_routes(outer, handlers.files)
    gradio.mount_gradio_app(
        outer,
        build(handlers),
        path="/",
        app_kwargs={"openapi_url": None},
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        max_file_size=UPLOAD,
        favicon_path=str(ICON),
        theme=theme(),
        css_paths=CSS,
        head=f"<script>const abWords = {json.dumps(words.SCRIPT)};\n{SCRIPT.read_text(encoding='utf-8')}</script>",
    )
    return outer


def listen(host: str, port: int | None) -> socket.socket:
    """A listening socket on `port`, or on the first free one from 7860 on; raises SettingError (see `listening`)."""
    return listening.listen(host, port, PORT)


class Server(uvicorn.Server):
    """Ends on Ctrl-C even while pages are open: they get one second."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all connections; that streams were cut off is no news, so uvicorn's traceback of each is kept back."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def server(app: ASGIApp) -> Server:
    """A server for an application, to be run on a socket of `listen`."""
    return Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1))


def has_display() -> bool:
    """Whether a browser that is opened here would be seen: always on Windows and macOS, else where a display is set."""
    if sys.platform in ("win32", "darwin"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def main(
    load: Callable[[Note], Bot], host: str = "127.0.0.1", port: int | None = None, *, inbrowser: bool = False
) -> None:
    """Print the address and serve the app there; returns after Ctrl-C. While `load` works the page says how far it is.

    `load` is given what is to be told what is loaded next. `inbrowser` opens the address in a browser as well, where
    there is a display.

    Raises:
        SettingError: see `listen`. Whatever `load` raises.
    """

    def opened_app(note: Note) -> fastapi.FastAPI:
        bot = load(note)
        note(words.LOADING_MANAGER)
        bot.manager  # noqa: B018  (read now, so that the first message does not wait for it)
        note(words.LOADING_PAGE)
        return web_app(bot, host)

    with listen(host, port) as opened:
        taken = opened.getsockname()[1]
        if port is None and taken != PORT:
            print(f"port {PORT} is taken by another program; using {taken}", flush=True)
        opening = Opening(opened_app, host)
        ready = server(opening)
        opening.on_fault = lambda: setattr(ready, "should_exit", True)
        address = f"http://{f'[{host}]' if ':' in host else host}:{taken}"
        print(f"adapterbot is at {address} (Ctrl-C stops it)", flush=True)
        if inbrowser and has_display():  # in a thread: some browsers return only when they are closed
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            ready.run(sockets=[opened])
        if opening.fault:
            raise opening.fault
