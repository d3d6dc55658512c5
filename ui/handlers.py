"""What the app does on each event: one visitor's state and the bot in, a picture of the conversation out."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr

from adapterbot.errors import AdapterbotError, SettingError, shorten
from adapterbot.history import History
from adapterbot.reply.care import region_of
from adapterbot.turn import DECODE_SETTINGS, Decode, Reply
from adapterbot.ui import view

if TYPE_CHECKING:
    from adapterbot.bot import Bot

log = logging.getLogger(__name__)
Replies = tuple[Reply | None, ...]
Stream = Generator[str, None, Reply]
SLIDERS = tuple(name for name in DECODE_SETTINGS if name != "seed")


@dataclass(eq=False)  # gradio hashes it to see whether it changed
class Visitor:
    """One browser tab: the conversation, and the Reply behind each of the bot's utterances (None = stopped half-way).

    `stopping` is how the Stop button reaches the handler that is generating for the same visitor; `region` is the
    country that the browser's language names, if it names one.
    """

    history: History = field(default_factory=History)
    replies: Replies = ()
    stopping: bool = False
    region: str = ""

    @property
    def last(self) -> Reply | None:
        """The newest reply, for the inspector."""
        return self.replies[-1] if self.replies else None


class Screen(NamedTuple):
    """What an event changes, in the order in which the page wires its components."""

    visitor: Visitor
    chat: Any
    box: Any
    inspector: Any
    send: Any
    stop: Any
    retry: Any
    undo: Any
    clear: Any


class Wishes(NamedTuple):
    """How the visitor wants the message answered. `settings` is empty when the skill's own table holds."""

    skill: str
    persona: str
    settings: dict[str, Any]


def wishes(skill: str, persona: str, own: bool, seed: str, *sliders: float) -> Wishes:
    """The picker, the persona editor, 'use the skill's own settings', the seed and the sliders in order of SLIDERS.

    Raises:
        SettingError: the seed is not a whole number.
    """
    settings: dict[str, Any] = {} if own else dict(zip(SLIDERS, sliders, strict=True))
    if seed.strip():
        try:
            settings["seed"] = int(seed)
        except ValueError:
            raise SettingError(f"the seed {shorten(seed)!r} is not a whole number; leave it empty for any") from None
    return Wishes(skill, persona, settings)


class Handlers:
    """The event handlers of one app. They hold the bot and no conversation."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.persona = self._own_persona()

    def arrive(self, visitor: Visitor, request: gr.Request) -> Visitor:
        """Note the country in the first language that the visitor's browser asks for."""
        languages = request.headers.get("accept-language", "")
        visitor.region = region_of(languages.partition(",")[0].partition(";")[0])
        return visitor

    def send(self, visitor: Visitor, message: str, *inputs: Any) -> Iterator[Screen]:
        """Answer `message`; when that fails it goes back into the box. As after `retry`, the page calls `idle` then."""
        yield from self._turn(visitor, (visitor.history, visitor.replies), message, inputs, box=message)

    def example(self, event: gr.SelectData, visitor: Visitor, *inputs: Any) -> Iterator[Screen]:
        """Answer the example that was clicked."""
        yield from self.send(visitor, str(event.value["text"]), *inputs)

    def retry(self, visitor: Visitor, *inputs: Any) -> Iterator[Screen]:
        """Answer the last message again; the former reply stays when that fails."""
        before = visitor.history.without_last_exchange(), visitor.replies[:-1]
        yield from self._turn(visitor, before, visitor.history.last_user, inputs, box=None)

    def undo(self, visitor: Visitor) -> Screen:
        """Take the last exchange back; its message returns to the box."""
        message = visitor.history.last_user
        visitor.history = visitor.history.without_last_exchange()
        visitor.replies = visitor.replies[:-1]
        return self.idle(visitor, box=message)

    def clear(self, visitor: Visitor) -> Screen:
        """Start over."""
        visitor.history = History()
        visitor.replies = ()
        return self.idle(visitor)

    def stop(self, visitor: Visitor) -> None:
        """End the running generation after the token it is at; what was said so far stays."""
        visitor.stopping = True

    def inspect(self, event: gr.SelectData, visitor: Visitor) -> str:
        """What led to the reply that was clicked (bubbles alternate: user, bot)."""
        index = event.index[0] if isinstance(event.index, (list, tuple)) else event.index
        picked = visitor.replies[int(index) // 2 :][:1]
        return view.inspector_html(picked[0] if picked else visitor.last, self.bot.specs)

    def show_settings(self, skill: str, own: bool) -> list[Any]:
        """The sliders: locked at the skill's own table, or free from where they stand."""
        if not own:
            return [gr.update(interactive=True) for _ in SLIDERS]
        spec = self.bot.specs.get(skill)
        table = spec.decode if spec else Decode()
        return [gr.update(value=getattr(table, name), interactive=False) for name in SLIDERS]

    def idle(self, visitor: Visitor, box: str | None = None, busy: bool = False) -> Screen:
        """The conversation as it stands, and by default the buttons to go on with it.

        A turn ends `busy`, and the page calls this once the turn's event is over: a button that came back earlier could
        start an event whose result the end of the turn then paints over.
        """
        inspector = view.inspector_html(visitor.last, self.bot.specs)
        return _screen(visitor, view.messages(visitor.history, visitor.replies), box, inspector, busy=busy)

    def _turn(
        self, visitor: Visitor, before: tuple[History, Replies], message: str, inputs: tuple[Any, ...], box: str | None
    ) -> Iterator[Screen]:
        """Answer `message` after `before`; the visitor changes only once there is something to keep."""
        visitor.stopping = False
        asked = before[0].add_user(message)
        replies = before[1]
        yield _screen(visitor, view.messages(asked.add_bot(view.WAITING), replies), None if box is None else "")
        try:
            stream = self._stream(message, before[0], visitor.region, wishes(*inputs))
            said, reply = yield from self._speak(visitor, asked, replies, stream)
        except AdapterbotError as error:
            gr.Warning(view.safe(str(error)))
            yield self.idle(visitor, box, busy=True)
            return
        except Exception as error:  # a fault of ours; gradio's own handling would cover the conversation
            log.exception("a message could not be answered")
            gr.Warning(f"Something broke ({view.safe(type(error).__name__)}); the terminal says more.")
            yield self.idle(visitor, box, busy=True)
            return
        if reply or said.strip():
            visitor.history = reply.history if reply else asked.add_bot(said)
            visitor.replies = (*replies, reply)
        yield self.idle(visitor, None if reply or said.strip() else box, busy=True)

    def _speak(
        self, visitor: Visitor, asked: History, replies: Replies, pieces: Stream
    ) -> Generator[Screen, None, tuple[str, Reply | None]]:
        """Show the reply as it grows; return its text, and the Reply unless Stop was pressed."""
        said = ""
        with contextlib.closing(pieces):
            while not visitor.stopping:
                try:
                    said += next(pieces)
                except StopIteration as end:
                    return end.value.text, end.value
                yield _screen(visitor, view.messages(asked.add_bot(said), replies))
        return said, None

    def _stream(self, message: str, history: History, region: str, wished: Wishes) -> Stream:
        facts = self._facts(message, history, wished)
        skill = wished.skill or None
        return self.bot.stream(message, history, skill=skill, facts=facts, region=region or None, **wished.settings)

    def _facts(self, message: str, history: History, wished: Wishes) -> list[str] | None:
        """The persona editor's lines, if they were edited and a persona skill is going to answer."""
        lines = view.persona_lines(wished.persona)
        if lines == view.persona_lines(self.persona):
            return None
        skill = wished.skill or self.bot.pick(message, history).skill
        return lines if skill in self._speaking_as_somebody() else None

    def _own_persona(self) -> str:
        """The lines that the persona skill brings along: what the editor starts with."""
        for skill in self._speaking_as_somebody():
            with contextlib.suppress(AdapterbotError):  # said again, and shown, when the skill is asked
                return "\n".join(fact.line for fact in self.bot.source(skill).retrieve(History()))
        return ""

    def _speaking_as_somebody(self) -> list[str]:
        return [name for name in self.bot.skills if self.bot.specs[name].knowledge.source == "persona"]


def _screen(
    visitor: Visitor,
    chat: list[view.Message],
    box: str | None = None,
    inspector: str | None = None,
    *,
    busy: bool = True,
) -> Screen:
    """The page: while `busy`, Stop takes the place of Send, and the conversation cannot be changed."""
    change = gr.update(interactive=not busy and bool(chat))
    return Screen(
        visitor=visitor,
        chat=chat,
        box=gr.skip() if box is None else box,
        inspector=gr.skip() if inspector is None else inspector,
        send=gr.update(visible=not busy),
        stop=gr.update(visible=busy),
        retry=change,
        undo=change,
        clear=change,
    )
