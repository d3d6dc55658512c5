"""`train-query` on a tiny model: it learns, it is resumed by what it was given, and what it wrote writes queries."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import make_chatml, make_tiny

from adapterbot.data.query_lines import QueryLine
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge.query_language import Schema, WrittenQuery
from adapterbot.reply.query_writer import load_writer
from adapterbot.training import query

SCHEMA = Schema("hotel", (("name", ()), ("area", ("north", "south"))))


def lines(count: int) -> list[list[QueryLine]]:
    area = ("north", "south")
    return [[QueryLine(SCHEMA.line, (), f"in the {area[i % 2]}", f"area = {area[i % 2]}")] for i in range(count)]


def test_an_adapter_that_writes_queries(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = make_chatml()
    assert load_writer(make_tiny(), home)[0] is None  # what ships, if it does, is of another backbone
    monkeypatch.setattr(query, "groups", lambda states, seed: (lines(48), lines(2)))
    done = query.train_query(backbone, home=home, epochs=1, quiet=True)
    assert done.path == home.query / "adapter.safetensors"
    assert done.after < 0.95 * done.before
    writer, fault = load_writer(backbone, home)
    assert fault == ""
    assert writer is not None
    for text in ("in the north", "in the south"):
        assert schema_whole(writer.write(History().add_user(text), SCHEMA))
    assert isinstance(writer.write(History().add_user("x" * 8000), SCHEMA), WrittenQuery)
    other, fault = load_writer(make_tiny(), home)
    assert other is None
    assert "of another backbone" in fault
    done.path.write_bytes(b"x")
    assert "cannot be read" in load_writer(backbone, home)[1]


def schema_whole(written: WrittenQuery) -> bool:
    return SCHEMA.whole(str(written))


def test_lines_of_a_conversation_share_it(tmp_path: Path) -> None:
    backbone = make_chatml()
    history = tuple(f"utterance {i}" for i in range(10))
    conversation = [
        QueryLine(SCHEMA.line, history[:n], f"utterance {n}", "area = north") for n in range(0, len(history), 2)
    ]
    trees = list(query.trees_of([conversation], backbone.tokenizer, 10_000))
    assert len(trees) < len(conversation)
    assert sum(len(tree.labels) for tree in trees) % len(conversation) == 0
