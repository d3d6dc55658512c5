"""PersonaChat (Zhang et al. 2018): two people get to know each other, each with four or five persona lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adapterbot.data.dialogue import Dialogue, DialogueTurn

FOLDER = "persona"
HUB = ("bavard/personachat_truecased", "full")
HUB_REVISION = "refs/convert/parquet"  # `datasets` runs no scripts; this is the hub's own conversion
LICENCE = "not stated for the data (ParlAI: MIT)"


def from_hub(rows: Iterable[Mapping[str, Any]]) -> Iterator[Dialogue]:
    """One dialogue per `conv_id`: its longest history and the true reply, the last of `candidates`."""
    longest: dict[Any, Mapping[str, Any]] = {}
    for row in rows:
        known = longest.get(row["conv_id"])
        if known is None or len(row["history"]) > len(known["history"]):
            longest[row["conv_id"]] = row
    for conversation, row in longest.items():
        texts = [*row["history"], row["candidates"][-1]]
        speakers = ["system" if (len(texts) - i) % 2 == 1 else "user" for i in range(len(texts))]
        turns = tuple(DialogueTurn(s, t) for s, t in zip(speakers, texts, strict=True))
        yield Dialogue(f"persona-{conversation}", turns, context=tuple(row["personality"]))
