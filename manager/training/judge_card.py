"""2 · The card (judge.md) that stands beside a trained judge: what it is, how good it is, what it learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from adapterbot.home import written_by_rename
from adapterbot.manager.judge import CONTRADICTS, ENTAILS, Judge

CARD = "judge.md"
# Licences of the sets that its makers learnt from.
LICENCES = {
    "begin": "CC BY 4.0; parts from Topical-Chat: CDLA-Sharing 1.0",
    "climate_fever": "not stated",
    "commitmentbank": "not stated",
    "conjnli": "MIT",
    "covidfact": "not stated",
    "dnli": "repository: MIT",
    "fever_dev": "not stated",
    "healthver": "not stated",
    "infotabs": "Apache 2.0",
    "mctest": "MSR licence",
    "med": "CC BY-SA 4.0",
    "negation_nli": "MIT",
    "prosecco": "CC BY-SA 4.0",
    "rte": "not stated",
    "scifact": "not stated",
    "sick": "CC BY-NC-SA 3.0",
    "tabfact": "repository: MIT (texts: Wikipedia)",
    "wice": "annotations ODC-BY; texts CC BY-SA and Common Crawl terms",
}


def write_card(judge: Judge, learnt: Mapping[str, int], out: Path) -> None:
    """Write the card into `out`; `learnt` are the sets that were learnt from and how many pairs each has."""
    with written_by_rename(out / CARD) as temporary:
        temporary.write_text(judge_card(judge, learnt), encoding="utf-8")


def judge_card(judge: Judge, learnt: Mapping[str, int]) -> str:
    """The card's Markdown."""
    settings = judge.settings
    rows = [
        f"| {name} | {of['pairs']:.0f} | {of['accuracy']:.1%} | {of['macro_f1']:.3f} | {of['majority']:.1%} | "
        f"{of['said']:.0%} | {of['right']:.0%} |"
        for name, of in settings.metrics.items()
    ]
    lines = [
        "# Judge",
        "",
        "Tells whether a statement follows from a text, contradicts it, or neither. It reads both side by side:",
        f"MiniLM with a low-rank update of its blocks from number {settings.first + 1} on (rank {settings.rank}),",
        "and a linear head. Written by `adapterbot train-judge`; it holds the drafts of `persona` to the persona.",
        "",
        "| validation pairs of | pairs | accuracy | macro-F1 | commonest label | said | right of these |",
        "|" + " --- |" * 7,
        *rows,
        "",
        "Accuracy and macro-F1 are of the likeliest of the labels that a set tells apart. Said are pairs that it",
        f"is sure are entailed (from a probability of {settings.thresholds[ENTAILS]:.2f} on) or contradicted (from",
        f"{settings.thresholds[CONTRADICTS]:.2f} on); these thresholds and the temperature,",
        f"{settings.temperature:.2f}, were chosen on some of the same pairs. It is measured anew by",
        "`adapterbot evaluate entailment --data FOLDER`.",
        "",
        "## Learnt from",
        "",
        *[f"- {name} ({LICENCES.get(name, 'see its source')}): {count:,} pairs" for name, count in learnt.items()],
        "- more pairs by rule: numbers, negation, reports, doubt, other topics; what people say of themselves,",
        "  asked and answered (our own forms)",
        "",
        "Some of these sets are non-commercial: treat the weights in this folder as CC BY-NC 4.0.",
        "",
        "## Limits",
        "",
        "English only. The first 160 tokens of a text and 64 of a statement are read. It is a small reader: where",
        "knowledge of the world decides, or what several cells of a table add up to, it is little better than the",
        "commonest label.",
        "",
    ]
    return "\n".join(lines)
