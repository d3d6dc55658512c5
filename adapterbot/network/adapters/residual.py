"""5 · Residual adapters and the bank that applies them by row.

After each whole block: x + Up(ReLU(Down(LN(x)))), LN inside (Houlsby et al. 2019; Madotto et al. 2020, section 3.2).
S adapters in the bank, B rows, L layers, d width, r bottleneck.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterbot.errors import AdapterError
from adapterbot.network.adapters import copy_head as copying
from adapterbot.network.adapters.copy_head import CopyHead
from adapterbot.network.architectures.shape import Shape

# Per layer: LN's scale [d] and shift [d], down [d, r], its bias [r], up [r, d], its bias [d].
TENSORS = ("norm.weight", "norm.bias", "down.weight", "down.bias", "up.weight", "up.bias")
EPSILON = 1e-5


def sizes(width: int, bottleneck: int) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of one layer."""
    return dict(
        zip(
            TENSORS,
            ((width,), (width,), (width, bottleneck), (bottleneck,), (bottleneck, width), (width,)),
            strict=True,
        )
    )


class Residual:
    """Adapter weights laid out for a batch: tensors [L, ...] for all rows alike, or [L, B, ...] one per row.

    `copy` is the head that copies from the facts, where a row has one.
    """

    def __init__(self, weights: Mapping[str, Tensor], first_layer: int = 0, copy: CopyHead | None = None) -> None:
        self.first_layer, self.copy = first_layer, copy
        self.layers = [tuple(weights[name][i] for name in TENSORS) for i in range(len(weights["down.weight"]))]

    def apply(self, layer: int, x: Tensor) -> Tensor:
        """x [B, T, d] -> [B, T, d]; blocks below `first_layer` carry no adapter."""
        if layer < self.first_layer:
            return x
        scale, shift, down, down_bias, up, up_bias = self.layers[layer - self.first_layer]
        if down.dim() == 2:
            y = F.layer_norm(x, x.shape[-1:], scale, shift, EPSILON)
            return x + F.relu(y @ down + down_bias) @ up + up_bias
        y = F.layer_norm(x, x.shape[-1:], eps=EPSILON) * scale[:, None] + shift[:, None]  # scale [B, d]
        return x + F.relu(y @ down + down_bias[:, None]) @ up + up_bias[:, None]  # down [B, d, r]


class Adapter(nn.Module):
    """One skill's weights while it is trained: every tensor stacked over the layers that carry an adapter."""

    def __init__(self, shape: Shape, bottleneck: int, first_layer: int = 0, seed: int = 0, copy: int = 0) -> None:
        super().__init__()
        if not 0 <= first_layer < shape.layers:
            raise AdapterError(f"first_layer={first_layer}, but the backbone has layers 0 to {shape.layers - 1}")
        layers = shape.layers - first_layer
        self.first_layer = first_layer
        draw = torch.Generator().manual_seed(seed)
        for name, size in sizes(shape.width, bottleneck).items():
            tensor = torch.ones(layers, *size) if name == "norm.weight" else torch.zeros(layers, *size)
            if name == "down.weight":  # up stays zero: an untrained adapter changes nothing
                tensor.normal_(0.0, shape.width**-0.5, generator=draw)
            self.register_parameter(name.replace(".", "_"), nn.Parameter(tensor))
        for name, tensor in copying.drawn(shape.width, copy, draw).items() if copy else ():
            self.register_parameter(name.replace(".", "_"), nn.Parameter(tensor))
        self.names = (*TENSORS, *(copying.TENSORS if copy else ()))

    def residual(self) -> Residual:
        """The weights as the decoder's argument; gradients flow through."""
        weights = {n: getattr(self, n.replace(".", "_")) for n in self.names}
        return Residual(weights, self.first_layer, CopyHead(weights) if "copy.key" in weights else None)

    def tensors(self) -> dict[str, Tensor]:
        """The weights by their names in adapter.safetensors."""
        return {n: getattr(self, n.replace(".", "_")).detach() for n in self.names}

    @torch.no_grad()
    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Overwrite the weights by tensors named as in adapter.safetensors."""
        for name in self.names:
            getattr(self, name.replace(".", "_")).copy_(tensors[name])

    @property
    def parameter_count(self) -> int:
        """Number of trained weights."""
        return sum(p.numel() for p in self.parameters())
