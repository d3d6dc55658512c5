"""Figures in a Markdown card: what stands between two marks is written by a command, the rest by people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from adapterbot.errors import DataError
from adapterbot.home import written_by_rename

BEGIN, END = "<!-- figures: `adapterbot build` writes from here -->", "<!-- figures: to here -->"


def figures_in(card: Path) -> str:
    """What stands between the marks of a card, empty when it has none or is not there."""
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return text.partition(BEGIN)[2].partition(END)[0]


def table(rows: Mapping[str, str]) -> str:
    """A Markdown table of two columns without a head."""
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())])


def fill(card: Path, title: str, figures: str) -> None:
    """Put Markdown between the marks of a card, by rename; a card without marks gets them at its end.

    Raises:
        DataError: the first mark stands without the second.
    """
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {title}\n"
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _begin, rest = text.partition(BEGIN)
    if END not in rest:
        raise DataError(f"{card}: {BEGIN} stands without {END} after it; put that line where the figures end")
    with written_by_rename(card) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n{figures}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
