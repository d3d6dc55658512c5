"""What the app does when a visitor asks something: the message and the bot in, pictures of the conversation out."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from adapterbot.errors import AdapterbotError, StoreError
from adapterbot.history import History
from adapterbot.storage.conversations import Exchange
from adapterbot.turn import Decode, Reply
from adapterbot.ui import words
from adapterbot.ui.evidence import evidence_html
from adapterbot.ui.files import Files
from adapterbot.ui.fixed import fixed_answer
from adapterbot.ui.line import Line
from adapterbot.ui.lists import deleted_html, list_html
from adapterbot.ui.markup import safe
from adapterbot.ui.overview import GROUPS, empty_html, overview_html
from adapterbot.ui.personal import Personal
from adapterbot.ui.screen import Asked, Screen
from adapterbot.ui.talk import Around, talk_html
from adapterbot.ui.visitor import SLIDERS, Visitor

if TYPE_CHECKING:
    from adapterbot.bot import Bot

log = logging.getLogger(__name__)
Stream = Generator[str, None, Reply]
LOOK = 0.25  # seconds between two looks at the line
BEAT = 1.0  # seconds after which a page is told that nothing is new, so that a closed one is noticed
LIKELY = 0.05  # a score from which on a skill is offered before all others


class Handlers:
    """The event handlers of one app. They hold the bot and no conversation."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.line = Line()
        self.files = Files(bot)
        self.personal = Personal(bot)

    # -- the page ----------------------------------------------------------------------------------------------------

    def show(self, visitor: Visitor, **changes: Any) -> Screen:
        """The whole page as the store has it, with `changes`."""
        try:
            exchanges = self.exchanges(visitor, visitor.shown + 1)
            listed = self.bot.store.of(visitor.owner).list(visitor.search) if visitor.owner else []
            beside = self._beside(visitor)
        except StoreError as error:
            gr.Warning(safe(str(error)))
            exchanges, listed, beside = [], [], []
        shown = exchanges[-visitor.shown :]
        looked = self._looked(visitor, shown)
        overview = self.overview()
        talk = talk_html(
            shown,
            more=len(exchanges) > len(shown),
            busy=visitor.busy,
            looked_at=looked.position if looked else 0,
            around=Around(beside, self.others(shown[-1].reply) if shown else (), overview, self._no_forecast()),
        )
        screen = Screen(
            visitor=visitor,
            chats=list_html(listed, current=visitor.session, renaming=visitor.renaming, search=visitor.search),
            deleted=deleted_html(visitor.deleted[1]),
            talk=talk or empty_html(overview),
            now="",
            evidence=evidence_html(looked.reply, self.bot.specs, looked.position, looked.number)
            if looked
            else evidence_html(None, self.bot.specs),
            editing=gr.update(visible=visitor.editing),
            send=gr.update(visible=not visitor.busy, interactive=True),
            stop=gr.update(visible=visitor.busy),
        )
        return screen._replace(**changes)

    def exchanges(self, visitor: Visitor, most: int | None = None) -> list[Exchange]:
        """What was said in the open conversation."""
        return self.bot.store.exchanges(visitor.session, most) if visitor.session else []

    def _looked(self, visitor: Visitor, shown: Sequence[Exchange]) -> Exchange | None:
        """The exchange whose evidence is to be seen, in the version that was clicked."""
        found = next((each for each in shown if each.position == visitor.looked_at), shown[-1] if shown else None)
        if found and visitor.version not in (0, found.number) and found.position == visitor.looked_at:
            versions = self.bot.store.versions(visitor.session, found.position)
            return next((each for each in versions if each.number == visitor.version), found)
        return found

    def _beside(self, visitor: Visitor) -> list[Exchange]:
        """The versions that stand side by side, none where one of them is gone."""
        position, *numbers = visitor.beside
        versions = self.bot.store.versions(visitor.session, position) if position and visitor.session else []
        found = [each for number in numbers for each in versions if each.number == number]
        return found if len(found) == len(numbers) else []

    def others(self, reply: Reply) -> list[str]:
        """The skills that did not make this reply, those that the manager found likeliest first, styles last."""
        order = {group: place for place, group in enumerate(GROUPS)}
        likely = {name: score for name, score in reply.scores.items() if score >= LIKELY}
        rest = [name for name in self.bot.skills if name != reply.skill]
        return sorted(rest, key=lambda n: (-likely.get(n, 0.0), order.get(self.bot.specs[n].group, 0), n))

    def overview(self) -> str:
        """What the bot can do, with a message for each skill."""
        calendar = self.bot.demo or self.files.calendar
        return overview_html(self.bot.specs, self.bot.skills, calendar=calendar)

    def _no_forecast(self) -> str:
        """Why a forecast may have been missing."""
        if self.bot.demo:
            return words.NO_SAMPLE
        opened = [
            self.bot.source(name) for name in self.bot.skills if self.bot.specs[name].knowledge.source == "weather"
        ]
        resting = any(getattr(source, "resting", bool)() for source in opened)
        return words.NO_NETWORK if resting else words.NO_FORECAST

    def show_settings(self, skill: str | None, own: bool) -> list[Any]:
        """The sliders: locked at the skill's own table, or free from where they stand."""
        spec = self.bot.specs.get(skill or "")
        table = spec.decode if spec else Decode()
        if not own:
            return [gr.update(value=getattr(table, name), interactive=True) for name in SLIDERS]
        return [gr.update(value=getattr(table, name), interactive=False) for name in SLIDERS]

    # -- a turn ------------------------------------------------------------------------------------------------------

    def send(self, visitor: Visitor, kept: Any, message: str, *inputs: Any) -> Iterator[Screen]:
        """Answer `message`; when that fails it goes back into the box. As after `ask`, the page calls `idle` then."""
        former = self._last(visitor) if visitor.editing else None
        yield from self._turn(visitor, kept, Asked(message, inputs, former, box=message))

    def ask(self, event: gr.EventData, visitor: Visitor, kept: Any, *inputs: Any) -> Iterator[Screen]:
        """Answer the example that was clicked, or the last message again, be it by another skill and side by side."""
        asked = event._data or {}
        do, skill = asked.get("do"), asked.get("skill", "")
        if skill not in ("", *self.bot.skills):
            return
        last = self._last(visitor)
        if do == "example":
            yield from self._turn(visitor, kept, Asked(str(asked.get("message", "")), inputs, skill=skill, box=""))
        elif last:
            beside = do == "compare" and bool(skill)
            yield from self._turn(visitor, kept, Asked(last.typed, inputs, last, skill, beside))

    def _last(self, visitor: Visitor) -> Exchange | None:
        return next(iter(self.exchanges(visitor, 1)), None)

    def stop(self, visitor: Visitor) -> None:
        """End the running generation after the token it is at; what was said so far stays."""
        visitor.stopping = True

    def idle(self, visitor: Visitor) -> Screen:
        """The buttons to go on with, once a turn's event is over: earlier, its end would paint over what they start."""
        return self.show(visitor)

    def _turn(self, visitor: Visitor, kept: Any, asked: Asked) -> Iterator[Screen]:
        """Answer what was asked; the store changes when there is a reply."""
        if visitor.busy:
            return
        visitor.busy, visitor.stopping, visitor.editing, visitor.beside = True, False, False, (0, 0, 0)
        before = list[Exchange]()
        with contextlib.suppress(StoreError):  # the reply says so
            before = self.exchanges(visitor, visitor.shown)
        yield self.show(visitor)._replace(
            talk=talk_html(before[:-1] if asked.former else before, busy=True),
            now=asked.growing(),
            box=gr.skip() if asked.box is None else "",
        )
        failed = gr.skip() if asked.box is None else asked.box
        try:
            with self.line.place() as place:
                yield from self._wait(visitor, place, asked)
                said, reply = yield from self._answer(visitor, asked)
            if not reply and said.strip():
                self._keep_stopped(visitor, said, asked)
            visitor.look()
            if asked.beside and (reply or said.strip()):
                self._put_beside(visitor, asked)
            lost = next((note for note in reply.warnings if "was not saved" in note), "") if reply else ""
            done = {} if reply or said.strip() else {"box": failed}
            shown = self.show(visitor, kept=kept_with(kept, visitor), **done)
            if lost and reply:
                gr.Warning(safe(lost))
                shown = shown._replace(now=asked.growing(reply.text, lost))
            yield shown
        except AdapterbotError as error:
            gr.Warning(safe(str(error)))
            yield self.show(visitor, box=failed)
        except Exception as error:  # a fault of ours; gradio's own handling would cover the conversation
            log.exception("a message could not be answered")
            gr.Warning(words.BROKEN.format(safe(type(error).__name__)))
            yield self.show(visitor, box=failed)
        finally:
            visitor.busy = False

    def _wait(self, visitor: Visitor, place: int, asked: Asked) -> Iterator[Screen]:
        """Show how many are served before."""
        while (before := self.line.before(place)) and not visitor.stopping:
            yield Screen(now=asked.growing("", words.before_you(before)))
            time.sleep(LOOK)

    def _answer(self, visitor: Visitor, asked: Asked) -> Generator[Screen, None, tuple[str, Reply | None]]:
        """Show the reply as it grows; return its text, and the Reply unless Stop was pressed."""
        owned = self.bot.store.of(visitor.owner)
        session = visitor.session or owned.new_id()
        said = ""
        seen = time.monotonic()
        with contextlib.closing(self._stream(visitor, session, asked)) as pieces:
            while not visitor.stopping:
                try:
                    piece = next(pieces)
                except StopIteration as end:
                    return end.value.text, end.value
                if not visitor.session:  # the message can be answered
                    with contextlib.suppress(StoreError):  # the reply says so
                        owned.begin(session, asked.message)
                    visitor.session = session
                said += piece
                if piece or time.monotonic() - seen > BEAT:
                    seen = time.monotonic()
                    yield Screen(now=asked.growing(said))
        return said, None

    def _stream(self, visitor: Visitor, session: str, asked: Asked) -> Stream:
        talk = self.bot.session(session)
        wished = asked.wished()
        text, reason = ("", "") if asked.beside else fixed_answer(self.bot, asked.message, auto=not wished.skill)
        if text and not self._needs_care(asked.message, session):
            return self._fixed(session, asked, text, reason)
        request: dict[str, Any] = {
            "skill": wished.skill or None,
            "facts": self.personal.facts(asked.message, visitor.session, wished),
            "region": visitor.region or None,
            "beats": True,
            **wished.settings,
        }
        return talk.again(asked.message, **request) if asked.former else talk.stream(asked.message, **request)

    def _needs_care(self, message: str, session: str) -> bool:
        """Whether a message that has a fixed answer needs care before it."""
        return bool(self.bot.pick(message, self.bot.session(session).recent()[0]).care)

    def _fixed(self, session: str, asked: Asked, text: str, reason: str) -> Stream:
        """Tell and keep an answer that no model makes."""
        yield text
        heard = self.bot.guard.message(asked.message)[0]
        reply = Reply(text, "", reason=reason, history=History().add_user(heard).add_bot(text))
        if asked.former:
            self.bot.store.add_version(session, asked.former.position, heard, reply, asked.message)
        else:
            reply = self.bot.session(session).keep(asked.message, reply)
        return reply

    def _keep_stopped(self, visitor: Visitor, said: str, asked: Asked) -> None:
        """Store what was said before Stop was pressed."""
        history = History().add_user(asked.message).add_bot(said)
        reply = Reply(said, asked.wished().skill, warnings=(words.STOPPED,), history=history)
        if asked.former:
            self.bot.store.add_version(visitor.session, asked.former.position, asked.message, reply)
        else:
            self.bot.store.append(visitor.session, asked.message, reply)

    def _put_beside(self, visitor: Visitor, asked: Asked) -> None:
        """Show the reply that was just made beside the former one, which stays what was said until one is taken."""
        last = self._last(visitor)
        if asked.former and last and last.position == asked.former.position:
            visitor.beside = (last.position, asked.former.number, last.number)
            self.bot.store.choose(visitor.session, last.position, asked.former.number)


def kept_with(kept: Any, visitor: Visitor) -> dict[str, Any]:
    """What the browser keeps: its id, and which conversation is open."""
    return {**(kept if isinstance(kept, dict) else {}), "id": visitor.owner, "session": visitor.session}
