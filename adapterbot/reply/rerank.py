"""6 · Choose among drafts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol, TypeAlias

from adapterbot.knowledge.query import asks
from adapterbot.language.sentences import detokenized, split_sentences
from adapterbot.language.text import Text, all_parts
from adapterbot.language.words import bag_f1, copied, terms
from adapterbot.reply.faithfulness import (
    faithful,
    invented,
    misplaced,
    mixed,
    strayed,
    turned,
)
from adapterbot.reply.grounding import AFTER_ALL, IGNORANCE, Evidence, read_out
from adapterbot.turn import Draft

RELEVANCE = 0.5  # times how likely the ranker finds each draft, in nats
ASKED = 2.0  # for every question that asks what was just told
SAID = 3.0  # for a reply with a sentence that was said before, word by word
REPETITION = 2.0  # times the share of its word pairs that stand in it more than once
INVENTED = 6.0  # for every name and number of a grounded reply that stands neither in its facts nor in what was said
NAMED = 1.0  # for a grounded reply that tells a name of its first fact, the best one, which was not said before
AGAIN = 0.5  # for every longer word that was in the same reply before, where nothing was found
LONG = 5  # letters
TOLD = 12.0  # times the word F1 of a grounded reply and the fact that it tells most of
ANSWERED = 2.0  # for a number of its passage, where one was asked for
STRAYED = 8.0  # times the share of its content words that neither its passage nor what was said hold
WRONG = 3.0  # for every name and number that its passage says of something else, and what it says the other way round
QUOTED = 12.0  # times the share of a fact beyond FREE that is read out in one go
FREE = 0.35
# The first letter of a sentence, not behind "p.m.", and "i" for oneself.
BEGINNING = re.compile(r"^\w|(?<!\.\w\.\s)(?<=[.!?]\s)\w|\bi\b(?!\.)")
# A question whose answer is a number.
COUNTED = re.compile(
    r"\b(?:how (?:many|much|tall|high|long|old|big|large|wide|far|fast|deep|heavy|often)|when|what (?:year|time))\b",
    re.IGNORECASE,
)
# A question of yes or no on what is or was, from its verb on.
CLOSED = re.compile(r"(?:^|[.,;!?]\s+|\b(?:so|and|but) )(?:did|are|is|was|were) ([^.,;!?]*)\?", re.IGNORECASE)


Style = Callable[[Sequence[str]], list[float]]
Sentences: TypeAlias = frozenset[tuple[str, ...]]


class Relevance(Protocol):
    """What ranking needs of a ranker (`manager.ranker.Ranker`)."""

    def relevance(self, utterances: Sequence[str], replies: Sequence[str]) -> list[float]: ...


def best_first(
    drafts: Sequence[Draft],
    utterances: Sequence[str],
    ranker: Relevance | None,
    evidence: Evidence | None = None,
    style: Style | None = None,
    begun: str = "",
) -> list[Draft]:
    """Drafts of the reply to `utterances` (newest last), best first; a single draft costs no ranking.

    `style` says in nats how well a text has the style that is wanted. With `evidence` drafts that invent names or
    numbers go back, those that tell a name or more of the facts come forward. When it is strict, drafts without any
    unsupported value come first, when it was read, those that are faithful; where there is none, the facts are read
    out, or a sentence of what was read. Ranked drafts are `tidied`. All of them begin with `begun`, and so does what is
    read out instead.
    """
    said = [Text(utterance) for utterance in utterances]
    before = frozenset[tuple[str, ...]]().union(*(text.repeatable for text in said))
    ranked = list(drafts)
    if len(drafts) > 1:
        ranked = rank(drafts, _gains([Text(draft.text) for draft in drafts], said, before, ranker, evidence, style))
        ranked = [replace(draft, text=tidied(draft.text, whole=draft.finished)) for draft in ranked]
    else:
        ranked = rank(drafts)
    if not evidence or not (evidence.strict or (evidence.is_read and len(ranked) > 1)):
        return ranked
    sound = [draft for draft in ranked if draft.finished and is_sound(Text(draft.text), evidence, said, before)]
    if not sound:
        text = _instead(evidence, utterances, ranker, begun)
        sound = [Draft(text)] if text else []
    return [*sound, *(draft for draft in ranked if draft not in sound)]


def _gains(
    drafts: Sequence[Text],
    said: Sequence[Text],
    before: Sentences,
    ranker: Relevance | None,
    evidence: Evidence | None,
    style: Style | None,
) -> list[float]:
    """What each draft gains over its likelihood, in nats."""
    gains = [0.0] * len(drafts)
    texts = [draft.text for draft in drafts]
    if evidence and evidence.missing:  # that nothing was found is best said in the usual words, each of them once
        gains = [-AGAIN * _again(draft) for draft in drafts]
    elif ranker:
        gains = [RELEVANCE * nats for nats in ranker.relevance([text.text for text in said], texts)]
    told = frozenset(term for text in said[-1:] for term in text.terms)
    for i, draft in enumerate(drafts):
        gains[i] -= SAID * bool(draft.repeatable & before) + ASKED * _asked_back(draft.text, told)
        if evidence and evidence.facts:
            gains[i] += _grounding(draft, evidence, said)
    if style:
        gains = [gain + nats for gain, nats in zip(gains, style(texts), strict=True)]
    return gains


def is_sound(draft: Text, evidence: Evidence, said: Sequence[Text], before: Sentences) -> bool:
    """Whether a reply may be shown, or, if only read, shown before others."""
    if evidence.strict:
        return not evidence.against(draft, said)
    if not evidence.found:  # who asks is told that nothing was found, and not what the model makes up
        asked = asks(" ".join(text.text for text in said[-1:]))
        return not asked or bool(IGNORANCE.search(draft.text) and not AFTER_ALL.search(draft.text))
    if not evidence.passages:
        return True
    repeated = bool(draft.repeatable) and draft.repeatable <= before
    return not repeated and faithful(draft, evidence.lines, evidence.passages, said)


def quotable(evidence: Evidence, utterances: Sequence[str]) -> list[str]:
    """The sentences of passages that were read and not said yet: what is read out where no draft is sound."""
    said = frozenset[tuple[str, ...]]().union(*(Text(utterance).repeatable for utterance in utterances))
    sentences = (s for passage in evidence.passages for s in split_sentences(detokenized(passage.text)))
    return [s for s in sentences if said.isdisjoint(Text(s).repeatable)] if evidence.is_read else []


def _instead(evidence: Evidence, utterances: Sequence[str], ranker: Relevance | None, begun: str) -> str:
    """What is said where no draft is sound: the facts, or that there are none; "" where they were all said before."""
    if evidence.strict or not evidence.found:
        return read_out(evidence.facts)

    left = [sentence for sentence in quotable(evidence, utterances) if sentence.startswith(begun)]
    fits = ranker.relevance(utterances, left) if ranker and left else [0.0] * len(left)
    return max(zip(fits, left, strict=True), key=lambda pair: pair[0])[1] if left else ""


def _grounding(draft: Text, evidence: Evidence, said: Sequence[Text]) -> float:
    new = all_parts(evidence.lines[:1]) - all_parts(said)
    names = any(value.lower() in new and not value[0].isdigit() for value in draft.named)
    telling = 0.0 if evidence.strict else _telling(draft, evidence.lines)  # rows are told in words of their own
    read = evidence.passages if evidence.is_read else ()
    reading = _reading(draft, read, said) if read else 0.0
    return telling + reading + NAMED * names - INVENTED * len(invented(draft, [*evidence.lines, *said]))


def _telling(draft: Text, facts: Sequence[Text]) -> float:
    """How much a reply says of one of its facts, without reading it out."""
    quoted = copied(draft.text, [fact.text for fact in facts]) or 0.0
    return TOLD * max(bag_f1(draft.bag, fact.bag) for fact in facts) - QUOTED * max(0.0, quoted - FREE)


def _reading(draft: Text, read: Sequence[Text], said: Sequence[Text]) -> float:
    """How well a reply tells of passages what was asked, less what it costs to tell what they do not say."""
    told = draft.parts & all_parts(read) - all_parts(said)
    counted = any(COUNTED.search(text.text) for text in said[-1:]) and any(part[0].isdigit() for part in told)
    wrong = len(mixed(draft, read)) + len(misplaced(draft, read)) + len(turned(draft, read))
    return ANSWERED * counted - STRAYED * strayed(draft, [*read, *said]) - WRONG * wrong


def rank(drafts: Sequence[Draft], relevance: Sequence[float] | None = None) -> list[Draft]:
    """Drafts with their `score`, best first.

    The score is the mean log-probability per token, plus `relevance` (how well each draft follows the conversation, in
    nats; `manager.ranker`), less what repetition costs. Drafts that were cut off go after all that ended by
    themselves, drafts without any word or with half a character last; ties keep their order, so the answer never
    depends on luck.
    """
    extra = relevance if relevance is not None else [0.0] * len(drafts)
    scored = [replace(d, score=_score(d) + r) for d, r in zip(drafts, extra, strict=True)]
    return sorted(scored, key=lambda d: (_readable(d.text), d.finished, d.score), reverse=True)


def tidied(text: str, whole: bool = True) -> str:
    """The text with capitals where sentences begin and for "I", without marks at its start; if it is `whole`, with one
    at its end.
    """
    text = re.sub(r"^[\s,.;:!?)]+(?=\w)", "", text.rstrip())
    text = BEGINNING.sub(lambda letter: letter[0].upper(), text)
    return text + "." if whole and re.search(r"\w$", text) else text


def _readable(text: str) -> bool:
    return "\ufffd" not in text and bool(re.search(r"\w", text))


def _asked_back(text: str, told: frozenset[str]) -> int:
    """How many questions of `text` ask what was `told`: "Did you pass?" of "I passed my test!"."""
    asked = (terms(question[1]) for question in CLOSED.finditer(text))
    return sum(bool(words) and all(told & {w, f"{w}d", f"{w}ed"} for w in words) for words in asked)


def _score(draft: Draft) -> float:
    words = Text(draft.text).tokens
    pairs = list(pairwise(words))
    repeated = 1 - len(set(pairs)) / len(pairs) if pairs else 0.0
    return draft.logprob - REPETITION * repeated


def _again(draft: Text) -> int:
    """How often a longer word of the text was in it before: "a forecast for the forecast"."""
    return sum(count - 1 for word, count in Counter(draft.tokens).items() if len(word) >= LONG)
