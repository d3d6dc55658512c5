"""What people ask of a calendar, kind by kind, with the right answers; written before the source gave them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from adapterbot.facts import Answer, Event, Fact
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge.calendar.source import CalendarSource

NOW = datetime(2026, 3, 4, 10, 0)  # a Wednesday
EVENTS = (  # title, start, end ("" for none; days without a time are whole days), rule
    ("Standup", "20260305T0900", "20260305T0930", ""),
    ("Lunch with Ana", "20260305T1200", "20260305T1300", ""),
    ("Dentist", "20260305T1600", "20260305T1645", ""),
    ("Breakfast", "20260306T0800", "20260306T0830", ""),
    ("Team meeting", "20260306T0900", "20260306T1000", ""),
    ("Physics 101", "20260306T1100", "20260306T1200", ""),
    ("Lunch with Ravi", "20260306T1230", "20260306T1330", ""),
    ("Workshop", "20260306T1400", "20260306T1730", ""),
    ("Cinema", "20260306T2000", "20260306T2215", ""),
    ("Trip to Oslo", "20260307", "20260309", ""),
    ("Call mum", "20260308T1700", "", ""),
    ("Physics 201", "20260309T1500", "20260309T1630", ""),
    ("Night shift", "20260309T2200", "20260310T0600", ""),
    ("Evening pottery class", "20260310T1830", "20260310T2000", ""),
    ("Sunday roast", "20260315T1300", "20260315T1500", ""),
    ("Second interview", "20260317T1000", "20260317T1100", ""),
    ("Christmas party", "20261218T1900", "20261218T2300", ""),
    ("Conference", "20270510", "20270515", ""),
    ("Reunion", "20280617T1500", "20280617T1800", ""),
    ("Job interview", "20251112T1400", "20251112T1500", ""),
    ("Family dinner", "20251127T1800", "20251127T2100", ""),
    ("Marathon", "20240421T0900", "20240421T1300", ""),
    ("Haircut", "20260303T1400", "20260303T1440", ""),
    ("Yoga", "20260107T1815", "20260107T1915", "FREQ=WEEKLY;UNTIL=20260630T235959"),
)
FRIDAY = ["Breakfast", "Team meeting", "Physics 101", "Lunch with Ravi", "Workshop", "Cinema"]
THURSDAY = ["Standup", "Lunch with Ana", "Dentist"]

ENDS = (
    ("When does the workshop end?", "end", "17:30"),
    ("what time is the workshop over?", "end", "17:30"),
    ("until when does the workshop on Friday go?", "end", "17:30"),
    ("how long does the workshop last?", "length", "210"),
    ("how long is my dentist appointment?", "length", "45"),
    ("When will I be done with the dentist?", "end", "16:45"),
    ("What time does the cinema finish?", "end", "22:15"),
    ("how long is physics 101", "length", "60"),
    ("when does the night shift end?", "end", "06:00"),
    ("how long is the night shift?", "length", "480"),
    ("what time will yoga be finished tonight?", "end", "19:15"),
    ("When is the standup supposed to end tomorrow", "end", "09:30"),
    ("what is the duration of the team meeting?", "length", "60"),
    ("till what time is the evening class?", "end", "20:00"),
    ("when do I get out of the pottery class", "end", "20:00"),
    ("How long did my haircut take?", "length", "40"),
    ("what time did the job interview end?", "end", "15:00"),
    ("when does the call with mum end?", "end", "unknown"),
    ("How long am I at the Christmas party?", "length", "240"),
    ("when is the sunday roast over?", "end", "15:00"),
)
LISTS: tuple[tuple[str, str, str, list[str]], ...] = (
    ("What's on Friday?", "list", "6", FRIDAY),
    ("what do I have on friday", "list", "6", FRIDAY),
    ("How many events do I have on Friday?", "count", "6", FRIDAY),
    ("how many things are on my calendar tomorrow?", "count", "3", THURSDAY),
    ("how many lunches do I have this week?", "count", "2", ["Lunch with Ana", "Lunch with Ravi"]),
    ("How many appointments are there on the 12th?", "count", "0", []),
    ("how many times do I have yoga in March?", "count", "4", ["Yoga"] * 4),
    ("what's the last thing on Friday?", "last", "1", ["Cinema"]),
    ("What is my last appointment tomorrow?", "last", "1", ["Dentist"]),
    ("what's the first thing tomorrow?", "first", "1", ["Standup"]),
    ("my earliest event on Friday?", "first", "1", ["Breakfast"]),
    ("the latest thing I have on friday", "last", "1", ["Cinema"]),
    ("How's my Friday looking?", "list", "6", FRIDAY),
    ("how does tomorrow look", "list", "3", THURSDAY),
    ("list everything for the 6th", "list", "6", FRIDAY),
    ("what's on in the afternoon on Friday?", "list", "2", ["Lunch with Ravi", "Workshop"]),
    ("anything on the 12th?", "list", "0", []),
    ("what have I got a week from tomorrow?", "list", "0", []),
    ("what's my schedule for the weekend", "list", "2", ["Trip to Oslo", "Call mum"]),
    ("Is there a lot on tomorrow?", "list", "3", THURSDAY),
    ("what does my friday morning look like?", "list", "3", ["Breakfast", "Team meeting", "Physics 101"]),
    ("what's the second thing on friday?", "nth", "1", ["Team meeting"]),
)
GAPS: tuple[tuple[str, str, str, list[str]], ...] = (
    ("Am I free at 4 pm tomorrow?", "free", "no", ["Dentist"]),
    ("Am I free at 3pm tomorrow?", "free", "yes", []),
    ("am I free between 10 and 11 tomorrow?", "free", "yes", []),
    ("Am I free between 11 and 1 on Friday?", "free", "no", ["Physics 101", "Lunch with Ravi"]),
    ("Do I have time at half past nine tomorrow?", "free", "yes", []),
    ("am I busy at quarter past nine tomorrow?", "free", "no", ["Standup"]),
    ("Is there anything at 3 on Friday?", "free", "no", ["Workshop"]),
    ("Do I have anything at noon tomorrow?", "free", "no", ["Lunch with Ana"]),
    ("am I available on Thursday afternoon?", "free", "no", ["Lunch with Ana", "Dentist"]),
    ("am I free tomorrow morning before 9?", "free", "yes", []),
    ("am i free on the 12th", "free", "yes", []),
    ("Am I free this weekend?", "free", "no", ["Trip to Oslo", "Call mum"]),
    ("when am I free tomorrow?", "gaps", "-09:00 09:30-12:00 13:00-16:00 16:45-", THURSDAY),
    (
        "When do I have time on Friday afternoon?",
        "gaps",
        "12:00-12:30 13:30-14:00 17:30-18:00",
        ["Lunch with Ravi", "Workshop"],
    ),
    ("can I meet someone on Friday after 6 pm?", "free", "no", ["Cinema"]),
    ("Is 5 pm tomorrow free?", "free", "yes", []),
    ("am I free tonight?", "free", "no", ["Yoga"]),
    ("am I free on Friday from 10 to 11", "free", "yes", []),
    ("Am I busy on Friday until 8 in the morning?", "free", "yes", []),
    ("do I have a conflict at 12:15 tomorrow", "free", "no", ["Lunch with Ana"]),
    ("Am I free for dinner tomorrow at seven?", "free", "yes", []),
    ("am I free at 11 pm on Monday", "free", "no", ["Night shift"]),
)
FAR: tuple[tuple[str, list[str]], ...] = (
    ("what did I have on November 12th?", ["Job interview"]),
    ("What was on last Thanksgiving?", ["Family dinner"]),
    ("when was my job interview?", ["Job interview"]),
    ("when was the marathon?", ["Marathon"]),
    ("what did I do on 21 April 2024?", ["Marathon"]),
    ("What did I have yesterday?", ["Haircut"]),
    ("when did I last go to the hairdresser?", ["Haircut"]),
    ("when is the conference?", ["Conference"]),
    ("When is the reunion?", ["Reunion"]),
    ("what's on in June 2028?", ["Reunion"]),
    ("anything in May 2027?", ["Conference"]),
    ("is there anything on 12 May 2027?", ["Conference"]),
    ("what's happening in 2028?", ["Reunion"]),
    ("Do I have something on Thanksgiving?", []),
    ("what was on last November?", ["Job interview", "Family dinner"]),
    ("what's on in 13 days?", ["Second interview"]),
    ("What do I have on the Sunday after next?", ["Sunday roast"]),
    ("anything the week before Christmas?", ["Christmas party"]),
    ("When is the Christmas party?", ["Christmas party"]),
    ("what did I do on the 3rd?", ["Haircut"]),
)
TITLES: tuple[tuple[str, list[str]], ...] = (
    ("When is my night shift?", ["Night shift"]),
    ("when is the evening class?", ["Evening pottery class"]),
    ("when do I have Physics 101?", ["Physics 101"]),
    ("When is Physics 102?", []),
    ("what time is physics 201", ["Physics 201"]),
    ("When's the sunday roast?", ["Sunday roast"]),
    ("when is the second interview?", ["Second interview"]),
    ("where is the Christmas party?", ["Christmas party"]),
    ("do I have a night shift on Monday?", ["Night shift"]),
    ("do I have a night shift tomorrow?", []),
    ("what time is my evening pottery class on Tuesday?", ["Evening pottery class"]),
    ("is the sunday roast this sunday?", []),
    ("is the sunday roast on the 15th?", ["Sunday roast"]),
    ("When is the third interview?", []),
    ("when is Physics?", ["Physics 101", "Physics 201"]),
    ("is Physics 101 on Friday?", ["Physics 101"]),
    ("is physics 201 on friday?", []),
    ("when does the night shift start", ["Night shift"]),
    ("lunch with Ravi?", ["Lunch with Ravi"]),
    ("when is the morning class?", []),
)
CLOCK = (
    ("what time is it?", "now", "10:00"),
    ("What's the time?", "now", "10:00"),
    ("do you know what time it is", "now", "10:00"),
    ("what day is today?", "date", "2026-03-04"),
    ("What's today's date?", "date", "2026-03-04"),
    ("what's the date today", "date", "2026-03-04"),
    ("which day is it?", "date", "2026-03-04"),
    ("what day is it tomorrow?", "date", "2026-03-05"),
    ("what date is next Friday?", "date", "2026-03-13"),
    ("what day of the week is the 15th?", "date", "2026-03-15"),
    ("Which day is Christmas on?", "date", "2026-12-25"),
    ("When is Thanksgiving?", "date", "2026-11-26"),
    ("what year is it?", "date", "2026-03-04"),
    ("what month are we in", "date", "2026-03-04"),
    ("tell me the time please", "now", "10:00"),
    ("what was the date yesterday?", "date", "2026-03-03"),
    ("when is Easter?", "date", "2026-04-05"),
    ("what weekday is june 1?", "date", "2026-06-01"),
    ("what's the current time", "now", "10:00"),
    ("what day was the 1st of March?", "date", "2026-03-01"),
)
CHANGES = (
    ("pencil me in for lunch", True),
    ("Pencil in a call with Tom on Monday", True),
    ("book me a dentist appointment", True),
    ("please cancel yoga", True),
    ("put a meeting on Friday at 3", True),
    ("Can you move the workshop to Monday?", True),
    ("add an event tomorrow", True),
    ("I'd like to reschedule the dentist", True),
    ("block out Friday afternoon", True),
    ("drop the standup tomorrow", True),
    ("Put simply, what's next?", False),
    ("To put it briefly, am I free tomorrow?", False),
    ("what changes tomorrow?", False),
    ("does the workshop move me to another room?", False),
    ("is the book club on Friday?", False),
    ("Make it short: what's on Friday?", False),
    ("what is set for Friday?", False),
    ("did I cancel yoga?", False),
    ("Save me some time: what's next?", False),
    ("Put another way, when is lunch?", False),
)


@pytest.fixture
def source(home: Home) -> CalendarSource:
    return written(home)


def written(home: Home) -> CalendarSource:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0"]
    for title, start, end, rule in EVENTS:
        form = "" if "T" in start else ";VALUE=DATE"
        tail = "00" if "T" in start else ""
        lines += ["BEGIN:VEVENT", f"SUMMARY:{title}", f"DTSTART{form}:{start}{tail}"]
        lines += [f"DTEND{form}:{end}{tail}"] if end else []
        lines += [f"RRULE:{rule}"] if rule else []
        lines += ["END:VEVENT"]
    path: Path = home.knowledge / "calendar.ics"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\r\n".join([*lines, "END:VCALENDAR", ""]), encoding="utf-8")
    return CalendarSource(home, limit=3, now=lambda: NOW)


def found(source: CalendarSource, text: str) -> tuple[Answer, list[str]]:
    """What is told, and the events that it rests on."""
    facts: list[Fact] = source.retrieve(History().add_user(text))
    answers = [fact for fact in facts if isinstance(fact, Answer)]
    assert len(answers) == 1, facts
    return answers[0], [fact.event for fact in facts if isinstance(fact, Event)]


@pytest.mark.parametrize(("text", "asked", "value"), ENDS)
def test_ends_and_lengths(source: CalendarSource, text: str, asked: str, value: str) -> None:
    answer, _ = found(source, text)
    assert (answer.asked, answer.value) == (asked, value)


@pytest.mark.parametrize(("text", "asked", "value", "titles"), LISTS)
def test_all_events_of_a_day(source: CalendarSource, text: str, asked: str, value: str, titles: list[str]) -> None:
    answer, events = found(source, text)
    assert (answer.asked, answer.value, events) == (asked, value, titles)


@pytest.mark.parametrize(("text", "asked", "value", "titles"), GAPS)
def test_whether_there_is_time(source: CalendarSource, text: str, asked: str, value: str, titles: list[str]) -> None:
    answer, events = found(source, text)
    assert (answer.asked, answer.value, events) == (asked, value, titles)


@pytest.mark.parametrize(("text", "titles"), FAR)
def test_past_and_far_future(source: CalendarSource, text: str, titles: list[str]) -> None:
    facts = source.retrieve(History().add_user(text))
    assert [fact.event for fact in facts if isinstance(fact, Event)] == titles


@pytest.mark.parametrize(("text", "titles"), TITLES)
def test_titles_with_words_of_time_and_numbers(source: CalendarSource, text: str, titles: list[str]) -> None:
    facts = source.retrieve(History().add_user(text))
    assert [fact.event for fact in facts if isinstance(fact, Event)] == titles


@pytest.mark.parametrize(("text", "asked", "value"), CLOCK)
def test_what_the_clock_says(source: CalendarSource, text: str, asked: str, value: str) -> None:
    answer, _ = found(source, text)
    assert (answer.asked, answer.value) == (asked, value)


@pytest.mark.parametrize(("text", "change"), CHANGES)
def test_wishes_for_a_change(source: CalendarSource, text: str, change: bool) -> None:
    facts = source.retrieve(History().add_user(text))
    assert [fact.line for fact in facts].count("calendar: can only be read") == change
