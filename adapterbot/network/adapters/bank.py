"""The adapters of all skills, and what a batch takes of them by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from adapterbot.errors import UnknownNameError
from adapterbot.network.adapters import copy_head as copying
from adapterbot.network.adapters.copy_head import CopyHead
from adapterbot.network.adapters.file import AdapterFile, _attention
from adapterbot.network.adapters.residual import Residual, sizes
from adapterbot.network.architectures.shape import Shape


class AdapterBank:
    """All loaded skills' weights, stacked; row 0 is no adapter. Read-only after it is made."""

    def __init__(self, shape: Shape, adapters: Mapping[str, AdapterFile] | None = None) -> None:
        adapters = adapters or {}
        self.rows = {name: i for i, name in enumerate(adapters, 1)}
        self._bottlenecks = [0, *(a.tensors["down.weight"].shape[-1] for a in adapters.values())]  # by row
        bottleneck = max(1, *self._bottlenecks)
        # Zero up-projections make row 0, layers below first_layer and padded bottlenecks add exactly nothing.
        self.stacked = {
            n: torch.zeros(shape.layers, len(adapters) + 1, *s) for n, s in sizes(shape.width, bottleneck).items()
        }
        self._attentions = [0, *(_attention(a.tensors) for a in adapters.values())]  # by row; 0: no copy head
        self.copying = {
            n: torch.zeros(len(adapters) + 1, *s) for n, s in copying.sizes(shape.width, max(self._attentions)).items()
        }
        for name, adapter in adapters.items():
            row, first = self.rows[name], shape.layers - len(adapter.tensors["down.weight"])
            for key, tensor in adapter.tensors.items():
                target = self.copying[key][row] if key in self.copying else self.stacked[key][first:, row]
                target[tuple(slice(0, n) for n in tensor.shape)] = tensor.float()

    def select(self, skills: Sequence[str | None]) -> Residual | None:
        """Weights for a batch whose row b has the adapter `skills[b]` (None: the backbone alone).

        Raises:
            UnknownNameError: an adapter that is not in the bank; never silently none.
        """
        for skill in skills:
            if skill is not None and skill not in self.rows:
                raise UnknownNameError("adapter", skill, self.rows)
        rows = [self.rows[s] if s is not None else 0 for s in skills]
        if not any(rows):
            return None
        index = rows[0] if len(set(rows)) == 1 else torch.tensor(rows)
        weights = {n: t[:, index] for n, t in self.stacked.items()}
        # No wider than these rows need: a wide adapter elsewhere in the bank must not change a bit of them.
        widest = max(self._bottlenecks[row] for row in rows)
        if widest < weights["down.bias"].shape[-1]:
            for name in ("down.weight", "down.bias"):
                weights[name] = weights[name][..., :widest].contiguous()
            weights["up.weight"] = weights["up.weight"][..., :widest, :].contiguous()
        return Residual(weights, copy=self._copy(rows))

    def _copy(self, rows: Sequence[int]) -> CopyHead | None:
        """The copy heads of these rows of the bank, None where none of them has one."""
        widest = max(self._attentions[row] for row in rows)
        if not widest:
            return None
        alike = len(set(rows)) == 1
        weights = {n: t[rows[0] if alike else torch.tensor(rows)] for n, t in self.copying.items()}
        weights |= {n: weights[n][..., :widest].contiguous() for n in ("copy.key", "copy.query")}
        return CopyHead(weights, None if alike else torch.tensor([self._attentions[row] > 0 for row in rows]))
