"""One turn, end to end, on a tiny backbone with a random adapter for every shipped skill."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest
from conftest import TRAINED, essence, make_bot, random_adapter

from adapterbot import bot as bot_module
from adapterbot import knowledge
from adapterbot.bot import Bot
from adapterbot.errors import (
    AdapterError,
    InputError,
    KnowledgeError,
    SettingError,
    SpecError,
    UnknownNameError,
    WeightsError,
)
from adapterbot.history import MOST_TEXT, History
from adapterbot.home import Home
from adapterbot.manager import router
from adapterbot.manager.care_head import CareHead
from adapterbot.manager.classifier import CLASSIFIER
from adapterbot.network.backbone import Backbone
from adapterbot.reply.answer import Prepared
from adapterbot.reply.care import Carer
from adapterbot.reply.safety import Guard
from adapterbot.turn import Reply

TALK = History().add_user("Hi!").add_bot("Hello, how are you?")
SHORT: dict[str, Any] = {"max_tokens": 8, "drafts": 1}


def drained(stream: Generator[str, None, Reply]) -> tuple[list[str], Reply]:
    """All pieces of a stream and what it returns."""
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return pieces, end.value


def test_a_reply_tells_everything_that_led_to_it(shared_bot: Bot) -> None:
    reply = shared_bot.respond("Do you like music?", TALK, skill="persona", seed=3, drafts=2, max_tokens=8)
    assert reply.text == reply.drafts[0].text
    assert len(reply.drafts) == 2
    assert (reply.skill, reply.routed_by, reply.seed) == ("persona", "forced", 3)
    assert reply.reason
    assert reply.history == TALK.add_user("Do you like music?").add_bot(reply.text)
    assert {"route", "knowledge", "prompt", "generate", "rerank", "total"} <= set(reply.timings)
    assert reply.timings["total"] == pytest.approx(sum(v for k, v in reply.timings.items() if k != "total"))
    assert [f.source for f in reply.facts] == ["persona"] * len(reply.facts) != []
    json.dumps(reply.to_dict())


def test_a_task_skill_reads_its_own_exchanges_and_a_conversation_skill_all(shared_bot: Bot) -> None:
    talk = shared_bot.respond("I feel sad.", skill="empathetic", seed=1, **SHORT).history
    talk = shared_bot.respond("Will it rain in Oslo?", talk, skill="weather", seed=1, **SHORT).history
    mixed = {"message": "And on Friday?", "facts": ["place: Oslo, low: 5"], "seed": 1, **SHORT}
    own = History(talk.utterances[2:])
    for skill, past in (("weather", own), ("wiki", talk)):
        read, alone = (shared_bot.respond(history=h, skill=skill, **mixed) for h in (talk, past))
        assert [d.text for d in read.drafts] == [d.text for d in alone.drafts]
        assert read.history.texts[:4] == talk.texts, "nothing is lost of what was said"
    assert shared_bot.specs["weather"].heard(talk) == own.texts
    assert shared_bot.specs["wiki"].heard(talk) == talk.texts


def test_a_session_knows_who_answered(home: Home, shared_bot: Bot) -> None:
    session = shared_bot.session("who")
    session.respond("I feel sad.", skill="empathetic", seed=1, **SHORT)
    assert [u.skill for u in session.history] == ["", "empathetic"]


def test_the_same_seed_gives_the_same_reply_and_none_a_fresh_one(shared_bot: Bot) -> None:
    first = shared_bot.respond("Hello", TALK, skill="wiki", seed=1, **SHORT)
    assert essence(first) == essence(shared_bot.respond("Hello", TALK, skill="wiki", seed=1, **SHORT))
    free = shared_bot.respond("Hello", TALK, skill="wiki", **SHORT)
    assert essence(free) == essence(shared_bot.respond("Hello", TALK, skill="wiki", seed=free.seed, **SHORT))
    assert len({shared_bot.respond("Hello", skill="wiki", **SHORT).seed for _ in range(3)}) == 3


@pytest.mark.parametrize("skill", TRAINED)
def test_a_drained_stream_is_the_reply(shared_bot: Bot, skill: str) -> None:
    for seed in range(3):
        pieces, streamed = drained(
            shared_bot.stream("Tell me more!", TALK, skill=skill, seed=seed, max_tokens=15, drafts=1)
        )
        assert essence(streamed) == essence(
            shared_bot.respond("Tell me more!", TALK, skill=skill, seed=seed, max_tokens=15, drafts=1)
        )
        assert "".join(pieces) == streamed.text
        at_once = not shared_bot.specs[skill].strict  # a strict skill is looked at before it speaks
        assert "first_token" in streamed.timings or len(pieces) == 1 or not at_once


@pytest.mark.parametrize("skill", ["chitchat", "empathetic"])
def test_several_drafts_agree_on_the_beginning_which_comes_before_the_rest_is_made(
    shared_bot: Bot, monkeypatch: pytest.MonkeyPatch, skill: str
) -> None:
    steps = list[int]()
    forward = shared_bot.backbone.decoder.forward

    def counted(*given: Any, **named: Any) -> Any:
        steps.append(1)
        return forward(*given, **named)

    monkeypatch.setattr(shared_bot.backbone.decoder, "forward", counted)
    how: dict[str, Any] = {"skill": skill, "seed": 0, "drafts": 4, "min_tokens": 24, "max_tokens": 28}
    stream = shared_bot.stream("Tell me more!", TALK, **how)
    first, early = next(stream), len(steps)
    pieces, streamed = drained(stream)
    assert first.strip()
    assert pieces, "the rest comes later"
    assert early < len(steps) / 2, "most of the work is still to be done when the first words are there"
    assert streamed.text == first + "".join(pieces)
    assert essence(streamed) == essence(shared_bot.respond("Tell me more!", TALK, **how))
    assert all(draft.text.startswith(first.strip()) for draft in streamed.drafts)


def test_a_closed_stream_stops_and_the_next_request_is_served(shared_bot: Bot) -> None:
    stream = shared_bot.stream("Hello", skill="wiki", seed=0, max_tokens=50, min_tokens=50, drafts=1)
    next(stream)
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)
    assert shared_bot.respond("Hello", skill="wiki", seed=0, **SHORT).text


def test_a_stream_refuses_bad_input_before_the_first_piece(shared_bot: Bot) -> None:
    with pytest.raises(SettingError):
        shared_bot.stream("Hello", temperature=-1)


# -- which skill -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skill", TRAINED)
def test_a_forced_skill_always_wins(shared_bot: Bot, skill: str) -> None:
    reply = shared_bot.respond("What will the weather be like in Boston tomorrow?", skill=skill, seed=0, **SHORT)
    assert (reply.skill, reply.routed_by) == (skill, "forced")


def test_the_manager_answers_otherwise_and_pick_says_the_same(shared_bot: Bot) -> None:
    message = "What will the weather be like in Boston tomorrow?"
    choice = shared_bot.pick(message)
    reply = shared_bot.respond(message, seed=0, **SHORT)
    assert (reply.skill, reply.routed_by, reply.reason) == (choice.skill, choice.routed_by, choice.reason)
    assert dict(reply.scores) == pytest.approx(dict(choice.scores))
    assert set(choice.scores) == set(shared_bot.routable)
    assert choice.routed_by in {"manager", "fallback", "only"}


def test_without_a_manager_the_fallback_answers_and_says_so(tiny_bot: Bot, home: Home) -> None:
    home.manager.mkdir(parents=True)
    (home.manager / CLASSIFIER).write_bytes(b"damaged")
    reply = tiny_bot.respond("What will the weather be like?", seed=0, **SHORT)
    assert (reply.skill, reply.routed_by) == ("chitchat", "only")
    assert CLASSIFIER in reply.reason


def test_different_skills_answer_differently(shared_bot: Bot) -> None:
    texts = {shared_bot.respond("Hello", skill=s, facts=[], seed=0, temperature=0, **SHORT).text for s in TRAINED}
    assert len(texts) == 5


@pytest.mark.parametrize("name", ["wheather", "../../etc/passwd", "/etc/passwd", "a\0b", "x" * 5000, ""])
def test_an_unknown_skill_is_refused(shared_bot: Bot, name: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown skill") as caught:
        shared_bot.respond("Hello", skill=name)
    assert len(str(caught.value)) < 400


# -- skills with a fault ---------------------------------------------------------------------------------------------


def test_an_untrained_skill_names_the_command(tiny: Backbone, home: Home) -> None:
    (home.skills / "haiku").mkdir(parents=True)
    (home.skills / "haiku" / "skill.toml").write_text('summary = "x"\ngroup = "style"')
    bot = make_bot(tiny, home)
    for _ in range(2):
        with pytest.raises(
            AdapterError, match="skill 'haiku' has no adapter yet; train it: adapterbot train-skill haiku"
        ):
            bot.respond("Hello", skill="haiku")
    assert "haiku" not in bot.skills
    assert bot.respond("Hello", skill="chitchat", **SHORT).text


def test_a_broken_adapter_or_spec_is_never_served_and_harms_no_other(tiny: Backbone, home: Home) -> None:
    for name in ("chitchat", "wiki", "persona"):
        random_adapter(tiny, home.skills / name / "adapter.safetensors", 0)
    (home.skills / "persona" / "adapter.safetensors").write_bytes(b"nothing")
    for name, text in {
        "bad_spec": "summary = ",
        "bad_base": 'extends = "nothing"',
        "Bad-Name": 'summary = "x"',
    }.items():
        (home.skills / name).mkdir()
        (home.skills / name / "skill.toml").write_text(text)
    bot = Bot(tiny, home)
    assert {"persona", "bad_spec", "bad_base", "Bad-Name"} <= set(bot.roster.problems)
    assert set(bot.skills) == {"chitchat", "wiki"}
    with pytest.raises(AdapterError, match="cannot be read"):
        bot.respond("Hello", skill="persona")
    with pytest.raises(SpecError, match="not valid TOML"):
        bot.respond("Hello", skill="bad_spec")
    for message in ("Hello", "Where did you grow up?"):
        assert bot.respond(message, seed=0, **SHORT).skill in {"chitchat", "wiki"}


def test_an_adapter_without_effect_is_noted(tiny: Backbone, home: Home) -> None:
    random_adapter(tiny, home.skills / "wiki" / "adapter.safetensors", 0, scale=0.0)
    assert any("has no effect" in note for note in Bot(tiny, home).roster.notes)


# -- facts -----------------------------------------------------------------------------------------------------------


def test_facts_of_the_caller_replace_retrieval(shared_bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    given = shared_bot.respond("Who are you?", skill="persona", facts=["I am a lighthouse keeper."], seed=0, **SHORT)
    assert [(f.line, f.source) for f in given.facts] == [("I am a lighthouse keeper.", "caller")]
    own = shared_bot.respond("Who are you?", skill="persona", seed=0, **SHORT)
    assert own.facts
    assert own.facts != given.facts
    assert shared_bot.respond("Who are you?", skill="persona", facts=[], seed=0, **SHORT).facts == ()
    greedy: dict[str, Any] = {"temperature": 0, "max_tokens": 12, "skill": "persona"}
    assert (
        shared_bot.respond("Who are you?", facts=["a b c"], **greedy).text
        != shared_bot.respond("Who are you?", facts=[], **greedy).text
    )


def test_what_did_not_fit_is_said(shared_bot: Bot) -> None:
    long = History().add_user("word " * 200).add_bot("word " * 200)
    reply = shared_bot.respond("And then?", long, skill="wiki", facts=["a fact"], seed=0, **SHORT)
    assert len(reply.dropped) == 2
    assert all(line.startswith("utterance: word") for line in reply.dropped)


# -- safety ----------------------------------------------------------------------------------------------------------


def test_an_unacceptable_draft_is_sampled_again_and_not_said_in_the_end(tiny: Backbone, home: Home) -> None:
    seen: list[str] = []

    def first_two(text: str) -> str | None:
        if text != "Hello" and text not in seen:
            seen.append(text)
        return "no" if text in seen[:2] else None

    bot = make_bot(tiny, home, guard=Guard(first_two))
    reply = bot.respond("Hello", skill="chitchat", seed=0, **SHORT)
    assert reply.text == seen[2]
    never = make_bot(tiny, home, guard=Guard(lambda text: None if text == "Hello" else "no"))
    refused = never.respond("Hello", skill="chitchat", seed=0, **SHORT)
    assert "no draft was acceptable" in refused.warnings
    assert refused.text == never.guard.carer.texts.refused


def test_a_message_that_needs_care_gets_the_fixed_text_whatever_the_skill(tiny: Backbone, home: Home) -> None:
    bot = Bot(tiny, home, region="GB")
    for skill in (None, "persona", "wiki"):
        reply = bot.respond("I want to kill myself.", skill=skill)
        assert (reply.routed_by, reply.care, reply.drafts) == ("care", "crisis", ())
        assert "116 123" in reply.text
        assert "999" in reply.text
        assert "suicide" in reply.reason
    assert "988" in bot.respond("I want to kill myself.", region="us").text
    assert bot.pick("I want to kill myself.").care == "crisis"
    assert reply.to_dict()["care"] == "crisis"
    with pytest.raises(SettingError, match="two letters"):
        bot.respond("I want to kill myself.", region="Britain")


def test_care_goes_on_until_the_topic_changes_and_the_model_hears_a_summary(tiny: Backbone, home: Home) -> None:
    bot = make_bot(tiny, home)
    first = bot.respond("I want to kill myself.", seed=0, **SHORT)
    second = bot.respond("What should I do?", first.history, seed=0, **SHORT)
    assert (second.care, second.text == first.text) == ("crisis", False)
    assert second.history.texts[0] == "I want to kill myself."  # stays visible
    turn = bot._prepare("Is there a cheap thai restaurant in the north?", second.history, None, 0, None, None, SHORT)
    assert isinstance(turn.prepared, Prepared)
    assert not any("kill" in text for text in turn.prepared.history.texts)


def test_a_stream_and_a_batch_get_care_as_well(tiny: Backbone, home: Home) -> None:
    bot = make_bot(tiny, home)
    pieces = bot.stream("My dad has stopped breathing!")
    text = next(pieces)
    with pytest.raises(StopIteration) as end:
        next(pieces)
    assert (end.value.value.care, end.value.value.text) == ("emergency", text)
    requests = [{"message": "Hello!", "skill": "chitchat", **SHORT}, {"message": "My husband hits me."}]
    replies = bot.respond_batch(requests)
    assert [reply.care for reply in replies if isinstance(reply, Reply)] == ["", "abuse"]


def test_a_care_head_that_cannot_be_read_is_told_with_every_reply(tiny: Backbone, home: Home) -> None:
    def damaged() -> CareHead:
        raise WeightsError("care.safetensors is damaged")

    bot = make_bot(tiny, home, guard=Guard(carer=Carer(damaged)))
    warnings = bot.respond("Hello!", skill="chitchat", seed=0, **SHORT).warnings
    assert "messages that need care are not noticed: care.safetensors is damaged" in warnings


@pytest.mark.parametrize("content", [b"", b"\0" * 99, b"\x08\0\0\0\0\0\0\0{}      ", b"[" * 5_000])
def test_a_damaged_manager_is_read_once_and_the_reply_says_so(
    tiny_bot: Bot, home: Home, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    home.manager.mkdir(parents=True)
    (home.manager / CLASSIFIER).write_bytes(content)
    reads, load = list[Any](), router.Manager.load

    def counted(*given: Any) -> Any:
        reads.append(given)
        return load(*given)

    monkeypatch.setattr(router.Manager, "load", counted)
    for seed in range(3):
        reply = tiny_bot.respond("Hello", seed=seed, **SHORT)
        assert (reply.skill, reply.routed_by) == ("chitchat", "only")
        (warning,) = reply.warnings
        assert warning.startswith("the manager cannot choose: ")
        assert CLASSIFIER in warning
        assert "\n" not in warning
    assert tiny_bot.respond("Hello", skill="persona", seed=1, max_tokens=6, drafts=2).warnings == ()
    assert len(reads) == 1


def test_what_was_cut_of_a_history_is_a_warning_once(shared_bot: Bot) -> None:
    past = [{"role": "user", "content": "x " * 10_000_000}, {"role": "assistant", "content": "Oh."}]
    started = time.perf_counter()
    reply = shared_bot.respond("Hello", past, skill="persona", seed=1, **SHORT)
    assert time.perf_counter() - started < 3
    assert reply.warnings == ("history[0] had 20,000,000 characters; only the last 20,000 were read",)
    assert len(reply.history.texts[0]) == MOST_TEXT
    assert shared_bot.respond("Hello", reply.history, skill="persona", seed=1, **SHORT).warnings == ()


@pytest.mark.parametrize("facts", [["x" * 20_000_000], ["a"] * 1_000_000])
def test_facts_have_a_limit(shared_bot: Bot, facts: list[str]) -> None:
    with pytest.raises(InputError, match=r"given; at most 1,000 of 200,000 characters in all are read"):
        shared_bot.respond("Hello", skill="persona", facts=facts)


def test_lone_surrogates_everywhere_can_be_printed(shared_bot: Bot) -> None:
    reply = shared_bot.respond("a\ud800b", ["\udfff", "x"], skill="persona", facts=["\ud800"], seed=1, **SHORT)
    json.dumps(reply.to_dict(), ensure_ascii=False).encode()


def test_a_source_that_opens_slowly_stops_no_other_turn(tiny_bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    opening, go_on, open_source = threading.Event(), threading.Event(), knowledge.open_source

    def slow(given: knowledge.Opening) -> knowledge.Source:
        if given.spec.name == "wiki":
            opening.set()
            assert go_on.wait(10)
        return open_source(given)

    monkeypatch.setattr(bot_module, "open_source", slow)
    waiting = threading.Thread(target=tiny_bot.respond, args=("Hello",), kwargs={"skill": "wiki", **SHORT})
    waiting.start()
    try:
        assert opening.wait(10)
        assert tiny_bot.respond("Hello", skill="persona", seed=1, **SHORT).text
    finally:
        go_on.set()
        waiting.join()


def test_whatever_a_source_stumbles_over_is_that_skills_fault(tiny_bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(spec: Any, *given: Any) -> Any:
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr(bot_module, "open_source", broken)
    with pytest.raises(KnowledgeError, match="skill 'wiki': RecursionError"):
        tiny_bot.respond("Hello", skill="wiki")
