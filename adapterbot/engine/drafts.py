"""5 · What is to be seen of drafts: of one that has ended, and of those that grow."""

from __future__ import annotations

from collections.abc import Sequence

from adapterbot.engine.request import Sample
from adapterbot.network.backbone import Backbone
from adapterbot.turn import Draft


def draft(backbone: Backbone, grown: Sample) -> Draft:
    """A finished sample as a Draft."""
    text = backbone.tokenizer.decode(grown.ids).strip()
    return Draft(text, grown.logprob / max(grown.steps, 1), len(grown.ids), grown.finished)


def agreed_text(backbone: Backbone, drafts: Sequence[Sample]) -> str:
    """What all drafts of a request begin with, since they agreed; the last word may go on, half a character waits."""
    first = drafts[0]
    ids = settled(backbone, first.ids[: first.agreed])
    return backbone.tokenizer.decode(ids).strip().rstrip("\ufffd").rstrip()


def settled(backbone: Backbone, ids: Sequence[int]) -> Sequence[int]:
    """The ids without the single bytes at their end, which may read otherwise once there are more of them."""
    end = len(ids)
    while end and backbone.tokenizer.is_byte(ids[end - 1]):
        end -= 1
    return ids[:end]


def pieces(backbone: Backbone, grown: Sample, shown: str) -> str:
    """What can be shown of a growing sample beyond `shown`; incomplete characters and a space at the end wait."""
    text = backbone.tokenizer.decode(grown.ids if grown.done else settled(backbone, grown.ids)).strip()
    if not grown.done:
        text = text.rstrip("\ufffd").rstrip()
    return text[len(shown) :] if text.startswith(shown) else ""
