"""Lines of the state tracker: marks in texts, belief states and queries as such lines, and lines that are none."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from belief_files import states

from adapterbot.data.belief_states import domains_of, read_turns
from adapterbot.data.query_lines import QueryLine
from adapterbot.data.tracking_lines import Mark, TrackingLine, line_of_query, line_of_turn, own_lines, values_of
from adapterbot.errors import DataError

LINE: dict[str, object] = {
    "topic": "cafe",
    "columns": ["name", "cuisine", "area", "phone"],
    "bot": "How about [Olive Yard|name|want]?",
    "user": "Not [Greek|cuisine|not], is it? Its number please",
    "asked": ["phone"],
    "any": ["area"],
}


def written(tmp_path: Path, *lines: dict[str, object]) -> Path:
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def marked(line: TrackingLine) -> list[tuple[str, str, str | None]]:
    texts = {"bot": line.bot, "user": line.user}
    return [(texts[mark.speaker][mark.start : mark.end], mark.column, mark.meaning) for mark in line.marks]


def test_marks_are_read_where_they_stand(tmp_path: Path) -> None:
    train, valid = own_lines(written(tmp_path, LINE))
    (line,) = train + valid
    assert (line.bot, line.user) == ("How about Olive Yard?", "Not Greek, is it? Its number please")
    assert line.marks == (Mark("bot", 10, 20, "name", "want"), Mark("user", 4, 9, "cuisine", "not"))
    assert (line.asked, line.any) == (frozenset({"phone"}), frozenset({"area"}))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"user": "in the [north|area|wanted]"}, r"lines.jsonl:1: .*'wanted'"),
        ({"user": "in the [north|quarter|want]"}, r"lines.jsonl:1: 'quarter' is none of its columns"),
        ({"user": "in the [north"}, r"lines.jsonl:1: a value is marked as"),
        ({"asked": "phone"}, r"lines.jsonl:1: columns, asked and any are lists"),
        ({"asked": ["fax"]}, r"lines.jsonl:1: 'fax' is none"),
    ],
)
def test_a_line_that_is_none_is_named(change: dict[str, object], fault: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=fault):
        own_lines(written(tmp_path, LINE | change))
    with pytest.raises(DataError, match=r"a line has topic, columns"):
        own_lines(written(tmp_path, {"user": "hm"}))


def test_what_ships_can_be_read_and_lines_are_apart() -> None:
    train, valid = own_lines()
    assert len(train) > 3000
    assert len(valid) > 300
    assert not {(line.bot, line.user) for line in train} & {(line.bot, line.user) for line in valid}


def test_belief_states_mark_the_values_that_they_hold(tmp_path: Path) -> None:
    (dialogue,) = read_turns(states(tmp_path))
    domain = domains_of([dialogue, dialogue])["hotel"]
    lines = [line_of_turn(turn, domain, values_of(domain), random.Random(0)) for turn in dialogue]
    assert [marked(line) for line in lines] == [
        [("cheap", "pricerange", "want")],
        [("north", "area", "want")],
        [("north", "area", "none")],
        [("Hay Loft", "name", "want"), ("cheap", "pricerange", "none")],
        [],
    ]
    assert [line.asked for line in lines] == [frozenset()] * 3 + [{"phone"}, frozenset()]


def test_queries_mark_the_values_of_their_clauses() -> None:
    schema = "cafe: name, cuisine (greek, thai), area, phone"
    line = line_of_query(
        QueryLine(schema, (), "thai, not in the north; its number?", "cuisine = thai; area != north; ask phone")
    )
    assert line
    assert sorted(marked(line)) == [("north", "area", "not"), ("thai", "cuisine", "want")]
    assert (line.asked, line.columns) == (frozenset({"phone"}), ("name", "cuisine", "area", "phone"))
    assert line_of_query(QueryLine(schema, (), "hello", "none")) is None
