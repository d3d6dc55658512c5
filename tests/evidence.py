"""What the tests of replies share: facts and texts from plain lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from adapterbot.facts import Fact, Verdict
from adapterbot.knowledge.claims.source import ClaimSource
from adapterbot.knowledge.graph.source import GraphSource
from adapterbot.knowledge.lines import read_row
from adapterbot.language.text import Text
from adapterbot.reply.features import Relevance, Situation, Style
from adapterbot.reply.grounding import Evidence
from adapterbot.reply.rerank import best_first
from adapterbot.reply.weights import RankWeights
from adapterbot.turn import Draft


def fact(line: str) -> Fact:
    """A triple, a verdict, a row or a passage, by what the line looks like."""
    if "\t" in line:
        return GraphSource.read_line(line)
    verdict = ClaimSource.read_line(line)
    return verdict if isinstance(verdict, Verdict) else read_row(line, "table")


def facts(lines: Iterable[str]) -> tuple[Fact, ...]:
    """One fact a line."""
    return tuple(map(fact, lines))


def evidence(*lines: str, **how: Any) -> Evidence:
    """What a reply has to keep to, from its lines."""
    return Evidence(facts(lines), **how)


def texts(lines: Iterable[str]) -> list[Text]:
    """Lines as texts."""
    return list(map(Text, lines))


def against(kept: Evidence, reply: str, utterances: Iterable[str]) -> list[str]:
    """The values of a reply that nothing supports."""
    return kept.against(Text(reply), texts(utterances))


def ranked(
    drafts: Sequence[Draft],
    utterances: Sequence[str],
    kept: Evidence | None = None,
    *,
    ranker: Relevance | None = None,
    style: Style | None = None,
    **weights: float,
) -> list[Draft]:
    """The drafts of a reply to these utterances, best first, by these weights, or else by likelihood alone."""
    situation = Situation(tuple(utterances), "knowledge", kept, style)
    learnt = RankWeights({"knowledge": weights} if weights else {})
    return best_first(drafts, situation, learnt, ranker)
