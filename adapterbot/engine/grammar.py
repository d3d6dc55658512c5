"""5 · Writing under a grammar: the likeliest token that keeps the text a beginning of something that is allowed.

The grammar is asked of texts and not of tokens, so that it knows nothing of a vocabulary. Only the likeliest tokens are
tried: a trained adapter's first is allowed almost always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from adapterbot.engine.prefill import whole
from adapterbot.engine.request import Request
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone

TRIED = 256  # tokens at each step
LETTER = "é"  # what half a character may become


class Grammar(Protocol):
    """A set of texts."""

    def starts(self, text: str) -> bool:
        """Whether one of them begins like this."""
        ...

    def whole(self, text: str) -> bool:
        """Whether this is one of them."""
        ...


@torch.inference_mode()
def write(backbone: Backbone, bank: AdapterBank, request: Request, grammar: Grammar) -> str:
    """The text that `request` is answered with, greedily; empty where no allowed one was found in its tokens."""
    tokenizer = backbone.tokenizer
    limit = max(1, min(request.decode.max_tokens, backbone.positions - len(request.ids)))
    logits, cache = whole(backbone, bank, request, limit)
    adapters = bank.select([request.adapter])
    ids, text = list[int](), ""
    for _ in range(limit):
        order = logits[0].topk(min(TRIED, logits.shape[-1])).indices.tolist()
        token = _allowed(backbone, order, ids, text, grammar)
        if token is None:
            break
        if token == tokenizer.separator:
            return text
        ids.append(token)
        text = tokenizer.decode(ids)
        hidden = backbone.decoder(torch.tensor([[token]], device=backbone.device), adapters, cache)
        logits = backbone.decoder.logits(hidden[:, -1]).cpu()
    return text if grammar.whole(text) else ""


def _allowed(backbone: Backbone, order: Sequence[int], ids: list[int], text: str, grammar: Grammar) -> int | None:
    """The first token of `order` that may come next; the separator where the text may end."""
    tokenizer = backbone.tokenizer
    for token in order:
        if token == tokenizer.separator:
            if grammar.whole(text):
                return token
            continue
        longer = tokenizer.decode([*ids, token])
        # half a character stands for a letter, a control token adds nothing
        if longer != text and grammar.starts(longer.replace("\ufffd", LETTER)):
            return token
    return None
