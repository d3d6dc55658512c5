"""handlers: each event called as the page calls it, on a real bot with a tiny model; no browser, no server."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Generator
from typing import Any

import gradio as gr
import pytest

from adapterbot.bot import Bot
from adapterbot.history import History
from adapterbot.turn import Decode, Reply
from adapterbot.ui import view
from adapterbot.ui.handlers import SLIDERS, Handlers, Screen, Visitor

LONG: dict[str, Any] = {"min_tokens": 40, "max_tokens": 40, "drafts": 1}


@pytest.fixture
def handlers(tiny_bot: Bot) -> Handlers:
    return Handlers(tiny_bot)


def inputs(
    handlers: Handlers, skill: str = "empathetic", persona: str | None = None, seed: str = "7", **settings: float
) -> tuple[Any, ...]:
    """What the page sends beside the message; `settings` are sliders that were moved."""
    sliders = [settings.get(name, getattr(Decode(), name)) for name in SLIDERS]
    return skill, handlers.persona if persona is None else persona, not settings, seed, *sliders


def texts(screen: Screen) -> list[str]:
    return [message["content"][0]["text"] for message in screen.chat]


def say(handlers: Handlers, visitor: Visitor, message: str, **given: Any) -> Screen:
    return list(handlers.send(visitor, message, *inputs(handlers, **given)))[-1]


def buttons(screen: Screen) -> tuple[bool, bool, bool]:
    """Is Send there, is Stop there, can the conversation be changed?"""
    return screen.send["visible"], screen.stop["visible"], screen.retry["interactive"]


def watched(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> list[Generator[str, None, Reply]]:
    """Every generator that the bot hands out from now on."""
    made: list[Generator[str, None, Reply]] = []
    stream = bot.stream

    def recording(*args: Any, **kwargs: Any) -> Generator[str, None, Reply]:
        made.append(stream(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(bot, "stream", recording)
    return made


def refusing(error: Exception) -> Callable[..., Any]:
    def stream(*_: object, **__: object) -> Any:
        raise error

    return stream


def test_a_reply_is_streamed_and_is_the_bots_own(handlers: Handlers) -> None:
    visitor = Visitor()
    screens = list(handlers.send(visitor, "Hello there.", *inputs(handlers, **LONG)))
    expected = handlers.bot.respond("Hello there.", skill="empathetic", seed=7, **_settings(**LONG))
    assert len(screens) > 10
    assert texts(screens[-1]) == ["Hello there.", view.bubble(expected.text)]
    assert visitor.history == expected.history
    assert "empathetic" in screens[-1].inspector


def _settings(**changed: float) -> dict[str, Any]:
    return {name: changed.get(name, getattr(Decode(), name)) for name in SLIDERS}


def test_while_it_answers_stop_takes_the_place_of_send(handlers: Handlers) -> None:
    first, *_, last = handlers.send(Visitor(), "Hello.", *inputs(handlers))
    assert texts(first) == ["Hello.", view.WAITING]
    assert first.box == ""
    assert buttons(first) == buttons(last) == (False, True, False)
    assert "value" not in last.box  # what was typed meanwhile stays
    assert buttons(handlers.idle(last.visitor)) == (True, False, True)  # called when the turn's event is over


def test_the_skills_own_settings_are_used_until_a_slider_is_moved(handlers: Handlers) -> None:
    own = say(handlers, Visitor(), "Hello.").visitor.last
    greedy = say(handlers, Visitor(), "Hello.", temperature=0.0).visitor.last
    assert own is not None
    assert own.text == handlers.bot.respond("Hello.", skill="empathetic", seed=7).text
    assert greedy is not None
    assert greedy.text == handlers.bot.respond("Hello.", skill="empathetic", seed=7, **_settings(temperature=0.0)).text
    assert own.text != greedy.text


def test_the_conversation_goes_on(handlers: Handlers) -> None:
    visitor = Visitor()
    say(handlers, visitor, "I moved away.")
    before = visitor.history
    say(handlers, visitor, "I miss home.")
    assert visitor.history == handlers.bot.respond("I miss home.", before, skill="empathetic", seed=7).history
    assert [reply is not None for reply in visitor.replies] == [True, True]


def test_auto_shows_who_was_picked_and_why(handlers: Handlers) -> None:
    screen = say(handlers, Visitor(), "Hello.", skill=view.AUTO)
    choice = handlers.bot.pick("Hello.")
    assert choice.skill in screen.inspector
    assert view.safe(choice.reason) in screen.inspector


@pytest.mark.parametrize(
    ("message", "given", "said"),
    [
        ("   ", {}, "empty"),
        ("Hello.", {"seed": "soon"}, "soon.*is not a whole number"),
        ("Hello.", {"seed": "9" * 5000}, "is not a whole number"),
        ("Hello.", {"seed": str(2**63)}, "outside"),
        ("Hello.", {"skill": "wikki"}, "wiki"),
        ("Hello.", {"min_tokens": 60, "max_tokens": 50}, "above max_tokens"),
        ("Hello.", {"temperature": float("nan")}, "temperature=nan"),
    ],
)
def test_what_cannot_be_answered_is_one_line_and_the_message_stays(
    handlers: Handlers, message: str, given: dict[str, Any], said: str
) -> None:
    visitor = Visitor()
    with pytest.warns(UserWarning, match=said):  # gr.Warning outside of a page
        screen = say(handlers, visitor, message, **given)
    assert screen.box == message
    assert screen.chat == []
    assert len(visitor.history) == 0


def test_a_warning_is_escaped(handlers: Handlers) -> None:
    with pytest.warns(UserWarning, match="&lt;img"):
        say(handlers, Visitor(), "Hello.", skill="<img src=x onerror=alert(1)>")


def test_a_fault_of_ours_is_logged_and_the_message_stays(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(handlers.bot, "stream", refusing(RuntimeError("out of memory")))
    with pytest.warns(UserWarning, match="Something broke .RuntimeError."):
        screen = say(handlers, Visitor(), "Hello.")
    assert "RuntimeError: out of memory" in caplog.text
    assert screen.box == "Hello."


def test_stop_ends_the_generation_and_keeps_what_was_said(handlers: Handlers, monkeypatch: pytest.MonkeyPatch) -> None:
    made = watched(handlers.bot, monkeypatch)
    visitor = Visitor()
    turn = handlers.send(visitor, "Hello.", *inputs(handlers, **LONG))
    growing = [next(turn) for _ in range(5)][-1]
    handlers.stop(visitor)
    (last,) = turn
    assert inspect.getgeneratorstate(made[0]) == inspect.GEN_CLOSED
    assert texts(last) == texts(growing)
    assert last.chat[-1]["content"][1]["text"] == view.STOPPED
    assert visitor.replies == (None,)
    assert [u.speaker for u in visitor.history] == ["user", "bot"]


def test_stop_before_the_first_word_gives_the_message_back(handlers: Handlers) -> None:
    visitor = Visitor()
    turn = handlers.send(visitor, "Hello.", *inputs(handlers))
    next(turn)
    handlers.stop(visitor)
    (last,) = turn
    assert (last.box, last.chat) == ("Hello.", [])


def test_the_next_message_is_not_stopped_as_well(handlers: Handlers) -> None:
    visitor = Visitor()
    handlers.stop(visitor)
    assert len(say(handlers, visitor, "Hello.").chat) == 2


def test_a_page_that_is_closed_ends_its_generation(handlers: Handlers, monkeypatch: pytest.MonkeyPatch) -> None:
    made = watched(handlers.bot, monkeypatch)
    visitor = Visitor()
    turn = handlers.send(visitor, "Hello.", *inputs(handlers, **LONG))
    for _ in range(5):
        next(turn)
    assert isinstance(turn, Generator)
    turn.close()  # what gradio does when the browser is gone
    assert inspect.getgeneratorstate(made[0]) == inspect.GEN_CLOSED
    assert len(visitor.history) == 0


def test_retry_answers_the_same_message_again(handlers: Handlers) -> None:
    visitor = Visitor()
    say(handlers, visitor, "I moved away.")
    say(handlers, visitor, "I miss home.", seed="1")
    before = visitor.history
    *_, screen = handlers.retry(visitor, *inputs(handlers, seed="2"))
    assert visitor.history.texts[:3] == before.texts[:3]
    assert visitor.history.texts[3] != before.texts[3]
    assert len(visitor.replies) == 2
    assert "value" not in screen.box


def test_a_retry_that_fails_keeps_the_former_reply(handlers: Handlers) -> None:
    visitor = Visitor()
    say(handlers, visitor, "I moved away.")
    before = visitor.history, visitor.replies
    with pytest.warns(UserWarning, match="not a whole number"):
        *_, screen = handlers.retry(visitor, *inputs(handlers, seed="x"))
    assert (visitor.history, visitor.replies) == before
    assert texts(screen) == [view.bubble(text) for text in visitor.history.texts]


def test_undo_takes_one_exchange_back_and_clear_all(handlers: Handlers) -> None:
    visitor = Visitor()
    for message in ("one", "two"):
        say(handlers, visitor, message)
    assert handlers.undo(visitor).box == "two"
    assert visitor.history.last_user == "one"
    screen = handlers.clear(visitor)
    assert (visitor.history, visitor.replies, screen.chat) == (History(), (), [])
    assert screen.undo["interactive"] is False


def test_undo_of_nothing_is_nothing(handlers: Handlers) -> None:
    assert handlers.undo(Visitor()).chat == []


def test_two_visitors_at_the_same_time_get_what_each_would_get_alone(handlers: Handlers) -> None:
    given: dict[str, dict[str, Any]] = {
        "Hello.": {"skill": "empathetic", "temperature": 1.5},
        "Goodbye.": {"skill": "weather", "temperature": 0.2},
    }
    alone = {m: say(handlers, Visitor(), m, **LONG, **g).chat for m, g in given.items()}
    visitors = {message: Visitor() for message in given}
    turns = [handlers.send(visitors[m], m, *inputs(handlers, **LONG, **g)) for m, g in given.items()]
    for _ in zip(*turns, strict=False):  # one piece each, in turn
        pass
    for turn in turns:
        list(turn)
    together = {m: view.messages(v.history, v.replies) for m, v in visitors.items()}
    assert together == alone


def test_a_new_visitor_is_a_copy_of_nothing(handlers: Handlers) -> None:
    template = Visitor()
    first, second = copy.deepcopy(template), copy.deepcopy(template)  # gr.State copies its value per visitor
    say(handlers, first, "Hello.")
    assert (len(first.history), len(second.history), len(template.history)) == (2, 0, 0)


def test_an_example_is_answered(handlers: Handlers) -> None:
    event = gr.SelectData(None, {"index": 0, "value": {"text": "Tell me a story."}})
    *_, screen = handlers.example(event, Visitor(), *inputs(handlers))
    assert texts(screen)[0] == "Tell me a story."


@pytest.mark.parametrize(
    ("index", "skill"), [(0, "empathetic"), (1, "empathetic"), (3, "weather"), ([3, 0], "weather")]
)
def test_a_click_on_a_bubble_shows_its_reply(handlers: Handlers, index: Any, skill: str) -> None:
    visitor = Visitor()
    say(handlers, visitor, "one", skill="empathetic")
    say(handlers, visitor, "two", skill="weather")
    shown = handlers.inspect(gr.SelectData(None, {"index": index, "value": ""}), visitor)
    assert f'<p class="ab-skill">{skill}</p>' in shown


def test_the_persona_editor_starts_with_the_skills_own_lines(handlers: Handlers) -> None:
    assert view.persona_lines(handlers.persona) == list(handlers.bot.specs["persona"].knowledge.lines)


def test_edited_persona_lines_are_facts_of_the_persona_skill_only(handlers: Handlers) -> None:
    edited = {"persona": "I am a lighthouse keeper.\n\nI have one goat.\n"}
    persona = say(handlers, Visitor(), "Who are you?", skill="persona", **edited).visitor.last
    other = say(handlers, Visitor(), "Who are you?", skill="empathetic", **edited).visitor.last
    own = say(handlers, Visitor(), "Who are you?", skill="persona").visitor.last
    assert persona is not None
    assert [fact.line for fact in persona.facts] == ["I am a lighthouse keeper.", "I have one goat."]
    assert other is not None
    assert other.facts == ()
    assert own is not None
    assert {fact.source for fact in own.facts} == {"persona"}


def test_the_sliders_show_the_chosen_skills_table_and_free_themselves(handlers: Handlers) -> None:
    locked = handlers.show_settings("weather", own=True)
    assert [u["value"] for u in locked] == [getattr(handlers.bot.specs["weather"].decode, n) for n in SLIDERS]
    assert not any(u["interactive"] for u in locked)
    assert handlers.show_settings(view.AUTO, own=True)[0]["value"] == Decode().temperature
    free = handlers.show_settings("weather", own=False)
    assert all(u["interactive"] and "value" not in u for u in free)
