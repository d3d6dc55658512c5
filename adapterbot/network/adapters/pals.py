"""5 · Projected attention layers (Stickland and Murray 2019, section 3.2): beside each block, a small layer of
attention between two projections that all blocks share.

With x the states before a block, and n = LN(x), as the paper's model normalises the states and ours does not:

    Block(x) + V_D MHA_l(V_E n),    V_E [d, s], V_D [s, d] of all blocks, MHA_l of each: Q, K, V [s, s], no output map

V_D is zero before training, so that nothing is changed. Its attention needs keys and values of the prompt, so it acts
on all tokens, and they lie in layers of their own in the cache. G adapters, B rows, T tokens, L layers, d width, s
width of the small space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.errors import AdapterError
from adapterbot.network.adapters import Rows
from adapterbot.network.adapters.stacked import EPSILON, Sizes, Stacked, layers_from, measured
from adapterbot.network.architectures.attention import attend_beside
from adapterbot.network.architectures.cache import Layout, layers_beside
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable

QKV = ("q", "k", "v")


class PALs(Stacked):
    """Attention in a small space beside each block from `first_layer` on.

    Shared `down.weight` [1, d, s] and `up.weight` [1, s, d]; `q`, `k`, `v` [L, s, s]; `heads` [1].
    """

    name = "pals"
    sites = frozenset({"around_block"})
    fixed = frozenset({"heads"})
    ends = ("up.weight",)

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        super().__init__(weights, shape)
        self.down, self.up = (self.weights[n].squeeze(1) for n in ("down.weight", "up.weight"))  # [G, d, s], [G, s, d]
        self.qkv = torch.cat([self.weights[n] for n in QKV], -1).unbind(1)  # of each layer [G, s, 3 s]
        self.heads = int(self.weights["heads"].flatten()[0])
        self.first_layer = shape.layers - len(self.qkv)
        self.each = layers_beside(shape, self.down.shape[-1])  # of the cache, for one block
        self.place = shape.layers

    @classmethod
    def sizes(cls, layers: int, width: int, small: int) -> dict[str, tuple[int, ...]]:
        """Of all tensors."""
        shared: dict[str, tuple[int, ...]] = {"down.weight": (1, width, small), "up.weight": (1, small, width)}
        return shared | dict.fromkeys(QKV, (layers, small, small)) | {"heads": (1,)}

    @classmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        """An up-projection of zero: an untrained adapter changes nothing."""
        split(table)
        sizes = cls.sizes(layers_from(table, shape), shape.width, table.bottleneck)
        weights = {name: torch.zeros(size) for name, size in sizes.items()}
        for name in ("down.weight", *QKV):
            weights[name].normal_(0.0, weights[name].shape[-2] ** -0.5, generator=draw)
        weights["heads"].fill_(table.heads)
        return weights

    @classmethod
    def tensors(cls, given: Sizes, shape: Shape) -> dict[str, tuple[int, ...]]:
        """As many layers as `q` has, the last ones of the backbone."""
        _, small = measured(given, "down.weight", shape, (shape.width, None))
        layers, _ = measured(given, "q", shape, (small, None))
        return cls.sizes(layers, shape.width, small)

    @classmethod
    def check(cls, tensors: Mapping[str, Tensor], shape: Shape) -> tuple[str, ...]:
        """Heads that share the small space, and a note where all goes through zeros."""
        check_heads(tensors["heads"], tensors["down.weight"].shape[-1])
        return super().check(tensors, shape)

    @classmethod
    def memory(cls, tensors: Mapping[str, Tensor], shape: Shape) -> int:
        """Keys and values of each block."""
        return len(tensors["q"]) * layers_beside(shape, tensors["q"].shape[-1])

    def around_block(self, layer: int, before: Tensor, x: Tensor, rows: Rows, layout: Layout) -> Tensor:
        """States `before` a block and x after it [B, T, d] -> [B, T, d]."""
        if layer < self.first_layer:
            return x
        i = layer - self.first_layer
        small = rows.linear(F.layer_norm(before, before.shape[-1:], eps=EPSILON), self.down)  # [B, T, s]
        q, k, v = rows.linear(small, self.qkv[i]).chunk(3, -1)
        return x + rows.linear(attend_beside(q, k, v, self.heads, self.place + i * self.each, layout), self.up)


KIND = PALs


def split(table: AdapterTable) -> None:
    """Raises AdapterError where the small space cannot be split into its heads."""
    if table.bottleneck % table.heads:
        near = max(table.heads, round(table.bottleneck / table.heads) * table.heads)
        raise AdapterError(
            f"a bottleneck of {table.bottleneck} cannot be split into {table.heads} heads; the nearest is {near}"
        )


def check_heads(heads: Tensor, small: int) -> None:
    """Raises AdapterError where a file's number of heads is none of its small space."""
    count = float(heads.flatten()[0])
    if count < 1 or count != int(count) or small % int(count):
        raise AdapterError(f"heads is {count:g}, by which its small space of {small} cannot be split")
