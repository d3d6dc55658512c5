"""What visitors told about themselves: persona lines, a city, units; and the facts that these make for a turn."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from adapterbot.errors import AdapterbotError
from adapterbot.facts import Fact
from adapterbot.history import History
from adapterbot.knowledge import Opening, Source, open_source
from adapterbot.ui.visitor import Wishes

if TYPE_CHECKING:
    from adapterbot.bot import Bot

MOST_SOURCES = 64  # forecasts for different cities and units that are kept open


class Personal:
    """Facts by what a visitor told, in place of those that a skill would find. Safe to use from several threads."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._lock = threading.Lock()
        self._forecasts: dict[tuple[str, str, str], Source] = {}
        self.persona = self._own_persona()

    def facts(self, message: str, session: str, wished: Wishes) -> list[Fact | str] | None:
        """The persona editor's lines if they were edited and a persona answers; the forecast for the visitor's city.

        None where the skill finds its facts by itself.
        """
        lines = persona_lines(wished.persona)
        edited = lines != persona_lines(self.persona)
        if not edited and not wished.city and not wished.units:
            return None
        past = self._bot.session(session).recent()[0] if session else History()
        skill = wished.skill
        if not skill:
            choice = self._bot.pick(message, past)
            skill = "" if choice.care else choice.skill
        spec = self._bot.specs.get(skill)
        kind = spec.knowledge.source if spec else ""
        if kind == "persona" and edited:
            return [*lines]
        if kind == "weather" and (wished.city or wished.units):
            return [*self._forecast(skill, wished).retrieve(past.add_user(message))] or None
        return None

    def _forecast(self, skill: str, wished: Wishes) -> Source:
        key = (skill, wished.city, wished.units)
        with self._lock:
            if key not in self._forecasts:
                spec = self._bot.specs[skill]
                table = spec.knowledge.model_copy(update={"units": wished.units or spec.knowledge.units})
                spec = spec.model_copy(update={"knowledge": table})
                place = wished.city or self._bot.place
                if len(self._forecasts) >= MOST_SOURCES:
                    self._forecasts.clear()
                self._forecasts[key] = open_source(Opening(spec, self._bot.home, demo=self._bot.demo, place=place))
            return self._forecasts[key]

    def _own_persona(self) -> str:
        """The lines that the persona skill brings along: what the editor starts with."""
        for skill in self._bot.skills:
            if self._bot.specs[skill].knowledge.source == "persona":
                with contextlib.suppress(AdapterbotError):  # said again, and shown, when the skill is asked
                    return "\n".join(fact.line for fact in self._bot.source(skill).retrieve(History()))
        return ""


def persona_lines(text: str) -> list[str]:
    """The persona editor's text as facts: one per line, empty lines left out."""
    return [line.strip() for line in text.splitlines() if line.strip()]
