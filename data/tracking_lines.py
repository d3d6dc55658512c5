"""Lines that the state tracker learns from: a message, what the bot said before it, and what is meant by each value.

Our own lie in data/tracking, one JSON object a line, with each value marked where it stands:

    {"topic": "cafe", "columns": ["name", "cuisine", "area", "phone"], "bot": "", "asked": ["phone"], "any": [],
     "user": "Anything but [Greek|cuisine|not] in the [north|area|want], with its phone number"}

Belief states of corpora and lines of queries are read as such lines.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from adapterbot.data.belief_states import ANY, FEWEST, Domain, Turn
from adapterbot.data.dialogue import in_validation, objects
from adapterbot.data.query_lines import QueryLine
from adapterbot.errors import DataError
from adapterbot.home import DATA
from adapterbot.language.words import STOP

OWN = DATA / "tracking" / "lines.jsonl"
MARK = re.compile(r"\[([^\[\]|]+)\|([^\[\]|]+)\|([a-z]+)\]")
KEYS = ("topic", "columns", "bot", "user", "asked", "any")
Speaker = Literal["bot", "user"]
Meaning = Literal["none", "want", "not", "free"]
MEANINGS: tuple[Meaning, ...] = ("none", "want", "not", "free")
WORD = re.compile(r"[^\W_]+")
LONGEST = 6  # words of a value
MOST_COLUMNS = 10  # of a line that is made of states


@dataclass(frozen=True, slots=True)
class Mark:
    """A value in a text, from character `start` to before `end`; `meaning` for its column, None where not known."""

    speaker: Speaker
    start: int
    end: int
    column: str
    meaning: Meaning | None = None


@dataclass(frozen=True, slots=True)
class TrackingLine:
    """A user's message after what the bot said, "" at the beginning, under the columns of a table."""

    bot: str
    user: str
    marks: tuple[Mark, ...]
    columns: tuple[str, ...]
    asked: frozenset[str] = frozenset()
    any: frozenset[str] = frozenset()


class Reading(NamedTuple):
    """How a message was read: what is meant by each value, as given, and the columns that are asked for or free."""

    meanings: tuple[Meaning, ...]
    asked: frozenset[str]
    any: frozenset[str]


def own_lines(path: Path = OWN) -> tuple[list[TrackingLine], list[TrackingLine]]:
    """The lines of a file, for training and for validation.

    Raises:
        DataError: a line that is none, as `file:line: what is wrong`.
    """
    train, valid = list[TrackingLine](), list[TrackingLine]()
    for number, item in objects(path):
        line = _own_line(item, f"{path}:{number}")
        (valid if in_validation(f"{line.bot} {line.user}") else train).append(line)
    return train, valid


def _own_line(item: Mapping[str, object], where: str) -> TrackingLine:
    if set(item) != set(KEYS):
        raise DataError(f"{where}: a line has {', '.join(KEYS)}")
    columns, asked, free = (_names(item[key], where) for key in ("columns", "asked", "any"))
    bot, before = _read(str(item["bot"]), "bot", where)
    user, marks = _read(str(item["user"]), "user", where)
    line = TrackingLine(bot, user, (*before, *marks), columns, frozenset(asked), frozenset(free))
    unknown = ({mark.column for mark in line.marks} | line.asked | line.any) - set(line.columns)
    if unknown:
        raise DataError(f"{where}: {min(unknown)!r} is none of its columns ({', '.join(line.columns)})")
    return line


def _names(item: object, where: str) -> tuple[str, ...]:
    if not isinstance(item, list) or not all(isinstance(name, str) for name in item):
        raise DataError(f"{where}: columns, asked and any are lists of names")
    return tuple(item)


def _read(text: str, speaker: Speaker, where: str) -> tuple[str, list[Mark]]:
    """A text without its marks, and the marks."""
    plain, marks, at = "", list[Mark](), 0
    for found in MARK.finditer(text):
        plain += text[at : found.start()]
        meaning = next((m for m in MEANINGS if m == found[3]), None)
        if meaning is None:
            raise DataError(f"{where}: {found[0]!r} says {found[3]!r}; a value is meant as {', '.join(MEANINGS)}")
        marks.append(Mark(speaker, len(plain), len(plain) + len(found[1]), found[2], meaning))
        plain += found[1]
        at = found.end()
    plain += text[at:]
    if not marks and re.search(r"[\[\]|]", plain):
        raise DataError(f"{where}: a value is marked as [value|column|{'|'.join(MEANINGS)}]")
    return plain, marks


class Values:
    """The values of a domain, which are looked for in texts as runs of whole words."""

    def __init__(self, columns: Mapping[str, Iterable[str]]) -> None:
        self._columns: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for column, values in columns.items():
            for value in values:
                words = tuple(WORD.findall(value.lower()))
                if not set(words) <= STOP:
                    self._columns.setdefault(words, []).append((column, value.lower()))

    def found(self, text: str) -> Iterator[tuple[int, int, list[tuple[str, str]]]]:
        """Where values stand, longer ones first, none inside another, and the columns and values that they are."""
        words = [(m[0], m.start(), m.end()) for m in WORD.finditer(text.lower())]
        at = 0
        while at < len(words):
            for end in range(min(len(words), at + LONGEST), at, -1):
                known = self._columns.get(tuple(word for word, _, _ in words[at:end]))
                if known:
                    yield words[at][1], words[end - 1][2], known
                    at = end - 1
                    break
            at += 1


def values_of(domain: Domain) -> Values:
    """The values of a domain that stand in several states, and the names of all its rows."""
    kept = {
        slot: [v for v, n in counts.items() if v != ANY and (n >= FEWEST or slot == "name") and not v[:1].isdigit()]
        for slot, counts in domain.values.items()
    }
    return Values({slot: [v for v in values if v not in ("yes", "no")] for slot, values in kept.items()})


def line_of_turn(turn: Turn, domain: Domain, values: Values, draw: random.Random) -> TrackingLine:
    """A turn of a dialogue with belief states. What the bot said is a wish where the user's turn made it one."""
    bot = turn.history[-1] if turn.history else ""
    marks = list[Mark]()
    texts: tuple[tuple[Speaker, str], ...] = (("bot", bot), ("user", turn.user))
    for speaker, text in texts:
        for start, end, known in values.found(text):
            for slot, value in known:
                right = turn.about if slot == "name" else turn.wants.get(slot, "")
                wanted = right.lower() == value
                told: Meaning | None = "want" if wanted else "none"
                if speaker == "bot" and wanted and slot not in turn.changed:
                    # it repeats what the user had said, or is the row that is asked about
                    told = "want" if slot == "name" and turn.asks else None
                marks.append(Mark(speaker, start, end, slot, told))
    spoken = {mark.column for mark in marks} | set(turn.asks) | set(turn.changed)
    others = sorted((set(domain.values) | set(domain.asked)) - spoken)
    some = draw.sample(others, min(len(others), max(2, MOST_COLUMNS - len(spoken))))
    columns = sorted({*spoken, *some})
    free = frozenset(slot for slot in turn.changed if turn.wants.get(slot) == ANY)
    return TrackingLine(bot, turn.user, tuple(marks), tuple(columns), frozenset(turn.asks), free)


def line_of_query(line: QueryLine) -> TrackingLine | None:
    """A line of queries, where the values of its query stand in its texts; None where they do not."""
    schema = line.schema.partition(": ")[2]
    columns = tuple(name.strip() for name in re.sub(r"\([^()]*\)", "", schema).split(","))
    bot = line.history[-1] if line.history else ""
    marks, asked = list[Mark](), frozenset[str]()
    for part in line.query.split("; "):
        clause = re.fullmatch(r"(.+?) (!?=) (.+)", part)
        if part.startswith("ask "):
            asked = frozenset(part.removeprefix("ask ").split(", "))
        elif clause and clause[1] in columns:
            meaning: Meaning = "not" if clause[2] == "!=" else "want"
            marks += _marked(bot, line.message, clause[1], clause[3].split(" | "), meaning)
    if not asked <= set(columns) or not (marks or asked):
        return None
    return TrackingLine(bot, line.message, tuple(marks), columns, asked)


def _marked(bot: str, user: str, column: str, values: Sequence[str], meaning: Meaning) -> Iterator[Mark]:
    texts: tuple[tuple[Speaker, str], ...] = (("bot", bot), ("user", user))
    for speaker, text in texts:
        for start, end, _ in Values({column: [v for v in values if not v[:1].isdigit()]}).found(text):
            yield Mark(speaker, start, end, column, meaning if speaker == "user" else None)
