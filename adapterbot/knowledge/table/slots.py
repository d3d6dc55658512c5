"""3 · What one message says of a table: wants, what is not wanted, amounts, times of day, an order, what is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from adapterbot.knowledge.query_language import Clause
from adapterbot.knowledge.table.amounts import Amount, amounts
from adapterbot.knowledge.table.columns import CALLED, asked_columns, cue
from adapterbot.knowledge.table.orders import order_of, text_without_order
from adapterbot.knowledge.table.polarity import denied, indifferent
from adapterbot.knowledge.table.store import Column
from adapterbot.knowledge.table.table import Table, squeezed
from adapterbot.knowledge.table.times import times_of
from adapterbot.knowledge.table.vocabulary import Span, Vocabulary, tokens
from adapterbot.language.words import STOP

WORD = re.compile(r"[^\W_]+")
TOWARDS = frozenset(WORD.findall("to into towards toward for reach reaching arrive arrives arriving at in destination"))
AWAY = frozenset(WORD.findall("from leaving leave leaves departing depart departs out departure"))
QUESTION = re.compile(  # that a yes or a no answers
    r"^\W*(?:(?:and|so|but|ok(?:ay)?|well|hm+|also)\W+)*"
    r"(?:is|are|was|does|do|has|have|had|can|could|will|would|isn|aren|doesn|hasn|haven)(?:n?['’]?t)?\b",
    re.I,
)
# A value that the table may lack: the word before "food", a cuisine, what the nearest of is wanted, a place with a
# capital. The word stands in the first group.
UNKNOWN = {
    "food": r"\b([a-z]{4,}) (?:food|cuisine|dishes|kitchen)\b"
    r"|\b([a-z]+(?:ian|ean|can|ese|ish)) (?:restaurants?|places?|diners?)\b",
    "poi_type": r"\b(?:nearest|closest) ([a-z]+(?: [a-z]+)?)\b",
    "departure": r"\b(?:[Ff]rom|[Ll]eaving) (?-i:([A-Z][a-z]+))\b",
    "destination": r"\b(?:[Tt]o|[Ff]or) (?-i:([A-Z][a-z]+))\b",
}
KINDS = re.compile(
    r"\b(?:(?:is|are) there|there(?:'s| is| are)|do you (?:have|know)|looking for|(?:find|show|recommend) me"
    r"|want to (?:see|visit))"
    r"(?: of)? (?:any|an?|some|one) ([a-z]+)\b(?! (?:in|with|food))|\bare there ([a-z]{4,}s)\b", re.I,
)  # fmt: skip
PLAIN = frozenset(
    WORD.findall("""
    kind type sort local other different same best good great nice tasty delicious decent excellent cheap expensive
    serve serves serving vegetarian their this that what which these those place main town city free real normal
    available clean mean stylish fish places thing things cheaper cheapest option options way chance idea
    recommendation recommendations suggestion suggestions restaurant restaurants hotel hotels room rooms attraction
    attractions taxi taxis cab cabs train trains car cars trip somewhere more less another activity activities sight
    sights car service services company companies firm firms road traffic star stars table spot spots lodging
    accommodation later earlier closer nearer direct faster one ones connection connections museum food closest
    nearest most least nothing anything something quiet big small large fun interesting heavy collision block
    """)
)


@dataclass(frozen=True, slots=True)
class Heard:
    """One message. `wants` and `denied` are clauses on columns, `named` the columns that it speaks of."""

    wants: tuple[Clause, ...] = ()
    order: tuple[str, bool] | None = None
    ask: tuple[str, ...] = ()
    free: frozenset[str] = frozenset()  # columns that are all the same
    is_question: bool = False  # that a yes or a no answers
    words: tuple[str, ...] = field(default=(), repr=False)


class Speech:
    """How people speak of the columns of one table. `topic` is what its rows are: a restaurant."""

    def __init__(self, table: Table, topic: str) -> None:
        self.columns = {c.name: c for c in table.columns}
        self.topic = topic
        self.table = table
        self._vocabulary = Vocabulary(table.columns)

    def hear(self, text: str, asked: Sequence[str] = (), last: str = "", whole: bool = False) -> Heard:
        """What `text` says; `asked` are the columns that the bot just asked for, `last` the column whose amount was
        spoken of before. `whole`: "a hotel" is a value, and not what all rows are."""
        plain = text_without_order(text)
        words = tokens(plain)
        clauses, free = self._values(plain, words, asked, whole)
        numbers = self._amounts(text, asked, last)
        clauses += [amount.clause for amount in numbers]
        clauses += self._times(text, asked)
        known = {clause.column for clause in clauses}
        clauses += [clause for clause in self._unknown(text) if clause.column not in known]
        question = bool(QUESTION.match(text)) and "?" in text
        order = order_of(text, self.table)
        ask = asked_columns(text, self.table.columns)
        return Heard(tuple(dict.fromkeys(clauses)), order, ask, free, question, tuple(words))

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

    # -- values ------------------------------------------------------------------------------------------------------

    def _values(
        self, text: str, words: Sequence[str], asked: Sequence[str], whole: bool
    ) -> tuple[list[Clause], frozenset[str]]:
        """Clauses of the values in a text, and the columns of values that are said not to be needed."""
        spans = [*self._vocabulary.spans(words), *self._flags(text)]
        kinds = [s for s in spans if any(column.name == "type" for column in s.columns)]
        if not whole and "type" not in asked and len(kinds) == 1 and squeezed(kinds[0].value) == self.topic:
            spans.remove(kinds[0])  # "a hotel" is what all rows are
        spans.sort(key=lambda span: span.start)
        no = denied(words, spans)
        chosen: dict[str, list[Span]] = {}
        refused: dict[str, list[str]] = {}
        free = set[str]()
        columns = {span: self._column(span, words, asked) for span in spans}
        wanted = {columns[span].name for span in spans if span not in no}
        for span in spans:
            column = columns[span].name
            if span in no and len(span.columns) > 1 and column not in wanted and len(wanted) == 1:
                column = next((c.name for c in span.columns if c.name in wanted), column)
            if span not in no:
                chosen.setdefault(column, []).append(span)
            elif indifferent(words, span):
                free.add(column)
            else:
                refused.setdefault(column, []).append(span.value)
        chosen = {
            n: left for n, spans in chosen.items() if (left := [s for s in spans if s.value not in refused.get(n, ())])
        }
        clauses = [self._joined(name, spans, words) for name, spans in chosen.items()]
        for name, values in refused.items():
            if self.columns[name].kind == "flag":
                clauses.append(Clause(name, "=", ("no",)))
            else:
                clauses += [Clause(name, "!=", (value,)) for value in dict.fromkeys(values)]
        return clauses, frozenset(free)

    def _column(self, span: Span, words: Sequence[str], asked: Sequence[str]) -> Column:
        """Which of several columns a value is of: where it comes from or where it goes."""
        if len(span.columns) == 1:
            return span.columns[0]
        before = [w for w in reversed(words[max(0, span.start - 3) : span.start]) if w in TOWARDS or w in AWAY]
        if before:
            name = "departure" if before[0] in AWAY else "destination"
        else:
            name = next((name for name in ("destination", "departure") if name in asked), "destination")
        return next((column for column in span.columns if column.name == name), span.columns[0])

    def _joined(self, name: str, spans: Sequence[Span], words: Sequence[str]) -> Clause:
        """One clause of all values of a column: both of "a or b", the start of "from a to b", else the last."""
        started = [span.value for span in spans if AWAY & set(words[max(0, span.start - 2) : span.start])]
        if started and len(spans) > 1:
            return Clause(name, "=", (started[-1],))
        if self.columns[name].kind == "flag":
            return Clause(name, "=", ("yes", "free"))
        values = [spans[-1].value]
        for left, right in reversed(list(pairwise(spans))):
            between = set(words[left.end : right.start])
            if not ({"or", "and"} & between or between <= {","}):
                break
            values.insert(0, left.value)
        joined = {"or", "and"} & set(words[spans[0].end : spans[-1].start])
        return Clause(name, "=", tuple(dict.fromkeys(values if joined else values[-1:])))

    def _unknown(self, text: str) -> Iterator[Clause]:
        """Values that were asked for and that no row has."""
        for name, pattern in UNKNOWN.items():
            for found in re.finditer(pattern, text, re.I) if name in self.columns else ():
                word = next(group for group in found.groups() if group).lower()
                if self._is_new(word):
                    test = (
                        "!=" if re.search(r"\b(?:no|not|but|without|except)\s+$", text[: found.start()], re.I) else "="
                    )
                    yield Clause(name, "!=" if test == "!=" else "=", (word,))
        name = next((n for n in ("type", "poi_type") if n in self.columns and self.topic not in ("taxi", "hotel")), "")
        kind = KINDS.search(text) if name else None
        word = (kind[1] or kind[2]).lower() if kind else ""
        if kind and kind[0].lower().startswith(("are", "there are")):
            word = word.removesuffix("s")
        if word and len(word) > 3 and self._is_new(word) and not self.table.named(text):
            yield Clause(name, "=", (word,))

    def _is_new(self, word: str) -> bool:
        parts = set(word.split())
        cues = any(re.search(cue(column), word, re.I) for column in self.columns.values() if column.name in CALLED)
        return not parts & (STOP | PLAIN) and not cues and not any(
            self._vocabulary.known(squeezed(p), 1, p) for p in (word, *parts)
        )  # fmt: skip

    # -- the rest ----------------------------------------------------------------------------------------------------

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


def _seats(amount: Amount, text: str) -> Amount:
    """Whoever says how many they are wants no fewer seats."""
    said = text[amount.start : amount.end].lower()
    if amount.column != "seats" or not amount.bare or re.search(r"exactly|just", text, re.I):
        return amount
    test = ">=" if re.search(r"people|person|passenger|of us", said) else "="
    if test == "=" and not re.search(r"\bhas|have|is it|are\b|right|correct", text, re.I):
        test = ">="
    return Amount(amount.column, ">=" if test == ">=" else "=", amount.values, amount.start, amount.end, True)
