"""3 · What of a forecast is asked for: which days, and in which degrees; what days it does not have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Literal

from adapterbot.facts import Answer, Day, Forecast
from adapterbot.knowledge.weather.open_meteo import DAYS, Units
from adapterbot.language.dates import DAYS as WEEKDAYS
from adapterbot.language.dates import read_days
from adapterbot.language.periods import Span

MAX_TEXT = 2_000  # characters of a message that are looked at
BEEN = re.compile(r"\b(?:was|were|did|had|been)\b", re.I)
AGAIN = re.compile(r"^\W*(?:and|or|what about|how about)\b", re.I)
METRIC = re.compile(r"°\s?c\b|(?i:\bcelsius\b|\bcentigrade\b|\bmetric(?: units)?\b)|\bin C\b")
IMPERIAL = re.compile(r"°\s?f\b|(?i:\bfahrenheit\b|\bimperial(?: units)?\b)|\bin F\b")
LAST = timedelta(days=DAYS - 1)
DAY_CELL = re.compile(r"([^,]+), low of (-?\d+)([FC]), high of (-?\d+)[FC]")


def asked_units(said: Sequence[str]) -> Units | None:
    """The degrees that the newest of these messages to name any asks for."""
    for text in reversed(said):
        if METRIC.search(_degrees(text)):
            return "metric"
        if IMPERIAL.search(_degrees(text)):
            return "imperial"
    return None


def without_units(text: str) -> str:
    """A message without the words that say in which degrees; they are no places."""
    return IMPERIAL.sub(" ", METRIC.sub(" ", _degrees(text)))


def _degrees(text: str) -> str:
    return re.sub(r"°\s?([CF])\b", lambda m: f"°{m[1].lower()}", text)


def asked_days(said: Sequence[str], today: date) -> list[Span]:
    """The days that the newest message is about, else, after "and ...", those of the one before that names any."""
    for text in reversed(said):
        spans, _ = read_days(text[:MAX_TEXT], today, past=bool(BEEN.search(text)))
        if spans:
            return spans
        if not AGAIN.match(text):
            break
    return []


def told(forecast: Forecast, first: date, spans: Sequence[Span], title: str) -> Forecast | Answer:
    """What of a week from `first` on falls on the days asked for: all where none are, else what there is of them.

    A reply to one day cannot tell the degrees of another, and none can be told of a day that is not there.
    """
    if not spans:
        return forecast
    there = [first + timedelta(days=i) for i in range(DAYS)]
    kept = {day for span in spans for day in there if span.first <= day <= span.last}
    sure = {day for span in spans if not span.instead for day in there if span.first <= day <= span.last}
    names = {WEEKDAYS[day.weekday()] for day in sure or kept}
    if names:
        return replace(forecast, days=tuple(day for day in forecast.days if day.weekday in names))
    asked = spans[0]
    days = _said(asked.first) + (f" to {_said(asked.last)}" if asked.last > asked.first else "")
    until = f"only for today and the days until {_said(first + LAST)}"
    return Answer("none", str(asked.first), f"I have no forecast for {title} for {days}, {until}.", source="weather")


def _said(day: date) -> str:
    return f"{day:%A}, {day.day} {day:%B %Y}"


def read_forecast(line: str) -> Forecast | None:
    """The forecast that a line stands for, the inverse of `Forecast.line`; None where it is anything else."""
    cells = [cell.partition(": ") for cell in re.split(r", (?=[a-z]+: )", line)]
    named = {name: value for name, _, value in cells}
    days = [(name, DAY_CELL.fullmatch(value)) for name, value in named.items() if name in WEEKDAYS]
    if named.get("today") not in WEEKDAYS or "location" not in named or not all(found for _, found in days):
        return None
    found = [Day(name, day[1], int(day[2]), int(day[4])) for name, day in days if day]
    units: set[Literal["F", "C"]] = {"C" if day[3] == "C" else "F" for _, day in days if day}
    unit = units.pop() if len(units) == 1 else "F"
    forecast = Forecast(named["location"], tuple(found), named["today"], unit)
    return forecast if forecast.line == line else None
