"""Belief states of a made-up dialogue, in a file as the labels have them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

TALK = ["a cheap place to stay", "In which part of town?", "north, and with four stars"]
STATES = [
    {"user": TALK[0], "state": {"pricerange": "cheap"}, "changed": ["pricerange"]},
    {"user": TALK[2], "state": {"stars": "4", "pricerange": "cheap", "area": "north"}, "changed": ["area", "stars"]},
    {"user": "the south is any good? I mean anywhere", "state": {"pricerange": "cheap", "area": "any"}},
    {"user": "And its phone?", "state": {"name": "Hay Loft", "area": "any"}, "requested": ["phone"]},
    {"user": "thank you, bye", "state": {"name": "Hay Loft", "area": "any"}},
]
SAID = [TALK[0], TALK[1], TALK[2], "None in the north.", STATES[2]["user"], "The Hay Loft is cheap.", STATES[3]["user"]]


def states(folder: Path, part: str = "valid", name: str = "multiwoz") -> Path:
    """A file of states of one dialogue, as the labels have them."""
    said = [*SAID, "It is 123.", STATES[4]["user"]]
    path = folder / name / f"{part}.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        for i, row in enumerate(STATES):
            item = {
                "id": "d1",
                "turn": 2 * i,
                "domain": "hotel",
                "history": said[max(0, 2 * i - 4) : 2 * i],
                "user": row["user"],
                "state": {"hotel": row["state"]},
                "requested": row.get("requested", []),
                "changed": {slot: [None, None] for slot in row.get("changed", [])},
            }
            stream.write(json.dumps(item) + "\n")
    return path
