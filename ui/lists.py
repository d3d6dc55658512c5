"""The list of conversations, and the picker of skills, as HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from adapterbot.spec.tables import SkillSpec
from adapterbot.storage.owners import Conversation
from adapterbot.ui import words
from adapterbot.ui.files import Own
from adapterbot.ui.markup import button, safe
from adapterbot.ui.overview import GROUPS

TEMPLATE = re.compile(r"[`${}\\]")  # what gradio's templates act on


def list_html(conversations: Sequence[Conversation], *, current: str, renaming: str = "", search: str = "") -> str:
    """The conversations, newest first; `renaming` is the one whose title is being written."""
    rows = "".join(_row(each, current=each.id == current, renaming=each.id == renaming) for each in conversations)
    none = words.NOTHING_FOUND if search else words.NO_CHATS
    return f'<ul class="ab-chats">{rows}</ul>' if rows else f'<p class="ab-empty">{none}</p>'


def _row(each: Conversation, *, current: bool, renaming: bool) -> str:
    if renaming:
        title = f'aria-label="{words.TITLE}" value="{safe(each.title)}"'
        box = f'<input class="ab-rename" type="text" maxlength="80" {title}>'
        inside = f"{box}{button('save', words.SAVE, text=words.SAVE, id=each.id)}"
        return f'<li class="ab-renaming" data-id="{safe(each.id)}">{inside}</li>'
    mark = ' class="ab-current"' if current else ""
    open_it = button("open", each.title, text=each.title, kind="ab-open-chat", id=each.id)
    if current:
        open_it = open_it.replace("<button", '<button aria-current="true"', 1)
    choices = "".join(
        button(do, label, text=label, id=each.id)
        for do, label in (
            ("rename", words.RENAME),
            ("export-md", words.AS_MARKDOWN),
            ("export-json", words.AS_JSON),
            ("delete", words.DELETE),
        )
    )
    menu = button("menu", f"{words.MORE}: {each.title}", "more", kind="ab-more", id=each.id)
    return f'<li{mark}>{open_it}{menu}<div class="ab-menu" hidden>{choices}</div></li>'


def own_html(own: Sequence[Own], *, here: bool) -> str:
    """What the user brought, each with a button that removes it; `here` is whether they sit at this machine."""
    rows = "".join(_own_row(each, here=here) for each in own)
    shown = f'<ul class="ab-own">{rows}</ul>' if rows else f'<p class="ab-empty">{words.NO_FILES}</p>'
    choose = button("attach", words.ADD_FILE, "attach", text=words.ADD_FILE, kind="ab-example")
    how = f"{choose}<p class='ab-empty'>{words.DROP}</p>" if here else f'<p class="ab-empty">{words.ONLY_HERE}</p>'
    return f"{how}{shown}"


def _own_row(each: Own, *, here: bool) -> str:
    title = f"<b>{safe(each.file or each.name)}</b><small>{safe(each.what)} · {safe(each.name)}</small>"
    label = f"{words.REMOVE} {each.file or each.name}"
    remove = button("own-remove", label, "delete", name=each.name, file=each.file) if here else ""
    return f"<li><span>{title}</span>{remove}</li>"


def deleted_html(title: str) -> str:
    """That a conversation was deleted, and how to have it back; empty for no title."""
    if not title:
        return ""
    undo = button("restore", words.UNDO, text=words.UNDO)
    return f'<div class="ab-deleted" role="status"><span>{safe(words.deleted(title))}</span>{undo}</div>'


def picker_html(specs: Mapping[str, SkillSpec], usable: Iterable[str]) -> str:
    """A native list of the skills that can answer, in groups: typing a name finds it, on any keyboard and screen.

    It is a template to gradio, so what its templates act on is written as entities.
    """
    known = sorted((specs[name] for name in usable), key=lambda spec: spec.name)
    groups = "".join(
        f'<optgroup label="{group}">{"".join(_option(spec) for spec in known if spec.group == group)}</optgroup>'
        for group in GROUPS
        if any(spec.group == group for spec in known)
    )
    first = f'<option value="">{words.AUTO}</option>'
    select = f'<label class="ab-picker"><span>{words.WHO}</span><select>{first}{groups}</select></label>'
    return TEMPLATE.sub(lambda found: f"&#{ord(found[0])};", select)


def _option(spec: SkillSpec) -> str:
    return f'<option value="{safe(spec.name)}">{safe(f"{spec.name}: {spec.summary}")}</option>'
