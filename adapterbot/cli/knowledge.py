"""The commands for knowledge of the user's own. Heavy imports happen inside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapterbot.cli import formats
from adapterbot.cli.output import say, say_json
from adapterbot.errors import InputError

if TYPE_CHECKING:
    from adapterbot.knowledge import Source

app = typer.Typer(
    no_args_is_help=True, help="Add, list and remove knowledge of your own: triples, passages, tables, a calendar."
)
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
    name: Annotated[str | None, typer.Argument(help="One of the names that `add` takes; left out, all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What there is to answer from: what ships, and your own files with how much each holds."""
    from adapterbot.home import Home
    from adapterbot.knowledge.own import taking_files

    home = Home.at()
    sources = taking_files(home) if name is None else {name: _source(name)}
    found = {each: source.stock(home, each) for each, source in sources.items()}
    if as_json:
        say_json({each: [{"what": part.what, "own": part.own} for part in stock] for each, stock in found.items()})
        return
    for each, stock in found.items():
        lines = [f"yours: {part.what}" if part.own else part.what for part in stock] or [NOTHING.format(each)]
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

    say(f"{name}: {_source(name).remove(Home.at(), name, file.expanduser() if file else None)}")


def _source(name: str) -> type[Source]:
    """The source that `name` adds to; raises UnknownNameError for a name that takes no files."""
    from adapterbot.home import Home
    from adapterbot.knowledge.own import source_taking

    return source_taking(Home.at(), name)
