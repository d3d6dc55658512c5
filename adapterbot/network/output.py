"""From final hidden states to what is said of the next token, adapters included.

B rows, T positions, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
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


CHUNK = 256  # positions whose logits are there at once


class _HeadNats(torch.autograd.Function):
    """Cross-entropy of labels under a frozen head, whose logits are never there all at once.

    The gradient is made beside the loss, while the logits of a chunk are at hand.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, labels: Tensor, logits_of: Callable[[Tensor], Tensor]) -> Tensor:
        """hidden [N, d], labels [N] -> nats [N]."""
        nats, slopes = [], []
        for states, wanted in zip(hidden.split(CHUNK), labels.split(CHUNK), strict=True):
            with torch.enable_grad():
                states = states.detach().requires_grad_(ctx.needs_input_grad[0])
                logits = logits_of(states)  # [n, V]
            logprobs = torch.log_softmax(logits.detach(), -1, dtype=torch.float32)
            nats.append(-logprobs.gather(1, wanted[:, None])[:, 0])
            if ctx.needs_input_grad[0]:
                slope = logprobs.exp_()
                slope[torch.arange(len(wanted)), wanted] -= 1
                slopes.append(torch.autograd.grad(logits, states, slope.to(logits.dtype))[0])
        if slopes:
            ctx.save_for_backward(torch.cat(slopes))
        return torch.cat(nats)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Of the hidden states."""
        (slopes,) = ctx.saved_tensors
        return (slopes.float() * gradients[0][:, None]).to(slopes.dtype), None, None


head_nats: Callable[[Tensor, Tensor, Callable[[Tensor], Tensor]], Tensor] = _HeadNats.apply


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
