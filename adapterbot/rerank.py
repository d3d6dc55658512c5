"""6 · Choose among drafts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

from adapterbot.turn import Draft

REPETITION = 2.0  # times the share of its word pairs that stand in it more than once
INVENTED = 1.5  # for every name and number of a grounded reply that stands neither in its facts nor in what was said
NAMED = 1.0  # for a grounded reply that tells a name of its facts which was not said before
PART = re.compile(r"\d+|[^\W\d_]+")  # "12F" is 12 and F
VALUE = re.compile(r"\d+|(?<![^\W_])[^\W\d_]+")  # "12F" is 12: a unit is no name


class Relevance(Protocol):
    """What ranking needs of a ranker (`manager.ranker.Ranker`)."""

    def relevance(self, utterances: Sequence[str], replies: Sequence[str]) -> list[float]: ...


def best_first(
    drafts: Sequence[Draft], utterances: Sequence[str], ranker: Relevance | None, facts: Sequence[str] = ()
) -> list[Draft]:
    """Drafts of the reply to `utterances` (newest last), best first; a single draft costs no ranking.

    `facts` are those that a grounded reply has to keep to: drafts that invent names or numbers go back, those that tell
    a name come forward.
    """
    if len(drafts) < 2:
        return rank(drafts)
    texts = [draft.text for draft in drafts]
    gains = ranker.relevance(utterances, texts) if ranker else [0.0] * len(texts)
    if facts:
        gains = [g + _grounding(text, facts, utterances) for g, text in zip(gains, texts, strict=True)]
    return rank(drafts, gains)


def invented(text: str, sources: Iterable[str]) -> list[str]:
    """The numbers of `text`, and its names (capitals inside a sentence), that stand in none of `sources`, in order.

    A name at the start of a sentence cannot be told from another word and is let pass.
    """
    known = _words(sources)
    return [value for value in _values(text) if value.lower() not in known]


def _grounding(text: str, facts: Sequence[str], utterances: Sequence[str]) -> float:
    new = _words(facts) - _words(utterances)
    told = any(value.lower() in new and not value.isdigit() for value in _values(text))
    return NAMED * told - INVENTED * len(invented(text, [*facts, *utterances]))


def _words(texts: Iterable[str]) -> set[str]:
    return {part.lower() for text in texts for part in PART.findall(text)}


def _values(text: str) -> list[str]:
    """Numbers, and names inside a sentence."""
    return [value[0] for value in VALUE.finditer(text) if value[0].isdigit() or _is_name(value)]


def _is_name(word: re.Match[str]) -> bool:
    inside = re.search(r"[^\s.!?][^.!?]*$", word.string[: word.start()])
    return bool(inside) and word[0][0].isupper() and word[0] != "I"


def rank(drafts: Sequence[Draft], relevance: Sequence[float] | None = None) -> list[Draft]:
    """Drafts with their `score`, best first.

    The score is the mean log-probability per token, plus `relevance` (how likely each draft is the one that follows
    the conversation, in nats; `manager.ranker`), less what repetition costs. Drafts that were cut off go after all that
    ended by themselves, drafts without any word last; ties keep their order, so the answer never depends on luck.
    """
    extra = relevance if relevance is not None else [0.0] * len(drafts)
    scored = [replace(d, score=_score(d) + r) for d, r in zip(drafts, extra, strict=True)]
    return sorted(scored, key=lambda d: (bool(re.search(r"\w", d.text)), d.finished, d.score), reverse=True)


def _score(draft: Draft) -> float:
    words = re.findall(r"\w+", draft.text.lower())
    pairs = list(pairwise(words))
    repeated = 1 - len(set(pairs)) / len(pairs) if pairs else 0.0
    return draft.logprob - REPETITION * repeated
