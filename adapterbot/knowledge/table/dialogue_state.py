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
from adapterbot.knowledge.table.slots import Heard, Speech
from adapterbot.knowledge.table.store import WORD, key
from adapterbot.knowledge.table.table import ORDINAL, Table, amount_of
from adapterbot.language.words import REFERRING, terms

WINDOW = 12  # utterances that are looked at
OTHER = re.compile(r"\b(?:another|other|others|else|different|alternatives?|instead|next one)\b", re.I)
SMALL_TALK = re.compile(r"\b(?:anything|something|what) else\b|\bfurther\b|\bhow (?:are|is|was|do you)\b", re.I)
LATER = re.compile(r"\blater\b(?! than)", re.I)
EARLIER = re.compile(r"\bearlier\b(?! than)", re.I)
END = r"(?:(?i:the|my|our|an?|this|that|here|home)\b|[A-Z])"  # of a trip, not "to eat" nor "from far away"
TRIP = re.compile(rf"\b[Ff]rom {END}.*\bto {END}|\b[Tt]o {END}.*\bfrom {END}")
REFERS = REFERRING | {"that", "this", "there", "place", "one"}
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
    chosen: tuple[str, ...] = ()  # names of rows that the user has taken up or asked about
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

    def query_of(self, entity: str) -> WrittenQuery:
        """The wants as a query, in which a row that was chosen stands for all else; `entity` is the column of names."""
        if not self.chosen:
            return self.query
        return WrittenQuery((Clause(entity, "=", self.chosen),), None, self.ask, self.count)

    def __str__(self) -> str:
        return "; ".join(map(str, self.clauses))


def understood(history: History, table: Table, speech: Speech) -> Wish:
    """What the last utterances of `history` ask for."""
    wish = Wish()
    bot = ""
    for utterance in history.window(WINDOW):
        if utterance.speaker == "bot":
            wish.focus = table.named(utterance.text) or wish.focus
            bot = utterance.text
            continue
        _Message(utterance.text, bot, wish, table, speech).take_in()
        # whoever has answered a question, or told a whole trip, without naming a value should be shown something
        questioned = "?" in bot and not SMALL_TALK.search(bot)
        wish.ready = wish.ready or (questioned and not wish.over) or TRIP.search(utterance.text) is not None
        bot = ""
    return wish


class _Message:
    """One message of the user, which changes the wish."""

    def __init__(self, text: str, bot: str, wish: Wish, table: Table, speech: Speech) -> None:
        self.text, self.wish, self.table, self.speech = text, wish, table, speech
        self.words = set(WORD.findall(text.lower()))
        last = next((c.column for c in reversed(wish.clauses) if c.column in table.units), "")
        self.heard = speech.hear(text, bot, last)
        refused = set(self.heard.refused)
        wish.without = (wish.without | refused) - set(self.heard.named)
        wish.focus = tuple(row for row in wish.focus if row not in refused)
        if self.heard.taken:
            wish.focus = tuple(row for row in wish.focus if row in self.heard.taken) or wish.focus

    def take_in(self) -> None:
        """Change the wish."""
        wish, heard = self.wish, self.heard
        wish.over = bool(self.words & CLOSES) and self.words <= CLOSING
        wish.about, wish.ask, wish.claims, wish.lost, wish.count, wish.first = False, (), (), False, False, False
        rows = self.heard.named or self._chosen()
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
            wish.chosen = () if heard.wants or heard.order else wish.chosen
        if wish.focus and (wish.about or heard.taken or len(wish.focus) == 1):
            wish.chosen = tuple(row.key for row in self.table.rows(wish.focus))

    # -- about rows --------------------------------------------------------------------------------------------------

    def _chosen(self) -> tuple[int, ...]:
        """The row of those in focus that is meant by its place: "the second one"."""
        found = CHOSEN.search(self.text) if len(self.wish.focus) > 1 else None
        place = FIRST[found[1].lower()] if found else 0
        return (self.wish.focus[place],) if found and place < len(self.wish.focus) else ()

    def _refers(self) -> bool:
        """Whether the message asks something of the rows in focus, or says something of them, and wants no others."""
        heard, text = self.heard, self.text
        if heard.wants or heard.order or any(p.search(text) for p in (OTHER, LATER, EARLIER, COUNTING)):
            return False
        return bool(heard.ask or heard.told or heard.taken) or ASKING.search(text) is not None

    def _about(self) -> None:
        """What the message asks of the rows in focus, or says of them."""
        wish, heard = self.wish, self.heard
        wish.about = True
        open_question = OPEN.search(self.text) is not None and TAG.search(self.text) is None
        said_of_rows = (*heard.told, *heard.wants)
        several = {
            c.column for c in said_of_rows if c.test == "=" and len(c.values) > 1 and c.values[0] not in ("yes", "no")
        }
        claims = [_exact(c, self.text) for c in said_of_rows if c.column not in several]
        if open_question:
            several |= {c.column for c in claims} if not heard.ask else set()
            claims = []
        wish.claims = tuple(claims)
        said = {clause.column for clause in claims}
        # a yes or a no is asked of what is named, and not of what the column's values only look like
        asked = [c for c in heard.ask if not heard.is_question or self.speech.cued(c, self.text)]
        wish.ask = tuple(dict.fromkeys([*(c for c in asked if c not in said), *sorted(several)]))
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
        # where nothing was shown a question can only be a wish
        new = list(heard.wants or (heard.told if not wish.focus and ASKING.search(self.text) else ()))
        if wish.focus:
            new += self._shifted()
        order = heard.order
        if wish.focus and OTHER.search(self.text):
            wish.without |= set(wish.focus)
            wish.focus = ()
        if wish.focus and order and COMPARATIVE.search(self.text):
            new += self._than_before(order)
        kept = [c for c in wish.clauses if c.column not in heard.free - {c.column for c in new}]
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


def _exact(clause: Clause, text: str) -> Clause:
    """What is said of a row is a time, and not one after it."""
    time = re.fullmatch(r"\d\d:\d\d", clause.values[0]) and clause.test in (">=", "<=")
    if time and not re.search(r"\b(?:after|before|by|until|later|earlier|than)\b", text, re.I):
        return Clause(clause.column, "=", clause.values)
    return clause


def _alike(rows: Sequence[int], table: Table) -> bool:
    """Whether several rows go by one name."""
    return len(rows) > 1 and len({key(row.key) for row in table.rows(rows)}) == 1
