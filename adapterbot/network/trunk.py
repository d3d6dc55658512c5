"""What is computed of trees without adapters, and so once for all skills and epochs.

B trees, P tokens of the longest prompts, N of all replies, K heads of keys and values of width w, L layers, d width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from adapterbot.network.adapters import BatchAdapters
from adapterbot.network.architectures.cache import Layout
from adapterbot.network.backbone import Backbone
from adapterbot.network.tree import TreeBatch


@dataclass(frozen=True, slots=True)
class Trunk:
    """Keys and values of the prompts from block `first` on, and the states of the replies that enter it.

    As a cache it puts the prompts' keys and values before those of the replies.
    """

    first: int
    kv: Tensor  # [L - first, 2, B, K, P, w]
    states: Tensor  # [1, N, d]

    def append(self, layer: int, keys: Tensor, values: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Keys and values [B, K, R, w] of a layer of the replies; returns those of all P + R tokens."""
        kept = self.kv[layer - self.first]
        return (torch.cat([kept[0], keys], 2), torch.cat([kept[1], values], 2)) if kept.shape[3] else (keys, values)

    def append_beside(self, place: int, keys: Tensor, values: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Those of an adapter, as they are: one with attention of its own acts on all tokens, so that none is below."""
        return keys, values


class Recorder:
    """A cache that notes what each layer appends, and returns it as it is."""

    def __init__(self) -> None:
        self.kv: list[Tensor] = []

    def append(self, layer: int, keys: Tensor, values: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Keys and values [B, K, T, w] of a layer."""
        self.kv.append(torch.stack([keys, values]))
        return keys, values

    def append_beside(self, place: int, keys: Tensor, values: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """No adapter acts on a trunk."""
        return keys, values


@torch.no_grad()
def trunk_of(backbone: Backbone, batch: TreeBatch, first: int) -> Trunk:
    """All that lies below block `first`, and what the prompts' tokens are above it."""
    decoder, shape = backbone.decoder, backbone.shape
    layout = Layout(batch.positions, batch.seen, packing=batch.packing(prompts=True, replies=True))
    x = decoder.embed(batch.ids, layout)
    if first:
        x = decoder.blocks(x, range(first), layout)
    p, n = batch.rows[0], batch.prompts
    kv = x.new_zeros(shape.layers - first, 2, len(batch.trees), shape.kv_heads, p, shape.head_width)
    if n:
        recorder = Recorder()
        seen = batch.seen[..., :p, :p].contiguous()
        alone = Layout(batch.positions[:, :n], seen, recorder, packing=batch.packing(prompts=True, replies=False))
        decoder.blocks(x[:, :n], range(first, shape.layers), alone)
        kv = torch.stack(recorder.kv)
    return Trunk(first, kv, x[:, n:])


def final_states(backbone: Backbone, adapters: BatchAdapters | None, batch: TreeBatch, trunk: Trunk) -> Tensor:
    """Final hidden states [N, d] of the tokens before the labels."""
    decoder, p = backbone.decoder, batch.rows[0]
    seen = batch.seen[..., p:, :].contiguous()
    packing = batch.packing(prompts=False, replies=True)
    layout = Layout(batch.positions[:, batch.prompts :], seen, trunk, packing=packing)
    hidden = decoder.blocks(trunk.states, range(trunk.first, backbone.shape.layers), layout, adapters)
    final: Tensor = decoder.norm(hidden[0, batch.at])
    return final
