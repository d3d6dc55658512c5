"""3 · What a conversation asks of a table: wants, the newest on each column, and the rows that it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from adapterbot.history import History
from adapterbot.knowledge.table.slots import Speech, Want
from adapterbot.knowledge.table.store import WORD, Column
from adapterbot.language.words import REFERRING

WINDOW = 12  # utterances that are looked at
OTHER = re.compile(r"\b(?:another|other|others|else|different|alternatives?|instead|next one)\b", re.I)
SMALL_TALK = re.compile(r"\b(?:anything|something|what) else\b|\bfurther\b|\bhow (?:are|is|was|do you)\b", re.I)
LATER = re.compile(r"\blater\b", re.I)
EARLIER = re.compile(r"\bearlier\b", re.I)
ANY = re.compile(
    r"\b(?:any(?:thing|where|time)?|whatever|whichever|either|surprise me|no preference|up to you|you choose)\b"
    r"|\b(?:doesn'?t|does not|don'?t|do not|not) (?:really )?(?:matter|care|mind|important|picky)\b",
    re.I,
)
END = r"(?:(?i:the|my|our|an?|this|that|here|home)\b|[A-Z])"  # of a trip, not "to eat" nor "from far away"
TRIP = re.compile(rf"\b[Ff]rom {END}.*\bto {END}|\b[Tt]o {END}.*\bfrom {END}")
REFERS = REFERRING | {"that", "this", "there", "place", "one"}
CLOSING = frozenset(
    WORD.findall("""
    a again all allright alright and appreciate appreciated are awesome bye cheers day everything for goodbye good
    great have help helpful i is it kind lot lovely m much need needed nice nothing no now ok okay perfect re s so
    super sure take care thank thankful thanks that the then this thx today too very was wonderful you your ve been
    ll be done evening night weekend enough else nope brilliant
    """)
)
CLOSES = frozenset(WORD.findall("thank thanks thx bye goodbye cheers"))


@dataclass(slots=True)
class Wish:
    """What a conversation asks of a table.

    `focus` are the rows that it is about, by id, `without` those that the user has turned down. `ready`: rows are
    wanted although no value was named. `over`: the user only says thanks or goodbye.
    """

    wants: dict[str, Want] = field(default_factory=dict)
    focus: tuple[int, ...] = ()
    without: frozenset[int] = frozenset()
    order: tuple[Column, bool] | None = None  # the column to sort by, and whether the most comes first
    ready: bool = False
    over: bool = False

    def __str__(self) -> str:
        return " ".join(map(str, self.wants.values()))


class Lookup(Protocol):
    """What is asked of the table while a conversation is read."""

    def named(self, text: str) -> tuple[int, ...]:
        """The rows whose name stands in `text`."""
        ...

    def fitting(self, rows: Sequence[int], wants: Mapping[str, Want]) -> tuple[int, ...]:
        """Those of `rows` that are as wanted."""
        ...

    def cell(self, row: int, column: Column) -> str:
        """One cell."""
        ...


def understood(history: History, table: Lookup, speech: Speech) -> Wish:
    """What the last utterances of `history` ask for."""
    wish = Wish()
    asked = tuple[str, ...]()
    questioned = False
    for utterance in history.window(WINDOW):
        if utterance.speaker == "bot":
            wish.focus = table.named(utterance.text) or wish.focus
            asked = speech.asked(utterance.text)
            questioned = "?" in utterance.text and not SMALL_TALK.search(utterance.text)
        else:
            _hear(wish, utterance.text, asked, table, speech)
            # whoever has answered a question, or told a whole trip, without naming a value should be shown something
            wish.ready = wish.ready or (questioned and not wish.over) or TRIP.search(utterance.text) is not None
            asked = ()
            questioned = False
    return wish


def _hear(wish: Wish, text: str, asked: Sequence[str], table: Lookup, speech: Speech) -> None:
    """Take in one message of the user."""
    words = set(WORD.findall(text.lower()))
    wish.over = bool(words & CLOSES) and words <= CLOSING
    named = table.named(text)
    new = speech.wants(text, asked)
    order = speech.order(text)
    if wish.focus and (words & REFERS or not new):
        new = {name: want for name, want in new.items() if want.column.kind != "flag"}  # "does it have parking?"
    if wish.focus and not named:
        new |= _shifted(wish, text, table, speech)
        if OTHER.search(text):
            wish.without |= set(wish.focus)
            wish.focus = ()
    if asked and ANY.search(text):
        wish.ready = True
        for name in set(asked) - new.keys():
            wish.wants.pop(name, None)
    wish.wants |= new
    times = [want for want in new.values() if want.column.kind == "time"]
    wish.order = order or ((times[-1].column, times[-1].test == "<=") if times else wish.order)
    if named:
        wish.focus = table.fitting(named, new) or named
        wish.without = wish.without - set(named)
    elif new or order:
        wish.focus = () if order else table.fitting(wish.focus, new)


def _shifted(wish: Wish, text: str, table: Lookup, speech: Speech) -> dict[str, Want]:
    """A later or an earlier time than that of the row that was talked of."""
    column = next((c for c in speech.columns.values() if c.kind == "time" and "arriv" not in c.name.lower()), None)
    if column is None or not (LATER.search(text) or EARLIER.search(text)):
        return {}
    time = table.cell(wish.focus[0], column)
    wish.without = wish.without | set(wish.focus)
    wish.focus = ()
    later = LATER.search(text) is not None
    for other in [name for name, want in wish.wants.items() if want.column.kind == "time"]:
        del wish.wants[other]
    return {column.name: Want(column, ">=" if later else "<=", (time,))}
