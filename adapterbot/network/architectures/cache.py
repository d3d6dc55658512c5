"""Keys and values of the tokens so far."""

from __future__ import annotations

import torch
from torch import Tensor

from adapterbot.network.architectures.shape import Shape


class Cache:
    """Keys and values of the tokens so far. The caller owns it; the decoder appends to it."""

    def __init__(self, shape: Shape, rows: int, capacity: int, pad: Tensor | None = None) -> None:
        size = (shape.layers, 2, rows, shape.heads, capacity, shape.width // shape.heads)
        self.kv = torch.zeros(size)  # [L, 2, B, H, capacity, d/H]
        self.length = 0
        self.pad = pad if pad is not None and bool(pad.any()) else None  # [B] padding tokens at the left

    def select(self, rows: Tensor) -> Cache:
        """A cache with these rows, in this order; a row may be taken several times (drafts share a prefill)."""
        other = object.__new__(Cache)
        other.kv, other.length = self.kv[:, :, rows], self.length
        other.pad = None if self.pad is None else self.pad[rows]
        return other

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v [B, H, T, d/H] of a layer; returns all S of them."""
        end = self.length + k.shape[2]
        self.kv[layer, 0, :, :, self.length : end], self.kv[layer, 1, :, :, self.length : end] = k, v
        return self.kv[layer, 0, :, :, :end], self.kv[layer, 1, :, :, :end]


def _mask(cache: Cache, new: int, device: torch.device) -> Tensor | None:
    """Which of S keys each of T new tokens may see: [B or 1, 1, T, S], or None when a plain causal mask will do."""
    if cache.pad is None and (new == 1 or cache.length == 0):
        return None
    query = torch.arange(cache.length, cache.length + new, device=device)[:, None]  # [T, 1]
    key = torch.arange(cache.length + new, device=device)[None, :]  # [1, S]
    seen = (key <= query)[None]
    if cache.pad is not None:
        seen = seen & (key >= cache.pad[:, None, None])  # [B, T, S]
        seen = seen | (key == query)[None]  # padding sees itself: a softmax over nothing would be NaN
    return seen[:, None]
