"""Text as inert HTML, and buttons: what every picture on the page is made of."""

from __future__ import annotations

import html
import re

from adapterbot.ui.icons import icon

# Characters that turn the order of what stands around them: embeddings, overrides and isolates.
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def safe(text: str) -> str:
    """`text` as inert HTML that stays in its place; what UTF-8 cannot hold (half a surrogate pair) becomes '?'."""
    return html.escape(TURNING.sub("", text).encode("utf-8", "replace").decode("utf-8"))


def button(do: str, label: str, pictogram: str = "", *, text: str = "", kind: str = "", **data: object) -> str:
    """A button that the page's script hears: `do` says what it does, `data` on what.

    `pressed` among the data is whether a toggle is on.
    """
    pressed = data.pop("pressed", None)
    state = "" if pressed is None else f' aria-pressed="{"true" if pressed else "false"}"'
    given = "".join(f' data-{name}="{safe(str(value))}"' for name, value in data.items())
    name = "" if text else f' aria-label="{safe(label)}"'
    shown = (icon(pictogram) if pictogram else "") + (f"<span>{safe(text)}</span>" if text else "")
    opening = f'<button type="button" class="{f"ab-button {kind}".strip()}" data-do="{do}"{given}{name}'
    return f'{opening} title="{safe(label)}"{state}>{shown}</button>'
