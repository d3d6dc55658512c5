"""What the tests of replies share: facts and texts from plain lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapterbot.facts import Fact, Verdict
from adapterbot.knowledge.claims.source import ClaimSource
from adapterbot.knowledge.graph.source import GraphSource
from adapterbot.knowledge.lines import read_row
from adapterbot.language.text import Text
from adapterbot.reply.grounding import Evidence


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
