"""A rich console for tables and progress, under the rule of `output`: no character of the data reaches it raw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from adapterbot.cli.output import printable


class PlainConsole(Console):
    """Shows texts as they are: no markup, no emoji codes, and what a terminal would obey is written out."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, stderr=stderr)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a text of a string; before it is measured, so that tables keep their columns."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Whatever is shown comes through here; rich's own control codes and colours are segments of their own."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


console = PlainConsole()
error_console = PlainConsole(stderr=True)
