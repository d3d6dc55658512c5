"""Prompts with their replies, of which those that begin alike share the beginning: a tree of tokens.

A dialogue whose replies are all learnt is one tree: its turns are computed once, and each reply, with facts of its own
before it, is a branch. A token sees what stands on the way from the root to it, at the same positions as in a chat.
B trees, T tokens, P and R those of the longest prompts and replies, N labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapterbot.network.architectures.cache import Packing
from adapterbot.network.tokenizer import IGNORE
from adapterbot.turn import Prompt

Numbers = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Tree:
    """The first `prompts` tokens are those on which no adapter acts; the others are the replies'.

    `at` are the tokens after which the labels come, counted from the first of the replies'.
    """

    ids: Numbers  # [T]
    parents: Numbers  # [T]; -1 for a root
    positions: Numbers  # [T]
    prompts: int
    at: Numbers  # [N]
    labels: Numbers  # [N]
    tokens: int  # of the conversation: those that are prompt and reply are counted once

    @property
    def replies(self) -> int:
        """How many tokens an adapter acts on."""
        return len(self.ids) - self.prompts

    def seen(self) -> NDArray[np.bool_]:
        """Which tokens each token sees [T, T]: itself and those on the way to it."""
        seen = np.eye(len(self.ids), dtype=np.bool_)
        for i in np.argsort(self.positions, kind="stable"):  # a parent comes before its children
            if self.parents[i] >= 0:
                seen[i] |= seen[self.parents[i]]
        return seen


def merge(rows: Sequence[Prompt], whole: bool) -> Tree:
    """The tree of these rows, whose labels keep their order.

    `whole`: adapters act on all tokens; else only on those from `Prompt.reply` on. Tokens after the last label of a row
    are left out.
    """
    children: dict[tuple[int, int, bool], int] = {}
    nodes: list[tuple[int, int, int, bool]] = []  # id, parent, position, whether adapters act on it
    ends: list[tuple[int, int]] = []  # a node, and the label that comes after it
    paths: dict[tuple[int, int], int] = {}  # of the conversation, whether adapters act or not
    for row in rows:
        learnt = [i for i, label in enumerate(row.labels) if label != IGNORE and i > 0]
        node = said = -1
        for position, token in enumerate(row.ids[: learnt[-1]] if learnt else ()):
            acts = whole or position >= row.reply
            key = (node, token, acts)
            if key not in children:
                children[key] = len(nodes)
                nodes.append((token, node, position, acts))
            node = children[key]
            said = paths.setdefault((said, token), len(paths))
            if row.labels[position + 1] != IGNORE:
                ends.append((node, row.labels[position + 1]))
    order = sorted(range(len(nodes)), key=lambda i: nodes[i][3])  # the prompts' first
    place = {old: new for new, old in enumerate(order)} | {-1: -1}
    prompts = sum(not acts for *_, acts in nodes)
    return Tree(
        ids=np.array([nodes[i][0] for i in order], np.int32),
        parents=np.array([place[nodes[i][1]] for i in order], np.int32),
        positions=np.array([nodes[i][2] for i in order], np.int32),
        prompts=prompts,
        at=np.array([place[node] - prompts for node, _ in ends], np.int32),
        labels=np.array([label for _, label in ends], np.int32),
        tokens=len(paths),
    )


class TreeBatch:
    """Trees side by side: all tokens of their prompts as one sequence, and after it all tokens of their replies.

    `seen` is 0 or -inf, as it is added to the scores of attention, over rows of which each holds the prompts' tokens of
    a tree and then those of its replies, both padded at the right.
    """

    def __init__(self, trees: Sequence[Tree], device: torch.device, dtype: torch.dtype) -> None:
        self.trees = trees
        self.rows = (max(tree.prompts for tree in trees), max(tree.replies for tree in trees))  # P and R
        self.prompts = sum(tree.prompts for tree in trees)  # tokens in all
        self._device = device
        ids = [tree.ids[: tree.prompts] for tree in trees] + [tree.ids[tree.prompts :] for tree in trees]
        self.ids = self._tensor(np.concatenate(ids))[None]  # [1, N]
        positions = [t.positions[: t.prompts] for t in trees] + [t.positions[t.prompts :] for t in trees]
        self.positions = self._tensor(np.concatenate(positions))[None]
        self.labels = self._tensor(np.concatenate([tree.labels for tree in trees]))
        starts = np.cumsum([0, *(tree.replies for tree in trees)])
        self.at = self._tensor(np.concatenate([s + t.at for s, t in zip(starts, trees, strict=False)]))
        p, size = self.rows[0], sum(self.rows)
        seen = np.zeros((len(trees), size, size), np.bool_)
        seen[:, np.arange(size), np.arange(size)] = True  # what nothing sees sees itself: no row without a score
        for b, tree in enumerate(trees):
            parts = slice(0, tree.prompts), slice(p, p + tree.replies)
            own = tree.seen()
            cuts = slice(0, tree.prompts), slice(tree.prompts, None)
            for there, here in zip(parts, cuts, strict=True):
                for column, of in zip(parts, cuts, strict=True):
                    seen[b, there, column] = own[here, of]
        added = torch.zeros(seen.shape, device=device, dtype=dtype)
        self.seen = added.masked_fill_(torch.from_numpy(~seen).to(device), -torch.inf)[:, None]

    def packing(self, prompts: bool, replies: bool) -> Packing:
        """Where the tokens of prompts or replies, or of both, stand in rows."""
        sizes = [(tree.prompts, tree.replies) for tree in self.trees]
        kept = [part for part, wanted in enumerate((prompts, replies)) if wanted]
        lengths = torch.tensor([[size[part] for part in kept] for size in sizes])  # [B, parts]
        before = lengths.T.flatten().cumsum(0).roll(1)
        before[0] = 0
        starts = before.view(len(kept), -1)  # [parts, B]
        places, real = [], []
        for i, part in enumerate(kept):
            column = torch.arange(self.rows[part])
            places.append(starts[i][:, None] + column)
            real.append(column < lengths[:, i, None])
        return Packing(torch.cat(places, 1).to(self._device), torch.cat(real, 1).to(self._device))

    def _tensor(self, numbers: NDArray[np.integer[Any]]) -> Tensor:
        return torch.from_numpy(numbers.astype(np.int64)).to(self._device)
