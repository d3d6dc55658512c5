"""The numbers of a model."""

from __future__ import annotations

from dataclasses import dataclass

from adapterbot.errors import BackboneError


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a model: what a cache, an adapter and a forward pass need to know of its weights."""

    vocab: int
    positions: int
    width: int
    layers: int
    heads: int
    inner: int
    epsilon: float = 1e-5
    activation: str = "gelu_new"
    tied: bool = True

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads:
            raise BackboneError(f"a width of {self.width} cannot be split into {self.heads} heads")

    @property
    def head_width(self) -> int:
        """Width of the keys and values of one head."""
        return self.width // self.heads
