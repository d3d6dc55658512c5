"""What a command reads before it loads anything: the message, a history, settings."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from adapterbot.errors import InputError
from adapterbot.history import History, read_history
from adapterbot.home import read_most
from adapterbot.turn import Decode

MOST = 2**24  # bytes of a message that are read


def message(text: str | None) -> str:
    """The message: `text`, or standard input where that is "-" or nothing was given and something is piped in.

    Raises:
        typer.BadParameter: there is neither. InputError: what is read is too long, no UTF-8, or empty.
    """
    if text is None and sys.stdin.isatty():
        raise typer.BadParameter("give a text, or - to read it from standard input", param_hint="TEXT")
    if text is None or text == "-":
        try:
            text = read_most(sys.stdin.buffer, MOST, "standard input").decode("utf-8-sig")
        except OSError as error:
            raise InputError(f"standard input: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise InputError(f"standard input is not UTF-8 (byte {error.start})") from None
    if not text.strip():
        raise InputError("the message is empty")
    return text


def history(path: Path | None) -> History | None:
    """What was said before, as a file has it (see `read_history`); None for no file."""
    return None if path is None else read_history(path)


def check_decode(decode: Mapping[str, Any]) -> None:
    """Whether each setting is in its range; raises SettingError, and what depends on the skill shows later."""
    Decode().override(decode)
