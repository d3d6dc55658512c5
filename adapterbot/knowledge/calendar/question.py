"""3 · What a person wants to know of a calendar: of which days and hours, of which event, and what of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Literal

from adapterbot.history import History
from adapterbot.knowledge.calendar.words import EVENTS, FREE, GENERAL, WEAK, alike, name_words, stem, titled, word_of
from adapterbot.language.clock import TimeOfDay, read_times
from adapterbot.language.dates import PARTS, listed, read_days
from adapterbot.language.periods import Span
from adapterbot.language.tokens import Token, split
from adapterbot.language.words import CLITIC, STOP

OLDER = 2  # how many earlier user turns a follow-up may refer to
MAX_WORDS = 16
MAX_CHARACTERS = 2_000  # of a message that are looked at
SHORT = 5  # words of a follow-up such as "and what about Friday?"
Asked = Literal["which", "list", "count", "first", "last", "nth", "end", "length", "free", "gaps", "now", "date"]

AFTER = frozenset(listed("my the a an any our with"))  # a word after one of these names what is asked for
AGAIN = re.compile(r"^\W*(?:and|or|what about|how about|also|then)\b", re.I)
BEEN = re.compile(r"\b(?:was|were|did|had|went|been|happened)\b", re.I)
EARLIER = re.compile(r"\b(?:last|ago|previous)\b", re.I)
WHEN = re.compile(r"^\W*(?:(?:and|so|then)\W+)?(?:when|(?:what|which) (?:time|hours?))\b", re.I)
TIME = re.compile(r"\bhave (?:any |the |some )?time\b", re.I)  # to have time is to be free
LENGTH = re.compile(r"\b(?:how long|duration|how many (?:minutes|hours))\b", re.I)
COUNT = re.compile(r"\b(?:how many|number of)\b", re.I)
END = re.compile(r"\b(?:ends?|ending|finish\w*|over|done|out of)\b", re.I)
UNTIL = re.compile(r"\b(?:until|till?) (?:when|what time)\b", re.I)
FIRST, LAST = re.compile(r"\b(?:first|earliest)\b", re.I), re.compile(r"\b(?:last|latest|final)\b", re.I)
# A part of a day that may be of any day; "this evening" and tonight are today's.
PART = re.compile(rf"(?<!\bthis )\b(?:{'|'.join(part for part in PARTS if part != 'tonight')})\b", re.I)
# What asks for the clock itself, with nothing else beside it.
CLOCK = frozenset(listed("time date day weekday week month year current today clock"))
ASKING = re.compile(r"\b(?:what|which|when|tell|know)\b", re.I)
ON_IT = re.compile(r"\bwhat(?:['’]s| is| was)? on\b", re.I)
WHEN_IS = re.compile(r"^\W*when(?: is|['’]s| was)\b", re.I)


@dataclass(frozen=True, slots=True)
class Question:
    """Days, times and words of one user turn. An event has to have all words of `strong`.

    `general`: it asks about the calendar as such. `past`: about what has been. `asked`: what it wants to know of the
    events. `nth`: which of them in order, where it says so. `hours`: a part of the day, where it names no day.
    """

    spans: tuple[Span, ...] = ()
    times: tuple[TimeOfDay, ...] = ()
    words: tuple[str, ...] = ()
    strong: frozenset[str] = frozenset()
    general: bool = False
    past: bool = False
    asked: Asked = "which"
    nth: int = 0
    hours: tuple[int, int] = (0, 24)

    def fit(self, names: Iterable[str]) -> float:
        """How well the words name an event with these `names`: above 0 for one that it may be, 0 for any other."""
        known = name_words(names)
        found = {word: max((alike(word, name) for name in known), default=0.0) for word in self.words}
        return sum(found.values()) if all(found[word] for word in self.strong) else 0.0


def read_questions(history: History, today: date, titles: Iterable[str] = ()) -> list[Question]:
    """Questions to try in turn: the newest user turn, then those before it that it may refer to.

    `titles` are those of events: what stands in one is no date, whatever it says ("the night shift").
    """
    said = [u.text for u in history if u.speaker == "user"]
    if not said:
        return []
    known = tuple(titles)
    newest = read_question(said[-1], today, known)
    older = (read_question(text, today, known) for text in reversed(said[-1 - OLDER : -1]))
    before = [question for question in older if question != Question()]
    named = next((question for question in before if question.words), None)
    if newest.words:
        return [newest] if newest.strong or newest.spans else [newest, *before]
    if newest.asked in ("end", "length", "now") and not newest.spans and named:  # "when does it end?"
        return [replace(named, asked="which" if newest.asked == "now" else newest.asked)]
    if newest.spans or newest.times:
        follows = AGAIN.match(said[-1]) or (len(said[-1].split()) <= SHORT and not newest.general)
        alone = newest.asked in ("free", "gaps", "date")
        same = [replace(newest, words=named.words, strong=named.strong, asked="which")] if named and follows else []
        return [newest] if alone else [*same, newest]
    return [newest] if newest.general or newest.asked in ("now", "date") else before


def read_question(text: str, today: date, titles: Iterable[str] = ()) -> Question:
    """What one message asks."""
    text = text[:MAX_CHARACTERS]
    named = titled(text, split(text), titles)
    masked = _blank(text, named)
    past = bool(BEEN.search(text))
    spans, left = read_days(masked, today, past=past)
    times, left = read_times(left)
    rest = _restored(left, text, named)
    tokens = [token for token in split(rest) if token.text[0].isalnum()]
    said = {token.text for token in tokens}
    words, strong, nth = _content(text, tokens, named)
    base = Question(
        tuple(spans),
        tuple(times),
        words,
        strong,
        general=bool((GENERAL | FREE) & said),
        past=past or bool(EARLIER.search(rest)),
    )
    if FREE & said or TIME.search(rest):
        return replace(base, words=(), strong=frozenset(), general=True, asked="gaps" if WHEN.match(text) else "free")
    if nth and words and not spans:  # "the third interview" is none of the others
        base = replace(base, words=(*words, f"#{nth}"), strong=strong | {f"#{nth}"})
    base = replace(base, asked=_asked(text, rest, base, nth), nth=nth)
    if base.asked == "free":
        return replace(base, words=(), general=True)
    if words and spans and not _names_a_day(masked, today, past):
        return replace(base, spans=(), hours=spans[0].hours)
    return base


def _asked(text: str, rest: str, read: Question, nth: int) -> Asked:
    """What a message wants to know of the events that it is about."""
    inside = bool(read.spans)
    if LENGTH.search(rest):
        return "length"
    if COUNT.search(rest):
        return "count"
    if UNTIL.search(rest) or (END.search(rest) and WHEN.match(text)):
        return "end"
    if inside and not read.strong and (asked := _in_order(rest, nth)):
        return asked
    if read.times and not read.strong and not WHEN.match(text):
        return "free"
    if not read.words and not read.general and (clock := _of_the_clock(text, rest, read)):
        return clock
    return "list" if not read.words and inside else "which"


def _in_order(rest: str, nth: int) -> Literal["first", "last", "nth"] | None:
    if FIRST.search(rest):
        return "first"
    if LAST.search(rest):
        return "last"
    return "nth" if nth else None


def _of_the_clock(text: str, rest: str, read: Question) -> Literal["now", "date"] | None:
    """Whether the clock itself is asked: "what time is it?", "what day is the 15th?", "when is Easter?"."""
    said = {token.text for token in split(rest) if token.text[0].isalnum()}
    if said - STOP - CLOCK or not ASKING.search(text) or ON_IT.search(text) or read.times:
        return None
    if "time" in said:
        return "now" if not read.spans else None
    if said & CLOCK or (WHEN_IS.match(text) and read.spans):
        return "date"
    return None


def _content(text: str, tokens: Sequence[Token], named: Sequence[Token]) -> tuple[tuple[str, ...], frozenset[str], int]:
    """The words that say which event, those of them that it has to have, and an ordinal that says which in order."""
    inside = {token.start for token in named}
    words: dict[str, bool] = {}  # and whether it is strong
    nth = 0
    for before, token in pairwise([None, *tokens]):
        assert token is not None
        word = CLITIC.sub("", word_of(token))
        near = before is not None and not text[before.end : token.start].strip()
        if token.start in inside and token.text not in STOP:
            words[word] = True
        elif token.nth and token.number:
            nth = token.number
        elif token.number is not None:
            if before is not None and near and _says_which(before):  # "Physics 102", but not "2 things"
                words[word] = True
        elif _says_which(token):
            strong = stem(word) in EVENTS or word in EVENTS or (before is not None and near and before.text in AFTER)
            words[word] = words.get(word, False) or strong
    kept = tuple(words)[:MAX_WORDS]
    return kept, frozenset(word for word in kept if words[word]), nth if nth > 1 else 0


def _says_which(token: Token) -> bool:
    return token.number is None and token.text not in STOP and token.text not in WEAK


def _names_a_day(text: str, today: date, past: bool) -> bool:
    """Whether it says more of the day than the part of it; "this evening" and tonight do."""
    return bool(read_days(PART.sub(" ", text), today, past=past)[0])


def _blank(text: str, tokens: Iterable[Token]) -> str:
    """`text` with blanks in place of tokens."""
    for token in tokens:
        text = text[: token.start] + " " * (token.end - token.start) + text[token.end :]
    return text


def _restored(left: str, text: str, tokens: Iterable[Token]) -> str:
    """`left` with tokens of `text` where they stood."""
    for token in tokens:
        left = left[: token.start] + text[token.start : token.end] + left[token.end :]
    return left
