"""Whose the sessions are that this server has seen: it goes on with them while the store cannot be read."""

from __future__ import annotations

MOST = 10_000


class Begun:
    """The owners and titles of sessions, at most `most`."""

    def __init__(self, most: int = MOST) -> None:
        self._titles: dict[tuple[str, str], str] = {}
        self._most = most

    def note(self, owner: str, session: str, title: str) -> None:
        """Remember one, and forget the one that was used longest ago where there are too many."""
        self.forget(owner, session)
        self._titles[owner, session] = title
        while len(self._titles) > self._most:
            del self._titles[next(iter(self._titles))]

    def title(self, owner: str, session: str) -> str | None:
        """What a session was called, None for one that was not seen with this owner."""
        return self._titles.get((owner, session))

    def forget(self, owner: str, session: str) -> None:
        """It is gone."""
        self._titles.pop((owner, session), None)
