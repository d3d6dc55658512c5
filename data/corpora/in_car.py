"""In-Car assistant / KVRET (Eric et al. 2017): weather, navigation and calendar over the rows of a table.

On the hub it lies in archives that `datasets` does not read, so it is taken from a corpora folder alone.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from adapterbot.data.dialogue import Dialogue

FOLDER = "kvret"
HUB = None
LICENCE = "not stated"
CALENDAR = "schedule"
EMPTY = re.compile(r", (?:room|agenda|party): -(?=,|$)")


def read(folder: Path, domain: str) -> dict[str, list[Dialogue]]:
    """Both parts; of the calendar only dialogues with rows, since in the others the assistant adds events."""
    from adapterbot.data.corpora import load_folder

    parts = load_folder(folder, FOLDER, "in_car")
    if domain != CALENDAR:
        return parts
    grounded = {part: [d for d in dialogues if any(t.knowledge for t in d.turns)] for part, dialogues in parts.items()}
    return {part: list(map(_without_empty_cells, dialogues)) for part, dialogues in grounded.items()}


def _without_empty_cells(dialogue: Dialogue) -> Dialogue:
    turns = (replace(t, knowledge=tuple(EMPTY.sub("", row) for row in t.knowledge)) for t in dialogue.turns)
    return replace(dialogue, turns=tuple(turns))
