"""5 · Mix-and-match (He et al. 2022, section 4.6): a short prefix before attention and a scaled parallel adapter beside
the MLP, each where its form is best: the formulas of `prefix` and of `parallel`.

The prefix is seen from the start, so that an untrained one is no identity. G adapters, B rows, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from adapterbot.network.adapters import Rows
from adapterbot.network.adapters.parallel import Parallel
from adapterbot.network.adapters.prefix import Prefix
from adapterbot.network.adapters.stacked import Sizes, Stacked
from adapterbot.network.architectures import Prefix as Keys
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable

PREFIX, PARALLEL = "prefix.", "parallel."

V = TypeVar("V")


class MAM(Stacked):
    """The tensors of both, with `prefix.` and `parallel.` before their names."""

    name = "mam"
    sites = Prefix.sites | Parallel.sites
    fixed = frozenset({f"{PARALLEL}factor"})

    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        self.before = Prefix([_of(w, PREFIX) for w in weights], shape)
        self.beside = Parallel([_of(w, PARALLEL) for w in weights], shape)
        self.first_layer = min(self.before.first_layer, self.beside.first_layer)

    @classmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        """The first weights of both."""
        return _named(PREFIX, Prefix.init(shape, table, draw)) | _named(PARALLEL, Parallel.init(shape, table, draw))

    @classmethod
    def folded(cls, learnt: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Keys and values in place of the network that makes them."""
        return _named(PREFIX, Prefix.folded(_of(learnt, PREFIX))) | _named(PARALLEL, _of(learnt, PARALLEL))

    @classmethod
    def tensors(cls, given: Sizes, shape: Shape) -> dict[str, tuple[int, ...]]:
        """By the sizes of both."""
        before, beside = (kind.tensors(_of(given, p), shape) for kind, p in ((Prefix, PREFIX), (Parallel, PARALLEL)))
        return _named(PREFIX, before) | _named(PARALLEL, beside)

    @classmethod
    def scaled(cls, tensors: Mapping[str, Tensor], strength: float) -> Mapping[str, Tensor]:
        """Both by `strength`."""
        before, beside = _of(tensors, PREFIX), _of(tensors, PARALLEL)
        return _named(PREFIX, Prefix.scaled(before, strength)) | _named(PARALLEL, Parallel.scaled(beside, strength))

    def beside_mlp(self, layer: int, x: Tensor, rows: Rows) -> Tensor | float:
        """See `Parallel`."""
        return self.beside.beside_mlp(layer, x, rows)

    def prefix(self, layer: int, rows: Rows) -> Keys | None:
        """See `Prefix`."""
        return self.before.prefix(layer, rows)


KIND = MAM


def _of(tensors: Mapping[str, V], prefix: str) -> dict[str, V]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _named(prefix: str, tensors: Mapping[str, V]) -> dict[str, V]:
    return {prefix + name: tensor for name, tensor in tensors.items()}
