"""A skill's README.md, written from what its training measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapterbot.backbone import Backbone
from adapterbot.data.corpora import reader
from adapterbot.home import written_by_rename
from adapterbot.spec import SkillSpec

if TYPE_CHECKING:
    from adapterbot.training import Trained

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

Made by `adapterbot train-skill {name}`. Unedited replies to messages that stand in its skill.toml:

{replies}
"""


def write_card(trained: Trained, spec: SkillSpec, backbone: Backbone) -> None:
    """Write README.md beside the adapter, by rename."""
    module = reader(spec.data.corpus) if "corpus" in trained.origin else None
    assert spec.adapter is not None
    table = spec.adapter
    copying = f", and a copy head (attention of width {table.copying})" if table.copying else ""
    text = CARD.format(
        name=spec.name,
        summary=spec.summary,
        kind=table.type,
        bottleneck=table.bottleneck,
        first=f"{table.first_layer}{copying}",
        parameters=trained.parameters,
        share=trained.share,
        backbone=backbone.name,
        fingerprint=backbone.fingerprint[:16],
        origin=trained.origin,
        epochs=trained.epochs,
        before=trained.before,
        after=trained.after,
        licence=module.LICENCE if module else "that of the dialogues given",
        replies="\n".join(f"- *{message}*\n  {reply}" for message, reply in trained.replies),
    )
    with written_by_rename(trained.folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
