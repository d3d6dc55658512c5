"""2 · More pairs by rule, where the label follows with certainty: numbers, negation, reports, doubt, other topics.

The sets have few of these, and a reader of their pairs alone goes by the words that both sides share.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from adapterbot.manager.judge import CONTRADICTS, ENTAILS, NEITHER
from adapterbot.manager.training.pairs import Pair

TURNED = {ENTAILS: CONTRADICTS, CONTRADICTS: ENTAILS, NEITHER: NEITHER}
DENIED = (
    "It is not true that {}",
    "It is false that {}",
    "It is wrong that {}",
    "It is not the case that {}",
    "That {} is a myth.",
    "There is no truth in the claim that {}",
)
AFFIRMED = (
    "It is true that {}",
    "It is not false that {}",
    "It is not wrong to say that {}",
    "Nobody can deny that {}",
    "It is a fact that {}",
    "It is not a myth that {}",
)
SPEAKERS = ("My aunt", "A friend of mine", "My neighbor", "Some people", "They", "He", "A man on TV", "My boss")
REPORTED = (
    "{} said that {}",
    "{} told me that {}",
    "{} thought that {}",
    "According to {}, {}",
    "{} claimed that {}",
    "{} asked whether {}",
)
DOUBTED = (
    "Maybe {}",
    "It is possible that {}",
    "It is not known whether {}",
    "I wonder whether {}",
    "It has yet to be shown that {}",
    "If {} then we will see.",
)
NUMBER = re.compile(r"(?<![\w.,/-])\d{1,3}(?:,\d{3})+(?![\w/-])|(?<![\w.,/:-])\d{1,5}(?![\w/:-]|[.,]\d)")
BOUNDED = re.compile(
    r"\b(?:more|less|fewer|over|under|least|most|about|almost|nearly|around|than|not|no|or|up)\b|n't", re.I
)
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
WORD = re.compile(rf"\b(?:{'|'.join(WORDS[2:])})\b", re.IGNORECASE)


def varied(pair: Pair, others: Sequence[Pair], draw: random.Random) -> Pair | None:
    """Another pair that follows from this one with certainty, by one of the forms; None where the form does not fit."""
    return draw.choice(FORMS)(pair, others, draw)


def _inner(text: str) -> str:
    """A sentence as part of another: no full stop, no capital but in names."""
    text = text.strip().rstrip(".!")
    first = text.split(" ", 1)[0]
    return text if first == "I" or not first.istitle() or len(first) < 2 else text[0].lower() + text[1:]


def _is_plain(text: str) -> bool:
    """One statement of moderate length: what can be denied or reported as a whole."""
    return len(text.split()) <= 24 and "?" not in text and not re.search(r"[.!;:]\s", text)


def negated(pair: Pair, others: Sequence[Pair], draw: random.Random) -> Pair | None:
    """The statement denied: what was entailed is contradicted and the other way round."""
    if not pair.sure or not _is_plain(pair.statement):
        return None
    return Pair(pair.premise, draw.choice(DENIED).format(_inner(pair.statement)), (TURNED[pair.sure],))


def affirmed(pair: Pair, others: Sequence[Pair], draw: random.Random) -> Pair | None:
    """The statement affirmed, or denied twice: the label stays."""
    if not _is_plain(pair.statement):
        return None
    return Pair(pair.premise, draw.choice(AFFIRMED).format(_inner(pair.statement)), pair.labels)


def reported(pair: Pair, others: Sequence[Pair], draw: random.Random) -> Pair | None:
    """Somebody says so: of that the premise tells nothing; nor does what somebody says tell that it is so."""
    speaker = draw.choice(SPEAKERS)
    form = draw.choice(REPORTED)
    if form.startswith("According"):
        speaker = speaker.lower()
    if draw.random() < 0.5 and _is_plain(pair.statement):
        return Pair(pair.premise, form.format(speaker, _inner(pair.statement)), (NEITHER,))
    if not _is_plain(pair.premise):
        return None
    return Pair(form.format(speaker, _inner(pair.premise)), pair.statement, (NEITHER,))


def doubted(pair: Pair, others: Sequence[Pair], draw: random.Random) -> Pair | None:
    """The premise is in doubt: then nothing follows from it."""
    if not _is_plain(pair.premise):
        return None
    return Pair(draw.choice(DOUBTED).format(_inner(pair.premise)), pair.statement, (NEITHER,))


def denied(pair: Pair, others: Sequence[Pair], draw: random.Random) -> Pair | None:
    """A sentence and its own denial, on either side."""
    text = draw.choice((pair.premise, pair.statement))
    if not _is_plain(text) or len(text.split()) < 3:
        return None
    other = draw.choice(DENIED).format(_inner(text))
    return Pair(text, other, (CONTRADICTS,)) if draw.random() < 0.5 else Pair(other, text, (CONTRADICTS,))


def same(pair: Pair, others: Sequence[Pair], draw: random.Random) -> Pair | None:
    """A sentence entails itself, and so does a text that has it among others."""
    text = pair.statement
    if not _is_plain(text) or len(text.split()) < 3:
        return None
    if draw.random() < 0.5:
        return Pair(text, text, (ENTAILS,))
    aside = draw.choice(others).statement
    parts = [text, aside] if draw.random() < 0.5 else [aside, text]
    premise = " ".join(part if part.rstrip().endswith((".", "!", "?")) else f"{part}." for part in parts)
    return Pair(premise, text, (ENTAILS,)) if aside != text and _is_plain(aside) else None


def elsewhere(pair: Pair, others: Sequence[Pair], draw: random.Random) -> Pair | None:
    """A statement against the premise of another pair: it tells nothing of it."""
    other = draw.choice(others)
    if other.premise == pair.premise or other.statement == pair.statement:
        return None
    return Pair(other.premise, pair.statement, (NEITHER,))


def renumbered(pair: Pair, others: Sequence[Pair], draw: random.Random) -> Pair | None:
    """A number that the premise gives too is another one in the statement, or it is compared with another."""
    if pair.sure != ENTAILS:
        if not _is_plain(pair.premise):
            return None
        pair = Pair(pair.premise, pair.premise, (ENTAILS,))
    found = [n for n in NUMBER.finditer(pair.statement) if n[0] in NUMBER.findall(pair.premise)]
    if not found or BOUNDED.search(pair.statement):
        return _reworded(pair, draw)
    number = draw.choice(found)
    value = int(number[0].replace(",", ""))
    is_year = 1000 <= value <= 2100 and "," not in number[0]
    other = value + draw.choice((-1, 1)) * draw.choice(
        (1, 2, 3, 5, 10) if is_year or value < 40 else (1, 10, value // 3)
    )
    if other < 0 or other == value:
        other = value + 2
    written = f"{other:,}" if "," in number[0] else str(other)
    put: Callable[[str], str] = lambda text: pair.statement[: number.start()] + text + pair.statement[number.end() :]  # noqa: E731
    before = pair.statement[: number.start()].split()[-1:]
    if is_year or draw.random() < 0.6 or before in (["in"], ["on"], ["of"], ["June"], ["age"]) or number[0][0] == "0":
        return Pair(pair.premise, put(written), (CONTRADICTS,))
    if not before or not pair.statement[number.end() :].strip(" ."):
        return None
    more = f"more than {written}", f"at least {written}"
    less = f"fewer than {written}", f"at most {written}"
    is_more = draw.random() < 0.5
    holds = (value > other) if is_more else (value < other)
    return Pair(pair.premise, put(draw.choice(more if is_more else less)), (ENTAILS if holds else CONTRADICTS,))


def _reworded(pair: Pair, draw: random.Random) -> Pair | None:
    """A number in words for another in words, or for the same in digits."""
    found = [n for n in WORD.finditer(pair.statement) if n[0].lower() in pair.premise.lower().split()]
    if not found or BOUNDED.search(pair.statement):
        return None
    number = draw.choice(found)
    value = WORDS.index(number[0].lower())
    if draw.random() < 0.3:
        return Pair(
            pair.premise, pair.statement[: number.start()] + str(value) + pair.statement[number.end() :], (ENTAILS,)
        )
    other = draw.choice([n for n in range(2, 13) if n != value])
    written = WORDS[other] if draw.random() < 0.6 else str(other)
    return Pair(
        pair.premise, pair.statement[: number.start()] + written + pair.statement[number.end() :], (CONTRADICTS,)
    )


FORMS = (
    negated,
    negated,
    affirmed,
    affirmed,
    reported,
    doubted,
    denied,
    same,
    elsewhere,
    elsewhere,
    renumbered,
    renumbered,
)
