"""Everyday conversation of several corpora: what `chitchat` is learnt from.

Dialogues of a corpus are taken evenly, so that those of a large one are not all that is learnt. Facts and personas
are left out: small talk has none.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adapterbot.data.corpora import Splits, load_path
from adapterbot.data.dialogue import Dialogue, DialogueTurn
from adapterbot.errors import DataError

FOLDERS = ("dailydialog", "msc", "topicalchat", "selfdialogue", "dream", "commonsense", "esconv")
HUB = None
LICENCE = "of each corpus its own: non-commercial (CC BY-NC-SA 4.0, CC BY-NC 4.0) or not stated"
MOST = {"train": 4_000, "valid": 80}  # dialogues of one corpus


def read(folder: Path, domain: str = "") -> Splits:
    """Dialogues of those of the corpora that lie in `folder`; of one of them where `domain` names it.

    Raises:
        DataError: none is there, or a line is bad.
    """
    found: Splits = {"train": [], "valid": []}
    for name in FOLDERS:
        if (folder / name).is_dir() and domain in ("", name):
            for part, dialogues in load_path(folder / name).items():
                step = max(1, -(-len(dialogues) // MOST[part]))
                found[part] += [_bare(dialogue, name) for dialogue in dialogues[::step]]
    if not found["train"]:
        raise DataError(f"{folder} has none of the corpora of general conversation: {', '.join(FOLDERS)}")
    return found


def _bare(dialogue: Dialogue, domain: str) -> Dialogue:
    turns = tuple(DialogueTurn(turn.speaker, turn.text) for turn in dialogue.turns)
    return replace(dialogue, turns=turns, context=(), domain=domain)
