"""Stop texts: a reply ends before the first of them, and a stream shows no half of one."""

from __future__ import annotations

from collections.abc import Sequence


def cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """`text` up to the earliest of `stops`, and whether there was one.

    >>> cut("one. two.", [".", "two"])
    ('one', True)
    """
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


class Stopper:
    """Passes the pieces of a text on, and keeps back what may be the beginning of a stop."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._kept = ""
        self.stopped = False

    def more(self, piece: str) -> str:
        """What can be shown now; nothing after a stop."""
        if self.stopped:
            return ""
        text, self.stopped = cut(self._kept + piece, self._stops)
        held = 0 if self.stopped else max((self._overlap(text, stop) for stop in self._stops), default=0)
        self._kept = text[len(text) - held :]
        return text[: len(text) - held]

    def rest(self) -> str:
        """What was kept back and turned out to be no stop."""
        kept, self._kept = self._kept, ""
        return "" if self.stopped else kept

    @staticmethod
    def _overlap(text: str, stop: str) -> int:
        """How many characters at the end of `text` begin `stop`."""
        return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
