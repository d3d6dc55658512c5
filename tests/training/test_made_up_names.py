"""Made-up names: what the reply took from the facts is replaced everywhere alike, all else stays."""

from __future__ import annotations

import random
import re

from hypothesis import example, given
from hypothesis import strategies as st

from adapterbot.training.made_up_names import everyday_words, made_up_word, with_made_up_names

EVERYDAY = {"jazz", "is", "from", "where", "the", "it", "was", "born", "in", "city", "low", "of", "high"}


def swap(facts: list[str], utterances: list[str], seed: int = 0) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return with_made_up_names(facts, utterances, [len(utterances) - 1], EVERYDAY.__contains__, random.Random(seed))


def test_a_name_is_replaced_in_facts_and_reply_alike_and_keeps_its_capital() -> None:
    facts, said = swap(["Jazz was born in New Orleans."], ["where is jazz from", "It was born in New Orleans."])
    name = re.fullmatch(r"Jazz was born in (\w+ \w+)\.", facts[0])
    assert name
    assert name[1] != "New Orleans"
    assert name[1].istitle()
    assert said == ("where is jazz from", f"It was born in {name[1]}.")


def test_a_rare_word_in_lower_case_is_a_name_too() -> None:
    facts, said = swap(["location: fresno, low of 40F"], ["weather?", "the low in fresno is 40F"])
    assert "fresno" not in facts[0] + said[1]
    place = re.match(r"location: (\w+), low of (\d\d)F", facts[0])
    assert place
    assert said[1] == f"the low in {place[1]} is {place[2]}F"


def test_marks_inside_a_name_and_a_possessive_stay() -> None:
    facts, said = swap(["Ann O'Brien met JEAN-LUC."], ["who", "It was O'Brien and Jean-Luc. Quellmar's it was"])
    names = re.fullmatch(r"Ann O'([A-Z][a-z]+) met ([A-Z]+-[A-Z]+)\.", facts[0])
    assert names
    assert "Brien" not in facts[0]
    assert said[1] == f"It was O'{names[1]} and {names[2].title()}. Quellmar's it was"
    (fact,), (*_, told) = swap(["It is Quellmar's."], ["whose", "That is Quellmar's."])
    name = re.fullmatch(r"It is (\w+)'s\.", fact)
    assert name
    assert name[1] != "Quellmar"
    assert told == f"That is {name[1]}'s."


def test_everyday_words_stay_even_when_a_sentence_begins_with_them() -> None:
    assert swap(["Jazz is from the city."], ["hm", "Jazz is it."]) == (
        ("Jazz is from the city.",),
        ("hm", "Jazz is it."),
    )


def test_a_name_that_only_the_facts_have_stays() -> None:
    assert swap(["Ella sang jazz."], ["who", "The city."])[0] == ("Ella sang jazz.",)


def test_the_same_draw_gives_the_same_names() -> None:
    one, other = (swap(["Lake Como"], ["?", "It is Lake Como"], seed) for seed in (3, 3))
    assert one == other
    assert swap(["Lake Como"], ["?", "It is Lake Como"], 4) != one


@given(
    st.integers(), st.lists(st.text(max_size=30), max_size=3), st.lists(st.text(max_size=30), min_size=1, max_size=3)
)
@example(0, ["A'A"], ["A'A"])
def test_any_text_keeps_its_shape(seed: int, facts: list[str], said: list[str]) -> None:
    new_facts, new_said = swap(facts, said, seed)
    assert (len(new_facts), len(new_said)) == (len(facts), len(said))
    for old, new in zip([*facts, *said], [*new_facts, *new_said], strict=True):
        assert re.sub(r"\w", "", old) == re.sub(r"\w", "", new)


def test_made_up_words_are_words_and_differ() -> None:
    words = [made_up_word(random.Random(i)) for i in range(300)]
    assert all(re.fullmatch(r"[a-z]{2,20}", word) for word in words)
    assert len(set(words)) > 250


def test_everyday_words_are_those_that_stand_often() -> None:
    known = everyday_words(["The Quellmar is deep.", "the sea", "THE END is near"], 2)
    assert [word for word in ("the", "is", "quellmar", "sea") if known(word)] == ["the", "is"]
