"""What an adapter learns from and is scored on, in the form in which its loss is cheapest.

Trees of tokens, over trunks that are computed once; or single rows for a copy head, which reads the facts of a row.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from adapterbot.network.adapters import BatchAdapters
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.backbone import Backbone
from adapterbot.network.device import mixed_precision
from adapterbot.network.likelihood import perplexity_of, reply_nats, total_nats, total_tree_nats, tree_nats
from adapterbot.network.tokenizer import IGNORE
from adapterbot.spec.tables import AdapterTable, SkillSpec
from adapterbot.training.corpus import Corpus
from adapterbot.training.trunk_store import TrunkStore
from adapterbot.training.windows import training_rows, training_trees, validation_rows, validation_trees
from adapterbot.turn import Prompt

REPORT_REPLIES = 300  # scored before and after for the report


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


class Objective(ABC):
    """Training and validation rows, and the loss of some of them."""

    train: Sequence[Any]
    valid: Sequence[Any]

    def __init__(self, backbone: Backbone, adapter: Adapter) -> None:
        self.backbone = backbone
        self.adapter = adapter

    @property
    def adapters(self) -> BatchAdapters:
        """The adapter as the decoder's argument."""
        return self.adapter.adapters(self.backbone.dtype)

    @abstractmethod
    def loss(self, batch: Sequence[Any]) -> Tensor:
        """Mean nats per reply token of some rows, with gradients in the adapter's weights."""

    @abstractmethod
    def score(self, adapters: BatchAdapters | None, rows: Sequence[Any]) -> Scores:
        """How likely the replies of some rows are by these adapters, or by the backbone alone."""

    @abstractmethod
    def tokens(self, rows: Sequence[Any]) -> tuple[int, int]:
        """How many tokens rows have, and how many of them are learnt."""

    def bytes_of(self, labels: Sequence[int]) -> int:
        """Bytes of the text of learnt tokens; an end of a reply is one."""
        separator = self.backbone.tokenizer.separator
        return len(self.backbone.tokenizer.decode(labels).encode()) + sum(i == separator for i in labels)


class TreesOfReplies(Objective):
    """Dialogues as trees."""

    def __init__(
        self,
        spec: SkillSpec,
        backbone: Backbone,
        adapter: Adapter,
        corpus: Corpus,
        seed: int,
        folder: Path,
        epochs: int,
    ) -> None:
        super().__init__(backbone, adapter)
        tokenizer, positions = backbone.tokenizer, backbone.positions
        self.train = training_trees(corpus, spec, tokenizer, positions, seed)
        self.valid = validation_trees(corpus.valid, spec, tokenizer, positions, REPORT_REPLIES)
        first = (spec.adapter or AdapterTable()).first_block(backbone.shape.layers)
        again = [*self.valid, *(self.train if epochs > 1 else ())]  # what is computed more often than once
        self.trunks = TrunkStore(folder / "trunks", backbone, again, first)

    def loss(self, batch: Sequence[Any]) -> Tensor:
        """The labels of trees."""
        return tree_nats(self.backbone, self.adapters, batch, self.trunks).mean()

    def score(self, adapters: BatchAdapters | None, rows: Sequence[Any]) -> Scores:
        """The labels of trees."""
        nats, count = total_tree_nats(self.backbone, adapters, rows, self.trunks)
        return Scores(nats, count, sum(self.bytes_of(tree.labels.tolist()) for tree in rows))

    def tokens(self, rows: Sequence[Any]) -> tuple[int, int]:
        """A token of several replies' history counts once."""
        return sum(tree.tokens for tree in rows), sum(len(tree.labels) for tree in rows)


class RowsOfReplies(Objective):
    """Windows of dialogues as rows."""

    def __init__(self, spec: SkillSpec, backbone: Backbone, adapter: Adapter, corpus: Corpus, seed: int) -> None:
        super().__init__(backbone, adapter)
        tokenizer, positions = backbone.tokenizer, backbone.positions
        self.train = training_rows(corpus, spec, tokenizer, positions, seed)
        self.valid = validation_rows(corpus.valid, spec, tokenizer, positions, REPORT_REPLIES)

    def loss(self, batch: Sequence[Any]) -> Tensor:
        """The labels of rows."""
        return reply_loss(self.backbone, self.adapter, batch)

    def score(self, adapters: BatchAdapters | None, rows: Sequence[Any]) -> Scores:
        """The labels of rows."""
        nats, count = total_nats(self.backbone, adapters, rows)
        return Scores(nats, count, sum(self.bytes_of([i for i in row.labels if i != IGNORE]) for row in rows))

    def tokens(self, rows: Sequence[Any]) -> tuple[int, int]:
        """Of every row."""
        return sum(len(row.ids) for row in rows), sum(label != IGNORE for row in rows for label in row.labels)


def reply_loss(backbone: Backbone, adapter: Adapter, batch: Sequence[Prompt]) -> Tensor:
    """Mean cross-entropy over the labels of rows."""
    with mixed_precision():
        return reply_nats(backbone, adapter.adapters(backbone.dtype), batch).mean()


def objective(
    spec: SkillSpec, backbone: Backbone, adapter: Adapter, corpus: Corpus, seed: int, folder: Path, epochs: int
) -> Objective:
    """The objective of a skill's training of so many epochs; what it keeps on disk lies in `folder`."""
    if spec.adapter is not None and spec.adapter.copying:
        return RowsOfReplies(spec, backbone, adapter, corpus, seed)
    return TreesOfReplies(spec, backbone, adapter, corpus, seed, folder, epochs)
