"""EmpatheticDialogues (Rashkin et al. 2019): a speaker tells of a personal situation, a listener answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from adapterbot.data.dialogue import Dialogue, DialogueTurn

FOLDER = "ed"
HUB = ("facebook/empathetic_dialogues", "default")
HUB_REVISION = "refs/convert/parquet"  # `datasets` runs no scripts; this is the hub's own conversion
LICENCE = "CC BY-NC 4.0"


def from_hub(rows: Iterable[Mapping[str, Any]]) -> Iterator[Dialogue]:
    """One dialogue per `conv_id`; rows are utterances in order, `_comma_` stands for a comma."""
    for conversation, group in groupby(rows, key=lambda row: row["conv_id"]):
        ordered = sorted(group, key=lambda row: row["utterance_idx"])
        turns = [
            DialogueTurn("user" if i % 2 == 0 else "system", row["utterance"].replace("_comma_", ",").strip())
            for i, row in enumerate(ordered)
        ]
        if len(turns) > 1 and all(t.text for t in turns):
            yield Dialogue(str(conversation), tuple(turns), label=str(ordered[0].get("context", "")))
