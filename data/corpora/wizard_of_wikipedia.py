"""Wizard of Wikipedia (Dinan et al. 2019): replies based on one sentence of Wikipedia each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adapterbot.data.dialogue import Dialogue, Turn

FOLDER = "wow"
HUB = "chujiezheng/wizard_of_wikipedia"
LICENCE = "not stated for the data (ParlAI: MIT)"


def from_hub(rows: Iterable[Mapping[str, Any]]) -> Iterator[Dialogue]:
    """One dialogue per row: `post` (texts so far), `response` and the sentence it used, in `knowledge`."""
    for i, row in enumerate(rows):
        post = [row["post"]] if isinstance(row["post"], str) else list(row["post"])
        knowledge = [row["knowledge"]] if isinstance(row.get("knowledge"), str) else list(row.get("knowledge") or [])
        response = row["response"] if isinstance(row["response"], str) else row["response"][0]
        turns = [Turn("user" if (len(post) - j) % 2 == 1 else "system", t) for j, t in enumerate(post)]
        reply = Turn("system", response, knowledge=tuple(knowledge[:1]))
        yield Dialogue(f"wow-{i}", (*turns, reply))
