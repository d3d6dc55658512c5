"""3 · The events of a calendar at one moment: those that a question is about, and the hours that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import chain

from adapterbot.knowledge.calendar.ics import YEARS, Happening, Series
from adapterbot.knowledge.calendar.question import Question
from adapterbot.language.clock import TimeOfDay
from adapterbot.language.periods import Span

NEAR, AHEAD, FAR = (timedelta(days=n) for n in (7, 60, 366))  # how far "what is next" looks, and a named event
FARTHEST = timedelta(days=3660)  # how far a named one that repeats, where there is none nearer
MARGIN = 0.3  # an event that the words name worse than the best by more than this is another one
AT = timedelta(minutes=30)  # that "at four" is about
DAY = timedelta(days=1)
MOST_DAYS = 62  # of which the hours are looked at one by one

Window = tuple[datetime, datetime]


def windows(question: Question, now: datetime) -> list[Window]:
    """The stretches of time that a question is about; none where it names neither day nor hour."""
    spans = question.spans
    if not spans and question.times:
        late = all(_stretch(time_of_day, now.date())[1] <= now for time_of_day in question.times)
        day = now.date() + DAY * late
        spans = (Span(day, day),)
    return [window for span in spans for window in _of_span(span, question.times)]


def _of_span(span: Span, times: tuple[TimeOfDay, ...]) -> Iterator[Window]:
    if not times and span.hours == (0, 24):
        yield _at(span.first, 0), _at(span.last + DAY, 0)
        return
    for number in range(min((span.last - span.first).days + 1, MOST_DAYS)):
        day = span.first + number * DAY
        if times:
            yield from (_stretch(time_of_day, day) for time_of_day in times)
        else:
            yield _at(day, 60 * span.hours[0]), _at(day, 60 * span.hours[1])


def _stretch(said: TimeOfDay, day: date) -> Window:
    match said.bound:
        case "at":
            return _at(day, said.first), _at(day, said.first) + AT
        case "after":
            return _at(day, said.first), _at(day + DAY, 0)
        case "before":
            return _at(day, 0), _at(day, said.first)
    return _at(day, said.first), _at(day, said.last)


def _at(day: date, minutes: int) -> datetime:
    return datetime.combine(day, time()) + timedelta(minutes=minutes)


def touches(happening: Happening, window: Window) -> bool:
    """Whether an event takes up a part of a stretch of time; one without a length is a moment."""
    first, until = window
    return happening.start < until and (happening.end > first or happening.start >= first)


class Search:
    """The events of a calendar at one moment."""

    def __init__(self, series: tuple[Series, ...], moment: datetime) -> None:
        self._series = series
        self._zone = moment.tzinfo
        self.now = moment.replace(tzinfo=None)
        self.today = moment.date()

    @property
    def titles(self) -> tuple[str, ...]:
        """What the events are called."""
        return tuple(title for series in self._series for title in series.texts[:1])

    def find(self, question: Question, limit: int) -> list[tuple[float, Happening]]:
        """The happenings that a question is about, with how well its words name them; best first.

        Where it names days, no other day is given: a reply would take it for the one that was asked for. Of what no day
        bounds come `limit` at most.
        """
        stretches = windows(question, self.now)
        if not question.words:
            found = self._on(question, stretches, self._series) if stretches else self._next(question, limit)
            return [(1.0, h) for h in found]
        fits = {s.number: fit for s in self._series if (fit := question.fit(s.texts)) > 0}
        named = [s for s in self._series if s.number in fits]
        on_day = [(_at(span.first, 0), _at(span.last + DAY, 0)) for span in question.spans]
        if not question.spans:
            return self._best(fits, self._named(question, named))[:limit]
        stretches = stretches if question.asked == "count" else on_day if question.times else stretches
        found = self._on(question, stretches, named)
        if not found and not question.strong:  # "do I have to get up early tomorrow?"
            return [(0.5, h) for h in self._on(question, stretches, self._series)]
        return [(fits[h.series], h) for h in found]

    def _best(self, fits: dict[int, float], found: Iterable[Happening]) -> list[tuple[float, Happening]]:
        scored = [(fits[h.series], h) for h in found]
        best = max((fit for fit, _ in scored), default=0.0)
        return sorted((p for p in scored if p[0] >= best - MARGIN), key=lambda p: -p[0])

    def _on(self, question: Question, stretches: list[Window], series: Iterable[Series]) -> list[Happening]:
        """What happens in some stretches of time: one after the other, what is over last, else by time.

        Of a day that may also mean another one ("next Friday") the first with events counts.
        """
        kept = list(series)
        found = list[Happening]()
        alternatives = any(span.instead for span in question.spans)
        for window in stretches:
            if alternatives and found:
                break
            last = window[1] - timedelta(microseconds=1)
            inside = [h for h in self._between(kept, window[0].date(), last.date()) if touches(h, window)]
            in_order = question.past or last.date() < self.today
            found += sorted(inside, key=lambda h: (self._over(h) and not in_order, h.start))
        return list(dict.fromkeys(found))

    def _named(self, question: Question, series: list[Series]) -> list[Happening]:
        """The next time of each series; for a question about the past, or when none is to come, the last time."""
        later = [h for one in series for h in self._coming(one)]
        if later and not question.past:
            return _once(sorted((h for h in later if _in_hours(h, question.hours)), key=_by_time))
        earlier = sorted((h for one in series for h in self._gone(one)), key=_by_time)
        return _once(earlier[::-1]) or _once(later)

    def _coming(self, series: Series) -> list[Happening]:
        """What of it is not over yet: in the next year, and where that is nothing as far ahead as there is any."""
        near = [h for h in self._between([series], self.today, self.today + FAR) if not self._over(h)]
        last = self.today + FARTHEST if series.unfold else date(YEARS[-1], 12, 31)
        return near or self._between([series], self.today + FAR, last)

    def _gone(self, series: Series) -> list[Happening]:
        """What of it is over: in the last year, and where that is nothing as far back as there is any."""
        near = [h for h in self._between([series], self.today - FAR, self.today) if self._over(h)]
        first = self.today - FARTHEST if series.unfold else date(YEARS[0], 1, 1)
        return near or self._between([series], first, self.today - FAR)

    def _next(self, question: Question, limit: int) -> list[Happening]:
        """What comes next at all."""
        if not question.general:
            return []
        found: list[Happening] = []
        for reach in (NEAR, AHEAD):
            found = [h for h in self._between(self._series, self.today, self.today + reach) if not self._over(h)]
            if len(found) >= limit:
                break
        return found[:limit]

    def _between(self, series: Iterable[Series], first: date, last: date) -> list[Happening]:
        found = chain.from_iterable(s.between(first, last, self._zone) for s in series)
        return sorted(found, key=_by_time)

    def _over(self, happening: Happening) -> bool:
        return happening.end < self.now


def _by_time(happening: Happening) -> tuple[datetime, bool, str]:
    return happening.start, not happening.all_day, happening.title


def _in_hours(happening: Happening, hours: tuple[int, int]) -> bool:
    """Whether it is in a part of a day."""
    if hours == (0, 24) or happening.all_day:
        return True
    day = happening.start.date()
    return touches(happening, (_at(day, 60 * hours[0]), _at(day, 60 * hours[1])))


def _once(found: Iterable[Happening]) -> list[Happening]:
    """The first of each series."""
    return list({h.series: h for h in reversed(list(found))}.values())[::-1]
