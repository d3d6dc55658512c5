"""2 · What a message may need in place of a skill's reply, and when it gets that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NONE = "none"
# What a message may be, the gravest first.
KINDS = ("emergency", "crisis", "abuse", "minor", "danger", "sexual", "hate", "insult")
CLASSES = (NONE, *KINDS)
GRAVE = KINDS[:3]  # somebody may be in danger: care errs on the side of too much
TURNS = 3  # of the user that are read: the newest and two before it
PLAINLY = 0.85  # how probable it has to be that a message is harmless, after one of somebody in danger


@dataclass(frozen=True, slots=True)
class Care:
    """What a message is, `none` or one of KINDS, how probable that is, and the probabilities of all classes."""

    kind: str = NONE
    probability: float = 1.0
    scores: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.kind != NONE


def decided(scores: Mapping[str, float], thresholds: Mapping[str, float]) -> Care:
    """The gravest kind whose probability, with that of all graver ones, reaches its threshold; of those that are as
    grave as it the most probable one is named."""
    grave = 0.0
    for number, kind in enumerate(KINDS, 1):
        grave += scores[kind]
        if grave >= thresholds[kind]:
            likeliest = max(KINDS[:number], key=lambda k: scores[k])
            return Care(likeliest, scores[likeliest], scores)
    return Care(NONE, scores[NONE], scores)


def staying(now: Care, before: Care) -> Care:
    """`now`, or, where somebody was in danger a message `before` and the topic has not plainly changed, still care."""
    if now or before.kind not in GRAVE or now.scores[NONE] >= PLAINLY:
        return now
    likeliest = max(KINDS, key=lambda kind: now.scores[kind])
    return Care(likeliest, now.scores[likeliest], now.scores)
