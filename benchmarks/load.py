"""What `adapterbot serve` bears: many clients at a time, each asking again as soon as it is answered.

    adapterbot serve --no-app &
    python benchmarks/load.py --clients 32 --seconds 60 --skills 1,8,26 --write

Prints a row for each number of skills that the requests are mixed of; `--write` puts the table into
benchmarks/README.md and all figures into benchmarks/load.json.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PAGE = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- load: begin -->", "<!-- load: end -->"
HEAD = (
    "| skills | requests | failed | first words p50 | p95 | per token p50 | p95 | in line p50 | p95 | memory | at end |"
)
RULE = "|---:" * 11 + "|"
RESIDENT = re.compile(r"^process_resident_memory_bytes (\S+)$", re.MULTILINE)
BUCKET = re.compile(r'^adapterbot_queue_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
MESSAGES = (
    "Hello, how was your day?",
    "I finally finished the book that you told me about.",
    "Do you know a good place to eat in the centre?",
    "What do you think I should do this weekend?",
)


@dataclass(slots=True)
class Figures:
    """What the clients of one run saw, in seconds."""

    skills: int
    first: list[float] = field(default_factory=list)
    per_token: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    waited: dict[float, float] = field(default_factory=dict)  # requests by the longest that they stood in line
    memory: tuple[float, float] = (math.nan, math.nan)  # MiB of the server at start and end; NaN where it cannot tell

    def row(self) -> str:
        """As a line of the table."""
        times = [percentile(values, share) for values in (self.first, self.per_token) for share in (0.5, 0.95)]
        times += [within(self.waited, share) for share in (0.5, 0.95)]
        cells = [str(self.skills), str(len(self.first) + len(self.failures)), str(len(self.failures))]
        memory = ["-" if math.isnan(size) else f"{size:,.0f} MiB" for size in self.memory]
        return f"| {' | '.join([*cells, *map(shown, times), *memory])} |"

    def plain(self) -> dict[str, Any]:
        """As JSON: seconds and MiB; None for what is not known."""
        kinds = {"first_words": self.first, "per_token": self.per_token}
        times = {
            f"{name}_p{100 * share:.0f}": percentile(values, share)
            for name, values in kinds.items()
            for share in (0.5, 0.95)
        }
        times |= {f"in_line_at_most_p{100 * share:.0f}": within(self.waited, share) for share in (0.5, 0.95)}
        times |= dict(zip(("memory_start", "memory_end"), self.memory, strict=True))
        known = {name: round(value, 4) if math.isfinite(value) else None for name, value in times.items()}
        counts = {"skills": self.skills, "requests": len(self.first) + len(self.failures)}
        return counts | {"failures": dict(Counter(self.failures))} | known


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that `share` of them do not exceed; NaN of none."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else math.nan


def within(buckets: dict[float, float], share: float) -> float:
    """The bound of the first bucket that holds `share` of what all hold; `buckets` count up."""
    total = max(buckets.values(), default=0.0)
    reached = [bound for bound, count in buckets.items() if total and count >= share * total]
    return min(reached, default=math.nan)


def shown(seconds: float) -> str:
    """Milliseconds below one second."""
    if math.isnan(seconds):
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


async def ask(client: httpx.AsyncClient, skill: str, message: str, tokens: int, figures: Figures) -> None:
    """One streamed request."""
    body: dict[str, Any] = {"model": skill, "messages": [{"role": "user", "content": message}], "stream": True}
    body |= {"stream_options": {"include_usage": True}, "max_tokens": tokens}
    started = time.perf_counter()
    first = 0.0
    made = 0
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            if answer.status_code != 200:
                raise httpx.HTTPError(f"status {answer.status_code}")
            async for line in answer.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                chunk = json.loads(line.removeprefix("data: "))
                if "error" in chunk:
                    raise httpx.HTTPError(chunk["error"]["message"])
                if not first and chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                    first = time.perf_counter()
                made = (chunk.get("usage") or {}).get("completion_tokens", made)
    except httpx.HTTPError as error:
        figures.failures.append(str(error) or type(error).__name__)
        return
    ended = time.perf_counter()
    figures.first.append((first or ended) - started)
    if made > 1:
        figures.per_token.append((ended - started) / made)


async def run(url: str, skills: Sequence[str], *, clients: int, seconds: float, tokens: int) -> Figures:
    """So many clients for so many seconds, over `skills` in turn; what is begun is waited for."""
    figures = Figures(len(skills))
    asked = itertools.cycle(itertools.product(MESSAGES, skills))
    limits = httpx.Limits(max_connections=clients + 1)
    headers = {"authorization": f"Bearer {os.environ.get('ADAPTERBOT_KEY', 'none')}"}
    async with httpx.AsyncClient(base_url=url, limits=limits, headers=headers, timeout=600) as client:
        before, memory = await told(client)
        end = time.perf_counter() + seconds

        async def one() -> None:
            while time.perf_counter() < end:
                message, skill = next(asked)
                await ask(client, skill, message, tokens, figures)

        await asyncio.gather(*(one() for _ in range(clients)))
        after, at_end = await told(client)
    figures.waited = {bound: count - before.get(bound, 0.0) for bound, count in after.items()}
    figures.memory = (memory, at_end)
    return figures


async def told(client: httpx.AsyncClient) -> tuple[dict[float, float], float]:
    """The server's own figures: how many replies stood in line at most so many seconds, and its memory in MiB."""
    page = (await client.get("/metrics")).text
    found = RESIDENT.search(page)
    waits = {float(bound): float(count) for bound, count in BUCKET.findall(page)}
    return waits, float(found[1]) / 2**20 if found else math.nan


async def models(url: str) -> list[str]:
    """The skills that can be asked by name."""
    headers = {"authorization": f"Bearer {os.environ.get('ADAPTERBOT_KEY', 'none')}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
        answer = (await client.get("/v1/models")).raise_for_status().json()
    return [entry["id"] for entry in answer["data"] if "/" in entry["id"]]


def written(page: str, table: str) -> str:
    """The page with the table between its two marks, or with both at its end."""
    section = f"{BEGIN}\n{table}\n{END}"
    if BEGIN in page and END in page:
        return page[: page.index(BEGIN)] + section + page[page.index(END) + len(END) :]
    return f"{page.rstrip()}\n\n## Load\n\n{section}\n".lstrip()


async def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tokens", type=int, default=32, help="at most so many of a reply")
    parser.add_argument("--skills", default="1,8,26", help="how many are mixed, a row each")
    parser.add_argument("--write", action="store_true", help="write benchmarks/README.md and load.json")
    given = parser.parse_args()
    found = await models(given.url)
    rows, plain = [HEAD, RULE], []
    print(HEAD, RULE, sep="\n")
    for count in map(int, given.skills.split(",")):
        figures = await run(given.url, found[:count], clients=given.clients, seconds=given.seconds, tokens=given.tokens)
        rows.append(figures.row())
        plain.append(figures.plain())
        print(figures.row(), *dict.fromkeys(figures.failures), sep="\n  failed: ", flush=True)
    about = f"{given.clients} clients for {given.seconds:g} s a row, replies of at most {given.tokens} tokens, "
    about += f"{os.cpu_count()} cores ({platform.machine()}), load {os.getloadavg()[0]:.1f}. In line: upper bounds."
    if given.write:
        page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Benchmarks\n"
        PAGE.write_text(written(page, "\n".join([*rows, "", about])), encoding="utf-8")
        PAGE.with_name("load.json").write_text(json.dumps({"about": about, "rows": plain}, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
