"""Lines to learn queries from: our own, and those that belief states give."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from belief_files import SAID, states

from adapterbot.data.belief_states import domains_of, lines_of, query_of, read_turns
from adapterbot.data.query_lines import QueryLine, own_lines, without_units
from adapterbot.errors import DataError
from adapterbot.knowledge.query_language import Schema


def schema_of(line: str) -> Schema:
    """A schema from its line."""
    topic, _, columns = line.partition(": ")
    found = re.findall(r"([^,(]+?)(?: \(([^)]*)\))?(?:, |$)", columns)
    return Schema(topic, tuple((name, tuple(values.split(", ")) if values else ()) for name, values in found))


def test_every_line_of_ours_is_a_query_under_its_schema() -> None:
    train, valid = own_lines()
    assert len(train) > 2000
    assert len(valid) > 200
    assert not {(line.schema, *line.utterances) for line in train} & {(v.schema, *v.utterances) for v in valid}
    wrong = [line for line in (*train, *valid) if not schema_of(line.schema).whole(line.query)]
    assert not wrong


def test_units_are_no_part_of_a_name() -> None:
    assert without_units("train: price pounds, duration minutes, price range") == "train: price, duration, price range"
    assert without_units("days (mon, tue), hours") == "days (mon, tue), hours"


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text('{"schema": "a: b", "message": "c"}\n')
    with pytest.raises(DataError, match=r"l\.jsonl:1: a line is"):
        own_lines(tmp_path / "l.jsonl")


def test_states_become_queries(tmp_path: Path) -> None:
    dialogues = read_turns(states(tmp_path))
    columns = {slot: slot for slot in ("area", "name", "phone", "pricerange", "stars")}
    (turns,) = dialogues
    assert [turn.history for turn in turns][3] == tuple(SAID[:6])  # further back than one line goes
    assert [query_of(turn, columns) for turn in turns] == [
        "pricerange = cheap",
        "pricerange = cheap; area = north; stars = 4",  # in the order in which it was said
        "",  # nothing is changed by name: the state does not tell
        "name = Hay Loft; ask phone",
        "none",
    ]
    (first, *_) = lines_of(turns, domains_of(dialogues), random.Random(0))
    assert isinstance(first, QueryLine)
    assert first.history == ()
    assert first.schema.startswith("hotel: ")
