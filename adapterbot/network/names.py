"""Where the backbone of a name is: in a folder, or on the hub. Needs no torch, so that a wrong name is told at once."""

from __future__ import annotations

import os
from pathlib import Path

from adapterbot.errors import UnknownNameError
from adapterbot.home import DATA

# Short names for what people ask for; any other hub id or folder of a family that is computed works as well.
KNOWN = {
    "embedded": str(DATA / "backbone"),
    "dialogpt-small": "microsoft/DialoGPT-small",
    "dialogpt-medium": "microsoft/DialoGPT-medium",
    "dialogpt-large": "microsoft/DialoGPT-large",
    "gpt2": "openai-community/gpt2",
}


def wanted_backbone(name: str | os.PathLike[str] | None) -> str:
    """The name given, else $ADAPTERBOT_BACKBONE, else the embedded one."""
    return str(name or os.environ.get("ADAPTERBOT_BACKBONE") or "embedded")


def find_backbone(name: str) -> Path | str:
    """The folder of a backbone, or its id on the hub.

    Raises:
        UnknownNameError: neither a folder nor a known name nor of the form owner/model.
    """
    place = KNOWN.get(name.lower(), name)
    folder = Path(place).expanduser()
    try:
        found = folder.is_dir()
    except (OSError, ValueError):  # longer than a path can be, or a NUL in it
        found = False
    if found:
        return folder
    if place.count("/") != 1 or place.startswith((".", "/", "~")):
        raise UnknownNameError("backbone (no such folder)", name, KNOWN)
    return place
