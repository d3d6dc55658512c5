"""6 · Whether a reply keeps to what a passage says, as far as its words can tell.

`strayed` is how much of it the passage lacks; `mixed`, `misplaced` and `turned` find true words in false company, which
is how a small model gets a passage wrong; `faithful` is all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from adapterbot.language.text import STEM, Text, all_parts
from adapterbot.language.values import NUMBER
from adapterbot.language.words import bag_f1

TELLING = 0.2  # word F1 of a reply and the fact that it tells, at least
NEGATION = re.compile(
    r"\b(?:no|not(?! only\b)|never|none|nothing|without|cannot|neither|nor)\b|n['’]t\b", re.IGNORECASE
)
REACH = 6  # words behind a negation that it may deny
LOOSE = 0.25  # share of its content words that neither facts nor conversation hold, at most
SUBJECT = re.compile(r"(?:(?:[A-Z][\w'’.-]*|of|the|and|an?)\s+)+")  # the name that a passage begins with
TOKEN = re.compile(rf"{NUMBER}|[^\W\d_]+|[.!?]")
# "In 1889" may be had from "of 1889".
PREPOSITIONS = frozenset(["around", "at", "by", "from", "in", "of", "on", "since", "to", "until"])


def faithful(reply: Text, facts: Sequence[Text], read: Sequence[Text], utterances: Sequence[Text]) -> bool:
    """Whether a reply tells one of its `facts`, and no more than facts and conversation hold; `read` are those of the
    facts that are passages."""
    sources = [*facts, *utterances]
    if invented(reply, sources) or mixed(reply, read) or misplaced(reply, read) or turned(reply, read):
        return False
    return strayed(reply, sources) <= LOOSE and any(bag_f1(reply.bag, fact.bag) >= TELLING for fact in facts)


def invented(reply: Text, sources: Iterable[Text]) -> list[str]:
    """The numbers in digits and the names inside a sentence of a reply that stand in none of `sources`, in order."""
    known = all_parts(sources)
    return [value for value in reply.named if value.lower() not in known]


def strayed(reply: Text, sources: Iterable[Text]) -> float:
    """The share of a reply's content words that stand in none of `sources`, 0 to 1."""
    known = frozenset[str]().union(*(source.stems for source in sources))
    return sum(word[:STEM] not in known for word in reply.terms) / max(1, len(reply.terms))


def mixed(reply: Text, read: Iterable[Text]) -> list[str]:
    """Names and numbers of a reply that stand in another sentence of a passage than the one that it tells.

    "The Eiffel Tower is the capital of France", from "Paris is the capital of France. It has the Eiffel Tower." The
    name that a passage begins with is what it is about, and goes with all of it.
    """
    found = list[str]()
    for said, told, sentences in _told(reply, read):
        about = SUBJECT.match(sentences[0].text)
        subject = Text(about[0] if about else "")
        elsewhere = all_parts(sentences) - told.parts - subject.parts
        found += [value for value in said.named if value.lower() in elsewhere]
    return found


def misplaced(reply: Text, read: Iterable[Text]) -> list[str]:
    """Numbers of a reply that stand in its passages, but never before or after the same word: "it is 1889 tall"."""
    known: dict[str, set[str]] = {}
    for passage in read:
        for number, places in _numbers(passage.text):
            known.setdefault(number, set()).update(places)
    numbers = _numbers(reply.text)
    return [number for number, places in numbers if known.get(number) and known[number].isdisjoint(places)]


def turned(reply: Text, read: Iterable[Text]) -> list[str]:
    """Sentences of a reply that deny what a passage says, or say what it denies: "light can escape"."""
    found = list[str]()
    for said, told, _ in _told(reply, read):
        denials = list(NEGATION.finditer(told.text))
        denied = frozenset[str]().union(
            *(Text(" ".join(told.text[no.end() :].split()[:REACH])).stems for no in denials)
        )
        says_no = bool(NEGATION.search(said.text))
        if (says_no and not denials) or (not says_no and denied & said.stems):
            found.append(said.text)
    return found


def _told(reply: Text, read: Iterable[Text]) -> Iterator[tuple[Text, Text, tuple[Text, ...]]]:
    """Each sentence of a reply that tells a passage, the sentence that it tells, and all of the passage's."""
    for passage in read:
        for said in reply.sentences:
            told = max(passage.sentences, key=lambda sentence: bag_f1(said.bag, sentence.bag), default=Text(""))
            if bag_f1(said.bag, told.bag) >= TELLING:
                yield said, told, passage.sentences


def _numbers(text: str) -> Iterator[tuple[str, set[str]]]:
    """Each number with its places: "in _" where "in" stands before it, "_ feet" where "feet" stands behind it."""
    tokens = ["in" if token in PREPOSITIONS else token for token in TOKEN.findall(text.lower())]
    for before, token, behind in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        if token[0].isdigit():
            yield token, {place for word, place in ((before, f"{before} _"), (behind, f"_ {behind}")) if word.isalpha()}
