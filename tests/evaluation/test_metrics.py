"""Measures over texts: against values worked out by hand, and what no constant and no copy can get."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterbot.errors import MissingPartError
from adapterbot.evaluation.metrics import (
    AMONG,
    CANDIDATES,
    Prediction,
    best_constant,
    bleu,
    distinct,
    first_of_twenty,
    in_groups,
    interval,
    measures,
    require_libraries,
    rouge_l,
    spread,
    yardsticks,
)
from adapterbot.language.words import copied, word_f1, words

TOPICS = (
    "beekeeping honey",
    "chess openings",
    "night trains",
    "sourdough bread",
    "old maps",
    "sea kayaks",
    "folk violins",
    "lighthouse keepers",
    "rock climbing",
    "paper kites",
    "wild mushrooms",
    "stamp albums",
    "tide pools",
    "clay pots",
    "desert lizards",
    "harbour cranes",
    "school choirs",
    "apple orchards",
    "city foxes",
    "snow shoes",
    "puppet plays",
    "canal boats",
    "glass beads",
)
PATIENT = settings(deadline=None)  # the machine may be busy
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def answered(reply: str, reference: str = "Fine.", **rest: object) -> Prediction:
    return replace(Prediction(0, (), ("How are you?",), reference, reply), **rest)  # type: ignore[arg-type]


def exchanges(count: int = len(TOPICS)) -> list[Prediction]:
    """One per dialogue, each about something else; the reply names the topic."""
    return [
        answered(f"Tell me more of {topic}.", f"What is it with {topic}?", dialogue=i, utterances=(f"I love {topic}!",))
        for i, topic in enumerate(TOPICS[:count])
    ]


def test_words_are_normalised_as_parlai_does() -> None:
    assert words("The cat, an owl & a DOG's toy!") == ["cat", "owl", "dog", "s", "toy"]
    assert words("") == []


@pytest.mark.parametrize(
    ("answer", "reference", "wanted"),
    [
        ("the cat sat", "a cat sat", 1.0),
        ("cat", "dog", 0.0),
        ("", "dog", 0.0),
        ("", "", 0.0),
        ("cat cat", "cat", 2 * 1 / 3),
        ("one two three", "two three four five", 2 * 2 / 7),
    ],
)
def test_word_f1(answer: str, reference: str, wanted: float) -> None:
    assert word_f1(answer, reference) == pytest.approx(wanted)
    assert word_f1(reference, answer) == pytest.approx(wanted)


@PATIENT
@given(TEXTS, TEXTS)
def test_f1_and_rouge_stay_between_0_and_1_and_order_can_only_cost(one: str, other: str) -> None:
    for measure in (word_f1, rouge_l):
        assert 0 <= measure(one, other) <= 1
        assert measure(one, other) == pytest.approx(measure(other, one))
    assert word_f1(one, one) == (1.0 if words(one) else 0.0)
    assert rouge_l(one, one) in (0.0, 1.0)


@pytest.mark.parametrize(
    ("answer", "reference", "wanted"),
    [
        ("The cat sat down.", "the cat sat DOWN", 1.0),
        ("down sat cat", "cat sat down", 2 * 1 / 6),
        ("we all went home late", "they went straight home", 2 * 2 / 9),
        ("", "dog", 0.0),
        ("", "", 0.0),
    ],
)
def test_rouge_l_is_that_of_the_longest_common_subsequence(answer: str, reference: str, wanted: float) -> None:
    assert rouge_l(answer, reference) == pytest.approx(wanted)


def test_distinct() -> None:
    assert distinct(["go go go"], 1) == pytest.approx(1 / 3)
    assert distinct(["go go go"], 2) == pytest.approx(1 / 2)
    assert distinct(["one two", "two one"], 2) == 1.0
    assert distinct(["one"], 2) == 0.0
    assert distinct([], 1) == 0.0


def test_bleu_is_that_of_sacrebleu_and_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "the quick brown fox jumps over the lazy dog"
    assert bleu([text], [text]) == pytest.approx(100)
    assert bleu(["nothing in common here at all"], [text]) < 5
    require_libraries()
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingPartError, match=r"BLEU needs sacrebleu: pip install 'adapterbot\[train\]'"):
        bleu(["a"], ["a"])
    monkeypatch.setitem(sys.modules, "sklearn.pipeline", None)
    with pytest.raises(MissingPartError, match="relevance needs scikit-learn"):
        measures(exchanges(), grounded=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "sklearn" else name)
    with pytest.raises(MissingPartError, match="relevance needs scikit-learn"):
        require_libraries()


@pytest.mark.parametrize(
    ("reply", "facts", "wanted"),
    [
        ("The old mill burnt down in spring.", ["The old mill burnt down in spring."], 1.0),
        ("Well, the old mill burnt down, sadly.", ["The old mill burnt down in spring."], 1 / 3),
        ("In spring down burnt mill old.", ["The old mill burnt down in spring."], 0.0),
        ("old mill burnt", ["The old mill burnt down in spring."], 0.0),
        ("old mill burnt down. old mill burnt down.", ["The old mill burnt down in spring."], 1 / 3),
        ("one two three four", ["six seven eight nine ten", "one two three four five"], 0.5),
        ("hello", ["too short here"], None),
        ("hello", [], None),
        ("", ["one two three four"], 0.0),
    ],
)
def test_copying_is_the_longest_run_of_a_facts_4_grams(reply: str, facts: list[str], wanted: float | None) -> None:
    share = copied(reply, facts)
    assert share == (wanted if wanted is None else pytest.approx(wanted))


@PATIENT
@given(st.lists(st.sampled_from(["red", "blue", "green", "grey"]), max_size=12), TEXTS)
def test_no_more_than_all_of_a_fact_is_copied(fact: list[str], around: str) -> None:
    share = copied(f"{around} {' '.join(fact)} {around}", [" ".join(fact)])
    assert share == (1.0 if len(fact) >= 4 else None)


def test_the_best_constant_is_the_best_of_the_references() -> None:
    references = ["oh no", "I am so sorry", "I am sorry", "I am so sorry to hear it"]
    text, score = best_constant(references)
    assert text == "I am so sorry"
    assert score == pytest.approx(sum(word_f1(text, r) for r in references) / 4)
    assert score == max(sum(word_f1(t, r) for r in references) / 4 for t in references)
    assert best_constant([]) == ("", 0.0)
    many = [f"number {i}" for i in range(3 * CANDIDATES)]
    assert best_constant(many)[1] == pytest.approx((0.5 * (len(many) - 1) + 1) / len(many))


@PATIENT
@given(st.lists(st.integers(0, 60), min_size=AMONG, max_size=200), st.integers(0, 5))
def test_groups_are_of_20_different_dialogues(dialogues: list[int], seed: int) -> None:
    groups = in_groups(dialogues, seed)
    grouped = [i for group in groups for i in group]
    assert len(set(grouped)) == len(grouped)
    assert all(len({dialogues[i] for i in group}) == len(group) == AMONG for group in groups)
    assert groups == in_groups(dialogues, seed)
    left = Counter(dialogues[i] for i in set(range(len(dialogues))) - set(grouped))
    assert len(left) < AMONG, "another group could be made"


@settings(PATIENT, max_examples=20)
@given(st.sampled_from(["", "I love honey!", "What is it?", "love"]), st.integers(0, 30), st.sampled_from([20, 21, 23]))
def test_a_constant_reply_is_found_in_1_of_20(constant: str, seed: int, dialogues: int) -> None:
    said = exchanges(dialogues) + [replace(s, utterances=("I love it so!",)) for s in exchanges(20)]
    values = first_of_twenty([constant] * len(said), [s.utterances[0] for s in said], [s.dialogue for s in said], seed)
    assert len(values) == 40
    assert sum(values.values()) / len(values) == pytest.approx(1 / AMONG)


def test_a_reply_to_the_point_is_found() -> None:
    said = exchanges()
    figures = measures(said, grounded=False)
    assert figures["relevance"] == 1.0
    moved = [replace(s, reply=said[i - 1].reply) for i, s in enumerate(said)]
    assert measures(moved, grounded=False)["relevance"] < 1 / AMONG
    assert yardsticks(moved, grounded=False)["relevance_reference"] == 1.0
    assert "relevance" not in measures(said[:19], grounded=False), "20 dialogues are needed"
    alone = [replace(s, dialogue=i % 19) for i, s in enumerate(said)]
    assert "relevance" not in measures(alone, grounded=False), "and 20 different ones"


def test_facts_are_judged_where_there_are_facts() -> None:
    fact = "The mill on Reed Lane opened in 1790."
    conversation = ("Do you know Mill Bay, the 1 with the boats?",)
    said = [
        answered(fact, "It opened in 1790.", facts=(fact,), utterances=conversation),
        answered("I heard of Mill Bay and 1 of Farley.", "Nice.", dialogue=1, utterances=conversation),
    ]
    figures = measures(said, grounded=True)
    assert figures["knowledge_f1"] == pytest.approx(100)
    assert (figures["copied_4grams"], figures["copied_over_half"]) == (1.0, 1.0)
    assert figures["unsupported"] == 0.5  # Farley
    assert (figures["unsupported_low"], figures["unsupported_high"]) == (0.0, 1.0)
    assert figures["f1_with_facts"] == pytest.approx(100 * word_f1(fact, "It opened in 1790."))
    marks = yardsticks(said, grounded=True)
    assert marks["f1_copied_facts"] == pytest.approx(figures["f1_with_facts"])
    assert marks["unsupported_reference"] == 0.0
    without = measures([replace(s, facts=()) for s in said], grounded=False)
    assert not {"knowledge_f1", "copied_4grams", "unsupported", "f1_with_facts"} & set(without)


def test_every_figure_stands_inside_its_interval() -> None:
    said = [replace(s, reply=s.reply if i % 3 else "No.") for i, s in enumerate(exchanges())]
    figures = measures(said, grounded=False)
    for name in ("f1", "rouge_l", "relevance"):
        assert figures[f"{name}_low"] < figures[name] < figures[f"{name}_high"], name
    assert figures == measures(said, grounded=False)


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    import numpy as np

    draw = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        values = dict(enumerate(draw.normal(3.0, 1.0, 60).tolist()))
        ends = interval(values, range(60), trial)
        assert ends is not None
        hits += ends[0] <= 3.0 <= ends[1]
    assert 0.88 <= hits / 200 <= 0.99


def test_replies_of_one_dialogue_count_as_one_observation() -> None:
    values = {i: float(i // 10) for i in range(40)}  # four dialogues, each all alike
    narrow = interval(values, range(40))
    wide = interval(values, [i // 10 for i in range(40)])
    assert narrow is not None
    assert wide is not None
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])
    assert interval(values, [7] * 40) is None
    assert interval({}, []) is None


@PATIENT
@given(st.lists(st.integers()), st.integers(1, 30))
def test_a_spread_keeps_order_and_ends(items: list[int], most: int) -> None:
    kept = spread(items, most)
    assert len(kept) == min(most, len(items))
    assert kept[:1] == items[:1]
    if len(items) <= most:
        assert kept == items
