"""5 · Scaled parallel adapters (He et al. 2022, Towards a unified view, sections 3.3 and 4.6; table 6: the best beside
the MLP).

With x the states and n = LN(x) the input of the MLP:

    x + MLP(n) + s Up(ReLU(Down(n)))

s is 4 in the paper. Up is zero before training, as LoRA's B, so that nothing is changed. G adapters, B rows, T tokens,
L layers, d width, r bottleneck.
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

SCALE = 4.0


class Parallel(Stacked):
    """A scaled bottleneck beside the MLP of each block from `first_layer` on."""

    name = "parallel"
    sites = frozenset({"beside_mlp"})
    fixed = frozenset({"factor"})
    ends = ("up.weight", "up.bias")

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        super().__init__(weights, shape)
        scale = self.weights["factor"][..., None]  # [G, 1, 1]
        up = {"up.weight": self.weights["up.weight"] * scale[..., None], "up.bias": self.weights["up.bias"] * scale}
        self.bottleneck = Bottleneck({**self.weights, **up})
        self.first_layer = shape.layers - self.weights["down.weight"].shape[1]

    @classmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        """Up-projections of zero: an untrained adapter changes nothing."""
        weights = fresh(bottleneck_sizes(layers_from(table, shape), shape.width, table.bottleneck), draw)
        return weights | {"factor": torch.tensor([SCALE if table.scale is None else table.scale])}

    @classmethod
    def tensors(cls, given: Sizes, shape: Shape) -> dict[str, tuple[int, ...]]:
        """As many layers as `down.weight` has, the last ones of the backbone, and its bottleneck."""
        layers, bottleneck = measured(given, "down.weight", shape, (shape.width, None))
        return bottleneck_sizes(layers, shape.width, bottleneck) | {"factor": (1,)}

    def beside_mlp(self, layer: int, x: Tensor, rows: Rows) -> Tensor | float:
        """Of the MLP's input x [B, T, d]: [B, T, d]."""
        return 0.0 if layer < self.first_layer else self.bottleneck(layer - self.first_layer, x, rows)


KIND = Parallel
