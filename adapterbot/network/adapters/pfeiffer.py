"""5 · Pfeiffer's adapters: one bottleneck in each block (Pfeiffer et al. 2021, AdapterFusion, appendix A).

With x the states after the block:

    x + Up(ReLU(Down(x)))

This is `residual` without its LayerNorm, and what AdapterHub calls `seq_bn`. G adapters, B rows, T tokens, L layers, d
width, r bottleneck.
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


class Pfeiffer(Stacked):
    """A bottleneck after each block from `first_layer` on."""

    name = "pfeiffer"
    sites = frozenset({"after_block"})
    fixed = frozenset({"activation"})
    ends = ("up.weight", "up.bias")

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        super().__init__(weights, shape)
        self.bottleneck = Bottleneck(self.weights)
        self.first_layer = shape.layers - self.weights["down.weight"].shape[1]

    @classmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        """Up-projections of zero: an untrained adapter changes nothing."""
        return fresh(bottleneck_sizes(layers_from(table, shape), shape.width, table.bottleneck), draw)

    @classmethod
    def tensors(cls, given: Sizes, shape: Shape) -> dict[str, tuple[int, ...]]:
        """As many layers as `down.weight` has, the last ones of the backbone, and its bottleneck."""
        layers, bottleneck = measured(given, "down.weight", shape, (shape.width, None))
        wanted = bottleneck_sizes(layers, shape.width, bottleneck)
        return wanted | ({"activation": (1,)} if "activation" in given else {})

    def after_block(self, layer: int, x: Tensor, rows: Rows) -> Tensor:
        """x [B, T, d] -> [B, T, d]."""
        return x if layer < self.first_layer else x + self.bottleneck(layer - self.first_layer, x, rows)


KIND = Pfeiffer
