"""5 · A fully tuned copy, as an adapter: the upper bound that the others are compared with.

To every linear map of a block with weights W and bias b:

    x (W + D) + (b + e)

Only the differences D and e are kept, zero before training, and as int8 they cost a byte a weight. The scale of the
norm before a linear map, and its shift, are as good as learnt with it; the embeddings, the last norm and the head stay
those of the backbone. G adapters, B rows, T tokens, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from adapterbot.errors import AdapterError
from adapterbot.network.adapters import Rows
from adapterbot.network.adapters.stacked import Sizes, Stacked, layers_from
from adapterbot.network.architectures.families import family_with
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable


class Full(Stacked):
    """A difference to every linear map of each block from `first_layer` on.

    Of each: `NAME.weight` [L, in, out] and `NAME.bias` [L, out].
    """

    name = "full"
    sites = frozenset({"delta"})
    ends = (".weight", ".bias")

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        super().__init__(weights, shape)
        self.layers = {name: tensor.unbind(1) for name, tensor in self.weights.items()}  # of each layer [G, ...]
        self.first_layer = shape.layers - len(next(iter(self.layers.values())))

    @classmethod
    def sizes(cls, layers: int, shape: Shape) -> dict[str, tuple[int, ...]]:
        """Of all tensors."""
        whole = dict[str, tuple[int, ...]]()
        for part in family_with(shape).projections(shape).values():
            outputs = max(part.start + part.outputs, whole.get(f"{part.linear}.bias", (0, 0))[1])
            whole |= {f"{part.linear}.weight": (layers, part.inputs, outputs), f"{part.linear}.bias": (layers, outputs)}
        return whole

    @classmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        """Zeros: an untrained copy is the backbone."""
        return {name: torch.zeros(size) for name, size in cls.sizes(layers_from(table, shape), shape).items()}

    @classmethod
    def tensors(cls, given: Sizes, shape: Shape) -> dict[str, tuple[int, ...]]:
        """As many layers as its tensors have, the last ones of the backbone."""
        layers = next((size[0] for name, size in given.items() if size), shape.layers)
        if not 1 <= layers <= shape.layers:
            raise AdapterError(f"a full copy of {layers} layers, the backbone has {shape.layers}")
        return cls.sizes(layers, shape)

    def delta(self, linear: str, layer: int, x: Tensor, rows: Rows) -> Tensor | float:
        """x [B, T, in] -> [B, T, out]."""
        if layer < self.first_layer:
            return 0.0
        i = layer - self.first_layer
        return rows.linear(x, self.layers[f"{linear}.weight"][i], self.layers[f"{linear}.bias"][i])


KIND = Full
