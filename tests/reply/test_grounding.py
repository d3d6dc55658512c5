"""What a grounded reply may say: no number, name, time or place that its facts lack."""

from __future__ import annotations

import pytest
from evidence import against, evidence, facts, ranked, texts
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.language.text import Text
from adapterbot.language.values import unsupported
from adapterbot.reply.faithfulness import invented
from adapterbot.reply.grounding import NO_FACT, VERDICTS, read_out, told
from adapterbot.turn import Draft

ROW = "name: Golden Fig, area: centre, food: turkish, phone: 555-0187, pricerange: cheap"
ASKED = ["I want something Turkish for two people."]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Golden Fig is a cheap Turkish place in the center. Call 555-0187.", []),
        ("Table for 2 at Golden Fig?", []),
        ("The Silver Fig is in the north. It costs 20 pounds.", ["Silver", "north", "20"]),
        ("Seven people like it on Monday.", ["Seven", "Monday"]),
        ("It has twenty-one tables, twenty of them for sixteen.", ["twenty-one", "twenty", "sixteen"]),
        ("Table for two, or thirty-two?", ["thirty-two"]),
        ("One of them is the Golden Fig, I think.", []),
    ],
)
def test_values_that_nothing_supports_are_found(text: str, found: list[str]) -> None:
    assert unsupported(text, [ROW], ASKED) == found


def test_words_for_one_thing_support_each_other() -> None:
    assert unsupported("It will be raining, with a drizzle.", ["monday: rain"]) == []
    assert unsupported("It will snow.", ["monday: rain"]) == ["snow"]
    assert unsupported("Sixteen pounds, and Twenty-one for both.", ["fee: 16 pounds, both: 21"]) == []
    assert unsupported("It takes 45 minutes.", ["duration: forty-five minutes"]) == []


@given(st.lists(st.sampled_from(ROW.replace(",", "").replace(":", "").split())))
def test_what_is_copied_is_supported(words: list[str]) -> None:
    assert unsupported(" ".join(words), [ROW]) == []


@given(st.text(max_size=80), st.lists(st.text(max_size=40), max_size=3))
def test_what_is_invented_is_unsupported_too(text: str, facts: list[str]) -> None:
    assert set(invented(Text(text), texts(facts))) <= set(unsupported(text, facts)) | {w for w in ("two",) if w in text}


@pytest.mark.parametrize("lines", [[ROW], ["forecast: not available"], ["Plain words about a fig."], [], ["a\nb: c"]])
def test_facts_that_are_read_out_hold_nothing_else(lines: list[str]) -> None:
    told = read_out(facts(lines))
    assert (told == NO_FACT) == (not lines)
    assert unsupported(told, lines) == []


def test_a_strict_skill_never_shows_an_unsupported_value() -> None:
    made = [Draft("Try the Silver Fig in the north.", -0.1), Draft("The Golden Fig is cheap.", -3.0)]
    loose = evidence(ROW)
    strict = evidence(ROW, strict=True)
    assert ranked(made, ASKED, strict)[0].text == "The Golden Fig is cheap."
    only = ranked(made[:1], ASKED, strict)
    assert unsupported(only[0].text, [ROW]) == []
    assert "Golden Fig" in only[0].text
    assert only[1].text == made[0].text, "the draft is still there to be looked at"
    assert ranked(made[:1], ASKED, loose)[0].text == made[0].text


def test_values_of_one_row_do_not_support_another() -> None:
    rows = (
        "poi: Tea Shed, address: 700 Elm Drive",
        "poi: Bean Harbor, address: 296 Finch Lane",
        "restaurant: 40 found",
    )
    kept = evidence(*rows, strict=True)
    assert against(kept, "The Tea Shed is at 700 Elm Drive.", ()) == []
    assert against(kept, "The Tea Shed is at 296 Finch Lane.", ()) == ["296", "Finch", "Lane"]
    assert against(kept, "Tea Shed is at 700 Elm Drive, Bean Harbor at 296 Finch Lane.", ()) == []
    assert against(kept, "It is at 296 Elm Drive.", ()) != []
    assert against(kept, "It is at 296 Finch Lane, one of 40.", ()) == []


GARLIC = "Garlic is healthy.  There is no evidence that it protects anybody."


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        (["verdict: contradicted", GARLIC], f"What I have read contradicts that. {GARLIC}"),
        ([f"verdict: supported\n{GARLIC}"], f"What I have read supports that. {GARLIC}"),
        ([f"verdict: not known\n{GARLIC}"], f"{VERDICTS['not known']} {GARLIC}"),
        (["verdict: not known"], "I have read nothing about that, so I cannot say whether it is so."),
        (["verdict: supported"], "What I have read supports that."),
        ([GARLIC], ""),
        ([], ""),
    ],
)
def test_a_verdict_is_told_with_its_whole_evidence(lines: list[str], reply: str) -> None:
    assert told(facts(lines)) == reply


ROWS = ("address: 52 Tannery Lane, area: south, name: Rivermead Park", "address: 7 Weir, area: south, name: Weir Green")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("There are 52 parks in the south.", ["52"]),
        ("There are seven parks in the south.", ["seven"]),
        ("There are two parks in the south.", []),
        ("There are 2 parks in the south.", []),
        ("I have 7 of them.", ["7"]),
        ("Rivermead Park is at 52 Tannery Lane.", []),
        ("I found 4 places for you.", []),  # the user's own number
    ],
)
def test_a_count_is_that_of_the_rows(text: str, wrong: list[str]) -> None:
    assert against(evidence(*ROWS, strict=True), text, ["parks in the south for 4 people"]) == wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Try the Rivermead Green.", ["Rivermead Green"]),
        ("Try the Rivermead Park.", []),
        ("Try Weir Green on Weir Street.", ["Weir Street"]),
        ("In the South Rivermead Park is the best.", []),
        ("Your friend Ada Stone may go to Rivermead Park, Weir Green or both.", []),
    ],
)
def test_a_name_of_two_words_is_not_put_together(text: str, wrong: list[str]) -> None:
    said = ["a park in the south for Ada Stone, not in Market Street"]
    assert against(evidence(*ROWS, strict=True), text, said) == wrong


def test_the_hour_of_a_time_is_no_number_of_its_own() -> None:
    facts = ["trainID: TR168, leaveAt: 06:15, arriveBy: 09:45"]
    assert unsupported("There are 06 trains.", facts) == ["06"]
    assert unsupported("It leaves at 06:15 and arrives at 9:45.", facts) == []
    assert unsupported("It leaves at 06:45.", facts) == ["06:45"]


def test_how_many_were_found_is_no_time_and_no_price() -> None:
    kept = evidence("train: 168 found", strict=True)
    assert against(kept, "There are 168 trains. Where do you leave from?", []) == []
    assert against(kept, "The next train leaves at 168.", []) == ["168"]
    assert against(kept, "There are 12 trains.", []) == ["12"]
    assert "168" in read_out(kept.facts)
    assert against(kept, read_out(kept.facts), []) == []


@pytest.mark.parametrize(
    ("fact", "text", "wrong"),
    [
        ("hotel: none", "There is nothing like that in the west.", []),
        ("hotel: none", "There are no hotels in the west.", ["no"]),
        ("hotel: none", "How about the Blue Door?", ["no"]),
        ("hotel: none", "I see nothing like that, but there are 12 in the north.", ["but there are", "12"]),
        ("hotel: none", "Sorry, but there are none.", []),
        ("forecast: not available", "I do not have a forecast for Bergen.", ["Bergen"]),
        ("forecast: not available", "I don't have a forecast for Oslo.", []),
        ("forecast: not available", "I'm afraid not. I have no forecast.", ["afraid not"]),
        ("forecast: not available", "No, I have no forecast.", ["No,"]),
        ("forecast: not available", "No forecast, I'm afraid.", []),
        ("forecast: not available", "I don't know, but I can't tell you.", ["no"]),
        ("forecast: not available", "I have no forecast for the forecast.", ["forecast"]),
        ("calendar: no such event", "You have a meeting.", ["no"]),
    ],
)
def test_when_nothing_was_found_a_reply_has_to_say_so(fact: str, text: str, wrong: list[str]) -> None:
    kept = evidence(fact, strict=True)
    assert against(kept, text, ["Tell me of Bergen.", "Something in the west or in Oslo?"]) == wrong
    assert against(kept, read_out(facts([fact])), [""]) == []


def test_a_skill_that_is_not_strict_may_talk_on_when_nothing_was_found() -> None:
    assert against(evidence("graph: nothing found"), "What do you like to read?", [""]) == []
