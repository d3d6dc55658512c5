"""What the bot says of itself goes with its persona: by drafts written by hand, and in the order of drafts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapterbot.bot import Bot
from adapterbot.errors import WeightsError
from adapterbot.facts import PersonaLine, Triple
from adapterbot.history import History
from adapterbot.manager.judge import SELF, Judge, shipped_judge
from adapterbot.reply.answer import Responder
from adapterbot.reply.consistency import Consistency, contradicted, own_statements, stated
from adapterbot.turn import Draft

LABELLED = Path(__file__).resolve().parent.parent / "labelled" / "persona_drafts.jsonl"
ITEMS: list[dict[str, Any]] = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
REFUSED = 15  # of the 52 drafts that contradict their line, at least: what it reaches today
FALSELY = 3  # of the 54 others, at most
COFFEE = (PersonaLine("I hate coffee."), PersonaLine("I have a grey cat called Biscuit."))
ASKED = History().add_user("Do you like coffee?")
YES, NO, CAT = (Draft(text) for text in ("Yes, I love coffee.", "No, I hate coffee.", "I have a cat."))


def test_drafts_that_contradict_a_line_are_told_from_others() -> None:
    judge = shipped_judge()
    found = [contradicted(judge, item["draft"], [item["line"]], item["said"]) for item in ITEMS]
    pairs = [(bool(line), item["contradicts"]) for line, item in zip(found, ITEMS, strict=True)]
    assert sum(refused and wrong for refused, wrong in pairs) >= REFUSED
    assert sum(refused and not wrong for refused, wrong in pairs) <= FALSELY


def test_a_draft_against_the_persona_goes_behind_the_others() -> None:
    consistency = Consistency()
    assert consistency.first([YES, NO, CAT], COFFEE, ASKED) == [NO, CAT, YES]
    assert consistency.first([YES], (), ASKED) == [YES]
    assert consistency.first([YES], (Triple("coffee", "is", "hot"),), ASKED) == [YES]


def test_where_every_draft_contradicts_a_line_the_line_is_the_reply() -> None:
    first, *rest = Consistency().first([YES, Draft("I love coffee.")], COFFEE, ASKED)
    assert first.text == "I hate coffee."
    assert rest[0] == YES


def test_what_was_said_before_counts_too() -> None:
    past = History().add_user("Any pets?").add_bot("Sorry. I have no pets. Do you?").add_user("Do you have a dog?")
    assert own_statements(past) == ["Sorry.", "I have no pets."]
    dog = Draft("Yes, I have a dog.")
    assert Consistency().first([dog, Draft("No, I don't.")], COFFEE[:1], past)[0].text == "No, I don't."
    assert Consistency().first([dog, Draft("Yes, I have a dog, I love him.")], COFFEE[:1], past)[0] == dog


def test_a_reply_is_read_with_the_question_before_it() -> None:
    assert stated("Hi there. Do you like tea?", "Yes.") == "Do you like tea? Yes."
    assert stated("Nice.", "Yes.") == "Yes."


def test_a_judge_that_cannot_be_read_contradicts_nothing() -> None:
    def broken() -> Judge:
        raise WeightsError("it is damaged")

    consistency = Consistency(broken)
    assert consistency.first([YES, NO], COFFEE, ASKED) == [YES, NO]
    assert consistency.fault == "replies are not held to the persona: it is damaged"


def test_the_drafts_of_a_reply_come_in_that_order(shared_bot: Bot) -> None:
    bot = shared_bot
    head = shipped_judge()
    eager = head.with_settings(replace(head.settings, thresholds={SELF: 0.3}))
    responder = Responder(bot.backbone, bot.bank, consistency=Consistency(lambda: eager), guard=bot.guard)
    spec = bot.roster.spec("persona")
    for seed in range(3):
        turn = responder.prepare(
            spec, ASKED, COFFEE, spec.decode.override({"seed": seed, "drafts": 4, "max_tokens": 6})
        )
        (answer,) = responder.answer([turn])
        lines = [line.line for line in COFFEE]
        against = [contradicted(eager, draft.text, lines, ASKED.last_user) for draft in answer.drafts]
        if answer.text in lines:
            assert all(against[1:])
            assert len(against) == 5
        else:
            assert not against[0]
    assert turn.request.agree == 0
