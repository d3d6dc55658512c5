"""5 · K-Adapter (Wang et al. 2021, section 3.1): a small transformer beside the backbone, which reads some blocks.

With x_b the states after the chosen block b, and c what the layer before has given (0 before the first):

    i = x_b + c,    u = Transformer_N(Down(LN(i))),    c = i + Up(u)

and after the last chosen block, for the last dense layer of the paper, which reads the backbone's states and u side by
side: x + Up(u). A linear map of several side by side is the sum of theirs, so that the knowledge adapters of a stack
(`a+b`) are fused as in the paper. The last Up is zero before training, so that nothing is changed. The backbone's own
states never see it: only what comes after the last chosen block does. LN has no weights: the paper's model normalises
the states and ours does not. Its attention needs keys and values of the prompt, so it acts on all tokens, and they lie
in layers of their own in the cache. G adapters, B rows, T tokens, n chosen blocks, N layers beside each, d width, s
width of the small space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.errors import AdapterError
from adapterbot.network.adapters import Rows
from adapterbot.network.adapters.pals import check_heads, split
from adapterbot.network.adapters.stacked import EPSILON, NO_EFFECT, Sizes, Stacked, measured
from adapterbot.network.architectures.attention import attend_beside
from adapterbot.network.architectures.cache import Layout, layers_beside
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable

INNER = 4  # the MLP of a small layer, in widths


class KAdapter(Stacked):
    """Small transformer layers beside `blocks` [n].

    `down.weight` [n, d, s], `up.weight` [n, s, d]; of each small layer `qkv` [n, N, s, 3 s], `o` [n, N, s, s], `inner`
    [n, N, s, 4 s], `outer` [n, N, 4 s, s]; `heads` [1].
    """

    name = "k_adapter"
    sites = frozenset({"around_block"})
    fixed = frozenset({"heads", "blocks"})

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        super().__init__(weights, shape)
        self.blocks = [int(b) for b in self.weights["blocks"][0].tolist()]
        self.heads = int(self.weights["heads"].flatten()[0])
        self.down, self.up = (self.weights[n].unbind(1) for n in ("down.weight", "up.weight"))  # of each block [G, ...]
        parts = ("qkv", "o", "inner", "outer")
        of_blocks = [[t.unbind(1) for t in self.weights[n].unbind(1)] for n in parts]  # part, block, small layer
        self.small = [list(zip(*block, strict=True)) for block in zip(*of_blocks, strict=True)]
        self.first_layer = self.blocks[0]
        self.each = layers_beside(shape, self.down[0].shape[-1])  # of the cache, for one small layer
        self.place = shape.layers

    @classmethod
    def sizes(cls, blocks: int, depth: int, width: int, small: int) -> dict[str, tuple[int, ...]]:
        """Of all tensors."""
        return {
            "down.weight": (blocks, width, small),
            "up.weight": (blocks, small, width),
            "qkv": (blocks, depth, small, 3 * small),
            "o": (blocks, depth, small, small),
            "inner": (blocks, depth, small, INNER * small),
            "outer": (blocks, depth, INNER * small, small),
            "blocks": (blocks,),
            "heads": (1,),
        }

    @classmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        """A last up-projection of zero: an untrained adapter changes nothing."""
        split(table)
        last = shape.layers - 1
        blocks = sorted(set(table.blocks or (0, last // 2, last)))
        if not 0 <= blocks[0] <= blocks[-1] <= last:
            wrong = next(b for b in blocks if not 0 <= b <= last)
            raise AdapterError(f"blocks names {wrong}, but the backbone has blocks 0 to {last}")
        weights = {}
        for name, size in cls.sizes(len(blocks), table.depth, shape.width, table.bottleneck).items():
            weights[name] = torch.zeros(size)
            if len(size) > 2:
                weights[name].normal_(0.0, size[-2] ** -0.5, generator=draw)
        weights["up.weight"][-1] = 0.0
        weights["blocks"] = torch.tensor([float(b) for b in blocks])
        weights["heads"].fill_(table.heads)
        return weights

    @classmethod
    def tensors(cls, given: Sizes, shape: Shape) -> dict[str, tuple[int, ...]]:
        """As many blocks as `down.weight` has, and as many small layers as `qkv`."""
        blocks, small = measured(given, "down.weight", shape, (shape.width, None))
        depth = given["qkv"][1] if len(given.get("qkv", ())) == 4 else 1
        return cls.sizes(blocks, depth, shape.width, small)

    @classmethod
    def check(cls, tensors: Mapping[str, Tensor], shape: Shape) -> tuple[str, ...]:
        """Blocks that the backbone has, heads that share the small space, and a note where all goes through zeros."""
        check_heads(tensors["heads"], tensors["down.weight"].shape[-1])
        blocks = tensors["blocks"].tolist()
        if blocks != sorted({int(b) for b in blocks if 0 <= b < shape.layers}):
            raise AdapterError(f"blocks is {blocks}, not ascending numbers of 0 to {shape.layers - 1}")
        return () if bool(tensors["up.weight"][-1].any()) else (NO_EFFECT,)

    @classmethod
    def scaled(cls, tensors: Mapping[str, Tensor], strength: float) -> Mapping[str, Tensor]:
        """The last up-projection times `strength`, float32."""
        up = tensors["up.weight"].float().clone()
        up[-1] *= strength
        return {**tensors, "up.weight": up}

    @classmethod
    def memory(cls, tensors: Mapping[str, Tensor], shape: Shape) -> int:
        """Keys and values of each small layer."""
        blocks, depth, small, _ = tensors["qkv"].shape
        return blocks * depth * layers_beside(shape, small)

    def around_block(self, layer: int, before: Tensor, x: Tensor, rows: Rows, layout: Layout) -> Tensor:
        """States x after a block [B, T, d] -> [B, T, d]; what it has read so far is carried by the pass."""
        if layer not in self.blocks:
            return x
        n = self.blocks.index(layer)
        read = x if n == 0 else x + layout.carried[self]
        u = rows.linear(_normal(read), self.down[n])  # [B, T, s]
        for i, (qkv, o, inner, outer) in enumerate(self.small[n]):
            q, k, v = rows.linear(_normal(u), qkv).chunk(3, -1)
            place = self.place + (n * len(self.small[n]) + i) * self.each
            u = u + rows.linear(attend_beside(q, k, v, self.heads, place, layout), o)
            u = u + rows.linear(F.gelu(rows.linear(_normal(u), inner)), outer)
        given = rows.linear(u, self.up[n])
        if n == len(self.blocks) - 1:
            return x + given
        layout.carried[self] = read + given
        return x


KIND = KAdapter


def _normal(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=EPSILON)
