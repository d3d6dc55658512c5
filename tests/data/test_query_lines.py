"""Lines to learn queries from: our own, and those that belief states give."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path

import pytest

from adapterbot.data.belief_states import domains_of, lines_of, query_of, read_turns
from adapterbot.data.query_lines import QueryLine, own_lines, without_units
from adapterbot.errors import DataError
from adapterbot.knowledge.query_language import Schema

TALK = ["a cheap place to stay", "In which part of town?", "north, and with four stars"]
STATES = [
    {"user": TALK[0], "state": {"pricerange": "cheap"}, "changed": ["pricerange"]},
    {"user": TALK[2], "state": {"stars": "4", "pricerange": "cheap", "area": "north"}, "changed": ["area", "stars"]},
    {"user": "the south is any good? I mean anywhere", "state": {"pricerange": "cheap", "area": "any"}},
    {"user": "And its phone?", "state": {"name": "Hay Loft", "area": "any"}, "requested": ["phone"]},
    {"user": "thank you, bye", "state": {"name": "Hay Loft", "area": "any"}},
]
SAID = [TALK[0], TALK[1], TALK[2], "None in the north.", STATES[2]["user"], "The Hay Loft is cheap.", STATES[3]["user"]]


def states(folder: Path, part: str = "valid", name: str = "multiwoz") -> Path:
    """A file of states of one dialogue, as the labels have them."""
    said = [*SAID, "It is 123.", STATES[4]["user"]]
    path = folder / name / f"{part}.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        for i, row in enumerate(STATES):
            item = {
                "id": "d1",
                "turn": 2 * i,
                "domain": "hotel",
                "history": said[max(0, 2 * i - 4) : 2 * i],
                "user": row["user"],
                "state": {"hotel": row["state"]},
                "requested": row.get("requested", []),
                "changed": {slot: [None, None] for slot in row.get("changed", [])},
            }
            stream.write(json.dumps(item) + "\n")
    return path


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
