"""6 · Choose among drafts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from adapterbot.turn import Draft

UNFINISHED = 1.0  # nats per token that a draft loses when it was cut off
REPETITION = 2.0  # times the share of its word pairs that stand in it more than once


def rank(drafts: Sequence[Draft]) -> list[Draft]:
    """Drafts with their `score`, best first: mean log-probability, less what repetition and a missing end cost.

    Drafts without any word go last; ties keep their order, so the answer never depends on luck.
    """
    scored = [replace(d, score=_score(d)) for d in drafts]
    return sorted(scored, key=lambda d: (bool(re.search(r"\w", d.text)), d.score), reverse=True)


def _score(draft: Draft) -> float:
    words = re.findall(r"\w+", draft.text.lower())
    pairs = list(pairwise(words))
    repeated = 1 - len(set(pairs)) / len(pairs) if pairs else 0.0
    return draft.logprob - REPETITION * repeated - (0.0 if draft.finished else UNFINISHED)
