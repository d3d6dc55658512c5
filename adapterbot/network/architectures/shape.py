"""The numbers of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from adapterbot.errors import BackboneError


@dataclass(frozen=True, slots=True)
class Rope:
    """How rotary embeddings turn with the position (Su et al. 2021): at frequencies theta^(-2i / head width).

    `scaling` makes them slower, for texts longer than a model was first trained on: "linear" all of them by `factor`;
    "llama3" those that turn less than `low` times within `original` positions by `factor`, those above `high` not at
    all, and those between in part.
    """

    theta: float
    scaling: Literal["none", "linear", "llama3"] = "none"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original: int = 8192

    def __post_init__(self) -> None:
        if not (self.theta > 0 and self.factor > 0 and self.original > 0 and self.high > self.low > 0):
            raise BackboneError(f"rotary embeddings cannot turn by {self}")


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a model: what a cache, an adapter and a forward pass need to know of its weights.

    Without `kv_heads` every head has keys and values of its own; without `head_width` the heads share the width.
    """

    vocab: int
    positions: int
    width: int
    layers: int
    heads: int
    inner: int
    epsilon: float = 1e-5
    activation: str = "gelu_new"
    tied: bool = True
    kv_heads: int = 0  # each serves heads / kv_heads heads
    head_width: int = 0
    rope: Rope | None = None
    qkv_bias: bool = False
    qk_norm: bool = False

    def __post_init__(self) -> None:
        least = min(self.vocab, self.positions, self.width, self.layers, self.inner)
        if least < 1 or self.kv_heads < 0 or self.head_width < 0:
            raise BackboneError(f"a model cannot have such numbers: {self}")
        if self.heads < 1 or (not self.head_width and self.width % self.heads):
            raise BackboneError(f"a width of {self.width} cannot be split into {self.heads} heads")
        object.__setattr__(self, "kv_heads", self.kv_heads or self.heads)
        object.__setattr__(self, "head_width", self.head_width or self.width // self.heads)
        if self.heads % self.kv_heads:
            raise BackboneError(f"{self.heads} heads cannot share {self.kv_heads} heads of keys and values")
        if self.rope is not None and self.head_width % 2:
            raise BackboneError(f"heads of width {self.head_width} cannot be rotated in pairs")
