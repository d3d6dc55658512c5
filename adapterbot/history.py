"""1 · The conversation so far, as an immutable value that its caller owns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from adapterbot.errors import InputError, reason, shorten
from adapterbot.home import read_whole

Speaker = Literal["user", "bot"]

MOST_BYTES = 64 * 2**20  # of a file with a history
MOST_TEXT = 20_000  # characters of one utterance; no model has positions for more
READ = 200  # utterances that a turn looks at, the newest: what was said hours ago decides nothing

# Other programs' names for the two speakers: the corpora say "system" where chat APIs say "assistant".
SPEAKERS: dict[str, Speaker] = {"user": "user", "bot": "bot", "system": "bot", "assistant": "bot"}
ROLES: dict[str, Speaker] = {"user": "user", "human": "user", "bot": "bot", "assistant": "bot", "model": "bot"}
INSTRUCTING = frozenset({"system", "developer"})  # roles of those who tell the bot how to be, and talk to nobody
TOOLS = frozenset({"tool", "function"})  # roles of what a program answered: no utterance
CALLS = ("tool_calls", "function_call", "audio")  # what a chat API's message may have in place of a text
WRAPPED = ("messages", "history", "turns")  # where an object keeps its list
SPOKEN = frozenset({"text", "input_text", "output_text"})  # types of a content's parts that are words
FORMS = (
    'use {"speaker": "user" | "bot", "text": "..."}, {"role": "user" | "assistant" | "system", "content": "..."}, '
    "[user, bot] pairs or plain texts"
)


def first_shown(utterances: int, turns: int) -> int:
    """The index of the first of so many utterances that a prompt shows: of the last `turns`, or before them.

    It moves by `turns` (an even number, so that a user begins) and not by each message: the prompts of turns in a row
    begin alike, and the prefix cache holds what they share.

    >>> [first_shown(n, 5) for n in (1, 5, 7, 9, 11, 13)]
    [0, 0, 0, 0, 6, 6]
    """
    stride = turns + turns % 2
    return max(0, (utterances - turns) // stride * stride)


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing that one speaker said. `skill` answered, where that is known; it is no part of what was said."""

    speaker: Speaker
    text: str
    skill: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class History:
    """Utterances, oldest first. Adding returns a new History; nothing is ever changed in place.

    `instructions` are what a chat API's `system` and `developer` messages say: nobody said it in the conversation.
    `notes` tell what could not be read as it was given, or was cut; what is added to a history leaves them behind.

    >>> History().add_user("Hi!").add_bot("Hello.").texts
    ('Hi!', 'Hello.')
    """

    utterances: tuple[Utterance, ...] = ()
    instructions: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    def add_user(self, text: str) -> History:
        """This history and then `text`, said by the user."""
        return History((*self.utterances, Utterance("user", text)), self.instructions)

    def add_bot(self, text: str, skill: str = "") -> History:
        """This history and then `text`, said by the bot, by one of its skills."""
        return History((*self.utterances, Utterance("bot", text, skill)), self.instructions)

    def window(self, turns: int) -> History:
        """The last `turns` utterances (a turn is one utterance, as in the paper's history of five)."""
        return replace(self, utterances=self.utterances[-turns:] if turns > 0 else ())

    def shown(self, turns: int) -> History:
        """What a prompt shows: the last `turns` utterances, and those before them from `first_shown` on."""
        return replace(self, utterances=self.utterances[first_shown(len(self.utterances), turns) :])

    def thread(self, skill: str) -> History:
        """This history without the exchanges that other skills answered: their words lead a small model astray."""
        kept = list[Utterance]()
        waiting = list[Utterance]()
        for utterance in self.utterances:
            waiting.append(utterance)
            if utterance.speaker == "bot":
                # Of a stack or an average (`weather+joy`, `0.7*weather+0.3*joy`) the first answers.
                answered = utterance.skill.partition("+")[0].rpartition("*")[2]
                kept += waiting if answered in ("", skill) else ()
                waiting = []
        return replace(self, utterances=(*kept, *waiting))

    def without_last_exchange(self) -> History:
        """This history without the last user message and what followed it (undo, retry)."""
        last = max((i for i, u in enumerate(self.utterances) if u.speaker == "user"), default=0)
        return replace(self, utterances=self.utterances[:last])

    @property
    def texts(self) -> tuple[str, ...]:
        """What was said, oldest first."""
        return tuple(u.text for u in self.utterances)

    @property
    def last_user(self) -> str:
        """The newest user message, or an empty string."""
        return next((u.text for u in reversed(self.utterances) if u.speaker == "user"), "")

    def to_list(self) -> list[dict[str, str]]:
        """The JSON form, `[{"speaker": "user" | "bot", "text": ...}]`, after instructions as chat APIs send them."""
        told = [{"role": "system", "content": text} for text in self.instructions]
        return [*told, *({"speaker": u.speaker, "text": u.text} for u in self.utterances)]

    @classmethod
    def of(cls, past: History | Sequence[object] | Mapping[str, object] | None) -> History:
        """`past` as a History: itself, a form that `from_list` reads, or None for a new conversation.

        Utterances of more than `MOST_TEXT` characters are cut, which `notes` tells.
        """
        if past is None:
            return cls()
        if not isinstance(past, History):
            return cls.from_list(past)
        if all(len(u.text) <= MOST_TEXT for u in past.utterances[-READ:]):
            return past
        return replace(cls.from_list(past.utterances), instructions=past.instructions)

    @classmethod
    def from_list(cls, items: Sequence[object] | Mapping[str, object]) -> History:
        """Read the JSON form, what chat APIs send (`role`/`content`, content as text or as parts), `[user, bot]` pairs,
        plain texts, and an object that holds one of these as `messages`, `history` or `turns`.

        Raises:
            InputError: an item of another form, or an unknown speaker; the message names its number and the forms.
        """
        if isinstance(items, Mapping):
            items = next((found for key in WRAPPED if isinstance(found := items.get(key), list)), items)
        if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Sequence):
            raise InputError(f"a history is a list, or an object with one as {', '.join(WRAPPED)}; {FORMS}")
        reading = _Reading(len(items))
        for index, item in enumerate(items):
            reading.take(index, item)
        return cls(tuple(reading.utterances), tuple(reading.instructions), tuple(reading.notes))

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)


def read_history(path: Path) -> History:
    """The history in a JSON file (see `History.from_list`).

    Raises:
        InputError: it cannot be read, is larger than `MOST_BYTES`, no JSON or no history.
    """
    try:
        content = json.loads(read_whole(path, MOST_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {reason(error)}") from None
    try:
        return History.from_list(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


class _Reading:
    """What has been read of a list of `total` items."""

    def __init__(self, total: int) -> None:
        self._total = total
        self.utterances: list[Utterance] = []
        self.instructions: list[str] = []
        self.notes: list[str] = []

    def take(self, index: int, item: object) -> None:
        """Read one more item; raises InputError for one that is of none of the forms."""
        where = f"history[{index}]"
        if isinstance(item, Utterance):
            self._say(where, item.speaker, item.text, item.skill)
        elif isinstance(item, str):  # plain strings alternate and end with the bot
            self._say(where, "user" if (self._total - index) % 2 == 0 else "bot", item)
        elif isinstance(item, (list, tuple)):
            self._exchange(where, item)
        elif not isinstance(item, Mapping):
            raise InputError(f"{where} is neither text nor an object nor a pair; {FORMS}")
        elif "message" in item and "reply" in item:  # as `sessions show` prints them
            skill = item.get("skill")
            self._exchange(where, (item["message"], item["reply"]), skill if isinstance(skill, str) else "")
        elif "speaker" in item:
            self._say(where, _named(where, item["speaker"], SPEAKERS), self._text(where, item))
        else:
            self._message(where, item)

    def _exchange(self, where: str, pair: Sequence[object], skill: str = "") -> None:
        """A user's message and the bot's reply; either may be None, as in an app that waits for a reply."""
        if len(pair) != 2 or not all(text is None or isinstance(text, str) for text in pair):
            raise InputError(f"{where} is not a pair of two texts; {FORMS}")
        for speaker, text in zip(("user", "bot"), pair, strict=True):
            if isinstance(text, str):
                self._say(where, "user" if speaker == "user" else "bot", text, skill if speaker == "bot" else "")

    def _message(self, where: str, item: Mapping[str, object]) -> None:
        """One message of a chat API."""
        role = item.get("role")
        if isinstance(role, str) and role in TOOLS:
            return
        if isinstance(role, str) and role in INSTRUCTING:
            self.instructions.append(self._cut(where, self._text(where, item)))
            return
        speaker = _named(where, role, ROLES)
        called = speaker == "bot" and any(item.get(key) for key in CALLS)
        if called and not (item.get("content") or item.get("text")):
            return  # it called a tool and said nothing
        self._say(where, speaker, self._text(where, item))

    def _text(self, where: str, item: Mapping[str, object]) -> str:
        """The words of an item: its text, or the parts of its content that are text."""
        content = item.get("text", item.get("content"))
        if content is None and isinstance(item.get("refusal"), str):
            content = item["refusal"]
        if isinstance(content, Mapping):
            content = [content]
        if isinstance(content, str):
            return content
        if not isinstance(content, (list, tuple)):
            raise InputError(f'{where} has no "text" (or "content"); {FORMS}')
        return "\n".join(self._parts(where, content))

    def _parts(self, where: str, parts: Iterable[object]) -> Iterator[str]:
        """The texts among the parts of a content; a picture or a file is left out with a note."""
        for number, part in enumerate(parts):
            kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
            text = part.get("text") if isinstance(part, Mapping) else part
            if isinstance(text, str) and kind in SPOKEN:
                yield text
            elif isinstance(kind, str) and kind not in SPOKEN:
                self.notes.append(f"{where}: its part {number} is of type {shorten(kind)!r}; only text is read")
            else:
                raise InputError(f'{where}: part {number} of its content has no "text"; {FORMS}')

    def _say(self, where: str, speaker: Speaker, text: str, skill: str = "") -> None:
        self.utterances.append(Utterance(speaker, self._cut(where, text), skill))

    def _cut(self, where: str, text: str) -> str:
        """`text` without lone surrogates; of a very long one the end, since a question follows what was pasted."""
        kept = text[-MOST_TEXT:]
        if len(kept) < len(text):
            self.notes.append(f"{where} had {len(text):,} characters; only the last {MOST_TEXT:,} were read")
        return kept.encode("utf-8", "replace").decode()


def _named(where: str, name: object, speakers: Mapping[str, Speaker]) -> Speaker:
    """The speaker that a program calls `name`."""
    if not isinstance(name, str) or name not in speakers:
        raise InputError(f"{where} has speaker {shorten(repr(name))}; {FORMS}")
    return speakers[name]
