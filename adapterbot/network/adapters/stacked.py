"""What most kinds of adapter share: tensors of the same sizes side by side, bottlenecks, and how they are checked.

G adapters, B rows, T tokens, L layers with an adapter, d width, r bottleneck.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.errors import AdapterError
from adapterbot.network.adapters import AdapterKind, Rows
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable

NO_EFFECT = "has no effect: replies are the bare backbone's"
EPSILON = 1e-5
WIDEST = 4096  # bottleneck: as much as skill.toml allows
Sizes = Mapping[str, tuple[int, ...]]


class Stacked(AdapterKind):
    """A kind whose adapters lie side by side where their tensors have the same sizes: no padding.

    `ends` are the tensors by which everything goes that it adds, and that are zero before training.
    """

    ends: ClassVar[tuple[str, ...]] = ()

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        self.shape = shape
        one = len(weights) == 1  # seen as a stack, not copied
        self.weights = {n: t[None] if one else torch.stack([w[n] for w in weights]) for n, t in weights[0].items()}

    @classmethod
    def group(cls, tensors: Mapping[str, Tensor]) -> Hashable:
        """Their sizes, and what is fixed of them."""
        fixed = sorted((n, tuple(t.flatten().tolist())) for n, t in tensors.items() if n in cls.fixed)
        return tuple(sorted((n, tuple(t.shape)) for n, t in tensors.items())), tuple(fixed)

    @classmethod
    def check(cls, tensors: Mapping[str, Tensor], shape: Shape) -> tuple[str, ...]:
        """A note where all that it adds goes through zeros."""
        ends = [tensor for name, tensor in tensors.items() if name.endswith(cls.ends)]
        return () if not ends or any(bool(t.any()) for t in ends) else (NO_EFFECT,)

    @classmethod
    def scaled(cls, tensors: Mapping[str, Tensor], strength: float) -> Mapping[str, Tensor]:
        """The last tensors times `strength`, float32."""
        return {n: strength * t.float() if n.endswith(cls.ends) else t for n, t in tensors.items()}


class Bottleneck:
    """Up(ReLU(Down(x))) of G adapters at one place of each layer, or Up(ReLU(Down(LN(x)))) where there is a norm.

    Its tensors: down [L, d, r], up [L, r, d] and their biases; norm.weight and norm.bias [L, d]; activation [1].
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Tensors [G, L, ...] by their names."""
        self.layers = {n: [_beside(part) for part in t.unbind(1)] for n, t in weights.items() if t.dim() > 2}
        self.activate = ACTIVATIONS[nonlinearity(weights)]

    def __call__(self, i: int, x: Tensor, rows: Rows) -> Tensor:
        """What the i-th layer's adds to x [B, T, d]: [B, T, d], 0 where a row has none."""
        t = {name: layers[i] for name, layers in self.layers.items()}
        states = rows.gather(x)  # [G, rows of one adapter * T, d]
        if "norm.weight" in t:
            states = F.layer_norm(states, states.shape[-1:], eps=EPSILON) * t["norm.weight"] + t["norm.bias"]
        small = self.activate(states @ t["down.weight"] + t["down.bias"])  # [G, ..., r]
        return rows.scatter(torch.zeros_like(x), small @ t["up.weight"] + t["up.bias"])


def _beside(tensor: Tensor) -> Tensor:
    """A matrix [G, d, r] as it is and a bias [G, r] as [G, 1, r]; those of a single adapter without G."""
    if len(tensor) == 1:
        return tensor.squeeze(0)
    return tensor[:, None] if tensor.dim() == 2 else tensor


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "swish": F.silu,
    "tanh": torch.tanh,
}


def nonlinearity(weights: Mapping[str, Tensor]) -> str:
    """The name of f: the tensor `activation` holds its number in ACTIVATIONS; ReLU where there is none."""
    return list(ACTIVATIONS)[int(weights["activation"].flatten()[0])] if "activation" in weights else "relu"


def bottleneck_sizes(layers: int, width: int, bottleneck: int, norm: bool = False) -> dict[str, tuple[int, ...]]:
    """The tensors of a bottleneck at one place of each of so many layers."""
    sizes: dict[str, tuple[int, ...]] = {
        "down.weight": (layers, width, bottleneck),
        "down.bias": (layers, bottleneck),
        "up.weight": (layers, bottleneck, width),
        "up.bias": (layers, width),
    }
    return sizes | ({"norm.weight": (layers, width), "norm.bias": (layers, width)} if norm else {})


def fresh(sizes: Sizes, draw: torch.Generator) -> dict[str, Tensor]:
    """First weights: zeros, but scales of norms are 1 and what is projected down is drawn, so that inputs of unit
    variance have outputs of it."""
    made = {}
    for name, size in sizes.items():
        made[name] = torch.zeros(size)
        if name.endswith("norm.weight"):
            made[name].fill_(1.0)
        elif name.endswith("down.weight"):
            made[name].normal_(0.0, size[-2] ** -0.5, generator=draw)
    return made


def layers_from(table: AdapterTable, shape: Shape) -> int:
    """How many layers have an adapter.

    Raises:
        AdapterError: none, as the backbone has no block `first_layer`.
    """
    first = table.first_block(shape.layers)
    if first >= shape.layers:
        raise AdapterError(f"first_layer={first}, but the backbone has layers 0 to {shape.layers - 1}")
    return shape.layers - first


def measured(given: Sizes, name: str, shape: Shape, wanted: tuple[int | None, ...]) -> tuple[int, int]:
    """Layers and width of the small space that the tensor `name` tells, of which `wanted` has the other sizes (None:
    any): [L, None, s] or [L, s, None].

    Raises:
        AdapterError: it fits no backbone of this shape. One that lacks is told by its name later.
    """
    size = given.get(name, (shape.layers, *(1 if n is None else n for n in wanted)))
    if len(size) != 3 or not 1 <= size[0] <= shape.layers:
        raise AdapterError(f"{name} has shape {list(size)}, the backbone has {shape.layers} layers")
    for n, w in zip(size[1:], wanted, strict=True):
        if w is None and not 1 <= n <= WIDEST:
            raise AdapterError(f"{name} has shape {list(size)}: a bottleneck is 1 to {WIDEST:,} wide")
    return size[0], size[1 + wanted.index(None)]
