"""The commands for stored conversations. Heavy imports happen inside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adapterbot.cli.options import Stored
from adapterbot.cli.output import say, say_json
from adapterbot.errors import InputError

if TYPE_CHECKING:
    from adapterbot.storage.conversations import Store

app = typer.Typer(no_args_is_help=True, help="List, show and delete stored conversations.")
Name = Annotated[str, typer.Argument(help="The conversation's name, as in: adapterbot chat --session NAME.")]


@app.command("list")
def list_all(store: Stored = None) -> None:
    """All stored conversations."""
    for summary in _store(store).sessions():
        title = f"  {summary.title}" if summary.title else ""
        say(f"{summary.id}  {summary.turns} turns  last {summary.updated_at[:16].replace('T', ' ')} UTC{title}")


@app.command()
def show(name: Name, store: Stored = None) -> None:
    """One conversation as JSON."""
    say_json(_store(store).export(name))


@app.command()
def export(
    name: Annotated[str | None, typer.Argument(help="The conversation's name; left out with --feedback.")] = None,
    feedback: Annotated[
        bool, typer.Option("--feedback", help="What was liked in the app, as a dialogue file.")
    ] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="For people to read, in place of JSON.")] = False,
    store: Stored = None,
) -> None:
    """One conversation as JSON or Markdown; or, with --feedback, all that was liked, as train-skill --data reads it."""
    from adapterbot.storage.feedback import liked_dialogues
    from adapterbot.storage.markdown import markdown

    kept = _store(store)
    if feedback == (name is not None):
        raise InputError("name one conversation, or give --feedback for what was liked in all of them")
    if name is None:
        for dialogue in liked_dialogues(kept):
            say_json(dialogue, indent=None)
        return
    exported = kept.export(name)
    if as_markdown:
        title = next((each.title for each in kept.sessions() if each.id == name), "")
        say(markdown(title or name, kept.exchanges(name)))
    else:
        say_json(exported)


@app.command("rm")
def remove(
    name: Annotated[str | None, typer.Argument(help="The conversation's name; left out with --unused.")] = None,
    unused: Annotated[
        float | None, typer.Option(metavar="DAYS", help="All in which nothing was said for so many days.")
    ] = None,
    store: Stored = None,
) -> None:
    """Delete one conversation; or, with --unused, all that nobody used for some days."""
    if (unused is None) == (name is None):
        raise InputError("name one conversation, or give --unused DAYS for all that nobody used for so long")
    if name is not None:
        _store(store).remove(name)
        say(f"removed {name}")
    elif unused is not None:
        count = _store(store).forget_unused(days=unused)
        say(f"removed {count} conversation{'' if count == 1 else 's'}")


def _store(place: str | None) -> Store:
    from adapterbot.home import Home
    from adapterbot.storage.conversations import Store

    return Store(place or Home.at().database)
