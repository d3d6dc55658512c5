"""Queries as text: what is one, what may become one, and what it says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterbot.knowledge.query_language import Clause, Schema, WrittenQuery

SCHEMA = Schema(
    "hotel", (("name", ()), ("area", ("north", "south")), ("price range", ()), ("stars", ()), ("entrance fee", ()))
)
VALUES = st.text("abcdefgh 'é-:", min_size=1, max_size=12).map(lambda text: " ".join(text.split())).filter(bool)
CLAUSES = st.builds(
    Clause,
    st.sampled_from(SCHEMA.names),
    st.sampled_from(("=", "!=", "<", "<=", ">", ">=")),
    st.lists(VALUES, min_size=1, max_size=3).map(tuple),
)
QUERIES = st.builds(
    WrittenQuery,
    st.lists(CLAUSES, min_size=1, max_size=4, unique_by=str).map(tuple),
    st.none() | st.tuples(st.sampled_from(SCHEMA.names), st.booleans()),
    st.lists(st.sampled_from(SCHEMA.names), unique=True, max_size=3).map(tuple),
    st.booleans(),
)


def test_the_schema_as_it_is_read() -> None:
    assert SCHEMA.line == "hotel: name, area (north, south), price range, stars, entrance fee"


@settings(max_examples=40)
@given(QUERIES)
def test_what_is_written_is_read_back_and_so_is_every_beginning_of_it(query: WrittenQuery) -> None:
    text = str(query)
    assert SCHEMA.read(text) == query
    assert all(SCHEMA.starts(text[:end]) for end in range(len(text) + 1))


@pytest.mark.parametrize("word", ["all", "none", "change"])
def test_queries_of_one_word(word: str) -> None:
    assert SCHEMA.read(word) == WrittenQuery(word=word)
    assert str(SCHEMA.read(word)) == word
    assert all(SCHEMA.starts(word[:end]) for end in range(len(word) + 1))


@pytest.mark.parametrize(
    "text",
    [
        "food = thai",
        "area ~ north",
        "area == north",
        "area =  north",
        "area = north;stars = 4",
        "area = north; all",
        "sort area up",
        "ask phone",
        "ask name, name",
        "ask name; area = north",
        "area = north; ; ",
        f"name = {'x' * 81}",
    ],
)
def test_nothing_else_is_written_or_begun(text: str) -> None:
    assert not SCHEMA.starts(text)
    assert not SCHEMA.whole(text)
    with pytest.raises(ValueError, match="no query"):
        SCHEMA.read(text)


@pytest.mark.parametrize(
    "text", ["", "area =", "area = north; area = north", "area = north |", "sort area", "ask ", "area = north; "]
)
def test_a_beginning_is_not_the_whole(text: str) -> None:
    assert SCHEMA.starts(text)
    assert not SCHEMA.whole(text)
