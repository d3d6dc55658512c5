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

# On a processor, sums over keys are taken in an order that goes by how many there are. In whole blocks, filled up with
# keys that are not seen, a row's sums are the same to the last bit however long the other rows are.
BLOCK = 64


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
    at: Tensor | None = None  # [B] int64 of the cache on a processor: the column of a row's one new token
    past: int | None = None  # tokens of the longest row before the new ones, where keys come in whole blocks
    carried: dict[Any, Tensor] = field(default_factory=dict)  # what adapters carry from block to block of this pass

    @classmethod
    def of(cls, ids: Tensor) -> Layout:
        """That of whole sequences ids [B, T], padded at the right."""
        return cls(torch.arange(ids.shape[1], device=ids.device).expand_as(ids))


class Cache:
    """Keys and values of the tokens so far; every row has its own length. The caller owns it, the decoder adds to it.

    New tokens of a row stand directly after its last one. What lies beyond a row's length is never seen. Rows come and
    go: memory grows with the most that there were, and is kept.
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
        self.shape = shape
        self.capacity = capacity
        self.lengths = [0] * rows
        self.memory = _zeros(shape, layers or shape.layers, rows, capacity, device, dtype)

    @property
    def kv(self) -> Tensor:
        """Keys and values of the rows [L, 2, B, K, C, w], with room for what may come."""
        return self.memory[:, :, : len(self.lengths)]

    def add(self, other: Cache, row: int = 0, *, length: int | None = None, copies: int = 1, room: int = 0) -> None:
        """So many rows more, each of which goes on from a row of `other` (its first `length` tokens; None: all of them)
        and has room for so many tokens.

        Drafts share the computation of their prompt. Each has keys of its own in memory, as attention reads the keys of
        a row in one piece.
        """
        start = len(self.lengths)
        length = other.lengths[row] if length is None else length
        self._grow(start + copies, length + room, len(other.memory))
        target = self.memory[: len(other.memory), :, start : start + copies, :, :length]
        target.copy_(other.memory[:, :, row : row + 1, :, :length])
        self.lengths += [length] * copies

    def copy(self, row: int, others: Sequence[int]) -> None:
        """Put a row in place of others."""
        length = self.lengths[row]
        for other in others:
            self.memory[:, :, other, :, :length] = self.memory[:, :, row, :, :length]
            self.lengths[other] = length

    def remove(self, row: int, clean: bool = False) -> None:
        """Let a row go; the last one takes its place. `clean`: it may hold what is no number, so that nothing of it is
        left: what is not seen is still multiplied, by 0."""
        if clean:
            self.memory[:, :, row] = 0
        length = self.lengths.pop()
        last = len(self.lengths)
        if row != last:
            self.memory[:, :, row, :, :length] = self.memory[:, :, last, :, :length]
            self.lengths[row] = length

    def _grow(self, rows: int, capacity: int, layers: int) -> None:
        """Have room for so many rows, tokens of each, and layers; raises what torch raises where memory does not do."""
        kv = self.memory
        capacity = max(capacity, self.capacity)
        if layers > len(kv) or rows > kv.shape[2] or capacity > kv.shape[4] - 1:
            most = rows if rows <= kv.shape[2] else max(rows, 2 * kv.shape[2])
            more = _zeros(self.shape, max(layers, len(kv)), max(most, kv.shape[2]), capacity, kv.device, kv.dtype)
            if self.lengths:
                used, longest = len(self.lengths), max(self.lengths)
                more[: len(kv), :, :used, :, :longest] = kv[:, :, :used, :, :longest]
            self.memory = more
        self.capacity = capacity

    def layout(self, new: int, lengths: Sequence[int] | None = None) -> Layout:
        """Where `new` tokens per row would stand, of which the first `lengths[b]` are real (None: all of them).

        On a processor the keys that are read are whole blocks, and there is always a mask: see `BLOCK`.

        Raises:
            ValueError: a row would be longer than the capacity.
        """
        if max(map(sum, zip(self.lengths, self._real(new, lengths), strict=True))) > self.capacity:
            raise ValueError(f"a cache of {self.capacity} tokens has no room for {new} after {max(self.lengths)}")
        start, longest = self.lengths[0], max(self.lengths)
        device = self.memory.device
        exact = device.type == "cpu"
        end = self._end(longest + new)
        offsets = torch.arange(new, device=device)
        at = torch.tensor(self.lengths) if exact and new == 1 and lengths is None else None
        if start + new <= end and all(length == start for length in self.lengths):
            columns = start + offsets[None]
            positions = self._positions(columns).expand(len(self.lengths), -1)
            # Elsewhere one token sees everything, and without a past what it sees is causal: no mask is faster.
            mask = self._mask(columns, end) if exact or (new > 1 and start) else None
            return Layout(positions, mask, self, at=at, past=start if exact else None)
        columns = torch.tensor(self.lengths, device=device)[:, None] + offsets  # [B, T]
        positions = self._positions(columns)
        mask = self._mask(columns, end)
        if lengths is not None:  # padding must not lie on what stands in the last column
            real = offsets < torch.tensor(lengths, device=device)[:, None]
            columns = torch.where(real, columns, self.memory.shape[4] - 1)
        columns = columns.clamp(max=self.memory.shape[4] - 1)
        return Layout(positions, mask, self, columns, at=at, past=longest if exact else None)

    def append(self, layer: int, keys: Tensor, values: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Store keys and values [B, K, T, w] of a layer; returns those of all S tokens."""
        kept_keys, kept_values = self.memory[layer, :, : len(self.lengths)].unbind()  # [B, K, C, w]
        end = self._end(max(self.lengths) + keys.shape[2])
        if layout.columns is None:
            start = self.lengths[0]
            kept_keys[:, :, start : start + keys.shape[2]] = keys
            kept_values[:, :, start : start + keys.shape[2]] = values
        else:
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

    def _end(self, tokens: int) -> int:
        """How many keys are read where the longest row has so many."""
        if self.memory.device.type != "cpu":
            return min(tokens, self.memory.shape[4] - 1)
        return min(-(-tokens // BLOCK) * BLOCK, self.memory.shape[4] - 1)

    def advance(self, new: int, lengths: Sequence[int] | None = None) -> None:
        """Count the tokens of a forward pass that has gone through all layers."""
        self.lengths = [length + more for length, more in zip(self.lengths, self._real(new, lengths), strict=True)]

    def _real(self, new: int, lengths: Sequence[int] | None) -> Sequence[int]:
        return [new] * len(self.lengths) if lengths is None else lengths

    def _mask(self, columns: Tensor, keys: int) -> Tensor:
        """Which of S keys the tokens in these columns [B or 1, T] see: themselves and all before [B or 1, 1, T, S]."""
        seen = (torch.arange(keys, device=columns.device) <= columns[..., None])[:, None]
        if self.memory.device.type != "cpu":
            return seen
        return torch.zeros(seen.shape, dtype=self.memory.dtype).masked_fill_(~seen, -torch.inf)

    def _positions(self, columns: Tensor) -> Tensor:
        """Padding, and what follows a reply that has ended while other rows go on, may lie beyond the last position."""
        return columns.clamp(max=self.shape.positions - 1)


def _zeros(
    shape: Shape, layers: int, rows: int, capacity: int, device: torch.device | str | None, dtype: torch.dtype | None
) -> Tensor:
    """Memory for so many rows of so many tokens, in whole blocks [L, 2, B, K, C, w].

    Zeros, as what is not seen is still multiplied, by 0. One column more takes the padding of unequal rows.
    """
    columns = -(-capacity // BLOCK) * BLOCK + 1
    return torch.zeros(layers, 2, rows, shape.kv_heads, columns, shape.head_width, device=device, dtype=dtype)


def layers_beside(shape: Shape, width: int) -> int:
    """How many layers of a cache the keys and values of an adapter's attention of this width take."""
    return math.ceil(width / (shape.kv_heads * shape.head_width))
