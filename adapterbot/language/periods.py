"""Spans of days, and the arithmetic of months, weeks and years that dates are read with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from dateutil.relativedelta import relativedelta

DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)
UNITS = ("day", "week", "fortnight", "weekend", "month", "year")
MOST_AHEAD = 5_000  # days; "in 900000 days" is no question about a calendar
YEARS = range(1900, 2200)


@dataclass(frozen=True, slots=True)
class Span:
    """The days from `first` to `last`, both included; of each the hours from `hours[0]` until before `hours[1]`.

    `instead`: the words may also mean this in place of the span before it ("next Friday").
    """

    first: date
    last: date
    hours: tuple[int, int] = (0, 24)
    instead: bool = False


def one(day: date) -> list[Span]:
    """A day."""
    return [Span(day, day)]


def made(year: int, month: int, day: int) -> date | None:
    """A date, where there is such a day."""
    try:
        return date(year, month, day)
    except ValueError:
        return None


def later(day: date, count: int, unit: str) -> date | None:
    """`day` and so many units; None where nobody means that."""
    if abs(count) > MOST_AHEAD:
        return None
    by = {"fortnight": relativedelta(weeks=2 * count), "weekend": relativedelta(weeks=count)}.get(unit)
    try:
        moved: date = day + (by or relativedelta(**{f"{unit}s": count}))
    except (ValueError, OverflowError):
        return None
    return moved if moved.year in YEARS else None


def week(day: date) -> Span:
    """The week that a day is in."""
    monday = day - DAY * day.weekday()
    return Span(monday, monday + 6 * DAY)


def month(year: int, number: int) -> Span:
    """A whole month; `number` may lie outside 1 to 12."""
    months = year * 12 + number - 1
    first = date(months // 12, months % 12 + 1, 1)
    return Span(first, first + relativedelta(months=1) - DAY)


def year(number: int) -> Span:
    """A whole year."""
    return Span(date(number, 1, 1), date(number, 12, 31))


def nearest(days: Iterator[date], today: date, past: bool) -> date | None:
    """Of days in order: the next from today on, or with `past` the last one before today."""
    before = None
    for day in days:
        if day >= today:
            return before if past else day
        before = day
    return before if past else None


def on_date(number: int, day: int, said_year: int | None, today: date, past: bool) -> list[Span]:
    """That day of the year; where no year is said the nearest one (a 29 February may be eight years away)."""
    if said_year:
        found = made(said_year, number, day)
    else:
        tried = (made(y, number, day) for y in range(today.year - 8, today.year + 9))
        found = nearest((d for d in tried if d), today, past)
    return one(found) if found else []


def on_day_of_month(day: int, today: date, past: bool) -> list[Span]:
    """The nearest day with this number."""
    firsts = (month(today.year, today.month + i).first for i in range(-3, 4))
    found = nearest((d for first in firsts if (d := made(first.year, first.month, day))), today, past)
    return one(found) if found else []


def on_weekday(weekday: int, which: str, today: date, past: bool) -> list[Span]:
    """Friday, next Friday, last Friday."""
    ahead = (weekday - today.weekday()) % 7
    coming = today + ahead * DAY
    if which == "last" or (past and which != "next"):
        return one(coming - WEEK)
    if which == "next":
        target = week(today).first + WEEK + weekday * DAY
        return one(target) + ([Span(coming, coming, instead=True)] if today < coming < target else [])
    alike = ahead == 0 and which != "this"
    return one(coming) + ([Span(coming + WEEK, coming + WEEK, instead=True)] if alike else [])


def in_month(number: int, said_year: int | None, which: str, today: date, past: bool) -> list[Span]:
    """A month by its name; of the one that it is now only what is left."""
    if said_year:
        return [month(said_year, number)]
    if past or which == "last":
        found = month(today.year, number)
        ended = found.first <= today if which != "last" else found.last < today
        return [found if ended else month(today.year - 1, number)]
    found = month(today.year + (number < today.month), number)
    return [replace(found, first=max(found.first, today))]


def in_unit(unit: str, step: int, today: date) -> list[Span]:
    """This week, next weekend, last month; of what it is now only what is left."""
    if unit == "week":
        found = week(today + step * WEEK)
    elif unit == "weekend":
        saturday = week(today).first + 5 * DAY + step * WEEK
        found = Span(saturday, saturday + DAY)
        if step > 0 and today.weekday() < 5:  # the one that comes next, to some people
            return [found, Span(saturday - WEEK, saturday - WEEK + DAY, instead=True)]
    elif unit == "month":
        found = month(today.year, today.month + step)
    else:
        found = year(today.year + step)
    return [found if step or found.last < today else replace(found, first=max(found.first, today))]


def third(span: Span, which: str) -> Span:
    """The start, the middle or the end of a span."""
    size = max(1, ((span.last - span.first).days + 1) // 3)
    if which == "end":
        return Span(span.last - (size - 1) * DAY, span.last)
    first = span.first + (size * DAY if which == "middle" else timedelta())
    return Span(first, first + (size - 1) * DAY)


def nth_in(span: Span, number: int, what: str | int) -> Span | None:
    """The n-th day, week, weekend, or weekday (as a number from Monday 0 on) of a span; the last one for -1."""
    if isinstance(what, int) or what == "weekend":
        weekday = 5 if what == "weekend" else int(what)
        first = span.first + (weekday - span.first.weekday()) % 7 * DAY
        count = (span.last - first).days // 7 + 1
        day = first + (number - 1 if number > 0 else count - 1) * WEEK
        found = Span(day, day + DAY if what == "weekend" else day)
    else:
        size = 7 if what == "week" else 1
        first = span.first + (number - 1) * size * DAY if number > 0 else span.last - (size - 1) * DAY
        found = Span(first, min(first + (size - 1) * DAY, span.last))
    return found if found.first <= span.last else None


def beside(unit: str | int, anchor: Span, back: bool) -> Span:
    """The day, week, weekend, month, year or weekday right after or before a span."""
    if isinstance(unit, int) or unit == "weekend":
        weekday = 5 if unit == "weekend" else int(unit)
        day = anchor.first - DAY if back else anchor.last + DAY
        day += (-((day.weekday() - weekday) % 7) if back else (weekday - day.weekday()) % 7) * DAY
        return Span(day, day + DAY if unit == "weekend" else day)
    if unit in ("month", "year"):
        day = anchor.first if back else anchor.last
        step = -1 if back else 1
        return month(day.year, day.month + step) if unit == "month" else year(day.year + step)
    size = 1 if unit == "day" else 7 if unit == "week" else 14
    return (
        Span(anchor.first - size * DAY, anchor.first - DAY)
        if back
        else Span(anchor.last + DAY, anchor.last + size * DAY)
    )
