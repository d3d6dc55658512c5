"""Forward passes, one file per family of models.

To add a family: one file here with a class that derives from `Architecture`, and `ARCHITECTURE = <the class>` in it.
B rows, T new tokens, S tokens in all (cached and new), d width, K heads of keys and values of width w, L layers, V
vocabulary.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from adapterbot.network.architectures.cache import Cache, Layout
from adapterbot.network.architectures.shape import Shape


class Prefix(NamedTuple):
    """Keys and values that stand before those of a layer's tokens, and which of them a row has; B may be 1: all rows
    have the same."""

    keys: Tensor  # [B, K, P, w]
    values: Tensor  # [B, K, P, w]
    seen: Tensor  # [B, P] bool, or what is added to the scores: 0, -inf where a row has none


class Projection(NamedTuple):
    """A projection of a block: the linear map (`Architecture.linears`) that computes it, and which of its outputs."""

    linear: str
    inputs: int
    start: int
    outputs: int


class Adapters(Protocol):
    """What a decoder asks of the adapters of a batch, at those `sites` where they have something to say."""

    @property
    def sites(self) -> frozenset[str]:
        """Names of the methods below that change anything."""
        ...

    @property
    def first_layer(self) -> int:
        """The lowest block with an adapter."""
        ...

    def after_attention(self, layer: int, x: Tensor) -> Tensor:
        """What the attention of a block adds to its input [B, T, d], changed."""
        ...

    def after_mlp(self, layer: int, x: Tensor) -> Tensor:
        """What the MLP of a block adds to its input [B, T, d], changed."""
        ...

    def beside_mlp(self, layer: int, x: Tensor) -> Tensor | float:
        """What is added to the MLP's output, given its input, the normalised states x [B, T, d]."""
        ...

    def after_block(self, layer: int, x: Tensor) -> Tensor:
        """The hidden states [B, T, d] after a block, changed."""
        ...

    def around_block(self, layer: int, before: Tensor, x: Tensor, layout: Layout) -> Tensor:
        """The hidden states x [B, T, d] after a block, changed, given those `before` it."""
        ...

    def delta(self, linear: str, layer: int, x: Tensor) -> Tensor | float:
        """What is added to the output of a linear map of a block, given its input x [B, T, in]."""
        ...

    def prefix(self, layer: int) -> Prefix | None:
        """Keys and values before those of the tokens."""
        ...


class Architecture(nn.Module, ABC):
    """Token ids to hidden states to logits, written out; adapters and cache are arguments of the forward pass.

    Beside the abstract methods a family keeps to this: its parameters are made without drawing a random number where
    they are large (a model is loaded on the meta device), and a token never sees what stands at its right.
    """

    model_types: ClassVar[tuple[str, ...]]  # of config.json
    linears: ClassVar[tuple[str, ...]]  # of each block: where `Adapters.delta` is asked
    embeddings: ClassVar[str]  # the module that embeds tokens
    published: ClassVar[tuple[str, Mapping[str, str]]]  # `transformers`: where blocks lie, and its names of projections

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    @classmethod
    @abstractmethod
    def projections(cls, shape: Shape) -> Mapping[str, Projection]:
        """What a block computes by its linear maps: q, k, v, o, and the parts of its MLP, gate (where there is one), up
        and down; and those of its linear maps that compute several of them."""

    @classmethod
    @abstractmethod
    def read_config(cls, config: Mapping[str, Any]) -> Shape:
        """The shape that a config.json tells.

        Raises:
            BackboneError: a number is missing or garbled, or a variant is named that is not computed.
        """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """A config.json that `read_config` and `transformers` read."""

    @classmethod
    @abstractmethod
    def from_pretrained(cls, tensors: Mapping[str, Tensor], shape: Shape) -> Self:
        """A decoder on the tensors of a checkpoint, which go by the names of `transformers`.

        Raises:
            BackboneError: a tensor is missing or has another shape.
        """

    @abstractmethod
    def pretrained(self) -> dict[str, Tensor]:
        """The weights by the names of `transformers`: what `from_pretrained` reads."""

    @abstractmethod
    def draw(self, generator: torch.Generator) -> None:
        """First weights for a training from scratch, in place."""

    @abstractmethod
    def embed(self, ids: Tensor, layout: Layout) -> Tensor:
        """ids [B, T] -> the input of the first block [B, T, d]."""

    @abstractmethod
    def blocks(self, x: Tensor, layers: range, layout: Layout, adapters: Adapters | None = None) -> Tensor:
        """Hidden states [B, T, d] before the first of `layers` -> after the last of them; what follows is the trunk's.

        Keys and values go to `layout.cache` where there is one.
        """

    @abstractmethod
    def norm(self, x: Tensor) -> Tensor:
        """Hidden states [B, T, d] after the last block -> final hidden states."""

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """Final hidden states [..., d] -> logits [..., V]. Ask only for the positions that are needed."""

    def forward(
        self,
        ids: Tensor,
        adapters: Adapters | None = None,
        cache: Cache | None = None,
        lengths: Sequence[int] | None = None,
    ) -> Tensor:
        """ids [B, T] -> final hidden states [B, T, d].

        Rows are padded at the right, where no token sees it; with a cache, `lengths` says how many of the T are real.
        """
        layout = Layout.of(ids) if cache is None else cache.layout(ids.shape[1], lengths)
        hidden = self.norm(self.blocks(self.embed(ids, layout), range(self.shape.layers), layout, adapters))
        if cache is not None:
            cache.advance(ids.shape[1], lengths)
        return hidden

    @property
    def parameter_count(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.parameters()) + sum(getattr(m, "packed", 0) for m in self.modules())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type that hidden states are computed in."""
        return next(p.dtype for p in self.parameters() if p.is_floating_point())


def residual_std(layers: int) -> float:
    """Standard deviation of the first weights of a projection into the residual stream (Radford et al. 2019)."""
    return 0.02 / math.sqrt(2 * layers)
