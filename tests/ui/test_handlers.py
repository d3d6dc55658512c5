"""handlers and acts: each event called as the page calls it, on a real bot with a tiny model; no browser, no server."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from adapterbot.bot import Bot
from adapterbot.errors import StoreError
from adapterbot.facts import Forecast
from adapterbot.storage.feedback import liked_dialogues
from adapterbot.turn import Decode, Reply
from adapterbot.ui import page, words
from adapterbot.ui.acts import Acts
from adapterbot.ui.fixed import fixed_answer
from adapterbot.ui.handlers import Handlers
from adapterbot.ui.markup import safe
from adapterbot.ui.personal import persona_lines
from adapterbot.ui.screen import Screen
from adapterbot.ui.visitor import SLIDERS, Visitor

SHORT: dict[str, Any] = {"max_tokens": 6, "drafts": 1}
LONG: dict[str, Any] = {"min_tokens": 40, "max_tokens": 40, "drafts": 1}


@pytest.fixture
def handlers(tiny_bot: Bot) -> Handlers:
    return Handlers(tiny_bot)


@pytest.fixture
def acts(handlers: Handlers) -> Acts:
    return Acts(handlers)


def arrived(acts: Acts, kept: Any = None, language: str = "en-GB,en;q=0.9") -> tuple[Visitor, Screen]:
    visitor = Visitor()
    request: Any = SimpleNamespace(headers={"accept-language": language}, client=SimpleNamespace(host="127.0.0.1"))
    return visitor, acts.arrive(visitor, kept, request)


def inputs(
    handlers: Handlers,
    skill: str = "empathetic",
    persona: str | None = None,
    seed: str = "7",
    city: str = "",
    units: str = "",
    **settings: Any,
) -> tuple[Any, ...]:
    """What the page sends beside the message; `settings` are sliders that were moved."""
    sliders = [settings.get(name, getattr(Decode(), name)) for name in SLIDERS]
    lines = handlers.personal.persona if persona is None else persona
    return skill, lines, city, units, not settings, seed, *sliders


def say(acts: Acts, visitor: Visitor, message: str, **given: Any) -> Screen:
    given = given or SHORT
    return list(acts.handlers.send(visitor, {}, message, *inputs(acts.handlers, **given)))[-1]


def clicked(do: str, **data: Any) -> gr.EventData:
    return gr.EventData(None, {"do": do, **data})


def click(acts: Acts, visitor: Visitor, do: str, **data: Any) -> Screen:
    return acts.act(clicked(do, **data), visitor, {})


def ask(acts: Acts, visitor: Visitor, do: str, seed: str = "8", **data: Any) -> Screen:
    return list(acts.handlers.ask(clicked(do, **data), visitor, {}, *inputs(acts.handlers, seed=seed, **SHORT)))[-1]


def said(acts: Acts, visitor: Visitor) -> tuple[str, ...]:
    return acts.bot.store.history(visitor.session).texts if visitor.session else ()


def _settings(**changed: float) -> dict[str, Any]:
    return {name: changed.get(name, getattr(Decode(), name)) for name in SLIDERS}


def refusing(error: Exception) -> Callable[..., Any]:
    def stream(*_: object, **__: object) -> Any:
        raise error

    return stream


def test_a_reply_grows_is_the_bots_own_and_is_stored(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    screens = list(acts.handlers.send(visitor, {}, "Hello\nthere.", *inputs(acts.handlers, **LONG)))
    expected = acts.bot.respond("Hello there.", skill="empathetic", seed=7, **_settings(**LONG))
    assert len(screens) > 10
    assert screens[0].box == ""
    assert "Hello\nthere." in screens[0].now
    assert safe(expected.text) in screens[-1].talk
    assert "Hello\nthere." in screens[-1].talk, "new lines are kept"
    assert screens[-1].now == ""
    assert said(acts, visitor) == expected.history.texts
    assert "empathetic" in screens[-1].evidence
    assert screens[-1].kept == {"id": visitor.owner, "session": visitor.session}
    assert visitor.session in screens[-1].chats


def test_while_it_answers_stop_takes_the_place_of_send(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    first, *_, last = acts.handlers.send(visitor, {}, "Hello.", *inputs(acts.handlers, **SHORT))
    for screen in (first, last):
        assert (screen.send["visible"], screen.stop["visible"]) == (False, True)
    assert 'data-do="retry"' not in last.talk
    idle = acts.handlers.idle(visitor)
    assert (idle.send["visible"], idle.stop["visible"]) == (True, False)
    assert 'data-do="retry"' in idle.talk


def test_a_conversation_survives_a_reload_and_a_restart(acts: Acts, tiny_bot: Bot) -> None:
    visitor, _ = arrived(acts)
    last = say(acts, visitor, "I moved away.")
    for bot in (tiny_bot, Bot(tiny_bot.backbone, tiny_bot.home, guard=tiny_bot.guard)):
        again, screen = arrived(Acts(Handlers(bot)), last.kept)
        assert (again.owner, again.session) == (visitor.owner, visitor.session)
        assert "I moved away." in screen.talk
        assert "I moved away." in screen.chats


@pytest.mark.parametrize(
    "kept", [None, 3, {"id": "short"}, {"id": "../../etc/passwd....."}, {"id": "x" * 200}, {"id": []}]
)
def test_a_browser_that_keeps_nothing_sound_gets_a_new_id(acts: Acts, kept: Any) -> None:
    visitor, screen = arrived(acts, kept)
    assert len(visitor.owner) == 24
    assert screen.kept["id"] == visitor.owner
    assert visitor.region == "GB"


def test_nobody_opens_the_conversation_of_another_browser(acts: Acts) -> None:
    anna, _ = arrived(acts)
    say(acts, anna, "A secret.")
    ben, screen = arrived(acts, {"id": "b" * 24, "session": anna.session})
    assert ben.session == ""
    assert "A secret." not in screen.talk + screen.chats
    for do in ("open", "rename", "save", "delete", "export-md", "export-json"):
        if do == "rename":
            continue
        with pytest.warns(UserWarning, match="unknown conversation"):
            click(acts, ben, do, id=anna.session, text="mine")
    assert len(said(acts, anna)) == 2


def test_conversations_are_renamed_searched_deleted_and_brought_back(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    say(acts, visitor, "I moved away.")
    first = visitor.session
    assert click(acts, visitor, "new").kept["session"] == ""
    say(acts, visitor, "Do you like jazz?")
    assert 'class="ab-rename"' in click(acts, visitor, "rename", id=first).chats
    assert "The move" in click(acts, visitor, "save", id=first, text="The move").chats
    assert first not in click(acts, visitor, "search", text="jazz").chats
    click(acts, visitor, "search", text="")
    assert click(acts, visitor, "open", id=first).kept["session"] == first
    gone = click(acts, visitor, "delete", id=first)
    assert "Deleted “The move”." in gone.deleted
    assert first not in gone.chats
    assert words.GREETING in gone.talk
    back = click(acts, visitor, "restore")
    assert "I moved away." in back.talk
    assert back.deleted == ""


def test_a_conversation_is_exported(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    say(acts, visitor, "Who made “Jaws”?/../x")
    order = click(acts, visitor, "export-md", id=visitor.session).order
    assert (order["do"], order["name"]) == ("download", "Who-made-Jaws-x.md")
    assert "## adapterbot (empathetic)" in order["text"]
    assert click(acts, visitor, "export-json", id=visitor.session).order["value"]["turns"][0]["skill"] == "empathetic"


def test_retry_keeps_versions_that_arrows_go_through(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    say(acts, visitor, "I moved away.")
    before = said(acts, visitor)
    ask(acts, visitor, "retry")
    after = said(acts, visitor)
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert "2 / 2" in acts.handlers.idle(visitor).talk
    assert "1 / 2" in click(acts, visitor, "choose", turn="1", number="1").talk
    assert said(acts, visitor) == before


def test_an_edited_message_replaces_the_last_and_the_former_stays_a_version(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    say(acts, visitor, "one")
    say(acts, visitor, "two\nlines")
    editing = click(acts, visitor, "edit")
    assert (editing.box, editing.editing["visible"]) == ("two\nlines", True)
    assert click(acts, visitor, "cancel").editing["visible"] is False
    click(acts, visitor, "edit")
    say(acts, visitor, "three")
    assert said(acts, visitor)[::2] == ("one", "three")
    click(acts, visitor, "choose", turn="2", number="1")
    assert said(acts, visitor)[::2] == ("one", "two lines")


def test_opinions_are_stored_and_taken_back_by_the_same_click(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    say(acts, visitor, "one")
    for opinion, expected in ((1, 1), (-1, -1), (-1, 0)):
        click(acts, visitor, "judge", turn="1", opinion=str(opinion))
        assert acts.bot.store.exchanges(visitor.session)[0].opinion == expected


def test_another_draft_can_be_taken(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    say(acts, visitor, "one", max_tokens=6, drafts=4, temperature=1.5)
    (told,) = acts.bot.store.exchanges(visitor.session)
    other = next(i for i, draft in enumerate(told.reply.drafts) if draft.text != told.reply.text)
    click(acts, visitor, "take", turn="1", number="1", draft=str(other))
    (now,) = acts.bot.store.exchanges(visitor.session)
    assert (now.reply.text, now.opinion, now.numbers) == (told.reply.drafts[other].text, 1, (1, 2))
    with pytest.warns(UserWarning, match=words.GONE):
        click(acts, visitor, "take", turn="9", number="1", draft="0")


def compared(acts: Acts, skill: str) -> tuple[Visitor, Screen]:
    """A conversation whose only message was answered by `empathetic` and then, beside that, by `skill`."""
    visitor, _ = arrived(acts)
    say(acts, visitor, "I moved away.")
    screens = list(acts.handlers.ask(clicked("compare", skill=skill), visitor, {}, *inputs(acts.handlers)))
    assert all("ab-beside" in screen.now for screen in screens[:-1])
    return visitor, screens[-1]


def test_another_skill_answers_beside_and_what_is_preferred_is_feedback(acts: Acts) -> None:
    visitor, last = compared(acts, "wiki")
    one, other = acts.bot.store.versions(visitor.session, 1)
    assert (one.reply.skill, other.reply.skill) == ("empathetic", "wiki")
    assert said(acts, visitor)[1] == one.reply.text, "nothing changes until one is taken"
    assert last.talk.count('data-do="prefer"') == 0, "not while the turn ends"
    assert acts.handlers.idle(visitor).talk.count('data-do="prefer"') == 2
    assert "wiki" in click(acts, visitor, "inspect", turn="1", number="2").evidence
    taken = click(acts, visitor, "prefer", turn="1", number="2")
    assert "ab-beside" not in taken.talk
    assert said(acts, visitor)[1] == other.reply.text
    (dialogue,) = liked_dialogues(acts.bot.store)
    assert dialogue["domain"] == "wiki"
    assert dialogue["turns"][1]["text"] == other.reply.text
    assert dialogue["turns"][1].get("rejected", [one.reply.text]) == [one.reply.text]


def test_a_comparison_ends_without_a_choice(acts: Acts) -> None:
    visitor, _ = compared(acts, "chitchat")
    assert "1 / 2" in click(acts, visitor, "apart").talk
    assert list(liked_dialogues(acts.bot.store)) == []


@pytest.mark.parametrize("skill", ["no such skill", "", None, 3])
def test_nobody_is_compared_with_a_skill_that_there_is_not(acts: Acts, skill: Any) -> None:
    visitor, _ = arrived(acts)
    say(acts, visitor, "one")
    list(acts.handlers.ask(clicked("compare", skill=skill), visitor, {}, *inputs(acts.handlers)))
    assert visitor.beside == (0, 0, 0)


def test_the_skill_offered_beside_is_the_runner_up(acts: Acts) -> None:
    reply = Reply("Yes.", "wiki", {"wiki": 0.7, "weather": 0.2, "graph": 0.01}, "manager")
    assert acts.handlers.others(reply)[:2] == ["weather", "chitchat"]


def test_undo_gives_the_message_back(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    say(acts, visitor, "one")
    screen = click(acts, visitor, "undo")
    assert screen.box == "one"
    assert said(acts, visitor) == ()


def test_a_click_on_a_strip_shows_what_led_to_that_reply(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    say(acts, visitor, "one", skill="empathetic", **SHORT)
    assert "weather" in say(acts, visitor, "two", skill="weather", **SHORT).evidence
    shown = click(acts, visitor, "inspect", turn="1").evidence
    assert '<p class="ab-skill">empathetic</p>' in shown


@pytest.mark.parametrize(
    "data", [{"do": "nonsense"}, {"do": "open"}, {"do": "choose", "turn": "x"}, {"do": "__init__"}]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_click_that_no_button_makes_changes_nothing(acts: Acts, data: dict[str, str]) -> None:
    visitor, _ = arrived(acts)
    say(acts, visitor, "one")
    acts.act(gr.EventData(None, data), visitor, {})
    assert len(said(acts, visitor)) == 2


def test_nothing_changes_while_a_reply_is_made(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    turn = acts.handlers.send(visitor, {}, "Hello.", *inputs(acts.handlers, **LONG))
    next(turn)
    assert list(acts.handlers.send(visitor, {}, "Hello?", *inputs(acts.handlers))) == []
    assert click(acts, visitor, "new") == Screen()
    list(turn)
    assert len(said(acts, visitor)) == 2


@pytest.mark.parametrize(
    ("message", "given", "told"),
    [
        ("   ", SHORT, "empty"),
        ("Hello.", {"seed": "soon"}, "soon.*is not a whole number"),
        ("Hello.", {"seed": str(2**63)}, "outside"),
        ("Hello.", {"skill": "wikki"}, "wiki"),
        ("Hello.", {"min_tokens": 60, "max_tokens": 50}, "above max_tokens"),
        ("Hello.", {"skill": "<img src=x onerror=alert(1)>"}, "&lt;img"),
    ],
)
def test_what_cannot_be_answered_is_one_line_and_the_message_stays(
    acts: Acts, message: str, given: dict[str, Any], told: str
) -> None:
    visitor, _ = arrived(acts)
    with pytest.warns(UserWarning, match=told):  # gr.Warning outside of a page
        screen = say(acts, visitor, message, **given)
    assert screen.box == message
    assert visitor.session == ""
    assert acts.bot.store.of(visitor.owner).list() == []


def test_a_fault_of_ours_is_logged_and_the_message_stays(
    acts: Acts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acts.bot, "stream", refusing(RuntimeError("out of memory")))
    visitor, _ = arrived(acts)
    with pytest.warns(UserWarning, match="Something broke .RuntimeError."):
        screen = say(acts, visitor, "Hello.")
    assert "RuntimeError: out of memory" in caplog.text
    assert screen.box == "Hello."


def test_a_store_that_cannot_be_written_costs_no_reply(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, _ = arrived(acts)
    monkeypatch.setattr(acts.bot.store, "append", refusing(StoreError("the disk is full")))
    with pytest.warns(UserWarning, match="was not saved: the disk is full"):
        screen = say(acts, visitor, "Hello.")
    assert "was not saved" in screen.now


@pytest.mark.parametrize(
    ("message", "given"), [("And you?", {}), ("What can you do?", {"skill": ""}), ("And you?", {"persona": "I ski."})]
)
def test_a_store_that_is_gone_costs_no_reply(
    acts: Acts, monkeypatch: pytest.MonkeyPatch, message: str, given: dict[str, Any]
) -> None:
    visitor, _ = arrived(acts)
    say(acts, visitor, "Hello.")
    database = acts.bot.store._database
    for name in ("read", "write"):
        monkeypatch.setattr(database, name, refusing(StoreError("the server is gone")))
    with pytest.warns(UserWarning, match="the server is gone"):
        screen = say(acts, visitor, message, **given)
    assert "was not saved" in screen.now
    assert not visitor.busy
    monkeypatch.undo()
    assert message in say(acts, visitor, message).talk
    assert [each.message for each in acts.bot.store.exchanges(visitor.session)] == ["Hello.", message]


def test_stop_keeps_what_was_said(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    turn = acts.handlers.send(visitor, {}, "Hello.", *inputs(acts.handlers, **LONG))
    for _ in range(5):
        next(turn)
    acts.handlers.stop(visitor)
    (last,) = turn
    assert words.STOPPED in last.talk
    (told,) = acts.bot.store.exchanges(visitor.session)
    assert told.reply.text
    assert told.reply.warnings == (words.STOPPED,)


def test_stop_ends_the_making_of_drafts(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    many: dict[str, Any] = {"min_tokens": 100, "max_tokens": 100, "drafts": 8, "temperature": 5.0}
    turn = acts.handlers.send(visitor, {}, "Hello.", *inputs(acts.handlers, **many))
    next(turn)
    threading.Timer(0.2, acts.handlers.stop, [visitor]).start()
    *_, last = turn
    if last.box == "Hello.":  # no word was shown before
        assert visitor.session == "" or said(acts, visitor) == ()
    else:
        (told,) = acts.bot.store.exchanges(visitor.session)
        assert (told.reply.warnings, told.reply.drafts) == ((words.STOPPED,), ())


def test_a_page_that_is_closed_ends_its_generation(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Generator[str, None, Reply]] = []
    stream = acts.bot.stream

    def recording(*args: Any, **kwargs: Any) -> Generator[str, None, Reply]:
        made.append(stream(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(acts.bot, "stream", recording)
    visitor, _ = arrived(acts)
    turn: Any = acts.handlers.send(visitor, {}, "Hello.", *inputs(acts.handlers, **LONG))
    for _ in range(5):
        next(turn)
    turn.close()  # what gradio does when the browser is gone
    assert inspect.getgeneratorstate(made[0]) == inspect.GEN_CLOSED
    assert visitor.busy is False
    assert said(acts, visitor) == ()


def test_two_tabs_on_one_conversation_stay_in_order(acts: Acts) -> None:
    one, _ = arrived(acts)
    last = say(acts, one, "first")
    two, _ = arrived(acts, last.kept)
    say(acts, two, "second")
    assert said(acts, one)[::2] == ("first", "second")
    assert "second" in say(acts, one, "third").talk


def test_whoever_waits_sees_how_many_are_before(acts: Acts) -> None:
    acts.handlers.line = type(acts.handlers.line)(at_once=1, waiting=1)
    visitor, _ = arrived(acts)
    with acts.handlers.line.place():
        turn = acts.handlers.send(visitor, {}, "Hello.", *inputs(acts.handlers, **SHORT))
        next(turn)
        assert "One person is before you." in next(turn).now
        other, _ = arrived(acts)
        with pytest.warns(UserWarning, match="2 people are before you"):
            assert say(acts, other, "Me too.").box == "Me too."
    list(turn)
    assert len(said(acts, visitor)) == 2


def test_an_example_is_answered(acts: Acts) -> None:
    visitor, _ = arrived(acts)
    assert "Tell me a story." in ask(acts, visitor, "example", message="Tell me a story.").talk


def test_the_persona_editor_starts_with_the_skills_own_lines(handlers: Handlers) -> None:
    assert persona_lines(handlers.personal.persona) == list(handlers.bot.specs["persona"].knowledge.lines)
    assert persona_lines("  I ski.\n\n\tI have a dog. \r\n") == ["I ski.", "I have a dog."]


@pytest.mark.parametrize(("skill", "facts"), [("persona", 2), ("empathetic", 0)])
def test_edited_persona_lines_are_facts_of_the_persona_skill_only(acts: Acts, skill: str, facts: int) -> None:
    visitor, _ = arrived(acts)
    say(acts, visitor, "Who are you?", skill=skill, persona="I am a lighthouse keeper.\n\nI have one goat.\n", **SHORT)
    (told,) = acts.bot.store.exchanges(visitor.session)
    assert len(told.reply.facts) == facts


def test_the_sliders_show_the_chosen_skills_table_and_free_themselves(handlers: Handlers) -> None:
    table = [getattr(handlers.bot.specs["weather"].decode, name) for name in SLIDERS]
    for own in (True, False):
        shown = handlers.show_settings("weather", own)
        assert [update["value"] for update in shown] == table, "unticking starts from the skill's own values"
        assert all(update["interactive"] is not own for update in shown)
    assert handlers.show_settings("", own=True)[0]["value"] == Decode().temperature


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("Wie geht es dir heute?", words.ENGLISH),
        ("今天天气怎么样?", words.ENGLISH),
        ("What can you do?", words.CAN_DO),
    ],
)
def test_what_no_skill_is_for_the_page_answers_itself(acts: Acts, message: str, text: str) -> None:
    visitor, _ = arrived(acts)
    last = say(acts, visitor, message, skill="")
    (told,) = acts.bot.store.exchanges(visitor.session)
    assert (told.reply.text, told.reply.skill, told.message) == (text, "", message)
    assert ("ab-grid" in last.talk) is (text == words.CAN_DO)
    assert "by no model" in last.evidence
    other = list(acts.handlers.ask(clicked("compare", skill="chitchat"), visitor, {}, *inputs(acts.handlers)))[-1]
    assert "ab-beside" in other.talk, "a skill may still be asked"


@pytest.mark.parametrize("message", ["Hi", "What did you do today?", "weather boston", "gr8 thx m8", "Zürich?", "42"])
def test_ordinary_messages_are_answered_by_a_skill(acts: Acts, message: str) -> None:
    assert fixed_answer(acts.bot, message, auto=True) == ("", "")


def test_care_goes_before_what_the_page_answers(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapterbot.ui.handlers.fixed_answer", lambda *_, **__: (words.ENGLISH, words.FOREIGN))
    visitor, _ = arrived(acts)
    say(acts, visitor, "I want to kill myself.", skill="")
    (told,) = acts.bot.store.exchanges(visitor.session)
    assert told.reply.care == "crisis"


def test_the_city_and_units_of_a_visitor_are_the_forecasts(acts: Acts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts.bot, "demo", True)
    visitor, _ = arrived(acts)
    say(acts, visitor, "Will it rain?", skill="weather", city=" london ", units="metric", **SHORT)
    (told,) = acts.bot.store.exchanges(visitor.session)
    (forecast,) = told.reply.facts
    assert isinstance(forecast, Forecast)
    assert (forecast.place, forecast.unit) == ("london", "C")


@pytest.mark.parametrize("mine", [None, 3, {}, {"persona": 3, "city": [], "units": "kelvin"}])
def test_what_a_browser_remembers_is_checked(mine: Any) -> None:
    persona, city, units = page.remembered(mine)
    assert units == ""
    assert "value" not in persona
    assert "value" not in city


def test_what_was_told_comes_back() -> None:
    assert page.remembered(page.remember("I ski.", "Oslo", "metric")) == ["I ski.", "Oslo", "metric"]
