"""3 · The user's calendar: events of an .ics file as rows of a table, for the days and words of the newest turn.

A row looks as in the in-car corpus (Eric et al. 2017): "event: dinner, time: 7pm, date: friday the 6th, party: Ana".
The calendar is only read; whoever wants to change it gets the row `READ_ONLY`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Event, Fact, Notice
from adapterbot.history import History
from adapterbot.home import DATA, Home, is_inside, written_by_rename
from adapterbot.knowledge import Advance, Opening, Source, Stock
from adapterbot.knowledge.calendar import stock
from adapterbot.knowledge.calendar.answers import answer
from adapterbot.knowledge.calendar.changes import asks_for_change
from adapterbot.knowledge.calendar.ics import CalendarFile, Happening, Series, read_calendar
from adapterbot.knowledge.calendar.question import read_questions
from adapterbot.knowledge.calendar.say import clean, event_cells
from adapterbot.knowledge.calendar.search import Search
from adapterbot.knowledge.lines import read_row

SAMPLE = DATA / "knowledge" / "calendar.ics"
READ_ONLY = Notice("calendar", "can only be read")
SHORTEST = 3  # letters of a title that is looked for in a message, more than these


def _own(home: Home) -> Path:
    """Where the user's calendar is kept; raises KnowledgeError when a link leads elsewhere."""
    path = home.knowledge / "calendar.ics"
    if not is_inside(path, home.knowledge):
        raise KnowledgeError(
            f"{path} leads out of {home.knowledge} by a symbolic link; copy the calendar there instead"
        )
    return path


class CalendarSource(Source):
    """The events that the newest user turn is about. Safe to use from several threads.

    `now` says the local time; where its result has a time zone, events are shown in that. A file that changes is read
    again.
    """

    files = "an .ics file"

    def __init__(
        self, home: Home, *, limit: int = 3, demo: bool = False, now: Callable[[], datetime] = datetime.now
    ) -> None:
        self._home = home
        self._limit = limit
        self._demo = demo
        self._now = now
        self._lock = threading.Lock()
        self._read: tuple[object, CalendarFile] | None = None  # what file it was, and what is in it

    @classmethod
    def open(cls, opening: Opening) -> CalendarSource:
        """The user's calendar; with `demo` and none of their own, the sample calendar."""
        return cls(opening.home, limit=opening.spec.knowledge.limit, demo=opening.demo)

    @classmethod
    def read_line(cls, line: str) -> Fact:
        """An event as cells, or that there is none."""
        return READ_ONLY if line == READ_ONLY.line else read_row(line, "calendar")

    @classmethod
    def add(cls, path: Path, home: Home, name: str, advance: Advance = lambda count: None) -> str:
        """Make `path` the user's calendar in place of the one before; says what is in it.

        Raises:
            KnowledgeError: it is no calendar, or has no event that can be read.
        """
        calendar = read_calendar(path, advance)
        left_out = f"{calendar.broken:,} broken left out (the first: {calendar.fault})" if calendar.broken else ""
        if not calendar.series:
            raise KnowledgeError(
                f"{path}: no event can be read{': ' * bool(left_out)}{left_out}; export the calendar again"
            )
        target = _own(home)
        try:
            with written_by_rename(target) as temporary:
                temporary.write_bytes(path.read_bytes())
        except OSError as error:
            raise KnowledgeError(f"{target}: cannot be written: {error.strerror}") from None
        repeating = sum(s.unfold is not None for s in calendar.series)
        count = f"{len(calendar.series):,} events, {repeating:,} of them repeating"
        return count + (f"; {left_out}" if left_out else "")

    @classmethod
    def forget(cls, home: Home, name: str) -> bool:
        """Take the user's calendar away; False when there was none."""
        target = _own(home)
        there = target.is_file()
        target.unlink(missing_ok=True)
        return there

    @classmethod
    def stock(cls, home: Home, name: str) -> Sequence[Stock]:
        """The user's calendar."""
        return [Stock(what, own) for what, own in stock.stock(home, name)]

    def mentions(self, text: str) -> tuple[str, ...]:
        """The titles of events that stand in `text`."""
        path = self._file()
        if path is None:
            return ()
        lower = text.lower()
        with self._lock:
            titles = {title for series in self._series(path) for title in series.texts[:1] if len(title) > SHORTEST}
        return tuple(sorted(title for title in titles if title.lower() in lower))

    def _file(self) -> Path | None:
        """The calendar to read; None where there is none."""
        own = _own(self._home)
        if own.is_file():
            return own
        return SAMPLE if self._demo else None

    def retrieve(self, history: History) -> list[Fact]:
        """The events that are asked about, best first: all of a day that is named, else at most `limit`. Before them
        what is worked out of them, where that is asked; `READ_ONLY` for a wish to change something.

        Raises:
            KnowledgeError: the calendar's file has become unreadable.
        """
        path = self._file()
        source = "sample calendar" if path == SAMPLE else "calendar"
        if path is not None and asks_for_change(history.last_user):
            return [replace(READ_ONLY, source=source)]
        moment = self._now()
        with self._lock:
            search = Search(self._series(path) if path else (), moment)
            for question in read_questions(history, search.today, search.titles):
                found = search.find(question, self._limit)
                told, shown = answer(question, [h for _, h in found], search.now)
                if path is None and question.asked not in ("now", "date"):  # these need no calendar
                    return []
                if told or shown:
                    scores = {h: score for score, h in found}
                    events = [_event(h, search.today, source, round(scores[h], 4)) for h in shown]
                    return [*([replace(told, source=source)] if told else []), *events]
        return []

    def _series(self, path: Path) -> tuple[Series, ...]:
        try:
            stat = path.stat()
        except OSError as error:
            raise KnowledgeError(f"{path}: cannot be read: {error.strerror}") from None
        key = (path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if self._read is None or self._read[0] != key:
            self._read = key, read_calendar(path)
        return self._read[1].series


def _event(happening: Happening, today: date, source: str, score: float) -> Event:
    return Event(
        clean(happening.title),
        happening.start,
        happening.end,
        clean(happening.place),
        happening.all_day,
        said=event_cells(happening, today),
        source=source,
        score=score,
    )


SOURCE = CalendarSource
