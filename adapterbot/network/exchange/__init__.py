"""Adapters as folders of other libraries: read as one of our kinds, and written.

A folder has adapter_config.json and safetensors. What it holds is kept as it is, not rounded to int8; what cannot be
computed here is refused with its name. L layers, d width, r rank or bottleneck.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from adapterbot.errors import AdapterError, OtherBackboneError, nearest
from adapterbot.home import written_by_rename

CONFIG = "adapter_config.json"
PICKLES = (".bin", ".pt", ".pth")
FINGERPRINT = "adapterbot_backbone"  # in the metadata of what is written here
LARGEST = 2**20  # bytes of a config


class Folder(NamedTuple):
    """What lies in a folder of another library."""

    path: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def read(path: Path, weights: str, fingerprint: str) -> Folder:
    """A folder with adapter_config.json and its `weights` file.

    Raises:
        AdapterError: it has none, they cannot be read, or the weights are a pickle, or no numbers.
        OtherBackboneError: it was written here, for another backbone.
    """
    config = config_of(path)
    file = path / weights
    if not file.is_file():
        pickled = next((p.name for p in sorted(path.glob("*")) if p.suffix in PICKLES), None)
        why = f"{pickled} is a pickle, which can run code; save it as safetensors" if pickled else "it is not there"
        raise AdapterError(f"{file} cannot be read: {why}")
    try:
        with safe_open(file, framework="pt") as stream:
            metadata = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise AdapterError(f"{file} cannot be read: {error}") from None
    if metadata.get(FINGERPRINT, fingerprint) != fingerprint:
        raise OtherBackboneError(
            f"{file} was trained on another backbone ({metadata[FINGERPRINT][:12]}, this one is {fingerprint[:12]})"
        )
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise AdapterError(f"{file}: {name} holds what is no finite number")
    return Folder(path, config, tensors)


def config_of(path: Path) -> Mapping[str, Any]:
    """The adapter_config.json of a folder.

    Raises:
        AdapterError: there is none, or it is no JSON object.
    """
    file = path / CONFIG
    try:
        if file.stat().st_size > LARGEST:
            raise AdapterError(f"{file} is larger than {LARGEST:,} bytes: no adapter's config is")
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError(f"{file} cannot be read: {error}; a folder of PEFT or AdapterHub has one") from None
    if not isinstance(config, dict):
        raise AdapterError(f"{file} is no JSON object")
    return config


def write(path: Path, weights: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor], fingerprint: str) -> None:
    """A folder that `read` reads, each file by rename."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with written_by_rename(path / weights) as temporary:
        save_file(plain, temporary, {"format": "pt", FINGERPRINT: fingerprint})
    with written_by_rename(path / CONFIG) as temporary:
        temporary.write_text(json.dumps(dict(config), indent=2) + "\n", encoding="utf-8")


def by_layer(
    folder: Folder, blocks: str, layers: int, known: Sequence[str]
) -> tuple[int, dict[str, dict[int, Tensor]]]:
    """The tensors called BLOCKS.N.NAME of a folder: the lowest N, and by NAME those of each layer.

    Raises:
        AdapterError: a layer that does not exist, a NAME that is not `known`, or none at all.
    """
    found: dict[str, dict[int, Tensor]] = {}
    for name, tensor in folder.tensors.items():
        place = re.fullmatch(rf"(?:.*\.)?{re.escape(blocks)}\.(\d+)\.(.+)", name)
        if place is None or place[2] not in known:
            told = nearest(place[2] if place else name, known)
            raise AdapterError(f"{folder.path}: the tensor {name} has no place in this backbone; {told}")
        layer = int(place[1])
        if layer >= layers:
            raise AdapterError(f"{folder.path}: {name} is of layer {layer}; the backbone has layers 0 to {layers - 1}")
        found.setdefault(place[2], {})[layer] = tensor
    if not found:
        raise AdapterError(f"{folder.path} holds no tensors")
    return min(layer for tensors in found.values() for layer in tensors), found


def stacked(folder: Folder, name: str, given: Mapping[int, Tensor], first: int, layers: int) -> Tensor:
    """The tensors of one name from layer `first` on, side by side [L, ...]; zeros where a layer has none.

    Raises:
        AdapterError: they differ in size.
    """
    sizes = {tuple(tensor.shape) for tensor in given.values()}
    if len(sizes) > 1:
        raise AdapterError(
            f"{folder.path}: {name} has another size in some layers ({sorted(sizes)}): not computed here"
        )
    some = next(iter(given.values()))
    return torch.stack([given.get(i, torch.zeros_like(some)) for i in range(first, layers)])


def refuse(folder: Folder, wanted: Mapping[str, Any]) -> None:
    """Raises AdapterError where the config sets a key otherwise than it is computed here."""
    for key, usual in wanted.items():
        value = folder.config.get(key, usual)
        if value != usual and (value or usual):
            raise AdapterError(
                f"{folder.path / CONFIG} sets {key} = {value!r}, which is not computed here ({usual!r} is)"
            )
