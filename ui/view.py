"""Reply -> what the app shows: plain functions over a turn's records; every text that is not ours is escaped.

Nothing here imports gradio: the page is a picture of these values.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from adapterbot.facts import Fact
from adapterbot.history import History
from adapterbot.spec.tables import SkillSpec
from adapterbot.turn import Draft, Reply, RoutedBy
from adapterbot.ui.graph_picture import picture

AUTO = ""  # value of "Auto" in the skill picker
GROUPS = ("conversation", "knowledge", "task", "style")
ROUTED: dict[RoutedBy, str] = {
    "forced": "your choice",
    "manager": "chosen by the manager",
    "fallback": "fallback: no skill was clear enough",
    "only": "no manager is trained",
    "care": "care: no skill answers this",
}
# In texts of reply/care.toml: numbers of three digits or more, and addresses of sites.
PHONE = re.compile(r"(?<![\w#&])\d(?:[ -]?\d){2,}(?!\w)")
ADDRESS = re.compile(r"\b(?:[a-z-]+\.)+(?:com|org|ch|ca)\b")
STOPPED = "stopped"
WAITING = "…"  # stands in the bubble until the first word
MOST_BARS = 8  # the other scores fold away
MOST_EXAMPLES = 6
GREETINGS = ("Hello! How are you?",)  # for a bot whose skills name no examples


class Part(TypedDict):
    """One text in a bubble of the chat."""

    type: str
    text: str


class Message(TypedDict):
    """One bubble of the chat: `role` is user or assistant."""

    role: str
    content: list[Part]


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the score chart; `share` is the bar's length, 0 to 1."""

    skill: str
    share: float
    answered: bool


def safe(text: str) -> str:
    """`text` as inert HTML; what UTF-8 cannot hold (half a surrogate pair) becomes '?'."""
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"))


def bubble(text: str) -> str:
    """`text` for a chat bubble: as `safe`, but quotes stay, since a bubble is never an attribute."""
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"), quote=False)


def messages(history: History, replies: Sequence[Reply | None]) -> list[Message]:
    """The chat's bubbles. `replies` go with the bot's utterances in order; None = stopped half-way, none = not yet."""
    shown: list[Message] = []
    answers = iter(replies)
    for utterance in history:
        if utterance.speaker == "user":
            shown.append(_message("user", bubble(utterance.text)))
            continue
        text = bubble(utterance.text)
        for reply in itertools.islice(answers, 1):
            line = bubble(byline(reply) if reply else STOPPED)
            shown.append(_message("assistant", care_card(text) if reply and reply.care else text, line))
            break
        else:
            shown.append(_message("assistant", text))
    return shown


def _message(role: str, *texts: str) -> Message:
    return {"role": role, "content": [{"type": "text", "text": text} for text in texts]}


def care_card(text: str) -> str:
    """A care answer, escaped, as a quiet card; what can be called or looked up is a link."""
    called = PHONE.sub(lambda n: f'<a href="tel:{"".join(filter(str.isdigit, n[0]))}">{n[0]}</a>', text)
    linked = ADDRESS.sub(r'<a href="https://\g<0>" target="_blank" rel="noopener noreferrer">\g<0></a>', called)
    return f'<div class="ab-care" role="note">{linked}</div>'


def byline(reply: Reply) -> str:
    """The line under a reply: the skill and how it came to answer."""
    if reply.care:
        return f"care · {reply.care}"
    score = reply.scores.get(reply.skill)
    sure = f" {percent(score)}" if reply.routed_by == "manager" and score is not None else ""
    return f"{reply.skill} · {ROUTED[reply.routed_by].partition(':')[0]}{sure}"


def percent(share: float) -> str:
    """0.926 -> '93 %'; a share that is not zero is never shown as 0."""
    return "< 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")


def bars(scores: Mapping[str, float], skill: str) -> list[Bar]:
    """The manager's scores, highest first."""
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [Bar(name, min(max(score, 0.0), 1.0), name == skill) for name, score in ranked]


def bars_html(shown: Sequence[Bar]) -> str:
    """A bar chart without a plotting library: a list with a box of that width in it. No scores, no chart."""
    first = "".join(map(_bar, shown[:MOST_BARS]))
    rest = "".join(map(_bar, shown[MOST_BARS:]))
    more = f"<details><summary>{len(shown) - MOST_BARS} more</summary><ol>{rest}</ol></details>" if rest else ""
    return f'<div class="ab-bars"><ol>{first}</ol>{more}</div>' if any(bar.share for bar in shown) else ""


def _bar(bar: Bar) -> str:
    mark = ' class="ab-answered"' if bar.answered else ""
    return (
        f'<li{mark}><span class="ab-name">{safe(bar.skill)}</span>'
        f'<span class="ab-track" aria-hidden="true"><i style="width:{bar.share:.1%}"></i></span>'
        f'<span class="ab-number">{percent(bar.share)}</span></li>'
    )


def facts_html(facts: Sequence[Fact]) -> str:
    """The evidence, each line with its title and source; above triples of a graph a picture of them."""
    return picture(facts) + "".join(_fact(fact) for fact in facts)


def _fact(fact: Fact) -> str:
    heading = f"<b>{safe(fact.heading)}</b> · " if fact.heading else ""
    note = f" · {safe(fact.note)}" if fact.note and fact.note != fact.heading else ""
    score = f" · score {fact.score:.2f}" if fact.score else ""
    return (
        f'<figure class="ab-fact"><p dir="auto">{safe(fact.line)}</p>'
        f"<figcaption>{heading}{safe(fact.source)}{note}{score}</figcaption></figure>"
    )


def timings_html(timings: Mapping[str, float], seed: int | None = None) -> str:
    """Milliseconds per stage, and the seed that gives the same reply again."""
    rows = [(safe(stage.replace("_", " ")), f"{seconds * 1000:,.0f} ms") for stage, seconds in timings.items()]
    rows += [("seed", str(seed))] if seed is not None else []
    return '<dl class="ab-times">' + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in rows) + "</dl>"


def inspector_html(reply: Reply | None, specs: Mapping[str, SkillSpec]) -> str:
    """Everything that led to `reply`: skill, reason, scores, facts, drafts, notes, timings."""
    if reply is None:
        return '<p class="ab-empty">Which skill answers, why, and from which facts: send a message to see it here.</p>'
    spec = specs.get(reply.skill)
    about = f"<p>{safe(spec.summary)}</p>" if spec else ""
    why = f"<p>{safe(reply.reason)}</p>" if reply.reason else ""
    head = f'<p class="ab-skill">{safe(reply.skill)}</p>{about}'
    sections = [
        ("Answered by", head if not reply.care else '<p class="ab-skill">care</p><p>A fixed text, by no model.</p>'),
        ("Why", f'<p class="ab-routed">{ROUTED[reply.routed_by]}</p>{why}'),
        ("Scores", bars_html(bars(reply.scores, reply.skill))),
        ("Facts used", facts_html(reply.facts) or '<p class="ab-empty">none</p>'),
        ("Drafts", drafts_html(reply.drafts) if len(reply.drafts) > 1 else ""),
        ("Notes", "".join(f"<p>{safe(note)}</p>" for note in (*reply.warnings, *reply.dropped))),
        ("Timings", timings_html(reply.timings, reply.seed)),
    ]
    return "".join(f'<section class="ab-part"><h2>{name}</h2>{body}</section>' for name, body in sections if body)


def drafts_html(drafts: Sequence[Draft]) -> str:
    """The sampled replies among which the best was chosen, folded away."""
    lines = (f'<li><span dir="auto">{safe(d.text)}</span> <small>{d.score:.2f}</small></li>' for d in drafts)
    count = f"<summary>best of {len(drafts)}</summary>"
    return f'<details class="ab-drafts">{count}<ol>{"".join(lines)}</ol></details>'


def skill_choices(specs: Mapping[str, SkillSpec], usable: Iterable[str]) -> list[tuple[str, str]]:
    """(label, value) pairs of the skill picker: Auto first, then the usable skills by group."""
    known = sorted((specs[name] for name in usable), key=lambda spec: (GROUPS.index(spec.group), spec.name))
    skills = [(f"{spec.group} · {spec.name} — {spec.summary}", spec.name) for spec in known]
    return [("Auto: the manager picks a skill for every message", AUTO), *skills]


def examples(specs: Mapping[str, SkillSpec], usable: Iterable[str]) -> list[str]:
    """Messages to click: the first routing example of skills that the manager chooses, of all groups by turns."""
    known = sorted((specs[name] for name in usable if specs[name].routing.auto), key=lambda spec: spec.name)
    groups = [[spec for spec in known if spec.group == group] for group in GROUPS]
    turns = (spec for row in itertools.zip_longest(*groups) for spec in row if spec)
    given = (spec.routing.examples[:1] for spec in turns)
    return [text for texts in given for text in texts][:MOST_EXAMPLES] or list(GREETINGS)


def persona_lines(text: str) -> list[str]:
    """The persona editor's text as facts: one per line, empty lines left out."""
    return [line.strip() for line in text.splitlines() if line.strip()]
