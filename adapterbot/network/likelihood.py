"""Cross-entropy of replies: what training takes its gradient of, and what perplexity and bits per byte are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.network.adapters.residual import Residual
from adapterbot.network.backbone import Backbone, pad_right
from adapterbot.network.tokenizer import IGNORE
from adapterbot.turn import Prompt

TOKENS_PER_BATCH = 6000


def reply_nats(backbone: Backbone, adapters: Residual | None, rows: Sequence[Prompt]) -> Tensor:
    """Cross-entropy in nats at every label of the rows, one row after the other: [labels].

    Blocks below the adapters' `first_layer` run without gradients.
    """
    decoder = backbone.decoder
    device = backbone.decoder.wte.weight.device
    ids, _ = pad_right([row.ids for row in rows], backbone.tokenizer.separator, backbone.positions)  # [B, T]
    labels = torch.full_like(ids, IGNORE)
    for i, row in enumerate(rows):
        labels[i, : len(row.labels)] = torch.tensor(row.labels)
    ids, labels = ids.to(device), labels.to(device)
    first = adapters.first_layer if adapters else 0
    with torch.no_grad():
        trunk = decoder.trunk(ids, first)
    hidden = decoder.finish(trunk, first, adapters)[:, :-1]  # [B, T-1, d]
    wanted = labels[:, 1:] != IGNORE
    logits = decoder.logits(hidden[wanted])
    labels = labels[:, 1:][wanted]
    longest = max(row.facts for row in rows)
    if adapters is None or adapters.copy is None or not longest:
        return F.cross_entropy(logits.float(), labels, reduction="none")
    embedded = decoder.wte(ids[:, :-1])
    said = ids[:, :longest]
    capitals = backbone.capitals.to(device)[said]
    source = adapters.copy.read(hidden[:, :longest], embedded[:, :longest], said, capitals, [r.facts for r in rows])
    plain, capital = adapters.copy.attend(hidden, embedded, source)
    where = wanted.nonzero()[:, 0]  # [labels] the row that each stands in
    return adapters.copy.nats(logits, labels, plain[wanted], capital[wanted], said[where], capitals[where])


def perplexity(backbone: Backbone, adapters: Residual | None, rows: Sequence[Prompt]) -> float:
    """exp of the mean cross-entropy per reply token (the closing separator counts), in float32."""
    return perplexity_of(*total_nats(backbone, adapters, rows))


@torch.inference_mode()
def total_nats(backbone: Backbone, adapters: Residual | None, rows: Sequence[Prompt]) -> tuple[float, int]:
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


def _batches(rows: Sequence[Prompt]) -> list[list[Prompt]]:
    """Rows of like length together, each batch of about TOKENS_PER_BATCH."""
    grouped: list[list[Prompt]] = []
    for row in sorted(rows, key=lambda r: len(r.ids)):
        if not grouped or len(grouped[-1]) * len(row.ids) >= TOKENS_PER_BATCH:
            grouped.append([])
        grouped[-1].append(row)
    return grouped
