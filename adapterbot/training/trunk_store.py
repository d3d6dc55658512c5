"""The trunks of trees on disk: what is computed without adapters is computed once, whatever the number of epochs.

One file of raw numbers, mapped into memory, in which every tree has its place, and one byte a tree beside it that says
whether its numbers are there. A kill leaves a store that can be gone on with.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adapterbot.network.architectures.cache import Layout
from adapterbot.network.backbone import Backbone
from adapterbot.network.tree import Tree, TreeBatch
from adapterbot.network.trunk import Trunk, trunk_of

LARGEST = 12 * 2**30  # bytes of one store
SHARE = 0.25  # of what is free on the disk, at most
NUMBERS, THERE = "numbers", "there"


class TrunkStore:
    """Trunks up to block `first` of the given trees.

    Those beyond `largest` bytes, and those of other trees, are computed whenever they are asked for.

    None is kept on a GPU, which computes them faster than a disk is read, or where the disk cannot be written.
    """

    def __init__(
        self, folder: Path, backbone: Backbone, trees: Sequence[Tree], first: int, largest: int = LARGEST
    ) -> None:
        self.backbone = backbone
        self.first = first
        shape = backbone.shape
        item = backbone.dtype.itemsize
        of_prompt = (shape.layers - first) * 2 * shape.kv_heads * shape.head_width * item
        of_reply = shape.width * item if first else 0
        sizes = [tree.prompts * of_prompt + tree.replies * of_reply for tree in trees]
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._index = {id(tree): i for i, tree in enumerate(trees)}
        self._trees = trees  # so that no other tree takes the identity of one of these
        try:
            folder.mkdir(parents=True, exist_ok=True)
            largest = min(largest, int(SHARE * shutil.disk_usage(folder).free) + _taken(folder / NUMBERS))
            self.kept = int((self._ends <= largest).sum()) if backbone.device.type == "cpu" else 0
            size = int(self._ends[self.kept - 1]) if self.kept else 0
            if size:
                self._numbers = torch.from_numpy(_mapped(folder / NUMBERS, size))
                self._there = _mapped(folder / THERE, len(trees))
            else:
                self.kept = 0
        except OSError:
            self.kept = 0

    def __call__(self, batch: TreeBatch) -> Trunk:
        """The trunk of a batch of trees."""
        places = [self._index.get(id(tree), self.kept) for tree in batch.trees]
        if max(places) >= self.kept:
            return trunk_of(self.backbone, batch, self.first)
        missing = [b for b, place in enumerate(places) if not self._there[place]]
        if len(missing) == len(places):
            trunk = trunk_of(self.backbone, batch, self.first)
            self._keep(batch, trunk)
            return trunk
        if missing:
            part = TreeBatch([batch.trees[b] for b in missing], self.backbone.device, self.backbone.dtype)
            self._keep(part, trunk_of(self.backbone, part, self.first))
        return self._read(batch, places)

    def _keep(self, batch: TreeBatch, trunk: Trunk) -> None:
        start = 0
        for b, tree in enumerate(batch.trees):
            place = self._index[id(tree)]
            kv, states = self._views(place)
            kv.copy_(trunk.kv[:, :, b, :, : tree.prompts])
            if states is not None:
                states.copy_(trunk.states[0, start : start + tree.replies])
            start += tree.replies
            self._there[place] = 1

    def _read(self, batch: TreeBatch, places: Sequence[int]) -> Trunk:
        shape, dtype = self.backbone.shape, self.backbone.dtype
        size = (shape.layers - self.first, 2, len(places), shape.kv_heads, batch.rows[0], shape.head_width)
        kv = torch.zeros(size, dtype=dtype)
        states = []
        for b, (tree, place) in enumerate(zip(batch.trees, places, strict=True)):
            own, entering = self._views(place)
            kv[:, :, b, :, : tree.prompts] = own
            if entering is not None:
                states.append(entering)
        if self.first:
            return Trunk(self.first, kv, torch.cat(states)[None])
        layout = Layout(batch.positions[:, batch.prompts :])
        return Trunk(self.first, kv, self.backbone.decoder.embed(batch.ids[:, batch.prompts :], layout))

    def _views(self, place: int) -> tuple[Tensor, Tensor | None]:
        """Keys and values [L - first, 2, K, P, w] and states [R, d] of a tree in the mapped file."""
        shape, tree = self.backbone.shape, self._trees[place]
        own = self._numbers[int(self._starts[place]) : int(self._ends[place])].view(self.backbone.dtype)
        size = (shape.layers - self.first, 2, shape.kv_heads, tree.prompts, shape.head_width)
        border = int(np.prod(size))
        return own[:border].view(size), own[border:].view(tree.replies, shape.width) if self.first else None


def _mapped(path: Path, size: int) -> np.memmap[tuple[int], np.dtype[np.uint8]]:
    """A file of this size mapped into memory; what was in it stays."""
    with path.open("ab") as stream:
        os.truncate(stream.fileno(), size)
    return np.memmap(path, np.uint8, "r+", shape=(size,))


def _taken(path: Path) -> int:
    """Bytes that a file takes on the disk."""
    try:
        return path.stat().st_blocks * 512
    except (OSError, AttributeError):
        return 0
