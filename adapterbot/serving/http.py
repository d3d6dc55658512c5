"""The server as one ASGI application, and how it is run until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, Request
from sse_starlette.sse import AppStatus
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response

from adapterbot import __version__
from adapterbot.bot import Bot
from adapterbot.errors import SettingError, StoreError
from adapterbot.serving import answers, login, native
from adapterbot.serving.begun import Begun
from adapterbot.serving.gate import Doors, Gate
from adapterbot.serving.keys import Access
from adapterbot.serving.listening import is_local
from adapterbot.serving.metrics import Metrics
from adapterbot.serving.openai import answers as openai_answers
from adapterbot.serving.openai import chat, completions, embeddings, models, responses
from adapterbot.serving.refusals import REFUSALS, Answer, ApiError, tell_all
from adapterbot.serving.turns import Turns
from adapterbot.storage.keys import KeyStore

PORT = 8000
TIDIED = 3600  # seconds between two looks for sessions that are to go
GRACE = 60  # seconds that running replies get when the server is told to stop
log = structlog.get_logger("adapterbot.serving")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server is reached: the address it listens on, other names it goes by, other sites that may ask it.

    Sessions that nobody used for `keep` days are deleted; None: never. A reply that is not there in `timeout` seconds
    is given up; None: never.
    """

    host: str = "127.0.0.1"
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    keep: float | None = None
    timeout: float | None = None


class Described(FastAPI):
    """An application whose page of OpenAPI says what it answers."""

    def openapi(self) -> dict[str, Any]:
        """The page, without the framework's own form of errors: an invalid request is told as all others are."""
        if not self.openapi_schema:
            page = super().openapi()
            for operations in page["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                page["components"]["schemas"].pop(name, None)
            page["components"]["schemas"] |= answers.schemas([*answers.EVENTS, *openai_answers.EVENTS])
        return super().openapi()


def api(bot: Bot, keys: KeyStore, settings: Settings | None = None, page: FastAPI | None = None) -> FastAPI:
    """The application: OpenAI's API, the bot's own, and `page` (the chat app) for all other paths."""
    settings = settings or Settings()
    metrics = Metrics(bot)
    access = Access(keys, required=not is_local(settings.host))

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with page.router.lifespan_context(page) if page else contextlib.nullcontext():
            tidying = asyncio.create_task(_tidy(bot, settings.keep))
            yield
            tidying.cancel()

    app = Described(
        title="adapterbot",
        version=__version__,
        lifespan=life,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.turns = Turns(bot, metrics, settings.timeout)
    app.state.metrics = metrics
    app.state.access = access
    app.state.kept = responses.Kept()
    app.state.begun = Begun()
    app.state.stopping = False
    openai = (chat, completions, responses, embeddings, models)
    routers = (health, *(module.routes for module in openai), native.routes, login.routes)
    tell_all(app, [*app.routes, *(route for router in routers for route in router.routes)])
    for router in routers:
        app.include_router(router)
    doors = Doors.of(settings.host, settings.hosts, settings.origins)
    app.add_middleware(Gate, access=access, doors=doors, metrics=metrics, page=page)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.origins), allow_methods=["*"], allow_headers=["*"]
        )
    return app


async def _tidy(bot: Bot, keep: float | None) -> None:
    """Delete the sessions that nobody used for `keep` days, now and every hour; a store that fails is tried again."""
    while keep is not None:
        try:
            if count := await asyncio.to_thread(bot.store.forget_unused, days=keep):
                log.info("sessions_deleted", count=count)
        except StoreError as error:
            log.warning("store_failed", error=str(error))
        await asyncio.sleep(TIDIED)


health = APIRouter(tags=["health"], responses=REFUSALS)


@health.get("/healthz", response_model=None, responses=answers.answers(answers.Status))
@health.get("/health", response_model=None, include_in_schema=False)
async def alive() -> Response:
    """That the process answers at all."""
    return Answer({"status": "ok"})


@health.get("/readyz", response_model=None, responses=answers.answers(answers.Status))
async def ready(request: Request) -> Response:
    """Whether new requests are welcome: 503 once the server was told to stop."""
    if request.app.state.stopping:
        raise ApiError(503, "the server is stopping", code="stopping")
    return Answer({"status": "ready"})


@health.get("/metrics", response_model=None, response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """The figures of this server in Prometheus' form."""
    return Response(request.app.state.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


class Server(uvicorn.Server):
    """Stops on SIGTERM and Ctrl-C once running replies are made; a second one stops it at once."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Say at /readyz that no new requests are welcome, and begin to stop."""
        self.config.app.state.stopping = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def server(app: FastAPI) -> Server:
    """A server for `app`, to be run on a socket of `listening.listen`."""
    AppStatus.enable_automatic_graceful_drain = False  # else streams would be cut where they are to be finished
    config = uvicorn.Config(
        app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=GRACE, server_header=False
    )
    return Server(config)


def check_host(host: str, keys: KeyStore) -> None:
    """Refuse to be reached by others without a key.

    Raises:
        SettingError: nobody has a key; the message has the command that makes one.
    """
    if not is_local(host) and not any(key.revoked_at is None for key in keys.all()):
        raise SettingError(f"listening on {host} lets others in, and there is no key; make one: adapterbot keys new")


def log_as_json() -> None:
    """One line of JSON on standard error for each request and reply; nothing that anybody said is in it."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_texts,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _without_texts(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """An exception as the places it went through: its text may repeat what somebody said."""
    if event.pop("exc_info", None):
        kind, _error, trace = sys.exc_info()
        places = []
        while trace is not None:
            places.append(f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}")
            trace = trace.tb_next
        event["exception"] = {"type": kind.__name__ if kind else "", "places": places[-12:]}
    return event


def run(app: FastAPI, opened: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; returns once the last running reply is made."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more when it is done
    try:
        with contextlib.suppress(KeyboardInterrupt):
            server(app).run(sockets=[opened])
    finally:
        signal.signal(signal.SIGTERM, before)
