"""A skill's README.md, written from what its training measured, and the figures between the marks of any card.

What stands between two marks is written by a command, the rest by people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from adapterbot.data.corpora import reader
from adapterbot.errors import DataError
from adapterbot.home import written_by_rename
from adapterbot.spec.tables import SkillSpec

BEGIN = "<!-- figures: `adapterbot build` writes from here -->"
END = "<!-- figures: to here -->"
CARD = """# {name}

{summary}

| | |
|---|---|
| adapter | {kind}, from {first} |
| parameters | {parameters:,} ({share:.1%} of the backbone's) |
| backbone | `{backbone}`, fingerprint `{fingerprint}` |
| trained on | {origin}; {epochs} epochs |
| licence of the data | {licence} |
| perplexity on validation replies | {before:.2f} before, **{after:.2f}** after |

Made by `adapterbot train-skill {name}`.

{begin}
{figures}
{end}
"""
SHOWN = {
    "replies": ("validation replies that it was judged on", "{:,.0f}"),
    "perplexity": ("perplexity", "{:.2f}"),
    "perplexity_backbone": ("perplexity of the bare backbone", "{:.2f}"),
    "bits_per_byte": ("bits per byte", "{:.3f}"),
    "f1": ("word F1", "{:.1f}"),
    "f1_constant": ("word F1 of the best constant reply", "{:.1f}"),
    "f1_copied_facts": ("word F1 of the facts read out", "{:.1f}"),
    "bleu": ("BLEU", "{:.2f}"),
    "rouge_l": ("Rouge-L", "{:.1f}"),
    "relevance": ("relevance (chance 0.05)", "{:.2f}"),
    "relevance_reference": ("relevance of people's replies", "{:.2f}"),
    "distinct_2": ("distinct-2", "{:.2f}"),
    "distinct_2_reference": ("distinct-2 of people's replies", "{:.2f}"),
    "knowledge_f1": ("word F1 of reply and facts", "{:.1f}"),
    "copied_4grams": ("4-grams of a fact copied in a row", "{:.0%}"),
    "unsupported": (
        "replies with a value that neither facts nor conversation hold, as far as the value check sees them "
        "(hand-labelled: `adapterbot evaluate grounding`)",
        "{:.1%}",
    ),
    "length_ratio": ("length against people's replies", "{:.2f}"),
    "style success, bare": ("replies in style, bare backbone", "{:.0%}"),
    "style success, 1 draft": ("replies in style, one draft", "{:.0%}"),
    "style success, 10 drafts": ("replies in style, best of ten drafts", "{:.0%}"),
}  # figure -> what it is called on a card, and its form


def card_figures(spec: SkillSpec, replies: Iterable[tuple[str, str]], figures: Mapping[str, Any]) -> str:
    """What stands between the marks of a card: replies to messages of the spec's own, known failures, and the figures
    of one skill in a report, with 95 % intervals in brackets."""
    rows = {}
    for name, (title, form) in SHOWN.items():
        if figures.get(name) is not None:
            ends = [form.format(figures[f"{name}_{end}"]) for end in ("low", "high") if f"{name}_{end}" in figures]
            rows[title] = form.format(figures[name]) + (f" ({' to '.join(ends)})" if ends else "")
    samples = "\n".join(f"- *{message}*\n  {reply}" for message, reply in replies)
    failures = "\n".join(f"- {limit}" for limit in spec.limits)
    return "\n\n".join(
        [
            f"Unedited replies to messages that stand in its skill.toml:\n\n{samples}",
            *([f"Known failures:\n\n{failures}"] if failures else []),
            "## Figures",
            table(rows) if rows else f"Not evaluated since it was trained: `adapterbot evaluate {spec.name}`.",
        ]
    )


def write_card(
    folder: Path, spec: SkillSpec, replies: Iterable[tuple[str, str]], *, origin: str, fingerprint: str, **measured: Any
) -> None:
    """Write README.md beside the adapter in `folder`, by rename.

    `measured` are the other fields of CARD: `parameters`, their `share` of the backbone's, the `backbone`'s name,
    `epochs`, and the perplexities `before` and `after`.
    """
    assert spec.adapter is not None
    adapter = spec.adapter
    module = reader(spec.data.corpus) if "corpus" in origin else None
    first = adapter.first_layer
    text = CARD.format(
        name=spec.name,
        summary=spec.summary,
        kind=adapter.told,
        first=f"layer {first}" if first >= 1 or not first else f"{first:.0%} of the layers",
        fingerprint=fingerprint[:16],
        origin=origin,
        licence=module.LICENCE if module else "that of the dialogues given",
        begin=BEGIN,
        figures=card_figures(spec, replies, {}),
        end=END,
        **measured,
    )
    with written_by_rename(folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


def figures_in(card: Path) -> str:
    """What stands between the marks of a card, empty when it has none or is not there."""
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return text.partition(BEGIN)[2].partition(END)[0]


def table(rows: Mapping[str, str]) -> str:
    """A Markdown table of two columns without a head."""
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())])


def fill(card: Path, title: str, figures: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Put Markdown between the marks of a card, by rename; a card without marks gets them at its end.

    Raises:
        DataError: the first mark stands without the second.
    """
    begin, end = marks
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {title}\n"
    if begin not in text:
        text = f"{text.rstrip()}\n\n{begin}\n{end}\n"
    before, _begin, rest = text.partition(begin)
    if end not in rest:
        raise DataError(f"{card}: {begin} stands without {end} after it; put that line where the figures end")
    with written_by_rename(card) as temporary:
        temporary.write_text(f"{before}{begin}\n{figures}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
