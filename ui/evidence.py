"""What led to a reply as HTML: the skill and why, scores, a card per fact, drafts, notes, timings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapterbot.facts import Day, Event, Fact, Forecast, Nothing, Notice, Passage, Row, Triple, Verdict
from adapterbot.spec.tables import SkillSpec
from adapterbot.turn import Draft, Reply
from adapterbot.ui import words
from adapterbot.ui.graph_picture import picture
from adapterbot.ui.markup import button, safe
from adapterbot.ui.talk import FIXED, percent

MOST_BARS = 6  # the other scores fold away
# What of a sky is told by a sign, the first that its words hold.
SKIES = (
    ("thunder", "⛈"),
    ("storm", "⛈"),
    ("hail", "⛈"),
    ("blizzard", "❄"),
    ("snow", "❄"),
    ("sleet", "❄"),
    ("frost", "❄"),
    ("rain", "☂"),
    ("drizzl", "☂"),
    ("shower", "☂"),
    ("fog", "≋"),
    ("mist", "≋"),
    ("humid", "≋"),
    ("wind", "⚑"),
    ("overcast", "☁"),
    ("cloud", "☁"),
    ("sun", "☀"),
    ("clear", "☀"),
    ("hot", "☀"),
    ("warm", "☀"),
    ("dry", "☀"),
)
VERDICTS = {"supported": "ab-yes", "contradicted": "ab-no", "not known": "ab-open"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the score chart; `share` is the bar's length, 0 to 1."""

    skill: str
    share: float
    answered: bool


def evidence_html(reply: Reply | None, specs: Mapping[str, SkillSpec], turn: int = 0, number: int = 0) -> str:
    """Everything that led to `reply`, the version `number` of the exchange at `turn`: its other drafts can be taken."""
    if reply is None:
        return f'<p class="ab-empty">{words.NO_REPLY}</p>'
    spec = specs.get(reply.skill)
    about = f"<p>{safe(spec.summary)}</p>" if spec else ""
    why = f"<p>{safe(reply.reason)}</p>" if reply.reason else ""
    head = f'<p class="ab-skill">{safe(reply.skill)}</p>{about}'
    fixed = "care" if reply.care else words.NAME if reply.reason in FIXED else ""
    notes = [note for note in (*reply.warnings, *reply.dropped) if note != words.STOPPED]
    routed = "" if fixed == words.NAME else f'<p class="ab-routed">{words.ROUTED.get(reply.routed_by, "")}</p>'
    sections = [
        (words.ANSWERED_BY, f'<p class="ab-skill">{fixed}</p><p>{words.FIXED}</p>' if fixed else head),
        (words.WHY, routed + why),
        (words.FACTS, facts_html(reply.facts) or ("" if fixed else f'<p class="ab-empty">{words.NO_FACTS}</p>')),
        (words.SCORES, bars_html(bars(reply.scores, reply.skill))),
        (words.DRAFTS, drafts_html(reply.drafts, reply.text, turn, number) if len(reply.drafts) > 1 else ""),
        (words.NOTES, "".join(f"<p>{safe(note)}</p>" for note in notes)),
        (words.TIMINGS, timings_html(reply.timings, reply.seed)),
    ]
    return "".join(f'<section class="ab-part"><h2>{name}</h2>{body}</section>' for name, body in sections if body)


def bars(scores: Mapping[str, float], skill: str) -> list[Bar]:
    """The manager's scores, highest first."""
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [Bar(name, min(max(score, 0.0), 1.0), name == skill) for name, score in ranked]


def bars_html(shown: Sequence[Bar]) -> str:
    """A bar chart without a plotting library: a list with a box of that width in it. No scores, no chart."""
    first = "".join(map(_bar, shown[:MOST_BARS]))
    rest = "".join(map(_bar, shown[MOST_BARS:]))
    more = (
        f"<details><summary>{words.MORE_SCORES.format(len(shown) - MOST_BARS)}</summary><ol>{rest}</ol></details>"
        if rest
        else ""
    )
    return f'<div class="ab-bars"><ol>{first}</ol>{more}</div>' if any(bar.share for bar in shown) else ""


def _bar(bar: Bar) -> str:
    mark = ' class="ab-answered"' if bar.answered else ""
    return (
        f'<li{mark}><span class="ab-name">{safe(bar.skill)}</span>'
        f'<span class="ab-track" aria-hidden="true"><i style="width:{bar.share:.1%}"></i></span>'
        f'<span class="ab-number">{percent(bar.share)}</span></li>'
    )


def facts_html(facts: Sequence[Fact]) -> str:
    """A card per fact, by its kind; triples of a graph as a picture, and their lines below it."""
    triples = [fact for fact in facts if isinstance(fact, Triple)]
    drawn = picture(triples)
    lines = "".join(f"<li>{_cell(t.subject)} → {_cell(t.relation)} → {_cell(t.object)}</li>" for t in triples)
    count = words.TRIPLES.format(len(triples))
    named = f'<details open class="ab-triples"><summary>{count}</summary><ul>{lines}</ul></details>'
    graph = f'<figure class="ab-fact">{drawn}{named}{_caption(triples[0])}</figure>' if triples else ""
    return graph + "".join(_card(fact) for fact in facts if not isinstance(fact, Triple))


def _card(fact: Fact) -> str:
    match fact:
        case Passage():
            title = f"<h3>{safe(fact.title)}</h3>" if fact.title else ""
            body = f'{title}<p dir="auto">{safe(fact.text)}</p>'
        case Forecast():
            days = "".join(_day(day, fact) for day in fact.days)
            body = f'<h3>{safe(fact.place)}</h3><ol class="ab-week">{days}</ol>'
        case Event():
            body = f"<h3>{safe(fact.event)}</h3>{_event(fact)}"
        case Row():
            body = (f"<h3>{safe(fact.key)}</h3>" if fact.key else "") + _table(
                cell for cell in fact.cells if cell[1] != fact.key
            )
        case Verdict():
            said = f'<p dir="auto">{safe(fact.evidence)}</p>' if fact.evidence else ""
            label = f'<p class="ab-verdict {VERDICTS.get(fact.label, "ab-open")}">{safe(fact.label)}</p>'
            body = f"<h3>{safe(fact.claim)}</h3>{label}{said}"
        case Nothing() | Notice():
            body = f"<p><b>{safe(fact.topic)}</b>: {safe(fact.words)}</p>"
        case _:
            body = f'<p dir="auto">{safe(fact.line)}</p>'
    return f'<figure class="ab-fact ab-{fact.kind}">{body}{_caption(fact)}</figure>'


def _caption(fact: Fact) -> str:
    told = fact.heading if isinstance(fact, Passage | Event | Verdict) else ""
    note = f" · {safe(fact.note)}" if fact.note and fact.note != told else ""
    score = f" · {words.SCORE} {fact.score:.2f}" if fact.score else ""
    return f"<figcaption>{safe(fact.source)}{note}{score}</figcaption>"


def _table(cells: Iterable[tuple[str, str]]) -> str:
    rows = (f'<tr><th scope="row">{_cell(name)}</th><td dir="auto">{safe(value)}</td></tr>' for name, value in cells)
    return f"<table>{''.join(rows)}</table>"


def _cell(name: str) -> str:
    return safe(name.replace("_", " "))


def _day(day: Day, forecast: Forecast) -> str:
    sign = next((sign for word, sign in SKIES if word in day.sky.lower()), "·")
    today = ' class="ab-today"' if day.weekday == forecast.today else ""
    unit = safe(forecast.unit)
    return (
        f'<li{today}><b>{safe(day.weekday[:3].title())}</b><span class="ab-sky" aria-hidden="true">{sign}</span>'
        f"<span>{safe(day.sky)}</span><span>{day.low}° to {day.high}° {unit}</span></li>"
    )


def _event(event: Event) -> str:
    day = f"{event.start:%A} {event.start.day} {event.start:%B %Y}"
    hours = words.ALL_DAY if event.all_day else f"{event.start:%H:%M} to {event.end:%H:%M}"
    place = f"<br>{safe(event.place)}" if event.place else ""
    return f"<p>{day}, {hours}{place}</p>"


def timings_html(timings: Mapping[str, float], seed: int | None = None) -> str:
    """Milliseconds per stage, and the seed that gives the same reply again."""
    rows = [(safe(stage.replace("_", " ")), f"{seconds * 1000:,.0f} ms") for stage, seconds in timings.items()]
    rows += [(words.SEED, str(seed))] if seed is not None else []
    return '<dl class="ab-times">' + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in rows) + "</dl>"


def drafts_html(drafts: Sequence[Draft], told: str, turn: int, number: int = 0) -> str:
    """The sampled replies among which the best was chosen; any other can be taken in its place."""
    lines = list[str]()
    for index, draft in enumerate(drafts):
        where: dict[str, Any] = {"turn": turn, "number": number, "draft": index}
        take = button("take", words.TAKE, text=words.TAKE, **where) if draft.text != told and turn else ""
        lines.append(f'<li><span dir="auto">{safe(draft.text)}</span> <small>{draft.score:.2f}</small>{take}</li>')
    count = f"<summary>{words.BEST_OF.format(len(drafts))}</summary>"
    return f'<details class="ab-drafts">{count}<ol>{"".join(lines)}</ol></details>'
