"""Dialogues from frames: every answer stands in its facts, no name twice, the same seed the same dialogues."""

from __future__ import annotations

import json
import re

import pytest

from adapterbot.language.dates import DAYS
from adapterbot.language.values import unsupported
from adapterbot.training.frames import FRAMES, KINDS, NEAR, OF_SKILLS, frame_dialogues

LISTS = json.loads(FRAMES.read_text(encoding="utf-8")) | json.loads(OF_SKILLS.read_text(encoding="utf-8"))
NAME = re.compile(r"\b[A-Z][a-z]+\b|\d+")


def facts(kind: str, count: int = 200) -> list[tuple[str, str, str]]:
    """(facts, question, answer) of dialogues of one kind."""
    made = frame_dialogues(count, 7, [kind])
    return [("\n".join(d.turns[1].knowledge), d.turns[0].text, d.turns[1].text) for d in made]


def test_the_seed_decides_and_no_two_dialogues_are_alike() -> None:
    made = list(frame_dialogues(100, 1))
    assert made == list(frame_dialogues(100, 1)) != list(frame_dialogues(100, 2))
    assert len({d.turns for d in made}) == 100
    assert made[:10] == list(frame_dialogues(10, 1))


@pytest.mark.parametrize("kind", KINDS | NEAR)
def test_nothing_is_left_to_fill(kind: str) -> None:
    assert not any("{" in part or "}" in part for example in facts(kind) for part in example)


def words(text: str) -> set[str]:
    return set(NAME.findall(text))


@pytest.mark.parametrize("kind", ["fact", "row"])
def test_every_name_and_number_of_an_answer_stands_in_its_facts(kind: str) -> None:
    for known, asked, told in facts(kind):
        starts = {match[0] for match in re.finditer(r"(?:^|(?<=[.!?] ))[A-Z][a-z]+", told)}
        missing = words(told) - words(known) - starts - {"Cup"}
        assert not missing, (known, asked, told)


@pytest.mark.parametrize("kind", NEAR)
def test_an_answer_of_a_strict_skill_is_supported(kind: str) -> None:
    answered = [(known, asked, told) for known, asked, told in facts(kind) if "can only be read" not in known]
    missing = [(told, unsupported(told, known.splitlines(), [asked])) for known, asked, told in answered]
    counted = {"two", "There", "two things"}
    assert not [(told, values) for told, values in missing if set(values) - counted]


def test_a_forecast_is_read_from_its_row() -> None:
    checked = 0
    for known, _, told in facts("forecast", 400):
        place, high = re.search(r"high in (.*) on", told), re.search(r"will be (\d+)F", told)
        if not (place and high and "low" not in told.split(" on ")[0].lower()):
            continue
        row = next(r for r in known.splitlines() if r.startswith(f"location: {place[1].lower()},"))
        day = re.search(rf"on ({'|'.join(d.capitalize() for d in DAYS)})", told)
        if day:
            assert re.search(rf"{day[1].lower()}: \w+, low of \d+F, high of (\d+)F", row)[1] == high[1]  # type: ignore[index]
            checked += 1
    assert checked > 5


def test_where_has_one_answer() -> None:
    asked = 0
    for known, question, told in facts("forecast", 400):
        found = re.match(r"Where will it be (\w+) on (\w+)\?", question)
        if found and found[2].lower() in DAYS:
            rows = [r for r in known.splitlines() if f"{found[2].lower()}: {found[1]}," in r]
            assert len(rows) == 1
            assert rows[0].split(",")[0].removeprefix("location: ") in told.lower()
            asked += 1
    assert asked > 3


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_has_more_facts_than_asked_for(kind: str) -> None:
    counts = [[len(d.turns[1].knowledge) for d in frame_dialogues(60, 3, [kind], most)] for most in (1, 2, 4)]
    assert [max(count) for count in counts] == [1, 2, 3 if kind == "forecast" else 4]


def test_every_frame_fills_its_question_from_slots_that_can_be_drawn() -> None:
    for kind in KINDS | NEAR:
        for frame in LISTS[kind]:
            assert frame["ask"], frame
            assert frame["tell"], frame
