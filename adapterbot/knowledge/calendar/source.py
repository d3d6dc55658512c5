"""3 · The user's calendar: events of an .ics file as rows of a table, for the days and words of the newest turn.

A row looks as in the in-car corpus (Eric et al. 2017): "event: dinner, time: 7pm, date: friday the 6th, party: Ana".
The calendar is only read; whoever wants to change it gets the row `READ_ONLY`.
"""

# Long: the source, and the search that it alone uses.

from __future__ import annotations

import html
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from itertools import chain
from pathlib import Path

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Cells, Event, Fact, Notice
from adapterbot.history import History
from adapterbot.home import DATA, Home, is_inside, written_by_rename
from adapterbot.knowledge import Advance, Opening, Source, Stock
from adapterbot.knowledge.calendar import stock
from adapterbot.knowledge.calendar.ics import CalendarFile, Happening, Series, read_calendar
from adapterbot.knowledge.calendar.question import EVENTS, Question, asks_for_change, read_questions
from adapterbot.knowledge.lines import read_row
from adapterbot.language.dates import DAYS, MONTHS, Span, listed

SAMPLE = DATA / "knowledge" / "calendar.ics"
READ_ONLY = Notice("calendar", "can only be read")
NEAR, AHEAD, FAR = (timedelta(days=n) for n in (7, 60, 366))  # how far "what is next" looks, and a named event
MARGIN = 0.3  # an event that the words name worse than the best by more than this is another one
SHORTEST = 3  # letters of a title that is looked for in a message, more than these
CLEAR = 27  # days ahead in which "the 5th" can only be one day
MOST = {"event": 60, "room": 60, "agenda": 80, "party": 60}  # characters of a cell

TAG = re.compile(r"<[^<>]{0,500}>")
LINK = re.compile(r"\b(?:https?://|www\.)\S+", re.I)
# "Lunch with Laura": a guest in the title, as long as nothing but a name follows.
WITH = re.compile(
    r"^(.+?) with ((?:the )?[^\W\d_][\w.'’-]*(?: (?:and |& )?(?!at |in |on |for |about )[\w.'’-]+){0,3})$", re.I
)
LOWER = EVENTS | frozenset(listed("appointment activity practice session with and for at the of in"))


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
        """At most `limit` events, best first; `READ_ONLY` for a wish to change something.

        Raises:
            KnowledgeError: the calendar's file has become unreadable.
        """
        path = self._file()
        if path is None:
            return []
        source = "sample calendar" if path == SAMPLE else "calendar"
        if asks_for_change(history.last_user):
            return [replace(READ_ONLY, source=source)]
        moment = self._now()
        today = moment.date()
        with self._lock:
            search = _Search(self._series(path), moment)
            for question in read_questions(history, today):
                if found := search.find(question, self._limit):
                    return [_event(h, today, source, round(score, 4)) for score, h in found]
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


class _Search:
    """The events of a calendar at one moment."""

    def __init__(self, series: tuple[Series, ...], moment: datetime) -> None:
        self._series = series
        self._zone = moment.tzinfo
        self._now = moment.replace(tzinfo=None)
        self._today = moment.date()

    def find(self, question: Question, limit: int) -> list[tuple[float, Happening]]:
        """The happenings that a question is about, with how well its words name them; best first.

        Where it names days, no other day is given: a reply would take it for the one that was asked for.
        """
        if not question.words:
            found = self._on(question, self._series) if question.spans else self._next(question, limit)
            return [(1.0, h) for h in found][:limit]
        fits = {s.number: fit for s in self._series if (fit := question.fit(s.texts)) > 0}
        named = [s for s in self._series if s.number in fits]
        found = self._on(question, named) if question.spans else self._named(question, named)
        if not found and question.spans and not question.strong:  # "do I have to get up early tomorrow?"
            return [(0.5, h) for h in self._on(question, self._series)][:limit]
        scored = [(fits[h.series], h) for h in found]
        if not question.spans:
            best = max((fit for fit, _ in scored), default=0.0)
            scored = sorted((p for p in scored if p[0] >= best - MARGIN), key=lambda p: -p[0])
        return scored[:limit]

    def _on(self, question: Question, series: Iterable[Series]) -> list[Happening]:
        """What happens in the spans of a question: span by span, what is over last, else by time."""
        kept = list(series)
        found = list[Happening]()
        for span in question.spans:
            inside = [h for h in self._between(kept, span.first, span.last) if _within(h, span)]
            found += sorted(inside, key=lambda h: (self._over(h) and span.last >= self._today, h.start))
        found = list(dict.fromkeys(found))
        return found[::-1] if question.last else found

    def _named(self, question: Question, series: list[Series]) -> list[Happening]:
        """The next time of each series; for a question about the past, or when none is to come, the last time."""
        later = [h for h in self._between(series, self._today, self._today + FAR) if not self._over(h)]
        if later and not question.past:
            return _once(later)
        earlier = [h for h in self._between(series, self._today - FAR, self._today) if self._over(h)]
        return _once(earlier[::-1]) or _once(later)

    def _next(self, question: Question, limit: int) -> list[Happening]:
        """What comes next at all."""
        if not question.general:
            return []
        found: list[Happening] = []
        for reach in (NEAR, AHEAD):
            found = [h for h in self._between(self._series, self._today, self._today + reach) if not self._over(h)]
            if len(found) >= limit:
                break
        return found

    def _between(self, series: Iterable[Series], first: date, last: date) -> list[Happening]:
        found = chain.from_iterable(s.between(first, last, self._zone) for s in series)
        return sorted(found, key=lambda h: (h.start, not h.all_day, h.title))

    def _over(self, happening: Happening) -> bool:
        return happening.end < self._now


def _within(happening: Happening, span: Span) -> bool:
    """Whether it takes place in the hours of the span; what takes whole days does."""
    start = happening.start
    (first, until) = span.hours
    if happening.all_day or start.date() != happening.last:
        return True
    from_then = datetime.combine(start.date(), time(first))
    return start.hour < until and (start >= from_then or happening.end > from_then)


def _once(found: Iterable[Happening]) -> list[Happening]:
    """The first of each series."""
    return list({h.series: h for h in reversed(list(found))}.values())[::-1]


def _event(happening: Happening, today: date, source: str, score: float) -> Event:
    return Event(
        _clean(happening.title),
        happening.start,
        happening.end,
        _clean(happening.place),
        happening.all_day,
        said=event_cells(happening, today),
        source=source,
        score=score,
    )


def event_cells(happening: Happening, today: date) -> Cells:
    """One happening as cells; those that it lacks are left out."""
    title = _clean(happening.title)
    people = [_clean(p) for p in happening.people]
    if not people and (found := WITH.match(title)):
        title = found[1]
        people = [found[2]]
    first = happening.start.date()
    last = happening.last
    cells = {
        "event": " ".join(w.lower() if w.lower() in LOWER else w for w in title.split()) or "untitled event",
        "time": "all day" if happening.all_day else spoken_time(happening.start),
        "date": spoken_day(first, today) + (f" to {spoken_day(last, today)}" if last > first else ""),
        "room": _clean(happening.place),
        "agenda": re.split(r"(?<=[.!?])\s", _clean(happening.notes))[0].rstrip("."),
        "party": " and ".join(p for p in people if p),
    }
    return tuple((name, _cut(value, MOST.get(name, 80))) for name, value in cells.items() if value)


def spoken_time(moment: datetime) -> str:
    """As the corpus writes it: 7pm, 10:30am."""
    minutes = f":{moment.minute:02}" if moment.minute else ""
    return f"{(moment.hour - 1) % 12 + 1}{minutes}{'am' if moment.hour < 12 else 'pm'}"


def spoken_day(day: date, today: date) -> str:
    """Friday the 6th; with the month where that could be another day, and with the year where the month could."""
    ending = "th" if day.day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    said = f"{DAYS[day.weekday()]} the {day.day}{ending}"
    if not 0 <= (day - today).days <= CLEAR:
        said += f" of {MONTHS[day.month - 1]}"
    return said + (f" {day.year}" if abs((day - today).days) > 330 else "")


def _clean(text: str) -> str:
    """One line without HTML, links and control characters, in which no cell of a row can begin."""
    text = LINK.sub(" ", TAG.sub(" ", html.unescape(TAG.sub(" ", text[:4000]))))
    text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(re.sub(r":(?=\s|$)", " -", text).split()).strip(" -,;")


def _cut(text: str, most: int) -> str:
    """`text` up to the last whole word within `most` characters."""
    return text if len(text) <= most else (text[:most].rsplit(" ", 1)[0] or text[:most]).rstrip(" ,;-") + " …"


SOURCE = CalendarSource
