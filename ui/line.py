"""The line before the model: so many replies are made at once, so many visitors may wait, and the rest are refused."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from adapterbot.errors import InputError
from adapterbot.ui import words

AT_ONCE = 4
MOST_WAITING = 12


class Line:
    """First come, first served. Safe to use from several threads."""

    def __init__(self, at_once: int = AT_ONCE, waiting: int = MOST_WAITING) -> None:
        self._at_once = at_once
        self._most = at_once + waiting
        self._numbers = itertools.count()
        self._places = list[int]()  # of those who are served and of those who wait, in the order in which they came
        self._lock = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[int]:
        """A place in the line, which is given up at the end of the block; see `before`.

        Raises:
            InputError: too many wait already.
        """
        with self._lock:
            if len(self._places) >= self._most:
                raise InputError(words.line_is_full(len(self._places)))
            mine = next(self._numbers)
            self._places.append(mine)
        try:
            yield mine
        finally:
            with self._lock:
                self._places.remove(mine)

    def before(self, place: int) -> int:
        """How many have to be served before the one at `place`; 0 is their turn."""
        with self._lock:
            return max(0, self._places.index(place) - self._at_once + 1)
