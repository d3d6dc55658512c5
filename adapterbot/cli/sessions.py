"""The commands for stored conversations. Heavy imports happen inside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adapterbot.cli.output import say, say_json

if TYPE_CHECKING:
    from adapterbot.storage.conversations import Store

app = typer.Typer(no_args_is_help=True, help="List, show and delete stored conversations.")
Name = Annotated[str, typer.Argument(help="The conversation's name, as in: adapterbot chat --session NAME.")]


@app.command("list")
def list_all() -> None:
    """All stored conversations."""
    for summary in _store().sessions():
        say(f"{summary.id}  {summary.turns} turns  last {summary.updated_at[:16].replace('T', ' ')} UTC")


@app.command()
def show(name: Name) -> None:
    """One conversation as JSON."""
    say_json(_store().export(name))


@app.command("rm")
def remove(name: Name) -> None:
    """Delete one conversation."""
    _store().remove(name)
    say(f"removed {name}")


def _store() -> Store:
    from adapterbot.home import Home
    from adapterbot.storage.conversations import Store

    return Store(Home.at().database)
