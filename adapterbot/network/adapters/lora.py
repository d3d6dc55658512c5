"""5 · LoRA (Hu et al. 2021, section 4.1): to a projection with weights W [in, out]

    x W + s x A B,    A [in, r], B [r, out], s = alpha / r

A is drawn, B is zero before training, so that nothing is changed. Nothing is merged into W: a model with merged weights
rounds otherwise and answers otherwise, and rows with other adapters could not share its batch. Any of the projections
of a block may have one (`Architecture.projections`); `mlp` stands for all of the MLP. G adapters, B rows, T tokens, L
layers, r rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.errors import AdapterError, nearest
from adapterbot.network.adapters import Rows
from adapterbot.network.adapters.stacked import Sizes, Stacked, layers_from, measured
from adapterbot.network.architectures import Projection
from adapterbot.network.architectures.families import family_with
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable

SCALE = 2.0
MLP = ("gate", "up", "down")


class LoRA(Stacked):
    """Products of two thin matrices beside projections, in each block from `first_layer` on.

    Of each target: `q.a` [L, in, r] and `q.b` [L, r, out]; `factor` [1].
    """

    name = "lora"
    sites = frozenset({"delta"})
    fixed = frozenset({"factor"})
    ends = (".b",)

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        super().__init__(weights, shape)
        projections = family_with(shape).projections(shape)
        scale = self.weights["factor"][..., None, None]  # [G, 1, 1, 1]
        down, up = dict[str, list[Tensor]](), dict[str, list[Tensor]]()
        for target in _targets(self.weights):
            part = projections[target]
            whole = _outputs(projections, part.linear)
            b = self.weights[f"{target}.b"] * scale  # [G, L, r, out]
            down.setdefault(part.linear, []).append(self.weights[f"{target}.a"])
            up.setdefault(part.linear, []).append(F.pad(b, (part.start, whole - part.start - b.shape[-1])))
        # Targets of the same linear map as one product: A [G, L, in, R] and B [G, L, R, out], R of all their ranks.
        self.pairs = {name: (torch.cat(down[name], -1).unbind(1), torch.cat(up[name], -2).unbind(1)) for name in down}
        self.first_layer = shape.layers - len(next(iter(self.pairs.values()))[0])

    @classmethod
    def sizes(cls, layers: int, ranks: Mapping[str, int], shape: Shape) -> dict[str, tuple[int, ...]]:
        """Of all tensors, given the rank of each target."""
        sizes: dict[str, tuple[int, ...]] = {"factor": (1,)}
        for target, rank in ranks.items():
            part = projection(target, shape)
            sizes |= {f"{target}.a": (layers, part.inputs, rank), f"{target}.b": (layers, rank, part.outputs)}
        return sizes

    @classmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        """A drawn so that inputs of unit variance have outputs of it, B zero: an untrained adapter changes nothing."""
        known = family_with(shape).projections(shape)
        targets = [part for t in table.targets for part in ([n for n in MLP if n in known] if t == "mlp" else [t])]
        if not targets:
            raise AdapterError(f"targets names no projection; {nearest('', [*known, 'mlp'])}")
        weights = {}
        for name, size in cls.sizes(layers_from(table, shape), dict.fromkeys(targets, table.rank), shape).items():
            weights[name] = torch.zeros(size)
            if name.endswith(".a"):
                weights[name].normal_(0.0, size[1] ** -0.5, generator=draw)
        weights["factor"].fill_(SCALE if table.scale is None else table.scale)
        return weights

    @classmethod
    def tensors(cls, given: Sizes, shape: Shape) -> dict[str, tuple[int, ...]]:
        """As many layers as its first target has, the last ones of the backbone; each target has a rank of its own."""
        targets = _targets(given)
        if not targets:
            raise AdapterError("no projection has a LoRA; its tensors are called like q.a and q.b")
        ranks, layers = {}, 0
        for target in targets:
            part = projection(target, shape)
            found, ranks[target] = measured(given, f"{target}.a", shape, (part.inputs, None))
            layers = layers or found
        return cls.sizes(layers, ranks, shape)

    def delta(self, linear: str, layer: int, x: Tensor, rows: Rows) -> Tensor | float:
        """x [B, T, in] -> [B, T, out]."""
        if layer < self.first_layer or linear not in self.pairs:
            return 0.0
        a, b = self.pairs[linear]
        i = layer - self.first_layer
        return rows.linear(rows.linear(x, a[i]), b[i])


KIND = LoRA


def projection(target: str, shape: Shape) -> Projection:
    """The projection of this name.

    Raises:
        AdapterError: the backbone has none; the nearest are told.
    """
    known = family_with(shape).projections(shape)
    if target not in known:
        raise AdapterError(f"the backbone has no projection {target!r} for a LoRA; {nearest(target, [*known, 'mlp'])}")
    return known[target]


def _targets(names: Mapping[str, object]) -> list[str]:
    return [name.removesuffix(".a") for name in names if name.endswith(".a")]


def _outputs(projections: Mapping[str, Projection], linear: str) -> int:
    """How many outputs a linear map has in all."""
    return max(p.start + p.outputs for p in projections.values() if p.linear == linear)
