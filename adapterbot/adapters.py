"""5 · Residual adapters and the bank that applies them by row.

After each whole block: x + Up(ReLU(Down(LN(x)))), LN inside (Houlsby et al. 2019; Madotto et al. 2020, section 3.2).
S adapters in the bank, B rows, L layers, d width, r bottleneck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from adapterbot import copying
from adapterbot.copying import CopyHead
from adapterbot.decoder import Shape
from adapterbot.errors import AdapterError, UnknownNameError
from adapterbot.home import written_by_rename

# Per layer: LN's scale [d] and shift [d], down [d, r], its bias [r], up [r, d], its bias [d].
TENSORS = ("norm.weight", "norm.bias", "down.weight", "down.bias", "up.weight", "up.bias")
EPSILON = 1e-5
PROBE = 1e-6  # an adapter that moves a unit-variance state by less than this has no effect


def sizes(width: int, bottleneck: int) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of one layer."""
    return dict(
        zip(
            TENSORS,
            ((width,), (width,), (width, bottleneck), (bottleneck,), (bottleneck, width), (width,)),
            strict=True,
        )
    )


class Residual:
    """Adapter weights laid out for a batch: tensors [L, ...] for all rows alike, or [L, B, ...] one per row.

    `copy` is the head that copies from the facts, where a row has one.
    """

    def __init__(self, weights: Mapping[str, Tensor], first_layer: int = 0, copy: CopyHead | None = None) -> None:
        self.first_layer, self.copy = first_layer, copy
        self.layers = [tuple(weights[name][i] for name in TENSORS) for i in range(len(weights["down.weight"]))]

    def apply(self, layer: int, x: Tensor) -> Tensor:
        """x [B, T, d] -> [B, T, d]; blocks below `first_layer` carry no adapter."""
        if layer < self.first_layer:
            return x
        scale, shift, down, down_bias, up, up_bias = self.layers[layer - self.first_layer]
        if down.dim() == 2:
            y = F.layer_norm(x, x.shape[-1:], scale, shift, EPSILON)
            return x + F.relu(y @ down + down_bias) @ up + up_bias
        y = F.layer_norm(x, x.shape[-1:], eps=EPSILON) * scale[:, None] + shift[:, None]  # scale [B, d]
        return x + F.relu(y @ down + down_bias[:, None]) @ up + up_bias[:, None]  # down [B, d, r]


class Adapter(nn.Module):
    """One skill's weights while it is trained: every tensor stacked over the layers that carry an adapter."""

    def __init__(self, shape: Shape, bottleneck: int, first_layer: int = 0, seed: int = 0, copy: int = 0) -> None:
        super().__init__()
        if not 0 <= first_layer < shape.layers:
            raise AdapterError(f"first_layer={first_layer}, but the backbone has layers 0 to {shape.layers - 1}")
        layers = shape.layers - first_layer
        self.first_layer = first_layer
        draw = torch.Generator().manual_seed(seed)
        for name, size in sizes(shape.width, bottleneck).items():
            tensor = torch.ones(layers, *size) if name == "norm.weight" else torch.zeros(layers, *size)
            if name == "down.weight":  # up stays zero: an untrained adapter changes nothing
                tensor.normal_(0.0, shape.width**-0.5, generator=draw)
            self.register_parameter(name.replace(".", "_"), nn.Parameter(tensor))
        for name, tensor in copying.drawn(shape.width, copy, draw).items() if copy else ():
            self.register_parameter(name.replace(".", "_"), nn.Parameter(tensor))
        self.names = (*TENSORS, *(copying.TENSORS if copy else ()))

    def residual(self) -> Residual:
        """The weights as the decoder's argument; gradients flow through."""
        weights = {n: getattr(self, n.replace(".", "_")) for n in self.names}
        return Residual(weights, self.first_layer, CopyHead(weights) if "copy.key" in weights else None)

    def tensors(self) -> dict[str, Tensor]:
        """The weights by their names in adapter.safetensors."""
        return {n: getattr(self, n.replace(".", "_")).detach() for n in self.names}

    @torch.no_grad()
    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Overwrite the weights by tensors named as in adapter.safetensors."""
        for name in self.names:
            getattr(self, name.replace(".", "_")).copy_(tensors[name])

    @property
    def parameter_count(self) -> int:
        """Number of trained weights."""
        return sum(p.numel() for p in self.parameters())


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """A validated adapter.safetensors. `notes` are things the user should see (an adapter without effect)."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def scaled(self, strength: float) -> AdapterFile:
        """This adapter with all that it adds to the states times `strength`, as task vectors are scaled (Ilharco et
        al. 2023, arXiv 2212.04089, section 2); the copy head stays.
        """
        up = {name: strength * tensor.float() for name, tensor in self.tensors.items() if name.startswith("up.")}
        return replace(self, tensors={**self.tensors, **up})


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


def save_adapter(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write adapter.safetensors (fp16) by rename."""
    with written_by_rename(path) as temporary:
        save_file({n: t.half().contiguous() for n, t in tensors.items()}, temporary, dict(metadata))


def load_adapter(path: Path, shape: Shape, fingerprint: str) -> AdapterFile:
    """Read and validate an adapter for the backbone with this shape and fingerprint.

    Raises:
        AdapterError: damaged, unsafe, of another backbone, or a tensor missing, extra, misshapen or not finite.
    """
    if path.suffix != ".safetensors":
        raise AdapterError(f"{path} is refused: only .safetensors is read (pickles can run code)")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise AdapterError(f"{path} cannot be read: {error}") from None
    if metadata.get("type") != "residual":
        raise AdapterError(f"{path}: adapter type {metadata.get('type')!r} is not 'residual'")
    if metadata.get("backbone") != fingerprint:
        raise AdapterError(
            f"{path} was trained on another backbone ({str(metadata.get('backbone'))[:12]}, this one is "
            f"{fingerprint[:12]}); train it on this one: adapterbot train-skill {path.parent.name}"
        )
    _check_tensors(path, tensors, shape)
    return AdapterFile(tensors, metadata, _probe(path, tensors))


def _check_tensors(path: Path, tensors: Mapping[str, Tensor], shape: Shape) -> None:
    known = {*TENSORS, *(copying.TENSORS if _attention(tensors) else ())}
    missing, extra = known - set(tensors), set(tensors) - known
    if missing or extra:
        raise AdapterError(
            f"{path}: tensors missing: {sorted(missing) or 'none'}, not known: {sorted(extra) or 'none'}"
        )
    down = tensors["down.weight"]
    if down.dim() != 3 or not 1 <= down.shape[0] <= shape.layers or down.shape[2] < 1:
        raise AdapterError(f"{path}: down.weight has shape {list(down.shape)}, the backbone has {shape.layers} layers")
    wanted = {name: (down.shape[0], *size) for name, size in sizes(shape.width, down.shape[2]).items()}
    wanted |= copying.sizes(shape.width, _attention(tensors)) if _attention(tensors) else {}
    for name, size in wanted.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != size:
            raise AdapterError(f"{path}: {name} has shape {list(tensor.shape)}, not {list(size)}")
        if tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32):
            raise AdapterError(f"{path}: {name} has type {tensor.dtype}, not a float")
        if not bool(torch.isfinite(tensor).all()):
            raise AdapterError(f"{path}: {name} holds NaN or infinite values")


def _attention(tensors: Mapping[str, Tensor]) -> int:
    """Width of the copy head's attention; 0 where there is no copy head."""
    return tensors["copy.key"].shape[-1] if "copy.key" in tensors else 0


def _probe(path: Path, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """A note when the adapter leaves random unit-variance states as they are."""
    x = torch.randn(1, 4, tensors["up.bias"].shape[-1], generator=torch.Generator().manual_seed(0))
    residual = Residual({n: t.float() for n, t in tensors.items()})
    moved = max(float((residual.apply(i, x) - x).abs().max()) for i in range(len(residual.layers)))
    return (f"{path} has no effect: replies are the bare backbone's",) if moved < PROBE else ()
