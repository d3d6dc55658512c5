"""Versions of a turn, what was liked of them, and what becomes of that."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from adapterbot.data.dialogue import read_dialogues
from adapterbot.facts import (
    Count,
    Day,
    Event,
    Fact,
    Forecast,
    Nothing,
    Notice,
    Passage,
    PersonaLine,
    Row,
    Triple,
    Verdict,
)
from adapterbot.storage.conversations import Store
from adapterbot.storage.feedback import liked_dialogues
from adapterbot.storage.markdown import markdown
from adapterbot.storage.replies import fact_of
from adapterbot.turn import Draft, Reply

REPLY = Reply("Hello there.", "wiki", {"wiki": 0.9}, "manager", "clear", timings={"total": 0.5}, seed=7)
FACTS: tuple[Fact, ...] = (
    Passage("Jazz", "Jazz is music.", source="passages", score=0.8),
    PersonaLine("I ski."),
    Triple("Avatar", "directed_by", "James Cameron", source="graph", note="Avatar"),
    Row("restaurant", "Blue Amphora", (("name", "Blue Amphora"), ("area", "west"))),
    Row("restaurant", "", ()),
    Forecast("Oslo", (Day("monday", "rain", 3, 7), Day("tuesday", "sun", 4, 9)), "monday", "C"),
    Event("Lunch", datetime(2026, 5, 1, 12), datetime(2026, 5, 1, 13), "Cafe", said=(("event", "lunch"),)),
    Verdict("Masks help", "supported", "They do."),
    Nothing("Foo"),
    Notice("weather", "no network"),
    Count(7, "restaurants"),
)


@pytest.fixture
def kept(place: str) -> Store:
    return Store(place)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.kind)
def test_a_fact_is_read_back_as_it_was(fact: Fact) -> None:
    assert fact_of(fact.to_dict()) == fact


def test_a_fact_of_an_unknown_kind_is_shown_by_its_line() -> None:
    assert fact_of({"kind": "map", "text": "a map", "title": "Oslo"}) == Passage("Oslo", "a map")


def test_an_exchange_comes_back_with_all_that_led_to_it(kept: Store) -> None:
    reply = replace(REPLY, facts=FACTS, drafts=(Draft("Hi.", -1.5, 2, True, 0.4),), warnings=("careful",))
    kept.append("a", "hi", reply)
    (exchange,) = kept.exchanges("a")
    assert (exchange.message, exchange.reply, exchange.numbers, exchange.opinion) == ("hi", reply, (1,), 0)


def test_versions_are_kept_and_any_of_them_can_be_shown(kept: Store) -> None:
    kept.append("a", "one", REPLY)
    kept.append("a", "two", REPLY)
    kept.add_version("a", 2, "two", replace(REPLY, text="Second."))
    kept.add_version("a", 2, "two, edited", replace(REPLY, text="Third."))
    first, shown = kept.exchanges("a")
    assert (first.numbers, shown.numbers, shown.number) == ((1,), (1, 2, 3), 3)
    assert kept.history("a").texts[2:] == ("two, edited", "Third.")
    kept.choose("a", 2, 1)
    assert kept.history("a").texts[2:] == ("two", "Hello there.")
    assert kept.exchanges("a")[-1].numbers == (1, 2, 3)
    kept.choose("a", 2, 9)
    assert kept.exchanges("a")[-1].number == 1
    assert [version.reply.text for version in kept.versions("a", 2)] == ["Hello there.", "Second.", "Third."]


def test_undo_takes_all_versions_and_a_version_of_nothing_is_a_turn(kept: Store) -> None:
    kept.append("a", "one", REPLY)
    kept.add_version("a", 1, "one", REPLY)
    assert len(kept.undo("a")) == 0
    assert kept.versions("a", 1) == []
    kept.add_version("a", 1, "one", REPLY)
    assert [exchange.numbers for exchange in kept.exchanges("a")] == [(1,)]


def test_only_the_newest_exchanges_are_read_when_so_many_are_asked_for(kept: Store) -> None:
    for message in "abcd":
        kept.append("a", message, REPLY)
    assert [exchange.message for exchange in kept.exchanges("a", most=2)] == ["c", "d"]


def test_what_was_liked_is_a_dialogue_file(kept: Store, tmp_path: Path) -> None:
    kept.append("a", "one", replace(REPLY, text="Bad."))
    kept.judge("a", 1, -1)
    kept.append("a", "two", replace(REPLY, text="Dull."))
    kept.add_version("a", 2, "two", replace(REPLY, text="Good.", facts=FACTS[:1]))
    kept.judge("a", 2, 1)
    kept.append("a", "three", replace(REPLY, text="Fine."))
    kept.judge("a", 3, 5)
    kept.append("a", "four", REPLY)
    (dialogue,) = liked_dialogues(kept)
    assert [turn["text"] for turn in dialogue["turns"]] == ["two", "Good.", "three", "Fine."]
    assert dialogue["turns"][1]["rejected"] == ["Dull."]
    assert dialogue["domain"] == "wiki"
    path = tmp_path / "liked.json"
    path.write_text(json.dumps([dialogue]))
    (read,) = read_dialogues(path)
    assert read.turns[1].knowledge == ("Jazz is music.",)


def test_what_was_liked_and_is_not_shown_counts_as_well(kept: Store) -> None:
    kept.append("a", "one", replace(REPLY, text="Good."))
    kept.judge("a", 1, 1)
    kept.add_version("a", 1, "one", replace(REPLY, text="Worse."))
    (dialogue,) = liked_dialogues(kept)
    assert dialogue["turns"][1] == {"speaker": "system", "text": "Good.", "rejected": ["Worse."]}


def test_markdown_names_who_spoke_and_the_evidence(kept: Store) -> None:
    kept.append("a", "What is jazz?", replace(REPLY, facts=FACTS[:1]))
    text = markdown("About jazz", kept.exchanges("a"))
    assert text.startswith("# About jazz\n\n## You, 20")
    assert "What is jazz?\n\n## adapterbot (wiki)\n\nHello there.\n\nEvidence:\n\n- Jazz is music. (passages)\n" in text
