"""3 · What one message says of a table: wants, what is not wanted, amounts, times of day, an order, what is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapterbot.data.tracking_lines import MEANINGS, Mark, Meaning, Reading, Speaker
from adapterbot.knowledge.query_language import Clause, Test
from adapterbot.knowledge.table.amounts import Amount, amounts
from adapterbot.knowledge.table.columns import asked_columns, cue
from adapterbot.knowledge.table.orders import order_of
from adapterbot.knowledge.table.polarity import denied
from adapterbot.knowledge.table.store import Column
from adapterbot.knowledge.table.table import Table, squeezed
from adapterbot.knowledge.table.times import times_of
from adapterbot.knowledge.table.unknown import unknown_values
from adapterbot.knowledge.table.vocabulary import Span, Vocabulary, places, tokens

WORD = re.compile(r"[^\W_]+")
TOWARDS = frozenset(WORD.findall("to into towards toward for reach reaching arrive arrives arriving at in destination"))
AWAY = frozenset(WORD.findall("from leaving leave leaves departing depart departs out departure"))
QUESTION = re.compile(  # that a yes or a no answers
    r"^\W*(?:(?:and|so|but|ok(?:ay)?|well|hm+|also)\W+)*"
    r"(?:is|are|was|does|do|has|have|had|can|could|will|would|isn|aren|doesn|hasn|haven)(?:n?['’]?t)?\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Heard:
    """One message: `wants` and `told` are clauses on columns, what is wanted, and what is only said or asked of rows;
    `named` and `refused` are rows by id, those of the message or of the bot's utterance that it takes up or turns down.
    """

    wants: tuple[Clause, ...] = ()
    told: tuple[Clause, ...] = ()
    named: tuple[int, ...] = ()
    taken: tuple[int, ...] = ()  # rows that the bot had named, and that the user takes up
    refused: tuple[int, ...] = ()
    order: tuple[str, bool] | None = None
    ask: tuple[str, ...] = ()
    free: frozenset[str] = frozenset()  # columns that are all the same
    is_question: bool = False  # that a yes or a no answers


@dataclass(frozen=True, slots=True, eq=False)
class Mention:
    """Something of the table in a text, from character `start` to before `end`: a value and the columns that have it,
    or the `rows` that go by a name."""

    speaker: Speaker
    start: int
    end: int
    columns: tuple[Column, ...]
    value: str = ""
    rows: tuple[int, ...] = ()
    span: Span | None = None  # of a value, by tokens


Meant = Mapping[Mention, tuple[str, Meaning]]  # of each mention its column, and what the user means by it


class Tracker(Protocol):
    """What tells what a user means by the values in a message."""

    def read(self, bot: str, user: str, marks: Sequence[Mark], columns: Sequence[str]) -> Reading:
        """How `user` is meant, said after `bot`, of the values `marks` and of the columns."""
        ...


class Speech:
    """How people speak of the columns of one table. `topic` is what its rows are: a restaurant."""

    def __init__(self, table: Table, topic: str, tracker: Tracker) -> None:
        self.columns = {c.name: c for c in table.columns}
        self.topic = topic
        self._tracker = tracker
        self.table = table
        self._vocabulary = Vocabulary(table.columns)

    def hear(self, text: str, bot: str = "", last: str = "") -> Heard:
        """What `text` says after the bot's `bot`; `last` is the column whose amount was spoken of before."""
        asked = self.asked(bot)
        read, meant = self._read(text, bot, asked)
        wants, told, free = self._clauses(text, meant)
        rest = _without([m for m in meant if m.rows and m.speaker == "user"], text)  # a name is no value
        for clause in (*(amount.clause for amount in self._amounts(rest, asked, last)), *self._times(rest, asked)):
            (told if clause.column in read.asked else wants).append(clause)
        known = {clause.column for clause in (*wants, *told)}
        unknown = unknown_values(rest, self.table, self._vocabulary, self.topic)
        wants += [clause for clause in unknown if clause.column not in known]
        return Heard(
            wants=tuple(dict.fromkeys(wants)),
            told=tuple(dict.fromkeys(told)),
            named=_rows(meant, "user", ("want", "free", "none")),
            taken=_rows(meant, "bot", ("want",)),
            refused=tuple(dict.fromkeys((*_rows(meant, "user", ("not",)), *_rows(meant, "bot", ("not",))))),
            order=order_of(text, self.table),
            ask=tuple(name for name in self.columns if name in read.asked),
            free=free | read.any,
            is_question=bool(QUESTION.match(text)) and "?" in text,
        )

    def _read(self, text: str, bot: str, asked: Sequence[str]) -> tuple[Reading, Meant]:
        """The tracker's reading of a message, and of each mention in it and in what the bot said the column and what
        is meant. What the bot says of a row is no offer; what it asks may be: "in the centre?" - "yes, please"."""
        own = self.mentions(text)
        if not any(mention.rows for mention in own):
            own = self._without_topic(own, asked)
        before = [mention for mention in self.mentions(bot, "bot") if mention.rows or "?" in bot]
        pairs = [(mention, column.name) for mention in (*own, *before) for column in mention.columns]
        marks = [Mark(mention.speaker, mention.start, mention.end, name) for mention, name in pairs]
        read = self._tracker.read(bot, text, marks, list(self.columns))
        meant = dict[Mention, tuple[str, Meaning]]()
        for (mention, _), meaning in zip(pairs, read.meanings, strict=True):
            if meaning != "none" or mention not in meant:
                said = text if mention.speaker == "user" else bot
                meant[mention] = (self._column(mention, said, asked), meaning)
        return read, meant

    def mentions(self, text: str, speaker: Speaker = "user") -> list[Mention]:
        """The names of rows and the values that stand in a text, no value inside a name."""
        entity = tuple(column for column in self.columns.values() if column.kind == "entity")
        found = [Mention(speaker, start, end, entity, rows=rows) for start, end, rows in self.table.name_places(text)]
        words, at = tokens(text), places(text)
        for span in (*self._vocabulary.spans(words), *self._flags(text)):
            start, end = at[span.start][0], at[span.end - 1][1]
            ordered = span.start > 0 and words[span.start - 1] in ("most", "least", "more", "less")
            said = "".join(words[span.start : span.end])
            column = not self._vocabulary.has(said) and any(self._calls(c, said) for c in span.columns)  # "price"
            if not ordered and not column and not any(m.start < end and start < m.end for m in found):
                found.append(Mention(speaker, start, end, span.columns, span.value, span=span))
        return sorted(found, key=lambda mention: mention.start)

    def _column(self, mention: Mention, text: str, asked: Sequence[str]) -> str:
        """Which of several columns a value is of: where it comes from or where it goes."""
        names = [column.name for column in mention.columns]
        if len(names) == 1 or mention.span is None:
            return names[0]
        words = tokens(text)
        near = words[max(0, mention.span.start - 3) : mention.span.start]
        before = [word for word in reversed(near) if word in TOWARDS or word in AWAY]
        if before:
            name = "departure" if before[0] in AWAY else "destination"
        else:
            name = next((name for name in ("destination", "departure") if name in asked), "destination")
        return name if name in names else names[0]

    def _calls(self, column: Column, word: str) -> bool:
        return column.kind != "flag" and re.fullmatch(cue(column), word, re.I) is not None

    def _without_topic(self, mentions: Sequence[Mention], asked: Sequence[str]) -> list[Mention]:
        """Without "a hotel", where that is what all rows are and no other kind is spoken of."""
        kinds = [m for m in mentions if any(column.name == "type" for column in m.columns)]
        all_are = len(kinds) == 1 and squeezed(kinds[0].value) == self.topic and "type" not in asked
        return [m for m in mentions if not (all_are and m is kinds[0])]

    def _clauses(self, text: str, meant: Meant) -> tuple[list[Clause], list[Clause], frozenset[str]]:
        """What is wanted of columns, what is said of rows, and the columns that do not matter, by what values mean."""
        placed = {m: found for m, found in meant.items() if not m.rows and m.speaker == "user"}
        values: dict[str, dict[str, list[str]]] = {meaning: {} for meaning in (*MEANINGS, "denied")}
        said = tokens(text)
        no = denied(said, [m.span for m in placed if m.span])
        for mention, (name, meaning) in placed.items():
            denied_of_rows = meaning == "none" and mention.span in no
            values["denied" if denied_of_rows else meaning].setdefault(name, []).append(mention.value)
        starts = [m for m in placed if m.span and AWAY & set(said[max(0, m.span.start - 2) : m.span.start])]
        for name, meaning in [placed[mention] for mention in starts]:
            if len(values[meaning][name]) > 1:  # of a way from A to B the start
                values[meaning][name] = [m.value for m in starts if placed[m] == (name, meaning)]
        for name in values["want"]:
            values["want"][name] = [v for v in values["want"][name] if v not in values["not"].get(name, ())]
        wants = [self._clause(name, "=", found) for name, found in values["want"].items() if found]
        wants += self._each_not(values["not"])
        told = [self._clause(name, "=", found) for name, found in values["none"].items()]
        told += self._each_not(values["denied"])
        known = {clause.column for clause in (*wants, *told)}
        offers = [(m.value, *found) for m, found in meant.items() if not m.rows and m.speaker == "bot"]
        wants += [self._clause(n, "=", [v]) for v, n, meaning in offers if meaning == "want" and n not in known]
        return wants, told, frozenset(values["free"])

    def _each_not(self, values: Mapping[str, Sequence[str]]) -> list[Clause]:
        return [self._clause(name, "!=", [v]) for name, found in values.items() for v in dict.fromkeys(found)]

    def _clause(self, name: str, test: Test, values: Sequence[str]) -> Clause:
        if self.columns[name].kind == "flag":
            return Clause(name, "=", ("no",) if test == "!=" else ("yes", "free"))
        return Clause(name, test, tuple(dict.fromkeys(values)))

    def asked(self, text: str) -> tuple[str, ...]:
        """The columns that a question of the bot asks for."""
        if "?" not in text:
            return ()
        named = [column.name for span in self._vocabulary.spans(tokens(text)) for column in span.columns]
        asked = asked_columns(text, tuple(self.columns.values()))
        more = [name for name in self.columns if named.count(name) > 1]
        if re.search(r"\bwhere\b|\bpart\b", text, re.I) and "area" in self.columns:
            more.append("area")
        if "departure" in self.columns and re.search(r"\bfrom\b|\bdepart", text, re.I):
            more.append("departure")
        if "destination" in self.columns and re.search(r"\bto\b|destination", text, re.I):
            more.append("destination")
        return tuple(name for name in self.columns if name in asked or name in more)

    def cued(self, name: str, text: str) -> bool:
        """Whether a text has a word for a column."""
        return re.search(cue(self.columns[name]), text, re.I) is not None

    def means(self, text: str) -> frozenset[str]:
        """The words of a text that speak of columns or values."""
        found = set[str]()
        words = tokens(text)
        for span in self._vocabulary.spans(words):
            found |= set(words[span.start : span.end])
        for column in self.columns.values():
            for match in re.finditer(cue(column), text, re.I):
                found |= set(tokens(match[0]))
        for amount in self._amounts(text, (), ""):
            found |= set(tokens(text[amount.start : amount.end]))
        return frozenset(found)

    # -- the rest --

    def _flags(self, text: str) -> Iterator[Span]:
        """What is there or not, as values."""
        for column in self.columns.values():
            found = re.search(cue(column), text, re.I) if column.kind == "flag" else None
            if found:
                start = len(tokens(text[: found.start()]))
                yield Span(start, start + len(tokens(found[0])), (column,), "yes")

    def _amounts(self, text: str, asked: Sequence[str], last: str) -> list[Amount]:
        units = self.table.units
        single = next(iter(units)) if len(units) == 1 and not self.table.times else ""
        usual = next((name for name in asked if name in units), "") or (last if last in units else "") or single
        found = amounts(text, units, usual)
        for name in asked:  # "four", when stars were asked for
            if name in units and not found and (only := re.fullmatch(r"\W*(\w+)\W*(?:please)?\W*", text)):
                found = amounts(f"{only[1]} {units[name][0]}", units)
        return [_seats(amount, text) for amount in found]

    def _times(self, text: str, asked: Sequence[str]) -> list[Clause]:
        return times_of(text, self.table.times, asked) if self.table.times else []


def _rows(meant: Meant, speaker: Speaker, meanings: Sequence[Meaning]) -> tuple[int, ...]:
    """The rows whose names a speaker said and the user means so."""
    found = (m.rows for m, (_, meaning) in meant.items() if m.speaker == speaker and meaning in meanings)
    return tuple(dict.fromkeys(row for rows in found for row in rows))


def _without(mentions: Sequence[Mention], text: str) -> str:
    """A text with something that is no value in place of some mentions."""
    for mention in sorted(mentions, key=lambda mention: -mention.start):
        text = f"{text[: mention.start]}it{text[mention.end :]}"
    return text


def _seats(amount: Amount, text: str) -> Amount:
    """Whoever says how many they are wants no fewer seats."""
    said = text[amount.start : amount.end].lower()
    if amount.column != "seats" or not amount.bare or re.search(r"exactly|just", text, re.I):
        return amount
    test = ">=" if re.search(r"people|person|passenger|of us", said) else "="
    if test == "=" and not re.search(r"\bhas|have|is it|are\b|right|correct", text, re.I):
        test = ">="
    return Amount(amount.column, ">=" if test == ">=" else "=", amount.values, amount.start, amount.end, True)
