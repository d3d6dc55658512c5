"""Events that repeat: the same occurrences as the library's, at a cost that no start and no rule can raise."""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import icalendar
import pytest
import recurring_ical_events
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterbot.knowledge.calendar.ics import read_calendar
from adapterbot.knowledge.calendar.recurrence import Unfolding

TODAY = date(2026, 3, 4)


def event(start: str, *lines: str) -> str:
    """A VEVENT; `start` is the whole of DTSTART but its name."""
    mark = ":" if start[0].isdigit() else ";"
    return "\r\n".join(["BEGIN:VEVENT", "SUMMARY:Alpha", f"DTSTART{mark}{start}", *lines, "END:VEVENT", ""])


def written(path: Path, rules: list[str], start: str = "VALUE=DATE:16000103") -> Path:
    events = [event(start, f"UID:{number}", f"RRULE:{rule}") for number, rule in enumerate(rules)]
    path.write_text("".join(["BEGIN:VCALENDAR\r\n", *events, "END:VCALENDAR\r\n"]))
    return path


@pytest.mark.parametrize(
    ("rule", "happens"),
    [
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", 0),
        ("FREQ=DAILY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=30", 0),
        ("FREQ=WEEKLY;BYMONTH=4;BYMONTHDAY=31", 0),
        ("FREQ=MONTHLY;BYMONTH=6;BYMONTHDAY=31", 0),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6", 0),
        ("FREQ=YEARLY;BYYEARDAY=366;BYMONTH=1", 0),
        ("FREQ=YEARLY;BYWEEKNO=20;BYMONTH=12", 0),
        ("FREQ=MONTHLY;INTERVAL=12;BYMONTH=3", 0),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=TU", 0),  # the first day is a Monday
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;COUNT=2000", 0),
        ("FREQ=DAILY;COUNT=3000", 0),
        ("FREQ=DAILY;UNTIL=19991231", 0),
        ("FREQ=DAILY", 9),
        ("FREQ=DAILY;INTERVAL=3", 3),
        ("FREQ=DAILY;BYDAY=SA,SU", 3),
        ("FREQ=WEEKLY", 2),
        ("FREQ=MONTHLY", 1),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=1WE", 1),
    ],
)
def test_fifty_events_since_1600_are_asked_for_in_a_moment(tmp_path: Path, rule: str, happens: int) -> None:
    started = time.process_time()
    series = read_calendar(written(tmp_path / "a.ics", [rule] * 50)).series
    spans = [date(2026, 3, 1), date(1700, 3, 1), date(2190, 3, 1)]
    found = [sum(len(s.between(first, first + timedelta(days=8), None)) for s in series) for first in spans]
    assert time.process_time() - started < 2, "reading the file and three questions"
    started = time.process_time()
    assert sum(len(s.between(TODAY - timedelta(3), TODAY + timedelta(5), None)) for s in series) == found[0]
    assert time.process_time() - started < 1
    assert len(series) == 50
    assert found[0] == 50 * happens


def test_different_rules_without_an_occurrence_are_as_cheap(tmp_path: Path) -> None:
    rules = [f"FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;BYDAY={a},{b}" for a in ("MO", "TU") for b in ("WE", "TH", "FR")]
    rules += [f"FREQ=DAILY;BYMONTH=4;BYMONTHDAY=31;INTERVAL={n}" for n in range(1, 45)]
    started = time.process_time()
    series = read_calendar(written(tmp_path / "a.ics", rules)).series
    assert not [h for s in series for h in s.between(TODAY, TODAY + timedelta(30), None)]
    assert time.process_time() - started < 2


def test_what_never_comes_true_still_happens_on_its_first_day(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ics", ["FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"], start="20260304T090000")
    (series,) = read_calendar(path).series
    assert [h.start for h in series.between(TODAY, TODAY + timedelta(99), None)] == [datetime(2026, 3, 4, 9)]


def test_what_cannot_be_bounded_is_left_out_with_its_reason(tmp_path: Path) -> None:
    calendar = read_calendar(written(tmp_path / "a.ics", ["FREQ=DAILY;COUNT=999999999", "FREQ=DAILY"]))
    assert (len(calendar.series), calendar.broken) == (1, 1)
    assert "COUNT above 3,000" in calendar.fault


DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
PARTS = st.fixed_dictionaries(
    {"FREQ": st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])},
    optional={
        "INTERVAL": st.integers(1, 5),
        "BYMONTH": st.lists(st.sampled_from([1, 2, 3, 6, 11]), min_size=2, max_size=3, unique=True),
        "BYMONTHDAY": st.lists(st.sampled_from([1, 13, 28, 30, -1, -4]), min_size=2, max_size=3, unique=True),
        "BYDAY": st.lists(st.sampled_from(DAYS), min_size=1, max_size=3, unique=True),
        "BYSETPOS": st.sampled_from([1, -1]),
        "WKST": st.sampled_from(["SU", "MO"]),
    },
)
ENDS = st.sampled_from(["", "", ";COUNT=7", ";COUNT=90", ";UNTIL=20241115", ";UNTIL=20270101"])
STARTS = st.sampled_from(["20230131", "20240229", "20250830", "20211104"])
FORMS = st.sampled_from(["VALUE=DATE:{}", "{}T233000", "TZID=Europe/Berlin:{}T013000", "{}T113000Z"])
LENGTHS = st.sampled_from(["DURATION:PT45M", "DURATION:P1D", "DURATION:P60D"])


def starts(found: Any, first: datetime, last: datetime) -> list[tuple[str, str]]:
    """Start and end of each event that touches the days, whatever the order."""
    happened = found.between(first, last)
    return sorted((str(e["DTSTART"].dt), str(e["DTEND"].dt)) for e in happened)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(parts=PARTS, end=ENDS, start=STARTS, form=FORMS, length=LENGTHS, asked=st.integers(-1500, 1500))
def test_the_occurrences_are_those_of_the_library(
    parts: dict[str, Any], end: str, start: str, form: str, length: str, asked: int
) -> None:
    if "BYSETPOS" in parts and not parts.keys() & {"BYMONTH", "BYMONTHDAY", "BYDAY"}:
        del parts["BYSETPOS"]  # it chooses among the days of another part
    rule = ";".join(f"{k}={','.join(map(str, v)) if isinstance(v, list) else v}" for k, v in parts.items()) + end
    if form.startswith("VALUE=DATE") and length == "DURATION:PT45M":
        length = "DURATION:P1D"
    gap = f"EXDATE:{start}T233000"
    text = event(form.format(start), length, f"RRULE:{rule}", *([gap] if form == "{}T233000" else []))
    read = icalendar.Event.from_ical(text)
    plain = icalendar.Calendar()
    plain.add_component(read)
    first = datetime.combine(TODAY + timedelta(days=asked), datetime.min.time())
    expected = starts(recurring_ical_events.of(plain), first, first + timedelta(days=20))
    assert starts(Unfolding([read], TODAY), first, first + timedelta(days=20)) == expected
