"""6 · The reply to a forecast of certain days, said from its fields: a sky stands beside its own degrees alone."""

from __future__ import annotations

from collections.abc import Sequence

from adapterbot.facts import Day, Fact, Forecast

WEEK = 7  # days of a forecast of which none were asked for; what is told of it is left to the model


def told(facts: Sequence[Fact]) -> str:
    """The days that were asked for, of each place; "" where none were."""
    forecasts = [fact for fact in facts if isinstance(fact, Forecast) and 0 < len(fact.days) < WEEK]
    return " ".join(map(_place, forecasts)) if len(forecasts) == len(facts) else ""


def _place(forecast: Forecast) -> str:
    name = forecast.note.partition(" (")[0].partition(",")[0] or forecast.place.title()
    names = [day.weekday for day in forecast.days]
    first = names.index(forecast.today) if forecast.today in names else 0
    days = [_day(day, forecast) for day in (*forecast.days[first:], *forecast.days[:first])]
    return f"In {name} it will be {'; '.join(days)}."


def _day(day: Day, forecast: Forecast) -> str:
    when = "today" if day.weekday == forecast.today else f"on {day.weekday.capitalize()}"
    return f"{day.sky} {when}, with a low of {day.low}{forecast.unit} and a high of {day.high}{forecast.unit}"
