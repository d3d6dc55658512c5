"""What an adapter learns from and is scored on: trees of replies, over trunks that are computed once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from adapterbot.network.adapters import BatchAdapters
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.backbone import Backbone
from adapterbot.network.likelihood import Trunks, perplexity_of, total_tree_nats, tree_nats
from adapterbot.network.tokenizer import Tokenizer
from adapterbot.network.tree import Tree
from adapterbot.spec.tables import AdapterTable, SkillSpec
from adapterbot.training.trunk_store import TrunkStore
from adapterbot.training.workers import Workers


@dataclass(frozen=True, slots=True)
class Trees:
    """Conversations to learn and to validate on, and a hash over their texts: a checkpoint goes on with the same."""

    train: list[Tree]
    valid: list[Tree]
    digest: str


@dataclass(frozen=True, slots=True)
class Scores:
    """Likelihood of the validation replies."""

    nats: float
    tokens: int
    bytes: int  # of the replies' text, and one for the end of each

    @property
    def perplexity(self) -> float:
        """Per token, ends included."""
        return perplexity_of(self.nats, self.tokens)

    @property
    def bits_per_byte(self) -> float:
        """Comparable over vocabularies."""
        return self.nats / math.log(2) / max(self.bytes, 1)


class Objective:
    """Trees of training and of validation replies, and the loss of some of them.

    What it keeps on disk lies in `folder`.
    """

    def __init__(
        self,
        spec: SkillSpec,
        backbone: Backbone,
        adapter: Adapter,
        trees: Trees,
        folder: Path,
        epochs: int,
        workers: Workers | None = None,
    ) -> None:
        self.workers = workers or Workers()
        self.backbone = backbone
        self.adapter = adapter
        self.train, self.valid = trees.train, trees.valid
        first = (spec.adapter or AdapterTable()).first_block(backbone.shape.layers)
        again = [*self.valid, *(self.train if epochs > 1 else ())]  # what is computed more often than once
        place = "trunks" if self.workers.is_first else f"trunks{self.workers.index}"  # each process has its own
        self.trunks = TrunkStore(folder / place, backbone, again, first)

    @property
    def adapters(self) -> BatchAdapters:
        """The adapter as the decoder's argument."""
        return self.adapter.adapters(self.backbone.dtype)

    def loss(self, batch: Sequence[Tree]) -> Tensor:
        """Mean nats per reply token of some trees, with gradients in the adapter's weights."""
        return tree_nats(self.backbone, self.adapters, batch, self.trunks).mean()

    def score(self, adapters: BatchAdapters | None, trees: Sequence[Tree]) -> Scores:
        """How likely the replies of some trees are by these adapters, or by the backbone alone; each of the processes
        scores its share."""
        mine = self.workers.share(trees)
        scores = scores_of(self.backbone, adapters, mine, self.trunks) if mine else Scores(0.0, 0, 0)
        if self.workers.count == 1:
            return scores
        sums = torch.tensor([scores.nats, scores.tokens, scores.bytes], dtype=torch.float64)
        nats, tokens, size = self.workers.summed(sums).tolist()
        return Scores(nats, round(tokens), round(size))

    def tokens(self, trees: Sequence[Tree]) -> tuple[int, int]:
        """How many tokens trees have, and how many of them are learnt; one of several replies' history counts once."""
        return sum(tree.tokens for tree in trees), sum(len(tree.labels) for tree in trees)


def scores_of(
    backbone: Backbone, adapters: BatchAdapters | None, trees: Sequence[Tree], trunks: Trunks | None = None
) -> Scores:
    """How likely the replies of some trees are by these adapters, or by the backbone alone."""
    nats, count = total_tree_nats(backbone, adapters, trees, trunks)
    return Scores(nats, count, sum(_bytes_of(backbone.tokenizer, tree.labels.tolist()) for tree in trees))


def _bytes_of(tokenizer: Tokenizer, labels: Sequence[int]) -> int:
    """Bytes of the text of learnt tokens; an end of a reply is one."""
    return len(tokenizer.decode(labels).encode()) + sum(i == tokenizer.separator for i in labels)
