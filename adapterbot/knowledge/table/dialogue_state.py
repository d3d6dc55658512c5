"""3 · What a conversation asks of a table: wants, the newest on each column, and the rows that it is about."""

# Long: all that a message can change about what is wanted, in the order in which it is read.

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from adapterbot.history import History
from adapterbot.knowledge.query_language import Clause, Test, WrittenQuery
from adapterbot.knowledge.table.merging import merged
from adapterbot.knowledge.table.orders import COMPARATIVE, MOST
from adapterbot.knowledge.table.polarity import denied
from adapterbot.knowledge.table.slots import Heard, Speech
from adapterbot.knowledge.table.store import WORD, key
from adapterbot.knowledge.table.table import ORDINAL, Table, amount_of
from adapterbot.knowledge.table.vocabulary import Span, tokens
from adapterbot.language.words import REFERRING, terms

WINDOW = 12  # utterances that are looked at
OTHER = re.compile(r"\b(?:another|other|others|else|different|alternatives?|instead|next one)\b", re.I)
SMALL_TALK = re.compile(r"\b(?:anything|something|what) else\b|\bfurther\b|\bhow (?:are|is|was|do you)\b", re.I)
LATER = re.compile(r"\blater\b(?! than)", re.I)
EARLIER = re.compile(r"\bearlier\b(?! than)", re.I)
ANY = re.compile(
    r"\b(?:any(?:thing|where|time)?|whatever|whichever|either|surprise me|no preference|up to you|you choose)\b"
    r"|\b(?:doesn'?t|does not|don'?t|do not|not) (?:really )?(?:matter|care|mind|important|picky|fussy|bothered)\b"
    r"|\b(?:forget|never mind|ignore|drop|scrap) (?:about )?(?:the|my)\b",
    re.I,
)
END = r"(?:(?i:the|my|our|an?|this|that|here|home)\b|[A-Z])"  # of a trip, not "to eat" nor "from far away"
TRIP = re.compile(rf"\b[Ff]rom {END}.*\bto {END}|\b[Tt]o {END}.*\bfrom {END}")
REFERS = REFERRING | {"that", "this", "there", "place", "one"}
POINTS = (REFERRING | {"that", "this", "those", "these", "there"}) - {"itself"}
SEARCHES = re.compile(
    r"\b(?:(?:is|are|isn'?t|aren'?t) there|there'?s|any(?:thing|where|one)?|some(?:thing|where)|find|"
    r"(?:what|how) about (?!it|that|this|the)|"
    r"show|search|looking for|i(?:'d| would)? (?:want|need|like|prefer|meant|mean)|instead|do you (?:have|know)|got)\b"
    r"|^\W*(?:and|or|no\b\W*)?\W*(?:in|to|from|on|with|not|but)\b",
    re.I,
)
ASKING = re.compile(r"\?\s*$|^\W*(?:and |so |ok |okay )?(?:what|where|when|how|which|who|tell|give|can|could)\b", re.I)
OPEN = re.compile(
    r"^\W*(?:(?:and|so|but|ok(?:ay)?|well|then)\W+)*(?:what|where|when|how|which|who|whose)(?:'?s)?\b", re.I
)
TAG = re.compile(r"\b(?:right|correct|true|isn'?t it|doesn'?t it|aren'?t they|yes|no)\s*\?\s*$", re.I)
COUNTING = re.compile(
    r"\bhow many(?! (?:stars|seats|people|persons|miles|minutes|passengers|pounds))\b|\bnumber of (?!stars|seats)", re.I
)
WHICH = re.compile(r"\b(?:which|of (?:them|those|these|the two|both)|the \w+ one)\b", re.I)
FIRST = {
    "first": 0,
    "1st": 0,
    "former": 0,
    "second": 1,
    "2nd": 1,
    "latter": -1,
    "third": 2,
    "3rd": 2,
    "last": -1,
    "middle": 1,
}
CHOSEN = re.compile(rf"\bthe ({'|'.join(FIRST)})(?: (?:one|place|option|hotel|restaurant|two)\b|\W|$)(?! train)", re.I)
CLOSING = frozenset(
    WORD.findall("""
    a again all allright alright and appreciate appreciated are awesome bye cheers day everything for goodbye good
    great have help helpful i is it kind lot lovely m much need needed nice nothing no now ok okay perfect re s so
    super sure take care thank thankful thanks that the then this thx today too very was wonderful you your ve been
    ll be done evening night weekend enough else nope brilliant
    """)
)
CLOSES = frozenset(WORD.findall("thank thanks thx bye goodbye cheers"))
# What says nothing of what is asked of a place.
POLITE = frozenset(
    WORD.findall("""
    place one option sound info information detail details address show find go exactly called name located near
    question wonder wondering check quick guess believe heard told friend recommend visit eat stay work
    """)
)


@dataclass(slots=True)
class Wish:
    """What a conversation asks of a table.

    `focus` are the rows that it is about, by id, `without` those that the user has turned down. `ready`: rows are
    wanted although no value was named. `over`: the user only says thanks or goodbye. Of the newest message: `about` the
    rows in focus, of which it asks columns (`ask`), says something (`claims`) or asks what no column tells (`lost`).
    """

    clauses: tuple[Clause, ...] = ()
    focus: tuple[int, ...] = ()
    without: frozenset[int] = frozenset()
    order: tuple[str, bool] | None = None  # the column to sort by, and whether the most comes first
    ready: bool = False
    over: bool = False
    about: bool = False
    ask: tuple[str, ...] = ()
    claims: tuple[Clause, ...] = ()
    lost: bool = False
    count: bool = False
    first: bool = False  # only those that come first in the order

    @property
    def query(self) -> WrittenQuery:
        """The wants as a query."""
        return WrittenQuery(self.clauses, self.order, self.ask, self.count)

    def __str__(self) -> str:
        return "; ".join(map(str, self.clauses))


def understood(history: History, table: Table, speech: Speech) -> Wish:
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
            _Message(utterance.text, asked, wish, table, speech).take_in()
            # whoever has answered a question, or told a whole trip, without naming a value should be shown something
            wish.ready = wish.ready or (questioned and not wish.over) or TRIP.search(utterance.text) is not None
            asked = ()
            questioned = False
    return wish


class _Message:
    """One message of the user, which changes the wish."""

    def __init__(self, text: str, asked: Sequence[str], wish: Wish, table: Table, speech: Speech) -> None:
        self.text, self.asked, self.wish, self.table, self.speech = text, asked, wish, table, speech
        self.words = set(WORD.findall(text.lower()))
        last = next((c.column for c in reversed(wish.clauses) if c.column in table.units), "")
        heard = speech.hear(text, asked, last)
        self.named, refused = self._named(heard.is_question)
        if self.named or refused:  # a name is no value
            heard = speech.hear(
                _masked(text, [row.key for row in table.rows((*self.named, *refused))]), asked, last, whole=True
            )
        self.heard = heard
        wish.without = (wish.without | set(refused)) - set(self.named)
        if set(refused) & set(wish.focus):
            wish.focus = tuple(row for row in wish.focus if row not in refused)

    def take_in(self) -> None:
        """Change the wish."""
        wish, heard = self.wish, self.heard
        wish.over = bool(self.words & CLOSES) and self.words <= CLOSING
        wish.about, wish.ask, wish.claims, wish.lost, wish.count, wish.first = False, (), (), False, False, False
        rows = self.named or self._chosen()
        if rows:
            wish.focus = (
                (self.table.fitting(rows, WrittenQuery(heard.wants)) or rows) if _alike(rows, self.table) else rows
            )
            self._about()
        elif len(wish.focus) > 1 and heard.order and WHICH.search(self.text):
            self._compared(heard.order)
        elif wish.focus and self._refers():
            self._about()
        else:
            self._search(heard)

    # -- about rows --------------------------------------------------------------------------------------------------

    def _named(self, question: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The rows that are named, and those that are named to be left out."""
        named = self.table.named(self.text)
        words = tokens(self.text)
        spans = dict[int, Span]()
        for row, name in zip(named, (row.key for row in self.table.rows(named)), strict=True):
            first = key(name).split()[:1]
            if first and first[0] in words:
                spans[row] = Span(words.index(first[0]), words.index(first[0]) + len(key(name).split()), (), name)
        no = denied(words, list(dict.fromkeys(spans.values())))
        refused = tuple(row for row in named if spans.get(row) in no) if not question else ()
        return tuple(row for row in named if row not in refused), refused

    def _chosen(self) -> tuple[int, ...]:
        """The row of those in focus that is meant by its place: "the second one"."""
        found = CHOSEN.search(self.text) if len(self.wish.focus) > 1 else None
        place = FIRST[found[1].lower()] if found else 0
        return (self.wish.focus[place],) if found and place < len(self.wish.focus) else ()

    def _refers(self) -> bool:
        """Whether the message asks something of the rows in focus, and looks for no others."""
        heard, text = self.heard, self.text
        there = re.sub(r"\b(?:is|are|isn'?t|aren'?t) there\b|\bthere(?:'s| is| are)\b", " ", text, flags=re.I)
        points = bool(set(WORD.findall(there.lower())) & POINTS) or self._definite()
        asks = ASKING.search(text) is not None or TAG.search(text) is not None
        if OTHER.search(text) or LATER.search(text) or EARLIER.search(text) or (heard.order and not points):
            return False
        if (
            points
            and asks
            and not re.search(r"\b(?:is|are) there (?:any|an?|one|something)\b|\blike (?:that|this|it)\b", text, re.I)
        ):
            return True
        if SEARCHES.search(text):
            return False
        return (bool(heard.ask) and not heard.wants) or (heard.is_question and bool(heard.wants))

    def _definite(self) -> bool:
        """Whether it speaks of "the hotel" or "the place"."""
        return bool(re.search(rf"\bthe (?:{re.escape(self.speech.topic)}|place|first|last|second)\b", self.text, re.I))

    def _about(self) -> None:
        """What the message asks of the rows in focus, or says of them."""
        wish, heard = self.wish, self.heard
        wish.about = True
        open_question = OPEN.search(self.text) is not None and TAG.search(self.text) is None
        several = {
            c.column for c in heard.wants if c.test == "=" and len(c.values) > 1 and c.values[0] not in ("yes", "no")
        }
        claims = [_exact(c, self.text) for c in heard.wants if c.column not in several]
        if open_question:
            several |= {c.column for c in claims} if not heard.ask else set()
            claims = []
        wish.claims = tuple(claims)
        said = {clause.column for clause in claims}
        wish.ask = tuple(dict.fromkeys([*(c for c in heard.ask if c not in said), *sorted(several)]))
        if (
            claims
            and not OPEN.search(self.text)
            and not re.search(r"\band\b.*\b(?:what|where|when|how|number|phone)\b", self.text, re.I)
        ):
            wish.ask = ()
        asks = heard.is_question or open_question or TAG.search(self.text)
        if asks and not claims and not wish.ask and not heard.order:
            wish.lost = bool(self._left())

    def _left(self) -> set[str]:
        """The content words of the message that speak of no column, no value and no name."""
        names = {word for row in self.table.rows(self.wish.focus) for word in key(row.key).split()}
        known = names | self.speech.means(self.text) | POLITE | {self.speech.topic, self.speech.topic + "s"}
        return {word for word in terms(self.text) if word.replace("'", "") not in known}

    def _compared(self, order: tuple[str, bool]) -> None:
        """Which of the rows in focus comes first."""
        wish = self.wish
        ranked = self.table.sorted(wish.focus, order)
        best = self.table.cell(ranked[0], order[0])
        wish.focus = tuple(row for row in ranked if self.table.cell(row, order[0]) == best)
        wish.about, wish.ask = True, (order[0],)

    # -- looking for rows --------------------------------------------------------------------------------------------

    def _search(self, heard: Heard) -> None:
        wish = self.wish
        new = list(heard.wants)
        if wish.focus:
            new += self._shifted()
        order = heard.order
        if wish.focus and OTHER.search(self.text):
            wish.without |= set(wish.focus)
            wish.focus = ()
        if wish.focus and order and COMPARATIVE.search(self.text):
            new += self._than_before(order)
        free = set(heard.free)
        if ANY.search(self.text):
            wish.ready = wish.ready or bool(self.asked)
            free |= set(self.asked) | (set(heard.ask) if heard.ask else set())
        kept = [c for c in wish.clauses if c.column not in free - {c.column for c in new}]
        wish.clauses = tuple(merged(kept, new))
        times = [c for c in new if c.column in self.table.times]
        wish.order = order or ((times[-1].column, times[-1].test in ("<=", "<")) if times else wish.order)
        wish.first = order is not None and MOST.search(self.text) is not None
        wish.count = COUNTING.search(self.text) is not None
        wish.ask = heard.ask if heard.ask and (new or order) and OPEN.search(self.text) else ()
        if new or order or heard.free:
            narrowed = not order and self.words & REFERS and not SEARCHES.search(self.text)
            wish.focus = self.table.fitting(wish.focus, WrittenQuery(tuple(new))) if narrowed else ()

    def _shifted(self) -> list[Clause]:
        """A later or an earlier time than that of the row that was talked of."""
        wish = self.wish
        column = next((c for c in self.table.times if "arriv" not in c.lower()), "")
        if not column or not (LATER.search(self.text) or EARLIER.search(self.text)):
            return []
        time = self.table.cell(wish.focus[0], column)
        wish.without = wish.without | set(wish.focus)
        wish.focus = ()
        wish.clauses = tuple(c for c in wish.clauses if c.column not in self.table.times)
        return [Clause(column, ">=" if LATER.search(self.text) else "<=", (time,))]

    def _than_before(self, order: tuple[str, bool]) -> list[Clause]:
        """Less, or more, than the row that was talked of: "something cheaper"."""
        wish, (column, most) = self.wish, order
        cell = self.table.cell(wish.focus[0], column)
        wish.without |= set(wish.focus)
        wish.focus = ()
        test: Test = ">" if most else "<"
        if column in self.table.units:
            number = amount_of(cell)
            return [] if number is None else [Clause(column, test, (f"{number:g}",))]
        place = ORDINAL.index(cell.lower()) if cell.lower() in ORDINAL else -1
        better = ORDINAL[place + 1 :] if most else ORDINAL[: max(place, 0)]
        return [Clause(column, "=", better or (f"{'more' if most else 'less'} than {cell}",))]


def _masked(text: str, names: Sequence[str]) -> str:
    """A text with something that is no value in place of names."""
    for name in sorted(names, key=len, reverse=True):
        words = r"\W+".join(re.escape(word).replace("s", "['’]?s") for word in key(name).split())
        text = re.sub(rf"\b(?:the\W+)?{words}\b", "it", text, flags=re.I)
    return text


def _exact(clause: Clause, text: str) -> Clause:
    """What is said of a row is a time, and not one after it."""
    time = re.fullmatch(r"\d\d:\d\d", clause.values[0]) and clause.test in (">=", "<=")
    if time and not re.search(r"\b(?:after|before|by|until|later|earlier|than)\b", text, re.I):
        return Clause(clause.column, "=", clause.values)
    return clause


def _alike(rows: Sequence[int], table: Table) -> bool:
    """Whether several rows go by one name."""
    return len(rows) > 1 and len({key(row.key) for row in table.rows(rows)}) == 1
