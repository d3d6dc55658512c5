"""A reply on a claim is told: the verdict, then the whole of the evidence, and no model words any of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import make_bot

from adapterbot.bot import Bot
from adapterbot.home import Home
from adapterbot.network.backbone import Backbone
from adapterbot.reply.grounding import NO_VERDICT, VERDICTS

EVIDENCE = "Mint tea has no caffeine, but green tea has: one cup keeps most people awake for 3 hours."
CLAIM = {"title": "Tea", "text": EVIDENCE, "true": ["Mint tea has no caffeine"], "false": ["Mint tea cures flu"]}
SPEC = """summary = "Knows what is said of tea."
group = "knowledge"
adapter = false

[knowledge]
source = "claims"
file = "claims.jsonl"
when_empty = "verdict: not known"
"""
REPLIES = {
    "Mint tea has no caffeine, right?": f"{VERDICTS['supported']} {EVIDENCE}",
    "Mint tea cures flu": f"{VERDICTS['contradicted']} {EVIDENCE}",
    "Nobody says that mint tea cures flu.": f"{VERDICTS['not known']} {EVIDENCE}",
    "Hello!": NO_VERDICT,
}


@pytest.fixture
def bot(tiny: Backbone, home: Home) -> Bot:
    """A bot with a skill and claims of the user's own."""
    folder = home.skills / "tea"
    folder.mkdir(parents=True)
    (folder / "skill.toml").write_text(SPEC, encoding="utf-8")
    (folder / "claims.jsonl").write_text(json.dumps(CLAIM) + "\n", encoding="utf-8")
    return make_bot(tiny, home)


@pytest.mark.parametrize("message", REPLIES)
def test_the_evidence_is_told_whole(bot: Bot, message: str) -> None:
    reply = bot.respond(message, skill="tea", max_tokens=2)
    assert reply.text == REPLIES[message]
    assert reply.drafts == ()
    assert reply.history.texts == (message, reply.text)


def test_it_is_the_same_in_a_stream_and_in_a_batch_with_others(bot: Bot) -> None:
    asked: list[dict[str, Any]] = [
        {"message": message, "skill": skill, "seed": 3, "max_tokens": 5}
        for message in REPLIES
        for skill in ("tea", "chitchat")
    ]
    alone = [bot.respond(**request).text for request in asked]
    assert alone[::2] == list(REPLIES.values())
    assert [getattr(reply, "text", reply) for reply in bot.respond_batch(asked)] == alone
    assert ["".join(bot.stream(**request)) for request in asked] == alone


def test_given_facts_are_told_too(bot: Bot) -> None:
    facts = ["verdict: contradicted", "Tea is not coffee.", "Nor is it milk."]
    told = bot.respond("Tea is coffee.", skill="tea", facts=facts).text
    assert told == f"{VERDICTS['contradicted']} Tea is not coffee. Nor is it milk."
