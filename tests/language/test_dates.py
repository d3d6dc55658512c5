"""Date words: which days a sentence is about."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterbot.language.dates import listed, read_days

TODAY = date(2026, 3, 4)  # a Wednesday


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("anything today?", ["03-04"]),
        ("what's on tommorow", ["03-05"]),
        ("on friday", ["03-06"]),
        ("next friday", ["03-13", "03-06"]),
        ("Wednesday", ["03-04", "03-11"]),
        ("next week", ["03-09..03-15"]),
        ("this weekend", ["03-07..03-08"]),
        ("the 5th", ["03-05"]),
        ("on the 3rd?", ["04-03"]),
        ("march 3", ["03-03"]),
        ("3rd of April", ["04-03"]),
        ("April 10th at 3pm", ["04-10"]),
        ("in two days", ["03-06"]),
        ("25/12", ["12-25"]),
        ("2 days ago", ["03-02"]),
        ("from monday to wednesday", ["03-09..03-11"]),
        ("in may", ["05-01..05-31"]),
        ("the day after tomorrow", ["03-06"]),
        ("on the twenty-first", ["03-21"]),
        ("february 29", ["02-29"]),
        ("the 31st", ["03-31"]),
        ("next two weeks", ["03-04..03-18"]),
        ("monday and tuesday", ["03-09", "03-10"]),
        ("last friday", ["02-27"]),
        ("rest of the week", ["03-04..03-08"]),
        ("2026-07-01", ["07-01"]),
        ("may I ask you something", []),
        ("the 32nd", []),
        ("my 2nd meeting", []),
        ("in 900000 days", []),
    ],
)
def test_date_words(text: str, days: list[str]) -> None:
    spans, _ = read_days(text, TODAY)
    assert [f"{s.first:%m-%d}" + (f"..{s.last:%m-%d}" if s.last > s.first else "") for s in spans] == days


def test_a_part_of_the_day_counts_and_a_greeting_does_not() -> None:
    assert [s.hours for s in read_days("tomorrow morning", TODAY)[0]] == [(0, 12)]
    assert [s.hours for s in read_days("Good morning, what is on tomorrow?", TODAY)[0]] == [(0, 24)]


WORDS = st.sampled_from(
    listed(
        "next last this in the on from to between and friday 31st 29 february a few two 99 weeks days ago weekend 0/0"
        " 31/12 2099-02-31 may morning year month 2099 of th first"
    )
)


@settings(deadline=None)
@given(
    st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=9).map(" ".join)),
    st.dates(date(2000, 1, 1), date(2090, 1, 1)),
)
def test_any_text_is_read_to_spans_that_end_after_they_begin(text: str, today: date) -> None:
    spans, _ = read_days(text, today)
    assert all(span.first <= span.last for span in spans)
