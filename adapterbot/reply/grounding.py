"""6 · What a grounded reply may say: every number, name, time and place of it stands in its facts or was said before.

`Evidence.against` lists what does not; `read_out` is a reply that holds nothing but the facts. What is said of a claim
is always read out (`told`): a small model copies a sentence in part and loses its "not".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from adapterbot.facts import Answer, Count, Fact, Label, Nothing, Passage, Row, Triple, Verdict
from adapterbot.knowledge import source_class
from adapterbot.language.text import Text, all_parts
from adapterbot.language.values import (
    DIGITS,
    NUMBER,
    PART,
    VALUE,
    VALUES,
    is_name,
    parts,
    values,
    with_synonyms,
)
from adapterbot.reply import forecasts, wording
from adapterbot.spec.tables import SkillSpec

# How many things there are is no cell of a row: "there are 52 parks" cannot be had from "52 Tannery Lane".
COUNTED = re.compile(
    rf"\b(?:there are|have|found|see|one of) (?:about |over )?(\d+|{'|'.join(DIGITS)})\b(?!:)", re.IGNORECASE
)
DENIAL = re.compile(r"\b(?:no|not|none|nothing|cannot|unfortunately)\b|n't\b", re.IGNORECASE)
# "I don't know", "I've never heard of it", "I can't tell you".
IGNORANCE = re.compile(
    r"(?:\bnot|n['’]t)\s+(?:\w+\s+)?(?:know|sure|certain|heard|tell|say)\b|\bnever heard\b|\bno idea\b|\bnothing\b",
    re.IGNORECASE,
)
# No row fits all that was asked; "no hotels in the west" would say more than that.
OVERALL = re.compile(r"\b(?:none|nothing|anything|such|like that|criteria|fits?|match(?:es)?|meets?)\b", re.IGNORECASE)
# What denies the words behind it, and what says that there is nothing at all.
DENIES = re.compile(rf"{DENIAL.pattern}|\b(?:far from|neither|nor|never|without|lacks?)\b", re.IGNORECASE)
NO_SUCH = re.compile(
    r"\b(?:there (?:is|are|was|were|isn['’]t|aren['’]t)|(?:i|we) (?:have|found|see|know)|none|nothing)\b",
    re.IGNORECASE,
)
FLAGS = {"internet": frozenset({"wifi", "internet", "wi"}), "parking": frozenset({"parking", "park"})}
DENIED = 6  # words behind a denial that it is about
# What a table tells of a place: from its row alone, whatever the user took it to be.
OF_ROWS = frozenset({"north", "south", "east", "west", "centre", "center", "cheap", "moderate", "expensive"})
AFTER_ALL = re.compile(rf"{NUMBER}|\bbut (?:there (?:is|are)|i have|we have|it)\b(?! no| not)", re.IGNORECASE)
ANSWERED = re.compile(r"^(?:yes|no|nope|not really)\s*[,.!]|\bafraid (?:so|not)\b", re.IGNORECASE)
BEGINS = re.compile(
    r"^\W*(?:yes|no|nope)\b(?:\W*[,.!;:–-]|(?=\s+(?:it|they|this|that|the|(?-i:[A-Z]))))", re.IGNORECASE
)
# By what was looked for: what a reply that found nothing has to name, and how it is said where no draft does.
MISSING = {
    "calendar": (re.compile(""), "I see no such event in your calendar."),
    "forecast": (re.compile(r"\b(?:forecast|weather)", re.IGNORECASE), "I am sorry, I have no forecast for that."),
}
ELSE = (OVERALL, "I am sorry, I found nothing like that.")
NO_FACT = "I have nothing on that."
VERDICTS: dict[Label, str] = {
    "supported": "What I have read supports that.",
    "contradicted": "What I have read contradicts that.",
    "not known": "I cannot say whether that is so, at least not the way you put it. The nearest I have read is this:",
}
NO_VERDICT = "I have read nothing about that, so I cannot say whether it is so."


@dataclass(frozen=True)
class Evidence:
    """What a reply has to keep to; every fact is split into words and values once.

    `strict`: a draft with an unsupported value is never shown. `is_read`: the facts come from passages or triples, and
    a draft that gets a passage wrong gives way to one that does not, or to a sentence of it; who asks and is found
    nothing for is told so.
    """

    facts: tuple[Fact, ...] = ()
    strict: bool = False
    is_read: bool = False

    @classmethod
    def of(cls, spec: SkillSpec, facts: Iterable[Fact]) -> Evidence | None:
        """What replies of this skill have to keep to; None for a skill that is not grounded."""
        if not spec.grounded:
            return None
        is_read = source_class(spec.knowledge.source).is_read and not spec.strict
        return cls(tuple(facts), spec.strict, is_read)

    @cached_property
    def lines(self) -> tuple[Text, ...]:
        """The facts as texts."""
        return tuple(Text(fact.line) for fact in self.facts)

    @cached_property
    def passages(self) -> tuple[Text, ...]:
        """Those of the lines that are sentences, not rows or triples."""
        return tuple(line for fact, line in zip(self.facts, self.lines, strict=True) if isinstance(fact, Passage))

    @property
    def found(self) -> bool:
        """Whether there is a fact other than those that say that there are none."""
        return any(not isinstance(fact, Nothing) for fact in self.facts)

    @property
    def asked(self) -> tuple[str, ...]:
        """The names that a question asks for: an answer has each of them whole."""
        return tuple(fact.asked for fact in self.facts if isinstance(fact, Triple) and fact.asked)

    @property
    def missing(self) -> str:
        """What was looked for and not found (`forecast`, `calendar`, ...), where values are never invented; else ""."""
        topics = (fact.topic for fact in self.facts if isinstance(fact, Nothing))
        return next(topics, "") if self.strict else ""

    def against(self, reply: Text, utterances: Sequence[Text]) -> list[str]:
        """The values of a draft that nothing supports. Of several rows one has to support them all: the one that the
        draft names, or any when it names none; a draft that names several may tell of each."""
        if self.missing:
            wrong = against_nothing(reply.text, self.missing)
            return wrong or self._unsupported(reply.text, all_parts([*self.lines, *utterances[-1:]]))
        text = reply.text
        said = all_parts(utterances)
        if self.strict and (denied := self._denied(reply, utterances)):
            return denied
        rows = [(fact, line) for fact, line in zip(self.facts, self.lines, strict=True) if len(fact.row) > 1]
        others = [(fact, line) for fact, line in zip(self.facts, self.lines, strict=True) if len(fact.row) <= 1]
        told = all_parts(line for _, line in others)
        if self.strict:  # counts are looked at here, and then count no more
            if counted := _miscounted(text, len(rows), told | said):
                return counted
            if welded := _welded(text, [*self.lines, *utterances]):
                return welded
            text = COUNTED.sub("", text)
            told = all_parts(Text(f"{fact.of}: found") if isinstance(fact, Count) else line for fact, line in others)
        told |= said
        named = [line for fact, line in rows if any(reply.parts >= parts([name]) for name in fact.names)]
        if len(rows) < 2 or len(named) > 1:
            return self._unsupported(text, told | all_parts(line for _, line in rows))
        tried = (self._unsupported(text, told | line.parts) for line in named or [line for _, line in rows])
        return min(tried, key=len)

    def _denied(self, reply: Text, utterances: Sequence[Text]) -> list[str]:
        """What a reply to rows denies, takes from the user's words, adds, or leaves out: the name of the only row."""
        rows = [fact for fact in self.facts if isinstance(fact, Row)]
        if not rows:
            return []
        cells = [value.lower() for row in rows for _, value in row.cells]
        answered = BEGINS.match(reply.text)  # "No, it is expensive" denies no word of it
        denials = DENIES.finditer(reply.text, answered.end() if answered else 0)
        wrong = [found[0] for found in denials if _denies(reply.text, found, rows)]
        known = with_synonyms(all_parts(Text(cell) for cell in cells))
        denied = {word for found in DENIES.finditer(reply.text) for word in _behind(reply.text, found)}
        free = known | denied if "?" not in reply.text else OF_ROWS
        wrong += [word for word in reply.tokens if word in OF_ROWS and word not in free]
        first = next((name for name in rows[0].names), "") if len(rows) == 1 else ""
        if first and not any(parts([first]) <= text.parts for text in (reply, *utterances[-3:])):
            wrong.append(first)
        return wrong

    def _unsupported(self, text: str, known: Iterable[str]) -> list[str]:
        known = with_synonyms(known)
        return [value for value in values(text) if value.lower() not in known]


def _denies(text: str, denial: re.Match[str], rows: Sequence[Row]) -> bool:
    """Whether a denial in a reply is of what one of its rows has, or of all of them."""
    words = _behind(text, denial)
    said = text[denial.start() :].lower()
    meant = [row for row in rows if any(parts([name]) <= parts([text]) for name in row.names)] or list(rows)
    cells = [cell for cell in meant[0].cells if all(cell in row.cells for row in meant)]  # what each of them has
    for name, value in cells:
        cell = value.lower()
        if cell.startswith("no ") and said.startswith(cell):
            return False  # "no traffic" is what it has
        if words & FLAGS.get(name, frozenset({name.lower()})) and cell in ("yes", "no", "free"):
            return cell != "no"
    held = [value for _, value in cells if value not in meant[0].names and not value[:1].isdigit()]
    if any(parts([value]) <= with_synonyms(words) for value in held):
        return True
    return bool(NO_SUCH.search(re.split(r"[.;!?]", text[: denial.end()])[-1]))


def _behind(text: str, denial: re.Match[str]) -> set[str]:
    """The words that a denial is about."""
    clause = re.split(r"[,.;:!?]|\bbut\b", text[denial.end() :], maxsplit=1)[0]
    return parts([" ".join(clause.split()[:DENIED])])


def against_nothing(text: str, topic: str) -> list[str]:
    """What a reply says or leaves out against the fact that nothing was found: it has to say so and no more.

    "no" stands for a missing denial; a number is never told, no "but there is" takes the denial back, a question is not
    answered ("I'm afraid not"), and what was looked for is named once ("a forecast for the forecast").
    """
    if not DENIAL.search(text) or not MISSING.get(topic, ELSE)[0].search(text):
        return ["no"]
    too_much = [found[0] for pattern in (ANSWERED, AFTER_ALL) for found in pattern.finditer(text)]
    return too_much + re.findall(rf"\b{re.escape(topic)}\b", text.lower())[1:]


def told(facts: Sequence[Fact]) -> str:
    """The reply that facts give word by word; "" where a model words it. An answer is told as it stands; to a verdict
    it is a sentence on it, then all of the evidence as it is; rows of tables: `wording`, days: `forecasts`."""
    answer = next((fact for fact in facts if isinstance(fact, Answer)), None)
    if answer is not None:
        return answer.text
    verdict = next((fact for fact in facts if isinstance(fact, Verdict)), None)
    if verdict is None:
        return wording.told(facts) or forecasts.told(facts)
    evidence = [verdict.evidence, *(fact.line for fact in facts if fact is not verdict)]
    read = [text.strip() for text in evidence if text.strip()]
    if not read and verdict.label == "not known":
        return NO_VERDICT
    return " ".join([VERDICTS[verdict.label], *read])


def read_out(facts: Sequence[Fact]) -> str:
    """The first fact as a reply, so that nothing in it is made up; rows become clauses."""
    if not facts:
        return NO_FACT
    fact = facts[0]
    match fact:
        case Count():
            return f"I have {fact.n} that I could offer. Tell me more about what you are looking for."
        case Nothing():
            return MISSING.get(fact.topic, ELSE)[1]
    if isinstance(fact, Triple) and fact.asked:
        same = [f for f in facts if isinstance(f, Triple) and f.asked and f.relation == fact.relation]
        topic = fact.subject if fact.asked == fact.object else fact.object
        relation = fact.relation.replace("_", " ").lower()
        names = " and ".join(dict.fromkeys(f.asked for f in same))
        return f"{topic}, {relation}: {names}." if topic == fact.subject else f"{names}, {relation}: {topic}."
    if fact.row:
        return f"Here is what I have: {', '.join(f'{name} {value}' for name, value in fact.row)}."
    return " ".join(fact.line.split()) or NO_FACT


def _miscounted(text: str, rows: int, told: Iterable[str]) -> list[str]:
    """The numbers of things in `text` that are neither how many rows there are nor told of elsewhere."""
    counts = [count[1].lower() for count in COUNTED.finditer(text)]
    known = with_synonyms(told) | {str(rows)}
    return [count for count in counts if DIGITS.get(count, count) not in known]


def _welded(text: str, told: Sequence[Text]) -> list[str]:
    """Names of two words that stand nowhere next to each other: "QX Tree" of "QX Hotel" and "Tree House"."""
    names = [value for value in VALUE.finditer(text) if is_name(value) and value[0].lower() not in VALUES]
    pairs = [(a, b) for a, b in pairwise(names) if text[a.end() : b.start()] == " "]
    known = {pair for one in told for pair in pairwise(part.lower() for part in PART.findall(one.text))}
    return [f"{a[0]} {b[0]}" for a, b in pairs if (a[0].lower(), b[0].lower()) not in known]
