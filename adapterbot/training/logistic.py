"""Linear classifiers: multinomial logistic regression, and one over sentence vectors that tells a text's label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.manager.encoder import Encoder, minilm

STEPS = 400
RATE = 0.02
DECAY = 1e-3
Pairs = Sequence[tuple[str, str]]


def fit_linear(rows: Tensor, wanted: Tensor, labels: int, seed: int) -> Tensor:
    """Multinomial logistic regression by full-batch AdamW: rows [N, d] -> weight [labels, d + 1], the bias last."""
    torch.manual_seed(seed)
    weight = torch.zeros(labels, rows.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], lr=RATE, weight_decay=DECAY)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        loss = F.cross_entropy(rows @ weight[:, :-1].T + weight[:, -1], wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weight.detach()


@dataclass(frozen=True, slots=True)
class TextClassifier:
    """Tells the label of a text: `weight` [labels, w + 1] over the encoder's vectors."""

    encoder: Encoder
    labels: tuple[str, ...]
    weight: Tensor

    @classmethod
    def learnt(cls, encoder: Encoder, pairs: Pairs, labels: Sequence[str] = (), seed: int = 0) -> TextClassifier:
        """One that learnt from (text, label) pairs; `labels` gives them an order, else they are sorted."""
        names = tuple(labels) or tuple(sorted({label for _, label in pairs}))
        rows = encoder.encode([text for text, _ in pairs]).clone()  # out of inference mode
        wanted = torch.tensor([names.index(label) for _, label in pairs])
        return cls(encoder, names, fit_linear(rows, wanted, len(names), seed))

    @torch.inference_mode()
    def log_probs(self, texts: Sequence[str]) -> Tensor:
        """Log-probability of each label: [N, labels]."""
        return F.log_softmax(self.encoder.encode(list(texts)) @ self.weight[:, :-1].T + self.weight[:, -1], dim=-1)

    def guess(self, texts: Sequence[str]) -> list[str]:
        """The likeliest label of each text."""
        return [self.labels[i] for i in self.log_probs(texts).argmax(-1).tolist()]


def by_meaning(pairs: Pairs, label: str, texts: Sequence[str]) -> list[float]:
    """How `data.corpora.styles` judges by more than words: how likely each text has `label`, for one who learnt from
    `pairs`, as log-probabilities."""
    judge = TextClassifier.learnt(minilm(), pairs)
    return judge.log_probs(texts)[:, judge.labels.index(label)].tolist()
