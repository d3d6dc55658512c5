"""6 · Is this text acceptable, and why not: what users send is cleaned, and both sides' words are checked.

Who keeps the turn structure: a separator such as `<|endoftext|>` inside a message is text like any other here. The
tokenizer wrapper (`prompt.Tokenizer`) never reads special tokens out of text, and only `prompt.encode` places real
separators, so nothing a user writes can open or close a turn.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from adapterbot.errors import InputError
from adapterbot.facts import Fact
from adapterbot.reply.care import Carer
from adapterbot.turn import Draft

if TYPE_CHECKING:
    from glin_profanity import Filter

MAX_MESSAGE = 4_000  # characters; about 1,000 tokens, more than a model of this size attends to

# Control characters but those that `str.split` takes for white space.
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
WORD = re.compile(r"[^\W_]+")
# Lone surrogates; bidirectional embeddings, overrides and isolates; marks that show nothing. Joiners (U+200C, U+200D)
# stay: Persian and many emoji need them.
INVISIBLE = re.compile(r"[\ud800-\udfff\u202a-\u202e\u2066-\u2069\u200b\u2060\ufeff\u00ad]")

# Entries of the word list that small talk uses innocently ("that sucks", "tied up at work", "a strip of butt steak").
ORDINARY = (
    *("bs", "butt", "domination", "escort", "girl on", "hard core", "hardcore", "hoe", "nude", "pissed", "sex"),
    *("snatch", "suck", "sucks", "taste my", "tied up"),
)
NAMES = ("Kick-Ass", "Maine coon", "Maine coons", "Moby Dick", "Moby-Dick")
# Said by a bot these do harm without a rude word.
HARMFUL = ("go die", "hang yourself", "hurt yourself", "kill yourself", "killing yourself", "kys", "slit your wrists")


class Check(Protocol):
    """Any function from a text to the reason why it is not acceptable, or None. Called from several threads."""

    def __call__(self, text: str) -> str | None: ...


class WordList:
    """English swear words, slurs and some phrases, also when disguised (`sh1t`, `f.u.c.k`), by `glin-profanity`.

    It sees words, not meaning: a polite cruelty passes. `words` are added to the list, `ordinary` taken from it.
    """

    def __init__(self, words: Iterable[str] = HARMFUL, ordinary: Iterable[str] = ORDINARY) -> None:
        self._config: dict[str, Any] = {
            "languages": ["english"],
            "custom_words": list(words),
            "ignore_words": list(ordinary),
            "whitelist": list(NAMES),
        }
        self._filter: Filter | None = None
        self._lock = threading.Lock()

    def __call__(self, text: str) -> str | None:
        """Why `text` is not acceptable, or None. The word itself is not repeated."""
        found = self._found(text)["profane_words"]
        return f"it has {len(found)} word(s) of the word list" if found else None

    def quick(self) -> Callable[[str], bool]:
        """Whether a text has a word of the list as it is written: for millions of texts, blind to disguises."""
        self._found("")
        assert self._filter is not None
        ordinary = {word.lower() for word in (*self._config["ignore_words"], *self._config["whitelist"])}
        listed = {word.lower() for word in self._filter.words} - ordinary
        phrases = [word for word in listed if not word.isalpha()]
        pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, phrases))})\b")
        singles = frozenset(listed.difference(phrases))

        def has_listed_word(text: str) -> bool:
            lower = text.lower()
            hit = not singles.isdisjoint(re.findall(r"[a-z]+", lower)) or pattern.search(lower) is not None
            return hit and self(text) is not None

        return has_listed_word

    def _found(self, text: str) -> dict[str, Any]:
        with self._lock:  # the library's caches are not made for threads
            if self._filter is None:
                from glin_profanity import Filter  # 50 ms, paid by the first message

                self._filter = Filter(self._config)
            return dict(self._filter.check_profanity(" ".join(text.split())))


class Guard:
    """What a turn asks of this module. `check` replaces the word list, `carer` the shipped head and texts."""

    def __init__(self, check: Check | None = None, carer: Carer | None = None) -> None:
        self._check: Check = check or WordList()
        self.carer = carer or Carer()

    def message(self, message: object) -> tuple[str, tuple[str, ...]]:
        """A user's message, cleaned, and warnings. An unacceptable one is answered all the same, with a warning.

        Raises:
            InputError: not text, or nothing that can be read (see `clean`).
        """
        text, warnings = clean(message)
        reason = self._check(text)
        return text, (*warnings, f"the message is not acceptable: {reason}") if reason else warnings

    def draft(self, text: str, said: Sequence[str] = (), facts: Iterable[Fact] = ()) -> str | None:
        """Why a sampled reply to what the user `said` must not be sent, or None. Words of the facts are no fault."""
        if not text.strip():
            return "it is empty"
        if reason := self._check(_without(text, facts)):
            return reason
        return "it would do harm as an answer to that" if self.carer.harms(text, said) else None

    def first(self, drafts: Iterable[Draft], said: Sequence[str], facts: Iterable[Fact]) -> Draft | None:
        """The first draft that may be sent, or None."""
        return next((draft for draft in drafts if self.draft(draft.text, said, facts) is None), None)


def _without(text: str, facts: Iterable[Fact]) -> str:
    """`text` without the words that stand in facts: a name in a table is a name, whatever else it means."""
    given = {word.casefold() for fact in facts for word in WORD.findall(fact.line)}
    return WORD.sub(lambda found: "" if found[0].casefold() in given else found[0], text) if given else text


def clean(message: object, limit: int = MAX_MESSAGE) -> tuple[str, tuple[str, ...]]:
    """A message as one line of NFC text without control, bidirectional and invisible characters, and warnings.

    White space of all kinds becomes single spaces. Of a message longer than `limit` characters the END is kept, from a
    word boundary on, with a warning: a question usually follows what was pasted, and the prompt cuts the front too.

    Raises:
        InputError: not text, or nothing is left of it.
    """
    if not isinstance(message, str):
        raise InputError(f"a message is text (str), not {type(message).__name__}")
    # Cleaning only ever shortens by what nobody reads, so ten times the limit is plenty, and bounds the work.
    text = " ".join(INVISIBLE.sub("", CONTROL.sub("", message[-10 * limit :])).split())
    text = unicodedata.normalize("NFC", text)
    if not text:
        raise InputError('the message is empty; say something, for instance "Hello!"')
    if len(text) <= limit and len(message) <= 10 * limit:
        return text, ()
    kept = text[-limit:]
    if len(text) > limit and text[-limit - 1] != " ":  # the cut went through a word
        kept = kept.partition(" ")[2] or kept
    kept = kept.strip()
    return kept, (f"the message had {len(message):,} characters; only the last {len(kept):,} were read",)
