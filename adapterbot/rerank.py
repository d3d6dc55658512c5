"""6 · Choose among drafts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

from adapterbot.turn import Draft

REPETITION = 2.0  # times the share of its word pairs that stand in it more than once


class Relevance(Protocol):
    """What ranking needs of a ranker (`manager.ranker.Ranker`)."""

    def relevance(self, utterances: Sequence[str], replies: Sequence[str]) -> list[float]: ...


def best_first(drafts: Sequence[Draft], utterances: Sequence[str], ranker: Relevance | None) -> list[Draft]:
    """Drafts of the reply to `utterances` (newest last), best first; a single draft costs no ranking."""
    if ranker is None or len(drafts) < 2:
        return rank(drafts)
    return rank(drafts, ranker.relevance(utterances, [draft.text for draft in drafts]))


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
