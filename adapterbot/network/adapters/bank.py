"""The adapters of all skills, and what a batch takes of them by row."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary, ref

from torch import Tensor

from adapterbot.errors import UnknownNameError
from adapterbot.network.adapters import AdapterKind, BatchAdapters, Rows
from adapterbot.network.adapters.file import AdapterFile, OnDisk
from adapterbot.network.adapters.kinds import kind_of
from adapterbot.network.adapters.shelf import Shelf
from adapterbot.network.backbone import Backbone, fingerprint_of
from adapterbot.spec.mixing import Part, name_of, parts_of

KEPT = 4  # adapters as they were laid out side by side


class _Layout(NamedTuple):
    """What is laid out together: adapters of a kind and group, that stand at the same place in the names of rows."""

    depth: int
    averaged: bool
    kind: type[AdapterKind]
    group: Hashable


@dataclass(slots=True)
class _Members:
    """The adapters of a layout, each with how often it counts, and which of them a row has."""

    adapters: list[Part] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)  # row -> index of its adapter

    def add(self, row: int, part: Part) -> None:
        if part not in self.adapters:
            self.adapters.append(part)
        self.rows[row] = self.adapters.index(part)


class _Laid(NamedTuple):
    """Adapters laid out side by side, and the files that they are of."""

    side_by_side: AdapterKind
    of: tuple[ref[AdapterFile], ...]


class AdapterBank:
    """The skills' adapters, as their files hold them, where the backbone is; which there are never changes.

    Those on disk are read when they are asked for, and may leave memory again (see `Shelf`): who is to go on with the
    same ones `hold`s them. Wherever a skill is named, so may be a stack or an average of several (see `spec.mixing`).
    """

    def __init__(self, backbone: Backbone, adapters: Shelf | Mapping[str, AdapterFile | OnDisk] | None = None) -> None:
        self.backbone = backbone
        self.shelf = adapters if isinstance(adapters, Shelf) else Shelf(backbone, adapters or {})
        self._heads = self.shelf.heads
        self.rows = {name: i for i, name in enumerate(self._heads, 1)}
        self._groups = {name: kind_of(head.type).group(head.stored) for name, head in self._heads.items()}
        self._places: dict[tuple[type[AdapterKind], Hashable], int] = {}  # of what has layers of the cache of its own
        self._memory = 0  # how many these are in all, for one adapter a row
        self._laid: dict[tuple[_Layout, tuple[Part, ...]], _Laid] = {}  # the newest, the oldest first
        for name, head in self._heads.items():
            kind = kind_of(head.type)
            if (kind, self._groups[name]) not in self._places and (memory := kind.memory(head.stored, backbone.shape)):
                self._places[kind, self._groups[name]] = self._memory
                self._memory += memory

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the weights take."""
        return self.shelf.nbytes

    def file(self, skill: str) -> AdapterFile:
        """The adapter of one skill, as it was read; raises as `Shelf.get`."""
        return self.shelf.get(skill)

    def hold(self, skill: str | None) -> tuple[AdapterFile, ...]:
        """The adapters that a name stands for, which stay as they are while what is returned is referred to.

        Raises:
            UnknownNameError: one is not in the bank. AdapterError: one cannot be read from its file.
        """
        return () if skill is None else tuple(self.shelf.get(part.skill) for part in parts_of(skill))

    def version(self, skill: str) -> tuple[str, ...]:
        """The name, and a hash of all weights that it stands for: what others have computed is not these ones'."""
        return skill, *(_version(file) for file in self.hold(skill))

    def parameters(self, skill: str) -> int:
        """How many weights the skill's adapter has; 0 where it has none."""
        return sum(self._heads[part.skill].parameters for part in parts_of(skill) if part.skill in self._heads)

    def layers(self, skills: Sequence[str | None]) -> int:
        """Layers of a cache for rows with these adapters: some keep keys and values of their own."""
        depth = max((len(parts_of(skill)) for skill in skills if skill is not None), default=0)
        return self.backbone.shape.layers + self._memory * depth

    def with_adapter(self, name: str, file: AdapterFile | OnDisk) -> AdapterBank:
        """This bank with one adapter more, or with another in its place; this one stays as it is."""
        return AdapterBank(self.backbone, self.shelf.with_adapter(name, file))

    def known(self, skill: str) -> str | None:
        """The name with those of its skills alone that have an adapter; None where none has."""
        return name_of(part for part in parts_of(skill) if part.skill in self._heads)

    def on_prompts(self, skills: Sequence[str | None]) -> list[str | None]:
        """Which of these adapters act on the tokens of a prompt as well; None for those that act on replies alone."""
        return [
            None
            if skill is None
            else name_of(p for p in parts_of(skill) if p.skill in self._heads and not self._heads[p.skill].replies_only)
            for skill in skills
        ]

    def select(self, skills: Sequence[str | None]) -> BatchAdapters | None:
        """Weights for a batch whose row b has the adapter `skills[b]` (None: the backbone alone).

        Each adapter is brought to the type of the backbone once, however many rows have it, and padded to the widest
        of these rows alone. None when no row has an adapter.

        Raises:
            UnknownNameError: an adapter that is not in the bank; never silently none.
            AdapterError: one that nobody holds cannot be read.
        """
        layouts: dict[_Layout, _Members] = {}
        for row, skill in enumerate(skills):
            for depth, part in enumerate(() if skill is None else parts_of(skill)):
                if part.skill not in self._heads:
                    raise UnknownNameError("adapter", part.skill, self._heads)
                kind = kind_of(self._heads[part.skill].type)
                layout = _Layout(depth, part.weight is not None, kind, self._groups[part.skill])
                layouts.setdefault(layout, _Members()).add(row, part)
        parts = {True: list[tuple[AdapterKind, Rows]](), False: list[tuple[AdapterKind, Rows]]()}
        for layout in sorted(layouts, key=lambda layout: layout.depth):
            members = layouts[layout]
            adapters = self._side_by_side(layout, tuple(members.adapters))
            place = self._places.get((layout.kind, layout.group), 0)
            adapters.place = self.backbone.shape.layers + self._memory * layout.depth + place
            rows = Rows([members.rows.get(row) for row in range(len(skills))], self.backbone.device)
            parts[layout.averaged].append((adapters, rows))
        replies_only = not any(self.on_prompts(skills))
        return BatchAdapters(parts[False], replies_only, parts[True]) if layouts else None

    def _side_by_side(self, layout: _Layout, members: tuple[Part, ...]) -> AdapterKind:
        """These adapters laid out, at most once while rows of a batch come and go."""
        key = layout, members
        files = [self.shelf.get(part.skill) for part in members]
        laid = self._laid.pop(key, None)
        if laid is None or any(one() is not file for one, file in zip(laid.of, files, strict=True)):
            weights = [_weights(file, part, self.backbone) for file, part in zip(files, members, strict=True)]
            laid = _Laid(layout.kind(weights, self.backbone.shape), tuple(ref(file) for file in files))
        self._laid[key] = laid
        for oldest in list(self._laid)[:-KEPT]:
            self._laid.pop(oldest, None)  # another thread may have been faster
        return laid.side_by_side


_versions: WeakKeyDictionary[AdapterFile, str] = WeakKeyDictionary()  # while they are in memory


def _version(file: AdapterFile) -> str:
    """A hash of the numbers that an adapter is computed with, made once for each that is in memory."""
    if file not in _versions:
        _versions[file] = f"{fingerprint_of(file.stored)} {file.strength}"
    return _versions[file]


def _weights(file: AdapterFile, part: Part, backbone: Backbone) -> dict[str, Tensor]:
    """One adapter's tensors as they are used."""
    tensors = file.tensors
    strength = file.strength * (1.0 if part.weight is None else part.weight)
    scaled = tensors if strength == 1 else kind_of(file.type).scaled(tensors, strength)
    return {n: t.to(backbone.device, backbone.dtype) for n, t in scaled.items()}
