"""A skill's README.md, written from what its training measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapterbot.data.corpora import reader
from adapterbot.home import written_by_rename
from adapterbot.network.backbone import Backbone
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.card_figures import BEGIN, END, table

CARD = """# {name}

{summary}

| | |
|---|---|
| adapter | {kind}, bottleneck {bottleneck}, from layer {first} |
| parameters | {parameters:,} ({share:.1%} of the backbone's) |
| backbone | `{backbone}`, fingerprint `{fingerprint}` |
| trained on | {origin}; {epochs} epochs |
| licence of the data | {licence} |
| perplexity on validation replies | {before:.2f} before, **{after:.2f}** after |

Made by `adapterbot train-skill {name}`.

{begin}
{judged}
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
    "unsupported": ("replies with an unsupported value", "{:.1%}"),
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
    said = "\n".join(f"- *{message}*\n  {reply}" for message, reply in replies)
    failures = "\n".join(f"- {limit}" for limit in spec.limits)
    return "\n\n".join(
        [
            f"Unedited replies to messages that stand in its skill.toml:\n\n{said}",
            *([f"Known failures:\n\n{failures}"] if failures else []),
            "## Figures",
            table(rows) if rows else f"Not evaluated since it was trained: `adapterbot evaluate {spec.name}`.",
        ]
    )


def write_card(trained: Trained, spec: SkillSpec, backbone: Backbone) -> None:
    """Write README.md beside the adapter, by rename."""
    module = reader(spec.data.corpus) if "corpus" in trained.origin else None
    assert spec.adapter is not None
    shape = spec.adapter
    copying = f", and a copy head (attention of width {shape.copying})" if shape.copying else ""
    text = CARD.format(
        name=spec.name,
        summary=spec.summary,
        kind=shape.type,
        bottleneck=shape.bottleneck,
        first=f"{shape.first_layer}{copying}",
        parameters=trained.parameters,
        share=trained.share,
        backbone=backbone.name,
        fingerprint=backbone.fingerprint[:16],
        origin=trained.origin,
        epochs=trained.epochs,
        before=trained.before,
        after=trained.after,
        licence=module.LICENCE if module else "that of the dialogues given",
        begin=BEGIN,
        judged=card_figures(spec, trained.replies, {}),
        end=END,
    )
    with written_by_rename(trained.folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training did: perplexities on the validation replies without and with the adapter, and sample replies."""

    skill: str
    folder: Path
    before: float
    after: float
    parameters: int
    share: float
    epochs: int
    tokens_per_second: float
    replies: tuple[tuple[str, str], ...] = field(default=())
    origin: str = ""
    resumed_at: int = 0


def own_messages(spec: SkillSpec) -> tuple[str, ...]:
    """A few messages of the spec's own, which its card answers."""
    return spec.routing.examples[:5] or ("Hello!", "How are you today?", "Tell me more.")
