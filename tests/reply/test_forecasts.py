"""What is told of the days of a forecast: each day's own sky and degrees, for every weekday and any today."""

from __future__ import annotations

import pytest

from adapterbot.facts import Answer, Forecast
from adapterbot.history import History
from adapterbot.knowledge.weather.source import WeatherSource
from adapterbot.language.dates import DAYS
from adapterbot.reply.grounding import told

SKIES = ("cloudy", "drizzling", "sunny", "rainy", "foggy", "snowy", "clear")


def line(today: str) -> str:
    """A week as a caller gives it: Monday 40 to 50, Tuesday 41 to 51, and so on."""
    days = ", ".join(f"{day}: {SKIES[i]}, low of {40 + i}F, high of {50 + i}F" for i, day in enumerate(DAYS))
    return f"location: boston, {days}, today: {today}"


@pytest.mark.parametrize("today", range(7))
def test_tomorrow_has_its_own_sky_and_degrees_on_every_day_of_the_week(today: int) -> None:
    fact = WeatherSource.read_line(line(DAYS[today]))
    assert fact.line == line(DAYS[today])
    found = WeatherSource.about([fact], History().add_user("What will the weather be like in Boston tomorrow?"))
    i = (today + 1) % 7
    assert told(found) == (
        f"In Boston it will be {SKIES[i]} on {DAYS[i].capitalize()}, with a low of {40 + i}F and a high of {50 + i}F."
    )


def test_two_days_are_told_one_after_the_other() -> None:
    fact = WeatherSource.read_line(line("saturday"))
    text = told(WeatherSource.about([fact], History().add_user("Boston today and on Monday")))
    assert text == (
        "In Boston it will be snowy today, with a low of 45F and a high of 55F; "
        "cloudy on Monday, with a low of 40F and a high of 50F."
    )


def test_a_week_is_left_to_the_model_and_a_day_that_is_not_there_is_told() -> None:
    fact = WeatherSource.read_line(line("monday"))
    assert isinstance(fact, Forecast)
    assert told(WeatherSource.about([fact], History().add_user("How is the weather in Boston?"))) == ""
    (none,) = WeatherSource.about([fact], History().add_user("and in three weeks?"))
    assert isinstance(none, Answer)
    assert told([none]).startswith("I have no forecast for boston")


def test_an_answer_is_the_whole_reply() -> None:
    assert told([Answer("count", "3", "There are three such events.")]) == "There are three such events."
