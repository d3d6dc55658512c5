"""The adapters of all skills, and what a batch takes of them by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from adapterbot.errors import UnknownNameError
from adapterbot.network.adapters import AdapterKind, BatchAdapters, Rows
from adapterbot.network.adapters.file import AdapterFile
from adapterbot.network.adapters.kinds import kind_of
from adapterbot.network.backbone import Backbone


class AdapterBank:
    """All loaded skills' weights, as their files hold them, where the backbone is. Read-only after it is made."""

    def __init__(self, backbone: Backbone, adapters: Mapping[str, AdapterFile] | None = None) -> None:
        self._backbone = backbone
        self._files = {
            name: replace(file, stored={n: t.to(backbone.device) for n, t in file.stored.items()})
            for name, file in (adapters or {}).items()
        }
        self.rows = {name: i for i, name in enumerate(self._files, 1)}

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the weights take."""
        return sum(t.nbytes for file in self._files.values() for t in file.stored.values())

    def parameters(self, skill: str) -> int:
        """How many weights the skill's adapter has; 0 where it has none."""
        return self._files[skill].parameters if skill in self._files else 0

    def on_prompts(self, skills: Sequence[str | None]) -> list[str | None]:
        """Which of these adapters act on the tokens of a prompt as well; None for those that act on replies alone."""
        return [skill if skill in self._files and not self._files[skill].replies_only else None for skill in skills]

    def select(self, skills: Sequence[str | None]) -> BatchAdapters | None:
        """Weights for a batch whose row b has the adapter `skills[b]` (None: the backbone alone).

        Each adapter is brought to the type of the backbone once, however many rows have it, and padded to the widest
        of these rows alone. None when no row has an adapter.

        Raises:
            UnknownNameError: an adapter that is not in the bank; never silently none.
        """
        for skill in skills:
            if skill is not None and skill not in self._files:
                raise UnknownNameError("adapter", skill, self._files)
        by_skill: dict[type[AdapterKind], dict[str, dict[str, Tensor]]] = {}
        for skill in dict.fromkeys(skill for skill in skills if skill is not None):
            file = self._files[skill]
            kind = kind_of(file.type)
            by_skill.setdefault(kind, {})[skill] = self._weights(kind, file)
        parts = []
        for kind, weights in by_skill.items():
            number = {skill: g for g, skill in enumerate(weights)}
            rows = Rows([None if skill is None else number.get(skill) for skill in skills], self._backbone.device)
            parts.append((kind(list(weights.values()), self._backbone.shape), rows))
        replies_only = not any(self.on_prompts(skills))
        return BatchAdapters(parts, replies_only) if parts else None

    def _weights(self, kind: type[AdapterKind], file: AdapterFile) -> dict[str, Tensor]:
        """One adapter's tensors as they are used."""
        tensors = file.tensors
        scaled = tensors if file.strength == 1 else kind.scaled(tensors, file.strength)
        return {n: t.to(self._backbone.device, self._backbone.dtype) for n, t in scaled.items()}
