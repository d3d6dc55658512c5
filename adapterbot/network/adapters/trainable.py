"""One skill's adapter while it is trained."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from adapterbot.network.adapters import BatchAdapters, Rows
from adapterbot.network.adapters.file import REPLY, AdapterFile
from adapterbot.network.adapters.kinds import kind_of
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable


class Adapter(nn.Module):
    """Fresh weights of the kind and size that skill.toml's [adapter] asks for, drawn by `seed`.

    Raises:
        AdapterError: the table asks for what the backbone does not have.
    """

    def __init__(self, shape: Shape, table: AdapterTable, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.kind = table.type
        self.on = table.on
        draw = torch.Generator().manual_seed(seed)
        first = kind_of(table.type).init(shape, table, draw)
        self._learn(first)

    def _learn(self, tensors: Mapping[str, Tensor]) -> None:
        """Make these the weights; what is fixed of the kind's has no gradient."""
        fixed = kind_of(self.kind).fixed
        self._parameters.clear()
        self.names = tuple(tensors)
        for name, tensor in tensors.items():
            self.register_parameter(_attribute(name), nn.Parameter(tensor, requires_grad=name not in fixed))

    def adapters(self, dtype: torch.dtype = torch.float32) -> BatchAdapters:
        """The weights as the decoder's argument, the same for all rows and of this type; gradients flow through."""
        of_kind = kind_of(self.kind)
        weights = {name: tensor.to(dtype) for name, tensor in of_kind.folded(self._weights()).items()}
        device = next(iter(weights.values())).device
        kind = of_kind([weights], self.shape)
        return BatchAdapters([(kind, Rows([0], device))], self.on == REPLY)

    @property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor."""
        return {name: tuple(tensor.shape) for name, tensor in self.tensors().items()}

    def tensors(self) -> dict[str, Tensor]:
        """The weights by their names in adapter.safetensors."""
        return {name: t.detach() for name, t in kind_of(self.kind).folded(self._weights()).items()}

    def _weights(self) -> dict[str, Tensor]:
        return {name: self.get_parameter(_attribute(name)) for name in self.names}

    def file(self) -> AdapterFile:
        """A copy of the weights as adapter.safetensors would hold them."""
        return AdapterFile({name: t.clone() for name, t in self.tensors().items()}, {"type": self.kind, "on": self.on})

    @torch.no_grad()
    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Overwrite the weights by tensors named as in adapter.safetensors.

        Of a kind whose file holds what its weights make, these are learnt themselves from then on.
        """
        if tensors.keys() != set(self.names):
            device = next(self.parameters()).device
            self._learn({name: tensor.to(device, torch.float32, copy=True) for name, tensor in tensors.items()})
        for name in self.names:
            self.get_parameter(_attribute(name)).copy_(tensors[name])

    @property
    def parameter_count(self) -> int:
        """Number of weights that a file holds, what is fixed of them left out."""
        fixed = kind_of(self.kind).fixed
        return sum(tensor.numel() for name, tensor in self.tensors().items() if name not in fixed)


def _attribute(name: str) -> str:
    return name.replace(".", "_")
