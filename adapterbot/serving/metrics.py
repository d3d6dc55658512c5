"""What Prometheus reads at /metrics: requests, the line, first words, time per token, skills, adapters, the manager,
memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from adapterbot.bot import Bot
from adapterbot.turn import Reply

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
TOKEN_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.09, 0.15, 0.3, 1.0)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Loads(Collector):
    """How often an adapter was read from disk: a counter that the bot itself keeps."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    def collect(self) -> Iterator[Metric]:
        """Its value now."""
        loads = self._bot.bank.shelf.loads
        yield CounterMetricFamily("adapterbot_adapter_loads", "Adapters read from disk", value=loads)


class Metrics:
    """The figures of one server, in a registry of their own."""

    def __init__(self, bot: Bot) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory, time, open files; on Linux alone
        named: dict[str, Any] = {"namespace": "adapterbot", "registry": self._registry}
        self._requests = Counter("requests", "Requests answered", ["route", "status"], **named)
        self._request_seconds = Histogram("request_seconds", "From request to answer", buckets=SECONDS, **named)
        self._replies = Counter("replies", "Replies made", ["skill", "routed_by"], **named)
        self._cut = Counter("replies_cut", "Replies that were left before their end", **named)
        self._first = Histogram("first_token_seconds", "To the first words", ["skill"], buckets=SECONDS, **named)
        self._token = Histogram("token_seconds", "Per token of a reply", ["skill"], buckets=TOKEN_SECONDS, **named)
        self._queue = Histogram("queue_seconds", "In the line, before a reply is begun", buckets=SECONDS, **named)
        self._read = Counter("prompt_tokens", "Tokens of prompts", **named)
        self._cached = Counter("cached_tokens", "Of these, read for an earlier prompt and not again", **named)
        self._confidence = Histogram("manager_confidence", "The highest probability", buckets=SHARES, **named)
        for name, meaning, value in (
            ("replies_running", "Replies being made", lambda: bot.pool.running),
            ("replies_waiting", "Replies in the line", lambda: bot.pool.waiting),
            ("skills", "Skills that can answer", lambda: len(bot.skills)),
            ("skill_faults", "Skills that cannot answer", lambda: len(bot.roster.problems)),
            ("adapters_in_memory", "Adapters whose weights are in memory", lambda: bot.bank.shelf.loaded),
            ("adapter_bytes", "Memory of these weights", lambda: bot.bank.nbytes),
            ("prefix_bytes", "Memory of prompts that were read", lambda: bot.scheduler.prefixes.nbytes),
        ):
            Gauge(name, meaning, **named).set_function(value)
        self._registry.register(Loads(bot))

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request has its answer."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.observe(seconds)

    def replied(self, reply: Reply, tokens: int, *, waited: float, first: float | None = None) -> None:
        """A reply of so many tokens is there; `waited` in line, `first` until its first words (of a stream)."""
        self._replies.labels(reply.skill, reply.routed_by).inc()
        self._queue.observe(waited)
        self._read.inc(reply.prompt_tokens)
        self._cached.inc(reply.cached_tokens)
        if reply.scores:
            self._confidence.observe(max(reply.scores.values()))
        if first is not None:
            self._first.labels(reply.skill).observe(first)
        if tokens and "generate" in reply.timings:
            self._token.labels(reply.skill).observe(reply.timings["generate"] / tokens)

    def cut(self) -> None:
        """Somebody left before the end."""
        self._cut.inc()

    def page(self) -> bytes:
        """All figures in Prometheus' text form."""
        return generate_latest(self._registry)
