"""The commands of the server: `serve` and `keys`. Heavy imports happen inside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adapterbot.cli.names import check_backbone
from adapterbot.cli.options import Backbone, Demo, NoLog, Place, Region, Stored
from adapterbot.cli.output import say, warn
from adapterbot.cli.requirements import PARTS, requires

if TYPE_CHECKING:
    from fastapi import FastAPI

    from adapterbot.bot import Bot
    from adapterbot.storage.keys import KeyStore

app = typer.Typer()
keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke the keys that `serve` asks for.")
app.add_typer(keys, name="keys")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 127.0.0.1 is this machine alone.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port; left out, 8000 or the next free one.")] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="A name that the server goes by; repeatable.")] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="A site whose pages may ask, such as https://example.org; repeatable.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Replies that are made at a time.", min=1, max=64)] = 16,
    line: Annotated[
        int, typer.Option("--queue", help="Requests that wait; those beyond get 503.", min=0, max=10_000)
    ] = 64,
    keep: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Delete sessions that nobody used for so many days.", min=0)
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Answer 504 where a reply is not there in so many seconds.", min=0),
    ] = None,
    adapters: Annotated[
        int | None, typer.Option(metavar="N", help="Adapters in memory at most; 128 where left out.", min=2)
    ] = None,
    pin: Annotated[
        list[str] | None, typer.Option(metavar="SKILL", help="A skill whose adapter never leaves memory; repeatable.")
    ] = None,
    no_app: Annotated[bool, typer.Option("--no-app", help="The API alone, without the chat app.")] = False,
    backbone: Backbone = None,
    store: Stored = None,
    no_log: NoLog = False,
    demo: Demo = False,
    place: Place = "",
    region: Region = None,
) -> None:
    """Serve the bot to programs (OpenAI's API at /v1) and the chat app to browsers."""
    # Long: its options, one a line.
    requires("the server", "fastapi", "sse_starlette", "prometheus_client", "structlog")
    check_backbone(backbone)
    from adapterbot.serving import http
    from adapterbot.serving.listening import listen

    known = _keys(store)
    if store:
        known.prepare()  # what is wrong with it is told before anything is loaded
    http.check_host(host, known)
    settings = http.Settings(host, tuple(allow_host or ()), tuple(allow_origin or ()), keep, timeout)
    with listen(host, port, http.PORT) as opened:
        from adapterbot.bot import Bot
        from adapterbot.network.adapters.shelf import MOST
        from adapterbot.pool import Pool

        bot = Bot.load(
            backbone,
            log=not no_log,
            demo=demo,
            place=place,
            region=region,
            store=store,
            adapters=adapters or MOST,
            pinned=pin or (),
            announce=warn,
        )
        bot.pool = Pool(threads, line)
        for note in bot.roster.notes:
            warn(f"note: {note}")
        page = None if no_app else _page(bot)
        application = http.api(bot, known, settings, page)
        http.log_as_json()
        _say_where(host, opened.getsockname()[1], app=page is not None)
        http.run(application, opened)


def _say_where(host: str, port: int, *, app: bool) -> None:
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    say(f"adapterbot is at {address}/v1 {f'and, for browsers, {address} ' if app else ''}(Ctrl-C stops it)")


@keys.command()
def new(
    name: Annotated[str, typer.Option(help="What it is for; `keys list` shows it.")] = "",
    per_minute: Annotated[int | None, typer.Option(help="Requests a minute; left out, any number.", min=1)] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It may also change what the server has loaded.")] = False,
    store: Stored = None,
) -> None:
    """Make a key and print it. It is shown this once: only its hash is kept."""
    say(_keys(store).new(name, admin=admin, per_minute=per_minute))


@keys.command("list")
def list_all(store: Stored = None) -> None:
    """All keys, without their secrets."""
    for key in _keys(store).all():
        limit = "any number" if key.per_minute is None else f"{key.per_minute} a minute"
        state = f"revoked {key.revoked_at[:10]}" if key.revoked_at else f"open, {limit}{', admin' if key.admin else ''}"
        say(f"{key.id}  made {key.created_at[:10]}  {state}  {key.name}".rstrip())


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")], store: Stored = None
) -> None:
    """Close a key for good; a running server notices within a second."""
    _keys(store).revoke(key)
    say(f"revoked {key}")


def _keys(place: str | None) -> KeyStore:
    from adapterbot.home import Home
    from adapterbot.storage.keys import KeyStore

    return KeyStore(place or Home.at().database)


def _page(bot: Bot) -> FastAPI | None:
    """The chat app, where gradio is installed."""
    if not next(part for part in PARTS if part.module == "gradio").installed:
        warn("note: gradio is not installed: the API is served without the chat app")
        return None
    from adapterbot.ui.app import web_app

    return web_app(bot)
