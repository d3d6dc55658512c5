"""Drafts are ranked by what they are, not by luck."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from evidence import evidence
from evidence import texts as split
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.language.text import Text
from adapterbot.language.words import word_f1
from adapterbot.reply.faithfulness import invented
from adapterbot.reply.rerank import FREE, INVENTED, NAMED, QUOTED, REPETITION, TOLD, best_first, rank, tidied
from adapterbot.turn import Draft

DRAFTS = st.lists(
    st.builds(Draft, st.text(max_size=30), st.floats(-20, 0), st.integers(0, 50), st.booleans()), min_size=1, max_size=8
)


def texts(*drafts: Draft) -> list[str]:
    return [d.text for d in rank(drafts)]


def test_the_likelier_draft_comes_first() -> None:
    assert texts(Draft("so so", -2.0), Draft("good one", -1.0)) == ["good one", "so so"]


def test_a_draft_that_was_cut_off_loses() -> None:
    assert texts(Draft("I was about to", -1.0, finished=False), Draft("I was there.", -1.9)) == [
        "I was there.",
        "I was about to",
    ]
    ranked = rank([Draft("I was about to", -0.1, finished=False), Draft("I was there.", -9.0)], [0.0, -9.0])
    assert [d.text for d in ranked] == ["I was there.", "I was about to"]  # however likely or fitting it is


def test_repetition_costs() -> None:
    parrot = Draft("No I do no I do no I do.", -0.5)
    assert texts(parrot, Draft("No I do not.", -1.0)) == ["No I do not.", parrot.text]
    assert rank([parrot])[0].score == -0.5 - REPETITION * (1 - 3 / 8)


def test_a_draft_without_a_word_goes_last() -> None:
    assert texts(Draft("", -0.1), Draft("?!", 0.0), Draft("yes", -9.0, finished=False)) == ["yes", "?!", ""]


def test_what_was_said_before_is_not_said_again() -> None:
    again, fresh = Draft("Oh no! I am sorry!", -0.5), Draft("What happened? I see.", -1.5)
    assert best_first([again, fresh], ["My cat is ill."], None)[0].text == again.text
    assert best_first([again, fresh], ["My cat is ill.", "I am sorry.", "I see."], None)[0].text == fresh.text


@pytest.mark.parametrize(
    ("asks", "message", "back"),
    [
        ("Congrats, did you pass?", "I finally passed my driving test!", True),
        ("Are you nervous?", "I'm really nervous about tomorrow.", True),
        ("Oh no! Did he get it?", "I got a ticket.", False),  # no word that says what
        ("Did you take it in Oslo?", "I finally passed my driving test!", False),
        ("What kind of test was it?", "I finally passed my driving test!", False),  # may be answered by more
        ("Are you nervous?", "I have an exam.", False),
        ("Did he find a job?", "My friend is finding it hard to get a job.", False),
        ("Do you have any pets?", "I like pets.", False),  # is news
    ],
)
def test_what_was_just_told_is_not_asked(asks: str, message: str, back: bool) -> None:
    question, other = Draft(asks, -0.5), Draft("I see, I see.", -0.9)
    assert best_first([question, other], [message], None)[0].text == (other.text if back else asks)


def test_that_nothing_was_found_is_said_in_the_likeliest_words() -> None:
    class Chatty:
        def relevance(self, utterances: Sequence[str], replies: Sequence[str]) -> list[float]:
            return [-9.0, -0.1]

    plain, odd = Draft("I have no forecast for that day.", -0.5), Draft("I have no forecast of umbrellas.", -0.9)
    nothing, rain = evidence("forecast: not available", strict=True), evidence("It rains.")
    assert best_first([plain, odd], ["Will it rain?"], Chatty(), nothing)[0].text == plain.text
    assert best_first([plain, odd], ["Will it rain?"], Chatty(), rain)[0].text == odd.text
    twice = Draft("I have no forecast for the forecast.", -0.2)
    assert best_first([twice, plain], ["Will it rain?"], Chatty(), nothing)[0].text == plain.text
    assert best_first([twice, plain], ["Will it rain?"], None, rain)[0].text == twice.text


def test_ties_keep_their_order_and_one_draft_is_fine() -> None:
    same = [Draft("yes", -1.0, tokens=i) for i in range(4)]
    assert [d.tokens for d in rank(same)] == [0, 1, 2, 3]
    assert texts(Draft("", -5.0, finished=False)) == [""]


def test_names_and_numbers_that_nothing_supports_are_found() -> None:
    facts = ["The Quellmar is 240 km long.", "location: oslo, monday: dry, low of 12F"]
    assert invented(Text("Well, the Quellmar is 240 km long, in Oslo and 12F."), split(facts)) == []
    assert invented(Text("It is the Danube, 99 km long. I like it!"), split(facts)) == ["Danube", "99"]
    assert invented(Text("Danube. What a river! Is it Ruritania's?"), split(facts)) == ["Ruritania"]
    assert invented(Text("I'd say it's dry, I think."), ()) == []


def test_a_draft_that_invents_goes_back() -> None:
    made = [Draft("It is in Rome.", -0.5), Draft("It is in Oslo.", -1.0)]
    assert best_first(made, ["Where is it?"], None)[0].text == "It is in Rome."
    ranked = best_first(made, ["Where is it?"], None, evidence("place: oslo"))
    assert [d.text for d in ranked] == ["It is in Oslo.", "It is in Rome."]
    assert ranked[1].score == -0.5 - INVENTED


def test_a_draft_that_tells_a_new_name_of_the_best_fact_comes_forward() -> None:
    made = [Draft("It was Anna Lund.", -0.4), Draft("It was Ida Holm.", -0.5)]
    facts = ("Tide\tdirected_by\tIda Holm", "Tide\tstarred_actors\tAnna Lund")
    ranked = best_first(made, ["Who directed Tide?"], None, evidence(*facts))
    assert [d.text for d in ranked] == ["It was Ida Holm.", "It was Anna Lund."]
    assert ranked[0].score - ranked[1].score == pytest.approx(NAMED - 0.1)
    said_before = best_first(made, ["Who directed Tide, Ida Holm?"], None, evidence(*facts))
    assert said_before[0].text == "It was Anna Lund.", "it is no news"


def test_a_draft_that_tells_more_comes_forward_but_no_quotation() -> None:
    fact = "The old mill by the river grinds rye and oats for nine farms every autumn"
    little, more = Draft("It is a mill.", -0.5), Draft("It grinds rye and oats.", -0.5)
    assert best_first([little, more], ["What is it?"], None, evidence(fact))[0].text == more.text
    (half, whole), rows = (
        [Draft(" ".join(fact.split()[:n]) + ".", -0.5) for n in (7, 15)],
        evidence(fact, strict=True),
    )
    scores = {d.text: d.score for d in best_first([half, whole], ["What is it?"], None, evidence(fact))}
    told = {text: TOLD * word_f1(text, fact) for text in scores}
    assert scores[half.text] == pytest.approx(told[half.text] - 0.5), "a third of it is free"
    assert scores[whole.text] == pytest.approx(told[whole.text] - 0.5 - QUOTED * (1 - FREE))
    assert {d.score for d in best_first([half, whole], ["What is it?"], None, rows)} == {-0.5}, "rows are told in words"


@given(DRAFTS)
def test_no_draft_is_lost_or_changed(drafts: list[Draft]) -> None:
    ranked = rank(drafts)
    key = sorted((d.text, d.logprob, d.tokens, d.finished) for d in drafts)
    assert sorted((d.text, d.logprob, d.tokens, d.finished) for d in ranked) == key
    assert [d.text for d in rank(ranked)] == [d.text for d in ranked], "ranking again changes nothing"


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
    assert [d.text for d in best_first(drafts, [""], None)] == [
        tidy,
        tidied(text, whole=False),
    ], "a cut-off draft has no end to mark"
    assert tidied(text, whole=False).rstrip(".") == tidy.rstrip(".")
    assert best_first(drafts[:1], [""], None)[0].text == text, "a single one is shown while it grows"
