"""3 · What one message says about the columns of a table: values, flags, numbers, times of day, and an order."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from adapterbot.knowledge.table.store import Column
from adapterbot.language.values import DIGITS
from adapterbot.language.words import STOP

LONGEST_VALUE = 4  # words
# how alike a misspelt word of at least so many letters has to be
TYPO = 0.85
TYPO_LETTERS = 5
Test = Literal["=", ">=", "<="]

WORD = re.compile(r"[^\W_]+")
SYNONYMS = {
    "centre": "center central downtown citycentre citycenter",
    "cheap": "cheaper cheapest inexpensive budget affordable lowcost",
    "moderate": "moderately midrange midpriced mediumpriced reasonable",
    "expensive": "pricey upscale fancy luxury luxurious highend",
    "guesthouse": "bedandbreakfast",
    "gas station": "petrolstation petrol fuel",
    "coffee or tea place": "coffeeshop cafe",
}
GENERIC = frozenset(
    WORD.findall("restaurant store station garage center centre place shop pool")
)  # "chinese restaurant"
NEGATORS = frozenset(WORD.findall("not no without avoid avoids avoiding except don dont doesn doesnt isn isnt never"))
FLAGS = {"internet": "internet|wi-?fi|wireless", "parking": r"parking|park my car"}
COUNTED = {"stars": r"stars?\b", "seats": r"(?:seats?|people|persons?|passengers?|of us)\b"}
NUMBER = rf"\b(\d{{1,3}}|{'|'.join(DIGITS)}|one)[\s-]*"
CLOCK = re.compile(
    r"(?:\b(at|by|before|after|around|about|until|till|from|past|than)\s+)?"
    r"(?:\b(\d{1,2})(?:[:.](\d\d))?\s*(?:(?:([ap])\.?m\b\.?)|(o'?\s?clock))?(?![\d:])|\b(noon|midday|midnight)\b)",
    re.I,
)
COUNTING = re.compile(
    r"\s*(?:-|(?:star|people|person|ticket|seat|night|day|adult|of us|pounds?|miles?|min|hour)s?\b)", re.I
)
ARRIVING = r"arriv\w*|reach\w*|(?:get|be) (?:there|in|to)"
LEAVING = r"leav\w*|depart\w*|set(?:ting)? off|go(?:ing)?|start\w*"
MOVES = re.compile(rf"\b(?:({ARRIVING})|({LEAVING}))\b", re.I)
TOWARDS = frozenset(WORD.findall("to into towards toward for reach reaching arrive arrives arriving at in destination"))
AWAY = frozenset(WORD.findall("from leaving leave leaves departing depart departs out departure"))
# The columns that an order goes by, the first that the table has, and whether the most comes first.
ORDERS = (
    (re.compile(r"\b(?:nearest|closest|nearby|near me|close by|shortest)\b", re.I), ("distance", "duration"), False),
    (re.compile(r"\b(?:cheapest|lowest)\b", re.I), ("price", "fare"), False),
    (re.compile(r"\b(?:earliest|first train|soonest)\b", re.I), ("leaveAt",), False),
    (re.compile(r"\b(?:latest|last train)\b", re.I), ("leaveAt",), True),
    (re.compile(r"\b(?:fastest|quickest)\b", re.I), ("duration", "distance"), False),
    (re.compile(r"\b(?:best rated|highest|most stars)\b", re.I), ("stars", "rating"), True),
)
# What a bot says when it asks for a column.
ASKING = {
    "area": r"area|part|side|where|location",
    "pricerange": r"pric\w*|budget|spend|expensive",
    "food": r"food|cuisine|eat",
    "stars": r"stars?|rating",
    "type": r"type|kind|sort",
    "day": r"day",
    "departure": r"from|depart\w*",
    "destination": r"destination|to go|going|heading|travell?ing to|where to",
    "leaveAt": r"leave|depart|time|when",
    "arriveBy": r"arriv\w*|time|when",
}
# A value that the table may lack: the word before "food", a cuisine, what the nearest of is wanted, a place with a
# capital. The word stands in the first group.
UNKNOWN = {
    "food": r"\b([a-z]{4,}) (?:food|cuisine|dishes|kitchen)\b"
    r"|\b([a-z]+(?:ian|ean|can|ese|ish)) (?:restaurants?|places?|diners?)\b",
    "poi_type": r"\b(?:nearest|closest) ([a-z]+(?: [a-z]+)?)\b",
    "departure": r"\b(?:[Ff]rom|[Ll]eaving) (?-i:([A-Z][a-z]+))\b",
    "destination": r"\b(?:[Tt]o|[Ff]or) (?-i:([A-Z][a-z]+))\b",
}
PLAIN = frozenset(
    WORD.findall("""
    kind type sort local other different same best good great nice tasty delicious decent excellent cheap expensive
    serve serves serving vegetarian their this that what which these those place main town city free real normal
    available clean mean stylish fish
    """)
)


@dataclass(frozen=True, slots=True)
class Want:
    """What one column has to be. With several values one of them is enough."""

    column: Column
    test: Test
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.column.name}{self.test}{'|'.join(self.values)}"


@dataclass(frozen=True, slots=True)
class Match:
    """A value in a text, from word `start` to before word `end`, and the columns that have it."""

    start: int
    end: int
    columns: tuple[Column, ...]
    value: str


class Speech:
    """How people speak of the columns of one table. `topic` is what its rows are: a restaurant."""

    def __init__(self, columns: Sequence[Column], topic: str) -> None:
        self.columns = {c.name: c for c in columns}
        self._topic = topic
        self._spoken: dict[str, list[tuple[Column, str]]] = {}
        chosen = [(column, value) for column in columns for value in column.values]
        for column, value in chosen:
            self._add(column, value, squeezed(value))
        for column, value in chosen:  # shorter ways to say it, where they mean nothing else
            for shorter in _shorter(value):
                if shorter not in self._spoken or column not in [c for c, _ in self._spoken[shorter]]:
                    self._add(column, value, shorter)
        self._long = [spoken for spoken in self._spoken if len(spoken) >= TYPO_LETTERS]

    def _add(self, column: Column, value: str, spoken: str) -> None:
        self._spoken.setdefault(spoken, []).append((column, value))

    def wants(self, text: str, asked: Sequence[str] = ()) -> dict[str, Want]:
        """What `text` wants of each column; `asked` are the columns that the bot just asked for."""
        found = self._values(text, asked)
        found |= {name: want for name, want in self._unknown(text) if name not in found}
        found |= {want.column.name: want for want in self._flags(text)}
        found |= {want.column.name: want for want in self._numbers(text, asked)}
        found |= {want.column.name: want for want in self._times(text, asked)}
        return found

    def order(self, text: str) -> tuple[Column, bool] | None:
        """The column that `text` wants the rows sorted by, and whether the most comes first."""
        for pattern, names, descending in ORDERS:
            column = next((self.columns[name] for name in names if name in self.columns), None)
            if column and pattern.search(text):
                return column, descending
        return None

    def asked(self, text: str) -> tuple[str, ...]:
        """The columns that a question of the bot asks for."""
        if "?" not in text:
            return ()
        matches = self._matches(WORD.findall(text.lower()))
        named = [column.name for match in matches for column in match.columns]
        return tuple(
            name
            for name in self.columns
            if re.search(rf"\b(?:{ASKING.get(name, re.escape(name))})\b", text, re.I) or named.count(name) > 1
        )

    def _values(self, text: str, asked: Sequence[str]) -> dict[str, Want]:
        words = WORD.findall(text.lower().replace("'", "").replace("’", ""))
        chosen: dict[str, list[tuple[Match, str]]] = {}
        for match in self._matches(words):
            if squeezed(match.value) == self._topic and "type" not in asked:
                continue  # "a hotel" is what all rows are
            column = self._column(match, words, asked, chosen)
            chosen.setdefault(column.name, []).append((match, match.value))
        return {name: self._joined(self.columns[name], pairs, words) for name, pairs in chosen.items()}

    def _matches(self, words: Sequence[str]) -> Iterator[Match]:
        """The values in `words`, longer ones first, without those after a negation."""
        at = 0
        while at < len(words):
            for size in range(min(LONGEST_VALUE, len(words) - at), 0, -1):
                known = self._known("".join(words[at : at + size]), size, words[at])
                if known:
                    if not NEGATORS & set(words[max(0, at - 3) : at]):
                        yield Match(at, at + size, tuple(column for column, _ in known), known[0][1])
                    at += size - 1
                    break
            at += 1

    def _known(self, spoken: str, size: int, first: str) -> list[tuple[Column, str]]:
        if size == 1 and first in STOP:
            return []
        for form in (spoken, spoken.removesuffix("s"), spoken.removesuffix("es"), re.sub("ies$", "y", spoken)):
            if form in self._spoken:
                return self._spoken[form]
        if size > 1 or len(spoken) < TYPO_LETTERS:
            return []
        close = difflib.get_close_matches(spoken, self._long, n=1, cutoff=TYPO)
        return self._spoken[close[0]] if close else []

    def _column(self, match: Match, words: Sequence[str], asked: Sequence[str], chosen: object) -> Column:
        """Which of several columns a value is of: where it comes from or where it goes."""
        if len(match.columns) == 1:
            return match.columns[0]
        before = [w for w in reversed(words[max(0, match.start - 3) : match.start]) if w in TOWARDS or w in AWAY]
        if before:
            name = "departure" if before[0] in AWAY else "destination"
        else:
            name = next((name for name in ("destination", "departure") if name in asked), "destination")
        return next((column for column in match.columns if column.name == name), match.columns[0])

    def _joined(self, column: Column, pairs: Sequence[tuple[Match, str]], words: Sequence[str]) -> Want:
        """One want of all values of a column: both of "a or b", the start of "from a to b", else the last."""
        started = [value for match, value in pairs if AWAY & set(words[max(0, match.start - 2) : match.start])]
        if started and len(pairs) > 1:
            return Want(column, "=", (started[-1],))
        values = [pairs[-1][1]]
        for (left, value), (right, _) in reversed(list(pairwise(pairs))):
            if not {"or", "and"} & set(words[left.end : right.start]):
                break
            values.insert(0, value)
        return Want(column, "=", tuple(dict.fromkeys(values)))

    def _unknown(self, text: str) -> Iterator[tuple[str, Want]]:
        """Values that were asked for and that no row has."""
        for name, pattern in UNKNOWN.items():
            for found in re.finditer(pattern, text, re.I) if name in self.columns else ():
                word = next(group for group in found.groups() if group).lower()
                parts = set(word.split())
                if not parts & (STOP | PLAIN) and not any(self._known(squeezed(p), 1, p) for p in (word, *parts)):
                    yield name, Want(self.columns[name], "=", (word,))

    def _flags(self, text: str) -> Iterator[Want]:
        for column in self.columns.values():
            if column.kind == "flag":
                found = re.search(rf"\b(?:{FLAGS.get(column.name, re.escape(column.name))})\b", text, re.I)
                if found and not NEGATORS & set(WORD.findall(text[: found.start()].lower())[-4:]):
                    yield Want(column, "=", ("yes", "free"))

    def _numbers(self, text: str, asked: Sequence[str]) -> Iterator[Want]:
        for column in self.columns.values():
            if column.kind == "number":
                words = COUNTED.get(column.name, re.escape(column.name))
                found = re.search(NUMBER + (f"(?:{words})?" if column.name in asked else words), text, re.I)
                if found:
                    number = DIGITS.get(found[1].lower(), found[1].lower()).replace("one", "1")
                    yield Want(column, ">=" if column.name == "seats" else "=", (number,))

    def _times(self, text: str, asked: Sequence[str]) -> Iterator[Want]:
        columns = [column for column in self.columns.values() if column.kind == "time"]
        arrival = next((c for c in columns if "arriv" in c.name.lower()), None)
        departure = next((c for c in columns if c is not arrival), arrival)
        for found in CLOCK.finditer(text) if columns else ():
            time = _time(found, text)
            if time and departure:
                moves = list(MOVES.finditer(text[max(0, found.start() - 50) : found.start(2)]))
                said = (found[1] or "").lower()
                if moves:
                    arriving = moves[-1][1] is not None
                else:
                    arriving = said in ("by", "before", "until", "till") or (
                        not said and "arriveBy" in asked and "leaveAt" not in asked
                    )
                column = arrival if arriving and arrival else departure
                early = said in ("by", "before", "until", "till") or (arriving and said not in ("after", "past"))
                yield Want(column, "<=" if early else ">=", (time,))


def squeezed(text: str) -> str:
    """The letters and digits of `text`, lower case, so that "guest house" is "guesthouse"."""
    return "".join(WORD.findall(text.lower().replace("'", "").replace("’", "")))


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


def _time(found: re.Match[str], text: str) -> str:
    """HH:MM, or "" when the number is no time. A bare hour from 1 to 6 is in the afternoon."""
    said, hour, minutes, half, clock, word = found.groups()
    if word:
        return "00:00" if word.lower() == "midnight" else "12:00"
    exact = minutes or half or clock
    if not exact and (not said or said.lower() in ("from", "about", "around", "than", "past")):
        return ""
    if not (minutes or half) and COUNTING.match(text, found.end()):
        return ""
    number = int(hour)
    if half:
        number = number % 12 + (12 if half.lower() == "p" else 0)
    elif not minutes and number in range(1, 7):
        number += 12
    return f"{number:02d}:{minutes or '00'}" if number < 25 and int(minutes or 0) < 60 else ""
