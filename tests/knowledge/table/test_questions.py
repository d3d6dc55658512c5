"""Questions about what the shipped tables hold: no yes and no denial that a cell contradicts, whatever is asked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tables import shipped_rows, spec, talk

from adapterbot.facts import Count, Fact, Nothing, Row
from adapterbot.home import Home
from adapterbot.knowledge import Opening, Source, open_source
from adapterbot.reply.grounding import told

STEP = 9  # of the questions on cells, every so many
AREAS = ("north", "south", "east", "west", "centre")
FORMS = {
    "restaurant": {"pricerange": "Is {} {}?", "area": "Is {} in the {}?", "food": "Does {} serve {} food?"},
    "hotel": {
        "pricerange": "Is {} {}?",
        "area": "Is {} in the {}?",
        "stars": "Does {} have {} stars?",
        "type": "Is {} a {}?",
    },
    "attraction": {"area": "Is {} in the {}?", "type": "Is {} a {}?"},
    "taxi": {"seats": "Does {} have {} seats?", "color": "Are the cars of {} {}?", "area": "{} is in the {}, right?"},
    "navigation": {"traffic_info": "Is there {1} on the way to {0}?"},
    "train": {"day": "Does {} run on {}?", "destination": "Does {} go to {}?"},
}
PAIRS = (
    ("restaurant", "Is there a {} restaurant in the {}?", "food", "area"),
    ("restaurant", "Do you have a {} restaurant in the {}?", "pricerange", "area"),
    ("attraction", "Is there a {} in the {}?", "type", "area"),
    ("taxi", "Is there a {} taxi in the {}?", "color", "area"),
    ("train", "Is there a train to {} on {}?", "destination", "day"),
)
KEYS = {"train": "trainID", "navigation": "poi"}


@pytest.fixture(scope="module")
def shipped() -> dict[str, Source]:
    """The sources over the tables that ship."""
    nowhere = Path("/nowhere")
    return {name: open_source(Opening(spec(name, nowhere), Home(nowhere))) for name in FORMS}


def questions() -> Iterator[tuple[str, str, bool]]:
    """Skill, question, and whether yes is right."""
    for skill, forms in FORMS.items():
        table = shipped_rows(skill)
        for column, form in forms.items():
            values = sorted({row[column] for row in table})
            for row, value in itertools.product(table, values):
                yield skill, form.format(row[KEYS.get(skill, "name")], value), row[column] == value


def ask(source: Source, *turns: str) -> list[Fact]:
    return source.retrieve(talk(*turns))


def test_yes_and_no_come_from_the_cell(shipped: dict[str, Source]) -> None:
    wrong = []
    for skill, question, yes in list(questions())[::STEP]:
        reply = told(ask(shipped[skill], question))
        if not reply.startswith("Yes" if yes else "No"):
            wrong.append((question, reply))
    assert wrong == []


@pytest.mark.parametrize(("skill", "form", "one", "other"), PAIRS)
def test_none_is_said_if_and_only_if_there_is_none(
    skill: str, form: str, one: str, other: str, shipped: dict[str, Source]
) -> None:
    table = shipped_rows(skill)
    for first, second in itertools.product(sorted({r[one] for r in table}), sorted({r[other] for r in table})):
        facts = ask(shipped[skill], form.format(first, second))
        there = [r[KEYS.get(skill, "name")] for r in table if r[one] == first and r[other] == second]
        assert [fact.key for fact in facts if isinstance(fact, Row)] == there[:3], (first, second)
        assert there or "know of no" in told(facts)


SHOWN = ("italian in the centre", "Then try Trattoria Vermello.")


@pytest.mark.parametrize(
    ("skill", "turns", "says"),
    [
        ("taxi", ["Kestrel Cars has 8 seats, right?"], "No, Kestrel Cars has 4 seats."),
        ("hotel", ["Does The Bridge Hotel have wifi?"], "No, The Bridge Hotel has no internet."),
        ("restaurant", ["Is Saffron Court cheap?"], "No, Saffron Court is expensive."),
        ("restaurant", [*SHOWN, "Is it expensive?"], "No, Trattoria Vermello is moderate."),
        ("restaurant", [*SHOWN, "what's their phone number?"], "Trattoria Vermello has the phone number 01632960404."),
        ("restaurant", [*SHOWN, "does it have a garden?"], "I do not know that about Trattoria Vermello."),
        ("restaurant", ["is saffron court not expensive?"], "No, Saffron Court is expensive."),
        ("attraction", ["Are there any castles?"], "I am sorry, I know of no attraction that is a castle."),
        ("attraction", ["How many museums are there in the centre?"], "There"),
    ],
)
def test_what_is_asked_is_told_from_the_row(
    skill: str, turns: list[str], says: str, shipped: dict[str, Source]
) -> None:
    assert told(ask(shipped[skill], *turns)).startswith(says)


@pytest.mark.parametrize(
    ("skill", "turns", "query"),
    [
        ("restaurant", ["anything but chinese"], "food != chinese"),
        ("restaurant", ["nothing but thai"], "food = thai"),
        ("restaurant", ["I don't mind, chinese is fine"], "food = chinese"),
        ("restaurant", ["No, I want Italian food."], "food = italian"),
        ("restaurant", ["I'd rather not have anything too expensive"], "pricerange != expensive"),
        (
            "restaurant",
            ["italian, north", "None.", "no wait, south"],
            "food = italian; area = south",
        ),
        ("hotel", ["cheap hotel, but not in the north"], "pricerange = cheap; area != north"),
        ("hotel", ["isn't there a cheap hotel in the north?"], "pricerange = cheap; area = north"),
        ("hotel", ["more than three stars"], "stars > 3"),
        ("hotel", ["at least 3 and no more than 4 stars"], "stars >= 3; stars <= 4"),
        ("hotel", ["four stars or better"], "stars >= 4"),
        ("hotel", ["somewhere without parking"], "parking = no"),
        ("taxi", ["taxi with more than 4 seats"], "seats > 4"),
        ("attraction", ["a museum under 10 pounds"], "type = museum; entrance fee < 10"),
        ("navigation", ["a pharmacy within 5 miles"], "poi_type = pharmacy; distance <= 5"),
        ("navigation", ["a hospital without heavy traffic"], "poi_type = hospital; traffic_info != heavy traffic"),
        ("train", ["to Stonewick, not on monday"], "destination = Stonewick; day != monday"),
    ],
)
def test_what_is_denied_compared_and_corrected_is_a_clause(
    skill: str, turns: list[str], query: str, shipped: dict[str, Source]
) -> None:
    facts = ask(shipped[skill], *turns)
    assert facts
    assert facts[0].note.endswith(f" for {query}")
    assert isinstance(facts[0], Row | Nothing | Count)


def test_the_cheapest_is_the_one_with_the_least_amount(tmp_path: Path) -> None:
    source = Path(tmp_path / "own.csv")
    source.write_text("name,food,price\nDear Wok,thai,£12.50\nFair Wok,thai,£9.00\n", encoding="utf-8")
    found = open_source(Opening(spec("own", tmp_path, file="own.csv"), Home(tmp_path)))
    assert [f.key for f in ask(found, "which thai place is the cheapest?") if isinstance(f, Row)] == ["Fair Wok"]
    assert [f.key for f in ask(found, "anything under 10 pounds") if isinstance(f, Row)] == ["Fair Wok"]
