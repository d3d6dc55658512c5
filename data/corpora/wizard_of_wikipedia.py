"""Wizard of Wikipedia (Dinan et al. 2019): replies based on one sentence of Wikipedia each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adapterbot.data.dialogue import Dialogue, DialogueTurn

FOLDER = "wow"
HUB = ("chujiezheng/wizard_of_wikipedia", "default")
HUB_REVISION = "main"
LICENCE = "not stated for the data (ParlAI: MIT)"


def from_hub(rows: Iterable[Mapping[str, Any]]) -> Iterator[Dialogue]:
    """One dialogue per row: `post` and `response` are its turns in parallel, `knowledge[i][0]` is what reply i used."""
    for i, row in enumerate(rows):
        turns: list[DialogueTurn] = []
        for post, response, knowledge in zip(row["post"], row["response"], row["knowledge"], strict=False):
            turns += [DialogueTurn("user", post), DialogueTurn("system", response, knowledge=tuple(knowledge[:1]))]
        turns = [turn for turn in turns if turn.text.strip()]
        if len(turns) > 1:
            yield Dialogue(f"wow-{i}", tuple(turns))
