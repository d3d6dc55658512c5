"""What goes between page and handlers: what an event changes on it, and what a visitor wants answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from adapterbot.storage.conversations import Exchange
from adapterbot.ui.talk import compared_html, growing_html
from adapterbot.ui.visitor import Wishes, wishes


class Screen(NamedTuple):
    """What an event changes, in the order in which the page wires its components; what is skipped stays."""

    visitor: Any = gr.skip()
    kept: Any = gr.skip()
    chats: Any = gr.skip()
    deleted: Any = gr.skip()
    talk: Any = gr.skip()
    now: Any = gr.skip()
    evidence: Any = gr.skip()
    box: Any = gr.skip()
    editing: Any = gr.skip()
    send: Any = gr.skip()
    stop: Any = gr.skip()
    own: Any = gr.skip()
    order: Any = gr.skip()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a visitor wants answered, and how.

    `skill` goes before the picker. With `former` the reply is another version of that exchange, and with `beside` it is
    shown beside it. `box` is what goes back into the box when there is no reply; None leaves the box alone.
    """

    message: str
    inputs: tuple[Any, ...]
    former: Exchange | None = None
    skill: str = ""
    beside: bool = False
    box: str | None = None

    def wished(self) -> Wishes:
        """How it is to be answered; raises SettingError."""
        wished = wishes(*self.inputs)
        return wished._replace(skill=self.skill, settings={}) if self.skill else wished

    def growing(self, said: str = "", note: str = "") -> str:
        """The turn as long as its reply is being made."""
        if self.former and self.beside:
            return compared_html(self.former, said, note)
        return growing_html(self.message, said, note)
