"""Cross-entropy of replies: what training takes its gradient of, and what perplexity and bits per byte are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from adapterbot.network.adapters import BatchAdapters
from adapterbot.network.architectures.cache import Layout
from adapterbot.network.backbone import Backbone, pad_right
from adapterbot.network.output import head_nats, label_nats, remember
from adapterbot.network.tokenizer import IGNORE
from adapterbot.network.tree import Tree, TreeBatch, merge
from adapterbot.network.trunk import Trunk, final_states, trunk_of
from adapterbot.turn import Prompt

TOKENS_PER_BATCH = 6000

Row = TypeVar("Row", Prompt, Tree)
Trunks = Callable[[TreeBatch], Trunk]


def reply_nats(backbone: Backbone, adapters: BatchAdapters | None, rows: Sequence[Prompt]) -> Tensor:
    """Cross-entropy in nats at every label of the rows, one row after the other: [labels].

    Blocks below the adapters' `first_layer` run without gradients.
    """
    if adapters is not None and adapters.replies_only:
        return tree_nats(backbone, adapters, [merge([row], whole=False) for row in rows])
    decoder = backbone.decoder
    ids, labels = label_batch(backbone, rows)  # [B, T]
    layout = Layout.of(ids)
    layers = decoder.shape.layers
    first = adapters.first_layer if adapters else 0
    with torch.no_grad():
        trunk = decoder.blocks(decoder.embed(ids, layout), range(first), layout)
    hidden = decoder.norm(decoder.blocks(trunk, range(first, layers), layout, adapters))
    memory = remember(backbone, adapters, ids, hidden, [row.facts for row in rows])
    at = labels[:, 1:] != IGNORE
    return label_nats(backbone, adapters, hidden[:, :-1], ids[:, :-1], labels[:, 1:][at], at, memory)


def tree_nats(
    backbone: Backbone,
    adapters: BatchAdapters | None,
    trees: Sequence[Tree],
    trunks: Trunks | None = None,
) -> Tensor:
    """Cross-entropy in nats at every label of the trees, one after the other: [labels].

    `adapters` act on the tokens of the replies; `trunks` know what lies below them.
    """
    batch = TreeBatch(trees, backbone.device, backbone.dtype)
    below = trunks(batch) if trunks else trunk_of(backbone, batch, adapters.first_layer if adapters else 0)
    hidden = final_states(backbone, adapters, batch, below)
    return head_nats(hidden, batch.labels, backbone.decoder.logits)


@torch.inference_mode()
def total_tree_nats(
    backbone: Backbone,
    adapters: BatchAdapters | None,
    trees: Sequence[Tree],
    trunks: Trunks | None = None,
) -> tuple[float, int]:
    """Cross-entropy summed over all labels of the trees, and how many they are."""
    total, count = 0.0, 0
    for batch in _batches(trees):
        nats = tree_nats(backbone, adapters, batch, trunks)
        total += float(nats.sum())
        count += len(nats)
    return total, count


def label_batch(backbone: Backbone, rows: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
    """ids and labels [B, T] of the rows, padded at the right, where the backbone is."""
    ids, _ = pad_right([row.ids for row in rows], backbone.tokenizer.separator, backbone.positions)
    labels = torch.full_like(ids, IGNORE)
    for i, row in enumerate(rows):
        labels[i, : len(row.labels)] = torch.tensor(row.labels)
    return ids.to(backbone.device), labels.to(backbone.device)


def perplexity(backbone: Backbone, adapters: BatchAdapters | None, rows: Sequence[Prompt]) -> float:
    """exp of the mean cross-entropy per reply token (the closing separator counts), in float32."""
    return perplexity_of(*total_nats(backbone, adapters, rows))


@torch.inference_mode()
def total_nats(backbone: Backbone, adapters: BatchAdapters | None, rows: Sequence[Prompt]) -> tuple[float, int]:
    """Cross-entropy summed over all labels, and how many they are."""
    total = 0.0
    count = 0
    for batch in _batches(rows):
        nats = reply_nats(backbone, adapters, batch)
        total += float(nats.sum())
        count += len(nats)
    return total, count


def perplexity_of(total: float, count: int) -> float:
    mean = total / max(count, 1)
    return math.exp(mean) if mean < 700 else math.inf  # exp(710) is beyond a float


def _batches(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of like length together, each batch of about TOKENS_PER_BATCH."""
    grouped: list[list[Row]] = []
    for row in sorted(rows, key=lambda r: len(r.ids)):
        if not grouped or len(grouped[-1]) * len(row.ids) >= TOKENS_PER_BATCH:
            grouped.append([])
        grouped[-1].append(row)
    return grouped
