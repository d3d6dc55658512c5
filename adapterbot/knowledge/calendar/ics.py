"""3 · A calendar file (.ics, RFC 5545): its events, and which of them happen between two days.

Every event is read by itself, so that a broken one is left out and counted and the others stay. Times become those of
the user's own time zone, without a zone.
"""

from __future__ import annotations

import errno
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any

from adapterbot.errors import KnowledgeError, MissingPartError
from adapterbot.home import read_whole
from adapterbot.knowledge.calendar.recurrence import Unfolding
from adapterbot.language.dates import listed

MOST_BYTES = 16 * 2**20
MOST_REPEATING = 4_000  # events that repeat; each costs a look whenever a day is asked for
YEARS = range(1600, 2200)  # some programs give a birthday without a year the year 1604
DAY = timedelta(days=1)
# All that is read of an event; attachments, alarms and what programs keep for themselves are not.
TIMES = frozenset(listed("DTSTART DTEND DURATION RRULE RDATE EXDATE RECURRENCE-ID"))
KEPT = TIMES | frozenset(listed("UID SUMMARY SEQUENCE STATUS LOCATION DESCRIPTION ATTENDEE"))
MANY = frozenset({"ATTENDEE", "RDATE", "EXDATE"})  # these may stand several times in one event
# A rule with one of these can happen every second for ever, which no day's list could show.
TOO_OFTEN = frozenset({"SECONDLY", "MINUTELY", "HOURLY"})
OFTEN = ("BYHOUR", "BYMINUTE", "BYSECOND")
NAME = re.compile(r"[A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Happening:
    """One event on one occasion, in local time without a zone. `series` numbers the events of the file.

    `end` is exclusive, and the same as `start` where an event has no length. `people` are the names of its guests.
    """

    series: int
    title: str
    start: datetime
    end: datetime
    all_day: bool = False
    place: str = ""
    notes: str = ""
    people: tuple[str, ...] = ()

    @property
    def last(self) -> date:
        """The last day it takes up."""
        return (self.end - timedelta(microseconds=1)).date() if self.end > self.start else self.start.date()


@dataclass(frozen=True, slots=True)
class Series:
    """The events with one UID: a single one, or one that repeats and its exceptions (then `unfold` expands them)."""

    number: int
    events: tuple[Any, ...]
    unfold: Unfolding | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """What people may call it by: titles, guests and places."""
        return tuple(
            text for e in self.events for text in (str(e.get("SUMMARY", "")), str(e.get("LOCATION", "")), *_people(e))
        )

    def between(self, first: date, last: date, zone: tzinfo | None) -> list[Happening]:
        """What happens on the days from `first` to `last`, by start; without what was cancelled."""
        found: Sequence[Any] = self.events
        if self.unfold is not None:  # a day more on either side, since the library compares in the event's own zone
            found = self.unfold.between(*(datetime.combine(day, time.min) for day in (first - DAY, last + 2 * DAY)))
        kept = (self._happening(e, zone) for e in found if str(e.get("STATUS", "")).upper() != "CANCELLED")
        return sorted((h for h in kept if h.start.date() <= last and first <= h.last), key=lambda h: h.start)

    def _happening(self, event: Any, zone: tzinfo | None) -> Happening:
        start, end, all_day = _times(event, zone)
        title, place, notes = (str(event.get(key, "")) for key in ("SUMMARY", "LOCATION", "DESCRIPTION"))
        return Happening(self.number, title, start, end, all_day, place, notes, tuple(_people(event)))


@dataclass(frozen=True, slots=True)
class CalendarFile:
    """The events of one file; `broken` of them could not be read, the first for the reason `fault`."""

    series: tuple[Series, ...]
    broken: int = 0
    fault: str = ""


def read_calendar(path: Path, advance: Callable[[int], None] = lambda done: None) -> CalendarFile:
    """The calendar in `path`. `advance` is told of each line that was read.

    Raises:
        KnowledgeError: the file is missing, too large, not UTF-8 or no calendar; the message says what to do.
        MissingPartError: the libraries that read calendars are not installed.
    """
    text = _text(path)
    try:
        import icalendar
        import recurring_ical_events  # noqa: F401  (said here once, used below)
    except ImportError:
        command = "pip install icalendar recurring-ical-events"
        raise MissingPartError(f"{path} cannot be read without the calendar libraries: {command}") from None
    groups: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    faults: list[str] = []
    for line, name, lines in _blocks(text, advance):
        try:
            if name == "VTIMEZONE":  # the library keeps it for the events that name it
                icalendar.Calendar.from_ical(_component("VCALENDAR", _component(name, *lines)))
            else:
                event = _event(icalendar.Event.from_ical(_component(name, *lines)), lines)
                groups[str(event.get("UID", f"line {line}"))].append((line, event))
        except Exception as error:  # the library raises whatever it stumbles over; one event must not hide the others
            faults.append(f"line {line}: {error or type(error).__name__}")
    series = list(_series(groups, faults))
    if sum(s.unfold is not None for s in series) > MOST_REPEATING:
        raise KnowledgeError(f"{path}: more than {MOST_REPEATING:,} events repeat; export fewer calendars")
    return CalendarFile(tuple(series), len(faults), next(iter(faults), ""))


def _text(path: Path) -> str:
    """The text of a calendar file."""
    try:
        text = read_whole(path, MOST_BYTES).decode("utf-8-sig").replace("\0", "")
    except OSError as error:
        advice = "; export a shorter period" if error.errno == errno.EFBIG else ""
        raise KnowledgeError(f"{path}: cannot be read: {error.strerror}{advice}") from None
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{path}: not UTF-8 (byte {error.start}); convert the file to UTF-8") from None
    if not text.strip():
        raise KnowledgeError(f"{path}: empty; export the calendar again")
    if not text.lstrip()[:15].upper() == "BEGIN:VCALENDAR":
        raise KnowledgeError(
            f"{path}: not a calendar: an .ics file begins with BEGIN:VCALENDAR; export it as iCalendar"
        )
    return text


def _unfolded(text: str, advance: Callable[[int], None]) -> Iterator[tuple[int, str]]:
    """The lines with their numbers; one that begins with a blank goes on from the one before."""
    number = 0
    parts = list[str]()
    for count, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        advance(1)
        if line[:1] in (" ", "\t") and parts:
            parts.append(line[1:])
            continue
        if parts:
            yield number, "".join(parts)
        number = count
        parts = [line]
    yield number, "".join(parts)


def _blocks(text: str, advance: Callable[[int], None]) -> Iterator[tuple[int, str, list[str]]]:
    """First line, name and content lines of each VEVENT and VTIMEZONE. What is inside an event but KEPT is left out.

    An event that does not end has a last line that is none, so that reading it fails.
    """
    start = 0
    name = ""
    inner = ""
    lines = list[str]()
    for number, line in _unfolded(text, advance):
        mark = line.strip().upper()
        if name == "VTIMEZONE" and mark != "END:VTIMEZONE":
            lines.append(line)
        elif mark in ("BEGIN:VEVENT", "BEGIN:VTIMEZONE"):
            if name:
                yield start, name, ["no END:VEVENT"]
            start = number
            name = mark[6:]
            inner = ""
            lines = []
        elif name and mark == f"END:{name}":
            yield start, name, lines
            name = ""
        elif inner or (name and mark.startswith("BEGIN:")):
            inner = "" if mark == f"END:{inner}" else inner or mark[6:]
        elif name and (found := NAME.match(line)) and found[0].upper() in KEPT:
            lines.append(line)
    if name:
        yield start, name, ["no END:VEVENT"]


def _component(name: str, *lines: str) -> str:
    return "\r\n".join([f"BEGIN:{name}", *lines, f"END:{name}", ""])


def _event(event: Any, lines: Sequence[str]) -> Any:
    """`event` if its times make sense; raises ValueError saying what does not."""
    if lines == ["no END:VEVENT"]:
        raise ValueError("the event does not end")
    bad = [f"{name or 'a line'}: {reason}" for name, reason in event.errors if name in TIMES or name is None]
    if bad:
        raise ValueError(bad[0])
    if "DTSTART" not in event:
        raise ValueError("no DTSTART")
    if twice := [key for key in event if isinstance(event[key], list) and key not in MANY | {"RRULE"}]:
        raise ValueError(f"{twice[0]} stands there twice")
    rules = event.get("RRULE", [])
    for rule in rules if isinstance(rules, list) else [rules]:
        if set(map(str, rule.get("FREQ", ["none"]))) & (TOO_OFTEN | {"none"}) or any(
            len(rule.get(k, [])) > 1 for k in OFTEN
        ):
            raise ValueError("it repeats more often than once a day, or does not say how often")
        if any(int(n) < 1 for n in rule.get("INTERVAL", [])):
            raise ValueError("INTERVAL below 1")
    start, end, _ = _times(event, None)
    if end < start:
        raise ValueError("it ends before it starts")
    if start.year not in YEARS or end.year not in YEARS:
        raise ValueError(f"the year {start.year} is outside {YEARS[0]} to {YEARS[-1]}")
    return event


def _series(groups: dict[str, list[tuple[int, Any]]], faults: list[str]) -> Iterator[Series]:
    """One Series per UID; those that cannot be expanded go to `faults`."""
    today = date.today()
    for number, members in enumerate(groups.values()):
        events = tuple(event for _, event in members)
        series = Series(number, events)
        if any(key in event for event in events for key in ("RRULE", "RDATE", "RECURRENCE-ID")):
            try:
                series = Series(number, events, Unfolding(events, today))
                series.between(today, today + 7 * DAY, None)
            except Exception as error:  # as above; such a rule would fail in the middle of a turn
                faults.append(f"line {members[0][0]}: {error or type(error).__name__}")
                continue
        yield series


def _times(event: Any, zone: tzinfo | None) -> tuple[datetime, datetime, bool]:
    """Start, end and whether it is for whole days."""
    value = event["DTSTART"].dt
    start = _local(value, zone)
    all_day = not isinstance(value, datetime)
    if "DTEND" in event:
        end = _local(event["DTEND"].dt, zone)
    else:
        end = _local(value + event["DURATION"].dt, zone) if "DURATION" in event else start
    return start, max(end, start + DAY) if all_day and end == start else end, all_day


def _local(value: date, zone: tzinfo | None) -> datetime:
    """A moment in `zone` (None: the machine's), without the zone; one that has no zone of its own stays as it is."""
    if not isinstance(value, datetime):
        return datetime.combine(value, time.min)
    return value if value.tzinfo is None else value.astimezone(zone).replace(tzinfo=None)


def _people(event: Any) -> Iterator[str]:
    """The names of the guests who have one and have not declined."""
    guests = event.get("ATTENDEE", [])
    for guest in guests if isinstance(guests, list) else [guests]:
        params = getattr(guest, "params", {})
        name = str(params.get("CN", "")).strip()
        if name and "@" not in name and str(params.get("PARTSTAT", "")).upper() != "DECLINED":
            yield name
