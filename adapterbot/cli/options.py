"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from adapterbot.turn import DECODE_SETTINGS

Skill = Annotated[
    str | None,
    typer.Option(
        help="Answer with this skill, or a stack (empathetic+joy) or average (0.7*wiki+0.3*joy) of several; left out, "
        "the manager picks."
    ),
]
Backbone = Annotated[
    str | None, typer.Option(help="smollm2 (the default), dialogpt-medium, ..., a folder, a GGUF file or a hub id.")
]
Data = Annotated[
    str | None,
    typer.Option(help="A dialogue file (JSONL, see below), a folder of corpora (NAME/train.jsonl), or hub:NAME."),
]
Corpora = Annotated[
    Path | None,
    typer.Option("--data", help="A folder of corpora; left out, $ADAPTERBOT_CORPORA.", exists=True, file_okay=False),
]
CorporaOrSamples = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="A folder of corpora; left out, $ADAPTERBOT_CORPORA or our samples.",
        exists=True,
        file_okay=False,
    ),
]
Judge = Annotated[
    Path | None,
    typer.Option(
        help="Messages with labels (JSONL, see below), kept out of training, to judge the manager on.",
        exists=True,
        dir_okay=False,
    ),
]
Out = Annotated[Path | None, typer.Option(help="Where to write; left out, the user's home.")]
Drafts = Annotated[
    int | None, typer.Option(help="Drafts per reply of a skill; left out, what skill.toml says.", min=1, max=32)
]
Recipe = Annotated[Path | None, typer.Option(help="The recipe (TOML); left out, the one that ships.")]
Place = Annotated[str, typer.Option(help="Where you are: the place whose weather is meant when none is named.")]
Region = Annotated[
    str | None,
    typer.Option(help="Your country's code, such as GB: whose emergency numbers are named. Default: your locale's."),
]
Demo = Annotated[
    bool, typer.Option("--demo", help="Answer from a sample forecast and a sample calendar where there is no other.")
]
Stored = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Where conversations and keys are kept: a file, or postgresql+psycopg://USER@HOST/NAME; left out, a file "
        "in the user's home.",
    ),
]
NoLog = Annotated[bool, typer.Option("--no-log", help="Do not store the conversation.")]


def with_decode_settings(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with an option for each of `DECODE_SETTINGS` in place of its parameter `decode`, which holds those
    that were given."""
    signature = inspect.signature(command, eval_str=True)
    kept = [parameter for parameter in signature.parameters.values() if parameter.name != "decode"]
    options = [_option(name, *setting) for name, setting in DECODE_SETTINGS.items()]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        decode = {name: given.pop(name) for name in DECODE_SETTINGS}
        command(**given, decode={name: value for name, value in decode.items() if value is not None})

    changed: Any = run
    changed.__signature__ = signature.replace(parameters=[*kept, *options])
    changed.__annotations__ = {parameter.name: parameter.annotation for parameter in [*kept, *options]}
    return run


def _option(name: str, kind: type, low: float, high: float, meaning: str) -> inspect.Parameter:
    """The option of one setting; that its value is in range is checked where settings are made."""
    text = f"{meaning[0].upper()}{meaning[1:]}; {low:g} to {f'{high:,}' if isinstance(high, int) else f'{high:g}'}."
    option = typer.Option(f"--{name.replace('_', '-')}", help=text)
    annotation: Any = Annotated[kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


DecodeSettings = Mapping[str, Any]
