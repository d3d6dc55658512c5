"""5 · Prefix tuning (Li and Liang 2021, sections 4.2 and 4.3): in each block, P keys and values before the tokens'.

    head = softmax(q [K_P; K]' / sqrt(w)) [V_P; V]

In training they are made by one network of a small matrix E [P, m] (section 4.3, the reparameterisation):

    [K_P; V_P] of all layers = tanh(E W_1 + b_1) W_2 + b_2

of which the file keeps what it gives: keys and values alone. They stand before the tokens and take none of their
positions. An untrained prefix is seen as well: it is no identity. G adapters, B rows, P prefix tokens, K heads of keys
and values of width w, L layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from adapterbot.errors import AdapterError
from adapterbot.network.adapters import Rows
from adapterbot.network.adapters.stacked import Sizes, Stacked, layers_from
from adapterbot.network.architectures import Prefix as Keys
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable

BOTH = ("keys", "values")


class Prefix(Stacked):
    """Keys and values of a prefix in each block from `first_layer` on: `keys` and `values` [L, P * K * w].

    `scores` [1] is added to their scores: log n makes them count n times.
    """

    name = "prefix"
    sites = frozenset({"prefix"})

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        plain = weights[0]["keys"].new_zeros(1)
        super().__init__([{"scores": plain, **w} for w in weights], shape)
        self.weighed = any("scores" in w for w in weights)
        size = (-1, shape.kv_heads, shape.head_width)
        # Of each layer [G, K, P, w].
        self.keys, self.values = (self.weights[n].unflatten(-1, size).transpose(2, 3).unbind(1) for n in BOTH)
        self.first_layer = shape.layers - len(self.keys)

    @classmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        """The network that makes keys and values: E of unit variance, weights that keep it, halved for the outputs."""
        _fits(table.length, shape)
        layers, width, m = layers_from(table, shape), shape.kv_heads * shape.head_width, table.bottleneck
        weights = {
            "embedding": torch.empty(table.length, m).normal_(generator=draw),
            "hidden.weight": torch.empty(m, m).normal_(0.0, m**-0.5, generator=draw),
            "hidden.bias": torch.zeros(m),
        }
        for name in BOTH:
            weights[f"{name}.weight"] = torch.empty(layers, m, width).normal_(0.0, 0.5 * m**-0.5, generator=draw)
            weights[f"{name}.bias"] = torch.zeros(layers, 1, width)
        return weights

    @classmethod
    def folded(cls, learnt: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Keys and values that the network makes; those that are there already stay."""
        if "keys" in learnt:
            return learnt
        hidden = torch.tanh(learnt["embedding"] @ learnt["hidden.weight"] + learnt["hidden.bias"])  # [P, m]
        return {n: (hidden @ learnt[f"{n}.weight"] + learnt[f"{n}.bias"]).flatten(1) for n in BOTH}  # [L, P * K * w]

    @classmethod
    def tensors(cls, given: Sizes, shape: Shape) -> dict[str, tuple[int, ...]]:
        """As many layers as `keys` has, the last ones of the backbone, and as many tokens."""
        width = shape.kv_heads * shape.head_width
        size = given.get("keys", (shape.layers, width))
        if len(size) != 2 or not 1 <= size[0] <= shape.layers or size[1] < 1 or size[1] % width:
            raise AdapterError(
                f"keys has shape {list(size)}, not 1 to {shape.layers} layers of some tokens of {width} numbers each"
            )
        _fits(size[1] // width, shape)
        return dict.fromkeys(BOTH, size)

    @classmethod
    def scaled(cls, tensors: Mapping[str, Tensor], strength: float) -> Mapping[str, Tensor]:
        """A prefix that counts `strength` times in attention, as if its tokens stood there so often."""
        if strength <= 0:
            raise AdapterError(f"a prefix cannot count {strength:g} times: a weight above 0 is needed")
        return {**tensors, "scores": torch.tensor([math.log(strength)])}

    def prefix(self, layer: int, rows: Rows) -> Keys | None:
        """Keys and values [B, K, P, w], or [1, K, P, w] where all rows are alike."""
        if layer < self.first_layer:
            return None
        keys, values = self.keys[layer - self.first_layer], self.values[layer - self.first_layer]
        length = keys.shape[2]
        seen = torch.ones(1, length, dtype=torch.bool, device=keys.device)
        if not rows.alike:
            keys, values = keys[rows.adapters], values[rows.adapters]
            seen = rows.seen[:, None].expand(-1, length)
        if self.weighed:
            scores = self.weights["scores"] if rows.alike else self.weights["scores"][rows.adapters]  # [B or 1, 1]
            return Keys(keys, values, torch.where(seen, scores, -torch.inf))
        return Keys(keys, values, seen)


KIND = Prefix


def _fits(length: int, shape: Shape) -> None:
    if length > shape.positions:
        raise AdapterError(
            f"a prefix of {length} tokens is longer than the {shape.positions} positions of the backbone; "
            f"length may be 1 to {shape.positions}"
        )
