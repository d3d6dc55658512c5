"""6 · What a grounded reply may say: every number, name, time and place of it stands in its facts or was said before.

`unsupported` lists what does not; `read_out` is a reply that holds nothing but the facts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from adapterbot.language.values import (
    DIGITS,
    NUMBER,
    PART,
    SPELT,
    VALUE,
    VALUES,
    WORD,
    Everyday,
    _is_name,
    _known,
    parts,
    unsupported,
)
from adapterbot.spec.tables import SkillSpec

ROW = re.compile(r"^[a-z][\w ]*: \S")  # how a row begins: "name: ..., area: ..."
CELL = re.compile(r", (?=[A-Za-z][\w ]*: )")
# How many things there are is no cell of a row: "there are 52 parks" cannot be had from "52 Tannery Lane".
COUNT = re.compile(
    rf"\b(?:there are|have|found|see|one of) (?:about |over )?(\d+|{'|'.join(SPELT)})\b(?!:)", re.IGNORECASE
)
FOUND = re.compile(r"(?<=: )\d+(?= found$)")  # the fact of a table that was asked too little: how many rows fit
EMPTY = re.compile(r"(\w+): (?:none|no such \w+|not available|nothing (?:was )?found)$")  # the fact of an empty hand
DENIAL = re.compile(r"\b(?:no|not|none|nothing|cannot|unfortunately)\b|n't\b", re.IGNORECASE)
# "I don't know", "I've never heard of it", "I can't tell you".
IGNORANCE = re.compile(
    r"(?:\bnot|n['’]t)\s+(?:\w+\s+)?(?:know|sure|certain|heard|tell|say)\b|\bnever heard\b|\bno idea\b|\bnothing\b",
    re.IGNORECASE,
)
# No row fits all that was asked; "no hotels in the west" would say more than that.
OVERALL = re.compile(r"\b(?:none|nothing|anything|such|like that|criteria|fits?|match(?:es)?|meets?)\b", re.IGNORECASE)
AFTER_ALL = re.compile(rf"{NUMBER}|\bbut (?:there (?:is|are)|i have|we have|it)\b(?! no| not)", re.IGNORECASE)
ANSWERED = re.compile(r"^(?:yes|no|nope|not really)\s*[,.!]|\bafraid (?:so|not)\b", re.IGNORECASE)
# By what was looked for: what a reply that found nothing has to name, and how it is said where no draft does.
MISSING = {
    "calendar": (re.compile(""), "I see no such event in your calendar."),
    "forecast": (re.compile(r"\b(?:forecast|weather)", re.IGNORECASE), "I am sorry, I have no forecast for that."),
}
ELSE = (OVERALL, "I am sorry, I found nothing like that.")
HEADS = ("name", "poi", "event", "location", "trainID", "trainid")  # the cells that a row goes by
NOTHING = "I have nothing on that."
VERDICT = "verdict: "  # how the fact begins that says whether a claim is supported, contradicted or not known
FIRST = {"yes": "supported", "no": "contradicted"}  # what a reply's first word says of a claim
WHOLE = 1  # pieces: what is said of a claim keeps to words that are written in one, or to those of the evidence


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a reply has to keep to. `strict`: a draft with an unsupported value is never shown. `read`: the facts come
    from passages or triples, and a draft that gets a passage wrong gives way to one that does not, or to a sentence
    of it; who asks and is found nothing for is told so.

    `everyday` tells whether a word in lower case is one of everyday language; others count as names.
    """

    facts: tuple[str, ...] = ()
    strict: bool = False
    everyday: Everyday | None = None
    read: bool = False

    @classmethod
    def of(cls, spec: SkillSpec, facts: Iterable[str], everyday: Callable[..., bool]) -> Evidence | None:
        """What replies of this skill have to keep to; None for a skill that is not grounded.

        `everyday` tells of a word, and of a number of pieces, whether it is written in so few (`Tokenizer.everyday`).
        """
        words = partial(everyday, pieces=WHOLE) if spec.knowledge.source == "claims" else everyday
        read = spec.knowledge.source in ("passages", "graph") and not spec.strict
        return cls(tuple(facts), spec.strict, words, read) if spec.grounded else None

    @property
    def found(self) -> tuple[str, ...]:
        """The facts without those that say that there are none."""
        return tuple(fact for fact in self.facts if not EMPTY.match(fact))

    @property
    def missing(self) -> str:
        """What was looked for and not found (`forecast`, `calendar`, ...), where values are never invented; else ""."""
        empty = next(filter(None, map(EMPTY.match, self.facts)), None) if self.strict else None
        return empty[1] if empty else ""

    def against(self, text: str, utterances: Sequence[str]) -> list[str]:
        """The values of a draft that nothing supports. Of several rows one has to support them all: the one that the
        draft names, or any when it names none; a draft that names several may tell of each."""
        if denied := against_verdict(text, self.facts):
            return denied
        if self.missing:
            return against_nothing(text, self.missing) or unsupported(text, self.facts, utterances[-1:], self.everyday)
        rows = [fact for fact in self.facts if len(_cells(fact)) > 1]
        others = [fact for fact in self.facts if fact not in rows]
        if self.strict:  # counts are looked at here, and then count no more
            if counted := _miscounted(text, len(rows), [*others, *utterances]):
                return counted
            if welded := _welded(text, [*self.facts, *utterances]):
                return welded
            text = COUNT.sub("", text)
            others = [FOUND.sub("", fact) for fact in others]
        said = parts([text])
        named = [row for row in rows if any(said.issuperset(parts([cell])) for cell in heads(row))]
        if len(rows) < 2 or len(named) > 1:
            return unsupported(text, [*rows, *others], utterances, self.everyday)
        tried = (unsupported(text, [row, *others], utterances, self.everyday) for row in named or rows)
        return min(tried, key=len)


def against_verdict(text: str, facts: Sequence[str]) -> list[str]:
    """What a reply says or leaves out against the verdict among its facts; nothing where there is none.

    A verdict that is known has to be named, and a first "yes" or "no" must not go against it.
    """
    verdict = next((fact.removeprefix(VERDICT) for fact in facts if fact.startswith(VERDICT)), None)
    if verdict is None:
        return []
    words = [word.lower() for word in WORD.findall(text)]
    wrong = [word for word in words[:1] if FIRST.get(word, verdict) != verdict]
    return wrong or [verdict for known in FIRST.values() if known == verdict and verdict not in words]


def against_nothing(text: str, topic: str) -> list[str]:
    """What a reply says or leaves out against the fact that nothing was found: it has to say so and no more.

    "no" stands for a missing denial; a number is never told, no "but there is" takes the denial back, a question is not
    answered ("I'm afraid not"), and what was looked for is named once ("a forecast for the forecast").
    """
    if not DENIAL.search(text) or not MISSING.get(topic, ELSE)[0].search(text):
        return ["no"]
    too_much = [found[0] for pattern in (ANSWERED, AFTER_ALL) for found in pattern.finditer(text)]
    return too_much + re.findall(rf"\b{topic}\b", text.lower())[1:]


def read_out(facts: Sequence[str]) -> str:
    """The first fact as a reply, so that nothing in it is made up; rows become clauses."""
    fact = " ".join(facts[0].split()) if facts else ""
    if fact.startswith(VERDICT):
        return " ".join([f"That is {fact.removeprefix(VERDICT)}.", *(" ".join(f.split()) for f in facts[1:])])
    if found := FOUND.search(fact):
        return f"I have {found[0]} that I could offer. Tell me more about what you are looking for."
    if empty := EMPTY.match(fact):
        return MISSING.get(empty[1], ELSE)[1]
    if not ROW.match(fact):
        return fact or NOTHING
    return f"Here is what I have: {', '.join(f'{name} {value}' for name, value in _cells(fact))}."


def _cells(fact: str) -> list[tuple[str, str]]:
    """Name and value of each cell of a row; empty for a fact that is no row."""
    if not ROW.match(fact):
        return []
    return [(name, value) for name, _, value in (cell.partition(": ") for cell in CELL.split(fact))]


def heads(row: str) -> list[str]:
    """What a row goes by."""
    return [value for name, value in _cells(row) if name in HEADS]


def _miscounted(text: str, rows: int, told: Sequence[str]) -> list[str]:
    """The numbers of things in `text` that are neither how many rows there are nor told of elsewhere."""
    counts = [count[1].lower() for count in COUNT.finditer(text)]
    known = _known(told) | {str(rows)}
    return [count for count in counts if DIGITS.get(count, count) not in known]


def _welded(text: str, told: Sequence[str]) -> list[str]:
    """Names of two words that stand nowhere next to each other: "QX Tree" of "QX Hotel" and "Tree House"."""
    names = [value for value in VALUE.finditer(text) if _is_name(value) and value[0].lower() not in VALUES]
    pairs = [(a, b) for a, b in pairwise(names) if text[a.end() : b.start()] == " "]
    known = {pair for one in told for pair in pairwise(part.lower() for part in PART.findall(one))}
    return [f"{a[0]} {b[0]}" for a, b in pairs if (a[0].lower(), b[0].lower()) not in known]
