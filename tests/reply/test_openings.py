"""Drafts that begin with words of the facts: where a beginning may end, and that the draft has it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from drafts import generate
from evidence import facts
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.facts import Passage
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone
from adapterbot.reply.answer import Responder
from adapterbot.reply.openings import SHARES, openings
from adapterbot.spec.tables import SkillSpec
from adapterbot.turn import Decode

LIGHTHOUSE = "The lighthouse of Old Mere was built in 1802 by a guild of sailors who had lost a ship there."


GUILD = "The lighthouse of Old Mere was built in 1802 by a guild"


@pytest.mark.parametrize(
    ("lines", "most", "expected"),
    [
        ([LIGHTHOUSE], 1, [GUILD]),
        ([LIGHTHOUSE], 3, [GUILD, "The lighthouse of Old Mere was built in 1802", "The lighthouse"]),
        (["Moss spreads on wet stones. Ferns grow in the shade of walls."], 2, ["Moss spreads", "Ferns grow"]),
        (["It was painted by A. B. Moor in a barn that stood on the hill."], 1, ["It was painted by A. B. Moor"]),
        (["Salt , known for ages , keeps food from going bad in warm lands."], 1, ["Salt, known for ages, keeps food"]),
        (["Tide (film)\tdirected_by\tIda Holm"], 3, ["Tide was directed by Ida Holm"]),
        (["Tide (film)\tPosition(s)\tOld"], 3, ["The position of Tide is Old"]),
        (["Tide\tno_such_relation\tIda Holm"], 3, []),
        (["area: north, name: Quill Inn, phone: 01"], 3, ["Quill Inn"]),
        (["food: fish, name: Moor, Holm and Daughters, stars: 3"], 3, ["Moor, Holm and Daughters"]),
        (["nickname: Quill, area: north of the old town"], 3, []),
        (["Yes."], 3, []),
        ([], 3, []),
        ([LIGHTHOUSE], 0, []),
    ],
)
def test_they_end_where_a_phrase_ends(lines: list[str], most: int, expected: list[str]) -> None:
    assert openings(facts(lines), [], most) == expected


def test_what_was_said_is_not_said_again() -> None:
    told = ["THE LIGHTHOUSE of Old Mere was built in 1802 by a guild, I think."]
    assert openings(facts([LIGHTHOUSE]), told, 3) == []
    assert openings(facts([LIGHTHOUSE]), ["Tell me of the lighthouse."], 1) != []


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=200), max_size=4), st.integers(0, 8))
def test_each_is_the_start_of_a_sentence(lines: list[str], most: int) -> None:
    found = openings([Passage("", line) for line in lines], [], most)
    assert len(found) <= most
    assert len(set(found)) == len(found)
    whole = "".join("".join(lines).split())
    for text in found:
        assert len(text.split()) >= 2
        assert "".join(text.split()) in whole
        assert len(text.split()) <= max(SHARES) * max(len(line.split()) for line in lines)


def test_the_last_drafts_begin_with_them_and_the_first_as_without(tiny: Backbone, home: Home) -> None:
    responder = Responder(tiny, AdapterBank(tiny))
    spec = SkillSpec(name="teller", folder=home.root, summary="s", group="knowledge")
    history = History().add_user("Old Mere?")

    def drafts(count: int) -> list[str]:
        settings = Decode(drafts=4, openings=count, max_tokens=30, seed=1)
        turn = responder.prepare(spec, history, facts([LIGHTHOUSE]), settings)
        return [draft.text for draft in generate(tiny, responder.bank, [replace(turn.request, agree=0)])[0]]

    plain, opened = drafts(0), drafts(2)
    assert opened[:2] == plain[:2]
    begun = openings(facts([LIGHTHOUSE]), [], 2)
    assert [text.startswith(start) for text, start in zip(opened[2:], begun, strict=True)] == [True] * 2
    assert sum(text.startswith("The lighthouse") for text in drafts(32)) == 3, "the first is always free"
