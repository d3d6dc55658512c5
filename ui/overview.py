"""What the bot can do, as HTML: each skill with a message that it answers in a fresh install."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapterbot.spec.tables import SkillSpec
from adapterbot.ui import words
from adapterbot.ui.markup import button, safe

GROUPS = ("conversation", "knowledge", "task", "style")
# Messages that the shipped skills answer from what ships. Other skills show the first of their routing examples.
EXAMPLES = {
    "chitchat": "What should I cook tonight?",
    "empathetic": "I feel so lonely since my roommate moved out.",
    "persona": "Do you have any pets?",
    "wiki": "How tall is Mount Everest?",
    "graph": "Who wrote Pippi Longstocking?",
    "covid_qa": "What is the incubation time of COVID-19?",
    "covid_claims": "Is it true that drinking hot water kills the coronavirus?",
    "weather": "What's the weather like in Boston today?",
    "calendar": "What's on my calendar today?",
    "restaurant": "I'm looking for an Italian restaurant in the centre.",
    "hotel": "I need a guesthouse with free parking.",
    "attraction": "Are there any museums in the centre?",
    "taxi": "Which taxis have six seats?",
    "train": "When is the first train from Elmbridge to Harrow Bay on Monday?",
    "navigation": "Where is the nearest parking garage?",
}
STYLED = "I am going to the beach this weekend."


def empty_html(overview: str) -> str:
    """A conversation in which nothing was said: messages to begin with."""
    return f'<div class="ab-empty-talk"><h2>{words.GREETING}</h2><p>{words.START}</p>{overview}</div>'


def overview_html(specs: Mapping[str, SkillSpec], usable: Iterable[str], *, calendar: bool) -> str:
    """The usable skills by groups, each as a button that asks it something; styles answer one message each its own way.

    Without a `calendar` that could be asked there is a button that adds one.
    """
    known = [specs[name] for name in sorted(usable)]
    groups = ((group, [spec for spec in known if spec.group == group]) for group in GROUPS)
    return "".join(_group(group, of, calendar=calendar) for group, of in groups if of)


def _group(group: str, specs: Iterable[SkillSpec], *, calendar: bool) -> str:
    if group == "style":
        chips = "".join(
            button("example", spec.summary, text=spec.name, kind="ab-chip", message=STYLED, skill=spec.name)
            for spec in specs
        )
        return f'<section class="ab-group"><h3>{words.IN_STYLE.format(safe(STYLED))}</h3><div>{chips}</div></section>'
    cards = "".join(_card(spec, calendar=calendar) for spec in specs)
    return f'<section class="ab-group"><h3>{group}</h3><div class="ab-grid">{cards}</div></section>'


def _card(spec: SkillSpec, *, calendar: bool) -> str:
    if spec.knowledge.source == "calendar" and not calendar:
        card = button("attach", spec.summary, text=words.ADD_CALENDAR, kind="ab-example")
    else:
        asked = EXAMPLES.get(spec.name) or next(iter(spec.routing.examples), "")
        if not asked:
            return ""
        skill: dict[str, Any] = {} if spec.routing.auto else {"skill": spec.name}
        card = button("example", spec.summary, text=asked, kind="ab-example", message=asked, **skill)
    return card.replace("<span>", f"<small>{safe(spec.name)}</small><span>", 1)
