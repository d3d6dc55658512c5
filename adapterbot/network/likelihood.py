"""Cross-entropy of replies: what training takes its gradient of, and what perplexity and bits per byte are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from adapterbot.network.adapters import BatchAdapters
from adapterbot.network.backbone import Backbone
from adapterbot.network.frozen_head import head_nats
from adapterbot.network.tree import Tree, TreeBatch, merge
from adapterbot.network.trunk import Trunk, final_states, trunk_of
from adapterbot.turn import Prompt

TOKENS_PER_BATCH = 6000

Row = TypeVar("Row", Prompt, Tree)
Trunks = Callable[[TreeBatch], Trunk]


def reply_nats(backbone: Backbone, adapters: BatchAdapters | None, rows: Sequence[Prompt]) -> Tensor:
    """Cross-entropy in nats at every label of the rows, one row after the other: [labels]."""
    whole = adapters is None or not adapters.replies_only  # where none acts, any utterance may have labels
    return tree_nats(backbone, adapters, [merge([row], whole) for row in rows])


def tree_nats(
    backbone: Backbone,
    adapters: BatchAdapters | None,
    trees: Sequence[Tree],
    trunks: Trunks | None = None,
) -> Tensor:
    """Cross-entropy in nats at every label of the trees, one after the other: [labels].

    `adapters` act on the tokens of the replies; `trunks` know what lies below them, which runs without gradients.
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


@torch.inference_mode()
def mean_logprob(backbone: Backbone, adapters: BatchAdapters | None, row: Prompt) -> float:
    """The mean log-probability of a row's labels: what a draft's is, were they sampled."""
    return -float(reply_nats(backbone, adapters, [row]).mean())


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
