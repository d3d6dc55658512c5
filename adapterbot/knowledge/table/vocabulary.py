"""3 · The values of a table's columns as people say them: which of them stand in a text, and where."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adapterbot.knowledge.table.store import Column
from adapterbot.knowledge.table.table import TYPO, TYPO_LETTERS, squeezed
from adapterbot.language.words import STOP

LONGEST_VALUE = 4  # words
# Words and numbers, and the marks that end a clause.
TOKEN = re.compile(r"\d+(?:[.:]\d+)+|[^\W_]+(?:['’][^\W_]+)*|[,.;:!?()]")
WORD = re.compile(r"[^\W_]+")
SYNONYMS = {
    "centre": "center central downtown citycentre citycenter middleoftown towncentre",
    "cheap": "inexpensive budget affordable lowcost",
    "moderate": "moderately midrange midpriced mediumpriced reasonable reasonably",
    "expensive": "pricey upscale fancy luxury luxurious highend dear posh upmarket",
    "guesthouse": "bedandbreakfast",
    "gas station": "petrolstation petrol fuel",
    "coffee or tea place": "coffeeshop cafe",
    "free": "freeofcharge fornothing",
    **{way: f"{way}ern {way}side" for way in ("north", "south", "east", "west")},
    **{day: f"{day[:3]} {day[:4]} {day[:5]}" for day in ("monday", "tuesday", "wednesday", "thursday", "friday")},
    **{day: day[:3] for day in ("saturday", "sunday")},
}
GENERIC = frozenset(
    WORD.findall("restaurant store station garage center centre place shop pool")
)  # "chinese restaurant"


@dataclass(frozen=True, slots=True)
class Span:
    """A value in a text, from token `start` to before token `end`, and the columns that have it."""

    start: int
    end: int
    columns: tuple[Column, ...]
    value: str


def tokens(text: str) -> list[str]:
    """Words, numbers and marks of a text, lower case and without apostrophes."""
    return [token.replace("'", "").replace("’", "") for token in TOKEN.findall(text.lower())]


def places(text: str) -> list[tuple[int, int]]:
    """Where the tokens of a text stand, by characters."""
    return [found.span() for found in TOKEN.finditer(text)]


class Vocabulary:
    """How people say the values of one table."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._spoken: dict[str, list[tuple[Column, str]]] = {}
        chosen = [(column, value) for column in columns for value in column.values]
        for column, value in chosen:
            self._add(column, value, squeezed(value))
        for column, value in chosen:  # shorter ways to say it, where they mean nothing else
            for shorter in _shorter(value):
                if shorter not in self._spoken or column not in [c for c, _ in self._spoken[shorter]]:
                    self._add(column, value, shorter)
        self._long = [spoken for spoken in self._spoken if len(spoken) >= TYPO_LETTERS]

    def spans(self, words: Sequence[str]) -> Iterator[Span]:
        """The values in the tokens of a text, longer ones first, none inside another."""
        at = 0
        while at < len(words):
            for size in range(min(LONGEST_VALUE, len(words) - at), 0, -1):
                known = self.known("".join(words[at : at + size]), size, words[at])
                if known:
                    yield Span(at, at + size, tuple(column for column, _ in known), known[0][1])
                    at += size - 1
                    break
            at += 1

    def known(self, spoken: str, size: int = 1, first: str = "") -> list[tuple[Column, str]]:
        """The columns that have a value, and how the table writes it."""
        if size == 1 and first in STOP:
            return []
        for form in (spoken, spoken.removesuffix("s"), spoken.removesuffix("es"), re.sub("ies$", "y", spoken)):
            if form in self._spoken:
                return self._spoken[form]
        if size > 1 or len(spoken) < TYPO_LETTERS:
            return []
        close = difflib.get_close_matches(spoken, self._long, n=1, cutoff=TYPO)
        return self._spoken[close[0]] if close else []

    def has(self, spoken: str) -> bool:
        """Whether this is how a value is said, and no misspelling of one."""
        return any(form in self._spoken for form in (spoken, spoken.removesuffix("s"), spoken.removesuffix("es")))

    def _add(self, column: Column, value: str, spoken: str) -> None:
        self._spoken.setdefault(spoken, []).append((column, value))


def _shorter(value: str) -> Iterator[str]:
    yield from SYNONYMS.get(value.lower(), "").split()
    words = WORD.findall(value.lower())
    for part in " ".join(words).split(" or ") if len(words) > 1 else ():
        kept = part.split()
        if len(kept) > 1 and kept[-1] in GENERIC:
            yield "".join(kept[:-1])
        if len(kept) < len(words):
            yield "".join(kept)
    if words and words[-1] == "center":
        yield "".join([*words[:-1], "centre"])
