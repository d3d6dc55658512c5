"""Which days a forecast is asked for, in which degrees, and for which of two places; written before it was read."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from adapterbot.facts import Answer, Forecast
from adapterbot.history import History
from adapterbot.knowledge.weather.open_meteo import Day, Place, Units, Week
from adapterbot.knowledge.weather.source import WeatherSource

TODAY = date(2026, 3, 4)  # a Wednesday; the forecast goes until Tuesday the 10th
PLACES = {
    "Boston": ("United States", "US", "Massachusetts"),
    "Austin": ("United States", "US", "Texas"),
    "Berlin": ("Germany", "DE", "Berlin"),
    "London": ("United Kingdom", "GB", "England"),
    "Oslo": ("Norway", "NO", "Oslo"),
    "Nassau": ("Bahamas", "BS", ""),
    "Toronto": ("Canada", "CA", "Ontario"),
}
WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ALL = " ".join(WEEK)

DAYS = (
    ("What will the weather be like in Boston tomorrow?", "thursday"),
    ("weather in Boston on Friday", "friday"),
    ("will it rain in Boston this weekend?", "saturday sunday"),
    ("how is it in Boston today", "wednesday"),
    ("Boston weather tonight?", "wednesday"),
    ("is it sunny in Boston the day after tomorrow", "friday"),
    ("Boston in 3 days", "saturday"),
    ("weather in Boston on the 9th", "monday"),
    ("Boston, Monday or Tuesday?", "monday tuesday"),
    ("weather in Boston for the next five days", "monday thursday friday saturday sunday wednesday"),
    ("what's the weather like in Boston", ALL),
    ("the forecast for Boston this week", "wednesday thursday friday saturday sunday"),
    ("Boston on March 6th", "friday"),
    ("weather on Christmas in Boston", ""),
    ("what is the weather in Boston in 3 weeks?", ""),
    ("will it snow in Boston on Thanksgiving?", ""),
    ("weather in Boston next month", ""),
    ("Boston on July 4th", ""),
    ("Boston weather a fortnight from now", ""),
    ("how was the weather in Boston yesterday?", ""),
    ("what was it like in Boston last Friday", ""),
    ("weather in Boston on the 20th", ""),
    ("will it be warm in Boston in June 2028?", ""),
    ("Boston in the first week of January", ""),
    ("a week from tomorrow in Boston?", ""),
)
DEGREES = (
    ("weather in Berlin tomorrow", "C"),
    ("weather in Boston tomorrow", "F"),
    ("weather in Boston in Celsius", "C"),
    ("how many degrees celsius in Austin", "C"),
    ("Austin, in °C please", "C"),
    ("Boston in centigrade", "C"),
    ("weather in Berlin in Fahrenheit", "F"),
    ("London in °F", "F"),
    ("temperature in London", "C"),
    ("is it cold in Oslo", "C"),
    ("Nassau today", "F"),
    ("weather in Toronto", "C"),
    ("Boston tomorrow, metric please", "C"),
    ("what's the temperature in Austin", "F"),
    ("Berlin, imperial units", "F"),
    ("Oslo in F", "F"),
    ("Boston in C please", "C"),
    ("how hot is it in Austin right now", "F"),
    ("is it freezing in Toronto", "C"),
    ("the forecast for London in degrees Fahrenheit", "F"),
)
NOT_THERE = (
    ("not Berlin, Boston weather please", "boston"),
    ("I meant Boston, not Berlin", "boston"),
    ("Not in Berlin, in Boston", "boston"),
    ("no, not London. Oslo", "oslo"),
    ("weather in Boston instead of Berlin", "boston"),
    ("Boston rather than Berlin please", "boston"),
    ("I didn't mean London, I meant Toronto", "toronto"),
    ("I don't care about Berlin, how is Oslo?", "oslo"),
    ("weather for Austin and not Boston", "austin"),
    ("forget Berlin, what about London?", "london"),
    ("Not London but Oslo", "oslo"),
    ("it's not Boston that I asked for, it's Austin", "austin"),
)


class Weeks:
    """Forecasts of one week for all places."""

    credit = "made up"

    def resting(self) -> bool:
        return False

    def find(self, name: str) -> tuple[Place, ...]:
        known = {known.lower(): known for known in PLACES}.get(name.lower())
        if known is None:
            return ()
        country, code, state = PLACES[known]
        where: dict[str, Any] = {"latitude": 1.0, "longitude": 1.0, "population": 900_000}
        return (Place(name=known, country=country, country_code=code, admin1=state, **where),)

    def week(self, place: Place, units: Units) -> Week:
        return Week(TODAY, tuple(Day("sunny", 40 + i, 50 + i) for i in range(7)))

    def in_time(self, work: Any) -> Any:
        return work()


def asked(text: str, *before: str, **options: Any) -> list[Any]:
    history = History()
    for said in before:
        history = history.add_user(said).add_bot("It is sunny there.")
    return WeatherSource(Weeks(), **options).retrieve(history.add_user(text))


@pytest.mark.parametrize(("text", "days"), DAYS)
def test_the_days_that_are_asked_for(text: str, days: str) -> None:
    (fact,) = asked(text)
    if days:
        assert isinstance(fact, Forecast)
        assert [day.weekday for day in fact.days] == [day for day in WEEK if day in days.split()]
        assert all(day.low == 40 + (WEEK.index(day.weekday) - 2) % 7 for day in fact.days)
    else:
        assert isinstance(fact, Answer)
        assert (fact.asked, fact.text[:18]) == ("none", "I have no forecast")


@pytest.mark.parametrize(("text", "unit"), DEGREES)
def test_the_degrees_of_the_place_or_those_asked_for(text: str, unit: str) -> None:
    (fact,) = asked(text)
    assert fact.unit == unit


def test_units_that_were_chosen_go_before_those_of_the_place() -> None:
    assert asked("weather in Berlin", units="imperial")[0].unit == "F"
    assert asked("weather in Berlin in celsius", units="imperial")[0].unit == "C"
    assert asked("weather in Boston", units="metric")[0].unit == "C"


def test_degrees_asked_for_once_stay() -> None:
    assert asked("and tomorrow?", "Boston in celsius please")[0].unit == "C"


@pytest.mark.parametrize(("text", "place"), NOT_THERE)
def test_a_place_that_is_turned_down_is_not_looked_up(text: str, place: str) -> None:
    assert [fact.place for fact in asked(text)] == [place]
    assert [fact.place for fact in asked(text, "weather in Berlin")] == [place]
