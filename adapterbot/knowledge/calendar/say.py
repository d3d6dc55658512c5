"""3 · How events, days and what is worked out of them are said: cells as the corpus has them, and whole sentences."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from adapterbot.facts import Cells
from adapterbot.knowledge.calendar.ics import Happening
from adapterbot.knowledge.calendar.words import EVENTS
from adapterbot.language.dates import DAYS, MONTHS, listed
from adapterbot.language.periods import Span
from adapterbot.language.values import DIGITS

CLEAR = 27  # days ahead in which "the 5th" can only be one day
MOST = {"event": 60, "room": 60, "agenda": 80, "party": 60}  # characters of a cell

TAG = re.compile(r"<[^<>]{0,500}>")
LINK = re.compile(r"\b(?:https?://|www\.)\S+", re.I)
# "Lunch with Laura": a guest in the title, as long as nothing but a name follows.
WITH = re.compile(
    r"^(.+?) with ((?:the )?[^\W\d_][\w.'’-]*(?: (?:and |& )?(?!at |in |on |for |about )[\w.'’-]+){0,3})$", re.I
)
LOWER = EVENTS | frozenset(listed("appointment activity practice session with and for at the of in"))
SPELT = {int(digits): word for word, digits in DIGITS.items() if int(digits) < 13} | {0: "no", 1: "one"}


def event_cells(happening: Happening, today: date) -> Cells:
    """One happening as cells; those that it lacks are left out."""
    title = clean(happening.title)
    people = [clean(p) for p in happening.people]
    if not people and (found := WITH.match(title)):
        title = found[1]
        people = [found[2]]
    first = happening.start.date()
    last = happening.last
    cells = {
        "event": _lower(title) or "untitled event",
        "time": "all day" if happening.all_day else spoken_time(happening.start),
        "date": spoken_day(first, today) + (f" to {spoken_day(last, today)}" if last > first else ""),
        "room": clean(happening.place),
        "agenda": re.split(r"(?<=[.!?])\s", clean(happening.notes))[0].rstrip("."),
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


def clean(text: str) -> str:
    """One line without HTML, links and control characters, in which no cell of a row can begin."""
    text = LINK.sub(" ", TAG.sub(" ", html.unescape(TAG.sub(" ", text[:4000]))))
    text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(re.sub(r":(?=\s|$)", " -", text).split()).strip(" -,;")


def _lower(title: str) -> str:
    """A title as a part of a sentence: usual words in lower case, names as they are."""
    return " ".join(word.lower() if word.lower() in LOWER else word for word in title.split())


def _cut(text: str, most: int) -> str:
    """`text` up to the last whole word within `most` characters."""
    return text if len(text) <= most else (text[:most].rsplit(" ", 1)[0] or text[:most]).rstrip(" ,;-") + " …"


def named(happening: Happening, today: date) -> str:
    """An event in the middle of a sentence."""
    title = _lower(clean(happening.title)) or dict(event_cells(happening, today))["event"]
    return _cut(title, MOST["event"])


def beside(happening: Happening, today: date) -> str:
    """Where an event is and with whom, as far as that is known: ", Room 5, with Ravi"."""
    cells = dict(event_cells(happening, today))
    return "".join(f", {lead}{cells[name]}" for name, lead in (("room", ""), ("party", "with ")) if name in cells)


def day_of(day: date, today: date) -> str:
    """A day inside a sentence: "Friday the 6th of March"."""
    said = spoken_day(day, today)
    return " ".join(word.capitalize() if word in DAYS or word in MONTHS else word for word in said.split())


def days_of(span: Span, today: date) -> str:
    """A span inside a sentence."""
    if span.first == span.last:
        return f"on {day_of(span.first, today)}"
    return f"from {day_of(span.first, today)} to {day_of(span.last, today)}"


def hours_of(happening: Happening, with_end: bool = True) -> str:
    """When in the day an event is: "at 9am", "from 1pm to 4:30pm", "all day"."""
    if happening.all_day:
        return "all day"
    if happening.end > happening.start and with_end:
        return f"from {spoken_time(happening.start)} to {spoken_time(happening.end)}"
    return f"at {spoken_time(happening.start)}"


def minutes_as_time(minutes: int) -> str:
    """Minutes since midnight, as `spoken_time`; the end of a day is midnight."""
    if minutes % (24 * 60) == 0:
        return "midnight"
    return spoken_time(datetime.min + timedelta(minutes=minutes))


def length_of(minutes: int) -> str:
    """So many minutes in hours and days."""
    days, left = divmod(minutes, 24 * 60)
    parts = [(days, "day"), (left // 60, "hour"), (left % 60, "minute")]
    return " and ".join(f"{count} {unit}{'s' if count > 1 else ''}" for count, unit in parts if count) or "no time"


def counted(number: int, noun: str) -> str:
    """Three things, 1 thing."""
    return f"{SPELT.get(number, number)} {noun}{'' if number == 1 else 's'}"


def enumerated(parts: Sequence[str]) -> str:
    """A, b and c."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else ""
