"""The figures of skills as tables, for the terminal and for the page; every F1 stands beside its yardsticks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

Figures = Mapping[str, Any]
Cell = Callable[[Figures], str]
NAME = 12
MODELS = {"adapter": "", "bare": "_backbone", "full": "_full"}  # who replied -> how its figures' names end


@dataclass(frozen=True, slots=True)
class Grid:
    """One table: at most 80 characters wide with names of at most `widest`. The first `texts` columns hold no
    figures."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: int = 1
    widest: int = NAME


def grids(reports: Mapping[str, Figures]) -> Iterator[Grid]:
    """The tables over the reports of some skills by name (see `skill.evaluate_skill`); none without rows."""
    for title, note, columns, asks in TABLES:
        rows = [(name, *(cell(r) for cell in columns.values())) for name, r in reports.items() if asks in r]
        if rows:
            yield Grid(title, note, ("skill", *columns), tuple(rows))
    rows = [
        (name, who, *(cell(_of(r, end)) for cell in COMPARED.values()))
        for name, r in reports.items()
        for who, end in MODELS.items()
        if {"f1_backbone", "f1_full"} & r.keys() and f"perplexity{end}" in r
    ]
    if rows:
        yield Grid("Adapter, bare backbone, all weights trained", WHOLE, ("skill", "who", *COMPARED), tuple(rows), 2)


def as_rich(grid: Grid) -> Table:
    """The table for a terminal of 80 columns; a longer name of a skill is cut."""
    table = Table(title=grid.title, title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    for i, head in enumerate(grid.head):
        table.add_column(head, justify="left" if i < grid.texts else "right", no_wrap=True, max_width=grid.widest)
    for row in grid.rows:
        table.add_row(*row)
    return table


def _of(report: Figures, end: str) -> Figures:
    """The figures of one of MODELS under their plain names."""
    plain = {name: report[f"{name}{end}"] for name in FIGURES if f"{name}{end}" in report}
    gain = report.get("share_of_full_gain")
    return plain if gain is None else plain | {"gain": {"": gain, "_full": 1.0}.get(end, 0.0)}


def _number(name: str, form: str) -> Cell:
    def cell(report: Figures) -> str:
        return format(report[name], form) if report.get(name) is not None else "-"

    return cell


def _ends(name: str, form: str) -> Cell:
    def cell(report: Figures) -> str:
        ends = (f"{name}_low", f"{name}_high")
        return "–".join(format(report[end], form) for end in ends) if ends[0] in report else "-"

    return cell


def _weights(report: Figures) -> str:
    count = report.get("parameters", 0)
    return f"{count / 1e6:.2f}M" if count >= 1e4 else str(count)


def _share(name: str) -> Cell:
    def cell(report: Figures) -> str:
        return format(report[name], ".0%") if report.get(name) is not None else "-"

    return cell


def _share_ends(name: str) -> Cell:
    def cell(report: Figures) -> str:
        low = report.get(f"{name}_low")
        high = report.get(f"{name}_high")
        return "-" if low is None or high is None else f"{100 * low:.0f}–{high:.0%}"

    return cell


PREDICTED = (
    "Perplexity per token and bits per byte of people's replies: with the adapter, and with the bare backbone. "
    "weights: what the adapter adds."
)
SAID = (
    "F1 against people's replies, with its 95 % interval; constant: the best single sentence as the reply to "
    "everything; copy: the facts read out. relevance: how often the conversation is found from the reply alone among "
    "20 (chance 0.05), people's own replies beside it. dist-2: distinct pairs of words."
)
FORM = (
    "The same replies by longest common subsequence and BLEU; people's dist-2; length against people's replies; the "
    "seconds that a reply took, several at a time."
)
GROUNDED = (
    "know. F1: F1 of reply and facts. unsupported: replies with a value (number, name, time) that neither facts nor "
    "conversation hold, as far as the value check sees them, by which replies are chosen as well (labelled by "
    "hand: evaluate grounding); people's own beside it. copied: 4-grams of a fact read out in a row; > half: replies "
    "that read out more than half of one."
)
WHOLE = (
    "The same questions put to each. weights: how many were trained for the skill. gain: share of what training all "
    "weights gains over the bare backbone, in nats per token."
)
FIGURES = ("parameters", "perplexity", "bits_per_byte", "f1", "relevance", "distinct_2")
Plan = tuple[str, str, Mapping[str, Cell], str]  # title, note, columns, the figure that a report must have
TABLES: Sequence[Plan] = (
    (
        "Predicting replies",
        PREDICTED,
        {
            "replies": _number("replies", ""),
            "weights": _weights,
            "perplexity": _number("perplexity", ".2f"),
            "bare": _number("perplexity_backbone", ".2f"),
            "bits/byte": _number("bits_per_byte", ".3f"),
            "(bare)": _number("bits_per_byte_backbone", ".3f"),
        },
        "perplexity",
    ),
    (
        "Replies",
        SAID,
        {
            "F1": _number("f1", ".1f"),
            "95 %": _ends("f1", ".1f"),
            "constant": _number("f1_constant", ".1f"),
            "copy": _number("f1_copied_facts", ".1f"),
            "relevance": _number("relevance", ".2f"),
            "(95 %)": _ends("relevance", ".2f"),
            "people": _number("relevance_reference", ".2f"),
            "dist-2": _number("distinct_2", ".2f"),
        },
        "f1",
    ),
    (
        "Their form",
        FORM,
        {
            "Rouge-L": _number("rouge_l", ".1f"),
            "95 %": _ends("rouge_l", ".1f"),
            "BLEU": _number("bleu", ".2f"),
            "dist-1": _number("distinct_1", ".2f"),
            "dist-2": _number("distinct_2", ".2f"),
            "people": _number("distinct_2_reference", ".2f"),
            "length": _number("length_ratio", ".2f"),
            "s/reply": _number("seconds_per_reply", ".2f"),
        },
        "rouge_l",
    ),
    (
        "Keeping to the facts",
        GROUNDED,
        {
            "know. F1": _number("knowledge_f1", ".1f"),
            "95 %": _ends("knowledge_f1", ".1f"),
            "unsupported": _share("unsupported"),
            "(95 %)": _share_ends("unsupported"),
            "people": _share("unsupported_reference"),
            "copied": _share("copied_4grams"),
            "> half": _share("copied_over_half"),
        },
        "knowledge_f1",
    ),
)
COMPARED: Mapping[str, Cell] = {
    "weights": _weights,
    "perplexity": _number("perplexity", ".2f"),
    "bits/byte": _number("bits_per_byte", ".3f"),
    "gain": _share("gain"),
    "F1": _number("f1", ".1f"),
    "relevance": _number("relevance", ".2f"),
    "dist-2": _number("distinct_2", ".2f"),
}
