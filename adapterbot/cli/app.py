"""The command line: one thin function per command. Heavy imports happen inside them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterbot.cli import knowledge as cli_knowledge
from adapterbot.cli import models as cli_training
from adapterbot.cli.options import Backbone, Seed
from adapterbot.errors import AdapterbotError

if TYPE_CHECKING:
    from adapterbot.bot import Bot
    from adapterbot.history import History

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One frozen dialogue model, one small adapter per skill, and a manager that picks the skill for every turn.",
    epilog='Try: adapterbot respond "My best friend moved away."   or: adapterbot chat',
)
sessions_app = typer.Typer(no_args_is_help=True, help="List, show and delete stored conversations.")
app.add_typer(sessions_app, name="sessions")
app.add_typer(cli_knowledge.app, name="knowledge")
app.add_typer(cli_training.app)  # train-skill, train-manager, ..., pretrain, build, evaluate

SkillOption = Annotated[str | None, typer.Option(help="Answer with this skill; left out, the manager picks.")]
Demo = Annotated[
    bool, typer.Option("--demo", help="Answer from a sample forecast and a sample calendar where there is no other.")
]
NoLog = Annotated[bool, typer.Option("--no-log", help="Do not store the conversation.")]
Temperature = Annotated[float | None, typer.Option(help="0 is greedy; below 1 safer, above 1 wilder.")]
TopP = Annotated[float | None, typer.Option(help="Nucleus: sample from the likeliest tokens that hold this much.")]
MaxTokens = Annotated[int | None, typer.Option(help="The reply ends after this many tokens at the latest.")]
Drafts = Annotated[int | None, typer.Option(help="Sample this many replies and keep the best.")]


def main() -> None:
    """Run the command line; an expected error is one line on stderr and exit code 1."""
    try:
        app()
    except (AdapterbotError, OSError) as error:  # OSError: a full disk, a folder that cannot be written
        typer.echo(f"adapterbot: {error}", err=True)
        sys.exit(1)


@app.command()
def respond(
    text: Annotated[str, typer.Argument(help="What the user says.")],
    skill: SkillOption = None,
    history: Annotated[
        Path | None, typer.Option(help='JSON: [{"speaker": "user" | "bot", "text": "..."}, ...]')
    ] = None,
    fact: Annotated[
        list[str] | None, typer.Option(help="A fact to answer from, instead of retrieval; repeatable.")
    ] = None,
    seed: Seed = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    max_tokens: MaxTokens = None,
    drafts: Drafts = None,
    backbone: Backbone = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole Reply.")] = False,
    demo: Demo = False,
) -> None:
    """Answer one message."""
    bot = _bot(backbone, log=False, demo=demo)
    decode = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "drafts": drafts}
    reply = bot.respond(text, _history(history), skill=skill, seed=seed, facts=fact, **decode)
    if as_json:
        typer.echo(json.dumps(reply.to_dict(), ensure_ascii=False, indent=2))
    else:
        typer.echo(f"[{reply.skill}] {reply.text}")
    for warning in reply.warnings:
        typer.echo(f"note: {warning}", err=True)


@app.command()
def chat(
    skill: SkillOption = None,
    session: Annotated[
        str | None, typer.Option(help="Go on with (or start) the stored conversation of this name.")
    ] = None,
    seed: Seed = None,
    backbone: Backbone = None,
    no_log: NoLog = False,
    demo: Demo = False,
) -> None:
    """Talk in the terminal. /skill NAME, /auto, /undo and /quit are understood."""
    from adapterbot.cli.terminal import talk

    talk(_bot(backbone, log=session is not None and not no_log, demo=demo), session or "terminal", skill, seed)


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on; 127.0.0.1 is this machine alone.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port; left out, 7860 or the next free one.")] = None,
    backbone: Backbone = None,
    demo: Demo = False,
) -> None:
    """Open the chat app in a browser."""
    try:
        from adapterbot.ui.app import main as run
    except ImportError as error:
        raise AdapterbotError(f"the chat app needs gradio ({error}): pip install 'adapterbot[ui]'") from None
    run(lambda: _bot(backbone, log=False, demo=demo), host=host, port=port)


@app.command()
def skills(
    check: Annotated[
        bool, typer.Option("--check", help="Validate every spec and adapter; exit 1 if one has a fault.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    backbone: Backbone = None,
) -> None:
    """List the skills, or validate them."""
    from adapterbot.cli.terminal import list_skills

    if not list_skills(_bot(backbone, log=False), as_json) and check:
        raise typer.Exit(1)


@app.command()
def bench(
    as_json: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file as well.")] = None,
) -> None:
    """Start-up, first token, tokens per second and memory, side by side with transformers where it is installed."""
    from adapterbot.cli.bench import run

    run(as_json)


@app.command()
def doctor() -> None:
    """What is installed, which backbone and skills there are, what is missing and the command that brings it."""
    from adapterbot.cli.doctor import examine

    if not examine(typer.echo):
        raise typer.Exit(1)


@sessions_app.command("list")
def sessions_list() -> None:
    """All stored conversations."""
    for summary in _store().sessions():
        typer.echo(f"{summary.id}  {summary.turns} turns  last {summary.updated_at[:16].replace('T', ' ')} UTC")


@sessions_app.command("show")
def sessions_show(id: Annotated[str, typer.Argument(help="The conversation's name.")]) -> None:
    """One conversation as JSON."""
    typer.echo(json.dumps(_store().export(id), ensure_ascii=False, indent=2))


@sessions_app.command("rm")
def sessions_rm(id: Annotated[str, typer.Argument(help="The conversation's name.")]) -> None:
    """Delete one conversation."""
    _store().remove(id)
    typer.echo(f"removed {id}")


def _bot(backbone: str | None, *, log: bool, demo: bool = False) -> Bot:
    from adapterbot.bot import Bot

    if demo:
        os.environ["ADAPTERBOT_DEMO"] = "1"  # read by the sources of the weather and of the calendar
    bot = Bot.load(backbone, log=log)
    for note in bot.roster.notes:
        typer.echo(f"note: {note}", err=True)
    return bot


def _store() -> Any:
    from adapterbot.home import Home
    from adapterbot.storage.conversations import Store

    return Store(Home.at().database)


def _history(path: Path | None) -> History | None:
    from adapterbot.history import read_history

    return None if path is None else read_history(path)
