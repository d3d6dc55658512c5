"""5 · Residual adapters.

After each whole block: x + Up(ReLU(Down(LN(x)))), LN inside (Houlsby et al. 2019; Madotto et al. 2020, section 3.2).
G adapters in a batch, B rows, L layers with an adapter, d width, r bottleneck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.errors import AdapterError
from adapterbot.network import kernels
from adapterbot.network.adapters import AdapterKind, Rows
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable

# Per layer: LN's scale [d] and shift [d], down [d, r], its bias [r], up [r, d], its bias [d].
TENSORS = ("norm.weight", "norm.bias", "down.weight", "down.bias", "up.weight", "up.bias")
EPSILON = 1e-5
WIDEST = 4096  # bottleneck: as much as skill.toml allows
PROBE = 1e-6  # an adapter that moves a unit-variance state by less than this has no effect


def sizes(width: int, bottleneck: int) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of one layer."""
    return dict(
        zip(
            TENSORS,
            ((width,), (width,), (width, bottleneck), (bottleneck,), (bottleneck, width), (width,)),
            strict=True,
        )
    )


class Residual(AdapterKind):
    """A bottleneck after each block from `first_layer` on."""

    name = "residual"
    sites = frozenset({"after_block"})

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        self.alone = len(weights) == 1
        layers = max(len(w["down.weight"]) for w in weights)
        self.first_layer = shape.layers - layers
        if self.alone:
            whole = {name: weights[0][name] for name in TENSORS}  # [L, ...]
        else:
            # No wider than these adapters need: a wide one elsewhere in the bank must not change a bit of them. Zero
            # up-projections make padded bottlenecks, and layers below an adapter's first, add exactly nothing.
            widest = max(w["down.weight"].shape[-1] for w in weights)
            whole = {
                name: weights[0][name].new_zeros(layers, len(weights), *size)
                for name, size in sizes(shape.width, widest).items()
            }
            for g, of_one in enumerate(weights):
                for name, tensor in of_one.items():
                    target = whole[name][layers - len(tensor) :, g]  # [L, ...]
                    target[tuple(slice(0, n) for n in tensor.shape)] = tensor
        self.layers = [tuple(whole[name][i] for name in TENSORS) for i in range(layers)]

    @classmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        """Up-projections of zero: an untrained adapter changes nothing."""
        first = table.first_block(shape.layers)
        if first >= shape.layers:
            raise AdapterError(f"first_layer={first}, but the backbone has layers 0 to {shape.layers - 1}")
        layers = shape.layers - first
        weights = {name: torch.zeros(layers, *size) for name, size in sizes(shape.width, table.bottleneck).items()}
        weights["norm.weight"].fill_(1.0)
        weights["down.weight"].normal_(0.0, shape.width**-0.5, generator=draw)
        return weights

    @classmethod
    def tensors(cls, given: Mapping[str, tuple[int, ...]], shape: Shape) -> dict[str, tuple[int, ...]]:
        """As many layers as `down.weight` has, the last ones of the backbone, and its bottleneck."""
        down = given.get("down.weight", (shape.layers, shape.width, 1))  # one that lacks is told by its name
        if len(down) != 3 or not 1 <= down[0] <= shape.layers or down[2] < 1:
            raise AdapterError(f"down.weight has shape {list(down)}, the backbone has {shape.layers} layers")
        if down[2] > WIDEST:
            raise AdapterError(f"down.weight has shape {list(down)}: a bottleneck is at most {WIDEST:,} wide")
        return {name: (down[0], *size) for name, size in sizes(shape.width, down[2]).items()}

    @classmethod
    def check(cls, tensors: Mapping[str, Tensor], shape: Shape) -> tuple[str, ...]:
        """A note when random unit-variance states stay as they are."""
        x = torch.randn(1, 4, shape.width, generator=torch.Generator().manual_seed(0))
        adapter = cls([{n: t.float() for n, t in tensors.items()}], shape)
        rows = Rows([0])
        layers = range(adapter.first_layer, shape.layers)
        moved = max(float((adapter.after_block(i, x, rows) - x).abs().max()) for i in layers)
        return ("has no effect: replies are the bare backbone's",) if moved < PROBE else ()

    @classmethod
    def scaled(cls, tensors: Mapping[str, Tensor], strength: float) -> Mapping[str, Tensor]:
        """The up-projections times `strength`, float32."""
        return {n: strength * t.float() if n.startswith("up.") else t for n, t in tensors.items()}

    def after_block(self, layer: int, x: Tensor, rows: Rows) -> Tensor:
        """x [B, T, d] -> [B, T, d]."""
        if layer < self.first_layer:
            return x
        scale, shift, down, down_bias, up, up_bias = self.layers[layer - self.first_layer]
        if x.shape[1] == 1 and x.device.type == "cpu" and not torch.is_grad_enabled():
            read = kernels.residual(x, rows.places, self.layers[layer - self.first_layer], EPSILON)
            if read is not None:
                return read
        states = rows.gather(x)  # [G, rows of one adapter * T, d]
        if not self.alone:
            scale, shift, down_bias, up_bias = (t[:, None] for t in (scale, shift, down_bias, up_bias))  # [G, 1, d]
        normal = F.layer_norm(states, states.shape[-1:], eps=EPSILON) * scale + shift
        return rows.scatter(x, states + F.relu(normal @ down + down_bias) @ up + up_bias)


KIND = Residual
