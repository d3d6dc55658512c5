"""The conversation as HTML: a message and its reply per turn, with what can be done to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapterbot.facts import Nothing
from adapterbot.storage.conversations import Exchange
from adapterbot.turn import Reply
from adapterbot.ui import words
from adapterbot.ui.markup import button, safe

# In texts of reply/care.toml: numbers of three digits or more, and addresses of sites.
PHONE = re.compile(r"(?<![\w#&])\d(?:[ -]?\d){2,}(?!\w)")
ADDRESS = re.compile(r"\b(?:[a-z-]+\.)+(?:com|org|ch|ca)\b")


@dataclass(frozen=True, slots=True)
class Around:
    """What the talk shows beside what was said.

    Versions `beside` each other take the place of the turn that they are of; `others` are skills that may answer the
    last message as well, the likeliest first; `overview` stands under an answer that says what the bot can do, and
    `no_forecast` under one that had no forecast.
    """

    beside: Sequence[Exchange] = ()
    others: Sequence[str] = ()
    overview: str = ""
    no_forecast: str = ""


def talk_html(
    exchanges: Sequence[Exchange],
    *,
    more: bool = False,
    busy: bool = False,
    looked_at: int = 0,
    around: Around | None = None,
) -> str:
    """The turns, oldest first; `more` offers earlier ones, and while `busy` nothing can be changed."""
    around = around or Around()
    older = button("older", words.OLDER, text=words.OLDER, kind="ab-older") if more else ""
    last = exchanges[-1].position if exchanges else 0
    turns = (
        beside_html(around.beside, busy=busy)
        if around.beside and exchange.position == around.beside[0].position
        else _turn(
            exchange,
            last=exchange.position == last,
            busy=busy,
            chosen=exchange.position == (looked_at or last),
            around=around,
        )
        for exchange in exchanges
    )
    return older + "".join(turns)


def _turn(exchange: Exchange, *, last: bool, busy: bool, chosen: bool, around: Around) -> str:
    mark = " ab-chosen" if chosen else ""
    actions = "" if busy else _actions(exchange, last=last, others=around.others)
    return (
        f'<article class="ab-turn{mark}">{said_html(exchange.typed, edit=last and not busy)}'
        f'<div class="ab-bot">{_told(exchange.reply)}{_more(exchange.reply, around)}'
        f'<div class="ab-under">{strip_html(exchange)}<span class="ab-actions">{actions}</span></div></div></article>'
    )


def said_html(message: str, *, edit: bool = False) -> str:
    """What the user said."""
    change = button("edit", words.EDIT, "edit") if edit else ""
    return f'<div class="ab-user">{change}<div class="ab-text" dir="auto">{safe(message)}</div></div>'


def growing_html(message: str, said: str, note: str = "") -> str:
    """The turn that is being answered: what was said so far, or that it is thought about."""
    return f'<article class="ab-turn ab-growing">{said_html(message)}{_growing(said, note)}</article>'


def _growing(said: str, note: str) -> str:
    dots = f'<span class="ab-dots" role="img" aria-label="{words.WAITING}"><i></i><i></i><i></i></span>'
    text = safe(said) if said.strip() else dots
    about = f'<p class="ab-note" role="status">{safe(note)}</p>' if note else ""
    return f'<div class="ab-bot"><div class="ab-text" dir="auto">{text}</div>{about}</div>'


def beside_html(versions: Sequence[Exchange], growing: str = "", *, busy: bool = False) -> str:
    """Two replies to one message, of which one can be taken; `growing` is the picture of one that is being made."""
    columns = "".join(f'<div class="ab-bot">{_told(each.reply)}{_choice(each, busy=busy)}</div>' for each in versions)
    close = "" if busy else button("apart", words.APART, "close", text=words.APART)
    said = said_html(versions[0].typed)
    return f'<article class="ab-turn">{said}<div class="ab-beside">{columns}{growing}</div>{close}</article>'


def _choice(version: Exchange, *, busy: bool) -> str:
    """What one of two replies is, and that it can be taken."""
    where: dict[str, Any] = {"turn": version.position, "number": version.number}
    take = "" if busy else button("prefer", words.TAKE, text=words.TAKE, kind="ab-prefer", **where)
    return f'<div class="ab-under">{strip_html(version)}{take}</div>'


def compared_html(former: Exchange, said: str, note: str = "") -> str:
    """A reply and, beside it, the one of another skill that is being made."""
    return beside_html([former], _growing(said, note), busy=True).replace("ab-turn", "ab-turn ab-growing", 1)


def _told(reply: Reply) -> str:
    return care_card(reply.text) if reply.care else f'<div class="ab-text" dir="auto">{safe(reply.text)}</div>'


def _more(reply: Reply, around: Around) -> str:
    """What stands under the text of a reply: the skills, or why there was no forecast."""
    if reply.reason == words.ABOUT_ITSELF:
        return around.overview
    none = any(isinstance(fact, Nothing) and fact.topic == "forecast" for fact in reply.facts)
    return f'<p class="ab-note">{safe(around.no_forecast)}</p>' if none and around.no_forecast else ""


def care_card(text: str) -> str:
    """A care answer as a quiet card; what can be called or looked up is a link."""
    called = PHONE.sub(lambda n: f'<a href="tel:{"".join(filter(str.isdigit, n[0]))}">{n[0]}</a>', safe(text))
    linked = ADDRESS.sub(r'<a href="https://\g<0>" target="_blank" rel="noopener noreferrer">\g<0></a>', called)
    return f'<div class="ab-care ab-text" role="note">{linked}</div>'


def strip_html(exchange: Exchange) -> str:
    """*skill · confidence · time*: opens what led to the reply."""
    said = " · ".join(strip(exchange.reply))
    where: dict[str, Any] = {"turn": exchange.position, "number": exchange.number}
    return button("inspect", f"{words.EVIDENCE}: {said}", text=said, kind="ab-strip", **where)


def strip(reply: Reply) -> list[str]:
    """The skill, how sure the manager was or how else it was chosen, how long it took, and whether it was stopped."""
    if reply.reason in FIXED:
        return [words.NAME]
    parts = [f"care: {reply.care}" if reply.care else reply.skill] if reply.skill or reply.care else []
    score = reply.scores.get(reply.skill)
    if not reply.care and reply.routed_by == "manager" and score is not None:
        parts.append(percent(score))
    elif reply.skill and reply.routed_by in words.CHOSEN:
        parts.append(words.CHOSEN[reply.routed_by])
    if "total" in reply.timings and not reply.care:
        parts.append(f"{reply.timings['total']:.1f} s")
    return [*parts, words.STOPPED] if words.STOPPED in reply.warnings else parts


FIXED = (words.ABOUT_ITSELF, words.FOREIGN)  # the reasons of replies that the page made itself


def percent(share: float) -> str:
    """0.926 -> '93 %'; a share that is not zero is never shown as 0."""
    return "< 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")


def _actions(exchange: Exchange, *, last: bool, others: Sequence[str]) -> str:
    """Versions, copy, opinion, and what only the last turn allows."""
    here: dict[str, Any] = {"turn": exchange.position}
    shown = [_versions(exchange), button("copy", words.COPY, "copy")]
    if not exchange.reply.care and exchange.reply.reason not in FIXED:
        shown += [
            button("judge", words.LIKE, "like", pressed=exchange.opinion > 0, opinion=1, **here),
            button("judge", words.DISLIKE, "dislike", pressed=exchange.opinion < 0, opinion=-1, **here),
        ]
    if last:
        shown += [button("retry", words.RETRY, "retry"), button("undo", words.TAKE_BACK, "undo")]
    if last and others and not exchange.reply.care:
        label = words.compare(others[0])
        shown.append(button("compare", label, "beside", text=label, skill=others[0]))
        options = "".join(f'<option value="{safe(name)}">{safe(name)}</option>' for name in others[1:])
        shown.append(
            f'<select class="ab-compare" aria-label="{words.COMPARE_WITH}"><option value="">{words.ELSE}</option>'
            f"{options}</select>"
        )
    return "".join(shown)


def _versions(exchange: Exchange) -> str:
    """Arrows through the versions of a turn; nothing where there is one."""
    numbers = exchange.numbers
    if len(numbers) < 2:
        return ""
    at = numbers.index(exchange.number)
    arrows = [
        button("choose", label, name, turn=exchange.position, number=numbers[to]).replace(
            "<button", "<button" if 0 <= to < len(numbers) and to != at else "<button disabled", 1
        )
        for label, name, to in (
            (words.EARLIER, "left", max(at - 1, 0)),
            (words.LATER, "right", min(at + 1, len(numbers) - 1)),
        )
    ]
    return f'<span class="ab-versions">{arrows[0]}<span>{at + 1} / {len(numbers)}</span>{arrows[1]}</span>'
