"""3 · The forecast for the places that the user asks about, as the rows that the skill is trained on.

Weather and gazetteer data by Open-Meteo.com, CC BY 4.0 (https://open-meteo.com/en/license). The environment variable
ADAPTERBOT_OFFLINE=1 forbids every request; a bot that is loaded with `demo` takes a sample forecast of our own.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

from adapterbot.facts import Day as DayFact
from adapterbot.facts import Fact, Forecast, Notice
from adapterbot.history import History
from adapterbot.home import DATA
from adapterbot.knowledge import Opening, Source
from adapterbot.knowledge.lines import read_row
from adapterbot.knowledge.weather.asked import asked_days, asked_units, read_forecast, told, without_units
from adapterbot.knowledge.weather.open_meteo import (
    DAYS,
    Day,
    NoForecastError,
    OpenMeteo,
    Place,
    T,
    Units,
    Week,
    fold,
)
from adapterbot.knowledge.weather.places import MAX_TEXT, Mention, mentions, named_place, turned_down
from adapterbot.language.dates import DAYS as WEEKDAYS
from adapterbot.language.dates import read_days

SAMPLE_CREDIT = "sample forecast, not real"
SAMPLE = DATA / "knowledge" / "sample_forecast.json"
NO_PLACE = Notice("place", "not given", source="weather")
OLDER = 4  # earlier user turns in which the place may have been named
LOOKUPS = 5  # names that one turn looks up at most
TOWN = 5000  # people who live in a place that is taken for one although only its name speaks for it


class Forecasts(Protocol):
    """Where places and forecasts come from. Every fact shows the `credit`."""

    credit: str

    def resting(self) -> bool:
        """Whether there is no use in asking now."""
        ...

    def find(self, name: str) -> tuple[Place, ...]:
        """Places of that name, the likeliest first."""
        ...

    def week(self, place: Place, units: Units) -> Week:
        """The coming days at `place`."""
        ...

    def in_time(self, work: Callable[[], T]) -> T:
        """`work()` within the time that a turn may wait."""
        ...


class WeatherSource(Source):
    """A forecast for each place that the newest user turn names, else for the place named last, else for `place`.

    Of the week those days are given that the turn asks for. `units` are the degrees where none are asked for; "local"
    are those of the place.
    """

    def __init__(
        self, forecasts: Forecasts, *, limit: int = 1, units: Units | Literal["local"] = "local", place: str = ""
    ) -> None:
        self._forecasts = forecasts
        self._limit = limit
        self._units = units
        self._place = place

    @classmethod
    def open(cls, opening: Opening) -> WeatherSource:
        """The live forecast, or a sample."""
        forecasts: Forecasts = SampleForecasts() if opening.demo else OpenMeteo()
        table = opening.spec.knowledge
        return cls(forecasts, limit=table.limit, units=table.units, place=opening.place)

    def resting(self) -> bool:
        """Whether no forecast is asked for now: offline by wish, or after a failed connection."""
        return self._forecasts.resting()

    def mentions(self, text: str) -> tuple[str, ...]:
        """The places that `text` surely names."""
        return tuple(mention.name for mention in mentions(text) if mention.sure)

    @classmethod
    def read_line(cls, line: str) -> Fact:
        """A forecast; a row as cells where it is none; or that there is none."""
        return NO_PLACE if line == NO_PLACE.line else read_forecast(line) or read_row(line, "weather")

    @classmethod
    def about(cls, facts: Sequence[Fact], history: History) -> list[Fact]:
        """Of forecasts the days that the newest user turn asks for."""
        now = datetime.date.today()
        found = list[Fact]()
        for fact in facts:
            if isinstance(fact, Forecast):  # which knows the weekday alone
                first = now + datetime.timedelta(days=(WEEKDAYS.index(fact.today) - now.weekday()) % DAYS)
                found.append(told(fact, first, asked_days(_said(history), first), fact.place))
            else:
                found.append(fact)
        return found

    def retrieve(self, history: History) -> list[Fact]:
        """At most `limit` forecast rows, or the fact that no place was given; nothing when there is no forecast."""
        if self._forecasts.resting():
            return []
        try:
            return self._forecasts.in_time(lambda: self._facts(history))
        except NoForecastError:
            return []

    def _facts(self, history: History) -> list[Fact]:
        said = _said(history)
        heard = [without_units(text) for text in said]
        dateless = [read_days(text[:MAX_TEXT], datetime.date.today())[1] for text in heard]
        gone = {fold(mention.name) for mention in turned_down(heard[-1])} if heard else set()
        named_in = [mentions(text) or mentions(rest) for text, rest in zip(heard, dateless, strict=True)]
        tried = [[mention for mention in named if fold(mention.name) not in gone] for named in reversed(named_in)]
        tried += [[named_place(self._place)]] if self._place else []
        gazetteer = _Gazetteer(self._forecasts)
        for named in tried:
            if found := gazetteer.places(named, self._limit):
                facts = [self._fact(place, within, said) for place, within in found]
                return [fact for fact in facts if isinstance(fact, Forecast)] or facts[:1]
            if any(mention.sure for mention in named):
                return []  # a place, but none that is known: the forecast of another one would answer wrongly
        return [NO_PLACE]

    def _fact(self, place: Place, within: str, said: Sequence[str]) -> Fact:
        """The forecast for the days that are asked for, or that there is none for them."""
        units = asked_units(said) or (place.units if self._units == "local" else self._units)
        week = self._forecasts.week(place, units)
        parts = [place.name, place.admin1 if within else "", place.country]
        title = ", ".join(dict.fromkeys(_plain(part) for part in parts if part))
        found = told(week_of(place, week, units), week.first, asked_days(said, week.first), _plain(place.name))
        return replace(found, note=f"{title} ({self._forecasts.credit})")


def _said(history: History) -> list[str]:
    """What the user said, the newest last, as far back as a place or degrees may have been named."""
    return [utterance.text for utterance in history if utterance.speaker == "user"][-1 - OLDER :]


class _Gazetteer:
    """Looks names up for one turn, LOOKUPS of them at most."""

    def __init__(self, forecasts: Forecasts) -> None:
        self._forecasts = forecasts
        self._left = LOOKUPS

    def places(self, named: Iterable[Mention], limit: int) -> list[tuple[Place, str]]:
        """The first `limit` of the mentions that are places, each with the state or country that was said with it."""
        found = list[tuple[Place, str]]()
        regions = set[str]()
        for mention in named:
            if len(found) < limit and fold(mention.name) not in regions:
                place, within = self._place(mention)
                if place and all(place != other for other, _ in found):
                    found.append((place, within))
                    regions.add(fold(within))
        return found

    def _place(self, mention: Mention) -> tuple[Place | None, str]:
        for i, (name, within) in enumerate(mention.readings()):
            if self._left == 0:
                break
            self._left -= 1
            known = self._forecasts.find(name)
            inside = [place for place in known if within and place.lies_in(within)]
            same = [place for place in inside or known if fold(place.name) == fold(name)]
            if inside:
                return (same or inside)[0], within
            if mention.sure and i == 0 and known:
                return (same or known)[0], ""
            if same and (mention.sure or same[0].population >= TOWN):
                return same[0], ""
        return None, ""


class SampleForecasts:
    """A forecast that we made up for demonstrations, for some well-known places; it asks nobody."""

    credit = SAMPLE_CREDIT

    def resting(self) -> bool:
        """Never."""
        return False

    def find(self, name: str) -> tuple[Place, ...]:
        """The place of that name, if the sample has it."""
        places, _ = _sample(SAMPLE)
        return tuple(place for place, _ in places.values() if fold(place.name) == fold(name))

    def week(self, place: Place, units: Units) -> Week:
        """The sample's week, from today on."""
        places, weeks = _sample(SAMPLE)
        days = weeks[places[place.name][1]]
        if units == "metric":
            days = tuple(Day(day.sky, _celsius(day.low), _celsius(day.high)) for day in days)
        return Week(datetime.date.today(), days)

    def in_time(self, work: Callable[[], T]) -> T:
        """`work()`."""
        return work()


@cache
def _sample(path: Path) -> tuple[dict[str, tuple[Place, str]], dict[str, tuple[Day, ...]]]:
    """The sample's places, each with the name of its week, and those weeks."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    places = {
        name: (Place(name=name, country=country, latitude=0, longitude=0, population=TOWN), week)
        for name, country, week in raw["places"]
    }
    weeks = {
        name: tuple(Day(*day) for day in zip(week["sky"], week["low"], week["high"], strict=True))
        for name, week in raw["weeks"].items()
    }
    return places, weeks


def week_of(place: Place, week: Week, units: Units) -> Forecast:
    """The forecast from Monday to Sunday, whatever day it is: what the skill learns from."""
    days = []
    for weekday, name in enumerate(WEEKDAYS):
        day = week.days[(weekday - week.first.weekday()) % DAYS]
        days.append(DayFact(name, day.sky, day.low, day.high))
    name = _plain(place.name).lower()
    return Forecast(
        name, tuple(days), WEEKDAYS[week.first.weekday()], "F" if units == "imperial" else "C", source="weather"
    )


def _plain(text: str) -> str:
    """A name from the network as part of a row: one short line without the marks that part a row's cells."""
    return " ".join(re.sub(r"[^\w\s.'’()/-]", " ", text).split())[:60]


def _celsius(fahrenheit: int) -> int:
    return round((fahrenheit - 32) * 5 / 9)


SOURCE = WeatherSource
