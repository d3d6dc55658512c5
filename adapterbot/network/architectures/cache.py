"""Keys and values of the tokens so far, and where a forward pass puts its own.

B rows, T new tokens, S tokens in all, K heads of keys and values, w width of a head, L layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.network.architectures.shape import Shape


class KeyValues(Protocol):
    """What keeps the keys and values of tokens."""

    def append(self, layer: int, keys: Tensor, values: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Take keys and values [B, K, T, w] of a layer; returns those of all S tokens [B, K, S, w]."""
        ...

    def append_beside(self, place: int, keys: Tensor, values: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """`append` for an adapter's own attention, whose heads may be of another number and width; they take
        `layers_beside` layers from `place` on."""
        ...


class Packing:
    """Rows of several lengths as one sequence without padding, N tokens in all: only attention needs them apart."""

    def __init__(self, places: Tensor, real: Tensor) -> None:
        """`places` [B, T] says where each token of the rows is in the sequence, `real` [B, T] which are no padding."""
        self.size = places.shape
        self.to_rows = torch.where(real, places, 0).flatten()  # [B * T]
        at = real.flatten().nonzero()[:, 0]
        self.to_sequence = at[places.flatten()[at].argsort()]  # [N]

    def rows(self, x: Tensor) -> Tensor:
        """Heads [1, H, N, w] -> [B, H, T, w]."""
        heads, width = x.shape[1], x.shape[3]
        taken = _take(x[0].transpose(0, 1).flatten(1), self.to_rows, self.to_sequence)
        return taken.view(*self.size, heads, width).transpose(1, 2)

    def sequence(self, x: Tensor) -> Tensor:
        """[B, T, d] -> [1, N, d]."""
        taken = _take(x.flatten(0, 1), self.to_sequence, self.to_rows)
        return taken[None]


class _Take(torch.autograd.Function):
    """Rows x [N, d] by an index, whose inverse the gradient takes: what is padding on one side has none."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.inverse = inverse
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].index_select(0, ctx.inverse), None, None


_take: Callable[[Tensor, Tensor, Tensor], Tensor] = _Take.apply


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the T new tokens of B rows stand in their sequences, and what each of them sees."""

    positions: Tensor  # [B, T]
    mask: Tensor | None = None  # [B or 1, 1, T, S] bool, or what is added to scores; None: itself and all before it
    cache: KeyValues | None = None
    columns: Tensor | None = None  # [B, T] of the cache, where rows differ
    packing: Packing | None = None  # the hidden states are one sequence [1, N, d], and so are the positions [1, N]
    carried: dict[Any, Tensor] = field(default_factory=dict)  # what adapters carry from block to block of this pass

    @classmethod
    def of(cls, ids: Tensor) -> Layout:
        """That of whole sequences ids [B, T], padded at the right."""
        return cls(torch.arange(ids.shape[1], device=ids.device).expand_as(ids))


class Cache:
    """Keys and values of the tokens so far; every row has its own length. The caller owns it, the decoder adds to it.

    New tokens of a row stand directly after its last one. What lies beyond a row's length is never seen.
    """

    def __init__(
        self,
        shape: Shape,
        rows: int,
        capacity: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        layers: int | None = None,
    ) -> None:
        """`layers`: the model's, and those that adapters ask for (`AdapterBank.layers`); None: the model's alone."""
        # Zeros, as what is not seen is still multiplied, by 0. One column more takes the padding of unequal rows.
        size = (layers or shape.layers, 2, rows, shape.kv_heads, capacity + 1, shape.head_width)
        self.kv = torch.zeros(size, device=device, dtype=dtype)  # [L, 2, B, K, capacity + 1, w]
        self.shape = shape
        self.capacity = capacity
        self.lengths = [0] * rows

    def fork(self, rows: Sequence[int], room: int) -> Cache:
        """A cache with these rows, in this order, and room for so many tokens more. This one stays as it is.

        A row may be taken several times: drafts share the computation of their prompt. Each has keys of its own in
        memory, as attention reads the keys of a row in one piece.
        """
        lengths = [self.lengths[row] for row in rows]
        longest = max(lengths)
        kv = self.kv
        other = Cache(self.shape, len(rows), longest + room, device=kv.device, dtype=kv.dtype, layers=len(kv))
        index = torch.tensor(rows, device=self.kv.device)
        for ours, theirs in zip(self.kv, other.kv, strict=True):  # a layer at a time: no third copy of all
            theirs[..., :longest, :] = ours[..., :longest, :].index_select(1, index)
        other.lengths = lengths
        return other

    def reorder(self, rows: Sequence[int]) -> None:
        """Put these rows in place of all, as many as there are."""
        index = torch.tensor(rows, device=self.kv.device)
        self.lengths = [self.lengths[row] for row in rows]
        longest = max(self.lengths)
        for layer in self.kv:
            layer[..., :longest, :] = layer[..., :longest, :].index_select(1, index)

    def layout(self, new: int, lengths: Sequence[int] | None = None) -> Layout:
        """Where `new` tokens per row would stand, of which the first `lengths[b]` are real (None: all of them).

        Raises:
            ValueError: a row would be longer than the capacity.
        """
        if max(map(sum, zip(self.lengths, self._real(new, lengths), strict=True))) > self.capacity:
            raise ValueError(f"a cache of {self.capacity} tokens has no room for {new} after {max(self.lengths)}")
        start = self.lengths[0]
        device = self.kv.device
        if start + new <= self.capacity and all(length == start for length in self.lengths):
            positions = self._positions(torch.arange(start, start + new, device=device)).expand(len(self.lengths), -1)
            # One token sees everything, and without a past what it sees is causal: no mask is faster than a mask.
            mask = _seen(start + torch.arange(new, device=device)[None], start + new) if new > 1 and start else None
            return Layout(positions, mask, self)
        offsets = torch.arange(new, device=device)
        columns = torch.tensor(self.lengths, device=device)[:, None] + offsets  # [B, T]
        positions = self._positions(columns)
        mask = _seen(columns, min(max(self.lengths) + new, self.capacity))
        if lengths is not None:  # padding must not lie on what stands in the last column
            real = offsets < torch.tensor(lengths, device=device)[:, None]
            columns = torch.where(real, columns, self.capacity)
        return Layout(positions, mask, self, columns)

    def append(self, layer: int, keys: Tensor, values: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Store keys and values [B, K, T, w] of a layer; returns those of all S tokens."""
        kept_keys, kept_values = self.kv[layer].unbind()  # [B, K, capacity + 1, w]
        if layout.columns is None:
            start = self.lengths[0]
            end = self.lengths[0] + keys.shape[2]
            kept_keys[:, :, start:end] = keys
            kept_values[:, :, start:end] = values
        else:
            end = min(max(self.lengths) + keys.shape[2], self.capacity)
            rows = torch.arange(len(self.lengths), device=keys.device)[:, None]
            kept_keys[rows, :, layout.columns] = keys.transpose(1, 2).to(kept_keys.dtype)  # [B, T, K, w]
            kept_values[rows, :, layout.columns] = values.transpose(1, 2).to(kept_values.dtype)
        return kept_keys[:, :, :end], kept_values[:, :, :end]

    def append_beside(self, place: int, keys: Tensor, values: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Store keys and values [B, h, T, s / h] of an adapter; returns those of all S tokens [B, h, S, s / h].

        Side by side, and filled up with zeros, they are as wide as those of some layers.
        """
        width = self.shape.kv_heads * self.shape.head_width
        s = keys.shape[1] * keys.shape[3]
        wide = torch.stack([keys, values]).transpose(2, 3).flatten(3)  # [2, B, T, s]
        wide = F.pad(wide, (0, -s % width)).unflatten(-1, (-1, self.shape.kv_heads, self.shape.head_width))
        parts = wide.permute(3, 0, 1, 4, 2, 5)  # [layers, 2, B, K, T, w]
        kept = torch.stack([torch.stack(self.append(place + i, k, v, layout)) for i, (k, v) in enumerate(parts)])
        kept = kept.permute(1, 2, 4, 0, 3, 5).flatten(3)[..., :s]  # [2, B, S, s]
        all_keys, all_values = kept.unflatten(-1, (keys.shape[1], -1)).transpose(2, 3)
        return all_keys, all_values

    def advance(self, new: int, lengths: Sequence[int] | None = None) -> None:
        """Count the tokens of a forward pass that has gone through all layers."""
        self.lengths = [length + more for length, more in zip(self.lengths, self._real(new, lengths), strict=True)]

    def _real(self, new: int, lengths: Sequence[int] | None) -> Sequence[int]:
        return [new] * len(self.lengths) if lengths is None else lengths

    def _positions(self, columns: Tensor) -> Tensor:
        """Padding, and what follows a reply that has ended while other rows go on, may lie beyond the last position."""
        return columns.clamp(max=self.shape.positions - 1)


def layers_beside(shape: Shape, width: int) -> int:
    """How many layers of a cache the keys and values of an adapter's attention of this width take."""
    return math.ceil(width / (shape.kv_heads * shape.head_width))


def _seen(columns: Tensor, keys: int) -> Tensor:
    """Which of S keys the tokens in these columns [B or 1, T] see: themselves and all before [B or 1, 1, T, S]."""
    return (torch.arange(keys, device=columns.device) <= columns[..., None])[:, None]
