"""What the app knows of one browser tab, and what a visitor wishes for a reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from adapterbot.errors import SettingError, shorten
from adapterbot.turn import DECODE_SETTINGS

SLIDERS = tuple(name for name in DECODE_SETTINGS if name != "seed")
LONGEST_CITY = 80  # characters
UNITS = ("metric", "imperial")
SHOWN = 40  # exchanges of a conversation on the page; older ones on request


@dataclass(eq=False)  # gradio hashes it to see whether it changed
class Visitor:
    """One browser tab. What was said is in the store; this is where the tab stands in it.

    `owner` is the browser's id, `session` the open conversation (empty before its first message). `stopping` is how
    the Stop button reaches the handler that is generating for the same tab; `region` is the country that the browser's
    language names, if it names one.
    """

    owner: str = ""
    session: str = ""
    region: str = ""
    here: bool = False  # whether the browser runs on this machine, where files may be added
    shown: int = SHOWN
    looked_at: int = 0  # position of the exchange whose evidence is shown; 0 is the last
    version: int = 0  # its version; 0 is the one that is shown
    beside: tuple[int, int, int] = (0, 0, 0)  # where two versions stand side by side, and their numbers
    search: str = ""
    renaming: str = ""  # the conversation whose title is being written
    deleted: tuple[str, str] = ("", "")  # id and title of what can be brought back
    editing: bool = False  # whether sending replaces the last message
    busy: bool = False
    stopping: bool = False

    def leave(self, session: str = "") -> None:
        """Go to another conversation, or with none to a new one."""
        self.session = session
        self.shown = SHOWN
        self.look()
        self.beside = (0, 0, 0)
        self.renaming = ""
        self.editing = False

    def look(self, position: int = 0, version: int = 0) -> None:
        """Show what led to that version of a reply, or to the last one."""
        self.looked_at = position
        self.version = version


class Wishes(NamedTuple):
    """How the visitor wants the message answered. `settings` is empty when the skill's own table holds."""

    skill: str
    persona: str
    settings: dict[str, Any]
    city: str = ""
    units: str = ""  # "metric", "imperial", or as the skill has it


def wishes(skill: str | None, persona: str, city: str, units: str, own: bool, seed: str, *sliders: float) -> Wishes:
    """The picker, the persona editor, city, units, 'use the skill's own settings', the seed, the sliders by SLIDERS.

    Raises:
        SettingError: the seed is not a whole number.
    """
    settings: dict[str, Any] = {} if own else dict(zip(SLIDERS, sliders, strict=True))
    if seed.strip():
        try:
            settings["seed"] = int(seed)
        except ValueError:
            raise SettingError(f"the seed {shorten(seed)!r} is not a whole number; leave it empty for any") from None
    place = " ".join((city or "").split())[:LONGEST_CITY]
    return Wishes(skill or "", persona or "", settings, place, units if units in UNITS else "")
