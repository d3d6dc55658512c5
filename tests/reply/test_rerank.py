"""Drafts are ranked by what they are, not by luck."""

from __future__ import annotations

from typing import Any

import pytest
from evidence import ranked
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.reply.features import Situation
from adapterbot.reply.rerank import by_score, tidied
from adapterbot.turn import Draft

NOTHING = Situation((), "style")
DRAFTS = st.lists(
    st.builds(Draft, st.text(max_size=30), st.floats(-20, 0), st.integers(0, 50), st.booleans(), st.floats(-9, 9)),
    min_size=1,
    max_size=8,
)


def texts(*drafts: Draft, **weights: Any) -> list[str]:
    return [d.text for d in ranked(drafts, ["Well?"], **weights)]


def test_the_likelier_draft_comes_first_where_nothing_was_learnt() -> None:
    assert texts(Draft("So so.", -2.0), Draft("Good one.", -1.0)) == ["Good one.", "So so."]


def test_the_weights_decide() -> None:
    short, long = Draft("Good one.", -1.0), Draft("It was a good one, I think.", -2.0)
    assert texts(short, long, likelihood=1.0, length=0.1) == [short.text, long.text]
    assert texts(short, long, likelihood=0.1, length=1.0) == [long.text, short.text]


def test_a_draft_that_was_cut_off_loses() -> None:
    cut, whole = Draft("I was about to", -0.1, finished=False), Draft("I was there.", -9.0)
    assert texts(cut, whole) == [whole.text, cut.text], "however likely it is"


def test_a_draft_without_a_word_goes_last() -> None:
    assert texts(Draft("", -0.1), Draft("?!", 0.0), Draft("yes", -9.0, finished=False)) == ["Yes", "?!", ""]


def test_what_was_said_before_is_not_said_again() -> None:
    again, fresh = Draft("Oh no! I am so sorry.", -0.5), Draft("What happened? I see.", -1.5)
    said = ["My cat is ill.", "I am so sorry.", "I see."]
    assert ranked([again, fresh], said[:1])[0].text == again.text
    assert ranked([again, fresh], said)[0].text == fresh.text, "short ones may be said again"


def test_ties_keep_their_order_and_one_draft_is_fine() -> None:
    same = [Draft("yes", -1.0, tokens=i) for i in range(4)]
    assert [d.tokens for d in by_score(same, NOTHING)] == [0, 1, 2, 3]
    assert texts(Draft("", -5.0, finished=False)) == [""]


@given(DRAFTS)
def test_no_draft_is_lost_or_changed(drafts: list[Draft]) -> None:
    ordered = by_score(drafts, NOTHING)
    key = sorted((d.text, d.logprob, d.tokens, d.finished) for d in drafts)
    assert sorted((d.text, d.logprob, d.tokens, d.finished) for d in ordered) == key
    assert [d.text for d in by_score(ordered, NOTHING)] == [d.text for d in ordered], "ranking again changes nothing"


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("it was in the 1950s", "It was in the 1950s."),
        (", Rome has it! ", "Rome has it!"),
        ("Do you?", "Do you?"),
        ('He said "no"', 'He said "no"'),
        ("oh no! i'm sorry. what happened?", "Oh no! I'm sorry. What happened?"),
        ("At 7 p.m. on Monday, i.e. late.", "At 7 p.m. on Monday, i.e. late."),
        ("...", "..."),
        ("", ""),
    ],
)
def test_sentences_begin_with_a_capital_and_the_last_ends_with_a_mark(text: str, tidy: str) -> None:
    assert tidied(text) == tidy
    drafts = [Draft(text, -0.1), Draft(text, -0.2, finished=False)]
    assert [d.text for d in ranked(drafts, [""])] == [
        tidy,
        tidied(text, whole=False),
    ], "a cut-off draft has no end to mark"
    assert tidied(text, whole=False).rstrip(".") == tidy.rstrip(".")
    assert ranked(drafts[:1], [""])[0].text == text, "a single one is shown while it grows"
