"""A reply may tell of a passage what it says, in other words, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from evidence import evidence, ranked, texts
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.language.text import Text
from adapterbot.reply import faithfulness, rerank
from adapterbot.reply.features import Situation
from adapterbot.reply.grounding import ELSE, NO_FACT, Evidence
from adapterbot.turn import Draft

BROME = "The Brome is a long river in Tarland. Its only bridge, of iron, was built in 1742 by Ida Holm."
ROW = "name: Brome, area: north"


def strayed(reply: str, sources: Sequence[str]) -> float:
    return faithfulness.strayed(Text(reply), texts(sources))


def mixed(reply: str, lines: Sequence[str]) -> list[str]:
    return faithfulness.mixed(Text(reply), evidence(*lines).passages)


def misplaced(reply: str, lines: Sequence[str]) -> list[str]:
    return faithfulness.misplaced(Text(reply), evidence(*lines).passages)


def turned(reply: str, lines: Sequence[str]) -> list[str]:
    return faithfulness.turned(Text(reply), evidence(*lines).passages)


def quotable(read: Evidence, said: Sequence[str]) -> list[str]:
    return rerank.quotable(Situation(tuple(said), "knowledge", read))


def faithful(reply: str, lines: Sequence[str], said: Sequence[str]) -> bool:
    read = evidence(*lines)
    return faithfulness.faithful(Text(reply), read.lines, read.passages, texts(said))


def test_what_the_sources_lack_has_strayed() -> None:
    assert strayed("The Brome is a long river.", [BROME]) == 0.0
    assert strayed("Rivers of Tarland are long.", [BROME]) == 0.0, "river and rivers begin alike"
    assert strayed("The Brome is full of crocodiles.", [BROME]) == pytest.approx(2 / 3)
    assert strayed("The Brome is full of crocodiles.", [BROME, "Is it full of crocodiles?"]) == 0.0
    assert strayed("It is!", [BROME]) == strayed("", []) == 0.0, "no content word at all"


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("Its bridge is a long river in Ida Holm.", ["Ida", "Holm"]),
        ("It is a long river in Tarland from 1742.", ["1742"]),
        ("The only bridge in Tarland was built by Ida Holm.", ["Tarland"]),
        ("The Brome's only bridge was built in 1742.", []),  # the passage is about the Brome
        ("The Brome is a long river in Tarland. Ida Holm built its only bridge.", []),
        ("I like Ida Holm.", []),  # tells no sentence
        ("", []),
    ],
)
def test_words_of_another_sentence_are_mixed_in(reply: str, found: list[str]) -> None:
    assert mixed(reply, [BROME]) == found
    assert mixed(reply, [BROME.split(". ")[0] + "."]) == [], "one sentence has no other"
    assert mixed(reply, ["Brome\tlies_in\tTarland", ROW]) == [], "triples and rows are no sentences"


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("It is 1742 long.", ["1742"]),
        ("1742.", ["1742"]),
        ("It was built in 1742.", []),
        ("It dates from 1742.", []),  # one preposition is as good as another
        ("1742 by Ida.", []),
        ("It is 99 long.", []),  # in no fact: `invented` finds it
        ("It is 1742 long, built in 1742.", ["1742"]),
    ],
)
def test_a_number_keeps_the_word_before_or_after_it(reply: str, found: list[str]) -> None:
    assert misplaced(reply, [BROME]) == found
    assert misplaced(reply, [ROW + ", year: 1742"]) == []
    assert misplaced(reply, ["(1742)"]) == [], "no word stands beside it"


@pytest.mark.parametrize(
    ("reply", "wrong"),
    [
        ("The hole is so dense that light can escape.", True),
        ("The hole is so dense that not only light can escape.", True),
        ("The hole is so dense that no light can escape.", False),
        ("The hole is so dense.", False),  # leaves it out
        ("It bends space around it.", False),
        ("It does not bend space around it.", True),
        ("I like light.", False),  # tells no sentence
    ],
)
def test_what_a_passage_denies_is_not_said(reply: str, wrong: bool) -> None:
    fact = "The hole is so dense that not even light can escape. It bends space around it."
    assert turned(reply, [fact]) == [reply] * wrong


def test_names_and_numbers_that_nothing_supports_are_found() -> None:
    facts = ["The Quellmar is 240 km long.", "location: oslo, monday: dry, low of 12F"]
    assert faithfulness.invented(Text("Well, the Quellmar is 240 km long, in Oslo and 12F."), texts(facts)) == []
    assert faithfulness.invented(Text("It is the Danube, 99 km long. I like it!"), texts(facts)) == ["Danube", "99"]
    assert faithfulness.invented(Text("Danube. What a river! Is it Ruritania's?"), texts(facts)) == ["Ruritania"]
    assert faithfulness.invented(Text("I'd say it's dry, I think."), ()) == []


def test_names_that_triples_lack_give_way() -> None:
    drafts = [Draft("It was directed by Anna Lund.", -0.1), Draft("It was directed by Ida Holm.", -0.9)]
    graph = evidence("Tide\tdirected_by\tIda Holm", is_read=True)
    assert ranked(drafts, ["Who directed Tide?"], graph)[0].text == drafts[1].text
    assert ranked(drafts[:1] * 2, ["Who directed Tide?"], graph)[0].text == drafts[0].text, "where there is no other"


def test_faithful_is_all_of_it() -> None:
    assert faithful("The Brome is a long river.", [BROME], [])
    assert not faithful("The Brome is a long river in Rome.", [BROME], []), "invented"
    assert faithful("The Brome is a long river in Rome.", [BROME], ["Is it in Rome?"])
    assert not faithful("Its only bridge was built in 1742 by Tarland.", [BROME], []), "mixed"
    assert not faithful("Its only bridge is 1742.", [BROME], []), "misplaced"
    assert not faithful("The Brome is not a long river.", [BROME], []), "turned"
    assert not faithful("The Brome is a muddy, poisonous, haunted, endless river.", [BROME], []), "strayed"
    assert not faithful("I know!", [BROME], []), "tells nothing"


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=3))
def test_any_text_can_be_looked_at(reply: str, facts: list[str]) -> None:
    assert 0.0 <= strayed(reply, facts) <= 1.0
    assert all(value.lower() in reply.lower() for value in mixed(reply, facts) + misplaced(reply, facts))
    assert strayed(reply, [reply]) == 0.0


def test_what_can_be_quoted_is_every_sentence_that_was_read_and_is_news() -> None:
    first, second = BROME.split(". ")[0] + ".", BROME.split(". ")[1]
    read = evidence(BROME, is_read=True)
    assert quotable(read, []) == [first, second]
    assert quotable(read, [f"Well. {first}"]) == [second]
    assert quotable(read, [first, second]) == quotable(evidence(is_read=True), []) == []
    assert quotable(evidence("Mills , too , grind .", is_read=True), []) == ["Mills, too, grind."]
    assert quotable(evidence(ROW, is_read=True), []) == [], "a row is no sentence"
    assert quotable(evidence(BROME), []) == [], "who need not read need not quote"


def test_the_sentence_that_fits_best_is_read_out() -> None:
    class Last:
        def relevance(self, utterances: Sequence[str], replies: Sequence[str]) -> list[float]:
            return [float(i) for i in range(len(replies))]

    wrong = [Draft("The bridge is 1742.", -0.1), Draft("Its bridge was built by Tarland.", -0.1)]
    read = evidence(BROME, is_read=True)
    assert ranked(wrong, ["Well?"], read)[0].text == "The Brome is a long river in Tarland."
    assert ranked(wrong, ["Well?"], read, ranker=Last())[0].text.startswith("Its only bridge, of iron")


def test_unfaithful_drafts_give_way_to_a_faithful_one_then_to_the_passage() -> None:
    wrong, right = Draft("Its only bridge was built by Tarland.", -0.1), Draft("It's a river in Tarland.", -0.5)
    asked = ["What is the Brome?"]
    read = evidence(BROME, is_read=True)
    assert ranked([wrong, right], asked, read)[0].text == right.text
    chosen = ranked([wrong, Draft("Well, the bridge is 1742.", -0.2)], asked, read)
    assert chosen[0].text == "The Brome is a long river in Tarland."
    assert [d.text for d in chosen[1:]] == [wrong.text, "Well, the bridge is 1742."], "no draft is lost"
    again = ranked([wrong, wrong], [*asked, chosen[0].text, "Go on."], read)
    assert again[0].text == "Its only bridge, of iron, was built in 1742 by Ida Holm."
    everything = [*asked, *BROME.replace("land. ", "land.\n").split("\n"), "Go on."]
    assert ranked([wrong, wrong], everything, read)[0].text == wrong.text, "all was said before"
    assert ranked([wrong], asked, read)[0].text == wrong.text, "a single one is shown while it grows"


def test_who_asks_is_told_that_nothing_was_read() -> None:
    nothing = evidence(is_read=True)
    made_up, honest = Draft("He was a rapper.", -0.1), Draft("I don't know him.", -2.0)
    assert ranked([made_up, honest], ["Who was Ida Holm?"], nothing)[0].text == honest.text
    but = Draft("I don't know, but there are 12.", -0.1)
    assert ranked([made_up, but], ["Who was Ida Holm?"], nothing)[0].text == NO_FACT
    assert ranked([made_up, honest], ["I like Ida Holm."], nothing)[0].text == made_up.text, "no question"
    graph = evidence("graph: nothing found", is_read=True)
    assert ranked([made_up, made_up], ["Who was Ida Holm?"], graph)[0].text == ELSE[1]
    assert ranked([made_up, honest], ["Who was Ida Holm?"], graph)[0].text == honest.text


def test_what_was_said_already_gives_way_to_news() -> None:
    again = Draft("The Brome is a long river.", -0.1)
    read = evidence(BROME, is_read=True)
    asked = ["What is it?", again.text, "Is it deep?"]
    assert ranked([again, again], asked[:1], read)[0].text == again.text
    assert ranked([again, again], asked, read)[0].text == "The Brome is a long river in Tarland."
    short = evidence("Long river, Brome.", is_read=True)
    assert ranked([Draft("Long river.", -0.1)] * 2, ["What is it?"], short)[0].text == "Long river."
