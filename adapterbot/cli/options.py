"""Options that several commands share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

Backbone = Annotated[str | None, typer.Option(help="embedded, dialogpt-small, ..., a folder or a hub id.")]
Data = Annotated[str | None, typer.Option(help="A dialogue file (JSONL), a folder of corpora, or hub:NAME.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same reply.")]
Drafts = Annotated[
    int | None, typer.Option(help="Drafts per reply of a skill; left out, what skill.toml says.", min=1, max=32)
]
Page = Annotated[Path, typer.Option(help="For 'backbone': the Markdown page of replies to write.")]
Recipe = Annotated[Path | None, typer.Option(help="The recipe (TOML); left out, the one that ships.")]


@contextmanager
def _goes_on() -> Iterator[None]:
    """A training that Ctrl-C or a polite kill ends: it says that its checkpoint stays."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("\nstopped; the same command goes on from the last checkpoint", err=True)
        raise typer.Exit(130) from None
