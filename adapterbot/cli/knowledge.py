"""The commands that give a bot knowledge of the user's own. Heavy imports happen inside them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from adapterbot.errors import UnknownNameError

app = typer.Typer(
    no_args_is_help=True, help="Add and remove knowledge of your own: triples, passages, tables, a calendar."
)
SOURCES = ("graph", "passages", "calendar")  # any other name is that of a skill with a table

Name = Annotated[str, typer.Argument(help="graph, passages, calendar, or a skill with a table, such as restaurant.")]


@app.command()
def add(
    name: Name, file: Annotated[Path, typer.Argument(help="The file (for passages also a folder) to read.")]
) -> None:
    """Add a file: TSV for graph; text, Markdown, JSONL or a Wikipedia dump for passages; .ics for calendar; CSV else.

    What is not valid is refused with its line, and everything stays as it was.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from adapterbot.home import Home

    source = _source(name)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description} {task.completed:,.0f}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(f"reading {file.name}", total=None)
        done = source.add(file.expanduser(), Home.at(), name, lambda count: bar.update(task, completed=count))
    typer.echo(f"{name}: {done}")


@app.command("rm")
def remove(name: Name) -> None:
    """Take away what was added; what ships with adapterbot stays."""
    from adapterbot.home import Home

    removed = _source(name).remove(Home.at(), name)
    typer.echo(f"{name}: removed" if removed else f"{name}: nothing of your own was there")


def _source(name: str) -> ModuleType:
    """The module of the source that `name` adds to.

    Raises:
        UnknownNameError: it is none, nor a skill with a table.
    """
    from adapterbot.home import Home
    from adapterbot.spec.folders import SkillFolders

    if name in SOURCES:
        return import_module(f"adapterbot.knowledge.{name}.source")
    specs = SkillFolders(Home.at()).load_all()
    tables = [skill for skill, spec in specs.items() if spec.knowledge.source == "table"]
    if name not in tables:
        raise UnknownNameError("knowledge", name, [*SOURCES, *tables])
    return import_module("adapterbot.knowledge.table.source")
