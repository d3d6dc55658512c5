"""1 · The conversation so far, as an immutable value that its caller owns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from adapterbot.errors import InputError

Speaker = Literal["user", "bot"]

# Other programs' names for the two speakers: the corpora say "system", chat APIs "assistant".
SPEAKERS: dict[str, Speaker] = {"user": "user", "bot": "bot", "system": "bot", "assistant": "bot"}


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing that one speaker said. `skill` answered, where that is known; it is no part of what was said."""

    speaker: Speaker
    text: str
    skill: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class History:
    """Utterances, oldest first. Adding returns a new History; nothing is ever changed in place.

    >>> History().add_user("Hi!").add_bot("Hello.").texts
    ('Hi!', 'Hello.')
    """

    utterances: tuple[Utterance, ...] = ()

    def add_user(self, text: str) -> History:
        """This history and then `text`, said by the user."""
        return History((*self.utterances, Utterance("user", text)))

    def add_bot(self, text: str, skill: str = "") -> History:
        """This history and then `text`, said by the bot, by one of its skills."""
        return History((*self.utterances, Utterance("bot", text, skill)))

    def window(self, turns: int) -> History:
        """The last `turns` utterances (a turn is one utterance, as in the paper's history of five)."""
        return History(self.utterances[-turns:] if turns > 0 else ())

    def thread(self, skill: str) -> History:
        """This history without the exchanges that other skills answered: their words lead a small model astray."""
        kept, waiting = list[Utterance](), list[Utterance]()
        for utterance in self.utterances:
            waiting.append(utterance)
            if utterance.speaker == "bot":
                kept += waiting if utterance.skill in ("", skill) else ()
                waiting = []
        return History((*kept, *waiting))

    def without_last_exchange(self) -> History:
        """This history without the last user message and what followed it (undo, retry)."""
        last = max((i for i, u in enumerate(self.utterances) if u.speaker == "user"), default=0)
        return History(self.utterances[:last])

    @property
    def texts(self) -> tuple[str, ...]:
        """What was said, oldest first."""
        return tuple(u.text for u in self.utterances)

    @property
    def last_user(self) -> str:
        """The newest user message, or an empty string."""
        return next((u.text for u in reversed(self.utterances) if u.speaker == "user"), "")

    def to_list(self) -> list[dict[str, str]]:
        """The JSON form: `[{"speaker": "user" | "bot", "text": ...}, ...]`."""
        return [{"speaker": u.speaker, "text": u.text} for u in self.utterances]

    @classmethod
    def of(cls, past: History | Sequence[object] | None) -> History:
        """`past` as a History: itself, the JSON form, or None for a new conversation (see `from_list`)."""
        return past if isinstance(past, History) else cls.from_list(past or ())

    @classmethod
    def from_list(cls, items: Sequence[object]) -> History:
        """Read the JSON form; `role`/`content` and the speakers `system`/`assistant` are understood too.

        Raises:
            InputError: an item that is neither a string nor such a mapping, or an unknown speaker.
        """
        if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Sequence):
            raise InputError('a history is a list of {"speaker": "user" | "bot", "text": "..."}')
        return cls(tuple(_read(i, item, len(items)) for i, item in enumerate(items)))

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)


def _read(index: int, item: object, total: int) -> Utterance:
    if isinstance(item, Utterance):
        return item
    if isinstance(item, str):  # plain strings alternate and end with the bot
        return Utterance("user" if (total - index) % 2 == 0 else "bot", item)
    if not isinstance(item, Mapping):
        raise InputError(f"history[{index}] is neither text nor an object")
    who, text = item.get("speaker", item.get("role")), item.get("text", item.get("content"))
    if not isinstance(text, str):
        raise InputError(f'history[{index}] has no "text"')
    if not isinstance(who, str) or who not in SPEAKERS:
        raise InputError(f"history[{index}] has speaker {who!r}; use 'user' or 'bot'")
    return Utterance(SPEAKERS[who], text)
