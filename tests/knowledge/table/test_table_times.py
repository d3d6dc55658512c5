"""Times of day as people say them, asked of a timetable and of opening times; written before they were read."""

from __future__ import annotations

from pathlib import Path

import pytest
from tables import names, spec, talk

from adapterbot.facts import Answer, Row
from adapterbot.home import Home
from adapterbot.knowledge import Opening, open_source
from adapterbot.knowledge.table.source import TableSource

# Trains of one line and one day: 06:15, 09:30, 13:40, 18:05; each takes 38 minutes.
TIMES = ("06:15", "09:30", "13:40", "18:05")
TRIP = "a train from Elmbridge to Harrow Bay on monday "
LEAVE: tuple[tuple[str, list[str]], ...] = (
    ("after half past nine", ["09:30", "13:40", "18:05"]),
    ("after quarter to ten", ["13:40", "18:05"]),
    ("after nine o'clock", ["09:30", "13:40", "18:05"]),
    ("leaving after 1300", ["13:40", "18:05"]),
    ("leaving after thirteen hundred", ["13:40", "18:05"]),
    ("after five in the afternoon", ["18:05"]),
    ("before noon", ["09:30", "06:15"]),
    ("before seven in the morning", ["06:15"]),
    ("between 9 and 2", ["09:30", "13:40"]),
    ("between nine in the morning and two in the afternoon", ["09:30", "13:40"]),
    ("in the afternoon", ["13:40"]),
    ("in the morning", ["06:15", "09:30"]),
    ("in the evening", ["18:05"]),
    ("arriving by quarter past ten", ["09:30", "06:15"]),
    ("that arrives before seven in the evening", ["18:05", "13:40", "09:30"]),
    ("at half past nine", ["09:30", "13:40", "18:05"]),
    ("not before twelve", ["13:40", "18:05"]),
    ("after 6 pm", ["18:05"]),
    ("leaving at twenty to two in the afternoon or later", ["13:40", "18:05"]),
    ("after ten past six in the evening", []),
    ("after seven in the evening", []),
    ("leaving after 1900", []),
    ("after nine at night", []),
    ("after half past eight in the evening", []),
)
CAFES = "name,area,opens,closes\nEarly Bird,north,06:30,14:00\nNoon House,south,11:00,22:00\nOwl,east,17:30,23:45\n"


@pytest.fixture
def trains(home: Home, tmp_path: Path) -> TableSource:
    lines = ["trainID,departure,destination,day,leaveAt,arriveBy,price"]
    for number, time in enumerate(TIMES):
        hours, minutes = map(int, time.split(":"))
        there = hours * 60 + minutes + 38
        lines += [f"TR{number},Elmbridge,Harrow Bay,monday,{time},{there // 60:02}:{there % 60:02},11 pounds"]
        lines += [f"TX{number},Harrow Bay,Elmbridge,monday,{time},{there // 60:02}:{there % 60:02},11 pounds"]
    return opened(home, tmp_path, "train", "\n".join([*lines, ""]))


def opened(home: Home, folder: Path, name: str, text: str) -> TableSource:
    (folder / "rows.csv").write_text(text, encoding="utf-8")
    TableSource.add(folder / "rows.csv", home, name)
    source = open_source(Opening(spec(name, home.root), home))
    assert isinstance(source, TableSource)
    return source


@pytest.mark.parametrize(("said", "times"), LEAVE)
def test_trains_by_the_time_that_was_said(trains: TableSource, said: str, times: list[str]) -> None:
    facts = trains.retrieve(talk(TRIP + said))
    assert [dict(fact.cells)["leaveAt"] for fact in facts if isinstance(fact, Row)] == (times or ["18:05"])
    answers = [fact for fact in facts if isinstance(fact, Answer)]
    assert [(a.asked, a.value) for a in answers] == ([] if times else [("last", "18:05")])
    assert all("18:05" in answer.text for answer in answers)


@pytest.mark.parametrize("said", ["before six in the morning", "that arrives before half past six", "before 0600"])
def test_where_no_train_is_so_early_the_first_is_told(trains: TableSource, said: str) -> None:
    answer, row = trains.retrieve(talk(TRIP + said))
    assert isinstance(answer, Answer)
    assert (answer.asked, answer.value[:2], dict(row.row)["leaveAt"]) == ("first", "06", "06:15")


@pytest.mark.parametrize(
    ("said", "there"),
    [
        ("a cafe that opens before seven in the morning", ["Early Bird"]),
        ("which one opens after noon?", ["Owl"]),
        ("something that closes after half past ten in the evening", ["Owl"]),
        ("one that closes after nine in the evening", ["Noon House", "Owl"]),
        ("a place that opens by quarter past eleven", ["Noon House", "Early Bird"]),
        ("one that closes before three in the afternoon", ["Early Bird"]),
    ],
)
def test_opening_times(home: Home, tmp_path: Path, said: str, there: list[str]) -> None:
    assert names(opened(home, tmp_path, "cafe", CAFES), said) == there
