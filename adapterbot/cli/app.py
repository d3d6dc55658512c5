"""The command line: one thin function per command. Heavy imports happen inside them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapterbot import __version__
from adapterbot.cli import adapters, compare, formats, input, knowledge, models, serving, sessions
from adapterbot.cli.names import check_answering, check_backbone, check_session, check_store
from adapterbot.cli.options import (
    Backbone,
    DecodeSettings,
    Demo,
    NoLog,
    Place,
    Region,
    Skill,
    Stored,
    with_decode_settings,
)
from adapterbot.cli.output import say, say_json, warn
from adapterbot.cli.requirements import requires
from adapterbot.cli.stopping import StoppedError
from adapterbot.errors import AdapterbotError, SettingError

if TYPE_CHECKING:
    from adapterbot.bot import Bot

INTERRUPTED = 130  # the exit code of what Ctrl-C ended
# The base of what typer raises for options that are not there and the like; it does not export it.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One frozen dialogue model, one small adapter per skill, and a manager that picks the skill for every turn.",
    epilog='Try: adapterbot respond "My best friend moved away."   or: adapterbot chat',
)
app.add_typer(sessions.app, name="sessions")
app.add_typer(knowledge.app, name="knowledge")
app.add_typer(adapters.app, name="adapters")
app.add_typer(serving.app)  # serve, keys
app.add_typer(compare.app)
app.add_typer(models.app)  # train-skill, train-manager, ..., pretrain, build, evaluate


def main() -> None:
    """Run the command line; an expected error is one line on stderr. Exit codes: 1 for it, 2 for wrong usage, 130."""
    try:
        code = app(prog_name="adapterbot", standalone_mode=False)
    except UsageError as error:
        _tell_usage(error)
        code = 2
    except StoppedError as end:
        warn(f"adapterbot: {end}")
        sys.exit(INTERRUPTED)
    except typer.Abort:
        code = INTERRUPTED
    except (AdapterbotError, OSError) as error:  # OSError: a full disk, a folder that cannot be written
        warn(f"adapterbot: {error}")
        code = 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        warn("adapterbot: stopped")
    sys.exit(code or 0)


def _tell_usage(error: Exception) -> None:
    """What is wrong with a command line, and where to read how it goes; nothing where help was shown instead."""
    text = str(getattr(error, "format_message", lambda: error)())
    context = getattr(error, "ctx", None)
    if text:
        command = context.command_path if context else "adapterbot"
        warn(f"adapterbot: {text.rstrip('.')} (see: {command} --help)")


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"adapterbot {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """What stands before a command."""


@app.command(epilog=formats.paragraphs(formats.HISTORY, formats.MORE))
@with_decode_settings
def respond(
    text: Annotated[
        str | None,
        typer.Argument(
            help="What the user says; - reads it from standard input, and so does a pipe.", show_default=False
        ),
    ] = None,
    skill: Skill = None,
    history: Annotated[
        Path | None,
        typer.Option(help='What was said before, a JSON list: [{"speaker": "user" | "bot", "text": "..."}, ...]'),
    ] = None,
    fact: Annotated[
        list[str] | None, typer.Option(help="A fact to answer from, instead of retrieval; repeatable.")
    ] = None,
    backbone: Backbone = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole Reply.")] = False,
    demo: Demo = False,
    place: Place = "",
    region: Region = None,
    *,
    decode: DecodeSettings,
) -> None:
    """Answer one message."""
    message = input.message(text)
    past = input.history(history)
    input.check_decode(decode)
    check_answering(skill)
    bot = _bot(backbone, log=False, demo=demo, place=place, region=region)
    reply = bot.respond(message, past, skill=skill, facts=fact, **decode)
    if as_json:
        say_json(reply.to_dict())
    else:
        say(f"[{f'care, {reply.care}' if reply.care else reply.skill}] {reply.text}")
    for warning in reply.warnings:
        warn(f"note: {warning}")


@app.command()
@with_decode_settings
def chat(
    skill: Skill = None,
    session: Annotated[
        str | None, typer.Option(help="Go on with (or start) the stored conversation of this name.")
    ] = None,
    backbone: Backbone = None,
    store: Stored = None,
    no_log: NoLog = False,
    demo: Demo = False,
    place: Place = "",
    region: Region = None,
    *,
    decode: DecodeSettings,
) -> None:
    """Talk in the terminal. /skill NAME, /auto, /undo and /quit are understood."""
    check_session(session)
    if store and session is None:
        raise SettingError("--store keeps conversations that have a name: add --session NAME")
    input.check_decode(decode)
    check_answering(skill)
    check_store(store)
    bot = _bot(backbone, log=session is not None and not no_log, demo=demo, place=place, region=region, store=store)
    from adapterbot.cli.talk import talk

    talk(bot, session or "terminal", skill, decode)


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on; 127.0.0.1 is this machine alone.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port; left out, 7860 or the next free one.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser; the address is printed.")] = False,
    backbone: Backbone = None,
    store: Stored = None,
    no_log: NoLog = False,
    demo: Demo = False,
    place: Place = "",
    region: Region = None,
) -> None:
    """Open the chat app in a browser, where there is a display."""
    requires("the chat app", "gradio")
    check_backbone(backbone)
    check_store(store)
    from adapterbot.ui.app import main as run

    run(
        lambda note: _bot(backbone, log=not no_log, demo=demo, place=place, region=region, store=store, begun=note),
        host=host,
        port=port,
        inbrowser=not no_browser,
    )


@app.command()
def skills(
    check: Annotated[
        bool, typer.Option("--check", help="Validate every spec and adapter; exit 1 if one has a fault.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    backbone: Backbone = None,
) -> None:
    """List the skills and what of yours replaces what ships, or validate them."""
    bot = _bot(backbone, log=False)
    from adapterbot.cli.skills import list_skills

    if not list_skills(bot, as_json) and check:
        raise typer.Exit(1)


@app.command()
def bench(
    as_json: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file as well.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="One part alone; may be given several times.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Each once and small: whether it runs, not how fast.")] = False,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Of every side; left out, 1 for the backbone, all cores for GPT-2's shape."),
    ] = None,
    peers: Annotated[Path | None, typer.Option(help="Where other libraries are; left out, in the home.")] = None,
    get_peers: Annotated[
        bool, typer.Option("--get-peers", help="Install node-llama-cpp and adapters 1.3 there, and measure nothing.")
    ] = False,
    read: Annotated[
        Path | None, typer.Option(help="Measure nothing: show this report.", exists=True, dir_okay=False)
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Write the figures and a chart into README.md of this folder.", file_okay=False)
    ] = None,
) -> None:
    """Speed and memory, beside transformers, peft, adapters and llama.cpp where they are installed, with targets.

    Parts: start, smollm2, bandwidth, gpt2, skills, requests, turns, training, memory, growth.
    """
    from adapterbot.cli.bench import Options, run

    run(Options(as_json, page, read, tuple(only or ()), quick, threads, peers, get_peers))


@app.command()
def doctor(store: Stored = None) -> None:
    """What is installed, which backbone and skills there are, what is missing and the command that brings it."""
    from adapterbot.cli.doctor import examine

    if not examine(store):
        raise typer.Exit(1)


def _bot(
    backbone: str | None,
    *,
    log: bool,
    demo: bool = False,
    place: str = "",
    region: str | None = None,
    store: str | None = None,
    begun: Callable[[str], None] = lambda part: None,
) -> Bot:
    check_backbone(backbone)
    from adapterbot.bot import Bot

    bot = Bot.load(backbone, log=log, demo=demo, place=place, region=region, store=store, announce=warn, begun=begun)
    for note in bot.roster.notes:
        warn(f"note: {note}")
    return bot
