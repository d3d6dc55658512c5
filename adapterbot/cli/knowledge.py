"""The commands for knowledge of the user's own. Heavy imports happen inside them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from adapterbot.cli import formats
from adapterbot.cli.output import say, say_json
from adapterbot.errors import AdapterbotError, InputError, UnknownNameError

app = typer.Typer(
    no_args_is_help=True, help="Add, list and remove knowledge of your own: triples, passages, tables, a calendar."
)
SOURCES = ("graph", "passages", "calendar")  # any other name is that of a skill with a table
# Source -> the module that tells what it has; "table" is that of every skill with a table
STOCKS = {"graph": "graph.triples", "passages": "passages.added", "calendar": "calendar.stock", "table": "table.store"}
NOTHING = "nothing; adapterbot knowledge add {} FILE"

Name = Annotated[str, typer.Argument(help="graph, passages, calendar, or a skill with a table, such as restaurant.")]


@app.command(epilog=formats.knowledge())
def add(
    name: Name, file: Annotated[Path, typer.Argument(help="The file (for passages also a folder) to read.")]
) -> None:
    """Add a file: TSV for graph; text, Markdown, JSONL or a Wikipedia dump for passages; .ics for calendar; CSV else.

    What is not valid is refused with its line, and everything stays as it was.
    """
    from adapterbot.home import Home

    source = _source(name)
    file = file.expanduser()
    if not file.exists():
        raise InputError(f"{file}: there is no such file or folder")
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from adapterbot.cli.console import error_console

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description} {task.completed:,.0f}", markup=False),
        TimeElapsedColumn(),
        console=error_console,
        transient=True,
    ) as bar:
        task = bar.add_task(f"reading {file.name}", total=None)
        done = source.add(file, Home.at(), name, lambda count: bar.update(task, completed=count))
    say(f"{name}: {done}")


@app.command("list")
def list_all(
    name: Annotated[
        str | None, typer.Argument(help="graph, passages, calendar, or a skill with a table; left out, all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What there is to answer from: what ships, and your own files with how much each holds."""
    from adapterbot.home import Home

    home = Home.at()
    names = [*SOURCES, *_tables()] if name is None else [name]
    found = {each: _stock(each)(home, each) for each in names}
    if as_json:
        say_json({each: [{"what": what, "own": own} for what, own in stock] for each, stock in found.items()})
        return
    for each, stock in found.items():
        lines = [f"yours: {what}" if own else what for what, own in stock] or [NOTHING.format(each)]
        for line in lines:
            say(f"{each:<11} {line}")


@app.command("rm")
def remove(
    name: Name,
    file: Annotated[
        Path | None, typer.Argument(help="For passages: only those of this file, as `knowledge list` shows it.")
    ] = None,
) -> None:
    """Take away what was added; what ships with adapterbot stays."""
    from adapterbot.home import Home

    source = _source(name)
    if file is None:
        removed = source.remove(Home.at(), name)
        say(f"{name}: removed" if removed else f"{name}: nothing of your own was there")
        return
    if name != "passages":
        raise AdapterbotError(f"{name} holds one file of yours at a time: adapterbot knowledge rm {name}")
    from adapterbot.knowledge.passages.added import remove_file

    say(f"{name}: {remove_file(Home.at(), file.expanduser())}")


def _tables() -> list[str]:
    """The skills that answer from a table."""
    from adapterbot.home import Home
    from adapterbot.spec.folders import SkillFolders

    specs = SkillFolders(Home.at()).load_all()
    return [skill for skill, spec in specs.items() if spec.knowledge.source == "table"]


def _kind(name: str) -> str:
    """The kind of source that `name` adds to.

    Raises:
        UnknownNameError: it is none, nor a skill with a table.
    """
    if name in SOURCES:
        return name
    tables = _tables()
    if name not in tables:
        raise UnknownNameError("knowledge", name, [*SOURCES, *tables])
    return "table"


def _source(name: str) -> ModuleType:
    return import_module(f"adapterbot.knowledge.{_kind(name)}.source")


def _stock(name: str) -> Callable[..., list[tuple[str, bool]]]:
    found: Callable[..., list[tuple[str, bool]]] = import_module(f"adapterbot.knowledge.{STOCKS[_kind(name)]}").stock
    return found
