"""adapter.safetensors: written by rename, read only when it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from adapterbot.errors import AdapterError
from adapterbot.home import written_by_rename
from adapterbot.network.adapters import copy_head as copying
from adapterbot.network.adapters.residual import TENSORS, Residual, sizes
from adapterbot.network.architectures.shape import Shape

PROBE = 1e-6  # an adapter that moves a unit-variance state by less than this has no effect


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
