"""`adapterbot chat`: a conversation in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapterbot.cli.console import console
from adapterbot.errors import AdapterbotError
from adapterbot.turn import Reply

if TYPE_CHECKING:
    from adapterbot.bot import Bot
    from adapterbot.session import Session

HELP = "/skill NAME chooses a skill, /auto lets the manager choose, /undo forgets the last exchange, /quit ends."


def talk(bot: Bot, session_id: str, skill: str | None, decode: Mapping[str, Any]) -> None:
    """The chat loop: streams replies until /quit, Ctrl-D or Ctrl-C; `decode` overrides each skill's settings."""
    session = bot.session(session_id)
    console.print(HELP, style="dim")
    while True:
        try:
            console.print("you: ", style="bold", end="")
            message = console.input()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        command, _, argument = message.strip().partition(" ")
        if command in {"/quit", "/exit"}:
            return
        if command in {"/skill", "/auto"}:
            skill = _chosen(bot, argument.strip(), skill) if command == "/skill" else None
            console.print(f"skill {skill}" if skill else "the manager chooses", style="dim")
        elif command == "/undo":
            session.undo()
        elif command.startswith("/"):
            console.print(HELP, style="dim")
        else:
            _say(session, message, skill, decode)


def _chosen(bot: Bot, name: str, before: str | None) -> str | None:
    """The skill of that name, or the one before when it cannot answer, and why; no name: the manager chooses."""
    if not name:
        return None
    try:
        bot.roster.spec(name)
        return name
    except AdapterbotError as error:
        console.print(str(error), style="red")
        return before


def _say(session: Session, message: str, skill: str | None, decode: Mapping[str, Any]) -> None:
    """One exchange; a reply is shown as it comes, and what chose it after it."""
    try:
        stream = session.stream(message, skill=skill, **decode)
        while True:
            console.print(next(stream), end="", soft_wrap=True)
    except StopIteration as end:
        reply: Reply = end.value
        console.print(f"\n{f'care: {reply.care}' if reply.care else f'{reply.skill} ({reply.routed_by})'}", style="dim")
        for fact in reply.facts:
            console.print(f"  from {fact.source}: {fact.heading or fact.line}", style="dim")
        for warning in reply.warnings:
            console.print(f"  note: {warning}", style="yellow")
    except KeyboardInterrupt:
        console.print(" (stopped)", style="dim")
    except AdapterbotError as error:
        console.print(str(error), style="red")
