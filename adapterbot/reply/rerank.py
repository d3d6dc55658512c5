"""6 · Choose among drafts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol, TypeAlias

from adapterbot.knowledge.query import asks
from adapterbot.language.values import invented, named, parts
from adapterbot.language.words import copied, terms, word_f1
from adapterbot.manager.training.typing_noise import SENTENCE_END
from adapterbot.reply.faithfulness import faithful, misplaced, mixed, prose, quotation, strayed, turned
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
Sentences: TypeAlias = set[tuple[str, ...]]


class Relevance(Protocol):
    """What ranking needs of a ranker (`manager.ranker.Ranker`)."""

    def relevance(self, utterances: Sequence[str], replies: Sequence[str]) -> list[float]: ...


def best_first(
    drafts: Sequence[Draft],
    utterances: Sequence[str],
    ranker: Relevance | None,
    evidence: Evidence | None = None,
    style: Style | None = None,
) -> list[Draft]:
    """Drafts of the reply to `utterances` (newest last), best first; a single draft costs no ranking.

    `style` says in nats how well a text has the style that is wanted (`heads`). With `evidence` drafts that invent
    names or numbers go back, those that tell a name or more of the facts come forward. When it is strict, drafts
    without any unsupported value come first, when it was read, those that are faithful; where there is none, the facts
    are read out, or a sentence of what was read. Ranked drafts are `tidied`.
    """
    texts, before = [draft.text for draft in drafts], _sentences(*utterances)
    gains = [0.0] * len(texts)
    if len(texts) > 1:
        if evidence and evidence.missing:  # that nothing was found is best said in the usual words, each of them once
            gains = [-AGAIN * _again(text) for text in texts]
        elif ranker:
            gains = [RELEVANCE * nats for nats in ranker.relevance(utterances, texts)]
        gains = [
            g - SAID * bool(_sentences(t) & before) - ASKED * _asked_back(t, utterances[-1:])
            for g, t in zip(gains, texts, strict=True)
        ]
        if evidence and evidence.facts:
            gains = [g + _grounding(t, evidence, utterances) for g, t in zip(gains, texts, strict=True)]
        if style:
            gains = [g + s for g, s in zip(gains, style(texts), strict=True)]
    ranked = rank(drafts, gains)
    if len(ranked) > 1:
        ranked = [replace(d, text=tidied(d.text)) if d.finished else d for d in ranked]
    if not evidence or not (evidence.strict or (evidence.read and len(ranked) > 1)):
        return ranked
    sound = [draft for draft in ranked if draft.finished and _sound(draft.text, evidence, utterances, before)]
    if not sound:
        sound = [Draft(text)] if (text := _instead(evidence, utterances, before, ranker)) else []
    return [*sound, *(draft for draft in ranked if draft not in sound)]


def _sound(text: str, evidence: Evidence, utterances: Sequence[str], before: Sentences) -> bool:
    """Whether a reply may be shown, or, if only read, shown before others."""
    if evidence.strict:
        return not evidence.against(text, utterances)
    if not evidence.found:  # who asks is told that nothing was found, and not what the model makes up
        return not asks(" ".join(utterances[-1:])) or bool(IGNORANCE.search(text) and not AFTER_ALL.search(text))
    if not any(prose(evidence.facts)):
        return True
    sentences = _sentences(text)
    return not (sentences and sentences <= before) and faithful(text, evidence.facts, utterances)


def _instead(evidence: Evidence, utterances: Sequence[str], before: Sentences, ranker: Relevance | None) -> str:
    """What is said where no draft is sound: the facts, or that there are none; "" where they were all said before."""
    if evidence.strict or not evidence.found:
        return read_out(evidence.facts)

    def fits(texts: Sequence[str]) -> Sequence[float]:
        return ranker.relevance(utterances, texts) if ranker and texts else [0.0] * len(texts)

    return quotation(evidence.facts, fits, lambda sentence: not before.isdisjoint(_sentences(sentence)))


def _grounding(text: str, evidence: Evidence, utterances: Sequence[str]) -> float:
    facts = evidence.facts
    new = parts(facts[:1]) - parts(utterances)
    names = any(value.lower() in new and not value[0].isdigit() for value in named(text))
    telling = 0.0 if evidence.strict else _telling(text, facts)  # rows are told in words that they do not hold
    passages = list(prose(facts)) if evidence.read else []
    read = _reading(text, passages, utterances) if passages else 0.0
    return telling + read + NAMED * names - INVENTED * len(invented(text, [*facts, *utterances]))


def _telling(text: str, facts: Sequence[str]) -> float:
    """How much a reply says of one of its facts, without reading it out."""
    return TOLD * max(word_f1(text, fact) for fact in facts) - QUOTED * max(0.0, (copied(text, facts) or 0.0) - FREE)


def _reading(text: str, passages: Sequence[str], utterances: Sequence[str]) -> float:
    """How well a reply tells of passages what was asked, less what it costs to tell what they do not say."""
    told = parts([text]) & parts(passages) - parts(utterances)
    counted = any(map(COUNTED.search, utterances[-1:])) and any(part[0].isdigit() for part in told)
    wrong = len(mixed(text, passages)) + len(misplaced(text, passages)) + len(turned(text, passages))
    return ANSWERED * counted - STRAYED * strayed(text, [*passages, *utterances]) - WRONG * wrong


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


def tidied(text: str) -> str:
    """The text with capitals where sentences begin and for "I", and with a mark at its end, not before its start."""
    text = re.sub(r"^[\s,.;:!?)]+(?=\w)", "", text.rstrip())
    text = BEGINNING.sub(lambda letter: letter[0].upper(), text)
    return text + "." if re.search(r"\w$", text) else text


def _readable(text: str) -> bool:
    return "\ufffd" not in text and bool(re.search(r"\w", text))


def _sentences(*texts: str) -> Sentences:
    """The words of each sentence that has more than two: "I see." and "Thank you!" may be said again."""
    return {words for text in texts for part in SENTENCE_END.split(text) if len(words := _words(part)) > 2}


def _asked_back(text: str, told: Sequence[str]) -> int:
    """How many questions of `text` ask what was `told`: "Did you pass?" of "I passed my test!"."""
    known = {word for message in told for word in terms(message)}
    asked = (terms(question[1]) for question in CLOSED.finditer(text))
    return sum(bool(words) and all(known & {w, f"{w}d", f"{w}ed"} for w in words) for words in asked)


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.lower()))


def _score(draft: Draft) -> float:
    words = _words(draft.text)
    pairs = list(pairwise(words))
    repeated = 1 - len(set(pairs)) / len(pairs) if pairs else 0.0
    return draft.logprob - REPETITION * repeated


def _again(text: str) -> int:
    """How often a longer word of the text was in it before: "a forecast for the forecast"."""
    return sum(count - 1 for word, count in Counter(_words(text)).items() if len(word) >= LONG)
