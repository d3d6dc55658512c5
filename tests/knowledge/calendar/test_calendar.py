"""The calendar: date words, what a question is about, .ics files good and bad, and the rows that come of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterbot.data.dialogue import read_dialogues
from adapterbot.errors import KnowledgeError
from adapterbot.facts import Answer, Event, Nothing, row_line
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import Opening, open_source
from adapterbot.knowledge.calendar.changes import asks_for_change
from adapterbot.knowledge.calendar.ics import MOST_BYTES, Happening, read_calendar
from adapterbot.knowledge.calendar.say import event_cells
from adapterbot.knowledge.calendar.source import READ_ONLY, SAMPLE, CalendarSource
from adapterbot.knowledge.lines import read_row
from adapterbot.language.values import unsupported
from adapterbot.spec.folders import SkillFolders

add, remove = CalendarSource.add, CalendarSource.remove
TODAY = date(2026, 3, 4)  # a Wednesday
COLUMNS = ["event", "time", "date", "room", "agenda", "party"]  # in the corpus's order


def event(summary: str, start: str, *lines: str) -> str:
    """A VEVENT; `start` is the whole of DTSTART but its name."""
    mark = ":" if start[0].isdigit() else ";"
    return "\r\n".join(["BEGIN:VEVENT", f"SUMMARY:{summary}", f"DTSTART{mark}{start}", *lines, "END:VEVENT"])


def calendar(*events: str) -> str:
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", *events, "END:VCALENDAR", ""])


EVENTS = (
    event(
        "Team meeting",
        "20260105T090000",
        "RRULE:FREQ=WEEKLY;BYDAY=MO",
        "LOCATION:Room 5",
        "ATTENDEE;CN=Ravi:mailto:r@x.org",
    ),
    event("Dentist", "20260319T083000", "LOCATION:12 Quay Street"),
    event("Lunch with Laura", "20260304T123000", "DTEND:20260304T133000"),
    event("Breakfast", "20260304T080000", "DTEND:20260304T083000"),
    event("Trip to Oslo", "VALUE=DATE:20260306", "DTEND;VALUE=DATE:20260309"),
    event("Yoga", "20260302T181500", "RRULE:FREQ=DAILY;INTERVAL=2"),
    event("Haircut", "20260117T140000"),
)

PIECES = ("when is", "the", "dentist", "next", "friday", "in 2 weeks", "with Laura", "add", "yoga?", "last", "free")


def source_of(home: Home, text: str, limit: int = 3, now: datetime = datetime(2026, 3, 4, 10, 0)) -> CalendarSource:
    home.knowledge.mkdir(parents=True, exist_ok=True)
    (home.knowledge / "calendar.ics").write_text(text, encoding="utf-8")
    return CalendarSource(home, limit=limit, now=lambda: now)


def titles(source: CalendarSource, *user_turns: str) -> list[str]:
    history = History().add_user(user_turns[0])
    for text in user_turns[1:]:
        history = history.add_bot("Let me see.").add_user(text)
    return [fact.heading for fact in source.retrieve(history) if isinstance(fact, Event)]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (["What's on today?"], ["Lunch with Laura", "Yoga", "Breakfast"]),  # what is over comes last
        (["when is my dentist appointment?"], ["Dentist"]),
        (["dentits?"], ["Dentist"]),
        (["Is my dentist on friday?"], []),
        (["any meetings on monday?"], ["Team meeting"]),
        (["am I free this weekend"], ["Trip to Oslo", "Yoga"]),
        (["anything on the 7th?"], ["Trip to Oslo"]),
        (["and this afternoon?"], ["Lunch with Laura"]),
        (["next?"], ["Lunch with Laura", "Yoga", "Trip to Oslo"]),
        (["when do I see Laura"], ["Lunch with Laura"]),
        (["do I have a meeting with Tom on monday"], []),
        (["my last haircut?"], ["Haircut"]),
        (["when is the zebra parade"], []),
        (["who is Ravi?"], ["Team meeting"]),
        (["When is my dentist appointment?", "where is it?"], ["Dentist"]),
        (["tell me a joke"], []),
        (["a meeting tomorrow?", "and on monday?"], ["Team meeting"]),
        (["yoga?", "and the dentist?"], ["Dentist"]),
    ],
)
def test_a_question_finds_its_events(home: Home, turns: list[str], expected: list[str]) -> None:
    assert titles(source_of(home, calendar(*EVENTS)), *turns) == expected


def test_a_day_is_told_whole_and_what_no_day_bounds_up_to_the_limit(home: Home) -> None:
    source = source_of(home, calendar(*EVENTS), limit=2)
    assert len(titles(source, "what's on today?")) == 3
    assert len(titles(source, "what's next?")) == 2


def test_rows_have_the_corpus_columns_in_their_order(home: Home) -> None:
    source = source_of(home, calendar(*EVENTS))
    facts = [f for text in ("team meeting?", "lunch?", "the trip?") for f in source.retrieve(History().add_user(text))]
    assert [f.line for f in facts] == [
        "event: team meeting, time: 9am, date: monday the 9th, room: Room 5, party: Ravi",
        "event: lunch, time: 12:30pm, date: wednesday the 4th, party: Laura",
        "event: trip to Oslo, time: all day, date: friday the 6th to sunday the 8th",
    ]
    assert {f.source for f in facts} == {"calendar"}


def test_an_event_has_its_times_as_times_and_its_cells_by_name(home: Home) -> None:
    source = source_of(home, calendar(*EVENTS))
    (lunch,) = source.retrieve(History().add_user("lunch?"))
    assert isinstance(lunch, Event)
    assert (lunch.event, lunch.heading, lunch.names) == ("Lunch with Laura", "Lunch with Laura", ("lunch",))
    assert (lunch.start, lunch.end) == (datetime(2026, 3, 4, 12, 30), datetime(2026, 3, 4, 13, 30))
    cells = (("event", "lunch"), ("time", "12:30pm"), ("date", "wednesday the 4th"), ("party", "Laura"))
    assert lunch.row == cells
    assert lunch.line == row_line(cells)
    (trip,) = source.retrieve(History().add_user("the trip?"))
    assert isinstance(trip, Event)
    assert (trip.all_day, lunch.all_day) == (True, False)
    (dentist,) = source.retrieve(History().add_user("the dentist?"))
    assert isinstance(dentist, Event)
    assert dentist.place == "12 Quay Street"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_no_text_of_an_event_can_begin_another_cell(title: str, place: str, notes: str) -> None:
    moment = datetime(2026, 3, 5, 9, 30)
    cells = event_cells(Happening(0, title, moment, moment, place=place, notes=notes), TODAY)
    line = row_line(cells)
    assert read_row(line, "calendar").row == cells
    names = [name for name, _ in cells]
    assert names == [c for c in COLUMNS if c in names]
    assert "\n" not in line
    assert "time: 9:30am, date: thursday the 5th" in line


def test_html_commas_and_line_breaks_become_plain_text(home: Home) -> None:
    messy = event(
        "Milk\\, eggs\\, room: 7",
        "20260305T090000",
        "DESCRIPTION:<b>Buy</b>\\nbread &amp; jam. Then rest.",
        "LOCATION:https://meet.example.org/x <img src=x>",
    )
    told, fact = source_of(home, calendar(messy)).retrieve(History().add_user("anything tomorrow?"))
    assert isinstance(told, Answer)
    assert told.text == "On Thursday the 5th there is one thing: Milk, eggs, room - 7 at 9am."
    assert fact.line == "event: Milk, eggs, room - 7, time: 9am, date: thursday the 5th, agenda: Buy bread & jam"


def test_times_are_shown_in_the_zone_of_the_clock(home: Home) -> None:
    berlin = event("Fair", "TZID=Europe/Berlin:20260306T020000")
    utc = event("Launch", "20260715T160000Z")
    now = datetime(2026, 3, 4, 10, 0, tzinfo=ZoneInfo("America/New_York"))
    source = source_of(home, calendar(berlin, utc), now=now)
    fair, launch = (
        source.retrieve(History().add_user(text))[0].line for text in ("the fair on thursday?", "the launch?")
    )
    assert fair == "event: Fair, time: 8pm, date: thursday the 5th"
    assert launch == "event: Launch, time: 12pm, date: wednesday the 15th of july"


def test_a_zone_that_the_file_defines_itself(home: Home) -> None:
    zone = [
        "BEGIN:VTIMEZONE",
        "TZID:Office",
        "BEGIN:STANDARD",
        "DTSTART:19700101T000000",
        "TZOFFSETFROM:+0500",
        "TZOFFSETTO:+0500",
        "END:STANDARD",
        "END:VTIMEZONE",
    ]
    text = calendar(*zone, event("Fair", "TZID=Office:20260305T150000"))
    source = source_of(home, text, now=datetime(2026, 3, 4, 10, 0, tzinfo=ZoneInfo("UTC")))
    assert "time: 10am" in source.retrieve(History().add_user("the fair?"))[0].line


def test_repeating_for_ever_with_a_gap_a_moved_and_a_cancelled_one(home: Home) -> None:
    series = event("Choir", "20100101T200000", "UID:c", "RRULE:FREQ=DAILY", "EXDATE:20260305T200000")
    moved = event("Choir", "20260307T110000", "UID:c", "RECURRENCE-ID:20260306T200000")
    gone = event("Choir", "20260308T200000", "UID:c", "RECURRENCE-ID:20260308T200000", "STATUS:CANCELLED")
    source = source_of(home, calendar(series, moved, gone), limit=20)
    facts = source.retrieve(History().add_user("choir from thursday to monday"))
    assert [re.findall(r"time: (\w+), date: (\w+)", f.line)[0] for f in facts] == [
        ("11am", "saturday"),
        ("8pm", "saturday"),
        ("8pm", "monday"),
    ]


BROKEN = (
    event("No such day", "20261399T000000"),
    event("No rule", "20260301T100000", "RRULE:FREQ=SOMETIMES"),
    event("Stands still", "20260301T100000", "RRULE:FREQ=DAILY;INTERVAL=0"),
    "BEGIN:VEVENT\r\nSUMMARY:x\r\nEND:VEVENT",
    event("Every second", "20260301T100000", "RRULE:FREQ=SECONDLY"),
    event("Back", "20260302T100000", "DTEND:20260301T100000"),
    event("Often", "20260301T100000", "RRULE:FREQ=DAILY;BYHOUR=1,2,3"),
    event("Twice", "20260301T100000", "DTSTART:20260302T100000"),
    "BEGIN:VEVENT\r\nSUMMARY:never ends",
)


def test_broken_events_are_left_out_and_counted(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "mine.ics"
    path.write_text(calendar(*EVENTS[:2], *BROKEN), encoding="utf-8")
    lines: list[int] = []
    said = add(path, home, "calendar", lines.append)
    assert said.startswith("2 events, 1 of them repeating; 9 broken left out (the first: line ")
    assert sum(lines) == path.read_text(encoding="utf-8").count("\n") + 1
    assert titles(CalendarSource(home, now=lambda: datetime(2026, 3, 4)), "when is the dentist?") == ["Dentist"]


@pytest.mark.parametrize("bad", BROKEN)
def test_each_broken_event_is_counted_by_itself(bad: str, tmp_path: Path) -> None:
    (tmp_path / "x.ics").write_text(calendar(bad, EVENTS[1]), encoding="utf-8")
    found = read_calendar(tmp_path / "x.ics")
    assert (found.broken, [s.texts[0] for s in found.series]) == (1, ["Dentist"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"name,date\n", "BEGIN:VCALENDAR"),
        (b"PK\x03\x04", "BEGIN:VCALENDAR"),
        (b"BEGIN:VCALENDAR\r\nX:\xff\xfe", "not UTF-8 (byte 19)"),
        (calendar().encode(), "no event"),
        (calendar(BROKEN[0]).encode(), "line 3"),
        (b"BEGIN:VCALENDAR\n" + b"x" * MOST_BYTES, "16 MB"),
    ],
)
def test_a_file_that_is_no_calendar_is_refused_and_changes_nothing(
    home: Home, tmp_path: Path, content: bytes, says: str
) -> None:
    source = source_of(home, calendar(*EVENTS))
    path = tmp_path / "bad.ics"
    path.write_bytes(content)
    with pytest.raises(KnowledgeError, match=re.escape(says)) as caught:
        add(path, home, "calendar")
    assert str(path) in str(caught.value)
    assert titles(source, "the dentist?") == ["Dentist"]
    assert [p.name for p in home.knowledge.iterdir()] == ["calendar.ics"]


def test_a_file_of_50_mb_is_refused_unread_and_a_missing_one_named(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "large.ics"
    path.touch()
    os.truncate(path, 50 * 2**20)
    with pytest.raises(KnowledgeError, match="larger than 16 MB; export a shorter period"):
        add(path, home, "calendar")
    with pytest.raises(KnowledgeError, match=r"none\.ics: cannot be read: No such file"):
        add(tmp_path / "none.ics", home, "calendar")


def test_a_second_calendar_replaces_the_first_and_remove_takes_it_away(home: Home, tmp_path: Path) -> None:
    source = CalendarSource(home, now=lambda: datetime(2026, 3, 4))
    assert titles(source, "the dentist?") == []
    for text, expected in ((calendar(*EVENTS), ["Dentist"]), ("\ufeff" + calendar(EVENTS[0]).replace("\r", ""), [])):
        (tmp_path / "a.ics").write_text(text, encoding="utf-8")
        add(tmp_path / "a.ics", home, "calendar")
        assert titles(source, "the dentist?") == expected
    assert titles(source, "team meeting?") == ["Team meeting"]
    assert remove(home, "calendar") == "removed"
    assert remove(home, "calendar").startswith("nothing")
    assert titles(source, "team meeting?") == []


def test_a_link_that_leads_out_of_the_home_is_refused(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.ics").write_text(calendar(*EVENTS), encoding="utf-8")
    home.knowledge.mkdir(parents=True)
    (home.knowledge / "calendar.ics").symlink_to(tmp_path / "a.ics")
    for attempt in (
        lambda: titles(CalendarSource(home), "the dentist?"),
        lambda: add(tmp_path / "a.ics", home, "calendar"),
    ):
        with pytest.raises(KnowledgeError, match="symbolic link"):
            attempt()


def test_the_sample_calendar_needs_demo_mode_and_never_runs_out(home: Home) -> None:
    clocks = [iter([datetime(year, 6, 3, 10)] * 9).__next__ for year in (2026, 2041)]
    assert titles(CalendarSource(home), "when is the dentist?") == []
    sources = [CalendarSource(home, now=clock, demo=True) for clock in clocks]
    for source in sources:
        assert [f.source for f in source.retrieve(History().add_user("when is the dentist?"))] == ["sample calendar"]
        assert len(titles(source, "what's next?")) == 3
    assert (read_calendar(SAMPLE).broken, len(read_calendar(SAMPLE).series)) == (0, 12)
    assert titles(source_of(home, calendar(*EVENTS)), "the dentist?") == ["Dentist"]  # one's own comes first


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("Add lunch on Friday", True),
        ("could you please cancel the dentist?", True),
        ("remind me to call Ana", True),
        ("schedule a meeting for monday", True),
        ("I need you to move my trip", True),
        ("schedule for monday", False),
        ("remind me when the dentist is", False),
        ("what did I put down for friday?", False),
        ("is there a set time", False),
    ],
)
def test_a_wish_to_change_the_calendar_gets_one_fixed_row(home: Home, text: str, change: bool) -> None:
    facts = source_of(home, calendar(*EVENTS)).retrieve(History().add_user(text))
    assert (facts == [replace(READ_ONLY, source="calendar")]) == change
    assert change or all(isinstance(fact, Event | Answer) for fact in facts)


def test_the_fixed_row_is_the_one_that_the_skill_learned() -> None:
    assert READ_ONLY.line == "calendar: can only be read"


def test_the_skill_says_when_nothing_is_found(home: Home) -> None:
    source_of(home, calendar(*EVENTS))
    source = open_source(Opening(SkillFolders(home).load("calendar"), home))
    (fact,) = source.retrieve(History().add_user("when is the zebra parade"))
    assert fact == Nothing("calendar", "no such event")
    assert fact.line == "calendar: no such event"


def test_several_threads_get_what_one_gets(home: Home) -> None:
    source = source_of(home, calendar(*EVENTS))
    texts = ["what's on today?", "when is yoga", "the trip?", "what's next?"] * 5
    alone = [titles(source, text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: titles(source, text), texts)) == alone


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=6).map(" ".join)))
def test_any_message_gets_rows_or_none(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    source = source_of(Home(tmp_path_factory.getbasetemp() / "any"), calendar(*EVENTS))
    facts = source.retrieve(History().add_user(text))
    told = [fact for fact in facts if not (isinstance(fact, Event) and fact.line.startswith("event: "))]
    assert told == facts[: len(told)]
    assert all(isinstance(fact, Answer) for fact in told) or told == facts == [replace(READ_ONLY, source="calendar")]
    assert len(told) < 2


def test_calendar_libraries_are_loaded_only_for_a_calendar() -> None:
    heavy = {"icalendar", "recurring_ical_events", "torch"}
    code = f"import sys, adapterbot.knowledge.calendar.source; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_the_examples_keep_to_their_rows() -> None:
    spec = SkillFolders().load("calendar")
    for dialogue in read_dialogues(spec.folder / "examples.jsonl"):
        for i, turn in enumerate(dialogue.turns):
            if turn.speaker == "system":
                asked = dialogue.turns[i - 1].text
                assert unsupported(turn.text, turn.knowledge, [t.text for t in dialogue.turns[:i]]) == [], dialogue.id
                assert (turn.knowledge == (READ_ONLY.line,)) == asks_for_change(asked), dialogue.id
                for line in turn.knowledge:
                    names = [name for name, _ in read_row(line, "calendar").row]
                    assert names in (["calendar"], [c for c in COLUMNS if c in names]), dialogue.id
