"""In-Car assistant / KVRET (Eric et al. 2017): weather, navigation and calendar over the rows of a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from adapterbot.data.dialogue import Dialogue, Turn

FOLDER = "kvret"
HUB = "ConvLab/kvret"
LICENCE = "not stated"
DOMAINS = {"weather": "weather", "navigate": "navigate", "schedule": "schedule"}


def from_hub(rows: Iterable[Mapping[str, Any]]) -> Iterator[Dialogue]:
    """One dialogue per row of the unified format: `turns` with `speaker`, `utterance`, `db_results`."""
    for row in rows:
        item = json.loads(row["data"]) if isinstance(row.get("data"), str) else row
        turns = tuple(_turn(turn) for turn in item["turns"] if turn["utterance"].strip())
        if len(turns) > 1:
            yield Dialogue(str(item["dialogue_id"]), turns, domain=str(next(iter(item.get("domains") or [""]))))


def _turn(turn: Mapping[str, Any]) -> Turn:
    results = turn.get("db_results") or {}
    rows = [", ".join(f"{k}: {v}" for k, v in r.items()) for found in results.values() for r in found][:3]
    return Turn("user" if turn["speaker"] == "user" else "system", turn["utterance"].strip(), knowledge=tuple(rows))
