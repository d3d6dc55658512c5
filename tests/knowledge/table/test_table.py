"""Tables: what a conversation asks for, what is found, and files of rows that cannot be used."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import names, spec, talk, texts

from adapterbot.facts import Count, Nothing, Row
from adapterbot.home import DATA, Home
from adapterbot.knowledge import Opening, Source, open_source
from adapterbot.knowledge.table.source import TableSource

SKILLS = ("restaurant", "hotel", "attraction", "taxi", "train", "navigation")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TableSource]:
    """The sources over the tables that ship."""
    home, found = Home(tmp_path_factory.mktemp("home")), {}
    for name in SKILLS:
        source = open_source(Opening(spec(name, home.root), home))
        assert isinstance(source, TableSource)
        found[name] = source
    return found


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / "knowledge" / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def where(name: str, **wanted: str) -> list[str]:
    """The names of the shipped rows with these cells, in the order of the file."""
    key = {"train": "trainID", "navigation": "poi"}.get(name, "name")
    return [row[key] for row in rows(name) if all(row[c] == v for c, v in wanted.items())]


# -- what was asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SKILLS)
def test_the_shipped_tables_are_sound(name: str, shipped: dict[str, TableSource]) -> None:
    table = rows(name)
    (count,) = shipped[name].retrieve(talk(f"I need a {name}."))
    assert count == Count(len(table), name, source="table", note="no query yet")
    assert count.line == f"{name}: {len(table)} found"
    assert all(all(row.values()) for row in table)
    unique = [row.get("name") or row.get("poi") or row["trainID"] for row in table]
    assert len(set(unique)) == len(unique)


@pytest.mark.parametrize(
    "said",
    [
        "an italian restaurant in the centre",
        "Italian food, in the city center please",
        "I'd like some itallian food downtown",
        "ITALIAN!! CENTRE!!",
    ],
)
def test_values_are_found_however_they_are_written(said: str, shipped: dict[str, TableSource]) -> None:
    facts = shipped["restaurant"].retrieve(talk(said))
    assert names(shipped["restaurant"], said) == where("restaurant", food="italian", area="centre")
    assert {fact.source for fact in facts} == {"table"}
    assert facts[0].heading.startswith(f"1 of {len(facts)} for food = italian; area = centre")
    first = next(row for row in rows("restaurant") if row["name"] == "Trattoria Vermello")
    assert isinstance(facts[0], Row)
    assert (facts[0].table, facts[0].key, dict(facts[0].cells)) == ("restaurant", "Trattoria Vermello", first)
    assert facts[0].line == ", ".join(f"{column}: {value}" for column, value in first.items())


def test_many_matches_are_counted_and_the_first_are_told(shipped: dict[str, TableSource]) -> None:
    facts = shipped["restaurant"].retrieve(talk("something moderately priced"))
    expected = where("restaurant", pricerange="moderate")
    assert names(shipped["restaurant"], "something moderately priced") == expected[:3]
    assert [f.heading for f in facts] == [f"{i} of {len(expected)} for pricerange = moderate" for i in (1, 2, 3)]


@pytest.mark.parametrize(
    ("said", "query"),
    [
        ("cheap italian in the centre", "pricerange = cheap; food = italian; area = centre"),
        ("do you have eritrean food?", "food = eritrean"),
        ("a Peruvian restaurant", "food = peruvian"),
    ],
)
def test_nothing_fits(said: str, query: str, shipped: dict[str, TableSource]) -> None:
    (fact,) = shipped["restaurant"].retrieve(talk(said))
    wanted = tuple(tuple(part.split(" ", 2)) for part in query.split("; "))
    assert fact == Nothing("restaurant", wanted=wanted, source="table", note=f"0 for {query}")  # type: ignore[arg-type]
    assert fact.line == "restaurant: none"


def test_a_whole_trip_needs_no_wish(shipped: dict[str, TableSource]) -> None:
    for said in ("a taxi from the hotel to the station", "I go to the station from my hotel by taxi"):
        assert len(names(shipped["taxi"], said)) == 3
    for said in (
        "I want to eat something from Italy",
        "I am from Spain and want to sleep",
        "to eat far from the crowds",
    ):
        assert texts(shipped["hotel"], said) == [f"hotel: {len(rows('hotel'))} found"]
    assert texts(shipped["taxi"], "a taxi to the station") == [f"taxi: {len(rows('taxi'))} found"]


def test_the_newest_wish_wins_and_the_others_stay(shipped: dict[str, TableSource]) -> None:
    turns = ("I want indian food in the south", "Mint and Cardamom is in the south.", "and in the east?")
    assert names(shipped["restaurant"], *turns) == where("restaurant", food="indian", area="east")
    either = names(shipped["restaurant"], "greek or thai in the west")
    assert either == ["Lemongrass House", "The Blue Amphora"]
    others = [row["name"] for row in rows("restaurant") if row["food"] != "italian"]
    assert names(shipped["restaurant"], "somewhere to eat, but not italian") == others[:3]


def test_the_place_just_named_is_kept(shipped: dict[str, TableSource]) -> None:
    source = shipped["restaurant"]
    turns = ("indian please", "How about Mint and Cardamom?")
    assert names(source, *turns, "What is their phone number?") == ["Mint and Cardamom"]
    assert names(source, *turns, "Yes please!") == ["Mint and Cardamom"]
    assert names(source, *turns, "is there another one?") == ["Saffron Court", "Tandoor Junction"]
    assert names(source, *turns, "what about Jade Orchard?") == ["Jade Orchard"]
    assert names(source, "whats the adress of trattoria vermelo") == ["Trattoria Vermello"]
    both = ("chinese", "There are Jade Orchard and Paper Lantern.", "the cheap one please")
    assert names(source, *both) == ["Paper Lantern"]


def test_thanks_need_no_rows_and_an_answered_question_does(shipped: dict[str, TableSource]) -> None:
    source = shipped["restaurant"]
    assert texts(source, "indian please", "How about Saffron Court?", "Great, thank you so much. Bye!") == []
    assert len(texts(source, "I want to eat", "Which area do you like?", "I don't care")) == 3
    asked = ("north please", "Any kind of food?", "anything is fine")
    assert names(source, *asked) == where("restaurant", area="north")[:3]
    assert len(texts(shipped["taxi"], "I need a taxi", "Where do you want to go?", "to my aunt")) == 3


def test_flags_stars_and_seats(shipped: dict[str, TableSource]) -> None:
    found = names(shipped["hotel"], "a four-star place with wifi and free parking in the north")
    assert found == where("hotel", area="north", stars="4", internet="yes", parking="yes")
    assert names(shipped["hotel"], "something in the west", "Apple Loft is nice.", "does it have parking?") == [
        "Apple Loft"
    ]
    asked = ("I need a room", "Would you like a hotel or a guesthouse?", "a guest house")
    assert names(shipped["hotel"], *asked) == where("hotel", type="guesthouse")[:3]
    assert names(shipped["taxi"], "a cab for seven people") == ["Bluebird Minibus", "Wayfarer Cabs"]
    assert names(shipped["taxi"], "from the north to the centre")[:3] == where("taxi", area="north")
    assert names(shipped["attraction"], "free things in the centre") == where(
        "attraction", area="centre", **{"entrance fee": "free"}
    )


@pytest.mark.parametrize(
    ("said", "column", "test", "descending"),
    [
        ("after 9:15", "leaveAt", lambda v: v >= "09:15", False),
        ("leaving at 5 pm", "leaveAt", lambda v: v >= "17:00", False),
        ("after 5", "leaveAt", lambda v: v >= "17:00", False),
        ("departing before noon", "leaveAt", lambda v: v <= "12:00", True),
        ("by 18:00", "arriveBy", lambda v: v <= "18:00", True),
        ("I have to be there by 2 p.m.", "arriveBy", lambda v: v <= "14:00", True),
        ("arriving after 14:30", "arriveBy", lambda v: v >= "14:30", False),
    ],
)
def test_times(said: str, column: str, test: object, descending: bool, shipped: dict[str, TableSource]) -> None:
    found = names(shipped["train"], f"from Elmbridge to Kingsmoor on friday {said}", column=column)
    trains = [r for r in rows("train") if (r["departure"], r["destination"]) == ("Elmbridge", "Kingsmoor")]
    fitting = sorted((r[column] for r in trains if r["day"] == "friday" and test(r[column])), reverse=descending)  # type: ignore[operator]
    assert found == fitting[:3]
    assert found


def test_stations_by_direction_and_by_question(shipped: dict[str, TableSource]) -> None:
    turns = [
        "a train please",
        "Where do you want to go?",
        "Stonewick",
        "Where from?",
        "elmbrige",
        "Which day?",
        "Sunday",
    ]
    trains = where("train", departure="Elmbridge", destination="Stonewick", day="sunday")
    assert names(shipped["train"], *turns, column="trainID") == trains[:3]
    assert texts(shipped["train"], "from Elmbridge to Paris on monday") == ["train: none"]
    ask = "on monday from Elmbridge to Stonewick"
    first, second, *_ = where("train", departure="Elmbridge", destination="Stonewick", day="monday")
    assert names(shipped["train"], ask, f"{first} is free.", "is there a later one?", column="trainID")[0] == second
    assert names(shipped["train"], ask, f"{second} is free.", "an earlier one?", column="trainID") == [first]


def test_places_and_the_nearest_of_them(shipped: dict[str, TableSource]) -> None:
    source = shipped["navigation"]
    found = names(source, "where's the nearest gas station?", column="distance")
    assert found == [min(r["distance"] for r in rows("navigation") if r["poi_type"] == "gas station")]
    assert len(names(source, "find me a coffee shop", column="poi")) == 3
    assert names(source, "I'd like chinese food", column="poi") == where("navigation", poi_type="chinese restaurant")
    assert names(source, "take me home", column="poi") == ["home"]
    assert texts(source, "nearest zoo?") == ["navigation: none"]
    # what is to be avoided is no wish
    assert len(names(source, "a hospital, avoiding heavy traffic", column="poi")) == 2


@cache
def restaurants() -> Source:
    return open_source(Opening(spec("restaurant", Path("/nowhere")), Home(Path("/nowhere"))))


WORDS = ("italian", "5:15", "pm", "Jade", "Orchard", "other", "north", "centre", "thanks", "any", "not", "?", "the")
SPOKEN = st.lists(st.sampled_from(WORDS))


@given(st.lists(st.text(max_size=200) | SPOKEN.map(" ".join), min_size=1, max_size=6))
def test_whatever_is_said_at_most_three_facts_come(turns: list[str]) -> None:
    facts = restaurants().retrieve(talk(*turns))
    assert len(facts) <= 3
    assert {type(f) for f in facts} <= {Row, Count, Nothing}
    assert all(f.line.startswith("address: " if isinstance(f, Row) else "restaurant: ") for f in facts)


def test_several_threads_ask_at_once(shipped: dict[str, TableSource]) -> None:
    said = [f"a {food} restaurant" for food in ("italian", "greek", "thai", "french")] * 25
    alone = [texts(shipped["restaurant"], s) for s in said]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda s: texts(shipped["restaurant"], s), said)) == alone
