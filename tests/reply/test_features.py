"""What a draft is, in numbers: the same for what a model and what a person wrote."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from evidence import evidence
from hypothesis import given
from hypothesis import strategies as st

from adapterbot.reply.features import FEATURES, OF_GROUNDED, Situation, features
from adapterbot.reply.grounding import Evidence
from adapterbot.turn import Draft

MILL = "The old mill by the river grinds rye and oats for nine farms every autumn"


def measured(reply: str, *said: str, kept: Evidence | None = None) -> dict[str, float]:
    return features([Draft(reply, -0.5)], Situation(said, "knowledge", kept), None)[0]


def test_every_feature_has_a_number_and_what_nothing_gives_is_zero() -> None:
    row = measured("So so.", "How is it?")
    assert tuple(row) == FEATURES
    assert row["likelihood"] == -0.5
    assert row["length"] == pytest.approx(math.log(3))
    assert {row[name] for name in (*OF_GROUNDED, "relevance", "style")} == {0.0}


def test_judges_are_asked_once_for_all_drafts() -> None:
    class Last:
        def relevance(self, utterances: Sequence[str], replies: Sequence[str]) -> list[float]:
            return [float(i) for i in range(len(replies))]

    situation = Situation(("Well?",), "style", None, lambda replies: [-float(i) for i in range(len(replies))])
    rows = features([Draft("Yes."), Draft("No.")], situation, Last())
    assert [(row["relevance"], row["style"]) for row in rows] == [(0.0, 0.0), (1.0, -1.0)]


@pytest.mark.parametrize(
    ("reply", "reused"),
    [
        ("Was it a driving exam?", 1.0),
        ("Your driving was careful.", 0.5),
        ("Wonderful, where will the first journey be?", 0.0),
        ("I see.", 0.0),
    ],
)
def test_what_the_message_said_is_found_in_a_reply(reply: str, reused: float) -> None:
    assert measured(reply, "I like journeys.", "I finally passed my driving exam!")["reused"] == pytest.approx(reused)


def test_what_is_told_of_facts_and_what_is_read_out() -> None:
    little, more, whole = (measured(text, kept=evidence(MILL)) for text in ("A mill.", "It grinds rye and oats.", MILL))
    assert little["told"] < more["told"] < whole["told"] == 1.0
    assert little["quoted"] == 0.0
    assert whole["quoted"] == 1.0
    assert measured("The mill has mice.", kept=evidence(MILL))["strayed"] == pytest.approx(0.5)
    assert measured("It is a mill.", kept=Evidence(evidence("graph: nothing found").facts))["told"] == 0.0, "no fact"


def test_a_name_of_the_first_fact_counts_where_it_is_news() -> None:
    kept = evidence("Tide\tdirected_by\tIda Holm", "Tide\tstarred_actors\tAnna Lund")
    assert measured("It was Ida Holm.", "Who made Tide?", kept=kept)["named"] == 1.0
    assert measured("It was Anna Lund.", "Who made Tide?", kept=kept)["named"] == 0.0
    assert measured("It was Ida Holm.", "Is it by Ida Holm?", kept=kept)["named"] == 0.0


@given(st.text(max_size=60), st.lists(st.text(max_size=40), min_size=1, max_size=3), st.text(max_size=60))
def test_any_text_has_finite_features(reply: str, said: list[str], fact: str) -> None:
    row = measured(reply, *said, kept=evidence(fact, is_read=True))
    assert all(map(math.isfinite, row.values()))
    assert row == measured(reply, *said, kept=evidence(fact, is_read=True))
