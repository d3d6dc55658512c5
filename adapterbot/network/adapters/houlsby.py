"""5 · Houlsby's adapters: two bottlenecks in each block (Houlsby et al. 2019, section 2.1, figure 2).

With y what attention, or the MLP, is about to add to the states x:

    x + y + Up(f(Down(y)))

f is ReLU. Up is zero before training, which makes the near-identity of section 2.1 exact. The paper also tunes the
LayerNorms of the model; here, where nothing of it is touched, `norm = true` gives each bottleneck a LayerNorm of its
own before Down instead. G adapters, B rows, T tokens, L layers, d width, r bottleneck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from adapterbot.network.adapters import Rows
from adapterbot.network.adapters.stacked import (
    Bottleneck,
    Sizes,
    Stacked,
    bottleneck_sizes,
    fresh,
    layers_from,
    measured,
)
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable

PLACES = ("attention", "mlp")


class Houlsby(Stacked):
    """A bottleneck after attention and one after the MLP, of each block from `first_layer` on."""

    name = "houlsby"
    sites = frozenset({"after_attention", "after_mlp"})
    fixed = frozenset({"activation"})
    ends = ("up.weight", "up.bias")

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        super().__init__(weights, shape)
        shared = {n: t for n, t in self.weights.items() if n in self.fixed}
        self.attention, self.mlp = (
            Bottleneck(shared | {n.removeprefix(f"{p}."): t for n, t in self.weights.items() if n.startswith(f"{p}.")})
            for p in PLACES
        )
        self.first_layer = shape.layers - self.weights["mlp.down.weight"].shape[1]

    @classmethod
    def sizes(cls, layers: int, width: int, bottleneck: int, norm: bool) -> dict[str, tuple[int, ...]]:
        """Of all tensors."""
        return {f"{p}.{n}": s for p in PLACES for n, s in bottleneck_sizes(layers, width, bottleneck, norm).items()}

    @classmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        """Up-projections of zero: an untrained adapter changes nothing."""
        return fresh(cls.sizes(layers_from(table, shape), shape.width, table.bottleneck, table.norm), draw)

    @classmethod
    def tensors(cls, given: Sizes, shape: Shape) -> dict[str, tuple[int, ...]]:
        """As many layers as `mlp.down.weight` has, the last ones of the backbone, and its bottleneck."""
        layers, bottleneck = measured(given, "mlp.down.weight", shape, (shape.width, None))
        wanted = cls.sizes(layers, shape.width, bottleneck, any("norm." in name for name in given))
        return wanted | ({"activation": (1,)} if "activation" in given else {})

    def after_attention(self, layer: int, x: Tensor, rows: Rows) -> Tensor:
        """What attention adds, x [B, T, d], and what its bottleneck makes of it."""
        return x if layer < self.first_layer else x + self.attention(layer - self.first_layer, x, rows)

    def after_mlp(self, layer: int, x: Tensor, rows: Rows) -> Tensor:
        """What the MLP adds, x [B, T, d], and what its bottleneck makes of it."""
        return x if layer < self.first_layer else x + self.mlp(layer - self.first_layer, x, rows)


KIND = Houlsby
