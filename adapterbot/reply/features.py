"""6 · What a draft is, in numbers with names: what a choice among drafts is learnt from and made by.

N drafts of one reply. Every number is taken of any text in the same way, whether a model or a person wrote it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from adapterbot.language.text import STEM, Text, all_parts
from adapterbot.language.words import bag_f1, copied
from adapterbot.reply.faithfulness import strayed
from adapterbot.reply.grounding import Evidence
from adapterbot.turn import Draft

Style = Callable[[Sequence[str]], list[float]]
OF_ANY = ("likelihood", "relevance", "length", "reused", "style")
OF_GROUNDED = ("told", "quoted", "strayed", "named")
FEATURES = OF_ANY + OF_GROUNDED


class Relevance(Protocol):
    """What ranking needs of a ranker (`manager.ranker.Ranker`)."""

    def relevance(self, utterances: Sequence[str], replies: Sequence[str]) -> list[float]: ...


@dataclass(frozen=True)
class Situation:
    """What drafts reply to: what was said (newest last), for which group of skills, and what they have to keep to.

    `style` gives the log-probability that a text has the style that is wanted.
    """

    utterances: tuple[str, ...]
    group: str
    evidence: Evidence | None = None
    style: Style | None = None

    @cached_property
    def said(self) -> tuple[Text, ...]:
        """What was said as texts."""
        return tuple(map(Text, self.utterances))

    @cached_property
    def sentences(self) -> frozenset[tuple[str, ...]]:
        """The words of each sentence that was said and should not be said again."""
        return frozenset[tuple[str, ...]]().union(*(text.repeatable for text in self.said))

    @cached_property
    def message(self) -> frozenset[str]:
        """The beginnings of the content words of the newest message."""
        return frozenset(stem for text in self.said[-1:] for stem in text.stems)

    def repeated(self, draft: Text) -> bool:
        """Whether a sentence of it was said before, word by word."""
        return not draft.repeatable.isdisjoint(self.sentences)


def features(drafts: Sequence[Draft], situation: Situation, ranker: Relevance | None) -> list[dict[str, float]]:
    """The FEATURES of each draft. Those that nothing gives (no ranker, no facts, no style) are 0."""
    texts = [draft.text for draft in drafts]
    relevance = ranker.relevance(situation.utterances, texts) if ranker else [0.0] * len(texts)
    styles = situation.style(texts) if situation.style else [0.0] * len(texts)
    found = []
    for draft, nats, style in zip(drafts, relevance, styles, strict=True):
        text = Text(draft.text)
        measured = {"likelihood": draft.logprob, "relevance": nats, "style": style}
        found.append(dict.fromkeys(FEATURES, 0.0) | measured | _of_any(text, situation) | _of_grounded(text, situation))
    return found


def _of_any(draft: Text, situation: Situation) -> dict[str, float]:
    reused = sum(word[:STEM] in situation.message for word in draft.terms)
    return {"length": math.log1p(len(draft.tokens)), "reused": reused / max(1, len(draft.terms))}


def _of_grounded(draft: Text, situation: Situation) -> dict[str, float]:
    evidence = situation.evidence
    if evidence is None or not evidence.found:
        return {}
    new = all_parts(evidence.lines[:1]) - all_parts(situation.said)
    return {
        "told": max(bag_f1(draft.bag, fact.bag) for fact in evidence.lines),
        "quoted": copied(draft.text, [fact.text for fact in evidence.lines]) or 0.0,
        "strayed": strayed(draft, [*evidence.lines, *situation.said]),
        "named": float(any(value.lower() in new and not value[0].isdigit() for value in draft.named)),
    }
