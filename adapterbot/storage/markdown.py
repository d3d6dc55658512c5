"""A conversation as a Markdown file for people."""

from __future__ import annotations

from collections.abc import Sequence

from adapterbot.storage.conversations import Exchange


def markdown(title: str, exchanges: Sequence[Exchange]) -> str:
    """The conversation with a heading per turn, and each reply's skill and evidence."""
    parts = [f"# {title}", *(_turn(exchange) for exchange in exchanges)]
    return "\n\n".join(parts) + "\n"


def _turn(exchange: Exchange) -> str:
    reply = exchange.reply
    who = f"adapterbot ({reply.skill})" if reply.skill and not reply.care else "adapterbot"
    evidence = [f"- {' '.join(fact.line.split())} ({fact.source})" for fact in reply.facts]
    parts = [f"## You, {exchange.created_at[:16].replace('T', ' ')} UTC", exchange.typed, f"## {who}", reply.text]
    return "\n\n".join([*parts, *(["Evidence:", "\n".join(evidence)] if evidence else [])])
