"""A server on a real socket in a thread of this process, on a bot with a tiny model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from fastapi import FastAPI

from adapterbot.bot import Bot
from adapterbot.serving import http
from adapterbot.serving.listening import listen
from adapterbot.storage.keys import KeyStore


@contextmanager
def serving(
    bot: Bot, keys: KeyStore, settings: http.Settings | None = None, page: FastAPI | None = None
) -> Iterator[str]:
    """The address of a server that runs as long as the block, and says nothing; with `page`, the app, if given."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    running = http.server(http.api(bot, keys, settings, page))
    with listen("127.0.0.1", 0, http.PORT) as opened:
        thread = threading.Thread(target=lambda: running.run(sockets=[opened]))
        thread.start()
        try:
            yield f"http://127.0.0.1:{opened.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join(timeout=60)
            assert not thread.is_alive()
