"""Elastic weight consolidation: the Fisher information, and penalties of several skills kept as one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterbot.training.ewc import Consolidation, diagonal_fisher


class Softmax(nn.Module):
    """Logits are the weights: the gradient of a label's negative log-likelihood is p - onehot."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def nats(self, labels: list[int]) -> tuple[Tensor, int]:
        """Of a reply of these labels."""
        return F.cross_entropy(self.logits.expand(len(labels), -1), torch.tensor(labels), reduction="sum"), len(labels)


def test_fisher_is_the_squared_gradient_of_each_reply_by_token() -> None:
    model = Softmax([0.1, 0.7, -0.4])
    p = model.logits.detach().softmax(0)
    replies = [[0], [1, 1], [2, 0, 1]]
    wanted = torch.zeros(3)
    for labels in replies:
        gradient = sum(p - F.one_hot(torch.tensor(label), 3) for label in labels)
        wanted += gradient**2
    found = diagonal_fisher(model, replies, model.nats)["logits"]
    torch.testing.assert_close(found, wanted / 6)
    assert model.logits.grad is None


def test_penalties_of_several_skills_have_the_gradient_of_their_sum() -> None:
    draw = torch.Generator().manual_seed(0)
    fishers = [torch.rand(5, generator=draw) for _ in range(3)]
    fishers[0][2] = fishers[1][2] = fishers[2][2] = 0.0  # a weight that no skill needs
    learner = Softmax([0.0] * 5)
    kept = Consolidation(strength=3.0)
    assert kept.penalty(learner) == 0
    centres = []
    for fisher in fishers:
        with torch.no_grad():
            learner.logits.copy_(torch.randn(5, generator=draw))
        centres.append(learner.logits.detach().clone())
        kept.remember(learner, {"logits": fisher})
    with torch.no_grad():
        learner.logits.copy_(torch.randn(5, generator=draw))
    penalty = kept.penalty(learner)
    assert isinstance(penalty, Tensor)
    penalty.backward()
    wanted = sum(3.0 * f * (learner.logits.detach() - c) for f, c in zip(fishers, centres, strict=True))
    torch.testing.assert_close(learner.logits.grad, wanted)
    assert learner.logits.grad is not None
    assert learner.logits.grad[2] == 0


def test_the_penalty_of_one_skill_is_that_of_the_paper() -> None:
    learner = Softmax([1.0, 2.0])
    kept = Consolidation(strength=4.0)
    kept.remember(learner, {"logits": torch.tensor([0.5, 0.25])})
    assert torch.as_tensor(kept.penalty(learner)).item() == 0
    with torch.no_grad():
        learner.logits.add_(torch.tensor([2.0, -1.0]))
    assert torch.as_tensor(kept.penalty(learner)).item() == pytest.approx(4 / 2 * (0.5 * 4 + 0.25 * 1))


def test_what_matters_is_held_while_another_thing_is_learnt() -> None:
    learner = Softmax([0.0, 0.0])
    kept = Consolidation(strength=1.0)
    kept.remember(learner, {"logits": torch.tensor([100.0, 0.0])})
    optimizer = torch.optim.SGD(learner.parameters(), 0.01)
    for _ in range(200):
        optimizer.zero_grad()
        loss = (learner.logits - 1.0).square().sum() + kept.penalty(learner)
        loss.backward()
        optimizer.step()
    first, second = learner.logits.tolist()
    assert first < 0.05
    assert second > 0.9
