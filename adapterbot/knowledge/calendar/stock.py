"""3 · What a user's calendar holds."""

from __future__ import annotations

from adapterbot.home import Home
from adapterbot.knowledge.calendar.ics import read_calendar


def stock(home: Home, name: str) -> list[tuple[str, bool]]:
    """What there is to answer from, in words, and whether it is the user's own.

    Raises:
        KnowledgeError: the calendar can no longer be read. MissingPartError: the libraries for it are not installed.
    """
    own = home.knowledge / "calendar.ics"
    if not own.is_file():
        return []
    count = len(read_calendar(own).series)
    return [(f"{count:,} event{'s' if count > 1 else ''} in {own}", True)]
