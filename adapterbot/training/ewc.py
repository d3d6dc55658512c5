"""Elastic weight consolidation (Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting", equation 3).

To the loss of what is learnt now, for every skill before:

    λ/2 Σ_i F_i (θ_i - θ*_i)²

θ* are the weights after that skill and F the diagonal of its Fisher information. Sums of such penalties over skills are
kept as one: ΣF, and the centre Σ(F θ*) / ΣF, which has the same gradient (Huszár 2018, "Note on the quadratic penalties
in elastic weight consolidation"), so that memory does not grow with the skills.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

STRENGTH = 30.0  # λ: Laplace's approximation gives 1, where a diagonal alone holds little of what weights do together

Example = TypeVar("Example")


class Consolidation:
    """What is to be kept of skills learnt before: how much each weight matters, and where it should stay."""

    def __init__(self, strength: float = STRENGTH) -> None:
        self.strength = strength
        self.importance = dict[str, Tensor]()  # ΣF, by the names of parameters
        self.centre = dict[str, Tensor]()

    def remember(self, learner: nn.Module, fisher: Mapping[str, Tensor]) -> None:
        """Keep the learner's weights as they are now, each by its Fisher information."""
        for name, weight in learner.named_parameters():
            before, now = self.importance.get(name), fisher[name]
            if before is None:
                self.importance[name], self.centre[name] = now.clone(), weight.detach().clone()
                continue
            total = before + now
            self.centre[name].lerp_(weight.detach(), torch.where(total > 0, now / total, 0.0))
            self.importance[name] = total

    def penalty(self, learner: nn.Module) -> Tensor | float:
        """What is added to the loss, with gradients in the weights; 0 where nothing is kept yet."""
        total: Tensor | float = 0.0
        for name, weight in learner.named_parameters():
            if name in self.importance:
                total = total + (self.importance[name] * (weight - self.centre[name]).square()).sum()
        return self.strength / 2 * total


def diagonal_fisher(
    learner: nn.Module, examples: Iterable[Example], nats: Callable[[Example], tuple[Tensor, int]]
) -> dict[str, Tensor]:
    """The diagonal of the empirical Fisher information of a learner's weights, for each token of the replies.

    Squared gradients of each example's own log-likelihood, of the replies as they are in the data. `nats` gives an
    example's negative log-likelihood, summed over its tokens, and how many these are.
    """
    fisher = {name: torch.zeros_like(weight) for name, weight in learner.named_parameters()}
    tokens = 0
    for example in examples:
        learner.zero_grad(set_to_none=True)
        total, count = nats(example)
        total.backward()
        tokens += count
        for name, weight in learner.named_parameters():
            if weight.grad is not None:
                fisher[name].addcmul_(weight.grad, weight.grad)
    learner.zero_grad(set_to_none=True)
    return {name: squares / max(1, tokens) for name, squares in fisher.items()}
