"""From final hidden states to what is said of the next token, adapters included.

B rows, T positions, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from adapterbot.network.adapters import BatchAdapters, Memory
from adapterbot.network.backbone import Backbone


def remember(
    backbone: Backbone, adapters: BatchAdapters | None, ids: Tensor, hidden: Tensor, facts: Sequence[int]
) -> Memory | None:
    """What the adapters' output needs of prompts ids [B, T] with final states hidden [B, T, d].

    The first `facts[b]` tokens of a row are those of its facts. None when nothing needs them, or there are none.
    """
    longest = max(facts)
    if adapters is None or adapters.output is None or not longest:
        return None
    kind, rows = adapters.output
    ids = ids[:, :longest]
    capitals = backbone.capitals.to(ids.device)[ids]
    return kind.read(hidden[:, :longest], backbone.decoder.token_embeddings(ids), ids, capitals, facts, rows)


def next_logits(
    backbone: Backbone, adapters: BatchAdapters | None, hidden: Tensor, ids: Tensor, memory: Memory | None
) -> Tensor:
    """Logits [B, T, V] of the tokens after ids [B, T], whose final states are hidden [B, T, d]."""
    logits = backbone.decoder.logits(hidden)
    if adapters is None or adapters.output is None or memory is None:
        return logits
    kind, rows = adapters.output
    return kind.output(logits, hidden, backbone.decoder.token_embeddings(ids), memory, rows)


def label_nats(
    backbone: Backbone,
    adapters: BatchAdapters | None,
    hidden: Tensor,
    ids: Tensor,
    labels: Tensor,
    at: Tensor,
    memory: Memory | None,
) -> Tensor:
    """Cross-entropy in nats [N] of the labels [N] of the positions where `at` [B, T] is true, row after row."""
    logits = backbone.decoder.logits(hidden[at])  # [N, V]
    if adapters is None or adapters.output is None or memory is None:
        return F.cross_entropy(logits.float(), labels, reduction="none")
    kind, rows = adapters.output
    return kind.nats(logits, labels, hidden, backbone.decoder.token_embeddings(ids), memory, at, rows)
