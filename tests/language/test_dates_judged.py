"""Expressions of days and of times, written before the reader of them: what a person would take each for."""

from __future__ import annotations

from datetime import date

import pytest

from adapterbot.language.clock import read_times
from adapterbot.language.dates import read_days

TODAY = date(2026, 3, 4)  # a Wednesday

DAYS = (
    ("what's on a week from tomorrow?", "2026-03-12"),
    ("a fortnight from Friday", "2026-03-20"),
    ("anything in a fortnight?", "2026-03-16..2026-03-22"),
    ("the first week of January", "2027-01-01..2027-01-07"),
    ("what have I got in 3 months", "2026-06-04"),
    ("in three months' time", "2026-06-04"),
    ("am I busy on Thanksgiving?", "2026-11-26"),
    ("what's on in June 2028", "2028-06-01..2028-06-30"),
    ("two days after Christmas", "2026-12-27"),
    ("the day before Easter", "2026-04-04"),
    ("on New Year's Eve", "2026-12-31"),
    ("Christmas Eve?", "2026-12-24"),
    ("the last Friday of April", "2026-04-24"),
    ("the second Monday in May", "2026-05-11"),
    ("the last week of August", "2026-08-25..2026-08-31"),
    ("three weeks from Monday", "2026-03-30"),
    ("the weekend after next", "2026-03-14..2026-03-15"),
    ("the month after next", "2026-05-01..2026-05-31"),
    ("on Friday the 13th", "2026-03-13"),
    ("Friday, November 13th", "2026-11-13"),
    ("13 November 2027", "2027-11-13"),
    ("the twenty-second of October", "2026-10-22"),
    ("a month from today", "2026-04-04"),
    ("a year from now", "2027-03-04"),
    ("the end of the month", "2026-03-22..2026-03-31"),
    ("the beginning of May", "2026-05-01..2026-05-10"),
    ("what is on in 2027?", "2027-01-01..2027-12-31"),
    ("Valentine's Day", "2027-02-14"),
    ("in twenty five days", "2026-03-29"),
    ("for the next ten days", "2026-03-04..2026-03-14"),
    ("between the 9th and the 12th", "2026-03-09..2026-03-12"),
    ("from March 28 to April 3", "2026-03-28..2026-04-03"),
    ("the Monday after Easter", "2026-04-06"),
    ("on Halloween", "2026-10-31"),
    ("the first of the month", "2026-04-01"),
    ("any plans for next weekend's trip", "2026-03-14..2026-03-15 2026-03-07..2026-03-08"),
    ("wait a second, I may march on", ""),
    ("I need 3 tickets for 2 people", ""),
    ("that was the first day of my life", ""),
    ("it takes two hours", ""),
)
PAST = (
    ("what did I have on November 12th?", "2025-11-12"),
    ("who did I meet last Thanksgiving?", "2025-11-27"),
    ("what was on Friday?", "2026-02-27"),
    ("three weeks ago", "2026-02-09..2026-02-15"),
    ("what happened in January?", "2026-01-01..2026-01-31"),
    ("where was I on the 20th?", "2026-02-20"),
    ("a month ago", "2026-02-04"),
    ("what did I do last December?", "2025-12-01..2025-12-31"),
    ("at Christmas", "2025-12-25"),
    ("what did I do yesterday?", "2026-03-03"),
    ("the last two weeks", "2026-02-18..2026-03-04"),
    ("on 12 November 2024", "2024-11-12"),
    ("the week before last", "2026-02-16..2026-02-22"),
    ("two years ago", "2024-03-04"),
)
# A time of day as (from, until) in hours and minutes, with how it bounds: at, after, before, between.
TIMES = (
    ("at half past nine", "at 09:30"),
    ("a quarter to ten", "at 09:45"),
    ("quarter past four in the afternoon", "at 16:15"),
    ("at nine o'clock", "at 09:00"),
    ("leaving at 1900", "at 19:00"),
    ("at 0615", "at 06:15"),
    ("after seven in the evening", "after 19:00"),
    ("before noon", "before 12:00"),
    ("between 10 and 11", "between 10:00 11:00"),
    ("between half past two and four", "between 14:30 16:00"),
    ("from 9 to 11:30", "between 09:00 11:30"),
    ("at twenty to five", "at 16:40"),
    ("at ten past eight in the morning", "at 08:10"),
    ("by 6 pm", "before 18:00"),
    ("until midnight", "before 24:00"),
    ("at seven thirty", "at 07:30"),
    ("at nineteen hundred", "at 19:00"),
    ("at 8 tonight", "at 20:00"),
    ("around 5", "at 17:00"),
    ("after 21:15", "after 21:15"),
    ("at 7:05 p.m.", "at 19:05"),
    ("from 2 until 3pm", "between 14:00 15:00"),
    ("10am-1pm", "between 10:00 13:00"),
    ("no earlier than eight in the morning", "after 08:00"),
    ("at the latest by quarter to seven in the evening", "before 18:45"),
    ("a table for 4 people", ""),
    ("3 stars please", ""),
    ("in room 12", ""),
    ("for two nights", ""),
    ("TR4723 costs 11.12 pounds", ""),
    ("in 1984", ""),
    ("call 01632960404", ""),
)


@pytest.mark.parametrize(("text", "days"), DAYS)
def test_days_as_people_say_them(text: str, days: str) -> None:
    assert spans(text) == days


@pytest.mark.parametrize(("text", "days"), PAST)
def test_days_that_have_been(text: str, days: str) -> None:
    assert spans(text, past=True) == days


@pytest.mark.parametrize(("text", "times"), TIMES)
def test_times_as_people_say_them(text: str, times: str) -> None:
    assert " ".join(str(time) for time in read_times(text)[0]) == times


def spans(text: str, past: bool = False) -> str:
    found, _ = read_days(text, TODAY, past=past)
    return " ".join(f"{s.first}" + (f"..{s.last}" if s.last > s.first else "") for s in found)
