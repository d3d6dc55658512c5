"""Cross-entropy under a head that does not learn, a chunk of positions at a time.

N labels, d width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

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
                logits = logits_of(states)  # [CHUNK, V]
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
