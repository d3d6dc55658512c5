"""Drafts that begin with words of the facts: where a beginning may end, and that the draft has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.engine.generate import generate
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone
from adapterbot.reply.openings import SHARES, openings, request
from adapterbot.reply.prompt import encode
from adapterbot.turn import Decode

LIGHTHOUSE = "The lighthouse of Old Mere was built in 1802 by a guild of sailors who had lost a ship there."


@pytest.mark.parametrize(
    ("facts", "most", "expected"),
    [
        ([LIGHTHOUSE], 1, ["The lighthouse of Old Mere was built in 1802 by a guild"]),
        ([LIGHTHOUSE], 3, [
            "The lighthouse of Old Mere was built in 1802 by a guild", "The lighthouse of Old Mere was built in 1802",
            "The lighthouse"]),
        (["Moss spreads on wet stones and roofs. Ferns grow in the shade of walls."], 2,
         ["Moss spreads", "Ferns grow"]),
        (["It was painted by A. B. Moor in a barn that stood on the hill."], 1, ["It was painted by A. B. Moor"]),
        (["Salt , known for ages , keeps food from going bad in warm lands."], 1, ["Salt, known for ages, keeps food"]),
        (["Tide (film)\tdirected_by\tIda Holm", "Tide (film)\tPosition(s)\tOld\tMere"], 3, [
            "Tide was directed by Ida Holm", "The position of Tide is Old"]),
        (["Tide\tno_such_relation\tIda Holm", "Tide\tdirected_by"], 3, []),
        (["area: north, name: Quill Inn, phone: 01", "food: fish, name: Moor, Holm and Daughters, stars: 3"], 3, [
            "Quill Inn", "Moor, Holm and Daughters"]),
        (["nickname: Quill, area: north of the old town"], 3, []),
        (["Yes."], 3, []),
        ([], 3, []),
        ([LIGHTHOUSE], 0, []),
    ],
)  # fmt: skip
def test_they_end_where_a_phrase_ends(facts: list[str], most: int, expected: list[str]) -> None:
    assert openings(facts, [], most) == expected


def test_what_was_said_is_not_said_again() -> None:
    told = ["THE LIGHTHOUSE of Old Mere was built in 1802 by a guild, I think."]
    assert openings([LIGHTHOUSE], told, 3) == []
    assert openings([LIGHTHOUSE], ["Tell me of the lighthouse."], 1) != []


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=200), max_size=4), st.integers(0, 8))
def test_each_is_the_start_of_a_sentence(facts: list[str], most: int) -> None:
    found = openings(facts, [], most)
    assert len(found) <= most
    assert len(set(found)) == len(found)
    whole = "".join("".join(facts).split())
    for text in found:
        assert len(text.split()) >= 2
        assert "".join(text.split()) in whole
        assert len(text.split()) <= max(SHARES) * max(len(fact.split()) for fact in facts)


def test_the_last_drafts_begin_with_them_and_the_first_as_without(tiny: Backbone) -> None:
    bank = AdapterBank(tiny, {})
    prompt = encode(tiny.tokenizer, [LIGHTHOUSE], ["Old Mere?"], positions=tiny.positions, reserve=30)

    def drafts(count: int) -> list[str]:
        decode = Decode(drafts=4, openings=count, max_tokens=30)
        asked = request(tiny.tokenizer, prompt, None, decode, 1, [LIGHTHOUSE], ["Old Mere?"])
        return [draft.text for draft in generate(tiny, bank, [asked])[0]]

    plain, opened = drafts(0), drafts(2)
    assert opened[:2] == plain[:2]
    assert [text.startswith(o) for text, o in zip(opened[2:], openings([LIGHTHOUSE], [], 2), strict=True)] == [True] * 2
    assert sum(text.startswith("The lighthouse") for text in drafts(32)) == 3, "the first is always free"
    assert not any(text.startswith("The lighthouse") for text in plain)
