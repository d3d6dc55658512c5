"""What a skill adds to the frozen model: the contract of a kind of adapter, and one file per kind.

To add a kind: one file here with a class that derives from `AdapterKind` (or from `Stacked`, which lays its tensors
out), and `KIND = <the class>` in it; and its name and settings among those of spec/adapters.py.
G adapters, B rows, T tokens, S tokens in all, P prefix tokens, d width, H heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.network.architectures import Prefix
from adapterbot.network.architectures.cache import Layout
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable

EVEN = 4  # rows of a product


class Rows:
    """Which of G adapters each of B rows has; a row may have none of them.

    The tokens of all rows with the same adapter go through its weights together, so that these are read, not copied.
    """

    def __init__(self, adapters: Sequence[int | None], device: torch.device | None = None) -> None:
        self._device = device
        members = [row for row, adapter in enumerate(adapters) if adapter is not None]
        groups = [[row for row in members if adapters[row] == g] for g in range(len({adapters[m] for m in members}))]
        self.count = len(adapters)
        self.alike = len(groups) == 1 and len(members) == len(adapters)  # all rows have the one adapter
        self._groups = groups
        self._members = torch.tensor(members, device=device)
        self._laid = dict[int, _Laid]()  # by what the groups are filled up to
        self.seen = torch.tensor([adapter is not None for adapter in adapters], device=device)  # [B]
        self.places = torch.tensor([-1 if adapter is None else adapter for adapter in adapters], device=device)  # [B]
        self.adapters = torch.tensor([adapter or 0 for adapter in adapters], device=device)  # [B]; 0 as well where none

    def gather(self, x: Tensor) -> Tensor:
        """x [B, T, d] -> the tokens by adapter [G, most * T, d], or [B, T, d] where all rows are alike.

        A group of fewer rows than others is filled up with its first. Of single tokens, so is every group to whole
        EVEN: then what a product gives for a row is the same to the last bit however many there are.
        """
        if self.alike:
            missing = -len(x) % EVEN if x.shape[1] == 1 else 0
            return F.pad(x, (0, 0, 0, 0, 0, missing)) if missing else x
        laid = self._lay(x.shape[1])
        grouped = x if laid.plain else x[laid.filled]
        return grouped.reshape(-1, laid.most * x.shape[1], x.shape[2])

    def scatter(self, x: Tensor, y: Tensor) -> Tensor:
        """x [B, T, d] with the rows that have an adapter replaced by what `gather` gave, changed to y."""
        if self.alike:
            return y[: len(x)]
        laid = self._lay(x.shape[1])
        rows = y.reshape(-1, x.shape[1], y.shape[2])
        return rows if laid.plain else x.index_copy(0, self._members, rows[laid.places])

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """x [B, T, in] times the weight [G, in, out] of each row's adapter [B, T, out]; 0 where a row has none."""
        if self.alike:
            y = self.gather(x) @ weight.squeeze(0)
            return self.scatter(x, y if bias is None else y + bias.squeeze(0))
        y = self.gather(x) @ weight
        y = y if bias is None else y + bias[:, None]
        return self.scatter(y.new_zeros(self.count, x.shape[1], y.shape[2]), y)

    def _lay(self, tokens: int) -> _Laid:
        """Where the rows of the groups go, for so many tokens a row."""
        step = EVEN if tokens == 1 else 1
        if step not in self._laid:
            self._laid[step] = _Laid.of(self._groups, step, self.count, self._device)
        return self._laid[step]


class _Laid(NamedTuple):
    """Groups of rows, filled up to `most` each."""

    most: int
    plain: bool  # all rows in their order, none filled in
    filled: Tensor  # [G * most], the rows
    places: Tensor  # [members], of each row among them

    @classmethod
    def of(cls, groups: Sequence[Sequence[int]], step: int, count: int, device: torch.device | None) -> _Laid:
        most = -(-max(map(len, groups)) // step) * step
        filled = [row for group in groups for row in [*group, *[group[0]] * (most - len(group))]]
        place = {row: g * most + i for g, group in enumerate(groups) for i, row in enumerate(group)}
        places = torch.tensor([place[row] for row in sorted(place)], device=device)
        return cls(most, filled == list(range(count)), torch.tensor(filled, device=device), places)


class AdapterKind(ABC):
    """The weights of G adapters of one kind, laid out for the rows of a batch, and what they change.

    A kind has one or several `sites`: the names of those methods below that it overrides. Tensors go by the names that
    they have in adapter.safetensors.
    """

    name: ClassVar[str]  # `adapter.type` in skill.toml, `type` in the metadata of the file
    sites: ClassVar[frozenset[str]]
    fixed: ClassVar[frozenset[str]] = frozenset()  # tensors that are no weights: nothing of them is learnt
    first_layer: int = 0  # the lowest block that is changed
    place: int = 0  # the first of the cache's layers that are its own (see `memory`)

    @abstractmethod
    def __init__(self, weights: Sequence[Mapping[str, Tensor]], shape: Shape) -> None:
        """Lay the tensors of G adapters out side by side; padding must change nothing."""

    @classmethod
    @abstractmethod
    def init(cls, shape: Shape, table: AdapterTable, draw: torch.Generator) -> dict[str, Tensor]:
        """First weights, float32, with which nothing is changed.

        Raises:
            AdapterError: the table asks for what the backbone does not have.
        """

    @classmethod
    @abstractmethod
    def tensors(cls, given: Mapping[str, tuple[int, ...]], shape: Shape) -> dict[str, tuple[int, ...]]:
        """The tensors that a file must have, with their shapes, by the sizes that `given` ones tell.

        Raises:
            AdapterError: a size is out of range; the message says which tensor.
        """

    @classmethod
    def check(cls, tensors: Mapping[str, Tensor], shape: Shape) -> tuple[str, ...]:
        """What the user should know of tensors that fit, such as that they have no effect."""
        return ()

    @classmethod
    def folded(cls, learnt: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What a file holds of the tensors that `init` gave, in the state that training has brought them to."""
        return learnt

    @classmethod
    def group(cls, tensors: Mapping[str, Tensor]) -> Hashable:
        """Adapters of a kind are laid out side by side where this is the same of what their files hold."""
        return ()

    @classmethod
    def memory(cls, tensors: Mapping[str, Tensor], shape: Shape) -> int:
        """Layers of a cache that hold keys and values of its own, by what its file holds."""
        return 0

    @classmethod
    def scaled(cls, tensors: Mapping[str, Tensor], strength: float) -> Mapping[str, Tensor]:
        """All that is added to the states times `strength`, as task vectors are scaled (Ilharco et al. 2023)."""
        return tensors

    def after_attention(self, layer: int, x: Tensor, rows: Rows) -> Tensor:
        """What the attention of a block adds [B, T, d], changed."""
        raise NotImplementedError

    def after_mlp(self, layer: int, x: Tensor, rows: Rows) -> Tensor:
        """What the MLP of a block adds [B, T, d], changed."""
        raise NotImplementedError

    def beside_mlp(self, layer: int, x: Tensor, rows: Rows) -> Tensor | float:
        """What is added to the MLP's output, given its input [B, T, d], the normalised states; 0.0 for nothing."""
        raise NotImplementedError

    def after_block(self, layer: int, x: Tensor, rows: Rows) -> Tensor:
        """The hidden states after a block [B, T, d], changed."""
        raise NotImplementedError

    def around_block(self, layer: int, before: Tensor, x: Tensor, rows: Rows, layout: Layout) -> Tensor:
        """The hidden states x after a block [B, T, d], changed, given those `before` it."""
        raise NotImplementedError

    def delta(self, linear: str, layer: int, x: Tensor, rows: Rows) -> Tensor | float:
        """What is added to a linear map (`Architecture.linears`) of its input x [B, T, in]; 0.0 where nothing is."""
        raise NotImplementedError

    def prefix(self, layer: int, rows: Rows) -> Prefix | None:
        """Keys and values before those of the tokens."""
        raise NotImplementedError


Parts = Sequence[tuple[AdapterKind, Rows]]


class BatchAdapters:
    """What the rows of a batch have of adapters: an argument of the forward pass, never a state of the model.

    Each of the `parts` reads what those before it have made; the `averaged` ones all read the same.
    """

    def __init__(self, parts: Parts, replies_only: bool = False, averaged: Parts = ()) -> None:
        self.parts = [*parts, *averaged]
        self.replies_only = replies_only  # of all rows: they act on the tokens of replies alone
        self.sites = frozenset(site for kind, _ in self.parts for site in kind.sites)
        self.first_layer = min((kind.first_layer for kind, _ in self.parts), default=0)
        self._stacked = {site: [part for part in parts if site in part[0].sites] for site in self.sites}
        self._averaged = {site: [part for part in averaged if site in part[0].sites] for site in self.sites}
        self._at = {site: [part for part in self.parts if site in part[0].sites] for site in self.sites}

    def after_attention(self, layer: int, x: Tensor) -> Tensor:
        """See `AdapterKind`."""
        return self._changed("after_attention", x, lambda kind, x, rows: kind.after_attention(layer, x, rows))

    def after_mlp(self, layer: int, x: Tensor) -> Tensor:
        """See `AdapterKind`."""
        return self._changed("after_mlp", x, lambda kind, x, rows: kind.after_mlp(layer, x, rows))

    def beside_mlp(self, layer: int, x: Tensor) -> Tensor | float:
        """See `AdapterKind`."""
        total: Tensor | float = 0.0
        for kind, rows in self._at["beside_mlp"]:
            total = total + kind.beside_mlp(layer, x, rows)
        return total

    def after_block(self, layer: int, x: Tensor) -> Tensor:
        """See `AdapterKind`."""
        return self._changed("after_block", x, lambda kind, x, rows: kind.after_block(layer, x, rows))

    def around_block(self, layer: int, before: Tensor, x: Tensor, layout: Layout) -> Tensor:
        """See `AdapterKind`."""
        return self._changed("around_block", x, lambda kind, x, rows: kind.around_block(layer, before, x, rows, layout))

    def delta(self, linear: str, layer: int, x: Tensor) -> Tensor | float:
        """See `AdapterKind`."""
        total: Tensor | float = 0.0
        for kind, rows in self._at["delta"]:
            total = total + kind.delta(linear, layer, x, rows)
        return total

    def prefix(self, layer: int) -> Prefix | None:
        """See `AdapterKind`."""
        prefixes = [p for kind, rows in self._at["prefix"] if (p := kind.prefix(layer, rows)) is not None]
        if len(prefixes) < 2:
            return prefixes[0] if prefixes else None
        most = max(len(p.keys) for p in prefixes)
        keys, values = (torch.cat([p[i].expand(most, -1, -1, -1) for p in prefixes], 2) for i in range(2))
        seen = [p.seen.expand(most, -1) for p in prefixes]
        if len({s.dtype for s in seen}) > 1:
            seen = [s if s.dtype != torch.bool else torch.where(s, 0.0, -torch.inf).to(keys.dtype) for s in seen]
        return Prefix(keys, values, torch.cat(seen, 1))

    def _changed(self, site: str, x: Tensor, change: Callable[[AdapterKind, Tensor, Rows], Tensor]) -> Tensor:
        """x [B, T, d], changed by all parts at a site."""
        for kind, rows in self._stacked[site]:
            x = change(kind, x, rows)
        added = [change(kind, x, rows) - x for kind, rows in self._averaged[site]]
        return x if not added else x + torch.stack(added).sum(0)
