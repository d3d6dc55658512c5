"""6 · Whether a reply keeps to what a passage says, as far as its words can tell.

`strayed` is how much of it the passage lacks; `mixed`, `misplaced` and `turned` find true words in false company, which
is how a small model gets a passage wrong; `faithful` is all of it, and `quotation` what to say where no draft is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from adapterbot.language.sentences import split_sentences
from adapterbot.language.values import NUMBER, invented, named, parts
from adapterbot.language.words import terms, word_f1
from adapterbot.reply.grounding import ROW

SPACED = re.compile(r"\s+([,.;:!?])")  # of text that was split into tokens
STEM = 5  # letters; content words that begin alike are one: "discovered" and "discovery"
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


def faithful(reply: str, facts: Sequence[str], utterances: Sequence[str]) -> bool:
    """Whether a reply tells one of its facts, and no more than facts and conversation hold."""
    sources = [*facts, *utterances]
    if invented(reply, sources) or mixed(reply, facts) or misplaced(reply, facts) or turned(reply, facts):
        return False
    return strayed(reply, sources) <= LOOSE and any(word_f1(reply, fact) >= TELLING for fact in facts)


def quotation(
    facts: Iterable[str], fits: Callable[[Sequence[str]], Sequence[float]], said: Callable[[str], bool]
) -> str:
    """The sentence of the facts that fits best and was not `said`; "" when all were. The first of equals wins."""
    clean = (SPACED.sub(r"\1", " ".join(fact.split())) for fact in prose(facts))
    left = [sentence for fact in clean for sentence in split_sentences(fact) if not said(sentence)]
    return max(zip(fits(left), left, strict=True), key=lambda pair: pair[0])[1] if left else ""


def strayed(reply: str, sources: Iterable[str]) -> float:
    """The share of a reply's content words (`query.terms`) that stand in none of `sources`, 0 to 1."""
    known, said = _stems(*sources), [word[:STEM] for word in terms(reply)]
    return sum(word not in known for word in said) / max(1, len(said))


def mixed(reply: str, facts: Iterable[str]) -> list[str]:
    """Names and numbers of a reply that stand in another sentence of a fact than the one that it tells.

    "The Eiffel Tower is the capital of France", from "Paris is the capital of France. It has the Eiffel Tower." The
    name that a fact begins with is what it is about, and goes with all of it. Rows and triples are no sentences.
    """
    found = list[str]()
    for said, told, sentences in _told(reply, facts):
        about = SUBJECT.match(sentences[0])
        elsewhere = parts(sentences) - parts([told, about[0] if about else ""])
        found += [value for value in named(said) if value.lower() in elsewhere]
    return found


def misplaced(reply: str, facts: Iterable[str]) -> list[str]:
    """Numbers of a reply that stand in its facts, but never before or after the same word: "it is 1889 tall"."""
    known: dict[str, set[str]] = {}
    for fact in prose(facts):
        for number, places in _numbers(fact):
            known.setdefault(number, set()).update(places)
    return [number for number, places in _numbers(reply) if known.get(number) and known[number].isdisjoint(places)]


def turned(reply: str, facts: Iterable[str]) -> list[str]:
    """Sentences of a reply that deny what a fact says, or say what it denies: "light can escape"."""
    found = list[str]()
    for said, told, _ in _told(reply, facts):
        denials = list(NEGATION.finditer(told))
        denied = _stems(*(" ".join(told[no.end() :].split()[:REACH]) for no in denials))
        says_no = bool(NEGATION.search(said))
        if (says_no and not denials) or (not says_no and denied & _stems(said)):
            found.append(said)
    return found


def _told(reply: str, facts: Iterable[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Each sentence of a reply that tells a fact, the sentence of the fact that it tells, and all of the fact's."""
    for sentences in map(split_sentences, prose(facts)):
        for said in split_sentences(reply):
            told = max(sentences, key=lambda sentence: word_f1(said, sentence), default="")
            if word_f1(said, told) >= TELLING:
                yield said, told, sentences


def _stems(*texts: str) -> set[str]:
    return {word[:STEM] for text in texts for word in terms(text, most=None)}


def prose(facts: Iterable[str]) -> Iterator[str]:
    """The facts that are sentences, not rows or triples."""
    return (fact for fact in facts if "\t" not in fact and not ROW.match(fact))


def _numbers(text: str) -> Iterator[tuple[str, set[str]]]:
    """Each number with its places: "in _" where "in" stands before it, "_ feet" where "feet" stands behind it."""
    tokens = ["in" if token in PREPOSITIONS else token for token in TOKEN.findall(text.lower())]
    for before, token, behind in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        if token[0].isdigit():
            yield token, {place for word, place in ((before, f"{before} _"), (behind, f"_ {behind}")) if word.isalpha()}
