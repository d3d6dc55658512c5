"""What Open WebUI asks of a chat model in the background: a title, tags and the like of a conversation.

It sends a message of its own that begins with `### Task:`, shows the object to answer with after `### Output:`, and
has the conversation between `<chat_history>` and `</chat_history>`, each message after `USER: ` or `ASSISTANT: `.
A small language model answers none of them well; here no model does.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from adapterbot.bot import Bot
from adapterbot.errors import AdapterbotError
from adapterbot.spec.tables import FALLBACK
from adapterbot.turn import Reply

HEAD, OUTPUT = "### Task:", "### Output:"
OPENING, CLOSING = "<chat_history>", "</chat_history>"
USER = "USER: "
MOST_WORDS = 5  # of a title: what Open WebUI asks for
MOST_TAGS = 3
NO_TAG = "General"  # as Open WebUI asks for where there is nothing to say
REASON = "the client asked for something about the conversation, and no model wrote it"


@dataclass(frozen=True, slots=True)
class Task:
    """`form` is the object that the client shows as an example of the answer, `said` what its user said."""

    form: dict[str, Any]
    said: tuple[str, ...]

    def reply(self, bot: Bot) -> Reply:
        """An object of the same form: a title and tags, and nothing where something would have to be made up."""
        answer = {name: self._value(name, example, bot) for name, example in self.form.items()}
        return Reply(json.dumps(answer, ensure_ascii=False), FALLBACK, reason=REASON)

    def _value(self, name: str, example: Any, bot: Bot) -> Any:
        if isinstance(example, list):
            return self._tags(bot) if name == "tags" else []
        return self._title() if name == "title" else ""

    def _title(self) -> str:
        """The first words of the conversation."""
        words = next(iter(self.said), "").split()
        return " ".join(words[:MOST_WORDS]) + ("…" if len(words) > MOST_WORDS else "")

    def _tags(self, bot: Bot) -> list[str]:
        """The skills that the manager picks for what was said, the most frequent first."""
        picked: dict[str, int] = {}
        for text in self.said:
            try:
                skill = bot.pick(text).skill
            except AdapterbotError:  # nothing to be read in it
                continue
            picked[skill] = picked.get(skill, 0) + (skill != FALLBACK)
        tags = sorted((skill for skill, count in picked.items() if count), key=lambda skill: -picked[skill])
        return [tag.replace("_", " ") for tag in tags[:MOST_TAGS]] or [NO_TAG]


class Told:
    """A reply that is there already, read as `turns.Pieces` are."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    async def __aiter__(self) -> AsyncIterator[str]:
        yield self.reply.text

    async def close(self) -> None:
        """Nothing is being made."""


def task_of(message: str) -> Task | None:
    """The task that a message is, or None for one that somebody wrote."""
    if not message.lstrip().startswith(HEAD) or OPENING not in message:
        return None
    before, _, after = message.partition(OPENING)
    form = _first_object(before.partition(OUTPUT)[2] or after.partition(OUTPUT)[2])
    if form is None:
        return None
    lines = after.rpartition(CLOSING)[0].splitlines()
    return Task(form, tuple(line.removeprefix(USER).strip() for line in lines if line.startswith(USER)))


def _first_object(text: str) -> dict[str, Any] | None:
    """The first JSON object in a text."""
    start = text.find("{")
    try:
        found, _ = json.JSONDecoder().raw_decode(text, max(start, 0))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
