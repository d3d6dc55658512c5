"""Stop texts: what is shown, what is cut, and that nothing is made behind one."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from adapterbot.bot import Bot
from adapterbot.errors import SettingError
from adapterbot.reply.stops import Stopper, cut, stops_of

LONG: dict[str, Any] = {"skill": "chitchat", "min_tokens": 60, "max_tokens": 60, "seed": 1, "drafts": 1}


def test_stops_across_pieces() -> None:
    for pieces in (["ab", "cde", "f"], ["a", "b", "c", "d", "e", "f"], ["abcdef"]):
        stopper = Stopper(["cd"])
        assert "".join(map(stopper.more, pieces)) + stopper.rest() == "ab"
        assert stopper.stopped
    stopper = Stopper(["xyz", "fgh"])
    assert [stopper.more("abc"), stopper.more("def"), stopper.rest()] == ["abc", "de", "f"]
    assert cut("one. two.", ["two", "."]) == ("one", True)


def test_a_reply_that_stopped_was_not_made_to_its_end(shared_bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shared_bot.respond("Hello", **LONG).text
    stop = text[8:11]
    steps = 0
    decoder = shared_bot.backbone.decoder
    logits = decoder.logits

    def counted(hidden: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        return logits(hidden)

    monkeypatch.setattr(decoder, "logits", counted)
    reply = shared_bot.respond("Hello", stop=stop, **LONG)
    assert reply.text == text[: text.find(stop)]
    assert reply.history.texts[-1] == reply.text
    assert steps < 40
    assert "".join(shared_bot.stream("Hello", stop=[stop, "never said"], **LONG)) == reply.text


def test_the_best_of_several_drafts_is_cut(shared_bot: Bot) -> None:
    several = LONG | {"drafts": 3, "min_tokens": 10, "max_tokens": 12}
    text = shared_bot.respond("Hello", **several).text
    reply = shared_bot.respond("Hello", stop=text[4:6], **several)
    assert reply.text == text[: text.find(text[4:6])]
    batch = shared_bot.respond_batch(
        [{"message": "Hello", "stop": text[4:6], **several}, {"message": "Hello", **several}]
    )
    assert [getattr(each, "text", each) for each in batch] == [reply.text, text]


def test_help_is_never_cut(shared_bot: Bot) -> None:
    whole = shared_bot.respond("I want to kill myself.")
    assert whole.care
    assert shared_bot.respond("I want to kill myself.", stop=" ").text == whole.text


def test_what_is_no_stop() -> None:
    assert stops_of("") == stops_of(None) == stops_of([""]) == ()
    wrong: list[Any] = [["x"] * 17, [1]]
    for given in wrong:
        with pytest.raises(SettingError, match="stop is a text"):
            stops_of(given)
